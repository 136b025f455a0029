//! What whole-behaviour tests and the tour share: running the real programs, as their people would.

pub mod cast;
pub mod desk;
pub mod liar;
pub mod program;
pub mod slow_link;
pub mod stage;
pub mod terminal;
pub mod transcript;
