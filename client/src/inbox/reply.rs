//! `valise inbox acknowledge` and `valise inbox reply`: what goes back to the sender, and its copy for colleagues.

use std::io::Read;
use std::path::{Path, PathBuf};

use valise_protocol::limits::REPLY_TEXT;
use valise_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::ui::{self, Terminal, stdin_is_terminal};
use crate::vault::Vault;
use crate::vault::state::Role;

use super::draft::{put, submission_of};
use super::outbox::{LONGEST_WAIT, deliver_answer};
use super::thread::Threads;

/// How an answer travels.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Pace {
    /// The longest random wait before each envelope leaves; 0 sends at once, and its time then tells when you wrote
    #[arg(long, value_name = "SECONDS", default_value_t = LONGEST_WAIT)]
    pub delay: u64,
}

/// Tells the sender that somebody has read the submission, once.
///
/// # Errors
/// A failure when it was acknowledged before, or could not be sent.
pub async fn acknowledge(
    vault: &Vault,
    which: &str,
    again: bool,
    pace: Pace,
    now: Timestamp,
) -> Outcome<()> {
    let state = vault.state()?;
    let threads = Threads::of(&state);
    let thread = threads.find(which)?;
    let id = threads.id(thread);
    let answered = thread
        .answers
        .iter()
        .any(|entry| entry.role == Role::Acknowledgement);
    let waits = state
        .outbox
        .iter()
        .any(|outgoing| outgoing.answers(&thread.id, &thread.sender));
    if answered && !again && !waits {
        return Err(
            Failure::new(format!("submission {id} is acknowledged already"))
                .hint("to do it once more all the same: --again"),
        );
    }
    if !(answered && waits && !again) {
        put(vault, &state, thread, None, accept_risk, now)?;
    }
    deliver_answer(vault, thread, pace.delay).await?;
    ui::say(&format!("acknowledged {id}"));
    Ok(())
}

/// Answers a submission.
///
/// # Errors
/// A failure when there is no text, or it could not be sent.
pub async fn reply(
    vault: &Vault,
    which: &str,
    file: Option<&PathBuf>,
    pace: Pace,
    now: Timestamp,
) -> Outcome<()> {
    let state = vault.state()?;
    let threads = Threads::of(&state);
    let thread = threads.find(which)?;
    let id = threads.id(thread);
    submission_of(vault, thread)?;
    let text = read_text(file.map(PathBuf::as_path))?;
    let text = Some(text.trim_end());
    put(vault, &state, thread, text, accept_risk, now)?;
    deliver_answer(vault, thread, pace.delay).await?;
    ui::say(&format!("replied to {id}"));
    ui::note(
        "it waits in the sender's return mailbox until they look in, or until it runs out there.",
    );
    Ok(())
}

/// Asks whether colleagues get a copy despite a risk. Where there is no terminal to ask on, they do not.
fn accept_risk(risk: &str) -> Outcome<bool> {
    ui::note(risk);
    match Terminal::open() {
        Ok(mut terminal) => terminal.confirm("Send colleagues a copy all the same?"),
        Err(_) => Ok(false),
    }
}

/// The text from a file, from standard input, or asked for.
fn read_text(file: Option<&Path>) -> Outcome<Zeroizing<String>> {
    let text = match file {
        Some(path) => {
            let shown = escape::line(&path.display().to_string());
            let broken = |error| home::disk(&format!("could not read {shown}"), &error);
            bounded(std::fs::File::open(path).map_err(broken)?)?
        }
        None if stdin_is_terminal() => Terminal::open()?.ask_text("Write the reply.")?,
        None => bounded(std::io::stdin())?,
    };
    if text.trim().is_empty() {
        return Err(
            Failure::new("there is no text to send").hint("valise inbox reply ID < reply.txt")
        );
    }
    if text.len() > REPLY_TEXT {
        return Err(too_long());
    }
    Ok(text)
}

fn too_long() -> Failure {
    Failure::new(format!("a reply holds at most {REPLY_TEXT} bytes of text"))
        .hint("shorten it, or send two")
}

fn bounded(source: impl Read) -> Outcome<Zeroizing<String>> {
    let mut bytes = Vec::new();
    source
        .take(REPLY_TEXT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| home::disk("could not read the reply", &error))?;
    // A text that was cut may end within a character: its length is what is wrong with it.
    if bytes.len() > REPLY_TEXT {
        return Err(too_long());
    }
    String::from_utf8(bytes)
        .map(Zeroizing::new)
        .map_err(|_| Failure::new("the reply is not UTF-8").hint("save it as plain text in UTF-8"))
}
