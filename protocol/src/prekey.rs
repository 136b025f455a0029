//! Prekeys: the pair of keys that a slot is sealed to (spec §4.2).

use rand_core::CryptoRng;

use crate::hash::sha256;
use crate::kem::{KemPublic, KemSecret, KemSeed};
use crate::key::{DhPublic, DhSecret};

/// The public half: an X25519 key and an ML-KEM-768 encapsulation key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prekey {
    /// The X25519 key.
    pub dh: DhPublic,
    /// The encapsulation key.
    pub kem: KemPublic,
}

/// The private half, expanded for use.
#[derive(Debug)]
pub struct PrekeySecret {
    /// The X25519 key.
    pub dh: DhSecret,
    /// The ML-KEM key pair.
    pub kem: KemSecret,
    hash: [u8; 32],
}

impl Prekey {
    /// The prekey hash (spec §2.1), bound into every slot sealed to it.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[self.dh.as_bytes(), self.kem.as_bytes()])
    }
}

impl PrekeySecret {
    /// From the X25519 key and the ML-KEM seed.
    pub fn new(dh: DhSecret, seed: &KemSeed) -> Self {
        let kem = seed.key_pair();
        let hash = Prekey {
            dh: dh.public(),
            kem: kem.public().clone(),
        }
        .hash();
        Self { dh, kem, hash }
    }

    /// A fresh one that nobody keeps: for the slots that nobody needs.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(DhSecret::generate(rng), &KemSeed::generate(rng))
    }

    /// Its public half.
    pub fn public(&self) -> Prekey {
        Prekey {
            dh: self.dh.public(),
            kem: self.kem.public().clone(),
        }
    }

    /// The hash of its public half.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}
