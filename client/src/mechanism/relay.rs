//! `valise mechanism relay …`: the relays that hold the mechanism's inbox, and those from which its devices read files only.
//!
//! A mechanism moves to another relay by having both for a while: devices collect from every relay of the roster and publish to
//! each, while defenders come by whichever their contact line names first.

use valise_protocol::card::{SignedRoster, VerifiedCard};
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
use super::exchange::sources;
use super::publish::{self, RootArgs, refresh, try_publish, try_publish_to};
use super::root::Root;

/// What can be done about relays.
#[derive(clap::Subcommand, Debug)]
pub enum RelayCommand {
    /// Beside the root key: have one more relay hold the inbox, or files
    Add {
        /// The relay, as its operator gives it: relay1…,host:port
        relay: String,
        /// The root key
        #[command(flatten)]
        root: RootArgs,
        /// Put it before the others: senders of this version use the first only
        #[arg(long)]
        first: bool,
        /// No inbox there: devices only read files there that were sent to
        /// several mechanisms at once
        #[arg(long, conflicts_with = "first")]
        reading: bool,
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
    /// Among those for reading, behind them.
    Reading,
}

/// The relays of a roster that can be made out, in its order.
struct All {
    /// Those that hold the inbox.
    inbox: Vec<Listed>,
    /// Those for reading.
    reading: Vec<Listed>,
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
            Self::Add {
                relay,
                root,
                first,
                reading,
            } => {
                let place = match (first, reading) {
                    (_, true) => Place::Reading,
                    (true, _) => Place::First,
                    _ => Place::Last,
                };
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
    let mut all = All::of(&held.card);
    all.check_new(relay.id())?;
    let found = dial(&relay, now).await?;
    let contact = found.descriptor.contact();
    if contact != relay {
        ui::note(&format!(
            "the relay says of itself that it is reached as {contact}, and senders will reach it so."
        ));
    }
    match place {
        Place::First => all.inbox.insert(0, found),
        Place::Last => all.inbox.push(found),
        Place::Reading => all.reading.push(found),
    }
    let root = root.open(&held.card)?;
    let signed = all.sign(&held.card, &root, now)?;
    publish::keep_roster(&vault, &signed, &root, now)?;
    if place == Place::Reading {
        ui::say(&format!("added {contact} for reading"));
        try_publish(&vault, now).await;
        return Ok(());
    }
    ui::say(&format!("added {contact}"));
    try_publish(&vault, now).await;
    tell_contact(&vault.state()?.contact);
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
    let mut all = All::of(&held.card);
    let at = all.find(which)?;
    let of_reading = at.checked_sub(all.inbox.len());
    let gone = match of_reading {
        Some(at) => all.reading.remove(at),
        None => all.inbox.remove(at),
    };
    if all.inbox.is_empty() {
        return Err(Failure::new("it is the mechanism's only relay")
            .hint("add another first: valise mechanism relay add CONTACT --root FILE"));
    }
    let contact = gone.descriptor.contact();
    let question = match of_reading {
        Some(_) => question_of_reading(&contact),
        None => question(&contact),
    };
    if !yes && !Terminal::open()?.confirm(&question)? {
        return Err(Failure::new("nothing was removed"));
    }
    let root = root.open(&held.card)?;
    let signed = all.sign(&held.card, &root, now)?;
    publish::keep_roster(&vault, &signed, &root, now)?;
    ui::say(&format!("removed {contact}"));
    // To the one that goes as well: a colleague who has been away learns there where to go on.
    try_publish_to(&vault, &sources(&state, now)?, now).await;
    if of_reading.is_some() {
        ui::note("no file is fetched from it any more. Have its operator run:");
        let address = held.card.address();
        ui::note(&format!("  valise-relay reader remove {address}"));
        return Ok(());
    }
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

fn question_of_reading(contact: &RelayContact) -> String {
    format!(
        "Files that lie at {contact} only are not fetched any more, and who sends to several mechanisms at once may have to upload \
         them once more. Remove it?"
    )
}

fn tell_contact(contact: &str) {
    ui::note("the contact line to publish on the mechanism's own website is now:");
    ui::say(contact);
}

fn list(access: &Access, now: Timestamp) -> Outcome<()> {
    let held = card::needed(&access.open()?.state()?, now)?;
    let all = All::of(&held.card);
    for (at, relay) in all.iter().enumerate() {
        let descriptor = &relay.descriptor;
        let reading = at >= all.inbox.len();
        let remark = match at {
            0 => ", the one senders use",
            _ if reading => ", for reading files only",
            _ => "",
        };
        let (shortest, longest) = descriptor.retention_days();
        ui::say(&format!("{}. {}{remark}", at + 1, descriptor.contact()));
        let who = match descriptor.operator() {
            "" => "nobody named".to_owned(),
            operator => escape::line(operator),
        };
        let keeps = match reading {
            true => String::new(),
            false => format!("; keeps unread mail {shortest} to {longest} days"),
        };
        ui::say(&ui::wrap(&format!("   run by {who}{keeps}"), "   "));
    }
    Ok(())
}

impl All {
    fn of(card: &VerifiedCard) -> Self {
        let read = |signed: &[u8]| {
            let descriptor = SignedDescriptor::decode(signed).ok()?;
            Some(Listed {
                signed: signed.to_vec(),
                descriptor: descriptor.verify_undated().ok()?,
            })
        };
        let roster = card.roster();
        Self {
            inbox: roster.relays().filter_map(read).collect(),
            reading: roster.reading_relays().filter_map(read).collect(),
        }
    }

    /// As they are numbered.
    fn iter(&self) -> impl Iterator<Item = &Listed> {
        self.inbox.iter().chain(&self.reading)
    }

    fn check_new(&self, id: RelayId) -> Outcome<()> {
        if self.iter().any(|relay| relay.descriptor.id() == id) {
            return Err(Failure::new("this relay is on the roster already")
                .hint("bring the card to it with: valise mechanism publish"));
        }
        if self.iter().count() >= RELAYS {
            return Err(
                Failure::new(format!("a mechanism has at most {RELAYS} relays"))
                    .hint("remove one first: valise mechanism relay list"),
            );
        }
        Ok(())
    }

    /// The next roster, with these.
    fn sign(self, card: &VerifiedCard, root: &Root, now: Timestamp) -> Outcome<SignedRoster> {
        let bytes = |listed: Vec<Listed>| listed.into_iter().map(|relay| relay.signed).collect();
        publish::roster_with_relays(card, bytes(self.inbox), bytes(self.reading), root, now)
    }

    /// The place of a relay, by number or id.
    fn find(&self, which: &str) -> Outcome<usize> {
        let number = which.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
        let by_number = number.filter(|at| *at < self.iter().count());
        let id = which.parse::<RelayId>().ok();
        let by_id = || {
            let mut relays = self.iter();
            relays.position(|relay| Some(relay.descriptor.id()) == id)
        };
        by_number.or_else(by_id).ok_or_else(|| {
            Failure::new(format!("there is no relay \"{}\"", escape::line(which)))
                .hint("the numbers and ids are shown by: valise mechanism relay list")
        })
    }
}
