//! The system's generator, the only source of randomness in this program.

use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};

/// The system's generator. It panics where the system has none: nothing could be done safely then.
pub fn system() -> UnwrapErr<SysRng> {
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
        let mut rng = system();
        assert!((0..1_000).all(|_| below(7, &mut rng) < 7));
        assert!((0..1_000).any(|_| below(7, &mut rng) == 6));
        assert_eq!(below(0, &mut rng), 0);
    }
}
