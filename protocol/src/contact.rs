//! Contact lines: where a mechanism is, and by which way one gets there (spec §2.2).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

use crate::id::{Address, NameError, RelayId};
use crate::limits::RELAYS;

/// The longest host name, in bytes.
const HOST: usize = 253;

/// A relay: its id, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayContact {
    id: RelayId,
    host: String,
    port: u16,
}

/// One way to a mechanism: the relay that holds its inbox, and the ingress through which that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The relay that holds the inbox.
    pub relay: RelayContact,
    /// The relay dialled first; `None` where the other is dialled directly.
    pub ingress: Option<RelayContact>,
}

/// What a mechanism publishes for people to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    address: Address,
    ways: Vec<Way>,
}

/// Why a text is not a contact.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContactError {
    /// There is white space in it: it was broken when copied.
    #[error("there is a space or line break in it")]
    WhiteSpace,
    /// The address is wrong.
    #[error("in the address: {0}")]
    Address(NameError),
    /// A relay's id is wrong.
    #[error("in relay {number}: {error}")]
    Relay {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        error: NameError,
    },
    /// A relay has no host and port, or wrong ones.
    #[error("relay {0} needs a host and a port, as in relay1…,host:port")]
    Place(usize),
    /// It names no relay.
    #[error("it names no relay: it ends after the address")]
    NoRelay,
    /// It names too many.
    #[error("it names more than {RELAYS} relays")]
    TooManyRelays,
}

impl RelayContact {
    /// A relay at a host (a DNS name, an IPv4 address, or an IPv6 address in brackets) and port; `None` where either is not one.
    pub fn new(id: RelayId, host: &str, port: u16) -> Option<Self> {
        (is_host(host) && port != 0).then(|| Self {
            id,
            host: host.to_owned(),
            port,
        })
    }

    /// Its id.
    pub const fn id(&self) -> RelayId {
        self.id
    }

    /// Its host, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Reads one, the `number`th of a contact.
    fn read(text: &str, number: usize) -> Result<Self, ContactError> {
        let (id, place) = text.split_once(',').ok_or(ContactError::Place(number))?;
        let id = id
            .parse()
            .map_err(|error| ContactError::Relay { number, error })?;
        let (host, digits) = place.rsplit_once(':').ok_or(ContactError::Place(number))?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        let port = digits
            .parse()
            .ok()
            .filter(|_| plain)
            .ok_or(ContactError::Place(number))?;
        Self::new(id, host, port).ok_or(ContactError::Place(number))
    }
}

/// Whether a text is a host of spec §2.2.
pub fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    }
    let digits_and_dots = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if digits_and_dots {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= HOST && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

impl Contact {
    /// A contact of at least one way and at most eight; `None` otherwise.
    pub fn new(address: Address, ways: Vec<Way>) -> Option<Self> {
        (1..=RELAYS)
            .contains(&ways.len())
            .then_some(Self { address, ways })
    }

    /// The mechanism's address.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The ways to it, the preferred one first.
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }
}

/// `relay1…,host:port`.
impl fmt::Display for RelayContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}:{}", self.id, self.host, self.port)
    }
}

impl FromStr for RelayContact {
    type Err = ContactError;

    fn from_str(text: &str) -> Result<Self, ContactError> {
        Self::read(whole(text)?, 1)
    }
}

/// `valise1…@relay1…,host:port`, and further ways behind further `@`.
impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        for way in &self.ways {
            write!(f, "@{}", way.relay)?;
            if let Some(ingress) = &way.ingress {
                write!(f, "/{ingress}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Contact {
    type Err = ContactError;

    fn from_str(text: &str) -> Result<Self, ContactError> {
        let mut parts = whole(text)?.split('@');
        let address = parts
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(ContactError::Address)?;
        let mut ways = Vec::new();
        for (at, part) in parts.enumerate() {
            if at == RELAYS {
                return Err(ContactError::TooManyRelays);
            }
            let (relay, ingress) = part
                .split_once('/')
                .map_or((part, None), |(relay, way)| (relay, Some(way)));
            ways.push(Way {
                relay: RelayContact::read(relay, at + 1)?,
                ingress: ingress
                    .map(|way| RelayContact::read(way, at + 1))
                    .transpose()?,
            });
        }
        if ways.is_empty() {
            Err(ContactError::NoRelay)
        } else {
            Ok(Self { address, ways })
        }
    }
}

fn whole(text: &str) -> Result<&str, ContactError> {
    let text = text.trim();
    if text.contains(char::is_whitespace) {
        Err(ContactError::WhiteSpace)
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(byte: u8, host: &str) -> RelayContact {
        RelayContact::new(RelayId::from_bytes([byte; 32]), host, 443).unwrap()
    }

    fn contact() -> Contact {
        let ways = vec![
            Way {
                relay: relay(1, "mail.example.org"),
                ingress: Some(relay(2, "192.0.2.1")),
            },
            Way {
                relay: relay(3, "[2001:db8::1]"),
                ingress: None,
            },
        ];
        Contact::new(Address::from_bytes([9; 32]), ways).unwrap()
    }

    #[test]
    fn a_contact_survives_its_text_form() {
        let text = contact().to_string();
        assert_eq!(text.parse(), Ok(contact()));
        assert_eq!(format!(" {text}\n").parse(), Ok(contact()));
    }

    #[test]
    fn each_fault_is_told() {
        let text = contact().to_string();
        let address = contact().address().to_string();
        let id = RelayId::from_bytes([1; 32]);
        for (wrong, expected) in [
            (
                text.replacen("valise1", "valise1q", 1),
                ContactError::Address(NameError::Checksum("valise")),
            ),
            (
                text.replacen("@relay1", "@ relay1", 1),
                ContactError::WhiteSpace,
            ),
            (
                text.replacen("@relay1", "@relay1q", 1),
                ContactError::Relay {
                    number: 1,
                    error: NameError::Checksum("relay"),
                },
            ),
            (address.clone(), ContactError::NoRelay),
            (format!("{address}@{id},host"), ContactError::Place(1)),
            (format!("{address}@{id},host:0"), ContactError::Place(1)),
            (format!("{address}@{id},host:+1"), ContactError::Place(1)),
            (format!("{address}@{id},host:0443"), ContactError::Place(1)),
            (format!("{address}@{id},host:65536"), ContactError::Place(1)),
            (format!("{address}@{id},host:"), ContactError::Place(1)),
            (format!("{address}@{id},:443"), ContactError::Place(1)),
            (format!("{address}@{id},[::1]"), ContactError::Place(1)),
            (format!("{address}@{id}"), ContactError::Place(1)),
            (
                format!("{address}@{id},host:1/{id},host:1/{id},host:1"),
                ContactError::Place(1),
            ),
            (
                format!("{address}@{id},host:1/{id}q,host:1"),
                ContactError::Relay {
                    number: 1,
                    error: NameError::Checksum("relay"),
                },
            ),
            (
                format!("{address}@{id},host:1@{address},host:1"),
                ContactError::Relay {
                    number: 2,
                    error: NameError::WrongKind("relay"),
                },
            ),
            (format!("{address}@{id},ho_st:1"), ContactError::Place(1)),
            (format!("{address}@{id},[::g]:1"), ContactError::Place(1)),
            (
                format!("{address}{}", format!("@{id},host:1").repeat(9)),
                ContactError::TooManyRelays,
            ),
        ] {
            assert_eq!(wrong.parse::<Contact>(), Err(expected), "{wrong}");
        }
    }

    #[test]
    fn eight_ways_are_read_and_mixed_case_is_not() {
        let id = RelayId::from_bytes([1; 32]).to_string();
        let address = contact().address().to_string();
        let eight = format!("{address}{}", format!("@{id},host:1").repeat(8));
        assert_eq!(eight.parse::<Contact>().unwrap().ways().len(), 8);
        let shouted = format!("{}@{},host:1", address.to_uppercase(), id.to_uppercase());
        assert_eq!(
            shouted.parse::<Contact>().unwrap().address().to_string(),
            address
        );
        let mixed = format!("V{}@{id},host:1", &address[1..]);
        assert_eq!(
            mixed.parse::<Contact>(),
            Err(ContactError::Address(NameError::Checksum("valise")))
        );
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for host in ["localhost", "a.example", "a.example.", "127.0.0.1", "[::1]"] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            ".",
            "-a",
            "a-",
            "a..b",
            "1.2.3",
            "999.1.1.1",
            "::1",
            "a/b",
            "é",
            "[::1",
            "[1.2.3.4]",
            "[fe80::1%eth0]",
            "a b",
            &"a".repeat(64),
            &"a.".repeat(127),
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
