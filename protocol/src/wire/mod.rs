//! Requests and answers on a link (spec §7.2–7.4).
//!
//! ```text
//! u16 header length ‖ header (CBOR) ‖ attachment ‖ zeros       a whole number of frames, fixed for each kind
//! ```

mod frame;
mod key;
mod request;
mod answer;

pub use answer::{Answer, Item, Kept, Refusal, Stored};
pub use request::{Request, RequestKind, Target};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod refusals;
