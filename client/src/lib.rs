//! `valise`: the program of defenders and of mechanism staff.
//!
//! A module uses only those listed above it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod failure;
pub mod escape;
pub mod ui;
pub mod system;
pub mod home;
pub mod vault;
