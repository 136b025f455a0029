//! The root key in a file of its own, under a passphrase of its own: it signs rosters and nothing else, and may stay offline.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand_core::CryptoRng;
use valise_protocol::card::VerifiedCard;
use valise_protocol::key::SigningKey;

use crate::escape;
use crate::failure::{Failure, Outcome};
use crate::home;
use crate::vault::wrap::{self, Kind, UnwrapError};

/// Writes a root key to a file that must not be there yet.
///
/// # Errors
/// A failure when there is one, or the disk refuses.
pub fn write(
    path: &Path,
    passphrase: &str,
    root: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Outcome<()> {
    let wrapped = wrap::wrap(Kind::Root, passphrase, root.expose(), rng);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(&wrapped)?;
        file.sync_all()
    };
    write().map_err(|error| {
        let failure = home::disk(
            &format!("could not write the root key to {}", shown(path)),
            &error,
        );
        match error.kind() {
            ErrorKind::AlreadyExists => failure
                .hint("no root key is overwritten: choose another place for it, or remove this one if its mechanism was never made"),
            _ => failure,
        }
    })
}

/// Reads a root key.
///
/// # Errors
/// A failure that tells a wrong passphrase from a damaged file and from another file.
pub fn read(path: &Path, passphrase: &str) -> Outcome<SigningKey> {
    let bytes = std::fs::read(path).map_err(|error| {
        home::disk(
            &format!("could not read the root key {}", shown(path)),
            &error,
        )
        .hint("bring the medium with the root key, and name its file with --root FILE")
    })?;
    let secret = wrap::unwrap(Kind::Root, passphrase, &bytes).map_err(|error| match error {
        UnwrapError::WrongPassphrase => Failure::new("the root key's passphrase is wrong")
            .hint("nothing was changed; try again"),
        UnwrapError::Damaged => Failure::new(format!("the root key {} is damaged", shown(path)))
            .hint("take the second copy of it"),
        _ => Failure::new(format!("{} is not a root key", shown(path)))
            .hint("name the file that valise mechanism init wrote with --root FILE"),
    })?;
    Ok(SigningKey::from_bytes(&secret))
}

/// Checks that a root key is the last one of a card: the one that may sign its next roster.
///
/// # Errors
/// A failure when it is another mechanism's, or an earlier one.
pub fn check_signs(root: &SigningKey, card: &VerifiedCard) -> Outcome<()> {
    let roster = card.card().signed_roster();
    if roster.verify(&root.verifying_key(), card.address()).is_ok() {
        return Ok(());
    }
    let key = root.verifying_key();
    if card.card().roots().iter().any(|root| *root.key() == key) {
        return Err(Failure::new(
            "this root key has given way to a later one, and signs nothing more",
        )
        .hint("name the file that valise mechanism root renew wrote, with --root FILE"));
    }
    Err(
        Failure::new("this root key is not the one of this mechanism")
            .hint("name another file with --root FILE"),
    )
}

fn shown(path: &Path) -> String {
    escape::line(&path.display().to_string())
}
