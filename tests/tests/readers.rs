//! A mechanism that reads at a relay where it has no inbox: how its devices become known there, and what they do not count on.

#![allow(clippy::unwrap_used)]

use valise_client::link::LinkFault;
use valise_client::mechanism::{card, exchange};
use valise_client::vault::state::State;
use valise_protocol::card::{Card, Proof};
use valise_protocol::id::Namespace;
use valise_protocol::wire::{Answer, Refusal, Request};
use valise_relay::store::Store;
use valise_tests::cast::{LiveRelay, START, ask, poll_inbox};
use valise_tests::desk::Desk;

/// Two relays, and a mechanism with an inbox at the first. Nothing is published yet.
async fn scene() -> (LiveRelay, LiveRelay, Desk) {
    let own = LiveRelay::in_memory(|_| ()).await;
    let other = LiveRelay::in_memory(|_| ()).await;
    let desk = Desk::new(2, &own.contact(), START).await;
    own.allow(desk.address).await;
    (own, other, desk)
}

/// The next roster, which names a relay for reading and has so many of the devices, in every vault.
async fn read_at(desk: &Desk, relay: &LiveRelay, devices: usize) {
    let held = desk.card(0, START);
    let listed = held.roster().devices()[..devices].to_vec();
    let next = held.roster().succeeded_by(listed, START).unwrap();
    let next = next.reading_at(vec![relay.descriptor().await]).unwrap();
    let roots = held.card().roots().to_vec();
    let card = Card::new(roots, next.sign(&desk.root), vec![]);
    for vault in &desk.vaults {
        let proof = Proof::of(&card);
        let adopted =
            vault.change(|change| Ok(card::adopt_roster(&mut change.state, &proof, START)));
        adopted.unwrap().unwrap();
    }
}

async fn get(desk: &Desk, device: usize, relay: &LiveRelay) -> Result<Answer, LinkFault> {
    let request = Request::Get {
        address: desk.address,
        namespace: Namespace::from_bytes([1; 32]),
        index: 0,
    };
    ask(relay, &desk.state(device).device.keys().link, &request).await
}

fn is_refused<T>(answer: Result<T, LinkFault>, refusal: Refusal) -> bool {
    matches!(answer, Err(LinkFault::Refused(told)) if told == refusal)
}

async fn exchange_at(desk: &Desk, device: usize, relay: &LiveRelay) -> bool {
    let done = exchange::exchange(&desk.vaults[device], &relay.contact(), START).await;
    let Ok(done) = done else { return false };
    done.link.finish();
    done.connection.close().await;
    done.published.is_ok()
}

fn published(state: &State) -> bool {
    state.prekeys.last().unwrap().published
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_makes_itself_known_to_a_relay_for_reading_by_its_card() {
    let (_own, other, desk) = scene().await;
    read_at(&desk, &other, 2).await;
    let refused = exchange::exchange(&desk.vaults[0], &other.contact(), START).await;
    let refused = refused.err().unwrap();
    assert!(
        refused.what().contains("read files yet"),
        "{}",
        refused.what()
    );
    let store = other.running.store();
    store.allow_reader(desk.address).await.unwrap();
    assert!(is_refused(get(&desk, 0, &other).await, Refusal::NotADevice));
    // The relay has no card yet, and is given one.
    assert!(exchange_at(&desk, 0, &other).await);
    for device in 0..2 {
        let answer = get(&desk, device, &other).await;
        assert!(matches!(answer, Ok(Answer::Parcel(None))));
    }
    let key = desk.state(0).device.keys().link;
    let polled = poll_inbox(&other, desk.address, &key, vec![], 0).await;
    assert!(is_refused(polled, Refusal::UnknownInbox));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prekey_that_only_a_relay_for_reading_has_is_not_published() {
    let (own, other, desk) = scene().await;
    read_at(&desk, &other, 2).await;
    let store = other.running.store();
    store.allow_reader(desk.address).await.unwrap();
    // Given there the first time, and found there the second.
    for _ in 0..2 {
        assert!(exchange_at(&desk, 0, &other).await);
        assert!(!published(&desk.state(0)));
    }
    assert!(exchange_at(&desk, 0, &own).await);
    assert!(published(&desk.state(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_left_the_roster_reads_nothing_once_the_relay_for_reading_knows() {
    let (_own, other, desk) = scene().await;
    read_at(&desk, &other, 2).await;
    let store = other.running.store();
    store.allow_reader(desk.address).await.unwrap();
    assert!(exchange_at(&desk, 0, &other).await);
    assert!(get(&desk, 1, &other).await.is_ok());
    read_at(&desk, &other, 1).await;
    assert!(exchange_at(&desk, 0, &other).await);
    assert!(is_refused(get(&desk, 1, &other).await, Refusal::NotADevice));
    assert!(get(&desk, 0, &other).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_asked_for_at_the_mechanisms_own_relays_and_then_at_those_for_reading() {
    let (own, other, desk) = scene().await;
    let sources = |desk: &Desk| exchange::sources(&desk.state(0), START).unwrap();
    assert_eq!(sources(&desk), [own.contact()]);
    read_at(&desk, &other, 2).await;
    assert_eq!(sources(&desk), [own.contact(), other.contact()]);
    // It is no way there for senders.
    assert_eq!(exchange::relays(&desk.state(0)).unwrap(), [own.contact()]);
}
