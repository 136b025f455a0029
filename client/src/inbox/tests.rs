use tempfile::TempDir;
use valise_protocol::card::{Card, DeviceKeys, Profile, Roster, SignedStatement, first_root};
use valise_protocol::descriptor::{Descriptor, DescriptorFields};
use valise_protocol::envelope::{open, seal};
use valise_protocol::id::{Address, MailboxId, RelayId};
use valise_protocol::key::{DhPublic, DhSecret, SigningKey};
use valise_protocol::limits::{ENVELOPE, ROSTER_LIFE};
use valise_protocol::message::{
    Answer, Attribution, ConsentBasis, Content, Copied, Handling, Message, ReplyKeys, Submission,
    SubmissionId, Timing,
};
use valise_protocol::prekey::{Prekey, PrekeySecret};

use super::draft::put;
use super::take::{Found, take};
use super::*;
use crate::command::now;
use crate::home::Home;
use crate::mechanism::card;
use crate::random::system as rng;
use crate::vault::state::{OwnPrekey, State};

const TEXT: &str = "Mrs. Example was taken away.\u{1b}]0;x\u{7}";

/// A device with a vault, a colleague whose keys are at hand, and a defender.
struct Scene {
    _dir: TempDir,
    vault: Vault,
    address: Address,
    relay: RelayId,
    colleague: DeviceKeys,
    colleague_prekey: PrekeySecret,
    send: DhSecret,
    reply: PrekeySecret,
}

impl Scene {
    fn new() -> Self {
        let mut rng = rng();
        let (root, identity) = (
            SigningKey::generate(&mut rng),
            SigningKey::generate(&mut rng),
        );
        let address = Address::of_root(root.verifying_key().as_bytes());
        let colleague = DeviceKeys::generate(&mut rng);
        let colleague_prekey = PrekeySecret::generate(&mut rng);
        let mut state = State::new(address, "contact".into(), &mut rng);
        state.prekeys.push(OwnPrekey::generate(1, now(), &mut rng));
        let devices = vec![state.device.keys().public(), colleague.public()];
        let profile = Profile::named(vec![("en".into(), "Example".into())]);
        let relays = vec![descriptor(&identity)];
        let roster = Roster::new(address, 1, devices, relays, profile, now()).unwrap();
        let public = colleague_prekey.public();
        let statement = SignedStatement::sign(address, &colleague, 1, public, now());
        let card = Card::new(first_root(&root), roster.sign(&root), vec![statement]);
        let card = card.verify(address, None, now()).unwrap();
        let card = card::with_own_prekey(&state, &card);
        card::keep(&mut state, &card.verify(address, None, now()).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let home = Home::choose(Some(&dir.path().join("home"))).unwrap();
        let vault = Vault::create(&home, "a passphrase", &state, &mut rng).unwrap();
        Self {
            _dir: dir,
            vault,
            address,
            relay: RelayId::of_identity(identity.verifying_key().as_bytes()),
            colleague,
            colleague_prekey,
            send: DhSecret::generate(&mut rng),
            reply: PrekeySecret::generate(&mut rng),
        }
    }

    fn own_prekey(&self) -> Prekey {
        self.vault.state().unwrap().prekeys[0].secret().public()
    }

    fn seal(
        &self,
        readers: &[Prekey],
        writer: &DhSecret,
        message: &Message,
    ) -> Box<[u8; ENVELOPE]> {
        seal(
            readers,
            &self.address,
            writer,
            &message.encode(),
            &mut rng(),
        )
        .unwrap()
    }

    fn submission(&self, id: u8, relay: RelayId) -> Message {
        let content = Content {
            text: TEXT.into(),
            handling: handling(),
            others: Vec::new(),
            attached: None,
        };
        Message::Submission(Submission {
            id: SubmissionId::from_bytes([id; 16]),
            epoch: 1,
            reply: ReplyKeys {
                prekey: self.reply.public(),
                mailbox: MailboxId::from_bytes([8; 32]),
                relay,
            },
            content: content.encode(),
            holders: vec![],
        })
    }

    fn copy(&self, id: u8, regards: u8) -> Message {
        Message::Copy(Copied {
            id: SubmissionId::from_bytes([id; 16]),
            regards: SubmissionId::from_bytes([regards; 16]),
            written: now().hour(),
            send: self.send.public(),
            text: None,
        })
    }

    fn take(&self, writer: &DhSecret, message: &Message) -> Found {
        let envelope = self.seal(&[self.own_prekey()], writer, message);
        take(&self.vault, envelope.as_slice(), now()).unwrap()
    }

    fn states(&self) -> Vec<&'static str> {
        let state = self.vault.state().unwrap();
        Threads::of(&state).iter().map(Thread::state).collect()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.vault.home().path().join("vault"))
            .unwrap()
            .count()
            - 4
    }
}

fn handling() -> Handling {
    Handling {
        name_to_government: Answer::Yes,
        name_in_public: Answer::No,
        basis: ConsentBasis::Family,
        note: None,
        timing: Timing::Imminent,
        attribution: Attribution::None,
        language: "en".into(),
    }
}

fn descriptor(identity: &SigningKey) -> Vec<u8> {
    let fields = DescriptorFields {
        static_key: DhPublic::from_bytes([1; 32]),
        tls_pin: [2; 32],
        next_static_key: None,
        next_tls_pin: None,
        host: "relay.example".into(),
        port: 443,
        operator: String::new(),
        jurisdiction: String::new(),
        retention_days: (23, 37),
        reaches: vec![],
    };
    Descriptor::sign(fields, identity, ROSTER_LIFE, now())
        .unwrap()
        .encode()
}

#[test]
fn a_submission_is_kept_once_whether_its_envelope_or_its_text_comes_again() {
    let scene = Scene::new();
    let submission = scene.submission(1, scene.relay);
    let envelope = scene.seal(&[scene.own_prekey()], &scene.send, &submission);
    let take = || take(&scene.vault, envelope.as_slice(), now()).unwrap();
    assert_eq!(take(), Found::Submission);
    assert_eq!(take(), Found::Nothing);
    assert_eq!(scene.take(&scene.send, &submission), Found::Nothing);
    let other = DhSecret::generate(&mut rng());
    assert_eq!(
        scene.take(&other, &submission),
        Found::Submission,
        "another sender"
    );
    assert_eq!(scene.states(), ["new", "new"]);
}

#[test]
fn cover_and_what_does_not_open_leave_nothing_in_the_vault() {
    let scene = Scene::new();
    let before = scene.vault.state().unwrap();
    assert_eq!(scene.take(&scene.send, &Message::Cover), Found::Nothing);
    let others = [scene.colleague_prekey.public()];
    let envelope = scene.seal(&others, &scene.send, &scene.submission(1, scene.relay));
    let found = take(&scene.vault, envelope.as_slice(), now()).unwrap();
    assert_eq!(found, Found::Unopenable);
    let after = scene.vault.state().unwrap();
    assert_eq!((after.items.len(), scene.files()), (0, 0));
    assert_eq!(before.seen.len(), after.seen.len());
}

#[test]
fn a_reply_found_in_the_inbox_is_not_taken() {
    let scene = Scene::new();
    scene.take(&scene.send, &scene.submission(1, scene.relay));
    let state = scene.vault.state().unwrap();
    let held = card::needed(&state, now()).unwrap();
    let reply = Message::Acknowledgement(valise_protocol::message::Reply {
        id: SubmissionId::from_bytes([5; 16]),
        regards: SubmissionId::from_bytes([1; 16]),
        written: now().hour(),
        proof: valise_protocol::card::Proof::of(held.card.card()),
        text: None,
    });
    assert_eq!(
        scene.take(&scene.colleague.identity, &reply),
        Found::Unopenable
    );
}

#[test]
fn only_a_device_of_the_roster_answers_for_the_mechanism() {
    let scene = Scene::new();
    scene.take(&scene.send, &scene.submission(1, scene.relay));
    assert_eq!(scene.take(&scene.send, &scene.copy(2, 1)), Found::Stranger);
    assert_eq!(scene.states(), ["new"]);
    let identity = &scene.colleague.identity;
    assert_eq!(scene.take(identity, &scene.copy(2, 1)), Found::Answer);
    assert_eq!(scene.take(identity, &scene.copy(2, 1)), Found::Nothing);
    assert_eq!(scene.states(), ["acknowledged"]);
}

#[test]
fn what_was_deleted_does_not_come_back_and_its_files_are_gone() {
    let scene = Scene::new();
    let submission = scene.submission(1, scene.relay);
    scene.take(&scene.send, &submission);
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    put(
        &scene.vault,
        &state,
        threads.find("0101").unwrap(),
        None,
        now(),
    )
    .unwrap();
    assert_eq!(scene.files(), 4, "submission, answer and two envelopes");
    let unsent = remove(&scene.vault, threads.find("0101").unwrap()).unwrap();
    assert_eq!((unsent, scene.files()), (2, 0));
    assert_eq!(scene.take(&scene.send, &submission), Found::Nothing);
    let identity = &scene.colleague.identity;
    assert_eq!(scene.take(identity, &scene.copy(2, 1)), Found::Nothing);
    assert_eq!(scene.files(), 0);
}

#[test]
fn a_reply_proves_its_device_and_colleagues_get_their_copy() {
    let scene = Scene::new();
    scene.take(&scene.send, &scene.submission(1, scene.relay));
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    let thread = threads.find("01010101").unwrap();
    put(
        &scene.vault,
        &state,
        thread,
        Some("we are looking into it"),
        now(),
    )
    .unwrap();
    assert_eq!(scene.states(), ["replied"]);

    let state = scene.vault.state().unwrap();
    let own = state.device.keys().identity.public();
    let [first, second] = state.outbox.as_slice() else {
        panic!("one for the sender, one for colleagues")
    };
    assert!(!first.to_inbox && first.mailbox == MailboxId::from_bytes([8; 32]));
    let envelope = scene.vault.content(first.name).unwrap();
    let opened = open(&envelope, &scene.address, &[&scene.reply]).unwrap();
    assert_eq!(opened.writer, own);
    let Ok(Message::Reply(reply)) = Message::decode(&opened.message) else {
        panic!("a reply")
    };
    assert_eq!(reply.text.as_deref(), Some("we are looking into it"));
    assert!(
        reply
            .proof
            .verify(scene.address)
            .unwrap()
            .has_identity(&own)
    );

    assert!(second.to_inbox && second.mailbox == scene.address.inbox());
    let envelope = scene.vault.content(second.name).unwrap();
    let opened = open(&envelope, &scene.address, &[&scene.colleague_prekey]).unwrap();
    let Ok(Message::Copy(copy)) = Message::decode(&opened.message) else {
        panic!("a copy")
    };
    assert_eq!((copy.id, copy.send), (reply.id, scene.send.public()));
    // This device opens its own copy too, and drops it.
    assert_eq!(
        take(&scene.vault, &envelope, now()).unwrap(),
        Found::Nothing
    );
}

#[test]
fn staff_connect_to_no_relay_of_a_senders_choice() {
    let scene = Scene::new();
    scene.take(
        &scene.send,
        &scene.submission(1, RelayId::from_bytes([9; 32])),
    );
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    let thread = threads.find("0101").unwrap();
    let failure = put(&scene.vault, &state, thread, None, now()).unwrap_err();
    assert!(
        failure.what().contains("not on a relay of this mechanism"),
        "{failure}"
    );
    assert!(scene.vault.state().unwrap().outbox.is_empty());
    assert_eq!(scene.states(), ["new"]);
}

#[test]
fn what_a_list_shows_of_a_text_is_inert() {
    let scene = Scene::new();
    scene.take(&scene.send, &scene.submission(1, scene.relay));
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    let thread = threads.iter().next().unwrap();
    let lines = show::describe(&scene.vault, &threads, thread).unwrap();
    assert!(
        lines
            .iter()
            .all(|line| line.chars().all(|c| !c.is_control()))
    );
    assert!(lines[2].contains("\\u{1b}]0;x\\u{7}"), "{lines:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
}
