//! Requests and answers on a link (spec §7.2–7.4).
//!
//! ```text
//! u16 header length ‖ header (CBOR) ‖ attachment ‖ zeros       a whole number of frames, fixed for each kind
//! ```

use std::fmt;

use minicbor::{Decode, Encode};

use crate::cbor::{self, Malformed};
use crate::id::{Address, EnvelopeDigest, MailboxId, WithdrawHash};
use crate::limits::{CARD, ENVELOPE, FRAME_PLAIN, REMOVALS, WAIT_SECONDS};

/// What a client asks for, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// The newest card of a mechanism: 1 frame up, 2 down.
    Card,
    /// Store an envelope: 4 up, 1 down.
    Deposit,
    /// Remove, and give the next envelope: 1 up, 4 down.
    Poll,
    /// Keep a card: 2 up, 1 down.
    Publish,
}

/// Where a deposit goes, or a poll looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A mechanism's inbox.
    Inbox,
    /// A defender's return mailbox.
    Return,
    /// The sink (deposits only): the same work, and nothing is kept.
    Sink,
}

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// The newest card of a mechanism.
    Card {
        /// Whose.
        address: Address,
    },
    /// Store an envelope.
    Deposit {
        /// Where.
        target: Target,
        /// The mailbox; any for the sink.
        mailbox: MailboxId,
        /// What it replaces (spec §4.4).
        withdraw: WithdrawHash,
        /// Empty in this version.
        proof: Vec<u8>,
        /// The envelope.
        envelope: Box<[u8; ENVELOPE]>,
    },
    /// Remove envelopes, and give the first beyond the cursor.
    Poll {
        /// Inbox or return mailbox.
        target: Target,
        /// Which.
        mailbox: MailboxId,
        /// 0 at the beginning.
        cursor: u64,
        /// At most [`REMOVALS`].
        removals: Vec<EnvelopeDigest>,
        /// At most [`WAIT_SECONDS`].
        wait_seconds: u16,
    },
    /// Keep a card.
    Publish {
        /// The card, at most [`CARD`] bytes.
        card: Vec<u8>,
    },
}

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
    /// A deposit is durable.
    Stored(Stored),
    /// What a poll found.
    Item(Item),
    /// A card was kept.
    Published,
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
}

/// Header of a request: only the keys of its kind are present.
#[derive(Encode, Decode)]
#[cbor(map)]
struct RequestHeader {
    #[n(0)]
    kind: u8,
    #[n(1)]
    first: First,
    #[n(2)]
    mailbox: Option<MailboxId>,
    #[n(3)]
    third: Option<Third>,
    #[n(4)]
    fourth: Option<Fourth>,
    #[n(5)]
    wait: Option<u16>,
}

/// Key 1: an address, or a number.
enum First {
    Address(Address),
    Number(u32),
}

/// Key 3: a withdraw hash, or a cursor.
enum Third {
    Withdraw(WithdrawHash),
    Cursor(u64),
}

/// Key 4: a proof, or removals.
enum Fourth {
    Proof(Vec<u8>),
    Removals(Removals),
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct AnswerHeader {
    #[n(0)]
    kind: u8,
    #[n(1)]
    number: Option<u32>,
    #[n(2)]
    cursor: Option<u64>,
    #[n(3)]
    present: Option<bool>,
}

impl RequestKind {
    /// Frames from the client.
    pub const fn frames_up(self) -> usize {
        match self {
            Self::Card | Self::Poll => 1,
            Self::Publish => 2,
            Self::Deposit => 4,
        }
    }

    /// Frames from the relay.
    pub const fn frames_down(self) -> usize {
        match self {
            Self::Deposit | Self::Publish => 1,
            Self::Card => 2,
            Self::Poll => 4,
        }
    }

    fn of_number(number: u8) -> Result<Self, Malformed> {
        match number {
            1 => Ok(Self::Card),
            2 => Ok(Self::Deposit),
            3 => Ok(Self::Poll),
            4 => Ok(Self::Publish),
            _ => Err(Malformed),
        }
    }

    /// The kind of the request that begins with this frame, so that the receiver knows how many frames follow.
    ///
    /// # Errors
    /// [`Malformed`] when the header is not one of the protocol: no more frames are read then, and one frame says so (spec §7.3).
    pub fn of_first_frame(frame: &[u8; FRAME_PLAIN]) -> Result<Self, Malformed> {
        let (header, _) = split::<RequestHeader>(frame)?;
        Ok(Head::of(header)?.kind())
    }
}

impl Target {
    const fn number(self) -> u32 {
        match self {
            Self::Inbox => 0,
            Self::Return => 1,
            Self::Sink => 2,
        }
    }

    fn of_number(number: u32) -> Result<Self, Malformed> {
        match number {
            0 => Ok(Self::Inbox),
            1 => Ok(Self::Return),
            2 => Ok(Self::Sink),
            _ => Err(Malformed),
        }
    }
}

impl Request {
    /// Its kind.
    pub const fn kind(&self) -> RequestKind {
        match self {
            Self::Card { .. } => RequestKind::Card,
            Self::Deposit { .. } => RequestKind::Deposit,
            Self::Poll { .. } => RequestKind::Poll,
            Self::Publish { .. } => RequestKind::Publish,
        }
    }

    /// The plaintext of its frames.
    pub fn encode(&self) -> Vec<u8> {
        let blank = RequestHeader {
            kind: 0,
            first: First::Number(0),
            mailbox: None,
            third: None,
            fourth: None,
            wait: None,
        };
        let (header, attachment): (_, &[u8]) = match self {
            Self::Card { address } => (
                RequestHeader {
                    kind: 1,
                    first: First::Address(*address),
                    ..blank
                },
                &[],
            ),
            Self::Deposit {
                target,
                mailbox,
                withdraw,
                proof,
                envelope,
            } => (
                RequestHeader {
                    kind: 2,
                    first: First::Number(target.number()),
                    mailbox: Some(*mailbox),
                    third: Some(Third::Withdraw(*withdraw)),
                    fourth: Some(Fourth::Proof(proof.clone())),
                    wait: None,
                },
                envelope.as_slice(),
            ),
            Self::Poll {
                target,
                mailbox,
                cursor,
                removals,
                wait_seconds,
            } => (
                RequestHeader {
                    kind: 3,
                    first: First::Number(target.number()),
                    mailbox: Some(*mailbox),
                    third: Some(Third::Cursor(*cursor)),
                    fourth: Some(Fourth::Removals(Removals(removals.clone()))),
                    wait: Some(*wait_seconds),
                },
                &[],
            ),
            Self::Publish { card } => (
                RequestHeader {
                    kind: 4,
                    first: First::Number(length(card)),
                    ..blank
                },
                card,
            ),
        };
        join(&header, attachment, self.kind().frames_up())
    }

    /// Reads a request from the plaintext of all its frames.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(plain: &[u8]) -> Result<Self, Malformed> {
        let (header, rest) = split::<RequestHeader>(plain)?;
        let head = Head::of(header)?;
        if plain.len() != head.kind().frames_up() * FRAME_PLAIN {
            return Err(Malformed);
        }
        let attachment = padded(rest, head.attachment())?;
        Ok(match head {
            Head::Card { address } => Self::Card { address },
            Head::Deposit {
                target,
                mailbox,
                withdraw,
                proof,
            } => Self::Deposit {
                target,
                mailbox,
                withdraw,
                proof,
                envelope: envelope(attachment)?,
            },
            Head::Poll {
                target,
                mailbox,
                cursor,
                removals,
                wait_seconds,
            } => Self::Poll {
                target,
                mailbox,
                cursor,
                removals,
                wait_seconds,
            },
            Head::Publish { .. } => Self::Publish {
                card: attachment.to_vec(),
            },
        })
    }
}

/// What the header of a request says, checked: all of the request but its attachment.
enum Head {
    Card {
        address: Address,
    },
    Deposit {
        target: Target,
        mailbox: MailboxId,
        withdraw: WithdrawHash,
        proof: Vec<u8>,
    },
    Poll {
        target: Target,
        mailbox: MailboxId,
        cursor: u64,
        removals: Vec<EnvelopeDigest>,
        wait_seconds: u16,
    },
    Publish {
        length: usize,
    },
}

impl Head {
    fn of(header: RequestHeader) -> Result<Self, Malformed> {
        match (RequestKind::of_number(header.kind)?, header) {
            (
                RequestKind::Card,
                RequestHeader {
                    first: First::Address(address),
                    mailbox: None,
                    third: None,
                    fourth: None,
                    wait: None,
                    ..
                },
            ) => Ok(Self::Card { address }),
            (
                RequestKind::Deposit,
                RequestHeader {
                    first: First::Number(target),
                    mailbox: Some(mailbox),
                    third: Some(Third::Withdraw(withdraw)),
                    fourth: Some(Fourth::Proof(proof)),
                    wait: None,
                    ..
                },
            ) => Ok(Self::Deposit {
                target: Target::of_number(target)?,
                mailbox,
                withdraw,
                proof,
            }),
            (
                RequestKind::Poll,
                RequestHeader {
                    first: First::Number(target @ 0..=1),
                    mailbox: Some(mailbox),
                    third: Some(Third::Cursor(cursor)),
                    fourth: Some(Fourth::Removals(Removals(removals))),
                    wait: Some(wait_seconds @ 0..=WAIT_SECONDS),
                    ..
                },
            ) => Ok(Self::Poll {
                target: Target::of_number(target)?,
                mailbox,
                cursor,
                removals,
                wait_seconds,
            }),
            (
                RequestKind::Publish,
                RequestHeader {
                    first: First::Number(length),
                    mailbox: None,
                    third: None,
                    fourth: None,
                    wait: None,
                    ..
                },
            ) => Ok(Self::Publish {
                length: card_length(length)?,
            }),
            _ => Err(Malformed),
        }
    }

    const fn kind(&self) -> RequestKind {
        match self {
            Self::Card { .. } => RequestKind::Card,
            Self::Deposit { .. } => RequestKind::Deposit,
            Self::Poll { .. } => RequestKind::Poll,
            Self::Publish { .. } => RequestKind::Publish,
        }
    }

    /// How many bytes follow the header before the padding.
    const fn attachment(&self) -> usize {
        match self {
            Self::Card { .. } | Self::Poll { .. } => 0,
            Self::Deposit { .. } => ENVELOPE,
            Self::Publish { length } => *length,
        }
    }
}

impl Answer {
    /// The plaintext of the frames that answer a request of this kind.
    pub fn encode(&self, kind: RequestKind) -> Vec<u8> {
        let blank = AnswerHeader {
            kind: 0,
            number: None,
            cursor: None,
            present: None,
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
            Self::Stored(stored) => (
                AnswerHeader {
                    kind: 2,
                    number: Some(stored.number()),
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
                },
                item.envelope
                    .as_ref()
                    .map_or(&[], |envelope| envelope.as_slice()),
            ),
            Self::Published => (AnswerHeader { kind: 4, ..blank }, &[]),
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
                },
            ) => Ok(Self::Card(card(rest, length)?)),
            (
                RequestKind::Deposit,
                AnswerHeader {
                    kind: 2,
                    number: Some(stored),
                    cursor: None,
                    present: None,
                },
            ) => {
                padded(rest, 0)?;
                Ok(Self::Stored(Stored::of_number(stored)?))
            }
            (
                RequestKind::Poll,
                AnswerHeader {
                    kind: 3,
                    number: Some(waiting),
                    cursor: Some(cursor),
                    present: Some(present),
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
                },
            ) => {
                padded(rest, 0)?;
                Ok(Self::Published)
            }
            _ => Err(Malformed),
        }
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
    pub const ALL: [Self; 10] = [
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
        })
    }
}

/// Header and attachment, padded to so many frames.
fn join<T: Encode<()>>(header: &T, attachment: &[u8], frames: usize) -> Vec<u8> {
    let header = cbor::encode(header);
    let length = u16::try_from(header.len()).expect("a header fits one frame");
    let mut plain = Vec::with_capacity(frames * FRAME_PLAIN);
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(&header);
    plain.extend_from_slice(attachment);
    assert!(
        plain.len() <= frames * FRAME_PLAIN,
        "the limits leave room for every header"
    );
    plain.resize(frames * FRAME_PLAIN, 0);
    plain
}

/// The header, and all that follows it.
fn split<'a, T>(plain: &'a [u8]) -> Result<(T, &'a [u8]), Malformed>
where
    T: Decode<'a, ()> + Encode<()>,
{
    let (length, rest) = plain.split_first_chunk::<2>().ok_or(Malformed)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length > FRAME_PLAIN - 2 {
        return Err(Malformed);
    }
    let (header, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
    Ok((cbor::decode(header)?, rest))
}

/// The attachment of this length, after checking that only zeros follow it.
fn padded(rest: &[u8], length: usize) -> Result<&[u8], Malformed> {
    let (attachment, padding) = rest.split_at_checked(length).ok_or(Malformed)?;
    if padding.iter().any(|byte| *byte != 0) {
        Err(Malformed)
    } else {
        Ok(attachment)
    }
}

fn card(rest: &[u8], length: u32) -> Result<Vec<u8>, Malformed> {
    Ok(padded(rest, card_length(length)?)?.to_vec())
}

fn card_length(length: u32) -> Result<usize, Malformed> {
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= CARD)
        .ok_or(Malformed)
}

fn envelope(bytes: &[u8]) -> Result<Box<[u8; ENVELOPE]>, Malformed> {
    bytes
        .to_vec()
        .into_boxed_slice()
        .try_into()
        .map_err(|_| Malformed)
}

fn length(card: &[u8]) -> u32 {
    u32::try_from(card.len()).expect("a card has at most 32,768 bytes")
}

/// Encodes and decodes an entry that is one of two types by the CBOR type found.
macro_rules! either {
    ($name:ident, $a:ident($bytes:ty) if $type_a:pat, $b:ident($other:ty)) => {
        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                ctx: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                match self {
                    Self::$a(value) => encode_a(value, e, ctx),
                    Self::$b(value) => value.encode(e, ctx),
                }
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                ctx: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                match d.datatype()? {
                    $type_a => Ok(Self::$a(<$bytes as AsBytes>::read(d)?)),
                    _ => Ok(Self::$b(<$other as Decode<'b, C>>::decode(d, ctx)?)),
                }
            }
        }
    };
}

/// What is a byte string on the wire.
trait AsBytes: Sized {
    fn write(&self) -> &[u8];
    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, minicbor::decode::Error>;
}

fn encode_a<T: AsBytes, C, W: minicbor::encode::Write>(
    value: &T,
    e: &mut minicbor::Encoder<W>,
    _: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.bytes(value.write())?.ok()
}

fn exact(d: &mut minicbor::Decoder<'_>) -> Result<[u8; 32], minicbor::decode::Error> {
    d.bytes()?
        .try_into()
        .map_err(|_| minicbor::decode::Error::message("length"))
}

impl AsBytes for Address {
    fn write(&self) -> &[u8] {
        self.as_bytes()
    }

    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        exact(d).map(Self::from_bytes)
    }
}

impl AsBytes for WithdrawHash {
    fn write(&self) -> &[u8] {
        self.as_bytes()
    }

    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        exact(d).map(Self::from_bytes)
    }
}

/// A proof of work: at most 256 bytes.
impl AsBytes for Vec<u8> {
    fn write(&self) -> &[u8] {
        self
    }

    fn read(d: &mut minicbor::Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?;
        if bytes.len() > 256 {
            Err(minicbor::decode::Error::message("length"))
        } else {
            Ok(bytes.to_vec())
        }
    }
}

/// At most [`REMOVALS`] digests; the count is checked before anything is allocated.
struct Removals(Vec<EnvelopeDigest>);

impl<C> Encode<C> for Removals {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Removals {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let count = d.array()?.filter(|count| *count <= REMOVALS as u64);
        let count = count.ok_or_else(|| minicbor::decode::Error::message("count"))?;
        (0..count)
            .map(|_| EnvelopeDigest::decode(d, ctx))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

use minicbor::data::Type;
either!(First, Address(Address) if Type::Bytes, Number(u32));
either!(Third, Withdraw(WithdrawHash) if Type::Bytes, Cursor(u64));
either!(Fourth, Proof(Vec<u8>) if Type::Bytes, Removals(Removals));

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?})", self.kind())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "Refused({refusal:?})"),
            Self::Card(_) => f.write_str("Card(…)"),
            Self::Stored(stored) => write!(f, "Stored({stored:?})"),
            Self::Item(item) => write!(f, "Item({} waiting)", item.waiting),
            Self::Published => f.write_str("Published"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope_of(byte: u8) -> Box<[u8; ENVELOPE]> {
        envelope(&vec![byte; ENVELOPE]).unwrap()
    }

    fn requests() -> Vec<Request> {
        let mailbox = MailboxId::from_bytes([2; 32]);
        vec![
            Request::Card {
                address: Address::from_bytes([1; 32]),
            },
            Request::Deposit {
                target: Target::Sink,
                mailbox,
                withdraw: WithdrawHash::from_bytes([3; 32]),
                proof: vec![],
                envelope: envelope_of(7),
            },
            Request::Poll {
                target: Target::Return,
                mailbox,
                cursor: u64::MAX,
                removals: vec![EnvelopeDigest::from_bytes([0xff; 32]); REMOVALS],
                wait_seconds: WAIT_SECONDS,
            },
            Request::Publish {
                card: vec![9; CARD],
            },
        ]
    }

    #[test]
    fn every_request_survives_its_frames() {
        for request in requests() {
            let plain = request.encode();
            assert_eq!(plain.len(), request.kind().frames_up() * FRAME_PLAIN);
            let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
            assert_eq!(RequestKind::of_first_frame(first), Ok(request.kind()));
            assert_eq!(Request::decode(&plain), Ok(request));
        }
    }

    #[test]
    fn every_answer_survives_its_frames() {
        let answers = [
            (RequestKind::Card, Answer::Card(vec![1; CARD])),
            (RequestKind::Deposit, Answer::Stored(Stored::Replaced)),
            (
                RequestKind::Poll,
                Answer::Item(Item {
                    waiting: u32::MAX,
                    cursor: u64::MAX,
                    envelope: Some(envelope_of(1)),
                }),
            ),
            (
                RequestKind::Poll,
                Answer::Item(Item {
                    waiting: 0,
                    cursor: 0,
                    envelope: None,
                }),
            ),
            (RequestKind::Publish, Answer::Published),
        ];
        let refusals = Refusal::ALL.map(|refusal| (RequestKind::Poll, Answer::Refused(refusal)));
        for (kind, answer) in answers.into_iter().chain(refusals) {
            let plain = answer.encode(kind);
            assert_eq!(plain.len(), kind.frames_down() * FRAME_PLAIN);
            assert_eq!(Answer::decode(kind, &plain), Ok(answer));
        }
    }

    #[test]
    fn non_zero_padding_is_refused() {
        for request in requests() {
            let mut plain = request.encode();
            *plain.last_mut().unwrap() = 1;
            assert_eq!(Request::decode(&plain), Err(Malformed), "{request:?}");
        }
        let mut plain = Answer::Published.encode(RequestKind::Publish);
        *plain.last_mut().unwrap() = 1;
        assert_eq!(Answer::decode(RequestKind::Publish, &plain), Err(Malformed));
    }

    #[test]
    fn an_answer_to_another_kind_is_refused() {
        let plain = Answer::Stored(Stored::New).encode(RequestKind::Publish);
        assert_eq!(Answer::decode(RequestKind::Publish, &plain), Err(Malformed));
    }

    /// Builds the plaintext of one frame around a header.
    fn framed(header: &[u8]) -> Vec<u8> {
        let mut plain = u16::try_from(header.len()).unwrap().to_be_bytes().to_vec();
        plain.extend_from_slice(header);
        plain.resize(FRAME_PLAIN, 0);
        plain
    }

    #[test]
    fn malformed_headers_are_refused() {
        let mut poll = vec![0xa6, 0, 3, 1, 1, 2, 0x58, 32];
        poll.extend_from_slice(&[2; 32]);
        let tail = |rest: &[u8]| framed(&[&poll, rest].concat());
        assert!(Request::decode(&tail(&[3, 0, 4, 0x80, 5, 0])).is_ok());
        for (name, plain) in [
            ("empty", framed(&[])),
            ("unknown kind", framed(&[0xa2, 0, 9, 1, 0])),
            (
                "a poll of the sink",
                framed(
                    &[
                        &[0xa6, 0, 3, 1, 2, 2, 0x58, 32],
                        [2; 32].as_slice(),
                        &[3, 0, 4, 0x80, 5, 0],
                    ]
                    .concat(),
                ),
            ),
            (
                "a wait over the limit",
                tail(&[3, 0, 4, 0x80, 5, 0x18, 101]),
            ),
            (
                "a count of 2^64 - 1",
                tail(&[
                    3, 0, 4, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 5, 0,
                ]),
            ),
            ("an indefinite array", tail(&[3, 0, 4, 0x9f, 0xff, 5, 0])),
            ("a long integer", tail(&[3, 0x18, 0, 4, 0x80, 5, 0])),
            ("a missing key", tail(&[3, 0, 4, 0x80])),
            ("nesting", framed(&[0x81; FRAME_PLAIN - 2])),
            ("a length beyond the frame", vec![0xff; FRAME_PLAIN]),
            ("no frame", Vec::new()),
        ] {
            assert_eq!(Request::decode(&plain), Err(Malformed), "{name}");
        }
        assert_eq!(
            Request::decode(&Request::Publish { card: vec![] }.encode()[..FRAME_PLAIN]),
            Err(Malformed)
        );
    }

    #[test]
    fn a_card_over_the_limit_is_refused() {
        let plain = join(
            &AnswerHeader {
                kind: 1,
                number: Some(32_769),
                cursor: None,
                present: None,
            },
            &[],
            2,
        );
        assert_eq!(Answer::decode(RequestKind::Card, &plain), Err(Malformed));
    }
}

#[cfg(test)]
mod refusals;
