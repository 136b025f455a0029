//! What a checked card gives its reader: who can read, and how sure that is (spec §5.2, §5.3).

use std::fmt;

use thiserror::Error;

use crate::card::Card;
use crate::card::roster::{Device, Roster};
use crate::card::statement::PrekeyStatement;
use crate::descriptor::Descriptor;
use crate::id::Address;
use crate::key::DhPublic;
use crate::prekey::Prekey;
use crate::time::Timestamp;

/// A card that passed rules 1 to 5 of spec §5.3. Rule 6 is that of [`VerifiedCard::readers`].
#[derive(Clone, Debug)]
pub struct VerifiedCard {
    pub(super) card: Card,
    pub(super) relays: Vec<Descriptor>,
}

/// How many devices of how many have a fresh prekey. `Display` says `2 of 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Devices with a fresh prekey.
    pub fresh: usize,
    /// Devices on the roster.
    pub devices: usize,
}

/// Rule 6 of spec §5.3: not more than half of the devices are fresh. The mechanism's staff are at fault, or the relay holds
/// back a newer card.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "only {fresh} of the mechanism's {devices} devices renewed their keys lately, more than half must have"
)]
pub struct TooFewFresh {
    /// Devices with a fresh prekey.
    pub fresh: usize,
    /// Devices on the roster.
    pub devices: usize,
}

impl VerifiedCard {
    /// The card itself.
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// The mechanism's address.
    pub const fn address(&self) -> Address {
        self.roster().address
    }

    /// The roster's epoch: what a reader remembers, for rule 5.
    pub const fn epoch(&self) -> u64 {
        self.roster().epoch
    }

    /// The roster.
    pub const fn roster(&self) -> &Roster {
        &self.card.proof.roster
    }

    /// The relays whose descriptor this build can read, the preferred one first.
    pub fn relays(&self) -> &[Descriptor] {
        &self.relays
    }

    /// The statement of the device with this index on the roster.
    pub fn statement(&self, device: usize) -> Option<&PrekeyStatement> {
        let signing = self.roster().devices.get(device)?.signing;
        let mut statements = self.card.statements.iter().map(|s| s.statement());
        statements.find(|s| s.signing == signing)
    }

    /// The fresh prekeys, each with its device's index on the roster.
    pub fn fresh(&self, now: Timestamp) -> Vec<(usize, Prekey)> {
        self.prekeys(|statement| statement.is_fresh(now))
    }

    /// How many devices of how many are fresh.
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        Freshness {
            fresh: self.fresh(now).len(),
            devices: self.roster().devices.len(),
        }
    }

    /// Whether more than half of the devices are fresh; of two, both.
    pub fn majority_is_fresh(&self, now: Timestamp) -> bool {
        let Freshness { fresh, devices } = self.freshness(now);
        2 * fresh > devices
    }

    /// The prekeys to seal to, under rule 6.
    ///
    /// # Errors
    /// [`TooFewFresh`].
    pub fn readers(&self, now: Timestamp) -> Result<Vec<Prekey>, TooFewFresh> {
        if self.majority_is_fresh(now) {
            return Ok(self.fresh(now).into_iter().map(|(_, key)| key).collect());
        }
        let Freshness { fresh, devices } = self.freshness(now);
        Err(TooFewFresh { fresh, devices })
    }

    /// The prekeys to seal to where rule 6 failed **and a person was told so and goes on**: all that are at most 60 days old.
    ///
    /// A thief with a device that was removed since, and a relay that holds back the newer card, read what is sealed to these.
    /// There may be none.
    pub fn dangerously_stale_readers(&self, now: Timestamp) -> Vec<Prekey> {
        self.prekeys(|statement| statement.is_at_most_stale(now))
            .into_iter()
            .map(|(_, key)| key)
            .collect()
    }

    /// The device that writes with this key.
    pub fn device_with_identity(&self, key: &DhPublic) -> Option<&Device> {
        self.roster().device_with_identity(key)
    }

    /// The device that polls and publishes with this key.
    pub fn device_with_link(&self, key: &DhPublic) -> Option<&Device> {
        self.roster().device_with_link(key)
    }

    /// The link keys of all devices, in the roster's order.
    pub fn link_keys(&self) -> impl Iterator<Item = DhPublic> {
        self.roster().devices.iter().map(|device| device.link)
    }

    fn prekeys(&self, usable: impl Fn(&PrekeyStatement) -> bool) -> Vec<(usize, Prekey)> {
        let of_device = |index| {
            let statement = self.statement(index).filter(|s| usable(s))?;
            Some((index, statement.prekey()))
        };
        (0..self.roster().devices.len())
            .filter_map(of_device)
            .collect()
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.fresh, self.devices)
    }
}
