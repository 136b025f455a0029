//! The relay: a daemon that holds ciphertext, and as little else as can be.
//!
//! A module uses only those listed above it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod store;
