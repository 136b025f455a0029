//! Rewrapping: all slots move to a new store key, and the old one is destroyed.
//!
//! 1. The key file holds the new key and the old one.
//! 2. Segment by segment, between batches, every slot is written under the new key, and synced; what is left of a sparse
//!    segment moves instead (compact.rs).
//! 3. The key file holds the new key only; the bytes of the one before are overwritten.
//!
//! A crash anywhere leaves a key file with all keys that any slot needs; the next start goes on at step 2.

use std::collections::VecDeque;
use std::io;

use super::disk::{pass_if_full, readable};
use super::record::Record;
use super::segment::{Place, Segment};
use super::shared::Shared;
use super::writer::{Reply, Writer};
use crate::store::StoreError;

/// A rewrap under way.
pub(super) struct Rewrap {
    segments: VecDeque<u32>,
    replies: Vec<Reply<()>>,
    /// Who asked while it was under way, and waits for the next.
    later: Vec<Reply<()>>,
}

impl Rewrap {
    fn of_all(shared: &Shared, replies: Vec<Reply<()>>) -> Self {
        let segments = shared.segments().keys().copied().collect();
        Self {
            segments,
            replies,
            later: Vec::new(),
        }
    }

    /// What a crash interrupted.
    pub fn resume(shared: &Shared) -> Option<Self> {
        (shared.keys().wrapping().len() > 1).then(|| Self::of_all(shared, Vec::new()))
    }
}

impl Writer {
    /// Step 1. While one is under way another is begun when it is done.
    pub(super) fn begin_rewrap(&mut self, reply: Reply<()>) -> io::Result<()> {
        match &mut self.rewrap {
            Some(rewrap) => rewrap.later.push(reply),
            None => self.start_rewrap(vec![reply])?,
        }
        Ok(())
    }

    fn start_rewrap(&mut self, replies: Vec<Reply<()>>) -> io::Result<()> {
        self.shared
            .keys_mut()
            .begin_rewrap(&mut super::system_rng());
        if let Err(error) = self.shared.save_keys() {
            // No slot is wrapped under the new key yet, so it can be given up, whether or not it reached the disk.
            self.shared.keys_mut().abandon_rewrap();
            return pass_if_full(error).map(|()| refuse(replies));
        }
        self.rewrap = Some(Rewrap::of_all(&self.shared, replies));
        Ok(())
    }

    /// One segment of step 2, or step 3.
    pub(super) fn rewrap_one(&mut self) -> io::Result<()> {
        let Some(rewrap) = &mut self.rewrap else {
            return Ok(());
        };
        if let Some(number) = rewrap.segments.front().copied() {
            let segment = self.shared.segments().get(&number).cloned();
            if let Some(segment) = segment {
                if self.compact(&segment)? {
                    return Ok(());
                }
                rewrap_segment(&self.shared, &segment)?;
            }
            if let Some(rewrap) = &mut self.rewrap {
                rewrap.segments.pop_front();
            }
            return Ok(());
        }
        self.shared.keys_mut().end_rewrap();
        let saved = self.shared.save_keys();
        let done = self.rewrap.take();
        let (replies, later) = done
            .map(|done| (done.replies, done.later))
            .unwrap_or_default();
        match saved {
            Ok(()) => replies
                .into_iter()
                .for_each(|reply| drop(reply.send(Ok(())))),
            // The old key stays in the file until the next time that it is written.
            Err(error) => pass_if_full(error).map(|()| refuse(replies))?,
        }
        if later.is_empty() {
            Ok(())
        } else {
            self.start_rewrap(later)
        }
    }
}

fn refuse(replies: Vec<Reply<()>>) {
    for reply in replies {
        let _ = reply.send(Err(StoreError::StoreFull));
    }
}

fn rewrap_segment(shared: &Shared, segment: &Segment) -> io::Result<()> {
    let disk = &*shared.disk;
    let Some(handle) = readable(segment.open())? else {
        shared.segment_damaged(segment);
        return Ok(());
    };
    let mut slots = handle.read_head(disk)?;
    let mut rng = super::system_rng();
    let keys = shared.keys();
    for (number, slot) in (0..).zip(&mut slots) {
        let place = Place::new(segment.number, number);
        // Damaged slots stay as they are: without the key that they were wrapped under they are noise.
        match slot {
            None => shared
                .counts
                .damaged_at(place, "a slot cannot be read, and is lost by the rewrap"),
            Some(slot) => {
                if let Some(record) = Record::unwrap(slot, keys.wrapping(), place) {
                    *slot = record.wrap(keys.newest(), place, &mut rng);
                }
            }
        }
    }
    let mut first = 0;
    for run in slots.chunk_by(|a, b| a.is_some() == b.is_some()) {
        let bytes: Vec<u8> = run.iter().flatten().flatten().copied().collect();
        handle.write_slots(disk, first, &bytes)?;
        first += run.len() as u32;
    }
    handle.sync(disk)
}
