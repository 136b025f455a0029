//! What a mechanism goes through in the years: a next root key, another relay. With the real programs.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use valise_tests::program::{Done, Invocation};
use valise_tests::stage::{ROOT, Stage};

/// The passphrase of every later root key.
const NEXT: &str = "a third one, for the next root key";

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

fn mechanism(stage: &Stage, officer: &str, args: &[&str]) -> Invocation {
    stage.officer(officer).args(["mechanism"]).args(args)
}

/// What needs the root key in this file.
fn signed(stage: &Stage, officer: &str, args: &[&str], root: &str, passphrase: &str) -> Invocation {
    mechanism(stage, officer, args)
        .args(["--root", root])
        .secret("--root-passphrase-fd", passphrase)
}

fn renew_root(stage: &Stage, root: &str, passphrase: &str, new: &str) -> Done {
    let renew = ["root", "renew", "--new", new];
    signed(stage, "officer", &renew, root, passphrase)
        .secret("--new-root-passphrase-fd", NEXT)
        .run()
}

fn pull(stage: &Stage, officer: &str) -> String {
    let pull = stage.officer(officer).args(["inbox", "pull"]).run();
    pull.succeeded().stdout
}

#[test]
fn a_next_root_key_takes_over_and_the_one_before_signs_nothing_more() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    stage.add_device("officer", "colleague", &contact);
    let old = stage.root_of("officer");

    let done = renew_root(&stage, &old, ROOT, "second.key").succeeded();
    assert!(done.stdout.contains("the next root key is in second.key"));
    assert!(
        done.stderr.contains("root key 2 of the 4"),
        "{}",
        done.stderr
    );
    let refused = signed(&stage, "officer", &["renew"], &old, ROOT).run();
    let refused = refused.failed().stderr;
    assert!(
        refused.contains("has given way to a later one"),
        "{refused}"
    );
    signed(&stage, "officer", &["renew"], "second.key", NEXT)
        .run()
        .succeeded();

    // The colleague, the relay and a defender go on by the same contact.
    pull(&stage, "colleague");
    let refused = signed(&stage, "colleague", &["renew"], &old, ROOT).run();
    assert!(refused.failed().stderr.contains("given way"));
    stage.send(&contact, "Four men took her.").succeeded();
    for officer in ["officer", "colleague"] {
        let pulled = pull(&stage, officer);
        assert!(pulled.starts_with("1 new submission"), "{pulled}");
    }
}

#[test]
fn an_answer_verifies_before_and_after_the_root_key_was_renewed() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let phrase = stage
        .send(&contact, "A case.")
        .succeeded()
        .received
        .unwrap();
    pull(&stage, "officer");
    let list = stage.officer("officer").args(["inbox", "list"]).run();
    let id = list.stdout.split_whitespace().next().unwrap().to_owned();
    let reply = |text: &str| {
        let reply = stage.officer("officer").args(["inbox", "reply", &id]);
        let reply = reply.args(["--delay", "0"]).stdin(text).run();
        reply.succeeded();
    };
    reply("before");
    renew_root(&stage, &stage.root_of("officer"), ROOT, "second.key").succeeded();
    reply("after");
    let checked = stage.check(&contact, &phrase).succeeded().stdout;
    assert_eq!(checked.matches("  Verified: ").count(), 2, "{checked}");
}

#[test]
fn a_fifth_root_key_and_a_file_that_is_there_are_refused_and_nothing_changes() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    stage.init_mechanism("officer", &relay);
    let mut root = (stage.root_of("officer"), ROOT);
    let taken = renew_root(&stage, &root.0, root.1, &root.0).failed().stderr;
    assert!(taken.contains("no root key is overwritten"), "{taken}");
    for number in 2..=4 {
        let new = format!("{number}.key");
        renew_root(&stage, &root.0, root.1, &new).succeeded();
        root = (new, NEXT);
    }
    let full = renew_root(&stage, &root.0, root.1, "5.key").failed().stderr;
    assert!(full.contains("at most 4 root keys"), "{full}");
    assert!(!stage.path().join("5.key").exists());
    signed(&stage, "officer", &["renew"], &root.0, root.1)
        .run()
        .succeeded();
}
