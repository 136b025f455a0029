//! What the writer and the readers of one spool share.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;
use valise_protocol::id::Address;
use valise_protocol::scrub::scrub_stack;

use super::disk::{Disk, readable};
use super::handles::Handles;
use super::index::Index;
use super::keys::{Keys, Mark};
use super::parcels::Parcels;
use super::record::MailKind;
use super::segment::{Place, Segment};
use super::served::{Card, Served};
use super::{OpenError, SpoolConfig};
use crate::store::arrival::Bells;
use crate::store::{Mailbox, Standing, StoreError, Usage};

/// An open spool.
pub(super) struct Shared {
    pub config: SpoolConfig,
    pub disk: Box<dyn Disk>,
    pub index: Index,
    pub parcels: Parcels,
    pub bells: Bells,
    pub counts: Counts,
    keys: RwLock<Keys>,
    pub handles: Arc<Handles>,
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    served: RwLock<BTreeMap<Address, Served>>,
    /// Cards whose inbox is not served, or whose reader not allowed, because a record was damaged.
    orphans: Mutex<BTreeMap<Address, Card>>,
    failure: watch::Sender<Option<String>>,
    /// Holds the lock on the directory while anything may still write to it.
    lock: Mutex<Option<File>>,
}

/// Totals, written by the writer only (`damaged` by readers as well).
#[derive(Default)]
pub(super) struct Counts {
    pub inbox: AtomicU64,
    pub returns: AtomicU64,
    pub damaged: AtomicU64,
    /// Where something was found damaged already: it is counted once, however often it is met.
    hurt: Mutex<BTreeSet<Place>>,
}

impl Counts {
    pub fn stored(&self, kind: MailKind) {
        self.of(kind).fetch_add(1, Ordering::Relaxed);
    }

    pub fn removed(&self, kind: MailKind) {
        self.of(kind).fetch_sub(1, Ordering::Relaxed);
    }

    pub fn damaged(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts and reports a record that was found damaged, the first time.
    pub fn damaged_at(&self, place: Place, what: &'static str) {
        let mut hurt = self.hurt.lock().unwrap_or_else(PoisonError::into_inner);
        if hurt.insert(place) {
            self.damaged();
            tracing::warn!("{what}: it was set aside");
        }
    }

    /// The totals of mail and damage.
    pub fn usage(&self) -> Usage {
        Usage {
            inbox_envelopes: self.inbox.load(Ordering::Relaxed),
            return_envelopes: self.returns.load(Ordering::Relaxed),
            damaged: self.damaged.load(Ordering::Relaxed),
            ..Usage::default()
        }
    }

    fn of(&self, kind: MailKind) -> &AtomicU64 {
        match kind {
            MailKind::Inbox => &self.inbox,
            MailKind::Return => &self.returns,
        }
    }
}

impl Shared {
    pub fn new(
        config: SpoolConfig,
        disk: Box<dyn Disk>,
        keys: Keys,
        index: Index,
        lock: File,
    ) -> Self {
        Self {
            config,
            disk,
            index,
            parcels: Parcels::default(),
            bells: Bells::new(),
            counts: Counts::default(),
            keys: RwLock::new(keys),
            handles: Arc::default(),
            segments: RwLock::default(),
            served: RwLock::default(),
            orphans: Mutex::default(),
            failure: watch::Sender::new(None),
            lock: Mutex::new(Some(lock)),
        }
    }

    pub fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn keys_mut(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn segment(&self, place: Place) -> Option<Arc<Segment>> {
        self.segments().get(&place.segment).cloned()
    }

    pub fn segments(&self) -> RwLockReadGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn segments_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub fn served(&self) -> RwLockReadGuard<'_, BTreeMap<Address, Served>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn served_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Address, Served>> {
        self.served.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn orphans(&self) -> MutexGuard<'_, BTreeMap<Address, Card>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the inbox with this mark is served. A reader has none.
    pub fn serves(&self, mark: &Mark) -> bool {
        let served = self.served();
        let mut inboxes = served
            .values()
            .filter(|served| served.standing == Standing::Inbox);
        inboxes.any(|served| served.mark == *mark)
    }

    /// What is allowed as this, in the order of the addresses.
    pub fn allowed(&self, standing: Standing) -> Vec<Address> {
        let served = self.served();
        let of = served
            .iter()
            .filter(|(_, served)| served.standing == standing);
        of.map(|(address, _)| *address).collect()
    }

    /// Makes the list of segments durable.
    pub fn save_manifest(&self) -> std::io::Result<()> {
        let numbers: Vec<u32> = self.segments().keys().copied().collect();
        super::manifest::save(&*self.disk, &self.config.dir, numbers.into_iter())
    }

    /// Makes the keys durable in a new generation, and tells the witness.
    pub fn save_keys(&self) -> std::io::Result<()> {
        let mut keys = self.keys_mut();
        let saved = keys.save(&*self.disk, &self.config.dir);
        scrub_stack();
        saved?;
        match &self.config.witness {
            Some(path) => super::witness::tell(&*self.disk, path, &keys),
            None => Ok(()),
        }
    }

    /// Closes the store for good. The first reason counts.
    pub fn fail(&self, reason: &str) {
        let first = self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| reason.to_owned());
            first
        });
        if first {
            tracing::error!(reason, "the store has failed and is closed");
        }
    }

    /// Gives the directory free, for another process. Nothing may be written afterwards.
    pub fn unlock(&self) {
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Whether [`Self::fail`] was called.
    pub fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        let reason = failure.wait_for(Option::is_some).await;
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or_default()
    }

    /// The error of whoever asks a store that no longer answers.
    pub fn closed(&self) -> StoreError {
        let reason = self.failure.borrow().clone();
        StoreError::Closed(reason.unwrap_or_else(|| "it is shutting down".to_owned()))
    }

    pub fn inboxes(&self) -> Result<Vec<(Address, u64)>, StoreError> {
        let keys = self.keys();
        let count = |address: Address| {
            let mark = keys.mailbox(Mailbox::Inbox(address.inbox()));
            let tally = self.index.tally(self.index.blind(&mark));
            (address, u64::from(tally.held))
        };
        let inboxes = self.allowed(Standing::Inbox).into_iter();
        Ok(inboxes.map(count).collect())
    }

    pub fn usage(&self) -> Result<Usage, StoreError> {
        let segments: Vec<_> = self.segments().values().cloned().collect();
        let mut usage = Usage {
            parcels: self.parcels.count(),
            ..self.counts.usage()
        };
        for segment in segments {
            // It may have been deleted since.
            usage.disk_bytes += readable(segment.disk_bytes())?.unwrap_or(0);
        }
        usage.disk_bytes += super::room::index_bytes(&self.config.dir)?;
        Ok(usage)
    }
}

/// Takes the lock of a directory for as long as the file lives.
pub(super) fn lock(dir: &std::path::Path) -> Result<File, OpenError> {
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(super::path_of(dir, "lock"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| OpenError::Locked)?;
    Ok(file)
}
