//! Every byte and every key of Valise (docs/spec.md).
//!
//! Sans-I/O: no socket, file, clock, task or log. Time and randomness are arguments. Cryptographic crates are
//! named here and nowhere else. A module uses only those listed above it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod limits;
pub mod scrub;
pub mod hash;
pub mod aead;
pub mod bulk;
pub mod time;
pub mod id;
pub mod cbor;
pub mod key;
pub mod kem;
pub mod prekey;
pub mod contact;
pub mod descriptor;
pub mod stretch;
pub mod words;
pub mod parcel;
pub mod file;
pub mod sealed;
pub mod phrase;
mod noise;
pub mod card;
pub mod message;
pub mod envelope;
pub mod link;
pub mod wire;

#[cfg(test)]
mod testing;
