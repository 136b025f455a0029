//! A segment: one preallocated file, whose head of slots says what its extents hold. Slot `i` owns extent `i`.
//!
//! ```text
//! offset            size            field
//!      0            n × 256         slots (see `record`), the head padded with zeros to a multiple of 4,096 bytes
//!   head            n × extent      extents: the encrypted payloads, holes where there is nothing
//! ```
//!
//! There are two sorts: of mail, with extents of 65,536 bytes and usually 1,024 slots, and of parcels, with extents of 262,144 and a
//! quarter as many. Both take 64 MiB and a little, and one `fdatasync` makes slots and extents durable together.
//! A slot never crosses a sector of 512 bytes, which disks write whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use valise_protocol::limits::{ENVELOPE, PARCEL};

use super::disk::{Disk, readable};
use super::handles::Handles;
use super::path_of;

/// The size of a slot in bytes.
pub(super) const SLOT: usize = 256;

/// What a segment is for: the size of its extents, and the beginning of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// Envelopes, cards and the list of inboxes.
    Mail,
    /// Parcels.
    Parcels,
}

impl Sort {
    pub const ALL: [Self; 2] = [Self::Mail, Self::Parcels];

    /// The size of an extent in bytes.
    pub const fn extent(self) -> usize {
        match self {
            Self::Mail => ENVELOPE,
            Self::Parcels => PARCEL,
        }
    }

    /// How many slots a segment of this sort has, where one of mail has `of_mail`.
    const fn slots(self, of_mail: u32) -> u32 {
        of_mail.div_ceil((self.extent() / ENVELOPE) as u32)
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Mail => "segment-",
            Self::Parcels => "parcels-",
        }
    }
}

/// Which segment: its number, which no other has, of whatever sort, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Title {
    pub number: u32,
    pub sort: Sort,
}

impl Title {
    fn path(self, dir: &Path) -> PathBuf {
        let prefix = self.sort.prefix();
        path_of(dir, &format!("{prefix}{:010}", self.number))
    }

    /// Of a file's name, if it is one of ours.
    fn of(name: &str) -> Option<Self> {
        Sort::ALL.into_iter().find_map(|sort| {
            let digits = name.strip_prefix(sort.prefix())?;
            let digits = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = name[sort.prefix().len()..].parse().ok()?;
            digits.then_some(Self { number, sort })
        })
    }
}

/// One slot of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub segment: u32,
    pub slot: u32,
}

impl Place {
    pub fn new(segment: u32, slot: u32) -> Self {
        Self { segment, slot }
    }

    /// What a slot is bound to.
    pub fn name(self) -> [u8; 8] {
        let mut name = [0; 8];
        name[..4].copy_from_slice(&self.segment.to_be_bytes());
        name[4..].copy_from_slice(&self.slot.to_be_bytes());
        name
    }
}

/// A segment.
pub(super) struct Segment {
    pub number: u32,
    pub sort: Sort,
    pub slots: u32,
    /// Slots that are not wiped, damaged ones included: a segment without any is deleted.
    live: AtomicU32,
    path: PathBuf,
    handles: Arc<Handles>,
}

impl Segment {
    /// Creates a segment with all its room reserved; one of mail has `slots`. Durable when it returns.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where the number is taken by a segment of either sort.
    pub fn create(
        disk: &dyn Disk,
        handles: &Arc<Handles>,
        dir: &Path,
        title: Title,
        slots: u32,
    ) -> io::Result<Self> {
        let taken = |sort| Title { sort, ..title }.path(dir).exists();
        if Sort::ALL.into_iter().any(taken) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let segment = Self::at(handles, dir, title, slots);
        let made = segment.make(disk);
        if made
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists)
        {
            // Nothing was acknowledged from it; if it cannot be removed either, the next open sets it aside.
            let _ = fs::remove_file(&segment.path);
        }
        made.map(|()| segment)
    }

    fn make(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&self.path)?;
        fallocate(&file, FallocateFlags::empty(), 0, self.length())?;
        // Written once here, so that writing a slot later changes no metadata.
        file.write_all_at(&vec![0; head(self.slots) as usize], 0)?;
        disk.sync(&file)?;
        disk.sync_dir(super::twin::parent(&self.path))?;
        self.handles.put(self.number, Arc::new(file));
        Ok(())
    }

    /// Finds a segment on the disk; the second part is whether it had its full length. A shorter one is lengthened with a hole,
    /// so that what was cut off reads as zeros.
    pub fn find(
        handles: &Arc<Handles>,
        dir: &Path,
        title: Title,
        slots: u32,
    ) -> io::Result<(Self, bool)> {
        let segment = Self::at(handles, dir, title, slots);
        let file = segment.open()?.file;
        let length = segment.length();
        let whole = file.metadata()?.len() == length;
        if !whole {
            file.set_len(length)?;
        }
        Ok((segment, whole))
    }

    fn at(handles: &Arc<Handles>, dir: &Path, title: Title, slots: u32) -> Self {
        Self {
            number: title.number,
            sort: title.sort,
            slots: title.sort.slots(slots),
            live: AtomicU32::new(0),
            path: title.path(dir),
            handles: handles.clone(),
        }
    }

    /// Its file, open for as long as the handle lives.
    pub fn open(&self) -> io::Result<Handle> {
        let file = self.handles.get(self.number, &self.path)?;
        Ok(Handle {
            file,
            slots: self.slots,
            extent: self.sort.extent(),
        })
    }

    fn length(&self) -> u64 {
        head(self.slots) + u64::from(self.slots) * self.sort.extent() as u64
    }

    /// A file that writes around the page cache: [`Disk::open_direct`].
    pub fn open_direct(&self, disk: &dyn Disk) -> io::Result<File> {
        disk.open_direct(&self.path)
    }

    /// Bytes that the file takes on the disk.
    pub fn disk_bytes(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.path)?.blocks() * 512)
    }

    /// Deletes the file. Its slots were wiped, and that is durable.
    pub fn delete(&self) -> io::Result<()> {
        let removed = fs::remove_file(&self.path);
        // Afterwards, or a reader might open it once more in between.
        self.handles.close(self.number);
        removed
    }

    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    pub fn add_live(&self, count: u32) {
        self.live.fetch_add(count, Ordering::Relaxed);
    }

    pub fn drop_live(&self, count: u32) {
        self.live.fetch_sub(count, Ordering::Relaxed);
    }
}

/// An open segment. What was written through it is synced through it.
#[derive(Clone)]
pub(super) struct Handle {
    file: Arc<File>,
    slots: u32,
    /// The size of an extent in bytes.
    pub extent: usize,
}

impl Handle {
    /// All slots; `None` for each that cannot be read.
    pub fn read_head(&self, disk: &dyn Disk) -> io::Result<Vec<Option<[u8; SLOT]>>> {
        let mut head = vec![0; self.slots as usize * SLOT];
        if readable(disk.read(&self.file, &mut head, 0))?.is_some() {
            let (slots, _) = head.as_chunks();
            return Ok(slots.iter().copied().map(Some).collect());
        }
        (0..self.slots)
            .map(|slot| self.read_slot(disk, slot))
            .collect()
    }

    /// One slot; `None` where it cannot be read.
    pub fn read_slot(&self, disk: &dyn Disk, slot: u32) -> io::Result<Option<[u8; SLOT]>> {
        let mut bytes = [0; SLOT];
        let read = disk.read(&self.file, &mut bytes, u64::from(slot) * SLOT as u64);
        Ok(readable(read)?.map(|()| bytes))
    }

    /// Writes neighbouring slots. Not durable before [`Self::sync`].
    pub fn write_slots(&self, disk: &dyn Disk, first: u32, bytes: &[u8]) -> io::Result<()> {
        disk.write(&self.file, bytes, u64::from(first) * SLOT as u64)
    }

    /// The first `length` bytes of an extent; `None` where they cannot be read.
    pub fn read_extent(
        &self,
        disk: &dyn Disk,
        slot: u32,
        length: u32,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut payload = vec![0; length as usize];
        let read = disk.read(&self.file, &mut payload, self.offset(slot));
        Ok(readable(read)?.map(|()| payload))
    }

    /// Writes neighbouring extents. Not durable before [`Self::sync`].
    pub fn write_extents(&self, first: u32, payloads: &[u8]) -> io::Result<()> {
        self.write_extents_by(&self.file, first, payloads)
    }

    /// Writes neighbouring extents through a file of [`Segment::open_direct`].
    pub fn write_extents_by(&self, file: &File, first: u32, payloads: &[u8]) -> io::Result<()> {
        file.write_all_at(payloads, self.offset(first))
    }

    /// Gives the bytes of `count` extents back to the file system; they read as zeros from now on.
    pub fn punch(&self, first: u32, count: u32) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let bytes = u64::from(count) * self.extent as u64;
        fallocate(&self.file, flags, self.offset(first), bytes).map_err(Into::into)
    }

    /// Makes slots and extents durable.
    pub fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.sync(&self.file)
    }

    /// Lets the kernel forget the cached bytes of extents that were synced: they are read back days later if ever, and a cache
    /// that grows with the store costs more in fresh pages than it saves. Failing to is no error.
    pub fn forget(&self, first: u32, count: u32) {
        let bytes = NonZeroU64::new(u64::from(count) * self.extent as u64);
        let _ = fadvise(&self.file, self.offset(first), bytes, Advice::DontNeed);
    }

    /// Where an extent begins.
    fn offset(&self, slot: u32) -> u64 {
        head(self.slots) + u64::from(slot) * self.extent as u64
    }
}

/// The segments in a directory, by number. Where somebody gave two the same number, only the first is taken.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Title>> {
    let mut titles = Vec::new();
    for entry in fs::read_dir(dir)? {
        let file = entry?.file_name();
        titles.extend(file.to_str().and_then(Title::of));
    }
    titles.sort_unstable();
    titles.dedup_by_key(|title| title.number);
    Ok(titles)
}

fn head(slots: u32) -> u64 {
    (u64::from(slots) * SLOT as u64).next_multiple_of(4_096)
}
