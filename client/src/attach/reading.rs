//! The two readings of a file.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use valise_protocol::bulk::Marker;
use valise_protocol::limits::{CHUNK_PLAIN, CHUNKS, PARCEL_PLAIN, TAG};
use valise_protocol::parcel::{
    FileHash, FileHasher, ParcelBuffer, ParcelCipher, ParcelPlace, parcels,
};

use crate::failure::{Failure, Outcome};
use crate::home;

use super::source::{Bytes, Source};

/// What a file is made of.
pub enum Origin {
    /// A file of the person's.
    File(Source),
    /// Bytes that this program made: a list of files.
    Made(Arc<[u8]>),
}

/// Why a file was not read for the second time.
pub enum Unread {
    /// It is not what it was: what came of it is of no use.
    Changed(Failure),
    /// It cannot be read now.
    Broken(Failure),
}

/// A file after its first reading.
pub struct Prepared {
    origin: Origin,
    /// Of its bytes.
    pub hash: FileHash,
    /// In bytes.
    pub length: u64,
    /// How many parcels it takes.
    pub count: u32,
    marker: Arc<Marker>,
    /// Of each chunk, by which the second reading is compared with the first.
    marks: Vec<[u8; TAG]>,
}

impl Prepared {
    /// Reads a file for the first time. `read` is told how many bytes came, now and then.
    ///
    /// # Errors
    /// A failure when it cannot be read, or is no file to be sent.
    pub fn read(source: Source, marker: &Arc<Marker>, read: &dyn Fn(u64)) -> Outcome<Self> {
        Self::of(Origin::File(source), marker, read)
    }

    /// From bytes that this program made.
    ///
    /// # Errors
    /// None: reading memory does not fail.
    pub fn made(bytes: Vec<u8>, marker: &Arc<Marker>) -> Outcome<Self> {
        Self::of(Origin::Made(bytes.into()), marker, &|_| ())
    }

    fn of(origin: Origin, marker: &Arc<Marker>, read: &dyn Fn(u64)) -> Outcome<Self> {
        let mut bytes = origin.open()?;
        let (mut hasher, mut length, mut marks) = (FileHasher::default(), 0, Vec::new());
        let mut chunk = vec![0; CHUNK_PLAIN];
        loop {
            let filled = fill(&mut *bytes, &mut chunk).map_err(|error| origin.broken(&error))?;
            if filled == 0 {
                break;
            }
            hasher.update(&chunk[..filled]);
            marks.push(marker.mark(&chunk[..filled]));
            length += filled as u64;
            read(filled as u64);
            let Some(count) = parcels(length) else {
                return Err(origin.changed());
            };
            if filled < CHUNK_PLAIN {
                debug_assert!(marks.len() <= count as usize * CHUNKS);
                break;
            }
        }
        let count = parcels(length).ok_or_else(|| origin.changed())?;
        Ok(Self {
            origin,
            hash: hasher.finish(),
            length,
            count,
            marker: marker.clone(),
            marks,
        })
    }

    /// The file, where it is one of the person's.
    pub const fn source(&self) -> Option<&Source> {
        match &self.origin {
            Origin::File(source) => Some(source),
            Origin::Made(_) => None,
        }
    }

    /// What it is called in a message.
    pub fn shown(&self) -> String {
        self.origin.shown()
    }

    /// Reads it for the second time: these parcels, ascending, sealed, each given to `give` until that wants no more.
    ///
    /// # Errors
    /// [`Unread`]. Nothing of the parcel in which it differs is given.
    pub fn seal(
        &self,
        cipher: &ParcelCipher,
        wanted: impl Iterator<Item = u32>,
        mut give: impl FnMut(u32, ParcelBuffer) -> bool,
    ) -> Result<(), Unread> {
        let mut bytes = self.origin.open().map_err(Unread::Broken)?;
        let mut at = 0;
        for index in wanted {
            let place = ParcelPlace::new(index, self.count)
                .ok_or_else(|| Unread::Broken(Failure::new("there is no such parcel")))?;
            let start = u64::from(index) * PARCEL_PLAIN as u64;
            if start != at && start < self.length {
                let sought = bytes.seek(SeekFrom::Start(start));
                sought.map_err(|error| Unread::Broken(self.origin.broken(&error)))?;
            }
            let mut buffer = ParcelBuffer::new();
            let first = index as usize * CHUNKS;
            for (chunk, plain) in (first..).zip(buffer.plain_mut()) {
                let Some(mark) = self.marks.get(chunk) else {
                    break;
                };
                let filled = fill(&mut *bytes, plain)
                    .map_err(|error| Unread::Broken(self.origin.broken(&error)))?;
                if self.marker.mark(&plain[..filled]) != *mark {
                    return Err(Unread::Changed(self.origin.changed()));
                }
            }
            at = start + PARCEL_PLAIN as u64;
            cipher.seal(place, &mut buffer);
            if !give(index, buffer) {
                break;
            }
        }
        Ok(())
    }
}

impl Origin {
    fn open(&self) -> Outcome<Box<dyn Bytes>> {
        match self {
            Self::File(source) => source.read(),
            Self::Made(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::File(source) => source.shown(),
            Self::Made(_) => "the list of the files".to_owned(),
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        home::disk(&format!("could not read {}", self.shown()), error)
    }

    fn changed(&self) -> Failure {
        Failure::new(format!("{} changed while it was read", self.shown()))
            .hint("copy it, and attach the copy")
    }
}

/// Fills a buffer as far as there are bytes.
fn fill(mut from: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use valise_protocol::parcel::FileKey;

    use super::*;
    use crate::random;

    fn prepared(path: &Path) -> Prepared {
        let marker = Arc::new(Marker::new(&mut random::system()));
        Prepared::read(Source::new(path), &marker, &|_| ()).unwrap()
    }

    fn plain(file: &Prepared) -> Vec<u8> {
        let cipher = FileKey::from_bytes(&[1; 32]).cipher();
        let mut all = Vec::new();
        file.seal(&cipher, 0..file.count, |index, mut buffer| {
            let place = ParcelPlace::new(index, file.count).unwrap();
            cipher.open(place, &mut buffer).unwrap();
            buffer
                .plain()
                .for_each(|piece| all.extend_from_slice(piece));
            true
        })
        .ok()
        .unwrap();
        all
    }

    #[test]
    fn the_parcels_hold_the_file_and_then_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for length in [
            1,
            CHUNK_PLAIN - 1,
            CHUNK_PLAIN,
            PARCEL_PLAIN + 1,
            4 * PARCEL_PLAIN,
        ] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8 + 1).collect();
            fs::write(&path, &bytes).unwrap();
            let file = prepared(&path);
            assert_eq!((file.length, file.count), (length as u64, 4));
            assert!(file.hash == FileHash::of(&bytes));
            let plain = plain(&file);
            assert!(plain[..length] == bytes && plain[length..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn nothing_of_what_changed_since_the_first_reading_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let bytes = vec![7; 3 * PARCEL_PLAIN];
        let longer = [&bytes[..], &[1]].concat();
        let mut altered = bytes.clone();
        altered[2 * PARCEL_PLAIN] = 8;
        for (after, whole) in [
            (bytes.clone(), 4),
            (altered, 2),
            (bytes[..PARCEL_PLAIN + 9].to_vec(), 1),
            (longer, 4),
        ] {
            fs::write(&path, &bytes).unwrap();
            let file = prepared(&path);
            fs::write(&path, after).unwrap();
            let mut given = 0;
            let cipher = FileKey::from_bytes(&[1; 32]).cipher();
            let sealed = file.seal(&cipher, 0..file.count, |_, _| {
                given += 1;
                true
            });
            // What was added behind the end is not part of what was hashed, and is not sent.
            assert_eq!(given, whole);
            assert_eq!(matches!(sealed, Err(Unread::Changed(_))), whole < 4);
        }
    }

    #[test]
    fn only_what_is_wanted_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, vec![7; 3 * PARCEL_PLAIN]).unwrap();
        let file = prepared(&path);
        let cipher = FileKey::from_bytes(&[1; 32]).cipher();
        let (mut all, mut some) = (Vec::new(), Vec::new());
        file.seal(&cipher, 0..4, |index, buffer| {
            all.push((index, buffer));
            true
        })
        .ok()
        .unwrap();
        file.seal(&cipher, [1, 3].into_iter(), |index, buffer| {
            some.push((index, buffer));
            true
        })
        .ok()
        .unwrap();
        assert!(some == [all.remove(1), all.remove(2)]);
    }
}
