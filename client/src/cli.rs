//! The command line of `valise`.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::command;
use crate::command::card::CardCommand;
use crate::command::carry::Carry;
use crate::command::check::Check;
use crate::command::seal::Seal;
use crate::command::send::Send;
use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::inbox::InboxGroup;
use crate::mechanism::MechanismGroup;
use crate::ui;
use crate::vault::command::VaultGroup;

/// Confidential submissions to the mechanisms that protect human rights defenders.
///
/// What is sent is sealed on this computer; a relay holds it until the mechanism collects it and cannot read it. `send` and `check`
/// write nothing to this computer's disk.
#[derive(Debug, Parser)]
#[command(name = "valise", version, max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Send(Send),
    Seal(Seal),
    Carry(Carry),
    Check(Check),
    /// Look at a mechanism's card.
    #[command(subcommand)]
    Card(CardCommand),
    /// Print an empty form for a case: valise form > case.toml
    Form,
    /// For mechanisms: keys, devices and the card
    Mechanism(MechanismGroup),
    /// For mechanisms: collect, read and answer submissions
    Inbox(InboxGroup),
    /// For mechanisms: the encrypted store of one device
    Vault(VaultGroup),
}

/// Runs the program: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    forbid_core_dumps();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            ui::error(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Help and version as clap prints them; anything else as every error of this program.
fn usage(error: &clap::Error) -> ExitCode {
    let help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if help || !error.use_stderr() {
        // A closed standard output is the reader's wish.
        let _ = error.print();
        return if help {
            WRONG_USAGE.into()
        } else {
            ExitCode::SUCCESS
        };
    }
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let what = what.trim_start_matches("error: ").trim_end();
    let failure = Failure::new(escape::line(&one_line(what)));
    ui::error(
        &failure.hint("valise --help shows every command, valise COMMAND --help its options"),
    );
    WRONG_USAGE.into()
}

/// What clap says in several lines, in one.
fn one_line(text: &str) -> String {
    let parts: Vec<&str> = text.split('\n').map(str::trim).collect();
    parts.join(" ")
}

/// The exit status after a command line that is wrong.
const WRONG_USAGE: u8 = 2;

fn run(command: Command) -> Outcome<()> {
    let now = command::now();
    match command {
        Command::Send(send) => command::send::run(send, now),
        Command::Seal(seal) => command::seal::run(&seal, now),
        Command::Carry(carry) => command::carry::run(&carry),
        Command::Check(check) => command::check::run(check, now),
        Command::Card(card) => command::card::run(card, now),
        Command::Form => {
            command::form::run();
            Ok(())
        }
        Command::Mechanism(mechanism) => command::block_on(mechanism.run(now)),
        Command::Inbox(inbox) => command::block_on(inbox.run(now)),
        Command::Vault(vault) => vault.run(),
    }
}

/// Neither a debugger of the same user nor a core file shall get at the keys in memory.
fn forbid_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // Both are a second line of defence: where the system refuses, the program goes on.
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
