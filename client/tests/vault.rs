//! Whole behaviours of a vault, with real passphrases and real files.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use valise_client::failure::Failure;
use valise_client::home::Home;
use valise_client::random::system as rng;
use valise_client::vault::Vault;
use valise_client::vault::backup::Backup;
use valise_client::vault::item::{Item, ItemName};
use valise_client::vault::state::{Entry, Role, State};
use valise_protocol::id::Address;
use valise_protocol::key::DhPublic;
use valise_protocol::message::SubmissionId;
use valise_protocol::time::Timestamp;

const OLD: &str = "correct horse battery";
const NEW: &str = "staple of another day";

fn home(dir: &Path) -> Home {
    Home::choose(Some(dir)).unwrap()
}

fn create(dir: &Path) -> Vault {
    let state = State::new(Address::from_bytes([1; 32]), "contact".into(), &mut rng());
    Vault::create(&home(dir), OLD, &state, &mut rng()).unwrap()
}

fn add(vault: &Vault, text: &[u8]) -> ItemName {
    let sender = DhPublic::from_bytes([3; 32]);
    let add = |change: &mut valise_client::vault::Change<'_>| {
        let name = change.add(&Item::new(sender, text).encode())?;
        let at = Timestamp::from_seconds(1);
        let entry = Entry::new(
            name,
            Role::Submission,
            SubmissionId::from_bytes([4; 16]),
            sender,
            at,
        );
        change.state.items.push(entry);
        Ok::<_, Failure>(name)
    };
    vault.change(add).unwrap()
}

/// Every file below a directory, with its bytes.
fn snapshot(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir.join("vault"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_wrong_passphrase_says_so_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("home");
    create(&dir);
    let before = snapshot(&dir);
    let failure = Vault::open(&home(&dir), NEW).unwrap_err();
    assert!(failure.what().contains("passphrase is wrong"), "{failure}");
    assert_eq!(snapshot(&dir), before);
}

#[test]
fn changing_the_passphrase_rewraps_the_key_and_ends_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("home");
    let vault = create(&dir);
    let name = add(&vault, b"text");
    let before = snapshot(&dir);
    vault.change_passphrase(NEW, &mut rng()).unwrap();
    let changed = snapshot(&dir)
        .iter()
        .zip(&before)
        .filter(|(after, before)| after != before)
        .count();
    assert_eq!(changed, 2, "both copies of the key and nothing else");
    let reopened = Vault::open(&home(&dir), NEW).unwrap();
    assert_eq!(reopened.item(name).unwrap().message(), b"text");
    // Not even by a copy of the key that the change did not reach: opening mends it.
    let old = before
        .iter()
        .find(|(path, _)| path.ends_with("/key"))
        .unwrap();
    fs::write(dir.join("vault/key.copy"), &old.1).unwrap();
    Vault::open(&home(&dir), NEW).unwrap();
    assert_eq!(
        fs::read(dir.join("vault/key")).unwrap(),
        fs::read(dir.join("vault/key.copy")).unwrap()
    );
    assert!(Vault::open(&home(&dir), OLD).is_err());
}

#[test]
fn a_damaged_key_is_mended_from_its_copy_and_two_damaged_ones_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("home");
    create(&dir);
    let (key, copy) = (dir.join("vault/key"), dir.join("vault/key.copy"));
    let good = fs::read(&key).unwrap();
    let mut bad = good.clone();
    bad[60] ^= 1;
    fs::write(&key, &bad).unwrap();
    Vault::open(&home(&dir), OLD).unwrap();
    assert_eq!(fs::read(&key).unwrap(), good);
    fs::write(&key, &bad).unwrap();
    fs::write(&copy, &bad).unwrap();
    let failure = Vault::open(&home(&dir), OLD).unwrap_err();
    assert!(failure.what().contains("both copies"), "{failure}");
}

#[test]
fn a_backup_restores_what_was_there_under_its_passphrase_only() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    let file = dir.path().join("backup");
    let vault = create(&first);
    let name = add(&vault, b"a canary that was backed up");
    assert_eq!(vault.backup(&file).unwrap(), 1);
    assert!(vault.backup(&file).is_err(), "no backup overwrites another");
    add(&vault, b"later");

    let backup = Backup::read(&file).unwrap();
    assert!(backup.restore(&home(&second), NEW, &mut rng()).is_err());
    assert!(!second.exists(), "a wrong passphrase leaves nothing behind");
    backup.restore(&home(&second), OLD, &mut rng()).unwrap();
    let restored = Vault::open(&home(&second), OLD).unwrap();
    assert_eq!(restored.state().unwrap().items.len(), 1);
    assert_eq!(
        restored.item(name).unwrap().message(),
        b"a canary that was backed up"
    );
    assert!(backup.restore(&home(&first), OLD, &mut rng()).is_err());

    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(8).any(|part| part == b"a canary"));
    for at in (0..bytes.len()).step_by(9_973) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let damaged_file = dir.path().join("damaged");
        fs::write(&damaged_file, damaged).unwrap();
        assert!(Backup::read(&damaged_file).is_err(), "{at}");
    }
}

#[test]
fn one_home_holds_one_vault() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("home");
    create(&dir);
    let state = State::new(Address::from_bytes([2; 32]), "other".into(), &mut rng());
    let failure = Vault::create(&home(&dir), NEW, &state, &mut rng()).unwrap_err();
    assert!(failure.what().contains("already"), "{failure}");
    assert_eq!(
        Vault::open(&home(&dir), OLD)
            .unwrap()
            .state()
            .unwrap()
            .contact,
        "contact"
    );
}
