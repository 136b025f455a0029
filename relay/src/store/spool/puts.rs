//! Puts: parcels on their way to the disk, decided like deposits and made durable by the same sync.
//!
//! Who puts knows by `have` what is there, so a put need not hide what became of it: only what is kept is written.

use rand_core::CryptoRng;
use tokio::sync::OwnedSemaphorePermit;
use valise_protocol::hash::sha256;
use valise_protocol::limits::PARCEL;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Kept;

use super::keys::Mark;
use super::record::{Parcel, ParcelName, Seal};
use super::segment::Place;
use super::shared::Shared;
use super::writer::Reply;
use crate::store::{Put, StoreError, expired, last_day};

/// A parcel, encrypted by whoever puts it.
pub(super) struct IncomingParcel {
    name: ParcelName,
    account: Option<Mark>,
    digest: Mark,
    day: u32,
    now: Timestamp,
    pub seal: Seal,
    pub payload: Box<[u8; PARCEL]>,
    /// Given back when it is in the load, or dropped.
    _place: OwnedSemaphorePermit,
}

impl IncomingParcel {
    /// Hashes and encrypts.
    pub fn seal(
        shared: &Shared,
        put: Put,
        place: OwnedSemaphorePermit,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut payload = put.parcel.into_sealed();
        let hash = sha256(&[payload.as_slice()]);
        let (name, account, digest) = {
            let keys = shared.keys();
            let name = ParcelName {
                namespace: keys.namespace(put.namespace),
                index: put.index,
            };
            let account = put.account.map(|inbox| keys.inbox(inbox));
            (name, account, keys.parcel(&hash))
        };
        let seal = Seal::over(payload.as_mut_slice(), rng);
        Self {
            name,
            account,
            digest,
            day: last_day(put.expires),
            now: put.now,
            seal,
            payload,
            _place: place,
        }
    }
}

/// What was decided of a put.
pub(super) type PutOutcome = Result<Kept, StoreError>;

/// Puts that become durable together, decided one after the other.
#[derive(Default)]
pub(super) struct Puts {
    kept: Vec<(Parcel, Place)>,
    answers: Vec<(PutOutcome, Reply<Kept>)>,
}

impl Puts {
    /// Decides a put in the light of what is stored and of what is on its way, oldest first. `None`: it is there already.
    pub fn decide(
        shared: &Shared,
        on_their_way: [Option<&Self>; 2],
        incoming: &IncomingParcel,
    ) -> Result<Option<Parcel>, StoreError> {
        let puts = || on_their_way.into_iter().flatten();
        let pending = || puts().flat_map(|puts| puts.kept.iter().map(|(parcel, _)| parcel));
        let last = pending().rfind(|parcel| parcel.name == incoming.name);
        let stored = || shared.parcels.find(incoming.name).map(|found| found.0);
        let held = last.copied().or_else(stored);
        if let Some(held) = held.filter(|held| !expired(held.day, incoming.now)) {
            let same = held.digest == incoming.digest;
            return if same {
                Ok(None)
            } else {
                Err(StoreError::OtherParcel)
            };
        }
        let account = incoming.account.ok_or(StoreError::NoAccount)?;
        if !shared.serves(&account) {
            return Err(StoreError::UnknownInbox);
        }
        let coming = pending().filter(|parcel| parcel.account == account).count();
        let on_account = shared.parcels.on_account(&account) + coming as u64;
        let all = shared.parcels.count() + pending().count() as u64;
        shared.config.ceilings.admit_parcel(on_account, all)?;
        Ok(Some(Parcel {
            name: incoming.name,
            account,
            digest: incoming.digest,
            day: incoming.day,
        }))
    }

    /// Notes a parcel that is laid into the load.
    pub fn keep(&mut self, parcel: Parcel, place: Place) {
        self.kept.push((parcel, place));
    }

    /// Whether a parcel of this attachment is among them.
    pub fn bring(&self, namespace: Mark) -> bool {
        let mut kept = self.kept.iter();
        kept.any(|(parcel, _)| parcel.name.namespace == namespace)
    }

    /// Answers a put when all that was decided before it is durable.
    pub fn answer(&mut self, outcome: PutOutcome, reply: Reply<Kept>) {
        self.answers.push((outcome, reply));
    }

    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Brings the index up to date with what is durable now, and answers; returns the places to be wiped.
    pub fn publish(self, shared: &Shared) -> Vec<Place> {
        let kept = self.kept.iter();
        let wipes = kept.flat_map(|(parcel, place)| shared.parcels.insert(parcel, *place));
        let wipes = wipes.collect();
        for (outcome, reply) in self.answers {
            let _ = reply.send(outcome);
        }
        wipes
    }
}
