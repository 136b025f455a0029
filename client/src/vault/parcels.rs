//! Parcels of attachments, sealed as they came: only the items say what opens them.
//!
//! ```text
//! parcels/                made with the first
//!   32 hex digits/        one directory for each submission: a keyed hash of its item's name
//!     0                   the list of its files, where that is a file of its own
//!     1, 2, …             its files, in the order in which they are listed
//!                         parcel i at i · 262,144, and holes where none has come
//! ```
//!
//! The first twelve bytes of a parcel are its mark. They are written last, when the disk has the rest: so what is marked is whole, also
//! after a power cut, and nothing else need be remembered of how far an attachment has come. Whether it opens is asked again by
//! whoever reads it.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use valise_protocol::hash::{expand, hmac_sha256};
use valise_protocol::limits::PARCEL;
use valise_protocol::parcel::{ParcelBuffer, ParcelSet};

use crate::failure::Outcome;

use super::fault::not_written;
use super::item::ItemName;
use super::{Piece, Vault};

/// The directory of all parcels.
const ALL: &str = "parcels";
/// How many bytes of a parcel are its mark: the nonce of its first chunk.
const MARK: usize = 12;

/// The parcels of one submission.
#[derive(Clone, Debug)]
pub struct Parcels {
    all: PathBuf,
    directory: PathBuf,
}

/// The parcels of one file.
#[derive(Debug)]
pub struct ParcelFile(File);

/// What makes a parcel count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    index: u32,
    bytes: [u8; MARK],
}

impl Vault {
    /// The parcels of the submission that this item is.
    pub fn parcels(&self, item: ItemName) -> Parcels {
        let all = self.disk.path().join(ALL);
        let directory = all.join(self.directory_of(item));
        Parcels { all, directory }
    }

    /// Makes room for the parcels of a submission; gives whether it is still there. Nobody deletes it between that question and this.
    ///
    /// # Errors
    /// A failure of the vault or its disk.
    pub fn make_parcels(&self, item: ItemName) -> Outcome<bool> {
        let _lock = self.home.lock()?;
        let named = self.names(item)?;
        if named {
            let made = self.parcels(item).make_directory();
            made.map_err(|error| not_written(&error))?;
        }
        Ok(named)
    }

    /// Whether a submission is still there; where it is not, what came of its parcels since goes too.
    ///
    /// # Errors
    /// A failure of the vault or its disk.
    pub fn keeps_parcels(&self, item: ItemName) -> Outcome<bool> {
        let _lock = self.home.lock()?;
        let named = self.names(item)?;
        if !named {
            let scrubbed = self.scrub_parcels(item);
            scrubbed.map_err(|error| not_written(&error))?;
        }
        Ok(named)
    }

    fn names(&self, item: ItemName) -> Outcome<bool> {
        let (Piece::First(state) | Piece::Second(state)) = self.read_state()?;
        Ok(state.items.iter().any(|entry| entry.name == item))
    }

    fn directory_of(&self, item: ItemName) -> String {
        let key = expand::<32>(&self.key, &[b"valise1/parcels"]);
        let hash = hmac_sha256(key.as_slice(), &[item.to_string().as_bytes()]);
        hash[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Overwrites and removes the parcels of a submission; where there are none that is fine.
    pub(super) fn scrub_parcels(&self, item: ItemName) -> io::Result<()> {
        self.scrub_directory(&self.parcels(item).directory)
    }

    /// Removes the parcels of what is not named.
    pub(super) fn sweep_parcels(&self, named: &HashSet<ItemName>) -> io::Result<()> {
        let Some(found) = absent_is_none(fs::read_dir(self.disk.path().join(ALL)))? else {
            return Ok(());
        };
        let kept: HashSet<String> = named.iter().map(|item| self.directory_of(*item)).collect();
        let mut outcome = Ok(());
        for entry in found {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_ours(&name) && entry.file_type()?.is_dir() && !kept.contains(&name) {
                outcome = outcome.and(self.scrub_directory(&entry.path()));
            }
        }
        outcome
    }

    fn scrub_directory(&self, directory: &Path) -> io::Result<()> {
        let Some(found) = absent_is_none(fs::read_dir(directory))? else {
            return Ok(());
        };
        for entry in found {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                continue;
            }
            self.disk.step()?;
            if kind.is_file() {
                ParcelFile(unfollowed().write(true).open(&path)?).overwrite()?;
            }
            self.disk.step()?;
            fs::remove_file(&path)?;
        }
        self.disk.step()?;
        match fs::remove_dir(directory) {
            // Something came in the meantime, or is not ours: the next sweep looks again.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed,
        }
    }
}

impl Parcels {
    /// The parcels that came of a file; `None` where none did.
    ///
    /// # Errors
    /// The system's.
    pub fn file(&self, number: u32) -> io::Result<Option<ParcelFile>> {
        let path = self.directory.join(number.to_string());
        let opened = unfollowed().read(true).write(true).open(path);
        Ok(absent_is_none(opened)?.map(ParcelFile))
    }

    /// Makes the directory.
    pub(super) fn make_directory(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.directory)
    }

    /// The parcels of a file, to add to them. There must be room ([`Vault::make_parcels`]): a submission that was deleted in the
    /// meantime does not come back.
    ///
    /// # Errors
    /// The system's.
    pub fn make(&self, number: u32) -> io::Result<ParcelFile> {
        let file = unfollowed()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.directory.join(number.to_string()))?;
        Ok(ParcelFile(file))
    }

    /// Which of a file's so many parcels are there.
    ///
    /// # Errors
    /// The system's.
    pub fn present(&self, number: u32, count: u32) -> io::Result<ParcelSet> {
        match self.file(number)? {
            Some(file) => file.present(count),
            None => Ok(ParcelSet::default()),
        }
    }

    /// How many of them are not.
    ///
    /// # Errors
    /// The system's.
    pub fn missing(&self, number: u32, count: u32) -> io::Result<u32> {
        Ok(count - self.present(number, count)?.len())
    }

    /// Makes the names of new files last.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        let above = self.all.parent().unwrap_or(&self.all);
        for directory in [&self.directory, &self.all, above] {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// How many bytes more may be written to this disk.
    ///
    /// # Errors
    /// The system's.
    pub fn room(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(self.all.parent().unwrap_or(&self.all))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

impl ParcelFile {
    /// Which of so many parcels are there. What the disk lost is not.
    ///
    /// # Errors
    /// The system's.
    pub fn present(&self, count: u32) -> io::Result<ParcelSet> {
        let (mut set, mut next) = (ParcelSet::default(), 0);
        while let Some((from, to)) = self.data(u64::from(next) * PARCEL as u64)? {
            let last = u32::try_from(to.div_ceil(PARCEL as u64)).unwrap_or(u32::MAX);
            let first = u32::try_from(from / PARCEL as u64).unwrap_or(u32::MAX);
            for index in first.max(next)..last.min(count) {
                let mut mark = [0; MARK];
                match self.0.read_exact_at(&mut mark, at(index)) {
                    Err(error) if is_lost(&error) => continue,
                    read => read?,
                }
                if mark != [0; MARK] {
                    set.insert(index);
                }
            }
            if last >= count {
                break;
            }
            next = last.max(next + 1);
        }
        Ok(set)
    }

    /// Writes all of a sealed parcel but its mark.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, index: u32, parcel: &ParcelBuffer) -> io::Result<Mark> {
        let (mark, rest) = parcel.sealed().split_at(MARK);
        self.0.write_all_at(rest, at(index) + MARK as u64)?;
        let mut bytes = [0; MARK];
        bytes.copy_from_slice(mark);
        Ok(Mark { index, bytes })
    }

    /// Writes a mark. What it belongs to must be on the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn mark(&self, mark: Mark) -> io::Result<()> {
        self.0.write_all_at(&mark.bytes, at(mark.index))
    }

    /// Takes the mark from a parcel that does not open, so that it is fetched again.
    ///
    /// # Errors
    /// The system's.
    pub fn unmark(&self, index: u32) -> io::Result<()> {
        self.0.write_all_at(&[0; MARK], at(index))
    }

    /// A sealed parcel.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&self, index: u32) -> io::Result<ParcelBuffer> {
        let mut bytes = vec![0; PARCEL];
        self.0.read_exact_at(&mut bytes, at(index))?;
        Ok(ParcelBuffer::from_sealed(bytes).expect("it has the length of a parcel"))
    }

    /// Waits until the disk has what was written.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    /// Where data next begins, from there on, and ends: holes are passed over, however long.
    fn data(&self, from: u64) -> io::Result<Option<(u64, u64)>> {
        let begin = match rustix::fs::seek(&self.0, SeekFrom::Data(from)) {
            Err(Errno::NXIO) => return Ok(None),
            begin => begin?,
        };
        let end = rustix::fs::seek(&self.0, SeekFrom::Hole(begin))?;
        Ok(Some((begin, end)))
    }

    /// Zeros over what is written, down to the disk. Holes stay holes: filling them might take more room than there is.
    fn overwrite(&self) -> io::Result<()> {
        let zeros = vec![0; PARCEL];
        let mut next = 0;
        while let Some((from, to)) = self.data(next)? {
            next = from;
            while next < to {
                let length = usize::try_from(to - next).map_or(PARCEL, |rest| rest.min(PARCEL));
                self.0.write_all_at(&zeros[..length], next)?;
                next += length as u64;
            }
        }
        self.sync()
    }
}

/// Whether an error says that this part of a file cannot be read, or is not there any more: it must be fetched again.
pub fn is_lost(error: &io::Error) -> bool {
    error.kind() == ErrorKind::UnexpectedEof
        || error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// Opens no link.
fn unfollowed() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Whether a directory of parcels may have this name.
fn is_ours(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.len() == 32 && name.bytes().all(digit)
}

/// Where a parcel stands in its file.
fn at(index: u32) -> u64 {
    u64::from(index) * PARCEL as u64
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcels() -> (tempfile::TempDir, Parcels) {
        let dir = tempfile::tempdir().unwrap();
        let all = dir.path().join("parcels");
        let directory = all.join("x");
        let parcels = Parcels { all, directory };
        parcels.make_directory().unwrap();
        (dir, parcels)
    }

    fn filled(byte: u8) -> ParcelBuffer {
        ParcelBuffer::from_sealed(vec![byte; PARCEL]).unwrap()
    }

    #[test]
    fn a_parcel_counts_when_it_is_marked_and_not_before() {
        let (_dir, parcels) = parcels();
        assert!(parcels.file(1).unwrap().is_none());
        let file = parcels.make(1).unwrap();
        let marks: Vec<Mark> = [2, 7, 16_383]
            .map(|index| file.write(index, &filled(9)).unwrap())
            .to_vec();
        assert!(file.present(16_384).unwrap().is_empty());
        file.mark(marks[0]).unwrap();
        file.mark(marks[2]).unwrap();
        let present = file.present(16_384).unwrap();
        assert_eq!(present.len(), 2);
        assert!(present.contains(2) && !present.contains(7) && present.contains(16_383));
        assert_eq!(
            file.present(8).unwrap().len(),
            1,
            "there are no more than 8"
        );
        assert_eq!(file.read(2).unwrap(), filled(9));
        // Written again, as by another program at work on the same vault, it goes on counting.
        file.write(2, &filled(9)).unwrap();
        assert_eq!(file.present(8).unwrap().len(), 1);
        file.unmark(2).unwrap();
        assert!(file.present(8).unwrap().is_empty());
    }

    #[test]
    fn what_a_file_was_cut_short_by_is_missing() {
        let (_dir, parcels) = parcels();
        let file = parcels.make(1).unwrap();
        for index in [0, 1, 2] {
            file.mark(file.write(index, &filled(9)).unwrap()).unwrap();
        }
        file.0.set_len(2 * PARCEL as u64 + 5).unwrap();
        let present = file.present(4).unwrap();
        assert!(present.contains(1) && !present.contains(2));
        assert!(is_lost(&file.read(2).unwrap_err()));
        assert!(is_lost(&Errno::IO.into()));
        assert!(!is_lost(&ErrorKind::PermissionDenied.into()));
    }

    #[test]
    fn a_file_of_holes_takes_no_room_also_while_it_is_overwritten() {
        use std::os::unix::fs::MetadataExt;
        let (_dir, parcels) = parcels();
        let file = parcels.make(1).unwrap();
        let mark = file.write(16_383, &filled(9)).unwrap();
        file.mark(mark).unwrap();
        file.overwrite().unwrap();
        let about = file.0.metadata().unwrap();
        assert_eq!(about.len(), 4 << 30);
        assert!(
            about.blocks() * 512 <= 2 * PARCEL as u64,
            "{}",
            about.blocks()
        );
        assert_eq!(file.read(16_383).unwrap(), filled(0));
    }
}
