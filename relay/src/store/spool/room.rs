//! Room on the disk: the high-water mark and the ballast.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use super::disk::Disk;
use super::{SpoolConfig, path_of};

/// The directory of the index.
pub(super) const INDEX: &str = "index";

/// Whether deposits may be taken. Gives up the ballast when the disk is full, so that what remains can work.
pub(super) fn has_room(disk: &dyn Disk, config: &SpoolConfig) -> bool {
    // A file system that does not say how full it is may be full: the preallocation of segments will tell.
    let room = disk
        .free(&config.dir)
        .is_ok_and(|free| free < config.min_free_bytes);
    if room {
        let _ = fs::remove_file(path_of(&config.dir, BALLAST));
    }
    !room
}

/// Sets the ballast aside where there is more than enough room for it. Failing to is no error.
pub(super) fn set_ballast(disk: &dyn Disk, config: &SpoolConfig) {
    let path = path_of(&config.dir, BALLAST);
    let needed = config
        .min_free_bytes
        .saturating_add(2 * config.ballast_bytes);
    let room = disk.free(&config.dir).is_ok_and(|free| free > needed);
    if config.ballast_bytes > 0 && room && !path.exists() && reserve(&path, config).is_err() {
        let _ = fs::remove_file(&path);
    }
}

/// Bytes that the index takes.
pub(super) fn index_bytes(dir: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(path_of(dir, INDEX))? {
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}

fn reserve(path: &Path, config: &SpoolConfig) -> io::Result<()> {
    let file = File::create(path)?;
    fallocate(&file, FallocateFlags::empty(), 0, config.ballast_bytes).map_err(Into::into)
}

const BALLAST: &str = "ballast";
