//! Files beside a submission, with the real programs: sent, interrupted, gone on with, taken back.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use valise_tests::program::{Done, Invocation};
use valise_tests::stage::{FORM, Stage};

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
