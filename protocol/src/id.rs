//! Names of things: addresses, relay ids, mailboxes, digests (spec §2.1, §2.2).

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::hash::sha256;
use crate::limits::{GRANT, KEY};

/// Defines a 32-byte name whose `Debug` shows four bytes only.
macro_rules! name32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "minicbor::bytes")] [u8; Self::LEN]);

        impl $name {
            /// Its length in bytes.
            pub const LEN: usize = KEY;

            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
                &self.0
            }
        }

        /// Four bytes only: whole ids link deposits to each other.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let [a, b, c, d, ..] = self.0;
                write!(f, concat!(stringify!($name), "({:02x}{:02x}{:02x}{:02x}…)"), a, b, c, d)
            }
        }
    };
}

name32! {
    /// A mechanism's address (spec §2.1): the hash of its first root key, and the id of its inbox.
    Address
}
name32! {
    /// A relay's id (spec §2.1): the hash of its identity key.
    RelayId
}
name32! {
    /// Where a mailbox lives on a relay (spec §2.1).
    ///
    /// Whoever knows it may deposit; collecting takes a key. It is not secret, but it links deposits
    /// to each other, so `Debug` shows four bytes and nothing logs it whole.
    MailboxId
}
name32! {
    /// The SHA-256 of an envelope's 65,536 bytes: how a reader names what it removes (spec §2.1).
    EnvelopeDigest
}
name32! {
    /// What a deposit is replaced by (spec §4.4): the hash of a secret that follows from phrase and content, or random.
    WithdrawHash
}

name32! {
    /// Where the parcels of one attachment lie on a relay (spec §9.1). Whoever knows it can ask which are there, and no more.
    Namespace
}

/// What a deposit in an inbox is answered with: leave to put parcels on that inbox's account (spec §9.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant([u8; GRANT]);

impl Grant {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; GRANT]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; GRANT] {
        &self.0
    }
}

/// Redacted: whoever knows it can use it.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant(…)")
    }
}

impl Address {
    /// The address that belongs to a first root key (an Ed25519 public key).
    pub fn of_root(first_root: &[u8; KEY]) -> Self {
        Self(sha256(&[b"valise1/address", first_root]))
    }

    /// The mechanism's inbox on any of its relays.
    pub const fn inbox(self) -> MailboxId {
        MailboxId(self.0)
    }
}

impl RelayId {
    /// The id that belongs to a relay's identity key (an Ed25519 public key).
    pub fn of_identity(identity: &[u8; KEY]) -> Self {
        Self(sha256(&[b"valise1/relay", identity]))
    }
}

impl MailboxId {
    /// The return mailbox that the holder of this X25519 key may collect from.
    pub fn of_return(public: &[u8; KEY]) -> Self {
        Self(sha256(&[b"valise1/mailbox", public]))
    }
}

impl Namespace {
    /// What the holder of this X25519 key writes in.
    pub fn of_writer(public: &[u8; KEY]) -> Self {
        Self(sha256(&[b"valise1/namespace", public]))
    }
}

impl EnvelopeDigest {
    /// The digest of an envelope.
    pub fn of(envelope: &[u8]) -> Self {
        Self(sha256(&[envelope]))
    }
}

/// Why a text is not an address or a relay id. The text itself is not repeated: it may be a half-typed secret.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// It starts with something else.
    #[error("expected a text that begins with \"{0}1\"")]
    WrongKind(&'static str),
    /// A letter is wrong, missing or too many.
    #[error("a letter of \"{0}1…\" is wrong or missing: its checksum does not fit")]
    Checksum(&'static str),
    /// The checksum fits, but it does not hold 32 bytes.
    #[error("\"{0}1…\" has the wrong length")]
    Length(&'static str),
}

fn write_name(f: &mut fmt::Formatter<'_>, kind: &'static str, bytes: &[u8; KEY]) -> fmt::Result {
    let hrp = Hrp::parse_unchecked(kind);
    bech32::encode_lower_to_fmt::<Bech32m, _>(f, hrp, bytes).map_err(|_| fmt::Error)
}

fn read_name(text: &str, kind: &'static str) -> Result<[u8; KEY], NameError> {
    let begins = |s: &str| {
        s.len() > kind.len()
            && s.as_bytes()[kind.len()] == b'1'
            && s[..kind.len()].eq_ignore_ascii_case(kind)
    };
    if !text.is_ascii() || !begins(text) {
        return Err(NameError::WrongKind(kind));
    }
    let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| NameError::Checksum(kind))?;
    let bytes: Vec<u8> = checked.byte_iter().collect();
    checked
        .validate_segwit_padding()
        .map_err(|_| NameError::Length(kind))?;
    bytes.try_into().map_err(|_| NameError::Length(kind))
}

/// `valise1…` (spec §2.2).
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, "valise", &self.0)
    }
}

impl FromStr for Address {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        read_name(text, "valise").map(Self)
    }
}

/// `relay1…` (spec §2.2).
impl fmt::Display for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, "relay", &self.0)
    }
}

impl FromStr for RelayId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        read_name(text, "relay").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_text_form() {
        let address = Address::from_bytes([7; 32]);
        let text = address.to_string();
        assert_eq!(text.len(), "valise1".len() + 58);
        assert_eq!(text.parse(), Ok(address));
        assert_eq!(text.to_uppercase().parse(), Ok(address));
    }

    #[test]
    fn one_wrong_letter_fails_the_checksum() {
        let text = Address::from_bytes([7; 32]).to_string();
        for at in 7..text.len() {
            let mut letters = text.clone().into_bytes();
            letters[at] = if letters[at] == b'q' { b'p' } else { b'q' };
            let wrong = String::from_utf8(letters).unwrap();
            assert_eq!(
                wrong.parse::<Address>(),
                Err(NameError::Checksum("valise")),
                "{at}"
            );
        }
    }

    #[test]
    fn a_relay_is_not_an_address() {
        let text = RelayId::from_bytes([7; 32]).to_string();
        assert_eq!(text.parse::<Address>(), Err(NameError::WrongKind("valise")));
    }

    #[test]
    fn debug_shows_four_bytes() {
        assert_eq!(
            format!("{:?}", MailboxId::from_bytes([0xab; 32])),
            "MailboxId(abababab…)"
        );
    }
}
