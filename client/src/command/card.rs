//! `valise card show`: what a card says.

use std::path::PathBuf;

use valise_protocol::card::VerifiedCard;
use valise_protocol::time::Timestamp;
use valise_protocol::words::comparison_words;

use crate::addressee::read_card;
use crate::escape;
use crate::failure::Outcome;
use crate::ui::{quote, say, say_wrapped};

/// Looks at cards.
#[derive(Debug, clap::Subcommand)]
pub enum CardCommand {
    /// Say what a card says: whose it calls itself, its address, its words, who can read, until when it holds.
    Show {
        /// The card's file.
        card: PathBuf,
    },
}

/// Runs it.
///
/// # Errors
/// A failure when the card cannot be read or is refused.
pub fn run(command: CardCommand, now: Timestamp) -> Outcome<()> {
    let CardCommand::Show { card } = command;
    show(&read_card(&card, now)?, now);
    Ok(())
}

/// Prints a card.
pub fn show(card: &VerifiedCard, now: Timestamp) {
    say_wrapped(&format!("This card calls itself {}.", name(card)));
    say_wrapped("Nobody vouches for it. Compare the words with the mechanism's own website:");
    say(&format!(
        "  {}",
        comparison_words(card.address().as_bytes())
    ));
    say(&format!("Address: {}", card.address()));
    let (fresh, devices) = card.freshness(now);
    say_wrapped(&format!(
        "Devices that can read a submission today: {fresh} of {devices}."
    ));
    say_wrapped(&format!(
        "It holds until {} (roster {}, issued {}).",
        card.not_after(),
        card.epoch(),
        card.issued()
    ));
    for relay in card.relay_descriptors() {
        let (shortest, longest) = relay.retention_days();
        say_wrapped(&format!(
            "Relay: {}:{}, run by {}, under the law of {}; keeps unread mail {shortest} to {longest} days.",
            escape::line(relay.host()),
            relay.port(),
            or_unsaid(relay.operator(), "nobody named"),
            or_unsaid(relay.jurisdiction(), "no place named"),
        ));
    }
    let profile = card.profile();
    if !profile.languages.is_empty() {
        say_wrapped(&format!(
            "Languages it reads: {}.",
            escape::line(&profile.languages.join(", "))
        ));
    }
    if !profile.required.is_empty() {
        say_wrapped(&format!(
            "It asks for: {}.",
            escape::line(&profile.required.join(", "))
        ));
    }
    let pseudonym = if profile.pseudonym_accepted {
        "accepts"
    } else {
        "does not accept"
    };
    say_wrapped(&format!(
        "It {pseudonym} submissions whose source gives no name."
    ));
    if let Some(retention) = &profile.retention {
        say("It says of how long it keeps submissions:");
        quote(retention);
    }
}

/// The name that a card gives itself, in quotation marks, inert.
pub fn name(card: &VerifiedCard) -> String {
    let names = card.profile().names.iter();
    let mut shown: Vec<String> = names
        .map(|(_, name)| format!("\"{}\"", escape::line(name)))
        .collect();
    shown.dedup();
    shown.join(" / ")
}

fn or_unsaid(text: &str, unsaid: &str) -> String {
    if text.is_empty() {
        unsaid.to_owned()
    } else {
        escape::line(text)
    }
}
