//! `valise inbox …`: collecting, reading and answering submissions.

pub mod thread;
pub mod outbox;
pub mod take;
pub mod pull;
pub mod watch;
pub mod show;
pub mod draft;
pub mod reply;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use valise_protocol::time::Timestamp;

use crate::command;
use crate::failure::{Failure, Outcome};
use crate::ui::{self, Terminal};
use crate::vault::Vault;
use crate::vault::command::Access;

use self::reply::Pace;
use self::thread::{Thread, Threads};

/// `valise inbox`
#[derive(Args, Debug)]
pub struct InboxGroup {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: InboxCommand,
}

/// What can be done with an inbox.
#[derive(Subcommand, Debug)]
pub enum InboxCommand {
    /// Collect what waits on the relays
    Pull {
        /// Go on collecting until stopped
        #[arg(long)]
        watch: bool,
        /// How answers that still wait are sent
        #[command(flatten)]
        pace: Pace,
    },
    /// Show what is in the vault, the newest last
    List,
    /// Show one submission and its answers
    Show {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Tell the sender that somebody has read it
    Acknowledge {
        /// Its id, or the beginning of it
        id: String,
        /// Although it was acknowledged before
        #[arg(long)]
        again: bool,
        /// How it is sent
        #[command(flatten)]
        pace: Pace,
    },
    /// Answer the sender
    Reply {
        /// Its id, or the beginning of it
        id: String,
        /// The text, in UTF-8 [default: standard input, or asked for]
        file: Option<PathBuf>,
        /// How it is sent
        #[command(flatten)]
        pace: Pace,
    },
    /// Delete one submission and its answers from this vault
    Delete {
        /// Its id, or the beginning of it
        id: String,
        /// For programs: do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl InboxGroup {
    /// Does what was asked.
    ///
    /// # Errors
    /// A failure for the person.
    pub async fn run(&self, now: Timestamp) -> Outcome<()> {
        let vault = self.access.open()?;
        match &self.command {
            InboxCommand::Pull { watch: true, pace } => {
                watch::watch(&vault, pace.delay, &command::now).await
            }
            InboxCommand::Pull { pace, .. } => pull::once(&vault, pace.delay, &command::now).await,
            InboxCommand::List => show::list(&vault),
            InboxCommand::Show { id } => show::show(&vault, id, now),
            InboxCommand::Acknowledge { id, again, pace } => {
                reply::acknowledge(&vault, id, *again, *pace, now).await
            }
            InboxCommand::Reply { id, file, pace } => {
                reply::reply(&vault, id, file.as_ref(), *pace, now).await
            }
            InboxCommand::Delete { id, yes } => delete(&vault, id, *yes),
        }
    }
}

/// Asks, deletes, and says what is and is not gone.
fn delete(vault: &Vault, which: &str, yes: bool) -> Outcome<()> {
    let state = vault.state()?;
    let threads = Threads::of(&state);
    let thread = threads.find(which)?;
    let id = threads.id(thread);
    let question = format!("Delete submission {id} and its answers from this vault for good?");
    if !yes && !Terminal::open()?.confirm(&question)? {
        return Err(Failure::new("nothing was deleted"));
    }
    let unsent = remove(vault, thread)?;
    ui::say(&format!("deleted {id}"));
    if unsent > 0 {
        ui::note("an answer that still waited to be sent is gone with it.");
    }
    ui::note(
        "gone: from this vault; its file was overwritten. Not gone: from your colleagues' vaults and from backups. The relay keeps \
         what they have not collected. Flash memory and snapshots may keep encrypted remains, which this vault's \
         passphrase and a prekey still held could open.",
    );
    Ok(())
}

/// Removes a submission and its answers. They stay remembered, so that they do not come back. Gives how many answers were not sent.
fn remove(vault: &Vault, thread: &Thread) -> Outcome<usize> {
    vault.change(|change| {
        let mut gone = Vec::new();
        change.state.items.retain(|entry| {
            let goes = thread.holds(entry);
            gone.extend(goes.then_some(entry.name));
            !goes
        });
        let items = gone.len();
        change.state.outbox.retain(|outgoing| {
            let goes = outgoing.answers(&thread.id, &thread.sender);
            gone.extend(goes.then_some(outgoing.name));
            !goes
        });
        let unsent = gone.len() - items;
        gone.into_iter().for_each(|name| change.remove(name));
        Ok(unsent)
    })
}

#[cfg(test)]
mod tests;
