//! Attachments with the real programs, from the sender's file to the officer's directory.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use valise_tests::program::Running;
use valise_tests::stage::{FORM, Stage};

const MEBIBYTE: usize = 1 << 20;

/// A relay that serves, an office with a vault, and a submission with a film that waits there.
struct Scene {
    stage: Stage,
    _relay: Running,
    film: Vec<u8>,
}

impl Scene {
    fn new(length: usize) -> Self {
        let stage = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
        let relay = stage.init_relay();
        let running = stage.serve();
        let contact = stage.init_mechanism("office", &relay);
        stage.write("form.toml", FORM);
        let film: Vec<u8> = (0..length).map(|at| (at / 251 + at) as u8).collect();
        fs::write(stage.path().join("film"), &film).unwrap();
        stage
            .defender()
            .args(["send", "--to", &contact, "--form", "form.toml"])
            .args(["--attach", "film", "--metadata", "keep"])
            .receiving("--phrase-fd")
            .stdin("A case with a film.")
            .run()
            .succeeded();
        Self {
            stage,
            _relay: running,
            film,
        }
    }

    fn pull(&self) -> Running {
        self.stage.officer("office").args(["inbox", "pull"]).start()
    }

    /// How many bytes of attachments the vault takes on the disk.
    fn fetched(&self) -> u64 {
        let below = |dir: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let all = self.stage.home("office").join("vault/parcels");
        let files = below(&all).into_iter().flat_map(|one| below(&one));
        files
            .map(|file| fs::metadata(file).unwrap().blocks() * 512)
            .sum()
    }

    /// The id of the submission, as `inbox list` shows it.
    fn id(&self) -> String {
        let listed = self.stage.officer("office").args(["inbox", "list"]).run();
        assert!(
            listed.stdout.contains("attachments: 1 file"),
            "{}",
            listed.stdout
        );
        listed.stdout.split_whitespace().next().unwrap().to_owned()
    }

    fn saved(&self) -> Vec<u8> {
        let id = self.id();
        let save = self
            .stage
            .officer("office")
            .args(["inbox", "save", &id, "out"]);
        let done = save.run().succeeded();
        assert!(done.stderr.contains("no signature"), "{}", done.stderr);
        assert!(done.stderr.contains("may be hostile"), "{}", done.stderr);
        fs::read(self.stage.path().join("out/attachment-1.bin")).unwrap()
    }
}

#[test]
fn a_pull_that_was_killed_goes_on_where_it_was() {
    let scene = Scene::new(23 * MEBIBYTE);
    let mut pull = scene.pull();
    while scene.fetched() < 17 * MEBIBYTE as u64 {
        std::thread::yield_now();
    }
    pull.kill();
    let (status, said) = scene.pull().end();
    assert!(status.success(), "{said}");
    let shown = scene
        .stage
        .officer("office")
        .args(["inbox", "show", &scene.id()])
        .run();
    assert!(shown.stdout.contains("MB; complete"), "{}", shown.stdout);
    assert!(scene.saved() == scene.film);
    let delete = scene
        .stage
        .officer("office")
        .args(["inbox", "delete", &scene.id()]);
    delete.quietly(["--yes"]).run().succeeded();
    assert_eq!(scene.fetched(), 0);
}

/// The most memory that a program had at a time, in bytes, from when `begun` says so until it ended.
fn most_memory(program: Running, begun: impl Fn() -> bool) -> usize {
    let status = format!("/proc/{}/status", program.pid());
    let mut most = 0;
    while let Ok(text) = fs::read_to_string(&status) {
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        // A program that has ended and was not waited for has no memory.
        let Some(line) = line else {
            break;
        };
        if begun() {
            let number = line.trim().trim_end_matches(" kB").parse::<usize>();
            most = most.max(number.unwrap() * 1_024);
        }
        std::thread::yield_now();
    }
    let (status, said) = program.end();
    assert!(status.success(), "{said}");
    most
}

#[test]
fn an_attachment_takes_less_memory_than_its_length_to_fetch_and_to_save() {
    let scene = Scene::new(47 * MEBIBYTE);
    let most = most_memory(scene.pull(), || scene.fetched() > 0);
    assert!((1..40 * MEBIBYTE).contains(&most), "{most}");
    let id = scene.id();
    let save = scene
        .stage
        .officer("office")
        .args(["inbox", "save", &id, "out"]);
    let out = scene.stage.path().join("out");
    let most = most_memory(save.start(), || out.exists());
    assert!((1..40 * MEBIBYTE).contains(&most), "{most}");
    assert!(fs::read(out.join("attachment-1.bin")).unwrap() == scene.film);
}
