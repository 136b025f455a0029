//! What a relay does by itself as time passes, over months of a simulated clock.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{Harness, NOW, config, rng};
use valise_protocol::id::{MailboxId, WithdrawHash};
use valise_protocol::limits::{DAY, ENVELOPE};
use valise_protocol::time::Timestamp;
use valise_relay::clock::Clock;
use valise_relay::failure::Status;
use valise_relay::identity::Identity;
use valise_relay::store::{AnyStore, Deposit, Deposited, Mailbox, Memory, Store, Target};
use valise_relay::{Relay, RunningRelay};

fn deposit(expires: Timestamp) -> Deposit {
    Deposit {
        target: Target::Mailbox(Mailbox::Return(MailboxId::from_bytes([1; 32]))),
        withdraw: WithdrawHash::from_bytes([2; 32]),
        envelope: Box::new([3; ENVELOPE]),
        expires,
    }
}

async fn held(relay: &RunningRelay) -> u64 {
    relay.store().usage().await.unwrap().return_envelopes
}

/// A relay on a spool in a directory, at a time.
async fn start(dir: &Path, now: Timestamp) -> RunningRelay {
    Relay::start(config(), dir, Clock::simulated(now))
        .await
        .unwrap()
}

#[tokio::test]
async fn mail_expires_at_the_end_of_its_day_and_not_before() {
    let relay = Harness::start(config()).await;
    relay
        .relay
        .store()
        .deposit(deposit(NOW.plus(23 * DAY)))
        .await
        .unwrap();
    relay.clock.advance(24 * DAY - NOW.seconds() % DAY - 1);
    relay.relay.tidy().await;
    assert_eq!(held(&relay.relay).await, 1);
    relay.clock.advance(1);
    relay.relay.tidy().await;
    assert_eq!(held(&relay.relay).await, 0);
}

#[tokio::test]
async fn mail_on_the_spool_survives_a_restart_and_nightly_rewraps() {
    let dir = tempfile::tempdir().unwrap();
    Identity::create(dir.path(), &mut rng(), NOW).unwrap();
    let relay = start(dir.path(), NOW).await;
    let contact_id = relay.id();
    let stored = relay
        .store()
        .deposit(deposit(NOW.plus(30 * DAY)))
        .await
        .unwrap();
    assert_eq!(stored, Deposited::Stored);
    relay.shutdown().await.unwrap();
    for days in 1..4 {
        let relay = start(dir.path(), NOW.plus(days * DAY)).await;
        relay.tidy().await;
        assert_eq!(held(&relay).await, 1, "day {days}");
        assert_eq!(relay.id(), contact_id);
        relay.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_relay_does_not_start_when_the_clock_is_behind_what_it_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    Identity::create(dir.path(), &mut rng(), NOW).unwrap();
    let relay = start(dir.path(), NOW).await;
    relay.tidy().await;
    relay.shutdown().await.unwrap();
    let behind = Clock::simulated(NOW.minus(10 * 365 * DAY));
    let failure = Relay::start(config(), dir.path(), behind)
        .await
        .err()
        .unwrap();
    assert_eq!(failure.status(), Status::Failed);
    assert!(
        failure.to_string().contains("hint: set the clock"),
        "{failure}"
    );
    // And the store is free again.
    start(dir.path(), NOW.plus(60))
        .await
        .shutdown()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_relay_that_was_off_for_long_expires_nothing_for_a_day() {
    let dir = tempfile::tempdir().unwrap();
    Identity::create(dir.path(), &mut rng(), NOW).unwrap();
    let relay = start(dir.path(), NOW).await;
    relay
        .store()
        .deposit(deposit(NOW.plus(30 * DAY)))
        .await
        .unwrap();
    relay.tidy().await;
    relay.shutdown().await.unwrap();

    let clock = Clock::simulated(NOW.plus(10 * 365 * DAY));
    let relay = Relay::start(config(), dir.path(), clock.clone())
        .await
        .unwrap();
    relay.tidy().await;
    assert_eq!(held(&relay).await, 1, "the clock may be wrong");
    clock.advance(DAY);
    relay.tidy().await;
    assert_eq!(held(&relay).await, 0, "nobody said so for a day");
    relay.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_doubtful_clock_is_doubted_by_the_next_start_too() {
    let dir = tempfile::tempdir().unwrap();
    Identity::create(dir.path(), &mut rng(), NOW).unwrap();
    let relay = start(dir.path(), NOW).await;
    relay
        .store()
        .deposit(deposit(NOW.plus(30 * DAY)))
        .await
        .unwrap();
    relay.tidy().await;
    relay.shutdown().await.unwrap();
    for hours in 0..3 {
        let ahead = NOW.plus(10 * 365 * DAY + hours * 3_600);
        let relay = start(dir.path(), ahead).await;
        relay.tidy().await;
        assert_eq!(held(&relay).await, 1, "after {hours} hours");
        relay.shutdown().await.unwrap();
    }
    // Put right, it is not behind anything that was seen.
    start(dir.path(), NOW.plus(DAY))
        .await
        .shutdown()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_relay_without_keys_says_that_they_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let store = AnyStore::Memory(Memory::new(config().ceilings()));
    let failure = Relay::start_on(store, config(), dir.path(), Clock::simulated(NOW)).await;
    assert_eq!(
        failure.err().unwrap().status(),
        Status::Config,
        "there are no keys"
    );
}
