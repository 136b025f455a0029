//! Randomness that is written down: before it is drawn, or as it is drawn.

use std::collections::VecDeque;
use std::convert::Infallible;

use getrandom::SysRng;
use rand_core::{Rng, TryCryptoRng, TryRng, UnwrapErr};

/// Gives these bytes and no others: each part to the one draw that asks for so many bytes.
pub struct Script(VecDeque<Vec<u8>>);

impl Script {
    /// Parts in the order in which they are drawn.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(parts.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// Checks that every part was drawn.
    pub fn end(self) {
        assert!(self.0.is_empty(), "{} parts were not drawn", self.0.len());
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("nothing here draws numbers");
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("nothing here draws numbers");
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let part = self.0.pop_front().expect("a draw more than was written");
        out.copy_from_slice(&part);
        Ok(())
    }
}

impl TryCryptoRng for Script {}

/// The system's randomness, with a record of what was drawn.
#[derive(Default)]
pub struct Record(Vec<Vec<u8>>);

impl Record {
    /// So many bytes more.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill_bytes(&mut bytes);
        bytes
    }

    /// What was drawn first.
    pub fn first(&self) -> &[u8] {
        &self.0[0]
    }
}

impl TryRng for Record {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("nothing here draws numbers");
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("nothing here draws numbers");
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        UnwrapErr(SysRng).fill_bytes(out);
        self.0.push(out.to_vec());
        Ok(())
    }
}

impl TryCryptoRng for Record {}
