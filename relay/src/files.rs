//! Small files that must survive a power cut whole, and that nobody else may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// Writes a file of mode 0600 so that, whatever happens, either the old content or the new is there: a temporary file,
/// `fsync`, rename, `fsync` of the directory.
///
/// # Errors
/// Whatever the file system says; the old content is then still there.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_extension("new");
    if let Some(left) = open_if_there(&temporary)? {
        overwrite(&left)?;
        fs::remove_file(&temporary)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory(directory)
}

/// Removes a file durably. One that is not there is removed already.
///
/// # Errors
/// Whatever the file system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(path.parent().ok_or(io::ErrorKind::InvalidInput)?),
    }
}

/// Puts a file in the place of another of its directory, durably, and then overwrites the one that was there. A crash between
/// the two leaves the old bytes on the disk, under no name.
///
/// # Errors
/// Whatever the file system says; where the old file cannot be opened nothing was changed.
pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let before = open_if_there(to)?;
    fs::rename(from, to)?;
    sync_directory(to.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
    before.map_or(Ok(()), |before| overwrite(&before))
}

/// Reads a file that nobody but its owner may read.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] when group or others have any right on it, or whatever the file system says.
pub fn read_private(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    if is_exposed(path)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others can read it",
        ));
    }
    fs::read(path).map(Zeroizing::new)
}

/// Whether group or others have any right on a file or directory.
///
/// # Errors
/// Whatever the file system says.
pub fn is_exposed(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

/// Makes a directory of mode 0700, with those above it. One that is there already stays as it is.
///
/// # Errors
/// Whatever the file system says.
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// For what that is worth on flash.
fn overwrite(mut file: &File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_is_private_and_replaces_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        write_private(&path, b"old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(read_private(&path).unwrap().as_slice(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_replaced_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to, old] = ["next", "current", "old"].map(|name| dir.path().join(name));
        write_private(&from, b"new").unwrap();
        write_private(&to, b"old").unwrap();
        fs::hard_link(&to, &old).unwrap();
        replace(&from, &to).unwrap();
        assert_eq!(fs::read(&old).unwrap(), [0; 3]);
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert!(!from.exists());
    }

    #[test]
    fn a_file_that_others_can_read_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        fs::write(&path, b"x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(
            read_private(&path).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
    }
}
