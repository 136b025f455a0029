//! Randomness that tests can repeat.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

use crate::hash::sha256;

/// Blocks of SHA-256 of a seed and a counter. Never for real keys.
pub(crate) struct TestRng {
    seed: u64,
    block: u64,
    left: Vec<u8>,
}

/// The generator with this seed.
pub(crate) fn rng(seed: u64) -> TestRng {
    TestRng {
        seed,
        block: 0,
        left: Vec::new(),
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            if self.left.is_empty() {
                self.left = sha256(&[&self.seed.to_be_bytes(), &self.block.to_be_bytes()]).to_vec();
                self.block += 1;
            }
            *byte = self.left.pop().unwrap();
        }
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}
