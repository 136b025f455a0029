//! Every request by every role, and what each is told (spec §7.3, §7.4).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::house::*;
use common::{NOW, config, rng};

use tokio::time::Instant;
use valise_protocol::id::{EnvelopeDigest, MailboxId, WithdrawHash};
use valise_protocol::limits::{DAY, ENVELOPE};
use valise_protocol::wire::{Refusal, Request, Target};
use valise_relay::config::Config;
use valise_relay::store::Store;

#[tokio::test]
async fn every_role_is_told_what_the_specification_says() {
    let house = House::new(&config());
    let (mechanism, other, bare, unserved) = (
        Mechanism::new(2),
        Mechanism::new(1),
        Mechanism::new(1),
        Mechanism::new(1),
    );
    house.serve(&mechanism).await;
    house.serve(&other).await;
    house.store.allow_inbox(bare.address).await.unwrap();
    let inbox = mechanism.address.inbox();
    let holder = stranger();
    let own = MailboxId::of_return(holder.as_bytes());
    let proof = match deposit(Target::Inbox, inbox, 9) {
        Request::Deposit {
            target,
            mailbox,
            withdraw,
            envelope,
            ..
        } => Request::Deposit {
            target,
            mailbox,
            withdraw,
            proof: vec![1],
            envelope,
        },
        other => other,
    };
    let mut forged = mechanism.card(2, vec![]).encode();
    let last = forged.len() - 2;
    forged[last] ^= 1;

    // What is asked, then what a holder of a return mailbox, a device, and another mechanism's device are told.
    use Refusal::{CardRefused, Malformed, NoCard, NoProof, NotADevice, UnknownInbox};
    let table = [
        (
            "card",
            Request::Card {
                address: mechanism.address,
            },
            [Ok("card"); 3],
        ),
        (
            "card of an inbox without one",
            Request::Card {
                address: bare.address,
            },
            [Err(NoCard); 3],
        ),
        (
            "card elsewhere",
            Request::Card {
                address: unserved.address,
            },
            [Err(UnknownInbox); 3],
        ),
        (
            "deposit elsewhere",
            deposit(Target::Inbox, unserved.address.inbox(), 1),
            [Err(UnknownInbox); 3],
        ),
        ("deposit with a proof", proof, [Err(NoProof); 3]),
        ("sink", deposit(Target::Sink, inbox, 1), [Ok("stored"); 3]),
        (
            "poll of the inbox",
            poll(Target::Inbox, inbox),
            [Err(NotADevice), Ok("nothing"), Err(NotADevice)],
        ),
        (
            "poll of an inbox without a card",
            poll(Target::Inbox, bare.address.inbox()),
            [Err(NotADevice); 3],
        ),
        (
            "poll elsewhere",
            poll(Target::Inbox, unserved.address.inbox()),
            [Err(UnknownInbox); 3],
        ),
        (
            "poll of the holder's mailbox",
            poll(Target::Return, own),
            [Ok("nothing"), Err(NotADevice), Err(NotADevice)],
        ),
        (
            "poll of the sink",
            poll(Target::Sink, inbox),
            [Err(Malformed); 3],
        ),
        (
            "publish",
            publish(&mechanism.card(2, vec![])),
            [Err(NotADevice), Ok("published"), Err(NotADevice)],
        ),
        (
            "publish elsewhere",
            publish(&unserved.card(1, vec![])),
            [Err(UnknownInbox); 3],
        ),
        (
            "publish a forged card",
            Request::Publish { card: forged },
            [Err(CardRefused); 3],
        ),
        (
            "publish nonsense",
            Request::Publish { card: vec![1; 40] },
            [Err(CardRefused); 3],
        ),
    ];
    let roles = [holder, mechanism.key(1), other.key(0)];
    for (what, request, expected) in table {
        for (role, expected) in roles.iter().zip(expected) {
            let answer = house.ask(role, request.clone()).await;
            assert_eq!(told(&answer), expected, "{what}, asked by {role:?}");
        }
    }
}

#[tokio::test]
async fn a_deposit_is_stored_once_and_replaced_by_its_withdraw_hash() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.serve(&mechanism).await;
    let inbox = mechanism.address.inbox();
    let first = deposit(Target::Inbox, inbox, 1);
    assert_eq!(
        told(&house.ask(&stranger(), first.clone()).await),
        Ok("stored")
    );
    assert_eq!(told(&house.ask(&stranger(), first).await), Ok("already"));
    let again = Request::Deposit {
        target: Target::Inbox,
        mailbox: inbox,
        withdraw: WithdrawHash::from_bytes([1; 32]),
        proof: vec![],
        envelope: Box::new([2; ENVELOPE]),
    };
    assert_eq!(told(&house.ask(&stranger(), again).await), Ok("replaced"));
    let found = item(
        house
            .ask(&mechanism.key(0), poll(Target::Inbox, inbox))
            .await,
    );
    assert_eq!((found.envelope.unwrap()[0], found.waiting), (2, 0));
}

#[tokio::test]
async fn an_envelope_stays_until_every_device_has_removed_it() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(2);
    house.serve(&mechanism).await;
    let inbox = mechanism.address.inbox();
    house
        .ask(&stranger(), deposit(Target::Inbox, inbox, 1))
        .await;
    let digest = EnvelopeDigest::of(&[1; ENVELOPE]);
    let remove = || poll_after(Target::Inbox, inbox, 0, vec![digest], 0);
    assert_eq!(
        told(&house.ask(&mechanism.key(0), remove()).await),
        Ok("nothing")
    );
    assert_eq!(
        told(&house.ask(&mechanism.key(0), remove()).await),
        Ok("nothing")
    );
    assert_eq!(
        told(
            &house
                .ask(&mechanism.key(1), poll(Target::Inbox, inbox))
                .await
        ),
        Ok("item")
    );
    assert_eq!(
        told(&house.ask(&mechanism.key(1), remove()).await),
        Ok("nothing")
    );
    assert_eq!(house.store.usage().await.unwrap().inbox_envelopes, 0);
}

#[tokio::test]
async fn a_stranger_removes_nothing_from_another_mailbox() {
    let house = House::new(&config());
    let holder = stranger();
    let mailbox = MailboxId::of_return(holder.as_bytes());
    house
        .ask(&stranger(), deposit(Target::Return, mailbox, 1))
        .await;
    let digest = EnvelopeDigest::of(&[1; ENVELOPE]);
    let remove = poll_after(Target::Return, mailbox, 0, vec![digest], 0);
    assert_eq!(
        told(&house.ask(&stranger(), remove).await),
        Err(Refusal::NotADevice)
    );
    let mine = stranger();
    let from_mine = poll_after(
        Target::Return,
        MailboxId::of_return(mine.as_bytes()),
        0,
        vec![digest],
        0,
    );
    assert_eq!(told(&house.ask(&mine, from_mine).await), Ok("nothing"));
    assert_eq!(
        told(&house.ask(&holder, poll(Target::Return, mailbox)).await),
        Ok("item")
    );
}

#[tokio::test]
async fn full_mailboxes_and_a_full_relay_are_told_to_depositors() {
    let house = House::new(&Config {
        return_envelopes: 1,
        inbox_envelopes: 10,
        store_envelopes: 20,
        ..config()
    });
    let returns = |n: u8| MailboxId::from_bytes([n; 32]);
    for (mailbox, envelope, expected) in [
        (1, 1, Ok("stored")),
        (1, 1, Ok("already")),
        (1, 2, Err(Refusal::MailboxFull)),
        (2, 3, Ok("stored")),
        (3, 4, Err(Refusal::RelayFull)),
    ] {
        let answer = house
            .ask(
                &stranger(),
                deposit(Target::Return, returns(mailbox), envelope),
            )
            .await;
        assert_eq!(told(&answer), expected, "{mailbox} {envelope}");
    }
}

#[tokio::test]
async fn expiry_is_drawn_between_the_shortest_and_the_longest_retention() {
    let house = House::new(&Config {
        return_envelopes: 1_000,
        ..config()
    });
    let mailbox = MailboxId::from_bytes([1; 32]);
    for n in 0..100_u8 {
        house
            .ask(&stranger(), deposit(Target::Return, mailbox, n))
            .await;
    }
    let left = async |days: u64| {
        house.store.expire(NOW.plus(days * DAY)).await.unwrap();
        house.store.usage().await.unwrap().return_envelopes
    };
    assert_eq!(left(23).await, 100, "nothing goes before the shortest");
    let middle = left(30).await;
    assert!(
        (20..80).contains(&middle),
        "{middle} of 100 are left in the middle"
    );
    assert_eq!(left(37).await, 0, "nothing stays beyond the longest");
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_is_answered_when_something_arrives() {
    let house = House::new(&config());
    let holder = stranger();
    let mailbox = MailboxId::of_return(holder.as_bytes());
    let service = Arc::clone(&house.service);
    let waiting = tokio::spawn(async move {
        let request = poll_after(Target::Return, mailbox, 0, vec![], 100);
        service.answer(&holder, request, NOW, &mut rng()).await
    });
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(!waiting.is_finished());
    house
        .ask(&stranger(), deposit(Target::Return, mailbox, 1))
        .await;
    assert_eq!(told(&waiting.await.unwrap()), Ok("item"));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_in_vain_ends_when_its_time_is_over() {
    let house = House::new(&config());
    let holder = stranger();
    let begun = Instant::now();
    let mailbox = MailboxId::of_return(holder.as_bytes());
    let answer = house
        .ask(&holder, poll_after(Target::Return, mailbox, 7, vec![], 100))
        .await;
    let item = item(answer);
    assert!(item.envelope.is_none());
    assert_eq!(item.cursor, 7, "the cursor given comes back");
    assert_eq!(begun.elapsed().as_secs(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_relay_answers_waiting_polls_at_once() {
    let house = House::new(&config());
    let holder = stranger();
    let begun = Instant::now();
    let mailbox = MailboxId::of_return(holder.as_bytes());
    let request = poll_after(Target::Return, mailbox, 0, vec![], 100);
    let (answer, ()) = tokio::join!(house.ask(&holder, request), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.stopper.stop();
    });
    assert_eq!(told(&answer), Ok("nothing"));
    assert_eq!(begun.elapsed().as_secs(), 1);
}
