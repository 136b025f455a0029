//! `valise inbox pull --watch`: collecting as it comes, until told to stop.

use std::time::Duration;

use tokio::sync::Notify;
use valise_protocol::contact::RelayContact;
use valise_protocol::id::RelayId;
use valise_protocol::limits::WAIT_SECONDS;

use crate::failure::Outcome;
use crate::interrupt::until_told;
use crate::mechanism::exchange::relays;
use crate::mechanism::prekeys::Collected;
use crate::ui;
use crate::vault::Vault;

use super::fetch::{KEEP_FREE, fetch};
use super::pull::{Attachments, Clock, Stay, Tally, bury, collect, collect_all};

/// When no relay answers the watch tries again after so many seconds, then twice as many, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: u64 = 5;
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: u64 = 300;
/// Parcels that the relays lack are asked for again after so many seconds, then, as long as none comes, after twice as many, up to
/// [`LONGEST_REST`].
const FIRST_REST: u64 = 300;
/// See [`FIRST_REST`].
const LONGEST_REST: u64 = 3_600;
/// So long after a submission came its parcels are asked for: what that takes of this computer must not tell the relay, by the time until
/// the next poll, what came.
const BREATH: Duration = Duration::from_secs(1);

/// Collects, and goes on collecting until the program is told to stop (SIGINT or SIGTERM).
///
/// # Errors
/// A failure of the first collection.
pub async fn watch(
    vault: &Vault,
    attachments: Attachments,
    delay: u64,
    clock: Clock<'_>,
) -> Outcome<()> {
    let work = async {
        if let Some(failure) = collect_all(vault, delay, clock).await? {
            ui::error(&failure);
        }
        ui::note("watching the inbox; stop with Ctrl-C");
        let came = Notify::new();
        let watching = watch_relays(vault, &came, clock);
        match attachments {
            Attachments::Leave => watching.await,
            // Beside each other: a text does not wait for the films that came before it.
            Attachments::Fetch => tokio::select! {
                ended = watching => ended,
                () = fetch_as_they_come(vault, &came, clock) => Ok(()),
            },
        }
    };
    // Dropping the work is safe at any of its waits: what is in the vault is whole, and what was not acknowledged comes again.
    until_told(work).await.unwrap_or_else(|| {
        ui::note("stopped; what came is in the vault, and what comes now waits at the relay.");
        Ok(())
    })
}

/// Fetches what is missing of attachments, when submissions came and now and then. What goes wrong is told: the next time may go better.
async fn fetch_as_they_come(vault: &Vault, came: &Notify, clock: Clock<'_>) {
    let mut rest = FIRST_REST;
    loop {
        let outcome = match fetch(vault, None, KEEP_FREE, clock).await {
            Ok(fetched) => {
                let longer = (rest * 2).min(LONGEST_REST);
                rest = if fetched.came > 0 { FIRST_REST } else { longer };
                fetched.tell()
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = outcome {
            ui::error(&failure);
        }
        let _ = tokio::time::timeout(Duration::from_secs(rest), came.notified()).await;
        tokio::time::sleep(BREATH).await;
    }
}

async fn watch_relays(vault: &Vault, came: &Notify, clock: Clock<'_>) -> Outcome<()> {
    let mut pause = FIRST_PAUSE;
    let mut silent: Vec<RelayId> = Vec::new();
    loop {
        let relays = relays(&vault.state()?)?;
        let share = u16::try_from(relays.len().max(1)).unwrap_or(1);
        let alone = share == 1;
        let stay = Stay::Watching {
            seconds: WAIT_SECONDS / share,
            alone,
            came,
        };
        let (mut answered, mut fault) = (0, None);
        for relay in &relays {
            match collect(vault, relay, stay, &mut Tally::default(), clock).await {
                Ok(()) => {
                    answered += 1;
                    silent.retain(|id| *id != relay.id());
                }
                Err(failure) if alone => fault = Some(failure),
                Err(failure) => {
                    let failure = failure.at(relay.host());
                    if !silent.contains(&relay.id()) {
                        silent.push(relay.id());
                        ui::note(failure.what());
                    }
                    fault = Some(failure);
                }
            }
        }
        match fault {
            Some(failure) if answered == 0 => {
                ui::note(&format!("{}; trying again in {pause} s", failure.what()));
                tokio::time::sleep(Duration::from_secs(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            _ => pause = FIRST_PAUSE,
        }
        let collected = if answered == relays.len() && names_no_other(vault, &relays)? {
            Collected::Everything
        } else {
            Collected::NotAll
        };
        bury(vault, collected, clock())?;
    }
}

/// Whether there is no relay but these now: what one of them said may have named another.
fn names_no_other(vault: &Vault, asked: &[RelayContact]) -> Outcome<bool> {
    let asked: Vec<RelayId> = asked.iter().map(RelayContact::id).collect();
    let now = relays(&vault.state()?)?;
    Ok(now.iter().all(|relay| asked.contains(&relay.id())))
}
