//! Opening a store: the lock, the keys, the witness, the segments, and then the index.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use valise_protocol::scrub::scrub_stack;

use super::disk::{Disk, readable};
use super::index::Index;
use super::keys::Keys;
use super::rebuild::Rebuild;
use super::segment::{self, Segment, Title};
use super::shared::{self, Shared};
use super::writer::Writer;
use super::{OpenError, SpoolConfig, manifest, path_of, room, twin, witness};

/// Opens or creates the store of a directory.
pub(super) fn open(
    disk: Box<dyn Disk>,
    config: SpoolConfig,
) -> Result<(Arc<Shared>, Writer), OpenError> {
    create_dir(&*disk, &config.dir)?;
    let lock = shared::lock(&config.dir)?;
    let ours = segment::list(&config.dir)?;
    let (keys, damaged) = load_keys(&*disk, &config, !ours.is_empty())?;
    scrub_stack();
    // On a full disk this makes the room that the next lines need.
    room::has_room(&*disk, &config);
    let index = Index::create(&path_of(&config.dir, room::INDEX), &mut super::system_rng())?;
    let shared = Shared::new(config, disk, keys, index, lock);
    if damaged {
        shared.counts.damaged();
    }
    // Where emptied mailboxes stood was known to the run before only.
    shared.keys_mut().epoch += 1;
    // This overwrites what a crash left of the files before, keys that were replaced among it.
    shared.save_keys()?;
    twin::clean(&*shared.disk, &path_of(&shared.config.dir, manifest::NAME))?;
    open_segments(&shared, &ours)?;
    let active = Rebuild::new(&shared).run()?;
    scrub_stack();
    shared.save_manifest()?;
    room::set_ballast(&*shared.disk, &shared.config);
    let shared = Arc::new(shared);
    let writer = Writer::new(shared.clone(), active)?;
    Ok((shared, writer))
}

fn create_dir(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        disk.sync_dir(twin::parent(dir))?;
    }
    Ok(())
}

fn load_keys(
    disk: &dyn Disk,
    config: &SpoolConfig,
    has_segments: bool,
) -> Result<(Keys, bool), OpenError> {
    let credential = config.credential.clone();
    let loaded = Keys::load(disk, &config.dir, credential.clone())?;
    let new = loaded.is_none();
    let (keys, mut damaged) = match loaded {
        Some(loaded) => loaded,
        None if has_segments => return Err(OpenError::KeysMissing),
        None => (
            Keys::generate(config.slots, credential, &mut super::system_rng()),
            false,
        ),
    };
    if !(1..=MOST_SLOTS).contains(&keys.slots) {
        return Err(OpenError::Slots(keys.slots));
    }
    if let Some(path) = &config.witness
        && !config.accept_rollback
    {
        damaged |= witness::check(disk, path, &keys)?;
    }
    if new {
        // Before the first segment, so that segments without keys are always a loss and never a beginning.
        tracing::info!("a new store was made");
    }
    Ok((keys, damaged))
}

/// Opens every segment that there is, and counts those that the manifest misses, and those it does not know.
fn open_segments(shared: &Shared, titles: &[Title]) -> Result<(), OpenError> {
    let slots = shared.keys().slots;
    let dir = &shared.config.dir;
    for title in titles {
        let Some((segment, whole)) = readable(Segment::find(&shared.handles, dir, *title, slots))?
        else {
            tracing::warn!("a segment cannot be opened: it was set aside");
            shared.counts.damaged();
            continue;
        };
        if !whole {
            tracing::warn!("a segment did not have its full length");
            shared.counts.damaged();
        }
        let segment = Arc::new(segment);
        shared.segments_mut().insert(title.number, segment);
    }
    let Some((listed, whole)) = manifest::load(&*shared.disk, dir) else {
        if !titles.is_empty() {
            tracing::warn!("the manifest is missing or damaged");
            shared.counts.damaged();
        }
        return Ok(());
    };
    let missing = listed
        .iter()
        .filter(|number| {
            titles
                .binary_search_by_key(*number, |it| it.number)
                .is_err()
        })
        .count();
    if missing > 0 || !whole {
        tracing::warn!(missing, "the manifest was damaged, or segments are missing");
    }
    (0..missing + usize::from(!whole)).for_each(|_| shared.counts.damaged());
    Ok(())
}

/// Removes the file of a segment that holds nothing. The manifest must not list it any more.
pub(super) fn discard(shared: &Shared, segment: &Segment) -> std::io::Result<()> {
    segment.delete()?;
    shared.disk.sync_dir(&shared.config.dir)
}

/// The most slots of a segment: its head is then 16 MiB.
const MOST_SLOTS: u32 = 65_536;
