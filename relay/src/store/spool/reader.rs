//! Reads: a place from the index, a slot and an extent from the segment. Any thread may read while the writer writes.

use std::time::Duration;

use valise_protocol::id::{Address, Namespace};
use valise_protocol::limits::ENVELOPE;
use valise_protocol::parcel::ParcelBuffer;
use valise_protocol::time::Timestamp;

use super::disk::readable;
use super::index::{BlindReader, Name, io_error};
use super::record::{Body, ParcelName, Record};
use super::segment::Place;
use super::shared::Shared;
use crate::store::{Cursor, MORE, Mailbox, StoreError, Waiting, expired};

/// What a poll found.
pub(super) enum Found {
    Nothing,
    Waiting(Waiting),
    /// An envelope that the index knows and the segment does not give; the writer should set it aside.
    Damaged(Name, u64),
}

/// The first envelope beyond `after` for this reader.
pub(super) fn next(
    shared: &Shared,
    mailbox: Mailbox,
    who: &BlindReader,
    after: Cursor,
    now: Timestamp,
) -> Result<Found, StoreError> {
    let mark = shared.keys().mailbox(mailbox);
    let blind = shared.index.blind(&mark);
    let mut failed: Option<(u64, u32)> = None;
    loop {
        let mut waiting = shared.index.beyond(blind, after.0).filter(|item| {
            item.as_ref().is_ok_and(|(_, entry)| {
                !expired(entry.day, now) && !entry.devices.hide_from(who.reader())
            }) || item.is_err()
        });
        let Some((cursor, entry)) = waiting.next().transpose().map_err(io_error)? else {
            return Ok(Found::Nothing);
        };
        let belongs = |body: &Body| matches!(body, Body::Envelope(found) if found.mailbox == mark && found.cursor == cursor);
        if let Some(envelope) = read_envelope(shared, entry.place, belongs)? {
            let more = waiting.take(MORE as usize).count() as u32;
            let cursor = Cursor(cursor);
            return Ok(Found::Waiting(Waiting {
                cursor,
                envelope,
                more,
            }));
        }
        // The writer may be wiping or rewrapping this very slot: what was removed is gone from the index at the next look.
        let times = failed
            .filter(|(at, _)| *at == cursor)
            .map_or(1, |(_, times)| times + 1);
        if times > TRIES {
            return Ok(Found::Damaged(blind, cursor));
        }
        failed = Some((cursor, times));
        std::thread::sleep(PAUSE);
    }
}

/// What was found of a card.
pub(super) enum FoundCard {
    Nothing,
    Card(Vec<u8>),
    /// It lies here and cannot be read; the writer should set it aside.
    Damaged(Place),
}

/// The newest card of an inbox.
pub(super) fn card(shared: &Shared, address: Address) -> Result<FoundCard, StoreError> {
    let mut tries = 0;
    loop {
        let served = shared.served().get(&address).copied();
        let card = served.ok_or(StoreError::UnknownInbox)?.card;
        let Some(card) = card.filter(|card| !card.damaged) else {
            return Ok(FoundCard::Nothing);
        };
        let belongs =
            |body: &Body| matches!(body, Body::Card { address: found, .. } if *found == address);
        if let Some((_, payload)) = read(shared, card.place, belongs)? {
            return Ok(FoundCard::Card(payload));
        }
        tries += 1;
        if tries > TRIES {
            return Ok(FoundCard::Damaged(card.place));
        }
        std::thread::sleep(PAUSE);
    }
}

/// What was found of a parcel.
pub(super) enum FoundParcel {
    Nothing,
    Parcel(ParcelBuffer),
    /// It lies here and cannot be read; the writer should set it aside.
    Damaged(ParcelName, Place),
}

/// A parcel of an attachment.
pub(super) fn parcel(
    shared: &Shared,
    namespace: Namespace,
    index: u32,
    now: Timestamp,
) -> Result<FoundParcel, StoreError> {
    let namespace = shared.keys().namespace(namespace);
    let name = ParcelName { namespace, index };
    let mut tries = 0;
    loop {
        let found = shared.parcels.find(name);
        let Some((known, place)) = found.filter(|(known, _)| !expired(known.day, now)) else {
            return Ok(FoundParcel::Nothing);
        };
        let belongs = |body: &Body| *body == Body::Parcel(known);
        if let Some((_, payload)) = read(shared, place, belongs)?
            && let Some(parcel) = ParcelBuffer::from_sealed(payload)
        {
            return Ok(FoundParcel::Parcel(parcel));
        }
        tries += 1;
        if tries > TRIES {
            return Ok(FoundParcel::Damaged(name, place));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Reads and authenticates the payload of a record. `None`: wiped, damaged, unreadable, or not the record that was meant.
pub(super) fn read(
    shared: &Shared,
    place: Place,
    belongs: impl Fn(&Body) -> bool,
) -> Result<Option<(Body, Vec<u8>)>, StoreError> {
    let Some(segment) = shared.segment(place) else {
        return Ok(None);
    };
    // It may have been deleted since: what was in it is elsewhere, or gone.
    let Some(handle) = readable(segment.open())? else {
        return Ok(None);
    };
    let Some(slot) = handle.read_slot(&*shared.disk, place.slot)? else {
        return Ok(None);
    };
    let Some(record) = Record::unwrap(&slot, shared.keys().wrapping(), place) else {
        return Ok(None);
    };
    if !belongs(&record.body) {
        return Ok(None);
    }
    let length = record.seal.length;
    let Some(mut payload) = handle.read_extent(&*shared.disk, place.slot, length)? else {
        return Ok(None);
    };
    let opened = record.seal.open(&mut payload);
    Ok(opened.ok().map(|()| (record.body, payload)))
}

fn read_envelope(
    shared: &Shared,
    place: Place,
    belongs: impl Fn(&Body) -> bool,
) -> Result<Option<Box<[u8; ENVELOPE]>>, StoreError> {
    let Some((_, payload)) = read(shared, place, belongs)? else {
        return Ok(None);
    };
    Ok(payload.into_boxed_slice().try_into().ok())
}

/// How often a record that cannot be read is looked up again before it counts as damaged.
const TRIES: u32 = 3;
/// Between two looks: longer than the writer takes over one slot.
const PAUSE: Duration = Duration::from_millis(1);
