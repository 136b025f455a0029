//! Relay descriptors: what a relay says of itself (spec §6).
//!
//! ```text
//! { 0: descriptor bytes, 1: Ed25519 signature over "valise1/descriptor" ‖ descriptor bytes }    at most 2,048 bytes
//! ```

use std::num::NonZeroU16;

use minicbor::{Decode, Decoder, Encode, Encoder};
use thiserror::Error;

use crate::bounded::{Bytes, List, Text, refused};
use crate::cbor::{self, Malformed};
use crate::contact::{Host, RelayContact};
use crate::id::RelayId;
use crate::key::{DhPublic, Signature, SigningKey, VerifyingKey};
use crate::limits::{DESCRIPTOR, KEY, ROSTER_LIFE, SKEW};
use crate::time::Timestamp;

/// What a relay's signature is made over, before the descriptor's bytes.
const LABEL: &str = "valise1/descriptor";
/// The protocol version of this build.
const VERSION: u64 = 1;
/// The most relays that one may reach as an ingress.
const REACHES: usize = 32;

/// The SHA-256 of a certificate's SubjectPublicKeyInfo (spec §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct TlsPin(#[cbor(n(0), with = "minicbor::bytes")] [u8; KEY]);

/// How long a relay keeps what nobody collects, in days: `[shortest, longest]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Retention {
    /// The shortest that it draws for an envelope.
    #[n(0)]
    pub shortest_days: u16,
    /// The longest; not below the shortest.
    #[n(1)]
    pub longest_days: u16,
}

/// The version of the protocol that this build speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version;

/// What a relay says of itself, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Descriptor {
    /// The key that signs it; the relay id is its hash.
    #[n(0)]
    pub identity: VerifyingKey,
    /// Always 1: another version is not read at all.
    #[n(1)]
    pub version: Version,
    /// The static key of its links.
    #[n(2)]
    pub static_key: DhPublic,
    /// Its TLS key.
    #[n(3)]
    pub tls_pin: TlsPin,
    /// The static key that it will switch to.
    #[n(4)]
    pub next_static_key: Option<DhPublic>,
    /// The TLS key that it will switch to.
    #[n(5)]
    pub next_tls_pin: Option<TlsPin>,
    /// Where it listens.
    #[n(6)]
    pub host: Host,
    /// Where it listens.
    #[n(7)]
    pub port: NonZeroU16,
    /// Who runs it.
    #[n(8)]
    pub operator: Text<0, 200>,
    /// Under whose law.
    #[n(9)]
    pub jurisdiction: Text<0, 64>,
    /// How long it keeps what nobody collects.
    #[n(10)]
    pub retention: Retention,
    /// The relays that it reaches as an ingress.
    #[n(11)]
    pub reaches: List<RelayId, 0, REACHES>,
    /// From when it is valid.
    #[n(12)]
    pub issued: Timestamp,
    /// Until when it is valid.
    #[n(13)]
    pub not_after: Timestamp,
}

/// A descriptor with its signature, neither verified nor of a known version.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SignedDescriptor {
    #[n(0)]
    descriptor: Bytes<0, DESCRIPTOR>,
    #[n(1)]
    signature: Signature,
}

/// Why a descriptor is refused (spec §6). The relay is at fault, or somebody in between, or the reader's clock.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Longer than 2,048 bytes.
    #[error("the relay descriptor has {0} bytes, at most {DESCRIPTOR} are allowed")]
    TooLarge(usize),
    /// Not valid CBOR as in spec §6.
    #[error("the relay descriptor is malformed")]
    Malformed,
    /// Not of the relay that was expected.
    #[error("the relay descriptor belongs to another relay")]
    WrongRelay,
    /// Not signed by its identity key.
    #[error("the relay descriptor's signature is wrong")]
    BadSignature,
    /// Made for another version of the protocol.
    #[error("the relay speaks protocol version {0}, this build speaks version {VERSION}")]
    UnknownVersion(u64),
    /// Its dates are more than 90 days apart.
    #[error("the relay descriptor is valid for more than 90 days")]
    TooLongLived,
    /// Issued more than an hour ahead of the reader's clock.
    #[error("the relay descriptor is valid from {from} only: is this computer's clock right?")]
    NotYetValid {
        /// When it was issued.
        from: Timestamp,
    },
    /// Out of date.
    #[error("the relay descriptor expired on {since}")]
    Expired {
        /// Its last moment.
        since: Timestamp,
    },
}

impl From<Malformed> for DescriptorError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl TlsPin {
    /// From the SHA-256 of a SubjectPublicKeyInfo.
    pub const fn from_bytes(bytes: [u8; KEY]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl Descriptor {
    /// Signs it with the relay's identity key.
    ///
    /// # Errors
    /// Whatever a reader would refuse it for: [`DescriptorError::BadSignature`] where `key` is not the identity,
    /// [`DescriptorError::TooLongLived`], [`DescriptorError::TooLarge`], and [`DescriptorError::Malformed`] where the
    /// retention or the dates run backwards.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedDescriptor, DescriptorError> {
        let bytes = cbor::encode(self);
        let signature = key.sign(LABEL, &bytes);
        let descriptor = Bytes::new(bytes).map_err(|e| DescriptorError::TooLarge(e.got))?;
        let signed = SignedDescriptor {
            descriptor,
            signature,
        };
        let read = SignedDescriptor::decode(&signed.encode())?;
        read.verify(self.relay_id(), self.issued)?;
        Ok(signed)
    }

    /// The relay's id.
    pub fn relay_id(&self) -> RelayId {
        RelayId::of_identity(self.identity.as_bytes())
    }

    /// Where to reach it.
    pub fn contact(&self) -> RelayContact {
        RelayContact {
            id: self.relay_id(),
            host: self.host.clone(),
            port: self.port,
        }
    }
}

impl SignedDescriptor {
    /// Its encoding: what a relay's certificate carries.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads the outer shape only; [`SignedDescriptor::verify`] reads the rest.
    ///
    /// # Errors
    /// [`DescriptorError::TooLarge`], [`DescriptorError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptorError> {
        if bytes.len() > DESCRIPTOR {
            return Err(DescriptorError::TooLarge(bytes.len()));
        }
        Ok(cbor::decode(bytes)?)
    }

    /// Checks everything that spec §6 asks, in this order: relay, signature, version, shape, dates.
    ///
    /// # Errors
    /// [`DescriptorError`].
    pub fn verify(&self, expected: RelayId, now: Timestamp) -> Result<Descriptor, DescriptorError> {
        let descriptor = self.verify_undated(Some(expected))?;
        let (issued, not_after) = (descriptor.issued, descriptor.not_after);
        if not_after.since(issued) > ROSTER_LIFE {
            return Err(DescriptorError::TooLongLived);
        }
        if issued > now.plus(SKEW) {
            return Err(DescriptorError::NotYetValid { from: issued });
        }
        if not_after < now {
            return Err(DescriptorError::Expired { since: not_after });
        }
        Ok(descriptor)
    }

    /// Checks all but the dates: a descriptor on a roster may be older than the one in the relay's certificate (spec §5.1).
    pub(crate) fn verify_undated(
        &self,
        expected: Option<RelayId>,
    ) -> Result<Descriptor, DescriptorError> {
        let (identity, version) = peek(&self.descriptor).map_err(|_| DescriptorError::Malformed)?;
        if expected.is_some_and(|id| id != RelayId::of_identity(&identity)) {
            return Err(DescriptorError::WrongRelay);
        }
        VerifyingKey::from_bytes(&identity)
            .and_then(|key| key.verify(LABEL, &self.descriptor, &self.signature))
            .map_err(|_| DescriptorError::BadSignature)?;
        if version != VERSION {
            return Err(DescriptorError::UnknownVersion(version));
        }
        let descriptor: Descriptor = cbor::decode(&self.descriptor)?;
        let retention = descriptor.retention;
        if retention.shortest_days > retention.longest_days
            || descriptor.not_after < descriptor.issued
        {
            return Err(DescriptorError::Malformed);
        }
        Ok(descriptor)
    }
}

impl<C> Encode<C> for Version {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u64(VERSION)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Version {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        match d.u64()? {
            VERSION => Ok(Self),
            _ => Err(refused("version")),
        }
    }
}

/// Identity and version, which every version of the protocol keeps as keys 0 and 1.
fn peek(bytes: &[u8]) -> Result<([u8; KEY], u64), minicbor::decode::Error> {
    let mut d = Decoder::new(bytes);
    d.map()?;
    let key = d.u8()?;
    let identity = d.bytes()?.try_into().map_err(refused)?;
    match (key, d.u8()?) {
        (0, 1) => Ok((identity, d.u64()?)),
        _ => Err(refused("keys")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::limits::DAY;

    pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_392_000);

    pub(crate) fn descriptor() -> Descriptor {
        Descriptor {
            identity: identity().verifying_key(),
            version: Version,
            static_key: DhPublic::from_bytes([2; 32]),
            tls_pin: TlsPin::from_bytes([3; 32]),
            next_static_key: None,
            next_tls_pin: None,
            host: "mail.example.org".parse().unwrap(),
            port: NonZeroU16::new(443).unwrap(),
            operator: Text::new("Example").unwrap(),
            jurisdiction: Text::new("CH").unwrap(),
            retention: Retention {
                shortest_days: 23,
                longest_days: 37,
            },
            reaches: List::new([]).unwrap(),
            issued: NOW,
            not_after: NOW.plus(30 * DAY),
        }
    }

    pub(crate) fn identity() -> SigningKey {
        SigningKey::from_bytes(&[8; 32])
    }

    fn id() -> RelayId {
        RelayId::of_identity(identity().verifying_key().as_bytes())
    }

    /// Signs bytes that [`Descriptor::sign`] would refuse.
    fn forged(bytes: Vec<u8>) -> SignedDescriptor {
        SignedDescriptor {
            signature: identity().sign(LABEL, &bytes),
            descriptor: Bytes::new(bytes).unwrap(),
        }
    }

    fn forged_from(change: impl FnOnce(&mut Descriptor)) -> SignedDescriptor {
        let mut descriptor = descriptor();
        change(&mut descriptor);
        forged(cbor::encode(&descriptor))
    }

    #[test]
    fn a_descriptor_survives_its_encoding() {
        let mut all = descriptor();
        all.next_static_key = Some(DhPublic::from_bytes([4; 32]));
        all.next_tls_pin = Some(TlsPin::from_bytes([5; 32]));
        all.reaches = List::new(vec![RelayId::from_bytes([6; 32]); 32]).unwrap();
        all.operator = Text::new("x".repeat(200)).unwrap();
        for descriptor in [descriptor(), all] {
            let signed = descriptor.sign(&identity()).unwrap();
            let read = SignedDescriptor::decode(&signed.encode()).unwrap();
            assert_eq!(read.verify(id(), NOW).unwrap(), descriptor);
            assert_eq!(descriptor.contact().id, id());
        }
    }

    #[test]
    fn only_its_own_key_signs_a_descriptor() {
        assert_eq!(
            descriptor().sign(&SigningKey::from_bytes(&[1; 32])),
            Err(DescriptorError::BadSignature)
        );
    }

    #[test]
    fn another_relay_is_refused() {
        let signed = descriptor().sign(&identity()).unwrap();
        assert_eq!(
            signed.verify(RelayId::from_bytes([0; 32]), NOW),
            Err(DescriptorError::WrongRelay)
        );
    }

    #[test]
    fn an_altered_descriptor_is_refused() {
        let mut signed = descriptor().sign(&identity()).unwrap();
        let mut bytes = signed.descriptor.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        signed.descriptor = Bytes::new(bytes).unwrap();
        assert_eq!(signed.verify(id(), NOW), Err(DescriptorError::BadSignature));
    }

    #[test]
    fn validity_has_an_hour_before_and_none_after() {
        let signed = descriptor().sign(&identity()).unwrap();
        let end = NOW.plus(30 * DAY);
        assert!(signed.verify(id(), NOW.minus(SKEW)).is_ok());
        assert!(signed.verify(id(), end).is_ok());
        assert_eq!(
            signed.verify(id(), NOW.minus(SKEW + 1)),
            Err(DescriptorError::NotYetValid { from: NOW })
        );
        assert_eq!(
            signed.verify(id(), end.plus(1)),
            Err(DescriptorError::Expired { since: end })
        );
    }

    #[test]
    fn ninety_days_are_the_most() {
        let mut long = descriptor();
        long.not_after = NOW.plus(ROSTER_LIFE);
        assert!(long.sign(&identity()).is_ok());
        long.not_after = NOW.plus(ROSTER_LIFE + 1);
        assert_eq!(long.sign(&identity()), Err(DescriptorError::TooLongLived));
    }

    #[test]
    fn an_unknown_version_is_told_whatever_its_shape() {
        let mut bytes = cbor::encode(&descriptor());
        bytes[37] = 2;
        assert_eq!(
            forged(bytes).verify(id(), NOW),
            Err(DescriptorError::UnknownVersion(2))
        );
        let mut bytes = vec![0xa3, 0, 0x58, 32];
        bytes.extend(identity().verifying_key().as_bytes());
        bytes.extend([1, 0x18, 77, 0x61, b'x', 0x80]);
        assert_eq!(
            forged(bytes).verify(id(), NOW),
            Err(DescriptorError::UnknownVersion(77))
        );
    }

    #[test]
    fn what_runs_backwards_is_malformed() {
        for signed in [
            forged_from(|d| d.retention.shortest_days = 38),
            forged_from(|d| d.not_after = NOW.minus(1)),
            forged(vec![0xa0]),
            forged(vec![]),
        ] {
            assert_eq!(signed.verify(id(), NOW), Err(DescriptorError::Malformed));
        }
    }

    #[test]
    fn a_host_has_one_text() {
        let mut bytes = cbor::encode(&descriptor());
        let at = bytes.windows(4).position(|w| w == b"mail").unwrap();
        bytes[at] = b' ';
        assert_eq!(
            forged(bytes).verify(id(), NOW),
            Err(DescriptorError::Malformed)
        );
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let bytes = vec![0; DESCRIPTOR + 1];
        assert_eq!(
            SignedDescriptor::decode(&bytes),
            Err(DescriptorError::TooLarge(DESCRIPTOR + 1))
        );
        assert_eq!(
            SignedDescriptor::decode(&[0xa0]),
            Err(DescriptorError::Malformed)
        );
    }
}
