//! Everything that this program prints or asks goes through here.
//!
//! The rules: results go to standard output, everything about them to standard error. Plain sentences, at most 80 columns and never wider
//! than the terminal,
//! no boxes, no colour, nothing that moves but one line while parcels travel ([`crate::progress`]): a screen reader and a pipe get the same as a terminal. Text from outside is escaped
//! ([`crate::escape`]) by whoever puts it into a line. Secrets are shown and asked on the terminal itself (`/dev/tty`), never on
//! a standard stream that might be a file. Programs hand secrets over on file descriptors.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use valise_protocol::contact::{Contact, RelayContact};
use valise_protocol::id::Address;
use zeroize::Zeroizing;

use crate::escape::{self, COLUMNS};
use crate::failure::{Failure, Outcome};

/// No terminal is taken to be narrower, in columns.
const NARROWEST: usize = 20;
/// The longest secret read from a descriptor, in bytes.
const SECRET: u64 = 4_096;
/// What Linux keeps of a line that is typed or pasted, with its end (N_TTY_BUF_SIZE).
const LINE: usize = 4_096;

/// One line, or several, of result on standard output.
pub fn say(text: &str) {
    // A closed pipe is the reader's wish, not an error of ours. Whoever deletes what was shown asks first whether it was.
    let mut out = std::io::stdout();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        UNSAID.store(true, Ordering::Relaxed);
    }
}

/// Whether everything that was said on standard output was taken.
pub fn all_said() -> bool {
    !UNSAID.load(Ordering::Relaxed)
}

static UNSAID: AtomicBool = AtomicBool::new(false);

/// A sentence of result on standard output, wrapped to 80 columns.
pub fn say_wrapped(text: &str) {
    say(&wrap(text, "  "));
}

/// A sentence about what happens, on standard error, wrapped to 80 columns.
pub fn note(text: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "{}",
        wrap(&format!("valise: {text}"), "  ")
    );
}

/// A failure, on standard error.
pub fn error(failure: &Failure) {
    for line in failure.to_string().lines() {
        let _ = writeln!(std::io::stderr(), "{}", wrap(line, "  "));
    }
}

/// Text from outside, on standard output, quoted.
pub fn quote(text: &str) {
    say(&escape::quote(text, width()));
}

/// How many columns a line may take: 80, or fewer where the terminal has fewer, or it would begin rows of its own with whatever comes next.
pub fn width() -> usize {
    let of = |size: Result<rustix::termios::Winsize, _>| size.ok().map(|size| size.ws_col);
    let columns = of(rustix::termios::tcgetwinsize(std::io::stdout()))
        .or_else(|| of(rustix::termios::tcgetwinsize(std::io::stderr())));
    match columns {
        // A terminal that does not know its width says 0.
        None | Some(0) => COLUMNS,
        Some(columns) => usize::from(columns).clamp(NARROWEST, COLUMNS),
    }
}

/// Breaks at spaces so that no line is over 80 columns, or wider than the terminal; spaces at the beginning stay, and later lines begin with `indent`. A longer word is broken too, or the terminal
/// would begin a line with whatever comes next in it; but contacts and addresses stay whole, to be copied.
pub fn wrap(text: &str, indent: &str) -> String {
    wrap_to(width(), text, indent)
}

fn wrap_to(most: usize, text: &str, indent: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let words = text.trim_start_matches(' ');
    let begins = text.len() - words.len();
    out.push_str(&text[..begins]);
    let mut column = begins;
    for (at, word) in words.split(' ').enumerate() {
        let width = escape::columns(word);
        if at > 0 && column + 1 + width > most {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if at > 0 {
            out.push(' ');
            column += 1;
        }
        if column + width <= most || is_name(word) {
            out.push_str(word);
            column += width;
            continue;
        }
        let rows = escape::fold(word, most - indent.len());
        column = indent.len() + rows.last().map_or(0, |row| escape::columns(row));
        out.push_str(&rows.join(&format!("\n{indent}")));
    }
    out
}

/// Whether a word is a contact line or an address.
fn is_name(word: &str) -> bool {
    let word = word.trim_matches(['"', '.', ',', ';']);
    word.parse::<Contact>().is_ok()
        || word.parse::<RelayContact>().is_ok()
        || word.parse::<Address>().is_ok()
}

/// Whether a person sits at standard input.
pub fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// The terminal itself.
pub struct Terminal {
    lines: BufReader<File>,
    screen: File,
}

impl Terminal {
    /// Opens it.
    ///
    /// # Errors
    /// A failure when there is none, as in a job or behind a pipe without a session.
    pub fn open() -> Outcome<Self> {
        let open = |write: bool| {
            OpenOptions::new()
                .read(!write)
                .write(write)
                .open("/dev/tty")
        };
        match (open(false), open(true)) {
            (Ok(lines), Ok(screen)) => Ok(Self {
                lines: BufReader::new(lines),
                screen,
            }),
            _ => Err(Failure::new("there is no terminal to ask on")),
        }
    }

    /// Shows text that must not be anywhere else.
    ///
    /// # Errors
    /// A failure when the terminal is gone.
    pub fn show(&mut self, text: &str) -> Outcome<()> {
        self.put(&format!("{text}\n"))
    }

    /// Writes to the screen as it stands, without a line end.
    pub(crate) fn put(&mut self, text: &str) -> Outcome<()> {
        write!(self.screen, "{text}")
            .and_then(|()| self.screen.flush())
            .map_err(|_| gone())
    }

    /// The next byte typed. With a terminal that waits for whole lines, that is after Enter.
    pub(crate) fn key(&mut self) -> Outcome<u8> {
        let mut key = [0];
        match self.lines.read(&mut key) {
            Ok(1) => Ok(key[0]),
            _ => Err(ended()),
        }
    }

    /// The screen, for those who set how the terminal works.
    pub(crate) const fn screen(&self) -> &File {
        &self.screen
    }

    /// Asks for one line.
    ///
    /// # Errors
    /// A failure when the terminal is gone or the input ends.
    pub fn ask(&mut self, question: &str) -> Outcome<Zeroizing<String>> {
        self.put(&format!("{} ", wrap(question, "  ")))?;
        let mut line = Zeroizing::new(String::new());
        match self.lines.read_line(&mut line) {
            Ok(0) | Err(_) => Err(ended()),
            Ok(_) => Ok(Zeroizing::new(whole(&line)?.trim().to_owned())),
        }
    }

    /// Asks until one of the choices is answered, each a word or its first letters, and gives its place.
    ///
    /// # Errors
    /// As [`Terminal::ask`].
    pub fn choose(&mut self, question: &str, choices: &[&str]) -> Outcome<usize> {
        loop {
            let answer = self
                .ask(&format!("{question} [{}]", choices.join("/")))?
                .to_lowercase();
            let fits: Vec<usize> = (0..choices.len())
                .filter(|at| choices[*at].starts_with(&answer))
                .collect();
            if let ([at], false) = (fits.as_slice(), answer.is_empty()) {
                return Ok(*at);
            }
            self.show(&format!("please answer one of: {}", choices.join(", ")))?;
        }
    }

    /// Asks a yes-or-no question.
    ///
    /// # Errors
    /// As [`Terminal::ask`].
    pub fn confirm(&mut self, question: &str) -> Outcome<bool> {
        Ok(self.choose(question, &["yes", "no"])? == 0)
    }

    /// Asks for lines until one that is a single full stop.
    ///
    /// # Errors
    /// As [`Terminal::ask`].
    pub fn ask_text(&mut self, question: &str) -> Outcome<Zeroizing<String>> {
        self.show(&wrap(
            &format!("{question} End with a line that is a single full stop."),
            "",
        ))?;
        let mut text = Zeroizing::new(String::new());
        loop {
            let mut line = Zeroizing::new(String::new());
            match self.lines.read_line(&mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) if line.trim_end() == "." => break,
                Ok(_) => text.push_str(whole(&line)?),
            }
        }
        Ok(text)
    }

    /// Asks for a secret that is not shown while typed.
    ///
    /// # Errors
    /// As [`Terminal::ask`].
    pub fn ask_hidden(&mut self, question: &str) -> Outcome<Zeroizing<String>> {
        let typed = rpassword::prompt_password(format!("{question} "));
        let typed = typed.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => Failure::new("interrupted").hint("nothing was done"),
            ErrorKind::UnexpectedEof => ended(),
            _ => gone(),
        })?;
        Ok(Zeroizing::new(typed))
    }
}

/// A line as it was typed: a terminal that waits for whole lines silently drops what is beyond 4,095 bytes of one.
fn whole(line: &str) -> Outcome<&str> {
    if line.len() < LINE {
        return Ok(line);
    }
    Err(Failure::new(format!(
        "the terminal keeps {} bytes of a line and no more, so the rest of one was lost",
        LINE - 1
    ))
    .hint("press Enter now and then, or give the text as a file: valise send --to CONTACT FILE"))
}

pub(crate) fn gone() -> Failure {
    Failure::new("the terminal is gone")
}

/// The input ended, as by Ctrl-D.
pub(crate) fn ended() -> Failure {
    Failure::new("the answer ended before it began").hint("nothing was done")
}

/// A secret that a program hands over on an open descriptor: everything up to the end, less the last line end.
///
/// # Errors
/// A failure when it is not open, not text, or longer than 4,096 bytes.
pub fn secret_from_fd(fd: u32, what: &str) -> Outcome<Zeroizing<String>> {
    let broken = || {
        Failure::new(format!(
            "could not read the {what} from file descriptor {fd}"
        ))
    };
    let file = File::open(format!("/dev/fd/{fd}"))
        .map_err(|_| broken().hint("open it, as in: 3< FILE"))?;
    let mut text = Zeroizing::new(String::with_capacity(256));
    file.take(SECRET + 1)
        .read_to_string(&mut text)
        .map_err(|_| broken())?;
    if text.len() as u64 > SECRET {
        return Err(broken());
    }
    let length = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(length);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_80_columns() {
        let text = ["word"; 40].join(" ");
        let wrapped = wrap(&text, "  ");
        assert!(wrapped.lines().all(|line| line.len() <= 80));
        assert_eq!(wrapped.split_whitespace().count(), 40);
    }

    #[test]
    fn a_word_that_a_terminal_would_break_is_broken_with_the_indent() {
        let name = format!("{}valise: error: all is lost", "x".repeat(68));
        let wrapped = wrap(&format!("It is called {name}"), "  ");
        assert!(wrapped.lines().all(|line| line.len() <= 80), "{wrapped}");
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("  ")));
    }

    #[test]
    fn a_narrow_terminal_gets_narrow_lines() {
        let name = format!("{}valise: error: all is lost", "x".repeat(28));
        let wrapped = wrap_to(40, &format!("It is called {name}"), "  ");
        assert!(wrapped.lines().all(|line| line.len() <= 40), "{wrapped}");
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("  ")));
    }

    #[test]
    fn an_indented_line_stays_indented() {
        let wrapped = wrap(&format!("  {}", "word ".repeat(40)), "  ");
        assert!(
            wrapped
                .lines()
                .all(|line| line.starts_with("  word") && line.len() <= 80)
        );
    }

    #[test]
    fn an_address_stays_in_one_piece() {
        let address = Address::from_bytes([1; 32]).to_string();
        let text = format!("{} valise-relay inbox allow {address}", "word ".repeat(9));
        assert!(wrap(&text, "  ").contains(&address));
        let contact = format!("{address}@relay1qqqq");
        assert!(!wrap(&contact, "  ").lines().any(|line| line.len() > 80));
    }
}
