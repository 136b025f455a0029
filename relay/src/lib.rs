//! The relay: a daemon that holds ciphertext, and as little else as can be.
//!
//! A module uses only those listed above it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod failure;
pub mod clock;
pub mod stop;
pub mod store;
pub mod config;
mod sample;
pub mod log;
pub mod files;
pub mod keys;
pub mod identity;
pub mod admission;
pub mod quic;
mod access;
mod verified;
mod expiry;
mod grants;
pub mod service;
pub mod windows;
pub mod link;
pub mod server;
pub mod janitor;
pub mod operation;
pub mod desk;
pub mod status;
pub mod relay;
pub mod check;
mod hardening;
mod command;
pub mod cli;

pub use relay::{Relay, RunningRelay};
