//! The return phrase on the terminal: shown once, asked back, asked for; always on a page that does not stay.

use std::fs::OpenOptions;
use std::io::Write;

use rand_core::Rng;
use zeroize::Zeroizing;

use valise_protocol::phrase::{PhraseError, ReturnPhrase};

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::page::{Page, Words, joined};
use crate::random;
use crate::ui::{Terminal, secret_from_fd, wrap};

/// How many words a phrase has.
const WORDS: usize = 12;

/// Makes a phrase and sees to it that the person has it before anything travels.
///
/// On the terminal two of the words are asked back; with a descriptor the words are written to it, as one line, for a program.
///
/// # Errors
/// A failure when there is no terminal, or the person does not have the words after three tries.
pub fn make(fd: Option<u32>) -> Outcome<ReturnPhrase> {
    let phrase = ReturnPhrase::generate(&mut random::system());
    match fd {
        Some(fd) => write_to_fd(fd, &phrase)?,
        None => show_and_ask_back(&mut Terminal::open().map_err(no_terminal)?, &phrase)?,
    }
    Ok(phrase)
}

/// Asks for a phrase, or reads it from a descriptor.
///
/// # Errors
/// A failure that names a word off the list, or says that the words do not belong together.
pub fn ask(fd: Option<u32>) -> Outcome<ReturnPhrase> {
    if let Some(fd) = fd {
        return secret_from_fd(fd, "return phrase")?
            .parse()
            .map_err(|error| failure(&error));
    }
    let mut terminal = Terminal::open().map_err(no_terminal)?;
    let mut page = Page::open(&mut terminal)?;
    page.turn(about(&page))?;
    loop {
        let typed = page.ask_words("The twelve words of your return phrase:", WORDS)?;
        match mend(&mut page, typed)? {
            Ok(phrase) => return Ok(phrase),
            Err(told) => page.turn(&told)?,
        }
    }
}

/// What somebody is told who is about to type the words.
const fn about(page: &Page<'_>) -> &'static str {
    if page.is_fleeting() {
        "What you type here disappears from the screen. Line ends are as good as spaces.\n\
         Backspace takes back, Ctrl-U begins again, Ctrl-C ends.\n"
    } else {
        "This terminal keeps what it shows, so what you type is not shown. Line ends are\n\
         as good as spaces. Ctrl-U begins again, Ctrl-C ends."
    }
}

/// Asks again for each word that is not on the list, and gives the phrase, or what to say when all must be typed again.
fn mend(page: &mut Page<'_>, mut typed: Words) -> Outcome<Result<ReturnPhrase, String>> {
    loop {
        let error = match joined(&typed).parse() {
            Ok(phrase) => return Ok(Ok(phrase)),
            Err(error) => error,
        };
        let told = told(&error, page.is_fleeting());
        let PhraseError::NotListed { position, .. } = error else {
            return Ok(Err(told + &again(page, &typed)));
        };
        page.turn(&told)?;
        typed[position - 1] = page.ask_word(&format!("Word {position}:"))?;
    }
}

/// What is wrong with the words. Where it would stay on the screen it names none of them: one that is nearly right tells of the right one.
fn told(error: &PhraseError, fleeting: bool) -> String {
    let failure = match error {
        PhraseError::NotListed { position, .. } if !fleeting => {
            Failure::new(format!("word {position} is not on the list")).hint("type that word again")
        }
        error => failure(error),
    };
    let lines = failure.to_string();
    let lines: Vec<String> = lines.lines().map(|line| wrap(line, "  ")).collect();
    lines.join("\n") + "\n"
}

/// The words that were typed, to be looked at while all are typed again.
fn again(page: &Page<'_>, typed: &Words) -> String {
    if !page.is_fleeting() {
        return String::new();
    }
    let numbered = typed.iter().enumerate();
    let numbered: Vec<String> = numbered
        .map(|(at, word)| format!("{}.\u{a0}{}", at + 1, escape::line(word)))
        .collect();
    let typed = wrap(&format!("You typed: {}", numbered.join(" ")), "  ");
    format!("\n{}\n", typed.replace('\u{a0}', " "))
}

fn no_terminal(failure: Failure) -> Failure {
    failure
        .hint("the return phrase is shown and asked on a terminal only; programs use --phrase-fd N")
}

fn failure(error: &PhraseError) -> Failure {
    // A word is what somebody typed or handed over: anything.
    let told = Failure::new(escape::line(&error.to_string()));
    match error {
        PhraseError::NotListed { nearest: Some(word), .. } => told.hint(format!("did you mean \"{word}\"?")),
        PhraseError::DoNotBelongTogether => {
            told.hint("each is on the list, but one was swapped for another: look at them again, in their order")
        }
        _ => told.hint("write all twelve words in their order, with spaces between them"),
    }
}

fn write_to_fd(fd: u32, phrase: &ReturnPhrase) -> Outcome<()> {
    let line = Zeroizing::new(phrase.expose_words().join(" ") + "\n");
    OpenOptions::new()
        .write(true)
        .open(format!("/dev/fd/{fd}"))
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|_| {
            Failure::new(format!(
                "could not write the return phrase to file descriptor {fd}"
            ))
        })
}

fn show_and_ask_back(terminal: &mut Terminal, phrase: &ReturnPhrase) -> Outcome<()> {
    let words = phrase.expose_words();
    let mut shown = Zeroizing::new(String::from(
        "Your return phrase. These twelve words are the only way to read the answers,\n\
         from any computer. Nobody can restore them. Whoever has them can read the\n\
         answers too. Learn them, or write them where nobody else looks.\n",
    ));
    for (at, word) in words.iter().enumerate() {
        shown.push_str(&format!("\n  {:>2}. {word}", at + 1));
    }
    shown.push('\n');
    let (first, second) = two_places();
    let mut page = Page::open(terminal)?;
    for attempt in 0..3 {
        if attempt > 0 {
            let again = "That is not the word. Here they are again.\n\n";
            page.turn(&Zeroizing::new([again, shown.as_str()].concat()))?;
        } else {
            page.turn(&shown)?;
        }
        page.await_enter("Press Enter when you have them.")?;
        page.turn("Which words were these?\n")?;
        let right = [first, second].into_iter().try_fold(true, |right, place| {
            let answer = page.ask_word(&format!("Word {}:", place + 1))?;
            Ok::<_, Failure>(right && answer.to_lowercase() == words[place])
        })?;
        if right {
            return Ok(());
        }
    }
    Err(
        Failure::new("the words were not given back, so nothing was sent")
            .hint("give the same command again; it makes a new phrase"),
    )
}

/// Two different places among twelve, in order.
fn two_places() -> (usize, usize) {
    let draw = |below: u32| {
        let mut rng = random::system();
        loop {
            let number = rng.next_u32();
            if number < u32::MAX - u32::MAX % below {
                return (number % below) as usize;
            }
        }
    };
    let first = draw(12);
    let second = (first + 1 + draw(11)) % 12;
    (first.min(second), first.max(second))
}
