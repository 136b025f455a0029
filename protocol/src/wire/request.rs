//! Requests: what a client asks for (spec §7.3).

use std::fmt;

use minicbor::{Decode, Encode};

use crate::cbor::Malformed;
use crate::id::{Address, EnvelopeDigest, Grant, MailboxId, Namespace, WithdrawHash};
use crate::limits::{ENVELOPE, FRAME_PLAIN, PARCEL, PARCELS, WAIT_SECONDS};
use crate::parcel::ParcelBuffer;
use crate::wire::frame::{card_length, envelope, join, length, padded, parcel, split};
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
    /// Which parcels are there: 1 up, 1 down.
    Have,
    /// Store a parcel: 16 up, 1 down.
    Put,
    /// Give a parcel: 1 up, 16 down.
    Get,
    /// Give up a submission that was not collected: 1 up, 1 down.
    Withdraw,
    /// Delete the parcels of an attachment: 1 up, 1 down.
    Delete,
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
    /// Which parcels of an attachment are there.
    Have {
        /// Of which.
        namespace: Namespace,
    },
    /// Store a parcel.
    Put {
        /// Of which attachment: that of the link's key.
        namespace: Namespace,
        /// Which parcel of it.
        index: u32,
        /// On whose account.
        grant: Grant,
        /// The parcel.
        parcel: ParcelBuffer,
    },
    /// Give a parcel to a device.
    Get {
        /// The mechanism whose device asks.
        address: Address,
        /// Of which attachment.
        namespace: Namespace,
        /// Which parcel of it.
        index: u32,
    },
    /// Give up a submission that was not collected by everybody.
    Withdraw {
        /// Where it was deposited.
        inbox: MailboxId,
        /// What its withdraw hash is the hash of (spec §4.4).
        secret: [u8; 32],
    },
    /// Delete all parcels of an attachment.
    Delete {
        /// Of which attachment: that of the link's key.
        namespace: Namespace,
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
    second: Option<MailboxId>,
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
            Self::Card | Self::Poll | Self::Have | Self::Get | Self::Withdraw | Self::Delete => 1,
            Self::Publish => 2,
            Self::Deposit => 4,
            Self::Put => 16,
        }
    }

    /// Frames from the relay.
    pub const fn frames_down(self) -> usize {
        match self {
            Self::Deposit
            | Self::Publish
            | Self::Have
            | Self::Put
            | Self::Withdraw
            | Self::Delete => 1,
            Self::Card => 2,
            Self::Poll => 4,
            Self::Get => 16,
        }
    }

    fn of_number(number: u8) -> Result<Self, Malformed> {
        match number {
            1 => Ok(Self::Card),
            2 => Ok(Self::Deposit),
            3 => Ok(Self::Poll),
            4 => Ok(Self::Publish),
            5 => Ok(Self::Have),
            6 => Ok(Self::Put),
            7 => Ok(Self::Get),
            8 => Ok(Self::Withdraw),
            9 => Ok(Self::Delete),
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
    /// Where a put goes, and under which grant, by its first frame: so that a receiver need not keep what it will refuse. `None`
    /// where the frame begins another request, or none.
    pub fn put_in_first_frame(frame: &[u8; FRAME_PLAIN]) -> Option<(Namespace, u32, Grant)> {
        let (header, _) = split::<RequestHeader>(frame).ok()?;
        match Head::of(header).ok()? {
            Head::Put {
                namespace,
                index,
                grant,
            } => Some((namespace, index, grant)),
            _ => None,
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> RequestKind {
        match self {
            Self::Card { .. } => RequestKind::Card,
            Self::Deposit { .. } => RequestKind::Deposit,
            Self::Poll { .. } => RequestKind::Poll,
            Self::Publish { .. } => RequestKind::Publish,
            Self::Have { .. } => RequestKind::Have,
            Self::Put { .. } => RequestKind::Put,
            Self::Get { .. } => RequestKind::Get,
            Self::Withdraw { .. } => RequestKind::Withdraw,
            Self::Delete { .. } => RequestKind::Delete,
        }
    }

    /// The plaintext of its frames.
    pub fn encode(&self) -> Vec<u8> {
        let blank = RequestHeader {
            kind: 0,
            first: First::Number(0),
            second: None,
            third: None,
            fourth: None,
            wait: None,
        };
        let (header, attachment): (_, &[u8]) = match self {
            Self::Card { address } => (
                RequestHeader {
                    kind: 1,
                    first: First::Bytes(*address.as_bytes()),
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
                    second: Some(*mailbox),
                    third: Some(Third::Bytes(*withdraw.as_bytes())),
                    fourth: Some(Fourth::Bytes(proof.clone())),
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
                    second: Some(*mailbox),
                    third: Some(Third::Number(*cursor)),
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
            Self::Have { namespace } => (
                RequestHeader {
                    kind: 5,
                    first: First::Bytes(*namespace.as_bytes()),
                    ..blank
                },
                &[],
            ),
            Self::Put {
                namespace,
                index,
                grant,
                parcel,
            } => (
                RequestHeader {
                    kind: 6,
                    first: First::Bytes(*namespace.as_bytes()),
                    third: Some(Third::Number(u64::from(*index))),
                    fourth: Some(Fourth::Bytes(grant.as_bytes().to_vec())),
                    ..blank
                },
                parcel.sealed(),
            ),
            Self::Get {
                address,
                namespace,
                index,
            } => (
                RequestHeader {
                    kind: 7,
                    first: First::Bytes(*address.as_bytes()),
                    second: Some(MailboxId::from_bytes(*namespace.as_bytes())),
                    third: Some(Third::Number(u64::from(*index))),
                    ..blank
                },
                &[],
            ),
            Self::Withdraw { inbox, secret } => (
                RequestHeader {
                    kind: 8,
                    first: First::Bytes(*inbox.as_bytes()),
                    third: Some(Third::Bytes(*secret)),
                    ..blank
                },
                &[],
            ),
            Self::Delete { namespace } => (
                RequestHeader {
                    kind: 9,
                    first: First::Bytes(*namespace.as_bytes()),
                    ..blank
                },
                &[],
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
            Head::Have { namespace } => Self::Have { namespace },
            Head::Put {
                namespace,
                index,
                grant,
            } => Self::Put {
                namespace,
                index,
                grant,
                parcel: parcel(attachment)?,
            },
            Head::Get {
                address,
                namespace,
                index,
            } => Self::Get {
                address,
                namespace,
                index,
            },
            Head::Withdraw { inbox, secret } => Self::Withdraw { inbox, secret },
            Head::Delete { namespace } => Self::Delete { namespace },
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
    Have {
        namespace: Namespace,
    },
    Put {
        namespace: Namespace,
        index: u32,
        grant: Grant,
    },
    Get {
        address: Address,
        namespace: Namespace,
        index: u32,
    },
    Withdraw {
        inbox: MailboxId,
        secret: [u8; 32],
    },
    Delete {
        namespace: Namespace,
    },
}

impl Head {
    fn of(header: RequestHeader) -> Result<Self, Malformed> {
        match (RequestKind::of_number(header.kind)?, header) {
            (
                RequestKind::Card,
                RequestHeader {
                    first: First::Bytes(address),
                    second: None,
                    third: None,
                    fourth: None,
                    wait: None,
                    ..
                },
            ) => Ok(Self::Card {
                address: Address::from_bytes(address),
            }),
            (
                RequestKind::Deposit,
                RequestHeader {
                    first: First::Number(target),
                    second: Some(mailbox),
                    third: Some(Third::Bytes(withdraw)),
                    fourth: Some(Fourth::Bytes(proof)),
                    wait: None,
                    ..
                },
            ) => Ok(Self::Deposit {
                target: Target::of_number(target)?,
                mailbox,
                withdraw: WithdrawHash::from_bytes(withdraw),
                proof,
            }),
            (
                RequestKind::Poll,
                RequestHeader {
                    first: First::Number(target @ 0..=1),
                    second: Some(mailbox),
                    third: Some(Third::Number(cursor)),
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
                    second: None,
                    third: None,
                    fourth: None,
                    wait: None,
                    ..
                },
            ) => Ok(Self::Publish {
                length: card_length(length)?,
            }),
            (
                RequestKind::Have,
                RequestHeader {
                    first: First::Bytes(namespace),
                    second: None,
                    third: None,
                    fourth: None,
                    wait: None,
                    ..
                },
            ) => Ok(Self::Have {
                namespace: Namespace::from_bytes(namespace),
            }),
            (
                RequestKind::Put,
                RequestHeader {
                    first: First::Bytes(namespace),
                    second: None,
                    third: Some(Third::Number(number)),
                    fourth: Some(Fourth::Bytes(grant)),
                    wait: None,
                    ..
                },
            ) => Ok(Self::Put {
                namespace: Namespace::from_bytes(namespace),
                index: index(number)?,
                grant: Grant::from_bytes(grant.try_into().map_err(|_| Malformed)?),
            }),
            (
                RequestKind::Get,
                RequestHeader {
                    first: First::Bytes(address),
                    second: Some(namespace),
                    third: Some(Third::Number(number)),
                    fourth: None,
                    wait: None,
                    ..
                },
            ) => Ok(Self::Get {
                address: Address::from_bytes(address),
                namespace: Namespace::from_bytes(*namespace.as_bytes()),
                index: index(number)?,
            }),
            (
                RequestKind::Withdraw,
                RequestHeader {
                    first: First::Bytes(inbox),
                    second: None,
                    third: Some(Third::Bytes(secret)),
                    fourth: None,
                    wait: None,
                    ..
                },
            ) => Ok(Self::Withdraw {
                inbox: MailboxId::from_bytes(inbox),
                secret,
            }),
            (
                RequestKind::Delete,
                RequestHeader {
                    first: First::Bytes(namespace),
                    second: None,
                    third: None,
                    fourth: None,
                    wait: None,
                    ..
                },
            ) => Ok(Self::Delete {
                namespace: Namespace::from_bytes(namespace),
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
            Self::Have { .. } => RequestKind::Have,
            Self::Put { .. } => RequestKind::Put,
            Self::Get { .. } => RequestKind::Get,
            Self::Withdraw { .. } => RequestKind::Withdraw,
            Self::Delete { .. } => RequestKind::Delete,
        }
    }

    /// How many bytes follow the header before the padding.
    const fn attachment(&self) -> usize {
        match self {
            Self::Card { .. }
            | Self::Poll { .. }
            | Self::Have { .. }
            | Self::Get { .. }
            | Self::Withdraw { .. }
            | Self::Delete { .. } => 0,
            Self::Put { .. } => PARCEL,
            Self::Deposit { .. } => ENVELOPE,
            Self::Publish { length } => *length,
        }
    }
}

fn index(number: u64) -> Result<u32, Malformed> {
    let index = u32::try_from(number).map_err(|_| Malformed)?;
    if index < PARCELS {
        Ok(index)
    } else {
        Err(Malformed)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?})", self.kind())
    }
}
