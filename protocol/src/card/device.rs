//! A device's three keys, and how a new device asks to be put on the roster (spec §5.1, §5.6).

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Checksum, Hrp};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::cbor;
use crate::id::Address;
use crate::key::{DhPublic, DhSecret, Signature, SigningKey, VerifyingKey};
use crate::words::comparison_words;

/// The label of a request's signature.
const LABEL: &str = "valise1/device";
/// The human-readable part of a request's text form.
const HRP: &str = "valise-device";

/// A device on a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Device {
    /// Signs prekeys.
    #[n(0)]
    pub signing: VerifyingKey,
    /// Writes replies.
    #[n(1)]
    pub identity: DhPublic,
    /// Collects and publishes on the relay.
    #[n(2)]
    pub link: DhPublic,
}

/// The private keys of one device.
#[derive(Debug)]
pub struct DeviceKeys {
    /// Signs prekeys.
    pub signing: SigningKey,
    /// Writes replies.
    pub identity: DhSecret,
    /// Collects and publishes on the relay.
    pub link: DhSecret,
}

/// What a new device hands to the holder of the root key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeviceRequest {
    #[n(0)]
    address: Address,
    #[n(1)]
    signing: VerifyingKey,
    #[n(2)]
    identity: DhPublic,
    #[n(3)]
    link: DhPublic,
    #[n(4)]
    signature: Signature,
}

/// Why a text is not a device's request.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// A letter is wrong, or it is something else.
    #[error("it is not a device request, or a letter of it is wrong")]
    Malformed,
    /// It was not made by the device it names.
    #[error("the device request's signature is wrong")]
    BadSignature,
}

impl Device {
    /// Its three public keys.
    pub(crate) fn keys(&self) -> [&[u8; 32]; 3] {
        [
            self.signing.as_bytes(),
            self.identity.as_bytes(),
            self.link.as_bytes(),
        ]
    }
}

impl DeviceKeys {
    /// Fresh keys.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self {
            signing: SigningKey::generate(rng),
            identity: DhSecret::generate(rng),
            link: DhSecret::generate(rng),
        }
    }

    /// The public half.
    pub fn public(&self) -> Device {
        Device {
            signing: self.signing.verifying_key(),
            identity: self.identity.public(),
            link: self.link.public(),
        }
    }

    /// Asks to be put on a mechanism's roster.
    pub fn request(&self, address: Address) -> DeviceRequest {
        let device = self.public();
        let signature = self.signing.sign(LABEL, &signed_bytes(&address, &device));
        DeviceRequest {
            address,
            signing: device.signing,
            identity: device.identity,
            link: device.link,
            signature,
        }
    }
}

fn signed_bytes(address: &Address, device: &Device) -> Vec<u8> {
    let [signing, identity, link] = device.keys();
    [address.as_bytes().as_slice(), signing, identity, link].concat()
}

impl DeviceRequest {
    /// The mechanism it is meant for.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The device that asks.
    pub const fn device(&self) -> Device {
        Device {
            signing: self.signing,
            identity: self.identity,
            link: self.link,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_link(self, link: DhPublic) -> Self {
        Self { link, ..self }
    }

    /// The six words that both machines show. Takes as long as one Argon2id.
    pub fn words(&self) -> String {
        comparison_words(&cbor::encode(self))
    }
}

/// Bech32m without its limit of 1,023 letters.
enum LongBech32m {}

impl Checksum for LongBech32m {
    type MidstateRepr = <Bech32m as Checksum>::MidstateRepr;
    const CODE_LENGTH: usize = 4_096;
    const CHECKSUM_LENGTH: usize = Bech32m::CHECKSUM_LENGTH;
    type CorrectionField = <Bech32m as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32m::ROOT_GENERATOR;
    const ROOT_EXPONENTS: std::ops::RangeInclusive<usize> = Bech32m::ROOT_EXPONENTS;
    const GENERATOR_SH: [Self::MidstateRepr; 5] = Bech32m::GENERATOR_SH;
    const TARGET_RESIDUE: Self::MidstateRepr = Bech32m::TARGET_RESIDUE;
}

/// `valise-device1…`
impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hrp = Hrp::parse_unchecked(HRP);
        bech32::encode_lower_to_fmt::<LongBech32m, _>(f, hrp, &cbor::encode(self))
            .map_err(|_| fmt::Error)
    }
}

impl FromStr for DeviceRequest {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let checked = CheckedHrpstring::new::<LongBech32m>(text.trim())
            .map_err(|_| RequestError::Malformed)?;
        if !checked.hrp().as_str().eq_ignore_ascii_case(HRP) {
            return Err(RequestError::Malformed);
        }
        checked
            .validate_segwit_padding()
            .map_err(|_| RequestError::Malformed)?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let request: Self = cbor::decode(&bytes).map_err(|_| RequestError::Malformed)?;
        let signed = signed_bytes(&request.address, &request.device());
        request
            .signing
            .verify(LABEL, &signed, &request.signature)
            .map_err(|_| RequestError::BadSignature)?;
        Ok(request)
    }
}
