//! Parcels on their way to this disk: each opens in its place or is not kept, and counts once the disk has it.
//!
//! Many share one wait for the disk. A parcel that came is written at once, but for its mark; when enough have come, or some seconds
//! have passed, the disk is waited for, then the marks are written, and the disk is waited for again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use valise_protocol::limits::PARCEL;
use valise_protocol::message::Attachment;
use valise_protocol::parcel::{ParcelBuffer, ParcelPlace};

use crate::progress::Progress;
use crate::vault::Vault;
use crate::vault::item::ItemName;
use crate::vault::parcels::{Mark, ParcelFile, Parcels};

use super::files::count;

/// So many parcels share a wait for the disk, at most.
const BATCH: usize = 64;
/// And those of so much time.
const PATIENCE: Duration = Duration::from_secs(2);

/// The parcels of one submission that come from one relay.
pub struct Arrivals<'a> {
    vault: &'a Vault,
    item: ItemName,
    parcels: &'a Parcels,
    progress: &'a Progress,
    waiting: RefCell<Batch>,
    /// How many did not open in their places, of each file.
    wrong: RefCell<HashMap<u32, u32>>,
    patience: Patience,
}

/// How many parcels that do not open are put up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// So many of all files.
    WithAll(u32),
    /// So many of each.
    WithEach(u32),
}

/// What waits for the disk.
struct Batch {
    written: Vec<(Arc<ParcelFile>, Mark)>,
    since: Instant,
    /// The file that was written to last.
    last: Option<(u32, Arc<ParcelFile>)>,
}

impl<'a> Arrivals<'a> {
    /// None yet, of this item.
    pub fn new(
        (vault, item): (&'a Vault, ItemName),
        parcels: &'a Parcels,
        progress: &'a Progress,
        patience: Patience,
    ) -> Self {
        let waiting = Batch {
            written: Vec::new(),
            since: Instant::now(),
            last: None,
        };
        Self {
            vault,
            item,
            parcels,
            progress,
            waiting: RefCell::new(waiting),
            wrong: RefCell::default(),
            patience,
        }
    }

    /// Writes a parcel of a file, if it opens in its place.
    ///
    /// # Errors
    /// The system's.
    pub fn take(
        &self,
        number: u32,
        file: &Attachment,
        index: u32,
        parcel: &ParcelBuffer,
    ) -> io::Result<()> {
        let mut opened = parcel.clone();
        let opens = ParcelPlace::new(index, count(file))
            .is_some_and(|place| file.key.cipher().open(place, &mut opened).is_ok());
        if !opens {
            *self.wrong.borrow_mut().entry(number).or_default() += 1;
            return Ok(());
        }
        let mut waiting = self.waiting.borrow_mut();
        let here = match &waiting.last {
            Some((last, here)) if *last == number => here.clone(),
            _ => Arc::new(self.parcels.make(number)?),
        };
        let mark = here.write(index, parcel)?;
        if waiting.written.is_empty() {
            waiting.since = Instant::now();
        }
        waiting.written.push((here.clone(), mark));
        waiting.last = Some((number, here));
        Ok(())
    }

    /// Waits for the disk where it is time.
    ///
    /// # Errors
    /// The system's.
    pub async fn settle_if_due(&self) -> io::Result<()> {
        let due = {
            let waiting = self.waiting.borrow();
            waiting.written.len() >= BATCH
                || (!waiting.written.is_empty() && waiting.since.elapsed() >= PATIENCE)
        };
        if due { self.settle().await } else { Ok(()) }
    }

    /// Waits until the disk has everything that came.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotFound`] where the submission was deleted in the meantime.
    pub async fn settle(&self) -> io::Result<()> {
        let written = std::mem::take(&mut self.waiting.borrow_mut().written);
        if written.is_empty() {
            return Ok(());
        }
        let kept = self.vault.keeps_parcels(self.item);
        if !kept.map_err(|failure| io::Error::other(failure.what().to_owned()))? {
            return Err(io::ErrorKind::NotFound.into());
        }
        let bytes = written.len() as u64 * PARCEL as u64;
        let parcels = self.parcels.clone();
        let work = tokio::task::spawn_blocking(move || mark(&parcels, &written));
        work.await.map_err(io::Error::other)??;
        self.progress.add(bytes);
        Ok(())
    }

    /// How many did not open in their places.
    pub fn wrong(&self) -> u32 {
        self.wrong.borrow().values().sum()
    }

    /// Whether more of a file is worth asking for: a stranger may put any number that do not open.
    pub fn bears(&self, number: u32) -> bool {
        match self.patience {
            Patience::WithAll(most) => self.wrong() < most,
            Patience::WithEach(most) => {
                self.wrong.borrow().get(&number).copied().unwrap_or(0) < most
            }
        }
    }
}

/// Marks what was written, once the disk has it.
fn mark(parcels: &Parcels, written: &[(Arc<ParcelFile>, Mark)]) -> io::Result<()> {
    let mut files: Vec<&Arc<ParcelFile>> = written.iter().map(|(file, _)| file).collect();
    files.dedup_by(|a, b| Arc::ptr_eq(a, b));
    parcels.sync()?;
    files.iter().try_for_each(|file| file.sync())?;
    written.iter().try_for_each(|(file, of)| file.mark(*of))?;
    files.iter().try_for_each(|file| file.sync())
}
