//! What the operator and the mechanisms change: which inboxes are served, and their cards.

use std::io;

use valise_protocol::id::Address;

use super::record::{Body, Record, Seal};
use super::removals::{Edits, plan_all};
use super::served::{Card, Served};
use super::writer::Writer;
use crate::store::{Mailbox, StoreError};

impl Writer {
    pub(super) fn allow(&mut self, address: Address) -> io::Result<Result<(), StoreError>> {
        if self.shared.served().contains_key(&address) {
            return Ok(Ok(()));
        }
        let record = Record {
            body: Body::Inbox(address),
            seal: Seal::empty(),
        };
        let Some(place) = self.store_one(&record, &[])? else {
            return Ok(Err(StoreError::StoreFull));
        };
        let mark = self.shared.keys().mailbox(Mailbox::Inbox(address.inbox()));
        let card = self.shared.orphans().remove(&address);
        self.shared
            .served_mut()
            .insert(address, Served { mark, place, card });
        Ok(Ok(()))
    }

    pub(super) fn remove_inbox(&mut self, address: Address) -> io::Result<u64> {
        let Some(served) = self.shared.served_mut().remove(&address) else {
            return Ok(0);
        };
        self.wipe()?;
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
