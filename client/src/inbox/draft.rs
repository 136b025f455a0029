//! An answer between its writing and its leaving: sealed to the sender, sealed to colleagues, and put into the vault.

use rand_core::Rng;
use valise_protocol::card::Proof;
use valise_protocol::envelope::{SealError, seal};
use valise_protocol::id::RelayId;
use valise_protocol::limits::ENVELOPE;
use valise_protocol::message::{Copied, Message, Reply, Submission, SubmissionId};
use valise_protocol::prekey::Prekey;
use valise_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};
use crate::mechanism::card::{self, Held};
use crate::random;
use crate::ui;
use crate::vault::item::Item;
use crate::vault::state::{Entry, Outgoing, Role, State};
use crate::vault::{Change, Vault};

use super::outbox::check_relay;
use super::thread::Thread;

/// An envelope.
type Envelope = Box<[u8; ENVELOPE]>;

/// An answer to be sealed.
struct Draft {
    id: SubmissionId,
    submission: Submission,
    thread: Thread,
    text: Option<String>,
    written: Timestamp,
}

/// Seals the answer and its copy, and puts both into the vault to be sent; an acknowledgement has no text. `accept` is asked, with the
/// risk in a sentence, whether the copy goes to prekeys that are not fresh.
///
/// # Errors
/// A failure when this device cannot answer this submission; the vault is then as it was.
pub fn put(
    vault: &Vault,
    state: &State,
    thread: &Thread,
    text: Option<&str>,
    accept: impl FnOnce(&str) -> Outcome<bool>,
    now: Timestamp,
) -> Outcome<()> {
    let held = card::needed(state, now)?;
    if !card::lists(&held.card, state) {
        return Err(Failure::new(
            "this device is not on the roster: nobody would believe its answer",
        )
        .hint("answer from another device"));
    }
    let draft = Draft {
        id: random_id(),
        submission: submission_of(vault, thread)?,
        thread: thread.clone(),
        text: text.map(str::to_owned),
        written: now.hour(),
    };
    let to_sender = draft.to_sender(state, &held)?;
    let copy = draft.copy(&held);
    let to_colleagues = draft.to_colleagues(state, &held, &copy, accept, now)?;
    vault.change(|change| {
        draft.send(change, &to_sender, None)?;
        if let Some(envelope) = &to_colleagues {
            let relay = first_relay(&held);
            draft.send(
                change,
                envelope,
                Some(relay.unwrap_or(draft.submission.reply.relay)),
            )?;
        }
        draft.remember(change, &copy, now)
    })
}

/// The relay on which colleagues look first.
fn first_relay(held: &Held) -> Option<RelayId> {
    held.card.relays().next().map(|relay| relay.id())
}

fn random_id() -> SubmissionId {
    let mut bytes = [0; 16];
    random::system().fill_bytes(&mut bytes);
    SubmissionId::from_bytes(bytes)
}

/// The submission of a thread.
///
/// # Errors
/// A failure when it is not in this vault, or damaged.
pub fn submission_of(vault: &Vault, thread: &Thread) -> Outcome<Submission> {
    let entry = thread.submission.as_ref().ok_or_else(|| {
        Failure::new(
            "the submission itself is not in this vault, so it cannot be answered from here",
        )
        .hint("answer from a device that holds it")
    })?;
    let damaged = || {
        Failure::new("this submission is damaged in the vault")
            .hint("restore a backup, or answer from another device")
    };
    let item = vault.item(entry.name).map_err(|_| damaged())?;
    match Message::decode(item.message()) {
        Ok(Message::Submission(submission)) => Ok(submission),
        _ => Err(damaged()),
    }
}

impl Draft {
    fn reply(&self, held: &Held) -> Reply {
        Reply {
            id: self.id,
            regards: self.submission.id,
            written: self.written,
            proof: Proof::of(held.card.card()),
            text: self.text.clone(),
        }
    }

    /// One real slot, to the submission's reply keys; written by this device's identity key, with the proof.
    fn to_sender(&self, state: &State, held: &Held) -> Outcome<Envelope> {
        let reply = self.reply(held);
        let message = match self.text {
            Some(_) => Message::Reply(reply),
            None => Message::Acknowledgement(reply),
        };
        let message = Zeroizing::new(message.encode());
        sealed(
            std::slice::from_ref(&self.submission.reply.prekey),
            state,
            &message,
        )
    }

    /// With the roster, for a colleague from whom a relay withholds it.
    fn copy(&self, held: &Held) -> Zeroizing<Vec<u8>> {
        let copy = Message::Copy(Copied {
            id: self.id,
            regards: self.submission.id,
            written: self.written,
            send: self.thread.sender,
            text: self.text.clone(),
            proof: Some(Proof::of(held.card.card())),
        });
        Zeroizing::new(copy.encode())
    }

    /// For the devices of the card; `None` where no other may or can read it.
    fn to_colleagues(
        &self,
        state: &State,
        held: &Held,
        copy: &[u8],
        accept: impl FnOnce(&str) -> Outcome<bool>,
        now: Timestamp,
    ) -> Outcome<Option<Envelope>> {
        if held.card.roster().devices().len() < 2 {
            return Ok(None);
        }
        let readers = colleagues(held, accept, now)?;
        if readers.is_empty() {
            return Ok(None);
        }
        sealed(&readers, state, copy).map(Some)
    }

    /// Into the outbox: to the sender, or to the own inbox on the relay named.
    fn send(
        &self,
        change: &mut Change<'_>,
        envelope: &Envelope,
        inbox: Option<RelayId>,
    ) -> Outcome<()> {
        let reply = &self.submission.reply;
        let outgoing = Outgoing {
            name: change.add(envelope.as_slice())?,
            mailbox: inbox.map_or(reply.mailbox, |_| change.state.address.inbox()),
            to_inbox: inbox.is_some(),
            relay: inbox.unwrap_or(reply.relay),
            submission: self.thread.id,
            sender: self.thread.sender,
        };
        check_relay(&change.state, &outgoing)?;
        change.state.outbox.push(outgoing);
        Ok(())
    }

    /// Into the thread, as what this device answered.
    fn remember(&self, change: &mut Change<'_>, copy: &[u8], now: Timestamp) -> Outcome<()> {
        let writer = change.state.device.keys().identity.public();
        let name = change.add(&Item::new(writer, copy).encode())?;
        let role = match self.text {
            Some(_) => Role::Reply,
            None => Role::Acknowledgement,
        };
        let mut entry = Entry::new(name, role, self.thread.id, self.thread.sender, now);
        entry.read = true;
        change.state.items.push(entry);
        change.state.remember(&writer, &self.id);
        Ok(())
    }
}

/// The prekeys that a copy is sealed to, by the rules for every sender (spec §5.3): none of a roster that ran out, and where too few
/// devices are fresh those that are left only after a person accepted the risk.
fn colleagues(
    held: &Held,
    accept: impl FnOnce(&str) -> Outcome<bool>,
    now: Timestamp,
) -> Outcome<Vec<Prekey>> {
    if held.expired {
        ui::note(&format!(
            "the roster ran out on {}, so colleagues get no copy of this: a device that was removed since could read it. \
             Whoever holds the root key renews it: valise mechanism renew --root FILE",
            held.card.not_after()
        ));
        return Ok(Vec::new());
    }
    if let Ok(readers) = held.card.readers(now) {
        return Ok(readers);
    }
    let readers = held.card.readers_despite_staleness(now);
    if readers.is_empty() {
        ui::note("no other device can read a copy of this today.");
        return Ok(readers);
    }
    let (fresh, devices) = held.card.freshness(now);
    let risk = format!(
        "only {fresh} of the mechanism's {devices} devices have renewed their keys in the last 14 days. Either they are \
         away, or somebody is holding back a newer roster and has a device that was removed: such a device could read \
         the copy for your colleagues."
    );
    if accept(&risk)? {
        return Ok(readers);
    }
    ui::note("colleagues get no copy of this; only the sender is answered.");
    Ok(Vec::new())
}

fn sealed(readers: &[Prekey], state: &State, message: &[u8]) -> Outcome<Envelope> {
    let keys = state.device.keys();
    seal(
        readers,
        &state.address,
        &keys.identity,
        message,
        &mut random::system(),
    )
    .map_err(|error| match error {
        SealError::BadReaderKey => {
            Failure::new("the sender's reply keys cannot be sealed to, so this is not answered")
        }
        error => Failure::new(format!("could not seal the answer: {error}")),
    })
}
