use tempfile::TempDir;
use valise_protocol::card::{
    Card, DeviceKeys, Profile, Proof, Roster, SignedStatement, first_root,
};
use valise_protocol::descriptor::{Descriptor, DescriptorFields};
use valise_protocol::envelope::{open, seal};
use valise_protocol::id::{Address, MailboxId, Namespace, RelayId};
use valise_protocol::key::{DhPublic, DhSecret, SigningKey};
use valise_protocol::limits::{DAY, ENVELOPE, PARCEL, ROSTER_LIFE};
use valise_protocol::message::{
    Answer, Attached, Attachment, Attribution, ConsentBasis, Content, Copied, Handling, Message,
    Metadata, ReplyKeys, Submission, SubmissionId, Timing,
};
use valise_protocol::parcel::{FileHash, FileKey, ParcelBuffer, ParcelPlace};
use valise_protocol::prekey::{Prekey, PrekeySecret};

use super::draft::put;
use super::files::Files;
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
    root: SigningKey,
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
            root,
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

    /// The same with an attachment of these bytes.
    fn attached(&self, id: u8, bytes: &[u8], name: &str) -> Message {
        let Message::Submission(mut submission) = self.submission(id, self.relay) else {
            panic!("a submission")
        };
        let mut content = submission.content().unwrap();
        content.attached = Some(Attached::Here(vec![attachment(bytes, name)]));
        submission.content = content.encode();
        submission.holders = vec![self.relay];
        Message::Submission(submission)
    }

    fn copy(&self, id: u8, regards: u8) -> Message {
        Message::Copy(Copied {
            id: SubmissionId::from_bytes([id; 16]),
            regards: SubmissionId::from_bytes([regards; 16]),
            written: now().hour(),
            send: self.send.public(),
            text: None,
            proof: None,
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

fn attachment(bytes: &[u8], name: &str) -> Attachment {
    Attachment {
        key: FileKey::from_bytes(&[1; 32]),
        namespace: Namespace::from_bytes([2; 32]),
        length: bytes.len() as u64,
        hash: FileHash::of(bytes),
        name: Some(name.to_owned()),
        media_type: "image/jpeg".to_owned(),
        metadata: Metadata::Kept,
    }
}

/// The attachment's parcels, as if they had been fetched.
fn put_parcels(vault: &Vault, bytes: &[u8]) {
    let item = vault.state().unwrap().items[0].name;
    assert!(vault.make_parcels(item).unwrap());
    let file = vault.parcels(item).make(1).unwrap();
    for index in 0..4 {
        let mut parcel = ParcelBuffer::new();
        if index == 0 {
            parcel.plain_mut().next().unwrap()[..bytes.len()].copy_from_slice(bytes);
        }
        let place = ParcelPlace::new(index, 4).unwrap();
        attachment(bytes, "x").key.cipher().seal(place, &mut parcel);
        file.mark(file.write(index, &parcel).unwrap()).unwrap();
    }
}

/// For answers to which no risk belongs.
fn nobody_asks(risk: &str) -> Outcome<bool> {
    panic!("{risk}")
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
fn every_envelope_gives_the_disk_the_same_work() {
    let scene = Scene::new();
    let submission = scene.submission(1, scene.relay);
    let steps = |writer: &DhSecret, message: &Message, expected: Found| {
        scene.vault.steps(|| {
            assert_eq!(scene.take(writer, message), expected);
        })
    };
    let kept = steps(&scene.send, &submission, Found::Submission);
    assert!(kept > 4, "{kept} steps");
    let (sender, colleague) = (&scene.send, &scene.colleague.identity);
    for (writer, message, found) in [
        (sender, submission, Found::Nothing),
        (sender, Message::Cover, Found::Nothing),
        (sender, scene.copy(2, 1), Found::Stranger),
        (colleague, scene.copy(2, 1), Found::Answer),
        (colleague, scene.copy(2, 1), Found::Nothing),
    ] {
        assert_eq!(steps(writer, &message, found), kept, "{message:?}");
    }
    let unopenable = scene.vault.steps(|| {
        take(&scene.vault, &[0; ENVELOPE], now()).unwrap();
    });
    assert_eq!(unopenable, kept);
    assert_eq!(scene.files(), 2, "only what was kept is there");
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

/// The proof of a roster of this number that lists this device and another colleague, signed by that root key.
fn proof(scene: &Scene, epoch: u64, colleague: &DeviceKeys, root: &SigningKey) -> Proof {
    let held = card::needed(&scene.vault.state().unwrap(), now()).unwrap();
    let own = scene.vault.state().unwrap().device.keys().public();
    let old = held.card.roster();
    let relays = old.relays().map(<[u8]>::to_vec).collect();
    let devices = vec![own, colleague.public()];
    let profile = old.profile().clone();
    let roster = Roster::new(scene.address, epoch, devices, relays, profile, now()).unwrap();
    let roots = held.card.card().roots().to_vec();
    Proof::of(&Card::new(roots, roster.sign(root), Vec::new()))
}

#[test]
fn a_colleagues_copy_brings_the_newer_roster_that_a_relay_withholds() {
    let scene = Scene::new();
    scene.take(&scene.send, &scene.submission(1, scene.relay));
    let newcomer = DeviceKeys::generate(&mut rng());
    let with = |id: u8, epoch: u64, root: &SigningKey| match scene.copy(id, 1) {
        Message::Copy(mut copy) => {
            copy.proof = Some(proof(&scene, epoch, &newcomer, root));
            scene.take(&newcomer.identity, &Message::Copy(copy))
        }
        _ => panic!("a copy"),
    };
    let known = || {
        let state = scene.vault.state().unwrap();
        card::needed(&state, now()).unwrap().card.epoch()
    };
    let another = SigningKey::generate(&mut rng());
    assert_eq!(with(2, 2, &another), Found::Stranger, "not by our root key");
    assert_eq!(with(3, 1, &scene.root), Found::Stranger, "not newer");
    assert_eq!(known(), 1);
    assert_eq!(with(4, 2, &scene.root), Found::Answer);
    assert_eq!(known(), 2);
    let removed = &scene.colleague.identity;
    assert_eq!(scene.take(removed, &scene.copy(5, 1)), Found::Stranger);
}

#[test]
fn what_was_deleted_does_not_come_back_and_its_files_are_gone() {
    let scene = Scene::new();
    let submission = scene.submission(1, scene.relay);
    scene.take(&scene.send, &submission);
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    let thread = threads.find("0101").unwrap();
    put(&scene.vault, &state, thread, None, nobody_asks, now()).unwrap();
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
    let text = Some("we are looking into it");
    put(&scene.vault, &state, thread, text, nobody_asks, now()).unwrap();
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
    let roster = copy
        .proof
        .expect("it carries the roster")
        .verify(scene.address);
    assert!(roster.unwrap().has_identity(&own));
    // This device opens its own copy too, and drops it.
    assert_eq!(
        take(&scene.vault, &envelope, now()).unwrap(),
        Found::Nothing
    );
}

/// Answers the only submission; gives the risk that was told and how many envelopes wait to go to colleagues.
fn answered(scene: &Scene, accepts: bool, now: Timestamp) -> (Option<String>, usize) {
    scene.take(&scene.send, &scene.submission(1, scene.relay));
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    let thread = threads.find("0101").unwrap();
    let mut told = None;
    let accept = |risk: &str| {
        told = Some(risk.to_owned());
        Ok(accepts)
    };
    put(&scene.vault, &state, thread, Some("a secret"), accept, now).unwrap();
    let outbox = scene.vault.state().unwrap().outbox;
    assert!(!outbox[0].to_inbox, "the sender is answered in any case");
    (told, outbox.len() - 1)
}

#[test]
fn colleagues_get_a_copy_by_stale_prekeys_only_when_a_person_accepts_the_risk() {
    let later = now().plus(15 * DAY);
    for accepts in [false, true] {
        let (told, copies) = answered(&Scene::new(), accepts, later);
        let told = told.expect("the person is asked");
        assert!(
            told.contains("only 0 of the mechanism's 2 devices"),
            "{told}"
        );
        assert!(told.contains("such a device could read"), "{told}");
        assert_eq!(copies, usize::from(accepts));
    }
    let (told, copies) = answered(&Scene::new(), false, now());
    assert_eq!(
        (told, copies),
        (None, 1),
        "fresh colleagues need no question"
    );
}

#[test]
fn colleagues_get_no_copy_by_a_roster_that_ran_out() {
    let (told, copies) = answered(&Scene::new(), true, now().plus(ROSTER_LIFE));
    assert_eq!((told, copies), (None, 0));
}

/// A colleague knows every id, and can send a submission under one as anybody can.
#[test]
fn a_twin_of_a_submission_does_not_take_its_unsent_answer_along() {
    let scene = Scene::new();
    answered(&scene, false, now());
    let twin = DhSecret::generate(&mut rng());
    scene.take(&twin, &scene.submission(1, scene.relay));
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    let of = |sender: DhPublic| threads.iter().find(|thread| thread.sender == sender);
    let unsent = remove(&scene.vault, of(twin.public()).unwrap()).unwrap();
    assert_eq!(unsent, 0);
    assert_eq!(
        scene.vault.state().unwrap().outbox.len(),
        state.outbox.len()
    );
    let unsent = remove(&scene.vault, of(scene.send.public()).unwrap()).unwrap();
    assert_eq!(unsent, 2);
    assert!(scene.vault.state().unwrap().outbox.is_empty());
}

#[test]
fn attachments_go_with_their_submission() {
    let scene = Scene::new();
    scene.take(&scene.send, &scene.attached(1, b"abc", "x"));
    put_parcels(&scene.vault, b"abc");
    let parcels = scene.vault.home().path().join("vault/parcels");
    assert_eq!(std::fs::read_dir(&parcels).unwrap().count(), 1);
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    remove(&scene.vault, threads.find("0101").unwrap()).unwrap();
    assert_eq!(std::fs::read_dir(&parcels).unwrap().count(), 0);
}

#[test]
fn a_parcel_that_the_disk_damaged_is_told_and_fetched_again() {
    let scene = Scene::new();
    scene.take(&scene.send, &scene.attached(1, b"abc", "x"));
    put_parcels(&scene.vault, b"abc");
    let item = scene.vault.state().unwrap().items[0].name;
    let standing = || Files::standing_of(&scene.vault, item).unwrap().unwrap();
    assert_eq!(standing().missing, 0);
    let all = scene.vault.home().path().join("vault/parcels");
    let directory = std::fs::read_dir(all).unwrap().next().unwrap().unwrap();
    let path = directory.path().join("1");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2 * PARCEL + 999] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let failure = save::save(&scene.vault, "0101", &out, now()).unwrap_err();
    assert!(failure.what().contains("1 of 1"), "{failure}");
    let note = std::fs::read_to_string(out.join("custody.toml")).unwrap();
    assert!(note.contains("1 of its parcels were damaged"), "{note}");
    assert_eq!(standing().missing, 1);
    put_parcels(&scene.vault, b"abc");
    save::save(&scene.vault, "0101", &dir.path().join("again"), now()).unwrap();
}

#[test]
fn what_is_shown_of_attachments_is_inert_and_no_line_of_it_passes_for_ours() {
    let scene = Scene::new();
    let name = format!("{}\u{202e}gpj\nvalise: error: x\u{1b}]0;x", "n".repeat(150));
    scene.take(&scene.send, &scene.attached(1, b"abc", &name));
    let item = scene.vault.state().unwrap().items[0].name;
    let lines = show::attachments(&scene.vault, item);
    assert_eq!(
        lines[..2],
        [
            "attachments: 1 file, 3 bytes; 4 of 4 parcels still to come",
            "  1: image/jpeg, 3 bytes, SHA-256 ba7816bf…, metadata found and kept",
        ]
    );
    for row in lines[2].lines() {
        assert!(row.starts_with("  | ") && row.chars().all(|c| !c.is_control()));
    }
    assert!(!lines[2].contains('\u{202e}'));
    let state = scene.vault.state().unwrap();
    let threads = Threads::of(&state);
    let thread = threads.iter().next().unwrap();
    let listed = show::describe(&scene.vault, &threads, thread).unwrap();
    assert!(listed.last().unwrap().contains("attachments: 1 file"));
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
    let failure = put(&scene.vault, &state, thread, None, nobody_asks, now()).unwrap_err();
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
