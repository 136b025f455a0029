//! Which segments there are: the file `manifest`, a twin file of ascending u32 numbers. Without it a segment that somebody
//! deleted would be missed by nobody.

use std::path::Path;

use super::disk::Disk;
use super::path_of;
use super::twin::{self, Magic};

/// Makes the list durable.
pub(super) fn save(
    disk: &dyn Disk,
    dir: &Path,
    segments: impl Iterator<Item = u32>,
) -> std::io::Result<()> {
    let payload: Vec<u8> = segments.flat_map(u32::to_be_bytes).collect();
    twin::write(disk, &path_of(dir, NAME), MAGIC, &payload)
}

/// The list, and whether it was found whole; `None` where it is missing or unreadable.
pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Option<(Vec<u32>, bool)> {
    let twin = twin::read(disk, &path_of(dir, NAME), MAGIC).ok()?;
    let (numbers, rest) = twin.payload.as_chunks();
    let list = numbers.iter().map(|n| u32::from_be_bytes(*n)).collect();
    Some((list, !twin.damaged && rest.is_empty()))
}

/// The name of the file.
pub(super) const NAME: &str = "manifest";
const MAGIC: Magic = *b"valiseM1";
