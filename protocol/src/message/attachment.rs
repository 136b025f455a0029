//! What a submission says of the files that travel beside it (spec §9.4).

use std::fmt;

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::cbor;
use crate::id::Namespace;
use crate::limits::{ATTACHMENT, ATTACHMENTS, FILE_NAME, LIST, LIST_HERE, MEDIA_TYPE};
use crate::message::MessageError;
use crate::parcel::{AttachmentKeys, FileHash, FileKey};

/// One file.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Attachment {
    /// Opens its parcels.
    #[n(0)]
    pub key: FileKey,
    /// Where they lie.
    #[n(1)]
    pub namespace: Namespace,
    /// Its true length in bytes.
    #[n(2)]
    pub length: u64,
    /// Of its bytes, exactly as they were sent.
    #[n(3)]
    pub hash: FileHash,
    /// Its name on the sender's machine, 1 to 255 bytes, if the sender wanted it to be known. Never the name of a file anywhere else.
    #[n(4)]
    pub name: Option<String>,
    /// Such as `image/jpeg`, 1 to 127 bytes: what the sender's program took it for.
    #[n(5)]
    pub media_type: String,
    /// What became of what the file says about where, when and by what it was made.
    #[n(6)]
    pub metadata: Metadata,
}

/// The media type of a list.
pub const LIST_TYPE: &str = "application/cbor";

/// What became of a file's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Metadata {
    /// The sender's program cannot look into files of this kind.
    #[n(0)]
    Unknown,
    /// It found none.
    #[n(1)]
    NoneFound,
    /// It found some, and the sender kept them: originals are evidence.
    #[n(2)]
    Kept,
    /// It took them out.
    #[n(3)]
    Stripped,
}

/// The files of a submission.
#[derive(Clone, PartialEq, Eq)]
pub enum Attached {
    /// All of them, here.
    Here(Vec<Attachment>),
    /// Their list is a file of its own, because it is long ([`encode_list`]).
    List(Box<Attachment>),
}

impl Attachment {
    /// What stands for a list of files: its keys, the length of its plaintext and its hash.
    pub(super) fn of_list(keys: &AttachmentKeys, length: u64, hash: FileHash) -> Self {
        Self {
            key: keys.file.clone(),
            namespace: keys.write.namespace(),
            length,
            hash,
            name: None,
            media_type: LIST_TYPE.to_owned(),
            metadata: Metadata::Unknown,
        }
    }

    /// Checks lengths and texts.
    ///
    /// # Errors
    /// [`MessageError::Attachments`].
    pub fn check(&self) -> Result<(), MessageError> {
        let name = self
            .name
            .as_ref()
            .is_none_or(|name| (1..=FILE_NAME).contains(&name.len()));
        let media_type = (1..=MEDIA_TYPE).contains(&self.media_type.len())
            && self.media_type.bytes().all(|byte| byte.is_ascii_graphic());
        if name && media_type && self.length <= ATTACHMENT {
            Ok(())
        } else {
            Err(MessageError::Attachments)
        }
    }
}

impl Attached {
    /// Checks what stands here. How long a list is does not matter as long as it is not too long: nobody can tell here whether the
    /// files would have fitted.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn check(&self) -> Result<(), MessageError> {
        match self {
            Self::Here(files) => {
                check_list(files)?;
                at_most(encode_list(files).len() as u64, LIST_HERE as u64)
            }
            Self::List(list) => {
                list.check()?;
                let plain = list.name.is_none()
                    && list.media_type == LIST_TYPE
                    && list.metadata == Metadata::Unknown;
                if !plain {
                    return Err(MessageError::FileList);
                }
                at_most(list.length, LIST)
            }
        }
    }
}

const fn at_most(length: u64, limit: u64) -> Result<(), MessageError> {
    if length <= limit {
        Ok(())
    } else {
        Err(MessageError::TooLong)
    }
}

/// Puts files into the order in which they are listed. Of equal ones, which have one namespace, that with the lesser encoding is
/// listed: it does not matter in which order they were given.
pub fn in_order(mut files: Vec<Attachment>) -> Vec<Attachment> {
    files.sort_by_cached_key(|file| (file.namespace, cbor::encode(file)));
    files.dedup_by_key(|file| file.namespace);
    files
}

/// A list of files in their order: what stands in a content, or is the plaintext of a file of its own where it is long.
pub fn encode_list(files: &[Attachment]) -> Vec<u8> {
    cbor::encode(files)
}

/// Reads such a list.
///
/// # Errors
/// [`MessageError`].
pub fn decode_list(bytes: &[u8]) -> Result<Vec<Attachment>, MessageError> {
    let List(files) = cbor::decode(bytes)?;
    check_list(&files)?;
    Ok(files)
}

pub(super) fn check_list(files: &[Attachment]) -> Result<(), MessageError> {
    if !(1..=ATTACHMENTS).contains(&files.len()) {
        return Err(MessageError::Attachments);
    }
    let ascending = |pair: &[Attachment]| pair[0].namespace < pair[1].namespace;
    if !files.windows(2).all(ascending) {
        return Err(MessageError::FileOrder);
    }
    files.iter().try_for_each(Attachment::check)
}

/// The count is checked before anything is made of it.
struct List(Vec<Attachment>);

impl<C> Encode<C> for List {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for List {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let count = d.array()?.filter(|count| *count <= ATTACHMENTS as u64);
        let count = count.ok_or_else(|| decode::Error::message("count"))?;
        let files = (0..count).map(|_| Attachment::decode(d, ctx));
        files.collect::<Result<_, _>>().map(Self)
    }
}

impl<C> Encode<C> for Attached {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Here(files) => files.encode(e, ctx),
            Self::List(list) => list.encode(e, ctx),
        }
    }
}

impl<'b, C> Decode<'b, C> for Attached {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        match d.datatype()? {
            Type::Array => Ok(Self::Here(List::decode(d, ctx)?.0)),
            _ => Ok(Self::List(Box::new(Attachment::decode(d, ctx)?))),
        }
    }
}

/// Names are not shown.
impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").finish_non_exhaustive()
    }
}
