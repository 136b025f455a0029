//! `valise mechanism root …`: a later root key takes over from the one before (spec §5.5).
//!
//! The old key signs the new one, the new one signs the next roster. Who knows the new key takes nothing signed by the old one any
//! more; the address stays.

use std::path::{Path, PathBuf};

use valise_protocol::card::next_root;
use valise_protocol::key::SigningKey;
use valise_protocol::limits::ROOTS;
use valise_protocol::time::Timestamp;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::random;
use crate::ui;
use crate::vault::command::Access;
use crate::vault::passphrase;

use super::card;
use super::publish::{self, RootArgs, refresh, try_publish, would_be_refused};
use super::root;

/// What can be done about root keys.
#[derive(clap::Subcommand, Debug)]
pub enum RootCommand {
    /// Beside the root key: make the next one, which alone signs from then on
    Renew {
        /// The root key that signs now
        #[command(flatten)]
        root: RootArgs,
        /// Where the next root key is written: a file that is not there yet
        #[arg(long, value_name = "FILE")]
        new: PathBuf,
        /// Read the next root key's new passphrase from this open file descriptor
        #[arg(long, value_name = "N")]
        new_root_passphrase_fd: Option<u32>,
    },
}

impl RootCommand {
    /// Does what was asked.
    ///
    /// # Errors
    /// A failure for the person.
    pub async fn run(&self, access: &Access, now: Timestamp) -> Outcome<()> {
        let Self::Renew {
            root,
            new,
            new_root_passphrase_fd,
        } = self;
        renew(access, root, new, *new_root_passphrase_fd, now).await
    }
}

async fn renew(
    access: &Access,
    old: &RootArgs,
    file: &Path,
    passphrase_fd: Option<u32>,
    now: Timestamp,
) -> Outcome<()> {
    let vault = access.open()?;
    refresh(&vault, now).await;
    old.learn(&vault, now)?;
    let held = card::needed(&vault.state()?, now)?;
    let old = old.open(&held.card)?;
    let mut rng = random::system();
    let new = old.followed_by(SigningKey::generate(&mut rng), file.to_path_buf());
    let roots = held.card.card().roots().to_vec();
    let roots = next_root(roots, old.key(), new.key()).ok_or_else(full)?;
    let devices = held.card.roster().devices().to_vec();
    let roster = held.card.roster().succeeded_by(devices, now);
    let roster = roster.map_err(would_be_refused)?;
    // The file first: a card that nobody could sign again would be the end of the mechanism.
    let signed = new.sign_as_last_of(roots.clone(), &roster, &held.card, || {
        let passphrase = passphrase::new(passphrase_fd, "the next root key")?;
        root::write(file, &passphrase, new.key(), &mut rng)
    })?;
    publish::keep_card(&vault, &roots, &signed, &new, now)?;
    let kept = card::needed(&vault.state()?, now)?;
    if let Err(failure) = old.give_way(&kept.card) {
        // It is in effect all the same.
        ui::note(failure.what());
    }
    let shown = escape::line(&file.display().to_string());
    ui::say(&format!("the next root key is in {shown}"));
    try_publish(&vault, now).await;
    ui::note(
        "it alone signs from now on: move it, and the file .last beside it, to a medium that stays offline, with a second copy \
         elsewhere. The address and the contact line stay as they are.",
    );
    ui::note(
        "when every relay has the new card, destroy all copies of the key before: who has never seen the new card would still \
         believe it.",
    );
    ui::note(&format!(
        "this is root key {} of the {ROOTS} that a mechanism may have one after the other.",
        roots.len()
    ));
    Ok(())
}

fn full() -> Failure {
    Failure::new(format!(
        "a mechanism has at most {ROOTS} root keys one after the other, and this is the last"
    ))
    .hint("make a new mechanism in another directory: valise mechanism init --home DIR")
    .hint("publish its contact line, and say by another way that the old one has ended")
}
