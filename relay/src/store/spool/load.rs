//! A load: the slots and extents of one batch, mail and parcels, of each sort neighbours in one segment; and the carrier, the
//! thread that makes them durable while the writer decides the next batch.
//!
//! Nothing else is synced while a load is on its way: the kernel reports a failed write-back once, and only the sync that
//! answers for those bytes may hear of it.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::disk::Disk;
use super::segment::{Handle, SLOT, Segment, Sort};
use super::shared::Shared;

/// Where the writer writes, and how.
#[derive(Clone)]
pub(super) struct Way {
    pub segment: Arc<Segment>,
    pub handle: Handle,
    /// For extents, around the page cache; `None` where the file system cannot.
    direct: Option<Arc<File>>,
}

impl Way {
    pub fn new(disk: &dyn Disk, segment: Arc<Segment>) -> io::Result<Self> {
        let handle = segment.open()?;
        let direct = segment.open_direct(disk).ok().map(Arc::new);
        Ok(Self {
            segment,
            handle,
            direct,
        })
    }
}

/// What lies ready to be written. It keeps its memory when it is emptied; the default one has none.
#[derive(Default)]
pub(super) struct Load {
    mail: Cargo,
    parcels: Cargo,
}

impl Load {
    pub fn new() -> Self {
        Self {
            mail: Cargo::new(Sort::Mail),
            parcels: Cargo::new(Sort::Parcels),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.mail.count() + self.parcels.count() == 0
    }

    pub fn is_full(&self, sort: Sort) -> bool {
        let cargo = match sort {
            Sort::Mail => &self.mail,
            Sort::Parcels => &self.parcels,
        };
        cargo.count() == most(sort)
    }

    /// Adds a record. All of a sort that are added before the load is carried are neighbours, `slot` ascending.
    pub fn add(&mut self, way: &Way, slot: u32, bytes: &[u8; SLOT], payload: &[u8]) {
        let cargo = match way.segment.sort {
            Sort::Mail => &mut self.mail,
            Sort::Parcels => &mut self.parcels,
        };
        cargo.add(way, slot, bytes, payload);
    }

    /// Writes all, and syncs. A failed write-back is told to the sync of its own file, so each answers for its own bytes.
    fn carry(&mut self, shared: &Shared) -> io::Result<()> {
        self.mail.carry(shared)?;
        self.parcels.carry(shared)
    }
}

/// What a load has of one sort.
#[derive(Default)]
struct Cargo {
    way: Option<Way>,
    first: u32,
    slots: Vec<u8>,
    /// As the disk wants them: with room before the first, so that it can begin at a page.
    extents: Vec<u8>,
    start: usize,
}

impl Cargo {
    fn new(sort: Sort) -> Self {
        let extents = vec![0; most(sort) * sort.extent() + PAGE];
        let start = extents.as_ptr().align_offset(PAGE).min(PAGE);
        Self {
            way: None,
            first: 0,
            slots: Vec::with_capacity(most(sort) * SLOT),
            extents,
            start,
        }
    }

    fn count(&self) -> usize {
        self.slots.len() / SLOT
    }

    fn add(&mut self, way: &Way, slot: u32, bytes: &[u8; SLOT], payload: &[u8]) {
        if self.slots.is_empty() {
            self.way = Some(way.clone());
            self.first = slot;
        }
        let at = self.start + self.count() * way.segment.sort.extent();
        self.extents[at..][..payload.len()].copy_from_slice(payload);
        self.slots.extend_from_slice(bytes);
    }

    fn carry(&mut self, shared: &Shared) -> io::Result<()> {
        let Some(way) = self.way.take() else {
            return Ok(());
        };
        let extents = self.count() * way.segment.sort.extent();
        let extents = &self.extents[self.start..][..extents];
        let direct = match &way.direct {
            Some(file) => write_direct(&way.handle, file, self.first, extents)?,
            None => false,
        };
        if !direct {
            way.handle.write_extents(self.first, extents)?;
        }
        way.handle
            .write_slots(&*shared.disk, self.first, &self.slots)?;
        way.handle.sync(&*shared.disk)?;
        if !direct {
            way.handle.forget(self.first, self.count() as u32);
        }
        self.slots.clear();
        Ok(())
    }
}

/// Returns whether the file system could do it.
fn write_direct(handle: &Handle, file: &File, first: u32, extents: &[u8]) -> io::Result<bool> {
    match handle.write_extents_by(file, first, extents) {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(false),
        written => written.map(|()| true),
    }
}

/// A load that was carried, empty again; or why it may be lost.
pub(super) type Carried = io::Result<Load>;

/// The thread. Dropping it waits for the load on its way.
pub(super) struct Carrier {
    loads: Option<SyncSender<(Load, oneshot::Sender<Carried>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    pub fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (loads, inbound) = sync_channel(1);
        let thread = std::thread::Builder::new().name("spool-disk".into());
        let thread = thread.spawn(move || carry_all(&shared, &inbound))?;
        Ok(Self {
            loads: Some(loads),
            thread: Some(thread),
        })
    }

    /// Sends a load on its way.
    pub fn send(&self, load: Load) -> oneshot::Receiver<Carried> {
        let (done, carried) = oneshot::channel();
        // If the thread has ended, the answer is that there is none.
        if let Some(loads) = &self.loads {
            let _ = loads.send((load, done));
        }
        carried
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.loads.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry_all(shared: &Shared, inbound: &Receiver<(Load, oneshot::Sender<Carried>)>) {
    for (mut load, done) in inbound {
        let carried = catch_unwind(AssertUnwindSafe(|| load.carry(shared)));
        let carried = carried.unwrap_or_else(|_| Err(io::Error::other("the carrier panicked")));
        let _ = done.send(carried.map(|()| load));
    }
}

/// The most records of one sort in a load: 4 MiB.
const fn most(sort: Sort) -> usize {
    CARGO / sort.extent()
}

/// The most bytes of one sort in a load.
const CARGO: usize = 4 << 20;
/// What direct writes must be aligned to, at most.
const PAGE: usize = 4_096;
