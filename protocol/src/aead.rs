//! ChaCha20-Poly1305 (RFC 8439), the one AEAD of the protocol and of everything that lies on a disk.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Tag};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::hash::expand;
use crate::limits::TAG;

/// A tag did not verify: another key, other associated data, or an altered ciphertext. One variant on purpose.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("does not authenticate")]
pub struct Unauthentic;

/// Encrypts `buffer` in place and returns the tag. A (key, nonce) pair must never be used twice.
pub fn encrypt(key: &[u8; 32], nonce: &[u8; 12], ad: &[u8], buffer: &mut [u8]) -> [u8; TAG] {
    ChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(nonce.into(), ad, buffer.into())
        .expect("nothing here is longer than the 256 GiB that one nonce takes")
        .into()
}

/// Decrypts `buffer` in place.
///
/// # Errors
/// [`Unauthentic`]; `buffer` then holds the ciphertext as before.
pub fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    ad: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), Unauthentic> {
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce.into(), ad, buffer.into(), &Tag::from(*tag))
        .map_err(|_| Unauthentic)
}

/// Seals bytes for a disk: `salt 32 ‖ ciphertext ‖ tag 16`, under a key derived from `key` and the fresh salt,
/// so that no nonce is ever used twice however many files one key seals. `label` and `name` are authenticated.
pub fn seal(
    key: &[u8; 32],
    label: &[u8],
    name: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    let mut out = vec![0; 32];
    rng.fill_bytes(&mut out);
    let file_key = expand::<32>(key, &[label, &out]);
    out.extend_from_slice(plaintext);
    let tag = encrypt(&file_key, &[0; 12], name, &mut out[32..]);
    out.extend_from_slice(&tag);
    out
}

/// Opens what [`seal`] sealed under the same key, label and name.
///
/// # Errors
/// [`Unauthentic`], also when it is too short to be a sealed thing.
pub fn open(
    key: &[u8; 32],
    label: &[u8],
    name: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
    let (salt, rest) = sealed.split_at_checked(32).ok_or(Unauthentic)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(Unauthentic)?;
    let file_key = expand::<32>(key, &[label, salt]);
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    decrypt(&file_key, &[0; 12], name, &mut plaintext, tag)?;
    Ok(plaintext)
}
