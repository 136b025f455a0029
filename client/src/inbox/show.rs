//! `valise inbox list` and `valise inbox show`: what is in the vault, made inert before it is shown.

use valise_protocol::card::{Device, VerifiedCard};
use valise_protocol::key::DhPublic;
use valise_protocol::message::{Answer, Content, Copied, Handling, Message, Metadata};
use valise_protocol::time::Timestamp;
use valise_protocol::words::pseudonym;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::handling;
use crate::mechanism::card;
use crate::progress::bytes;
use crate::ui;
use crate::vault::Vault;
use crate::vault::item::ItemName;
use crate::vault::state::{Role, State};

use super::files::Files;
use super::thread::{Thread, Threads};

/// How many columns the first words of a text may take.
const FIRST_WORDS: usize = 76;
/// How many attachments are shown one by one.
const SHOWN_FILES: usize = 100;

/// One short paragraph for each submission, the newest last.
///
/// # Errors
/// A failure of the vault.
pub fn list(vault: &Vault) -> Outcome<()> {
    let state = vault.state()?;
    let threads = Threads::of(&state);
    let mut damaged = 0;
    for thread in threads.iter() {
        for line in describe(vault, &threads, thread).unwrap_or_else(|lines| {
            damaged += 1;
            lines
        }) {
            ui::say_wrapped(&line);
        }
    }
    if threads.iter().next().is_none() {
        ui::say("the vault holds no submissions");
    }
    if damaged > 0 {
        ui::note(&format!(
            "{damaged} of these are damaged on this disk; the rest is whole. Restore a backup, or read them on another device."
        ));
    }
    Ok(())
}

/// The lines of a list; in the error, those of a damaged one.
pub(super) fn describe(
    vault: &Vault,
    threads: &Threads,
    thread: &Thread,
) -> Result<Vec<String>, Vec<String>> {
    let came = thread.submission.as_ref().or(thread.answers.first());
    let mut lines = vec![format!(
        "{}  {}  {}  {}",
        threads.id(thread),
        came.map_or_else(String::new, |entry| entry.pulled.to_string()),
        threads.name(&thread.sender),
        thread.state()
    )];
    let Some(submission) = &thread.submission else {
        lines.push(
            "  a colleague answered it; the submission itself is not in this vault".to_owned(),
        );
        return Ok(lines);
    };
    match content(vault, submission.name) {
        Some(content) => {
            lines.push(format!("  {}", summary(&content.handling)));
            lines.push(format!("  {}", first_words(&content.text)));
            lines.extend(standing(vault, submission.name).map(|told| format!("  {told}")));
            Ok(lines)
        }
        None => {
            lines.push("  damaged on this disk".to_owned());
            Err(lines)
        }
    }
}

/// How far the attachments of a submission have come, if it has any.
fn standing(vault: &Vault, name: ItemName) -> Option<String> {
    match Files::standing_of(vault, name) {
        Ok(standing) => standing.map(|standing| format!("attachments: {standing}")),
        Err(_) => Some("attachments: what came of them cannot be read from this disk".to_owned()),
    }
}

/// Urgency and consent in one line.
fn summary(handling: &Handling) -> String {
    let answer = |answer| match answer {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Ask => "ask",
    };
    format!(
        "{}; Government: {}; public: {}; consent: {}; language: {}",
        handling::timing_word(handling.timing),
        answer(handling.name_to_government),
        answer(handling.name_in_public),
        handling::basis_word(handling.basis),
        escape::line(&handling.language)
    )
}

/// The beginning of a text on one line of at most 78 columns.
fn first_words(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().take(FIRST_WORDS).collect();
    let inert = escape::line(&words.join(" "));
    if inert.chars().count() <= FIRST_WORDS {
        return inert;
    }
    inert.chars().take(FIRST_WORDS - 1).chain(['…']).collect()
}

/// The whole of one submission and its answers, and marks it as read.
///
/// # Errors
/// A failure when there is none of this id, or it is damaged.
pub fn show(vault: &Vault, which: &str, now: Timestamp) -> Outcome<()> {
    let state = vault.state()?;
    let threads = Threads::of(&state);
    let thread = threads.find(which)?;
    let name = threads.name(&thread.sender);
    match &thread.submission {
        Some(entry) => {
            let content = content(vault, entry.name).ok_or_else(|| {
                Failure::new("this submission is damaged on this disk")
                    .hint("restore a backup, or read it on another device")
            })?;
            let id = threads.id(thread);
            ui::say_wrapped(&format!(
                "Submission {id} from {name}, pulled {}",
                entry.pulled
            ));
            show_content(&content, &attachments(vault, entry.name));
        }
        None => ui::say("The submission itself is not in this vault."),
    }
    let held = card::held(&state, now)?;
    let answers = Answers {
        vault,
        state: &state,
        card: held.as_ref().map(|held| &held.card),
    };
    for entry in &thread.answers {
        answers.show(entry.name, entry.role);
    }
    vault.change(|change| {
        for entry in &mut change.state.items {
            entry.read |= thread.holds(entry);
        }
        Ok(())
    })
}

fn show_content(content: &Content, attachments: &[String]) {
    for line in handling::describe(&content.handling) {
        ui::say_wrapped(&line);
    }
    if let Some(note) = &content.handling.note {
        ui::say("Note on consent, in the sender's words:");
        ui::quote(note);
    }
    match content.others.as_slice() {
        [] => ui::say("Sent to no other mechanism, as far as the sender says."),
        others => {
            ui::say("Sent to these mechanisms too, as the sender says:");
            for other in others {
                ui::say(&format!("  {other}"));
            }
        }
    }
    attachments.iter().for_each(|line| ui::say(line));
    ui::say("");
    ui::quote(content.text.trim_end());
}

/// The lines on a submission's attachments: how far they have come, and each with its number, what the sender's program took it for, its
/// length, the beginning of its SHA-256, what became of its metadata, and, quoted, the name that it had.
pub(super) fn attachments(vault: &Vault, name: ItemName) -> Vec<String> {
    let mut lines: Vec<String> = standing(vault, name).into_iter().collect();
    let Ok(Some(files)) = Files::of(vault, name) else {
        return lines;
    };
    for (number, file) in files.numbered().take(SHOWN_FILES) {
        let hash = file.hash.as_bytes()[..4].iter();
        let hash: String = hash.map(|byte| format!("{byte:02x}")).collect();
        let line = format!(
            "  {number}: {}, {}, SHA-256 {hash}…, metadata {}",
            escape::line(&file.media_type),
            bytes(file.length),
            metadata_words(file.metadata)
        );
        lines.push(ui::wrap(&line, "     "));
        if let Some(name) = &file.name {
            lines.push(escape::quote(&escape::line(name), ui::width()));
        }
    }
    let more = files.numbered().skip(SHOWN_FILES).count();
    if more > 0 {
        lines.push(format!(
            "  and {more} more: valise inbox save lists all of them"
        ));
    }
    lines
}

/// What became of a file's metadata, as the sender's program says.
pub(super) const fn metadata_words(metadata: Metadata) -> &'static str {
    match metadata {
        Metadata::Unknown => "not looked into",
        Metadata::NoneFound => "none found",
        Metadata::Kept => "found and kept",
        Metadata::Stripped => "taken out",
    }
}

/// What answers are shown with.
struct Answers<'a> {
    vault: &'a Vault,
    state: &'a State,
    card: Option<&'a VerifiedCard>,
}

impl Answers<'_> {
    fn show(&self, name: ItemName, role: Role) {
        ui::say("");
        let Some((copy, writer)) = self.copy(name) else {
            ui::say("An answer is damaged on this disk.");
            return;
        };
        let who = self.device(&writer);
        let what = match role {
            Role::Acknowledgement => "Acknowledged",
            _ => "Answered",
        };
        let waits = self
            .state
            .outbox
            .iter()
            .any(|outgoing| outgoing.answers(&copy.regards, &copy.send) && !outgoing.to_inbox);
        let own = writer == self.state.device.keys().identity.public();
        let still = if waits && own { " (not sent yet)" } else { "" };
        ui::say_wrapped(&format!("{what} by {who} on {}{still}", copy.written));
        if let Some(text) = &copy.text {
            ui::quote(text.trim_end());
        }
    }

    fn copy(&self, name: ItemName) -> Option<(Copied, DhPublic)> {
        let item = self.vault.item(name).ok()?;
        match Message::decode(item.message()) {
            Ok(Message::Copy(copy)) => Some((copy, item.writer)),
            _ => None,
        }
    }

    fn device(&self, writer: &DhPublic) -> String {
        if *writer == self.state.device.keys().identity.public() {
            return "this device".to_owned();
        }
        let listed = |device: &&Device| device.identity == *writer;
        let on_roster = self
            .card
            .is_some_and(|card| card.roster().devices().iter().any(|d| listed(&d)));
        let removed = if on_roster { "" } else { " (since removed)" };
        format!("device {}{removed}", pseudonym(writer, 3))
    }
}

/// What a submission says; `None` where its file is damaged.
fn content(vault: &Vault, name: ItemName) -> Option<Content> {
    let item = vault.item(name).ok()?;
    match Message::decode(item.message()) {
        Ok(Message::Submission(submission)) => submission.content().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_fit_a_line_and_are_inert() {
        let long = "word ".repeat(5_000);
        assert!(first_words(&long).chars().count() <= FIRST_WORDS);
        assert!(first_words(&"\u{1b}".repeat(500)).chars().count() <= FIRST_WORDS);
        assert_eq!(first_words("a\n\u{202e}b\tc"), "a \\u{202e}b c");
        assert_eq!(first_words(&"x".repeat(76)), "x".repeat(76));
    }
}
