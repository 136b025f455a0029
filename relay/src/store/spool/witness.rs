//! The witness: a file outside the store that remembers how far the store had come, so that an old copy put in its place
//! is noticed. It must lie where a restore of the store does not reach.

use std::path::Path;

use super::OpenError;
use super::disk::Disk;
use super::keys::Keys;
use super::twin::{self, Magic, TwinError};

/// Compares the store with its witness; whether one of the witness's two copies is damaged. A witness that does not exist yet has
/// nothing to say.
///
/// # Errors
/// [`OpenError::Rollback`] where the store is older than the witness, [`OpenError::AnotherStore`] where it is not the store
/// that the witness knows, [`OpenError::WitnessDamaged`].
pub(super) fn check(disk: &dyn Disk, path: &Path, keys: &Keys) -> Result<bool, OpenError> {
    let twin = match twin::read(disk, path, MAGIC) {
        Ok(twin) => twin,
        Err(TwinError::Missing) => return Ok(false),
        Err(TwinError::Damaged) => return Err(OpenError::WitnessDamaged),
        Err(TwinError::Version(found)) => return Err(OpenError::UnknownVersion(found)),
        Err(TwinError::Io(error)) => return Err(OpenError::Io(error)),
    };
    let (store, rest) = twin
        .payload
        .split_first_chunk()
        .ok_or(OpenError::WitnessDamaged)?;
    let generation = rest.try_into().map_err(|_| OpenError::WitnessDamaged)?;
    let witnessed = u64::from_be_bytes(generation);
    if *store != keys.store {
        return Err(OpenError::AnotherStore);
    }
    if witnessed > keys.generation {
        return Err(OpenError::Rollback {
            found: keys.generation,
            witnessed,
        });
    }
    Ok(twin.damaged)
}

/// Tells the witness how far the store has come.
pub(super) fn tell(disk: &dyn Disk, path: &Path, keys: &Keys) -> std::io::Result<()> {
    let payload = [&keys.store[..], &keys.generation.to_be_bytes()].concat();
    twin::write(disk, path, MAGIC, &payload)
}

const MAGIC: Magic = *b"valiseW1";
