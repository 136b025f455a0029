//! Parcels on their way to a relay, wherever they come from.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use valise_protocol::id::Namespace;
use valise_protocol::key::DhSecret;
use valise_protocol::limits::PARCEL;
use valise_protocol::message::{Attachment, LIST_TYPE, Metadata};
use valise_protocol::parcel::{FileKey, ParcelBuffer};

use crate::failure::Failure;
use crate::home;

use super::reading::{Prepared, Unread};
use super::set::Keys;

/// Parcels on their way: of a file under its keys, or sealed before, elsewhere.
pub struct Item {
    origin: Origin,
    /// How many there are.
    pub count: u32,
    /// Proves to a relay who may put and delete them.
    pub write: DhSecret,
    /// Where they lie.
    pub namespace: Namespace,
    /// How many are known to be stored where they shall be.
    stored: AtomicU32,
}

/// Where parcels come from.
enum Origin {
    File {
        file: Arc<Prepared>,
        key: FileKey,
    },
    /// A file that holds them, from this place on.
    Sealed {
        file: Arc<File>,
        at: u64,
    },
}

impl Item {
    /// A file under its keys.
    pub(super) fn of(file: Arc<Prepared>, keys: Keys<'_>) -> Self {
        let keys = keys.of(&file.hash);
        let write = DhSecret::from_bytes(keys.write.link().expose());
        let count = file.count;
        let key = keys.file;
        Self::over(Origin::File { file, key }, count, write)
    }

    /// Parcels that were sealed before: so many, from this place of a file on.
    pub fn sealed(file: Arc<File>, at: u64, count: u32, write: DhSecret) -> Self {
        Self::over(Origin::Sealed { file, at }, count, write)
    }

    fn over(origin: Origin, count: u32, write: DhSecret) -> Self {
        Self {
            origin,
            count,
            namespace: Namespace::of_writer(write.public().as_bytes()),
            write,
            stored: AtomicU32::new(0),
        }
    }

    /// What a submission says of it.
    pub(super) fn attachment(&self) -> Option<Attachment> {
        let Origin::File { file, key } = &self.origin else {
            return None;
        };
        let source = file.source();
        let media_type = source.map_or(LIST_TYPE, |source| source.kind.media_type());
        Some(Attachment {
            key: key.clone(),
            namespace: self.namespace,
            length: file.length,
            hash: file.hash,
            name: source.and_then(|source| source.name.clone()),
            media_type: media_type.to_owned(),
            metadata: source.map_or(Metadata::Unknown, |source| source.metadata),
        })
    }

    /// The file, where it is one of the person's.
    pub fn file(&self) -> Option<&Prepared> {
        match &self.origin {
            Origin::File { file, .. } if file.source().is_some() => Some(file),
            _ => None,
        }
    }

    /// What it is called in a message.
    pub fn shown(&self) -> String {
        match &self.origin {
            Origin::File { file, .. } => file.shown(),
            Origin::Sealed { .. } => "a sealed file".to_owned(),
        }
    }

    /// Gives these parcels, ascending, until `give` wants no more.
    ///
    /// # Errors
    /// [`Unread`].
    pub fn parcels(
        &self,
        wanted: impl Iterator<Item = u32>,
        mut give: impl FnMut(u32, ParcelBuffer) -> bool,
    ) -> Result<(), Unread> {
        match &self.origin {
            Origin::File { file, key } => file.seal(&key.cipher(), wanted, give),
            Origin::Sealed { file, at } => {
                for index in wanted {
                    let mut bytes = vec![0; PARCEL];
                    let place = at + u64::from(index) * PARCEL as u64;
                    file.read_exact_at(&mut bytes, place).map_err(|error| {
                        Unread::Broken(home::disk("could not read the sealed case", &error))
                    })?;
                    let parcel = ParcelBuffer::from_sealed(bytes);
                    let parcel = parcel
                        .ok_or_else(|| Unread::Broken(Failure::new("there is no such parcel")))?;
                    if !give(index, parcel) {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// How many of its parcels are known to be stored.
    pub fn stored(&self) -> u32 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Notes how many are; gives by how many more that is than was known.
    pub(super) fn note_stored(&self, stored: u32) -> u32 {
        stored.saturating_sub(self.stored.swap(stored, Ordering::Relaxed))
    }

    /// Notes that one more is.
    pub(super) fn note_one(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many parcels these are.
pub fn parcels(items: &[Arc<Item>]) -> u64 {
    items.iter().map(|item| u64::from(item.count)).sum()
}

/// Bytes that travel to upload all of these.
pub fn bytes(items: &[Arc<Item>]) -> u64 {
    parcels(items) * PARCEL as u64
}

/// How many parcels of these are known to be stored.
pub fn stored(items: &[Arc<Item>]) -> u64 {
    items.iter().map(|item| u64::from(item.stored())).sum()
}
