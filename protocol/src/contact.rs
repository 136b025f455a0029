//! Contacts: where a mechanism is, and by which way one gets there (spec §2.2).
//!
//! ```text
//! contact = address 1*8( "@" way )
//! way     = relay-contact [ "/" relay-contact ]
//! relay-contact = relay-id "," host ":" port
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder};
use thiserror::Error;

use crate::bounded::refused;
use crate::id::{Address, NameError, RelayId};
use crate::limits::RELAYS;

/// Where a relay listens: a DNS name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    Name(String),
    Ip(IpAddr),
}

/// One relay: which, and where it listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelayContact {
    /// Whom to expect there.
    pub id: RelayId,
    /// The host.
    pub host: Host,
    /// The port, for UDP and TCP alike.
    pub port: NonZeroU16,
}

/// How to reach one relay of a mechanism.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// The relay that holds the mailboxes.
    pub relay: RelayContact,
    /// The relay through which it is reached, if not directly.
    pub ingress: Option<RelayContact>,
}

/// What a mechanism publishes. It has 1 to 8 ways.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contact {
    address: Address,
    ways: Vec<Way>,
}

/// A text that is neither a DNS name nor an IP address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected a DNS name, an IPv4 address, or an IPv6 address in brackets")]
pub struct BadHost;

/// Why a text is not a relay contact.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayContactError {
    /// The relay id is mistyped.
    #[error("{0}")]
    Id(#[from] NameError),
    /// There is no `,host:port` after the relay id.
    #[error("expected \",host:port\" after the relay id")]
    NoHost,
    /// There is no `:port` after the host.
    #[error("expected \":port\" after the host")]
    NoPort,
    /// The host is none.
    #[error("{0}")]
    Host(#[from] BadHost),
    /// The port is no number from 1 to 65535, or has leading zeros.
    #[error("expected a port from 1 to 65535 without leading zeros")]
    BadPort,
}

/// Which relay of a way is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hop {
    /// The relay that holds the mailboxes.
    Relay,
    /// The one through which it is reached.
    Ingress,
}

/// Why a text is not a contact. The writer of the contact, or who copied it, is at fault.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContactError {
    /// There is a space or a line break in it.
    #[error("a contact is one word, but this has white space within")]
    Whitespace,
    /// The mechanism's address is mistyped.
    #[error("the mechanism's address: {0}")]
    Address(#[from] NameError),
    /// There is an address, but no relay.
    #[error("expected \"@relay1…,host:port\" after the address")]
    NoWay,
    /// More than eight.
    #[error("expected at most {RELAYS} relays, got {0}")]
    TooManyWays(usize),
    /// A way goes through more than one ingress.
    #[error("relay {0}: expected at most one \"/\" and the relay that leads to it")]
    TooManyHops(usize),
    /// One relay contact is wrong.
    #[error("{hop} {way}: {fault}")]
    Relay {
        /// Which way, from 1.
        way: usize,
        /// Which of its relays.
        hop: Hop,
        /// What is wrong.
        fault: RelayContactError,
    },
}

impl Host {
    /// The IP address, where the host is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self.0 {
            Repr::Ip(ip) => Some(ip),
            Repr::Name(_) => None,
        }
    }

    /// The DNS name, where the host is one.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Repr::Name(name) => Some(name),
            Repr::Ip(_) => None,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self(Repr::Ip(ip))
    }
}

impl Contact {
    /// From its parts.
    ///
    /// # Errors
    /// [`ContactError::NoWay`] and [`ContactError::TooManyWays`].
    pub fn new(address: Address, ways: Vec<Way>) -> Result<Self, ContactError> {
        match ways.len() {
            0 => Err(ContactError::NoWay),
            1..=RELAYS => Ok(Self { address, ways }),
            more => Err(ContactError::TooManyWays(more)),
        }
    }

    /// The mechanism's address.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Its relays, the preferred one first.
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }
}

/// As in a contact: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Name(name) => f.write_str(name),
            Repr::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Repr::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl FromStr for Host {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            let ip: Ipv6Addr = inner.parse().map_err(|_| BadHost)?;
            return Ok(Self(Repr::Ip(ip.into())));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self(Repr::Ip(ip.into())));
        }
        if is_dns_name(text) {
            Ok(Self(Repr::Name(text.to_owned())))
        } else {
            Err(BadHost)
        }
    }
}

/// Labels of letters, digits and inner hyphens. The last is no number: resolvers would take `10.1` or `0x7f` for an address.
fn is_dns_name(text: &str) -> bool {
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| {
        let hex = label.strip_prefix("0x").or(label.strip_prefix("0X"));
        label.bytes().all(|b| b.is_ascii_digit())
            || hex.is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(good) && !is_number(last)
}

impl fmt::Display for RelayContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}:{}", self.id, self.host, self.port)
    }
}

impl FromStr for RelayContact {
    type Err = RelayContactError;

    fn from_str(text: &str) -> Result<Self, RelayContactError> {
        let (id, place) = text.split_once(',').unwrap_or((text, ""));
        let id = id.parse()?;
        if place.is_empty() {
            return Err(RelayContactError::NoHost);
        }
        let (host, port) = match place.rsplit_once(':') {
            // The colon of an IPv6 address in brackets is not that of a port.
            Some((_, port)) if port.ends_with(']') => return Err(RelayContactError::NoPort),
            Some(parts) => parts,
            None => return Err(RelayContactError::NoPort),
        };
        let host = host.parse()?;
        let port = parse_port(port).ok_or(RelayContactError::BadPort)?;
        Ok(Self { id, host, port })
    }
}

fn parse_port(text: &str) -> Option<NonZeroU16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relay => "relay",
            Self::Ingress => "ingress of relay",
        })
    }
}

/// On one line (spec §2.2).
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
        let text = text.trim();
        if text.contains(char::is_whitespace) {
            return Err(ContactError::Whitespace);
        }
        let mut parts = text.split('@');
        let address = parts.next().unwrap_or_default().parse()?;
        let count = parts.clone().count();
        if count > RELAYS {
            return Err(ContactError::TooManyWays(count));
        }
        let ways = parts
            .enumerate()
            .map(|(index, way)| parse_way(index + 1, way))
            .collect::<Result<_, _>>()?;
        Self::new(address, ways)
    }
}

fn parse_way(way: usize, text: &str) -> Result<Way, ContactError> {
    let parse = |hop, text: &str| {
        text.parse::<RelayContact>()
            .map_err(|fault| ContactError::Relay { way, hop, fault })
    };
    let mut hops = text.split('/');
    let relay = parse(Hop::Relay, hops.next().unwrap_or_default())?;
    let ingress = hops.next().map(|t| parse(Hop::Ingress, t)).transpose()?;
    if hops.next().is_some() {
        return Err(ContactError::TooManyHops(way));
    }
    Ok(Way { relay, ingress })
}

impl<C> Encode<C> for Host {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Host {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?.parse().map_err(refused)
    }
}

impl<C> Encode<C> for RelayContact {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RelayContact {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?.parse().map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> String {
        Address::from_bytes([7; 32]).to_string()
    }

    fn relay(place: &str) -> String {
        format!("{},{place}", RelayId::from_bytes([9; 32]))
    }

    fn fault(place: &str) -> RelayContactError {
        relay(place).parse::<RelayContact>().unwrap_err()
    }

    #[test]
    fn a_contact_survives_its_text_form() {
        let a = relay("mail.example.org:443");
        let b = relay("192.0.2.1:1");
        let c = relay("[2001:db8::1]:65535");
        for text in [
            format!("{}@{a}", address()),
            format!("{}@{a}/{b}@{c}", address()),
            format!("{}{}", address(), format!("@{a}").repeat(8)),
        ] {
            let contact: Contact = text.parse().unwrap();
            assert_eq!(contact.to_string(), text);
            assert_eq!(format!(" {text}\n").parse(), Ok(contact));
        }
    }

    #[test]
    fn an_ingress_belongs_to_its_way() {
        let text = format!("{}@{}/{}", address(), relay("a.org:1"), relay("b.org:2"));
        let contact: Contact = text.parse().unwrap();
        let way = &contact.ways()[0];
        assert_eq!(way.relay.host.name(), Some("a.org"));
        assert_eq!(way.ingress.as_ref().unwrap().port.get(), 2);
    }

    #[test]
    fn a_wrong_letter_is_told_by_its_part() {
        let good = relay("a.org:1");
        let mistyped = good.replacen("relay1q", "relay1p", 1);
        let bad = if mistyped == good {
            good.replacen("relay1p", "relay1q", 1)
        } else {
            mistyped
        };
        let error = |text: String| text.parse::<Contact>().unwrap_err();
        assert!(matches!(
            error(format!("{}q@{good}", address())),
            ContactError::Address(NameError::Checksum("valise"))
        ));
        assert!(matches!(
            error(format!("{}@{good}@{bad}", address())),
            ContactError::Relay {
                way: 2,
                hop: Hop::Relay,
                fault: RelayContactError::Id(NameError::Checksum("relay"))
            }
        ));
        let ingress = error(format!("{}@{good}/{bad}", address()));
        assert_eq!(
            ingress.to_string(),
            "ingress of relay 1: a letter of \"relay1…\" is wrong or missing: its checksum does not fit"
        );
    }

    #[test]
    fn host_and_port_are_required() {
        let id = RelayId::from_bytes([9; 32]).to_string();
        assert_eq!(id.parse::<RelayContact>(), Err(RelayContactError::NoHost));
        assert_eq!(fault(""), RelayContactError::NoHost);
        assert_eq!(fault("a.org"), RelayContactError::NoPort);
        assert_eq!(fault("[::1]"), RelayContactError::NoPort);
        for port in ["", "0", "0443", "65536", "+443", "44a", "-1"] {
            let place = format!("a.org:{port}");
            assert_eq!(fault(&place), RelayContactError::BadPort, "{port}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in [
            "",
            "a..org",
            ".org",
            "org.",
            "-a.org",
            "a-.org",
            "a_b.org",
            "é.org",
            "1.2.3",
            "256.1.1.1",
            "10.0x7f",
            "::1",
            "[::1",
            "[1.2.3.4]",
            "[fe80::1%eth0]",
            &"a".repeat(64),
            &"a.".repeat(127),
        ] {
            let place = format!("{host}:1");
            assert_eq!(fault(&place), RelayContactError::Host(BadHost), "{host}");
        }
    }

    #[test]
    fn one_to_eight_ways_of_at_most_two_hops() {
        let way = relay("a.org:1");
        let parse = |text: String| text.parse::<Contact>().unwrap_err();
        assert_eq!(parse(address()), ContactError::NoWay);
        assert_eq!(
            parse(format!("{}{}", address(), format!("@{way}").repeat(9))),
            ContactError::TooManyWays(9)
        );
        assert_eq!(
            parse(format!("{}@{way}/{way}/{way}", address())),
            ContactError::TooManyHops(1)
        );
    }

    #[test]
    fn white_space_within_is_an_error() {
        let text = format!("{} @{}", address(), relay("a.org:1"));
        assert_eq!(text.parse::<Contact>(), Err(ContactError::Whitespace));
    }
}
