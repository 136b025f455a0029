//! Messages: what an envelope says (spec §4.5).
//!
//! One CBOR map; key 0 is its kind. A submission's content is an encoded map of its own, so that its hash does not depend on anything
//! that changes between two sendings.

use std::fmt;

use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder, Encode};
use thiserror::Error;

use crate::card::Proof;
use crate::cbor::{self, Malformed};
use crate::id::{Address, MailboxId, RelayId};
use crate::kem::KemPublic;
use crate::key::DhPublic;
use crate::limits::{NOTE, OTHERS, REPLY_TEXT, TEXT};
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

/// Answers on handling that contradict each other.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlingError {
    /// Names in public, but not to the Government.
    #[error("names in public reports need consent to name them to the Government first")]
    PublicWithoutGovernment,
    /// Unobtainable without a reason.
    #[error("where consent was unobtainable, the note must say why")]
    UnobtainableWithoutNote,
    /// Unobtainable, and published all the same.
    #[error("where consent was unobtainable, names cannot be published")]
    UnobtainableYetPublic,
    /// The note is empty or over its limit.
    #[error("the note on consent must have 1 to {NOTE} bytes")]
    NoteLength,
    /// Not a language tag.
    #[error("the language must be a tag such as en, fr or uz-Cyrl")]
    Language,
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

/// The part of a submission that its message tag covers.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Content {
    /// 1 to 50,000 bytes.
    #[n(0)]
    pub text: String,
    /// What may be done with it.
    #[n(1)]
    pub handling: Handling,
    /// The other addressees, ascending, at most 16.
    #[cbor(n(2), decode_with = "decode_others")]
    pub others: Vec<Address>,
}

/// What may be done with a submission, and how urgent it is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Handling {
    /// May the alleged victims be named to the Government?
    #[n(0)]
    pub name_to_government: Answer,
    /// May they be named in public reports?
    #[n(1)]
    pub name_in_public: Answer,
    /// Who agreed.
    #[n(2)]
    pub basis: ConsentBasis,
    /// Conditions, or why consent was unobtainable.
    #[n(3)]
    pub note: Option<String>,
    /// When it happens.
    #[n(4)]
    pub timing: Timing,
    /// How the source may be named.
    #[n(5)]
    pub attribution: Attribution,
    /// The language of the text, a tag of BCP 47.
    #[n(6)]
    pub language: String,
}

/// Yes, no, or ask first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Answer {
    /// No.
    #[n(0)]
    No,
    /// Yes.
    #[n(1)]
    Yes,
    /// Contact the source before.
    #[n(2)]
    Ask,
}

/// Who agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ConsentBasis {
    /// The alleged victim.
    #[n(0)]
    Oneself,
    /// Their representative.
    #[n(1)]
    Representative,
    /// Their family.
    #[n(2)]
    Family,
    /// Nobody could be asked; the note says why.
    #[n(3)]
    Unobtainable,
}

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Timing {
    /// About to happen.
    #[n(0)]
    Imminent,
    /// Going on.
    #[n(1)]
    Ongoing,
    /// Over.
    #[n(2)]
    Past,
    /// A practice.
    #[n(3)]
    Pattern,
    /// A bill, law or policy.
    #[n(4)]
    Law,
}

/// How the source may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Attribution {
    /// Not at all: the Chatham House Rule.
    #[n(0)]
    None,
    /// By organisation.
    #[n(1)]
    Organisation,
    /// By name.
    #[n(2)]
    Named,
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
    Content::decode(&map.content)?;
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
}

impl Content {
    /// Its bytes: what the message tag covers.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let content: Self = cbor::decode(bytes)?;
        content.check()?;
        Ok(content)
    }

    /// Checks, as the mechanism that it was sent to, that it is not among the others.
    ///
    /// # Errors
    /// [`MessageError::Addressees`].
    pub fn check_addressed(&self, address: &Address) -> Result<(), MessageError> {
        if self.others.contains(address) {
            Err(MessageError::Addressees)
        } else {
            Ok(())
        }
    }

    /// Checks lengths, handling and addressees.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn check(&self) -> Result<(), MessageError> {
        if !(1..=TEXT).contains(&self.text.len()) {
            return Err(MessageError::TextLength);
        }
        if self.others.len() > OTHERS || !self.others.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(MessageError::Addressees);
        }
        Ok(self.handling.check()?)
    }
}

impl Handling {
    /// Checks that the answers do not contradict each other.
    ///
    /// # Errors
    /// [`HandlingError`].
    pub fn check(&self) -> Result<(), HandlingError> {
        if self.name_in_public == Answer::Yes && self.name_to_government != Answer::Yes {
            return Err(HandlingError::PublicWithoutGovernment);
        }
        if self.basis == ConsentBasis::Unobtainable {
            if self.note.is_none() {
                return Err(HandlingError::UnobtainableWithoutNote);
            }
            if self.name_in_public != Answer::No {
                return Err(HandlingError::UnobtainableYetPublic);
            }
        }
        if self
            .note
            .as_ref()
            .is_some_and(|note| !(1..=NOTE).contains(&note.len()))
        {
            return Err(HandlingError::NoteLength);
        }
        if !crate::card::is_language(&self.language) {
            return Err(HandlingError::Language);
        }
        Ok(())
    }
}

fn decode_others<C>(d: &mut Decoder<'_>, ctx: &mut C) -> Result<Vec<Address>, DecodeError> {
    let count = d
        .array()?
        .filter(|count| *count <= OTHERS as u64)
        .ok_or_else(|| DecodeError::message("count"))?;
    (0..count).map(|_| Address::decode(d, ctx)).collect()
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
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
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
mod tests {
    use super::*;
    use crate::card::tests::{Mechanism, NOW};
    use crate::limits::MESSAGE;
    use crate::prekey::PrekeySecret;
    use crate::testing::rng;

    fn handling() -> Handling {
        Handling {
            name_to_government: Answer::Yes,
            name_in_public: Answer::Ask,
            basis: ConsentBasis::Family,
            note: None,
            timing: Timing::Imminent,
            attribution: Attribution::None,
            language: "es".into(),
        }
    }

    fn content(text: &str) -> Content {
        Content {
            text: text.into(),
            handling: handling(),
            others: vec![],
        }
    }

    fn submission(text: &str) -> Message {
        let reply = ReplyKeys {
            prekey: PrekeySecret::generate(&mut rng(1)).public(),
            mailbox: MailboxId::from_bytes([1; 32]),
            relay: RelayId::from_bytes([2; 32]),
        };
        let content = content(text).encode();
        Message::Submission(Submission {
            id: SubmissionId::from_bytes([3; 16]),
            epoch: 1,
            reply,
            content,
        })
    }

    fn reply(text: Option<&str>) -> Reply {
        Reply {
            id: SubmissionId::from_bytes([1; 16]),
            regards: SubmissionId::from_bytes([2; 16]),
            written: NOW.hour(),
            proof: Proof::of(&Mechanism::new(2).card(1, NOW)),
            text: text.map(Into::into),
        }
    }

    fn copy(proof: Option<Proof>) -> Message {
        Message::Copy(Copied {
            id: SubmissionId::from_bytes([1; 16]),
            regards: SubmissionId::from_bytes([2; 16]),
            written: NOW.hour(),
            send: DhPublic::from_bytes([3; 32]),
            text: None,
            proof,
        })
    }

    #[test]
    fn every_kind_survives_its_bytes() {
        for message in [
            Message::Cover,
            submission("x"),
            Message::Acknowledgement(reply(None)),
            Message::Reply(reply(Some("y"))),
            copy(None),
            copy(Some(reply(None).proof)),
        ] {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn the_longest_texts_fit_an_envelope() {
        let Message::Submission(mut full) = submission(&"x".repeat(TEXT)) else {
            unreachable!()
        };
        let mut content = full.content().unwrap();
        content.handling.note = Some("y".repeat(NOTE));
        content.handling.language = "l".repeat(35);
        content.others = (0..16).map(|at| Address::from_bytes([at; 32])).collect();
        full.content = content.encode();
        let length = Message::Submission(full.clone()).encode().len();
        assert!(length <= MESSAGE, "{length}");
        assert!(Message::decode(&Message::Submission(full).encode()).is_ok());
        // A reply's proof is a roster of at most 20,480 bytes and four roots of at most 104 each.
        let plain = Message::Reply(reply(Some(&"x".repeat(REPLY_TEXT))))
            .encode()
            .len();
        let proof = cbor::encode(&reply(None).proof).len();
        assert!(plain - proof + crate::limits::ROSTER + 4 * 104 + 80 <= MESSAGE);
    }

    #[test]
    fn texts_over_their_limits_are_refused() {
        for text in [String::new(), "x".repeat(TEXT + 1)] {
            assert_eq!(
                Message::decode(&submission(&text).encode()),
                Err(MessageError::TextLength)
            );
        }
        for text in ["", &"x".repeat(REPLY_TEXT + 1)] {
            assert_eq!(
                Message::decode(&Message::Reply(reply(Some(text))).encode()),
                Err(MessageError::TextLength)
            );
        }
    }

    #[test]
    fn an_acknowledgement_has_no_text_and_a_reply_has_one() {
        let swapped = Message::Acknowledgement(reply(Some("x"))).encode();
        assert_eq!(Message::decode(&swapped), Err(MessageError::Malformed));
        assert_eq!(
            Message::decode(&Message::Reply(reply(None)).encode()),
            Err(MessageError::Malformed)
        );
    }

    #[test]
    fn a_later_kind_is_told() {
        assert_eq!(
            Message::decode(&[0xa1, 0, 9]),
            Err(MessageError::UnknownKind(9))
        );
        assert_eq!(
            Message::decode(&[0xa2, 0, 0, 1, 0]),
            Err(MessageError::Malformed)
        );
        assert_eq!(Message::decode(&[]), Err(MessageError::Malformed));
    }

    #[test]
    fn kinds_stay_in_their_mailboxes() {
        let ack = Message::Acknowledgement(reply(None));
        assert!(ack.check_found_in(Mailbox::Return).is_ok());
        assert_eq!(
            ack.check_found_in(Mailbox::Inbox),
            Err(MessageError::WrongMailbox)
        );
        assert_eq!(
            submission("x").check_found_in(Mailbox::Return),
            Err(MessageError::WrongMailbox)
        );
        assert_eq!(
            copy(None).check_found_in(Mailbox::Return),
            Err(MessageError::WrongMailbox)
        );
        assert!(Message::Cover.check_found_in(Mailbox::Return).is_ok());
    }

    #[test]
    fn a_time_off_the_hour_is_refused() {
        let mut late = reply(Some("x"));
        late.written = late.written.plus(1);
        assert_eq!(
            Message::decode(&Message::Reply(late).encode()),
            Err(MessageError::NotOnTheHour)
        );
    }

    #[test]
    fn contradicting_answers_are_refused() {
        let check = |change: &dyn Fn(&mut Handling)| {
            let mut handling = handling();
            change(&mut handling);
            handling.check().err()
        };
        assert_eq!(check(&|_| ()), None);
        assert_eq!(
            check(&|h| {
                h.name_to_government = Answer::Ask;
                h.name_in_public = Answer::Yes;
            }),
            Some(HandlingError::PublicWithoutGovernment)
        );
        assert_eq!(
            check(&|h| h.basis = ConsentBasis::Unobtainable),
            Some(HandlingError::UnobtainableWithoutNote)
        );
        assert_eq!(
            check(&|h| {
                h.basis = ConsentBasis::Unobtainable;
                h.note = Some("detained".into());
            }),
            Some(HandlingError::UnobtainableYetPublic)
        );
        assert_eq!(
            check(&|h| h.note = Some(String::new())),
            Some(HandlingError::NoteLength)
        );
        assert_eq!(
            check(&|h| h.note = Some("x".repeat(NOTE + 1))),
            Some(HandlingError::NoteLength)
        );
        assert_eq!(
            check(&|h| h.language = "e".into()),
            Some(HandlingError::Language)
        );
    }

    #[test]
    fn addressees_ascend_and_none_is_named_twice() {
        let mut content = content("x");
        let (a, b) = (Address::from_bytes([1; 32]), Address::from_bytes([2; 32]));
        content.others = vec![a, b];
        assert_eq!(content.check(), Ok(()));
        for others in [vec![b, a], vec![a, a]] {
            content.others = others;
            assert_eq!(content.check(), Err(MessageError::Addressees));
        }
    }

    #[test]
    fn the_one_addressed_is_not_among_the_others() {
        let mut content = content("x");
        let (me, other) = (Address::from_bytes([1; 32]), Address::from_bytes([2; 32]));
        assert_eq!(content.check_addressed(&me), Ok(()));
        content.others = vec![other];
        assert_eq!(content.check_addressed(&me), Ok(()));
        content.others = vec![me, other];
        assert_eq!(content.check(), Ok(()));
        assert_eq!(content.check_addressed(&me), Err(MessageError::Addressees));
    }

    #[test]
    fn debug_shows_no_text() {
        let shown = format!(
            "{:?} {:?} {:?}",
            submission("SECRET"),
            content("SECRET"),
            reply(Some("SECRET"))
        );
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}

#[cfg(test)]
mod refusals;
