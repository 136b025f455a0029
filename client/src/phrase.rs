//! The return phrase on the terminal: shown once, asked back, asked for.

use std::fs::OpenOptions;
use std::io::Write;

use rand_core::Rng;
use zeroize::Zeroizing;

use valise_protocol::phrase::{PhraseError, ReturnPhrase};

use crate::failure::{Failure, Outcome};
use crate::random;
use crate::ui::{Terminal, secret_from_fd};

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
    loop {
        let typed = terminal.ask("The twelve words of your return phrase:")?;
        match typed.parse() {
            Ok(phrase) => return Ok(phrase),
            Err(error) => {
                terminal.show(&failure(&error).to_string())?;
            }
        }
    }
}

fn no_terminal(failure: Failure) -> Failure {
    failure
        .hint("the return phrase is shown and asked on a terminal only; programs use --phrase-fd N")
}

fn failure(error: &PhraseError) -> Failure {
    let told = Failure::new(error.to_string());
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
    let mut shown = String::from(
        "Your return phrase. These twelve words are the only way to read the answers,\n\
         from any computer. Nobody can restore them. Whoever has them can read the\n\
         answers too. Learn them, or write them where nobody else looks.\n",
    );
    for (at, word) in words.iter().enumerate() {
        shown.push_str(&format!("\n  {:>2}. {word}", at + 1));
    }
    let (first, second) = two_places();
    for attempt in 0..3 {
        if attempt > 0 {
            terminal.show("That is not the word. Here they are again.")?;
        }
        terminal.show_page(&shown, "Press Enter when you have them.")?;
        let right = [first, second].into_iter().try_fold(true, |right, place| {
            let answer = terminal.ask(&format!("Word {}:", place + 1))?;
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
