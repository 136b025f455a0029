//! Proofs: what shows that a reply is by a device of the mechanism (spec §4.5).

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::card::{Card, Root, Roster, SignedRoster, SignedStatement, check_roots};
use crate::id::Address;
use crate::key::Signature;

/// A roster as it was when the reply was written, with what it takes to check it. Dates are not looked at: a reply may be old.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Proof {
    #[n(0)]
    roots: Vec<Root>,
    #[cbor(n(1), with = "minicbor::bytes")]
    roster: Vec<u8>,
    #[n(2)]
    signature: Signature,
}

/// It does not prove anything about this mechanism. One variant on purpose.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("it is not from this mechanism")]
pub struct ProofError;

impl Proof {
    /// The proof that a card gives.
    pub fn of(card: &Card) -> Self {
        Self {
            roots: card.roots.clone(),
            roster: card.roster.clone(),
            signature: card.signature,
        }
    }

    /// The roster, once roots, signature and address are checked.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, address: Address) -> Result<Roster, ProofError> {
        let (found, last) = check_roots(&self.roots).map_err(|_| ProofError)?;
        if found != address {
            return Err(ProofError);
        }
        let signed = SignedRoster {
            bytes: self.roster.clone(),
            signature: self.signature,
        };
        signed.verify(&last, address).map_err(|_| ProofError)
    }

    /// The card that it makes with these statements; nothing in it is believed yet.
    pub fn into_card(self, statements: Vec<SignedStatement>) -> Card {
        let roster = SignedRoster {
            bytes: self.roster,
            signature: self.signature,
        };
        Card::new(self.roots, roster, statements)
    }
}
