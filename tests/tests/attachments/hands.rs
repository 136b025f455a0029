//! A relay that a test holds in its hands: it counts what it is asked for, and a test chooses what it has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use valise_client::inbox::fetch::fetch;
use valise_client::inbox::pull::Attachments;
use valise_client::inbox::take::{Found, take};
use valise_client::inbox::watch::watch;
use valise_client::vault::Vault;
use valise_protocol::id::{EnvelopeDigest, Namespace, RelayId};
use valise_protocol::limits::{ENVELOPE, PARCEL_PLAIN};
use valise_protocol::message::{Attachment, Message};
use valise_protocol::parcel::{FileHash, ParcelBuffer, ParcelSet};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Item, Refusal, Request};
use valise_tests::attacher::{Attacher, Sent};
use valise_tests::cast::START;
use valise_tests::desk::Desk;
use valise_tests::liar::{Liar, Reaction};

use super::{bytes, fetch_all, named, save_into, standing};

/// What it holds: a card, an inbox and parcels; and how often it was asked.
#[derive(Default)]
struct Hands {
    card: Option<Vec<u8>>,
    envelopes: Vec<Box<[u8; ENVELOPE]>>,
    parcels: HashMap<(Namespace, u32), ParcelBuffer>,
    haves: usize,
    gets: Vec<u32>,
    of: Vec<Namespace>,
}

impl Hands {
    fn keep(&mut self, file: &Sent) {
        for (index, parcel) in (0..).zip(&file.parcels) {
            let place = (file.attachment.namespace, index);
            self.parcels.insert(place, parcel.clone());
        }
    }

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
                self.envelopes
                    .retain(|one| !removals.contains(&EnvelopeDigest::of(one.as_slice())));
                Answer::Item(Item {
                    waiting: 0,
                    cursor: cursor + u64::from(!self.envelopes.is_empty()),
                    envelope: self.envelopes.first().cloned(),
                })
            }
            Request::Have { namespace } => {
                self.haves += 1;
                let mut set = ParcelSet::default();
                let of_it = self.parcels.keys().filter(|(of, _)| of == namespace);
                of_it.for_each(|(_, index)| set.insert(*index));
                Answer::Held(set)
            }
            Request::Get {
                namespace, index, ..
            } => {
                self.gets.push(*index);
                self.of.push(*namespace);
                Answer::Parcel(self.parcels.get(&(*namespace, *index)).cloned())
            }
            _ => Answer::Refused(Refusal::Unavailable),
        }
    }
}

#[tokio::test]
async fn a_fetch_that_was_interrupted_asks_only_for_what_is_missing() {
    let hands: Arc<Mutex<Hands>> = Arc::default();
    let halfway = Arc::new(Notify::new());
    let (held, half) = (hands.clone(), halfway.clone());
    let liar = Liar::reacting(move |request| {
        let mut held = held.lock().unwrap();
        let answer = held.answer(request);
        if held.gets.len() == 88 {
            half.notify_one();
        }
        Reaction::Answer(answer)
    });
    let desk = Desk::new(1, &liar.contact(), START).await;
    let sender = Attacher::new(&desk);
    let file = sender.file(&bytes(23 * 4 * PARCEL_PLAIN, 0), None);
    assert_eq!(file.parcels.len(), 96);
    hands.lock().unwrap().keep(&file);
    let (message, _) = sender.submission(1, named(&[&file]), vec![liar.contact().id()]);
    let envelope = sender.seal(&desk, &message, START);
    let vault = &desk.vaults[0];
    assert_eq!(
        take(vault, envelope.as_slice(), START).unwrap(),
        Found::Submission
    );
    tokio::select! {
        biased;
        () = halfway.notified() => {}
        _ = fetch_all(&desk) => panic!("it was interrupted"),
    }
    let home = vault.home().clone();
    let vault = Vault::open(&home, "a passphrase").unwrap();
    let came = 96 - standing(&vault).missing;
    assert!((64..96).contains(&came), "{came}");
    let asked = hands.lock().unwrap().gets.len();
    let rest = fetch(&vault, None, 0, &|| START).await.unwrap();
    assert_eq!((rest.came, rest.incomplete), (96 - came, false));
    let gets = hands.lock().unwrap().gets.split_off(asked);
    assert_eq!(gets.len() as u64, 96 - came);
    let dir = tempfile::tempdir().unwrap();
    let (out, done) = save_into(&vault, "0101", &dir);
    done.unwrap();
    let whole = std::fs::read(out.join("attachment-1.txt")).unwrap();
    assert!(FileHash::of(&whole) == file.attachment.hash);
}

#[tokio::test]
async fn parcels_that_do_not_open_are_left_alone_until_a_person_asks_and_keep_nobody_waiting() {
    let hands: Arc<Mutex<Hands>> = Arc::default();
    let held = hands.clone();
    let liar =
        Liar::reacting(move |request| Reaction::Answer(held.lock().unwrap().answer(request)));
    let desk = Desk::new(1, &liar.contact(), START).await;
    let sender = Attacher::new(&desk);
    let mut hostile = sender.file(&bytes(95 * 4 * PARCEL_PLAIN, 0), None);
    (hostile.parcels.iter_mut()).for_each(|parcel| *parcel = ParcelBuffer::new());
    let honest = sender.file(b"x", None);
    let vault = &desk.vaults[0];
    for (id, file) in [(1, &hostile), (2, &honest)] {
        hands.lock().unwrap().keep(file);
        let (message, _) = sender.submission(id, named(&[file]), vec![liar.contact().id()]);
        let envelope = sender.seal(&desk, &message, START);
        take(vault, envelope.as_slice(), START).unwrap();
    }
    let first = fetch_all(&desk).await;
    assert_eq!((first.came, first.incomplete), (4, true));
    let asked = hands.lock().unwrap().of.split_off(0);
    assert!(
        asked[..4]
            .iter()
            .all(|of| *of == honest.attachment.namespace)
    );
    assert!((8..150).contains(&asked.len()), "{}", asked.len());
    let state = vault.state().unwrap();
    assert!(state.items[0].wrong_from(&liar.contact().id()) >= 4);
    let (again, haves) = (fetch_all(&desk).await, hands.lock().unwrap().haves);
    assert_eq!((again.wrong, again.incomplete), (0, true));
    assert!(hands.lock().unwrap().of.is_empty(), "nothing is asked for");
    let item = state.items[0].name;
    let asked = fetch(vault, Some(item), 0, &|| START).await.unwrap();
    assert!(asked.wrong >= 64, "{}", asked.wrong);
    assert_eq!(hands.lock().unwrap().haves, haves + 1);
}

#[tokio::test]
async fn claims_of_files_that_never_come_are_sampled_ever_more_rarely_and_given_up() {
    let hands: Arc<Mutex<Hands>> = Arc::default();
    let held = hands.clone();
    let liar =
        Liar::reacting(move |request| Reaction::Answer(held.lock().unwrap().answer(request)));
    let desk = Desk::new(1, &liar.contact(), START).await;
    let sender = Attacher::new(&desk);
    let file = sender.file(b"x", None).attachment;
    let claim = |at: u8| Attachment {
        namespace: Namespace::from_bytes([at; 32]),
        ..file.clone()
    };
    let claims = (0..100).map(claim).collect();
    let (message, list) = sender.submission(1, claims, vec![liar.contact().id()]);
    assert!(list.is_none());
    let envelope = sender.seal(&desk, &message, START);
    let vault = &desk.vaults[0];
    take(vault, envelope.as_slice(), START).unwrap();
    let item = desk.state(0).items[0].name;
    let (later, hour) = (
        |by: u64| Timestamp::from_seconds(START.seconds() + by),
        3_600,
    );
    for (only, by, haves) in [
        (None, 0, 64),
        (None, hour - 1, 0),
        (None, hour, 64),
        (None, 3 * hour - 1, 0),
        (None, 3 * hour, 64),
        (Some(item), 3 * hour, 100),
        (None, 3 * hour, 64),
        (None, 52 * 24 * hour, 0),
    ] {
        let asked = hands.lock().unwrap().haves;
        fetch(vault, only, 0, &|| later(by)).await.unwrap();
        assert_eq!(hands.lock().unwrap().haves - asked, haves, "{only:?} {by}");
    }
}

#[tokio::test]
async fn no_relay_is_asked_for_parcels_that_is_not_the_mechanisms_own() {
    let hands: Arc<Mutex<Hands>> = Arc::default();
    let held = hands.clone();
    let liar =
        Liar::reacting(move |request| Reaction::Answer(held.lock().unwrap().answer(request)));
    let desk = Desk::new(1, &liar.contact(), START).await;
    let sender = Attacher::new(&desk);
    let file = sender.file(b"x", None);
    hands.lock().unwrap().keep(&file);
    let foreign = RelayId::from_bytes([9; 32]);
    let of = |holders| sender.submission(1, named(&[&file]), holders).0;
    let vault = &desk.vaults[0];
    let taken = |message: &Message| {
        let envelope = sender.seal(&desk, message, START);
        take(vault, envelope.as_slice(), START).unwrap()
    };
    assert_eq!(taken(&of(vec![foreign])), Found::Submission);
    assert!(fetch_all(&desk).await.incomplete);
    assert_eq!(hands.lock().unwrap().haves, 0);
    // The same submission again names another relay too: it is dropped, and its relays are added to those known.
    assert_eq!(taken(&of(vec![liar.contact().id()])), Found::Nothing);
    let holders = desk.state(0).items[0].holders.clone().unwrap();
    assert_eq!(holders, [foreign, liar.contact().id()]);
    assert!(!fetch_all(&desk).await.incomplete);
    assert_eq!(hands.lock().unwrap().haves, 1);
}

#[tokio::test]
async fn a_watch_fetches_the_attachments_of_what_comes() {
    let hands: Arc<Mutex<Hands>> = Arc::default();
    let fetched = Arc::new(Notify::new());
    let (held, done) = (hands.clone(), fetched.clone());
    let coming: Arc<Mutex<Option<Box<[u8; ENVELOPE]>>>> = Arc::default();
    let comes = coming.clone();
    let liar = Liar::reacting(move |request| {
        let mut held = held.lock().unwrap();
        if let Request::Poll { wait_seconds, .. } = request
            && *wait_seconds > 0
        {
            held.envelopes.extend(comes.lock().unwrap().take());
            if held.gets.len() == 4 {
                done.notify_one();
            }
        }
        Reaction::Answer(held.answer(request))
    });
    let desk = Desk::new(1, &liar.contact(), START).await;
    let sender = Attacher::new(&desk);
    let file = sender.file(b"x", None);
    hands.lock().unwrap().keep(&file);
    let (message, _) = sender.submission(1, named(&[&file]), vec![liar.contact().id()]);
    *coming.lock().unwrap() = Some(sender.seal(&desk, &message, START));
    let vault = &desk.vaults[0];
    let arrived = async {
        fetched.notified().await;
        // Asked for is not on the disk yet.
        while standing(vault).missing > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = watch(vault, Attachments::Fetch, 0, &|| START) => panic!("it goes on"),
        () = arrived => {}
    }
    assert!(
        hands.lock().unwrap().envelopes.is_empty(),
        "it was acknowledged"
    );
}
