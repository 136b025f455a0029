//! Removing envelopes and parcels: slots are wiped or rewritten in place, made durable, and then the extents are punched out.
//!
//! Nothing here needs room on the disk, so that a full one can be emptied.

use std::collections::BTreeMap;
use std::io;

use valise_protocol::id::{Address, EnvelopeDigest};
use valise_protocol::time::Timestamp;

use super::deposits::Batch;
use super::disk::{is_unreadable, pass_if_full, readable};
use super::index::{BlindReader, Entry, Name, io_error};
use super::keys::Mark;
use super::parcels::Doomed;
use super::record::{Body, Envelope, ParcelName, Record};
use super::segment::{Place, SLOT, Segment};
use super::shared::Shared;
use crate::store::{DeviceTag, Mailbox, Reader, expired};

/// What is to be removed.
pub(super) enum Removal {
    /// What a reader collected.
    Collected {
        mailbox: Mark,
        reader: OwnedReader,
        digests: Vec<Mark>,
    },
    /// What all devices of a roster (blinded) have removed.
    Settled {
        mailbox: Mark,
        roster: Vec<DeviceTag>,
    },
    /// What a sender takes back from an inbox, by its withdraw hash.
    Withdrawn { mailbox: Mark, withdraw: Mark },
    /// The parcels of an attachment.
    Deleted(Mark),
    /// What has expired.
    Expired(Timestamp),
}

/// A [`Reader`] that can be sent to the writer, as the slots know it and as the index does.
pub(super) struct OwnedReader {
    tags: Option<(DeviceTag, Vec<DeviceTag>)>,
    blind: BlindReader,
}

impl OwnedReader {
    fn of(reader: Reader<'_>, blind: BlindReader) -> Self {
        let tags = match reader {
            Reader::Holder => None,
            Reader::Device { me, roster } => Some((me, roster.to_vec())),
        };
        Self { tags, blind }
    }

    fn reader(&self) -> Reader<'_> {
        match &self.tags {
            None => Reader::Holder,
            Some((me, roster)) => Reader::Device { me: *me, roster },
        }
    }
}

impl Shared {
    /// Takes an envelope that cannot be read out of the index. Its slot stays as it is, for whoever wants to look at it.
    pub fn set_aside(&self, mailbox: Name, cursor: u64) -> sled::Result<()> {
        if let Some(entry) = self.index.remove(mailbox, cursor)? {
            self.counts.removed(entry.kind);
            self.counts
                .damaged_at(entry.place, "an envelope cannot be read");
        }
        Ok(())
    }

    /// Takes a parcel that cannot be read out of the index, unless it was moved meanwhile. Its slot stays until it is removed, or put again.
    pub fn set_parcel_aside(&self, name: ParcelName, place: Place) {
        if self.parcels.set_aside(name, place) {
            self.counts.damaged_at(place, "a parcel cannot be read");
        }
    }

    /// Counts a segment whose file cannot be opened any more as one damaged record; those in it count when they are met.
    pub fn segment_damaged(&self, segment: &Segment) {
        let place = Place::new(segment.number, 0);
        self.counts.damaged_at(place, "a segment cannot be opened");
    }

    /// Passes over a card that cannot be read, until the next is published. Its slot stays until then.
    pub fn set_card_aside(&self, address: Address, place: Place) {
        let mut served = self.served_mut();
        let card = served.get_mut(&address).and_then(|it| it.card.as_mut());
        if let Some(card) = card.filter(|card| card.place == place) {
            card.damaged = true;
            self.counts.damaged_at(place, "a card cannot be read");
        }
    }

    /// What a reader asks to have removed.
    pub fn collected(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        digests: &[EnvelopeDigest],
    ) -> Removal {
        let keys = self.keys();
        Removal::Collected {
            mailbox: keys.mailbox(mailbox),
            reader: OwnedReader::of(reader, self.index.blind_reader(reader)),
            digests: digests.iter().map(|digest| keys.digest(*digest)).collect(),
        }
    }
}

/// Slots to be changed: to another record, or wiped.
pub(super) type Edits = BTreeMap<Place, Option<Record>>;

/// Whether nothing that is stored, or decided and on its way to the disk, is what a removal names: then it can be answered at once.
/// Anybody may ask to have removed what never was, and a removal that is carried out holds all deposits and puts up.
pub(super) fn finds_nothing<'a>(
    shared: &Shared,
    mut coming: impl Iterator<Item = &'a Batch> + Clone,
    removal: &Removal,
) -> bool {
    let index = &shared.index;
    match removal {
        Removal::Collected {
            mailbox, digests, ..
        } => {
            let mailbox = index.blind(mailbox);
            digests.iter().all(|digest| {
                let digest = index.blind_digest(mailbox, digest);
                index.find_digest(digest).is_none()
                    && !coming
                        .clone()
                        .any(|batch| batch.brings(|names| names.digest == digest))
            })
        }
        Removal::Withdrawn { mailbox, withdraw } => {
            let withdraw = index.names(mailbox, withdraw, &[0; 16]).withdraw;
            index.find_withdraw(withdraw).is_none()
                && !coming.any(|batch| batch.brings(|names| names.withdraw == withdraw))
        }
        Removal::Deleted(namespace) => {
            !shared.parcels.know(*namespace) && !coming.any(|batch| batch.puts.bring(*namespace))
        }
        Removal::Settled { .. } | Removal::Expired(_) => false,
    }
}

/// Does in the index what a removal asks for, and notes in `edits` what has to follow on the disk.
/// Returns how many envelopes or parcels are gone for everybody.
pub(super) fn plan(shared: &Shared, removal: &Removal, edits: &mut Edits) -> io::Result<u64> {
    match removal {
        Removal::Collected {
            mailbox,
            reader,
            digests,
        } => {
            let mailbox = shared.index.blind(mailbox);
            let mut gone = 0;
            for digest in digests {
                let name = shared.index.blind_digest(mailbox, digest);
                let found = shared.index.find_digest(name);
                if let Some(cursor) = found
                    && collect(shared, mailbox, cursor, reader, edits)?
                {
                    gone += 1;
                }
            }
            Ok(gone)
        }
        Removal::Settled { mailbox, roster } => {
            let mailbox = shared.index.blind(mailbox);
            let mut settled = Vec::new();
            for item in shared.index.beyond(mailbox, 0) {
                let (cursor, entry) = item.map_err(io_error)?;
                if entry.devices.cover(roster) {
                    settled.push((mailbox, cursor));
                }
            }
            drop_all(shared, &settled, edits)
        }
        Removal::Expired(now) => {
            let mut over = Vec::new();
            for item in shared.index.all() {
                let (mailbox, cursor, entry) = item.map_err(io_error)?;
                if expired(entry.day, *now) {
                    over.push((mailbox, cursor));
                }
            }
            let parcels = drop_parcels(shared, Doomed::Past(*now), edits);
            Ok(drop_all(shared, &over, edits)? + parcels)
        }
        Removal::Withdrawn { mailbox, withdraw } => {
            // The digest is another name, which this does not look at.
            let names = shared.index.names(mailbox, withdraw, &[0; 16]);
            let found = shared.index.find_withdraw(names.withdraw);
            let found: Vec<_> = found
                .map(|cursor| (names.mailbox, cursor))
                .into_iter()
                .collect();
            drop_all(shared, &found, edits)
        }
        Removal::Deleted(namespace) => {
            Ok(drop_parcels(shared, Doomed::Attachment(*namespace), edits))
        }
    }
}

/// Removes all mail of a mailbox, and the parcels on its account, as [`plan`] does. Returns how many envelopes are gone.
pub(super) fn plan_all(shared: &Shared, account: &Mark, edits: &mut Edits) -> io::Result<u64> {
    let mailbox = shared.index.blind(account);
    let mut all = Vec::new();
    for item in shared.index.beyond(mailbox, 0) {
        all.push((mailbox, item.map_err(io_error)?.0));
    }
    drop_parcels(shared, Doomed::Account(*account), edits);
    drop_all(shared, &all, edits)
}

/// Carries edits out on the disk. Durable when it returns.
///
/// # Errors
/// Whatever the error, index and disk no longer agree: the store must close.
pub(super) fn apply(shared: &Shared, edits: Edits) -> io::Result<()> {
    let mut by_segment: BTreeMap<u32, Vec<(Place, Option<Record>)>> = BTreeMap::new();
    for (place, edit) in edits {
        by_segment
            .entry(place.segment)
            .or_default()
            .push((place, edit));
    }
    for edits in by_segment.into_values() {
        if let Some(segment) = edits.first().and_then(|(place, _)| shared.segment(*place)) {
            apply_to(shared, &segment, &edits)?;
        }
    }
    Ok(())
}

fn apply_to(
    shared: &Shared,
    segment: &Segment,
    edits: &[(Place, Option<Record>)],
) -> io::Result<()> {
    let disk = &*shared.disk;
    let Some(handle) = readable(segment.open())? else {
        shared.segment_damaged(segment);
        return Ok(());
    };
    let mut rng = super::system_rng();
    let mut stuck = 0;
    for (place, edit) in edits {
        let slot = match edit {
            Some(record) => record.wrap(shared.keys().newest(), *place, &mut rng),
            None => [0; SLOT],
        };
        match handle.write_slots(disk, place.slot, &slot) {
            // Its page cannot be read, so no part of it can be written. The extent goes all the same, and the next rewrap
            // destroys the key; the slot keeps its place.
            Err(error) if is_unreadable(&error) => {
                let counts = &shared.counts;
                counts.damaged_at(*place, "a slot cannot be written");
                stuck += u32::from(edit.is_none());
            }
            written => written?,
        }
    }
    handle.sync(disk)?;
    // Only now: a hole under a slot that a power cut brought back would look like damage.
    let wiped: Vec<u32> = edits
        .iter()
        .filter(|(_, edit)| edit.is_none())
        .map(|(place, _)| place.slot)
        .collect();
    for run in wiped.chunk_by(|a, b| a + 1 == *b) {
        // Splitting an extent can need room itself. The key is gone; the bytes go at the next start.
        handle
            .punch(run[0], run.len() as u32)
            .or_else(pass_if_full)?;
    }
    segment.drop_live(wiped.len() as u32 - stuck);
    Ok(())
}

/// Notes that a reader has removed an envelope. Returns whether it is gone for everybody.
fn collect(
    shared: &Shared,
    mailbox: Name,
    cursor: u64,
    reader: &OwnedReader,
    edits: &mut Edits,
) -> io::Result<bool> {
    let Some(mut entry) = shared.index.entry(mailbox, cursor).map_err(io_error)? else {
        return Ok(false);
    };
    // The index knows who has removed it, so that a slot that is to be wiped need not be read.
    if entry.devices.note(reader.blind.reader()) {
        return drop_all(shared, &[(mailbox, cursor)], edits).map(|gone| gone > 0);
    }
    match take(shared, &entry, edits)? {
        Some((mut record, mut envelope)) => {
            envelope.devices.note(reader.reader());
            let noted = shared.index.set_devices(mailbox, cursor, &envelope.devices);
            noted.map_err(io_error)?;
            record.body = Body::Envelope(envelope);
            edits.insert(entry.place, Some(record));
        }
        None => shared.set_aside(mailbox, cursor).map_err(io_error)?,
    }
    Ok(false)
}

/// The record of an envelope, with the edits of this batch; `None` where it cannot be read.
fn take(
    shared: &Shared,
    entry: &Entry,
    edits: &mut Edits,
) -> io::Result<Option<(Record, Envelope)>> {
    let place = entry.place;
    let record = match edits.remove(&place) {
        Some(edit) => edit,
        None => match shared.segment(place) {
            Some(segment) => readable(segment.open())?
                .map_or(Ok(None), |handle| {
                    handle.read_slot(&*shared.disk, place.slot)
                })?
                .and_then(|slot| Record::unwrap(&slot, shared.keys().wrapping(), place)),
            None => None,
        },
    };
    Ok(record.and_then(|record| match &record.body {
        Body::Envelope(envelope) => {
            let envelope = envelope.clone();
            Some((record, envelope))
        }
        _ => None,
    }))
}

/// Returns how many are gone that were there; what had been set aside goes with them, and was gone for everybody already.
fn drop_parcels(shared: &Shared, doomed: Doomed, edits: &mut Edits) -> u64 {
    let (places, aside) = shared.parcels.remove(doomed);
    let gone = places.len() as u64;
    edits.extend(places.into_iter().chain(aside).map(|place| (place, None)));
    gone
}

fn drop_all(shared: &Shared, doomed: &[(Name, u64)], edits: &mut Edits) -> io::Result<u64> {
    let mut gone = 0;
    for (mailbox, cursor) in doomed {
        if let Some(entry) = shared.index.remove(*mailbox, *cursor).map_err(io_error)? {
            shared.counts.removed(entry.kind);
            edits.insert(entry.place, None);
            gone += 1;
        }
    }
    Ok(gone)
}
