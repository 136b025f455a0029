//! Cards: a mechanism's signed statement of its devices, prekeys and relays (spec §5).
//!
//! ```text
//! card = roots ‖ roster ‖ the last root's signature ‖ one prekey statement for each device that made one
//! ```
//!
//! The root key signs rosters and may stay offline; each device signs its own prekeys.

mod device;
mod merge;
mod profile;
mod proof;
mod roster;
mod statement;

pub use device::{Device, DeviceKeys, DeviceRequest, RequestError};
pub use merge::merge;
pub use profile::{Profile, is_language};
pub use proof::{Proof, ProofError};
pub use roster::{Roster, SignedRoster};
pub use statement::{SignedStatement, Statement};

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::cbor::{self, Malformed};
use crate::contact::RelayContact;
use crate::descriptor::Descriptor;
use crate::hash::sha256;
use crate::id::Address;
use crate::key::{BadSignature, DhPublic, Signature, SigningKey, VerifyingKey};
use crate::limits::{CARD, PREKEY_FRESH, PREKEY_STALE, ROOTS, ROSTER_LIFE, SKEW, SLOTS};
use crate::prekey::Prekey;
use crate::time::Timestamp;

/// The label of a later root's signature by the one before it.
const ROOT_LABEL: &str = "valise1/root";

/// Why a card is refused (spec §5.3).
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CardError {
    /// Rule 1.
    #[error("it is longer than {CARD} bytes")]
    TooLarge,
    /// Rule 1.
    #[error("it is not a card, or a field is over its limit")]
    Malformed,
    /// Rule 2: the roster or a statement.
    #[error("a signature in it is wrong")]
    BadSignature,
    /// Rule 2: the root keys.
    #[error("its root keys do not follow from each other, or from those already known")]
    BadChain,
    /// Rule 2.
    #[error("it is another mechanism's")]
    WrongAddress,
    /// Rule 3.
    #[error("it holds from {from} only")]
    NotYetValid {
        /// When the roster was issued.
        from: Timestamp,
    },
    /// Rule 3.
    #[error("it ran out on {since}")]
    Expired {
        /// When the roster ran out.
        since: Timestamp,
    },
    /// Rule 3.
    #[error("its dates make no sense or lie more than 90 days apart")]
    BadDates,
    /// Rule 4.
    #[error("a device that is not on its roster signed a prekey")]
    ForeignStatement,
    /// Rule 4.
    #[error("a device is in it with two prekeys")]
    RepeatedStatement,
    /// Rule 4.
    #[error("a device has seen a newer roster: somebody withholds it")]
    NewerEpochInStatement,
    /// Rule 4, for a relay: a date ahead of the clock would stay the newest for ever.
    #[error("a prekey is dated ahead of the clock")]
    StatementFromTheFuture,
    /// Rule 5.
    #[error("it is older than one already known (roster {found}, known {known})")]
    RolledBack {
        /// The epoch known.
        known: u64,
        /// The epoch of this card.
        found: u64,
    },
    /// Rule 5.
    #[error("its roster differs from the known one of the same number")]
    Conflicting,
}

impl From<Malformed> for CardError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<BadSignature> for CardError {
    fn from(_: BadSignature) -> Self {
        Self::BadSignature
    }
}

/// Rule 6: not more than half of the devices have a fresh prekey.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("only {fresh} of {devices} devices have a fresh prekey")]
pub struct TooFewFresh {
    /// How many have.
    pub fresh: usize,
    /// How many there are.
    pub devices: usize,
}

/// A root key, and for every one but the first the signature of the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Root {
    #[n(0)]
    key: VerifyingKey,
    #[n(1)]
    signature: Option<Signature>,
}

/// A card as it travels: nothing in it is believed yet but its shape.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Card {
    #[n(0)]
    roots: Vec<Root>,
    #[cbor(n(1), with = "minicbor::bytes")]
    roster: Vec<u8>,
    #[n(2)]
    signature: Signature,
    #[n(3)]
    statements: Vec<SignedStatement>,
}

/// What a reader remembers of a card, so that an older or another one is noticed (rule 5).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Known {
    #[n(0)]
    epoch: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    roster_hash: [u8; 32],
    #[n(2)]
    roots: Vec<VerifyingKey>,
}

/// A card that passed rules 1 to 5. Who holds one holds a valid one, as of the time given.
#[derive(Clone, Debug)]
pub struct VerifiedCard {
    card: Card,
    roster: Roster,
    statements: Vec<Statement>,
}

/// The chain of a mechanism with its first root key.
pub fn first_root(root: &SigningKey) -> Vec<Root> {
    vec![Root {
        key: root.verifying_key(),
        signature: None,
    }]
}

/// The chain after the root key `old`, its last, gave way to `new`; `None` where the chain is full.
pub fn next_root(mut roots: Vec<Root>, old: &SigningKey, new: &SigningKey) -> Option<Vec<Root>> {
    let key = new.verifying_key();
    roots.push(Root {
        key,
        signature: Some(old.sign(ROOT_LABEL, key.as_bytes())),
    });
    (roots.len() <= ROOTS).then_some(roots)
}

/// Checks that roots chain; gives the address and the last key.
fn check_roots(roots: &[Root]) -> Result<(Address, VerifyingKey), CardError> {
    let (first, later) = roots
        .split_first()
        .filter(|_| roots.len() <= ROOTS)
        .ok_or(CardError::BadChain)?;
    if first.signature.is_some() {
        return Err(CardError::BadChain);
    }
    let last = later.iter().try_fold(first.key, |before, root| {
        let signature = root.signature.as_ref().ok_or(CardError::BadChain)?;
        before
            .verify(ROOT_LABEL, root.key.as_bytes(), signature)
            .map_err(|_| CardError::BadChain)?;
        Ok::<_, CardError>(root.key)
    })?;
    Ok((Address::of_root(first.key.as_bytes()), last))
}

impl Root {
    /// The key.
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }
}

impl Card {
    /// A card from its parts; statements are put into the order of the roster's devices.
    pub fn new(roots: Vec<Root>, roster: SignedRoster, statements: Vec<SignedStatement>) -> Self {
        Self {
            roots,
            roster: roster.bytes,
            signature: roster.signature,
            statements,
        }
    }

    /// Reads a card's shape.
    ///
    /// # Errors
    /// [`CardError::TooLarge`], [`CardError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CardError> {
        if bytes.len() > CARD {
            return Err(CardError::TooLarge);
        }
        let card: Self = cbor::decode(bytes)?;
        let fits = (1..=ROOTS).contains(&card.roots.len()) && card.statements.len() <= SLOTS;
        if fits {
            Ok(card)
        } else {
            Err(CardError::Malformed)
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// The address that its first root key gives: whose it claims to be.
    pub fn address(&self) -> Address {
        self.roots
            .first()
            .map_or(Address::from_bytes([0; 32]), |root| {
                Address::of_root(root.key.as_bytes())
            })
    }

    /// Its root keys, as they chain.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The roster with its signature.
    pub fn signed_roster(&self) -> SignedRoster {
        SignedRoster {
            bytes: self.roster.clone(),
            signature: self.signature,
        }
    }

    /// The statements with their signatures.
    pub fn statements(&self) -> &[SignedStatement] {
        &self.statements
    }

    /// Checks rules 1 to 5 of spec §5.3 as of `now`.
    ///
    /// # Errors
    /// [`CardError`], the first rule that it breaks.
    pub fn verify(
        self,
        expected: Address,
        known: Option<&Known>,
        now: Timestamp,
    ) -> Result<VerifiedCard, CardError> {
        let (address, last_root) = check_roots(&self.roots)?;
        if address != expected {
            return Err(CardError::WrongAddress);
        }
        let roster = self.signed_roster().verify(&last_root, address)?;
        check_dates(&roster, now)?;
        let statements = check_statements(&self.statements, &roster)?;
        let verified = VerifiedCard {
            card: self,
            roster,
            statements,
        };
        if let Some(known) = known {
            known.check(&verified)?;
        }
        Ok(verified)
    }
}

/// Rule 3.
fn check_dates(roster: &Roster, now: Timestamp) -> Result<(), CardError> {
    let (issued, not_after) = (roster.issued(), roster.not_after());
    if not_after <= issued
        || not_after.since(issued) > ROSTER_LIFE
        || roster.epoch() > issued.seconds()
    {
        return Err(CardError::BadDates);
    }
    if issued > now.plus(SKEW) {
        return Err(CardError::NotYetValid { from: issued });
    }
    if not_after <= now {
        return Err(CardError::Expired { since: not_after });
    }
    Ok(())
}

/// Rule 4.
fn check_statements(
    signed: &[SignedStatement],
    roster: &Roster,
) -> Result<Vec<Statement>, CardError> {
    let mut statements: Vec<Statement> = Vec::with_capacity(signed.len());
    for signed in signed {
        let statement = signed.verify()?;
        if statement.address() != roster.address()
            || !roster.has_signing_key(statement.signing_key())
        {
            return Err(CardError::ForeignStatement);
        }
        if statement.epoch() > roster.epoch() {
            return Err(CardError::NewerEpochInStatement);
        }
        if statements
            .iter()
            .any(|other| other.signing_key() == statement.signing_key())
        {
            return Err(CardError::RepeatedStatement);
        }
        statements.push(statement);
    }
    Ok(statements)
}

impl Known {
    /// Rule 5.
    fn check(&self, card: &VerifiedCard) -> Result<(), CardError> {
        let found = card.known();
        // A card of the time before the newest root key is an old card; one that came after it is by somebody who has an old key.
        let precedes = self.roots.starts_with(&found.roots) && found.epoch < self.epoch;
        if !precedes && !found.roots.starts_with(&self.roots) {
            return Err(CardError::BadChain);
        }
        if found.epoch < self.epoch {
            return Err(CardError::RolledBack {
                known: self.epoch,
                found: found.epoch,
            });
        }
        if found.epoch == self.epoch && found.roster_hash != self.roster_hash {
            return Err(CardError::Conflicting);
        }
        Ok(())
    }
}

impl VerifiedCard {
    /// What to remember of it.
    pub fn known(&self) -> Known {
        Known {
            epoch: self.roster.epoch(),
            roster_hash: sha256(&[&self.card.roster]),
            roots: self.card.roots.iter().map(|root| root.key).collect(),
        }
    }

    /// The card as it travels.
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// Whose it is.
    pub const fn address(&self) -> Address {
        self.roster.address()
    }

    /// The roster's number.
    pub const fn epoch(&self) -> u64 {
        self.roster.epoch()
    }

    /// When the roster was issued.
    pub const fn issued(&self) -> Timestamp {
        self.roster.issued()
    }

    /// When the roster runs out.
    pub const fn not_after(&self) -> Timestamp {
        self.roster.not_after()
    }

    /// The roster.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// What the mechanism says of itself, from outside: escape before showing.
    pub const fn profile(&self) -> &Profile {
        self.roster.profile()
    }

    /// The descriptors of its relays that verify; their dates are not looked at, because the current one comes with
    /// the relay's certificate.
    pub fn relay_descriptors(&self) -> impl Iterator<Item = Descriptor> {
        self.roster.relays().filter_map(roster::descriptor_in)
    }

    /// Where its relays are reached.
    pub fn relays(&self) -> impl Iterator<Item = RelayContact> {
        self.relay_descriptors()
            .map(|descriptor| descriptor.contact())
    }

    /// The same of the relays from which its devices get parcels though they have no inbox there.
    pub fn reading_descriptors(&self) -> impl Iterator<Item = Descriptor> {
        self.roster
            .reading_relays()
            .filter_map(roster::descriptor_in)
    }

    /// Where those are reached.
    pub fn reading_relays(&self) -> impl Iterator<Item = RelayContact> {
        self.reading_descriptors()
            .map(|descriptor| descriptor.contact())
    }

    /// The statement of a device, by its signing key.
    pub fn statement(&self, signing: &VerifyingKey) -> Option<&Statement> {
        self.statements
            .iter()
            .find(|statement| statement.signing_key() == signing)
    }

    /// How many devices have a fresh prekey, and how many there are.
    pub fn freshness(&self, now: Timestamp) -> (usize, usize) {
        (
            self.usable(PREKEY_FRESH, now).count(),
            self.roster.devices().len(),
        )
    }

    /// The prekeys to seal to.
    ///
    /// # Errors
    /// [`TooFewFresh`] (rule 6).
    pub fn readers(&self, now: Timestamp) -> Result<Vec<Prekey>, TooFewFresh> {
        let (fresh, devices) = self.freshness(now);
        if fresh * 2 > devices {
            Ok(self
                .usable(PREKEY_FRESH, now)
                .map(|statement| statement.prekey().clone())
                .collect())
        } else {
            Err(TooFewFresh { fresh, devices })
        }
    }

    /// The prekeys to seal to after a person accepted the risk of rule 6: statements up to 60 days old. May be empty.
    pub fn readers_despite_staleness(&self, now: Timestamp) -> Vec<Prekey> {
        self.usable(PREKEY_STALE, now)
            .map(|statement| statement.prekey().clone())
            .collect()
    }

    /// Statements from an hour ahead of `now` back to `age` seconds before it.
    fn usable(&self, age: u64, now: Timestamp) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(move |statement| {
            statement.issued() <= now.plus(SKEW) && now < statement.issued().plus(age)
        })
    }

    /// Whether a link key is that of a device of this card.
    pub fn has_link_key(&self, link: &DhPublic) -> bool {
        self.roster
            .devices()
            .iter()
            .any(|device| device.link == *link)
    }
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod refusals;
