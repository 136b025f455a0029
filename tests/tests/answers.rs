//! What `valise check` says of answers, by a relay that shows whatever card and mail it likes, and what it deletes.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use tokio::runtime::{Builder, Runtime};
use valise_client::command::now;
use valise_protocol::card::{
    Card, DeviceKeys, Profile, Proof, Roster, SignedStatement, first_root,
};
use valise_protocol::envelope::seal;
use valise_protocol::id::{Address, EnvelopeDigest, Grant};
use valise_protocol::key::{DhSecret, SigningKey};
use valise_protocol::limits::{DAY, ENVELOPE};
use valise_protocol::message::{Message, Reply, SubmissionId};
use valise_protocol::phrase::{DefenderKeys, ReturnPhrase};
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Item, Refusal, Request, Stored};
use valise_tests::cast::rng;
use valise_tests::liar::{Liar, Manners, Reaction};
use valise_tests::program::Invocation;
use valise_tests::stage::Stage;

/// Ages of the statements that make a card fresh and stale, in days.
const FRESH: u64 = 1;
const STALE: u64 = 20;

/// What the relay holds.
#[derive(Default)]
struct Held {
    card: Vec<u8>,
    mail: Vec<Box<[u8; ENVELOPE]>>,
    removed: Vec<EnvelopeDigest>,
}

/// A mechanism with two devices, a third that was removed, a defender, and their lying relay.
struct Scene {
    root: SigningKey,
    devices: [DeviceKeys; 3],
    phrase: ReturnPhrase,
    keys: DefenderKeys,
    held: Arc<Mutex<Held>>,
    liar: Liar,
    descriptor: Vec<u8>,
    stage: Stage,
}

impl Scene {
    fn new() -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let relay = Arc::clone(&held);
        let manners = Manners {
            welcome: valise_protocol::link::Welcome { effort: 0 },
            react: Arc::new(move |request| Reaction::Answer(answer(&relay, request))),
        };
        let _inside = runtime().enter();
        let liar = Liar::start_at(manners, now());
        let descriptor = runtime().block_on(liar.descriptor(now()));
        let root = SigningKey::generate(&mut rng());
        let phrase = ReturnPhrase::generate(&mut rng());
        let address = Address::of_root(root.verifying_key().as_bytes());
        Self {
            keys: phrase.stretch().for_mechanism(&address),
            devices: [(); 3].map(|()| DeviceKeys::generate(&mut rng())),
            root,
            phrase,
            held,
            liar,
            descriptor,
            stage: Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour"))),
        }
    }

    fn address(&self) -> Address {
        Address::of_root(self.root.verifying_key().as_bytes())
    }

    fn contact(&self) -> String {
        format!("{}@{}", self.address(), self.liar.contact())
    }

    /// The card of an epoch with some of the devices, whose statements are so many days old.
    fn card(&self, epoch: u64, devices: &[usize], age: u64) -> Card {
        let issued = now().minus(30 * DAY);
        let devices: Vec<_> = devices.iter().map(|at| &self.devices[*at]).collect();
        let listed = devices.iter().map(|keys| keys.public()).collect();
        let profile = Profile::named(vec![("en".into(), "Example".into())]);
        let relays = vec![self.descriptor.clone()];
        let roster = Roster::new(self.address(), epoch, listed, relays, profile, issued);
        let at: Timestamp = now().minus(age * DAY);
        let statements = devices.iter().map(|keys| {
            let prekey = PrekeySecret::generate(&mut rng()).public();
            SignedStatement::sign(self.address(), keys, epoch, prekey, at)
        });
        let roster = roster.unwrap().sign(&self.root);
        Card::new(first_root(&self.root), roster, statements.collect())
    }

    fn shows(&self, card: &Card) {
        self.held.lock().unwrap().card = card.encode();
    }

    /// A reply by a device, with the proof of a card, waits in the mailbox.
    fn reply(&self, device: usize, proof: &Card) {
        let reply = Message::Reply(Reply {
            id: SubmissionId::from_bytes([1; 16]),
            regards: SubmissionId::from_bytes([2; 16]),
            written: now().hour(),
            proof: Proof::of(proof),
            text: Some("we have read it".into()),
        });
        self.mail(&self.devices[device].identity, &reply.encode());
    }

    fn mail(&self, writer: &DhSecret, message: &[u8]) {
        let reader = [self.keys.reply().public()];
        let envelope = seal(&reader, &self.address(), writer, message, &mut rng());
        self.held.lock().unwrap().mail.push(envelope.unwrap());
    }

    fn check(&self) -> Invocation {
        self.check_at(&self.contact())
    }

    fn check_at(&self, contact: &str) -> Invocation {
        let check = self.stage.defender().args(["check", "--to", contact]);
        check.secret("--phrase-fd", &self.phrase.expose_words().join(" "))
    }

    /// Everything that a check prints, without line breaks.
    fn said(&self) -> String {
        let (status, said) = self.check().run_together();
        assert!(status.success(), "{said}");
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn removed(&self) -> usize {
        self.held.lock().unwrap().removed.len()
    }
}

fn answer(held: &Mutex<Held>, request: &Request) -> Answer {
    let mut held = held.lock().unwrap();
    match request {
        Request::Card { .. } => Answer::Card(held.card.clone()),
        Request::Deposit { .. } => Answer::Stored(Stored::New, Grant::from_bytes([7; 16])),
        Request::Publish { .. } => Answer::Published,
        Request::Poll {
            cursor, removals, ..
        } => {
            held.removed.extend(removals);
            let at = usize::try_from(*cursor).unwrap_or(usize::MAX);
            let envelope = held.mail.get(at).cloned();
            Answer::Item(Item {
                waiting: u32::try_from(held.mail.len().saturating_sub(at.saturating_add(1)))
                    .unwrap(),
                cursor: cursor.saturating_add(u64::from(envelope.is_some())),
                envelope,
            })
        }
        _ => Answer::Refused(Refusal::Unavailable),
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    });
    &RUNTIME
}

#[test]
fn a_reply_is_verified_by_a_current_roster_that_most_devices_confirm() {
    let scene = Scene::new();
    let card = scene.card(2, &[0, 1], FRESH);
    scene.shows(&card);
    scene.reply(0, &card);
    assert!(
        scene
            .said()
            .contains(" Verified: from a device on its current roster.")
    );
}

#[test]
fn a_reply_of_a_removed_device_is_not_verified_by_an_old_roster_that_nobody_confirms_any_more() {
    let scene = Scene::new();
    let old = scene.card(1, &[0, 2], STALE);
    scene.shows(&old);
    scene.reply(2, &old);
    let said = scene.said();
    assert!(
        said.contains("NOT verified: from a device on the roster that the relay shows"),
        "{said}"
    );
    assert!(!said.contains(" Verified:"), "{said}");
}

#[test]
fn a_reply_of_a_removed_device_says_so() {
    let scene = Scene::new();
    scene.shows(&scene.card(2, &[0, 1], FRESH));
    scene.reply(2, &scene.card(1, &[0, 2], STALE));
    let said = scene.said();
    assert!(
        said.contains("NOT verified: from a device since removed"),
        "{said}"
    );
}

#[test]
fn a_reply_with_a_newer_roster_than_the_relay_shows_gives_the_relay_away() {
    let scene = Scene::new();
    scene.shows(&scene.card(1, &[0, 2], FRESH));
    scene.reply(1, &scene.card(2, &[0, 1], FRESH));
    let said = scene.said();
    assert!(
        said.contains("NOT verified: it names a newer roster than the relay shows"),
        "{said}"
    );
}

#[test]
fn what_could_not_be_shown_is_not_deleted() {
    let scene = Scene::new();
    let card = scene.card(2, &[0, 1], FRESH);
    scene.shows(&card);
    scene.reply(0, &card);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (status, said) = scene.check().args(["--delete"]).run_into(full);
    assert!(
        !status.success() && said.contains("nothing was deleted"),
        "{said}"
    );
    assert_eq!(scene.removed(), 0);
}

#[test]
fn only_what_was_shown_and_what_nobody_can_ever_open_is_deleted() {
    let scene = Scene::new();
    let card = scene.card(2, &[0, 1], FRESH);
    scene.shows(&card);
    scene.reply(0, &card);
    // Of a kind that a later version might know, and of a version that it might.
    scene.mail(&scene.devices[0].identity, &[0xa1, 0x00, 0x18, 0x63]);
    let mut later = Box::new([7; ENVELOPE]);
    later[..2].copy_from_slice(&[0, 9]);
    let mut junk = Box::new([7; ENVELOPE]);
    junk[..16].copy_from_slice(&[0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    scene.held.lock().unwrap().mail.extend([later, junk]);
    let done = scene.check().args(["--delete"]).run();
    assert!(done.succeeded().stdout.contains("Deleted from the relay."));
    assert_eq!(scene.removed(), 2);
}

#[test]
fn a_relay_that_shows_one_item_again_and_again_is_not_followed() {
    let scene = Scene::new();
    let card = scene.card(2, &[0, 1], FRESH);
    scene.shows(&card);
    scene.reply(0, &card);
    let held = Arc::clone(&scene.held);
    let manners = Manners {
        welcome: valise_protocol::link::Welcome { effort: 0 },
        react: Arc::new(move |request| {
            Reaction::Answer(match answer(&held, request) {
                Answer::Item(_) => Answer::Item(Item {
                    waiting: 1,
                    cursor: 1,
                    envelope: held.lock().unwrap().mail.first().cloned(),
                }),
                other => other,
            })
        }),
    };
    let _inside = runtime().enter();
    let liar = Liar::start_at(manners, now());
    let scene = Scene { liar, ..scene };
    let (status, said) = scene.check().run_together();
    assert!(!status.success(), "{said}");
    assert!(said.contains("again and again"), "{said}");
}

#[test]
fn a_way_in_that_is_not_taken_is_told_before_anything_travels() {
    let scene = Scene::new();
    let card = scene.card(2, &[0, 1], FRESH);
    scene.shows(&card);
    let contact = format!("{}/{}", scene.contact(), scene.liar.contact());
    let check = scene.check_at(&contact);
    let (status, said) = check.run_together();
    assert!(status.success(), "{said}");
    let told = said.find("names a way through").unwrap();
    assert!(told < said.find("No answer").unwrap(), "{said}");
}
