//! `valise inbox pull`: what waits on the relays, into the vault.
//!
//! An envelope is acknowledged to the relay by the poll after it, once its content is on this disk. Cover is dropped in silence, and
//! so is what was seen before. What does not open here is acknowledged too, or it would come back for ever; it is counted.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use valise_protocol::contact::RelayContact;
use valise_protocol::envelope::{Opened, open};
use valise_protocol::id::EnvelopeDigest;
use valise_protocol::limits::WAIT_SECONDS;
use valise_protocol::message::{Mailbox, Message};
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Request, Target};

use crate::command::now;
use crate::failure::{Failure, Outcome};
use crate::link::{LinkFault, OpenLink};
use crate::mechanism::exchange::{exchange, relays};
use crate::mechanism::prekeys::{self, Collected};
use crate::mechanism::{card, device};
use crate::ui;
use crate::vault::Vault;
use crate::vault::item::Item;
use crate::vault::state::{Entry, Role, State};

use super::outbox::deliver;
use super::thread::Threads;

/// What an envelope turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A submission that is new here.
    Submission,
    /// What a colleague answered.
    Answer,
    /// Cover, or something seen before: nothing to tell.
    Nothing,
    /// Not for this device, altered, or not valid.
    Unopenable,
}

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
enum Stay {
    /// Until nothing waits.
    UntilEmpty,
    /// Until a poll of so many seconds brought nothing, or, with a single relay, a prekey is due.
    Watching { seconds: u16, alone: bool },
}

/// After a failure the watch tries again after so many seconds, then twice as many, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: u64 = 5;
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: u64 = 300;
/// A watch takes in the newest card at least this often, in seconds.
const REFRESH: u64 = 3_600;

impl Tally {
    fn count(&mut self, found: Found) {
        match found {
            Found::Submission => self.submissions += 1,
            Found::Answer => self.answers += 1,
            Found::Unopenable => self.unopenable += 1,
            Found::Nothing => {}
        }
    }
}

/// Collects once.
///
/// # Errors
/// A failure when no relay was reached.
pub async fn once(vault: &Vault, delay: u64) -> Outcome<()> {
    let mut tally = Tally::default();
    let mut outcome = Ok(());
    for relay in relays(&vault.state()?)? {
        let collected = collect(vault, &relay, Stay::UntilEmpty, &mut tally).await;
        if outcome.is_ok() {
            outcome = collected;
        }
    }
    report(tally);
    let collected = if outcome.is_ok() {
        Collected::Everything
    } else {
        Collected::NotAll
    };
    bury(vault, collected)?;
    outcome?;
    if let Err(failure) = deliver(vault, None, delay).await {
        ui::error(&failure);
    }
    remind(vault)
}

/// Collects, and goes on collecting until the program is told to stop (SIGINT or SIGTERM).
///
/// # Errors
/// A failure of the first collection, or when the system gives no signals.
pub async fn watch(vault: &Vault, delay: u64) -> Outcome<()> {
    let no_signals = |_| Failure::new("the system does not let this program wait for signals");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let work = async {
        once(vault, delay).await?;
        ui::note("watching the inbox; stop with Ctrl-C");
        watch_relays(vault).await
    };
    // Dropping the work is safe at any of its waits: what is in the vault is whole, and what was not acknowledged comes again.
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn watch_relays(vault: &Vault) -> Outcome<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let relays = relays(&vault.state()?)?;
        let share = u16::try_from(relays.len().max(1)).unwrap_or(1);
        let stay = Stay::Watching {
            seconds: WAIT_SECONDS / share,
            alone: share == 1,
        };
        for relay in &relays {
            let mut tally = Tally::default();
            match collect(vault, relay, stay, &mut tally).await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(failure) => {
                    ui::note(&format!("{}; trying again in {pause} s", failure.what()));
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        bury(vault, Collected::NotAll)?;
    }
}

/// Everything that one relay has for this device.
async fn collect(
    vault: &Vault,
    relay: &RelayContact,
    stay: Stay,
    tally: &mut Tally,
) -> Outcome<()> {
    let began = now();
    let mut exchange = exchange(vault, relay, began).await?;
    let outcome = match check_enrolled(&vault.state()?, began) {
        Ok(()) => poll(vault, &mut exchange.link, stay, began, tally).await,
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
    stay: Stay,
    began: Timestamp,
    tally: &mut Tally,
) -> Outcome<()> {
    let mailbox = vault.state()?.address.inbox();
    let (mut cursor, mut removals) = (0, Vec::new());
    loop {
        let wait_seconds = match stay {
            Stay::UntilEmpty => 0,
            Stay::Watching { seconds, .. } => seconds,
        };
        let request = Request::Poll {
            target: Target::Inbox,
            mailbox,
            cursor,
            removals: std::mem::take(&mut removals),
            wait_seconds,
        };
        let Answer::Item(item) = link.request(&request).await? else {
            return Err(LinkFault::Nonsense.into());
        };
        match item.envelope {
            Some(envelope) if item.cursor > cursor => {
                cursor = item.cursor;
                let found = take(vault, envelope.as_slice(), now())?;
                tally.count(found);
                removals.push(EnvelopeDigest::of(envelope.as_slice()));
                if matches!(stay, Stay::Watching { .. }) {
                    announce(found);
                }
            }
            Some(_) => return Err(LinkFault::Nonsense.into()),
            None => match stay {
                Stay::Watching { alone: true, .. } if !is_time(vault, began)? => {}
                _ => return Ok(()),
            },
        }
    }
}

/// Whether a watch should exchange cards again.
fn is_time(vault: &Vault, began: Timestamp) -> Outcome<bool> {
    let (now, state) = (now(), vault.state()?);
    let epoch = card::held(&state, now)?.map_or(0, |held| held.card.epoch());
    Ok(now.since(began) >= REFRESH || prekeys::is_due(&state, epoch, now))
}

/// Opens an envelope and keeps what it says. When this returns, it is on the disk.
///
/// # Errors
/// A failure of the vault only.
pub fn take(vault: &Vault, envelope: &[u8], now: Timestamp) -> Outcome<Found> {
    let state = vault.state()?;
    let prekeys: Vec<PrekeySecret> = state.prekeys.iter().map(|own| own.secret()).collect();
    let references: Vec<&PrekeySecret> = prekeys.iter().collect();
    let Ok(opened) = open(envelope, &state.address, &references) else {
        return Ok(Found::Unopenable);
    };
    let Ok(message) = Message::decode(&opened.message) else {
        return Ok(Found::Unopenable);
    };
    if message.check_found_in(Mailbox::Inbox).is_err() {
        return Ok(Found::Unopenable);
    }
    let prekey = prekeys[opened.prekey].hash();
    match message {
        Message::Submission(submission) => {
            let content = submission.content();
            if content.is_ok_and(|content| content.check_addressed(&state.address).is_err()) {
                return Ok(Found::Unopenable);
            }
            let entry = |name| {
                let (id, sender) = (submission.id, opened.writer);
                Entry::new(name, Role::Submission, id, sender, now)
            };
            let known = |state: &State| state.knows_message(&opened.writer, &submission.id);
            keep(vault, &opened, prekey, known, |state, name| {
                state.remember(&opened.writer, &submission.id);
                state.items.push(entry(name));
                Found::Submission
            })
        }
        Message::Copy(copy) => {
            let held = card::needed(&state, now)?;
            if !held.card.roster().has_identity(&opened.writer) {
                return Ok(Found::Unopenable);
            }
            // An answer to something that was deleted here stays away with it.
            let known = |state: &State| {
                let deleted = state.knows_message(&copy.send, &copy.regards)
                    && !state
                        .items
                        .iter()
                        .any(|entry| entry.submission == copy.regards && entry.sender == copy.send);
                deleted || state.knows_message(&opened.writer, &copy.id)
            };
            let role = match copy.text {
                Some(_) => Role::Reply,
                None => Role::Acknowledgement,
            };
            keep(vault, &opened, prekey, known, |state, name| {
                state.remember(&opened.writer, &copy.id);
                let entry = Entry::new(name, role, copy.regards, copy.send, now);
                state.items.push(entry);
                Found::Answer
            })
        }
        _ => Ok(Found::Nothing),
    }
}

/// Keeps an opened message, unless it was seen before (spec §4.5).
fn keep(
    vault: &Vault,
    opened: &Opened,
    prekey: &[u8; 32],
    known: impl Fn(&State) -> bool,
    enter: impl FnOnce(&mut State, crate::vault::item::ItemName) -> Found,
) -> Outcome<Found> {
    vault.change(|change| {
        if change.state.knows_digest(&opened.digest) || known(&change.state) {
            return Ok(Found::Nothing);
        }
        let item = Item::new(opened.writer, &opened.message);
        let name = change.add(&item.encode())?;
        change.state.remember_digest(&opened.digest, prekey);
        Ok(enter(&mut change.state, name))
    })
}

/// Deletes the private halves that are of no more use. With a roster that has run out, or a wrong clock, none.
fn bury(vault: &Vault, collected: Collected) -> Outcome<()> {
    let now = now();
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
        Found::Unopenable => ui::note("an envelope came that this device cannot open."),
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

/// What the person must do soon.
fn remind(vault: &Vault) -> Outcome<()> {
    let (now, state) = (now(), vault.state()?);
    if let Some(held) = card::held(&state, now)? {
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
