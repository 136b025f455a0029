//! What each of the operator's commands does (docs/operate.md, "Commands").

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sd_notify::NotifyState;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;
use valise_protocol::id::Address;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::desk::{Desk, identity_failure, unknown_reader};
use crate::failure::{Failure, Status};
use crate::hardening::{Confinement, confine};
use crate::identity::Identity;
use crate::operation::Operation;
use crate::relay::{Relay, Rollback, RunningRelay, open_store};
use crate::{check, files, log, status};

const CONFIG: &str = "relay.toml";

/// How a command went wrong.
pub(crate) enum Outcome {
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

/// `init`: a directory with keys and relay.toml.
pub(crate) fn initialise(directory: &Path, config: &Config) -> Result<(), Outcome> {
    let doing = format!("making {}", directory.display());
    let failed = |error: io::Error| Failure::of(Status::Failed, &doing, error);
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
    let identity = Identity::open(directory, config, now).map_err(|e| identity_failure(&e))?;
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

/// `serve`.
pub(crate) fn run(directory: &Path, rollback: Rollback) -> Result<(), Outcome> {
    let config = read_config(directory)?;
    log::start(config.log, io::stderr);
    // Before there are other threads: each inherits what the one that started it may do.
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    if confine(directory, credentials.as_ref().map(Path::new)) == Confinement::None {
        warn!("this kernel does not confine the process to its directory (Landlock)");
    }
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

/// Does it through the running relay, or on the store itself when none runs.
pub(crate) fn perform(directory: &Path, operation: Operation) -> Result<(), Outcome> {
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
    let outcome = desk.perform(operation).await;
    let closed = desk.store.close().await;
    let text = outcome?;
    closed.map_err(|error| Failure::of(Status::Store, "closing the store", error))?;
    Ok(text)
}

/// `inbox remove`: says what it deletes, and asks.
pub(crate) fn remove(directory: &Path, address: Address, yes: bool) -> Result<(), Outcome> {
    let held = ask(directory, Operation::Count(address))?;
    eprintln!(
        "valise-relay: {address} holds {} envelopes; they will be deleted for good",
        held.trim()
    );
    if !yes && !confirmed("Remove the inbox?")? {
        return Err(Failure::new(Status::Failed, "nothing was removed").into());
    }
    perform(directory, Operation::Remove(address))
}

/// `reader remove`: says what that means, and asks.
pub(crate) fn remove_reader(directory: &Path, address: Address, yes: bool) -> Result<(), Outcome> {
    let readers = ask(directory, Operation::ListReaders)?;
    let address_line = address.to_string();
    if !readers.lines().any(|line| line == address_line) {
        return Err(unknown_reader().into());
    }
    eprintln!(
        "valise-relay: the devices of {address} will not get parcels here any more; its card will be deleted"
    );
    if !yes && !confirmed("Remove the reader?")? {
        return Err(Failure::new(Status::Failed, "nothing was removed").into());
    }
    perform(directory, Operation::RemoveReader(address))
}

fn confirmed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Status::Usage, "there is nobody to ask").hint("say --yes"));
    }
    eprint!("{question} Type yes: ");
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::of(Status::Failed, "reading the answer", error))?;
    Ok(answer.trim() == "yes")
}

/// `check`.
pub(crate) fn examine(directory: &Path) -> Result<(), Outcome> {
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
