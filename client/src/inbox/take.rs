//! One envelope out of the inbox: opened, looked at, and kept or dropped (spec §4.3, §4.5).
//!
//! The relay sees how long a device takes until its next poll. So whatever an envelope is, the disk is given the same work: otherwise
//! the time would tell submissions from cover.

use valise_protocol::card::Proof;
use valise_protocol::envelope::{Opened, open};
use valise_protocol::message::{Copied, Mailbox, Message, Submission};
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;

use crate::failure::Outcome;
use crate::mechanism::card;
use crate::ui;
use crate::vault::Vault;
use crate::vault::item::{Item, ItemName};
use crate::vault::state::{Entry, OwnPrekey, Role, State};

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
    /// By a device that is not on the roster known here. The roster may be the older of the two.
    Stranger,
}

/// Opens an envelope and keeps what it says. When this returns, it is on the disk.
///
/// # Errors
/// A failure of the vault only.
pub fn take(vault: &Vault, envelope: &[u8], now: Timestamp) -> Outcome<Found> {
    let state = vault.state()?;
    let prekeys: Vec<PrekeySecret> = state.prekeys.iter().map(OwnPrekey::secret).collect();
    let references: Vec<&PrekeySecret> = prekeys.iter().collect();
    let Ok(opened) = open(envelope, &state.address, &references) else {
        return nothing_kept(vault, Found::Unopenable);
    };
    let Ok(message) = Message::decode(&opened.message) else {
        return nothing_kept(vault, Found::Unopenable);
    };
    if message.check_found_in(Mailbox::Inbox).is_err() {
        return nothing_kept(vault, Found::Unopenable);
    }
    let taking = Taking {
        vault,
        opened: &opened,
        prekey: prekeys[opened.prekey].hash(),
        now,
    };
    match message {
        Message::Submission(submission) => {
            let content = submission.content();
            if content.is_ok_and(|content| content.check_addressed(&state.address).is_err()) {
                return nothing_kept(vault, Found::Unopenable);
            }
            taking.submission(&submission)
        }
        Message::Copy(copy) => {
            let state = learn(vault, state, copy.proof.as_ref(), now)?;
            let held = card::needed(&state, now)?;
            if held.card.roster().has_identity(&opened.writer) {
                taking.copy(&copy)
            } else {
                nothing_kept(vault, Found::Stranger)
            }
        }
        _ => nothing_kept(vault, Found::Nothing),
    }
}

/// The work of keeping an item, for what is none.
fn nothing_kept(vault: &Vault, found: Found) -> Outcome<Found> {
    vault.change(|change| change.add_nothing().map(|()| found))
}

/// Takes in a roster that is newer than the one held, whoever brought it: the root key signed it. So a device learns what a relay
/// withholds from it. Gives the state after that.
fn learn(vault: &Vault, state: State, proof: Option<&Proof>, now: Timestamp) -> Outcome<State> {
    let known = card::held(&state, now)?.map_or(0, |held| held.card.epoch());
    let newer = proof.and_then(|proof| {
        let roster = proof.verify(state.address).ok()?;
        (roster.epoch() > known).then_some((proof, roster))
    });
    let Some((proof, roster)) = newer else {
        return Ok(state);
    };
    let adopted =
        vault.change(|change| Ok(card::adopt_roster(&mut change.state, proof, now).is_ok()))?;
    if adopted {
        ui::note(&format!(
            "a colleague's copy brought roster {} of {}; this device knew roster {known} only. If the relay does not hand \
             it out either, it withholds it: tell the relay's operator, and compare with your colleagues.",
            roster.epoch(),
            roster.issued()
        ));
    }
    vault.state()
}

/// An opened envelope on its way into the vault.
struct Taking<'a> {
    vault: &'a Vault,
    opened: &'a Opened,
    prekey: &'a [u8; 32],
    now: Timestamp,
}

impl Taking<'_> {
    fn submission(&self, submission: &Submission) -> Outcome<Found> {
        let (id, sender) = (submission.id, self.opened.writer);
        let is_it = |entry: &&mut Entry| {
            entry.role == Role::Submission && entry.submission == id && entry.sender == sender
        };
        self.keep(
            |state| {
                // A second sending may have gone through another relay (spec §9.4).
                if let Some(entry) = state.items.iter_mut().find(is_it) {
                    entry.add_holders(&submission.holders);
                    // Its sender goes on.
                    entry.something_came();
                }
                state.knows_message(&sender, &id)
            },
            |state, name| {
                state.remember(&sender, &id);
                let entry = Entry::new(name, Role::Submission, id, sender, self.now);
                state.items.push(entry.held_by(&submission.holders));
                Found::Submission
            },
        )
    }

    fn copy(&self, copy: &Copied) -> Outcome<Found> {
        let role = match copy.text {
            Some(_) => Role::Reply,
            None => Role::Acknowledgement,
        };
        // An answer to something that was deleted here stays away with it.
        let deleted = |state: &State| {
            let here =
                |entry: &Entry| entry.submission == copy.regards && entry.sender == copy.send;
            state.knows_message(&copy.send, &copy.regards) && !state.items.iter().any(here)
        };
        let writer = &self.opened.writer;
        self.keep(
            |state| deleted(state) || state.knows_message(writer, &copy.id),
            |state, name| {
                state.remember(writer, &copy.id);
                let entry = Entry::new(name, role, copy.regards, copy.send, self.now);
                state.items.push(entry);
                Found::Answer
            },
        )
    }

    /// Keeps it, unless it was seen before (spec §4.5).
    fn keep(
        &self,
        known: impl Fn(&mut State) -> bool,
        enter: impl FnOnce(&mut State, ItemName) -> Found,
    ) -> Outcome<Found> {
        self.vault.change(|change| {
            if change.state.knows_digest(&self.opened.digest) || known(&mut change.state) {
                return change.add_nothing().map(|()| Found::Nothing);
            }
            let item = Item::new(self.opened.writer, &self.opened.message);
            let name = change.add(&item.encode())?;
            change
                .state
                .remember_digest(&self.opened.digest, self.prekey);
            Ok(enter(&mut change.state, name))
        })
    }
}
