//! Messages: what an envelope says (spec §4.5).
//!
//! One CBOR map; key 0 is its kind. A submission's content is an encoded map of its own, so that its hash does not depend on anything
//! that changes between two sendings.

mod attachment;
mod content;

pub use attachment::{
    Attached, Attachment, LIST_TYPE, Metadata, decode_list, encode_list, in_order,
};
pub use content::{Answer, Attribution, ConsentBasis, Content, Handling, HandlingError, Timing};

use std::fmt;

use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder, Encode};
use thiserror::Error;

use crate::card::Proof;
use crate::cbor::{self, Malformed};
use crate::id::{MailboxId, RelayId};
use crate::kem::KemPublic;
use crate::key::DhPublic;
use crate::limits::{RELAYS, REPLY_TEXT};
use crate::prekey::Prekey;
use crate::time::Timestamp;

/// Why bytes are not a message, or not one for where they were found.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// Not deterministic CBOR of a known kind with that kind's keys.
    #[error("the message is malformed")]
    Malformed,
    /// Of a kind that this build does not know.
    #[error("message kind {0} is not known to this build")]
    UnknownKind(u8),
    /// A text is empty, or longer than its limit.
    #[error("a text in the message is empty or too long")]
    TextLength,
    /// The answers on handling contradict each other.
    #[error("{0}")]
    Handling(#[from] HandlingError),
    /// The other addressees are too many, out of order, or name one twice or the one addressed.
    #[error("the list of other addressees is malformed")]
    Addressees,
    /// What is said of an attached file is malformed, or there are none or too many.
    #[error("the list of attached files is malformed")]
    Attachments,
    /// The attached files are not in the order of their namespaces, or one is there twice.
    #[error("the attached files are out of order")]
    FileOrder,
    /// What stands for a list of files has a name, another media type or other metadata.
    #[error("what should list the attached files is no such list")]
    FileList,
    /// Files without the relays that hold them, or such relays without files.
    #[error("files and the relays that hold them do not come together")]
    Holders,
    /// The content, the attached files that stand in it, or their list are longer than they may be.
    #[error("the content or the list of attached files is too long")]
    TooLong,
    /// A time is not on the hour.
    #[error("the time of writing is not on the hour")]
    NotOnTheHour,
    /// A reply in an inbox, or a submission in a return mailbox.
    #[error("this kind of message does not belong in this mailbox")]
    WrongMailbox,
}

impl From<Malformed> for MessageError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Which kind of mailbox an envelope was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailbox {
    /// A mechanism's inbox.
    Inbox,
    /// A defender's return mailbox.
    Return,
}

/// Names a submission between defender and mechanism: 16 bytes, shown as its first eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct SubmissionId(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing.
    Cover,
    /// What a source sends.
    Submission(Submission),
    /// A device says that somebody has read a submission. Its `text` is `None`.
    Acknowledgement(Reply),
    /// A device answers a submission. Its `text` is there.
    Reply(Reply),
    /// A device tells its colleagues what it answered.
    Copy(Copied),
}

/// What a source sends.
#[derive(Clone, PartialEq, Eq)]
pub struct Submission {
    /// From the message tag.
    pub id: SubmissionId,
    /// The roster that it was sealed to.
    pub epoch: u64,
    /// Where replies go.
    pub reply: ReplyKeys,
    /// The encoding of a [`Content`].
    pub content: Vec<u8>,
    /// The relays that hold the parcels of its files, in the order in which to ask them; empty where it has none. Not part of the
    /// content, because a second sending may go through another relay.
    pub holders: Vec<RelayId>,
}

/// Where replies go, and what they are sealed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyKeys {
    /// The prekey that a reply's one real slot is sealed to.
    pub prekey: Prekey,
    /// The return mailbox.
    pub mailbox: MailboxId,
    /// The relay that holds it: one of the mechanism's own roster, or it is not answered.
    pub relay: RelayId,
}

/// An acknowledgement or a reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// Random.
    pub id: SubmissionId,
    /// The submission it is about.
    pub regards: SubmissionId,
    /// When it was written, on the hour.
    pub written: Timestamp,
    /// What shows that its writer is a device of the mechanism.
    pub proof: Proof,
    /// 1 to 32,000 bytes; `None` in an acknowledgement.
    pub text: Option<String>,
}

/// What one device tells its colleagues.
#[derive(Clone, PartialEq, Eq)]
pub struct Copied {
    /// The id of the acknowledgement or reply.
    pub id: SubmissionId,
    /// The submission it was about.
    pub regards: SubmissionId,
    /// When it was written, on the hour.
    pub written: Timestamp,
    /// Who sent that submission.
    pub send: DhPublic,
    /// `None` where it was an acknowledgement.
    pub text: Option<String>,
    /// The writer's roster: a colleague from whom a newer one is withheld learns it so.
    pub proof: Option<Proof>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct CoverMap {
    #[n(0)]
    kind: u8,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct SubmissionMap {
    #[n(0)]
    kind: u8,
    #[n(1)]
    id: SubmissionId,
    #[n(2)]
    epoch: u64,
    #[n(3)]
    reply: ReplyMap,
    #[cbor(n(4), with = "minicbor::bytes")]
    content: Vec<u8>,
    #[cbor(n(5), decode_with = "decode_holders")]
    holders: Option<Vec<RelayId>>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct ReplyMap {
    #[n(0)]
    dh: DhPublic,
    #[n(1)]
    kem: KemPublic,
    #[n(2)]
    mailbox: MailboxId,
    #[n(3)]
    relay: RelayId,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct AnswerMap {
    #[n(0)]
    kind: u8,
    #[n(1)]
    id: SubmissionId,
    #[n(2)]
    regards: SubmissionId,
    #[n(3)]
    written: Timestamp,
    #[n(4)]
    proof: Proof,
    #[n(5)]
    text: Option<String>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct CopyMap {
    #[n(0)]
    kind: u8,
    #[n(1)]
    id: SubmissionId,
    #[n(2)]
    regards: SubmissionId,
    #[n(3)]
    written: Timestamp,
    #[n(4)]
    send: DhPublic,
    #[n(5)]
    text: Option<String>,
    #[n(6)]
    proof: Option<Proof>,
}

/// Only the kind.
#[derive(Decode)]
#[cbor(map)]
struct Peek {
    #[n(0)]
    kind: u8,
}

impl Message {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Cover => cbor::encode(&CoverMap { kind: 0 }),
            Self::Submission(submission) => cbor::encode(&SubmissionMap {
                kind: 1,
                id: submission.id,
                epoch: submission.epoch,
                reply: ReplyMap {
                    dh: submission.reply.prekey.dh,
                    kem: submission.reply.prekey.kem.clone(),
                    mailbox: submission.reply.mailbox,
                    relay: submission.reply.relay,
                },
                content: submission.content.clone(),
                holders: (!submission.holders.is_empty()).then(|| submission.holders.clone()),
            }),
            Self::Acknowledgement(reply) => cbor::encode(&reply.map(2)),
            Self::Reply(reply) => cbor::encode(&reply.map(3)),
            Self::Copy(copy) => cbor::encode(&CopyMap {
                kind: 4,
                id: copy.id,
                regards: copy.regards,
                written: copy.written,
                send: copy.send,
                text: copy.text.clone(),
                proof: copy.proof.clone(),
            }),
        }
    }

    /// Reads a message. A submission's content is checked too, so that [`Submission::content`] cannot fail later.
    ///
    /// What needs more than its bytes is left to the caller: [`Self::check_found_in`]; [`Content::check_addressed`]; that an answer's
    /// writer is on the roster of its [`Proof`], and a copy's on the current one (spec §4.5).
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let peek: Peek = minicbor::decode(bytes).map_err(|_| MessageError::Malformed)?;
        match peek.kind {
            0 => {
                cbor::decode::<CoverMap>(bytes)?;
                Ok(Self::Cover)
            }
            1 => decode_submission(bytes),
            kind @ (2 | 3) => {
                let reply = Reply::of(cbor::decode(bytes)?)?;
                match (kind, reply.text.is_some()) {
                    (2, false) => Ok(Self::Acknowledgement(reply)),
                    (3, true) => Ok(Self::Reply(reply)),
                    _ => Err(MessageError::Malformed),
                }
            }
            4 => decode_copy(bytes),
            kind => Err(MessageError::UnknownKind(kind)),
        }
    }

    /// Checks that a message of this kind belongs where it was found.
    ///
    /// # Errors
    /// [`MessageError::WrongMailbox`].
    pub const fn check_found_in(&self, mailbox: Mailbox) -> Result<(), MessageError> {
        match (self, mailbox) {
            (Self::Cover, _)
            | (Self::Submission(_) | Self::Copy(_), Mailbox::Inbox)
            | (Self::Acknowledgement(_) | Self::Reply(_), Mailbox::Return) => Ok(()),
            _ => Err(MessageError::WrongMailbox),
        }
    }
}

fn decode_submission(bytes: &[u8]) -> Result<Message, MessageError> {
    let map: SubmissionMap = cbor::decode(bytes)?;
    let content = Content::decode(&map.content)?;
    if content.attached.is_some() != map.holders.is_some() {
        return Err(MessageError::Holders);
    }
    let reply = ReplyKeys {
        prekey: Prekey {
            dh: map.reply.dh,
            kem: map.reply.kem,
        },
        mailbox: map.reply.mailbox,
        relay: map.reply.relay,
    };
    Ok(Message::Submission(Submission {
        id: map.id,
        epoch: map.epoch,
        reply,
        content: map.content,
        holders: map.holders.unwrap_or_default(),
    }))
}

fn decode_copy(bytes: &[u8]) -> Result<Message, MessageError> {
    let map: CopyMap = cbor::decode(bytes)?;
    check_written(map.written)?;
    check_reply_text(map.text.as_deref())?;
    Ok(Message::Copy(Copied {
        id: map.id,
        regards: map.regards,
        written: map.written,
        send: map.send,
        text: map.text,
        proof: map.proof,
    }))
}

/// 1 to 8 relays; the count is checked before anything is made of it.
fn decode_holders<C>(
    d: &mut Decoder<'_>,
    ctx: &mut C,
) -> Result<Option<Vec<RelayId>>, DecodeError> {
    let count = d
        .array()?
        .filter(|count| (1..=RELAYS as u64).contains(count));
    let count = count.ok_or_else(|| DecodeError::message("count"))?;
    let holders = (0..count).map(|_| RelayId::decode(d, ctx));
    holders.collect::<Result<_, _>>().map(Some)
}

fn check_written(written: Timestamp) -> Result<(), MessageError> {
    if written == written.hour() {
        Ok(())
    } else {
        Err(MessageError::NotOnTheHour)
    }
}

fn check_reply_text(text: Option<&str>) -> Result<(), MessageError> {
    let fits = text.is_none_or(|text| (1..=REPLY_TEXT).contains(&text.len()));
    if fits {
        Ok(())
    } else {
        Err(MessageError::TextLength)
    }
}

impl Reply {
    fn map(&self, kind: u8) -> AnswerMap {
        AnswerMap {
            kind,
            id: self.id,
            regards: self.regards,
            written: self.written,
            proof: self.proof.clone(),
            text: self.text.clone(),
        }
    }

    fn of(map: AnswerMap) -> Result<Self, MessageError> {
        check_written(map.written)?;
        check_reply_text(map.text.as_deref())?;
        Ok(Self {
            id: map.id,
            regards: map.regards,
            written: map.written,
            proof: map.proof,
            text: map.text,
        })
    }
}

impl Submission {
    /// What it says. It was checked when the message was read.
    ///
    /// # Errors
    /// [`MessageError`] where the submission was put together by hand.
    pub fn content(&self) -> Result<Content, MessageError> {
        Content::decode(&self.content)
    }

    /// Adds the relays that a repeat of it names behind those known, each once, as long as there is room. Nothing else in a repeat
    /// counts, and where this one has no files, nothing at all (spec §9.4).
    pub fn add_holders(&mut self, repeat: &Self) {
        if self.holders.is_empty() {
            return;
        }
        for holder in &repeat.holders {
            if self.holders.len() < RELAYS && !self.holders.contains(holder) {
                self.holders.push(*holder);
            }
        }
    }
}

impl SubmissionId {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Eight hexadecimal digits: enough for a person to tell submissions apart.
impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubmissionId({self}…)")
    }
}

/// Texts are not shown.
impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Texts are not shown.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("regards", &self.regards)
            .finish_non_exhaustive()
    }
}

/// Texts are not shown.
impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copied")
            .field("regards", &self.regards)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod refusals;
