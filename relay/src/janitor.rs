//! What a relay does by itself: expire mail hourly, destroy the store key nightly, sign its descriptor anew.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{error, info, warn};
use valise_protocol::limits::{DAY, SKEW};
use valise_protocol::time::Timestamp;

use crate::clock::Clock;
use crate::files;
use crate::identity::Identity;
use crate::stop::Stop;
use crate::store::{AnyStore, Store};

/// How often it looks.
const HOUR: Duration = Duration::from_secs(3_600);
/// A relay that was off for longer than this, by its clock, waits a day before it expires anything: the clock may be wrong.
const LONG_OFF: u64 = 30 * DAY;
/// The file in which the relay remembers the last hour it saw.
const LAST_SEEN: &str = "last-seen";

/// Why the clock is not believed at start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClockError {
    /// It is behind a time that the relay has seen already.
    #[error("the clock says {now}, but this relay last ran on {seen}")]
    Behind {
        /// What it says.
        now: Timestamp,
        /// What was seen.
        seen: Timestamp,
    },
    /// The file that remembers cannot be read or written.
    #[error("{LAST_SEEN}: {0}")]
    File(#[from] io::Error),
}

/// Does the relay's own work, when it is due.
pub struct Janitor {
    store: Arc<AnyStore>,
    identity: Arc<Identity>,
    clock: Clock,
    last_seen: PathBuf,
    expire_from: Timestamp,
    rewrapped: Timestamp,
}

impl Janitor {
    /// Checks the clock against the last time that this relay saw.
    ///
    /// # Errors
    /// [`ClockError`].
    pub fn new(
        directory: &Path,
        store: Arc<AnyStore>,
        identity: Arc<Identity>,
        clock: Clock,
    ) -> Result<Self, ClockError> {
        let last_seen = directory.join(LAST_SEEN);
        let now = clock.now();
        let seen = read_last_seen(&last_seen)?.unwrap_or(now);
        if seen.since(now) > SKEW {
            return Err(ClockError::Behind { now, seen });
        }
        let long_off = now.since(seen) > LONG_OFF;
        if long_off {
            warn!(
                "the clock is more than 30 days ahead of the last run: nothing expires for a day"
            );
        }
        let expire_from = if long_off { now.plus(DAY) } else { now };
        let rewrapped = now.minus(DAY);
        Ok(Self {
            store,
            identity,
            clock,
            last_seen,
            expire_from,
            rewrapped,
        })
    }

    /// Works until the relay stops.
    pub async fn run(janitor: Arc<Mutex<Self>>, stop: Stop) {
        let mut hours = interval_at(Instant::now(), HOUR);
        hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.given() => return,
                _ = hours.tick() => janitor.lock().await.tidy().await,
            }
        }
    }

    /// Does what is due. What fails is logged and tried again in an hour; a store that has failed ends the relay by itself.
    pub async fn tidy(&mut self) {
        let now = self.clock.now();
        if self.clock.has_leapt() {
            warn!(
                "the clock leapt by more than an hour and is not followed: set it right, or restart the relay if it is right"
            );
        }
        // A time that is doubted is not written down: the next start would believe it.
        let believed = now >= self.expire_from;
        if believed
            && !self.clock.has_leapt()
            && let Err(error) = write_last_seen(&self.last_seen, now)
        {
            warn!(%error, "the time could not be written down");
        }
        if believed {
            match self.store.expire(now).await {
                Ok(0) => (),
                Ok(records) => info!(records, "expired"),
                Err(error) => error!(%error, "mail could not be expired"),
            }
        }
        if now.day() > self.rewrapped.day() {
            match self.store.rewrap().await {
                Ok(()) => self.rewrapped = now,
                Err(error) => error!(%error, "the store key could not be replaced"),
            }
        }
        match self.identity.renew(now) {
            Ok(false) => (),
            Ok(true) => info!("the descriptor was signed anew"),
            Err(error) => error!(%error, "the descriptor could not be signed anew"),
        }
    }
}

fn read_last_seen(path: &Path) -> io::Result<Option<Timestamp>> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let seconds = text
                .trim()
                .parse()
                .map_err(|_| io::ErrorKind::InvalidData)?;
            Ok(Some(Timestamp::from_seconds(seconds)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_last_seen(path: &Path, now: Timestamp) -> io::Result<()> {
    files::write_private(path, format!("{}\n", now.hour().seconds()).as_bytes())
}
