//! What the rest takes from the operating system as arguments: the time and randomness.

use std::time::SystemTime;

use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use valise_protocol::time::Timestamp;

/// The clock's reading.
pub fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// The system's generator. A system that cannot give randomness ends the program: nothing here works without.
pub fn rng() -> impl CryptoRng + Send {
    UnwrapErr(SysRng)
}

/// A number below `bound`, drawn uniformly; 0 when `bound` is 0.
pub fn below(bound: u64, rng: &mut impl CryptoRng) -> u64 {
    if bound == 0 {
        return 0;
    }
    let usable = u64::MAX - u64::MAX % bound;
    loop {
        let drawn = rng.next_u64();
        if drawn < usable {
            return drawn % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_number_is_below_its_bound() {
        let mut rng = rng();
        assert!((0..1_000).all(|_| below(7, &mut rng) < 7));
        assert!((0..1_000).any(|_| below(7, &mut rng) == 6));
        assert_eq!(below(0, &mut rng), 0);
    }
}
