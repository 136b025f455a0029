//! `valise`: the program of defenders and of mechanism staff.
//!
//! A module uses only those listed above it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod failure;
pub mod escape;
pub mod random;
pub mod home;
pub mod ui;
pub mod interrupt;
pub mod page;
pub mod phrase;
pub mod metadata;
pub mod handling;
pub mod progress;
pub mod link;
pub mod certificate;
pub mod dial;
pub mod addressee;
pub mod session;
pub mod attach;
pub mod vault;
pub mod command;
pub mod mechanism;
pub mod inbox;
pub mod cli;
