//! Rebuilding the index from the heads of the segments, at every start. Payloads are not read, but for the last segment of each
//! sort: only there a power cut can have left a slot without its payload.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use valise_protocol::id::Address;

use super::disk::{pass_if_full, readable};
use super::index::io_error;
use super::record::{Body, Envelope, Record};
use super::removals::{Edits, apply, plan_all};
use super::segment::{Handle, Place, SLOT, Segment, Sort};
use super::served::{Card, Served};
use super::shared::Shared;
use super::writer::Active;
use crate::store::{Mailbox, Standing};

/// A rebuild under way.
pub(super) struct Rebuild<'a> {
    shared: &'a Shared,
    /// Slots to be wiped: sink records, replaced envelopes and cards, mail of inboxes that are being removed.
    wipes: Edits,
    /// Inboxes whose removal was begun, and where it says so.
    leaving: BTreeMap<Address, Place>,
    cards: Vec<(Address, Card)>,
}

impl<'a> Rebuild<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            wipes: Edits::new(),
            leaving: BTreeMap::new(),
            cards: Vec::new(),
        }
    }

    /// Fills index, counts, served inboxes and readers; completes removals that a crash interrupted. Returns where to go on writing.
    pub fn run(mut self) -> io::Result<BTreeMap<Sort, Active>> {
        let segments: Vec<_> = self.shared.segments().values().cloned().collect();
        let last: BTreeMap<Sort, u32> = segments.iter().map(|it| (it.sort, it.number)).collect();
        let mut ends = BTreeMap::new();
        for segment in &segments {
            let is_last = last.get(&segment.sort) == Some(&segment.number);
            let end = self.read(segment, is_last)?;
            ends.insert(segment.sort, (segment, end));
        }
        self.place_cards();
        self.drop_leaving()?;
        let wipes = std::mem::take(&mut self.wipes);
        apply(self.shared, wipes)?;
        // Last, when nothing is left that they would be needed for.
        let leaving = self.leaving.values().map(|place| (*place, None));
        apply(self.shared, leaving.collect())?;
        for segment in &segments {
            if segment.live() == 0 {
                self.shared.segments_mut().remove(&segment.number);
                self.shared.save_manifest()?;
                super::open::discard(self.shared, segment)?;
            }
        }
        let ends = ends.into_iter().filter(|(_, (last, _))| last.live() > 0);
        let active = |last: &Arc<Segment>, end| Active::new(&*self.shared.disk, last.clone(), end);
        ends.map(|(sort, (last, end))| Ok((sort, active(last, end)?)))
            .collect()
    }

    /// Reads one head; returns the first slot that was never used.
    fn read(&mut self, segment: &Segment, last: bool) -> io::Result<u32> {
        let Some(handle) = readable(segment.open())? else {
            // It was there a moment ago: it keeps its place, though nothing is known of what is in it.
            self.shared.segment_damaged(segment);
            segment.add_live(1);
            return Ok(segment.slots);
        };
        let slots = handle.read_head(&*self.shared.disk)?;
        let mut end = 0;
        for (number, slot) in (0..).zip(&slots) {
            if slot.is_some_and(|slot| is_wiped(&slot)) {
                continue;
            }
            end = number + 1;
            segment.add_live(1);
            let place = Place::new(segment.number, number);
            self.read_slot(&handle, slot.as_ref(), place, last)?;
        }
        repunch(segment, &handle, &slots, end)?;
        // What cannot be read may not be written either: a new segment is begun.
        let whole = slots.iter().all(Option::is_some);
        Ok(if whole { end } else { segment.slots })
    }

    fn read_slot(
        &mut self,
        handle: &Handle,
        slot: Option<&[u8; SLOT]>,
        place: Place,
        last: bool,
    ) -> io::Result<()> {
        let counts = &self.shared.counts;
        let Some(slot) = slot else {
            counts.damaged_at(place, "a slot cannot be read");
            return Ok(());
        };
        let record = Record::unwrap(slot, self.shared.keys().wrapping(), place);
        let Some(record) = record else {
            counts.damaged_at(place, "a slot does not open");
            return Ok(());
        };
        if last && record.seal.length > 0 {
            let length = record.seal.length;
            let payload = handle.read_extent(&*self.shared.disk, place.slot, length)?;
            match payload.map(|mut payload| record.seal.open(&mut payload).is_ok()) {
                Some(true) => {}
                Some(false) => {
                    // Torn by a power cut before it was acknowledged, most likely; there is nothing to read in any case.
                    counts.damaged_at(place, "a record of the last segment has no payload");
                    self.wipes.insert(place, None);
                    return Ok(());
                }
                None => {
                    counts.damaged_at(place, "a payload cannot be read");
                    // What there is of the same parcel may be whole: it neither gives way nor is wiped.
                    if let Body::Parcel(parcel) = &record.body
                        && self.shared.parcels.yield_to_twin(parcel, place)
                    {
                        return Ok(());
                    }
                    // It stays in the index: whoever polls it may have more luck.
                }
            }
        }
        self.note(record.body, place)
    }

    fn note(&mut self, body: Body, place: Place) -> io::Result<()> {
        match body {
            Body::Sink => {
                self.wipes.insert(place, None);
            }
            Body::Envelope(envelope) => self.note_envelope(&envelope, place)?,
            Body::Parcel(parcel) => {
                // A crash in the middle of a move leaves two; and one that was damaged may have been put again.
                let before = self.shared.parcels.insert(&parcel, place).into_iter();
                self.wipes.extend(before.map(|before| (before, None)));
            }
            Body::Inbox(address) => self.note_allowed(address, Standing::Inbox, place),
            Body::Reader(address) => self.note_allowed(address, Standing::Reader, place),
            Body::Leaving(address) => {
                if let Some(before) = self.leaving.insert(address, place) {
                    self.wipes.insert(before, None);
                }
            }
            Body::Card { address, sequence } => {
                let card = Card {
                    place,
                    sequence,
                    damaged: false,
                };
                self.cards.push((address, card));
            }
        }
        Ok(())
    }

    /// Of two records of one mechanism the later one counts; but one of an inbox before one of a reader, which it took the place of.
    fn note_allowed(&mut self, address: Address, standing: Standing, place: Place) {
        let mark = self.shared.keys().mailbox(Mailbox::Inbox(address.inbox()));
        let mut all = self.shared.served_mut();
        let before = all.get(&address).copied();
        let outranked = standing == Standing::Reader
            && before.is_some_and(|before| before.standing == Standing::Inbox);
        if outranked {
            self.wipes.insert(place, None);
            return;
        }
        let served = Served {
            standing,
            mark,
            place,
            card: None,
        };
        all.insert(address, served);
        self.wipes.extend(before.map(|before| (before.place, None)));
    }

    fn note_envelope(&mut self, envelope: &Envelope, place: Place) -> io::Result<()> {
        let index = &self.shared.index;
        let names = index.names(&envelope.mailbox, &envelope.withdraw, &envelope.digest);
        let blind = names.mailbox;
        // A crash between a replacement, or a move, and the wiping of what was there before leaves both: the later one counts.
        let twin = index.find_withdraw(names.withdraw);
        if let Some(other) = twin {
            if other > envelope.cursor {
                self.wipes.insert(place, None);
                return Ok(());
            }
            if let Some(entry) = index.remove(blind, other).map_err(io_error)? {
                self.shared.counts.removed(entry.kind);
                self.wipes.insert(entry.place, None);
            }
        }
        index.insert(&names, envelope, place).map_err(io_error)?;
        self.shared.counts.stored(envelope.kind);
        Ok(())
    }

    /// Gives each inbox and each reader its newest card; wipes the older ones, and those of inboxes that are being removed.
    ///
    /// Where no record allows it, that record is damaged: card and mail wait for the operator to allow it again.
    fn place_cards(&mut self) {
        self.cards.sort_by_key(|(_, card)| card.sequence);
        for (address, card) in self.cards.drain(..) {
            let mut served = self.shared.served_mut();
            let stale = match served.get_mut(&address) {
                Some(served) => served.card.replace(card),
                None if self.leaving.contains_key(&address) => Some(card),
                None => self.shared.orphans().insert(address, card),
            };
            if let Some(stale) = stale {
                self.wipes.insert(stale.place, None);
            }
        }
    }

    /// Completes the removal of inboxes.
    fn drop_leaving(&mut self) -> io::Result<()> {
        for address in self.leaving.keys() {
            let mark = self.shared.keys().mailbox(Mailbox::Inbox(address.inbox()));
            if !self.shared.serves(&mark) {
                plan_all(self.shared, &mark, &mut self.wipes)?;
            }
        }
        Ok(())
    }
}

/// Gives back the extents of wiped slots that a crash or a full disk left in place.
fn repunch(
    segment: &Segment,
    handle: &Handle,
    slots: &[Option<[u8; SLOT]>],
    end: u32,
) -> io::Result<()> {
    let unused = segment.slots - end;
    let due = u64::from(segment.live() + unused) * handle.extent as u64;
    if segment.disk_bytes()? <= due + (slots.len() * SLOT) as u64 + SLACK {
        return Ok(());
    }
    for (slot, bytes) in (0..end).zip(slots) {
        if bytes.is_some_and(|bytes| is_wiped(&bytes)) {
            handle.punch(slot, 1).or_else(pass_if_full)?;
        }
    }
    Ok(())
}

fn is_wiped(slot: &[u8; SLOT]) -> bool {
    slot.iter().all(|byte| *byte == 0)
}

/// What a file system may take for itself beside the bytes of a segment.
const SLACK: u64 = 32_768;
