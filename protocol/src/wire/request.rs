//! Requests: what a client asks for (spec §7.3).

use std::fmt;

use minicbor::{Decode, Encode};

use crate::cbor::Malformed;
use crate::id::{Address, EnvelopeDigest, MailboxId, WithdrawHash};
use crate::limits::{ENVELOPE, FRAME_PLAIN, WAIT_SECONDS};
use crate::wire::frame::{card_length, envelope, join, length, padded, split};
use crate::wire::key::{First, Fourth, Removals, Third};

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
        /// At most [`REMOVALS`](crate::limits::REMOVALS).
        removals: Vec<EnvelopeDigest>,
        /// At most [`WAIT_SECONDS`].
        wait_seconds: u16,
    },
    /// Keep a card.
    Publish {
        /// The card, at most [`CARD`](crate::limits::CARD) bytes.
        card: Vec<u8>,
    },
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

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?})", self.kind())
    }
}
