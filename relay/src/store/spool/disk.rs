//! What the spool asks of the operating system: a seam, so that tests can cut the power and spoil sectors.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Reads, durability and free space. [`SystemDisk`] is the only one outside tests.
pub trait Disk: Send + Sync + 'static {
    /// Returns when all bytes of `file` would survive a power cut.
    ///
    /// # Errors
    /// Any failure means that the bytes may be lost, also if a later call succeeds: the kernel reports a failed write-back
    /// once and then forgets it. The caller must never try again.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Returns when the names in `dir` would survive a power cut.
    ///
    /// # Errors
    /// As [`Self::sync`].
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Fills `bytes` from a place of `file`.
    ///
    /// # Errors
    /// Of the system call.
    fn read(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(bytes, offset)
    }

    /// Writes less than a page in place.
    ///
    /// # Errors
    /// Of the system call: also when the rest of the page cannot be read. What is written fails to reach the disk at
    /// [`Self::sync`] only.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    /// Bytes that the file system of `dir` still has for this process.
    ///
    /// # Errors
    /// Of the system call.
    fn free(&self, dir: &Path) -> io::Result<u64>;

    /// A handle that writes around the page cache, from memory that is aligned to its pages.
    ///
    /// # Errors
    /// Where the file system cannot: then writing goes through the cache.
    fn open_direct(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::DIRECT.bits() as i32;
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(flags).open(path)
    }
}

/// The real thing: `fdatasync`, `fsync` of directories, `statvfs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn sync(&self, file: &File) -> io::Result<()> {
        rustix::fs::fdatasync(file).map_err(Into::into)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Whether an error says that there is no room, no inode or no descriptor left: a state that passes, and no damage.
pub(super) fn is_full(error: &io::Error) -> bool {
    let descriptors = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    ) || descriptors.contains(&error.raw_os_error())
}

/// Whether an error says that these bytes cannot be had from the disk: damage, which costs what the bytes belong to. Errors
/// that are about the process or the whole file system are not among them.
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    let damage = [
        Errno::IO,
        Errno::NODATA,
        Errno::BADMSG,
        Errno::UCLEAN,
        Errno::ILSEQ,
        Errno::REMOTEIO,
    ];
    let damage = damage.map(|errno| Some(errno.raw_os_error()));
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound
    ) || damage.contains(&error.raw_os_error())
}

/// Turns what [`is_unreadable`] into `None`.
pub(super) fn readable<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if is_unreadable(&error) => Ok(None),
        read => read.map(Some),
    }
}

/// Lets [`is_full`] pass, where what could not be done may be left for later.
pub(super) fn pass_if_full(error: io::Error) -> io::Result<()> {
    if is_full(&error) { Ok(()) } else { Err(error) }
}
