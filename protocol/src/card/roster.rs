//! Rosters: the devices and relays of a mechanism, signed by its root key (spec §5.1).

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use crate::card::{CardError, Device, Profile};
use crate::cbor;
use crate::descriptor::{Descriptor, SignedDescriptor};
use crate::id::{Address, RelayId};
use crate::key::{DhPublic, Signature, SigningKey, VerifyingKey};
use crate::limits::{DESCRIPTOR, RELAYS, ROSTER, ROSTER_LIFE, SLOTS};
use crate::time::Timestamp;

/// The label of a roster's signature.
const LABEL: &str = "valise1/roster";

/// A roster. Who holds one holds one whose fields are within their limits.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Roster {
    #[n(0)]
    address: Address,
    #[n(1)]
    epoch: u64,
    #[n(2)]
    issued: Timestamp,
    #[n(3)]
    not_after: Timestamp,
    #[n(4)]
    devices: Vec<Device>,
    #[n(5)]
    relays: Vec<RelayBytes>,
    #[n(6)]
    profile: Profile,
    /// Absent where there are none.
    #[n(7)]
    reading: Option<Vec<RelayBytes>>,
}

/// A signed descriptor's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
struct RelayBytes(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);

/// A roster's exact bytes with the root key's signature, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRoster {
    /// The bytes signed.
    pub bytes: Vec<u8>,
    /// The signature.
    pub signature: Signature,
}

impl Roster {
    /// A roster issued now, for 90 days.
    ///
    /// # Errors
    /// [`CardError::Malformed`] when a field is over its limit, keys repeat, or the whole is over 20,480 bytes.
    pub fn new(
        address: Address,
        epoch: u64,
        devices: Vec<Device>,
        relays: Vec<Vec<u8>>,
        profile: Profile,
        now: Timestamp,
    ) -> Result<Self, CardError> {
        let relays = relays.into_iter().map(RelayBytes).collect();
        let roster = Self {
            address,
            epoch,
            issued: now,
            not_after: now.plus(ROSTER_LIFE),
            devices,
            relays,
            profile,
            reading: None,
        };
        roster.fitting()
    }

    /// The same roster with these relays, as signed descriptors, from which its devices get parcels though they have no inbox there
    /// (spec §5.1, key 7), in place of those it had.
    ///
    /// # Errors
    /// [`CardError::Malformed`] when one of them is there twice or among the relays, all together are more than 8, or a limit is passed.
    pub fn reading_at(self, relays: Vec<Vec<u8>>) -> Result<Self, CardError> {
        let relays: Vec<RelayBytes> = relays.into_iter().map(RelayBytes).collect();
        let reading = (!relays.is_empty()).then_some(relays);
        Self { reading, ..self }.fitting()
    }

    /// The same mechanism's next roster: a higher number, other devices, dates from now.
    ///
    /// # Errors
    /// As [`Roster::new`].
    pub fn succeeded_by(&self, devices: Vec<Device>, now: Timestamp) -> Result<Self, CardError> {
        let relays = self.relays.iter().map(|relay| relay.0.clone()).collect();
        let next = Self::new(
            self.address,
            self.epoch.checked_add(1).ok_or(CardError::Malformed)?,
            devices,
            relays,
            self.profile.clone(),
            now,
        )?;
        next.reading_at(self.reading_relays().map(<[u8]>::to_vec).collect())
    }

    /// Signs it.
    pub fn sign(&self, root: &SigningKey) -> SignedRoster {
        let bytes = cbor::encode(self);
        let signature = root.sign(LABEL, &bytes);
        SignedRoster { bytes, signature }
    }

    fn fitting(self) -> Result<Self, CardError> {
        self.check()?;
        if cbor::encode(&self).len() > ROSTER {
            Err(CardError::Malformed)
        } else {
            Ok(self)
        }
    }

    fn check(&self) -> Result<(), CardError> {
        let mut keys: Vec<&[u8; 32]> = self.devices.iter().flat_map(Device::keys).collect();
        keys.sort_unstable();
        let fits = self.epoch >= 1
            && (1..=SLOTS).contains(&self.devices.len())
            && keys.windows(2).all(|pair| pair[0] != pair[1])
            && (1..=RELAYS).contains(&self.relays.len())
            && self.relays.iter().all(|relay| relay.0.len() <= DESCRIPTOR)
            && self.profile.fits()
            && self.reading.as_ref().is_none_or(|it| self.reads_well(it));
        if fits {
            Ok(())
        } else {
            Err(CardError::Malformed)
        }
    }

    /// Whether these may be the relays for reading: none of them is there twice, nor among the relays with an inbox.
    fn reads_well(&self, reading: &[RelayBytes]) -> bool {
        let fits = !reading.is_empty()
            && self.relays.len() + reading.len() <= RELAYS
            && reading.iter().all(|relay| relay.0.len() <= DESCRIPTOR);
        let ids = |relays: &[RelayBytes]| -> Vec<RelayId> {
            let read = relays.iter().filter_map(|it| descriptor_in(&it.0));
            read.map(|descriptor| descriptor.id()).collect()
        };
        // Signatures are looked at only where there is such a key, and it is not too long.
        fits && {
            let (with_inbox, mut seen) = (ids(&self.relays), BTreeSet::new());
            let mut ids = ids(reading).into_iter();
            ids.all(|id| !with_inbox.contains(&id) && seen.insert(*id.as_bytes()))
        }
    }

    /// Whose it is.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Its number.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When it was issued.
    pub const fn issued(&self) -> Timestamp {
        self.issued
    }

    /// When it runs out.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The devices, 1 to 8.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The relays, each a signed descriptor's bytes.
    pub fn relays(&self) -> impl Iterator<Item = &[u8]> {
        self.relays.iter().map(|relay| relay.0.as_slice())
    }

    /// The relays from which its devices get parcels though they have no inbox there, each a signed descriptor's bytes.
    pub fn reading_relays(&self) -> impl Iterator<Item = &[u8]> {
        self.reading
            .iter()
            .flatten()
            .map(|relay| relay.0.as_slice())
    }

    /// What the mechanism says of itself.
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Whether a device with this identity key is on it.
    pub fn has_identity(&self, identity: &DhPublic) -> bool {
        self.devices
            .iter()
            .any(|device| device.identity == *identity)
    }

    /// Whether a device with this signing key is on it.
    pub fn has_signing_key(&self, signing: &VerifyingKey) -> bool {
        self.devices.iter().any(|device| device.signing == *signing)
    }
}

/// A descriptor on a roster, if it verifies; whether it holds now is left aside (spec §5.1).
pub(super) fn descriptor_in(bytes: &[u8]) -> Option<Descriptor> {
    SignedDescriptor::decode(bytes).ok()?.verify_undated().ok()
}

impl SignedRoster {
    /// Checks signature, shape and address; dates are not looked at.
    ///
    /// # Errors
    /// [`CardError::BadSignature`], [`CardError::Malformed`], [`CardError::WrongAddress`].
    pub fn verify(&self, root: &VerifyingKey, address: Address) -> Result<Roster, CardError> {
        if self.bytes.len() > ROSTER {
            return Err(CardError::Malformed);
        }
        root.verify(LABEL, &self.bytes, &self.signature)?;
        let roster: Roster = cbor::decode(&self.bytes)?;
        roster.check()?;
        if roster.address == address {
            Ok(roster)
        } else {
            Err(CardError::WrongAddress)
        }
    }
}
