//! Small files that must survive a flipped bit: the same block twice, each with its checksum.
//!
//! ```text
//! block, twice, each padded with zeros to a multiple of 4,096 bytes:
//! offset  size  field
//!      0     8  magic: what the file is
//!      8     4  version of the store's format, u32
//!     12     4  length of the payload, u32
//!     16     n  payload
//! 16 + n    32  SHA-256 of all before it
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use valise_protocol::hash::sha256;
use zeroize::Zeroizing;

use super::disk::{Disk, is_full, readable};

/// The one version of the store's format that this build reads and writes.
pub(super) const VERSION: u32 = 1;

/// What a twin file is, in eight bytes.
pub(super) type Magic = [u8; 8];

/// A payload as it was read.
pub(super) struct Twin {
    pub payload: Zeroizing<Vec<u8>>,
    /// One of the two copies was damaged; the file should be written anew.
    pub damaged: bool,
}

/// Why a twin file gave no payload.
#[derive(Debug)]
pub(super) enum TwinError {
    /// There is no such file.
    Missing,
    /// Both copies are damaged.
    Damaged,
    /// It was written by another version.
    Version(u32),
    Io(io::Error),
}

/// Puts a payload in the place of the one before: durable when it returns, one or the other at every moment before.
/// The bytes of the file before are overwritten, for what that is worth on flash. Where there is no room for a second file it is
/// done in place, one copy after the other.
pub(super) fn write(disk: &dyn Disk, path: &Path, magic: Magic, payload: &[u8]) -> io::Result<()> {
    let bytes = encode(magic, payload);
    match replace(disk, path, &bytes) {
        Err(error) if is_full(&error) => update(disk, path, &bytes).map_err(|_| error),
        replaced => replaced,
    }
}

/// The two files change their names, so that the one before can still be found by its temporary name, and be overwritten,
/// after a crash in between.
fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    // Before anything is changed: without a descriptor for it the old file could not be overwritten.
    let before = open_if_there(path)?;
    shred(disk, &temporary)?;
    let made = make(disk, &temporary, bytes);
    if made.as_ref().is_err_and(is_full) {
        // The little that it took is needed now. After a failed sync nothing is synced again: the next start cleans up.
        let _ = shred(disk, &temporary);
    }
    made?;
    exchange(&temporary, path)?;
    disk.sync_dir(parent(path))?;
    if let Some(before) = before {
        overwrite(disk, &before)?;
    }
    remove_if_there(&temporary)
}

fn make(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    disk.sync(&file)
}

/// At every moment one copy at least is whole, as it was or as it will be.
fn update(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() != bytes.len() as u64 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for (copy, at) in [(first, 0), (second, first.len() as u64)] {
        file.write_all_at(copy, at)?;
        disk.sync(&file)?;
    }
    Ok(())
}

/// Overwrites and removes what a crash left of [`write`].
pub(super) fn clean(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    shred(disk, &temporary(path))
}

/// Reads a payload.
pub(super) fn read(disk: &dyn Disk, path: &Path, magic: Magic) -> Result<Twin, TwinError> {
    let bytes = match read_blocks(disk, path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(TwinError::Missing),
        Err(error) => return Err(TwinError::Io(error)),
    };
    let copies = [&bytes[..], &bytes[bytes.len() / 2..]];
    let mut decoded = copies.iter().filter_map(|copy| decode(magic, copy));
    let (version, payload) = decoded.next().ok_or(TwinError::Damaged)?;
    if version != VERSION {
        return Err(TwinError::Version(version));
    }
    Ok(Twin {
        payload: Zeroizing::new(payload.to_vec()),
        damaged: *encode(magic, payload) != **bytes,
    })
}

/// The bytes of a file, with zeros for blocks that cannot be read: they may belong to one copy only.
fn read_blocks(disk: &dyn Disk, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(length).unwrap_or(usize::MAX)]);
    for (number, block) in (0..).zip(bytes.chunks_mut(BLOCK)) {
        readable(disk.read(&file, block, number * BLOCK as u64))?;
    }
    Ok(bytes)
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Gives a file the name of another, and that one its own where there is one and the file system can.
fn exchange(from: &Path, to: &Path) -> io::Result<()> {
    let exchanged = renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE);
    exchanged.or_else(|_| fs::rename(from, to))
}

fn shred(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if let Some(file) = open_if_there(path)? {
        overwrite(disk, &file)?;
    }
    remove_if_there(path)
}

fn overwrite(disk: &dyn Disk, mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.write_all(&vec![0; length as usize])?;
    disk.sync(file)
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The directory of a file.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn encode(magic: Magic, payload: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = u32::try_from(payload.len()).expect("a twin file holds a few kilobytes");
    let stride = (HEAD + payload.len() + 32).next_multiple_of(BLOCK);
    let mut out = Zeroizing::new(Vec::with_capacity(2 * stride));
    for end in [stride, 2 * stride] {
        let start = out.len();
        out.extend_from_slice(&magic);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(payload);
        let checksum = sha256(&[&out[start..]]);
        out.extend_from_slice(&checksum);
        out.resize(end, 0);
    }
    out
}

fn decode(magic: Magic, bytes: &[u8]) -> Option<(u32, &[u8])> {
    let head = bytes.first_chunk::<HEAD>()?;
    let version = u32::from_be_bytes(*head[8..].first_chunk()?);
    let length = u32::from_be_bytes(*head[12..].first_chunk()?) as usize;
    let end = HEAD.checked_add(length)?;
    let checksum = bytes.get(end..end.checked_add(32)?)?;
    let fits = head[..8] == magic && sha256(&[&bytes[..end]]) == checksum;
    fits.then(|| (version, &bytes[HEAD..end]))
}

const HEAD: usize = 16;
const BLOCK: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::super::disk::SystemDisk;
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed_and_none_loses_the_payload() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("twin");
        write(&SystemDisk, &path, *b"testtest", b"payload").unwrap();
        let bytes = fs::read(&path).unwrap();
        for at in (0..64)
            .chain(4_096..4_160)
            .chain((0..bytes.len()).step_by(97))
        {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, flipped).unwrap();
            let twin = read(&SystemDisk, &path, *b"testtest").unwrap();
            assert!(twin.damaged, "{at}");
            assert_eq!(*twin.payload, b"payload");
        }
    }

    #[test]
    fn what_was_there_before_is_overwritten_and_so_is_what_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("twin");
        write(&SystemDisk, &path, *b"testtest", b"payload").unwrap();
        let (before, left) = (dir.path().join("before"), dir.path().join("left"));
        fs::hard_link(&path, &before).unwrap();
        fs::write(path.with_extension("new"), b"half a payload").unwrap();
        fs::hard_link(path.with_extension("new"), &left).unwrap();
        write(&SystemDisk, &path, *b"testtest", b"another").unwrap();
        for old in [&before, &left] {
            assert!(fs::read(old).unwrap().iter().all(|byte| *byte == 0));
            fs::remove_file(old).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let twin = read(&SystemDisk, &path, *b"testtest").unwrap();
        assert_eq!(*twin.payload, b"another");
    }

    #[test]
    fn nothing_is_written_where_the_file_before_cannot_be_opened_to_be_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("twin");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(write(&SystemDisk, &path, *b"testtest", b"payload").is_err());
        assert!(path.is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_truncated_file_is_noticed_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("twin");
        write(&SystemDisk, &path, *b"testtest", b"payload").unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in (0..bytes.len()).step_by(61) {
            fs::write(&path, &bytes[..length]).unwrap();
            if let Ok(twin) = read(&SystemDisk, &path, *b"testtest") {
                assert!(twin.damaged);
                assert_eq!(*twin.payload, b"payload");
            }
        }
    }

    #[test]
    fn another_file_is_not_taken_for_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("twin");
        write(&SystemDisk, &path, *b"testtest", b"payload").unwrap();
        assert!(matches!(
            read(&SystemDisk, &path, *b"another!"),
            Err(TwinError::Damaged)
        ));
    }
}
