//! A 32-byte secret under a passphrase: the vault's key, and the root key in its own file.
//!
//! ```text
//! offset  size  field
//!      0    16  what it is, and version 1
//!     16    16  salt of Argon2id (64 MiB, 3 passes)
//!     32    80  salt 32 ‖ ChaCha20-Poly1305 of the secret 32 ‖ tag 16
//!    112    32  SHA-256 of all before: tells damage from a wrong passphrase
//! ```

use rand_core::CryptoRng;
use thiserror::Error;
use valise_protocol::hash::sha256;
use valise_protocol::{aead, stretch};
use zeroize::Zeroizing;

/// What a wrapped secret is: one kind does not open as the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The key of a vault.
    Vault,
    /// A mechanism's root key.
    Root,
}

/// Why a wrapped secret was not opened.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnwrapError {
    /// It is something else, or of a later version.
    #[error("not a file of this kind and version")]
    Unknown,
    /// Some bytes changed since it was written.
    #[error("the file is damaged")]
    Damaged,
    /// It is as it was written, and the passphrase does not open it.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
}

/// The length of a wrapped secret.
pub const WRAPPED: usize = 144;
/// Where the checksum begins.
const CHECKSUM_AT: usize = WRAPPED - 32;

impl Kind {
    const fn magic(self) -> &'static [u8; 16] {
        match self {
            Self::Vault => b"valise vault 1\0\0",
            Self::Root => b"valise root 1\0\0\0",
        }
    }
}

/// Wraps a secret. Takes some tenths of a second.
pub fn wrap(kind: Kind, passphrase: &str, secret: &[u8; 32], rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    let key = stretch::stretch(passphrase.as_bytes(), &salt);
    let mut out = [kind.magic().as_slice(), &salt].concat();
    out.extend(aead::seal(&key, b"valise1/wrap", kind.magic(), secret, rng));
    out.extend(sha256(&[&out]));
    out
}

/// Opens a wrapped secret. Takes some tenths of a second.
///
/// # Errors
/// [`UnwrapError`].
pub fn unwrap(
    kind: Kind,
    passphrase: &str,
    bytes: &[u8],
) -> Result<Zeroizing<[u8; 32]>, UnwrapError> {
    check(kind, bytes)?;
    let key = stretch::stretch(passphrase.as_bytes(), &bytes[16..32]);
    let secret = aead::open(&key, b"valise1/wrap", kind.magic(), &bytes[32..CHECKSUM_AT])
        .map_err(|_| UnwrapError::WrongPassphrase)?;
    let mut out = Zeroizing::new([0; 32]);
    out.copy_from_slice(&secret);
    Ok(out)
}

/// Whether the bytes are a wrapped secret of this kind, undamaged. Needs no passphrase.
///
/// # Errors
/// [`UnwrapError::Unknown`] or [`UnwrapError::Damaged`].
pub fn check(kind: Kind, bytes: &[u8]) -> Result<(), UnwrapError> {
    if !bytes.starts_with(kind.magic()) {
        return Err(UnwrapError::Unknown);
    }
    if bytes.len() != WRAPPED || sha256(&[&bytes[..CHECKSUM_AT]]) != bytes[CHECKSUM_AT..] {
        return Err(UnwrapError::Damaged);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::system as rng;

    #[test]
    fn a_secret_opens_under_its_passphrase_and_kind_only() {
        let bytes = wrap(Kind::Root, "correct horse", &[7; 32], &mut rng());
        assert_eq!(bytes.len(), WRAPPED);
        assert_eq!(
            *unwrap(Kind::Root, "correct horse", &bytes).unwrap(),
            [7; 32]
        );
        assert_eq!(
            unwrap(Kind::Root, "correct horsf", &bytes).unwrap_err(),
            UnwrapError::WrongPassphrase
        );
        assert_eq!(
            unwrap(Kind::Vault, "correct horse", &bytes).unwrap_err(),
            UnwrapError::Unknown
        );
    }

    #[test]
    fn damage_is_told_from_a_wrong_passphrase() {
        let bytes = wrap(Kind::Vault, "x", &[7; 32], &mut rng());
        for at in 16..WRAPPED {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(check(Kind::Vault, &damaged), Err(UnwrapError::Damaged));
        }
        assert_eq!(check(Kind::Vault, &bytes[..100]), Err(UnwrapError::Damaged));
        assert_eq!(check(Kind::Vault, b"abc"), Err(UnwrapError::Unknown));
    }
}
