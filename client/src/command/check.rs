//! `valise check`: the answers in a return mailbox.

use valise_protocol::card::{Known, VerifiedCard};
use valise_protocol::envelope::{OpenError, Opened, open};
use valise_protocol::id::EnvelopeDigest;
use valise_protocol::message::{Mailbox as Found, Message, Reply};
use valise_protocol::phrase::DefenderKeys;
use valise_protocol::time::Timestamp;

use crate::addressee::Addressee;
use crate::command::block_on;
use crate::command::card::name;
use crate::failure::{Failure, Outcome};
use crate::interrupt::{interrupted, until_told};
use crate::phrase;
use crate::session::{self, Errand, Poll, Result3};
use crate::ui::{Terminal, all_said, note, quote, say, say_wrapped};

/// Ask whether the mechanism has answered.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The mechanism: its contact line, or the file of its card, as when you sent.
    #[arg(long, value_name = "CONTACT")]
    to: String,
    /// For programs: read the phrase from this open descriptor.
    #[arg(long, value_name = "N")]
    phrase_fd: Option<u32>,
    /// Delete the answers from the relay once they are shown, without asking.
    #[arg(long)]
    delete: bool,
}

/// How many replies one check reads: more than a return mailbox may hold.
const MOST: usize = 64;

/// Runs it.
///
/// # Errors
/// A failure in the person's words.
pub fn run(check: Check, now: Timestamp) -> Outcome<()> {
    let to = Addressee::read(&check.to, now)?;
    to.tell();
    let phrase = phrase::ask(check.phrase_fd)?;
    note("working out the keys; this takes a moment");
    let keys = phrase.stretch().for_mechanism(&to.address);
    drop(phrase);
    block_on(collect(&check, &to, &keys, now))
}

/// One answer that opened.
struct Answered {
    reply: Reply,
    acknowledges: bool,
    signer: Signer,
}

/// What is known of the device that wrote an answer (spec §4.5).
enum Signer {
    /// It is on the mechanism's current roster.
    Current,
    /// It is on the roster that the relay shows, which too few devices have confirmed lately.
    Unconfirmed,
    /// It names a newer roster than the relay shows.
    Ahead,
    /// It was on an earlier one, issued then.
    Removed(Timestamp),
    /// The current roster could not be fetched.
    Unknown,
}

async fn collect(
    check: &Check,
    to: &Addressee,
    keys: &DefenderKeys,
    now: Timestamp,
) -> Outcome<()> {
    let mut cursor = 0;
    let mut items = 0;
    // Only what a person saw, and what no version of this program could ever open, is deleted.
    let mut deletable = Vec::new();
    let mut shown = 0;
    let mut known = to.card.as_ref().map(VerifiedCard::known);
    loop {
        let result = ask(to, keys, Vec::new(), cursor, known.clone(), now).await?;
        let card = result.card.as_ref().ok();
        if let Err(fault) = &result.card {
            note(&format!(
                "the mechanism's newest card could not be checked: {fault}"
            ));
        }
        known = card.map(VerifiedCard::known).or(known);
        let item = result.poll?;
        let Some(envelope) = item.envelope else { break };
        if item.cursor <= cursor {
            return Err(Failure::new(
                "the relay shows the same item again and again, so nothing more was asked for",
            ));
        }
        let outcome = show(envelope.as_slice(), to, keys, card, now);
        shown += usize::from(outcome == Shown::Yes);
        if outcome != Shown::NotNow {
            deletable.push(EnvelopeDigest::of(envelope.as_slice()));
        }
        cursor = item.cursor;
        items += 1;
        if item.waiting == 0 || items >= MOST {
            break;
        }
    }
    if shown == 0 {
        nothing(items);
    }
    if !all_said() {
        return Err(
            Failure::new("not all of it could be written, so nothing was deleted")
                .hint("run it again where there is room, or on the terminal itself"),
        );
    }
    if deletable.is_empty() || !wants_deletion(check)? {
        return Ok(());
    }
    ask(to, keys, deletable, u64::MAX, known, now).await?.poll?;
    say("Deleted from the relay.");
    Ok(())
}

async fn ask(
    to: &Addressee,
    keys: &DefenderKeys,
    removals: Vec<EnvelopeDigest>,
    cursor: u64,
    known: Option<Known>,
    now: Timestamp,
) -> Outcome<Result3> {
    let poll = Poll::Return {
        key: keys.mailbox_key(&to.relay.id()),
        removals,
        cursor,
    };
    let errand = Errand {
        address: to.address,
        known,
        despite_staleness: None,
        deposit: None,
        poll,
    };
    let deletes = matches!(&errand.poll, Poll::Return { removals, .. } if !removals.is_empty());
    match until_told(session::run(&to.relay, errand, now)).await {
        Some(result) => Ok(result?),
        None => Err(stopped(deletes)),
    }
}

/// What a person is told who pressed Ctrl-C, or whose system wanted an end.
fn stopped(deletes: bool) -> Failure {
    if deletes {
        interrupted().hint(
            "the answers shown may be deleted from the relay or not: the same command again shows what is left",
        )
    } else {
        interrupted()
            .hint("nothing was deleted; the same command again is safe and shows every answer")
    }
}

/// What became of one item of the mailbox.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// It was printed.
    Yes,
    /// It is not under these words' keys, or was altered: nobody can ever read it.
    Never,
    /// This program could not show it, but another version, or another day's card, might.
    NotNow,
}

/// Shows one envelope's answer.
fn show(
    envelope: &[u8],
    to: &Addressee,
    keys: &DefenderKeys,
    card: Option<&VerifiedCard>,
    now: Timestamp,
) -> Shown {
    let opened = match open(envelope, &to.address, &[&keys.reply()]) {
        Ok(opened) => opened,
        Err(error) => {
            note(&format!("one item in the mailbox was not shown: {error}"));
            return match error {
                OpenError::UnknownVersion(_) | OpenError::UnknownSuite(_) => Shown::NotNow,
                _ => Shown::Never,
            };
        }
    };
    match read(&opened, to, card, now) {
        Ok(answered) => {
            print(&answered, card);
            Shown::Yes
        }
        Err(failure) => {
            note(&format!(
                "one item in the mailbox was not shown: {}",
                failure.what()
            ));
            Shown::NotNow
        }
    }
}

fn read(
    opened: &Opened,
    to: &Addressee,
    card: Option<&VerifiedCard>,
    now: Timestamp,
) -> Outcome<Answered> {
    let not_ours = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let message = Message::decode(&opened.message).map_err(|error| not_ours(&error))?;
    message
        .check_found_in(Found::Return)
        .map_err(|error| not_ours(&error))?;
    let (reply, acknowledges) = match message {
        Message::Acknowledgement(reply) => (reply, true),
        Message::Reply(reply) => (reply, false),
        _ => return Err(Failure::new("it is of a kind that does not belong here")),
    };
    let roster = reply
        .proof
        .verify(to.address)
        .map_err(|error| not_ours(&error))?;
    if !roster.has_identity(&opened.writer) {
        return Err(Failure::new("it is not from a device of this mechanism"));
    }
    let signer = match card {
        Some(card) if roster.epoch() > card.epoch() => Signer::Ahead,
        Some(card) if !card.roster().has_identity(&opened.writer) => {
            Signer::Removed(roster.issued())
        }
        Some(card) if card.readers(now).is_ok() => Signer::Current,
        Some(_) => Signer::Unconfirmed,
        None => Signer::Unknown,
    };
    Ok(Answered {
        reply,
        acknowledges,
        signer,
    })
}

fn print(answered: &Answered, card: Option<&VerifiedCard>) {
    let who = card.map_or_else(|| "the mechanism".to_owned(), name);
    let reply = &answered.reply;
    if answered.acknowledges {
        say_wrapped(&format!(
            "{}: {who} has read submission {}.",
            reply.written, reply.regards
        ));
    } else {
        say_wrapped(&format!(
            "{}: {who} answers submission {}:",
            reply.written, reply.regards
        ));
    }
    say_wrapped(&match answered.signer {
        Signer::Current => "  Verified: from a device on its current roster.".to_owned(),
        Signer::Removed(issued) => {
            format!(
                "  NOT verified: from a device since removed; it was on the roster of {issued}."
            )
        }
        Signer::Unconfirmed => "  NOT verified: from a device on the roster that the relay shows, which too few devices have \
                                confirmed in the last 14 days. It may have been removed since."
            .to_owned(),
        Signer::Ahead => "  NOT verified: it names a newer roster than the relay shows. Somebody may be holding back the \
                          newer card: ask the mechanism by another way."
            .to_owned(),
        Signer::Unknown => "  Not verified: the current roster could not be fetched.".to_owned(),
    });
    if let Some(text) = &reply.text {
        quote(text.trim_end());
    }
    say("");
}

fn nothing(unreadable: usize) {
    if unreadable > 0 {
        say("There is no answer that these words can read.");
    } else {
        say("No answer. With a wrong phrase it would look the same.");
    }
    say(
        "What you sent is stored at the relay until somebody reads it or it runs out. An\n\
         acknowledgement would be shown here. If there is none 37 days after you sent it,\n\
         it has expired unread: send it again.",
    );
}

fn wants_deletion(check: &Check) -> Outcome<bool> {
    if check.delete {
        return Ok(true);
    }
    let Ok(mut terminal) = Terminal::open() else {
        note(
            "the answers stay at the relay until they run out; --delete removes them once they are shown",
        );
        return Ok(false);
    };
    terminal.confirm("Delete these answers from the relay now? They cannot be shown again.")
}
