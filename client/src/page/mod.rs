//! A page of the terminal that does not stay: the return phrase is shown and typed there and nowhere else.
//!
//! Where the terminal has one, it is the alternate screen, which no scroll-back keeps, and it is wiped before it is left. Elsewhere
//! (`TERM` is "dumb" or not set) everything that is shown stays: so nothing that is typed is shown. Keys arrive one by one, and Ctrl-C is
//! one of them: an interrupt that ended the program would leave a page of secrets on the screen.

mod typed;

use std::fs::File;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::ui::{Terminal, ended, gone, wrap};

use self::typed::{Change, Key, Typed};

pub use self::typed::Words;

/// Enters the alternate screen.
const ENTER: &str = "\u{1b}[?1049h";
/// Goes home and wipes the screen.
const WIPE: &str = "\u{1b}[H\u{1b}[2J";
/// Wipes the screen, and goes back to the one before.
const LEAVE: &str = "\u{1b}[H\u{1b}[2J\u{1b}[?1049l";
/// Takes the last character off the screen.
const TAKE_BACK: &str = "\u{8} \u{8}";

/// A page, until it is dropped: then the screen and the keys are as they were before.
pub struct Page<'t> {
    terminal: &'t mut Terminal,
    /// Whether the terminal has a screen for it.
    fleeting: bool,
    /// What stands on it above the words that are being typed.
    text: String,
    _keys: Keys,
}

impl<'t> Page<'t> {
    /// Opens an empty page.
    ///
    /// # Errors
    /// A failure when the terminal is gone.
    pub fn open(terminal: &'t mut Terminal) -> Outcome<Self> {
        let fleeting = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        interrupt::listen();
        let keys = Keys::unbuffered(terminal.screen()).ok_or_else(gone)?;
        if fleeting {
            interrupt::show_before_the_end(LEAVE);
            terminal.put(ENTER)?;
        }
        Ok(Self {
            terminal,
            fleeting,
            text: String::new(),
            _keys: keys,
        })
    }

    /// Whether what stands on it disappears. Where it does not, what is typed is not shown, and nothing that tells of it should be.
    pub const fn is_fleeting(&self) -> bool {
        self.fleeting
    }

    /// Wipes it, and begins anew with this text.
    ///
    /// # Errors
    /// A failure when the terminal is gone.
    pub fn turn(&mut self, text: &str) -> Outcome<()> {
        self.text.clear();
        if self.fleeting {
            self.terminal.put(WIPE)?;
        }
        self.add(text)
    }

    /// Waits for Enter.
    ///
    /// # Errors
    /// A failure when the terminal is gone, or the person presses Ctrl-C or Ctrl-D.
    pub fn await_enter(&mut self, question: &str) -> Outcome<()> {
        self.terminal.put(question)?;
        while self.key()? != Key::Enter {}
        self.terminal.put("\n")
    }

    /// Asks for one word.
    ///
    /// # Errors
    /// As [`Page::await_enter`].
    pub fn ask_word(&mut self, question: &str) -> Outcome<Zeroizing<String>> {
        let count = 1;
        let words = self.ask(&Question {
            text: question,
            count,
        })?;
        self.add("")?;
        Ok(joined(&words))
    }

    /// Asks for so many words, each behind its number; line ends between them are as good as spaces. Gives at least so many, as they
    /// were typed.
    ///
    /// # Errors
    /// As [`Page::await_enter`].
    pub fn ask_words(&mut self, question: &str, count: usize) -> Outcome<Words> {
        let text = wrap(question, "  ");
        let words = self.ask(&Question { text: &text, count })?;
        self.add("")?;
        Ok(words)
    }

    fn ask(&mut self, question: &Question<'_>) -> Outcome<Words> {
        let mut typed = Typed::default();
        self.terminal.put(&question.begin(self.fleeting))?;
        loop {
            let key = self.key()?;
            let change = typed.take(key, question.count);
            let so_far = typed.words().len();
            if key == Key::Enter && so_far >= question.count {
                return Ok(typed.done());
            }
            if !self.fleeting {
                if key == Key::Enter && so_far > 0 {
                    self.terminal.put(&question.so_far(so_far))?;
                }
                continue;
            }
            match change {
                Change::Nothing => {}
                Change::Letter(letter) => {
                    self.terminal
                        .put(&escape::line(letter.encode_utf8(&mut [0; 4])))?;
                }
                Change::TakenBack => self.terminal.put(TAKE_BACK)?,
                Change::NextWord => self.terminal.put(&question.number(so_far + 1))?,
                Change::Anew => self.draw(question, &typed)?,
            }
        }
    }

    /// The page as it is in the midst of typing.
    fn draw(&mut self, question: &Question<'_>, typed: &Typed) -> Outcome<()> {
        let mut page = Zeroizing::new(format!("{WIPE}{}{}", self.text, question.text));
        for (at, word) in typed.words().iter().enumerate() {
            page.push_str(&question.number(at + 1));
            page.push_str(&escape::line(word));
        }
        if typed.awaits_next(question.count) {
            page.push_str(&question.number(typed.words().len() + 1));
        }
        self.terminal.put(&page)
    }

    /// Adds a line.
    fn add(&mut self, text: &str) -> Outcome<()> {
        self.text.push_str(text);
        self.text.push('\n');
        self.terminal.put(&format!("{text}\n"))
    }

    /// The next key that means something here.
    fn key(&mut self) -> Outcome<Key> {
        loop {
            match self.terminal.key()? {
                INTERRUPT => return Err(Failure::new("interrupted").hint("nothing was done")),
                END => return Err(ended()),
                b'\n' | b'\r' => return Ok(Key::Enter),
                b' ' | b'\t' => return Ok(Key::Space),
                BACKSPACE | DELETE => return Ok(Key::Back),
                KILL => return Ok(Key::Clear),
                ESCAPE => self.skip_sequence()?,
                byte if byte < b' ' => {}
                byte => return Ok(Key::Letter(self.letter(byte)?)),
            }
        }
    }

    /// Passes over what an arrow or function key sends.
    fn skip_sequence(&mut self) -> Outcome<()> {
        match self.terminal.key()? {
            b'[' => while !(0x40..=0x7e).contains(&self.terminal.key()?) {},
            b'O' => drop(self.terminal.key()?),
            INTERRUPT => return Err(Failure::new("interrupted").hint("nothing was done")),
            END => return Err(ended()),
            _ => {}
        }
        Ok(())
    }

    /// The character that begins with this byte.
    fn letter(&mut self, first: u8) -> Outcome<char> {
        let length = match first {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 1,
        };
        let mut bytes = vec![first];
        while bytes.len() < length {
            bytes.push(self.terminal.key()?);
        }
        let text = std::str::from_utf8(&bytes).ok();
        Ok(text
            .and_then(|text| text.chars().next())
            .unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // Nothing can be done for a terminal that is gone.
        if self.fleeting {
            let _ = self.terminal.put(LEAVE);
            interrupt::show_before_the_end("");
        }
    }
}

/// Words with a space between them.
pub fn joined(words: &[Zeroizing<String>]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// What is asked, and for how many words.
struct Question<'a> {
    text: &'a str,
    count: usize,
}

impl Question<'_> {
    fn begin(&self, fleeting: bool) -> String {
        let number = if fleeting { self.number(1) } else { " ".into() };
        format!("{}{number}", self.text)
    }

    /// What stands before a word.
    fn number(&self, place: usize) -> String {
        if self.count == 1 {
            " ".into()
        } else {
            format!("\n{place:>4}. ")
        }
    }

    /// What tells somebody who does not see what they type where they are.
    fn so_far(&self, words: usize) -> String {
        format!("\n{words} of {} words so far: ", self.count)
    }
}

/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;
/// What Ctrl-D sends.
const END: u8 = 4;
/// What Backspace sends on some terminals.
const BACKSPACE: u8 = 8;
/// What it sends on most.
const DELETE: u8 = 127;
/// What Ctrl-U sends.
const KILL: u8 = 21;
/// What arrow and function keys begin with.
const ESCAPE: u8 = 27;

/// While it lives, keys arrive one by one and unseen.
struct Keys {
    terminal: File,
    before: Termios,
}

impl Keys {
    /// `None` where the terminal cannot.
    fn unbuffered(terminal: &File) -> Option<Self> {
        let terminal = terminal.try_clone().ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut modes = before.clone();
        modes
            .local_modes
            .remove(LocalModes::ISIG | LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &modes).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // What was typed and not read is thrown away: a shell would show what was pasted too often. Nothing can be done for a terminal that
        // refuses.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
