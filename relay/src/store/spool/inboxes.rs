//! What the operator and the mechanisms change: which inboxes are served, which readers are allowed, and their cards.

use std::io;

use valise_protocol::id::Address;

use super::record::{Body, Record, Seal};
use super::removals::{Edits, plan_all};
use super::served::{Card, Served};
use super::writer::Writer;
use crate::store::{Mailbox, Standing, StoreError};

impl Writer {
    pub(super) fn allow(
        &mut self,
        address: Address,
        standing: Standing,
    ) -> io::Result<Result<(), StoreError>> {
        let held = self.shared.served().get(&address).copied();
        match (held.map(|held| held.standing), standing) {
            (Some(Standing::Inbox), Standing::Inbox)
            | (Some(Standing::Reader), Standing::Reader) => return Ok(Ok(())),
            (Some(Standing::Inbox), Standing::Reader) => {
                return Ok(Err(StoreError::InboxServed));
            }
            (Some(Standing::Reader), Standing::Inbox) | (None, _) => (),
        }
        let body = match standing {
            Standing::Inbox => Body::Inbox(address),
            Standing::Reader => Body::Reader(address),
        };
        let record = Record {
            body,
            seal: Seal::empty(),
        };
        let Some(place) = self.store_one(&record, &[])? else {
            return Ok(Err(StoreError::StoreFull));
        };
        let mark = self.shared.keys().mailbox(Mailbox::Inbox(address.inbox()));
        let orphan = || self.shared.orphans().remove(&address);
        let served = Served {
            standing,
            mark,
            place,
            card: held.map_or_else(orphan, |held| held.card),
        };
        self.shared.served_mut().insert(address, served);
        // A crash before this leaves both records: a rebuild keeps that of the inbox.
        self.wipes.extend(held.map(|held| held.place));
        Ok(Ok(()))
    }

    pub(super) fn remove_inbox(&mut self, address: Address) -> io::Result<u64> {
        let Some(served) = self.take_out(address, Standing::Inbox)? else {
            return Ok(0);
        };
        // First of all, and durably, what a crash in between leaves to a rebuild: it completes the removal.
        let leaving = Record {
            body: Body::Leaving(address),
            seal: Seal::empty(),
        };
        self.apply(Edits::from([(served.place, Some(leaving))]))?;
        let mut edits = Edits::new();
        edits.extend(served.card.map(|card| (card.place, None)));
        let gone = plan_all(&self.shared, &served.mark, &mut edits)?;
        self.apply(edits)?;
        self.apply(Edits::from([(served.place, None)]))?;
        Ok(gone)
    }

    /// The card goes first: a crash in between leaves a reader that can read nothing, and that can be removed again. Mail there may be
    /// none, but of an inbox whose record is damaged, and that waits for the operator.
    pub(super) fn remove_reader(&mut self, address: Address) -> io::Result<bool> {
        let Some(served) = self.take_out(address, Standing::Reader)? else {
            return Ok(false);
        };
        let card = served.card.map(|card| (card.place, None));
        self.apply(card.into_iter().collect())?;
        self.apply(Edits::from([(served.place, None)]))?;
        Ok(true)
    }

    /// Takes a mechanism of this standing off the list; on the disk it still stands. What was to be wiped is wiped first: a card that
    /// was replaced must not be found after the one that replaced it is gone.
    fn take_out(&mut self, address: Address, standing: Standing) -> io::Result<Option<Served>> {
        let held = self.shared.served().get(&address).copied();
        let Some(served) = held.filter(|held| held.standing == standing) else {
            return Ok(None);
        };
        self.shared.served_mut().remove(&address);
        self.wipe()?;
        Ok(Some(served))
    }

    pub(super) fn put_card(
        &mut self,
        address: Address,
        mut card: Vec<u8>,
    ) -> io::Result<Result<(), StoreError>> {
        let served = self.shared.served().get(&address).copied();
        let Some(served) = served else {
            return Ok(Err(StoreError::UnknownInbox));
        };
        // Beyond those of all runs before: where a slot could not be read, the card in it may come back.
        let first = self.shared.keys().generation << 32;
        let sequence = served.card.map_or(0, |card| card.sequence + 1).max(first);
        let seal = Seal::over(&mut card, &mut super::system_rng());
        let record = Record {
            body: Body::Card { address, sequence },
            seal,
        };
        let Some(place) = self.store_one(&record, &card)? else {
            return Ok(Err(StoreError::StoreFull));
        };
        if let Some(served) = self.shared.served_mut().get_mut(&address) {
            served.card = Some(Card {
                place,
                sequence,
                damaged: false,
            });
        }
        self.wipes.extend(served.card.map(|card| card.place));
        Ok(Ok(()))
    }
}
