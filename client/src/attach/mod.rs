//! Files that travel beside a submission: the sender's side (spec §9).
//!
//! A file is read twice: once for its hash, from which keys and places follow, and once to be sent. Each piece of the second reading is
//! compared with the first, so that nothing of a file that changed meanwhile leaves this computer. Nothing is written to its disk.

mod source;
mod choose;
mod reading;
mod item;
mod set;
mod upload;

pub use choose::{Choice, choose};
pub use item::{Item, bytes, parcels, stored};
pub use reading::{Prepared, Unread};
pub use set::{Files, Keys, Set};
pub use source::Source;
pub use upload::{Upload, delete, held, upload};
