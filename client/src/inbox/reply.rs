//! `valise inbox acknowledge` and `valise inbox reply`: what goes back to the sender, and its copy for colleagues.

use std::io::Read;
use std::path::{Path, PathBuf};

use valise_protocol::card::Proof;
use valise_protocol::envelope::{SealError, seal};
use valise_protocol::limits::{ENVELOPE, REPLY_TEXT};
use valise_protocol::message::{Copied, Message, Reply, Submission, SubmissionId};
use valise_protocol::prekey::Prekey;
use valise_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::mechanism::card::{self, Held};
use crate::random;
use crate::ui::{self, Terminal, stdin_is_terminal};
use crate::vault::Vault;
use crate::vault::item::Item;
use crate::vault::state::{Entry, Outgoing, Role, State};

use super::outbox::{LONGEST_WAIT, check_relay, deliver};
use super::thread::{Thread, Threads};

/// How an answer travels.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Pace {
    /// The longest random wait before each envelope leaves; 0 sends at once, and its time then tells when you wrote
    #[arg(long, value_name = "SECONDS", default_value_t = LONGEST_WAIT)]
    pub delay: u64,
}

/// An answer to be sealed.
struct Draft {
    id: SubmissionId,
    submission: Submission,
    thread: Thread,
    text: Option<String>,
    written: Timestamp,
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
        .any(|outgoing| outgoing.submission == thread.id);
    if answered && !again && !waits {
        return Err(
            Failure::new(format!("submission {id} is acknowledged already"))
                .hint("to do it once more all the same: --again"),
        );
    }
    if !(answered && waits && !again) {
        put(vault, &state, thread, None, now)?;
    }
    deliver(vault, Some(thread.id), pace.delay).await?;
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
    put(vault, &state, thread, Some(&text), now)?;
    deliver(vault, Some(thread.id), pace.delay).await?;
    ui::say(&format!("replied to {id}"));
    ui::note(
        "it waits in the sender's return mailbox until they look in, or until it runs out there.",
    );
    Ok(())
}

/// Seals the answer and its copy, and puts both into the vault to be sent.
fn put(
    vault: &Vault,
    state: &State,
    thread: &Thread,
    text: Option<&str>,
    now: Timestamp,
) -> Outcome<()> {
    let held = card::needed(state, now)?;
    if !card::lists(&held.card, state) {
        return Err(Failure::new(
            "this device is not on the roster: nobody would believe its answer",
        )
        .hint("answer from another device"));
    }
    let draft = Draft {
        id: random_id(),
        submission: submission_of(vault, thread)?,
        thread: thread.clone(),
        text: text.map(str::to_owned),
        written: now.hour(),
    };
    let envelope = draft.to_sender(state, &held)?;
    let copy = draft.copy();
    let for_colleagues = draft.to_colleagues(state, &held, &copy, now)?;
    let writer = state.device.keys().identity.public();
    vault.change(|change| {
        let mut outgoing = draft.outgoing(change.add(envelope.as_slice())?);
        check_relay(&change.state, &outgoing)?;
        let relay = outgoing.relay;
        change.state.outbox.push(outgoing);
        if let Some(envelope) = &for_colleagues {
            outgoing = draft.outgoing(change.add(envelope.as_slice())?);
            outgoing.mailbox = change.state.address.inbox();
            outgoing.to_inbox = true;
            outgoing.relay = own_relay(&change.state)?.unwrap_or(relay);
            change.state.outbox.push(outgoing);
        }
        let name = change.add(&Item::new(writer, &copy).encode())?;
        let role = text.map_or(Role::Acknowledgement, |_| Role::Reply);
        let mut entry = Entry::new(name, role, draft.thread.id, draft.thread.sender, now);
        entry.read = true;
        change.state.items.push(entry);
        change.state.remember(&writer, &draft.id);
        Ok(())
    })
}

/// The relay on which colleagues look first.
fn own_relay(state: &State) -> Outcome<Option<valise_protocol::id::RelayId>> {
    let relays = crate::mechanism::exchange::relays(state)?;
    Ok(relays
        .first()
        .map(valise_protocol::contact::RelayContact::id))
}

fn random_id() -> SubmissionId {
    use rand_core::Rng;
    let mut bytes = [0; 16];
    random::system().fill_bytes(&mut bytes);
    SubmissionId::from_bytes(bytes)
}

/// The submission of a thread.
fn submission_of(vault: &Vault, thread: &Thread) -> Outcome<Submission> {
    let entry = thread.submission.as_ref().ok_or_else(|| {
        Failure::new(
            "the submission itself is not in this vault, so it cannot be answered from here",
        )
        .hint("answer from a device that holds it")
    })?;
    let damaged = || {
        Failure::new("this submission is damaged in the vault")
            .hint("restore a backup, or answer from another device")
    };
    let item = vault.item(entry.name).map_err(|_| damaged())?;
    match Message::decode(item.message()) {
        Ok(Message::Submission(submission)) => Ok(submission),
        _ => Err(damaged()),
    }
}

impl Draft {
    fn reply(&self, held: &Held) -> Reply {
        Reply {
            id: self.id,
            regards: self.submission.id,
            written: self.written,
            proof: Proof::of(held.card.card()),
            text: self.text.clone(),
        }
    }

    /// One real slot, to the submission's reply keys; written by this device's identity key, with the proof.
    fn to_sender(&self, state: &State, held: &Held) -> Outcome<Box<[u8; ENVELOPE]>> {
        let reply = self.reply(held);
        let message = match self.text {
            Some(_) => Message::Reply(reply),
            None => Message::Acknowledgement(reply),
        };
        let message = Zeroizing::new(message.encode());
        sealed(
            std::slice::from_ref(&self.submission.reply.prekey),
            state,
            &message,
        )
    }

    fn copy(&self) -> Zeroizing<Vec<u8>> {
        let copy = Message::Copy(Copied {
            id: self.id,
            regards: self.submission.id,
            written: self.written,
            send: self.thread.sender,
            text: self.text.clone(),
        });
        Zeroizing::new(copy.encode())
    }

    /// For the devices of the card; `None` where this is the only one.
    fn to_colleagues(
        &self,
        state: &State,
        held: &Held,
        copy: &[u8],
        now: Timestamp,
    ) -> Outcome<Option<Box<[u8; ENVELOPE]>>> {
        if held.card.roster().devices().len() < 2 {
            return Ok(None);
        }
        let fresh = held.card.readers(now);
        let readers = fresh.unwrap_or_else(|_| held.card.readers_despite_staleness(now));
        if readers.is_empty() {
            ui::note("no other device can read a copy of this today.");
            return Ok(None);
        }
        sealed(&readers, state, copy).map(Some)
    }

    fn outgoing(&self, name: crate::vault::item::ItemName) -> Outgoing {
        Outgoing {
            name,
            mailbox: self.submission.reply.mailbox,
            to_inbox: false,
            relay: self.submission.reply.relay,
            submission: self.thread.id,
        }
    }
}

fn sealed(readers: &[Prekey], state: &State, message: &[u8]) -> Outcome<Box<[u8; ENVELOPE]>> {
    let keys = state.device.keys();
    seal(
        readers,
        &state.address,
        &keys.identity,
        message,
        &mut random::system(),
    )
    .map_err(|error| match error {
        SealError::BadReaderKey => {
            Failure::new("the sender's reply keys cannot be sealed to, so this is not answered")
        }
        error => Failure::new(format!("could not seal the answer: {error}")),
    })
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
