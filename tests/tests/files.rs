//! Files beside a submission, with the real programs: sent, interrupted, gone on with, taken back.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use valise_protocol::contact::{Contact, RelayContact, Way};
use valise_protocol::id::Address;
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

/// Waits for something that takes seconds, and not for ever.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed().as_secs() < 300, "it does not come");
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

/// Deletes what was sent under this phrase, to begin anew.
fn card(scene: &Scene) -> PathBuf {
    let path = scene.stage.path().join("example.card");
    let card = ["mechanism", "card", "-o", "example.card"];
    scene.stage.officer("office").args(card).run().succeeded();
    path
}

#[test]
fn a_sealed_case_is_carried_by_somebody_else_and_stored_once() {
    let scene = Scene::new();
    card(&scene);
    let film = scene.file("film", 3 * MEBIBYTE);
    // No relay runs while it is sealed.
    let seal = scene
        .stage
        .defender()
        .args(["seal", "--to", "example.card", "--form", "form.toml"])
        .args([
            "--metadata",
            "keep",
            "--attach",
            "film",
            "-o",
            "case.valise",
        ])
        .receiving("--phrase-fd")
        .stdin("A sealed case.")
        .run()
        .succeeded();
    let phrase = seal.received.clone().unwrap();
    let sealed = std::fs::read(scene.stage.path().join("case.valise")).unwrap();
    assert!(!sealed.windows(14).any(|window| window == b"A sealed case."));
    let relay = scene.stage.serve();
    let carry = || scene.stage.defender().args(["carry", "case.valise"]).run();
    let first = carry().succeeded();
    assert!(
        first.stdout.contains("All files are stored"),
        "{}",
        first.stdout
    );
    let second = carry().succeeded();
    assert!(
        second.stdout.contains("stored at the relay already"),
        "{}",
        second.stdout
    );
    let status = scene
        .stage
        .defender()
        .args(["send", "--to", "example.card", "--status", "--attach"])
        .args([film.as_os_str()])
        .args(["--metadata", "keep"])
        .secret("--phrase-fd", &phrase)
        .run()
        .succeeded();
    assert!(
        status.stdout.contains("16 of 16 parcels"),
        "{}",
        status.stdout
    );
    relay.stop();
}

#[test]
fn what_is_no_sealed_case_is_told() {
    let scene = Scene::new();
    for (bytes, told) in [
        (&b"valise"[..], "it is not a sealed case"),
        (
            b"valise1 sealed\0\0\0\0\0\x05\xa2",
            "it is damaged, or was not copied whole",
        ),
        (
            b"valise1 sealed\0\0\xff\xff\xff\xff",
            "it is damaged, or was not copied whole",
        ),
    ] {
        std::fs::write(scene.stage.path().join("x.valise"), bytes).unwrap();
        let refused = scene
            .stage
            .defender()
            .args(["carry", "x.valise"])
            .run()
            .failed();
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    let status = ["send", "--to", &scene.contact, "--status"];
    let refused = scene.stage.defender().args(status).run().failed();
    assert!(
        refused.stderr.contains("--status tells how much"),
        "{}",
        refused.stderr
    );
    let seal = ["seal", "--to", &scene.contact, "-o", "x"];
    let refused = scene.stage.defender().args(seal).run().failed();
    assert!(
        refused.stderr.contains("needs the card"),
        "{}",
        refused.stderr
    );
}

#[test]
fn an_upload_goes_on_after_the_client_and_the_relay_were_killed() {
    let scene = Scene::new();
    let film = scene.file("film", 30 * MEBIBYTE);
    let files = [film.as_path()];
    scene.stage.write("case.txt", "A case with files.");
    let phrase = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let mut relay = scene.stage.serve();
    // As slow as this, it takes a quarter of a minute alone: what is there must not travel again.
    let send = |rate: &str| {
        let send = scene
            .stage
            .defender()
            .args(["send", "--to", &scene.contact]);
        let send = send.args(["--form", "form.toml", "--again", "--limit-rate", rate]);
        let send = send.args(["--metadata", "keep", "--attach", "film", "case.txt"]);
        send.secret("--phrase-fd", phrase)
    };
    let stored = || {
        let told = scene.status(phrase, &files).stdout;
        let number = told
            .split(": ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        number
            .and_then(|number| number.parse::<u32>().ok())
            .unwrap()
    };
    let mut client = send("3M").start();
    wait_until(|| stored() >= 8);
    client.kill();
    let before = stored();
    relay.kill();
    relay = scene.stage.serve();
    assert_eq!(stored(), before, "what was acknowledged survives");
    // The relay goes away under the client, which waits until it is there again.
    let mut client = send("3M").start();
    wait_until(|| stored() >= before + 8);
    relay.kill();
    std::thread::sleep(std::time::Duration::from_millis(500));
    relay = scene.stage.serve();
    wait_until(|| !client.is_running() || stored() >= 64);
    client.kill();
    let done = send("100M").run().succeeded();
    assert!(
        done.stdout
            .contains("All files are stored at the relay: 128 parcels."),
        "{}",
        done.stdout
    );
    relay.stop();
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_named_and_taken_back_and_the_others_arrive() {
    let scene = Scene::new();
    let (film, scan) = (scene.file("film", 10 * MEBIBYTE), scene.file("scan", 10));
    scene.stage.write("case.txt", "A case with files.");
    let relay = scene.stage.serve();
    let phrase = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let place = 9 * MEBIBYTE as u64;
    let writing = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&film)
        .unwrap();
    let mut was = [0];
    writing.read_exact_at(&mut was, place).unwrap();
    let send = scene
        .stage
        .defender()
        .args(["send", "--to", &scene.contact]);
    let send = send.args(["--form", "form.toml", "--again", "--limit-rate", "4M"]);
    let send = send.args([
        "--metadata",
        "keep",
        "--attach",
        "film",
        "--attach",
        "scan",
        "case.txt",
    ]);
    let log = scene.stage.path().join("said");
    let mut client = send.secret("--phrase-fd", phrase).log(&log).start();
    assert!(client.wait_for("Stored at the relay").is_some());
    writing.write_all_at(&[was[0] ^ 1], place).unwrap();
    let (status, _) = client.end();
    assert!(!status.success());
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("changed while it was read"), "{said}");
    writing.write_all_at(&was, place).unwrap();
    let told = scene.status(phrase, &[&film, &scan]).stdout;
    assert!(
        told.contains("0 of 48 parcels") && told.contains("4 of 4 parcels"),
        "{told}"
    );
    relay.stop();
}

#[test]
fn a_relay_without_room_for_parcels_is_told_and_the_text_is_there_all_the_same() {
    let scene = Scene::new();
    let toml = scene.stage.path().join("relay/relay.toml");
    let settings = std::fs::read_to_string(&toml).unwrap();
    let settings = settings.replace("inbox_parcels = 32768", "inbox_parcels = 6");
    std::fs::write(&toml, settings).unwrap();
    let relay = scene.stage.serve();
    let film = scene.file("film", 3 * MEBIBYTE);
    let send = scene.send(&[&film]).receiving("--phrase-fd").run().failed();
    assert!(
        send.stdout.contains("Stored at the relay: submission"),
        "{}",
        send.stdout
    );
    assert!(
        send.stderr.contains("6 of 16 parcels are stored"),
        "{}",
        send.stderr
    );
    assert!(send.stderr.contains("no more room"), "{}", send.stderr);
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
        assert!(pulled.contains("1 file, 10 bytes; complete"), "{pulled}");
    }
    // The control: a relay that does not let them read gives them nothing.
    let address = others[0].split('@').next().unwrap();
    let remove = ["reader", "remove", "--dir", "relay", "--yes", address];
    scene.stage.operator().args(remove).run().succeeded();
    let text = send(Some(&phrase)).args(["--again"]).stdin("Another text.");
    text.run().succeeded();
    let pulled = elsewhere.officer("second").args(["inbox", "pull"]).run();
    let pulled = pulled.failed();
    assert!(
        pulled.stdout.contains("4 of 4 parcels still to come"),
        "{}",
        pulled.stdout
    );
}

/// The contact line that an officer's vault holds.
fn contact_of(stage: &Stage, officer: &str) -> String {
    let card = stage.officer(officer).args(["mechanism", "card"]).run();
    last_word(&card.succeeded(), "valise1")
}

#[test]
fn what_the_first_relay_holds_need_not_travel_to_the_second() {
    let scene = Scene::new();
    let elsewhere = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
    let there = elsewhere.init_relay();
    let (here, _there) = (scene.stage.serve(), elsewhere.serve());
    let add = ["mechanism", "relay", "add", &there];
    let add = scene.stage.officer("office").args(add);
    let add = add.quietly([
        "--root",
        &scene.stage.root_of("office"),
        "--yes-these-devices",
    ]);
    add.secret("--root-passphrase-fd", ROOT).run().succeeded();
    let address = scene.contact.split('@').next().unwrap();
    let allow = ["inbox", "allow", "--dir", "relay", address];
    elsewhere.operator().args(allow).run().succeeded();
    let publish = scene.stage.officer("office").args(["mechanism", "publish"]);
    publish.run().succeeded();
    // The upload by the first relay breaks off.
    let film = scene.file("film", 10 * MEBIBYTE);
    scene.stage.write("case.txt", "A case with files.");
    let phrase = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let send = |contact: &str, rate: &str| {
        let send = scene.stage.defender().args(["send", "--to", contact]);
        let send = send.args(["--form", "form.toml", "--again", "--limit-rate", rate]);
        let send = send.args(["--metadata", "keep", "--attach", "film", "case.txt"]);
        send.secret("--phrase-fd", phrase)
    };
    let mut client = send(&scene.contact, "3M").start();
    wait_until(|| parcels_at(&scene.stage) != "parcels: 0");
    client.kill();
    // It goes on by the second, which gets the rest and no more.
    let contact: Contact = scene.contact.parse().unwrap();
    let way = |relay: &str| Way {
        relay: relay.parse().unwrap(),
        ingress: None,
    };
    let ways = vec![way(&there), contact.ways()[0].clone()];
    let both = Contact::new(contact.address(), ways).unwrap().to_string();
    let sent = send(&both, "100M").run().succeeded();
    assert!(
        sent.stdout.contains("All files are stored"),
        "{}",
        sent.stdout
    );
    let status = scene
        .stage
        .defender()
        .args(["send", "--to", &both, "--status"]);
    let status = status.args(["--metadata", "keep", "--attach", "film"]);
    let told = status
        .secret("--phrase-fd", phrase)
        .run()
        .succeeded()
        .stdout;
    let counts: Vec<u32> = told
        .split(": ")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(counts.len(), 2, "{told}");
    assert!(counts[0] > 0 && counts[1] > 0, "{told}");
    assert_eq!(
        counts.iter().sum::<u32>(),
        48,
        "nothing lies at both: {told}"
    );
    // Staff get all of it, from both.
    let pull = scene.stage.officer("office").args(["inbox", "pull"]);
    let pulled = pull.run().succeeded().stdout;
    assert!(pulled.contains("1 file, 10.5 MB; complete"), "{pulled}");
    here.stop();
    drop(film);
}

#[test]
fn a_long_list_of_files_travels_as_a_file_of_its_own() {
    let scene = Scene::new();
    let relay = scene.stage.serve();
    let names: Vec<PathBuf> = (0..48)
        .map(|number| scene.file(&format!("{number}-{}", "x".repeat(240)), 10 + number))
        .collect();
    let names: Vec<&Path> = names.iter().map(PathBuf::as_path).collect();
    let send = scene.send(&names).args(["--keep-name"]);
    let sent = send.receiving("--phrase-fd").run().succeeded();
    // The list is one file more.
    assert!(
        sent.stdout.contains("stored at the relay: 196 parcels"),
        "{}",
        sent.stdout
    );
    let officer = |args: &[&str]| scene.stage.officer("office").args(args).run().succeeded();
    let pulled = officer(&["inbox", "pull"]).stdout;
    assert!(
        pulled.contains("48 files") && pulled.contains("complete"),
        "{pulled}"
    );
    let listed = officer(&["inbox", "list"]).stdout;
    let id = listed.split_whitespace().next().unwrap();
    let saved = officer(&["inbox", "save", id, "out"]).stdout;
    assert!(saved.contains("saved 48 of 48"), "{saved}");
    relay.stop();
}

#[test]
fn parcels_that_others_may_need_are_not_taken_back_unasked() {
    let scene = Scene::new();
    let relay = scene.stage.serve();
    let scan = scene.file("scan", 10);
    let sent = scene
        .send(&[&scan])
        .receiving("--phrase-fd")
        .run()
        .succeeded();
    let phrase = sent.received.clone().unwrap();
    let pull = scene
        .stage
        .officer("office")
        .args(["inbox", "pull", "--text-only"]);
    pull.run().succeeded();
    let withdraw = || {
        scene
            .send(&[&scan])
            .args(["--withdraw"])
            .secret("--phrase-fd", &phrase)
    };
    // Everybody has the text, so there is nothing to withdraw; and nobody to ask.
    let done = withdraw().run().succeeded();
    assert!(
        done.stdout.contains("is not at the relay"),
        "{}",
        done.stdout
    );
    assert!(
        done.stderr.contains("are left where they are"),
        "{}",
        done.stderr
    );
    let told = scene.status(&phrase, &[&scan]).stdout;
    assert!(told.contains("4 of 4 parcels"), "{told}");
    let done = withdraw().args(["--yes"]).run().succeeded();
    assert!(
        done.stdout.contains("4 parcels are deleted"),
        "{}",
        done.stdout
    );
    relay.stop();
}

#[test]
fn an_interrupt_ends_a_sending_to_several_mechanisms_at_once() {
    let scene = Scene::new();
    let relay = scene.stage.serve();
    scene.stage.write("case.txt", "A case.");
    // Nobody answers at the first.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let contact: Contact = scene.contact.parse().unwrap();
    let away = RelayContact::new(contact.ways()[0].relay.id(), "127.0.0.1", port).unwrap();
    let other = Address::from_bytes([7; 32]);
    let send = scene
        .stage
        .defender()
        .args(["send", "--to", &format!("{other}@{away}")]);
    let send = send.args(["--to", &scene.contact, "--form", "form.toml", "case.txt"]);
    let log = scene.stage.path().join("said");
    let phrase = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let send = send.args(["--again"]).secret("--phrase-fd", phrase);
    let running = send.log(&log).start();
    silent
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    silent.recv(&mut [0; 2_000]).unwrap();
    running.signal(rustix::process::Signal::INT);
    let (status, _) = running.end();
    let said = std::fs::read_to_string(log).unwrap();
    assert!(!status.success() && said.contains("interrupted"), "{said}");
    let pull = scene.stage.officer("office").args(["inbox", "pull"]).run();
    let pulled = pull.succeeded().stdout;
    assert!(pulled.contains("no new submissions"), "{pulled}");
    relay.stop();
}
