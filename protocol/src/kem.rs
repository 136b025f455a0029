//! ML-KEM-768 (FIPS 203), and the pre-shared key it gives to Noise (spec §4.2, §7.1).

use std::fmt;

use libcrux_ml_kem::mlkem768;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::hash::{expand, extract, sha256};
use crate::limits::{KEM_CIPHERTEXT, KEM_KEY, KEM_SEED};

/// An encapsulation key that passed the modulus check.
#[derive(Clone, PartialEq, Eq)]
pub struct KemPublic(Box<[u8; KEM_KEY]>);

/// The 64-byte seed d ‖ z of a key pair: the only form in which one is kept.
pub struct KemSeed(Zeroizing<[u8; KEM_SEED]>);

/// A key pair expanded for use. It lies in one heap block, which the programs' allocator wipes when it is freed.
pub struct KemSecret {
    pair: Box<mlkem768::MlKem768PrivateKey>,
    public: KemPublic,
    public_hash: [u8; 32],
}

/// A ciphertext: any 1,088 bytes are one.
pub type KemCiphertext = [u8; KEM_CIPHERTEXT];

/// A ciphertext with its SHA-256, which both the pre-shared key and a slot's prologue take: hashed once, however many keys try it.
pub struct HashedCiphertext {
    bytes: Box<KemCiphertext>,
    hash: [u8; 32],
}

/// Not an encapsulation key: a coefficient is not below the modulus (FIPS 203 §7.2).
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not an ML-KEM-768 encapsulation key")]
pub struct BadKemKey;

impl KemPublic {
    /// From its bytes.
    ///
    /// # Errors
    /// [`BadKemKey`].
    pub fn from_bytes(bytes: &[u8; KEM_KEY]) -> Result<Self, BadKemKey> {
        if mlkem768::validate_public_key(&bytes.into()) {
            Ok(Self(Box::new(*bytes)))
        } else {
            Err(BadKemKey)
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; KEM_KEY] {
        &self.0
    }

    /// Encapsulates to this key and makes the pre-shared key for the Noise handshake named by `label`.
    pub fn encapsulate(
        &self,
        label: &'static str,
        rng: &mut impl CryptoRng,
    ) -> (HashedCiphertext, Zeroizing<[u8; 32]>) {
        let mut coins = [0; 32];
        rng.fill_bytes(&mut coins);
        let (ct, ss) = mlkem768::encapsulate(&(&*self.0).into(), coins);
        let ss = Zeroizing::new(ss);
        let ct = HashedCiphertext::new(ct.as_slice());
        let psk = preshared_key(label, &ss, &sha256(&[self.as_bytes()]), &ct.hash);
        (ct, psk)
    }
}

impl HashedCiphertext {
    /// From its bytes.
    pub fn new(bytes: &KemCiphertext) -> Self {
        Self {
            bytes: Box::new(*bytes),
            hash: sha256(&[bytes]),
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &KemCiphertext {
        &self.bytes
    }

    /// Their SHA-256.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl KemSeed {
    /// A fresh seed.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; KEM_SEED]);
        rng.fill_bytes(seed.as_mut_slice());
        Self(seed)
    }

    /// From its bytes.
    pub fn from_bytes(seed: &[u8; KEM_SEED]) -> Self {
        Self(Zeroizing::new(*seed))
    }

    /// Its bytes, for a place that wipes them.
    pub fn expose(&self) -> &[u8; KEM_SEED] {
        &self.0
    }

    /// The key pair.
    pub fn key_pair(&self) -> KemSecret {
        let (secret, public) = mlkem768::generate_key_pair(*self.0).into_parts();
        KemSecret {
            pair: Box::new(secret),
            public_hash: sha256(&[public.as_slice()]),
            public: KemPublic(Box::new(*public.as_slice())),
        }
    }
}

impl KemSecret {
    /// The encapsulation key.
    pub const fn public(&self) -> &KemPublic {
        &self.public
    }

    /// The pre-shared key that the sender of `ct` made. A ciphertext that is not for this key gives another, random-looking key
    /// (implicit rejection), and the Noise message then does not open.
    pub fn decapsulate(&self, label: &'static str, ct: &HashedCiphertext) -> Zeroizing<[u8; 32]> {
        let ss = Zeroizing::new(mlkem768::decapsulate(&self.pair, &(&*ct.bytes).into()));
        preshared_key(label, &ss, &self.public_hash, &ct.hash)
    }
}

/// `HKDF(salt = label, ikm = ss, info = SHA256(ek) ‖ SHA256(ct))`: the hashes bind both public values, so that a
/// ciphertext re-encapsulated to another key gives another handshake.
fn preshared_key(
    label: &'static str,
    ss: &[u8; 32],
    ek_hash: &[u8; 32],
    ct_hash: &[u8; 32],
) -> Zeroizing<[u8; 32]> {
    let prk = extract(label.as_bytes(), ss);
    expand(&prk, &[ek_hash, ct_hash])
}

impl<C> Encode<C> for KemPublic {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for KemPublic {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d
            .bytes()?
            .try_into()
            .map_err(|_| minicbor::decode::Error::message("key length"))?;
        Self::from_bytes(bytes).map_err(|_| minicbor::decode::Error::message("bad key"))
    }
}

impl fmt::Debug for KemPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.0;
        write!(f, "KemPublic({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Redacted.
impl fmt::Debug for KemSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSeed(secret)")
    }
}

/// Redacted.
impl fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecret(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_above_the_modulus_is_refused() {
        assert_eq!(KemPublic::from_bytes(&[0xff; KEM_KEY]), Err(BadKemKey));
    }

    #[test]
    fn both_sides_make_the_same_key_and_another_ciphertext_another() {
        let secret = KemSeed::from_bytes(&[3; 64]).key_pair();
        let (ct, psk) = secret
            .public()
            .encapsulate("valise1/slot-psk", &mut crate::testing::rng(1));
        assert_eq!(*secret.decapsulate("valise1/slot-psk", &ct), *psk);
        assert_ne!(*secret.decapsulate("valise1/link-psk", &ct), *psk);
        let mut altered = *ct.as_bytes();
        altered[0] ^= 1;
        let altered = HashedCiphertext::new(&altered);
        assert_ne!(*secret.decapsulate("valise1/slot-psk", &altered), *psk);
    }
}
