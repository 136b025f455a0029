//! `relay.toml`: what an operator decides (docs/operate.md, "relay.toml").

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use valise_protocol::contact::is_host;
use valise_protocol::limits::{ENVELOPE, HANDSHAKE_SECONDS, IDLE_SECONDS, LINKS, PARCEL};

use crate::store::Ceilings;

/// A whole `relay.toml`. Unknown keys are errors: a misspelt limit must not become no limit. A key that is left out has
/// the value of [`Config::default`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The UDP address and port to listen on.
    pub listen: SocketAddr,
    /// What clients dial: a DNS name or an IP address (spec §2.2).
    pub host: String,
    /// What clients dial: the UDP port.
    pub port: u16,
    /// Who runs this relay, as its descriptor says it: at most 200 bytes.
    pub operator: String,
    /// Under whose law it stands, as its descriptor says it: at most 64 bytes.
    pub jurisdiction: String,
    /// The shortest time that mail is kept if nobody collects it, in days.
    pub retention_days_min: u16,
    /// The longest, in days.
    pub retention_days_max: u16,
    /// Envelopes in one inbox.
    pub inbox_envelopes: u32,
    /// Envelopes in one return mailbox.
    pub return_envelopes: u32,
    /// Envelopes in the whole store; return mailboxes together get a tenth of it.
    pub store_envelopes: u64,
    /// Parcels on the account of one inbox.
    pub inbox_parcels: u32,
    /// Parcels in the whole store.
    pub store_parcels: u64,
    /// Connections at the same time.
    pub connections: usize,
    /// Links at the same time, over all connections.
    pub links: usize,
    /// Links at the same time in one connection.
    pub links_per_connection: u8,
    /// Until a client must have finished a link's handshake, in seconds.
    pub handshake_seconds: u64,
    /// How long an established link may be idle, in seconds.
    pub idle_seconds: u64,
    /// TLS handshakes in flight from which on an address must prove itself first (Retry).
    pub retry_handshakes: usize,
    /// Connections from which on the same.
    pub retry_connections: usize,
    /// How long links in flight may take to finish when the relay is stopped, in seconds.
    pub drain_seconds: u64,
    /// How much is logged.
    pub log: LogLevel,
}

/// How much is logged: never a mailbox, a key or an address, at any level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What ends the relay.
    Error,
    /// What somebody should look at.
    Warn,
    /// Starting, stopping, nightly work.
    Info,
    /// How links end, by kind.
    Debug,
    /// The same in more detail.
    Trace,
}

/// What is wrong with a `relay.toml`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It is not TOML, names an unknown key, or gives a value of another type.
    #[error("{0}")]
    Parse(#[from] toml::de::Error),
    /// A value is out of its range.
    #[error("{key} must be {expected}")]
    Range {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Checks the ranges that types do not.
    ///
    /// # Errors
    /// [`ConfigError::Range`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let Self {
            retention_days_min: min,
            retention_days_max: max,
            ..
        } = *self;
        let allowed = |fits, key, expected| {
            if fits {
                Ok(())
            } else {
                Err(ConfigError::Range { key, expected })
            }
        };
        let text =
            |text: &str, longest| text.len() <= longest && !text.chars().any(char::is_control);
        let host = is_host(&self.host);
        allowed(
            host,
            "host",
            "a DNS name, an IPv4 address, or an IPv6 address in brackets",
        )?;
        allowed(
            text(&self.operator, 200),
            "operator",
            "at most 200 bytes in one line",
        )?;
        allowed(
            text(&self.jurisdiction, 64),
            "jurisdiction",
            "at most 64 bytes in one line",
        )?;
        allowed(
            (1..=365).contains(&min),
            "retention_days_min",
            "from 1 to 365 days",
        )?;
        let above = max > min && max <= 366;
        allowed(
            above,
            "retention_days_max",
            "above retention_days_min and at most 366 days",
        )?;
        allowed(self.inbox_envelopes > 0, "inbox_envelopes", "at least 1")?;
        allowed(self.return_envelopes > 0, "return_envelopes", "at least 1")?;
        allowed(self.store_envelopes >= 10, "store_envelopes", "at least 10")?;
        allowed(
            self.store_parcels <= MOST_PARCELS,
            "store_parcels",
            "at most 16777216",
        )?;
        allowed(self.connections > 0, "connections", "at least 1")?;
        allowed(self.links > 0, "links", "at least 1")?;
        let links = (3..=LINKS).contains(&usize::from(self.links_per_connection));
        allowed(
            links,
            "links_per_connection",
            "from 3, which a session takes, to 16",
        )?;
        allowed(
            (1..=60).contains(&self.handshake_seconds),
            "handshake_seconds",
            "from 1 to 60",
        )?;
        let idle = (110..=3_600).contains(&self.idle_seconds);
        allowed(
            idle,
            "idle_seconds",
            "from 110, as a poll may wait 100 seconds, to 3600",
        )?;
        allowed(self.drain_seconds <= 600, "drain_seconds", "at most 600")
    }

    /// The ceilings that the store keeps.
    pub const fn ceilings(&self) -> Ceilings {
        Ceilings {
            inbox_envelopes: self.inbox_envelopes,
            return_envelopes: self.return_envelopes,
            all_return_envelopes: self.store_envelopes / 10,
            all_envelopes: self.store_envelopes,
            inbox_parcels: self.inbox_parcels,
            all_parcels: self.store_parcels,
        }
    }

    /// What a full store takes on the disk, in bytes, a tenth for its bookkeeping included.
    pub const fn store_bytes(&self) -> u64 {
        let mail = self.store_envelopes.saturating_mul(ENVELOPE as u64);
        let parcels = self.store_parcels.saturating_mul(PARCEL as u64);
        mail.saturating_add(parcels)
            .saturating_div(10)
            .saturating_mul(11)
    }

    /// Until a client must have finished a link's handshake.
    pub const fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds)
    }

    /// How long an established link may be idle.
    pub const fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    /// How long links in flight may take to finish when the relay is stopped.
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

impl LogLevel {
    /// As relay.toml writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0_u16; 8], 443)),
            host: "localhost".into(),
            port: 443,
            operator: String::new(),
            jurisdiction: String::new(),
            retention_days_min: 23,
            retention_days_max: 37,
            inbox_envelopes: 16_384,
            return_envelopes: 64,
            store_envelopes: 131_072,
            inbox_parcels: 32_768,
            store_parcels: 65_536,
            connections: 4_096,
            links: 2_048,
            links_per_connection: 16,
            handshake_seconds: HANDSHAKE_SECONDS,
            idle_seconds: IDLE_SECONDS,
            retry_handshakes: 64,
            retry_connections: 1_024,
            drain_seconds: 15,
            log: LogLevel::Info,
        }
    }
}

/// What fills 4 TiB, and with its index 2.5 GiB of memory.
const MOST_PARCELS: u64 = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = Config::parse("inbox_envelope = 5").unwrap_err().to_string();
        assert!(error.contains("`inbox_envelope`"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_an_error_that_names_its_key() {
        for (text, key) in [
            ("retention_days_min = 0", "retention_days_min"),
            ("retention_days_max = 23", "retention_days_max"),
            ("store_parcels = 16777217", "store_parcels"),
            ("links_per_connection = 17", "links_per_connection"),
            ("idle_seconds = 100", "idle_seconds"),
            ("host = \"\"", "host"),
            ("operator = \"a\\nb\"", "operator"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
