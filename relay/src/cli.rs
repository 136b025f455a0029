//! `valise-relay`: the operator's commands (docs/operate.md). Results go to stdout, everything else to stderr.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use valise_protocol::id::Address;

use crate::command::{Outcome, examine, initialise, perform, remove, remove_reader, run};
use crate::config::Config;
use crate::failure::{Failure, Status};
use crate::hardening::{harden, hide_panics};
use crate::operation::Operation;
use crate::relay::Rollback;

const EXIT_STATUSES: &str = "\
Exit statuses:
  0  done; for serve: stopped in order
  1  failed for a reason of its own, which the message says
  2  the command line is wrong
  3  the store failed: nothing was acknowledged after that; look at the disk
     before restarting
  4  the address cannot be listened on
  5  relay.toml or a key file is missing, malformed or readable by others
  6  another process has the store open";

/// A relay that holds end-to-end encrypted submissions until they are collected.
#[derive(Debug, Parser)]
#[command(name = "valise-relay", version, about, max_term_width = 80, after_help = EXIT_STATUSES)]
struct Arguments {
    /// The relay's directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/var/lib/valise-relay"
    )]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a directory with keys and relay.toml, and print the relay's contact
    Init(Init),
    /// Serve until SIGTERM or SIGINT
    Serve(Serve),
    /// The inboxes that this relay serves
    #[command(subcommand)]
    Inbox(Inbox),
    /// The mechanisms without an inbox here whose devices may read parcels
    #[command(subcommand)]
    Reader(Reader),
    /// Print totals; nothing about anyone
    Status,
    /// Look for what is wrong or unwise: settings, permissions, disk, swap
    Check,
    /// Announce the next static key and TLS key, or switch to those announced
    Rotate(Rotate),
}

#[derive(Debug, Args)]
struct Init {
    /// The directory to make
    directory: PathBuf,
    /// What clients dial: a DNS name or an IP address
    #[arg(long, default_value = "localhost")]
    host: String,
    /// What clients dial: the UDP port
    #[arg(long, default_value_t = 443)]
    port: u16,
    /// Where to listen, if not on that port of every address
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Who runs the relay, for everybody to read
    #[arg(long, default_value = "")]
    operator: String,
    /// Under whose law, for everybody to read
    #[arg(long, default_value = "")]
    jurisdiction: String,
}

#[derive(Debug, Args)]
struct Serve {
    /// The relay's directory, instead of --dir
    directory: Option<PathBuf>,
    /// Serve a store that is older than the relay remembers: what was deleted since comes back
    #[arg(long)]
    accept_rollback: bool,
}

#[derive(Debug, Subcommand)]
enum Inbox {
    /// Serve a mechanism's inbox from now on
    Allow {
        /// The mechanism's address, valise1…
        address: Address,
    },
    /// Print the inboxes served, and roughly how much each holds
    List,
    /// Stop serving an inbox, and delete the mail it holds
    Remove {
        /// The mechanism's address, valise1…
        address: Address,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Reader {
    /// Let a mechanism's devices read parcels from now on
    Allow {
        /// The mechanism's address, valise1…
        address: Address,
    },
    /// Print the readers allowed
    List,
    /// Allow a reader no more, and delete its card
    Remove {
        /// The mechanism's address, valise1…
        address: Address,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct Rotate {
    /// Switch to the keys announced before, and destroy those in use
    #[arg(long)]
    switch: bool,
    /// Switch although cards that name the keys in use may still be in use themselves
    #[arg(long, requires = "switch")]
    now: bool,
}

impl Init {
    fn config(self) -> Config {
        let default = Config::default();
        let everywhere = SocketAddr::new(default.listen.ip(), self.port);
        Config {
            listen: self.listen.unwrap_or(everywhere),
            host: self.host,
            port: self.port,
            operator: self.operator,
            jurisdiction: self.jurisdiction,
            ..default
        }
    }
}

/// Runs the command line of this process to its exit status.
pub fn main() -> ExitCode {
    harden();
    hide_panics();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let directory = arguments.dir.as_path();
    let outcome = match arguments.command {
        Command::Init(init) => initialise(&init.directory.clone(), &init.config()),
        Command::Serve(serve) => {
            let directory = serve.directory.as_deref().unwrap_or(directory);
            let rollback = if serve.accept_rollback {
                Rollback::Accept
            } else {
                Rollback::Refuse
            };
            run(directory, rollback)
        }
        Command::Inbox(Inbox::Allow { address }) => perform(directory, Operation::Allow(address)),
        Command::Inbox(Inbox::List) => perform(directory, Operation::List),
        Command::Inbox(Inbox::Remove { address, yes }) => remove(directory, address, yes),
        Command::Reader(Reader::Allow { address }) => {
            perform(directory, Operation::AllowReader(address))
        }
        Command::Reader(Reader::List) => perform(directory, Operation::ListReaders),
        Command::Reader(Reader::Remove { address, yes }) => remove_reader(directory, address, yes),
        Command::Status => perform(directory, Operation::Status),
        Command::Check => examine(directory),
        Command::Rotate(Rotate { switch: false, .. }) => perform(directory, Operation::Announce),
        Command::Rotate(Rotate { now: false, .. }) => perform(directory, Operation::Switch),
        Command::Rotate(Rotate { now: true, .. }) => perform(directory, Operation::SwitchNow),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Outcome::Told(status)) => ExitCode::from(status),
        Err(Outcome::Failed(failure)) => {
            eprintln!("{failure}");
            failure.status().into()
        }
    }
}

/// Help and version as clap prints them; anything else as every error of this program.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed stdout is nobody's fault here.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let what = what.trim_start_matches("error: ").trim_end();
    let what = what
        .split('\n')
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ");
    let failure = Failure::new(Status::Usage, what).hint("valise-relay --help shows every command");
    eprintln!("{failure}");
    Status::Usage.into()
}
