//! Items: what came out of envelopes, and sealed envelopes that wait to go. Each is a file of its own.
//!
//! Every file is named by chance and has one size, so that a directory listing tells how many there are and nothing else.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use valise_protocol::key::DhPublic;
use valise_protocol::limits::ENVELOPE;
use valise_protocol::{aead, cbor};
use zeroize::Zeroizing;

/// The name of an item's file: 16 random bytes, 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ItemName(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

/// An opened message: who wrote it, and its exact bytes (spec §4.5).
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Item {
    /// The key that wrote it, proved when the envelope was opened.
    #[n(0)]
    pub writer: DhPublic,
    #[cbor(n(1), with = "minicbor::bytes")]
    message: Vec<u8>,
}

/// The content of every item file, before sealing: an envelope and its frame fit, and so does every message.
const PADDED: usize = ENVELOPE + 128;
/// The label of an item's key.
const LABEL: &[u8] = b"valise1/item";

/// An item's file does not open: altered, cut, or another's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an item is damaged")]
pub struct Damaged;

impl ItemName {
    /// A new name.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

/// 32 hex digits.
impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ItemName {
    type Err = Damaged;

    fn from_str(text: &str) -> Result<Self, Damaged> {
        let digits: Vec<u8> = text
            .chars()
            .map(|digit| match digit {
                '0'..='9' | 'a'..='f' => digit.to_digit(16).map(|digit| digit as u8),
                _ => None,
            })
            .collect::<Option<_>>()
            .ok_or(Damaged)?;
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect();
        if digits.len() != 32 {
            return Err(Damaged);
        }
        bytes.try_into().map(Self).map_err(|_| Damaged)
    }
}

impl Item {
    /// From the parts of an opened envelope.
    pub fn new(writer: DhPublic, message: &[u8]) -> Self {
        Self {
            writer,
            message: message.to_vec(),
        }
    }

    /// The message's bytes.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The bytes to seal.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(cbor::encode(self))
    }

    /// From unsealed bytes.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        cbor::decode(bytes).map_err(|_| Damaged)
    }
}

/// The message is not shown.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.message);
    }
}

/// Seals content for the file of this name: `u32 length ‖ content ‖ zeros`, 65,664 bytes.
pub fn seal(key: &[u8; 32], name: ItemName, content: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("an envelope is the longest content");
    let mut padded = Zeroizing::new(Vec::with_capacity(PADDED));
    padded.extend(length.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(PADDED, 0);
    aead::seal(key, LABEL, name.to_string().as_bytes(), &padded, rng)
}

/// Opens the file of this name.
///
/// # Errors
/// [`Damaged`].
pub fn open(key: &[u8; 32], name: ItemName, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, Damaged> {
    let padded = aead::open(key, LABEL, name.to_string().as_bytes(), file).map_err(|_| Damaged)?;
    let (length, rest) = padded.split_first_chunk::<4>().ok_or(Damaged)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Damaged)?;
    let content = rest.get(..length).ok_or(Damaged)?;
    Ok(Zeroizing::new(content.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::system as rng;

    #[test]
    fn every_item_has_one_size_and_opens_under_its_own_name_only() {
        let (a, b) = (ItemName::draw(&mut rng()), ItemName::draw(&mut rng()));
        let short = seal(&[1; 32], a, b"x", &mut rng());
        let long = seal(&[1; 32], a, &[7; ENVELOPE], &mut rng());
        assert_eq!(short.len(), long.len());
        assert_eq!(*open(&[1; 32], a, &short).unwrap(), b"x");
        assert_eq!(open(&[1; 32], a, &long).unwrap().len(), ENVELOPE);
        assert_eq!(open(&[1; 32], b, &short), Err(Damaged));
        assert_eq!(open(&[2; 32], a, &short), Err(Damaged));
    }

    #[test]
    fn an_item_does_not_show_its_message() {
        let item = Item::new(DhPublic::from_bytes([1; 32]), b"a secret");
        let shown = format!("{item:?} {item:#?}");
        assert!(
            shown.contains("Item") && !shown.contains("message"),
            "{shown}"
        );
        assert!(
            !shown.contains("97") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn a_name_survives_its_digits() {
        let name = ItemName::draw(&mut rng());
        assert_eq!(name.to_string().parse(), Ok(name));
        for wrong in ["state", "", "..", &"A".repeat(32), &"0".repeat(33)] {
            assert_eq!(wrong.parse::<ItemName>(), Err(Damaged));
        }
    }
}
