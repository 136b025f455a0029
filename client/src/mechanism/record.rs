//! What a root key signed last, in a file beside it: `root.key.last` beside `root.key` (spec §5.5).
//!
//! The medium with the root key is the one thing that every machine sees on which a roster is signed. So it carries the newest
//! roster past a relay that withholds it, and no second roster of one number is ever signed. Nothing in the file is secret, and
//! the root's own signature is what makes it believed.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use valise_protocol::card::{Proof, Roster};
use valise_protocol::cbor;
use valise_protocol::id::Address;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;

/// Where the record of the root key at this path is.
pub fn path(root: &Path) -> PathBuf {
    with_ending(root, ".last")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut whole = OsString::from(path);
    whole.push(ending);
    whole.into()
}

/// The last roster that the root key at this path signed; `None` where nothing says.
///
/// # Errors
/// A failure when there is a record that does not hold.
pub fn read(root: &Path, address: Address) -> Outcome<Option<(Proof, Roster)>> {
    let path = path(root);
    let shown = escape::line(&path.display().to_string());
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(home::disk(&format!("could not read {shown}"), &error)),
    };
    let proof: Option<Proof> = cbor::decode(&bytes).ok();
    let roster = proof.and_then(|proof| {
        let roster = proof.verify(address).ok()?;
        Some((proof, roster))
    });
    roster.map(Some).ok_or_else(|| {
        Failure::new(format!(
            "{shown}, what this root key signed last, is damaged or another mechanism's"
        ))
        .hint("take the second copy of the root key, with the file beside it")
    })
}

/// Writes down what the root key at this path signs, whole or not at all.
///
/// # Errors
/// A failure when the medium cannot be written.
pub fn write(root: &Path, signed: &Proof) -> Outcome<()> {
    let (path, begun) = (path(root), with_ending(root, ".last.new"));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&begun)?;
        file.write_all(&cbor::encode(signed))?;
        file.sync_all()?;
        std::fs::rename(&begun, &path)?;
        let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| {
        let shown = escape::line(&path.display().to_string());
        home::disk(
            &format!("could not write down beside the root key what it signs, in {shown}"),
            &error,
        )
        .hint("nothing was signed; bring the medium so that it can be written to")
    })
}
