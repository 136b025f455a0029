//! The one door to the vault's directory: every write is whole or absent, and what is replaced or removed is overwritten.
//!
//! ```text
//! key, key.copy        the vault's key under the passphrase     (vault/wrap.rs)
//! state, state.copy    everything but the mail, sealed          (vault/state.rs)
//! 32 hex digits        one item each, sealed; all have one size (vault/item.rs)
//! parcels              what came of attachments                 (vault/parcels.rs)
//! *.new                begun and never finished: swept away
//! ```
//!
//! Overwriting reaches the same place on a plain disk. Flash that moves blocks and file systems that copy on write may keep old
//! ciphertext; the staff guide says so.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::atomic::{AtomicU32, Ordering};

/// No file of a vault is longer: a damaged directory cannot exhaust the memory.
const LONGEST: u64 = 256 * 1_048_576;

/// A directory of small files.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    /// How many steps are left until a simulated crash.
    #[cfg(test)]
    pub(crate) fuse: AtomicU32,
}

impl Disk {
    /// The directory at a path, which need not be there yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            #[cfg(test)]
            fuse: AtomicU32::new(u32::MAX),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory, for its owner only.
    ///
    /// # Errors
    /// The system's.
    pub fn make(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
    }

    /// Whether a file is there.
    pub fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    /// A whole file.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.dir.join(name))?
            .take(LONGEST)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The names of all files.
    ///
    /// # Errors
    /// The system's.
    pub fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// Writes a file whose name is new, down to the disk. Torn by a crash it is a leftover that nothing names.
    ///
    /// # Errors
    /// The system's.
    pub fn add(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.dir.join(name))?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.step()?;
        file.write_all(second)?;
        self.step()?;
        file.sync_all()
    }

    /// Puts new bytes in the place of a file: after a crash there are the old ones or the new. Then overwrites the old ones.
    ///
    /// # Errors
    /// The system's.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let begun = format!("{name}.new");
        if self.has(&begun) {
            self.scrub(&begun)?;
        }
        let old = OpenOptions::new()
            .write(true)
            .open(self.dir.join(name))
            .ok();
        self.add(&begun, bytes)?;
        self.step()?;
        fs::rename(self.dir.join(&begun), self.dir.join(name))?;
        self.sync()?;
        self.step()?;
        old.map_or(Ok(()), |mut old| overwrite(&mut old))
    }

    /// Overwrites and removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// The system's.
    pub fn scrub(&self, name: &str) -> io::Result<()> {
        self.step()?;
        let path = self.dir.join(name);
        match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
            Ok(mut file) => overwrite(&mut file)?,
        }
        self.step()?;
        fs::remove_file(&path)
    }

    /// Removes a file that holds nothing, without overwriting it or waiting for the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn drop_empty(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    /// Makes new, renamed and removed names last.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        self.step()?;
        File::open(&self.dir)?.sync_all()
    }

    /// One step of the work on the disk, before which a test may simulate a crash.
    ///
    /// # Errors
    /// That crash.
    #[cfg(test)]
    pub(super) fn step(&self) -> io::Result<()> {
        let left = self.fuse.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other("simulated crash"));
        }
        self.fuse.store(left - 1, Ordering::Relaxed);
        Ok(())
    }

    /// See the tests' double.
    ///
    /// # Errors
    /// None.
    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the tests' double fails here"
    )]
    pub(super) const fn step(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Zeros over the whole length of a file, down to the disk.
fn overwrite(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::repeat(0).take(length), file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, Disk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path().join("vault"));
        disk.make().unwrap();
        (dir, disk)
    }

    #[test]
    fn a_crash_at_any_step_of_a_replacement_leaves_the_old_bytes_or_the_new() {
        let (mut olds, mut news) = (0, 0);
        for fuse in 0..12 {
            let (_dir, disk) = disk();
            disk.replace("state", b"old old old").unwrap();
            disk.fuse.store(fuse, Ordering::Relaxed);
            let crashed = disk.replace("state", b"new").is_err();
            disk.fuse.store(u32::MAX, Ordering::Relaxed);
            match disk.read("state").unwrap().as_slice() {
                b"old old old" => olds += 1,
                b"new" => news += 1,
                other => panic!("step {fuse} left {other:?}"),
            }
            assert!(crashed || disk.read("state").unwrap() == b"new");
            disk.replace("state", b"later").unwrap();
            assert_eq!(disk.read("state").unwrap(), b"later");
        }
        assert!(olds > 2 && news > 2, "{olds} {news}");
    }

    #[test]
    fn what_is_replaced_or_removed_is_overwritten_first() {
        let (dir, disk) = disk();
        disk.replace("state", b"secret").unwrap();
        // A second name for the same bytes shows what happens to them.
        let (state, witness) = (dir.path().join("vault/state"), dir.path().join("witness"));
        fs::hard_link(&state, &witness).unwrap();
        disk.replace("state", b"other").unwrap();
        assert_eq!(fs::read(&witness).unwrap(), [0; 6]);
        fs::remove_file(&witness).unwrap();
        fs::hard_link(&state, &witness).unwrap();
        disk.scrub("state").unwrap();
        assert_eq!(fs::read(&witness).unwrap(), [0; 5]);
        assert!(!disk.has("state"));
    }
}
