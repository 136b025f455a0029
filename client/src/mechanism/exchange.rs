//! Between a device and one of its mechanism's relays: the newest card one way, this device's prekey the other.

use valise_protocol::card::{Card, CardError, VerifiedCard};
use valise_protocol::contact::{Contact, RelayContact};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Refusal, Request};

use crate::dial::Connection;
use crate::failure::{Failure, Outcome};
use crate::link::{LinkFault, OpenLink};
use crate::random;
use crate::ui;
use crate::vault::Vault;
use crate::vault::state::State;

use super::card::{self, Held};
use super::prekeys;

/// A connection under the device's link key, after cards were exchanged.
pub struct Exchange {
    /// To be closed by whoever is done with it.
    pub connection: Connection,
    /// The link, for further requests.
    pub link: OpenLink,
    /// Whether the relay took what it lacked; mail can be read in any case.
    pub published: Outcome<()>,
}

/// The relays of the mechanism, as its contact line names them.
///
/// # Errors
/// A failure when the vault holds no contact line.
pub fn relays(state: &State) -> Outcome<Vec<RelayContact>> {
    let contact: Contact = state.contact.parse().map_err(|error| {
        Failure::new(format!("the contact line in the vault is wrong: {error}"))
    })?;
    Ok(contact.ways().iter().map(|way| way.relay.clone()).collect())
}

/// The relays from which this device may get parcels: those of the mechanism, then those that its card names for reading (spec §9.4),
/// each once. A device exchanges cards with one before it gets anything there, so that the relay knows it.
///
/// # Errors
/// As [`relays`], and a failure when the card in the vault does not verify.
pub fn sources(state: &State, now: Timestamp) -> Outcome<Vec<RelayContact>> {
    let mut sources = relays(state)?;
    for relay in reading_relays(state, now)? {
        if sources.iter().all(|source| source.id() != relay.id()) {
            sources.push(relay);
        }
    }
    Ok(sources)
}

/// The relays that the card held names for reading.
///
/// # Errors
/// A failure when it does not verify.
pub fn reading_relays(state: &State, now: Timestamp) -> Outcome<Vec<RelayContact>> {
    let held = card::held(state, now)?;
    Ok(held.map_or_else(Vec::new, |held| held.card.reading_relays().collect()))
}

/// What a relay is to the mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It holds the inbox, and senders get the card from it.
    Inbox,
    /// It is named for reading: no sender asks it for the card.
    Reading,
}

impl Role {
    fn of(state: &State, relay: &RelayContact, now: Timestamp) -> Outcome<Self> {
        let mut reading = reading_relays(state, now)?.into_iter();
        Ok(match reading.any(|it| it.id() == relay.id()) {
            true => Self::Reading,
            false => Self::Inbox,
        })
    }
}

/// The way through an ingress is for a later version: whoever counts on it is told (spec §2.2).
pub fn tell_directness(state: &State, relay: &RelayContact) {
    let contact: Result<Contact, _> = state.contact.parse();
    let asked = contact.is_ok_and(|contact| {
        let mut ways = contact.ways().iter();
        ways.any(|way| way.relay == *relay && way.ingress.is_some())
    });
    if asked {
        ui::note(
            "the contact line names a way through another relay; this version dials directly, so that the relay sees \
             this computer's network address.",
        );
    }
}

/// Connects, takes in the newest card, makes a new prekey if one is due, and publishes what the relay does not have yet.
///
/// # Errors
/// A failure when the relay is not reached or refuses.
pub async fn exchange(vault: &Vault, relay: &RelayContact, now: Timestamp) -> Outcome<Exchange> {
    tell_directness(&vault.state()?, relay);
    let connection = Connection::dial(relay, now).await?;
    match over(&connection, vault, relay, now).await {
        Ok((link, published)) => Ok(Exchange {
            connection,
            link,
            published,
        }),
        Err(failure) => {
            // A connection that just goes away is held by the relay until it has been idle for too long.
            connection.close().await;
            Err(failure)
        }
    }
}

/// The exchange over a connection: the link for more, and whether the relay took what it lacked.
async fn over(
    connection: &Connection,
    vault: &Vault,
    relay: &RelayContact,
    now: Timestamp,
) -> Outcome<(OpenLink, Outcome<()>)> {
    let state = vault.state()?;
    let (keys, role) = (state.device.keys(), Role::of(&state, relay, now)?);
    let mut link = connection.link(&keys.link).await?;
    let theirs = newest_card(&mut link, vault, role, now).await?;
    renew_prekey(vault, now)?;
    let state = vault.state()?;
    // What it hands out it has, whatever it answered when that was published.
    let mut has = theirs.as_ref().is_some_and(|card| has_newest(card, &state));
    let mut published = Ok(());
    if let Some(held) = card::held(&state, now)?
        && is_news(&state, &held, theirs.as_ref())
    {
        published = publish(&mut link, &held.card, &state, role).await;
        has |= published.is_ok();
    }
    // Where no sender asks, a prekey is not published: the one before it must still be there (spec §5.4). The card that was just
    // taken in may say of this relay what it did not say before.
    if has && Role::of(&state, relay, now)? == Role::Inbox {
        mark_published(vault)?;
    }
    Ok((link, published))
}

/// Makes a new prekey if this device is on a roster that holds, and one is due.
fn renew_prekey(vault: &Vault, now: Timestamp) -> Outcome<()> {
    vault.change(|change| {
        let Some(held) = card::held(&change.state, now)? else {
            return Ok(());
        };
        if held.expired || !card::lists(&held.card, &change.state) {
            return Ok(());
        }
        let epoch = held.card.epoch();
        prekeys::renew(&mut change.state, epoch, now, &mut random::system());
        let own = card::with_own_prekey(&change.state, &held.card);
        if let Ok(own) = own.verify(change.state.address, None, now) {
            card::keep(&mut change.state, &own);
        }
        Ok(())
    })
}

/// Asks for the newest card and takes it in. One that is refused is told and left: the mail can still be read.
async fn newest_card(
    link: &mut OpenLink,
    vault: &Vault,
    role: Role,
    now: Timestamp,
) -> Outcome<Option<VerifiedCard>> {
    let address = vault.state()?.address;
    let bytes = match link.request(&Request::Card { address }).await {
        Ok(Answer::Card(bytes)) => bytes,
        Err(LinkFault::Refused(Refusal::NoCard)) => return Ok(None),
        Ok(_) => return Err(LinkFault::Nonsense.into()),
        Err(fault) => return Err(refused(fault, &address.to_string(), role)),
    };
    vault.change(|change| {
        let taken = Card::decode(&bytes).and_then(|card| card::adopt(&mut change.state, card, now));
        // An older one is what the relay gives until a new roster is published there.
        if let Err(error) = taken
            && !matches!(error, CardError::RolledBack { .. })
        {
            ui::note(&format!(
                "the card that the relay holds was not taken in: {error}"
            ));
        }
        Ok(())
    })?;
    let known = Card::decode(&bytes).and_then(|card| card.verify(address, None, now));
    Ok(known.ok())
}

/// Whether the relay lacks something that this device may publish.
fn is_news(state: &State, held: &Held, theirs: Option<&VerifiedCard>) -> bool {
    if held.expired || !card::lists(&held.card, state) {
        return false;
    }
    let own = state.device.keys().signing.verifying_key();
    let newest = |card: &VerifiedCard| {
        card.statement(&own)
            .map(|statement| statement.prekey().hash())
    };
    theirs.is_none_or(|theirs| {
        theirs.epoch() < held.card.epoch() || newest(theirs) != newest(&held.card)
    })
}

/// Whether a card carries this device's newest prekey.
fn has_newest(card: &VerifiedCard, state: &State) -> bool {
    let own = state.device.keys().signing.verifying_key();
    let (theirs, ours) = (card.statement(&own), state.prekeys.last());
    theirs
        .zip(ours)
        .is_some_and(|(theirs, ours)| theirs.prekey().hash() == *ours.secret().hash())
}

async fn publish(
    link: &mut OpenLink,
    held: &VerifiedCard,
    state: &State,
    role: Role,
) -> Outcome<()> {
    let card = held.card().encode();
    match link.request(&Request::Publish { card }).await {
        Ok(Answer::Published) => Ok(()),
        Ok(_) => Err(LinkFault::Nonsense.into()),
        Err(fault) => Err(refused(fault, &state.address.to_string(), role)),
    }
}

fn mark_published(vault: &Vault) -> Outcome<()> {
    let newest = vault.state()?.prekeys.last().map(|prekey| prekey.issued);
    vault.change(|change| {
        for prekey in &mut change.state.prekeys {
            prekey.published |= Some(prekey.issued) == newest;
        }
        Ok(())
    })
}

/// A refusal, with what a mechanism's people do about it.
fn refused(fault: LinkFault, address: &str, role: Role) -> Failure {
    let LinkFault::Refused(Refusal::UnknownInbox) = fault else {
        return fault.into();
    };
    let (what, command) = match role {
        Role::Inbox => (
            "the relay does not serve this mechanism's inbox yet",
            "inbox allow",
        ),
        Role::Reading => (
            "the relay does not let this mechanism's devices read files yet",
            "reader allow",
        ),
    };
    Failure::new(what)
        .hint(format!(
            "ask its operator to run: valise-relay {command} {address}"
        ))
        .hint("then: valise mechanism publish")
}
