//! The writer: the one thread that decides what changes in a spool. Deposits and puts take flight (flight.rs): one load of them is made
//! durable while the next is filled. Everything else is a chore, done here while no load is on its way, removals with one sync
//! for each segment; but a removal of what is nowhere is answered at once. Each command is answered when it is durable.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use valise_protocol::id::Address;
use valise_protocol::wire::Kept;

use super::deposits::Incoming;
use super::disk::{self, Disk};
use super::flight::Flights;
use super::index::{Name, io_error};
use super::load::Way;
use super::open;
use super::puts::IncomingParcel;
use super::record::{ParcelName, Record};
use super::removals::{Edits, Removal, apply, finds_nothing, plan};
use super::rewrap::Rewrap;
use super::segment::{Place, Segment, Sort, Title};
use super::shared::Shared;
use crate::store::{Deposited, Standing, StoreError};

/// Where an answer goes. Whoever asked may have gone; the change is made all the same.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked for.
pub(super) enum Command {
    Deposit(Box<Incoming>, Reply<Deposited>),
    Put(Box<IncomingParcel>, Reply<Kept>),
    Chore(Chore),
}

/// What is done while no load is on its way.
pub(super) enum Chore {
    Remove(Removal, Reply<u64>),
    Allow(Address, Standing, Reply<()>),
    RemoveInbox(Address, Reply<u64>),
    RemoveReader(Address, Reply<bool>),
    PutCard(Address, Vec<u8>, Reply<()>),
    SetAside(Name, u64, oneshot::Sender<()>),
    SetParcelAside(ParcelName, Place, oneshot::Sender<()>),
    SetCardAside(Address, Place, oneshot::Sender<()>),
    Rewrap(Reply<()>),
    Close(oneshot::Sender<()>),
}

/// The segment that is written to.
pub(super) struct Active {
    way: Way,
    /// The next free slot.
    next: u32,
}

impl Active {
    pub fn new(disk: &dyn Disk, segment: Arc<Segment>, next: u32) -> io::Result<Self> {
        let way = Way::new(disk, segment)?;
        Ok(Self { way, next })
    }

    pub fn number(&self) -> u32 {
        self.way.segment.number
    }

    pub fn is_full(&self) -> bool {
        self.next >= self.way.segment.slots
    }
}

/// The writer's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// The last segment of each sort, where it is written on.
    pub(super) active: BTreeMap<Sort, Active>,
    pub(super) flights: Flights,
    chores: Vec<Chore>,
    /// Upper half of the cursors: higher than in any run before, so that a mailbox that was emptied and forgotten never
    /// gives out a cursor twice. It grows at starts, and when emptied mailboxes are forgotten, but by no clock: cursors would
    /// tell the day of each arrival.
    pub(super) epoch: u64,
    /// Wiped when there is nothing more urgent.
    pub(super) wipes: Vec<Place>,
    pub(super) rewrap: Option<Rewrap>,
    closing: Vec<oneshot::Sender<()>>,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, active: BTreeMap<Sort, Active>) -> io::Result<Self> {
        let epoch = shared.keys().epoch << 32;
        let rewrap = Rewrap::resume(&shared);
        let flights = Flights::new(shared.clone())?;
        Ok(Self {
            shared,
            active,
            flights,
            chores: Vec::new(),
            epoch,
            wipes: Vec::new(),
            rewrap,
            closing: Vec::new(),
        })
    }

    /// Serves commands until all senders are gone, one of them asks to close, or anything fails.
    pub fn run(mut self, mut inbound: mpsc::Receiver<Command>) {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut inbound)));
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.shared.fail(&error.to_string()),
            Err(_) => self.shared.fail("the writer panicked"),
        }
        // This waits for the load on its way, if there is one: nothing writes any more when the directory is free.
        drop(self.flights);
        self.shared.unlock();
        for reply in self.closing {
            if !self.shared.has_failed() {
                let _ = reply.send(());
            }
        }
        // What still waits is dropped, which its askers read as closed.
        inbound.close();
        while inbound.try_recv().is_ok() {}
    }

    fn serve(&mut self, inbound: &mut mpsc::Receiver<Command>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        while let Some(first) = self.next(inbound, &runtime)? {
            self.take(first, inbound)?;
            if !self.chores.is_empty() || self.wipes.len() >= BATCH || self.rewrap.is_some() {
                self.settle()?;
                self.do_chores()?;
            }
            if self.shared.has_failed() {
                return Err(io::Error::other("a reader found the index broken"));
            }
            if !self.closing.is_empty() {
                break;
            }
        }
        self.settle()?;
        self.wipe()?;
        self.shared.save_keys().or_else(disk::pass_if_full)
    }

    /// The next command. Until there is one, acknowledges what lands, and does what is not urgent.
    fn next(
        &mut self,
        inbound: &mut mpsc::Receiver<Command>,
        runtime: &Runtime,
    ) -> io::Result<Option<Command>> {
        loop {
            if let Some(carried) = self.flights.carried() {
                let landed = runtime.block_on(async {
                    tokio::select! {
                        biased;
                        carried = carried => Ok(carried),
                        command = inbound.recv() => Err(command),
                    }
                });
                match landed {
                    Ok(carried) => self.land(carried)?,
                    Err(command) => return Ok(command),
                }
                continue;
            }
            match inbound.try_recv() {
                Ok(command) => return Ok(Some(command)),
                Err(TryRecvError::Disconnected) => return Ok(None),
                Err(TryRecvError::Empty) if !self.wipes.is_empty() => self.wipe()?,
                Err(TryRecvError::Empty) if self.rewrap.is_some() => self.rewrap_one()?,
                Err(TryRecvError::Empty) => return Ok(inbound.blocking_recv()),
            }
        }
    }

    /// Takes all that waits, and sees to it that a load is on its way.
    fn take(&mut self, first: Command, inbound: &mut mpsc::Receiver<Command>) -> io::Result<()> {
        // Commands that wait together are concurrent: none was answered when the last was given. Any order is right.
        let mut next = Some(first);
        for taken in 1.. {
            match next {
                Some(Command::Deposit(incoming, reply)) => self.deposit(*incoming, reply)?,
                Some(Command::Put(incoming, reply)) => self.put(*incoming, reply)?,
                Some(Command::Chore(Chore::Remove(removal, reply)))
                    if finds_nothing(&self.shared, self.flights.batches(), &removal) =>
                {
                    answer(reply, Ok(0))?;
                }
                Some(Command::Chore(chore)) => self.chores.push(chore),
                None => break,
            }
            if self.flights.has_landed() {
                self.advance()?;
            }
            if taken == BATCH {
                break;
            }
            next = inbound.try_recv().ok();
        }
        if self.flights.carried().is_none() {
            self.advance()?;
        }
        Ok(())
    }

    fn do_chores(&mut self) -> io::Result<()> {
        let mut removals = Vec::new();
        let mut others = Vec::new();
        for chore in self.chores.drain(..) {
            match chore {
                Chore::Remove(removal, reply) => removals.push((removal, reply)),
                other => others.push(other),
            }
        }
        self.remove(removals)?;
        for chore in others {
            self.do_chore(chore)?;
        }
        if self.wipes.len() >= BATCH {
            self.wipe()?;
        }
        self.rewrap_one()
    }

    fn do_chore(&mut self, chore: Chore) -> io::Result<()> {
        match chore {
            Chore::Remove(removal, reply) => self.remove(vec![(removal, reply)]),
            Chore::Allow(address, standing, reply) => answer(reply, self.allow(address, standing)?),
            Chore::RemoveInbox(address, reply) => answer(reply, Ok(self.remove_inbox(address)?)),
            Chore::RemoveReader(address, reply) => answer(reply, Ok(self.remove_reader(address)?)),
            Chore::PutCard(address, card, reply) => answer(reply, self.put_card(address, card)?),
            Chore::SetAside(mailbox, cursor, reply) => {
                self.shared.set_aside(mailbox, cursor).map_err(io_error)?;
                let _ = reply.send(());
                Ok(())
            }
            Chore::SetParcelAside(name, place, reply) => {
                self.shared.set_parcel_aside(name, place);
                let _ = reply.send(());
                Ok(())
            }
            Chore::SetCardAside(address, place, reply) => {
                self.shared.set_card_aside(address, place);
                let _ = reply.send(());
                Ok(())
            }
            Chore::Rewrap(reply) => self.begin_rewrap(reply),
            Chore::Close(reply) => {
                self.closing.push(reply);
                Ok(())
            }
        }
    }

    fn remove(&mut self, removals: Vec<(Removal, Reply<u64>)>) -> io::Result<()> {
        if removals.is_empty() {
            return Ok(());
        }
        let mut edits = Edits::new();
        let mut answers = Vec::with_capacity(removals.len());
        for (removal, reply) in removals {
            answers.push((plan(&self.shared, &removal, &mut edits)?, reply));
        }
        // What was replaced goes no later than what took its place: alone, it would come back after a crash.
        edits.extend(self.wipes.drain(..).map(|place| (place, None)));
        self.apply(edits)?;
        for (gone, reply) in answers {
            let _ = reply.send(Ok(gone));
        }
        self.forget_empty()
    }

    /// Forgets where empty mailboxes stood, when there are too many to be remembered.
    fn forget_empty(&mut self) -> io::Result<()> {
        if self.shared.index.empty() <= self.shared.config.empty_mailboxes {
            return Ok(());
        }
        self.shared.keys_mut().epoch += 1;
        match self.shared.save_keys() {
            Ok(()) => {
                self.epoch = self.shared.keys().epoch << 32;
                self.shared.index.forget_empty();
                Ok(())
            }
            // They are remembered until there is room.
            Err(error) => disk::pass_if_full(error),
        }
    }

    /// Writes one record durably beside the mail; `None` where there is no room.
    pub(super) fn store_one(
        &mut self,
        record: &Record,
        payload: &[u8],
    ) -> io::Result<Option<Place>> {
        let Some((Way { handle, .. }, place)) = self.place(Sort::Mail)? else {
            return Ok(None);
        };
        let slot = record.wrap(self.shared.keys().newest(), place, &mut super::system_rng());
        handle.write_extents(place.slot, payload)?;
        handle.write_slots(&*self.shared.disk, place.slot, &slot)?;
        handle.sync(&*self.shared.disk)?;
        Ok(Some(place))
    }

    /// The next free slot of a sort, of a new segment if need be; `None` where there is no room for one.
    pub(super) fn place(&mut self, sort: Sort) -> io::Result<Option<(Way, Place)>> {
        if self.active.get(&sort).is_none_or(Active::is_full) {
            match self.roll(sort) {
                Ok(()) => {}
                Err(error) if disk::is_full(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some(active) = self.active.get_mut(&sort) else {
            return Ok(None);
        };
        let place = Place::new(active.number(), active.next);
        active.next += 1;
        active.way.segment.add_live(1);
        Ok(Some((active.way.clone(), place)))
    }

    fn roll(&mut self, sort: Sort) -> io::Result<()> {
        let shared = self.shared.clone();
        let last = shared.segments().keys().next_back().copied().unwrap_or(0);
        let before = self.active.values().map(Active::number).max().unwrap_or(0);
        let mut number = last.max(before) + 1;
        let slots = shared.keys().slots;
        let segment = loop {
            match Segment::create(
                &*shared.disk,
                &shared.handles,
                &shared.config.dir,
                Title { number, sort },
                slots,
            ) {
                // A segment that could not be opened: it keeps its name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                made => break Arc::new(made?),
            }
        };
        shared.segments_mut().insert(number, segment.clone());
        if let Err(error) = shared.save_manifest() {
            shared.segments_mut().remove(&number);
            // After a failed sync nothing may be synced, a directory neither: an empty segment more does no harm.
            if disk::is_full(&error) {
                open::discard(&shared, &segment).or_else(disk::pass_if_full)?;
            }
            return Err(error);
        }
        self.active
            .insert(sort, Active::new(&*shared.disk, segment, 0)?);
        self.reap()
    }

    pub(super) fn wipe(&mut self) -> io::Result<()> {
        let edits = self.wipes.drain(..).map(|place| (place, None)).collect();
        self.apply(edits)
    }

    /// Carries edits out and deletes the segments that they emptied.
    pub(super) fn apply(&mut self, edits: Edits) -> io::Result<()> {
        apply(&self.shared, edits)?;
        self.reap()
    }

    /// Deletes segments in which nothing lives.
    fn reap(&self) -> io::Result<()> {
        let active: Vec<u32> = self.active.values().map(Active::number).collect();
        let mut dead = Vec::new();
        self.shared.segments_mut().retain(|number, segment| {
            let keep = segment.live() > 0 || active.contains(number);
            if !keep {
                dead.push(segment.clone());
            }
            keep
        });
        if dead.is_empty() {
            return Ok(());
        }
        // First the list, then the files: in the other order a crash would look like a loss.
        let listed = self.shared.save_manifest();
        if listed.is_ok() {
            return dead
                .iter()
                .try_for_each(|segment| open::discard(&self.shared, segment));
        }
        // A list cannot be written on a full disk. They go when there is room; their extents were given back already.
        let dead = dead.into_iter().map(|segment| (segment.number, segment));
        self.shared.segments_mut().extend(dead);
        listed.or_else(disk::pass_if_full)
    }
}

fn answer<T>(reply: Reply<T>, outcome: Result<T, StoreError>) -> io::Result<()> {
    let _ = reply.send(outcome);
    Ok(())
}

/// The most commands that are taken at a time.
const BATCH: usize = 128;
