//! Rosters: the root-signed half of a card (spec §5.1).

use std::collections::BTreeMap;

use minicbor::{Decode, Decoder, Encode, Encoder};
use thiserror::Error;

use crate::bounded::{Bytes, List, OutOfBounds, Text, refused};
use crate::descriptor::{Descriptor, DescriptorError, SignedDescriptor};
use crate::id::Address;
use crate::key::{DhPublic, VerifyingKey};
use crate::language::Language;
use crate::limits::{DESCRIPTOR, RELAYS, ROSTER_LIFE, SLOTS};
use crate::time::Timestamp;

/// One officer's public keys.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Device {
    /// Signs its prekey statements.
    #[n(0)]
    pub signing: VerifyingKey,
    /// Writes its replies (spec §4.2).
    #[n(1)]
    pub identity: DhPublic,
    /// Polls the inbox and publishes (spec §7.1).
    #[n(2)]
    pub link: DhPublic,
}

/// A mechanism's name in 1 to 16 languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(BTreeMap<Language, Text<1, 200>>);

/// What a mechanism says of itself and asks of a submission. Nobody vouches for it but the holder of the root key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Profile {
    /// What it calls itself.
    #[n(0)]
    pub names: Names,
    /// The languages in which it reads submissions; none means any.
    #[n(1)]
    pub languages: List<Language, 0, 32>,
    /// The fields that a submission must have.
    #[n(2)]
    pub required: List<Text<1, 64>, 0, 16>,
    /// Whether it accepts a submission under a pseudonym.
    #[n(3)]
    pub pseudonym_accepted: bool,
    /// How long it keeps what it receives.
    #[n(4)]
    pub retention: Option<Text<0, 1_000>>,
}

/// Who may read and write for a mechanism, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Roster {
    /// Whose it is.
    #[n(0)]
    pub address: Address,
    /// From 1; each new roster has a higher one.
    #[n(1)]
    pub epoch: u64,
    /// From when it is valid.
    #[n(2)]
    pub issued: Timestamp,
    /// Until when it is valid.
    #[n(3)]
    pub not_after: Timestamp,
    /// The devices, all of whose keys differ.
    #[n(4)]
    pub devices: List<Device, 1, SLOTS>,
    /// Signed descriptors of the relays, the preferred one first.
    #[n(5)]
    pub relays: List<Bytes<1, DESCRIPTOR>, 1, RELAYS>,
    /// What the mechanism says of itself.
    #[n(6)]
    pub profile: Profile,
}

/// Why a roster cannot be signed. Whoever drew it up is at fault.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RosterError {
    /// Epochs begin with 1.
    #[error("the roster has epoch 0, expected 1 or more")]
    ZeroEpoch,
    /// It ends before it begins.
    #[error("the roster expires before it is issued")]
    Backwards,
    /// Its dates are more than 90 days apart.
    #[error("the roster is valid for more than 90 days")]
    TooLongLived,
    /// Two devices share a key, or one device uses a key twice.
    #[error("device {0} has a key that the roster names already")]
    RepeatedKey(usize),
    /// It is of another mechanism than the root key.
    #[error("the roster names another address than that of the root key")]
    WrongAddress,
    /// A relay's descriptor is wrong.
    #[error("relay {index}: {fault}")]
    Relay {
        /// Which relay, from 1.
        index: usize,
        /// What is wrong with it.
        fault: DescriptorError,
    },
}

impl Device {
    fn keys(&self) -> [&[u8; 32]; 3] {
        [
            self.signing.as_bytes(),
            self.identity.as_bytes(),
            self.link.as_bytes(),
        ]
    }
}

impl Names {
    /// From names by language.
    ///
    /// # Errors
    /// [`OutOfBounds`] unless there are 1 to 16.
    pub fn new(names: BTreeMap<Language, Text<1, 200>>) -> Result<Self, OutOfBounds> {
        OutOfBounds::check(names.len(), 1, 16, "names")?;
        Ok(Self(names))
    }

    /// The name in the first of these languages that has one, otherwise the first name there is.
    pub fn best(&self, preferred: &[&str]) -> &str {
        let named = |tag: &&str| self.0.iter().find(|(language, _)| language.is(tag));
        preferred
            .iter()
            .find_map(named)
            .or(self.0.iter().next())
            .map_or("", |(_, name)| name)
    }

    /// All names, by language.
    pub fn iter(&self) -> impl Iterator<Item = (&Language, &str)> {
        self.0.iter().map(|(language, name)| (language, &**name))
    }
}

impl Roster {
    /// The device that writes with this key.
    pub fn device_with_identity(&self, key: &DhPublic) -> Option<&Device> {
        self.devices.iter().find(|d| d.identity == *key)
    }

    /// The device that polls with this key.
    pub fn device_with_link(&self, key: &DhPublic) -> Option<&Device> {
        self.devices.iter().find(|d| d.link == *key)
    }

    /// The relays whose descriptor this build can read, the preferred one first. Dates are not checked: the descriptor in
    /// the relay's certificate is the current one.
    ///
    /// # Errors
    /// [`RosterError::Relay`]; a descriptor of another version is passed over.
    pub fn relays(&self) -> Result<Vec<Descriptor>, RosterError> {
        let mut relays = Vec::with_capacity(self.relays.len());
        for (at, bytes) in self.relays.iter().enumerate() {
            match SignedDescriptor::decode(bytes).and_then(|signed| signed.verify_undated(None)) {
                Ok(descriptor) => relays.push(descriptor),
                Err(DescriptorError::UnknownVersion(_)) => {}
                Err(fault) => {
                    return Err(RosterError::Relay {
                        index: at + 1,
                        fault,
                    });
                }
            }
        }
        Ok(relays)
    }

    /// What a roster must be whenever it is read (spec §5.1), its length of life apart.
    pub(crate) fn check(&self) -> Result<(), RosterError> {
        if self.epoch == 0 {
            return Err(RosterError::ZeroEpoch);
        }
        if self.not_after < self.issued {
            return Err(RosterError::Backwards);
        }
        let mut seen = Vec::with_capacity(3 * SLOTS);
        for (at, device) in self.devices.iter().enumerate() {
            for key in device.keys() {
                if seen.contains(&key) {
                    return Err(RosterError::RepeatedKey(at + 1));
                }
                seen.push(key);
            }
        }
        Ok(())
    }

    /// Whether it is valid for more than 90 days.
    pub(crate) fn is_too_long_lived(&self) -> bool {
        self.not_after.since(self.issued) > ROSTER_LIFE
    }
}

/// A map whose keys ascend by their encoded bytes, the shorter first.
impl<C> Encode<C> for Names {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Names {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let count = d.map()?.and_then(|n| usize::try_from(n).ok());
        let count = count.ok_or_else(|| refused("map length"))?;
        OutOfBounds::check(count, 1, 16, "names").map_err(refused)?;
        (0..count)
            .map(|_| Ok((Language::decode(d, ctx)?, Text::decode(d, ctx)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor::{Malformed, decode, encode};

    fn names(pairs: &[(&str, &str)]) -> Names {
        let map = pairs
            .iter()
            .map(|(tag, name)| (tag.parse().unwrap(), Text::new(*name).unwrap()));
        Names::new(map.collect()).unwrap()
    }

    #[test]
    fn names_are_sorted_by_their_encoding() {
        let names = names(&[("ast", "A"), ("zh", "Z"), ("ar", "R")]);
        let bytes = encode(&names);
        assert_eq!(bytes, *b"\xa3\x62ar\x61R\x62zh\x61Z\x63ast\x61A");
        assert_eq!(decode(&bytes), Ok(names));
        for other in [
            &b"\xa2\x63ast\x61A\x62zh\x61Z"[..], // unsorted
            b"\xa2\x62zh\x61A\x62zh\x61Z",       // repeated
            b"\xa0",
            b"\xa1\x62zh\x60",
            b"\xa1\x61z\x61Z",
        ] {
            assert_eq!(decode::<Names>(other), Err(Malformed), "{other:?}");
        }
    }

    #[test]
    fn a_reader_gets_the_language_it_prefers() {
        let names = names(&[("fr", "Mécanisme"), ("ast", "Mecanismu")]);
        assert_eq!(names.best(&["de", "AST", "fr"]), "Mecanismu");
        assert_eq!(names.best(&["de"]), "Mécanisme");
    }
}
