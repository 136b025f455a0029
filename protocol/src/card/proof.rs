//! Roots and what they sign (spec §5, §5.5): the half of a card that also proves a reply (spec §4.5).

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::bounded::List;
use crate::card::roster::{Device, Roster, RosterError};
use crate::cbor;
use crate::id::Address;
use crate::key::{DhPublic, Signature, SigningKey, VerifyingKey};
use crate::limits::ROOTS;

/// What a root's signature of a roster is made over, before the roster's bytes.
const ROSTER_LABEL: &str = "valise1/roster";
/// What a root's signature of its successor is made over, before the successor's public key.
const ROOT_LABEL: &str = "valise1/root";

/// A root key, signed by the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RootKey {
    #[n(0)]
    key: VerifyingKey,
    #[n(1)]
    signature: Option<Signature>,
}

/// The first root and its successors.
pub type Roots = List<RootKey, 1, ROOTS>;

/// The newest private root key with its chain: what signs rosters, and nothing else.
#[derive(Debug)]
pub struct RootSigner {
    key: SigningKey,
    roots: Roots,
}

/// A roster with the roots that vouch for it. Nothing of it holds before it was verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Proof {
    #[n(0)]
    pub(super) roots: Roots,
    #[cbor(n(1), with = "cbor::embedded")]
    pub(super) roster: Roster,
    #[n(2)]
    pub(super) signature: Signature,
}

/// Why a root key cannot sign.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootError {
    /// The private key is not the last of the chain, or the chain is broken.
    #[error("the root key does not belong to this chain of roots")]
    WrongChain,
    /// There are four already.
    #[error("a card chains at most {ROOTS} root keys")]
    TooManyRoots,
}

/// Why a proof is refused (spec §4.5, §5.3). Its author is at fault, or somebody in between.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// Of another mechanism than was asked for.
    #[error("the roster belongs to another address")]
    WrongAddress,
    /// A later root is not signed by the one before.
    #[error("the root keys do not chain")]
    BrokenRoots,
    /// The last root did not sign the roster.
    #[error("the roster's signature is wrong")]
    BadSignature,
    /// It breaks a rule of spec §5.1.
    #[error("{0}")]
    Roster(#[from] RosterError),
    /// The writer of the message is on no device of the roster.
    #[error("the writer's key is of no device on the roster")]
    WriterNotOnRoster,
}

impl RootSigner {
    /// A mechanism's first root key.
    pub fn first(key: SigningKey) -> Self {
        let root = RootKey {
            key: key.verifying_key(),
            signature: None,
        };
        let roots = List::new([root]).expect("one is a length that a chain may have");
        Self { key, roots }
    }

    /// The private key of the last root of a chain.
    ///
    /// # Errors
    /// [`RootError::WrongChain`].
    pub fn new(key: SigningKey, roots: Roots) -> Result<Self, RootError> {
        match last_of_chain(&roots) {
            Some(last) if *last == key.verifying_key() => Ok(Self { key, roots }),
            _ => Err(RootError::WrongChain),
        }
    }

    /// Hands over to a new root key. The address stays.
    ///
    /// # Errors
    /// [`RootError::TooManyRoots`].
    pub fn succeeded_by(self, next: SigningKey) -> Result<Self, RootError> {
        let public = next.verifying_key();
        let root = RootKey {
            key: public,
            signature: Some(self.key.sign(ROOT_LABEL, public.as_bytes())),
        };
        let mut roots: Vec<_> = self.roots.into();
        roots.push(root);
        let roots = List::new(roots).map_err(|_| RootError::TooManyRoots)?;
        Ok(Self { key: next, roots })
    }

    /// The mechanism's address: the hash of the first root.
    pub fn address(&self) -> Address {
        address_of(&self.roots)
    }

    /// The chain.
    pub const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The private key, for a place that wipes it.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs a roster.
    ///
    /// # Errors
    /// [`RosterError`]: whatever a reader would refuse the roster for.
    pub fn sign(&self, roster: Roster) -> Result<Proof, RosterError> {
        if roster.address != self.address() {
            return Err(RosterError::WrongAddress);
        }
        roster.check()?;
        if roster.is_too_long_lived() {
            return Err(RosterError::TooLongLived);
        }
        roster.relays()?;
        Ok(Proof {
            roots: self.roots.clone(),
            signature: self.key.sign(ROSTER_LABEL, &cbor::encode(&roster)),
            roster,
        })
    }
}

impl Proof {
    /// The roster, as long as nobody has verified it.
    pub const fn unverified_roster(&self) -> &Roster {
        &self.roster
    }

    /// Checks that the mechanism's roots signed the roster. Dates are not checked: a reply may be old.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, expected: &Address) -> Result<&Roster, ProofError> {
        if self.roster.address != *expected || address_of(&self.roots) != *expected {
            return Err(ProofError::WrongAddress);
        }
        let last = last_of_chain(&self.roots).ok_or(ProofError::BrokenRoots)?;
        // The exact bytes: the roster was read strictly, so that it has this encoding only.
        last.verify(ROSTER_LABEL, &cbor::encode(&self.roster), &self.signature)
            .map_err(|_| ProofError::BadSignature)?;
        self.roster.check()?;
        Ok(&self.roster)
    }

    /// Checks in addition that `writer`, the key that an envelope was written with, is of a device on the roster (spec §4.5).
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify_writer(
        &self,
        expected: &Address,
        writer: &DhPublic,
    ) -> Result<&Device, ProofError> {
        self.verify(expected)?
            .device_with_identity(writer)
            .ok_or(ProofError::WriterNotOnRoster)
    }
}

fn address_of(roots: &Roots) -> Address {
    Address::of_root(roots[0].key.as_bytes())
}

/// The last root, if each is signed by the one before and the first by nobody.
fn last_of_chain(roots: &Roots) -> Option<&VerifyingKey> {
    let (first, later) = roots.split_first()?;
    if first.signature.is_some() {
        return None;
    }
    later.iter().try_fold(&first.key, |before, root| {
        let signature = root.signature.as_ref()?;
        before
            .verify(ROOT_LABEL, root.key.as_bytes(), signature)
            .ok()?;
        Some(&root.key)
    })
}
