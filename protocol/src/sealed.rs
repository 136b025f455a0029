//! A sealed case: everything that a submission needs to travel, in one file, made without a network (spec §9.6).
//!
//! ```text
//! offset  size  field
//!      0    16  "valise1 sealed", two zeros
//!     16     4  length of the header, big-endian
//!     20     …  header: CBOR (docs/valise.cddl, sealed-case)
//!      …     …  the parcels of each upload, one behind the other
//! ```

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::cbor;
use crate::contact::RelayContact;
use crate::id::{Address, WithdrawHash};
use crate::limits::{ATTACHMENTS, ENVELOPE, OTHERS, PARCEL};
use crate::parcel::is_padded;

/// The first bytes of such a file.
pub const MAGIC: &[u8; 16] = b"valise1 sealed\0\0";
/// The longest header, in bytes.
pub const HEADER: usize = 16 << 20;
/// What stands before the header.
pub const BEFORE: usize = MAGIC.len() + 4;
/// The most envelopes.
const DELIVERIES: usize = OTHERS + 1;
/// The most uploads: every file and a list of them, for each mechanism.
const UPLOADS: usize = DELIVERIES * (ATTACHMENTS + 1);

/// What is to be carried.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// The envelopes.
    #[n(0)]
    pub envelopes: Vec<Deposit>,
    /// The parcels, in the order in which they stand behind this.
    #[n(1)]
    pub uploads: Vec<Upload>,
}

/// One envelope, and where it goes.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Deposit {
    /// The mechanism.
    #[n(0)]
    pub address: Address,
    /// The contact of its relay (spec §2.2).
    #[n(1)]
    pub relay: String,
    /// What it replaces, and is withdrawn by.
    #[n(2)]
    pub withdraw: WithdrawHash,
    /// The envelope.
    #[n(3)]
    pub envelope: Box<ByteArray<ENVELOPE>>,
}

/// The parcels of one file.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Upload {
    /// Who brings them proves it by this key. It opens nothing.
    #[n(0)]
    pub write: ByteArray<32>,
    /// How many there are.
    #[n(1)]
    pub count: u32,
    /// The place of the envelope on whose account they are, and whose relay holds them.
    #[n(2)]
    pub account: u32,
}

/// Why a file is no sealed case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotSealed {
    /// It begins otherwise.
    #[error("it is not a sealed case")]
    Other,
    /// It has another length than it says, or says nonsense.
    #[error("it is damaged, or was not copied whole")]
    Damaged,
}

impl Header {
    /// The file up to the first parcel.
    pub fn encode(&self) -> Vec<u8> {
        let header = cbor::encode(self);
        let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
        [&MAGIC[..], &length.to_be_bytes(), &header].concat()
    }

    /// How long the header is, by what stands before it.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub fn length(before: &[u8; BEFORE]) -> Result<usize, NotSealed> {
        let (magic, length) = before.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(NotSealed::Other);
        }
        let length = length
            .first_chunk()
            .map(|length| u32::from_be_bytes(*length));
        let length = length.and_then(|length| usize::try_from(length).ok());
        length
            .filter(|length| *length <= HEADER)
            .ok_or(NotSealed::Damaged)
    }

    /// Reads the header itself.
    ///
    /// # Errors
    /// [`NotSealed::Damaged`].
    pub fn decode(header: &[u8]) -> Result<Self, NotSealed> {
        let header: Self = cbor::decode(header).map_err(|_| NotSealed::Damaged)?;
        let deposits = (1..=DELIVERIES).contains(&header.envelopes.len())
            && (header.envelopes.iter()).all(|one| is_contact(&one.relay));
        let account = |upload: &Upload| (upload.account as usize) < header.envelopes.len();
        let uploads = header.uploads.len() <= UPLOADS
            && (header.uploads.iter()).all(|one| is_padded(one.count) && account(one));
        if deposits && uploads {
            Ok(header)
        } else {
            Err(NotSealed::Damaged)
        }
    }

    /// How many bytes of parcels there are.
    pub fn parcels(&self) -> u64 {
        let counts = self.uploads.iter().map(|upload| u64::from(upload.count));
        counts.sum::<u64>() * PARCEL as u64
    }

    /// How many bytes the whole file has, where this header has `length` of them. A file that has more or fewer is damaged.
    pub fn total(&self, length: usize) -> u64 {
        (BEFORE + length) as u64 + self.parcels()
    }
}

/// Whether it is the contact of a relay and nothing else: what a person types may have blanks around it, this not.
fn is_contact(text: &str) -> bool {
    !text.contains(char::is_whitespace) && text.parse::<RelayContact>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RelayId;

    fn contact() -> String {
        let id = RelayId::from_bytes([5; 32]);
        let relay = RelayContact::new(id, "mail.example.org", 443);
        relay.unwrap().to_string()
    }

    fn header() -> Header {
        Header {
            envelopes: vec![Deposit {
                address: Address::from_bytes([1; 32]),
                relay: contact(),
                withdraw: WithdrawHash::from_bytes([2; 32]),
                envelope: Box::new([3; ENVELOPE].into()),
            }],
            uploads: vec![Upload {
                write: [4; 32].into(),
                count: 8,
                account: 0,
            }],
        }
    }

    fn read(bytes: &[u8]) -> Result<Header, NotSealed> {
        let (before, rest) = bytes.split_first_chunk().unwrap();
        let length = Header::length(before)?;
        Header::decode(rest.get(..length).ok_or(NotSealed::Damaged)?)
    }

    #[test]
    fn a_header_survives_its_encoding() {
        let bytes = header().encode();
        let found = read(&bytes).unwrap();
        assert_eq!(found.encode(), bytes);
        assert_eq!(found.parcels(), 8 * PARCEL as u64);
        let total = found.total(bytes.len() - BEFORE);
        assert_eq!(total, bytes.len() as u64 + 8 * PARCEL as u64);
    }

    #[test]
    fn what_is_no_sealed_case_is_refused() {
        let mut other = header().encode();
        other[0] ^= 1;
        assert_eq!(read(&other).err(), Some(NotSealed::Other));
        let damaged = |alter: &dyn Fn(&mut Header)| {
            let mut header = header();
            alter(&mut header);
            assert_eq!(read(&header.encode()).err(), Some(NotSealed::Damaged));
        };
        damaged(&|header| header.envelopes.clear());
        damaged(&|header| header.uploads[0].count = 5);
        damaged(&|header| header.uploads[0].account = 1);
        damaged(&|header| header.envelopes[0].relay = "relay1…".into());
        damaged(&|header| header.envelopes[0].relay.push(' '));
        let mut long = header().encode();
        long[16] = 0xff;
        assert_eq!(read(&long).err(), Some(NotSealed::Damaged));
        let whole = header().encode();
        assert_eq!(
            Header::decode(&whole[BEFORE..whole.len() - 1]).err(),
            Some(NotSealed::Damaged)
        );
    }
}
