//! Whole files: what their reader checks before any byte of them is released (spec §9.4).
//!
//! Parcels open one by one, but a file is good only as a whole: no parcel is missing, everything after its true length is zero,
//! and its hash is the one that the submission gives. Until [`FileCheck::finish`] has said so, what was written of it must be
//! kept where nobody takes it for the file.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::hash::equal;
use crate::limits::PARCEL_PLAIN;
use crate::parcel::{FileHash, ParcelBuffer, ParcelPlace, parcels};

/// Why what was put together is not the file that a submission speaks of.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileError {
    /// It is said to be longer than a file can be.
    #[error("a file cannot be so long")]
    TooLong,
    /// There are more or fewer parcels than a file of its length has.
    #[error("it has another number of parcels than a file of its length")]
    Parcels,
    /// A byte after its end is not zero.
    #[error("what follows the end of the file is not empty")]
    Padding,
    /// All of it is there, but it is another file.
    #[error("it is not the file that was sent: its hash is another")]
    Hash,
}

/// Checks a file while its parcels are opened, in their order.
pub struct FileCheck {
    length: u64,
    expected: FileHash,
    count: u32,
    taken: u32,
    hash: Sha256,
    fault: Option<FileError>,
}

impl FileCheck {
    /// Of a file of this true length, whose bytes have this hash.
    ///
    /// # Errors
    /// [`FileError::TooLong`].
    pub fn new(length: u64, hash: FileHash) -> Result<Self, FileError> {
        Ok(Self {
            length,
            expected: hash,
            count: parcels(length).ok_or(FileError::TooLong)?,
            taken: 0,
            hash: Sha256::new(),
            fault: None,
        })
    }

    /// How many parcels it has, padding included.
    pub const fn parcels(&self) -> u32 {
        self.count
    }

    /// The place of the parcel that is due; `None` where all have been taken.
    pub fn due(&self) -> Option<ParcelPlace> {
        ParcelPlace::new(self.taken, self.count)
    }

    /// Takes the parcel that is due, opened, and gives those pieces of it that belong to the file, in their order: none of a parcel
    /// that is padding only. After an error nothing more is taken.
    ///
    /// # Errors
    /// [`FileError::Parcels`] where none is due, [`FileError::Padding`].
    pub fn take<'a>(
        &mut self,
        opened: &'a ParcelBuffer,
    ) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, FileError> {
        let left = self.left();
        let checked = match self.fault {
            Some(fault) => Err(fault),
            None if self.taken == self.count => Err(FileError::Parcels),
            None => self.look_at(opened, left),
        };
        self.fault = checked.err();
        checked?;
        self.taken += 1;
        Ok(pieces(opened, left)
            .map(|(of_file, _)| of_file)
            .filter(|piece| !piece.is_empty()))
    }

    /// Whether all of it was taken, and is the file: only then may any byte of it be released.
    ///
    /// # Errors
    /// [`FileError`]: the first that was met, [`FileError::Parcels`] where one has not come, or [`FileError::Hash`].
    pub fn finish(self) -> Result<(), FileError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.taken != self.count {
            return Err(FileError::Parcels);
        }
        if equal(&self.hash.finalize(), self.expected.as_bytes()) {
            Ok(())
        } else {
            Err(FileError::Hash)
        }
    }

    /// How many bytes of the file have not been taken.
    fn left(&self) -> u64 {
        let taken = u64::from(self.taken) * PARCEL_PLAIN as u64;
        self.length.saturating_sub(taken)
    }

    fn look_at(&mut self, opened: &ParcelBuffer, left: u64) -> Result<(), FileError> {
        for (of_file, padding) in pieces(opened, left) {
            self.hash.update(of_file);
            if padding.iter().any(|byte| *byte != 0) {
                return Err(FileError::Padding);
            }
        }
        Ok(())
    }
}

/// The plaintext of a parcel, cut where `left` bytes of the file end: in each of its pieces what belongs to the file, and what
/// does not.
fn pieces(opened: &ParcelBuffer, left: u64) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut left = usize::try_from(left).unwrap_or(usize::MAX);
    opened.plain().map(move |piece| {
        let (of_file, padding) = piece.split_at(left.min(piece.len()));
        left -= of_file.len();
        (of_file, padding)
    })
}

/// How far it is; nothing of the file.
impl fmt::Debug for FileCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileCheck({} of {} parcels)", self.taken, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ATTACHMENT, CHUNK_PLAIN};

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    /// The opened parcels of so many bytes, padded to so many parcels.
    fn opened(file: &[u8], count: u32) -> Vec<ParcelBuffer> {
        let mut rest = file;
        let parcel = |_| {
            let mut buffer = ParcelBuffer::new();
            for piece in buffer.plain_mut() {
                let (here, after) = rest.split_at(rest.len().min(piece.len()));
                piece[..here.len()].copy_from_slice(here);
                rest = after;
            }
            buffer
        };
        (0..count).map(parcel).collect()
    }

    /// What is released of these parcels.
    fn read(check: FileCheck, parcels: &[ParcelBuffer]) -> Result<Vec<u8>, FileError> {
        let mut check = check;
        let mut file = Vec::new();
        for parcel in parcels {
            check.take(parcel)?.for_each(|piece| file.extend(piece));
        }
        check.finish().map(|()| file)
    }

    fn check(file: &[u8]) -> FileCheck {
        FileCheck::new(file.len() as u64, FileHash::of(file)).unwrap()
    }

    #[test]
    fn a_file_of_any_length_comes_out_as_it_was() {
        let step = 4 * PARCEL_PLAIN;
        for length in [
            0,
            1,
            CHUNK_PLAIN - 1,
            CHUNK_PLAIN,
            CHUNK_PLAIN + 1,
            PARCEL_PLAIN,
            PARCEL_PLAIN + 1,
            step,
            step + 1,
        ] {
            let file = bytes(length);
            let count = check(&file).parcels();
            assert_eq!(count, if length > step { 8 } else { 4 });
            let whole = read(check(&file), &opened(&file, count));
            assert!(whole.as_ref() == Ok(&file), "{length}");
        }
    }

    #[test]
    fn parcels_are_due_in_their_order_until_all_were_taken() {
        let file = bytes(9);
        let mut check = check(&file);
        for (at, parcel) in (0..).zip(opened(&file, 4)) {
            assert_eq!(check.due(), ParcelPlace::new(at, 4));
            let pieces = check.take(&parcel).unwrap().count();
            assert_eq!(pieces, usize::from(at == 0), "padding is not the file's");
        }
        assert_eq!(check.due(), None);
        assert_eq!(format!("{check:?}"), "FileCheck(4 of 4 parcels)");
        assert_eq!(check.finish(), Ok(()));
    }

    #[test]
    fn a_parcel_missing_or_too_many_is_noticed() {
        let file = bytes(9);
        for count in [0, 3, 5, 8] {
            let read = read(check(&file), &opened(&file, count));
            assert_eq!(read, Err(FileError::Parcels), "{count}");
        }
    }

    #[test]
    fn a_byte_after_the_end_is_noticed_wherever_it_is() {
        let file = bytes(PARCEL_PLAIN + 9);
        for (parcel, piece, byte) in [
            (1, 0, 9),
            (1, 3, CHUNK_PLAIN - 1),
            (2, 0, 0),
            (3, 3, 65_507),
        ] {
            let mut parcels = opened(&file, 4);
            parcels[parcel].plain_mut().nth(piece).unwrap()[byte] = 1;
            assert_eq!(read(check(&file), &parcels), Err(FileError::Padding));
        }
    }

    #[test]
    fn after_a_fault_nothing_is_taken_and_nothing_is_good() {
        let file = bytes(9);
        let (good, mut bad) = (opened(&file, 4), ParcelBuffer::new());
        bad.plain_mut().for_each(|piece| piece.fill(1));
        let mut check = check(&file);
        assert!(check.take(&bad).is_err());
        for parcel in &good {
            assert_eq!(check.take(parcel).err(), Some(FileError::Padding));
        }
        assert_eq!(check.finish(), Err(FileError::Padding));
    }

    #[test]
    fn another_file_and_another_length_are_noticed() {
        let (file, other) = (bytes(9), [7; 9]);
        let parcels = opened(&other, 4);
        assert_eq!(read(check(&file), &parcels), Err(FileError::Hash));
        let longer = FileCheck::new(10, FileHash::of(&file)).unwrap();
        assert_eq!(read(longer, &opened(&file, 4)), Err(FileError::Hash));
        let shorter = FileCheck::new(8, FileHash::of(&file[..8])).unwrap();
        assert_eq!(read(shorter, &opened(&file, 4)), Err(FileError::Padding));
        let hash = FileHash::of(&file);
        assert_eq!(
            FileCheck::new(ATTACHMENT + 1, hash).err(),
            Some(FileError::TooLong)
        );
        assert_eq!(FileCheck::new(ATTACHMENT, hash).unwrap().parcels(), 16_384);
    }
}
