//! The index: where each envelope lies. Thrown away and rebuilt at every start. What polls look for, and most of the bytes, is
//! one sled tree; what only deposits and removals ask for, and nearly always in vain, is in memory.
//!
//! ```text
//! tree: key                               value
//! mailbox 16 ‖ cursor 8                   kind 1 ‖ segment 4 ‖ slot 4 ‖ day 4 ‖ withdraw 16 ‖ digest 16 ‖ device 8 × 0…8
//!
//! in memory: withdraw 16, digest 16 → cursor 8, for each envelope; mailbox 16 → envelopes 4 ‖ last cursor 8
//! ```
//!
//! sled keeps what was deleted from it, loses what it called flushed, and may not open again. None of it matters here: the
//! index is never read by another process, and all names in it are hashed under a key that this process does not write down.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand_core::Rng;
use valise_protocol::hash::hmac_sha256;
use zeroize::Zeroizing;

use super::keys::Mark;
use super::record::{Envelope, MailKind};
use super::segment::Place;
use crate::store::devices::Devices;
use crate::store::{DeviceTag, Reader};

/// The index of one open spool.
pub(super) struct Index {
    tree: sled::Db,
    known: Mutex<Known>,
    pepper: Zeroizing<[u8; 32]>,
}

/// What is asked for by name.
#[derive(Default)]
struct Known {
    tallies: HashMap<Name, Tally>,
    /// How many of the tallies are of empty mailboxes.
    empty: usize,
    withdraws: HashMap<Name, u64>,
    digests: HashMap<Name, u64>,
}

/// A mailbox, withdraw hash or digest as the index names it. Those of two mailboxes are never the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(Mark);

/// What the index calls an envelope.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub mailbox: Name,
    pub withdraw: Name,
    pub digest: Name,
}

/// What the index knows of an envelope. Its devices are blinded.
pub(super) struct Entry {
    pub kind: MailKind,
    pub place: Place,
    pub day: u32,
    pub devices: Devices,
    withdraw: Name,
    digest: Name,
}

/// How many envelopes a mailbox holds, and the last cursor it gave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub held: u32,
    pub last: u64,
}

/// A reader with blinded tags.
pub(super) struct BlindReader {
    tags: Option<(DeviceTag, Vec<DeviceTag>)>,
}

impl BlindReader {
    pub fn reader(&self) -> Reader<'_> {
        match &self.tags {
            None => Reader::Holder,
            Some((me, roster)) => Reader::Device { me: *me, roster },
        }
    }
}

impl Index {
    /// An empty index in `dir`, in the place of whatever is there.
    pub fn create(dir: &Path, rng: &mut impl Rng) -> io::Result<Self> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE)
            .mode(sled::Mode::LowSpace)
            // Nobody reads it after a crash, and its flushes would only stand in the way of the segments'.
            .flush_every_ms(None);
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let tree = opened
            .map_err(|_| io::Error::other("the index panicked"))?
            .map_err(io_error)?;
        let mut pepper = Zeroizing::new([0; 32]);
        rng.fill_bytes(pepper.as_mut_slice());
        Ok(Self {
            tree,
            known: Mutex::default(),
            pepper,
        })
    }

    pub fn blind(&self, mailbox: &Mark) -> Name {
        Name(self.hash(b'm', &[mailbox]))
    }

    pub fn blind_digest(&self, mailbox: Name, digest: &Mark) -> Name {
        Name(self.hash(b'd', &[&mailbox.0, digest]))
    }

    pub fn names(&self, mailbox: &Mark, withdraw: &Mark, digest: &Mark) -> Names {
        let mailbox = self.blind(mailbox);
        Names {
            mailbox,
            withdraw: Name(self.hash(b'w', &[&mailbox.0, withdraw])),
            digest: self.blind_digest(mailbox, digest),
        }
    }

    pub fn blind_reader(&self, reader: Reader<'_>) -> BlindReader {
        let tags = match reader {
            Reader::Holder => None,
            Reader::Device { me, roster } => Some((self.blind_tag(me), self.blind_roster(roster))),
        };
        BlindReader { tags }
    }

    pub fn blind_roster(&self, roster: &[DeviceTag]) -> Vec<DeviceTag> {
        roster.iter().map(|tag| self.blind_tag(*tag)).collect()
    }

    pub fn tally(&self, mailbox: Name) -> Tally {
        let known = self.known();
        known.tallies.get(&mailbox).copied().unwrap_or_default()
    }

    pub fn find_digest(&self, digest: Name) -> Option<u64> {
        self.known().digests.get(&digest).copied()
    }

    pub fn find_withdraw(&self, withdraw: Name) -> Option<u64> {
        self.known().withdraws.get(&withdraw).copied()
    }

    pub fn entry(&self, mailbox: Name, cursor: u64) -> sled::Result<Option<Entry>> {
        let value = self.tree.get(entry_key(mailbox, cursor))?;
        Ok(value.as_deref().and_then(Entry::decode))
    }

    pub fn insert(&self, names: &Names, envelope: &Envelope, place: Place) -> sled::Result<()> {
        let entry = Entry {
            kind: envelope.kind,
            place,
            day: envelope.day,
            devices: self.blind_devices(&envelope.devices),
            withdraw: names.withdraw,
            digest: names.digest,
        };
        let cursor = envelope.cursor;
        self.tree
            .insert(entry_key(names.mailbox, cursor), entry.encode())?;
        let mut known = self.known();
        known.digests.insert(names.digest, cursor);
        known.withdraws.insert(names.withdraw, cursor);
        let was = known.tallies.get(&names.mailbox).copied();
        let was_empty = was.is_some_and(|tally| tally.held == 0);
        known.empty = known.empty.saturating_sub(was_empty.into());
        let was = was.unwrap_or_default();
        let tally = Tally {
            held: was.held + 1,
            last: was.last.max(cursor),
        };
        known.tallies.insert(names.mailbox, tally);
        Ok(())
    }

    pub fn set_devices(&self, mailbox: Name, cursor: u64, devices: &Devices) -> sled::Result<()> {
        if let Some(mut entry) = self.entry(mailbox, cursor)? {
            entry.devices = self.blind_devices(devices);
            self.tree
                .insert(entry_key(mailbox, cursor), entry.encode())?;
        }
        Ok(())
    }

    pub fn set_place(&self, mailbox: Name, cursor: u64, place: Place) -> sled::Result<()> {
        if let Some(mut entry) = self.entry(mailbox, cursor)? {
            entry.place = place;
            self.tree
                .insert(entry_key(mailbox, cursor), entry.encode())?;
        }
        Ok(())
    }

    /// Removes an envelope; `None` where it is not in the index.
    pub fn remove(&self, mailbox: Name, cursor: u64) -> sled::Result<Option<Entry>> {
        let Some(value) = self.tree.remove(entry_key(mailbox, cursor))? else {
            return Ok(None);
        };
        let Some(entry) = Entry::decode(&value) else {
            return Ok(None);
        };
        let mut known = self.known();
        // A replacement has the same withdraw hash: its cursor stays.
        if known.digests.get(&entry.digest) == Some(&cursor) {
            known.digests.remove(&entry.digest);
        }
        if known.withdraws.get(&entry.withdraw) == Some(&cursor) {
            known.withdraws.remove(&entry.withdraw);
        }
        let emptied = known.tallies.get_mut(&mailbox).is_some_and(|tally| {
            tally.held = tally.held.saturating_sub(1);
            tally.held == 0
        });
        known.empty += usize::from(emptied);
        drop(known);
        Ok(Some(entry))
    }

    /// The envelopes of a mailbox beyond a cursor, ascending.
    pub fn beyond(
        &self,
        mailbox: Name,
        after: u64,
    ) -> impl Iterator<Item = sled::Result<(u64, Entry)>> + use<> {
        let range = match after.checked_add(1) {
            Some(first) => entry_key(mailbox, first)..=entry_key(mailbox, u64::MAX),
            None => entry_key(mailbox, 1)..=entry_key(mailbox, 0),
        };
        self.tree
            .range(range)
            .filter_map(decode_item)
            .map(|item| item.map(|(_, cursor, entry)| (cursor, entry)))
    }

    /// All envelopes.
    pub fn all(&self) -> impl Iterator<Item = sled::Result<(Name, u64, Entry)>> + use<> {
        self.tree.iter().filter_map(decode_item)
    }

    /// How many empty mailboxes are remembered.
    pub fn empty(&self) -> usize {
        self.known().empty
    }

    /// Forgets where empty mailboxes stood. Right only after cursors have entered a new epoch.
    pub fn forget_empty(&self) {
        let mut known = self.known();
        known.tallies.retain(|_, tally| tally.held > 0);
        known.tallies.shrink_to_fit();
        known.empty = 0;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blind_tag(&self, tag: DeviceTag) -> DeviceTag {
        let hash = self.hash(b't', &[&tag.0]);
        DeviceTag(*hash.first_chunk().expect("8 of 16 bytes"))
    }

    fn blind_devices(&self, devices: &Devices) -> Devices {
        Devices::of(devices.tags().iter().map(|tag| self.blind_tag(*tag)))
    }

    fn hash(&self, kind: u8, parts: &[&[u8]]) -> Mark {
        let kind = [kind];
        let mut all: Vec<&[u8]> = vec![&kind];
        all.extend_from_slice(parts);
        let hash = hmac_sha256(self.pepper.as_slice(), &all);
        *hash.first_chunk().expect("16 of 32 bytes")
    }
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(45 + 8 * self.devices.tags().len());
        out.push(matches!(self.kind, MailKind::Return).into());
        out.extend_from_slice(&self.place.name());
        out.extend_from_slice(&self.day.to_be_bytes());
        out.extend_from_slice(&self.withdraw.0);
        out.extend_from_slice(&self.digest.0);
        for tag in self.devices.tags() {
            out.extend_from_slice(&tag.0);
        }
        out
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (kind, rest) = value.split_first()?;
        let (segment, rest) = rest.split_first_chunk()?;
        let (slot, rest) = rest.split_first_chunk()?;
        let (day, rest) = rest.split_first_chunk()?;
        let (withdraw, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk()?;
        let (tags, _) = rest.as_chunks();
        Some(Self {
            kind: if *kind == 0 {
                MailKind::Inbox
            } else {
                MailKind::Return
            },
            place: Place::new(u32::from_be_bytes(*segment), u32::from_be_bytes(*slot)),
            day: u32::from_be_bytes(*day),
            devices: Devices::of(tags.iter().map(|tag| DeviceTag(*tag))),
            withdraw: Name(*withdraw),
            digest: Name(*digest),
        })
    }
}

/// The error of the index as the rest of the store knows errors. sled's own texts hold no names.
pub(super) fn io_error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(format!("the index failed: {other}")),
    }
}

fn decode_item(
    item: sled::Result<(sled::IVec, sled::IVec)>,
) -> Option<sled::Result<(Name, u64, Entry)>> {
    let (key, value) = match item {
        Ok(item) => item,
        Err(error) => return Some(Err(error)),
    };
    let (mailbox, cursor) = key.split_first_chunk()?;
    let cursor = u64::from_be_bytes(cursor.try_into().ok()?);
    Some(Ok((Name(*mailbox), cursor, Entry::decode(&value)?)))
}

fn entry_key(mailbox: Name, cursor: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&mailbox.0);
    key[16..].copy_from_slice(&cursor.to_be_bytes());
    key
}

const CACHE: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::system_rng;
    use super::*;

    fn envelope(mailbox: u8, cursor: u64) -> Envelope {
        Envelope {
            kind: MailKind::Return,
            mailbox: [mailbox; 16],
            withdraw: [cursor as u8; 16],
            digest: [cursor as u8; 16],
            cursor,
            day: 1,
            devices: Devices::default(),
        }
    }

    #[test]
    fn mailboxes_count_as_empty_from_their_last_removal_to_their_next_deposit() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::create(&dir.path().join("index"), &mut system_rng()).unwrap();
        let insert = |mailbox, cursor| {
            let envelope = envelope(mailbox, cursor);
            let names = index.names(&envelope.mailbox, &envelope.withdraw, &envelope.digest);
            index.insert(&names, &envelope, Place::new(1, 1)).unwrap();
            names.mailbox
        };
        let (first, second) = (insert(1, 7), insert(2, 8));
        insert(1, 9);
        for (mailbox, cursor, empty) in
            [(first, 7, 0), (first, 7, 0), (first, 9, 1), (second, 8, 2)]
        {
            index.remove(mailbox, cursor).unwrap();
            assert_eq!(index.empty(), empty);
        }
        insert(1, 10);
        assert_eq!(index.empty(), 1);
        index.forget_empty();
        assert_eq!(index.empty(), 0);
        assert_eq!(index.tally(second), Tally::default());
        assert_eq!(index.tally(first), Tally { held: 1, last: 10 });
    }
}
