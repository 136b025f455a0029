//! `valise mechanism relay …`: the relays that hold the mechanism's inbox.
//!
//! A mechanism moves to another relay by having both for a while: devices collect from every relay of the roster and publish to
//! each, while defenders come by whichever their contact line names first.

use valise_protocol::card::VerifiedCard;
use valise_protocol::contact::RelayContact;
use valise_protocol::descriptor::{Descriptor, SignedDescriptor};
use valise_protocol::id::RelayId;
use valise_protocol::limits::RELAYS;
use valise_protocol::time::Timestamp;

use crate::dial::Connection;
use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::ui::{self, Terminal};
use crate::vault::command::Access;

use super::card;
use super::exchange::relays;
use super::publish::{self, RootArgs, refresh, try_publish, try_publish_to};

/// What can be done about relays.
#[derive(clap::Subcommand, Debug)]
pub enum RelayCommand {
    /// Beside the root key: have one more relay hold the inbox
    Add {
        /// The relay, as its operator gives it: relay1…,host:port
        relay: String,
        /// The root key
        #[command(flatten)]
        root: RootArgs,
        /// Put it before the others: senders of this version use the first only
        #[arg(long)]
        first: bool,
    },
    /// Beside the root key: go from a relay
    Remove {
        /// Its number or its id, as `relay list` shows them
        relay: String,
        /// The root key
        #[command(flatten)]
        root: RootArgs,
        /// For programs: do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Show the relays, in the order in which senders see them
    List,
}

/// Where a new relay goes in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Last,
}

/// A relay of a roster: its signed descriptor as it stands there, and what that says.
struct Listed {
    signed: Vec<u8>,
    descriptor: Descriptor,
}

impl RelayCommand {
    /// Does what was asked.
    ///
    /// # Errors
    /// A failure for the person.
    pub async fn run(&self, access: &Access, now: Timestamp) -> Outcome<()> {
        match self {
            Self::Add { relay, root, first } => {
                let place = if *first { Place::First } else { Place::Last };
                add(access, relay, root, place, now).await
            }
            Self::Remove { relay, root, yes } => remove(access, relay, root, *yes, now).await,
            Self::List => list(access, now),
        }
    }
}

async fn add(
    access: &Access,
    relay: &str,
    root: &RootArgs,
    place: Place,
    now: Timestamp,
) -> Outcome<()> {
    let relay: RelayContact = relay.parse().map_err(|error| {
        Failure::new(format!("malformed relay contact: {error}"))
            .hint("its operator prints it with: valise-relay contact")
            .hint("it has the form relay1…,host:port")
    })?;
    let vault = access.open()?;
    refresh(&vault, now).await;
    root.learn(&vault, now)?;
    let held = card::needed(&vault.state()?, now)?;
    let mut listed = of(&held.card);
    check_new(&listed, relay.id())?;
    let found = dial(&relay, now).await?;
    let contact = found.descriptor.contact();
    if contact != relay {
        ui::note(&format!(
            "the relay says of itself that it is reached as {contact}, and senders will reach it so."
        ));
    }
    match place {
        Place::First => listed.insert(0, found),
        Place::Last => listed.push(found),
    }
    let root = root.open(&held.card)?;
    let signed = publish::roster_with_relays(&held.card, bytes(listed), &root, now)?;
    publish::keep_roster(&vault, &signed, &root, now)?;
    ui::say(&format!("added {contact}"));
    try_publish(&vault, now).await;
    tell_contact(&vault.state()?.contact);
    Ok(())
}

fn check_new(listed: &[Listed], id: RelayId) -> Outcome<()> {
    if listed.iter().any(|relay| relay.descriptor.id() == id) {
        return Err(Failure::new("this relay is on the roster already")
            .hint("bring the card to it with: valise mechanism publish"));
    }
    if listed.len() >= RELAYS {
        return Err(
            Failure::new(format!("a mechanism has at most {RELAYS} relays"))
                .hint("remove one first: valise mechanism relay list"),
        );
    }
    Ok(())
}

/// A relay as it describes itself now.
async fn dial(relay: &RelayContact, now: Timestamp) -> Outcome<Listed> {
    let connection = Connection::dial(relay, now).await?;
    let found = Listed {
        signed: connection.signed_descriptor().to_vec(),
        descriptor: connection.descriptor().clone(),
    };
    connection.close().await;
    Ok(found)
}

async fn remove(
    access: &Access,
    which: &str,
    root: &RootArgs,
    yes: bool,
    now: Timestamp,
) -> Outcome<()> {
    let vault = access.open()?;
    refresh(&vault, now).await;
    root.learn(&vault, now)?;
    let state = vault.state()?;
    let held = card::needed(&state, now)?;
    let mut listed = of(&held.card);
    let gone = listed.remove(find(&listed, which)?);
    if listed.is_empty() {
        return Err(Failure::new("it is the mechanism's only relay")
            .hint("add another first: valise mechanism relay add CONTACT --root FILE"));
    }
    let contact = gone.descriptor.contact();
    if !yes && !Terminal::open()?.confirm(&question(&contact))? {
        return Err(Failure::new("nothing was removed"));
    }
    let root = root.open(&held.card)?;
    let signed = publish::roster_with_relays(&held.card, bytes(listed), &root, now)?;
    publish::keep_roster(&vault, &signed, &root, now)?;
    ui::say(&format!("removed {contact}"));
    // To the one that goes as well: a colleague who has been away learns there where to go on.
    try_publish_to(&vault, &relays(&state)?, now).await;
    ui::note(
        "until its operator ends the inbox it takes submissions that nobody collects any more. When every colleague has pulled, have \
         the operator run:",
    );
    ui::note(&format!(
        "  valise-relay inbox remove {}",
        held.card.address()
    ));
    tell_contact(&vault.state()?.contact);
    Ok(())
}

fn question(contact: &RelayContact) -> String {
    format!(
        "What waits at {contact} is not collected any more, and whoever sent through it gets no more answers. Has every device \
         pulled, and have the answers been fetched? Remove it?"
    )
}

fn tell_contact(contact: &str) {
    ui::note("the contact line to publish on the mechanism's own website is now:");
    ui::say(contact);
}

fn list(access: &Access, now: Timestamp) -> Outcome<()> {
    let held = card::needed(&access.open()?.state()?, now)?;
    for (at, relay) in of(&held.card).iter().enumerate() {
        let descriptor = &relay.descriptor;
        let first = if at == 0 { ", the one senders use" } else { "" };
        let (shortest, longest) = descriptor.retention_days();
        ui::say(&format!("{}. {}{first}", at + 1, descriptor.contact()));
        ui::say(&ui::wrap(
            &format!(
                "   run by {}; keeps unread mail {shortest} to {longest} days",
                match descriptor.operator() {
                    "" => "nobody named".to_owned(),
                    operator => escape::line(operator),
                }
            ),
            "   ",
        ));
    }
    Ok(())
}

/// The relays of a card that can be made out, in its order.
fn of(card: &VerifiedCard) -> Vec<Listed> {
    let read = |signed: &[u8]| {
        let descriptor = SignedDescriptor::decode(signed).ok()?;
        Some(Listed {
            signed: signed.to_vec(),
            descriptor: descriptor.verify_undated().ok()?,
        })
    };
    card.roster().relays().filter_map(read).collect()
}

fn bytes(listed: Vec<Listed>) -> Vec<Vec<u8>> {
    listed.into_iter().map(|relay| relay.signed).collect()
}

/// The place of a relay, by number or id.
fn find(listed: &[Listed], which: &str) -> Outcome<usize> {
    let number = which.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
    let by_number = number.filter(|at| *at < listed.len());
    let id = which.parse::<RelayId>().ok();
    let by_id = || {
        let mut relays = listed.iter();
        relays.position(|relay| Some(relay.descriptor.id()) == id)
    };
    by_number.or_else(by_id).ok_or_else(|| {
        Failure::new(format!("there is no relay \"{}\"", escape::line(which)))
            .hint("the numbers and ids are shown by: valise mechanism relay list")
    })
}
