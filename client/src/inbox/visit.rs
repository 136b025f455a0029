//! One relay, asked for the parcels of some submissions: first which it has, then those of them that are missing here.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rand_core::Rng as _;
use valise_protocol::contact::RelayContact;
use valise_protocol::id::RelayId;
use valise_protocol::limits::PARCEL;
use valise_protocol::message::Attachment;
use valise_protocol::parcel::ParcelSet;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Request};

use crate::dial::{Connection, Purpose};
use crate::failure::Failure;
use crate::home;
use crate::link::{LinkFault, OpenLink};
use crate::progress::{Progress, bytes};
use crate::vault::Vault;
use crate::vault::parcels::Parcels;
use crate::vault::state::State;

use super::arrivals::Arrivals;
use super::fetch::{Fetched, Wanted};
use super::files::{Files, Known, LIST_NUMBER, count};

/// The most links in a connection. What comes on them at the same time is all that parcels take of the memory.
const LINKS: usize = 8;
/// A further link is worth its handshake where each has so many files to ask about, or parcels to get.
const SHARE: u64 = 8;

/// Of files that lack something so many are asked about first; where the relay has nothing of these, a collection asks no further.
pub const SAMPLE: usize = 64;

/// Why a visit ended before its time.
pub enum Trouble {
    /// The relay was not reached.
    Away(Failure),
    /// The link to it.
    Link(LinkFault),
    /// This disk.
    Disk(io::Error),
    /// The vault.
    Vault(Failure),
}

/// Goes from relay to relay for one vault.
pub struct Visitor<'a> {
    vault: &'a Vault,
    state: &'a State,
    keep_free: u64,
    came: Cell<u64>,
    wrong: Cell<u32>,
    failures: RefCell<Vec<Failure>>,
}

/// What is to be got of a relay for one submission.
#[derive(Clone, Copy)]
struct Errand<'e> {
    connection: &'e Connection,
    relay: RelayId,
    wanted: &'e Wanted,
}

/// A file with its number.
type Numbered<'f> = (u32, &'f Attachment);

impl<'a> Visitor<'a> {
    /// For a vault, on whose disk so many bytes stay free.
    pub fn new(vault: &'a Vault, state: &'a State, keep_free: u64) -> Self {
        Self {
            vault,
            state,
            keep_free,
            came: Cell::new(0),
            wrong: Cell::new(0),
            failures: RefCell::new(Vec::new()),
        }
    }

    /// What the device knows.
    pub const fn state(&self) -> &State {
        self.state
    }

    /// How many parcels are on the disk that were not there before.
    pub fn came(&self) -> u64 {
        self.came.get()
    }

    /// Notes what is to be told at the end.
    pub fn fail(&self, failure: Failure) {
        self.failures.borrow_mut().push(failure);
    }

    /// What it all came to.
    pub fn fetched(self) -> Fetched {
        Fetched {
            came: self.came.get(),
            wrong: self.wrong.get(),
            incomplete: false,
            failures: self.failures.into_inner(),
        }
    }

    /// Asks a relay for the parcels of these submissions, one after the other, in one connection.
    ///
    /// # Errors
    /// [`Trouble`]; what came before is on the disk.
    pub async fn visit(
        &self,
        relay: &RelayContact,
        wanted: &[&Wanted],
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let connection = Connection::dial_for(Purpose::Parcels, relay, now).await;
        let connection = connection.map_err(|error| Trouble::Away(error.into()))?;
        let mut outcome = Ok(());
        for wanted in wanted {
            let errand = Errand {
                connection: &connection,
                relay: relay.id(),
                wanted,
            };
            if outcome.is_err() || wanted.skipped.get() {
                continue;
            }
            match self.submission(errand).await {
                // What fails for one, for want of room or by a bad sector, need not fail for the others.
                Err(Trouble::Disk(error)) => {
                    wanted.skipped.set(true);
                    // Another command may delete what is fetched here.
                    if error.kind() != io::ErrorKind::NotFound {
                        let what = format!("could not keep the attachments of {}", wanted.id);
                        self.fail(home::disk(&what, &error));
                    }
                }
                done => outcome = done,
            }
        }
        connection.close().await;
        outcome
    }

    /// The list first, where there is one: only it says what the files are.
    async fn submission(&self, errand: Errand<'_>) -> Result<(), Trouble> {
        let wanted = errand.wanted;
        let mut files = Files::of(self.vault, wanted.item)?;
        if let Some(Files {
            known: Known::ListToCome,
            list: Some(list),
            parcels,
        }) = &files
        {
            self.files(errand, parcels, &[(LIST_NUMBER, list)]).await?;
            files = Files::of(self.vault, wanted.item)?;
        }
        let Some(files) = files else {
            return Ok(());
        };
        let all: Vec<Numbered<'_>> = files.numbered().collect();
        self.files(errand, &files.parcels, &all).await
    }

    async fn files(
        &self,
        errand: Errand<'_>,
        parcels: &Parcels,
        files: &[Numbered<'_>],
    ) -> Result<(), Trouble> {
        let Errand {
            connection,
            relay,
            wanted,
        } = errand;
        let Some(patience) = wanted.patience(&relay) else {
            return Ok(());
        };
        let (mut lacking, mut missing) = (Vec::new(), 0);
        for (number, file) in files {
            let of_it = parcels.missing(*number, count(file))?;
            missing += u64::from(of_it);
            lacking.extend((of_it > 0).then_some((*number, *file)));
        }
        if lacking.is_empty() || wanted.skipped.get() {
            return Ok(());
        }
        let share = (missing / 4).max(lacking.len() as u64).div_ceil(SHARE);
        let links = usize::try_from(share).map_or(LINKS, |share| share.min(LINKS));
        let mut links = self.links(connection, links).await?;
        if lacking.len() > SAMPLE && !wanted.is_asked_by_name() {
            sample_first(&mut lacking);
        }
        let (first, rest) = lacking.split_at(lacking.len().min(SAMPLE));
        let mut plan = plan_of(&mut links, parcels, first).await?;
        if !plan.is_empty() || wanted.is_asked_by_name() {
            plan.extend(plan_of(&mut links, parcels, rest).await?);
            plan.sort_unstable_by_key(|((number, _), _)| *number);
        }
        wanted.heard(0);
        let planned: u64 = plan.iter().map(|(_, set)| u64::from(set.len())).sum();
        if planned == 0 || !self.has_room(wanted, parcels, planned * PARCEL as u64)? {
            links.into_iter().for_each(OpenLink::finish);
            return Ok(());
        }
        if !self
            .vault
            .make_parcels(wanted.item)
            .map_err(Trouble::Vault)?
        {
            links.into_iter().for_each(OpenLink::finish);
            return Ok(());
        }
        let what = format!("attachments of {}", wanted.id);
        let progress = Progress::new(&what, planned * PARCEL as u64);
        let arrivals = Arrivals::new((self.vault, wanted.item), parcels, &progress, patience);
        let outcome = self.get(links, &plan, &arrivals).await;
        let settled = arrivals.settle().await;
        let came = progress.done() / PARCEL as u64;
        self.came.set(self.came.get() + came);
        wanted.heard(came);
        self.wrong.set(self.wrong.get() + arrivals.wrong());
        let remembered = wanted.add_wrong(self.vault, relay, arrivals.wrong());
        // What was deleted while its last parcels came.
        let kept = self.vault.keeps_parcels(wanted.item);
        settled?;
        kept.and(remembered).map_err(Trouble::Vault)?;
        outcome
    }

    async fn links(&self, connection: &Connection, many: usize) -> Result<Vec<OpenLink>, Trouble> {
        let key = self.state.device.keys().link;
        let links = RefCell::new(Vec::new());
        all((0..many).map(|_| async {
            let link = connection.link(&key).await?;
            links.borrow_mut().push(link);
            Ok::<(), Trouble>(())
        }))
        .await?;
        Ok(links.into_inner())
    }

    /// Whether the disk takes so many bytes. If not, the submission is left where it is.
    fn has_room(&self, wanted: &Wanted, parcels: &Parcels, needed: u64) -> io::Result<bool> {
        let free = parcels.room()?;
        let fits = fits(needed, free, self.keep_free);
        if !fits {
            wanted.skipped.set(true);
            let failure = Failure::new(format!(
                "the attachments of {} take {} more, and the disk of the vault has {} free, of which {} stay free: they \
                 were left at the relay",
                wanted.id,
                bytes(needed),
                bytes(free),
                bytes(self.keep_free)
            ));
            self.fail(failure.hint(format!("make room, then: valise inbox fetch {}", wanted.id)));
        }
        Ok(fits)
    }

    async fn get(
        &self,
        links: Vec<OpenLink>,
        plan: &[(Numbered<'_>, ParcelSet)],
        arrivals: &Arrivals<'_>,
    ) -> Result<(), Trouble> {
        let jobs = plan.iter().flat_map(|((number, file), set)| {
            let all = (0..count(file)).filter(|index| set.contains(*index));
            all.map(|index| (*number, *file, index))
        });
        let (jobs, stopped) = (RefCell::new(jobs), RefCell::new(Ok(())));
        let next = || async {
            if let Err(error) = arrivals.settle_if_due().await {
                *stopped.borrow_mut() = Err(error);
                return None;
            }
            let job = (jobs.borrow_mut()).find(|(number, _, _)| arrivals.bears(*number))?;
            let request = Request::Get {
                address: self.state.address,
                namespace: job.1.namespace,
                index: job.2,
            };
            Some((job, request))
        };
        let heard = |(number, file, index): (u32, &Attachment, u32), answer| match answer {
            Answer::Parcel(Some(parcel)) => Ok(arrivals.take(number, file, index, &parcel)?),
            // It went in the meantime.
            Answer::Parcel(None) => Ok(()),
            Answer::Refused(refusal) => Err(LinkFault::Refused(refusal).into()),
            _ => Err(Trouble::Link(LinkFault::Nonsense)),
        };
        let pipelines = links
            .into_iter()
            .map(|link| link.pipeline(None, next, heard));
        all(pipelines).await?;
        Ok(stopped.into_inner()?)
    }
}

/// Asks which parcels the relay has; gives those of them that are missing here, for each file where there are any.
async fn plan_of<'f>(
    links: &mut [OpenLink],
    parcels: &Parcels,
    files: &[Numbered<'f>],
) -> Result<Vec<(Numbered<'f>, ParcelSet)>, Trouble> {
    let (rest, found) = (RefCell::new(files.iter()), RefCell::new(Vec::new()));
    all(links.iter_mut().map(|link| async {
        loop {
            let Some((number, file)) = rest.borrow_mut().next().copied() else {
                return Ok::<(), Trouble>(());
            };
            let held = link.have(file.namespace).await?;
            let here = parcels.present(number, count(file))?;
            let mut set = ParcelSet::default();
            (0..count(file))
                .filter(|index| held.contains(*index) && !here.contains(*index))
                .for_each(|index| set.insert(index));
            if !set.is_empty() {
                found.borrow_mut().push(((number, file), set));
            }
        }
    }))
    .await?;
    Ok(found.into_inner())
}

/// Puts a sample first: half of it are the first files, with which an upload that was interrupted goes on, and half are any others.
fn sample_first(lacking: &mut [Numbered<'_>]) {
    let mut rng = crate::random::system();
    for at in SAMPLE / 2..SAMPLE.min(lacking.len()) {
        let rest = (lacking.len() - at) as u64;
        let chosen = usize::try_from(rng.next_u64() % rest).unwrap_or(0);
        lacking.swap(at, at + chosen);
    }
}

/// Whether so many bytes may be written where so many are free, and so many shall stay free.
const fn fits(needed: u64, free: u64, keep_free: u64) -> bool {
    match free.checked_sub(keep_free) {
        Some(room) => needed <= room,
        None => false,
    }
}

/// Does several things at the same time, on this thread; the first failure ends them all.
async fn all<E, F: Future<Output = Result<(), E>>>(work: impl Iterator<Item = F>) -> Result<(), E> {
    let mut running: Vec<_> = work.map(Box::pin).collect();
    poll_fn(|context| {
        let mut outcome = Ok(());
        running.retain_mut(|one| {
            if outcome.is_err() {
                return true;
            }
            match one.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(done) => {
                    outcome = done;
                    false
                }
            }
        });
        match outcome {
            Ok(()) if !running.is_empty() => Poll::Pending,
            outcome => Poll::Ready(outcome),
        }
    })
    .await
}

impl Trouble {
    /// Whether the connection broke, and may well be made again.
    pub const fn is_broken(&self) -> bool {
        matches!(self, Self::Link(LinkFault::Broken))
    }
}

impl From<LinkFault> for Trouble {
    fn from(fault: LinkFault) -> Self {
        Self::Link(fault)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(failure) | Trouble::Vault(failure) => failure,
            Trouble::Link(LinkFault::Broken) => Self::new(LinkFault::Broken.to_string())
                .hint("what came is in the vault; to go on: valise inbox pull"),
            Trouble::Link(fault) => fault.into(),
            Trouble::Disk(error) => super::fetch::unreadable(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_left_on_the_disk_whatever_is_claimed() {
        assert!(fits(10, 30, 20));
        assert!(!fits(11, 30, 20));
        assert!(!fits(u64::MAX, u64::MAX, 1));
        assert!(fits(0, 20, 20));
    }
}
