//! `valise mechanism …`: the mechanism's keys, devices and card.

pub mod prekeys;
pub mod card;
pub mod record;
pub mod root;
pub mod exchange;
pub mod publish;
pub mod init;
pub mod succession;
pub mod relay;
pub mod device;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use valise_protocol::limits::PREKEY_FRESH;
use valise_protocol::time::Timestamp;

use crate::escape;
use crate::failure::Outcome;
use crate::interrupt::{interrupted, until_told};
use crate::ui;
use crate::vault::command::Access;

use self::device::DeviceCommand;
use self::init::{Init, say_contact};
use self::publish::RootArgs;
use self::relay::RelayCommand;
use self::succession::RootCommand;

/// `valise mechanism`
#[derive(Args, Debug)]
pub struct MechanismGroup {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: MechanismCommand,
}

/// What can be done with a mechanism.
#[derive(Subcommand, Debug)]
pub enum MechanismCommand {
    /// Make a mechanism: its root key, this first device, its card and contact line
    Init(Box<Init>),
    /// Add, remove and list devices
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Show the contact line, and until when the card holds and for whom
    Card {
        /// Write the card to this file
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Draw the contact line as a QR code too
        #[arg(long)]
        qr: bool,
    },
    /// Add, remove and list relays
    #[command(subcommand)]
    Relay(RelayCommand),
    /// Let a next root key take over
    #[command(subcommand)]
    Root(RootCommand),
    /// Beside the root key: give the card 90 more days
    Renew {
        /// The root key
        #[command(flatten)]
        root: RootArgs,
    },
    /// Bring this device's newest prekey and the newest card to the relays
    Publish,
}

impl MechanismGroup {
    /// Does what was asked.
    ///
    /// # Errors
    /// A failure for the person.
    pub async fn run(&self, now: Timestamp) -> Outcome<()> {
        let told = || {
            Err(interrupted()
                .hint("what was changed until then is in the vault: look, then give the same command again")
                .hint("what is not at the relay yet is brought there by: valise mechanism publish"))
        };
        until_told(self.perform(now)).await.unwrap_or_else(told)
    }

    async fn perform(&self, now: Timestamp) -> Outcome<()> {
        match &self.command {
            MechanismCommand::Init(init) => init.run(&self.access, now).await,
            MechanismCommand::Device(command) => command.run(&self.access, now).await,
            MechanismCommand::Relay(command) => command.run(&self.access, now).await,
            MechanismCommand::Root(command) => command.run(&self.access, now).await,
            MechanismCommand::Card { output, qr } => self.card(output.as_ref(), *qr, now),
            MechanismCommand::Renew { root } => self.renew(root, now).await,
            MechanismCommand::Publish => self.publish(now).await,
        }
    }

    fn card(&self, output: Option<&PathBuf>, qr: bool, now: Timestamp) -> Outcome<()> {
        let state = self.access.open()?.state()?;
        let held = card::needed(&state, now)?;
        say_contact(&state.contact, qr);
        let (fresh, devices) = held.card.freshness(now);
        ui::note(&format!(
            "roster {}, runs out on {}; {fresh} of {devices} devices can read what comes (a prekey serves {} days).",
            held.card.epoch(),
            held.card.not_after(),
            PREKEY_FRESH / valise_protocol::limits::DAY
        ));
        device::tell(&held, now);
        if let Some(path) = output {
            publish::write_card(&held.card, path)?;
            ui::note(&format!(
                "the card is in {}",
                escape::line(&path.display().to_string())
            ));
        }
        Ok(())
    }

    async fn renew(&self, root: &RootArgs, now: Timestamp) -> Outcome<()> {
        let vault = self.access.open()?;
        publish::refresh(&vault, now).await;
        root.learn(&vault, now)?;
        let state = vault.state()?;
        let held = card::needed(&state, now)?;
        let root = root.open(&held.card)?;
        let signed = publish::renewed_roster(&state, &held.card, &root, now).await?;
        publish::keep_roster(&vault, &signed, &root, now)?;
        let renewed = card::needed(&vault.state()?, now)?;
        ui::say(&format!("renewed until {}", renewed.card.not_after()));
        publish::try_publish(&vault, now).await;
        Ok(())
    }

    async fn publish(&self, now: Timestamp) -> Outcome<()> {
        let vault = self.access.open()?;
        let reached = publish::publish(&vault, now).await?;
        let state = vault.state()?;
        let held = card::needed(&state, now)?;
        if card::lists(&held.card, &state) {
            ui::say(&match (reached.took, reached.all) {
                (1, 1) => {
                    "published: the relay has the newest card and this device's prekey".to_owned()
                }
                (took, all) => format!(
                    "published: {took} of {all} relays have the newest card and this device's prekey"
                ),
            });
        } else {
            ui::note("this device is not on the roster, so it has nothing to publish.");
        }
        device::tell(&held, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
