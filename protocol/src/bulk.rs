//! AES-256-GCM (NIST SP 800-38D) under keys that are used once: for what a relay keeps on its own disk, and for nothing that
//! travels. Where the processor has instructions for it, it costs an eighth of ChaCha20-Poly1305; elsewhere aws-lc computes it
//! in constant time.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::aead::Unauthentic;
use crate::limits::TAG;

/// Encrypts `buffer` in place and returns the tag. A key must never be used twice: the nonce is zero.
pub fn encrypt(key: &[u8; 32], buffer: &mut [u8]) -> [u8; TAG] {
    let tag = once(key)
        .seal_in_place_separate_tag(zero(), Aad::empty(), buffer)
        .expect("nothing here is longer than the 64 GiB that one nonce takes");
    *tag.as_ref().first_chunk().expect("a tag has 16 bytes")
}

/// Decrypts `buffer` in place.
///
/// # Errors
/// [`Unauthentic`]: another key, or altered. What `buffer` then holds is nothing that anyone should look at.
pub fn decrypt(key: &[u8; 32], buffer: &mut [u8], tag: &[u8; TAG]) -> Result<(), Unauthentic> {
    once(key)
        .open_in_place_separate_tag(zero(), Aad::empty(), tag, buffer)
        .map(|_| ())
        .map_err(|_| Unauthentic)
}

/// Short marks of long pieces, by which a piece is known again within this process (GMAC: the tag of an empty message).
///
/// Under a key that leaves the process as little as the marks do, two pieces have one mark with a chance of less than 2^-100.
pub struct Marker(LessSafeKey);

impl Marker {
    /// Under a new key.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        Self(once(&key))
    }

    /// The mark of a piece.
    pub fn mark(&self, piece: &[u8]) -> [u8; TAG] {
        let tag = self
            .0
            .seal_in_place_separate_tag(zero(), Aad::from(piece), &mut [])
            .expect("nothing here is longer than the 64 GiB that one nonce takes");
        *tag.as_ref().first_chunk().expect("a tag has 16 bytes")
    }
}

/// The key is not shown.
impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Marker(…)")
    }
}

fn once(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key of AES-256 has 32 bytes"))
}

fn zero() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 14 of the GCM specification (McGrew and Viega): zero key, zero nonce, one zero block.
    #[test]
    fn it_agrees_with_the_specification_of_gcm() {
        let mut block = [0; 16];
        let tag = encrypt(&[0; 32], &mut block);
        assert_eq!(block[..4], [0xce, 0xa7, 0x40, 0x3d]);
        assert_eq!(tag[..4], [0xd0, 0xd1, 0xc8, 0xa7]);
    }

    #[test]
    fn a_piece_is_known_by_its_mark_and_another_is_not() {
        let marker = Marker::new(&mut crate::testing::rng(1));
        let piece = [7; 1_000];
        let mark = marker.mark(&piece);
        assert_eq!(marker.mark(&piece), mark);
        for at in [0, 500, 999] {
            let mut other = piece;
            other[at] ^= 1;
            assert_ne!(marker.mark(&other), mark);
        }
        assert_ne!(marker.mark(&piece[..999]), mark);
        assert_ne!(Marker::new(&mut crate::testing::rng(2)).mark(&piece), mark);
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let mut sealed = *b"what lies on the disk";
        let tag = encrypt(&[7; 32], &mut sealed);
        let mut opened = sealed;
        decrypt(&[7; 32], &mut opened, &tag).unwrap();
        assert_eq!(&opened, b"what lies on the disk");
        assert_eq!(
            decrypt(&[8; 32], &mut sealed.clone(), &tag),
            Err(Unauthentic)
        );
        for at in 0..sealed.len() + TAG {
            let (mut sealed, mut tag) = (sealed, tag);
            match sealed.get_mut(at) {
                Some(byte) => *byte ^= 1,
                None => tag[at - sealed.len()] ^= 1,
            }
            assert_eq!(
                decrypt(&[7; 32], &mut sealed, &tag),
                Err(Unauthentic),
                "{at}"
            );
        }
    }
}
