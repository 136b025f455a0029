//! Where each parcel lies. In memory, in one ordered tree, and rebuilt at every start: an entry takes 64 bytes and nodes are at
//! least half full, so that a parcel takes 70 to 160 bytes, however they are spread over attachments.

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use valise_protocol::parcel::ParcelSet;
use valise_protocol::time::Timestamp;

use super::keys::Mark;
use super::record::{Parcel, ParcelName};
use super::segment::Place;
use crate::store::expired;

/// The parcels of one open spool.
#[derive(Default)]
pub(super) struct Parcels(RwLock<Known>);

#[derive(Default)]
struct Known {
    entries: BTreeMap<ParcelName, Entry>,
    /// How many each inbox has on its account.
    accounts: HashMap<Mark, u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    place: Place,
    day: u32,
    account: Mark,
    digest: Mark,
}

impl Parcels {
    /// What is known of a parcel, and where it lies.
    pub fn find(&self, name: ParcelName) -> Option<(Parcel, Place)> {
        let known = self.known();
        let entry = known.entries.get(&name)?;
        let parcel = Parcel {
            name,
            account: entry.account,
            digest: entry.digest,
            day: entry.day,
        };
        Some((parcel, entry.place))
    }

    /// Notes a parcel; gives the place of the one before, which is to be wiped.
    pub fn insert(&self, parcel: &Parcel, place: Place) -> Option<Place> {
        let mut known = self.known_mut();
        let entry = Entry {
            place,
            day: parcel.day,
            account: parcel.account,
            digest: parcel.digest,
        };
        *known.accounts.entry(parcel.account).or_default() += 1;
        let before = known.entries.insert(parcel.name, entry);
        before.map(|before| known.forget(before))
    }

    /// Forgets a parcel; gives its place.
    pub fn remove(&self, name: ParcelName) -> Option<Place> {
        let mut known = self.known_mut();
        let before = known.entries.remove(&name);
        before.map(|before| known.forget(before))
    }

    /// Notes that a parcel lies somewhere else now.
    pub fn relocate(&self, name: ParcelName, from: Place, to: Place) {
        let mut known = self.known_mut();
        let entry = known.entries.get_mut(&name);
        if let Some(entry) = entry.filter(|entry| entry.place == from) {
            entry.place = to;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.known().entries.len() as u64
    }

    /// How many an inbox has on its account.
    pub fn on_account(&self, account: &Mark) -> u64 {
        let held = self.known().accounts.get(account).copied();
        u64::from(held.unwrap_or(0))
    }

    /// Which parcels of an attachment are there at this time.
    pub fn set(&self, namespace: Mark, now: Timestamp) -> ParcelSet {
        let mut set = ParcelSet::default();
        for (name, entry) in self.known().entries.range(all_of(namespace)) {
            if !expired(entry.day, now) {
                set.insert(name.index);
            }
        }
        set
    }

    /// All parcels of an attachment.
    pub fn of_attachment(&self, namespace: Mark) -> Vec<ParcelName> {
        let known = self.known();
        let range = known.entries.range(all_of(namespace));
        range.map(|(name, _)| *name).collect()
    }

    /// All parcels on the account of an inbox.
    pub fn of_account(&self, account: &Mark) -> Vec<ParcelName> {
        self.filter(|entry| entry.account == *account)
    }

    /// All parcels that have expired.
    pub fn of_the_past(&self, now: Timestamp) -> Vec<ParcelName> {
        self.filter(|entry| expired(entry.day, now))
    }

    fn filter(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<ParcelName> {
        let known = self.known();
        let found = known.entries.iter().filter(|(_, entry)| wanted(entry));
        found.map(|(name, _)| *name).collect()
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Takes an entry off its account.
    fn forget(&mut self, entry: Entry) -> Place {
        if let Some(held) = self.accounts.get_mut(&entry.account) {
            *held -= 1;
            if *held == 0 {
                self.accounts.remove(&entry.account);
            }
        }
        entry.place
    }
}

fn all_of(namespace: Mark) -> std::ops::RangeInclusive<ParcelName> {
    let name = |index| ParcelName { namespace, index };
    name(0)..=name(u32::MAX)
}
