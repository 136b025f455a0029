//! `valise-relay`: the operator's commands (docs/operate.md). Results go to stdout, everything else to stderr.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask,
};
use sd_notify::NotifyState;
use std::net::SocketAddr;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use valise_protocol::id::Address;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, LogLevel};
use crate::failure::{Failure, Status};
use crate::identity::Identity;
use crate::operation::{Desk, Operation, identity_failure};
use crate::relay::{Relay, Rollback, RunningRelay, open_store};
use crate::{check, files, status};

const CONFIG: &str = "relay.toml";
const EXIT_STATUSES: &str = "\
Exit statuses:
  0  done; for serve: stopped in order
  1  failed for a reason of its own, which the message says
  2  the command line is wrong
  3  the store failed: nothing was acknowledged after that; look at the disk before restarting
  4  the address cannot be listened on
  5  relay.toml or a key file is missing, malformed or readable by others
  6  another process has the store open";

/// A relay that holds end-to-end encrypted submissions until they are collected.
#[derive(Debug, Parser)]
#[command(name = "valise-relay", version, about, after_help = EXIT_STATUSES)]
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

#[derive(Debug, Args)]
struct Rotate {
    /// Switch to the keys announced before, and destroy those in use
    #[arg(long)]
    switch: bool,
    /// Switch although cards that name the keys in use may still be in use themselves
    #[arg(long, requires = "switch")]
    now: bool,
}

/// Runs the command line of this process to its exit status.
pub fn main() -> ExitCode {
    harden();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let directory = arguments.dir.as_path();
    let outcome = match arguments.command {
        Command::Init(init) => initialise(&init),
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
    let failure = Failure::new(Status::Usage, what).hint("valise-relay --help shows every command");
    eprintln!("{failure}");
    Status::Usage.into()
}

/// How a command went wrong.
enum Outcome {
    /// The running relay said it, and it is printed.
    Told(u8),
    /// This process says it.
    Failed(Failure),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Keeps memory out of core dumps and debuggers, and new files to their owner. Where the system does not let it, `check` says so.
fn harden() {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    // What a panic says could name a mailbox; where it happened cannot.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        eprintln!("valise-relay: error: a defect in this program, at {place}");
    }));
}

fn initialise(init: &Init) -> Result<(), Outcome> {
    let directory = &init.directory;
    let doing = format!("making {}", directory.display());
    let failed = |error: io::Error| Failure::of(Status::Failed, &doing, error);
    let default = Config::default();
    let config = Config {
        listen: init
            .listen
            .unwrap_or_else(|| SocketAddr::new(default.listen.ip(), init.port)),
        host: init.host.clone(),
        port: init.port,
        operator: init.operator.clone(),
        jurisdiction: init.jurisdiction.clone(),
        ..default
    };
    config
        .check()
        .map_err(|error| Failure::of(Status::Usage, &doing, error))?;
    if directory.join(CONFIG).exists() {
        return Err(Failure::new(
            Status::Failed,
            format!("{doing}: there is a {CONFIG} already"),
        )
        .hint("choose another directory, or serve this one")
        .into());
    }
    files::create_private_directory(directory).map_err(failed)?;
    let now = Clock::system().now();
    Identity::create(directory, &mut UnwrapErr(SysRng), now).map_err(|e| identity_failure(&e))?;
    let identity = Identity::open(directory, &config, now).map_err(|e| identity_failure(&e))?;
    files::write_private(&directory.join(CONFIG), config.to_toml().as_bytes()).map_err(failed)?;
    println!("{}", identity.contact());
    eprintln!(
        "valise-relay: hint: look through {}",
        directory.join(CONFIG).display()
    );
    eprintln!(
        "valise-relay: hint: then valise-relay --dir {} check",
        directory.display()
    );
    Ok(())
}

fn run(directory: &Path, rollback: Rollback) -> Result<(), Outcome> {
    let config = read_config(directory)?;
    start_log(config.log);
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Status::Failed, "starting threads", error))?;
    Ok(runtime.block_on(serve(config, directory, rollback))?)
}

async fn serve(config: Config, directory: &Path, rollback: Rollback) -> Result<(), Failure> {
    let signals = |kind| {
        signal(kind).map_err(|error| Failure::of(Status::Failed, "listening for signals", error))
    };
    let (mut terminate, mut interrupt) = (
        signals(SignalKind::terminate())?,
        signals(SignalKind::interrupt())?,
    );
    let store = open_store(directory, &config, rollback).await?;
    let mut relay = Relay::start_on(store, config, directory, Clock::system()).await?;
    announce(&relay);
    tokio::select! {
        ended = relay.ended() => return ended,
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
    notify(&[NotifyState::Stopping]);
    relay.shutdown().await
}

fn announce(relay: &RunningRelay) {
    println!(
        "valise-relay: listening on {}, contact {}",
        relay.addr(),
        relay.contact()
    );
    // A closed stdout is no reason not to serve.
    let _ = io::stdout().flush();
    notify(&[NotifyState::Ready]);
}

/// Tells systemd, where it started this. It is no reason to end when nobody listens.
fn notify(state: &[NotifyState]) {
    let _ = sd_notify::notify(state);
}

/// Logs what this crate says, and nothing of the libraries below it: those would name network addresses.
fn start_log(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt::layer()
        .without_time()
        .with_ansi(false)
        .with_writer(io::stderr);
    // Fails when a log was started before: by a test, in the same process.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(Targets::new().with_target("valise_relay", level))
        .try_init();
}

/// Does it through the running relay, or on the store itself when none runs.
fn perform(directory: &Path, operation: Operation) -> Result<(), Outcome> {
    print!("{}", ask(directory, operation)?);
    Ok(())
}

fn ask(directory: &Path, operation: Operation) -> Result<String, Outcome> {
    let asked = status::ask(directory, operation)
        .map_err(|error| Failure::of(Status::Failed, "asking the running relay", error))?;
    match asked {
        Some(Ok(text)) => Ok(text),
        Some(Err((status, text))) => {
            eprint!("{text}");
            Err(Outcome::Told(status))
        }
        None => Ok(small_runtime()?.block_on(alone(directory, operation))?),
    }
}

async fn alone(directory: &Path, operation: Operation) -> Result<String, Failure> {
    let config = read_config(directory)?;
    let clock = Clock::system();
    let identity =
        Identity::open(directory, &config, clock.now()).map_err(|e| identity_failure(&e))?;
    let store = open_store(directory, &config, Rollback::Refuse)
        .await?
        .into();
    let desk = Desk {
        store,
        identity: identity.into(),
        clock,
        config,
        running: None,
    };
    let text = desk.perform(operation).await?;
    desk.store
        .close()
        .await
        .map_err(|error| Failure::of(Status::Store, "closing the store", error))?;
    Ok(text)
}

fn remove(directory: &Path, address: Address, yes: bool) -> Result<(), Outcome> {
    let held = ask(directory, Operation::Count(address))?;
    eprintln!(
        "valise-relay: {address} holds {} envelopes; they will be deleted for good",
        held.trim()
    );
    if !yes && !confirmed()? {
        return Err(Failure::new(Status::Failed, "nothing was removed").into());
    }
    perform(directory, Operation::Remove(address))
}

fn confirmed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Status::Usage, "there is nobody to ask").hint("say --yes"));
    }
    eprint!("Remove the inbox? Type yes: ");
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::of(Status::Failed, "reading the answer", error))?;
    Ok(answer.trim() == "yes")
}

fn examine(directory: &Path) -> Result<(), Outcome> {
    let config = read_config(directory)?;
    let findings = check::check(directory, &config, Clock::system().now())?;
    print!("{}", findings.text());
    if findings.warnings() > 0 {
        eprintln!(
            "valise-relay: hint: {} of these deserve a thought",
            findings.warnings()
        );
    }
    Ok(())
}

fn read_config(directory: &Path) -> Result<Config, Failure> {
    let path = directory.join(CONFIG);
    Config::read(&path).map_err(|error| {
        let failure = Failure::of(
            Status::Config,
            &path.display().to_string(),
            error.to_string().trim(),
        );
        match error {
            ConfigError::Read(_) => failure.hint(format!(
                "name the directory with --dir, or make one: valise-relay init {}",
                directory.display()
            )),
            _ => failure.hint("docs/operate.md lists every key"),
        }
    })
}

fn small_runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Status::Failed, "starting", error))
}
