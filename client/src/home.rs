//! Where the vault of a mechanism's device lives: a directory that only its owner enters.
//!
//! Defenders have none: their side of the program writes nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::escape;
use crate::failure::{Failure, Outcome};

/// The directory of one device of one mechanism.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// While this is held no other command of this program writes in the same home.
#[derive(Debug)]
pub struct Lock {
    // The kernel lets go when the file is closed, however the program ends.
    _file: File,
}

impl Home {
    /// The directory given, else `VALISE_HOME`, else `valise` in the person's data directory (XDG).
    ///
    /// # Errors
    /// A failure when the person has no home directory.
    pub fn choose(given: Option<&Path>) -> Outcome<Self> {
        if let Some(path) = given {
            return Ok(Self(path.to_owned()));
        }
        if let Some(path) = std::env::var_os("VALISE_HOME").filter(|path| !path.is_empty()) {
            return Ok(Self(path.into()));
        }
        let strategy = etcetera::choose_base_strategy().map_err(|_| {
            Failure::new("there is no home directory to keep a vault in")
                .hint("name a directory with --home DIR")
        })?;
        Ok(Self(strategy.data_dir().join("valise")))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its path as text for a sentence.
    pub fn shown(&self) -> String {
        escape::line(&self.0.display().to_string())
    }

    /// Makes the directory, for its owner only, where there is none yet.
    ///
    /// # Errors
    /// A failure when it cannot be made, or when others may enter one that is there already.
    pub fn make(&self) -> Outcome<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|error| disk(&format!("could not make {}", self.shown()), &error))?;
        self.check()
    }

    /// Checks that nobody but the owner may enter.
    ///
    /// # Errors
    /// A failure that says how to close it.
    pub fn check(&self) -> Outcome<()> {
        let about = fs::metadata(&self.0).map_err(|_| {
            Failure::new(format!("there is nothing at {}", self.shown()))
                .hint("name the vault's directory with --home DIR, or make a vault: valise mechanism init")
        })?;
        if !about.is_dir() {
            return Err(Failure::new(format!("{} is not a directory", self.shown()))
                .hint("choose another with --home DIR"));
        }
        if about.mode() & 0o077 != 0 {
            return Err(
                Failure::new(format!("others may enter {}", self.shown())).hint(format!(
                    "close it, if it is yours alone: chmod 700 {}",
                    self.shown()
                )),
            );
        }
        Ok(())
    }

    /// Waits until no other command writes here, and keeps others from it. Held for moments only, never over the network.
    ///
    /// # Errors
    /// A failure when the lock file cannot be opened.
    pub fn lock(&self) -> Outcome<Lock> {
        let open = || -> io::Result<File> {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(self.0.join("lock"))?;
            file.lock()?;
            Ok(file)
        };
        let file =
            open().map_err(|error| disk(&format!("could not lock {}", self.shown()), &error))?;
        Ok(Lock { _file: file })
    }
}

/// A failure of the disk: what was being done, and what the system said of it.
pub fn disk(what: &str, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("{what}: {}", reason(error)));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.hint("make room on the disk and try again: nothing that was there is lost")
        }
        io::ErrorKind::PermissionDenied => failure.hint("check who owns it"),
        io::ErrorKind::NotFound => failure.hint("check the name, and the directory you are in"),
        io::ErrorKind::AlreadyExists => {
            failure.hint("choose another name: nothing is written over")
        }
        _ => failure,
    }
}

/// The system's reason without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let cut = text.find(" (os error").unwrap_or(text.len());
    text[..cut].to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_may_enter() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().join("a/b"));
        home.make().unwrap();
        let mode = fs::metadata(home.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(
            home.check()
                .unwrap_err()
                .what()
                .contains("others may enter")
        );
    }

    #[test]
    fn two_commands_do_not_write_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home(dir.path().to_owned());
        let lock = home.lock().unwrap();
        let other = File::open(home.path().join("lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(lock);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn the_directory_given_comes_before_any_other() {
        let home = Home::choose(Some(Path::new("/x"))).unwrap();
        assert_eq!(home.path(), Path::new("/x"));
    }
}
