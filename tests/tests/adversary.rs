//! What those who watch, carry, sit beside or steal can not do (docs/security.md names these tests).

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use valise_client::dial::{Connection, DialError, fresh_key};
use valise_client::link::LinkFault;
use valise_client::session::{CardFault, DepositFault, Errand, Poll, Result3, Seal, cover, run};
use valise_protocol::card::{Card, CardError};
use valise_protocol::contact::RelayContact;
use valise_protocol::envelope::{OpenError, open, seal};
use valise_protocol::id::{Address, Grant, RelayId};
use valise_protocol::limits::{DAY, ENVELOPE, FRAME_PLAIN, HEADER, SLOT, SLOTS};
use valise_protocol::link::Welcome;
use valise_protocol::message::Message;
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Item, Refusal, Request, RequestKind, Stored, Target};
use valise_tests::cast::{Defender, LiveRelay, Mechanism, START, deposit, no_withdrawal, rng};
use valise_tests::liar::{Liar, Manners, Reaction};

/// What a polite relay would answer.
fn polite(request: &Request, card: &[u8]) -> Answer {
    match request {
        Request::Card { .. } => Answer::Card(card.to_vec()),
        Request::Deposit { .. } => Answer::Stored(Stored::New, Grant::from_bytes([7; 16])),
        Request::Poll { cursor, .. } => Answer::Item(Item {
            waiting: 0,
            cursor: *cursor,
            envelope: None,
        }),
        Request::Publish { .. } => Answer::Published,
        _ => Answer::Refused(Refusal::Unavailable),
    }
}

async fn send_through(liar: &Liar, address: Address, now: Timestamp) -> Result3 {
    let defender = Defender::new(address);
    let contact = liar.contact();
    let errand = Errand {
        address,
        known: None,
        despite_staleness: None,
        deposit: Some(&|readers, epoch| Ok(defender.seal("a case", readers, epoch, &contact))),
        poll: Poll::Nothing,
    };
    run(&contact, errand, now).await.unwrap()
}

/// A mechanism that exists somewhere; the liar has its card.
async fn mechanism(devices: usize) -> Mechanism {
    let relay = LiveRelay::turned_liar().await;
    Mechanism::new(devices, &relay).await
}

#[tokio::test]
async fn a_relay_that_the_mechanism_never_chose_gets_nothing() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::new(1, &relay).await;
    let card = mechanism.card().encode();
    let targets = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&targets);
    let liar = Liar::reacting(move |request| {
        if let Request::Deposit { target, .. } = request {
            seen.lock().unwrap().push(*target);
        }
        Reaction::Answer(polite(request, &card))
    });
    let result = send_through(&liar, mechanism.address, START).await;
    assert!(matches!(result.card, Err(CardFault::AnotherRelay)));
    assert!(matches!(result.deposit, Err(DepositFault::NoCard)));
    assert_eq!(*targets.lock().unwrap(), [Target::Sink]);
}

#[tokio::test]
async fn a_relay_that_tampers_repeats_truncates_or_babbles_never_makes_a_false_delivered() {
    let mechanism = mechanism(1).await;
    let card = Arc::new(mechanism.card().encode());
    type Wrap = fn(Answer) -> Reaction;
    let wraps: [(&str, Wrap); 5] = [
        ("tampered", Reaction::Tampered),
        ("repeated", Reaction::Repeated),
        ("truncated", Reaction::Truncated),
        ("silence", |_| Reaction::Silence),
        ("nonsense", |_| {
            Reaction::Nonsense(vec![0xff; 4 * FRAME_PLAIN])
        }),
    ];
    for (name, wrap) in wraps {
        let held = card.clone();
        let liar = Liar::reacting(move |request| match request {
            Request::Card { .. } => Reaction::Answer(polite(request, &held)),
            _ => wrap(polite(request, &held)),
        });
        let result = send_through(&liar, mechanism.address, START).await;
        assert!(result.card.is_ok(), "{name}");
        // A single frame cannot be repeated within itself: there the answer is whole.
        assert_eq!(
            result.deposit.is_ok(),
            name == "repeated",
            "{name}: {:?}",
            result.deposit
        );
        assert!(result.poll.is_err(), "{name}");
    }
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_believed() {
    let mechanism = mechanism(1).await;
    let card = mechanism.card().encode();
    let liar = Liar::reacting(move |request| match request {
        Request::Card { .. } => Reaction::Answer(polite(request, &card)),
        _ => Reaction::Nonsense(Answer::Published.encode(RequestKind::Publish)),
    });
    let result = send_through(&liar, mechanism.address, START).await;
    assert!(matches!(
        result.deposit,
        Err(DepositFault::Link(LinkFault::Nonsense))
    ));
}

#[tokio::test]
async fn a_refusal_of_a_malformed_request_is_understood_in_one_frame() {
    let mechanism = mechanism(1).await;
    let card = mechanism.card().encode();
    let one_frame = Answer::Refused(Refusal::Malformed).encode(RequestKind::Deposit);
    let liar = Liar::reacting(move |request| match request {
        Request::Card { .. } => Reaction::Answer(polite(request, &card)),
        _ => Reaction::Nonsense(one_frame.clone()),
    });
    let result = send_through(&liar, mechanism.address, START).await;
    assert!(matches!(
        result.poll,
        Err(LinkFault::Refused(Refusal::Malformed))
    ));
}

#[tokio::test]
async fn a_relay_without_the_right_key_is_not_spoken_to() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let there = relay.contact();
    let another =
        RelayContact::new(RelayId::from_bytes([1; 32]), there.host(), there.port()).unwrap();
    assert!(matches!(
        Connection::dial(&another, START).await.err(),
        Some(DialError::Key)
    ));
    let nobody = RelayContact::new(there.id(), "host.invalid", 1).unwrap();
    assert!(matches!(
        Connection::dial(&nobody, START).await.err(),
        Some(DialError::Name)
    ));
    let late = START.plus(200 * DAY);
    assert!(matches!(
        Connection::dial(&there, late).await.err(),
        Some(DialError::Dates(_))
    ));
}

#[tokio::test]
async fn a_puzzle_that_this_version_cannot_solve_is_told_and_nothing_sent() {
    let manners = Manners {
        welcome: Welcome { effort: 7 },
        react: Arc::new(|_| Reaction::Silence),
    };
    let liar = Liar::start(manners);
    let result = send_through(&liar, Address::from_bytes([1; 32]), START).await;
    assert!(matches!(
        result.deposit,
        Err(DepositFault::Link(LinkFault::Effort(7)))
    ));
}

/// Gives a liar's card to a sender; what becomes of it, and what was deposited where.
async fn with_card(address: Address, card: Vec<u8>, now: Timestamp) -> (Result3, Vec<Target>) {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let targets = seen.clone();
    let liar = Liar::reacting(move |request| {
        if let Request::Deposit { target, .. } = request {
            targets.lock().unwrap().push(*target);
        }
        Reaction::Answer(polite(request, &card))
    });
    let result = send_through(&liar, address, now).await;
    let targets = seen.lock().unwrap().clone();
    (result, targets)
}

async fn refused(address: Address, card: Vec<u8>, now: Timestamp) -> CardError {
    let (result, targets) = with_card(address, card, now).await;
    assert!(
        matches!(result.deposit, Err(DepositFault::NoCard)),
        "nothing is sent to a card that is refused"
    );
    assert_eq!(
        targets,
        [Target::Sink],
        "and cover goes to the sink, so that it looks the same"
    );
    match result.card {
        Err(CardFault::Card(error)) => error,
        other => panic!("{:?}", other.map(|_| "accepted")),
    }
}

#[tokio::test]
async fn a_forged_expired_or_foreign_card_is_never_used() {
    let mechanism = mechanism(2).await;
    let impostor = self::mechanism(2).await;
    let address = mechanism.address;
    assert_eq!(
        refused(address, impostor.card().encode(), START).await,
        CardError::WrongAddress
    );
    // The liar's own certificate must still hold then, so it is the card that is old.
    let old = Mechanism {
        issued: START.minus(90 * DAY),
        ..self::mechanism(1).await
    };
    assert_eq!(
        refused(old.address, old.card().encode(), START).await,
        CardError::Expired { since: START }
    );
    let early = Mechanism {
        issued: START.plus(DAY),
        ..self::mechanism(1).await
    };
    assert_eq!(
        refused(early.address, early.card().encode(), START).await,
        CardError::NotYetValid {
            from: START.plus(DAY)
        }
    );
    let forged = Card::new(
        mechanism.roots.clone(),
        Mechanism {
            root: impostor.root,
            ..mechanism
        }
        .roster(),
        vec![],
    );
    assert_eq!(
        refused(address, forged.encode(), START).await,
        CardError::BadSignature
    );
    assert_eq!(
        refused(address, vec![0xa0], START).await,
        CardError::Malformed
    );
}

#[tokio::test]
async fn a_card_older_than_the_one_known_is_a_rollback() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mut mechanism = Mechanism::published(1, &relay).await;
    let defender = Defender::new(mechanism.address);
    mechanism.succeed(START.plus(1));
    let known = mechanism.verified(START.plus(1)).known();
    let result = defender.send("a case", &relay, Some(known)).await;
    let Err(CardFault::Card(error)) = result.card else {
        panic!("it was accepted")
    };
    assert_eq!(error, CardError::RolledBack { known: 2, found: 1 });
    assert!(result.deposit.is_err());
    assert!(mechanism.pull(0, &relay).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stranger_neither_reads_an_inbox_nor_publishes_its_card() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(1, &relay).await;
    Defender::new(mechanism.address)
        .send("a case", &relay, None)
        .await
        .deposit
        .unwrap();
    let key = fresh_key();
    let poll = valise_tests::cast::poll_inbox(&relay, mechanism.address, &key, vec![], 0).await;
    assert!(matches!(poll, Err(LinkFault::Refused(Refusal::NotADevice))));
    let publish = valise_tests::cast::publish(&relay, &key, mechanism.card().encode()).await;
    assert!(matches!(
        publish,
        Err(LinkFault::Refused(Refusal::NotADevice))
    ));
    assert_eq!(mechanism.texts(0, &relay).await, ["a case"]);
}

/// The key that wrote an envelope is what could tie two of them together.
#[tokio::test]
async fn cover_cannot_be_linked_to_a_defender_by_its_recipient() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(1, &relay).await;
    let defender = Defender::new(mechanism.address);
    defender.send("a case", &relay, None).await.deposit.unwrap();
    defender.check(vec![], &relay).await;
    defender.check(vec![], &relay).await;
    let envelopes = mechanism.pull(0, &relay).await.unwrap();
    assert_eq!(
        envelopes.len(),
        3,
        "a submission and the cover of two checks"
    );
    let opened: Vec<_> = envelopes
        .iter()
        .map(|e| mechanism.open(0, e.as_slice()).unwrap())
        .collect();
    let covers: Vec<_> = opened
        .iter()
        .filter(|o| Message::decode(&o.message).unwrap() == Message::Cover)
        .collect();
    assert_eq!(covers.len(), 2);
    assert_ne!(covers[0].writer, covers[1].writer);
    assert!(
        covers
            .iter()
            .all(|o| o.writer != defender.keys.send().public())
    );
    assert!(
        covers.iter().all(|o| o.message.len() < 8),
        "it holds no reply keys"
    );
}

/// The requests of one session, by kind and length, as its relay sees them.
async fn shape_of(
    mechanism: &Mechanism,
    sends: bool,
    card: Option<Vec<u8>>,
    full: bool,
) -> Vec<String> {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let record = seen.clone();
    let liar = Liar::reacting(move |request| {
        record
            .lock()
            .unwrap()
            .push(format!("{:?} {}", request.kind(), request.encode().len()));
        Reaction::Answer(match (request, &card) {
            (Request::Card { .. }, None) => Answer::Refused(Refusal::NoCard),
            (Request::Poll { .. }, _) if full => Answer::Item(Item {
                waiting: 1,
                cursor: 1,
                envelope: Some(Box::new([1; ENVELOPE])),
            }),
            (_, card) => polite(request, card.as_deref().unwrap_or_default()),
        })
    });
    let address = mechanism.address;
    let defender = Defender::new(address);
    let contact = liar.contact();
    let seal: &Seal<'_> = &|readers, epoch| Ok(defender.seal("a case", readers, epoch, &contact));
    let key = defender.keys.mailbox_key(&contact.id());
    let poll = if sends {
        Poll::Nothing
    } else {
        Poll::Return {
            key,
            removals: vec![],
            cursor: 0,
        }
    };
    let errand = Errand {
        address,
        known: None,
        despite_staleness: None,
        deposit: sends.then_some(seal),
        poll,
    };
    let _ = run(&contact, errand, START).await.unwrap();
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    seen
}

#[tokio::test]
async fn sending_looking_in_and_being_refused_make_the_same_three_requests() {
    let mechanism = mechanism(2).await;
    let card = Some(mechanism.card().encode());
    let sent = shape_of(&mechanism, true, card.clone(), false).await;
    assert_eq!(sent.len(), 3);
    assert_eq!(
        shape_of(&mechanism, false, card.clone(), false).await,
        sent,
        "an empty mailbox"
    );
    assert_eq!(
        shape_of(&mechanism, false, card, true).await,
        sent,
        "a mailbox with a reply"
    );
    assert_eq!(
        shape_of(&mechanism, true, None, false).await,
        sent,
        "no card to seal to"
    );
}

/// From outside, before anything is opened, cover and a submission differ in nothing but random bytes.
#[tokio::test]
async fn cover_and_a_submission_have_one_shape() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::new(2, &relay).await;
    let readers = mechanism.verified(START).readers(START).unwrap();
    let sealed = Defender::new(mechanism.address).seal("x", &readers, 1, &relay.contact());
    let nothing = cover(&readers, &mechanism.address).unwrap();
    assert_eq!(sealed.envelope[..16], nothing.envelope[..16]);
    let equal = sealed.envelope[16..]
        .iter()
        .zip(&nothing.envelope[16..])
        .filter(|(a, b)| a == b)
        .count();
    let expected = (ENVELOPE - 16) / 256;
    assert!(
        equal.abs_diff(expected) < 6 * 16,
        "{equal} bytes are equal, {expected} would be by chance"
    );
}

/// A colleague who opened an envelope knows its key, but not the defender's.
#[tokio::test]
async fn a_colleague_cannot_put_words_into_a_defenders_mouth() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::published(2, &relay).await;
    let defender = Defender::new(mechanism.address);
    defender
        .send("what she wrote", &relay, None)
        .await
        .deposit
        .unwrap();
    let original = mechanism.pull(0, &relay).await.unwrap().remove(0);
    let message = mechanism.open(0, original.as_slice()).unwrap().message;

    // Sealing it anew takes a key of the colleague's own, and that shows.
    let colleague = &mechanism.devices[0].keys.identity;
    let readers = mechanism.verified(START).readers(START).unwrap();
    let forged = seal(
        &readers,
        &mechanism.address,
        colleague,
        &message,
        &mut rng(),
    )
    .unwrap();
    deposit(
        &relay,
        Target::Inbox,
        mechanism.address.inbox(),
        no_withdrawal(),
        forged,
    )
    .await
    .unwrap();
    let writers: Vec<_> = mechanism
        .pull(1, &relay)
        .await
        .unwrap()
        .iter()
        .map(|e| mechanism.open(1, e.as_slice()).unwrap().writer)
        .collect();
    assert_eq!(writers, [defender.keys.send().public(), colleague.public()]);

    // Putting the real slots before another body opens for nobody.
    let mut spliced = original.clone();
    let other = defender
        .seal("another", &readers, 1, &relay.contact())
        .envelope;
    spliced[HEADER + SLOTS * SLOT..].copy_from_slice(&other[HEADER + SLOTS * SLOT..]);
    let prekeys: Vec<&PrekeySecret> = mechanism.devices[1].prekeys.iter().collect();
    assert_eq!(
        open(spliced.as_slice(), &mechanism.address, &prekeys).unwrap_err(),
        OpenError::NotOurs
    );
}

/// What one relay sees of a deposit is of no use against the same submission at another.
#[tokio::test]
async fn a_relay_cannot_replace_what_another_relay_holds() {
    let (here, there) = (
        LiveRelay::in_memory(|_| ()).await,
        LiveRelay::in_memory(|_| ()).await,
    );
    let mechanism = Mechanism::published(1, &here).await;
    let defender = Defender::new(mechanism.address);
    let (_, seen_there) = defender.submission("a case", 1, &there.contact());
    defender.send("a case", &here, None).await.deposit.unwrap();
    let rubbish = cover(
        &mechanism.verified(START).readers(START).unwrap(),
        &mechanism.address,
    )
    .unwrap()
    .envelope;
    let stored = deposit(
        &here,
        Target::Inbox,
        mechanism.address.inbox(),
        seen_there,
        rubbish,
    )
    .await
    .unwrap();
    assert_eq!(stored, Stored::New);
    assert_eq!(mechanism.texts(0, &here).await, ["a case"]);
}

#[tokio::test]
async fn a_relay_that_hands_out_an_envelope_twice_or_altered_is_noticed_by_digest() {
    let mechanism = mechanism(1).await;
    let readers = mechanism.verified(START).readers(START).unwrap();
    let sealed = cover(&readers, &mechanism.address).unwrap().envelope;
    let first = mechanism.open(0, sealed.as_slice()).unwrap().digest;
    // Other bytes in a slot that is not ours make another envelope, but not another thing said.
    let mut changed = 0;
    for slot in 0..SLOTS {
        let mut altered = sealed.clone();
        altered[HEADER + slot * SLOT] ^= 1;
        if let Some(opened) = mechanism.open(0, altered.as_slice()) {
            assert_eq!(opened.digest, first);
            changed += 1;
        }
    }
    assert_eq!(changed, SLOTS - 1);
}
