//! What a source says, and what may be done with it (spec §4.5).

use std::fmt;

use minicbor::decode::Error as DecodeError;
use minicbor::{Decode, Decoder, Encode};
use thiserror::Error;

use crate::cbor;
use crate::id::Address;
use crate::limits::{CONTENT, LIST_HERE, NOTE, OTHERS, TEXT};
use crate::message::MessageError;
use crate::message::attachment::{Attached, Attachment, check_list, encode_list, in_order};
use crate::parcel::{AttachmentKeys, FileHash};

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
    /// The files that travel beside it.
    #[n(3)]
    pub attached: Option<Attached>,
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
        if bytes.len() > CONTENT {
            return Err(MessageError::TooLong);
        }
        let content: Self = cbor::decode(bytes)?;
        content.check()?;
        Ok(content)
    }

    /// Attaches files: in their order, as an array where it fits, otherwise by a list. Gives the plaintext of that list, a file to be
    /// sent like the others; `keys` are of the root, or for one mechanism, as for the others.
    ///
    /// # Errors
    /// [`MessageError`] where there are too many files, or what is said of one is not as it must be.
    pub fn attach(
        &mut self,
        files: Vec<Attachment>,
        keys: impl FnOnce(&FileHash) -> AttachmentKeys,
    ) -> Result<Option<Vec<u8>>, MessageError> {
        let files = in_order(files);
        if files.is_empty() {
            self.attached = None;
            return Ok(None);
        }
        check_list(&files)?;
        let array = encode_list(&files);
        self.attached = Some(Attached::Here(files));
        if array.len() <= LIST_HERE && cbor::encode(self).len() <= CONTENT {
            return Ok(None);
        }
        let hash = FileHash::of(&array);
        let list = Attachment::of_list(&keys(&hash), array.len() as u64, hash);
        self.attached = Some(Attached::List(Box::new(list)));
        Ok(Some(array))
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
        if let Some(attached) = &self.attached {
            attached.check()?;
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

/// Texts are not shown.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
    }
}
