//! A whole relay: store, keys, endpoint, janitor and socket, started and stopped together. What `serve` runs, and tests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use rustix::io::Errno;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{error, info};
use valise_protocol::id::RelayId;
use zeroize::Zeroizing;

use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::Config;
use crate::desk::{Desk, identity_failure};
use crate::failure::{Failure, Status};
use crate::identity::Identity;
use crate::janitor::Janitor;
use crate::link::Shared;
use crate::service::{Service, settle_all};
use crate::status::StatusSocket;
use crate::stop::{self, Stopper};
use crate::store::{AnyStore, Credential, OpenError, Spool, SpoolConfig};
use crate::{quic, server};

/// The store's directory within the relay's.
pub(crate) const SPOOL: &str = "spool";
/// The store's witness: outside of `spool`, so that a restored spool is recognised.
const WITNESS: &str = "spool.witness";
/// The systemd credential that the store's key file is sealed under, where the service is given one.
const CREDENTIAL: &str = "valise-store";

const LOOK_AT_THE_DISK: &str = "look at the disk (dmesg, smartctl) before starting the relay again";

/// Starts relays.
pub struct Relay;

/// A relay that serves until it is shut down or its store fails. Dropping it stops it without waiting.
pub struct RunningRelay {
    addr: SocketAddr,
    contact: String,
    id: RelayId,
    store: Arc<AnyStore>,
    janitor: Arc<Mutex<Janitor>>,
    stopper: Stopper,
    task: JoinHandle<Result<(), Failure>>,
}

impl Relay {
    /// Starts a relay on the directory's keys and spool. A configured port of 0 takes a free one, and the contact says which.
    ///
    /// # Errors
    /// A [`Failure`] whose status says what is at fault.
    pub async fn start(
        config: Config,
        directory: &Path,
        clock: Clock,
    ) -> Result<RunningRelay, Failure> {
        let store = open_store(directory, &config, Rollback::Refuse).await?;
        Self::start_on(store, config, directory, clock).await
    }

    /// The same on a store that is open already. Where it fails, the store is closed again.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_on(
        store: AnyStore,
        config: Config,
        directory: &Path,
        clock: Clock,
    ) -> Result<RunningRelay, Failure> {
        let store = Arc::new(store);
        if let Err(error) = settle_all(&*store, clock.now()).await {
            return Err(Failure::of(Status::Store, "reading the store", error));
        }
        match Self::assemble(Arc::clone(&store), config, directory, clock) {
            Ok(relay) => Ok(relay),
            Err(failure) => {
                // What kept the relay from starting is what the person must hear of.
                let _ = store.close().await;
                Err(failure)
            }
        }
    }

    fn assemble(
        store: Arc<AnyStore>,
        mut config: Config,
        directory: &Path,
        clock: Clock,
    ) -> Result<RunningRelay, Failure> {
        let socket = quic::bind(config.listen).map_err(|e| listen_failure(&config, &e))?;
        let addr = socket
            .local_addr()
            .map_err(|e| listen_failure(&config, &e))?;
        if config.port == 0 {
            config.port = addr.port();
        }
        let identity = Identity::open(directory, &config, clock.now())
            .map(Arc::new)
            .map_err(|error| identity_failure(&error))?;
        let transport = quic::server_config(&config, Arc::clone(&identity) as _)
            .map_err(|error| Failure::of(Status::Failed, "setting up QUIC", error))?;
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(transport), socket, runtime)
            .map_err(|error| listen_failure(&config, &error))?;
        let janitor = Janitor::new(
            directory,
            Arc::clone(&store),
            Arc::clone(&identity),
            clock.clone(),
        )
        .map_err(|error| {
            Failure::of(Status::Failed, "looking at the clock", error)
                .hint("set the clock; mail stored under a wrong date would be deleted too early")
                .hint("if the clock is right now and was wrong before, remove the file last-seen")
        })?;
        let janitor = Arc::new(Mutex::new(janitor));
        let status = StatusSocket::bind(directory)
            .map_err(|error| Failure::of(Status::Failed, "opening relay.sock", error))?;

        let (stopper, stop) = stop::pair();
        let admission = Arc::new(Admission::new(&config));
        let desk = Arc::new(Desk {
            store: Arc::clone(&store),
            identity: Arc::clone(&identity),
            clock: clock.clone(),
            config: config.clone(),
            running: Some((Arc::clone(&admission), Instant::now())),
        });
        let id = identity.id();
        let contact = identity.contact().to_string();
        let shared = Arc::new(Shared {
            service: Service::new(Arc::clone(&store), &config, stop.clone()),
            identity,
            admission,
            config,
            clock,
            stop: stop.clone(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(server::run(endpoint, shared));
        tasks.spawn(Janitor::run(Arc::clone(&janitor), stop.clone()));
        tasks.spawn(status.run(desk, stop));
        let task = tokio::spawn(supervise(tasks, Arc::clone(&store), stopper.clone()));
        Ok(RunningRelay {
            addr,
            contact,
            id,
            store,
            janitor,
            stopper,
            task,
        })
    }
}

impl RunningRelay {
    /// The address it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its contact: `relay1…,host:port` (spec §2.2).
    pub fn contact(&self) -> &str {
        &self.contact
    }

    /// Its id.
    pub const fn id(&self) -> RelayId {
        self.id
    }

    /// Its store.
    pub fn store(&self) -> &AnyStore {
        &self.store
    }

    /// Does now what the janitor would do within the hour. For tests that advance a simulated clock.
    pub async fn tidy(&self) {
        self.janitor.lock().await.tidy().await;
    }

    /// Resolves when the relay has ended by itself, with the reason. Cancel-safe.
    ///
    /// # Errors
    /// The [`Failure`] that ended it.
    pub async fn ended(&mut self) -> Result<(), Failure> {
        match (&mut self.task).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new(
                Status::Failed,
                "the relay's supervisor failed",
            )),
        }
    }

    /// Stops accepting, lets requests in flight finish, and closes the store in order.
    ///
    /// # Errors
    /// The [`Failure`] with which it ended.
    pub async fn shutdown(mut self) -> Result<(), Failure> {
        self.stopper.stop();
        self.ended().await
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

/// Waits for the end, whatever brings it, and closes the store after everybody who uses it.
async fn supervise(
    mut tasks: JoinSet<()>,
    store: Arc<AnyStore>,
    stopper: Stopper,
) -> Result<(), Failure> {
    let stop = stopper.subscribe();
    let outcome = tokio::select! {
        () = stop.given() => Ok(()),
        reason = store.failed() => {
            error!("the store failed: nothing is acknowledged any more");
            Err(Failure::of(Status::Store, "the store failed", reason).hint(LOOK_AT_THE_DISK))
        }
        // When the relay stops its parts end too, perhaps before the signal is seen here.
        _ = tasks.join_next() => if stop.is_given() {
            Ok(())
        } else {
            Err(Failure::new(Status::Failed, "a part of the relay ended by itself"))
        },
    };
    stopper.stop();
    while tasks.join_next().await.is_some() {}
    let closed = store.close().await;
    info!("stopped");
    outcome.and_then(|()| {
        closed.map_err(|error| Failure::of(Status::Store, "closing the store", error))
    })
}

/// Whether a store may be opened that is older than its witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// No.
    Refuse,
    /// Yes: the operator said so.
    Accept,
}

/// Opens the spool of a directory under its lock.
///
/// # Errors
/// A [`Failure`] that says what to do.
pub async fn open_store(
    directory: &Path,
    config: &Config,
    rollback: Rollback,
) -> Result<AnyStore, Failure> {
    let settings = SpoolConfig {
        credential: credential()?.map(Arc::new),
        witness: Some(directory.join(WITNESS)),
        accept_rollback: rollback == Rollback::Accept,
        ..SpoolConfig::new(directory.join(SPOOL), config.ceilings())
    };
    let opened = tokio::task::spawn_blocking(move || Spool::open(settings)).await;
    let opened = opened.map_err(|_| Failure::new(Status::Failed, "opening the store failed"))?;
    opened
        .map(AnyStore::Spool)
        .map_err(|error| open_failure(&error))
}

/// What the service manager hands to this process alone (systemd.exec(5), "Credentials"); it may come out of a TPM.
fn credential() -> Result<Option<Credential>, Failure> {
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        return Ok(None);
    };
    let secret = match std::fs::read(Path::new(&directory).join(CREDENTIAL)) {
        Ok(secret) => Zeroizing::new(secret),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let what = format!("reading the credential {CREDENTIAL}");
            return Err(Failure::of(Status::Config, &what, error));
        }
    };
    Credential::from_bytes(&secret).map(Some).ok_or_else(|| {
        Failure::new(
            Status::Config,
            format!(
                "the credential {CREDENTIAL} has {} bytes, at least 32 are needed",
                secret.len()
            ),
        )
        .hint("make another: head -c 32 /dev/urandom | systemd-creds encrypt --name=valise-store - FILE")
    })
}

fn open_failure(error: &OpenError) -> Failure {
    let failure = |status| Failure::of(status, "opening the store", error);
    match error {
        OpenError::Locked => failure(Status::Locked)
            .hint("a relay or another command has it open; a running relay answers by itself"),
        OpenError::Rollback { .. } | OpenError::AnotherStore | OpenError::WitnessDamaged => {
            failure(Status::Failed)
                .hint("a spool is never restored from a backup: what was deleted would come back")
                .hint("if you know why, once: valise-relay serve --accept-rollback")
        }
        OpenError::CredentialMissing => failure(Status::Config)
            .hint("the unit must give it: LoadCredentialEncrypted=valise-store (docs/operate.md)")
            .hint("and while the relay runs, commands need none: start it first"),
        OpenError::CredentialWrong => failure(Status::Config)
            .hint("it was sealed on another machine, or the credential was made anew")
            .hint(
                "without the one it was sealed under, the store cannot be read: start an empty one",
            ),
        OpenError::Io(io) if io.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
            failure(Status::Store).hint(LOOK_AT_THE_DISK)
        }
        _ => failure(Status::Failed),
    }
}

fn listen_failure(config: &Config, error: &std::io::Error) -> Failure {
    let failure = Failure::of(
        Status::Listen,
        &format!("listening on {}", config.listen),
        error,
    );
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failure.hint(
            "ports below 1024 take CAP_NET_BIND_SERVICE (the unit in docs/operate.md gives it)",
        ),
        std::io::ErrorKind::AddrInUse => failure.hint("another program listens there: ss -ulpn"),
        _ => failure.hint("without IPv6, write listen = \"0.0.0.0:443\" in relay.toml"),
    }
}
