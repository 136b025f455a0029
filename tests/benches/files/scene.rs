//! A relay, mechanisms and files to send.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use valise_tests::program::{Invocation, Running};
use valise_tests::stage::{FORM, Stage};

/// Everybody on one machine.
pub struct Scene {
    pub stage: Stage,
    pub contacts: Vec<String>,
}

impl Scene {
    /// So many mechanisms with one device each, at one relay.
    pub fn new(mechanisms: usize) -> Self {
        let stage = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
        let relay = stage.init_relay();
        let running = stage.serve();
        let officers = (0..mechanisms).map(|number| format!("office{number}"));
        let contacts = officers.map(|officer| stage.init_mechanism(&officer, &relay));
        let contacts = contacts.collect();
        running.stop();
        stage.write("form.toml", FORM);
        stage.write("case.txt", "A case with files.");
        Self { stage, contacts }
    }

    /// A file that does not compress.
    pub fn file(&self, name: &str, length: u64) -> PathBuf {
        let path = self.stage.path().join(name);
        let mut file = BufWriter::new(File::create(&path).unwrap());
        let (mut state, mut left) = (0x9e37_79b9_7f4a_7c15_u64 ^ length, length);
        let mut piece = vec![0; 1 << 20];
        while left > 0 {
            for word in piece.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let take = left.min(piece.len() as u64) as usize;
            file.write_all(&piece[..take]).unwrap();
            left -= take as u64;
        }
        file.flush().unwrap();
        path
    }

    /// `send` to these contacts, with this file.
    pub fn send(&self, contacts: &[String], file: &Path) -> Invocation {
        let send = self.stage.defender().args(["send"]);
        let send = contacts
            .iter()
            .fold(send, |send, to| send.args(["--to", to]));
        send.args(["--form", "form.toml", "--attach"])
            .args([file.as_os_str()])
            .args(["--metadata", "keep", "--yes", "case.txt"])
    }
}

/// The most memory that a process has had, in kB.
pub fn peak(process: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
