//! What a relay keeps: envelopes, parcels, cards, and the lists of inboxes it serves and of readers (docs/design.md, "Storage").
//!
//! One trait, [`Store`], small and semantic; the service above it holds the policy, the stores below it hold bytes.
//! [`Memory`] serves tests and is the model that the contract suite compares [`Spool`] with.

mod any;
mod arrival;
mod devices;
mod memory;
mod spool;

use std::future::Future;

use valise_protocol::id::{Address, EnvelopeDigest, MailboxId, Namespace, WithdrawHash};
use valise_protocol::limits::ENVELOPE;
use valise_protocol::parcel::{ParcelBuffer, ParcelSet};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Kept;

pub use any::AnyStore;
pub use memory::Memory;
pub use spool::{Credential, Disk, OpenError, Spool, SpoolConfig, SystemDisk};

/// Which mailbox a deposit or a poll is about (spec §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mailbox {
    /// A mechanism's inbox: served only when its operator allowed it.
    Inbox(MailboxId),
    /// A defender's return mailbox: exists as soon as something is in it.
    Return(MailboxId),
}

/// Where a deposit goes (spec §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Kept until collected or expired.
    Mailbox(Mailbox),
    /// Takes the same work on the disk as any other and is then discarded.
    Sink,
}

/// What the operator allowed a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its inbox is served.
    Inbox,
    /// Its devices may get parcels; it has no inbox here.
    Reader,
}

/// One envelope on its way in.
#[derive(Clone)]
pub struct Deposit {
    /// Where it goes.
    pub target: Target,
    /// An uncollected envelope in the same mailbox with the same hash is replaced (spec §4.4).
    pub withdraw: WithdrawHash,
    /// The envelope, exactly 65,536 bytes.
    pub envelope: Box<[u8; ENVELOPE]>,
    /// When the relay will drop it if nobody has collected it: drawn by the caller (DESIGN "admission"). The store keeps the
    /// day only, and the envelope to the end of that day.
    pub expires: Timestamp,
}

/// What became of a deposit that is now durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deposited {
    /// It is new.
    Stored,
    /// The very same envelope was there already.
    AlreadyStored,
    /// It took the place of one with the same withdraw hash that was not collected by everybody yet.
    Replaced,
}

/// One parcel on its way in (spec §9).
#[derive(Clone)]
pub struct Put {
    /// The inbox on whose account it is kept. `None`: on nobody's, so that it is not, but the same that is there already is told.
    pub account: Option<MailboxId>,
    /// The attachment.
    pub namespace: Namespace,
    /// Which parcel of it, below [`PARCELS`](valise_protocol::limits::PARCELS).
    pub index: u32,
    /// The parcel.
    pub parcel: ParcelBuffer,
    /// What has expired at this time is not there any more.
    pub now: Timestamp,
    /// When the relay will drop it. The store keeps the day only, and the parcel to the end of that day.
    pub expires: Timestamp,
}

/// A reader of an inbox as the store knows it: a hash of the device's link key, made by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceTag(pub [u8; 8]);

/// Who polls.
#[derive(Clone, Copy, Debug)]
pub enum Reader<'a> {
    /// The one holder of a return mailbox: what it removes is gone.
    Holder,
    /// One device of an inbox: what it removes is hidden from it, and gone when every device of `roster` has removed it.
    Device {
        /// This device.
        me: DeviceTag,
        /// All devices of the newest roster, this one included: at most eight, as many as an envelope has slots.
        roster: &'a [DeviceTag],
    },
}

/// Where a poll stands in a mailbox: ascending, opaque to clients, 0 before the first (spec §7.3). Scoped to one mailbox,
/// so that it tells nothing about the rest of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub u64);

/// Where [`Waiting::more`] stops counting: a poll must cost the same however much a mailbox holds.
pub const MORE: u32 = 32;

/// An envelope that waits for a reader.
pub struct Waiting {
    /// Its place.
    pub cursor: Cursor,
    /// Its bytes.
    pub envelope: Box<[u8; ENVELOPE]>,
    /// How many more wait for this reader beyond it; [`MORE`] means that many or more.
    pub more: u32,
}

/// Ceilings that the store itself must keep atomically with a deposit (relay.toml).
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Envelopes in one inbox.
    pub inbox_envelopes: u32,
    /// Envelopes in one return mailbox.
    pub return_envelopes: u32,
    /// Envelopes in all return mailboxes together.
    pub all_return_envelopes: u64,
    /// Envelopes in the whole store.
    pub all_envelopes: u64,
    /// Parcels on the account of one inbox.
    pub inbox_parcels: u32,
    /// Parcels in the whole store.
    pub all_parcels: u64,
}

impl Ceilings {
    /// Whether one more envelope fits where `held` are in its mailbox.
    ///
    /// # Errors
    /// [`StoreError::MailboxFull`] or [`StoreError::StoreFull`].
    fn admit(&self, mailbox: Mailbox, held: u64, usage: &Usage) -> Result<(), StoreError> {
        let ceiling = match mailbox {
            Mailbox::Inbox(_) => self.inbox_envelopes,
            Mailbox::Return(_) => self.return_envelopes,
        };
        if held >= u64::from(ceiling) {
            return Err(StoreError::MailboxFull);
        }
        let of_returns = matches!(mailbox, Mailbox::Return(_))
            && usage.return_envelopes >= self.all_return_envelopes;
        if of_returns || usage.inbox_envelopes + usage.return_envelopes >= self.all_envelopes {
            return Err(StoreError::StoreFull);
        }
        Ok(())
    }

    /// Whether one more parcel fits where `held` are on its account, and `all` in the store.
    ///
    /// # Errors
    /// [`StoreError::ParcelsFull`] or [`StoreError::StoreFull`].
    fn admit_parcel(&self, held: u64, all: u64) -> Result<(), StoreError> {
        if held >= u64::from(self.inbox_parcels) {
            return Err(StoreError::ParcelsFull);
        }
        if all >= self.all_parcels {
            return Err(StoreError::StoreFull);
        }
        Ok(())
    }
}

/// Whether something whose last day is `day` has expired.
fn expired(day: u32, now: Timestamp) -> bool {
    now.day() > u64::from(day)
}

/// The day that is kept of an expiry.
fn last_day(expires: Timestamp) -> u32 {
    u32::try_from(expires.day()).unwrap_or(u32::MAX)
}

/// Why a deposit was not stored, or anything else failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The inbox is not on the operator's list; nor, where a card is asked for or put, is the reader.
    #[error("this relay does not serve that inbox")]
    UnknownInbox,
    /// Its inbox is served: its devices get parcels without being allowed as a reader.
    #[error("this relay serves that mechanism's inbox")]
    InboxServed,
    /// The mailbox has reached its ceiling.
    #[error("the mailbox is full")]
    MailboxFull,
    /// The store has reached its ceiling, or the disk its high-water mark.
    #[error("the store is full")]
    StoreFull,
    /// The inbox has as many parcels on its account as it may.
    #[error("the inbox has as many parcels as it may")]
    ParcelsFull,
    /// Another parcel is stored in that place, and stays.
    #[error("another parcel is stored in that place")]
    OtherParcel,
    /// The parcel is not there, and nobody answers for it.
    #[error("no inbox answers for the parcel")]
    NoAccount,
    /// A sync failed, or the store is closing. Nothing was acknowledged and nothing will be (the process must end).
    #[error("the store is closed: {0}")]
    Closed(String),
    /// A record failed its checksum or did not decrypt; it was set aside and counted.
    #[error("a record was damaged and has been set aside")]
    Damaged,
    /// Reading or writing failed in a way that leaves the store usable.
    #[error("the disk failed: {0}")]
    Io(#[from] std::io::Error),
}

/// What the operator sees (`valise-relay status`): totals only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Envelopes held in inboxes.
    pub inbox_envelopes: u64,
    /// Envelopes held in return mailboxes.
    pub return_envelopes: u64,
    /// Parcels held.
    pub parcels: u64,
    /// Bytes that the store takes on the disk.
    pub disk_bytes: u64,
    /// Records that were found damaged and set aside since the store was opened.
    pub damaged: u64,
}

/// What a store does. Every method that changes something returns after the change is durable.
///
/// Futures are cancel-safe in the sense that a change whose future was dropped either happened whole or not at all.
pub trait Store: Send + Sync + 'static {
    /// Stores an envelope durably (one `fdatasync` shared by all that wait). Idempotent by (mailbox, digest).
    fn deposit(
        &self,
        deposit: Deposit,
    ) -> impl Future<Output = Result<Deposited, StoreError>> + Send;

    /// The first envelope beyond `after` that waits for this reader and has not expired at `now`.
    fn next(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        after: Cursor,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Waiting>, StoreError>> + Send;

    /// Removes envelopes for this reader; unknown digests are passed over. Durable when it returns.
    fn remove(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        digests: &[EnvelopeDigest],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Drops what every device of the (new) roster has removed already; called when a card with another roster is published.
    fn settle(
        &self,
        inbox: MailboxId,
        roster: &[DeviceTag],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Resolves when something may have arrived in the mailbox since the call was made. A lost wake-up is a defect; a spurious one is not.
    fn arrival(&self, mailbox: Mailbox) -> impl Future<Output = ()> + Send;

    /// Begins to serve an inbox. Allowing one twice is no error. A reader becomes an inbox, and keeps its card.
    fn allow_inbox(&self, address: Address) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Stops serving an inbox and removes its card, all the mail it holds, and the parcels on its account; returns how many
    /// envelopes that were.
    fn remove_inbox(
        &self,
        address: Address,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The inboxes served, with the number of envelopes that each holds.
    fn inboxes(&self) -> impl Future<Output = Result<Vec<(Address, u64)>, StoreError>> + Send;

    /// Whether an inbox is served. A reader's is not.
    fn serves(&self, inbox: MailboxId) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Allows a mechanism as a reader: its card is kept, so that its devices are known, but it has no inbox here. Allowing one twice
    /// is no error; [`StoreError::InboxServed`] where its inbox is served.
    fn allow_reader(&self, address: Address)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes a reader and its card; returns whether there was one. An inbox that is served is none.
    fn remove_reader(
        &self,
        address: Address,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The readers allowed.
    fn readers(&self) -> impl Future<Output = Result<Vec<Address>, StoreError>> + Send;

    /// Keeps a card in place of the one before. The service has checked it.
    fn put_card(
        &self,
        address: Address,
        card: Vec<u8>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The card held for an address, `None` where none was published since the last was found damaged. [`StoreError::UnknownInbox`]
    /// where neither the inbox is served nor the mechanism a reader.
    fn card(
        &self,
        address: Address,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;

    /// Removes the envelope of an inbox with this withdraw hash, unless every device has removed it already; returns whether there
    /// was one.
    fn withdraw(
        &self,
        inbox: MailboxId,
        withdraw: WithdrawHash,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Stores a parcel durably, by the same sync as deposits. Idempotent: of a number that is taken, the same parcel is told to be
    /// there already, and another changes nothing ([`StoreError::OtherParcel`]).
    fn put_parcel(&self, put: Put) -> impl Future<Output = Result<Kept, StoreError>> + Send;

    /// Which parcels of an attachment are there and have not expired at `now`.
    fn parcels(
        &self,
        namespace: Namespace,
        now: Timestamp,
    ) -> impl Future<Output = Result<ParcelSet, StoreError>> + Send;

    /// A parcel, if it is there and has not expired at `now`. One that turns out to be damaged is set aside, and is not there.
    fn parcel(
        &self,
        namespace: Namespace,
        index: u32,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<ParcelBuffer>, StoreError>> + Send;

    /// Removes all parcels of an attachment; returns how many those were.
    fn delete_parcels(
        &self,
        namespace: Namespace,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;

    /// Removes what has expired at `now`; returns how many envelopes and parcels that were.
    fn expire(&self, now: Timestamp) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Totals.
    fn usage(&self) -> impl Future<Output = Result<Usage, StoreError>> + Send;
}
