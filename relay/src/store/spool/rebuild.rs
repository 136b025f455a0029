//! Rebuilding the index from the heads of the segments, at every start. Payloads are not read, but for the last segment:
//! only there a power cut can have left a slot without its payload.

use std::collections::BTreeSet;
use std::io;

use super::disk::pass_if_full;
use super::index::io_error;
use super::keys::Mark;
use super::record::{Body, Envelope, MailKind, Record};
use super::removals::{Edits, apply};
use super::segment::{EXTENT, Place, SLOT, Segment};
use super::served::{Card, Served};
use super::shared::Shared;
use super::writer::Active;
use crate::store::Mailbox;

/// A rebuild under way.
pub(super) struct Rebuild<'a> {
    shared: &'a Shared,
    /// Slots to be wiped: sink records, replaced envelopes and cards, mail of inboxes that are no longer served.
    wipes: Edits,
    inboxes: BTreeSet<Mark>,
    cards: Vec<(valise_protocol::id::Address, Card)>,
}

impl<'a> Rebuild<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            wipes: Edits::new(),
            inboxes: BTreeSet::new(),
            cards: Vec::new(),
        }
    }

    /// Fills index, counts and served inboxes; completes removals that a crash interrupted. Returns where to go on writing.
    pub fn run(mut self) -> io::Result<Option<Active>> {
        super::open::remove_unfinished(&self.shared.config.dir);
        let segments: Vec<_> = self.shared.segments().values().cloned().collect();
        let mut end = 0;
        for (at, segment) in segments.iter().enumerate() {
            end = self.read(segment, at + 1 == segments.len())?;
        }
        // Where anything is damaged, it may be the very record that allows an inbox: then card and mail wait for the operator
        // to allow the inbox again.
        let whole = self.shared.counts.usage().damaged == 0;
        self.place_cards(whole);
        if whole {
            self.drop_unserved()?;
        }
        let wipes = std::mem::take(&mut self.wipes);
        apply(self.shared, wipes)?;
        for segment in &segments {
            if segment.live() == 0 {
                self.shared.segments_mut().remove(&segment.number);
                self.shared.save_manifest()?;
                super::open::discard(self.shared, segment)?;
            }
        }
        let last = segments.last().filter(|last| last.live() > 0);
        Ok(last.map(|last| Active::new(&*self.shared.disk, last.clone(), end)))
    }

    /// Reads one head; returns the first slot that was never used.
    fn read(&mut self, segment: &Segment, last: bool) -> io::Result<u32> {
        let head = segment.read_head()?;
        let (slots, _) = head.as_chunks::<SLOT>();
        let mut end = 0;
        for (number, slot) in (0..).zip(slots) {
            if slot.iter().all(|byte| *byte == 0) {
                continue;
            }
            end = number + 1;
            segment.add_live(1);
            let place = Place::new(segment.number, number);
            let record = Record::unwrap(slot, self.shared.keys().wrapping(), place);
            match record {
                Some(record) if last && !has_payload(segment, &record, number)? => {
                    // Torn by a power cut before it was acknowledged, most likely; there is nothing to read in any case.
                    self.damaged("a record of the last segment has no payload");
                    self.wipes.insert(place, None);
                }
                Some(record) => self.note(record.body, place)?,
                None => self.damaged("a slot does not open"),
            }
        }
        repunch(segment, slots, end)?;
        Ok(end)
    }

    fn note(&mut self, body: Body, place: Place) -> io::Result<()> {
        match body {
            Body::Sink => {
                self.wipes.insert(place, None);
            }
            Body::Envelope(envelope) => self.note_envelope(&envelope, place)?,
            Body::Inbox(address) => {
                let mark = self.shared.keys().mailbox(Mailbox::Inbox(address.inbox()));
                let served = Served {
                    mark,
                    place,
                    card: None,
                };
                if let Some(before) = self.shared.served_mut().insert(address, served) {
                    self.wipes.insert(before.place, None);
                }
            }
            Body::Card { address, sequence } => {
                self.cards.push((address, Card { place, sequence }));
            }
        }
        Ok(())
    }

    fn note_envelope(&mut self, envelope: &Envelope, place: Place) -> io::Result<()> {
        let index = &self.shared.index;
        let names = index.names(&envelope.mailbox, &envelope.withdraw, &envelope.digest);
        let blind = names.mailbox;
        // A crash between a replacement and the wiping of what it replaced leaves both: the later one counts.
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
        if envelope.kind == MailKind::Inbox {
            self.inboxes.insert(envelope.mailbox);
        }
        Ok(())
    }

    /// Gives each inbox its newest card; wipes the older ones, and those of inboxes that were removed.
    fn place_cards(&mut self, whole: bool) {
        self.cards.sort_by_key(|(_, card)| card.sequence);
        for (address, card) in self.cards.drain(..) {
            let mut served = self.shared.served_mut();
            let stale = match served.get_mut(&address) {
                Some(served) => served.card.replace(card),
                None if whole => Some(card),
                None => self.shared.orphans().insert(address, card),
            };
            if let Some(stale) = stale {
                self.wipes.insert(stale.place, None);
            }
        }
    }

    /// Completes the removal of inboxes: the record that allows one goes first, its mail after it.
    fn drop_unserved(&mut self) -> io::Result<()> {
        let index = &self.shared.index;
        for mark in &self.inboxes {
            if self.shared.serves(mark) {
                continue;
            }
            let blind = index.blind(mark);
            for item in index.beyond(blind, 0) {
                let (cursor, entry) = item.map_err(io_error)?;
                index.remove(blind, cursor).map_err(io_error)?;
                self.shared.counts.removed(entry.kind);
                self.wipes.insert(entry.place, None);
            }
        }
        Ok(())
    }

    fn damaged(&self, what: &'static str) {
        tracing::warn!("{what}: it was set aside");
        self.shared.counts.damaged();
    }
}

/// Gives back the extents of wiped slots that a crash or a full disk left in place.
fn repunch(segment: &Segment, slots: &[[u8; SLOT]], end: u32) -> io::Result<()> {
    let unused = segment.slots - end;
    let due = u64::from(segment.live() + unused) * EXTENT as u64;
    if segment.disk_bytes()? <= due + (slots.len() * SLOT) as u64 + SLACK {
        return Ok(());
    }
    for (slot, bytes) in (0..end).zip(slots) {
        if bytes.iter().all(|byte| *byte == 0) {
            segment.punch(slot, 1).or_else(pass_if_full)?;
        }
    }
    Ok(())
}

fn has_payload(segment: &Segment, record: &Record, slot: u32) -> io::Result<bool> {
    if record.seal.length == 0 {
        return Ok(true);
    }
    let mut payload = vec![0; record.seal.length as usize];
    segment.read_extent(slot, &mut payload)?;
    Ok(record.seal.open(&mut payload).is_ok())
}

/// What a file system may take for itself beside the bytes of a segment.
const SLACK: u64 = 32_768;
