//! Slots: which of the eight is a reader's does not show, but can be found out.

use valise_protocol::envelope::{OpenError, open};
use valise_protocol::id::Address;
use valise_protocol::limits::{HEADER, SLOT, SLOTS};
use valise_protocol::prekey::PrekeySecret;

/// The one slot that these prekeys open: without it, none does.
pub fn that_opens(envelope: &[u8], address: &Address, prekeys: &[&PrekeySecret]) -> usize {
    let is_needed = |at: &usize| {
        let mut spoilt = envelope.to_vec();
        spoilt[HEADER + at * SLOT] ^= 1;
        matches!(open(&spoilt, address, prekeys), Err(OpenError::NotOurs))
    };
    let found: Vec<usize> = (0..SLOTS).filter(is_needed).collect();
    assert_eq!(found.len(), 1, "one slot opens");
    found[0]
}
