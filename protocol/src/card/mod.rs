//! Cards: a mechanism's signed statement of its devices, prekeys and relays (spec §5).
//!
//! ```text
//! { 0: [1*4 root], 1: roster bytes, 2: signature by the last root, 3: [*8 prekey statement] }     at most 32,768 bytes
//! ```
//!
//! Two layers, so that the root key may stay offline: the root signs the roster, each device signs its own prekeys.

pub mod roster;
pub mod proof;
pub mod statement;
pub mod device;
mod verified;
mod merge;

use minicbor::{Decode, Encode};
use thiserror::Error;

pub use self::merge::{MergeError, merge};
use self::proof::{Proof, ProofError, Roots};
use self::roster::{Roster, RosterError};
use self::statement::SignedStatement;
pub use self::verified::{Freshness, TooFewFresh, VerifiedCard};
use crate::bounded::{List, OutOfBounds};
use crate::cbor::{self, Malformed};
use crate::descriptor::DescriptorError;
use crate::id::Address;
use crate::key::Signature;
use crate::limits::{CARD, SKEW, SLOTS};
use crate::time::Timestamp;

/// A card, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    proof: Proof,
    statements: List<SignedStatement, 0, SLOTS>,
}

/// A card as it is encoded: the proof's keys and one more.
#[derive(Encode, Decode)]
#[cbor(map)]
struct CardMap {
    #[n(0)]
    roots: Roots,
    #[cbor(n(1), with = "cbor::embedded")]
    roster: Roster,
    #[n(2)]
    signature: Signature,
    #[n(3)]
    statements: List<SignedStatement, 0, SLOTS>,
}

/// Why a card is refused (spec §5.3). Unless the text says otherwise its author is at fault, or somebody in between.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CardError {
    /// Rule 1: longer than 32,768 bytes.
    #[error("the card has {0} bytes, at most {CARD} are allowed")]
    TooLarge(usize),
    /// Rule 1: not valid CBOR as in spec §5, or its roster breaks a rule of spec §5.1.
    #[error("the card is malformed")]
    Malformed,
    /// Rule 2: not the mechanism that was asked for.
    #[error("the card belongs to another address")]
    WrongAddress,
    /// Rule 2: a later root is not signed by the one before.
    #[error("the card's root keys do not chain")]
    BrokenRoots,
    /// Rule 2: the last root did not sign the roster.
    #[error("the signature of the card's roster is wrong")]
    BadRosterSignature,
    /// Rule 2: a relay's descriptor is malformed or its signature is wrong.
    #[error("relay {index} of the card: {fault}")]
    Relay {
        /// Which relay, from 1.
        index: usize,
        /// What is wrong with it.
        fault: DescriptorError,
    },
    /// Rule 2: a device did not sign its statement.
    #[error("the signature of a prekey statement is wrong")]
    BadStatementSignature,
    /// Rule 3: issued more than an hour ahead of the reader's clock.
    #[error("the card is valid from {from} only: is this computer's clock right?")]
    NotYetValid {
        /// When its roster was issued.
        from: Timestamp,
    },
    /// Rule 3: the roster is out of date.
    #[error("the card expired on {since}")]
    Expired {
        /// Its last moment.
        since: Timestamp,
    },
    /// Rule 3: its dates are more than 90 days apart.
    #[error("the card is valid for more than 90 days")]
    TooLongLived,
    /// Rule 4: a statement by a key that is not on the roster.
    #[error("the card has a prekey of a device that is not on its roster")]
    UnknownDevice,
    /// Rule 4: two statements of one device.
    #[error("the card has two prekeys of one device")]
    RepeatedDevice,
    /// Rule 4: a statement that names another mechanism.
    #[error("the card has a prekey that was made for another address")]
    StatementElsewhere,
    /// Rule 4: a device knows a newer roster than the card shows.
    #[error(
        "somebody withholds a newer card: a device knows epoch {statement}, the roster has epoch {roster}"
    )]
    RosterWithheld {
        /// The epoch of the roster.
        roster: u64,
        /// The epoch that a device knows.
        statement: u64,
    },
    /// Rule 5: older than what the reader knows.
    #[error("the card has epoch {got}, but epoch {known} was seen before: it is out of date")]
    Superseded {
        /// The epoch of this card.
        got: u64,
        /// The epoch that the reader knows.
        known: u64,
    },
}

impl From<Malformed> for CardError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<ProofError> for CardError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::WrongAddress => Self::WrongAddress,
            ProofError::BrokenRoots => Self::BrokenRoots,
            ProofError::BadSignature => Self::BadRosterSignature,
            ProofError::Roster(RosterError::Relay { index, fault }) => Self::Relay { index, fault },
            ProofError::Roster(_) | ProofError::WriterNotOnRoster => Self::Malformed,
        }
    }
}

impl Card {
    /// A card from its halves.
    ///
    /// # Errors
    /// [`OutOfBounds`] when there are more than eight statements.
    pub fn new(proof: Proof, statements: Vec<SignedStatement>) -> Result<Self, OutOfBounds> {
        let statements = List::new(statements)?;
        Ok(Self { proof, statements })
    }

    /// Its encoding.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(&CardMap {
            roots: self.proof.roots.clone(),
            roster: self.proof.roster.clone(),
            signature: self.proof.signature,
            statements: self.statements.clone(),
        })
    }

    /// Reads a card by rule 1.
    ///
    /// # Errors
    /// [`CardError::TooLarge`], [`CardError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CardError> {
        if bytes.len() > CARD {
            return Err(CardError::TooLarge(bytes.len()));
        }
        let map: CardMap = cbor::decode(bytes)?;
        map.roster.check().map_err(|_| CardError::Malformed)?;
        let proof = Proof {
            roots: map.roots,
            roster: map.roster,
            signature: map.signature,
        };
        Ok(Self {
            proof,
            statements: map.statements,
        })
    }

    /// The address that it claims.
    pub const fn claimed_address(&self) -> Address {
        self.proof.roster.address
    }

    /// The root-signed half, which a reply carries as its proof.
    pub const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The statements, as they stand.
    pub fn statements(&self) -> &[SignedStatement] {
        &self.statements
    }

    /// Checks rules 1 to 5 of spec §5.3. `known_epoch` is the highest that the reader has seen for the address.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn verify(
        self,
        expected: Address,
        known_epoch: Option<u64>,
        now: Timestamp,
    ) -> Result<VerifiedCard, CardError> {
        let size = self.encode().len();
        if size > CARD {
            return Err(CardError::TooLarge(size));
        }
        let roster = self.proof.verify(&expected)?;
        let relays = roster.relays().map_err(ProofError::from)?;
        check_dates(roster, now)?;
        for (at, statement) in self.statements.iter().enumerate() {
            check_statement(roster, statement, &self.statements[..at])?;
        }
        match known_epoch {
            Some(known) if known > roster.epoch => Err(CardError::Superseded {
                got: roster.epoch,
                known,
            }),
            _ => Ok(VerifiedCard { card: self, relays }),
        }
    }
}

/// Rule 3.
fn check_dates(roster: &Roster, now: Timestamp) -> Result<(), CardError> {
    let (issued, not_after) = (roster.issued, roster.not_after);
    if roster.is_too_long_lived() {
        Err(CardError::TooLongLived)
    } else if issued > now.plus(SKEW) {
        Err(CardError::NotYetValid { from: issued })
    } else if not_after < now {
        Err(CardError::Expired { since: not_after })
    } else {
        Ok(())
    }
}

/// Rule 4, and rule 2 for statements.
fn check_statement(
    roster: &Roster,
    signed: &SignedStatement,
    before: &[SignedStatement],
) -> Result<(), CardError> {
    let statement = signed.statement();
    let of_same_device = |other: &SignedStatement| other.statement().signing == statement.signing;
    if !roster
        .devices
        .iter()
        .any(|d| d.signing == statement.signing)
    {
        return Err(CardError::UnknownDevice);
    }
    signed
        .verify()
        .map_err(|_| CardError::BadStatementSignature)?;
    if before.iter().any(of_same_device) {
        return Err(CardError::RepeatedDevice);
    }
    if statement.address != roster.address {
        return Err(CardError::StatementElsewhere);
    }
    if statement.epoch > roster.epoch {
        return Err(CardError::RosterWithheld {
            roster: roster.epoch,
            statement: statement.epoch,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
