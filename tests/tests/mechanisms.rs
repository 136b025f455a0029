//! What a mechanism goes through in the years: a next root key, another relay. With the real programs.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use valise_tests::program::{Done, Invocation};
use valise_tests::stage::{ROOT, Stage};
use valise_tests::terminal::Dialogue;

/// The passphrase of every later root key.
const NEXT: &str = "a third one, for the next root key";

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

fn mechanism(stage: &Stage, officer: &str, args: &[&str]) -> Invocation {
    stage.officer(officer).args(["mechanism"]).args(args)
}

/// What needs the root key in this file, and a person who looks at the devices.
fn asking(stage: &Stage, officer: &str, args: &[&str], root: &str, passphrase: &str) -> Invocation {
    mechanism(stage, officer, args)
        .args(["--root", root])
        .secret("--root-passphrase-fd", passphrase)
}

/// What needs the root key in this file; the devices are known to be the right ones.
fn signed(stage: &Stage, officer: &str, args: &[&str], root: &str, passphrase: &str) -> Invocation {
    asking(stage, officer, args, root, passphrase).args(["--yes-these-devices"])
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
fn a_root_key_that_gave_way_signs_no_rival_where_the_new_card_is_withheld() {
    let stage = stage();
    let relay = stage.init_relay();
    let serving = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    stage.add_device("officer", "colleague", &contact);
    let old = stage.root_of("officer");
    renew_root(&stage, &old, ROOT, "second.key").succeeded();
    serving.stop();
    let by = |root: &str, passphrase: &str| {
        signed(&stage, "colleague", &["renew"], root, passphrase).run()
    };
    let refused = by(&old, ROOT).failed().stderr;
    assert!(refused.contains("roster 2 only; roster 3 of "), "{refused}");
    assert!(refused.contains("given way"), "{refused}");
    // What it brought is what the next key goes on from.
    let done = by("second.key", NEXT).succeeded();
    assert!(done.stderr.contains("roster 4 of "), "{}", done.stderr);
}

#[test]
fn a_next_root_key_and_other_relays_are_signed_only_after_a_person_saw_the_devices_and_agreed() {
    let (elsewhere, stage) = (stage(), stage());
    let (relay, new) = (stage.init_relay(), elsewhere.init_relay());
    let (_relay, _new) = (stage.serve(), elsewhere.serve());
    let contact = stage.init_mechanism("officer", &relay);
    elsewhere.allow(&contact);
    let root = stage.root_of("officer");
    let change = |args: &[&str], answer: &str| {
        let change = asking(&stage, "officer", args, &root, ROOT);
        let change = match args {
            ["root", ..] => change.secret("--new-root-passphrase-fd", NEXT),
            _ => change,
        };
        let mut dialogue = Dialogue::start(&stage, change);
        dialogue.see(" will say that these devices read and answer");
        dialogue.see("  1. ");
        dialogue.see(": newest prekey of ");
        dialogue.see("keeps unread mail for ");
        dialogue.asked("and no others? Sign roster ", answer);
        dialogue.end()
    };
    let add: [&str; 3] = ["relay", "add", &new];
    let remove = ["relay", "remove", "1", "--yes"];
    let renew = ["root", "renew", "--new", "second.key"];
    let listed = || {
        let list = mechanism(&stage, "officer", &["relay", "list"]).run();
        list.succeeded().stdout.matches("relay1").count()
    };
    let next = stage.path().join("second.key");
    for (args, relays) in [(&add[..], 1), (&remove[..], 2), (&renew[..], 1)] {
        let (status, said) = change(args, "no");
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("nothing was signed"), "{said}");
        assert_eq!((listed(), next.exists()), (relays, false));
        let (status, said) = change(args, "yes");
        assert_eq!(status, 0, "{said}");
    }
    assert!(next.exists() && stage.path().join("second.key.last").exists());
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

/// The id of the only submission in an officer's vault that has this in its first words.
fn id_of(stage: &Stage, officer: &str, words: &str) -> String {
    let list = stage.officer(officer).args(["inbox", "list"]).run();
    let list = list.succeeded().stdout;
    let line = list.lines().position(|line| line.contains(words)).unwrap();
    let before: Vec<&str> = list.lines().take(line + 1).collect();
    let entry = before.iter().rfind(|line| !line.starts_with(' ')).unwrap();
    entry.split_whitespace().next().unwrap().to_owned()
}

fn contact_of(done: &Done) -> String {
    valise_tests::stage::last_word(done, "valise1")
}

#[test]
fn a_mechanism_moves_to_another_relay_and_loses_nothing_on_the_way() {
    let (elsewhere, stage) = (stage(), stage());
    let (old, new) = (stage.init_relay(), elsewhere.init_relay());
    let _old = stage.serve();
    let _new = elsewhere.serve();
    let before = stage.init_mechanism("officer", &old);
    for colleague in ["colleague", "traveller"] {
        stage.add_device("officer", colleague, &before);
    }
    let root = stage.root_of("officer");
    let change = |args: &[&str]| signed(&stage, "officer", args, &root, ROOT).run();

    elsewhere.allow(&before);
    let added = change(&["relay", "add", &new, "--first"]).succeeded();
    let both = contact_of(&added);
    assert!(both.contains(&format!("@{new}@{old}")), "{both}");
    pull(&stage, "colleague");

    // Whoever has the line of before and whoever has that of now are read by every device, and answered.
    let early = stage.send(&before, "By the old one.").succeeded();
    let late = stage.send(&both, "By the new one.").succeeded();
    assert!(
        late.stderr.contains("uses the first of them"),
        "{}",
        late.stderr
    );
    for officer in ["officer", "colleague"] {
        let pulled = pull(&stage, officer);
        assert!(
            pulled.starts_with("2 new submissions"),
            "{officer}: {pulled}"
        );
    }
    for words in ["By the old one.", "By the new one."] {
        let id = id_of(&stage, "officer", words);
        let reply = ["inbox", "reply", &id, "--delay", "0"];
        let reply = stage.officer("officer").args(reply);
        reply.stdin(format!("Read: {words}")).run().succeeded();
    }
    for (contact, sent, words) in [(&before, &early, "old"), (&both, &late, "new")] {
        let checked = stage.check(contact, sent.received.as_ref().unwrap());
        let checked = checked.succeeded().stdout;
        assert!(
            checked.contains(&format!("Read: By the {words} one.")),
            "{checked}"
        );
        assert!(checked.contains("  Verified: "), "{checked}");
    }

    let removed = change(&["relay", "remove", "2", "--yes"]).succeeded();
    let after = contact_of(&removed);
    assert!(after.ends_with(&format!("@{new}")), "{after}");
    // A colleague who knew the old relay only finds the way there, and what came by the new one.
    let pulled = pull(&stage, "traveller");
    assert!(pulled.starts_with("2 new submissions"), "{pulled}");
    let listed = mechanism(&stage, "traveller", &["relay", "list"]).run();
    assert_eq!(
        listed.stdout.matches("relay1").count(),
        1,
        "{}",
        listed.stdout
    );
    let third = stage.send(&after, "After the move.").succeeded();
    assert!(!third.stderr.contains("uses the first"), "{}", third.stderr);
    assert!(pull(&stage, "traveller").starts_with("1 new submission\n"));
}

#[test]
fn one_relay_that_does_not_answer_keeps_nobody_from_the_others() {
    let (elsewhere, stage) = (stage(), stage());
    let (old, new) = (stage.init_relay(), elsewhere.init_relay());
    let gone = stage.serve();
    let _new = elsewhere.serve();
    let before = stage.init_mechanism("officer", &old);
    elsewhere.allow(&before);
    let root = stage.root_of("officer");
    let change = |args: &[&str]| signed(&stage, "officer", args, &root, ROOT).run();
    let both = contact_of(&change(&["relay", "add", &new, "--first"]).succeeded());
    gone.stop();

    let phrase = stage.send(&both, "A case.").succeeded().received.unwrap();
    let pulled = stage.officer("officer").args(["inbox", "pull"]).run();
    let pulled = pulled.failed();
    assert!(
        pulled.stdout.starts_with("1 new submission\n"),
        "{}",
        pulled.stdout
    );
    assert!(
        pulled
            .stderr
            .contains("at 127.0.0.1: could not reach the relay")
    );
    // Then something else answers at its address: nobody has to wait for that.
    std::fs::rename(stage.home("relay"), stage.home("gone")).unwrap();
    assert_ne!(stage.init_relay(), old);
    let _another = stage.serve();
    let id = id_of(&stage, "officer", "A case.");
    let reply = stage.officer("officer").args(["inbox", "reply", &id]);
    reply
        .args(["--delay", "0"])
        .stdin("Read.")
        .run()
        .succeeded();
    let published = mechanism(&stage, "officer", &["publish"]).run().succeeded();
    assert!(
        published.stdout.contains("1 of 2 relays"),
        "{}",
        published.stdout
    );

    // One that is gone for good is left behind.
    change(&["relay", "remove", "2", "--yes"]).succeeded();
    pull(&stage, "officer");
    let checked = stage.check(&both, &phrase).succeeded().stdout;
    assert!(checked.contains("  | Read."), "{checked}");
}

#[test]
fn the_only_relay_a_relay_listed_already_and_one_that_does_not_answer_change_nothing() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    stage.init_mechanism("officer", &relay);
    let root = stage.root_of("officer");
    let refused = |args: &[&str]| {
        let done = signed(&stage, "officer", args, &root, ROOT).run();
        done.failed().stderr
    };
    let only = refused(&["relay", "remove", "1", "--yes"]);
    assert!(only.contains("only relay"), "{only}");
    let again = refused(&["relay", "add", &relay]);
    assert!(again.contains("on the roster already"), "{again}");
    let nobody = valise_protocol::id::RelayId::from_bytes([8; 32]);
    let nobody = refused(&["relay", "add", &format!("{nobody},127.0.0.1:1")]);
    assert!(nobody.contains("could not reach the relay"), "{nobody}");
    let unknown = refused(&["relay", "remove", "2", "--yes"]);
    assert!(unknown.contains("there is no relay \"2\""), "{unknown}");
    let list = mechanism(&stage, "officer", &["relay", "list"]).run();
    assert!(list.succeeded().stdout.starts_with(&format!("1. {relay}")));
}
