//! One file of the person's, as it is to be sent.

use std::fs::{File, OpenOptions};
use std::io::{Cursor, ErrorKind, Read, Seek};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use valise_protocol::limits::{ATTACHMENT, FILE_NAME};
use valise_protocol::message::Metadata;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::metadata::{Kind, PICTURE, strip};

/// A file, and how it is read.
pub struct Source {
    path: PathBuf,
    /// Its kind, by its first bytes.
    pub kind: Kind,
    /// What becomes of what it says of its making.
    pub metadata: Metadata,
    /// The name that is sent, if any.
    pub name: Option<String>,
}

/// What can be read, and read again from any place.
pub trait Bytes: Read + Seek + Send {}

impl<T: Read + Seek + Send> Bytes for T {}

impl Source {
    /// A file that is sent as it is and under no name, until somebody decides otherwise.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            kind: Kind::Unknown,
            metadata: Metadata::Unknown,
            name: None,
        }
    }

    /// Its path, for messages.
    pub fn shown(&self) -> String {
        escape::line(&self.path.display().to_string())
    }

    /// Its own name, without the directory.
    pub fn file_name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        escape::line(&name.to_string_lossy())
    }

    /// Opens it: a file, and not an empty or too long one.
    ///
    /// # Errors
    /// A failure that says what it is instead.
    pub fn open(&self) -> Outcome<(File, u64)> {
        let shown = self.shown();
        let broken = |error| home::disk(&format!("could not read {shown}"), &error);
        // A pipe that nobody writes to must not hold the program.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&self.path)
            .map_err(|error| match error.kind() {
                ErrorKind::IsADirectory => directory(&shown),
                _ => broken(error),
            })?;
        let about = file.metadata().map_err(broken)?;
        let kind = about.file_type();
        if kind.is_dir() {
            return Err(directory(&shown));
        }
        if !kind.is_file() {
            let what = match () {
                () if kind.is_fifo() => "a pipe",
                () if kind.is_socket() => "a socket",
                () => "a device",
            };
            return Err(Failure::new(format!("{shown} is {what}, not a file"))
                .hint("copy what it gives into a file and attach that"));
        }
        match about.len() {
            0 => Err(
                Failure::new(format!("{shown} is empty: there is nothing to send"))
                    .hint("was it copied whole? leave it out, or attach the file that was meant"),
            ),
            length if length > ATTACHMENT => Err(Failure::new(format!(
                "{shown} has {length} bytes, an attachment has at most {ATTACHMENT}"
            ))
            .hint("cut it into parts, such as: split --bytes=4G FILE PART-")),
            length => Ok((file, length)),
        }
    }

    /// What is sent of it, from the beginning.
    ///
    /// # Errors
    /// As [`Self::open`]; and where it can no longer be cleaned.
    pub fn read(&self) -> Outcome<Box<dyn Bytes>> {
        let (file, length) = self.open()?;
        if self.metadata != Metadata::Stripped {
            return Ok(Box::new(file));
        }
        let whole = read_whole(file, length, &self.shown())?;
        let clean = strip(self.kind, &whole).map_err(|cannot| cannot.failure(&self.shown()))?;
        Ok(Box::new(Cursor::new(clean)))
    }

    /// The first bytes: all of a picture.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn beginning(&self) -> Outcome<Vec<u8>> {
        let (file, length) = self.open()?;
        let shown = self.shown();
        let mut head = read_whole(&file, length.min(HEAD), &shown)?;
        if Kind::of(&head).is_looked_into() {
            // One byte over the limit tells that it is over.
            let rest = length.min(PICTURE as u64 + 1) - head.len() as u64;
            head.extend(read_whole(&file, rest, &shown)?);
        }
        Ok(head)
    }

    /// Sends it under its own name.
    ///
    /// # Errors
    /// A failure when that cannot be said in a submission.
    pub fn keep_name(&mut self) -> Outcome<()> {
        let name = self.path.file_name().and_then(|name| name.to_str());
        let fits = name.filter(|name| name.len() <= FILE_NAME);
        let Some(name) = fits else {
            return Err(Failure::new(format!(
                "the name of {} cannot be sent: it is not UTF-8, or longer than {FILE_NAME} bytes",
                self.shown()
            ))
            .hint("send it without --keep-name, or under another name"));
        };
        self.name = Some(name.to_owned());
        Ok(())
    }
}

fn directory(shown: &str) -> Failure {
    Failure::new(format!("{shown} is a directory, not a file"))
        .hint("attach its files one by one, or pack it first: tar -cf FILES.tar DIRECTORY")
}

/// So many bytes, from where the file stands; fewer where it has fewer.
fn read_whole(file: impl Read, length: u64, shown: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(length)
        .read_to_end(&mut bytes)
        .map_err(|error| home::disk(&format!("could not read {shown}"), &error))?;
    Ok(bytes)
}

/// What tells the kind of a file.
const HEAD: u64 = 4_096;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn refusal(path: &Path) -> String {
        match Source::new(path).open() {
            Ok(_) => "none".into(),
            Err(failure) => failure.what().to_owned(),
        }
    }

    #[test]
    fn what_is_no_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("empty"), "").unwrap();
        fs::write(at("file"), "x").unwrap();
        let long = File::create(at("long")).unwrap();
        long.set_len(ATTACHMENT + 1).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        for (path, expected) in [
            (at("empty"), "is empty: there is nothing to send"),
            (at("long"), "an attachment has at most 4293132288"),
            (at(""), "is a directory, not a file"),
            (at("pipe"), "is a pipe, not a file"),
            (at("socket"), "could not read"),
            (at("none"), "no such file or directory"),
            ("/dev/zero".into(), "/dev/zero is a device, not a file"),
            (at("file"), "none"),
        ] {
            let told = refusal(&path);
            assert!(told.contains(expected), "{told}");
        }
        long.set_len(ATTACHMENT).unwrap();
        assert_eq!(refusal(&at("long")), "none");
    }

    #[test]
    fn a_hostile_path_is_shown_inert() {
        let source = Source::new(Path::new("a\u{1b}[2J\n/b\u{202e}c"));
        assert!(!source.shown().contains(['\u{1b}', '\n', '\u{202e}']));
        assert!(!source.file_name().contains('\u{202e}'));
    }
}
