//! A directory into which attachments are saved: names of our own only, nothing written over, no link followed.
//!
//! A file gets its name when all of it was checked. Until then it has none (`O_TMPFILE`), and where the file system knows no such
//! files, it is checked once before and once while it is written, under a name that ends in `.part`.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rand_core::Rng as _;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, openat, renameat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;

use crate::random;

/// An open directory: what becomes of its path from now on does not matter.
pub struct Place(OwnedFd);

impl Place {
    /// Opens a directory, and makes it, for its owner only, where there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, path, flags, Mode::empty())?))
    }

    /// Whether something bears a name already, be it a link that leads nowhere.
    pub fn has(&self, name: &str) -> bool {
        statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Writes a file that is not there yet. `write` is called once or twice; only if it succeeds there is a file of this name.
    ///
    /// # Errors
    /// Those of `write`, and the system's.
    pub fn save<E: From<io::Error>>(
        &self,
        name: &str,
        mut write: impl FnMut(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.has(name) {
            return Err(io::Error::from(ErrorKind::AlreadyExists).into());
        }
        if let Some(mut file) = self.unnamed() {
            write(&mut file)?;
            file.sync_all()?;
            match self.link(&file, name) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {}
                linked => return Ok(linked?),
            }
        }
        self.save_named(name, write)
    }

    /// The same, where a file cannot be without a name.
    fn save_named<E: From<io::Error>>(
        &self,
        name: &str,
        mut write: impl FnMut(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        write(&mut io::sink())?;
        let begun = format!("valise-{:016x}.part", random::system().next_u64());
        let mut file = self.make(&begun)?;
        let written = write(&mut file)
            .and_then(|()| Ok(file.sync_all()?))
            .and_then(|()| Ok(self.name(&begun, name)?));
        if written.is_err() {
            // It is ours: it was not there before.
            let _ = unlinkat(&self.0, &begun, AtFlags::empty());
        }
        written
    }

    fn make(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = openat(&self.0, name, flags | OFlags::CLOEXEC, owner());
        Ok(File::from(file?))
    }

    /// Gives a file that is whole its name, and replaces nothing.
    fn name(&self, begun: &str, name: &str) -> io::Result<()> {
        let renamed = renameat_with(&self.0, begun, &self.0, name, RenameFlags::NOREPLACE);
        match renamed {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
        // This file system does not know how: the name is taken first, so that only what is ours and empty is replaced.
        self.make(name)?;
        let renamed = renameat(&self.0, begun, &self.0, name);
        if renamed.is_err() {
            let _ = unlinkat(&self.0, name, AtFlags::empty());
        }
        Ok(renamed?)
    }

    /// Makes the names of new files last.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    fn unnamed(&self) -> Option<File> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        openat(&self.0, ".", flags, owner()).ok().map(File::from)
    }

    fn link(&self, file: &File, name: &str) -> io::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        Ok(linkat(
            CWD,
            unnamed.as_str(),
            &self.0,
            name,
            AtFlags::SYMLINK_FOLLOW,
        )?)
    }
}

/// Read and written by the owner, and never executed.
fn owner() -> Mode {
    Mode::RUSR | Mode::WUSR
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// Both ways in which a file is saved.
    fn ways(try_it: impl Fn(&Path, &dyn Fn(&str, bool) -> io::Result<()>)) {
        for named in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let place = Place::open(&dir.path().join("out")).unwrap();
            let save = |name: &str, good: bool| {
                let write = |to: &mut dyn Write| {
                    to.write_all(b"abc")?;
                    if good {
                        Ok(())
                    } else {
                        Err(io::Error::other("no"))
                    }
                };
                if named {
                    place.save_named(name, write)
                } else {
                    assert!(place.unnamed().is_some(), "this file system knows them");
                    place.save(name, write)
                }
            };
            try_it(&dir.path().join("out"), &save);
        }
    }

    #[test]
    fn a_saved_file_is_its_owners_and_is_no_program() {
        ways(|out, save| {
            save("a.txt", true).unwrap();
            let about = std::fs::metadata(out.join("a.txt")).unwrap();
            assert_eq!((about.mode() & 0o777, about.len()), (0o600, 3));
        });
    }

    #[test]
    fn a_file_that_fails_its_check_was_never_there() {
        ways(|out, save| {
            assert!(save("a.txt", false).is_err());
            assert_eq!(std::fs::read_dir(out).unwrap().count(), 0);
        });
    }

    #[test]
    fn no_part_of_a_file_bears_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::open(dir.path()).unwrap();
        let names = || -> Vec<String> {
            let entries = std::fs::read_dir(dir.path()).unwrap().flatten();
            entries
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect()
        };
        let mut seen = Vec::new();
        let saved: io::Result<()> = place.save_named("a.txt", |to| {
            to.write_all(b"abc")?;
            seen.extend(names());
            Ok(())
        });
        saved.unwrap();
        assert!(seen.len() == 1 && seen[0].ends_with(".part"), "{seen:?}");
        assert_eq!(names(), ["a.txt"]);
    }

    #[test]
    fn what_is_there_stays_and_no_link_is_followed() {
        ways(|out, save| {
            let outside = out.with_file_name("outside");
            symlink(&outside, out.join("a.txt")).unwrap();
            std::fs::write(out.join("b.txt"), b"mine").unwrap();
            for name in ["a.txt", "b.txt"] {
                let error = save(name, true).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}");
            }
            assert!(!outside.exists());
            assert_eq!(std::fs::read(out.join("b.txt")).unwrap(), b"mine");
        });
    }
}
