//! Where an operator's [`Operation`] is done: on the store and keys, the same whether a relay is running or not.

use std::fmt::{self, Display, Write};
use std::sync::Arc;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tokio::time::Instant;
use valise_protocol::id::Address;

use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Failure, Status};
use crate::identity::Identity;
use crate::keys::IdentityError;
use crate::operation::Operation;
use crate::store::{AnyStore, Store, StoreError};

/// What an operation works on.
pub struct Desk {
    /// Mail.
    pub store: Arc<AnyStore>,
    /// Keys.
    pub identity: Arc<Identity>,
    /// The time.
    pub clock: Clock,
    /// Ceilings.
    pub config: Config,
    /// Connections, where a relay is running.
    pub running: Option<(Arc<Admission>, Instant)>,
}

impl Desk {
    /// Does it; gives what to print, with its line ends.
    ///
    /// # Errors
    /// A [`Failure`] to print instead.
    pub async fn perform(&self, operation: Operation) -> Result<String, Failure> {
        match operation {
            Operation::Status => self.status().await,
            Operation::Allow(address) => {
                self.store
                    .allow_inbox(address)
                    .await
                    .map_err(|e| store_failure(&e))?;
                Ok(format!("{address} is served\n"))
            }
            Operation::List => self.list().await,
            Operation::Count(address) => Ok(format!("{}\n", self.held(address).await?)),
            Operation::Remove(address) => {
                self.held(address).await?;
                let deleted = self
                    .store
                    .remove_inbox(address)
                    .await
                    .map_err(|e| store_failure(&e))?;
                Ok(format!(
                    "{address} is no longer served; {deleted} envelopes were deleted\n"
                ))
            }
            Operation::AllowReader(address) => {
                let allowed = self.store.allow_reader(address).await;
                allowed.map_err(|error| store_failure(&error))?;
                Ok(format!("{address} may read parcels\n"))
            }
            Operation::ListReaders => self.list_readers().await,
            Operation::RemoveReader(address) => self.remove_reader(address).await,
            Operation::Announce => self.announce(),
            Operation::Switch => self.switch_when_safe(),
            Operation::SwitchNow => self.switch(),
        }
    }

    async fn status(&self) -> Result<String, Failure> {
        let usage = self
            .store
            .usage()
            .await
            .map_err(|error| store_failure(&error))?;
        let inboxes = self
            .store
            .inboxes()
            .await
            .map_err(|error| store_failure(&error))?
            .len();
        let held = usage.inbox_envelopes + usage.return_envelopes;
        let percent = |held: u64, most: u64| held.saturating_mul(100) / most.max(1);
        let mail = percent(held, self.config.store_envelopes);
        let parcels = percent(usage.parcels, self.config.store_parcels);
        let mut lines = Lines::default();
        match &self.running {
            None => lines.add("relay", "not running"),
            Some((admission, since)) => {
                let load = admission.load();
                lines.add(
                    "relay",
                    format!("running for {}", age(since.elapsed().as_secs())),
                );
                lines.add("connections", Coarse(load.connections as u64));
                lines.add("links", Coarse(load.links as u64));
            }
        }
        lines.add("inboxes served", inboxes);
        lines.add("readers allowed", self.readers().await?.len());
        lines.add("envelopes in inboxes", Coarse(usage.inbox_envelopes));
        lines.add(
            "envelopes in return mailboxes",
            Coarse(usage.return_envelopes),
        );
        lines.add("parcels", Coarse(usage.parcels));
        lines.add(
            "store",
            format!("{mail}% of its ceiling, parcels {parcels}%"),
        );
        lines.add(
            "disk",
            format!("{} MiB", usage.disk_bytes.div_ceil(1 << 20)),
        );
        lines.add("damaged records set aside", usage.damaged);
        lines.add("descriptor valid until", self.identity.valid_until());
        match self.identity.safe_to_switch() {
            None => lines.add("next keys", "none announced"),
            Some(day) => lines.add("next keys", format!("announced, safe to switch from {day}")),
        }
        let leapt = self.clock.has_leapt();
        let clock = if leapt {
            "leapt and is not followed: set it right or restart"
        } else {
            "steady"
        };
        lines.add("clock", clock);
        Ok(lines.0)
    }

    async fn list(&self) -> Result<String, Failure> {
        let inboxes = self
            .store
            .inboxes()
            .await
            .map_err(|error| store_failure(&error))?;
        let mut text = String::new();
        for (address, envelopes) in inboxes {
            let _ = writeln!(text, "{address}  {} envelopes", Coarse(envelopes));
        }
        Ok(text)
    }

    async fn readers(&self) -> Result<Vec<Address>, Failure> {
        let readers = self.store.readers().await;
        readers.map_err(|error| store_failure(&error))
    }

    async fn list_readers(&self) -> Result<String, Failure> {
        let readers = self.readers().await?.into_iter();
        Ok(readers.map(|address| format!("{address}\n")).collect())
    }

    async fn remove_reader(&self, address: Address) -> Result<String, Failure> {
        let removed = self.store.remove_reader(address).await;
        if removed.map_err(|error| store_failure(&error))? {
            Ok(format!("{address} may not read parcels any more\n"))
        } else {
            Err(unknown_reader())
        }
    }

    async fn held(&self, address: Address) -> Result<u64, Failure> {
        let inboxes = self
            .store
            .inboxes()
            .await
            .map_err(|error| store_failure(&error))?;
        let found = inboxes.into_iter().find(|(served, _)| *served == address);
        found.map(|(_, envelopes)| envelopes).ok_or_else(|| {
            Failure::new(Status::Failed, "this relay does not serve that inbox")
                .hint("list those it serves: valise-relay inbox list")
        })
    }

    fn announce(&self) -> Result<String, Failure> {
        let now = self.clock.now();
        let safe = self.identity.announce_next(&mut UnwrapErr(SysRng), now);
        let safe = safe.map_err(|error| identity_failure(&error))?;
        Ok(format!(
            "the next static key and TLS key are announced from now on, and accepted for\n\
             links. switch from {safe} on: by then every card that names the keys before\n\
             has run out. clients that dial this relay read the keys from its certificate\n\
             and would follow at once.\n\
             next: valise-relay rotate --switch\n"
        ))
    }

    fn switch_when_safe(&self) -> Result<String, Failure> {
        match self.identity.safe_to_switch() {
            Some(day) if self.clock.now() < day => Err(Failure::new(
                Status::Failed,
                format!("cards that name the keys in use may be good until {day}"),
            )
            .hint("wait until then, or switch anyway: valise-relay rotate --switch --now")),
            _ => self.switch(),
        }
    }

    fn switch(&self) -> Result<String, Failure> {
        self.identity
            .switch(self.clock.now())
            .map_err(|error| identity_failure(&error))?;
        Ok("the next keys are in use, and the keys before are destroyed\n".into())
    }
}

/// What a store's error is to a person.
pub fn store_failure(error: &StoreError) -> Failure {
    match error {
        StoreError::UnknownInbox => {
            Failure::new(Status::Failed, "this relay does not serve that inbox")
                .hint("list those it serves: valise-relay inbox list")
        }
        StoreError::InboxServed => Failure::new(
            Status::Failed,
            "this relay serves the inbox of that mechanism, so that its devices may read parcels already",
        )
        .hint("list the inboxes it serves: valise-relay inbox list"),
        StoreError::Closed(_) => Failure::of(Status::Store, "the store", error)
            .hint("look at the disk (dmesg, smartctl) before starting the relay again"),
        _ => Failure::of(Status::Failed, "the store", error),
    }
}

/// What is said of an address that is not a reader's.
pub fn unknown_reader() -> Failure {
    Failure::new(
        Status::Failed,
        "this relay has not allowed that mechanism as a reader",
    )
    .hint("list those it has allowed: valise-relay reader list")
}

/// What an identity's error is to a person.
pub fn identity_failure(error: &IdentityError) -> Failure {
    match error {
        IdentityError::NoNext => Failure::of(Status::Failed, "rotating", error)
            .hint("announce one first: valise-relay rotate"),
        IdentityError::NextExists => Failure::of(Status::Failed, "rotating", error)
            .hint("valise-relay status says from when it is safe to switch")
            .hint("then switch: valise-relay rotate --switch"),
        IdentityError::Exists => Failure::of(Status::Config, "making keys", error)
            .hint("choose an empty directory: a relay that loses its keys loses its contact"),
        _ => Failure::of(Status::Config, "the relay's keys", error)
            .hint("they lie in the relay's directory, readable by its user only (chmod 600)"),
    }
}

/// A count that does not tell single events apart.
struct Coarse(u64);

impl Display for Coarse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            1..10 => f.write_str("fewer than 10"),
            count => {
                let unit = 10_u64.pow(count.ilog10());
                write!(f, "{} or more", count / unit * unit)
            }
        }
    }
}

/// A duration in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..3_600 => "less than an hour".into(),
        3_600..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `name: value` lines.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}: {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_do_not_tell_single_events_apart() {
        for (count, text) in [
            (0, "0"),
            (1, "fewer than 10"),
            (9, "fewer than 10"),
            (10, "10 or more"),
            (987, "900 or more"),
        ] {
            assert_eq!(Coarse(count).to_string(), text);
        }
    }
}
