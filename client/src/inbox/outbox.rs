//! Sealed answers on their way: each in a connection of its own, under a fresh key, some random time after the one before.
//!
//! Whoever watches the relay should not be able to match that somebody read with that somebody answered, nor the reply to a
//! defender with its copy to colleagues. What does not get through stays in the vault, sealed, and is tried again.

use std::time::Duration;

use valise_protocol::contact::RelayContact;
use valise_protocol::limits::ENVELOPE;
use valise_protocol::wire::{Answer, Request, Target};

use crate::command::now;
use crate::dial::{Connection, fresh_key};
use crate::failure::{Failure, Outcome};
use crate::interrupt::{interrupted, until_told};
use crate::link::LinkFault;
use crate::mechanism::card;
use crate::random;
use crate::session::random_withdraw_hash;
use crate::ui;
use crate::vault::Vault;
use crate::vault::state::{Outgoing, State};

use super::thread::Thread;

/// The longest random wait before a deposit, in seconds, where the person names no other.
pub const LONGEST_WAIT: u64 = 30;

/// Sends what answers one submission, unless the program is told to stop before.
///
/// # Errors
/// As [`deliver`].
pub async fn deliver_answer(vault: &Vault, to: &Thread, longest: u64) -> Outcome<()> {
    match until_told(deliver(vault, Some(to), longest)).await {
        Some(delivered) => delivered.map(drop),
        None => Err(interrupted()
            .hint("the sealed answer is in the vault, and may have left already")
            .hint("do not write it again: it is sent, and never twice, by: valise inbox pull")),
    }
}

/// Sends what waits: everything, or what answers one submission. `longest` bounds each random wait, in seconds.
///
/// # Errors
/// The first failure; what was not sent stays and is tried again by the next `pull`.
pub async fn deliver(vault: &Vault, only: Option<&Thread>, longest: u64) -> Outcome<usize> {
    let waiting = vault.state()?.outbox;
    let (mut sent, mut held_back, mut failure) = (0, Vec::new(), None);
    for outgoing in waiting {
        let wanted = only.is_none_or(|thread| outgoing.answers(&thread.id, &thread.sender));
        // A copy without its reply would tell colleagues what did not happen.
        let answered = (outgoing.submission, outgoing.sender);
        if !wanted || held_back.contains(&answered) {
            continue;
        }
        wait(longest).await;
        match send(vault, &outgoing).await {
            Ok(()) => sent += 1,
            Err(error) => {
                held_back.push(answered);
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        None => Ok(sent),
        Some(failure) => {
            Err(failure
                .hint("it stays in the vault, sealed, and is tried again by: valise inbox pull"))
        }
    }
}

async fn wait(longest: u64) {
    let seconds = random::below(longest.saturating_add(1), &mut random::system());
    if longest > 0 {
        ui::note(&format!(
            "waiting {seconds} s before the next envelope leaves, so that its time tells nothing of when you read or \
             wrote (--delay SECONDS sets the longest wait)"
        ));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

async fn send(vault: &Vault, outgoing: &Outgoing) -> Outcome<()> {
    let state = vault.state()?;
    let relay = relay_of(&state, outgoing)?;
    let envelope = read(vault, outgoing)?;
    let request = Request::Deposit {
        target: if outgoing.to_inbox {
            Target::Inbox
        } else {
            Target::Return
        },
        mailbox: outgoing.mailbox,
        withdraw: random_withdraw_hash(),
        proof: Vec::new(),
        envelope,
    };
    let connection = Connection::dial(&relay, now()).await?;
    let answer = match connection.link(&fresh_key()).await {
        Ok(mut link) => {
            let answer = link.request(&request).await;
            link.finish();
            answer
        }
        Err(fault) => Err(fault),
    };
    connection.close().await;
    match answer? {
        Answer::Stored(..) => {}
        _ => return Err(LinkFault::Nonsense.into()),
    }
    vault.change(|change| {
        change
            .state
            .outbox
            .retain(|other| other.name != outgoing.name);
        change.remove(outgoing.name);
        Ok(())
    })
}

fn read(vault: &Vault, outgoing: &Outgoing) -> Outcome<Box<[u8; ENVELOPE]>> {
    let content = vault.content(outgoing.name).ok();
    content
        .and_then(|content| content.to_vec().into_boxed_slice().try_into().ok())
        .ok_or_else(|| {
            Failure::new("an answer that waited in the vault is damaged")
                .hint("write it again: valise inbox reply ID")
        })
}

/// Only relays on the mechanism's roster are dialled, at the host given there (spec §4.5): a submission must not make staff
/// connect to a place of its sender's choice.
fn relay_of(state: &State, outgoing: &Outgoing) -> Outcome<RelayContact> {
    let held = card::needed(state, now())?;
    held.card
        .relays()
        .find(|relay| relay.id() == outgoing.relay)
        .ok_or_else(foreign_relay)
}

/// What a person is told whose answer would have to go elsewhere.
pub fn foreign_relay() -> Failure {
    Failure::new(
        "the sender's return mailbox is not on a relay of this mechanism, so it is not answered",
    )
}

/// Checks that a relay is one of the mechanism's.
///
/// # Errors
/// [`foreign_relay`].
pub fn check_relay(state: &State, outgoing: &Outgoing) -> Outcome<()> {
    relay_of(state, outgoing).map(drop)
}
