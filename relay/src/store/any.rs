//! The store that the configuration chose: one `match`, no `dyn`.

use valise_protocol::id::{Address, EnvelopeDigest, MailboxId, Namespace, WithdrawHash};
use valise_protocol::parcel::{ParcelBuffer, ParcelSet};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Kept;

use super::{
    Cursor, Deposit, Deposited, DeviceTag, Mailbox, Memory, Put, Reader, Spool, Store, StoreError,
    Usage, Waiting,
};

/// Any of the stores.
pub enum AnyStore {
    /// Forgets at exit.
    Memory(Memory),
    /// Durable.
    Spool(Spool),
}

/// Calls one method on whichever store it is.
macro_rules! either {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            AnyStore::Memory(store) => store.$method($($argument),*).await,
            AnyStore::Spool(store) => store.$method($($argument),*).await,
        }
    };
}

impl AnyStore {
    /// Destroys the key that what was removed until now could still be read with; see [`Spool::rewrap`].
    ///
    /// # Errors
    /// As [`Spool::rewrap`].
    pub async fn rewrap(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Spool(spool) => spool.rewrap().await,
        }
    }

    /// Resolves with the reason when the store has failed and the process must end; see [`Spool::failed`].
    pub async fn failed(&self) -> String {
        match self {
            Self::Memory(_) => std::future::pending().await,
            Self::Spool(spool) => spool.failed().await,
        }
    }

    /// Ends the store in order; see [`Spool::close`].
    ///
    /// # Errors
    /// As [`Spool::close`].
    pub async fn close(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Spool(spool) => spool.close().await,
        }
    }
}

impl Store for AnyStore {
    async fn deposit(&self, deposit: Deposit) -> Result<Deposited, StoreError> {
        either!(self.deposit(deposit))
    }

    async fn next(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        after: Cursor,
        now: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        either!(self.next(mailbox, reader, after, now))
    }

    async fn remove(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        digests: &[EnvelopeDigest],
    ) -> Result<(), StoreError> {
        either!(self.remove(mailbox, reader, digests))
    }

    async fn settle(&self, inbox: MailboxId, roster: &[DeviceTag]) -> Result<(), StoreError> {
        either!(self.settle(inbox, roster))
    }

    fn arrival(&self, mailbox: Mailbox) -> impl Future<Output = ()> + Send {
        // Both arms are the same type: the bell is registered now, not when the future is first polled.
        let bells = match self {
            Self::Memory(store) => store.bells(),
            Self::Spool(store) => store.bells(),
        };
        bells.wait(mailbox)
    }

    async fn allow_inbox(&self, address: Address) -> Result<(), StoreError> {
        either!(self.allow_inbox(address))
    }

    async fn remove_inbox(&self, address: Address) -> Result<u64, StoreError> {
        either!(self.remove_inbox(address))
    }

    async fn inboxes(&self) -> Result<Vec<(Address, u64)>, StoreError> {
        either!(self.inboxes())
    }

    async fn serves(&self, inbox: MailboxId) -> Result<bool, StoreError> {
        either!(self.serves(inbox))
    }

    async fn allow_reader(&self, address: Address) -> Result<(), StoreError> {
        either!(self.allow_reader(address))
    }

    async fn remove_reader(&self, address: Address) -> Result<bool, StoreError> {
        either!(self.remove_reader(address))
    }

    async fn readers(&self) -> Result<Vec<Address>, StoreError> {
        either!(self.readers())
    }

    async fn put_card(&self, address: Address, card: Vec<u8>) -> Result<(), StoreError> {
        either!(self.put_card(address, card))
    }

    async fn card(&self, address: Address) -> Result<Option<Vec<u8>>, StoreError> {
        either!(self.card(address))
    }

    async fn withdraw(&self, inbox: MailboxId, withdraw: WithdrawHash) -> Result<bool, StoreError> {
        either!(self.withdraw(inbox, withdraw))
    }

    async fn put_parcel(&self, put: Put) -> Result<Kept, StoreError> {
        either!(self.put_parcel(put))
    }

    async fn parcels(&self, namespace: Namespace, now: Timestamp) -> Result<ParcelSet, StoreError> {
        either!(self.parcels(namespace, now))
    }

    async fn parcel(
        &self,
        namespace: Namespace,
        index: u32,
        now: Timestamp,
    ) -> Result<Option<ParcelBuffer>, StoreError> {
        either!(self.parcel(namespace, index, now))
    }

    async fn delete_parcels(&self, namespace: Namespace) -> Result<u32, StoreError> {
        either!(self.delete_parcels(namespace))
    }

    async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        either!(self.expire(now))
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        either!(self.usage())
    }
}
