//! What people see, word for word: each command of the real programs against a file (`tests/transcripts/`).

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Runtime};
use valise_protocol::card::Card;
use valise_protocol::id::Address;
use valise_protocol::limits::DAY;
use valise_protocol::link::Welcome;
use valise_protocol::wire::{Answer, Item, Request};
use valise_tests::card::card;
use valise_tests::liar::{Liar, Manners, Reaction};
use valise_tests::program::Invocation;
use valise_tests::stage::{FORM, ROOT, Stage, VAULT, last_word};
use valise_tests::transcript::{Transcript, directory};

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

/// An officer whose vault and root key are named as a person would, so that no temporary path is in what they see.
fn officer(stage: &Stage) -> Invocation {
    stage
        .defender()
        .home(Path::new("desk"))
        .secret("--passphrase-fd", VAULT)
}

fn init(stage: &Stage, relay: &str) -> Invocation {
    let args = [
        "mechanism",
        "init",
        "--name",
        "Example Mechanism",
        "--relay",
    ];
    officer(stage)
        .args(args)
        .args([relay])
        .secret("--root-passphrase-fd", ROOT)
}

/// The beginning of the only submission's id.
fn id(list: &str) -> String {
    list.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn every_help_is_as_written_down() {
    let stage = stage();
    let valise: [&[&str]; 28] = [
        &[],
        &["send"],
        &["check"],
        &["card"],
        &["card", "show"],
        &["form"],
        &["mechanism"],
        &["mechanism", "init"],
        &["mechanism", "device"],
        &["mechanism", "device", "request"],
        &["mechanism", "device", "add"],
        &["mechanism", "device", "remove"],
        &["mechanism", "device", "list"],
        &["mechanism", "relay"],
        &["mechanism", "relay", "add"],
        &["mechanism", "relay", "remove"],
        &["mechanism", "relay", "list"],
        &["mechanism", "root"],
        &["mechanism", "root", "renew"],
        &["mechanism", "card"],
        &["mechanism", "renew"],
        &["mechanism", "publish"],
        &["inbox"],
        &["inbox", "pull"],
        &["inbox", "acknowledge"],
        &["inbox", "reply"],
        &["inbox", "delete"],
        &["vault"],
    ];
    let relay: [&[&str]; 9] = [
        &[],
        &["init"],
        &["serve"],
        &["inbox"],
        &["inbox", "allow"],
        &["inbox", "list"],
        &["inbox", "remove"],
        &["check"],
        &["rotate"],
    ];
    let mut transcript = Transcript::new("help", stage.port());
    for command in valise {
        transcript.run(stage.defender().args(command).args(["--help"]));
    }
    for command in relay {
        transcript.run(stage.operator().args(command).args(["--help"]));
    }
    transcript.hold();
}

#[test]
fn the_session_of_the_readme_is_as_written_down() {
    let stage = stage();
    let port = stage.port().to_string();
    let mut transcript = Transcript::new("session", stage.port());
    transcript.remark("Passphrases and the return phrase are handed over on descriptors.");
    let args = ["init", "relay", "--host", "127.0.0.1", "--port", &port];
    let said = transcript.run(stage.operator().args(args));
    let relay = said.lines().next().unwrap().to_owned();
    let mut serving = stage.operator().args(["serve", "relay"]).start();
    let listening = serving.wait_for("listening").unwrap();
    transcript.take("valise-relay serve relay", &format!("{listening}\n\n"));

    let said = transcript.run(init(&stage, &relay));
    let contact = said
        .lines()
        .find(|line| line.starts_with("valise1"))
        .unwrap();
    let address = contact.split('@').next().unwrap();
    let allow = ["inbox", "allow", "--dir", "relay", address];
    transcript.run(stage.operator().args(allow));
    transcript.run(officer(&stage).args(["mechanism", "publish"]));
    transcript.run(officer(&stage).args(["inbox", "pull"]));

    stage.write("case.txt", "What happened, to whom, where and when.\n");
    stage.write("case.toml", FORM);
    let send = ["send", "--to", contact, "--form", "case.toml", "case.txt"];
    // The phrase goes to a pipe, and the output to another.
    let sent = stage
        .defender()
        .args(send)
        .receiving("--phrase-fd")
        .run()
        .succeeded();
    let phrase = sent.received.clone().unwrap();
    let typed = stage.defender().args(send).as_typed();
    transcript.take(&typed, &format!("{}{}\n", sent.stderr, sent.stdout));
    let again = stage.defender().args(send).args(["--again"]);
    transcript.run(again.secret("--phrase-fd", &phrase));

    transcript.run(officer(&stage).args(["inbox", "pull"]));
    let id = id(&transcript.run(officer(&stage).args(["inbox", "list"])));
    transcript.run(officer(&stage).args(["inbox", "show", &id]));
    let check = || {
        let check = stage.defender().args(["check", "--to", contact]);
        check.secret("--phrase-fd", &phrase)
    };
    transcript.run(check());
    let now = ["--delay", "0"];
    transcript.run(
        officer(&stage)
            .args(["inbox", "acknowledge", &id])
            .args(now),
    );
    transcript.run(check());
    let reply = officer(&stage).args(["inbox", "reply", &id]).args(now);
    transcript.run(reply.stdin("We will look into it.\nWhich medication does she need?\n"));
    transcript.run(officer(&stage).args(["inbox", "list"]));
    transcript.run(officer(&stage).args(["inbox", "show", &id]));
    transcript.run(check().args(["--delete"]));
    transcript.run(check());

    transcript.run(officer(&stage).args(["mechanism", "card", "-o", "example.card"]));
    transcript.run(officer(&stage).args(["mechanism", "device", "list"]));
    transcript.run(stage.defender().args(["card", "show", "example.card"]));
    transcript.run(officer(&stage).args(["inbox", "delete", &id, "--yes"]));
    transcript.run(officer(&stage).args(["vault", "backup", "desk.backup"]));
    transcript.run(stage.operator().args(["inbox", "list", "--dir", "relay"]));
    transcript.run(stage.operator().args(["status", "--dir", "relay"]));
    let remove = ["inbox", "remove", "--dir", "relay", address, "--yes"];
    transcript.run(stage.operator().args(remove));
    transcript.hold();
}

#[test]
fn the_form_is_as_written_down() {
    let stage = stage();
    let mut transcript = Transcript::new("form", stage.port());
    transcript.run(stage.defender().args(["form"]));
    transcript.hold();
}

#[test]
fn what_is_refused_before_anything_travels_is_told_as_written_down() {
    let stage = stage();
    let address = Address::from_bytes([7; 32]).to_string();
    let relay = valise_protocol::id::RelayId::from_bytes([8; 32]).to_string();
    let contact = format!("{address}@{relay},localhost:{}", stage.port());
    let mut transcript = Transcript::new("refused-here", stage.port());
    let form = stage.write("form.toml", FORM);
    let form = form.file_name().unwrap().to_str().unwrap();
    let send = |to: &str| stage.defender().args(["send", "--to", to]);
    let filled = |to: &str| send(to).args(["--form", form]);

    transcript.remark("The addressee.");
    transcript.run(send("bob"));
    transcript.run(send(&contact.replacen("valise1q", "valise1p", 1)));
    transcript.run(send(&contact.replacen("relay1p", "relay1q", 1)));
    transcript.run(send(&address));
    transcript.run(send(&format!("{address}@{relay}")));
    transcript.run(send(&contact.replace('@', " @")));

    let beside = format!("{contact}/{relay},localhost:1");
    let check = stage.defender().args(["check", "--to", &beside]);
    transcript.run(check.secret("--phrase-fd", "abandon"));

    transcript.remark("The text.");
    stage.write("empty.txt", "\n");
    stage.write("long.txt", &"x".repeat(50_001));
    transcript.run(filled(&contact).args(["empty.txt"]));
    transcript.run(filled(&contact).args(["missing.txt"]));
    transcript.run(filled(&contact).args(["long.txt"]));
    transcript.run(filled(&contact).stdin("x".repeat(60_000)));
    transcript.run(filled(&contact).stdin([0xff, 0xfe]));

    transcript.remark("The form.");
    stage.write("case.txt", "what happened\n");
    let broken = [
        ("no-timing", FORM.replace("\"imminent\"", "\"\"")),
        ("soon", FORM.replace("\"imminent\"", "\"soon\"")),
        ("misspelt", FORM.replace("timing", "tming")),
        ("not-toml", "text = <<EOF".into()),
        (
            "public",
            FORM.replace("\"yes\"", "\"no\"")
                .replace("\"ask\"", "\"yes\""),
        ),
        ("language", FORM.replace("\"en\"", "\"English, I think\"")),
        ("twice", format!("text = \"what happened\"\n{FORM}")),
    ];
    for (name, text) in &broken {
        let file = format!("{name}.toml");
        stage.write(&file, text);
        transcript.run(send(&contact).args(["--form", &file, "case.txt"]));
    }
    transcript.run(send(&contact).args(["--form", "missing.toml", "case.txt"]));

    transcript.remark("The return phrase.");
    let check = |phrase: &str| {
        let check = stage.defender().args(["check", "--to", &contact]);
        check.secret("--phrase-fd", phrase)
    };
    transcript.run(check(
        "abandon ability able about above absent absorb abstrakt absurd abuse access accident",
    ));
    transcript.run(check("abandon ability able"));
    transcript.run(check(&["abandon"; 12].join(" ")));
    transcript.run(
        stage
            .defender()
            .args(["check", "--to", &contact, "--phrase-fd", "99"]),
    );

    transcript.remark("The command line.");
    transcript.run(stage.defender().args(["sned"]));
    transcript.run(stage.defender().args(["send"]));
    transcript.run(stage.defender().args(["send", "--too", "x"]));
    transcript.run(
        stage
            .defender()
            .args(["send", "--phrase-fd", "three", "--to", "x"]),
    );
    transcript.run(stage.defender());
    transcript.run(stage.operator().args(["inbox", "allow"]));
    transcript.run(stage.operator().args(["inbox", "allow", "bob"]));
    transcript.run(stage.operator().args(["sevre"]));
    transcript.hold();
}

#[test]
fn a_card_that_cannot_be_used_is_told_as_written_down() {
    let stage = stage();
    let mut transcript = Transcript::new("cards", stage.port());
    let old = card(valise_client::command::now().minus(100 * DAY));
    std::fs::write(stage.path().join("old.card"), old.encode()).unwrap();
    let show = |card: &str| stage.defender().args(["card", "show", card]);
    transcript.run(show("old.card"));
    transcript.run(stage.defender().args(["send", "--to", "old.card"]));
    stage.write("garbage.card", "not a card");
    transcript.run(show("garbage.card"));
    stage.write("large.card", &"x".repeat(40_000));
    transcript.run(show("large.card"));
    transcript.run(show("missing.card"));
    let mut altered = std::fs::read(stage.path().join("old.card")).unwrap();
    altered[100] ^= 1;
    std::fs::write(stage.path().join("altered.card"), altered).unwrap();
    transcript.run(show("altered.card"));
    transcript.hold();
}

/// The relay's settings with one of them changed.
fn set(stage: &Stage, key: &str, value: u64) {
    let path = stage.home("relay").join("relay.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let changed: Vec<String> = settings
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some((name, _)) if name == key => format!("{key} = {value}"),
            _ => line.to_owned(),
        })
        .collect();
    assert_ne!(settings.trim(), changed.join("\n").trim(), "{key} is there");
    std::fs::write(&path, changed.join("\n")).unwrap();
}

#[test]
fn a_full_mailbox_a_full_relay_and_an_unknown_inbox_are_told_as_written_down() {
    let stage = stage();
    let relay = stage.init_relay();
    set(&stage, "inbox_envelopes", 2);
    set(&stage, "store_envelopes", 10);
    let serving = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let form = stage.write("form.toml", FORM);
    let form = form.file_name().unwrap().to_str().unwrap();
    let send = |text: &str| {
        let send = stage
            .defender()
            .args(["send", "--to", &contact, "--form", form]);
        send.stdin(text)
    };
    let mut transcript = Transcript::new("refused-there", stage.port());
    for text in ["one", "two"] {
        send(text).receiving("--phrase-fd").run().succeeded();
    }
    transcript.remark("A full mailbox.");
    let full = |transcript: &mut Transcript| {
        let said = send("three").receiving("--phrase-fd").run().failed();
        transcript.take(&send("").as_typed(), &said.stderr);
        transcript.remark("(it failed)");
    };
    full(&mut transcript);
    serving.stop();

    set(&stage, "inbox_envelopes", 100);
    let serving = stage.serve();
    for text in ["3", "4", "5", "6", "7", "8", "9", "10"] {
        send(text).receiving("--phrase-fd").run();
    }
    transcript.remark("A full relay.");
    full(&mut transcript);

    transcript.remark("An inbox that is not served.");
    let address = contact.split('@').next().unwrap();
    let remove = ["inbox", "remove", "--dir", "relay", address, "--yes"];
    stage.operator().args(remove).run().succeeded();
    full(&mut transcript);
    let pull = || {
        let officer = stage.defender().home(&stage.home("officer"));
        officer
            .args(["inbox", "pull"])
            .secret("--passphrase-fd", VAULT)
    };
    transcript.run(pull());
    serving.stop();
    transcript.hold();
}

#[test]
fn a_relay_that_is_not_reached_is_told_by_its_cause_as_written_down() {
    let stage = stage();
    let relay = stage.init_relay();
    let serving = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let phrase = stage.send(&contact, "a case").succeeded().received.unwrap();
    let check = |contact: &str| {
        let check = stage.defender().args(["check", "--to", contact]);
        check.secret("--phrase-fd", &phrase)
    };
    let mut transcript = Transcript::new("unreached", stage.port());
    transcript.remark("The name.");
    transcript.run(check(&contact.replace("127.0.0.1", "relay.invalid")));
    transcript.remark("The key: another relay answers there.");
    let other = valise_protocol::id::RelayId::from_bytes([8; 32]).to_string();
    let (address, place) = (
        contact.split('@').next().unwrap(),
        contact.split(',').next_back().unwrap(),
    );
    transcript.run(check(&format!("{address}@{other},{place}")));
    transcript.remark("The version.");
    let (_later, contact_of_later) = later_relay();
    let later = contact_of_later.rsplit(':').next().unwrap().to_owned();
    let said = check(&format!("{address}@{contact_of_later}"))
        .run()
        .failed();
    let typed = check(&format!("{address}@{contact_of_later}")).as_typed();
    transcript.take(&typed.replace(&later, "PORT"), &said.stderr);
    transcript.remark("(it failed)");
    transcript.remark("The answer to a send is lost.");
    let (_liar, contact_of_liar) = silent_relay();
    stage.write("form.toml", FORM);
    let send = || {
        let args = ["send", "--to", &contact_of_liar, "--form", "form.toml"];
        stage.defender().args(args).stdin("a case")
    };
    let said = send().receiving("--phrase-fd").run().failed();
    let liar = contact_of_liar.rsplit(':').next().unwrap();
    transcript.take(&send().as_typed().replace(liar, "PORT"), &said.stderr);
    transcript.remark("(it failed)");
    transcript.remark("The network.");
    serving.stop();
    transcript.run(check(&contact));
    transcript.hold();
}

#[test]
fn what_staff_and_operators_do_wrong_is_told_as_written_down() {
    let stage = stage();
    let relay = stage.init_relay();
    let _serving = stage.serve();
    let mut transcript = Transcript::new("mistakes", stage.port());
    transcript.remark("A vault that is not there, or there already.");
    transcript.run(officer(&stage).args(["inbox", "list"]));
    let port = stage.port().to_string();
    transcript.run(init(&stage, "relay1x,localhost:1"));
    init(&stage, &relay).run().succeeded();
    transcript.run(init(&stage, &relay));
    transcript.remark("Passphrases.");
    let with = |passphrase: &str| {
        let officer = stage.defender().home(Path::new("desk"));
        officer.secret("--passphrase-fd", passphrase)
    };
    transcript.run(with("another passphrase").args(["inbox", "list"]));
    let change = with(VAULT).args(["vault", "passphrase"]);
    transcript.run(change.secret("--new-passphrase-fd", "short"));
    let renew = || officer(&stage).args(["mechanism", "renew", "--root"]);
    let wrong = renew().args(["desk/root.key"]);
    transcript.run(wrong.secret("--root-passphrase-fd", "another passphrase"));
    transcript.run(
        renew()
            .args(["missing"])
            .secret("--root-passphrase-fd", ROOT),
    );
    transcript.run(
        renew()
            .args(["desk/card"])
            .secret("--root-passphrase-fd", ROOT),
    );
    transcript.remark("An inbox that the relay does not serve yet.");
    transcript.run(officer(&stage).args(["mechanism", "publish"]));
    transcript.run(officer(&stage).args(["inbox", "pull"]));
    transcript.remark("Submissions and devices that are not there.");
    transcript.run(officer(&stage).args(["inbox", "show", "abcd"]));
    transcript.run(officer(&stage).args(["inbox", "reply", "abcd"]).stdin("x"));
    transcript.run(officer(&stage).args([
        "mechanism",
        "device",
        "add",
        "desk/card",
        "--root",
        "desk/root.key",
    ]));
    transcript.run(officer(&stage).args(["vault", "restore", "desk/card"]));
    transcript.remark("The operator.");
    transcript.run(stage.operator().args(["init", "relay", "--port", &port]));
    transcript.run(stage.operator().args(["serve", "relay"]));
    transcript.run(stage.operator().args(["serve", "elsewhere"]));
    let nobody = Address::from_bytes([7; 32]).to_string();
    let remove = ["inbox", "remove", "--dir", "relay", &nobody];
    transcript.run(stage.operator().args(remove));
    transcript.run(
        stage
            .operator()
            .args(["rotate", "--switch", "--dir", "relay"]),
    );
    transcript.run(stage.operator().args(["rotate", "--dir", "relay"]));
    transcript.run(
        stage
            .operator()
            .args(["rotate", "--switch", "--dir", "relay"]),
    );
    transcript.hold();
}

#[test]
fn the_changes_of_a_mechanism_are_as_written_down() {
    let (elsewhere, stage) = (stage(), stage());
    let (relay, new) = (stage.init_relay(), elsewhere.init_relay());
    let (_serving, _new) = (stage.serve(), elsewhere.serve());
    let mut transcript = Transcript::new("changes", stage.port()).with_port(elsewhere.port());
    let said = init(&stage, &relay).run().succeeded();
    let contact = last_word(&said, "valise1");
    stage.allow(&contact);
    elsewhere.allow(&contact);
    let signed = |args: &[&str], root: &str| {
        let signed = officer(&stage).args(["mechanism"]).args(args);
        signed
            .args(["--root", root])
            .secret("--root-passphrase-fd", ROOT)
    };
    let publish = || officer(&stage).args(["mechanism", "publish"]);
    transcript.run(publish());

    transcript.remark("Another relay.");
    let own = "desk/root.key";
    let said = transcript.run(signed(&["relay", "add", &new, "--first"], own));
    let both = said
        .split_whitespace()
        .rfind(|word| word.starts_with("valise1"))
        .unwrap();
    transcript.run(signed(&["relay", "add", &new], own));
    transcript.run(officer(&stage).args(["mechanism", "relay", "list"]));
    transcript.run(publish());
    transcript.run(officer(&stage).args(["inbox", "pull"]));
    let phrase = ["abandon"; 12].join(" ");
    let check = |contact: &str| {
        let check = stage.defender().args(["check", "--to", contact]);
        check.secret("--phrase-fd", &phrase)
    };
    transcript.run(check(both));
    transcript.run(signed(&["relay", "remove", "3", "--yes"], own));
    transcript.run(signed(&["relay", "remove", "2", "--yes"], own));
    transcript.run(signed(&["relay", "remove", "1", "--yes"], own));

    transcript.remark("A next root key.");
    let renew = |root: &str, new: &str| {
        let renew = signed(&["root", "renew", "--new", new], root);
        renew.secret("--new-root-passphrase-fd", ROOT)
    };
    transcript.run(renew(own, own));
    transcript.run(renew(own, "second.key"));
    transcript.run(signed(&["renew"], own));
    transcript.run(signed(&["renew"], "second.key"));
    renew("second.key", "third.key").run().succeeded();
    renew("third.key", "fourth.key").run().succeeded();
    transcript.run(renew("fourth.key", "fifth.key"));
    transcript.hold();
}

#[test]
fn a_command_that_fails_leaves_no_connection_behind() {
    let stage = stage();
    let relay = stage.init_relay();
    let _serving = stage.serve();
    init(&stage, &relay).run().succeeded();
    // Its inbox is not allowed.
    officer(&stage).args(["inbox", "pull"]).run().failed();
    let status = stage.operator().args(["status", "--dir", "relay"]).run();
    let status = status.succeeded().stdout;
    assert!(status.contains("connections: 0\n"), "{status}");
}

/// Every command in every transcript with its output.
fn commands() -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let mut commands = Vec::new();
    for text in texts {
        for part in format!("\n{text}").split("\n$ ").skip(1) {
            let (command, said) = part.split_once('\n').unwrap();
            commands.push((command.to_owned(), said.to_owned()));
        }
    }
    commands
}

#[test]
fn every_failure_says_one_error_in_lower_case_without_a_full_stop() {
    let mut failures = 0;
    for (command, said) in commands() {
        if !said.contains("[exit status") && !said.contains("(it failed)") {
            assert!(!said.contains(": error: "), "{command}\n{said}");
            continue;
        }
        if said.contains("Usage: ") {
            continue;
        }
        failures += 1;
        let program = command.split(' ').next().unwrap();
        let begins = format!("{program}: error: ");
        let errors: Vec<&str> = said.split(&begins).skip(1).collect();
        assert_eq!(errors.len(), 1, "{command}\n{said}");
        let error = errors[0]
            .lines()
            .scan(true, |first, line| {
                let goes_on = *first || line.starts_with("  ");
                *first = false;
                goes_on.then_some(line)
            })
            .collect::<Vec<_>>()
            .join(" ");
        let lower = !error.starts_with(|c: char| c.is_uppercase());
        assert!(lower && !error.ends_with('.'), "{command}\n{error}");
        assert!(!error.contains("os error"), "{command}\n{error}");
    }
    assert!(failures > 40, "{failures}");
}

#[test]
fn every_failure_but_those_that_say_it_themselves_has_a_hint() {
    for (command, said) in commands() {
        if said.contains(": error: ") && !said.contains(": expected ") {
            assert!(said.contains(": hint: "), "{command}\n{said}");
        }
    }
}

#[test]
fn every_line_has_at_most_80_columns() {
    for (command, said) in commands() {
        for line in said.lines().filter(|line| !line.contains("1…")) {
            assert!(line.chars().count() <= 80, "{command}\n{line}");
        }
    }
}

/// A relay that takes submissions and never says so, and the contact of a mechanism whose card it holds.
fn silent_relay() -> (Liar, String) {
    let now = valise_client::command::now();
    let card = card(now).encode();
    let address = Card::decode(&card).unwrap().address();
    let manners = Manners {
        welcome: Welcome { effort: 0 },
        react: Arc::new(move |request| match request {
            Request::Card { .. } => Reaction::Answer(Answer::Card(card.clone())),
            Request::Deposit { .. } => Reaction::Silence,
            _ => Reaction::Answer(Answer::Item(Item {
                waiting: 0,
                cursor: 0,
                envelope: None,
            })),
        }),
    };
    let _inside = runtime().enter();
    let liar = Liar::start_at(manners, now);
    let contact = format!("{address}@{}", liar.contact());
    (liar, contact)
}

/// Where relays of this process run, while programs are waited for.
fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    });
    &RUNTIME
}

/// A relay of a later version on loopback: of what it says of itself only the version can be read.
fn later_relay() -> (quinn::Endpoint, String) {
    use rcgen::{CertificateParams, CustomExtension, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    // {0: {1: 2}, 1: 64 zeros}
    let mut descriptor = vec![0xa2, 0x00, 0x43, 0xa1, 0x01, 0x02, 0x01, 0x58, 0x40];
    descriptor.extend([0; 64]);
    let oid = [1, 3, 6, 1, 4, 1, 58_270, 1, 1];
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, descriptor)];
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = rustls::crypto::CryptoProvider {
        kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768],
        ..rustls::crypto::aws_lc_rs::default_provider()
    };
    let mut tls = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(std::sync::Arc::new(tls));
    let _inside = runtime().enter();
    let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let accepting = endpoint.clone();
    runtime().spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            drop(incoming.await);
        }
    });
    let id = valise_protocol::id::RelayId::from_bytes([9; 32]);
    let port = endpoint.local_addr().unwrap().port();
    (endpoint, format!("{id},127.0.0.1:{port}"))
}
