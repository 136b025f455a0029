//! Rosters: the devices and relays of a mechanism, signed by its root key (spec §5.1).

use minicbor::{Decode, Encode};

use crate::card::{CardError, Device, Profile};
use crate::cbor;
use crate::id::Address;
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
        };
        roster.check()?;
        if cbor::encode(&roster).len() > ROSTER {
            Err(CardError::Malformed)
        } else {
            Ok(roster)
        }
    }

    /// The same mechanism's next roster: a higher number, other devices, dates from now.
    ///
    /// # Errors
    /// As [`Roster::new`].
    pub fn succeeded_by(&self, devices: Vec<Device>, now: Timestamp) -> Result<Self, CardError> {
        let relays = self.relays.iter().map(|relay| relay.0.clone()).collect();
        Self::new(
            self.address,
            self.epoch.checked_add(1).ok_or(CardError::Malformed)?,
            devices,
            relays,
            self.profile.clone(),
            now,
        )
    }

    /// Signs it.
    pub fn sign(&self, root: &SigningKey) -> SignedRoster {
        let bytes = cbor::encode(self);
        let signature = root.sign(LABEL, &bytes);
        SignedRoster { bytes, signature }
    }

    fn check(&self) -> Result<(), CardError> {
        let mut keys: Vec<&[u8; 32]> = self.devices.iter().flat_map(Device::keys).collect();
        keys.sort_unstable();
        let fits = self.epoch >= 1
            && (1..=SLOTS).contains(&self.devices.len())
            && keys.windows(2).all(|pair| pair[0] != pair[1])
            && (1..=RELAYS).contains(&self.relays.len())
            && self.relays.iter().all(|relay| relay.0.len() <= DESCRIPTOR)
            && self.profile.fits();
        if fits {
            Ok(())
        } else {
            Err(CardError::Malformed)
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
