//! `valise inbox …`: collecting, reading and answering submissions.

pub mod thread;
pub mod outbox;
pub mod take;
pub mod files;
mod arrivals;
mod visit;
pub mod fetch;
mod place;
mod custody;
pub mod save;
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

use self::pull::Attachments;
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
    /// Collect what waits on the relays, attachments too
    ///
    /// What was interrupted goes on where it was. Attachments of which something has not been sent yet, or has not reached the relay, are
    /// asked for again by the next pull.
    Pull {
        /// Go on collecting until stopped
        #[arg(long)]
        watch: bool,
        /// Leave attachments at the relay for now: valise inbox fetch ID
        #[arg(long)]
        text_only: bool,
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
    /// Fetch the attachments of one submission
    Fetch {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Write the attachments of one submission into a directory
    ///
    /// They get names of our own, such as attachment-1.jpg, and nothing that is there is written over. Only a file that is exactly what the
    /// sender spoke of is written. Beside them goes custody.toml: what this device received from whom and when, under which names it
    /// was saved, with lengths and SHA-256. It is this device's own note and no signature: it shows that a file is the one
    /// noted, not that the note is true.
    Save {
        /// Its id, or the beginning of it
        id: String,
        /// Where to; made where there is none
        dir: PathBuf,
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
    /// Delete one submission, its attachments and its answers from this vault
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
            InboxCommand::Pull {
                watch,
                text_only,
                pace,
            } => {
                let attachments = if *text_only {
                    Attachments::Leave
                } else {
                    Attachments::Fetch
                };
                if *watch {
                    watch::watch(&vault, attachments, pace.delay, &command::now).await
                } else {
                    pull::once(&vault, attachments, pace.delay, &command::now).await
                }
            }
            InboxCommand::Fetch { id } => fetch::one(&vault, id, &command::now).await,
            InboxCommand::Save { id, dir } => save::save(&vault, id, dir, now),
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
    let question = format!(
        "Delete submission {id}, its attachments and its answers from this vault for good?"
    );
    if !yes && !Terminal::open()?.confirm(&question)? {
        return Err(Failure::new("nothing was deleted"));
    }
    let unsent = remove(vault, thread)?;
    ui::say(&format!("deleted {id}"));
    if unsent > 0 {
        ui::note("an answer that still waited to be sent is gone with it.");
    }
    ui::note(
        "gone: from this vault; its files were overwritten. Not gone: from your colleagues' vaults and from backups. The relay keeps \
         what they have not collected, and the attachments until they run out. What was saved elsewhere stays there. Flash memory and snapshots may keep encrypted remains, which this vault's \
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
