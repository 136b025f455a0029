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
    /// What was there and could not be read. It is told not to be there and is on no account; but its slots go when it is removed, or
    /// it would be there again after a start.
    aside: Vec<Aside>,
}

#[derive(Clone, Copy)]
struct Aside {
    name: ParcelName,
    place: Place,
    day: u32,
    account: Mark,
}

/// Which parcels are removed together.
#[derive(Clone, Copy)]
pub(super) enum Doomed {
    /// Those of an attachment.
    Attachment(Mark),
    /// Those on the account of an inbox.
    Account(Mark),
    /// Those that have expired.
    Past(Timestamp),
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

    /// Notes a parcel; gives the places of those before, which are to be wiped.
    pub fn insert(&self, parcel: &Parcel, place: Place) -> Vec<Place> {
        let mut known = self.known_mut();
        let entry = Entry {
            place,
            day: parcel.day,
            account: parcel.account,
            digest: parcel.digest,
        };
        *known.accounts.entry(parcel.account).or_default() += 1;
        let before = known.entries.insert(parcel.name, entry);
        let before = before.map(|before| known.forget(before));
        let mut places = known.take_aside(|aside| aside.name == parcel.name);
        places.extend(before);
        places
    }

    /// Where there is another of this name, sets this one aside without having noted it. Whether there is.
    pub fn yield_to_twin(&self, parcel: &Parcel, place: Place) -> bool {
        let mut known = self.known_mut();
        let twin = known.entries.contains_key(&parcel.name);
        if twin {
            known.aside.push(Aside {
                name: parcel.name,
                place,
                day: parcel.day,
                account: parcel.account,
            });
        }
        twin
    }

    /// Whether there is anything of an attachment, or was set aside.
    pub fn know(&self, namespace: Mark) -> bool {
        let known = self.known();
        let mut aside = known.aside.iter();
        known.entries.range(all_of(namespace)).next().is_some()
            || aside.any(|aside| aside.name.namespace == namespace)
    }

    /// Forgets what is doomed: gives the places of what was there, and of what was set aside.
    pub fn remove(&self, doomed: Doomed) -> (Vec<Place>, Vec<Place>) {
        let mut known = self.known_mut();
        let names: Vec<ParcelName> = match doomed {
            Doomed::Attachment(namespace) => {
                let range = known.entries.range(all_of(namespace));
                range.map(|(name, _)| *name).collect()
            }
            Doomed::Account(account) => known.filter(|entry| entry.account == account),
            Doomed::Past(now) => known.filter(|entry| expired(entry.day, now)),
        };
        let removed = names.iter().filter_map(|name| {
            let entry = known.entries.remove(name);
            entry.map(|entry| known.forget(entry))
        });
        let places = removed.collect();
        let aside = known.take_aside(|aside| match doomed {
            Doomed::Attachment(namespace) => aside.name.namespace == namespace,
            Doomed::Account(account) => aside.account == account,
            Doomed::Past(now) => expired(aside.day, now),
        });
        (places, aside)
    }

    /// Sets a parcel aside, unless it lies somewhere else now. Whether it did.
    pub fn set_aside(&self, name: ParcelName, place: Place) -> bool {
        let mut known = self.known_mut();
        let entry = known.entries.get(&name).copied();
        let Some(entry) = entry.filter(|entry| entry.place == place) else {
            return false;
        };
        known.entries.remove(&name);
        known.forget(entry);
        known.aside.push(Aside {
            name,
            place,
            day: entry.day,
            account: entry.account,
        });
        true
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

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn filter(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<ParcelName> {
        let found = self.entries.iter().filter(|(_, entry)| wanted(entry));
        found.map(|(name, _)| *name).collect()
    }

    fn take_aside(&mut self, wanted: impl Fn(&Aside) -> bool) -> Vec<Place> {
        let taken = self.aside.extract_if(.., |aside| wanted(aside));
        taken.map(|aside| aside.place).collect()
    }

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
