//! The system's generator, the only source of randomness in this program.

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;

/// The system's generator. It panics where the system has none: nothing could be done safely then.
pub fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
