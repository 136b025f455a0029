//! Prekey statements: a device's newest prekey, signed by the device (spec §5.2).

use minicbor::{Decode, Encode};

use crate::card::{CardError, DeviceKeys};
use crate::cbor;
use crate::id::Address;
use crate::kem::KemPublic;
use crate::key::{DhPublic, DhSecret, Signature, VerifyingKey};
use crate::prekey::Prekey;
use crate::time::Timestamp;

/// The label of a statement's signature.
const LABEL: &str = "valise1/prekey";

/// A statement whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    body: Body,
    prekey: Prekey,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    address: Address,
    #[n(1)]
    signing: VerifyingKey,
    #[n(2)]
    epoch: u64,
    #[n(3)]
    issued: Timestamp,
    #[n(4)]
    dh: DhPublic,
    #[n(5)]
    kem: KemPublic,
}

/// A statement's exact bytes with the device's signature, not verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SignedStatement {
    #[cbor(n(0), with = "minicbor::bytes")]
    bytes: Vec<u8>,
    #[n(1)]
    signature: Signature,
}

impl SignedStatement {
    /// States a device's new prekey, under the roster it knows.
    pub fn sign(
        address: Address,
        device: &DeviceKeys,
        epoch: u64,
        prekey: Prekey,
        now: Timestamp,
    ) -> Self {
        let signing = device.signing.verifying_key();
        let body = Body {
            address,
            signing,
            epoch,
            issued: now,
            dh: prekey.dh,
            kem: prekey.kem,
        };
        let bytes = cbor::encode(&body);
        let signature = device.signing.sign(LABEL, &bytes);
        Self { bytes, signature }
    }

    /// Checks the signature by the key named inside, and that the prekey can be sealed to.
    ///
    /// # Errors
    /// [`CardError::Malformed`], [`CardError::BadSignature`].
    pub fn verify(&self) -> Result<Statement, CardError> {
        let body: Body = cbor::decode(&self.bytes)?;
        body.signing.verify(LABEL, &self.bytes, &self.signature)?;
        // A key that makes every secret zero would stop the whole submission when it is sealed.
        DhSecret::from_bytes(&[1; 32])
            .shared(&body.dh)
            .map_err(|_| CardError::Malformed)?;
        let prekey = Prekey {
            dh: body.dh,
            kem: body.kem.clone(),
        };
        Ok(Statement { body, prekey })
    }
}

impl Statement {
    /// The mechanism it was made for.
    pub const fn address(&self) -> Address {
        self.body.address
    }

    /// The device.
    pub const fn signing_key(&self) -> &VerifyingKey {
        &self.body.signing
    }

    /// The roster that the device knew.
    pub const fn epoch(&self) -> u64 {
        self.body.epoch
    }

    /// When it was made.
    pub const fn issued(&self) -> Timestamp {
        self.body.issued
    }

    /// The prekey.
    pub const fn prekey(&self) -> &Prekey {
        &self.prekey
    }
}
