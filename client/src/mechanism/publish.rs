//! Making rosters, keeping them, and bringing them to the relays.

use std::path::{Path, PathBuf};

use valise_protocol::card::{
    Card, CardError, Device, Root as ChainedRoot, Roster, SignedRoster, VerifiedCard,
};
use valise_protocol::contact::RelayContact;
use valise_protocol::descriptor::SignedDescriptor;
use valise_protocol::time::Timestamp;

use crate::dial::Connection;
use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::ui;
use crate::vault::Vault;
use crate::vault::passphrase;
use crate::vault::state::State;

use super::card;
use super::exchange::{exchange, relays, sources};
use super::record;
use super::root::{self, Consent, Root};

/// Where the root key is, and how its passphrase comes.
#[derive(clap::Args, Clone, Debug)]
pub struct RootArgs {
    /// File of the root key, on its medium
    #[arg(long, value_name = "FILE")]
    pub root: PathBuf,
    /// Read the root key's passphrase from this open file descriptor
    #[arg(long, value_name = "N")]
    pub root_passphrase_fd: Option<u32>,
    /// For programs: the devices that are signed for are the right ones
    #[arg(long)]
    pub yes_these_devices: bool,
}

impl RootArgs {
    /// Takes in the roster that lies beside the root key, where it is newer than the one held: a relay may withhold it.
    ///
    /// # Errors
    /// A failure when what lies there does not hold.
    pub fn learn(&self, vault: &Vault, now: Timestamp) -> Outcome<()> {
        let state = vault.state()?;
        let Some((proof, roster)) = record::read(&self.root, state.address)? else {
            return Ok(());
        };
        let known = card::held(&state, now)?.map_or(0, |held| held.card.epoch());
        if roster.epoch() <= known {
            return Ok(());
        }
        let adopted = vault.change(|change| {
            // What was signed last counts though it ran out: the next one follows it. What cannot be taken in is told when the key is opened.
            let at = now.min(roster.not_after().minus(1));
            Ok(card::adopt_roster(&mut change.state, &proof, at).is_ok())
        })?;
        if adopted {
            ui::note(&format!(
                "this device knew roster {known} only; roster {} of {} was taken in from beside the root key.",
                roster.epoch(),
                roster.issued()
            ));
        }
        Ok(())
    }

    /// The root key, which signs what follows this card.
    ///
    /// # Errors
    /// Those of [`root::read`], [`root::check_signs`] and [`Root::check_signed_nothing_newer`].
    pub fn open(&self, card: &VerifiedCard) -> Outcome<Root> {
        let passphrase = passphrase::existing(self.root_passphrase_fd, "the root key")?;
        let key = root::read(&self.root, &passphrase)?;
        root::check_signs(&key, card)?;
        let consent = if self.yes_these_devices {
            Consent::Given
        } else {
            Consent::Asked
        };
        let missing = record::path(&self.root);
        if !missing.exists() {
            ui::note(&format!(
                "there is no {}, which would say what this root key signed last: if another copy of the key has one, use \
                 that copy. It is begun anew.",
                escape::line(&missing.display().to_string())
            ));
        }
        let root = Root::new(key, self.root.clone(), consent);
        root.check_signed_nothing_newer(card)?;
        Ok(root)
    }
}

/// The signed descriptor of a relay, as it is now.
///
/// # Errors
/// A failure when it is not reached.
pub async fn descriptor(relay: &RelayContact, now: Timestamp) -> Outcome<Vec<u8>> {
    let connection = Connection::dial(relay, now).await?;
    let bytes = connection.signed_descriptor().to_vec();
    connection.close().await;
    Ok(bytes)
}

/// Keeps a new roster in the vault, with the prekeys of those of its devices that have one.
///
/// # Errors
/// A failure when the card that it makes would be refused.
pub fn keep_roster(
    vault: &Vault,
    signed: &SignedRoster,
    root: &Root,
    now: Timestamp,
) -> Outcome<()> {
    let held = card::needed(&vault.state()?, now)?;
    keep_card(vault, held.card.card().roots(), signed, root, now)
}

/// Keeps a new roster and the root keys that lead to the one that signed it.
///
/// # Errors
/// As [`keep_roster`].
pub fn keep_card(
    vault: &Vault,
    roots: &[ChainedRoot],
    signed: &SignedRoster,
    root: &Root,
    now: Timestamp,
) -> Outcome<()> {
    vault.change(|change| {
        let held = card::needed(&change.state, now)?;
        let roster = signed
            .verify(&root.key().verifying_key(), change.state.address)
            .map_err(would_be_refused)?;
        let statements = held.card.card().statements().iter().filter(|signed| {
            signed
                .verify()
                .is_ok_and(|statement| roster.has_signing_key(statement.signing_key()))
        });
        let statements = statements.cloned().collect();
        let card = Card::new(roots.to_vec(), signed.clone(), statements);
        let known = change.state.known.as_ref();
        let card = card
            .verify(change.state.address, known, now)
            .map_err(would_be_refused)?;
        card::keep(&mut change.state, &card);
        Ok(())
    })
}

/// Signs the roster that follows the one held, with these devices.
///
/// # Errors
/// A failure when they are too many or repeat keys.
pub fn next_roster(
    card: &VerifiedCard,
    devices: Vec<Device>,
    root: &Root,
    now: Timestamp,
) -> Outcome<SignedRoster> {
    let roster = card
        .roster()
        .succeeded_by(devices, now)
        .map_err(would_be_refused)?;
    root.sign(&roster, card)
}

/// Signs the next roster with the same devices, new dates, and the relays as they describe themselves now.
///
/// # Errors
/// A failure when the roster does not fit.
pub async fn renewed_roster(
    state: &State,
    card: &VerifiedCard,
    root: &Root,
    now: Timestamp,
) -> Outcome<SignedRoster> {
    let old = card.roster();
    let with_inbox = described(relays(state)?, old.relays().collect(), now).await;
    let reading: Vec<_> = card.reading_relays().collect();
    let reading = described(reading, old.reading_relays().collect(), now).await;
    roster_with_relays(card, with_inbox, reading, root, now)
}

/// The signed descriptor of each relay as it is now, or else as it stands on the last roster.
async fn described(relays: Vec<RelayContact>, old: Vec<&[u8]>, now: Timestamp) -> Vec<Vec<u8>> {
    let mut descriptors = Vec::new();
    for relay in relays {
        match descriptor(&relay, now).await {
            Ok(bytes) => descriptors.push(bytes),
            Err(failure) => {
                ui::note(&format!(
                    "a relay keeps the description of the last roster: {}",
                    failure.what()
                ));
                descriptors.extend(old_descriptor(&old, &relay));
            }
        }
    }
    descriptors
}

/// Signs the next roster with the same devices and these relays, with an inbox and for reading, each as its signed descriptor.
///
/// # Errors
/// A failure when the roster does not fit.
pub fn roster_with_relays(
    card: &VerifiedCard,
    descriptors: Vec<Vec<u8>>,
    reading: Vec<Vec<u8>>,
    root: &Root,
    now: Timestamp,
) -> Outcome<SignedRoster> {
    let old = card.roster();
    let devices = old.devices().to_vec();
    let roster = Roster::new(
        old.address(),
        old.epoch() + 1,
        devices,
        descriptors,
        old.profile().clone(),
        now,
    );
    let roster = roster.and_then(|roster| roster.reading_at(reading));
    root.sign(&roster.map_err(would_be_refused)?, card)
}

fn old_descriptor(old: &[&[u8]], relay: &RelayContact) -> Option<Vec<u8>> {
    let is_its = |signed: &&&[u8]| {
        let descriptor = SignedDescriptor::decode(signed).ok();
        descriptor
            .and_then(|descriptor| descriptor.verify_undated().ok())
            .is_some_and(|descriptor| descriptor.id() == relay.id())
    };
    old.iter().find(is_its).map(|signed| signed.to_vec())
}

/// How many relays took a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Those that took it, or had it.
    pub took: usize,
    /// All that should.
    pub all: usize,
}

/// Brings card and prekey to every relay, those for reading too: a device that left the roster must not go on reading there. A relay that is not reached is told, and does not stop the others.
///
/// # Errors
/// The last failure, when no relay took it.
pub async fn publish(vault: &Vault, now: Timestamp) -> Outcome<Reached> {
    publish_to(vault, &sources(&vault.state()?, now)?, now).await
}

async fn publish_to(vault: &Vault, relays: &[RelayContact], now: Timestamp) -> Outcome<Reached> {
    let all = relays.len();
    let (mut took, mut failures) = (0, Vec::new());
    for relay in relays {
        match publish_at(vault, relay, now).await {
            Ok(()) => took += 1,
            Err(failure) if all > 1 => failures.push(failure.at(relay.host())),
            Err(failure) => failures.push(failure),
        }
    }
    let last = if took == 0 { failures.pop() } else { None };
    failures.iter().for_each(ui::error);
    match last {
        Some(failure) => Err(failure),
        None if took == 0 => Err(Failure::new("the contact line names no relay")),
        None => Ok(Reached { took, all }),
    }
}

async fn publish_at(vault: &Vault, relay: &RelayContact, now: Timestamp) -> Outcome<()> {
    let exchange = exchange(vault, relay, now).await?;
    exchange.link.finish();
    exchange.connection.close().await;
    exchange.published
}

/// Takes in the newest card, if a relay is reached: a roster made from an old one would be refused.
pub async fn refresh(vault: &Vault, now: Timestamp) {
    if let Err(failure) = publish(vault, now).await {
        ui::note(&format!(
            "going on with the card in the vault: {}",
            failure.what()
        ));
    }
}

/// Tries to publish what was changed; what was changed stays in any case.
pub async fn try_publish(vault: &Vault, now: Timestamp) -> bool {
    tell(publish(vault, now).await)
}

/// The same, to these relays.
pub async fn try_publish_to(vault: &Vault, relays: &[RelayContact], now: Timestamp) -> bool {
    tell(publish_to(vault, relays, now).await)
}

fn tell(published: Outcome<Reached>) -> bool {
    match published {
        Ok(_) => true,
        Err(failure) => {
            ui::error(&failure.hint(
                "what was changed is in the vault; bring it to the relay with: valise mechanism publish",
            ));
            false
        }
    }
}

/// Writes the card held to a file, for people to hand out.
///
/// # Errors
/// A failure when the disk refuses.
pub fn write_card(card: &VerifiedCard, path: &Path) -> Outcome<()> {
    std::fs::write(path, card.card().encode()).map_err(|error| {
        let shown = escape::line(&path.display().to_string());
        home::disk(&format!("could not write {shown}"), &error)
    })
}

/// A roster or card of our own that everybody would refuse.
pub fn would_be_refused(error: CardError) -> Failure {
    Failure::new(format!(
        "the mechanism's new card would be refused: {error}"
    ))
    .hint("check this computer's date, the lengths of names, and that there are at most 8 devices")
}
