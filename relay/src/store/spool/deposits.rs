//! Deposits: each is decided, placed and laid into a load; a load is made durable by one sync, and only then is its batch
//! indexed and acknowledged. While one load is written, the next batch is decided, in the light of the one before.
//!
//! Whatever becomes of a deposit, the same bytes are written for it: what is refused, known already, or meant for the sink
//! takes a slot and an extent too and is wiped afterwards. So the time of an answer does not tell which it was.

use std::collections::HashMap;
use std::io;

use rand_core::CryptoRng;
use valise_protocol::id::EnvelopeDigest;
use valise_protocol::limits::ENVELOPE;

use super::index::{Name, Names, Tally, io_error};
use super::keys::Mark;
use super::puts::Puts;
use super::record::{Body, Envelope, MailKind, Record, Seal};
use super::segment::Place;
use super::shared::Shared;
use super::writer::Reply;
use crate::store::devices::Devices;
use crate::store::{Deposit, Deposited, Mailbox, StoreError, Target, last_day};

/// A deposit, encrypted by whoever makes it.
pub(super) struct Incoming {
    target: Target,
    mailbox: Mark,
    withdraw: Mark,
    digest: Mark,
    /// What the index calls the three.
    names: Names,
    day: u32,
    seal: Seal,
    pub payload: Box<[u8; ENVELOPE]>,
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
            names: shared.index.names(&mailbox, &withdraw, &digest),
            day: last_day(deposit.expires),
            seal: Seal::over(payload.as_mut_slice(), rng),
            payload,
        }
    }

    /// Whom to wake when it is stored.
    fn mailbox(&self) -> Option<Mailbox> {
        match self.target {
            Target::Mailbox(mailbox) => Some(mailbox),
            Target::Sink => None,
        }
    }
}

/// What was decided of a deposit.
pub(super) type Outcome = Result<Deposited, StoreError>;

/// Deposits that become durable together, decided one after the other.
#[derive(Default)]
pub(super) struct Batch {
    tallies: HashMap<Name, Tally>,
    kept: Vec<Kept>,
    /// What later deposits replaced, be it stored, in the batch before, or earlier in this one.
    replaced: Vec<(Name, u64)>,
    /// What was written only so that its answer takes as long as any other.
    idle: Vec<Place>,
    answers: Vec<(Outcome, Option<Mailbox>, Reply<Deposited>)>,
    inbox_delta: i64,
    return_delta: i64,
    /// Parcels that become durable with them.
    pub puts: Puts,
}

struct Kept {
    names: Names,
    envelope: Envelope,
    place: Place,
}

/// What a deposit is decided by: the index, the batch on its way to the disk, and those before it in its own.
pub(super) struct Deciding<'a> {
    pub shared: &'a Shared,
    pub before: Option<&'a Batch>,
    /// Upper half of the cursors given out.
    pub epoch: u64,
}

impl Batch {
    /// Decides a deposit, and returns the record to be written at `place`.
    pub fn decide(
        &mut self,
        by: &Deciding<'_>,
        incoming: Incoming,
        place: Place,
        reply: Reply<Deposited>,
    ) -> (Record, Box<[u8; ENVELOPE]>) {
        let (outcome, envelope) = match incoming.target {
            Target::Sink => (Ok(Deposited::Stored), None),
            Target::Mailbox(mailbox) => match self.admit(by, mailbox, &incoming) {
                Ok((outcome, envelope)) => (Ok(outcome), envelope),
                Err(refusal) => (Err(refusal), None),
            },
        };
        let rings = incoming.mailbox().filter(|_| outcome.is_ok());
        self.answers.push((outcome, rings, reply));
        let body = match envelope {
            Some(envelope) => {
                self.kept.push(Kept {
                    names: incoming.names,
                    envelope: envelope.clone(),
                    place,
                });
                Body::Envelope(envelope)
            }
            None => {
                self.idle.push(place);
                Body::Sink
            }
        };
        let seal = incoming.seal;
        (Record { body, seal }, incoming.payload)
    }

    fn admit(
        &mut self,
        by: &Deciding<'_>,
        mailbox: Mailbox,
        incoming: &Incoming,
    ) -> Result<(Deposited, Option<Envelope>), StoreError> {
        let index = &by.shared.index;
        let kind = match mailbox {
            Mailbox::Inbox(_) if !by.shared.serves(&incoming.mailbox) => {
                return Err(StoreError::UnknownInbox);
            }
            Mailbox::Inbox(_) => MailKind::Inbox,
            Mailbox::Return(_) => MailKind::Return,
        };
        let names = &incoming.names;
        let stored = index.find_digest(names.digest);
        let known = self.lives(by, names.mailbox, stored).is_some()
            || self
                .pending(by, |kept| kept.digest == names.digest)
                .is_some();
        if known {
            return Ok((Deposited::AlreadyStored, None));
        }
        let tally = self.tally(by, names.mailbox);
        let replaces = self.find_replaced(by, names);
        if replaces.is_none() {
            let held = u64::from(tally.held);
            let usage = self.usage(by);
            by.shared.config.ceilings.admit(mailbox, held, &usage)?;
            match kind {
                MailKind::Inbox => self.inbox_delta += 1,
                MailKind::Return => self.return_delta += 1,
            }
        }
        self.replaced
            .extend(replaces.map(|cursor| (names.mailbox, cursor)));
        let tally = Tally {
            held: tally.held + u32::from(replaces.is_none()),
            last: (tally.last + 1).max(by.epoch + 1),
        };
        self.tallies.insert(names.mailbox, tally);
        let envelope = Envelope {
            kind,
            mailbox: incoming.mailbox,
            withdraw: incoming.withdraw,
            digest: incoming.digest,
            cursor: tally.last,
            day: incoming.day,
            devices: Devices::default(),
        };
        let outcome = match replaces {
            Some(_) => Deposited::Replaced,
            None => Deposited::Stored,
        };
        Ok((outcome, Some(envelope)))
    }

    /// The envelope of this mailbox that a deposit with this withdraw hash takes the place of.
    fn find_replaced(&self, by: &Deciding<'_>, names: &Names) -> Option<u64> {
        let pending = self.pending(by, |kept| kept.withdraw == names.withdraw);
        pending.or_else(|| {
            let stored = by.shared.index.find_withdraw(names.withdraw);
            self.lives(by, names.mailbox, stored)
        })
    }

    /// The cursor of an envelope that is not in the index yet and was not replaced. The names of the index tell mailboxes apart.
    fn pending(&self, by: &Deciding<'_>, wanted: impl Fn(&Names) -> bool) -> Option<u64> {
        let batches = [Some(self), by.before].into_iter().flatten();
        let mut found = batches
            .flat_map(|batch| batch.kept.iter().rev())
            .filter(|kept| wanted(&kept.names));
        found.find_map(|kept| self.lives(by, kept.names.mailbox, Some(kept.envelope.cursor)))
    }

    /// Passes over what was replaced.
    fn lives(&self, by: &Deciding<'_>, mailbox: Name, cursor: Option<u64>) -> Option<u64> {
        let batches = [Some(self), by.before];
        cursor.filter(|cursor| {
            batches
                .iter()
                .flatten()
                .all(|batch| !batch.replaced.contains(&(mailbox, *cursor)))
        })
    }

    /// Whether an envelope of such a name is among them, replaced or not.
    pub fn brings(&self, wanted: impl Fn(&Names) -> bool) -> bool {
        self.kept.iter().any(|kept| wanted(&kept.names))
    }

    fn tally(&self, by: &Deciding<'_>, mailbox: Name) -> Tally {
        let before = || by.before?.tallies.get(&mailbox);
        let pending = self.tallies.get(&mailbox).or_else(before).copied();
        pending.unwrap_or_else(|| by.shared.index.tally(mailbox))
    }

    /// The store's totals as they will be.
    fn usage(&self, by: &Deciding<'_>) -> crate::store::Usage {
        let mut usage = by.shared.counts.usage();
        for batch in [Some(self), by.before].into_iter().flatten() {
            let add = u64::saturating_add_signed;
            usage.inbox_envelopes = add(usage.inbox_envelopes, batch.inbox_delta);
            usage.return_envelopes = add(usage.return_envelopes, batch.return_delta);
        }
        usage
    }

    /// Brings the index up to date with what is durable now, and answers; returns the places to be wiped.
    pub fn publish(self, shared: &Shared) -> io::Result<Vec<Place>> {
        let index = &shared.index;
        for kept in &self.kept {
            index
                .insert(&kept.names, &kept.envelope, kept.place)
                .map_err(io_error)?;
            shared.counts.stored(kept.envelope.kind);
        }
        let mut wipes = self.idle;
        for (mailbox, cursor) in self.replaced {
            if let Some(entry) = index.remove(mailbox, cursor).map_err(io_error)? {
                shared.counts.removed(entry.kind);
                wipes.push(entry.place);
            }
        }
        wipes.extend(self.puts.publish(shared));
        for (outcome, rings, reply) in self.answers {
            if let Some(mailbox) = rings {
                shared.bells.ring(mailbox);
            }
            let _ = reply.send(outcome);
        }
        Ok(wipes)
    }
}
