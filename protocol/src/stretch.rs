//! Argon2id (RFC 9106): makes every guess at a phrase, a passphrase or a look-alike key expensive (spec §2.3, §3).

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

/// Memory in KiB that one evaluation takes.
const MEMORY_KIB: u32 = 65_536;
/// Passes over that memory.
const PASSES: u32 = 3;

/// 32 bytes from a secret or a name, under a salt of at least 8 bytes. Takes 64 MiB and some tenths of a second.
pub fn stretch(secret: &[u8], salt: &[u8]) -> Zeroizing<[u8; 32]> {
    let params =
        Params::new(MEMORY_KIB, PASSES, 1, Some(32)).expect("within the bounds of RFC 9106");
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret, salt, out.as_mut_slice())
        .expect("salts of this protocol have at least 8 bytes");
    out
}
