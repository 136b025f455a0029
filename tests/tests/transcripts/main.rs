//! What people see, word for word: each command of the real programs against a file (`tests/transcripts/`).

#![allow(clippy::unwrap_used)]

mod refused;
mod rules;
mod session;
mod staff;
mod unreached;

use std::path::Path;

use valise_tests::program::Invocation;
use valise_tests::stage::{ROOT, Stage, VAULT};

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
