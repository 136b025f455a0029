//! The parcels of attachments, from the mechanism's relays into the vault (spec §9.4).
//!
//! Each submission names the relays that hold its parcels. Of these only the mechanism's own are asked, one after the other. What one
//! lacks or gives wrong, the next is asked for. How far it has come is in the vault, so that it goes on after any interruption.

use std::cell::{Cell, RefCell};
use std::io;

use valise_protocol::contact::RelayContact;
use valise_protocol::id::RelayId;
use valise_protocol::limits::{DAY, RELAYS};
use valise_protocol::time::Timestamp;

use crate::failure::{Failure, Outcome};
use crate::home;
use crate::interrupt::{interrupted, until_told};
use crate::mechanism::exchange::{exchange, relays, sources, tell_directness};
use crate::ui;
use crate::vault::Vault;
use crate::vault::item::ItemName;
use crate::vault::state::{Entry, State};

use super::arrivals::Patience;
use super::files::{Files, Standing};
use super::thread::Threads;
use super::visit::{SAMPLE, Trouble, Visitor};

/// So many parcels of a submission that do not open are taken from a relay; then the rest stays there until a person asks for it.
const WRONG_UNASKED: u32 = 4;
/// And so many of each file when a person asked for it.
const WRONG_ASKED: u32 = 64;
/// A submission that came so little time ago, in seconds, and lacks so few files that they make one sample is asked for at every
/// collection: its sender may be at it.
const FRESH: u64 = DAY;
/// The longest that a relay keeps a parcel after the longest time for which it keeps an envelope, in seconds (spec §9.5).
const OUTLIVES: u64 = 14 * DAY;
/// How much room is left on the disk, in bytes.
pub const KEEP_FREE: u64 = 256 << 20;

/// What fetching came to.
#[derive(Debug, Default)]
pub struct Fetched {
    /// How many parcels came.
    pub came: u64,
    /// How many were given that do not open in their places.
    pub wrong: u32,
    /// Whether there are attachments of which something is still to come.
    pub incomplete: bool,
    /// What went wrong with relays, or for want of room.
    pub failures: Vec<Failure>,
}

/// A submission of which parcels may be missing.
pub struct Wanted {
    /// Which.
    pub item: ItemName,
    /// As a person knows it.
    pub id: String,
    /// Whether there is no room for it.
    pub skipped: Cell<bool>,
    /// The relays to ask, in their order.
    holders: Vec<RelayId>,
    by: By,
    entry: RefCell<Entry>,
    /// Whether a relay has answered what it has of it.
    asked: Cell<bool>,
    /// How many parcels came.
    came: Cell<u64>,
}

/// By whom a submission's parcels are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Every collection does.
    Itself,
    /// A person.
    Name,
}

/// `valise inbox fetch`: the parcels of one submission.
///
/// # Errors
/// A failure when there is no such submission, a relay was not reached, there is no room, or the program was told to stop.
pub async fn one(vault: &Vault, which: &str, clock: &dyn Fn() -> Timestamp) -> Outcome<()> {
    let state = vault.state()?;
    let threads = Threads::of(&state);
    let thread = threads.find(which)?;
    let entry = thread.submission.as_ref();
    let entry = entry.filter(|entry| entry.holders.is_some());
    let entry = entry.ok_or_else(|| no_attachments(&threads.id(thread)))?;
    let work = async {
        let fetched = fetch(vault, Some(entry.name), KEEP_FREE, clock).await?;
        fetched.tell().map_or(Ok(()), Err)
    };
    until_told(work).await.unwrap_or_else(|| {
        let failure = interrupted();
        Err(failure.hint("what came is in the vault; to go on: valise inbox pull"))
    })
}

/// What a person is told who asks for attachments where there are none.
pub fn no_attachments(id: &str) -> Failure {
    Failure::new(format!("submission {id} has no attachments in this vault"))
        .hint("what each has is shown by: valise inbox list")
}

/// The disk does not give what was fetched.
pub fn unreadable(error: &io::Error) -> Failure {
    home::disk("could not read the parcels in the vault", error)
}

impl Fetched {
    /// Tells all failures but the last, and gives that.
    pub fn tell(mut self) -> Option<Failure> {
        let last = self.failures.pop();
        self.failures.iter().for_each(ui::error);
        last
    }
}

/// Fetches what is missing of all attachments in the vault, or of those of one item, and says how far each submission has come. So
/// many bytes stay free on the disk.
///
/// # Errors
/// A failure of the vault or its disk. What went wrong with relays or for want of room is in what is given, and the rest went on.
pub async fn fetch(
    vault: &Vault,
    only: Option<ItemName>,
    keep_free: u64,
    clock: &dyn Fn() -> Timestamp,
) -> Outcome<Fetched> {
    let state = vault.state()?;
    let own = relays(&state)?;
    let relays = sources(&state, clock())?;
    let threads = Threads::of(&state);
    let (mut wanted, mut unread) = (Vec::new(), Vec::new());
    for thread in threads.iter() {
        let Some(entry) = &thread.submission else {
            continue;
        };
        let by = match only {
            None => By::Itself,
            Some(only) if only == entry.name => By::Name,
            Some(_) => continue,
        };
        let id = threads.id(thread);
        let standing = match lacks(vault, entry) {
            Ok(standing) => standing,
            Err(error) => {
                let what = format!("could not read the attachments of {id} in the vault");
                unread.push(home::disk(&what, &error));
                continue;
            }
        };
        if by == By::Name {
            change_entry(vault, entry.name, Entry::forgive)?;
        } else {
            match &standing {
                Some(standing) if is_time(vault, &state, entry, standing, &id, clock())? => {}
                _ => continue,
            }
        }
        let at_most = standing.map_or(0, |standing| standing.at_most());
        wanted.push((at_most, Wanted::new(entry, id, by, &relays)));
    }
    let wanted = in_order(wanted);
    let visitor = Visitor::new(vault, &state, keep_free);
    unread.into_iter().for_each(|failure| visitor.fail(failure));
    let mut known_at: Vec<RelayId> = own.iter().map(RelayContact::id).collect();
    let mut left_out = Vec::new();
    for turn in 0..RELAYS {
        for relay in &relays {
            let here = at(vault, relay, turn, &wanted)?;
            if here.is_empty() || left_out.contains(&relay.id()) {
                continue;
            }
            if !known_at.contains(&relay.id()) {
                if let Err(failure) = introduce(vault, relay, clock()).await {
                    left_out.push(relay.id());
                    visitor.fail(failure.at(relay.host()));
                    continue;
                }
                known_at.push(relay.id());
            }
            visit(&visitor, relay, &here, clock).await?;
        }
    }
    let mut fetched = visitor.fetched();
    for wanted in &wanted {
        let incomplete = tell(vault, wanted).unwrap_or_else(|failure| {
            fetched.failures.push(failure);
            true
        });
        // A relay that did not answer may have what the others lack.
        if fetched.failures.is_empty() {
            wanted.remember(vault, incomplete, clock())?;
        }
        fetched.incomplete |= incomplete;
    }
    if fetched.wrong > 0 {
        ui::note(&format!(
            "{} parcels were given that do not open in their places: the relay, or whoever put them there, altered or \
             exchanged them. They were not kept.",
            fetched.wrong
        ));
    }
    Ok(fetched)
}

/// Little comes before much, and of as much the newer before the older: whoever claims much does not keep the others waiting. A list that
/// has not come may stand for any length.
fn in_order(mut wanted: Vec<(u64, Wanted)>) -> Vec<Wanted> {
    wanted.reverse();
    wanted.sort_by_key(|(at_most, _)| *at_most);
    wanted.into_iter().map(|(_, wanted)| wanted).collect()
}

/// Whether a collection asks for the parcels of a submission. It says so, once, when none will any more.
fn is_time(
    vault: &Vault,
    state: &State,
    entry: &Entry,
    standing: &Standing,
    id: &str,
    now: Timestamp,
) -> Outcome<bool> {
    let age = now.since(entry.pulled);
    if age > state.retention_days.saturating_mul(DAY) + OUTLIVES {
        if !entry.is_over() {
            ui::note(&format!(
                "what has not come of the attachments of {id} has expired at the relays, and is not asked for any more. To ask \
                 all the same: valise inbox fetch {id}"
            ));
            change_entry(vault, entry.name, |entry| entry.end(now))?;
        }
        return Ok(false);
    }
    let is_cheap = standing.lacking <= SAMPLE && age < FRESH;
    Ok(is_cheap || entry.is_due(now))
}

/// Changes what the vault knows of a submission, where it still is.
fn change_entry(vault: &Vault, item: ItemName, with: impl FnOnce(&mut Entry)) -> Outcome<()> {
    vault.change(|change| {
        let mut items = change.state.items.iter_mut();
        items.find(|entry| entry.name == item).map(with);
        Ok(())
    })
}

/// Shows the card to a relay where the mechanism has no inbox: by it the relay knows this device.
async fn introduce(vault: &Vault, relay: &RelayContact, now: Timestamp) -> Outcome<()> {
    let exchange = exchange(vault, relay, now).await?;
    exchange.link.finish();
    exchange.connection.close().await;
    exchange.published
}

/// How far a submission has come of which parcels are missing.
fn lacks(vault: &Vault, entry: &Entry) -> io::Result<Option<Standing>> {
    if entry.holders.is_none() {
        return Ok(None);
    }
    let standing = Files::standing_of(vault, entry.name)?;
    Ok(standing.filter(|standing| standing.missing > 0))
}

/// What is wanted of a relay when it is its turn. What was deleted in the meantime is not.
fn at<'w>(
    vault: &Vault,
    relay: &RelayContact,
    turn: usize,
    wanted: &'w [Wanted],
) -> Outcome<Vec<&'w Wanted>> {
    let is_turn = |wanted: &&Wanted| {
        wanted.holders.get(turn) == Some(&relay.id())
            && !wanted.skipped.get()
            && wanted.patience(&relay.id()).is_some()
    };
    let mut here: Vec<&Wanted> = wanted.iter().filter(is_turn).collect();
    if !here.is_empty() {
        let items = vault.state()?.items;
        here.retain(|wanted| items.iter().any(|entry| entry.name == wanted.item));
    }
    Ok(here)
}

/// Asks one relay for everything that it may have. As long as something comes, a connection that broke is made again.
async fn visit(
    visitor: &Visitor<'_>,
    relay: &RelayContact,
    wanted: &[&Wanted],
    clock: &dyn Fn() -> Timestamp,
) -> Outcome<()> {
    tell_directness(visitor.state(), relay);
    loop {
        let before = visitor.came();
        match visitor.visit(relay, wanted, clock()).await {
            Ok(()) => return Ok(()),
            Err(trouble) if trouble.is_broken() && visitor.came() > before => {}
            Err(Trouble::Vault(failure)) => return Err(failure),
            Err(trouble) => {
                visitor.fail(Failure::from(trouble).at(relay.host()));
                return Ok(());
            }
        }
    }
}

/// Says how far a submission's attachments have come; whether something is still to come.
fn tell(vault: &Vault, wanted: &Wanted) -> Outcome<bool> {
    let standing = Files::standing_of(vault, wanted.item).map_err(|error| unreadable(&error))?;
    let Some(standing) = standing else {
        return Ok(false);
    };
    let id = &wanted.id;
    ui::say_wrapped(&format!("attachments of {id}: {standing}"));
    if standing.missing > 0 && wanted.holders.is_empty() {
        ui::note(&format!(
            "the parcels of {id} are said to lie at relays that are not this mechanism's; those are not asked."
        ));
    }
    if standing.missing > 0 && wanted.is_given_up() {
        ui::note(&format!(
            "parcels that were given for {id} did not open: what else is said to be of it there is left alone. To try again: \
             valise inbox fetch {id}"
        ));
    }
    Ok(standing.missing > 0)
}

impl Wanted {
    fn new(entry: &Entry, id: String, by: By, relays: &[RelayContact]) -> Self {
        let ours = |holder: &&RelayId| relays.iter().any(|relay| relay.id() == **holder);
        let holders = entry.holders.iter().flatten();
        let mut known = entry.clone();
        if by == By::Name {
            known.forgive();
        }
        Self {
            item: entry.name,
            id,
            skipped: Cell::new(false),
            holders: holders.filter(ours).copied().collect(),
            by,
            entry: RefCell::new(known),
            asked: Cell::new(false),
            came: Cell::new(0),
        }
    }

    /// How many parcels that do not open are taken from a relay; `None` where it gave too many already.
    pub fn patience(&self, relay: &RelayId) -> Option<Patience> {
        let gave = self.entry.borrow().wrong_from(relay);
        match self.by {
            By::Name => Some(Patience::WithEach(WRONG_ASKED)),
            By::Itself if gave >= WRONG_UNASKED => None,
            By::Itself => Some(Patience::WithAll(WRONG_UNASKED - gave)),
        }
    }

    /// Remembers that a relay gave so many parcels that did not open.
    ///
    /// # Errors
    /// A failure of the vault.
    pub fn add_wrong(&self, vault: &Vault, relay: RelayId, count: u32) -> Outcome<()> {
        if count == 0 {
            return Ok(());
        }
        self.entry.borrow_mut().add_wrong(relay, count);
        change_entry(vault, self.item, |entry| entry.add_wrong(relay, count))
    }

    /// Notes that a relay has answered what it has of it, and that so many parcels came.
    pub fn heard(&self, came: u64) {
        self.asked.set(true);
        self.came.set(self.came.get() + came);
    }

    /// Whether all files are asked about, though none of the first has anything.
    pub fn is_asked_by_name(&self) -> bool {
        self.by == By::Name
    }

    /// Remembers whether anything came, so that what never comes is asked for ever more rarely.
    fn remember(&self, vault: &Vault, incomplete: bool, now: Timestamp) -> Outcome<()> {
        if self.came.get() > 0 {
            if self.entry.borrow().pause() > 0 {
                return change_entry(vault, self.item, Entry::something_came);
            }
        } else if incomplete && self.asked.get() && self.by == By::Itself {
            change_entry(vault, self.item, |entry| entry.nothing_came(now))?;
            self.entry.borrow_mut().nothing_came(now);
        }
        Ok(())
    }

    /// Whether there is a relay from which no more is taken.
    fn is_given_up(&self) -> bool {
        let entry = self.entry.borrow();
        (self.holders.iter()).any(|relay| entry.wrong_from(relay) >= WRONG_UNASKED)
    }
}
