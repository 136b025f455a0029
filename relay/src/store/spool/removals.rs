//! Removing envelopes: slots are wiped or rewritten in place, made durable, and then the extents are punched out.
//!
//! Nothing here needs room on the disk, so that a full one can be emptied.

use std::collections::BTreeMap;
use std::io;

use valise_protocol::id::EnvelopeDigest;
use valise_protocol::time::Timestamp;

use super::disk::pass_if_full;
use super::index::{Name, io_error};
use super::keys::Mark;
use super::record::{Body, Record};
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
    /// What has expired.
    Expired(Timestamp),
}

/// A [`Reader`] that can be sent to the writer.
pub(super) enum OwnedReader {
    Holder,
    Device {
        me: DeviceTag,
        roster: Vec<DeviceTag>,
    },
}

impl OwnedReader {
    fn of(reader: Reader<'_>) -> Self {
        match reader {
            Reader::Holder => Self::Holder,
            Reader::Device { me, roster } => Self::Device {
                me,
                roster: roster.to_vec(),
            },
        }
    }

    fn reader(&self) -> Reader<'_> {
        match self {
            Self::Holder => Reader::Holder,
            Self::Device { me, roster } => Reader::Device { me: *me, roster },
        }
    }
}

impl Shared {
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
            reader: OwnedReader::of(reader),
            digests: digests.iter().map(|digest| keys.digest(*digest)).collect(),
        }
    }
}

/// Slots to be changed: to another record, or wiped.
pub(super) type Edits = BTreeMap<Place, Option<Record>>;

/// Does in the index what a removal asks for, and notes in `edits` what has to follow on the disk.
/// Returns how many envelopes are gone for everybody.
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
                let found = shared
                    .index
                    .find_digest(shared.index.blind_digest(mailbox, digest))
                    .map_err(io_error)?;
                if let Some(cursor) = found
                    && collect(shared, mailbox, cursor, reader.reader(), edits)?
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
            drop_all(shared, &over, edits)
        }
    }
}

/// Removes all mail of a mailbox, as [`plan`] does.
pub(super) fn plan_all(shared: &Shared, mailbox: &Mark, edits: &mut Edits) -> io::Result<u64> {
    let mailbox = shared.index.blind(mailbox);
    let mut all = Vec::new();
    for item in shared.index.beyond(mailbox, 0) {
        all.push((mailbox, item.map_err(io_error)?.0));
    }
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
    let mut rng = super::system_rng();
    for (place, edit) in edits {
        let slot = match edit {
            Some(record) => record.wrap(shared.keys().newest(), *place, &mut rng),
            None => [0; SLOT],
        };
        segment.write_slots(place.slot, &slot)?;
    }
    segment.sync(&*shared.disk)?;
    // Only now: a hole under a slot that a power cut brought back would look like damage.
    let wiped: Vec<u32> = edits
        .iter()
        .filter(|(_, edit)| edit.is_none())
        .map(|(place, _)| place.slot)
        .collect();
    for run in wiped.chunk_by(|a, b| a + 1 == *b) {
        // Splitting an extent can need room itself. The key is gone; the bytes go at the next start.
        segment
            .punch(run[0], run.len() as u32)
            .or_else(pass_if_full)?;
    }
    segment.drop_live(wiped.len() as u32);
    Ok(())
}

/// Notes that a reader has removed an envelope. Returns whether it is gone for everybody.
fn collect(
    shared: &Shared,
    mailbox: Name,
    cursor: u64,
    reader: Reader<'_>,
    edits: &mut Edits,
) -> io::Result<bool> {
    let Some(entry) = shared.index.entry(mailbox, cursor).map_err(io_error)? else {
        return Ok(false);
    };
    let Some(mut record) = take(shared, entry.place, edits)? else {
        // Its slot is damaged: whoever removes it wants it gone.
        return drop_all(shared, &[(mailbox, cursor)], edits).map(|gone| gone > 0);
    };
    let Body::Envelope(envelope) = &mut record.body else {
        return drop_all(shared, &[(mailbox, cursor)], edits).map(|gone| gone > 0);
    };
    if envelope.devices.note(reader) {
        return drop_all(shared, &[(mailbox, cursor)], edits).map(|gone| gone > 0);
    }
    let noted = shared.index.set_devices(mailbox, cursor, &envelope.devices);
    noted.map_err(io_error)?;
    edits.insert(entry.place, Some(record));
    Ok(false)
}

/// The record of a slot, with the edits of this batch.
fn take(shared: &Shared, place: Place, edits: &mut Edits) -> io::Result<Option<Record>> {
    if let Some(edit) = edits.remove(&place) {
        return Ok(edit);
    }
    let Some(segment) = shared.segment(place) else {
        return Ok(None);
    };
    let slot = segment.read_slot(place.slot)?;
    Ok(Record::unwrap(&slot, shared.keys().wrapping(), place))
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
