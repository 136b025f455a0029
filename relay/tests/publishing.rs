//! Cards that devices publish, and what follows from them (spec §5.4, §7.3).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use common::house::*;
use common::{NOW, config, rng};
use valise_protocol::card::Card;
use valise_protocol::id::EnvelopeDigest;
use valise_protocol::limits::{DAY, ENVELOPE, ROSTER_LIFE};
use valise_protocol::wire::{Answer, Refusal, Request, Target};
use valise_relay::service::settle_all;
use valise_relay::store::{Spool, SpoolConfig, Store};

#[tokio::test]
async fn a_roster_without_the_slow_device_lets_go_of_what_the_others_removed() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(2);
    house.serve(&mechanism).await;
    let inbox = mechanism.address.inbox();
    house
        .ask(&stranger(), deposit(Target::Inbox, inbox, 1))
        .await;
    let removals = vec![EnvelopeDigest::of(&[1; ENVELOPE])];
    house
        .ask(
            &mechanism.key(0),
            poll_after(Target::Inbox, inbox, 0, removals, 0),
        )
        .await;
    let smaller = mechanism.card_of(&mechanism.devices[..1], 2, vec![]);
    assert_eq!(
        told(&house.ask(&mechanism.key(0), publish(&smaller)).await),
        Ok("published")
    );
    assert_eq!(house.store.usage().await.unwrap().inbox_envelopes, 0);
    let removed = house
        .ask(&mechanism.key(1), poll(Target::Inbox, inbox))
        .await;
    assert_eq!(told(&removed), Err(Refusal::NotADevice));
}

#[tokio::test]
async fn a_removed_inbox_is_refused_to_a_device_that_polled_it_before() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.serve(&mechanism).await;
    let request = || poll(Target::Inbox, mechanism.address.inbox());
    for _ in 0..2 {
        let answer = house.ask(&mechanism.key(0), request()).await;
        assert_eq!(told(&answer), Ok("nothing"));
    }
    house.store.remove_inbox(mechanism.address).await.unwrap();
    let answer = house.ask(&mechanism.key(0), request()).await;
    assert_eq!(told(&answer), Err(Refusal::UnknownInbox));
}

#[tokio::test]
async fn publishing_keeps_the_newest_statement_of_each_device() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(2);
    house.store.allow_inbox(mechanism.address).await.unwrap();
    let later = NOW.plus(60);
    let (mine, yours) = (
        mechanism.statement(0, 1, later),
        mechanism.statement(1, 1, NOW),
    );
    let old = mechanism.statement(0, 1, NOW);
    for (device, statements) in [(0, vec![mine.clone()]), (1, vec![old, yours.clone()])] {
        let card = mechanism.card(1, statements);
        let answer = house
            .ask_at(&mechanism.key(device), publish(&card), later)
            .await;
        assert_eq!(told(&answer), Ok("published"));
    }
    let request = Request::Card {
        address: mechanism.address,
    };
    let Answer::Card(held) = house.ask(&stranger(), request).await else {
        panic!()
    };
    assert_eq!(Card::decode(&held).unwrap().statements(), [mine, yours]);
}

#[tokio::test]
async fn an_older_card_is_refused_also_after_the_one_held_has_run_out() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.store.allow_inbox(mechanism.address).await.unwrap();
    let (old, new) = (mechanism.card(1, vec![]), mechanism.card(2, vec![]));
    assert_eq!(
        told(&house.ask(&mechanism.key(0), publish(&new)).await),
        Ok("published")
    );
    let refused = house.ask(&mechanism.key(0), publish(&old)).await;
    assert_eq!(told(&refused), Err(Refusal::CardRefused));
    let much_later = NOW.plus(ROSTER_LIFE + DAY);
    let refused = house
        .ask_at(&mechanism.key(0), publish(&old), much_later)
        .await;
    assert_eq!(told(&refused), Err(Refusal::CardRefused));
    // Its devices go on collecting: mail does not wait for the root key's holder to be back.
    let inbox = poll(Target::Inbox, mechanism.address.inbox());
    let answer = house.ask_at(&mechanism.key(0), inbox, much_later).await;
    assert_eq!(told(&answer), Ok("nothing"));
}

/// Two devices, one envelope that the first has removed, and the card of the next roster, which lists the first only.
async fn half_removed<S: Store>(house: &House<S>) -> (Mechanism, Card) {
    let mechanism = Mechanism::new(2);
    house.serve(&mechanism).await;
    let inbox = mechanism.address.inbox();
    house
        .ask(&stranger(), deposit(Target::Inbox, inbox, 1))
        .await;
    let removals = vec![EnvelopeDigest::of(&[1; ENVELOPE])];
    let first = mechanism.key(0);
    house
        .ask(&first, poll_after(Target::Inbox, inbox, 0, removals, 0))
        .await;
    let next = mechanism.card_of(
        &mechanism.devices[..1],
        2,
        vec![mechanism.statement(0, 2, NOW)],
    );
    (mechanism, next)
}

#[tokio::test]
async fn a_device_that_leaves_the_roster_is_not_given_what_arrives_while_it_waits() {
    let house = House::new(&config());
    let (mechanism, next) = half_removed(&house).await;
    let (service, gone) = (Arc::clone(&house.service), mechanism.key(1));
    let inbox = mechanism.address.inbox();
    let waiting = tokio::spawn(async move {
        let request = poll_after(Target::Inbox, inbox, 1_u64 << 60, vec![], 100);
        service.answer(&gone, request, NOW, &mut rng()).await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    let published = house.ask(&mechanism.key(0), publish(&next)).await;
    assert_eq!(told(&published), Ok("published"));
    house
        .ask(&stranger(), deposit(Target::Inbox, inbox, 2))
        .await;
    let answer = waiting.await.unwrap();
    assert_eq!(told(&answer), Err(Refusal::NotADevice));
}

#[tokio::test]
async fn what_a_crash_left_between_card_and_settling_is_settled_at_the_next_start() {
    let house = House::new(&config());
    let (mechanism, next) = half_removed(&house).await;
    let keeping = house.store.put_card(mechanism.address, next.encode());
    keeping.await.unwrap();
    assert_eq!(house.store.usage().await.unwrap().inbox_envelopes, 1);
    settle_all(&*house.store, NOW).await.unwrap();
    assert_eq!(house.store.usage().await.unwrap().inbox_envelopes, 0);
}

/// Lets a future go on so many times, whenever it can, as for a client that then goes away.
async fn poll_times<T>(future: impl Future<Output = T>, times: usize) -> bool {
    let mut future = std::pin::pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polled == times => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// On a disk, which takes its time for a card: whenever the client goes away, either nothing has happened or all of it does.
#[tokio::test]
async fn a_client_that_goes_away_does_not_come_between_card_and_settling() {
    let config = config();
    let mut torn = 0;
    // How often it is woken is different each time.
    for times in [1, 2, 3, 4].repeat(6) {
        let dir = tempfile::tempdir().unwrap();
        let settings = SpoolConfig {
            min_free_bytes: 0,
            ballast_bytes: 0,
            ..SpoolConfig::new(dir.path().join("s"), config.ceilings())
        };
        let house = House::over(Arc::new(Spool::open(settings).unwrap()), &config);
        let (mechanism, next) = half_removed(&house).await;
        let key = mechanism.key(0);
        if poll_times(house.ask(&key, publish(&next)), times).await {
            continue;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let held = house.store.card(mechanism.address).await.unwrap();
        let held = Card::decode(&held.unwrap()).unwrap();
        let held = held.verify(mechanism.address, None, NOW).unwrap();
        let is_new = held.epoch() == 2;
        torn += usize::from(is_new);
        let left = house.store.usage().await.unwrap().inbox_envelopes;
        assert_eq!(left, u64::from(!is_new), "after {times} steps");
    }
    assert!(torn > 0, "the client never went away in between");
}
