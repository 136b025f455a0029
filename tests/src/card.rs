//! A card of a mechanism that nobody runs.

use valise_protocol::card::{Card, DeviceKeys, Profile, Roster, SignedStatement, first_root};
use valise_protocol::id::Address;
use valise_protocol::key::SigningKey;
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;

use crate::cast::rng;

/// One issued then, with one device, on the relay of this descriptor.
///
/// # Panics
/// Never: its parts are within their limits.
pub fn card(issued: Timestamp, relay: Vec<u8>) -> Card {
    let root = SigningKey::generate(&mut rng());
    let address = Address::of_root(root.verifying_key().as_bytes());
    let device = DeviceKeys::generate(&mut rng());
    let profile = Profile::named(vec![("en".into(), "Example Mechanism".into())]);
    let roster = Roster::new(
        address,
        1,
        vec![device.public()],
        vec![relay],
        profile,
        issued,
    )
    .expect("its parts are within their limits");
    let prekey = PrekeySecret::generate(&mut rng()).public();
    let statement = SignedStatement::sign(address, &device, 1, prekey, issued);
    Card::new(first_root(&root), roster.sign(&root), vec![statement])
}
