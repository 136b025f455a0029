//! The spool: segments of encrypted records, which are the truth, and an index that is not (docs/design.md, "Storage").
//!
//! ```text
//! lock                 held while a process has the store open
//! keys                 store keys and generation          (keys.rs)
//! manifest             the numbers of the segments        (manifest.rs)
//! segment-0000000001   records: mail, cards, inboxes      (segment.rs, record.rs)
//! parcels-0000000002   records: parcels
//! index/               sled, rebuilt at every start       (index.rs, rebuild.rs; parcels.rs in memory)
//! ballast              room to give up when the disk is full
//! ```
//!
//! One thread decides what is written (writer.rs), a second one writes deposits (load.rs); readers look a place up in the index and read the segment themselves.

mod compact;
mod deposits;
mod disk;
mod flight;
mod handles;
mod inboxes;
mod index;
mod keys;
mod load;
mod manifest;
mod open;
mod parcels;
mod puts;
mod reader;
mod rebuild;
mod record;
mod removals;
mod rewrap;
mod room;
mod segment;
mod served;
mod shared;
mod twin;
mod witness;
mod writer;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tokio::sync::{Semaphore, mpsc, oneshot};
use valise_protocol::id::{Address, EnvelopeDigest, MailboxId, Namespace, WithdrawHash};
use valise_protocol::limits::CARD;
use valise_protocol::parcel::{ParcelBuffer, ParcelSet};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Kept;

use self::deposits::Incoming;
use self::puts::IncomingParcel;
use self::removals::Removal;
use self::shared::Shared;
use self::writer::{Chore, Command};
use super::arrival::Bells;
use super::{
    Ceilings, Cursor, Deposit, Deposited, DeviceTag, Mailbox, Put, Reader, Standing, Store,
    StoreError, Usage, Waiting,
};

pub use disk::{Disk, SystemDisk};
pub use keys::Credential;

/// How a spool is kept.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Its directory, created if absent; nothing else may be in it.
    pub dir: PathBuf,
    /// A file outside of what a backup of `dir` restores, by which an old copy is recognised. Without one it is not.
    pub witness: Option<PathBuf>,
    /// What its key file is sealed under, if anything: then the disk alone opens nothing.
    pub credential: Option<Arc<Credential>>,
    /// What it refuses to exceed.
    pub ceilings: Ceilings,
    /// Slots of a segment of mail, and so its size: 64.25 KiB each. One of parcels has a quarter as many, four times as large. Only
    /// a new store takes it from here.
    pub slots: u32,
    /// Deposits are refused while the disk has fewer bytes free than this.
    pub min_free_bytes: u64,
    /// Bytes set aside, and given up when the disk is full, so that the store still opens and its index can grow. Fewer than
    /// `min_free_bytes`, or deposits would take them.
    pub ballast_bytes: u64,
    /// Mailboxes that were emptied and whose last cursor is remembered, 60 bytes for each. When there are more all of them are
    /// forgotten, and cursors go on from higher up.
    pub empty_mailboxes: usize,
    /// Opens a store that is older than its witness remembers, or another one than it knows.
    pub accept_rollback: bool,
}

impl SpoolConfig {
    /// The usual sizes: segments of 64 MiB, 256 MiB kept free, a ballast of 64 MiB; no witness, no credential.
    pub fn new(dir: PathBuf, ceilings: Ceilings) -> Self {
        Self {
            dir,
            witness: None,
            credential: None,
            ceilings,
            slots: 1_024,
            min_free_bytes: 256 << 20,
            ballast_bytes: 64 << 20,
            empty_mailboxes: 65_536,
            accept_rollback: false,
        }
    }
}

/// Why a spool could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store is in use by another process")]
    Locked,
    /// Written by another version.
    #[error("the store has format version {0}, this build reads version 1")]
    UnknownVersion(u32),
    /// An old copy was put in its place.
    #[error(
        "the store is an old copy: it is at generation {found}, its witness has seen {witnessed}"
    )]
    Rollback {
        /// Of the store.
        found: u64,
        /// Of the witness.
        witnessed: u64,
    },
    /// The witness knows another store.
    #[error("the witness belongs to another store")]
    AnotherStore,
    /// The witness cannot say whether this is an old copy.
    #[error("the witness of the store is damaged")]
    WitnessDamaged,
    /// There are segments, and no keys to read them with.
    #[error("the store has lost its key file")]
    KeysMissing,
    /// Both copies of the keys are damaged.
    #[error("the key file of the store is damaged")]
    KeysDamaged,
    /// The key file is sealed, and nothing was given to open it with.
    #[error("the key file of the store is sealed under a credential, and none was given")]
    CredentialMissing,
    /// The key file is sealed under something else than what was given.
    #[error("the key file of the store is sealed under another credential")]
    CredentialWrong,
    /// A segment has an impossible size.
    #[error("expected between 1 and 65,536 slots in a segment, got {0}")]
    Slots(u32),
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Io(#[from] io::Error),
}

/// The durable store of one relay.
///
/// Dropping it ends the writer in the background; [`Spool::close`] waits for it.
pub struct Spool {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// Parcels may wait for the writer in this number.
    puts: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Spool {
    /// Opens or creates a store, and rebuilds its index from the segments. Blocks: about a second for 100,000 envelopes.
    ///
    /// # Errors
    /// [`OpenError`]. Damage to single records is no error: it is counted in [`Usage::damaged`].
    pub fn open(config: SpoolConfig) -> Result<Self, OpenError> {
        Self::open_on(Box::new(SystemDisk), config)
    }

    /// Opens a store on another disk than the system's: for tests of power cuts and failing syncs.
    ///
    /// # Errors
    /// As [`Self::open`].
    #[doc(hidden)]
    pub fn open_on(disk: Box<dyn Disk>, config: SpoolConfig) -> Result<Self, OpenError> {
        let (shared, writer) = open::open(disk, config)?;
        let (commands, inbound) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("spool".into());
        let writer = thread.spawn(move || writer.run(inbound))?;
        Ok(Self {
            shared,
            commands,
            puts: Arc::new(Semaphore::new(PUTS)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Whether the key file of a store is sealed under a credential; `None` where there is none that can be read.
    pub fn keys_are_sealed(dir: &Path) -> Option<bool> {
        keys::Keys::are_sealed(dir)
    }

    /// Wraps all slots under a new store key and destroys the one before, so that not even a stale copy of a slot, which
    /// flash or a copy-on-write file system may hold, can be opened. Deposits go on meanwhile. Returns when the old key is gone.
    ///
    /// # Errors
    /// [`StoreError::StoreFull`] where there is no room for the key file; the old key then still exists. [`StoreError::Closed`].
    pub async fn rewrap(&self) -> Result<(), StoreError> {
        self.ask(Chore::Rewrap).await?
    }

    /// Resolves with the reason once the store has failed: a sync, or the index. The process must then end with a status of
    /// its own, because what the kernel did not write it may have forgotten; a new start reads what is really on the disk.
    pub async fn failed(&self) -> String {
        self.shared.failed().await
    }

    /// Completes what was begun, makes it durable, and gives the directory free.
    ///
    /// # Errors
    /// [`StoreError::Closed`] where the store had failed before.
    pub async fn close(&self) -> Result<(), StoreError> {
        let closed = self.ask(Chore::Close).await;
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            drop(joined);
        }
        closed
    }

    pub(super) fn bells(&self) -> &Bells {
        &self.shared.bells
    }

    async fn ask<T>(
        &self,
        chore: impl FnOnce(oneshot::Sender<T>) -> Chore,
    ) -> Result<T, StoreError> {
        self.command(|reply| Command::Chore(chore(reply))).await
    }

    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| self.shared.closed())?;
        answer.await.map_err(|_| self.shared.closed())
    }

    /// Runs a read where it may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || read(&shared)).await;
        done.unwrap_or_else(|_| {
            self.shared.fail("the index panicked");
            Err(self.shared.closed())
        })
    }

    async fn change(&self, removal: Removal) -> Result<u64, StoreError> {
        self.ask(|reply| Chore::Remove(removal, reply)).await?
    }
}

impl Store for Spool {
    async fn deposit(&self, deposit: Deposit) -> Result<Deposited, StoreError> {
        // Hashing and encrypting 64 KiB takes about 60 µs: here it runs on as many cores as there are depositors.
        let incoming = Incoming::seal(&self.shared, deposit, &mut system_rng());
        self.command(|reply| Command::Deposit(Box::new(incoming), reply))
            .await?
    }

    async fn next(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        after: Cursor,
        now: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        let who = self.shared.index.blind_reader(reader);
        let found = self.read(move |shared| reader::next(shared, mailbox, &who, after, now));
        match found.await? {
            reader::Found::Nothing => Ok(None),
            reader::Found::Waiting(waiting) => Ok(Some(waiting)),
            reader::Found::Damaged(blind, cursor) => {
                self.ask(|reply| Chore::SetAside(blind, cursor, reply))
                    .await?;
                Err(StoreError::Damaged)
            }
        }
    }

    async fn remove(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        digests: &[EnvelopeDigest],
    ) -> Result<(), StoreError> {
        let removal = self.shared.collected(mailbox, reader, digests);
        self.change(removal).await.map(drop)
    }

    async fn settle(&self, inbox: MailboxId, roster: &[DeviceTag]) -> Result<(), StoreError> {
        let mailbox = self.shared.keys().inbox(inbox);
        let roster = self.shared.index.blind_roster(roster);
        self.change(Removal::Settled { mailbox, roster })
            .await
            .map(drop)
    }

    fn arrival(&self, mailbox: Mailbox) -> impl Future<Output = ()> + Send {
        self.shared.bells.wait(mailbox)
    }

    async fn allow_inbox(&self, address: Address) -> Result<(), StoreError> {
        self.ask(|reply| Chore::Allow(address, Standing::Inbox, reply))
            .await?
    }

    async fn remove_inbox(&self, address: Address) -> Result<u64, StoreError> {
        self.ask(|reply| Chore::RemoveInbox(address, reply)).await?
    }

    async fn inboxes(&self) -> Result<Vec<(Address, u64)>, StoreError> {
        self.read(|shared| shared.inboxes()).await
    }

    async fn serves(&self, inbox: MailboxId) -> Result<bool, StoreError> {
        let mark = self.shared.keys().inbox(inbox);
        Ok(self.shared.serves(&mark))
    }

    async fn allow_reader(&self, address: Address) -> Result<(), StoreError> {
        self.ask(|reply| Chore::Allow(address, Standing::Reader, reply))
            .await?
    }

    async fn remove_reader(&self, address: Address) -> Result<bool, StoreError> {
        self.ask(|reply| Chore::RemoveReader(address, reply))
            .await?
    }

    async fn readers(&self) -> Result<Vec<Address>, StoreError> {
        Ok(self.shared.allowed(Standing::Reader))
    }

    async fn put_card(&self, address: Address, card: Vec<u8>) -> Result<(), StoreError> {
        if card.len() > CARD {
            return Err(StoreError::Io(io::ErrorKind::FileTooLarge.into()));
        }
        self.ask(|reply| Chore::PutCard(address, card, reply))
            .await?
    }

    async fn card(&self, address: Address) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.read(move |shared| reader::card(shared, address));
        match found.await? {
            reader::FoundCard::Nothing => Ok(None),
            reader::FoundCard::Card(card) => Ok(Some(card)),
            reader::FoundCard::Damaged(place) => {
                self.ask(|reply| Chore::SetCardAside(address, place, reply))
                    .await?;
                Ok(None)
            }
        }
    }

    async fn withdraw(&self, inbox: MailboxId, withdraw: WithdrawHash) -> Result<bool, StoreError> {
        let removal = {
            let keys = self.shared.keys();
            Removal::Withdrawn {
                mailbox: keys.inbox(inbox),
                withdraw: keys.withdraw(withdraw),
            }
        };
        if let Removal::Withdrawn { mailbox, .. } = &removal
            && !self.shared.serves(mailbox)
        {
            return Err(StoreError::UnknownInbox);
        }
        self.change(removal).await.map(|gone| gone > 0)
    }

    async fn put_parcel(&self, put: Put) -> Result<Kept, StoreError> {
        let place = self.puts.clone().acquire_owned().await;
        let place = place.map_err(|_| self.shared.closed())?;
        // As for a deposit: about 200 µs, beside the writer.
        let incoming = IncomingParcel::seal(&self.shared, put, place, &mut system_rng());
        self.command(|reply| Command::Put(Box::new(incoming), reply))
            .await?
    }

    async fn parcels(&self, namespace: Namespace, now: Timestamp) -> Result<ParcelSet, StoreError> {
        let namespace = self.shared.keys().namespace(namespace);
        Ok(self.shared.parcels.set(namespace, now))
    }

    async fn parcel(
        &self,
        namespace: Namespace,
        index: u32,
        now: Timestamp,
    ) -> Result<Option<ParcelBuffer>, StoreError> {
        let found = self.read(move |shared| reader::parcel(shared, namespace, index, now));
        match found.await? {
            reader::FoundParcel::Nothing => Ok(None),
            reader::FoundParcel::Parcel(parcel) => Ok(Some(parcel)),
            reader::FoundParcel::Damaged(name, place) => {
                self.ask(|reply| Chore::SetParcelAside(name, place, reply))
                    .await?;
                Ok(None)
            }
        }
    }

    async fn delete_parcels(&self, namespace: Namespace) -> Result<u32, StoreError> {
        let namespace = self.shared.keys().namespace(namespace);
        let gone = self.change(Removal::Deleted(namespace)).await?;
        Ok(u32::try_from(gone).unwrap_or(u32::MAX))
    }

    async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.change(Removal::Expired(now)).await
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        self.read(|shared| shared.usage()).await
    }
}

/// The system's generator.
fn system_rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// The path of one of the store's files.
fn path_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

/// Commands that may wait for the writer: 16 MiB of envelopes.
const QUEUE: usize = 256;
/// Parcels that may: 8 MiB. Two loads of them, so that one is filled while another is written.
const PUTS: usize = 32;
