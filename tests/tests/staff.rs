//! What a lying relay, a forged envelope or a wrong clock can do to a mechanism's own devices (docs/security.md names these tests).

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use valise_client::mechanism::prekeys::{Collected, bury};
use valise_protocol::limits::DAY;
use valise_protocol::wire::{Answer, Refusal, Request};
use valise_tests::cast::START;
use valise_tests::desk::Desk;
use valise_tests::liar::{Liar, Reaction};

/// A relay that stores each card that is published, and says that it could not.
fn stores_and_refuses() -> Liar {
    let held: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    Liar::reacting(move |request| {
        let mut held = held.lock().unwrap();
        Reaction::Answer(match (request, &*held) {
            (Request::Card { .. }, Some(card)) => Answer::Card(card.clone()),
            (Request::Card { .. }, None) => Answer::Refused(Refusal::NoCard),
            (Request::Publish { card }, _) => {
                *held = Some(card.clone());
                Answer::Refused(Refusal::Unavailable)
            }
            _ => Answer::Refused(Refusal::Unavailable),
        })
    })
}

#[tokio::test]
async fn a_relay_that_stores_and_refuses_does_not_keep_old_prekeys_alive() {
    let liar = stores_and_refuses();
    let desk = Desk::new(1, &liar.contact(), START).await;
    assert!(!desk.exchange(0, START).await, "it refused");
    desk.exchange(0, START.plus(1)).await;
    assert!(
        desk.state(0).prekeys[0].published,
        "it hands the prekey out"
    );
    for day in [7, 8, 14, 15, 21, 22] {
        desk.exchange(0, START.plus(day * DAY)).await;
    }
    let now = START.plus(22 * DAY);
    let mut state = desk.state(0);
    assert_eq!(state.prekeys.len(), 4);
    assert_eq!(bury(&mut state, Collected::Everything, now), 1);
}
