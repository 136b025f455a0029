//! `valise vault …`: the passphrase and the backups of a vault.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::escape;
use crate::failure::Outcome;
use crate::home::Home;
use crate::random;
use crate::ui;

use super::backup::Backup;
use super::{Vault, passphrase};

/// Which vault, and how its passphrase comes.
#[derive(Args, Clone, Debug)]
pub struct Access {
    /// Directory of the vault [default: $VALISE_HOME, else valise in the data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Read the vault's passphrase from this open file descriptor instead of the terminal
    #[arg(long, global = true, value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

/// `valise vault`
#[derive(Args, Debug)]
pub struct VaultGroup {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: VaultCommand,
}

/// What can be done with a vault as a whole.
#[derive(Subcommand, Debug)]
pub enum VaultCommand {
    /// Change the passphrase
    Passphrase {
        /// Read the new passphrase from this open file descriptor
        #[arg(long, value_name = "N")]
        new_passphrase_fd: Option<u32>,
    },
    /// Write a copy of the vault, encrypted as it is, to a new file
    ///
    /// Attachments are not in it: they can be fetched again for as long as the relay holds them. Save those that you need.
    Backup {
        /// A file that is not there yet
        file: PathBuf,
    },
    /// Make a vault of a backup, in a home that has none
    Restore {
        /// What `valise vault backup` wrote
        file: PathBuf,
    },
}

impl Access {
    /// The home chosen.
    ///
    /// # Errors
    /// A failure when there is none to choose.
    pub fn home(&self) -> Outcome<Home> {
        Home::choose(self.home.as_deref())
    }

    /// The vault, opened.
    ///
    /// # Errors
    /// Those of [`Vault::open`].
    pub fn open(&self) -> Outcome<Vault> {
        let home = self.home()?;
        if !Vault::is_in(&home) {
            // Says so before a passphrase is asked for.
            return Vault::open(&home, "");
        }
        let passphrase = passphrase::existing(self.passphrase_fd, "the vault")?;
        Vault::open(&home, &passphrase)
    }
}

impl VaultGroup {
    /// Does what was asked.
    ///
    /// # Errors
    /// A failure for the person.
    pub fn run(&self) -> Outcome<()> {
        match &self.command {
            VaultCommand::Passphrase { new_passphrase_fd } => {
                let vault = self.access.open()?;
                let new = passphrase::new(*new_passphrase_fd, "the vault")?;
                vault.change_passphrase(&new, &mut random::system())?;
                ui::note(
                    "the passphrase is changed. Backups made before still open with the old one.",
                );
            }
            VaultCommand::Backup { file } => self.backup(file)?,
            VaultCommand::Restore { file } => self.restore(file)?,
        }
        Ok(())
    }

    fn backup(&self, file: &std::path::Path) -> Outcome<()> {
        let items = self.access.open()?.backup(file)?;
        ui::say(&format!(
            "backup of {items} items in {}",
            escape::line(&file.display().to_string())
        ));
        ui::note(
            "it is encrypted under today's passphrase, and holds what you may delete later: \
             destroy old backups when you delete mail. Attachments are not in it: after a restore they are fetched again, as long \
             as the relay holds them.",
        );
        Ok(())
    }

    fn restore(&self, file: &std::path::Path) -> Outcome<()> {
        let backup = Backup::read(file)?;
        let home = self.access.home()?;
        let passphrase = passphrase::existing(self.access.passphrase_fd, "the backup")?;
        backup.restore(&home, &passphrase, &mut random::system())?;
        ui::say(&format!("vault restored in {}", home.shown()));
        ui::note(
            "mail and prekeys that were deleted after the backup are back, and what came after it is not there. \
             Use one copy of a device only: destroy the other, or remove the device.",
        );
        Ok(())
    }
}
