//! The attachments of a submission, as far as this vault has them (spec §9.4).

use std::fmt;
use std::io;

use valise_protocol::file::{FileCheck, FileError};
use valise_protocol::message::{Attached, Attachment, Message, decode_list};
use valise_protocol::parcel::{ParcelBuffer, ParcelCipher, ParcelPlace, parcels};

use crate::progress::bytes;
use crate::vault::Vault;
use crate::vault::item::ItemName;
use crate::vault::parcels::{ParcelFile, Parcels, is_lost};

/// The attachments of one submission.
pub struct Files {
    /// Where their parcels lie.
    pub parcels: Parcels,
    /// Their list, where it is a file of its own.
    pub list: Option<Attachment>,
    /// What they are.
    pub known: Known,
}

/// What is known of the files of a submission.
pub enum Known {
    /// What each of them is, in the order in which they are listed.
    All(Vec<Attachment>),
    /// Their list has not come yet.
    ListToCome,
    /// What came is not the list that the sender spoke of, or no list.
    NoList,
}

/// How far the attachments of a submission have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many files there are, and the length of all; `None` where that is not known.
    files: Option<(usize, u64)>,
    /// How many parcels are wanted, of the files or of their list.
    parcels: u64,
    /// How many of them are not here.
    pub missing: u64,
    /// How many files lack any.
    pub lacking: usize,
}

/// Why a file is not given out.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// Not all of it has come.
    #[error("{missing} of {parcels} parcels still to come")]
    ToCome {
        /// How many parcels are not here.
        missing: u32,
        /// How many it has.
        parcels: u32,
    },
    /// It opened when it came.
    #[error("{0} of its parcels were damaged on this disk, and must be fetched again")]
    Damaged(u32),
    /// All of it is here.
    #[error("it is not what the sender said: {0}")]
    NotAsSaid(#[from] FileError),
    /// The disk, or whoever takes the file.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// The number of the list among the parcels of a submission; the files follow.
pub const LIST_NUMBER: u32 = 0;

impl Files {
    /// Those of the submission that is this item; `None` where it has none, or is damaged.
    ///
    /// # Errors
    /// The system's.
    pub fn of(vault: &Vault, item: ItemName) -> io::Result<Option<Self>> {
        let Some(attached) = attached(vault, item) else {
            return Ok(None);
        };
        let parcels = vault.parcels(item);
        let (list, known) = match attached {
            Attached::Here(files) => (None, Known::All(files)),
            Attached::List(list) => {
                let known = read_list(&parcels, &list)?;
                (Some(*list), known)
            }
        };
        Ok(Some(Self {
            parcels,
            list,
            known,
        }))
    }

    /// The files with their numbers, from 1; none where they are not known.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Attachment)> {
        let files = match &self.known {
            Known::All(files) => files.as_slice(),
            _ => &[],
        };
        (LIST_NUMBER + 1..).zip(files)
    }

    /// How far those of an item have come; `None` where it has none, or is damaged.
    ///
    /// # Errors
    /// The system's.
    pub fn standing_of(vault: &Vault, item: ItemName) -> io::Result<Option<Standing>> {
        Self::of(vault, item)?
            .map(|files| files.standing())
            .transpose()
    }

    /// How far they have come.
    ///
    /// # Errors
    /// The system's.
    pub fn standing(&self) -> io::Result<Standing> {
        let mut standing = Standing::default();
        match (&self.known, &self.list) {
            (Known::All(files), _) => {
                let bytes = files.iter().map(|file| file.length).sum();
                standing.files = Some((files.len(), bytes));
                for (number, file) in self.numbered() {
                    standing.parcels += u64::from(count(file));
                    let missing = self.parcels.missing(number, count(file))?;
                    standing.missing += u64::from(missing);
                    standing.lacking += usize::from(missing > 0);
                }
            }
            (Known::ListToCome, Some(list)) => {
                standing.parcels = u64::from(count(list));
                standing.missing = u64::from(self.parcels.missing(LIST_NUMBER, count(list))?);
                standing.lacking = 1;
            }
            _ => {}
        }
        Ok(standing)
    }
}

impl Standing {
    /// How many parcels may still come: of a list that is not here nobody knows what it stands for.
    pub fn at_most(&self) -> u64 {
        match self.files {
            Some(_) => self.missing,
            None => u64::MAX,
        }
    }
}

/// What a submission says of its attachments.
fn attached(vault: &Vault, item: ItemName) -> Option<Attached> {
    let item = vault.item(item).ok()?;
    match Message::decode(item.message()) {
        Ok(Message::Submission(submission)) => submission.content().ok()?.attached,
        _ => None,
    }
}

/// How many parcels a file has. What was read as a submission has no file that is too long.
pub fn count(file: &Attachment) -> u32 {
    parcels(file.length).unwrap_or(0)
}

fn read_list(parcels: &Parcels, list: &Attachment) -> io::Result<Known> {
    let mut bytes = Vec::new();
    let taken = give(parcels, LIST_NUMBER, list, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    match taken {
        Ok(()) => Ok(decode_list(&bytes).map_or(Known::NoList, Known::All)),
        Err(FileFault::ToCome { .. } | FileFault::Damaged(_)) => Ok(Known::ListToCome),
        Err(FileFault::NotAsSaid(_)) => Ok(Known::NoList),
        Err(FileFault::Disk(error)) => Err(error),
    }
}

/// Gives a file to `take`, piece by piece, as its parcels open. Until this returns nothing of it may be released: only then is it
/// the file that the sender spoke of. A parcel that does not open is given up, so that it is fetched again.
///
/// # Errors
/// [`FileFault`].
pub fn give(
    parcels: &Parcels,
    number: u32,
    file: &Attachment,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), FileFault> {
    let mut check = FileCheck::new(file.length, file.hash)?;
    let total = check.parcels();
    let missing = parcels.missing(number, total)?;
    let here = parcels.file(number)?;
    let (0, Some(here)) = (missing, here) else {
        return Err(FileFault::ToCome {
            missing,
            parcels: total,
        });
    };
    let cipher = file.key.cipher();
    while let Some(place) = check.due() {
        let Some(parcel) = open(&here, &cipher, place)? else {
            return Err(FileFault::Damaged(give_up_damaged(&here, file)?));
        };
        for piece in check.take(&parcel)? {
            take(piece)?;
        }
    }
    Ok(check.finish()?)
}

/// A parcel, opened; `None` where the disk lost or damaged it.
fn open(
    here: &ParcelFile,
    cipher: &ParcelCipher,
    place: ParcelPlace,
) -> io::Result<Option<ParcelBuffer>> {
    let mut parcel = match here.read(place.index()) {
        Err(error) if is_lost(&error) => return Ok(None),
        read => read?,
    };
    let opened = cipher.open(place, &mut parcel);
    Ok(opened.is_ok().then_some(parcel))
}

/// Takes the marks from those parcels that do not open; gives how many they are.
fn give_up_damaged(here: &ParcelFile, file: &Attachment) -> io::Result<u32> {
    let (cipher, count) = (file.key.cipher(), count(file));
    let mut damaged = 0;
    for place in (0..count).filter_map(|index| ParcelPlace::new(index, count)) {
        if open(here, &cipher, place)?.is_none() {
            here.unmark(place.index())?;
            damaged += 1;
        }
    }
    here.sync()?;
    Ok(damaged)
}

/// "2 files, 31.4 MB; 3 of 128 parcels still to come".
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.files {
            Some((1, length)) => write!(f, "1 file, {}; ", bytes(length))?,
            Some((many, length)) => write!(f, "{many} files, {}; ", bytes(length))?,
            None if self.missing > 0 => write!(f, "a long list of files; of the list ")?,
            None => return write!(f, "what came is not the list that the sender spoke of"),
        }
        match self.missing {
            0 => write!(f, "complete"),
            missing => write!(f, "{missing} of {} parcels still to come", self.parcels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_says_what_is_there_and_what_is_not() {
        let standing = |files, parcels, missing| Standing {
            files,
            parcels,
            missing,
            lacking: 0,
        };
        for (standing, told) in [
            (
                standing(Some((2, 31_400_000)), 128, 0),
                "2 files, 31.4 MB; complete",
            ),
            (
                standing(Some((1, 7)), 4, 3),
                "1 file, 7 bytes; 3 of 4 parcels still to come",
            ),
            (
                standing(None, 8, 8),
                "a long list of files; of the list 8 of 8 parcels still to come",
            ),
            (
                standing(None, 0, 0),
                "what came is not the list that the sender spoke of",
            ),
        ] {
            assert_eq!(standing.to_string(), told);
        }
    }
}
