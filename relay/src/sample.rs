//! The relay.toml that `init` writes: every key with its meaning and unit.

use crate::config::Config;

impl Config {
    /// The file that `init` writes: every key with its meaning and unit.
    pub fn to_toml(&self) -> String {
        let Self {
            listen,
            port,
            retention_days_min,
            retention_days_max,
            inbox_envelopes,
            return_envelopes,
            store_envelopes,
            inbox_parcels,
            store_parcels,
            connections,
            links,
            links_per_connection,
            handshake_seconds,
            idle_seconds,
            retry_handshakes,
            retry_connections,
            drain_seconds,
            ..
        } = self;
        let [host, operator, jurisdiction] = [&self.host, &self.operator, &self.jurisdiction]
            .map(|text| toml::Value::from(text.as_str()));
        let log = self.log.name();
        format!(
            r#"# Settings of a Valise relay. An unknown key is an error. After a change: valise-relay check, then restart.

# Where to listen: address and UDP port. "[::]" means every address, IPv4 too; without IPv6 write "0.0.0.0:443".
listen = "{listen}"

# What clients dial, and what the contact line says: a DNS name or an IP address, and the UDP port.
host = {host}
port = {port}

# Who runs this relay (at most 200 bytes) and under whose law (at most 64 bytes). Everybody can read both.
operator = {operator}
jurisdiction = {jurisdiction}

# How long mail is kept if nobody collects it, in days: drawn for each envelope between the two, so that the date of
# its end does not tell the date of its arrival.
retention_days_min = {retention_days_min}
retention_days_max = {retention_days_max}

# Ceilings, in envelopes of 64 KiB. A full mailbox or store refuses deposits and goes on serving and deleting.
# Return mailboxes together get a tenth of the store.
inbox_envelopes = {inbox_envelopes}
return_envelopes = {return_envelopes}
store_envelopes = {store_envelopes}

# The same in parcels of 256 KiB, of which attachments are made: those on the account of one inbox, and all. 0 takes no
# attachments.
inbox_parcels = {inbox_parcels}
store_parcels = {store_parcels}

# Connections at the same time; links at the same time, over all connections and in one (3 to 16).
connections = {connections}
links = {links}
links_per_connection = {links_per_connection}

# Seconds until a client must have finished a link's handshake, and for which an established link may be idle.
handshake_seconds = {handshake_seconds}
idle_seconds = {idle_seconds}

# From so many handshakes in flight, or so many connections, a new address must first prove that it is one (QUIC Retry).
# 0 means always.
retry_handshakes = {retry_handshakes}
retry_connections = {retry_connections}

# Seconds that requests in flight may take to finish when the relay is stopped.
drain_seconds = {drain_seconds}

# How much is logged: "error", "warn", "info", "debug" or "trace". No level logs a mailbox, a key or a network address.
log = "{log}"
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_parses_and_equals_the_defaults() {
        let config = Config::default();
        assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn the_sample_names_every_key_and_comments_every_group() {
        let sample = Config::default().to_toml();
        let keys = sample
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains(" = "));
        assert_eq!(keys.count(), 21);
        for group in sample.split("\n\n") {
            assert!(group.starts_with('#'), "{group}");
        }
    }

    #[test]
    fn texts_are_quoted_so_that_they_cannot_end_the_line() {
        let config = Config {
            operator: "A \"B\" \\ C".into(),
            ..Config::default()
        };
        assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
    }
}
