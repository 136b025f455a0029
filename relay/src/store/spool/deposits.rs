//! Deposits: a batch of them is placed, decided, written, made durable by one sync, and only then indexed and acknowledged.
//!
//! Whatever becomes of a deposit, the same bytes are written for it: what is refused, known already, or meant for the sink
//! takes a slot and an extent too and is wiped afterwards. So the time of an answer does not tell which it was.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use rand_core::CryptoRng;
use valise_protocol::id::EnvelopeDigest;
use valise_protocol::limits::ENVELOPE;

use super::index::{Blind, Tally, io_error};
use super::keys::Mark;
use super::record::{Body, Envelope, MailKind, Record, Seal};
use super::segment::{Place, SLOT, Segment};
use super::shared::Shared;
use crate::store::devices::Devices;
use crate::store::{Deposit, Deposited, Mailbox, StoreError, Target, last_day};

/// A deposit, encrypted by whoever makes it.
pub(super) struct Incoming {
    target: Target,
    mailbox: Mark,
    withdraw: Mark,
    digest: Mark,
    day: u32,
    seal: Seal,
    payload: Box<[u8; ENVELOPE]>,
}

impl Incoming {
    /// Hashes and encrypts.
    pub fn seal(shared: &Shared, deposit: Deposit, rng: &mut impl CryptoRng) -> Self {
        let mut payload = deposit.envelope;
        let digest = EnvelopeDigest::of(payload.as_slice());
        let (mailbox, withdraw, digest) = {
            let keys = shared.keys();
            let mailbox = match deposit.target {
                Target::Mailbox(mailbox) => keys.mailbox(mailbox),
                Target::Sink => [0; 16],
            };
            (
                mailbox,
                keys.withdraw(deposit.withdraw),
                keys.digest(digest),
            )
        };
        Self {
            target: deposit.target,
            mailbox,
            withdraw,
            digest,
            day: last_day(deposit.expires),
            seal: Seal::over(payload.as_mut_slice(), rng),
            payload,
        }
    }
}

/// What was decided of a deposit.
pub(super) type Outcome = Result<Deposited, StoreError>;

/// A batch on its way to the disk.
pub(super) struct Batch<'a> {
    shared: &'a Shared,
    /// Upper half of the cursors given out.
    epoch: u64,
    tallies: HashMap<Blind, Tally>,
    kept: Vec<Option<Kept>>,
    replaced: Vec<(Blind, u64)>,
    inbox_delta: i64,
    return_delta: i64,
}

struct Kept {
    blind: Blind,
    envelope: Envelope,
}

impl<'a> Batch<'a> {
    pub fn new(shared: &'a Shared, epoch: u64) -> Self {
        Self {
            shared,
            epoch,
            tallies: HashMap::new(),
            kept: Vec::new(),
            replaced: Vec::new(),
            inbox_delta: 0,
            return_delta: 0,
        }
    }

    /// Decides a deposit in the light of the index and of those before it in the batch.
    pub fn decide(&mut self, incoming: &Incoming) -> io::Result<Outcome> {
        let (outcome, kept) = match incoming.target {
            Target::Sink => (Ok(Deposited::Stored), None),
            Target::Mailbox(mailbox) => match self.admit(mailbox, incoming)? {
                Ok((outcome, kept)) => (Ok(outcome), kept),
                Err(refusal) => (Err(refusal), None),
            },
        };
        self.kept.push(kept);
        Ok(outcome)
    }

    fn admit(
        &mut self,
        mailbox: Mailbox,
        incoming: &Incoming,
    ) -> io::Result<Result<(Deposited, Option<Kept>), StoreError>> {
        let index = &self.shared.index;
        let kind = match mailbox {
            Mailbox::Inbox(_) if !self.shared.serves(&incoming.mailbox) => {
                return Ok(Err(StoreError::UnknownInbox));
            }
            Mailbox::Inbox(_) => MailKind::Inbox,
            Mailbox::Return(_) => MailKind::Return,
        };
        let blind = index.blind(&incoming.mailbox);
        let stored = index
            .find_digest(blind, &incoming.digest)
            .map_err(io_error)?;
        let stored = stored.filter(|cursor| !self.replaced.contains(&(blind, *cursor)));
        if stored.is_some()
            || self
                .pending(blind, |held| held.digest == incoming.digest)
                .is_some()
        {
            return Ok(Ok((Deposited::AlreadyStored, None)));
        }
        let tally = match self.tallies.get(&blind) {
            Some(tally) => *tally,
            None => index.tally(blind).map_err(io_error)?,
        };
        let replaces = self.replace(blind, &incoming.withdraw)?;
        if !replaces {
            let mut usage = self.shared.counts.usage();
            usage.inbox_envelopes = usage
                .inbox_envelopes
                .saturating_add_signed(self.inbox_delta);
            usage.return_envelopes = usage
                .return_envelopes
                .saturating_add_signed(self.return_delta);
            let held = u64::from(tally.held);
            if let Err(refusal) = self.shared.config.ceilings.admit(mailbox, held, &usage) {
                return Ok(Err(refusal));
            }
            match kind {
                MailKind::Inbox => self.inbox_delta += 1,
                MailKind::Return => self.return_delta += 1,
            }
        }
        let tally = Tally {
            held: tally.held + u32::from(!replaces),
            last: (tally.last + 1).max(self.epoch + 1),
        };
        self.tallies.insert(blind, tally);
        let envelope = Envelope {
            kind,
            mailbox: incoming.mailbox,
            withdraw: incoming.withdraw,
            digest: incoming.digest,
            cursor: tally.last,
            day: incoming.day,
            devices: Devices::default(),
        };
        let outcome = if replaces {
            Deposited::Replaced
        } else {
            Deposited::Stored
        };
        Ok(Ok((outcome, Some(Kept { blind, envelope }))))
    }

    /// Takes what has this withdraw hash out of the mailbox, be it stored or earlier in the batch.
    fn replace(&mut self, blind: Blind, withdraw: &Mark) -> io::Result<bool> {
        if let Some(at) = self.pending(blind, |held| held.withdraw == *withdraw) {
            self.kept[at] = None;
            return Ok(true);
        }
        let found = self
            .shared
            .index
            .find_withdraw(blind, withdraw)
            .map_err(io_error)?;
        let found = found.filter(|cursor| !self.replaced.contains(&(blind, *cursor)));
        self.replaced.extend(found.map(|cursor| (blind, cursor)));
        Ok(found.is_some())
    }

    fn pending(&self, blind: Blind, wanted: impl Fn(&Envelope) -> bool) -> Option<usize> {
        self.kept.iter().position(|kept| {
            kept.as_ref()
                .is_some_and(|kept| kept.blind == blind && wanted(&kept.envelope))
        })
    }

    /// Writes slots and extents; they are durable when it returns. `places` are one for each deposit, ascending.
    pub fn write(
        &self,
        incoming: Vec<Incoming>,
        places: &[(Arc<Segment>, Place)],
    ) -> io::Result<()> {
        let mut rng = super::system_rng();
        let mut heads: BTreeMap<u32, (Arc<Segment>, u32, Vec<u8>)> = BTreeMap::new();
        for ((incoming, kept), (segment, place)) in incoming.into_iter().zip(&self.kept).zip(places)
        {
            let body = match kept {
                Some(kept) => Body::Envelope(kept.envelope.clone()),
                None => Body::Sink,
            };
            let record = Record {
                body,
                seal: incoming.seal,
            };
            let slot = record.wrap(self.shared.keys().newest(), *place, &mut rng);
            segment.write_extent(place.slot, incoming.payload.as_slice())?;
            let head = heads
                .entry(place.segment)
                .or_insert_with(|| (segment.clone(), place.slot, Vec::with_capacity(SLOT)));
            head.2.extend_from_slice(&slot);
        }
        for (segment, first, slots) in heads.values() {
            segment.write_slots(*first, slots)?;
            segment.sync(&*self.shared.disk)?;
            segment.forget(*first, (slots.len() / SLOT) as u32);
        }
        Ok(())
    }

    /// Brings the index up to date; returns the places to be wiped.
    pub fn publish(self, places: &[(Arc<Segment>, Place)]) -> io::Result<Vec<Place>> {
        let mut wipes = Vec::new();
        for (mailbox, cursor) in self.replaced {
            if let Some(entry) = self
                .shared
                .index
                .remove(mailbox, cursor)
                .map_err(io_error)?
            {
                self.shared.counts.removed(entry.kind);
                wipes.push(entry.place);
            }
        }
        for (kept, (_, place)) in self.kept.iter().zip(places) {
            match kept {
                Some(kept) => {
                    self.shared
                        .index
                        .insert(&kept.envelope, *place)
                        .map_err(io_error)?;
                    self.shared.counts.stored(kept.envelope.kind);
                }
                None => wipes.push(*place),
            }
        }
        Ok(wipes)
    }
}

impl Incoming {
    /// Whom to wake when it is stored.
    pub fn mailbox(&self) -> Option<Mailbox> {
        match self.target {
            Target::Mailbox(mailbox) => Some(mailbox),
            Target::Sink => None,
        }
    }
}
