//! Parcels by every role: who may ask, put, get, delete and withdraw, on whose leave, and for how long (spec §7.3, §9.5).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::house::*;
use common::{NOW, config};
use valise_protocol::hash::sha256;
use valise_protocol::id::{Grant, MailboxId, Namespace, WithdrawHash};
use valise_protocol::key::{DhPublic, DhSecret};
use valise_protocol::limits::{DAY, ENVELOPE, PARCEL};
use valise_protocol::parcel::ParcelBuffer;
use valise_protocol::wire::{Answer, Refusal, Request, Target};
use valise_relay::config::Config;
use valise_relay::store::{Spool, SpoolConfig, Store};

/// The public half of a write key: who puts and deletes there.
fn writer(number: u8) -> DhPublic {
    DhSecret::from_bytes(&[number; 32]).public()
}

/// Where it writes.
fn namespace(number: u8) -> Namespace {
    Namespace::of_writer(writer(number).as_bytes())
}

fn parcel(byte: u8) -> ParcelBuffer {
    ParcelBuffer::from_sealed(vec![byte; PARCEL]).unwrap()
}

fn put(write: u8, index: u32, grant: Grant, byte: u8) -> Request {
    Request::Put {
        namespace: namespace(write),
        index,
        grant,
        parcel: parcel(byte),
    }
}

fn delete(write: u8) -> Request {
    Request::Delete {
        namespace: namespace(write),
    }
}

fn have(namespace: Namespace) -> Request {
    Request::Have { namespace }
}

/// A grant, as the answer to a deposit brings it.
async fn grant<S: Store>(
    house: &House<S>,
    target: Target,
    mailbox: MailboxId,
    number: u8,
) -> Grant {
    let answer = house
        .ask(&stranger(), deposit(target, mailbox, number))
        .await;
    match answer {
        Answer::Stored(_, grant) => grant,
        other => panic!("{other:?}"),
    }
}

/// Which parcels there are.
async fn held<S: Store>(house: &House<S>, write: u8) -> Vec<u32> {
    match house.ask(&stranger(), have(namespace(write))).await {
        Answer::Held(set) => (0..64).filter(|index| set.contains(*index)).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_role_is_told_of_parcels_what_the_specification_says() {
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
    let good = grant(&house, Target::Inbox, inbox, 1).await;
    house.ask(&writer(1), put(1, 0, good, 7)).await;
    let unknown = Grant::from_bytes([9; 16]);
    let namespace = namespace(1);
    let get = |address, namespace, index| Request::Get {
        address,
        namespace,
        index,
    };
    let absent = self::namespace(2);
    let secret = [3; 32];
    let withdraw = |inbox| Request::Withdraw { inbox, secret };

    use Refusal::{NoGrant, NotADevice, OtherParcel, UnknownInbox};
    for (what, request, expected) in [
        ("the same again", put(1, 0, good, 7), Ok("already")),
        (
            "the same without a grant",
            put(1, 0, unknown, 7),
            Ok("already"),
        ),
        ("other bytes", put(1, 0, good, 8), Err(OtherParcel)),
        (
            "other bytes without a grant",
            put(1, 0, unknown, 8),
            Err(OtherParcel),
        ),
        ("without a grant", put(1, 1, unknown, 7), Err(NoGrant)),
    ] {
        let answer = house.ask(&writer(1), request).await;
        assert_eq!(told(&answer), expected, "{what}");
    }
    let answer = house.ask(&writer(2), delete(2)).await;
    assert!(answer == Answer::Deleted(0));

    // What is asked, then what a stranger, a device, and another mechanism's device are told.
    let table = [
        ("have", have(namespace), [Ok("held"); 3]),
        ("have nothing", have(absent), [Ok("held"); 3]),
        (
            "put as somebody else",
            put(1, 1, good, 7),
            [Err(NotADevice); 3],
        ),
        (
            "put as somebody else what is there",
            put(1, 0, good, 7),
            [Err(NotADevice); 3],
        ),
        (
            "get",
            get(mechanism.address, namespace, 0),
            [Err(NotADevice), Ok("parcel"), Err(NotADevice)],
        ),
        (
            "get what is not there",
            get(mechanism.address, namespace, 1),
            [Err(NotADevice), Ok("nothing"), Err(NotADevice)],
        ),
        (
            "get from nowhere",
            get(mechanism.address, absent, 0),
            [Err(NotADevice), Ok("nothing"), Err(NotADevice)],
        ),
        (
            "get as a device of an inbox without a card",
            get(bare.address, namespace, 0),
            [Err(NotADevice); 3],
        ),
        (
            "get as a device of an inbox elsewhere",
            get(unserved.address, namespace, 0),
            [Err(UnknownInbox); 3],
        ),
        // Whoever is told the name may read: that other readers' mechanisms share a relay is no fence between them.
        (
            "get as another mechanism's device",
            get(other.address, namespace, 0),
            [Err(NotADevice), Err(NotADevice), Ok("parcel")],
        ),
        (
            "withdraw what is not there",
            withdraw(inbox),
            [Ok("withdrawn"); 3],
        ),
        (
            "withdraw elsewhere",
            withdraw(unserved.address.inbox()),
            [Err(UnknownInbox); 3],
        ),
        ("delete as somebody else", delete(1), [Err(NotADevice); 3]),
    ];
    let roles = [stranger(), mechanism.key(1), other.key(0)];
    for (what, request, expected) in table {
        for (role, expected) in roles.iter().zip(expected) {
            let answer = house.ask(role, request.clone()).await;
            assert_eq!(told(&answer), expected, "{what}, asked by {role:?}");
        }
    }
    assert_eq!(held(&house, 1).await, [0]);
    let found = house
        .ask(&mechanism.key(0), get(mechanism.address, namespace, 0))
        .await;
    assert!(found == Answer::Parcel(Some(parcel(7))));
}

#[tokio::test]
async fn a_reader_mechanism_may_get_parcels_and_nothing_else() {
    let house = House::new(&config());
    let (owner, reader) = (Mechanism::new(1), Mechanism::new(2));
    house.serve(&owner).await;
    let good = grant(&house, Target::Inbox, owner.address.inbox(), 1).await;
    house.ask(&writer(1), put(1, 0, good, 7)).await;
    let inbox = reader.address.inbox();
    let get = || Request::Get {
        address: reader.address,
        namespace: namespace(1),
        index: 0,
    };
    let asked = |key: DhPublic, request: Request| {
        let house = &house;
        async move { told(&house.ask(&key, request).await) }
    };
    use Refusal::{NoCard, NotADevice, UnknownInbox};
    let newest = || Request::Card {
        address: reader.address,
    };
    let card = reader.card(1, vec![reader.statement(0, 1, NOW)]);
    // Before the operator allowed it.
    for request in [get(), newest(), publish(&card), poll(Target::Inbox, inbox)] {
        assert_eq!(asked(reader.key(0), request).await, Err(UnknownInbox));
    }
    // Allowed, and not known yet.
    house.store.allow_reader(reader.address).await.unwrap();
    assert_eq!(asked(reader.key(0), newest()).await, Err(NoCard));
    assert_eq!(asked(reader.key(0), get()).await, Err(NotADevice));
    assert_eq!(asked(stranger(), publish(&card)).await, Err(NotADevice));
    assert_eq!(asked(reader.key(0), publish(&card)).await, Ok("published"));
    // Known: its devices get what they were told the name of, and nobody else does.
    assert_eq!(asked(reader.key(0), newest()).await, Ok("card"));
    for device in 0..2 {
        assert_eq!(asked(reader.key(device), get()).await, Ok("parcel"));
    }
    for key in [stranger(), owner.key(0)] {
        assert_eq!(asked(key, get()).await, Err(NotADevice));
    }
    for request in [put(1, 1, good, 7), delete(1)] {
        assert_eq!(asked(reader.key(0), request).await, Err(NotADevice));
    }
    // It has no inbox here, whoever asks: so nobody gets a grant by it.
    for key in [reader.key(0), stranger()] {
        for request in [
            deposit(Target::Inbox, inbox, 9),
            poll(Target::Inbox, inbox),
            poll_after(Target::Inbox, inbox, 0, vec![], 100),
            Request::Withdraw {
                inbox,
                secret: [0; 32],
            },
        ] {
            assert_eq!(asked(key, request).await, Err(UnknownInbox));
        }
    }
    // A device that left its roster reads no more; and none does when the operator says so.
    let fewer = reader.card_of(&reader.devices[..1], 2, vec![]);
    assert_eq!(asked(reader.key(0), publish(&fewer)).await, Ok("published"));
    assert_eq!(asked(reader.key(1), get()).await, Err(NotADevice));
    assert_eq!(asked(reader.key(0), get()).await, Ok("parcel"));
    house.store.remove_reader(reader.address).await.unwrap();
    assert_eq!(asked(reader.key(0), get()).await, Err(UnknownInbox));
}

#[tokio::test]
async fn a_reader_can_neither_write_nor_delete() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.serve(&mechanism).await;
    let good = grant(&house, Target::Inbox, mechanism.address.inbox(), 1).await;
    house.ask(&writer(1), put(1, 0, good, 7)).await;
    // What a reader knows: the namespace, and its own key.
    for request in [delete(1), put(1, 1, good, 8)] {
        let answer = house.ask(&mechanism.key(0), request).await;
        assert_eq!(told(&answer), Err(Refusal::NotADevice));
    }
    assert_eq!(held(&house, 1).await, [0]);
    let answer = house.ask(&writer(1), delete(1)).await;
    assert!(answer == Answer::Deleted(1));
    assert!(held(&house, 1).await.is_empty());
}

#[tokio::test]
async fn every_deposit_brings_another_grant_and_only_those_in_inboxes_are_good() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.serve(&mechanism).await;
    let inbox = mechanism.address.inbox();
    let mut seen = Vec::new();
    // New, the same again, and a replacement are as good; the sink and a return mailbox are not.
    for (target, number, good) in [
        (Target::Inbox, 1, true),
        (Target::Inbox, 1, true),
        (Target::Sink, 2, false),
        (Target::Return, 3, false),
    ] {
        let given = grant(&house, target, inbox, number).await;
        assert!(!seen.contains(&given));
        let index = seen.len() as u32;
        let answer = house.ask(&writer(1), put(1, index, given, 7)).await;
        let expected = if good {
            Ok("kept")
        } else {
            Err(Refusal::NoGrant)
        };
        assert_eq!(told(&answer), expected, "{target:?}");
        seen.push(given);
    }
    let replacement = Request::Deposit {
        target: Target::Inbox,
        mailbox: inbox,
        withdraw: WithdrawHash::from_bytes([1; 32]),
        proof: vec![],
        envelope: Box::new([9; ENVELOPE]),
    };
    let Answer::Stored(_, given) = house.ask(&stranger(), replacement).await else {
        panic!()
    };
    let answer = house.ask(&writer(1), put(1, 9, given, 7)).await;
    assert_eq!(told(&answer), Ok("kept"));
    // A day later it has ended; what is there is told all the same.
    let late = NOW.plus(DAY + 1);
    let answer = house.ask_at(&writer(1), put(1, 10, given, 7), late).await;
    assert_eq!(told(&answer), Err(Refusal::NoGrant));
    let answer = house.ask_at(&writer(1), put(1, 9, given, 7), late).await;
    assert_eq!(told(&answer), Ok("already"));
}

#[tokio::test]
async fn a_full_account_and_a_full_store_are_told_to_who_puts_and_use_no_grant_up() {
    let house = House::new(&Config {
        inbox_parcels: 2,
        store_parcels: 3,
        ..config()
    });
    let (first, second) = (Mechanism::new(1), Mechanism::new(1));
    house.serve(&first).await;
    house.serve(&second).await;
    let one = grant(&house, Target::Inbox, first.address.inbox(), 1).await;
    let two = grant(&house, Target::Inbox, second.address.inbox(), 2).await;
    for (index, grant, expected) in [
        (0, one, Ok("kept")),
        (1, one, Ok("kept")),
        (2, one, Err(Refusal::ParcelsFull)),
        (2, two, Ok("kept")),
        (3, two, Err(Refusal::RelayFull)),
        (0, two, Ok("already")),
    ] {
        let answer = house.ask(&writer(1), put(1, index, grant, 7)).await;
        assert_eq!(told(&answer), expected, "{index}");
    }
    house.ask(&writer(1), delete(1)).await;
    assert_eq!(
        told(&house.ask(&writer(1), put(1, 2, one, 7)).await),
        Ok("kept")
    );
}

#[tokio::test]
async fn parcels_outlive_every_envelope_of_the_same_fortnight_and_then_expire() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.serve(&mechanism).await;
    let good = grant(&house, Target::Inbox, mechanism.address.inbox(), 1).await;
    house.ask(&writer(1), put(1, 0, good, 7)).await;
    let end = NOW.plus((37 + 14) * DAY);
    house.store.expire(end).await.unwrap();
    assert_eq!(house.store.usage().await.unwrap().inbox_envelopes, 0);
    assert_eq!(held(&house, 1).await, [0]);
    house.store.expire(end.plus(DAY)).await.unwrap();
    assert!(held(&house, 1).await.is_empty());
}

#[tokio::test]
async fn a_parcel_that_would_be_gone_before_an_envelope_of_today_is_put_anew() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.serve(&mechanism).await;
    let inbox = mechanism.address.inbox();
    let good = grant(&house, Target::Inbox, inbox, 1).await;
    house.ask(&writer(1), put(1, 0, good, 7)).await;
    let mut seen = Vec::new();
    for day in [13, 16] {
        let then = NOW.plus(day * DAY);
        let Answer::Held(held) = house.ask_at(&stranger(), have(namespace(1)), then).await else {
            panic!()
        };
        seen.push(held.contains(0));
    }
    assert_eq!(seen, [true, false]);
    // It is given to readers all the same.
    let then = NOW.plus(16 * DAY);
    let get = Request::Get {
        address: mechanism.address,
        namespace: namespace(1),
        index: 0,
    };
    let given = house.ask_at(&mechanism.key(0), get.clone(), then).await;
    assert!(given == Answer::Parcel(Some(parcel(7))));
    let deposit = deposit(Target::Inbox, inbox, 2);
    let Answer::Stored(_, good) = house.ask_at(&stranger(), deposit, then).await else {
        panic!()
    };
    let answer = house.ask_at(&writer(1), put(1, 0, good, 7), then).await;
    assert_eq!(told(&answer), Ok("kept"));
    // Now it lives as long as the envelope of that day.
    house.store.expire(NOW.plus((37 + 15) * DAY)).await.unwrap();
    let late = NOW.plus((37 + 16) * DAY);
    let given = house.ask_at(&mechanism.key(0), get, late).await;
    assert!(given == Answer::Parcel(Some(parcel(7))));
}

#[tokio::test]
async fn a_submission_is_withdrawn_by_its_preimage_once() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.serve(&mechanism).await;
    let inbox = mechanism.address.inbox();
    let secret = [5; 32];
    let sent = Request::Deposit {
        target: Target::Inbox,
        mailbox: inbox,
        withdraw: WithdrawHash::from_bytes(sha256(&[&secret])),
        proof: vec![],
        envelope: Box::new([1; ENVELOPE]),
    };
    house.ask(&stranger(), sent).await;
    for (secret, gone) in [([6; 32], 0), (secret, 1), (secret, 0)] {
        let withdraw = Request::Withdraw { inbox, secret };
        let answer = house.ask(&stranger(), withdraw).await;
        assert!(answer == Answer::Withdrawn(gone));
    }
    let poll = house
        .ask(&mechanism.key(0), poll(Target::Inbox, inbox))
        .await;
    assert_eq!(told(&poll), Ok("nothing"));
}

#[tokio::test]
async fn removing_an_inbox_takes_its_parcels_and_its_grants() {
    let house = House::new(&config());
    let mechanism = Mechanism::new(1);
    house.serve(&mechanism).await;
    let good = grant(&house, Target::Inbox, mechanism.address.inbox(), 1).await;
    house.ask(&writer(1), put(1, 0, good, 7)).await;
    house.store.remove_inbox(mechanism.address).await.unwrap();
    assert!(held(&house, 1).await.is_empty());
    let answer = house.ask(&writer(1), put(1, 0, good, 7)).await;
    assert_eq!(told(&answer), Err(Refusal::UnknownInbox));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_parcels_are_there_and_grants_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let mechanism = Mechanism::new(1);
    let open = || {
        let spool = SpoolConfig {
            slots: 8,
            min_free_bytes: 0,
            ballast_bytes: 0,
            ..SpoolConfig::new(dir.path().join("s"), config().ceilings())
        };
        House::over(Arc::new(Spool::open(spool).unwrap()), &config())
    };
    let house = open();
    house.serve(&mechanism).await;
    let inbox = mechanism.address.inbox();
    let good = grant(&house, Target::Inbox, inbox, 1).await;
    for index in [0, 2, 5] {
        let answer = house.ask(&writer(1), put(1, index, good, 7)).await;
        assert_eq!(told(&answer), Ok("kept"));
    }
    house.store.close().await.unwrap();
    drop(house);
    let house = open();
    assert_eq!(held(&house, 1).await, [0, 2, 5]);
    let get = Request::Get {
        address: mechanism.address,
        namespace: namespace(1),
        index: 2,
    };
    assert!(house.ask(&mechanism.key(0), get).await == Answer::Parcel(Some(parcel(7))));
    let answer = house.ask(&writer(1), put(1, 1, good, 7)).await;
    assert_eq!(told(&answer), Err(Refusal::NoGrant));
    // The same deposit again gives another.
    let good = grant(&house, Target::Inbox, inbox, 1).await;
    let answer = house.ask(&writer(1), put(1, 1, good, 7)).await;
    assert_eq!(told(&answer), Ok("kept"));
}
