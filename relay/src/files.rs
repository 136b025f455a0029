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
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
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

/// Renames a file durably within its directory.
///
/// # Errors
/// Whatever the file system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory(to.parent().ok_or(io::ErrorKind::InvalidInput)?)
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
