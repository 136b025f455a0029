//! Devices from inside: their private keys, and the request to be put on a roster (spec §5.6).

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::card::roster::Device;
use crate::card::statement::SignedStatement;
use crate::cbor::{self, Malformed};
use crate::id::{Address, NameError, read_bech32m, write_bech32m};
use crate::key::{DhPublic, DhSecret, Signature, SigningKey, VerifyingKey};
use crate::prekey::Prekey;
use crate::time::Timestamp;

/// What the signature of a request is made over, before address and keys.
const LABEL: &str = "valise1/device";
/// What the text form of a request begins with.
const KIND: &str = "valise-device";

/// A device's private keys. Prekeys are kept apart: they come and go.
#[derive(Debug)]
pub struct DeviceKeys {
    /// Signs its prekey statements.
    pub signing: SigningKey,
    /// Writes its replies.
    pub identity: DhSecret,
    /// Polls the inbox and publishes.
    pub link: DhSecret,
}

/// What a new device hands to the holder of the root key. Both machines show its comparison words, taken over its bytes.
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

/// Why a device request is refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceRequestError {
    /// The text is mistyped or something else.
    #[error("{0}")]
    Text(#[from] NameError),
    /// Not valid CBOR as in spec §5.6.
    #[error("the device request is malformed")]
    Malformed,
    /// For another mechanism.
    #[error("the device asks to join another mechanism")]
    WrongAddress,
    /// Not signed by the device's own key.
    #[error("the device request's signature is wrong")]
    BadSignature,
}

impl From<Malformed> for DeviceRequestError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
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

    /// The public keys, as they stand on a roster.
    pub fn public(&self) -> Device {
        Device {
            signing: self.signing.verifying_key(),
            identity: self.identity.public(),
            link: self.link.public(),
        }
    }

    /// Asks to be put on the roster of this mechanism.
    pub fn request(&self, address: Address) -> DeviceRequest {
        let device = self.public();
        let signed = signed_bytes(&address, &device.signing, &device.identity, &device.link);
        DeviceRequest {
            address,
            signing: device.signing,
            identity: device.identity,
            link: device.link,
            signature: self.signing.sign(LABEL, &signed),
        }
    }

    /// States that this is the device's prekey from now on.
    pub fn statement(
        &self,
        address: Address,
        epoch: u64,
        prekey: &Prekey,
        issued: Timestamp,
    ) -> SignedStatement {
        SignedStatement::sign(&self.signing, address, epoch, prekey, issued)
    }
}

impl DeviceRequest {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// From its bytes, not verified.
    ///
    /// # Errors
    /// [`DeviceRequestError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DeviceRequestError> {
        Ok(cbor::decode(bytes)?)
    }

    /// The device, if the request is for this mechanism and made by the device itself.
    ///
    /// # Errors
    /// [`DeviceRequestError::WrongAddress`], [`DeviceRequestError::BadSignature`].
    pub fn verify(&self, expected: &Address) -> Result<Device, DeviceRequestError> {
        if self.address != *expected {
            return Err(DeviceRequestError::WrongAddress);
        }
        let signed = signed_bytes(&self.address, &self.signing, &self.identity, &self.link);
        self.signing
            .verify(LABEL, &signed, &self.signature)
            .map_err(|_| DeviceRequestError::BadSignature)?;
        Ok(Device {
            signing: self.signing,
            identity: self.identity,
            link: self.link,
        })
    }
}

fn signed_bytes(
    address: &Address,
    signing: &VerifyingKey,
    identity: &DhPublic,
    link: &DhPublic,
) -> Vec<u8> {
    [
        *address.as_bytes(),
        *signing.as_bytes(),
        *identity.as_bytes(),
        *link.as_bytes(),
    ]
    .concat()
}

/// `valise-device1…`
impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bech32m(f, KIND, &self.encode())
    }
}

/// White space around it is ignored.
impl FromStr for DeviceRequest {
    type Err = DeviceRequestError;

    fn from_str(text: &str) -> Result<Self, DeviceRequestError> {
        Self::decode(&read_bech32m(text.trim(), KIND)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    const HERE: Address = Address::from_bytes([1; 32]);

    #[test]
    fn a_request_survives_its_text_form() {
        let keys = DeviceKeys::generate(&mut rng(1));
        let text = keys.request(HERE).to_string();
        assert!(text.starts_with("valise-device1"));
        for text in [text.clone(), text.to_uppercase(), format!(" {text}\n")] {
            let request: DeviceRequest = text.parse().unwrap();
            assert_eq!(request.verify(&HERE), Ok(keys.public()));
        }
    }

    #[test]
    fn a_request_for_another_mechanism_is_refused() {
        let request = DeviceKeys::generate(&mut rng(1)).request(HERE);
        assert_eq!(
            request.verify(&Address::from_bytes([2; 32])),
            Err(DeviceRequestError::WrongAddress)
        );
    }

    #[test]
    fn nobody_puts_another_key_into_a_request() {
        let request = DeviceKeys::generate(&mut rng(1)).request(HERE);
        let other = DhPublic::from_bytes([9; 32]);
        let foreign = DeviceKeys::generate(&mut rng(2)).public().signing;
        let identity = DeviceRequest {
            identity: other,
            ..request.clone()
        };
        let link = DeviceRequest {
            link: other,
            ..request.clone()
        };
        let signing = DeviceRequest {
            signing: foreign,
            ..request
        };
        for altered in [identity, link, signing] {
            let read = DeviceRequest::decode(&altered.encode()).unwrap();
            assert_eq!(read.verify(&HERE), Err(DeviceRequestError::BadSignature));
        }
    }

    #[test]
    fn a_wrong_letter_or_another_text_is_told() {
        let mut text = DeviceKeys::generate(&mut rng(1)).request(HERE).to_string();
        let last = text.pop().unwrap();
        text.push(if last == 'q' { 'p' } else { 'q' });
        assert_eq!(
            text.parse::<DeviceRequest>(),
            Err(NameError::Checksum(KIND).into())
        );
        assert_eq!(
            HERE.to_string().parse::<DeviceRequest>(),
            Err(NameError::WrongKind(KIND).into())
        );
        assert_eq!(
            DeviceRequest::decode(&[0xa0]),
            Err(DeviceRequestError::Malformed)
        );
    }

    #[test]
    fn debug_of_device_keys_is_redacted() {
        assert_eq!(
            format!("{:?}", DeviceKeys::generate(&mut rng(1))),
            "DeviceKeys { signing: SigningKey(secret), identity: DhSecret(secret), link: DhSecret(secret) }"
        );
    }
}
