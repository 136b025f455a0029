//! Prekey statements: each device's signed word on what to seal to (spec §5.2).

use minicbor::{Decode, Encode};

use crate::cbor;
use crate::id::Address;
use crate::kem::KemPublic;
use crate::key::{BadSignature, DhPublic, Signature, SigningKey, VerifyingKey};
use crate::limits::{PREKEY_FRESH, PREKEY_STALE, SKEW};
use crate::prekey::Prekey;
use crate::time::Timestamp;

/// What a device's signature of a statement is made over, before the statement's bytes.
const LABEL: &str = "valise1/prekey";

/// A device's prekey.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PrekeyStatement {
    /// Whose device it is.
    #[n(0)]
    pub address: Address,
    /// Which device it is.
    #[n(1)]
    pub signing: VerifyingKey,
    /// The epoch of the newest roster that the device knew.
    #[n(2)]
    pub epoch: u64,
    /// When the prekey was made.
    #[n(3)]
    pub issued: Timestamp,
    #[n(4)]
    dh: DhPublic,
    #[n(5)]
    kem: KemPublic,
}

/// A statement with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SignedStatement {
    #[cbor(n(0), with = "cbor::embedded")]
    statement: PrekeyStatement,
    #[n(1)]
    signature: Signature,
}

impl PrekeyStatement {
    /// The prekey.
    pub fn prekey(&self) -> Prekey {
        Prekey {
            dh: self.dh,
            kem: self.kem.clone(),
        }
    }

    /// Whether the prekey is fresh: from an hour before it was issued until 14 days after.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        !self.is_from_the_future(now) && now < self.issued.plus(PREKEY_FRESH)
    }

    /// Whether the prekey is fresh, or so little stale that a person may decide to use it (spec §5.3).
    pub fn is_at_most_stale(&self, now: Timestamp) -> bool {
        !self.is_from_the_future(now) && now.since(self.issued) <= PREKEY_STALE
    }

    /// Whether it was issued more than an hour ahead of the reader's clock. Such a statement is never used.
    pub fn is_from_the_future(&self, now: Timestamp) -> bool {
        self.issued > now.plus(SKEW)
    }
}

impl SignedStatement {
    /// A device's statement that this is its prekey.
    pub fn sign(
        key: &SigningKey,
        address: Address,
        epoch: u64,
        prekey: &Prekey,
        issued: Timestamp,
    ) -> Self {
        let statement = PrekeyStatement {
            address,
            signing: key.verifying_key(),
            epoch,
            issued,
            dh: prekey.dh,
            kem: prekey.kem.clone(),
        };
        let signature = key.sign(LABEL, &cbor::encode(&statement));
        Self {
            statement,
            signature,
        }
    }

    /// What it says.
    pub const fn statement(&self) -> &PrekeyStatement {
        &self.statement
    }

    /// Checks the signature by the device that it names.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<(), BadSignature> {
        let bytes = cbor::encode(&self.statement);
        self.statement
            .signing
            .verify(LABEL, &bytes, &self.signature)
    }
}
