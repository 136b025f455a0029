//! A record: one slot of a segment's head, which says what the slot's extent holds and carries the key to it.
//!
//! ```text
//! slot, 256 bytes: all zeros, or
//! offset  size  field
//!      0    32  salt, random: the slot's own key is derived from it and the store key
//!     32   208  record, encrypted; segment and slot number are authenticated with it
//!    240    16  tag
//!
//! record
//!      0     1  kind: 1 to an inbox, 2 to a return mailbox, 3 to the sink, 4 inbox served, 5 card,
//!                  6 inbox that is being removed, 7 parcel, 8 reader allowed
//!      1     1  number of devices that have removed it
//!      2     2  zeros
//!      4     4  its last day, u32
//!      8     8  cursor, or the sequence of a card, or the number of a parcel, u64
//!     16    16  mark of the mailbox; of 7: of the namespace
//!     32    32  name: mark of the withdraw hash ‖ mark of the digest; of 4, 5, 6 and 8: the address; of 7: mark of the inbox
//!                  on whose account it is ‖ mark of the digest
//!     64    64  the devices' tags
//!    128     4  length of the payload, u32
//!    132    32  key of the payload (AES-256-GCM)
//!    164    16  tag of the payload
//!    180    28  zeros
//! ```

use rand_core::CryptoRng;
use valise_protocol::id::Address;
use valise_protocol::limits::{PARCEL, SLOTS, TAG};
use valise_protocol::{aead, bulk};
use zeroize::{Zeroize, Zeroizing};

use super::keys::{Mark, StoreKey};
use super::segment::{Place, SLOT};
use crate::store::DeviceTag;
use crate::store::devices::Devices;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// An envelope in a mailbox.
    Envelope(Envelope),
    /// An envelope for nobody, soon to be wiped.
    Sink,
    /// An inbox that is served. It has no payload.
    Inbox(Address),
    /// A mechanism that is allowed as a reader. It has no payload.
    Reader(Address),
    /// An inbox whose removal was begun: card and mail go, and then this. It has no payload.
    Leaving(Address),
    /// A card; the one with the highest sequence counts.
    Card { address: Address, sequence: u64 },
    /// A parcel; of two in one place the one that was written later counts.
    Parcel(Parcel),
}

/// What is known of a parcel without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parcel {
    pub name: ParcelName,
    /// The inbox on whose account it is.
    pub account: Mark,
    pub digest: Mark,
    pub day: u32,
}

/// Which parcel of which attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ParcelName {
    pub namespace: Mark,
    pub index: u32,
}

/// What is known of an envelope without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub kind: MailKind,
    pub mailbox: Mark,
    pub withdraw: Mark,
    pub digest: Mark,
    pub cursor: u64,
    pub day: u32,
    pub devices: Devices,
}

/// Which sort of mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MailKind {
    Inbox,
    Return,
}

/// How to read the payload: its length, and the key that exists nowhere else.
pub(super) struct Seal {
    pub length: u32,
    key: Zeroizing<[u8; 32]>,
    tag: [u8; TAG],
}

/// A record, opened.
pub(super) struct Record {
    pub body: Body,
    pub seal: Seal,
}

impl Seal {
    /// Encrypts a payload in place under a fresh key.
    pub fn over(payload: &mut [u8], rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        let length = u32::try_from(payload.len()).expect("no payload is longer than an extent");
        // The key's slot says where the payload belongs.
        let tag = bulk::encrypt(&key, payload);
        Self { length, key, tag }
    }

    /// The seal of a record without payload.
    pub fn empty() -> Self {
        Self {
            length: 0,
            key: Zeroizing::new([0; 32]),
            tag: [0; TAG],
        }
    }

    /// Decrypts a payload in place.
    pub fn open(&self, payload: &mut [u8]) -> Result<(), aead::Unauthentic> {
        bulk::decrypt(&self.key, payload, &self.tag)
    }
}

impl Record {
    /// The slot's bytes.
    pub fn wrap(&self, key: &StoreKey, place: Place, rng: &mut impl CryptoRng) -> [u8; SLOT] {
        let mut plain = self.encode();
        let slot = aead::seal(key, LABEL, &place.name(), &plain, rng);
        plain.zeroize();
        slot.try_into().expect("salt 32, record 208 and tag 16")
    }

    /// Opens a slot with the first key that fits. `None`: damaged, or of another store.
    pub fn unwrap(slot: &[u8; SLOT], keys: &[StoreKey], place: Place) -> Option<Self> {
        let open = |key: &StoreKey| aead::open(key, LABEL, &place.name(), slot).ok();
        let plain = keys.iter().find_map(open)?;
        Self::decode(plain.first_chunk()?)
    }

    fn encode(&self) -> [u8; PLAIN] {
        let mut out = [0; PLAIN];
        match &self.body {
            Body::Envelope(envelope) => envelope.encode(&mut out),
            Body::Sink => out[0] = 3,
            Body::Inbox(address) => {
                out[0] = 4;
                out[32..64].copy_from_slice(address.as_bytes());
            }
            Body::Reader(address) => {
                out[0] = 8;
                out[32..64].copy_from_slice(address.as_bytes());
            }
            Body::Leaving(address) => {
                out[0] = 6;
                out[32..64].copy_from_slice(address.as_bytes());
            }
            Body::Card { address, sequence } => {
                out[0] = 5;
                out[8..16].copy_from_slice(&sequence.to_be_bytes());
                out[32..64].copy_from_slice(address.as_bytes());
            }
            Body::Parcel(parcel) => parcel.encode(&mut out),
        }
        out[128..132].copy_from_slice(&self.seal.length.to_be_bytes());
        out[132..164].copy_from_slice(self.seal.key.as_slice());
        out[164..180].copy_from_slice(&self.seal.tag);
        out
    }

    fn decode(plain: &[u8; PLAIN]) -> Option<Self> {
        let address = || Some(Address::from_bytes(*plain[32..].first_chunk()?));
        let body = match plain[0] {
            1 => Body::Envelope(Envelope::decode(MailKind::Inbox, plain)?),
            2 => Body::Envelope(Envelope::decode(MailKind::Return, plain)?),
            3 => Body::Sink,
            4 => Body::Inbox(address()?),
            5 => Body::Card {
                address: address()?,
                sequence: u64::from_be_bytes(*plain[8..].first_chunk()?),
            },
            6 => Body::Leaving(address()?),
            7 => Body::Parcel(Parcel::decode(plain)?),
            8 => Body::Reader(address()?),
            _ => return None,
        };
        let seal = Seal {
            length: u32::from_be_bytes(*plain[128..].first_chunk()?),
            key: Zeroizing::new(*plain[132..].first_chunk()?),
            tag: *plain[164..].first_chunk()?,
        };
        (seal.length as usize <= PARCEL).then_some(Self { body, seal })
    }
}

impl Envelope {
    fn encode(&self, out: &mut [u8; PLAIN]) {
        let tags = self.devices.tags();
        out[0] = match self.kind {
            MailKind::Inbox => 1,
            MailKind::Return => 2,
        };
        out[1] = u8::try_from(tags.len()).expect("at most eight devices");
        out[4..8].copy_from_slice(&self.day.to_be_bytes());
        out[8..16].copy_from_slice(&self.cursor.to_be_bytes());
        out[16..32].copy_from_slice(&self.mailbox);
        out[32..48].copy_from_slice(&self.withdraw);
        out[48..64].copy_from_slice(&self.digest);
        for (tag, field) in tags.iter().zip(out[64..128].chunks_exact_mut(8)) {
            field.copy_from_slice(&tag.0);
        }
    }

    fn decode(kind: MailKind, plain: &[u8; PLAIN]) -> Option<Self> {
        let (tags, _) = plain[64..128].as_chunks();
        let count = usize::from(plain[1]);
        (count <= SLOTS).then_some(())?;
        Some(Self {
            kind,
            mailbox: *plain[16..].first_chunk()?,
            withdraw: *plain[32..].first_chunk()?,
            digest: *plain[48..].first_chunk()?,
            cursor: u64::from_be_bytes(*plain[8..].first_chunk()?),
            day: u32::from_be_bytes(*plain[4..].first_chunk()?),
            devices: Devices::of(tags.iter().take(count).map(|tag| DeviceTag(*tag))),
        })
    }
}

impl Parcel {
    fn encode(&self, out: &mut [u8; PLAIN]) {
        out[0] = 7;
        out[4..8].copy_from_slice(&self.day.to_be_bytes());
        out[8..16].copy_from_slice(&u64::from(self.name.index).to_be_bytes());
        out[16..32].copy_from_slice(&self.name.namespace);
        out[32..48].copy_from_slice(&self.account);
        out[48..64].copy_from_slice(&self.digest);
    }

    fn decode(plain: &[u8; PLAIN]) -> Option<Self> {
        let index = u64::from_be_bytes(*plain[8..].first_chunk()?);
        Some(Self {
            name: ParcelName {
                namespace: *plain[16..].first_chunk()?,
                index: u32::try_from(index).ok()?,
            },
            account: *plain[32..].first_chunk()?,
            digest: *plain[48..].first_chunk()?,
            day: u32::from_be_bytes(*plain[4..].first_chunk()?),
        })
    }
}

const PLAIN: usize = 208;
const LABEL: &[u8] = b"valise1/slot-table";

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    use super::*;

    fn record() -> Record {
        Record {
            body: Body::Envelope(Envelope {
                kind: MailKind::Return,
                mailbox: [1; 16],
                withdraw: [2; 16],
                digest: [3; 16],
                cursor: 4,
                day: 5,
                devices: Devices::of([DeviceTag([6; 8]), DeviceTag([7; 8])].into_iter()),
            }),
            seal: Seal::over(&mut [8; 100], &mut UnwrapErr(SysRng)),
        }
    }

    #[test]
    fn a_record_survives_its_slot() {
        let (key, place) = (Zeroizing::new([9; 32]), Place::new(1, 2));
        let slot = record().wrap(&key, place, &mut UnwrapErr(SysRng));
        let opened = Record::unwrap(&slot, &[Zeroizing::new([0; 32]), key], place).unwrap();
        assert_eq!(opened.body, record().body);
        assert_eq!(opened.seal.length, 100);
    }

    #[test]
    fn a_parcels_record_survives_its_slot() {
        let (key, place) = (Zeroizing::new([9; 32]), Place::new(1, 2));
        let body = Body::Parcel(Parcel {
            name: ParcelName {
                namespace: [1; 16],
                index: 16_383,
            },
            account: [2; 16],
            digest: [3; 16],
            day: 4,
        });
        let mut payload = vec![8; PARCEL];
        let seal = Seal::over(&mut payload, &mut UnwrapErr(SysRng));
        let record = Record { body, seal };
        let slot = record.wrap(&key, place, &mut UnwrapErr(SysRng));
        let opened = Record::unwrap(&slot, &[key], place).unwrap();
        assert_eq!(opened.body, record.body);
        opened.seal.open(&mut payload).unwrap();
        assert_eq!(payload, [8; PARCEL]);
    }

    #[test]
    fn what_an_operator_allowed_survives_its_slot_as_what_it_is() {
        let (keys, place) = ([Zeroizing::new([9; 32])], Place::new(1, 2));
        let address = Address::from_bytes([3; 32]);
        for body in [
            Body::Inbox(address),
            Body::Reader(address),
            Body::Leaving(address),
        ] {
            let seal = Seal::empty();
            let record = Record { body, seal };
            let slot = record.wrap(&keys[0], place, &mut UnwrapErr(SysRng));
            let opened = Record::unwrap(&slot, &keys, place).unwrap();
            assert_eq!(opened.body, record.body);
        }
    }

    #[test]
    fn a_slot_does_not_open_in_another_place() {
        let key = Zeroizing::new([9; 32]);
        let slot = record().wrap(&key, Place::new(1, 2), &mut UnwrapErr(SysRng));
        let keys = [key];
        assert!(Record::unwrap(&slot, &keys, Place::new(1, 3)).is_none());
        assert!(Record::unwrap(&slot, &keys, Place::new(2, 2)).is_none());
    }

    #[test]
    fn every_flipped_bit_of_a_slot_is_noticed() {
        let (keys, place) = ([Zeroizing::new([9; 32])], Place::new(1, 2));
        let slot = record().wrap(&keys[0], place, &mut UnwrapErr(SysRng));
        for bit in 0..SLOT * 8 {
            let mut flipped = slot;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::unwrap(&flipped, &keys, place).is_none(), "{bit}");
        }
    }
}
