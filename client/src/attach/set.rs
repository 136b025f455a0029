//! The files of a submission together: their keys, and what the submission says of them.

use std::sync::Arc;

use valise_protocol::bulk::Marker;
use valise_protocol::message::{Attached, Content};
use valise_protocol::parcel::{AttachmentKeys, FileHash};
use valise_protocol::phrase::{DefenderKeys, DefenderRoot};

use crate::failure::{Failure, Outcome};
use crate::progress::Progress;
use crate::random;

use super::item::Item;
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
        let items = self.files.iter().map(|file| Item::of(file.clone(), keys));
        let mut items: Vec<Arc<Item>> = items.map(Arc::new).collect();
        let said = items.iter().filter_map(|item| item.attachment()).collect();
        // Two files with the same bytes are one.
        items.sort_by_key(|item| item.namespace);
        items.dedup_by_key(|item| item.namespace);
        let list = content.attach(said, |hash| keys.of(hash));
        let list = list.map_err(|error| Failure::new(error.to_string()))?;
        if let Some(list) = list {
            let file = Arc::new(Prepared::made(list, &self.marker)?);
            // It goes first: without it staff know nothing of the others.
            items.insert(0, Arc::new(Item::of(file, keys)));
        }
        Ok(Set {
            attached: content.attached.clone(),
            items,
        })
    }
}

impl Keys<'_> {
    pub(super) fn of(self, hash: &FileHash) -> AttachmentKeys {
        match self {
            Self::Shared(root) => root.attachment(hash),
            Self::Alone(keys) => keys.attachment(hash),
        }
    }
}
