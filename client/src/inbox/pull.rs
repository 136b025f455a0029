//! `valise inbox pull`: what waits on the relays, into the vault.
//!
//! An envelope is acknowledged to the relay by the poll after it, once its content is on this disk. Cover is dropped in silence, and
//! so is what was seen before. What does not open here is acknowledged too, or it would come back for ever; it is counted.

use tokio::sync::Notify;
use valise_protocol::card::VerifiedCard;
use valise_protocol::contact::RelayContact;
use valise_protocol::id::{EnvelopeDigest, MailboxId, RelayId};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Item, Request, Target};

use crate::failure::{Failure, Outcome};
use crate::interrupt::{interrupted, until_told};
use crate::link::{LinkFault, OpenLink};
use crate::mechanism::exchange::{exchange, relays};
use crate::mechanism::prekeys::{self, Collected};
use crate::mechanism::{card, device};
use crate::ui;
use crate::vault::Vault;
use crate::vault::state::State;

use super::fetch::{KEEP_FREE, fetch};
use super::outbox::deliver;
use super::take::{Found, take};
use super::thread::Threads;

/// How many of each were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Submissions.
    pub submissions: usize,
    /// Answers of colleagues.
    pub answers: usize,
    /// Envelopes that did not open.
    pub unopenable: usize,
}

/// How long to stay with one relay.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stay<'a> {
    /// Until nothing waits.
    UntilEmpty,
    /// Until a poll of so many seconds brought nothing, or, with a single relay, a prekey is due. Whoever waits for submissions is told.
    Watching {
        seconds: u16,
        alone: bool,
        came: &'a Notify,
    },
}

/// What becomes of attachments when a submission came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachments {
    /// Their parcels are fetched, as far as they are there.
    Fetch,
    /// They are left for later.
    Leave,
}

/// How a stay with one relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Nothing more waits there.
    Empty,
    /// Something waits that wants a newer card before it is judged.
    CardTooOld,
}

/// What tells the time.
pub type Clock<'a> = &'a dyn Fn() -> Timestamp;

/// A card fetched longer ago than this, in seconds, may lack a new colleague.
const SETTLED: u64 = 60;
/// A watch takes in the newest card at least this often, in seconds.
const REFRESH: u64 = 3_600;

impl Tally {
    fn count(&mut self, found: Found) {
        match found {
            Found::Submission => self.submissions += 1,
            Found::Answer => self.answers += 1,
            Found::Unopenable | Found::Stranger => self.unopenable += 1,
            Found::Nothing => {}
        }
    }
}

/// Collects once.
///
/// # Errors
/// A failure when a relay was not reached, or parcels found no room, though all else was collected; or when the program was told to
/// stop.
pub async fn once(
    vault: &Vault,
    attachments: Attachments,
    delay: u64,
    clock: Clock<'_>,
) -> Outcome<()> {
    let told = || {
        let failure = interrupted();
        Err(failure.hint("what came is in the vault; the rest still waits: valise inbox pull"))
    };
    let work = async {
        let silent = collect_all(vault, delay, clock).await?;
        let behind = match attachments {
            Attachments::Fetch => fetch(vault, None, KEEP_FREE, clock).await?.tell(),
            Attachments::Leave => None,
        };
        if let (Some(silent), Some(_)) = (&silent, &behind) {
            ui::error(silent);
        }
        behind.or(silent).map_or(Ok(()), Err)
    };
    until_told(work).await.unwrap_or_else(told)
}

/// Collects from every relay, and gives what the last of those that did not answer is told by, beside others that did.
///
/// # Errors
/// A failure when no relay was reached.
pub(super) async fn collect_all(
    vault: &Vault,
    delay: u64,
    clock: Clock<'_>,
) -> Outcome<Option<Failure>> {
    let mut tally = Tally::default();
    let (mut asked, mut failures) = (Vec::new(), Vec::new());
    // What one relay says may name another.
    while let Some(relay) = next(vault, &asked)? {
        if let Err(failure) = collect(vault, &relay, Stay::UntilEmpty, &mut tally, clock).await {
            failures.push((relay.clone(), failure));
        }
        asked.push(relay.id());
    }
    let reached = asked.len() - failures.len();
    if reached > 0 || tally != Tally::default() {
        report(tally);
    }
    let collected = if failures.is_empty() {
        Collected::Everything
    } else {
        Collected::NotAll
    };
    bury(vault, collected, clock())?;
    if reached > 0 {
        deliver_and_remind(vault, delay, clock).await?;
    }
    let alone = asked.len() == 1;
    let told = |(relay, failure): (RelayContact, Failure)| {
        if alone {
            failure
        } else {
            failure.at(relay.host())
        }
    };
    let last = failures.pop().map(told);
    for failure in failures {
        ui::error(&told(failure));
    }
    match last {
        Some(failure) if reached == 0 => Err(failure),
        last => Ok(last),
    }
}

/// The next relay that was not asked yet.
fn next(vault: &Vault, asked: &[RelayId]) -> Outcome<Option<RelayContact>> {
    let mut relays = relays(&vault.state()?)?.into_iter();
    Ok(relays.find(|relay| !asked.contains(&relay.id())))
}

async fn deliver_and_remind(vault: &Vault, delay: u64, clock: Clock<'_>) -> Outcome<()> {
    if let Err(failure) = deliver(vault, None, delay).await {
        ui::error(&failure);
    }
    remind(vault, clock())
}

/// Takes in everything that one relay has for this device. Where the card turned out to be too old for what waits, cards are exchanged
/// again: whoever forges such an envelope must not end the collection before its time.
///
/// # Errors
/// A failure when it is not reached, or this device is not on the roster.
pub(super) async fn collect(
    vault: &Vault,
    relay: &RelayContact,
    stay: Stay<'_>,
    tally: &mut Tally,
    clock: Clock<'_>,
) -> Outcome<()> {
    while collect_by_one_card(vault, relay, stay, tally, clock).await? == Ended::CardTooOld {}
    Ok(())
}

async fn collect_by_one_card(
    vault: &Vault,
    relay: &RelayContact,
    stay: Stay<'_>,
    tally: &mut Tally,
    clock: Clock<'_>,
) -> Outcome<Ended> {
    let mut exchange = exchange(vault, relay, clock()).await?;
    if let Err(failure) = &exchange.published {
        ui::error(failure);
    }
    let outcome = match check_enrolled(&vault.state()?, clock()) {
        Ok(()) => poll(vault, &mut exchange.link, stay, tally, clock).await,
        Err(failure) => Err(failure),
    };
    exchange.link.finish();
    exchange.connection.close().await;
    outcome
}

fn check_enrolled(state: &State, now: Timestamp) -> Outcome<()> {
    let held = card::needed(state, now)?;
    if card::lists(&held.card, state) {
        return Ok(());
    }
    let failure = if state.prekeys.is_empty() {
        Failure::new("this device is not on the roster yet")
    } else {
        Failure::new("this device is no longer on the roster: nothing more comes here")
    };
    Err(failure.hint(
        "beside the root key: valise mechanism device add FILE --root FILE; then again: valise inbox pull",
    ))
}

async fn poll(
    vault: &Vault,
    link: &mut OpenLink,
    stay: Stay<'_>,
    tally: &mut Tally,
    clock: Clock<'_>,
) -> Outcome<Ended> {
    let began = clock();
    let mailbox = vault.state()?.address.inbox();
    let (mut cursor, mut removals) = (0, Vec::new());
    loop {
        let item = ask(link, stay, mailbox, cursor, std::mem::take(&mut removals)).await?;
        match item.envelope {
            Some(envelope) if item.cursor > cursor => {
                cursor = item.cursor;
                let found = take(vault, envelope.as_slice(), clock())?;
                if found == Found::Stranger && clock().since(began) > SETTLED {
                    // With the newest card it is looked at again: it was not acknowledged.
                    return Ok(Ended::CardTooOld);
                }
                tally.count(found);
                removals.push(EnvelopeDigest::of(envelope.as_slice()));
                if let Stay::Watching { came, .. } = stay {
                    announce(found);
                    if found == Found::Submission {
                        came.notify_one();
                    }
                }
            }
            Some(_) => return Err(LinkFault::Nonsense.into()),
            None => match stay {
                Stay::Watching { alone: true, .. } if !is_time(vault, began, clock())? => {}
                _ => return Ok(Ended::Empty),
            },
        }
    }
}

async fn ask(
    link: &mut OpenLink,
    stay: Stay<'_>,
    mailbox: MailboxId,
    cursor: u64,
    removals: Vec<EnvelopeDigest>,
) -> Outcome<Item> {
    let wait_seconds = match stay {
        Stay::UntilEmpty => 0,
        Stay::Watching { seconds, .. } => seconds,
    };
    let request = Request::Poll {
        target: Target::Inbox,
        mailbox,
        cursor,
        removals,
        wait_seconds,
    };
    match link.request(&request).await? {
        Answer::Item(item) => Ok(item),
        _ => Err(LinkFault::Nonsense.into()),
    }
}

/// Whether a watch should exchange cards again.
fn is_time(vault: &Vault, began: Timestamp, now: Timestamp) -> Outcome<bool> {
    let state = vault.state()?;
    let epoch = card::held(&state, now)?.map_or(0, |held| held.card.epoch());
    Ok(now.since(began) >= REFRESH || prekeys::is_due(&state, epoch, now))
}

/// Deletes the private halves that are of no more use. With a roster that has run out, or a wrong clock, none.
pub(super) fn bury(vault: &Vault, collected: Collected, now: Timestamp) -> Outcome<()> {
    vault.change(|change| {
        let held = card::held(&change.state, now)?;
        if held.is_some_and(|held| !held.expired) {
            prekeys::bury(&mut change.state, collected, now);
        }
        Ok(())
    })
}

fn announce(found: Found) {
    match found {
        Found::Submission => ui::say("a new submission came: valise inbox list"),
        Found::Answer => ui::say("a colleague's answer came: valise inbox list"),
        Found::Unopenable | Found::Stranger => {
            ui::note("an envelope came that this device cannot open.")
        }
        Found::Nothing => {}
    }
}

/// What was found, in sentences.
fn report(tally: Tally) {
    ui::say(&match tally.submissions {
        0 => "no new submissions".to_owned(),
        1 => "1 new submission".to_owned(),
        many => format!("{many} new submissions"),
    });
    match tally.answers {
        0 => {}
        1 => ui::say("1 answer by a colleague"),
        many => ui::say(&format!("{many} answers by colleagues")),
    }
    if tally.unopenable > 0 {
        ui::note(&format!(
            "{} envelopes could not be opened here: sent before this device was enrolled, sealed to a prekey that is gone, \
             or not valid. Another device may hold them.",
            tally.unopenable
        ));
    }
}

/// Which roster this device knows: a relay may have withheld a newer one, and people can compare.
fn roster(card: &VerifiedCard) -> String {
    let (epoch, issued) = (card.epoch(), card.issued());
    match card.roster().devices().len() {
        1 => format!("roster {epoch} of {issued}; this is the only device."),
        many => format!(
            "roster {epoch} of {issued}, {many} devices: every other device should show the same."
        ),
    }
}

/// What the person must do soon.
fn remind(vault: &Vault, now: Timestamp) -> Outcome<()> {
    let state = vault.state()?;
    if let Some(held) = card::held(&state, now)? {
        ui::note(&roster(&held.card));
        device::tell(&held, now);
    }
    let unread = Threads::of(&state)
        .iter()
        .filter(|thread| thread.state() == "new")
        .count();
    if unread > 0 {
        ui::note(&format!("{unread} not read yet: valise inbox list"));
    }
    Ok(())
}
