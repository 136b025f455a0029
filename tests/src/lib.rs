//! What whole-behaviour tests and the tour share: running the real programs, as their people would.

pub mod card;
pub mod cast;
pub mod depositors;
pub mod desk;
pub mod attacher;
pub mod liar;
pub mod memory;
pub mod own_disk;
pub mod program;
pub mod slow_link;
pub mod stage;
pub mod terminal;
pub mod tools;
pub mod transcript;
