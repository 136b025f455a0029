//! The files of a submission together: their keys, and what the submission says of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use valise_protocol::bulk::Marker;
use valise_protocol::id::Namespace;
use valise_protocol::limits::PARCEL;
use valise_protocol::message::{Attached, Attachment, Content, LIST_TYPE, Metadata};
use valise_protocol::parcel::{AttachmentKeys, FileHash};
use valise_protocol::phrase::{DefenderKeys, DefenderRoot};

use crate::failure::{Failure, Outcome};
use crate::progress::Progress;
use crate::random;

use super::reading::Prepared;
use super::source::Source;

/// The files of the person's, each after its first reading.
pub struct Files {
    files: Vec<Arc<Prepared>>,
    marker: Arc<Marker>,
}

/// From what the keys follow (spec §9.1).
#[derive(Clone, Copy)]
pub enum Keys<'a> {
    /// One upload serves all addressees.
    Shared(&'a DefenderRoot),
    /// An upload of its own, that nothing links with those for others.
    Alone(&'a DefenderKeys),
}

/// Files under their keys: what is uploaded, and what a submission says of it.
pub struct Set {
    /// What stands in the content.
    pub attached: Option<Attached>,
    /// What is uploaded: the files and, where it is one, their list.
    pub items: Vec<Arc<Item>>,
}

/// A file under its keys.
pub struct Item {
    /// The file.
    pub file: Arc<Prepared>,
    /// Its keys.
    pub keys: AttachmentKeys,
    /// Where its parcels lie.
    pub namespace: Namespace,
    /// How many parcels are known to be stored where they shall be.
    stored: AtomicU32,
}

impl Files {
    /// Reads all files for the first time, and shows how far it has come.
    ///
    /// # Errors
    /// A failure about the first that cannot be read.
    pub fn read(sources: Vec<Source>) -> Outcome<Self> {
        let marker = Arc::new(Marker::new(&mut random::system()));
        let mut total = 0;
        for source in &sources {
            total += source.open()?.1;
        }
        let progress = Progress::new("reading", total);
        let files = sources.into_iter().map(|source| {
            let read = Prepared::read(source, &marker, &|bytes| progress.add(bytes));
            read.map(Arc::new)
        });
        let files = files.collect::<Outcome<_>>()?;
        progress.finish();
        Ok(Self { files, marker })
    }

    /// Under these keys, and attached to a content.
    ///
    /// # Errors
    /// A failure when the submission cannot say what it must of them.
    pub fn under(&self, keys: Keys<'_>, content: &mut Content) -> Outcome<Set> {
        let items = self.files.iter().map(|file| Item::new(file.clone(), keys));
        let mut items: Vec<Arc<Item>> = items.map(Arc::new).collect();
        let said = items.iter().map(|item| item.attachment()).collect();
        // Two files with the same bytes are one.
        items.sort_by_key(|item| item.namespace);
        items.dedup_by_key(|item| item.namespace);
        let list = content.attach(said, |hash| keys.of(hash));
        let list = list.map_err(|error| Failure::new(error.to_string()))?;
        if let Some(list) = list {
            let file = Arc::new(Prepared::made(list, &self.marker)?);
            // It goes first: without it staff know nothing of the others.
            items.insert(0, Arc::new(Item::new(file, keys)));
        }
        Ok(Set {
            attached: content.attached.clone(),
            items,
        })
    }
}

impl Keys<'_> {
    fn of(self, hash: &FileHash) -> AttachmentKeys {
        match self {
            Self::Shared(root) => root.attachment(hash),
            Self::Alone(keys) => keys.attachment(hash),
        }
    }
}

impl Set {
    /// How many parcels there are.
    pub fn parcels(&self) -> u64 {
        self.items
            .iter()
            .map(|item| u64::from(item.file.count))
            .sum()
    }

    /// Bytes that travel to upload all of it.
    pub fn bytes(&self) -> u64 {
        self.parcels() * PARCEL as u64
    }

    /// How many parcels are known to be stored.
    pub fn stored(&self) -> u64 {
        self.items.iter().map(|item| u64::from(item.stored())).sum()
    }
}

impl Item {
    fn new(file: Arc<Prepared>, keys: Keys<'_>) -> Self {
        let keys = keys.of(&file.hash);
        Self {
            namespace: keys.write.namespace(),
            file,
            keys,
            stored: AtomicU32::new(0),
        }
    }

    /// What a submission says of it.
    fn attachment(&self) -> Attachment {
        let source = self.file.source();
        let media_type = source.map_or(LIST_TYPE, |source| source.kind.media_type());
        Attachment {
            key: self.keys.file.clone(),
            namespace: self.namespace,
            length: self.file.length,
            hash: self.file.hash,
            name: source.and_then(|source| source.name.clone()),
            media_type: media_type.to_owned(),
            metadata: source.map_or(Metadata::Unknown, |source| source.metadata),
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
