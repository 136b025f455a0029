//! What a lying relay, a forged envelope or a wrong clock can do to a mechanism's own devices (docs/security.md names these tests).

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use valise_client::dial::fresh_key;
use valise_client::inbox::pull::{Attachments, once};
use valise_client::inbox::watch::watch;
use valise_client::mechanism::prekeys::{Collected, bury};
use valise_client::mechanism::publish::{RootArgs, keep_roster, next_roster};
use valise_client::mechanism::root::{Consent, Root};
use valise_protocol::envelope::seal;
use valise_protocol::id::{EnvelopeDigest, Grant};
use valise_protocol::key::SigningKey;
use valise_protocol::limits::{DAY, ENVELOPE};
use valise_protocol::message::{Copied, Message, SubmissionId};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Item, Refusal, Request, Stored};
use valise_tests::cast::{Defender, LiveRelay, START, rng};
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

/// A relay that holds an inbox as it should, and counts the polls.
#[derive(Default)]
struct Inbox {
    card: Option<Vec<u8>>,
    envelopes: Vec<(u64, Box<[u8; ENVELOPE]>)>,
    polls: usize,
}

impl Inbox {
    fn answer(&mut self, request: &Request) -> Answer {
        match request {
            Request::Card { .. } => {
                (self.card.clone()).map_or(Answer::Refused(Refusal::NoCard), Answer::Card)
            }
            Request::Publish { card } => {
                self.card = Some(card.clone());
                Answer::Published
            }
            Request::Poll {
                cursor, removals, ..
            } => {
                self.polls += 1;
                let gone = |envelope: &[u8]| removals.contains(&EnvelopeDigest::of(envelope));
                self.envelopes
                    .retain(|(_, envelope)| !gone(envelope.as_slice()));
                let next = (self.envelopes.iter()).find(|(place, _)| place > cursor);
                Answer::Item(Item {
                    waiting: 0,
                    cursor: next.map_or(*cursor, |(place, _)| *place),
                    envelope: next.map(|(_, envelope)| envelope.clone()),
                })
            }
            Request::Deposit { .. } => Answer::Stored(Stored::New, Grant::from_bytes([0; 16])),
            _ => Answer::Refused(Refusal::Unavailable),
        }
    }
}

/// A clock that a liar moves.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(start.seconds())))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }

    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// A copy under a key of nobody.
fn forged_copy(desk: &Desk) -> Box<[u8; ENVELOPE]> {
    let copy = Message::Copy(Copied {
        id: SubmissionId::from_bytes([1; 16]),
        regards: SubmissionId::from_bytes([2; 16]),
        written: START.hour(),
        send: fresh_key().public(),
        text: None,
        proof: None,
    });
    sealed(desk, &copy)
}

/// Sealed to the first device under a key of nobody.
fn sealed(desk: &Desk, message: &Message) -> Box<[u8; ENVELOPE]> {
    let reader = desk.state(0).prekeys[0].secret().public();
    let writer = fresh_key();
    seal(
        &[reader],
        &desk.address,
        &writer,
        &message.encode(),
        &mut rng(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_forged_copy_does_not_end_a_pull_before_everything_is_collected() {
    let hands = Hands::at(START);
    let inbox: Arc<Mutex<Inbox>> = Arc::default();
    let (clock, held) = (hands.clone(), inbox.clone());
    let liar = Liar::reacting(move |request| {
        let mut held = held.lock().unwrap();
        // The first poll takes so long that the card may have changed meanwhile.
        if held.polls == 0 && matches!(request, Request::Poll { .. }) {
            clock.advance(61);
        }
        Reaction::Answer(held.answer(request))
    });
    let desk = Desk::new(1, &liar.contact(), START).await;
    let sender = Defender::new(desk.address);
    let (submission, _) = sender.submission("a case", 1, &liar.contact());
    inbox.lock().unwrap().envelopes =
        vec![(1, forged_copy(&desk)), (2, sealed(&desk, &submission))];
    once(&desk.vaults[0], Attachments::Fetch, 0, &|| hands.now())
        .await
        .unwrap();
    assert_eq!(desk.state(0).items.len(), 1, "what came after the forgery");
    assert!(inbox.lock().unwrap().envelopes.is_empty());
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

#[tokio::test]
async fn the_medium_of_the_root_key_brings_a_roster_that_a_relay_withholds() {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let desk = Desk::new(3, &relay.contact(), START).await;
    let medium = tempfile::tempdir().unwrap();
    let path = medium.path().join("root.key");
    let key = SigningKey::from_bytes(desk.root.expose());
    let root = Root::new(key, path.clone(), Consent::Given);
    let (stolen, removes, ignorant) = (0, 1, 2);
    let held = desk.card(removes, START);
    let left = held.roster().devices()[1..].to_vec();
    let signed = next_roster(&held, left, &root, START.plus(1)).unwrap();
    keep_roster(&desk.vaults[removes], &signed, &root, START.plus(1)).unwrap();
    assert_eq!(desk.card(ignorant, START).epoch(), 1);
    let args = RootArgs {
        root: path,
        root_passphrase_fd: None,
        yes_these_devices: true,
    };
    args.learn(&desk.vaults[ignorant], START.plus(2)).unwrap();
    let learnt = desk.card(ignorant, START.plus(2));
    assert_eq!(learnt.epoch(), 2);
    let thief = desk.state(stolen).device.keys().link.public();
    assert!(!learnt.has_link_key(&thief));
}

#[tokio::test]
async fn a_watch_deletes_old_prekeys_as_a_single_pull_does() {
    let hands = Hands::at(START);
    let inbox: Arc<Mutex<Inbox>> = Arc::default();
    let rounds = Arc::new(Notify::new());
    let (clock, held, round) = (hands.clone(), inbox.clone(), rounds.clone());
    let liar = Liar::reacting(move |request| {
        let mut held = held.lock().unwrap();
        // Three weeks pass in the watch, a week with each round.
        if let Request::Poll { wait_seconds, .. } = request
            && *wait_seconds > 0
        {
            clock.advance(7 * DAY);
        }
        if matches!(request, Request::Card { .. }) && clock.now() >= START.plus(21 * DAY) {
            round.notify_one();
        }
        Reaction::Answer(held.answer(request))
    });
    let desk = Desk::new(1, &liar.contact(), START).await;
    let tell = || hands.now();
    tokio::select! {
        _ = watch(&desk.vaults[0], Attachments::Fetch, 0, &tell) => panic!("it goes on"),
        () = rounds.notified() => {}
    }
    let oldest = desk.state(0).prekeys[0].issued;
    assert_eq!(oldest, START.plus(7 * DAY), "that of the beginning is gone");
}

/// The shortest time that a device took from this envelope to its next poll.
fn shortest(times: &[(u64, Duration)], which: impl Fn(u64) -> bool) -> Duration {
    let of = times.iter().filter(|(place, _)| which(*place));
    of.map(|(_, took)| *took).min().unwrap()
}

/// How long a device takes until its next poll at the shortest, after cover and after a submission.
async fn times_until_the_next_poll() -> (Duration, Duration) {
    let inbox: Arc<Mutex<Inbox>> = Arc::default();
    let times: Arc<Mutex<Vec<(u64, Duration)>>> = Arc::default();
    let (held, seen) = (inbox.clone(), times.clone());
    let answered = Mutex::new(Instant::now());
    let liar = Liar::reacting(move |request| {
        let mut answered = answered.lock().unwrap();
        if let Request::Poll { cursor, .. } = request {
            seen.lock().unwrap().push((*cursor, answered.elapsed()));
        }
        let answer = held.lock().unwrap().answer(request);
        *answered = Instant::now();
        Reaction::Answer(answer)
    });
    let desk = Desk::new(1, &liar.contact(), START).await;
    let envelope = |place: u64| match place % 2 {
        0 => sealed(&desk, &Message::Cover),
        _ => {
            let sender = Defender::new(desk.address);
            sealed(&desk, &sender.submission("a case", 1, &liar.contact()).0)
        }
    };
    let envelopes = (1..=24).map(|place| (place, envelope(place))).collect();
    inbox.lock().unwrap().envelopes = envelopes;
    once(&desk.vaults[0], Attachments::Fetch, 0, &|| START)
        .await
        .unwrap();
    assert_eq!(desk.state(0).items.len(), 12);
    let times = times.lock().unwrap();
    let cover = shortest(&times, |place| place > 0 && place % 2 == 0);
    let submission = shortest(&times, |place| place % 2 == 1);
    (cover, submission)
}

/// Other programs may disturb a measurement; what a device does differently would show in each.
#[tokio::test]
async fn a_relay_does_not_see_by_the_time_until_the_next_poll_what_was_cover() {
    const MEASUREMENTS: usize = 5;
    let mut seen = Vec::new();
    for _ in 0..MEASUREMENTS {
        let (cover, submission) = times_until_the_next_poll().await;
        if cover * 3 > submission * 2 && submission * 3 > cover * 2 {
            return;
        }
        seen.push((cover, submission));
    }
    panic!("after cover and after a submission: {seen:?}");
}
