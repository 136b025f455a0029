//! Files beside a submission, with the real programs: sent, interrupted, gone on with, taken back.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use valise_tests::program::{Done, Invocation};
use valise_tests::stage::{FORM, ROOT, Stage, last_word};

const MEBIBYTE: usize = 1 << 20;

struct Scene {
    stage: Stage,
    contact: String,
}

impl Scene {
    fn new() -> Self {
        let stage = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
        let relay = stage.init_relay();
        let running = stage.serve();
        let contact = stage.init_mechanism("office", &relay);
        drop(running);
        stage.write("form.toml", FORM);
        Self { stage, contact }
    }

    /// A file that does not compress and differs from every other.
    fn file(&self, name: &str, length: usize) -> PathBuf {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
        let bytes = (0..length).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        let path = self.stage.path().join(name);
        std::fs::write(&path, bytes.collect::<Vec<u8>>()).unwrap();
        path
    }

    fn send(&self, files: &[&Path]) -> Invocation {
        let send = self
            .stage
            .defender()
            .args(["send", "--to", &self.contact, "--form", "form.toml"])
            .stdin("A case with files.");
        let send = files.iter().fold(send, |send, file| {
            send.args(["--attach".as_ref(), file.as_os_str()])
        });
        send.args(["--metadata", "keep"])
    }

    fn status(&self, phrase: &str, files: &[&Path]) -> Done {
        self.send(files)
            .args(["--status"])
            .secret("--phrase-fd", phrase)
            .run()
            .succeeded()
    }
}

#[test]
fn files_are_stored_told_of_and_taken_back() {
    let scene = Scene::new();
    let relay = scene.stage.serve();
    let (film, scan) = (scene.file("film", 5 * MEBIBYTE), scene.file("scan", 10));
    let files = [film.as_path(), &scan];
    let sent = scene
        .send(&files)
        .receiving("--phrase-fd")
        .run()
        .succeeded();
    let phrase = sent.received.clone().unwrap();
    assert!(
        sent.stdout
            .contains("All files are stored at the relay: 28 parcels."),
        "{}",
        sent.stdout
    );
    let told = scene.status(&phrase, &files);
    assert!(told.stdout.contains("24 of 24 parcels"), "{}", told.stdout);
    assert!(told.stdout.contains("4 of 4 parcels"), "{}", told.stdout);
    let again = scene
        .send(&files)
        .args(["--again"])
        .secret("--phrase-fd", &phrase)
        .run()
        .succeeded();
    assert!(
        again.stdout.contains("All files are stored"),
        "{}",
        again.stdout
    );
    let back = scene
        .send(&files)
        .args(["--withdraw"])
        .secret("--phrase-fd", &phrase)
        .run()
        .succeeded();
    assert!(
        back.stdout.contains("is deleted at the relay"),
        "{}",
        back.stdout
    );
    assert!(
        back.stdout.contains("28 parcels are deleted"),
        "{}",
        back.stdout
    );
    let told = scene.status(&phrase, &files);
    assert!(told.stdout.contains("0 of 24 parcels"), "{}", told.stdout);
    relay.stop();
}

/// Lets a mechanism name a relay for reading.
fn read_at(stage: &Stage, officer: &str, relay: &str) -> Done {
    stage
        .officer(officer)
        .args(["mechanism", "relay", "add", relay, "--reading"])
        .quietly(["--root", &stage.root_of(officer), "--yes-these-devices"])
        .secret("--root-passphrase-fd", ROOT)
        .run()
        .succeeded()
}

/// What a relay says of the parcels that it holds.
fn parcels_at(stage: &Stage) -> String {
    let status = stage.operator().args(["status", "--dir", "relay"]).run();
    let told = status.succeeded().stdout;
    let line = told.lines().find(|line| line.starts_with("parcels: "));
    line.expect("there is such a line").to_owned()
}

#[test]
fn one_upload_serves_mechanisms_whose_inboxes_lie_on_different_relays() {
    let scene = Scene::new();
    let elsewhere = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
    let here = scene.contact.split_once('@').unwrap().1.to_owned();
    let there = elsewhere.init_relay();
    let _relays = (scene.stage.serve(), elsewhere.serve());
    let scan = scene.file("scan", 10);
    let others = ["second", "third"].map(|name| elsewhere.init_mechanism(name, &there));
    let send = |phrase: Option<&str>| {
        let send = scene.send(&[&scan]);
        let send = others.iter().fold(send, |send, to| send.args(["--to", to]));
        match phrase {
            Some(phrase) => send.secret("--phrase-fd", phrase),
            None => send.receiving("--phrase-fd"),
        }
    };
    // Where nobody names a relay for reading, the files go to both.
    let sent = send(None).run().succeeded();
    let phrase = sent.received.clone().unwrap();
    assert_eq!(
        sent.stdout.matches("4 parcels").count(),
        2,
        "{}",
        sent.stdout
    );
    assert_eq!(parcels_at(&elsewhere), "parcels: fewer than 10");
    let back = send(Some(&phrase)).args(["--withdraw"]).run().succeeded();
    assert_eq!(back.stdout.matches("4 parcels are deleted").count(), 2);
    assert_eq!(parcels_at(&scene.stage), "parcels: 0");

    for name in ["second", "third"] {
        // The relay has not been asked to let it read: that is told, and what to do.
        let added = read_at(&elsewhere, name, &here);
        assert!(added.stdout.contains("for reading"), "{}", added.stdout);
        assert!(
            added.stderr.contains("valise-relay reader allow"),
            "{}",
            added.stderr
        );
        let publish = || elsewhere.officer(name).args(["mechanism", "publish"]).run();
        let published = publish().succeeded().stdout;
        assert!(published.contains("1 of 2 relays"), "{published}");
        let listed = elsewhere.officer(name).args(["mechanism", "relay", "list"]);
        let listed = listed.run().succeeded().stdout;
        assert!(listed.contains("for reading files only"), "{listed}");
        let contact = contact_of(&elsewhere, name);
        assert!(
            others.contains(&contact),
            "a relay for reading is no way there"
        );
        let address = contact.split('@').next().unwrap();
        let allow = ["reader", "allow", "--dir", "relay", address];
        scene.stage.operator().args(allow).run().succeeded();
        let published = publish().succeeded().stdout;
        assert!(published.contains("2 of 2 relays"), "{published}");
    }
    let sent = send(None).run().succeeded();
    let phrase = sent.received.clone().unwrap();
    assert_eq!(
        sent.stdout.matches("4 parcels").count(),
        1,
        "{}",
        sent.stdout
    );
    assert_eq!(parcels_at(&scene.stage), "parcels: fewer than 10");
    assert_eq!(parcels_at(&elsewhere), "parcels: 0");
    // The submissions lie each at its own relay, and who goes on with it finds the same place.
    let told = send(Some(&phrase)).args(["--status"]).run().succeeded();
    assert_eq!(
        told.stdout.matches("4 of 4 parcels").count(),
        1,
        "{}",
        told.stdout
    );
    for name in ["second", "third"] {
        let pulled = elsewhere.officer(name).args(["inbox", "pull"]).run();
        let pulled = pulled.succeeded().stdout;
        assert!(pulled.contains("new submission"), "{pulled}");
    }
}

/// The contact line that an officer's vault holds.
fn contact_of(stage: &Stage, officer: &str) -> String {
    let card = stage.officer(officer).args(["mechanism", "card"]).run();
    last_word(&card.succeeded(), "valise1")
}
