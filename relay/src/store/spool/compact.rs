//! Compaction: what is left of sparse segments moves to where deposits are written, and the segments are deleted. A part of the
//! nightly rewrap, which has to write all slots anyway.
//!
//! 1. The encrypted payloads are copied, and their records wrapped for their new places; one sync makes both durable.
//! 2. The index, or the list of inboxes, names the new places.
//! 3. The old slots are wiped, as in a removal.
//!
//! A crash in between leaves both: a rebuild keeps the later one, and wipes the other.

use std::io;

use super::disk::{Disk, readable};
use super::index::io_error;
use super::record::{Body, Record, Seal};
use super::removals::Edits;
use super::room;
use super::segment::{Handle, Place, Segment, Sort};
use super::shared::Shared;
use super::writer::{Active, Writer};

/// A record on its way to another place.
struct Move {
    from: Place,
    record: Record,
    payload: Vec<u8>,
}

impl Writer {
    /// Moves some of what a sparse segment holds. Returns whether anything was moved: then there may be more.
    pub(super) fn compact(&mut self, segment: &Segment) -> io::Result<bool> {
        let active = self.active.get(&segment.sort).map(Active::number);
        let sparse = u64::from(segment.live()) * SPARSE < u64::from(segment.slots);
        if !sparse || active == Some(segment.number) {
            return Ok(false);
        }
        // What was decided already is not moved from under its feet, nor what is to be wiped.
        self.settle()?;
        self.wipe()?;
        if !room::has_room(&*self.shared.disk, &self.shared.config) {
            return Ok(false);
        }
        let moves = find_moves(&self.shared, segment)?;
        let laid = self.lay_down(moves, segment.sort)?;
        let mut wipes = Edits::new();
        for (record, from, to) in laid {
            self.shared.relocate(&record.body, from, to)?;
            wipes.insert(from, None);
        }
        let moved = !wipes.is_empty();
        self.apply(wipes)?;
        Ok(moved)
    }

    /// Makes records durable in the active segment; those for which there is no room stay where they are.
    fn lay_down(
        &mut self,
        moves: Vec<Move>,
        sort: Sort,
    ) -> io::Result<Vec<(Record, Place, Place)>> {
        let shared = self.shared.clone();
        let disk = &*shared.disk;
        let mut rng = super::system_rng();
        let mut laid = Vec::with_capacity(moves.len());
        let mut written: Option<Handle> = None;
        for Move {
            from,
            record,
            payload,
        } in moves
        {
            if self.active.get(&sort).is_none_or(Active::is_full)
                && let Some(handle) = written.take()
            {
                // As for deposits: when a new segment is begun, all before are durable.
                handle.sync(disk)?;
            }
            let Some((way, to)) = self.place(sort)? else {
                break;
            };
            let slot = record.wrap(shared.keys().newest(), to, &mut rng);
            way.handle.write_extents(to.slot, &payload)?;
            way.handle.write_slots(disk, to.slot, &slot)?;
            written = Some(way.handle);
            laid.push((record, from, to));
        }
        written.map_or(Ok(()), |handle| handle.sync(disk))?;
        Ok(laid)
    }
}

/// The first records of a segment that can be moved. What is damaged stays: it is not for a copy to hide that.
fn find_moves(shared: &Shared, segment: &Segment) -> io::Result<Vec<Move>> {
    let disk = &*shared.disk;
    let Some(handle) = readable(segment.open())? else {
        return Ok(Vec::new());
    };
    let keys = shared.keys();
    let mut moves = Vec::new();
    for (number, slot) in (0..).zip(handle.read_head(disk)?) {
        let from = Place::new(segment.number, number);
        let record = slot.and_then(|slot| Record::unwrap(&slot, keys.wrapping(), from));
        let Some(record) = record else { continue };
        if !shared.is_at(&record.body, from)? {
            continue;
        }
        let Some(payload) = read_whole(disk, &handle, number, &record.seal)? else {
            let counts = &shared.counts;
            counts.damaged_at(from, "a payload is damaged");
            continue;
        };
        moves.push(Move {
            from,
            record,
            payload,
        });
        if moves.len() * handle.extent >= MOST {
            break;
        }
    }
    Ok(moves)
}

/// A payload as it is stored; `None` where it is not what was stored.
fn read_whole(
    disk: &dyn Disk,
    handle: &Handle,
    slot: u32,
    seal: &Seal,
) -> io::Result<Option<Vec<u8>>> {
    if seal.length == 0 {
        return Ok(Some(Vec::new()));
    }
    let payload = handle.read_extent(disk, slot, seal.length)?;
    Ok(payload.filter(|payload| seal.open(&mut payload.clone()).is_ok()))
}

impl Shared {
    /// Whether a record is what counts, and not to be wiped or set aside.
    fn is_at(&self, body: &Body, place: Place) -> io::Result<bool> {
        Ok(match body {
            Body::Envelope(envelope) => {
                let mailbox = self.index.blind(&envelope.mailbox);
                let entry = self.index.entry(mailbox, envelope.cursor);
                let entry = entry.map_err(io_error)?;
                entry.is_some_and(|entry| entry.place == place)
            }
            Body::Inbox(address) | Body::Reader(address) => {
                let served = self.served();
                served
                    .get(address)
                    .is_some_and(|served| served.place == place)
            }
            Body::Card { address, .. } => {
                let served = self.served().get(address).and_then(|served| served.card);
                let card = served.or_else(|| self.orphans().get(address).copied());
                card.is_some_and(|card| card.place == place)
            }
            Body::Parcel(parcel) => {
                let found = self.parcels.find(parcel.name);
                found.is_some_and(|(_, found)| found == place)
            }
            Body::Sink | Body::Leaving(_) => false,
        })
    }

    /// Notes that a record is found somewhere else now.
    fn relocate(&self, body: &Body, from: Place, to: Place) -> io::Result<()> {
        match body {
            Body::Envelope(envelope) => {
                let mailbox = self.index.blind(&envelope.mailbox);
                let moved = self.index.set_place(mailbox, envelope.cursor, to);
                return moved.map_err(io_error);
            }
            Body::Inbox(address) | Body::Reader(address) => {
                if let Some(served) = self.served_mut().get_mut(address) {
                    served.place = to;
                }
            }
            Body::Card { address, .. } => {
                let mut served = self.served_mut();
                let mut orphans = self.orphans();
                let held = served.get_mut(address).and_then(|it| it.card.as_mut());
                if let Some(card) = held.or_else(|| orphans.get_mut(address))
                    && card.place == from
                {
                    card.place = to;
                }
            }
            Body::Parcel(parcel) => self.parcels.relocate(parcel.name, from, to),
            Body::Sink | Body::Leaving(_) => {}
        }
        Ok(())
    }
}

/// A segment is sparse when fewer than one slot in this many is live.
const SPARSE: u64 = 4;
/// The most bytes of extents that are moved at a time: deposits wait meanwhile.
const MOST: usize = 4 << 20;
