//! Our ML-KEM-768 (libcrux) against another implementation (RustCrypto's `ml-kem`), both ways. A third, OpenSSL's, made the vectors.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;

use ml_kem::kem::{Decapsulate, KeyExport};
use ml_kem::{DecapsulationKey768, Seed};
use rand_core::{TryCryptoRng, TryRng};
use valise_protocol::hash::{expand, extract, sha256};
use valise_protocol::kem::{HashedCiphertext, KemSeed};

/// Gives one value over and over.
struct Constant(u8);

impl TryRng for Constant {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Constant {}

/// The pre-shared key as spec §4.2 makes it from a shared secret.
fn psk(ss: &[u8], ek: &[u8], ct: &[u8]) -> [u8; 32] {
    *expand(
        &extract(b"valise1/slot-psk", ss),
        &[&sha256(&[ek]), &sha256(&[ct])],
    )
}

#[test]
fn two_implementations_agree_on_keys_ciphertexts_and_secrets() {
    for number in 0..32 {
        let seed = [number; 64];
        let ours = KemSeed::from_bytes(&seed).key_pair();
        let theirs = DecapsulationKey768::from_seed(Seed::from(seed));
        let ek = theirs.encapsulation_key().to_bytes();
        assert_eq!(ours.public().as_bytes().as_slice(), ek.as_slice());

        let coins = [number ^ 0x5a; 32];
        let (ct, our_psk) = ours
            .public()
            .encapsulate("valise1/slot-psk", &mut Constant(coins[0]));
        let (their_ct, ss) = theirs
            .encapsulation_key()
            .encapsulate_deterministic(&coins.into());
        assert_eq!(ct.as_bytes().as_slice(), their_ct.as_slice());
        assert_eq!(*our_psk, psk(&ss, &ek, &their_ct));

        // An altered ciphertext is rejected implicitly, by the same random-looking secret in both.
        let mut altered = *ct.as_bytes();
        altered[usize::from(number)] ^= 1;
        let their_ss = theirs.decapsulate(&altered.into());
        let our_psk = ours.decapsulate("valise1/slot-psk", &HashedCiphertext::new(&altered));
        assert_eq!(*our_psk, psk(&their_ss, &ek, &altered));
    }
}
