//! What secrets leave behind on the stack: functions of libraries move keys about and wipe nothing.

use zeroize::Zeroize;

/// Overwrites the part of the stack that functions which have returned have used: whoever held a secret there calls this when it
/// has returned, not to have it copied into a value that is made there next. Nobody guarantees it; a test looks whether it worked.
#[inline(never)]
pub fn scrub_stack() {
    let mut unused = [0_u64; 2_048];
    unused.zeroize();
    std::hint::black_box(&unused);
}
