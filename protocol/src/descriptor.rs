//! What a relay says of itself, signed (spec §6).

use minicbor::{Decode, Decoder, Encode};
use thiserror::Error;

use crate::cbor::{self, Malformed};
use crate::contact::{RelayContact, is_host};
use crate::id::RelayId;
use crate::key::{DhPublic, Signature, SigningKey, VerifyingKey};
use crate::limits::{DESCRIPTOR, ROSTER_LIFE, SKEW};
use crate::time::Timestamp;

/// The OID of the certificate extension that carries a signed descriptor (spec §6.1).
pub const CERTIFICATE_EXTENSION: &str = "1.3.6.1.4.1.58270.1.1";
/// The protocol version of this build.
const VERSION: u64 = 1;
/// The label of the signature.
const LABEL: &str = "valise1/descriptor";

/// Everything that a relay says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Descriptor {
    #[n(0)]
    identity: VerifyingKey,
    #[n(1)]
    version: u64,
    #[n(2)]
    static_key: DhPublic,
    #[cbor(n(3), with = "minicbor::bytes")]
    tls_pin: [u8; 32],
    #[n(4)]
    next_static_key: Option<DhPublic>,
    #[cbor(n(5), with = "minicbor::bytes")]
    next_tls_pin: Option<[u8; 32]>,
    #[n(6)]
    host: String,
    #[n(7)]
    port: u16,
    #[n(8)]
    operator: String,
    #[n(9)]
    jurisdiction: String,
    #[n(10)]
    retention_days: (u64, u64),
    #[n(11)]
    reaches: Vec<RelayId>,
    #[n(12)]
    issued: Timestamp,
    #[n(13)]
    not_after: Timestamp,
}

/// What a relay decides about itself; [`Descriptor::sign`] adds identity, version and dates.
#[derive(Clone, Debug)]
pub struct DescriptorFields {
    /// Its Noise static key.
    pub static_key: DhPublic,
    /// SHA-256 of its certificate's SubjectPublicKeyInfo.
    pub tls_pin: [u8; 32],
    /// The static key it will change to.
    pub next_static_key: Option<DhPublic>,
    /// The TLS pin it will change to.
    pub next_tls_pin: Option<[u8; 32]>,
    /// Where it is reached.
    pub host: String,
    /// Where it is reached.
    pub port: u16,
    /// Who runs it, at most 200 bytes.
    pub operator: String,
    /// Under which law, at most 64 bytes.
    pub jurisdiction: String,
    /// Unread mail is deleted so many days after it arrived: shortest, longest.
    pub retention_days: (u64, u64),
    /// Relays that it connects to as an ingress, at most 32.
    pub reaches: Vec<RelayId>,
}

/// A descriptor's exact bytes with their signature, not verified.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SignedDescriptor {
    #[cbor(n(0), with = "minicbor::bytes")]
    descriptor: Vec<u8>,
    #[n(1)]
    signature: Signature,
}

/// Why a descriptor is not believed.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Not a descriptor, or over its limits.
    #[error("not a relay descriptor")]
    Malformed,
    /// Not signed by the identity in it.
    #[error("the relay descriptor's signature is wrong")]
    BadSignature,
    /// Another relay's.
    #[error("the relay descriptor is another relay's")]
    WrongRelay,
    /// Written by a newer relay.
    #[error("the relay speaks protocol version {0}, this build speaks version {VERSION}")]
    UnknownVersion(u64),
    /// Issued more than an hour ahead of the clock given.
    #[error("the relay descriptor holds from {from} only")]
    NotYetValid {
        /// When it was issued.
        from: Timestamp,
    },
    /// Out of date.
    #[error("the relay descriptor ran out on {since}")]
    Expired {
        /// When it ran out.
        since: Timestamp,
    },
    /// It runs out before it begins.
    #[error("the relay descriptor runs out before it was issued")]
    Backwards,
    /// Its dates are further apart than 90 days.
    #[error("the relay descriptor claims to hold for more than 90 days")]
    TooLongLived,
}

impl From<Malformed> for DescriptorError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Only the version, key 1: readable however a later version shapes what follows it.
fn version(descriptor: &[u8]) -> Result<u64, minicbor::decode::Error> {
    let mut d = Decoder::new(descriptor);
    d.map()?;
    while d.u64()? != 1 {
        d.skip()?;
    }
    d.u64()
}

impl Descriptor {
    /// Signs what a relay says of itself, good from `now` for `life` seconds (at most 90 days).
    ///
    /// # Errors
    /// [`DescriptorError::Malformed`] when a field is over its limit, [`DescriptorError::Backwards`] for a life of 0.
    pub fn sign(
        fields: DescriptorFields,
        identity: &SigningKey,
        life: u64,
        now: Timestamp,
    ) -> Result<SignedDescriptor, DescriptorError> {
        let descriptor = Self {
            identity: identity.verifying_key(),
            version: VERSION,
            static_key: fields.static_key,
            tls_pin: fields.tls_pin,
            next_static_key: fields.next_static_key,
            next_tls_pin: fields.next_tls_pin,
            host: fields.host,
            port: fields.port,
            operator: fields.operator,
            jurisdiction: fields.jurisdiction,
            retention_days: fields.retention_days,
            reaches: fields.reaches,
            issued: now,
            not_after: now.plus(life.min(ROSTER_LIFE)),
        };
        descriptor.check_fields()?;
        descriptor.check_life()?;
        let descriptor = cbor::encode(&descriptor);
        let signature = identity.sign(LABEL, &descriptor);
        let signed = SignedDescriptor {
            descriptor,
            signature,
        };
        if signed.encode().len() > DESCRIPTOR {
            Err(DescriptorError::Malformed)
        } else {
            Ok(signed)
        }
    }

    fn check_fields(&self) -> Result<(), DescriptorError> {
        let fits = is_host(&self.host)
            && self.port != 0
            && self.operator.len() <= 200
            && self.jurisdiction.len() <= 64
            && self.reaches.len() <= 32
            && (1..=self.retention_days.1).contains(&self.retention_days.0)
            && self.retention_days.1 <= 366;
        if fits {
            Ok(())
        } else {
            Err(DescriptorError::Malformed)
        }
    }

    /// How its dates lie to each other, whenever that is looked at.
    fn check_life(&self) -> Result<(), DescriptorError> {
        if self.not_after <= self.issued {
            Err(DescriptorError::Backwards)
        } else if self.not_after.since(self.issued) > ROSTER_LIFE {
            Err(DescriptorError::TooLongLived)
        } else {
            Ok(())
        }
    }

    /// The relay's id.
    pub fn id(&self) -> RelayId {
        RelayId::of_identity(self.identity.as_bytes())
    }

    /// Where it is reached, with its id.
    pub fn contact(&self) -> RelayContact {
        RelayContact::new(self.id(), &self.host, self.port)
            .expect("host and port were checked when it was read")
    }

    /// Its Noise static key.
    pub const fn static_key(&self) -> &DhPublic {
        &self.static_key
    }

    /// The static key it will change to.
    pub const fn next_static_key(&self) -> Option<&DhPublic> {
        self.next_static_key.as_ref()
    }

    /// SHA-256 of its certificate's SubjectPublicKeyInfo.
    pub const fn tls_pin(&self) -> &[u8; 32] {
        &self.tls_pin
    }

    /// The TLS pin it will change to.
    pub const fn next_tls_pin(&self) -> Option<&[u8; 32]> {
        self.next_tls_pin.as_ref()
    }

    /// Its host, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Who runs it, from outside: escape before showing.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Under which law, from outside: escape before showing.
    pub fn jurisdiction(&self) -> &str {
        &self.jurisdiction
    }

    /// Unread mail is deleted so many days after it arrived: shortest, longest.
    pub const fn retention_days(&self) -> (u64, u64) {
        self.retention_days
    }

    /// Relays that it connects to as an ingress.
    pub fn reaches(&self) -> &[RelayId] {
        &self.reaches
    }

    /// When it runs out.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

impl SignedDescriptor {
    /// The bytes that a certificate or a roster carries.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads the outer item; the descriptor in it is not looked at.
    ///
    /// # Errors
    /// [`DescriptorError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptorError> {
        if bytes.len() > DESCRIPTOR {
            return Err(DescriptorError::Malformed);
        }
        Ok(cbor::decode(bytes)?)
    }

    /// Checks that it is the descriptor of this relay, and current.
    ///
    /// # Errors
    /// [`DescriptorError`].
    pub fn verify(&self, expected: RelayId, now: Timestamp) -> Result<Descriptor, DescriptorError> {
        let descriptor = self.verify_undated()?;
        if descriptor.id() != expected {
            return Err(DescriptorError::WrongRelay);
        }
        if descriptor.issued > now.plus(SKEW) {
            return Err(DescriptorError::NotYetValid {
                from: descriptor.issued,
            });
        }
        if descriptor.not_after <= now {
            return Err(DescriptorError::Expired {
                since: descriptor.not_after,
            });
        }
        Ok(descriptor)
    }

    /// Checks its signature and fields, whoever's it is and whenever: a roster lives as long as the descriptors in it.
    ///
    /// # Errors
    /// [`DescriptorError`], but for the dates and the relay.
    pub fn verify_undated(&self) -> Result<Descriptor, DescriptorError> {
        let version = version(&self.descriptor).map_err(|_| DescriptorError::Malformed)?;
        if version != VERSION {
            return Err(DescriptorError::UnknownVersion(version));
        }
        let descriptor: Descriptor = cbor::decode(&self.descriptor)?;
        descriptor.check_fields()?;
        descriptor
            .identity
            .verify(LABEL, &self.descriptor, &self.signature)
            .map_err(|_| DescriptorError::BadSignature)?;
        descriptor.check_life()?;
        Ok(descriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn fields() -> DescriptorFields {
        DescriptorFields {
            static_key: DhPublic::from_bytes([1; 32]),
            tls_pin: [2; 32],
            next_static_key: None,
            next_tls_pin: Some([3; 32]),
            host: "relay.example".into(),
            port: 443,
            operator: "Example".into(),
            jurisdiction: "CH".into(),
            retention_days: (23, 37),
            reaches: vec![RelayId::from_bytes([4; 32])],
        }
    }

    fn identity() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn signed() -> SignedDescriptor {
        Descriptor::sign(fields(), &identity(), ROSTER_LIFE, NOW).unwrap()
    }

    fn id() -> RelayId {
        RelayId::of_identity(identity().verifying_key().as_bytes())
    }

    #[test]
    fn a_descriptor_survives_its_bytes() {
        let read = SignedDescriptor::decode(&signed().encode())
            .unwrap()
            .verify(id(), NOW)
            .unwrap();
        assert_eq!(
            read.contact().to_string(),
            format!("{},relay.example:443", id())
        );
        assert_eq!(read.next_tls_pin(), Some(&[3; 32]));
    }

    #[test]
    fn dates_and_names_are_checked_to_the_second() {
        let end = NOW.plus(ROSTER_LIFE);
        assert!(signed().verify(id(), end.minus(1)).is_ok());
        assert_eq!(
            signed().verify(id(), end),
            Err(DescriptorError::Expired { since: end })
        );
        assert!(signed().verify(id(), NOW.minus(SKEW)).is_ok());
        assert_eq!(
            signed().verify(id(), NOW.minus(SKEW + 1)),
            Err(DescriptorError::NotYetValid { from: NOW })
        );
        assert_eq!(
            signed().verify(RelayId::from_bytes([0; 32]), NOW),
            Err(DescriptorError::WrongRelay)
        );
    }

    #[test]
    fn another_signer_and_altered_bytes_are_noticed() {
        let mut altered = signed();
        let last = altered.descriptor.len() - 1;
        altered.descriptor[last] ^= 1;
        assert_eq!(
            altered.verify(id(), NOW),
            Err(DescriptorError::BadSignature)
        );
    }

    fn resigned(change: impl Fn(&mut Descriptor)) -> Result<Descriptor, DescriptorError> {
        let mut descriptor = signed().verify(id(), NOW).unwrap();
        change(&mut descriptor);
        let descriptor = cbor::encode(&descriptor);
        let signature = identity().sign(LABEL, &descriptor);
        SignedDescriptor {
            descriptor,
            signature,
        }
        .verify(id(), NOW)
    }

    #[test]
    fn a_newer_version_is_told_and_a_longer_life_refused() {
        assert_eq!(
            resigned(|d| d.version = 2),
            Err(DescriptorError::UnknownVersion(2))
        );
        assert_eq!(
            resigned(|d| d.not_after = d.issued.plus(ROSTER_LIFE + 1)),
            Err(DescriptorError::TooLongLived)
        );
        assert_eq!(
            resigned(|d| d.host = "a b".into()),
            Err(DescriptorError::Malformed)
        );
        assert_eq!(
            resigned(|d| d.operator = "x".repeat(201)),
            Err(DescriptorError::Malformed)
        );
        for retention_days in [(5, 4), (0, 4), (5, 367)] {
            assert_eq!(
                resigned(|d| d.retention_days = retention_days),
                Err(DescriptorError::Malformed)
            );
        }
        assert_eq!(
            resigned(|d| d.jurisdiction = "x".repeat(65)),
            Err(DescriptorError::Malformed)
        );
        assert_eq!(
            resigned(|d| d.reaches = vec![RelayId::from_bytes([4; 32]); 33]),
            Err(DescriptorError::Malformed)
        );
        assert_eq!(resigned(|d| d.port = 0), Err(DescriptorError::Malformed));
    }

    #[test]
    fn dates_that_run_backwards_are_refused_although_now_lies_between_tolerance_and_end() {
        let backwards = |d: &mut Descriptor| {
            d.issued = NOW.plus(1_800);
            d.not_after = NOW.plus(600);
        };
        assert_eq!(resigned(backwards), Err(DescriptorError::Backwards));
        assert_eq!(
            resigned(|d| d.not_after = d.issued),
            Err(DescriptorError::Backwards)
        );
        assert_eq!(
            Descriptor::sign(fields(), &identity(), 0, NOW).err(),
            Some(DescriptorError::Backwards)
        );
    }

    #[test]
    fn a_later_version_of_another_shape_is_told_as_such() {
        // { 0: "x", 1: 77, "y": [] }
        let descriptor = vec![0xa3, 0, 0x61, b'x', 1, 0x18, 77, 0x61, b'y', 0x80];
        let signed = SignedDescriptor {
            signature: identity().sign(LABEL, &descriptor),
            descriptor,
        };
        assert_eq!(
            signed.verify(id(), NOW),
            Err(DescriptorError::UnknownVersion(77))
        );
    }

    #[test]
    fn a_descriptor_of_all_limits_fits() {
        let mut full = fields();
        full.next_static_key = Some(DhPublic::from_bytes([5; 32]));
        full.host = vec!["a".repeat(62); 4].join(".");
        full.operator = "x".repeat(200);
        full.jurisdiction = "x".repeat(64);
        full.reaches = vec![RelayId::from_bytes([4; 32]); 32];
        assert!(Descriptor::sign(full, &identity(), ROSTER_LIFE, NOW).is_ok());
    }

    #[test]
    fn no_altered_bit_survives_verification() {
        let good = signed().encode();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                let read = SignedDescriptor::decode(&bytes).and_then(|d| d.verify(id(), NOW));
                assert!(read.is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn bytes_after_it_or_an_empty_map_are_no_descriptor() {
        let mut longer = signed().encode();
        longer.push(0);
        for bytes in [&longer[..], &[0xa0], &[]] {
            assert_eq!(
                SignedDescriptor::decode(bytes).err(),
                Some(DescriptorError::Malformed)
            );
        }
    }

    #[test]
    fn a_descriptor_over_its_size_is_refused() {
        assert_eq!(
            SignedDescriptor::decode(&[0; DESCRIPTOR + 1]).err(),
            Some(DescriptorError::Malformed)
        );
    }
}
