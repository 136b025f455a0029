//! A store whose keys are sealed under what only this machine has: the disk alone opens nothing.
#![allow(clippy::unwrap_used)]

mod stores;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use stores::{config, deposit, holder, runtime, waiting};
use valise_relay::store::{Credential, OpenError, Reader, Spool, SpoolConfig, Store};

fn sealed(dir: &Path, secret: &[u8]) -> SpoolConfig {
    SpoolConfig {
        credential: Some(Arc::new(Credential::from_bytes(secret).unwrap())),
        ..config(dir)
    }
}

/// Opens a store that was closed just now. The test beside starts a program, which may hold what was open for the blink of an eye.
fn reopen(config: impl Fn() -> SpoolConfig) -> Result<Spool, OpenError> {
    for _ in 0..100 {
        match Spool::open(config()) {
            Err(OpenError::Locked) => std::thread::sleep(std::time::Duration::from_millis(20)),
            opened => return opened,
        }
    }
    Err(OpenError::Locked)
}

async fn held(config: impl Fn() -> SpoolConfig) -> Vec<u32> {
    let store = reopen(config).unwrap();
    let held = waiting(&store, holder(1), Reader::Holder).await;
    store.close().await.unwrap();
    held
}

#[test]
fn a_store_opens_with_its_own_credential_only() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = Spool::open(sealed(&path, &[1; 32])).unwrap();
        store.deposit(deposit(holder(1), 1)).await.unwrap();
        store.rewrap().await.unwrap();
        store.close().await.unwrap();
        assert_eq!(Spool::keys_are_sealed(&path), Some(true));
        let without = reopen(|| config(&path));
        assert!(matches!(without, Err(OpenError::CredentialMissing)));
        let other = reopen(|| sealed(&path, &[2; 32]));
        assert!(matches!(other, Err(OpenError::CredentialWrong)));
        assert_eq!(held(|| sealed(&path, &[1; 32])).await, [1]);
    });
}

#[test]
fn a_store_that_was_not_sealed_is_from_its_next_start_on() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = Spool::open(config(&path)).unwrap();
        store.deposit(deposit(holder(1), 1)).await.unwrap();
        store.close().await.unwrap();
        assert_eq!(Spool::keys_are_sealed(&path), Some(false));
        assert_eq!(held(|| sealed(&path, &[1; 32])).await, [1]);
        assert_eq!(Spool::keys_are_sealed(&path), Some(true));
        assert!(reopen(|| config(&path)).is_err());
    });
}

#[test]
fn a_credential_that_could_be_guessed_is_refused() {
    assert!(Credential::from_bytes(&[7; 31]).is_none());
    let shown = format!("{:?}", Credential::from_bytes(&[7; 32]));
    assert_eq!(shown, "Some(Credential(…))");
}

/// The program takes it from where systemd puts it.
#[test]
fn a_relay_does_not_start_without_the_credential_it_was_sealed_under() {
    let dir = tempfile::tempdir().unwrap();
    let (relay, credentials) = (dir.path().join("relay"), dir.path().join("credentials"));
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("valise-store"), [3; 32]).unwrap();
    let run = |arguments: &[&str], given: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_valise-relay"));
        command.arg("--dir").arg(&relay).args(arguments);
        command.env_remove("CREDENTIALS_DIRECTORY");
        if given {
            command.env("CREDENTIALS_DIRECTORY", &credentials);
        }
        let output = command.output().unwrap();
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let path = relay.to_str().unwrap();
    assert_eq!(run(&["init", path], false).0, Some(0));
    // Without a running relay the command opens the store itself.
    assert_eq!(run(&["inbox", "list"], true).0, Some(0));
    let (status, text) = run(&["check"], false);
    assert!(
        status == Some(0) && text.contains("ok       store key"),
        "{text}"
    );
    let (status, text) = run(&["inbox", "list"], false);
    assert_eq!(status, Some(5), "{text}");
    assert!(text.contains("LoadCredentialEncrypted"), "{text}");
    fs::write(credentials.join("valise-store"), [4; 32]).unwrap();
    let (status, text) = run(&["inbox", "list"], true);
    assert!(
        status == Some(5) && text.contains("another credential"),
        "{text}"
    );
    fs::write(credentials.join("valise-store"), [3; 16]).unwrap();
    let (status, text) = run(&["inbox", "list"], true);
    assert!(status == Some(5) && text.contains("16 bytes"), "{text}");
}
