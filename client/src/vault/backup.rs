//! Backups: one file with everything that is in a vault but attachments, encrypted as it lies there.
//!
//! ```text
//! 16  "valise backup 1" and a zero
//!     for each file: u8 length of its name, name, u32 length, bytes
//! 32  SHA-256 of all before
//! ```
//!
//! Parcels of attachments are not in it: they may be many gigabytes, and come again from the relay while it holds them.
//!
//! A backup opens with the passphrase of the day it was made. Restoring an old one brings back prekeys and mail that were deleted
//! since, and forgets what came since.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand_core::CryptoRng;
use valise_protocol::hash::sha256;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home::{self, Home};

use super::fault::{already_there, not_written, wrong};
use super::item::ItemName;
use super::wrap::{self, Kind};
use super::{KEY, STATE, Vault};

/// The first bytes of a backup.
const MAGIC: &[u8; 16] = b"valise backup 1\0";

/// A backup that was read and checked, but not opened.
pub struct Backup(Vec<(String, Vec<u8>)>);

impl Vault {
    /// Writes a backup to a file that must not be there yet, and gives the number of items in it.
    ///
    /// # Errors
    /// A failure when the file exists or the disk refuses.
    pub fn backup(&self, to: &Path) -> Outcome<usize> {
        let files = self.files()?;
        let items = files.len().saturating_sub(2);
        let mut out = MAGIC.to_vec();
        for (name, bytes) in &files {
            let long = |_| Failure::new("a file of the vault is too large for a backup");
            out.push(u8::try_from(name.len()).map_err(long)?);
            out.extend(name.as_bytes());
            out.extend(u32::try_from(bytes.len()).map_err(long)?.to_be_bytes());
            out.extend(bytes);
        }
        out.extend(sha256(&[&out]));
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(to)?;
            file.write_all(&out)?;
            file.sync_all()
        };
        let shown = escape::line(&to.display().to_string());
        write().map_err(|error| home::disk(&format!("could not write {shown}"), &error))?;
        Ok(items)
    }

    /// Key, state and items as they lie on the disk at one moment.
    fn files(&self) -> Outcome<Vec<(String, Vec<u8>)>> {
        let _lock = self.home.lock()?;
        let read = || -> std::io::Result<Vec<_>> {
            let mut names = self.disk.names()?;
            names.retain(|name| belongs(name));
            names
                .into_iter()
                .map(|name| Ok((name.clone(), self.disk.read(&name)?)))
                .collect()
        };
        read().map_err(|error| home::disk("could not read the vault", &error))
    }
}

/// Whether a file is part of a backup.
fn belongs(name: &str) -> bool {
    name == KEY || name == STATE || name.parse::<ItemName>().is_ok()
}

impl Backup {
    /// Reads a backup and checks that it is whole.
    ///
    /// # Errors
    /// A failure when it is something else, or damaged.
    pub fn read(from: &Path) -> Outcome<Self> {
        let shown = escape::line(&from.display().to_string());
        let mut bytes = Vec::new();
        std::fs::File::open(from)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| home::disk(&format!("could not read {shown}"), &error))?;
        if !bytes.starts_with(MAGIC) {
            return Err(Failure::new(format!("{shown} is not a backup of a vault"))
                .hint("a backup is made with: valise vault backup FILE"));
        }
        parse(&bytes).map(Self).ok_or_else(|| {
            Failure::new(format!("the backup {shown} is damaged or cut short"))
                .hint("take an older one")
        })
    }

    /// Makes a vault of it in a home that has none, and opens it.
    ///
    /// # Errors
    /// A failure when the passphrase is wrong, there is a vault already, or the disk refuses.
    pub fn restore(
        &self,
        home: &Home,
        passphrase: &str,
        rng: &mut impl CryptoRng,
    ) -> Outcome<Vault> {
        let wrapped = (self.0.iter().find(|(name, _)| name == KEY))
            .ok_or_else(|| Failure::new("the backup holds no key"))?;
        let key =
            wrap::unwrap(Kind::Vault, passphrase, &wrapped.1).map_err(|error| wrong(&error))?;
        home.make()?;
        let _lock = home.lock()?;
        if Vault::is_in(home) {
            return Err(already_there(home));
        }
        let vault = Vault {
            home: home.clone(),
            disk: Vault::disk_of(home),
            key,
        };
        let write = || {
            vault.disk.make()?;
            for (name, bytes) in self.0.iter().filter(|(name, _)| name != KEY) {
                vault.disk.replace(name, bytes)?;
            }
            Ok(())
        };
        write().map_err(|error: std::io::Error| not_written(&error))?;
        let (super::Piece::First(state) | super::Piece::Second(state)) = vault.read_state()?;
        vault.write_state(&state, rng)?;
        vault.write_twice(KEY, &wrapped.1)?;
        Ok(vault)
    }
}

fn parse(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let (content, checksum) = bytes.split_last_chunk::<32>()?;
    if sha256(&[content]) != *checksum {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut files = Vec::new();
    while let Some((length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(*length))?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (file, after) = after.split_at_checked(length)?;
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| belongs(name))?;
        files.push((name.to_owned(), file.to_vec()));
        rest = after;
    }
    Some(files)
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backup({} files)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_names_no_file_outside_the_vault() {
        for name in ["../x", "/etc/passwd", "key.copy", "lock", "a"] {
            let mut bytes = MAGIC.to_vec();
            bytes.push(name.len() as u8);
            bytes.extend(name.as_bytes());
            bytes.extend([0, 0, 0, 0]);
            bytes.extend(sha256(&[&bytes]));
            assert!(parse(&bytes).is_none(), "{name}");
        }
    }
}
