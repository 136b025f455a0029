//! Bringing parcels to a relay: what it has is asked first, and only the rest travels. Whatever breaks is tried again for a while.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::channel;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use valise_protocol::contact::RelayContact;
use valise_protocol::id::Grant;
use valise_protocol::limits::{LINKS, PARCEL};
use valise_protocol::parcel::{ParcelBuffer, ParcelSet};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Refusal, Request};

use crate::dial::{Connection, DialError, Purpose, fresh_key};
use crate::failure::{Failure, Outcome};
use crate::link::{LinkFault, OpenLink, Pace};
use crate::progress::Progress;

use super::item::{Item, parcels};
use super::reading::Unread;

/// Where parcels go, and how.
pub struct Upload<'a> {
    /// The relay.
    pub relay: &'a RelayContact,
    /// What goes there.
    pub items: &'a [Arc<Item>],
    /// What another relay holds of each, and need not travel.
    pub elsewhere: &'a [ParcelSet],
    /// No faster than this.
    pub pace: Option<Arc<Pace>>,
    /// What time it is: an upload may take days.
    pub clock: &'a dyn Fn() -> Timestamp,
}

/// What one attempt needs.
struct Attempt {
    connection: Connection,
    lanes: Arc<Semaphore>,
    /// Parcels that may be on their way, all files together.
    flight: Arc<Semaphore>,
    /// The same number.
    most_in_flight: usize,
    grant: Grant,
    pace: Option<Arc<Pace>>,
    progress: Arc<Progress>,
}

/// Why an attempt ended before its time.
enum Stop {
    /// The grant is used up, or the relay forgot it.
    Grant,
    /// It may go better another time.
    Again(Failure),
    /// It will not.
    Never(Failure),
    /// This file cannot be sent; others can.
    File(Failure),
}

/// So many attempts that bring nothing are made in a row.
const ATTEMPTS: u32 = 6;
/// The longest pause between two, in seconds.
const LONGEST_PAUSE: u64 = 30;
/// So many files are on their way at a time, and no more than half of the parcels: a link that waits for its turn for minutes is closed.
const FILES: usize = 6;
/// The most links that carry one file.
const MOST_LANES: usize = 8;
/// Parcels on their way for each link: the relay reads one while it answers two.
const PER_LANE: usize = 3;
/// What is on its way when a connection breaks travels again: at most one parcel of so many, so that twenty breaks cost a twentieth.
const BREAK: u64 = 400;
/// But no fewer than these are on their way, and no more.
const FLIGHT: (u64, u64) = (2, 24);
/// Parcels that are sealed ahead of the links, for one file.
const SEALED: usize = 4;

/// What a relay holds of each; one round trip for each file, after the handshakes.
///
/// # Errors
/// A failure when it is not reached.
pub async fn held(
    relay: &RelayContact,
    items: &[Arc<Item>],
    now: Timestamp,
) -> Outcome<Vec<ParcelSet>> {
    let connection = Connection::dial_for(Purpose::Parcels, relay, now).await?;
    let asked = async {
        let mut link = connection.link(&fresh_key()).await?;
        let mut sets = Vec::with_capacity(items.len());
        for item in items {
            sets.push(link.have(item.namespace).await?);
        }
        link.finish();
        Ok::<_, LinkFault>(sets)
    };
    let sets = asked.await;
    connection.close().await;
    Ok(sets?)
}

/// Deletes all parcels of these at a relay; gives how many there were.
///
/// # Errors
/// A failure when it is not reached, or refuses.
pub async fn delete(relay: &RelayContact, items: &[Arc<Item>], now: Timestamp) -> Outcome<u64> {
    let connection = Connection::dial_for(Purpose::Parcels, relay, now).await?;
    let asked = async {
        let mut gone = 0;
        for item in items {
            gone += delete_one(&connection, item).await?;
        }
        Ok::<_, LinkFault>(gone)
    };
    let gone = asked.await;
    connection.close().await;
    Ok(gone?)
}

async fn delete_one(connection: &Connection, item: &Item) -> Result<u64, LinkFault> {
    let mut link = connection.link(&item.write).await?;
    let namespace = item.namespace;
    let answer = link.request(&Request::Delete { namespace }).await?;
    link.finish();
    match answer {
        Answer::Deleted(gone) => Ok(gone.into()),
        _ => Err(LinkFault::Nonsense),
    }
}

/// Puts what the relay lacks. `grant` deposits the submission again, for another grant. Gives what could not be sent of the files.
///
/// # Errors
/// A failure when the relay refuses, or nothing more got through in several attempts. What was stored stays stored.
pub async fn upload<F: Future<Output = Outcome<Grant>>>(
    job: &Upload<'_>,
    mut grant: Grant,
    mut renew: impl FnMut() -> F,
    progress: &Arc<Progress>,
) -> Outcome<Vec<Failure>> {
    let mut left: Vec<(Arc<Item>, ParcelSet)> = Vec::new();
    for (at, item) in job.items.iter().enumerate() {
        let elsewhere = job.elsewhere.get(at).cloned().unwrap_or_default();
        left.push((item.clone(), elsewhere));
    }
    let (mut failures, mut in_vain) = (Vec::new(), 0);
    loop {
        let before = progress.done();
        let mut stop = match attempt(job, grant, &mut left, &mut failures, progress).await {
            Ok(()) => return Ok(failures),
            Err(stop) => stop,
        };
        in_vain = if progress.done() > before {
            1
        } else {
            in_vain + 1
        };
        if matches!(stop, Stop::Grant) && in_vain < ATTEMPTS {
            stop = match renew().await {
                Ok(another) => {
                    grant = another;
                    continue;
                }
                Err(failure) => Stop::Again(failure),
            };
        }
        match stop {
            Stop::Never(failure) | Stop::File(failure) => return Err(failure),
            Stop::Again(failure) if in_vain >= ATTEMPTS => return Err(failure),
            Stop::Grant => return Err(LinkFault::Refused(Refusal::NoGrant).into()),
            Stop::Again(failure) => {
                let pause = (1 << in_vain.min(8)).min(LONGEST_PAUSE);
                progress.say(&format!("{}; trying again in {pause} s", failure.what()));
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
        }
    }
}

/// One connection's worth. What is done leaves `left`.
async fn attempt(
    job: &Upload<'_>,
    grant: Grant,
    left: &mut Vec<(Arc<Item>, ParcelSet)>,
    failures: &mut Vec<Failure>,
    progress: &Arc<Progress>,
) -> Result<(), Stop> {
    let connection = Connection::dial_for(Purpose::Parcels, job.relay, (job.clock)()).await?;
    let most_in_flight = (parcels(job.items) / BREAK).clamp(FLIGHT.0, FLIGHT.1) as usize;
    let attempt = Arc::new(Attempt {
        connection,
        lanes: Arc::new(Semaphore::new(LINKS - 1)),
        flight: Arc::new(Semaphore::new(most_in_flight)),
        most_in_flight,
        grant,
        pace: job.pace.clone(),
        progress: progress.clone(),
    });
    let files = FILES.min(most_in_flight.div_ceil(2));
    let mut under_way = JoinSet::new();
    let mut waiting = left.clone().into_iter();
    let stopped = loop {
        while under_way.len() < files
            && let Some((item, elsewhere)) = waiting.next()
        {
            let attempt = attempt.clone();
            under_way.spawn(async move {
                let done = carry(&attempt, &item, &elsewhere).await;
                (item.namespace, done)
            });
        }
        match under_way.join_next().await {
            None => break Ok(()),
            Some(Ok((namespace, Ok(())))) => left.retain(|(item, _)| item.namespace != namespace),
            Some(Ok((namespace, Err(Stop::File(failure))))) => {
                failures.push(failure);
                left.retain(|(item, _)| item.namespace != namespace);
            }
            Some(Ok((_, Err(stop)))) => break Err(stop),
            Some(Err(_)) => break Err(LinkFault::Broken.into()),
        }
    };
    under_way.shutdown().await;
    if let Some(attempt) = Arc::into_inner(attempt) {
        attempt.connection.close().await;
    }
    stopped
}

/// Brings one file.
async fn carry(
    attempt: &Arc<Attempt>,
    item: &Arc<Item>,
    elsewhere: &ParcelSet,
) -> Result<(), Stop> {
    let lane = attempt.lane().await?;
    let write = &item.write;
    let mut link = attempt.connection.link(write).await?;
    let held = link.have(item.namespace).await?;
    let is_there = |index: u32| held.contains(index) || elsewhere.contains(index);
    let missing: Vec<u32> = (0..item.count).filter(|at| !is_there(*at)).collect();
    let there = item.count - missing.len() as u32;
    let more = u64::from(item.note_stored(there)) * PARCEL as u64;
    attempt.progress.begin_with(more);
    if missing.is_empty() {
        link.finish();
        return Ok(());
    }
    let mut links = vec![(link, lane)];
    let useful = attempt.most_in_flight.min(missing.len());
    let wanted = useful.div_ceil(PER_LANE).min(MOST_LANES);
    while links.len() < wanted
        && let Ok(lane) = attempt.lanes.clone().try_acquire_owned()
    {
        links.push((attempt.connection.link(write).await?, lane));
    }
    let (give, take) = channel(SEALED);
    let sealing = tokio::task::spawn_blocking({
        let item = item.clone();
        move || {
            let give = |index, parcel| give.blocking_send((index, parcel)).is_ok();
            item.parcels(missing.into_iter(), give)
        }
    });
    let take = Arc::new(Mutex::new(take));
    let mut lanes = JoinSet::new();
    for (link, lane) in links {
        let (attempt, item, take) = (attempt.clone(), item.clone(), take.clone());
        lanes.spawn(async move {
            let _lane = lane;
            attempt.put_all(link, &item, &take).await
        });
    }
    drop(take);
    while let Some(done) = lanes.join_next().await {
        done.unwrap_or(Err(LinkFault::Broken.into()))?;
    }
    match sealing.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Unread::Changed(failure))) => {
            // What came of it is of no use to anybody.
            delete_one(&attempt.connection, item).await?;
            Err(Stop::File(failure))
        }
        Ok(Err(Unread::Broken(failure))) => Err(Stop::File(failure)),
        Err(_) => Err(LinkFault::Broken.into()),
    }
}

/// What is sealed and waits for a link.
type Sealed = Arc<Mutex<tokio::sync::mpsc::Receiver<(u32, ParcelBuffer)>>>;

impl Attempt {
    async fn lane(&self) -> Result<OwnedSemaphorePermit, Stop> {
        let lane = self.lanes.clone().acquire_owned().await;
        lane.map_err(|_| LinkFault::Broken.into())
    }

    async fn put_all(&self, link: OpenLink, item: &Item, take: &Sealed) -> Result<(), Stop> {
        let (namespace, grant) = (item.namespace, self.grant);
        let next = || {
            let (take, flight) = (take.clone(), self.flight.clone());
            async move {
                let on_its_way = flight.acquire_owned().await.ok()?;
                let (index, parcel) = take.lock().await.recv().await?;
                let put = Request::Put {
                    namespace,
                    index,
                    grant,
                    parcel,
                };
                Some((on_its_way, put))
            }
        };
        let heard = |_: OwnedSemaphorePermit, answer| match answer {
            Answer::Kept(_) => {
                item.note_one();
                self.progress.add(PARCEL as u64);
                Ok(())
            }
            Answer::Refused(refusal) => Err(LinkFault::Refused(refusal).into()),
            _ => Err(LinkFault::Nonsense.into()),
        };
        link.pipeline(self.pace.as_deref(), next, heard).await
    }
}

impl From<LinkFault> for Stop {
    fn from(fault: LinkFault) -> Self {
        match fault {
            LinkFault::Refused(Refusal::NoGrant) => Self::Grant,
            LinkFault::Broken | LinkFault::Refused(Refusal::Busy | Refusal::Unavailable) => {
                Self::Again(fault.into())
            }
            fault => Self::Never(fault.into()),
        }
    }
}

impl From<DialError> for Stop {
    fn from(error: DialError) -> Self {
        match error {
            // Its hints are for who has sent nothing yet.
            DialError::Name | DialError::Network => {
                Self::Again(Failure::from(error).without_hints())
            }
            error => Self::Never(error.into()),
        }
    }
}
