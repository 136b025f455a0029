//! The mechanism's own card as a device holds it, and what its people must be told in time.

use minicbor::bytes::ByteVec;
use valise_protocol::card::{
    Card, CardError, Device, Proof, Roster, SignedStatement, VerifiedCard, merge,
};
use valise_protocol::contact::{Contact, RelayContact, Way};
use valise_protocol::descriptor::SignedDescriptor;
use valise_protocol::limits::{DAY, PREKEY_FRESH, RETENTION_COUNTED, ROSTER_REMINDER};
use valise_protocol::time::Timestamp;
use valise_protocol::words::pseudonym;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::vault::state::State;

use super::prekeys::AFTER_RETENTION;

/// How long before too few devices are fresh the person is told, in seconds.
const FRESHNESS_REMINDER: u64 = 5 * DAY;

/// The card in a vault's state: valid, or one that has run out.
#[derive(Debug)]
pub struct Held {
    /// The card.
    pub card: VerifiedCard,
    /// Whether its roster has run out: nobody sends to it until it is renewed.
    pub expired: bool,
}

/// The card that a vault holds; `None` on a device that has not heard of one.
///
/// # Errors
/// A failure when it does not verify for another reason than its age.
pub fn held(state: &State, now: Timestamp) -> Outcome<Option<Held>> {
    let Some(bytes) = &state.card else {
        return Ok(None);
    };
    let verify = |at| Card::decode(bytes)?.verify(state.address, None, at);
    let (card, expired) = match verify(now) {
        Ok(card) => (card, false),
        Err(CardError::Expired { since }) => (verify(since.minus(1)).map_err(unusable)?, true),
        Err(error) => return Err(unusable(error)),
    };
    Ok(Some(Held { card, expired }))
}

/// The card that a vault holds.
///
/// # Errors
/// A failure when there is none.
pub fn needed(state: &State, now: Timestamp) -> Outcome<Held> {
    held(state, now)?.ok_or_else(not_enrolled)
}

/// What a device is told that has not been put on a roster yet.
pub fn not_enrolled() -> Failure {
    Failure::new("this device has no card of its mechanism yet")
        .hint("have it added beside the root key: valise mechanism device add FILE --root FILE")
        .hint("then fetch the card: valise inbox pull")
}

fn unusable(error: CardError) -> Failure {
    match error {
        CardError::NotYetValid { .. } => {
            Failure::new(format!("the mechanism's card cannot be used: {error}"))
                .hint("check this computer's date and time")
        }
        _ => Failure::new(format!("the card in the vault cannot be used: {error}")),
    }
}

/// Takes a card from outside into the state, beside the one held: the highest roster and the newest prekeys stay.
///
/// # Errors
/// [`CardError`]; the state is then as it was.
pub fn adopt(state: &mut State, card: Card, now: Timestamp) -> Result<(), CardError> {
    card.clone()
        .verify(state.address, state.known.as_ref(), now)?;
    let before = held(state, now).ok().flatten();
    let merged = merge(
        state.address,
        before.as_ref().map(|held| &held.card),
        card,
        now,
    )?;
    keep(state, &merged);
    Ok(())
}

/// Takes a roster into the state that came without prekeys: by a colleague's copy, or from beside the root key. Those known of its devices
/// stay.
///
/// # Errors
/// [`CardError`]; the state is then as it was.
pub fn adopt_roster(state: &mut State, proof: &Proof, now: Timestamp) -> Result<(), CardError> {
    let roster = proof
        .verify(state.address)
        .map_err(|_| CardError::BadSignature)?;
    let held = held(state, now).ok().flatten();
    let known = held.iter().flat_map(|held| held.card.card().statements());
    let statements = known.filter(|signed| {
        let statement = signed.verify();
        statement.is_ok_and(|statement| roster.has_signing_key(statement.signing_key()))
    });
    let card = proof.clone().into_card(statements.cloned().collect());
    let card = card.verify(state.address, state.known.as_ref(), now)?;
    keep(state, &card);
    Ok(())
}

/// Puts a card into the state.
pub fn keep(state: &mut State, card: &VerifiedCard) {
    state.known = Some(card.known());
    state.card = Some(ByteVec::from(card.card().encode()));
    if let Some(contact) = contact_of(card, &state.contact) {
        state.contact = contact.to_string();
    }
    if let Some(longest) = card
        .relay_descriptors()
        .map(|relay| relay.retention_days().1)
        .max()
    {
        state.retention_days = longest.min(RETENTION_COUNTED);
    }
}

/// The contact line that follows from a roster: its relays in its order, each by the way that the line before gave, or as it describes
/// itself. `None` where the roster names no relay that can be made out.
fn contact_of(card: &VerifiedCard, before: &str) -> Option<Contact> {
    let before = before.parse::<Contact>().ok();
    let known = |relay: &RelayContact| {
        let mut ways = before.as_ref()?.ways().iter();
        ways.find(|way| way.relay.id() == relay.id()).cloned()
    };
    let way = |relay: RelayContact| {
        known(&relay).unwrap_or(Way {
            relay,
            ingress: None,
        })
    };
    Contact::new(card.address(), card.relays().map(way).collect())
}

/// How long each relay of a roster says that it keeps unread mail, a sentence each.
pub fn retention(roster: &Roster) -> Vec<String> {
    let relays = roster
        .relays()
        .filter_map(|bytes| SignedDescriptor::decode(bytes).ok()?.verify_undated().ok());
    let told = relays.map(|relay| {
        let (shortest, longest) = relay.retention_days();
        let host = escape::line(relay.contact().host());
        let mut told = format!("{host} keeps unread mail for {shortest} to {longest} days");
        if longest > RETENTION_COUNTED {
            let last = RETENTION_COUNTED + AFTER_RETENTION / DAY;
            told.push_str(&format!(
                "; devices delete the keys that open it {last} days after they stopped being fresh, so that what waits longer may not open"
            ));
        }
        told
    });
    told.collect()
}

/// The relays of a roster that are for reading, a sentence each.
pub fn reading(roster: &Roster) -> Vec<String> {
    let relays = roster
        .reading_relays()
        .filter_map(|bytes| SignedDescriptor::decode(bytes).ok()?.verify_undated().ok());
    let told = relays.map(|relay| {
        let host = escape::line(relay.contact().host());
        format!("files are read at {host} too, which holds no inbox for it")
    });
    told.collect()
}

/// The card to publish: the one held, with this device's newest prekey.
pub fn with_own_prekey(state: &State, held: &VerifiedCard) -> Card {
    let keys = state.device.keys();
    let own = keys.signing.verifying_key();
    let others = held.card().statements().iter().filter(|signed| {
        signed
            .verify()
            .is_ok_and(|statement| *statement.signing_key() != own)
    });
    let mut statements: Vec<SignedStatement> = others.cloned().collect();
    if let Some(prekey) = state.prekeys.last() {
        let public = prekey.secret().public();
        statements.push(SignedStatement::sign(
            state.address,
            &keys,
            prekey.epoch,
            public,
            prekey.issued,
        ));
    }
    let card = held.card();
    Card::new(card.roots().to_vec(), card.signed_roster(), statements)
}

/// Whether this device is on the roster.
pub fn lists(card: &VerifiedCard, state: &State) -> bool {
    card.has_link_key(&state.device.keys().link.public())
}

/// The short stable name of a device, among the few of a mechanism.
pub fn device_name(device: &Device) -> String {
    pseudonym(&device.identity, 3)
}

/// What a device can do today.
pub fn device_status(card: &VerifiedCard, device: &Device, now: Timestamp) -> String {
    match card.statement(&device.signing) {
        None => "has made no prekey yet: it opens nothing until it pulls".to_owned(),
        Some(statement) => {
            let until = statement.issued().plus(PREKEY_FRESH);
            if until > now {
                format!("can read what comes until {until}")
            } else {
                format!("not fresh since {until}: it must pull before it can read what comes")
            }
        }
    }
}

/// What its people must do soon, each a sentence.
pub fn warnings(held: &Held, now: Timestamp) -> Vec<String> {
    let (card, mut warnings) = (&held.card, Vec::new());
    let renew = "whoever holds the root key renews it: valise mechanism renew --root FILE";
    if held.expired {
        warnings.push(format!(
            "the roster ran out on {}: nobody can send until {renew}",
            card.not_after()
        ));
    } else if card.not_after().since(now) <= ROSTER_REMINDER {
        let days = card.not_after().since(now) / DAY;
        warnings.push(format!(
            "the roster runs out on {}, in {days} days: {renew}",
            card.not_after()
        ));
    }
    let devices = card.roster().devices().len();
    let enough = |fresh: usize| fresh * 2 > devices;
    let (fresh, _) = card.freshness(now);
    let (soon, _) = card.freshness(now.plus(FRESHNESS_REMINDER));
    if !enough(fresh) {
        warnings.push(format!(
            "only {fresh} of {devices} devices are fresh: senders are warned not to send. \
             The others must run valise inbox pull, or be removed"
        ));
    } else if !enough(soon) {
        warnings.push(format!(
            "in {} days only {soon} of {devices} devices will be fresh, too few for senders: \
             the others must run valise inbox pull before then",
            FRESHNESS_REMINDER / DAY
        ));
    }
    warnings
}
