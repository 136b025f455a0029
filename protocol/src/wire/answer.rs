//! Answers: what a relay says to a request (spec §7.4).

use std::fmt;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::cbor::Malformed;
use crate::id::Grant;
use crate::limits::{ENVELOPE, FRAME_PLAIN, PARCEL, PARCELS};
use crate::parcel::{ParcelBuffer, ParcelSet};
use crate::wire::frame::{card, envelope, join, length, padded, parcel, split};
use crate::wire::request::RequestKind;

/// What became of a deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    New,
    /// The same envelope was there already.
    Already,
    /// It took the place of one that was not collected.
    Replaced,
}

/// What a poll found.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// How many more wait beyond this one.
    pub waiting: u32,
    /// Where to go on.
    pub cursor: u64,
    /// The envelope, if there was one.
    pub envelope: Option<Box<[u8; ENVELOPE]>>,
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// No, and why.
    Refused(Refusal),
    /// A card's bytes, unverified.
    Card(Vec<u8>),
    /// A deposit is durable, and for an inbox comes with leave to put parcels.
    Stored(Stored, Grant),
    /// What a poll found.
    Item(Item),
    /// A card was kept.
    Published,
    /// Which parcels are there.
    Held(ParcelSet),
    /// A parcel is durable.
    Kept(Kept),
    /// A parcel, if it was there.
    Parcel(Option<ParcelBuffer>),
    /// How many envelopes were given up: 0 or 1.
    Withdrawn(u32),
    /// How many parcels were deleted.
    Deleted(u32),
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is stored.
    New,
    /// The same parcel was there already.
    Already,
}

/// Why a relay refuses (spec §7.4): one byte, and no detail that helps an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Refusal {
    /// The request is not one of the protocol.
    Malformed = 1,
    /// The operator did not allow that inbox.
    UnknownInbox = 2,
    /// The mailbox has reached its quota. Told to depositors only.
    MailboxFull = 3,
    /// The relay's store or disk is full.
    RelayFull = 4,
    /// Something is wrong at the relay.
    Unavailable = 5,
    /// The link's key is not that of a device of this inbox, or not that of this return mailbox.
    NotADevice = 6,
    /// The inbox is allowed, but its mechanism has published no card.
    NoCard = 7,
    /// The card is wrong, out of date, or older than the one held.
    CardRefused = 8,
    /// Too many links or requests.
    Busy = 9,
    /// The proof of work is missing or wrong.
    NoProof = 10,
    /// Another parcel is stored under that number, and stays.
    OtherParcel = 11,
    /// The grant is not known, or used up: another deposit gives another.
    NoGrant = 12,
    /// The inbox has as many parcels as it may. Told to those who put.
    ParcelsFull = 13,
}

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct AnswerHeader {
    #[n(0)]
    pub(super) kind: u8,
    #[n(1)]
    pub(super) number: Option<u32>,
    #[n(2)]
    pub(super) cursor: Option<u64>,
    #[n(3)]
    pub(super) present: Option<bool>,
    #[n(4)]
    pub(super) bytes: Option<ByteVec>,
}

impl Answer {
    /// The plaintext of the frames that answer a request of this kind.
    pub fn encode(&self, kind: RequestKind) -> Vec<u8> {
        let blank = AnswerHeader {
            kind: 0,
            number: None,
            cursor: None,
            present: None,
            bytes: None,
        };
        let (header, attachment): (_, &[u8]) = match self {
            Self::Refused(refusal) => (
                AnswerHeader {
                    number: Some(u32::from(*refusal as u8)),
                    ..blank
                },
                &[],
            ),
            Self::Card(card) => (
                AnswerHeader {
                    kind: 1,
                    number: Some(length(card)),
                    ..blank
                },
                card,
            ),
            Self::Stored(stored, grant) => (
                AnswerHeader {
                    kind: 2,
                    number: Some(stored.number()),
                    bytes: Some(grant.as_bytes().to_vec().into()),
                    ..blank
                },
                &[],
            ),
            Self::Item(item) => (
                AnswerHeader {
                    kind: 3,
                    number: Some(item.waiting),
                    cursor: Some(item.cursor),
                    present: Some(item.envelope.is_some()),
                    bytes: None,
                },
                item.envelope
                    .as_ref()
                    .map_or(&[], |envelope| envelope.as_slice()),
            ),
            Self::Published => (AnswerHeader { kind: 4, ..blank }, &[]),
            Self::Held(set) => (
                AnswerHeader {
                    kind: 5,
                    bytes: Some(set.as_bytes().to_vec().into()),
                    ..blank
                },
                &[],
            ),
            Self::Kept(kept) => (number(6, u32::from(*kept == Kept::Already)), &[]),
            Self::Parcel(parcel) => (
                AnswerHeader {
                    kind: 7,
                    present: Some(parcel.is_some()),
                    ..blank
                },
                parcel.as_ref().map_or(&[], |parcel| parcel.sealed()),
            ),
            Self::Withdrawn(count) => (number(8, *count), &[]),
            Self::Deleted(count) => (number(9, *count), &[]),
        };
        join(&header, attachment, kind.frames_down())
    }

    /// Whether the first frame of an answer is the last: the refusal of a malformed request, which may have one frame whatever was
    /// asked, and after which the link ends (spec §7.3).
    pub fn ends_after(first: &[u8; FRAME_PLAIN]) -> bool {
        let plain = first.as_slice();
        // A deposit is answered in one frame, and may be refused.
        Self::decode(RequestKind::Deposit, plain) == Ok(Self::Refused(Refusal::Malformed))
    }

    /// Reads the answer to a request of this kind: all its frames, or the one that [`Self::ends_after`] tells.
    ///
    /// # Errors
    /// [`Malformed`], also when it answers another kind of request.
    pub fn decode(kind: RequestKind, plain: &[u8]) -> Result<Self, Malformed> {
        if plain.len() != kind.frames_down() * FRAME_PLAIN {
            let first = <&[u8; FRAME_PLAIN]>::try_from(plain).map_err(|_| Malformed)?;
            return if Self::ends_after(first) {
                Ok(Self::Refused(Refusal::Malformed))
            } else {
                Err(Malformed)
            };
        }
        let (header, rest) = split::<AnswerHeader>(plain)?;
        match (kind, header) {
            (
                _,
                AnswerHeader {
                    kind: 0,
                    number: Some(code),
                    cursor: None,
                    present: None,
                    bytes: None,
                },
            ) => {
                padded(rest, 0)?;
                Ok(Self::Refused(Refusal::of_code(code)?))
            }
            (
                RequestKind::Card,
                AnswerHeader {
                    kind: 1,
                    number: Some(length),
                    cursor: None,
                    present: None,
                    bytes: None,
                },
            ) => Ok(Self::Card(card(rest, length)?)),
            (
                RequestKind::Deposit,
                AnswerHeader {
                    kind: 2,
                    number: Some(stored),
                    cursor: None,
                    present: None,
                    bytes: Some(grant),
                },
            ) => {
                padded(rest, 0)?;
                let grant = Vec::from(grant).try_into().map_err(|_| Malformed)?;
                Ok(Self::Stored(
                    Stored::of_number(stored)?,
                    Grant::from_bytes(grant),
                ))
            }
            (
                RequestKind::Poll,
                AnswerHeader {
                    kind: 3,
                    number: Some(waiting),
                    cursor: Some(cursor),
                    present: Some(present),
                    bytes: None,
                },
            ) => {
                let bytes = padded(rest, if present { ENVELOPE } else { 0 })?;
                let envelope = present.then(|| envelope(bytes)).transpose()?;
                Ok(Self::Item(Item {
                    waiting,
                    cursor,
                    envelope,
                }))
            }
            (
                RequestKind::Publish,
                AnswerHeader {
                    kind: 4,
                    number: None,
                    cursor: None,
                    present: None,
                    bytes: None,
                },
            ) => {
                padded(rest, 0)?;
                Ok(Self::Published)
            }
            (
                RequestKind::Have,
                AnswerHeader {
                    kind: 5,
                    number: None,
                    cursor: None,
                    present: None,
                    bytes: Some(bits),
                },
            ) => {
                padded(rest, 0)?;
                let set = ParcelSet::from_bytes(bits.into());
                set.map(Self::Held).ok_or(Malformed)
            }
            (
                RequestKind::Get,
                AnswerHeader {
                    kind: 7,
                    number: None,
                    cursor: None,
                    present: Some(present),
                    bytes: None,
                },
            ) => {
                let bytes = padded(rest, if present { PARCEL } else { 0 })?;
                Ok(Self::Parcel(present.then(|| parcel(bytes)).transpose()?))
            }
            (
                _,
                AnswerHeader {
                    kind: number_kind,
                    number: Some(number),
                    cursor: None,
                    present: None,
                    bytes: None,
                },
            ) => {
                padded(rest, 0)?;
                match (kind, number_kind, number) {
                    (RequestKind::Put, 6, 0) => Ok(Self::Kept(Kept::New)),
                    (RequestKind::Put, 6, 1) => Ok(Self::Kept(Kept::Already)),
                    (RequestKind::Withdraw, 8, 0..=1) => Ok(Self::Withdrawn(number)),
                    (RequestKind::Delete, 9, 0..=PARCELS) => Ok(Self::Deleted(number)),
                    _ => Err(Malformed),
                }
            }
            _ => Err(Malformed),
        }
    }
}

fn number(kind: u8, number: u32) -> AnswerHeader {
    AnswerHeader {
        kind,
        number: Some(number),
        cursor: None,
        present: None,
        bytes: None,
    }
}

impl Stored {
    const fn number(self) -> u32 {
        match self {
            Self::New => 0,
            Self::Already => 1,
            Self::Replaced => 2,
        }
    }

    fn of_number(number: u32) -> Result<Self, Malformed> {
        match number {
            0 => Ok(Self::New),
            1 => Ok(Self::Already),
            2 => Ok(Self::Replaced),
            _ => Err(Malformed),
        }
    }
}

impl Refusal {
    /// Every refusal there is.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::UnknownInbox,
        Self::MailboxFull,
        Self::RelayFull,
        Self::Unavailable,
        Self::NotADevice,
        Self::NoCard,
        Self::CardRefused,
        Self::Busy,
        Self::NoProof,
        Self::OtherParcel,
        Self::NoGrant,
        Self::ParcelsFull,
    ];

    fn of_code(code: u32) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|refusal| u32::from(*refusal as u8) == code)
            .ok_or(Malformed)
    }
}

/// A sentence for people.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it did not understand the request",
            Self::UnknownInbox => "it does not serve this mechanism's inbox",
            Self::MailboxFull => "the mailbox is full",
            Self::RelayFull => "the relay is full",
            Self::Unavailable => "it is unavailable at the moment",
            Self::NotADevice => "this device is not on the roster it holds",
            Self::NoCard => "the mechanism has not published its card there yet",
            Self::CardRefused => "the card is wrong, out of date, or older than the one it holds",
            Self::Busy => "it is too busy",
            Self::NoProof => "the proof of work is missing or wrong",
            Self::OtherParcel => "it holds another parcel in that place",
            Self::NoGrant => "its leave to store parcels has ended",
            Self::ParcelsFull => "the inbox has no room for more parcels",
        })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "Refused({refusal:?})"),
            Self::Card(_) => f.write_str("Card(…)"),
            Self::Stored(stored, _) => write!(f, "Stored({stored:?})"),
            Self::Item(item) => write!(f, "Item({} waiting)", item.waiting),
            Self::Published => f.write_str("Published"),
            Self::Held(set) => write!(f, "Held({} parcels)", set.len()),
            Self::Kept(kept) => write!(f, "Kept({kept:?})"),
            Self::Parcel(parcel) => write!(f, "Parcel(present: {})", parcel.is_some()),
            Self::Withdrawn(count) => write!(f, "Withdrawn({count})"),
            Self::Deleted(count) => write!(f, "Deleted({count})"),
        }
    }
}
