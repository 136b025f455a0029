//! A store that forgets: for tests, and the model that the spool is compared with.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use valise_protocol::id::{Address, EnvelopeDigest, MailboxId, Namespace, WithdrawHash};
use valise_protocol::limits::ENVELOPE;
use valise_protocol::parcel::{ParcelBuffer, ParcelSet};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Kept;

use super::arrival::Bells;
use super::devices::Devices;
use super::{
    Ceilings, Cursor, Deposit, Deposited, DeviceTag, MORE, Mailbox, Put, Reader, Standing, Store,
    StoreError, Target, Usage, Waiting, expired, last_day,
};

/// Everything in maps behind one lock.
pub struct Memory {
    ceilings: Ceilings,
    bells: Bells,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    allowed: BTreeMap<Address, Allowed>,
    held: BTreeMap<(Mailbox, Cursor), Held>,
    parcels: BTreeMap<(Namespace, u32), Parcel>,
    cursor: u64,
}

struct Allowed {
    standing: Standing,
    card: Option<Vec<u8>>,
}

struct Parcel {
    account: MailboxId,
    parcel: ParcelBuffer,
    day: u32,
}

struct Held {
    withdraw: WithdrawHash,
    digest: EnvelopeDigest,
    envelope: Box<[u8; ENVELOPE]>,
    day: u32,
    devices: Devices,
}

impl Memory {
    /// An empty store.
    pub fn new(ceilings: Ceilings) -> Self {
        Self {
            ceilings,
            bells: Bells::new(),
            state: Mutex::default(),
        }
    }

    pub(super) fn bells(&self) -> &Bells {
        &self.bells
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn mailbox(&self, mailbox: Mailbox) -> impl Iterator<Item = (Cursor, &Held)> {
        self.held
            .range((mailbox, Cursor(0))..=(mailbox, Cursor(u64::MAX)))
            .map(|((_, cursor), held)| (*cursor, held))
    }

    fn find(&self, mailbox: Mailbox, wanted: impl Fn(&Held) -> bool) -> Option<Cursor> {
        self.mailbox(mailbox)
            .find(|(_, held)| wanted(held))
            .map(|(cursor, _)| cursor)
    }

    fn usage(&self) -> Usage {
        let inbox = |key: &&(Mailbox, Cursor)| matches!(key.0, Mailbox::Inbox(_));
        let inbox_envelopes = self.held.keys().filter(inbox).count() as u64;
        Usage {
            inbox_envelopes,
            return_envelopes: self.held.len() as u64 - inbox_envelopes,
            parcels: self.parcels.len() as u64,
            ..Usage::default()
        }
    }

    fn of(&self, standing: Standing) -> impl Iterator<Item = Address> {
        let allowed = self.allowed.iter();
        let of = allowed.filter(move |(_, allowed)| allowed.standing == standing);
        of.map(|(address, _)| *address)
    }

    fn served(&self, inbox: MailboxId) -> bool {
        self.of(Standing::Inbox)
            .any(|address| address.inbox() == inbox)
    }

    /// Removes it with its card, if it has this standing.
    fn dismiss(&mut self, address: Address, standing: Standing) -> bool {
        let held = self.allowed.get(&address);
        let found = held.is_some_and(|allowed| allowed.standing == standing);
        if found {
            self.allowed.remove(&address);
        }
        found
    }

    fn put(&mut self, ceilings: &Ceilings, put: Put) -> Result<Kept, StoreError> {
        let name = (put.namespace, put.index);
        if let Some(held) = self.parcels.get(&name)
            && !expired(held.day, put.now)
        {
            let same = held.parcel == put.parcel;
            return if same {
                Ok(Kept::Already)
            } else {
                Err(StoreError::OtherParcel)
            };
        }
        let account = put.account.ok_or(StoreError::NoAccount)?;
        if !self.served(account) {
            return Err(StoreError::UnknownInbox);
        }
        let on_account = self.parcels.values().filter(|held| held.account == account);
        ceilings.admit_parcel(on_account.count() as u64, self.parcels.len() as u64)?;
        let held = Parcel {
            account,
            parcel: put.parcel,
            day: last_day(put.expires),
        };
        self.parcels.insert(name, held);
        Ok(Kept::New)
    }

    fn deposit(&mut self, ceilings: &Ceilings, deposit: Deposit) -> Result<Deposited, StoreError> {
        let Target::Mailbox(mailbox) = deposit.target else {
            return Ok(Deposited::Stored);
        };
        if let Mailbox::Inbox(inbox) = mailbox
            && !self.served(inbox)
        {
            return Err(StoreError::UnknownInbox);
        }
        let digest = EnvelopeDigest::of(deposit.envelope.as_slice());
        if self.find(mailbox, |held| held.digest == digest).is_some() {
            return Ok(Deposited::AlreadyStored);
        }
        let replaced = self.find(mailbox, |held| held.withdraw == deposit.withdraw);
        if let Some(cursor) = replaced {
            self.held.remove(&(mailbox, cursor));
        } else {
            ceilings.admit(mailbox, self.mailbox(mailbox).count() as u64, &self.usage())?;
        }
        self.cursor += 1;
        let held = Held {
            withdraw: deposit.withdraw,
            digest,
            envelope: deposit.envelope,
            day: last_day(deposit.expires),
            devices: Devices::default(),
        };
        self.held.insert((mailbox, Cursor(self.cursor)), held);
        Ok(if replaced.is_some() {
            Deposited::Replaced
        } else {
            Deposited::Stored
        })
    }
}

impl Store for Memory {
    async fn deposit(&self, deposit: Deposit) -> Result<Deposited, StoreError> {
        let target = deposit.target;
        let outcome = self.state().deposit(&self.ceilings, deposit)?;
        if let Target::Mailbox(mailbox) = target {
            self.bells.ring(mailbox);
        }
        Ok(outcome)
    }

    async fn next(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        after: Cursor,
        now: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        let state = self.state();
        let mut waiting = state.mailbox(mailbox).filter(|(cursor, held)| {
            *cursor > after && !expired(held.day, now) && !held.devices.hide_from(reader)
        });
        Ok(waiting.next().map(|(cursor, held)| Waiting {
            cursor,
            envelope: held.envelope.clone(),
            more: waiting.take(MORE as usize).count() as u32,
        }))
    }

    async fn remove(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        digests: &[EnvelopeDigest],
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        for digest in digests {
            let Some(cursor) = state.find(mailbox, |held| held.digest == *digest) else {
                continue;
            };
            if let Some(held) = state.held.get_mut(&(mailbox, cursor))
                && held.devices.note(reader)
            {
                state.held.remove(&(mailbox, cursor));
            }
        }
        Ok(())
    }

    async fn settle(&self, inbox: MailboxId, roster: &[DeviceTag]) -> Result<(), StoreError> {
        self.state().held.retain(|(mailbox, _), held| {
            *mailbox != Mailbox::Inbox(inbox) || !held.devices.cover(roster)
        });
        Ok(())
    }

    fn arrival(&self, mailbox: Mailbox) -> impl Future<Output = ()> + Send {
        self.bells.wait(mailbox)
    }

    async fn allow_inbox(&self, address: Address) -> Result<(), StoreError> {
        let mut state = self.state();
        let allowed = state.allowed.entry(address).or_insert(Allowed {
            standing: Standing::Inbox,
            card: None,
        });
        allowed.standing = Standing::Inbox;
        Ok(())
    }

    async fn remove_inbox(&self, address: Address) -> Result<u64, StoreError> {
        let mut state = self.state();
        if !state.dismiss(address, Standing::Inbox) {
            return Ok(0);
        }
        let before = state.held.len();
        state
            .held
            .retain(|(mailbox, _), _| *mailbox != Mailbox::Inbox(address.inbox()));
        state
            .parcels
            .retain(|_, held| held.account != address.inbox());
        Ok((before - state.held.len()) as u64)
    }

    async fn inboxes(&self) -> Result<Vec<(Address, u64)>, StoreError> {
        let state = self.state();
        let held = |address: &Address| state.mailbox(Mailbox::Inbox(address.inbox())).count();
        let inboxes = state.of(Standing::Inbox);
        Ok(inboxes.map(|a| (a, held(&a) as u64)).collect())
    }

    async fn serves(&self, inbox: MailboxId) -> Result<bool, StoreError> {
        Ok(self.state().served(inbox))
    }

    async fn allow_reader(&self, address: Address) -> Result<(), StoreError> {
        let mut state = self.state();
        let allowed = state.allowed.entry(address).or_insert(Allowed {
            standing: Standing::Reader,
            card: None,
        });
        match allowed.standing {
            Standing::Inbox => Err(StoreError::InboxServed),
            Standing::Reader => Ok(()),
        }
    }

    async fn remove_reader(&self, address: Address) -> Result<bool, StoreError> {
        Ok(self.state().dismiss(address, Standing::Reader))
    }

    async fn readers(&self) -> Result<Vec<Address>, StoreError> {
        Ok(self.state().of(Standing::Reader).collect())
    }

    async fn put_card(&self, address: Address, card: Vec<u8>) -> Result<(), StoreError> {
        let mut state = self.state();
        let held = state.allowed.get_mut(&address);
        held.ok_or(StoreError::UnknownInbox)?.card = Some(card);
        Ok(())
    }

    async fn card(&self, address: Address) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.state();
        let held = state.allowed.get(&address);
        Ok(held.ok_or(StoreError::UnknownInbox)?.card.clone())
    }

    async fn withdraw(&self, inbox: MailboxId, withdraw: WithdrawHash) -> Result<bool, StoreError> {
        let mut state = self.state();
        if !state.served(inbox) {
            return Err(StoreError::UnknownInbox);
        }
        let mailbox = Mailbox::Inbox(inbox);
        let found = state.find(mailbox, |held| held.withdraw == withdraw);
        let gone = found.and_then(|cursor| state.held.remove(&(mailbox, cursor)));
        Ok(gone.is_some())
    }

    async fn put_parcel(&self, put: Put) -> Result<Kept, StoreError> {
        self.state().put(&self.ceilings, put)
    }

    async fn parcels(&self, namespace: Namespace, now: Timestamp) -> Result<ParcelSet, StoreError> {
        let (state, mut set) = (self.state(), ParcelSet::default());
        let held = state.parcels.range((namespace, 0)..=(namespace, u32::MAX));
        held.filter(|(_, held)| !expired(held.day, now))
            .for_each(|((_, index), _)| set.insert(*index));
        Ok(set)
    }

    async fn parcel(
        &self,
        namespace: Namespace,
        index: u32,
        now: Timestamp,
    ) -> Result<Option<ParcelBuffer>, StoreError> {
        let state = self.state();
        let held = state.parcels.get(&(namespace, index));
        let held = held.filter(|held| !expired(held.day, now));
        Ok(held.map(|held| held.parcel.clone()))
    }

    async fn delete_parcels(&self, namespace: Namespace) -> Result<u32, StoreError> {
        let mut state = self.state();
        let before = state.parcels.len();
        state.parcels.retain(|(held, _), _| *held != namespace);
        Ok((before - state.parcels.len()) as u32)
    }

    async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.state();
        let count = |state: &State| state.held.len() + state.parcels.len();
        let before = count(&state);
        state.held.retain(|_, held| !expired(held.day, now));
        state.parcels.retain(|_, held| !expired(held.day, now));
        Ok((before - count(&state)) as u64)
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        Ok(self.state().usage())
    }
}
