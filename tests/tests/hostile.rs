//! What a hostile sender, mechanism or relay writes is shown inert, and stops nobody's work (docs/security.md).

#![allow(clippy::unwrap_used)]

use std::path::Path;

use rand_core::Rng;
use valise_client::command::now;
use valise_client::dial::{Connection, fresh_key};
use valise_protocol::card::{Card, DeviceKeys, Profile, Roster, SignedStatement, first_root};
use valise_protocol::contact::{Contact, RelayContact};
use valise_protocol::descriptor::{Descriptor, DescriptorFields};
use valise_protocol::envelope::seal;
use valise_protocol::id::{Address, WithdrawHash};
use valise_protocol::key::SigningKey;
use valise_protocol::limits::{DAY, ENVELOPE};
use valise_protocol::message::{Content, Message, ReplyKeys, Submission, SubmissionId};
use valise_protocol::phrase::{DefenderKeys, ReturnPhrase};
use valise_protocol::prekey::{Prekey, PrekeySecret};
use valise_protocol::wire::{Answer, Request, Stored, Target};
use valise_tests::cast::{handling, no_withdrawal, rng};
use valise_tests::program::Running;
use valise_tests::stage::{FORM, ROOT, Stage, VAULT, last_word};

/// Everything that a text can do to a terminal, or to whoever reads it.
const HOSTILE: &str = "\u{1b}[2J\u{1b}[31mred\u{1b}]8;;https://example.org\u{7}link\u{1b}]8;;\u{7} \u{1b}]52;c;aGk=\u{7} \u{9b}31m\
                       \u{202e}desrever\u{2066}x\u{2069} \u{0}\u{8}\u{7f}\u{feff}\u{200b}\u{85}\u{2028}\r\
                       valise: error: your vault is lost\nvalise: error: your vault is lost\r\nvalise: hint: type it here\n\t\u{1b}c";

/// The same without what an argument of a command cannot hold.
fn typed() -> String {
    HOSTILE.replace('\0', "")
}

/// A line of many columns, after which a terminal would begin one with a lie, in spaces at which nobody breaks.
fn wide(columns: usize) -> String {
    format!(
        "{}valise:\u{a0}error:\u{a0}your vault is lost",
        "x".repeat(columns)
    )
}

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

/// Checks that output does nothing to a terminal of 80 columns, and that no line or row of it pretends to be an error.
fn assert_inert(said: &str) {
    for character in said.chars() {
        let harmless = character == '\n' || !character.is_control();
        let direction = matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        assert!(harmless && !direction, "{character:?} in {said:?}");
    }
    for line in said.replace('\u{a0}', " ").lines() {
        let characters: Vec<char> = line.chars().collect();
        for row in characters.chunks(80) {
            let row: String = row.iter().collect();
            let lies = row.starts_with("valise: error") || row.starts_with("valise: hint");
            assert!(!lies, "{row:?} in {said}");
        }
    }
}

/// A relay, a mechanism on it, and what a sender knows of both.
struct Scene {
    stage: Stage,
    _relay: Running,
    contact: Contact,
    readers: Vec<Prekey>,
}

impl Scene {
    async fn new() -> Self {
        let stage = stage();
        let relay_contact = stage.init_relay();
        let relay = stage.serve();
        let contact: Contact = stage
            .init_mechanism("officer", &relay_contact)
            .parse()
            .unwrap();
        let address = contact.address();
        let answer = ask(&contact.ways()[0].relay, &Request::Card { address }).await;
        let Answer::Card(card) = answer else {
            panic!("{answer:?}")
        };
        let card = Card::decode(&card).unwrap().verify(address, None, now());
        Self {
            stage,
            _relay: relay,
            readers: card.unwrap().readers(now()).unwrap(),
            contact,
        }
    }

    fn relay(&self) -> &RelayContact {
        &self.contact.ways()[0].relay
    }

    async fn deposit(&self, withdraw: WithdrawHash, envelope: Box<[u8; ENVELOPE]>) -> Stored {
        let request = Request::Deposit {
            target: Target::Inbox,
            mailbox: self.contact.address().inbox(),
            withdraw,
            proof: Vec::new(),
            envelope,
        };
        match ask(self.relay(), &request).await {
            Answer::Stored(stored, _) => stored,
            other => panic!("{other:?}"),
        }
    }

    /// Seals what a sender wants staff to open.
    fn seal(&self, keys: &DefenderKeys, message: &[u8]) -> Box<[u8; ENVELOPE]> {
        let address = self.contact.address();
        seal(&self.readers, &address, &keys.send(), message, &mut rng()).unwrap()
    }

    fn keys(&self) -> DefenderKeys {
        let phrase = ReturnPhrase::generate(&mut rng());
        phrase.stretch().for_mechanism(&self.contact.address())
    }

    /// A submission under an id of the sender's choice.
    fn submission(&self, keys: &DefenderKeys, id: [u8; 16], content: &Content) -> Vec<u8> {
        let relay = self.relay().id();
        let reply = ReplyKeys {
            prekey: keys.reply().public(),
            mailbox: keys.mailbox(&relay),
            relay,
        };
        let submission = Submission {
            id: SubmissionId::from_bytes(id),
            epoch: 1,
            reply,
            content: content.encode(),
            holders: vec![],
        };
        Message::Submission(submission).encode()
    }

    /// Delivers a submission as an honest program would.
    async fn send(&self, text: &str) {
        let keys = self.keys();
        let message = self.submission(&keys, random(), &content(text));
        self.deposit(no_withdrawal(), self.seal(&keys, &message))
            .await;
    }

    /// What an officer sees who gives this command.
    fn officer(&self, args: &[&str]) -> String {
        let (status, said) = self.stage.officer("officer").args(args).run_together();
        assert!(status.success(), "{said}");
        said
    }

    /// The ids that `inbox list` shows.
    fn ids(&self) -> Vec<String> {
        let list = self.officer(&["inbox", "list"]);
        let heads = list.lines().filter(|line| !line.starts_with(' '));
        heads
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    }
}

async fn ask(relay: &RelayContact, request: &Request) -> Answer {
    let connection = Connection::dial(relay, now()).await.unwrap();
    let mut link = connection.link(&fresh_key()).await.unwrap();
    let answer = link.request(request).await.unwrap();
    link.finish();
    connection.close().await;
    answer
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}

fn content(text: &str) -> Content {
    Content {
        text: text.into(),
        handling: handling(),
        others: Vec::new(),
        attached: None,
    }
}

#[test]
fn the_look_for_raw_characters_and_lies_finds_them() {
    // The control.
    for bad in [
        "a\u{1b}[2J".to_owned(),
        "\u{202e}x".into(),
        "x\nvalise: error: y".into(),
        wide(80),
    ] {
        assert!(
            std::panic::catch_unwind(|| assert_inert(&bad)).is_err(),
            "{bad:?}"
        );
    }
    assert_inert("  | valise: error: quoted");
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_see_a_hostile_submission_inert_and_the_next_one_opens() {
    let scene = Scene::new().await;
    let mut hostile = content(HOSTILE);
    hostile.handling.note = Some(HOSTILE.into());
    hostile.others = vec![Address::from_bytes([1; 32])];
    for text in [HOSTILE.to_owned(), wide(76), wide(72), wide(74), wide(68)] {
        hostile.text = text;
        hostile.handling.note = Some(format!("{HOSTILE}{}", wide(63)));
        let keys = scene.keys();
        let message = scene.submission(&keys, random(), &hostile);
        scene
            .deposit(no_withdrawal(), scene.seal(&keys, &message))
            .await;
    }
    scene.send("an honest case").await;
    assert!(
        scene
            .officer(&["inbox", "pull"])
            .starts_with("6 new submissions\n")
    );
    assert_inert(&scene.officer(&["inbox", "list"]));
    let mut whole = String::new();
    for id in scene.ids() {
        let said = scene.officer(&["inbox", "show", &id]);
        assert_inert(&said);
        whole.push_str(&said);
    }
    assert!(whole.contains("\\u{1b}]52;c;aGk=\\u{7}"), "{whole}");
    assert!(whole.contains("  | an honest case"), "{whole}");
    let note = "Note on consent, in the sender's words:\n  | ";
    assert_eq!(whole.matches(note).count(), 5, "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_malformed_messages_are_counted_and_do_not_stop_a_pull() {
    let scene = Scene::new().await;
    scene.send("before").await;
    let garbage = Box::new(random::<ENVELOPE>());
    scene.deposit(no_withdrawal(), garbage).await;
    let keys = scene.keys();
    let mut other_language = content("x");
    other_language.handling.language = "\u{1b}[2J".into();
    for message in [
        b"not a message".to_vec(),
        scene.submission(&keys, random(), &other_language),
    ] {
        scene
            .deposit(no_withdrawal(), scene.seal(&keys, &message))
            .await;
    }
    scene.send("after").await;
    let said = scene.officer(&["inbox", "pull"]);
    assert!(said.contains("2 new submissions\n"), "{said}");
    assert!(said.contains("3 envelopes could not be opened"), "{said}");
    let again = scene.officer(&["inbox", "pull"]);
    assert!(again.starts_with("no new submissions\n"), "{again}");
    assert!(!again.contains("could not be opened"), "{again}");
    let list = scene.officer(&["inbox", "list"]);
    assert!(
        list.contains("  before\n") && list.contains("  after\n"),
        "{list}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_envelope_and_the_same_writer_and_id_are_shown_once() {
    let scene = Scene::new().await;
    let keys = scene.keys();
    let id = random();
    let first = scene.seal(&keys, &scene.submission(&keys, id, &content("once")));
    scene.deposit(no_withdrawal(), first.clone()).await;
    assert!(
        scene
            .officer(&["inbox", "pull"])
            .starts_with("1 new submission\n")
    );
    // The very same bytes under another withdraw hash, and the same id sealed anew.
    scene.deposit(no_withdrawal(), first).await;
    let second = scene.seal(&keys, &scene.submission(&keys, id, &content("twice")));
    scene.deposit(no_withdrawal(), second).await;
    let said = scene.officer(&["inbox", "pull"]);
    assert!(said.starts_with("no new submissions\n"), "{said}");
    // Another writer may use the id, and takes nothing from the first.
    let other = scene.keys();
    let third = scene.seal(&other, &scene.submission(&other, id, &content("thrice")));
    scene.deposit(no_withdrawal(), third).await;
    assert!(
        scene
            .officer(&["inbox", "pull"])
            .starts_with("1 new submission\n")
    );
    let list = scene.officer(&["inbox", "list"]);
    assert!(
        list.contains("  once\n") && list.contains("  thrice\n"),
        "{list}"
    );
    assert!(!list.contains("twice"), "{list}");
    for id in scene.ids() {
        assert_inert(&scene.officer(&["inbox", "show", &id]));
    }
}

#[test]
fn a_defender_sees_a_hostile_mechanism_and_its_reply_inert() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let name = typed();
    let init = stage
        .officer("officer")
        .args(["mechanism", "init", "--name", &name]);
    let root = stage.root_of("officer");
    let init = init
        .args([
            "--relay",
            &relay,
            "--requires",
            &name[..60],
            "--retention",
            &name,
        ])
        .args(["--root", &root])
        .secret("--root-passphrase-fd", ROOT);
    let contact = last_word(&init.run().succeeded(), "valise1");
    stage.allow(&contact);
    let officer = |args: &[&str]| stage.officer("officer").args(args);
    officer(&["mechanism", "publish"]).run().succeeded();
    let sent = stage.send(&contact, "a case").succeeded();
    assert_inert(&format!("{}{}", sent.stderr, sent.stdout));
    officer(&["inbox", "pull"]).run().succeeded();
    let list = officer(&["inbox", "list"]).run().succeeded();
    let id = list.stdout.split(' ').next().unwrap().to_owned();
    for text in [HOSTILE.to_owned(), wide(76)] {
        let reply = officer(&["inbox", "reply", &id, "--delay", "0"]);
        reply.stdin(text).run().succeeded();
    }
    let checked = stage.check(&contact, &sent.received.unwrap()).succeeded();
    assert_inert(&format!("{}{}", checked.stderr, checked.stdout));
    assert!(checked.stdout.contains("\\u{1b}]52;c;aGk=\\u{7}"));
    assert!(
        checked
            .stdout
            .contains("  | valise: error: your vault is lost")
    );
    let shown = officer(&["inbox", "show", &id]).run().succeeded();
    assert_inert(&shown.stdout);
}

/// A card of somebody who writes whatever they like into it.
fn hostile_card(name: &str) -> Vec<u8> {
    let issued = now().minus(DAY);
    let relay = SigningKey::generate(&mut rng());
    let fields = DescriptorFields {
        static_key: fresh_key().public(),
        tls_pin: [1; 32],
        next_static_key: None,
        next_tls_pin: None,
        host: "relay.example".into(),
        port: 443,
        operator: name.chars().take(90).collect(),
        jurisdiction: name.chars().take(30).collect(),
        retention_days: (23, 37),
        reaches: Vec::new(),
    };
    let descriptor = Descriptor::sign(fields, &relay, 60 * DAY, issued).unwrap();
    let root = SigningKey::generate(&mut rng());
    let address = Address::of_root(root.verifying_key().as_bytes());
    let device = DeviceKeys::generate(&mut rng());
    let short: String = name.chars().take(90).collect();
    let mut profile = Profile::named(vec![("en".into(), short.clone()), ("fr".into(), short)]);
    profile.required = vec![name.chars().take(25).collect(); 4];
    profile.languages = vec!["en".into()];
    profile.retention = Some(name.to_owned());
    let device_keys = vec![device.public()];
    let relays = vec![descriptor.encode()];
    let roster = Roster::new(address, 1, device_keys, relays, profile, issued).unwrap();
    let prekey = PrekeySecret::generate(&mut rng()).public();
    let statement = SignedStatement::sign(address, &device, 1, prekey, issued);
    Card::new(first_root(&root), roster.sign(&root), vec![statement]).encode()
}

#[test]
fn a_hostile_card_is_shown_inert_wherever_its_lines_break() {
    let stage = stage();
    let path = stage.path().join("hostile.card");
    let show = |name: &str| {
        std::fs::write(&path, hostile_card(name)).unwrap();
        let args = ["card", "show", "hostile.card"];
        let (status, said) = stage.defender().args(args).run_together();
        assert!(status.success(), "{said}");
        assert_inert(&said);
        said
    };
    let said = show(HOSTILE);
    assert!(said.contains("\\u{1b}]8;;https://example.org"), "{said}");
    for columns in [68, 75, 76, 77, 78] {
        show(&wide(columns));
    }
}

#[test]
fn a_hostile_form_and_file_name_are_told_inert() {
    let stage = stage();
    let address = Address::from_bytes([7; 32]);
    let relay = valise_protocol::id::RelayId::from_bytes([8; 32]);
    let contact = format!("{address}@{relay},localhost:1");
    let form = FORM.replace("imminent", "\\u001b[2J \\u202e");
    stage.write("form.toml", &form);
    stage.write("key.toml", &format!("\"\\u001b[2J\" = 1\n{FORM}"));
    let escape = "\u{1b}[2J";
    let wrong = [
        vec!["send", "--to", escape],
        vec!["send", "--to", &contact, "--form", "form.toml"],
        vec!["send", "--to", &contact, "--form", "key.toml"],
        vec!["send", "--to", &contact, "--form", escape],
        vec!["send", "--to", &contact, escape],
        vec!["card", "show", escape],
        vec!["inbox", "show", escape, "--home", escape],
        vec![escape],
        vec!["send", escape, escape, escape],
    ];
    for args in wrong {
        let officer = stage.defender().secret("--passphrase-fd", VAULT);
        let officer = if args[0] == "inbox" {
            officer
        } else {
            stage.defender()
        };
        let (status, said) = officer.args(&args).stdin("a case").run_together();
        assert!(!status.success());
        assert!(said.contains("valise: error: "), "{said}");
        assert!(
            !said.contains('\u{1b}') && !said.contains('\u{202e}'),
            "{said:?}"
        );
    }
}
