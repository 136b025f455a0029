use std::fs;
use std::sync::atomic::Ordering;

use valise_protocol::id::Address;
use valise_protocol::key::DhPublic;
use valise_protocol::message::SubmissionId;
use valise_protocol::time::Timestamp;

use super::state::{Entry, Role};
use super::*;

/// A vault without Argon2id, which the tests of `wrap` cover.
fn vault() -> (tempfile::TempDir, Vault) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::choose(Some(&dir.path().join("home"))).unwrap();
    home.make().unwrap();
    let vault = Vault {
        disk: Vault::disk_of(&home),
        home,
        key: Zeroizing::new([7; 32]),
    };
    vault.disk.make().unwrap();
    vault.write_twice(KEY, b"a wrapped key").unwrap();
    let state = State::new(
        Address::from_bytes([1; 32]),
        "c".into(),
        &mut random::system(),
    );
    vault.write_state(&state, &mut random::system()).unwrap();
    (dir, vault)
}

fn add(vault: &Vault, text: &[u8]) -> Outcome<ItemName> {
    vault.change(|change| {
        let item = Item::new(DhPublic::from_bytes([3; 32]), text);
        let name = change.add(&item.encode())?;
        let sender = DhPublic::from_bytes([3; 32]);
        let at = Timestamp::from_seconds(1);
        change.state.items.push(Entry::new(
            name,
            Role::Submission,
            SubmissionId::from_bytes([4; 16]),
            sender,
            at,
        ));
        Ok(name)
    })
}

fn remove(vault: &Vault, name: ItemName) -> Outcome<()> {
    vault.change(|change| {
        change.state.items.retain(|entry| entry.name != name);
        change.remove(name);
        Ok(())
    })
}

/// Opens it again as a command after a crash does.
fn after_crash(vault: &Vault) -> State {
    vault.disk.fuse.store(u32::MAX, Ordering::Relaxed);
    vault
        .mend(&Piece::First(b"a wrapped key".to_vec()))
        .unwrap();
    vault.state().unwrap()
}

fn files(vault: &Vault) -> usize {
    vault.disk.names().unwrap().len()
}

#[test]
fn a_crash_between_any_two_writes_leaves_the_vault_without_the_item_or_with_it() {
    let (mut without, mut with) = (0, 0);
    for fuse in 0..40 {
        let (_dir, vault) = vault();
        let first = add(&vault, b"first").unwrap();
        vault.disk.fuse.store(fuse, Ordering::Relaxed);
        let done = add(&vault, b"second").is_ok();
        let state = after_crash(&vault);
        assert_eq!(vault.item(first).unwrap().message(), b"first");
        match state.items.as_slice() {
            [_] => {
                without += 1;
                assert!(!done, "step {fuse} lost what was reported as written");
            }
            [_, entry] => {
                with += 1;
                assert_eq!(vault.item(entry.name).unwrap().message(), b"second");
            }
            other => panic!("{other:?}"),
        }
        // Two copies of key and state, and one file for each item: no leftover.
        assert_eq!(files(&vault), 4 + state.items.len(), "step {fuse}");
    }
    assert!(without > 5 && with > 5, "{without} {with}");
}

#[test]
fn a_crash_during_a_removal_leaves_the_item_whole_or_nothing_of_it() {
    for fuse in 0..40 {
        let (_dir, vault) = vault();
        let name = add(&vault, b"text").unwrap();
        vault.disk.fuse.store(fuse, Ordering::Relaxed);
        let done = remove(&vault, name).is_ok();
        let state = after_crash(&vault);
        assert_eq!(files(&vault), 4 + state.items.len(), "step {fuse}");
        assert_eq!(vault.item(name).is_ok(), !state.items.is_empty());
        assert!(!done || state.items.is_empty());
    }
}

#[test]
fn a_change_that_fails_changes_nothing() {
    let (_dir, vault) = vault();
    let result: Outcome<()> = vault.change(|change| {
        change.add(b"x")?;
        change.state.contact = "other".into();
        Err(Failure::new("no"))
    });
    assert!(result.is_err());
    assert_eq!(after_crash(&vault).contact, "c");
    assert_eq!(files(&vault), 4);
}

#[test]
fn a_flipped_bit_loses_that_item_and_no_other() {
    let (_dir, vault) = vault();
    let (a, b) = (add(&vault, b"a").unwrap(), add(&vault, b"b").unwrap());
    let path = vault.disk.path().join(a.to_string());
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(997) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(vault.item(a).unwrap_err(), Damaged);
        assert_eq!(vault.item(b).unwrap().message(), b"b");
    }
    fs::copy(vault.disk.path().join(b.to_string()), &path).unwrap();
    assert_eq!(
        vault.item(a).unwrap_err(),
        Damaged,
        "another's file in its place"
    );
    fs::remove_file(&path).unwrap();
    assert_eq!(vault.item(a).unwrap_err(), Damaged);
}

#[test]
fn a_flipped_bit_in_the_state_is_mended_from_its_copy() {
    for name in ["state", "state.copy"] {
        let (_dir, vault) = vault();
        let item = add(&vault, b"a").unwrap();
        let path = vault.disk.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[500] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(after_crash(&vault).items.len(), 1);
        assert!(!vault.differs(STATE), "{name}");
        assert_eq!(vault.item(item).unwrap().message(), b"a");
    }
}

#[test]
fn a_state_damaged_twice_is_told_and_nothing_is_swept_away() {
    let (_dir, vault) = vault();
    add(&vault, b"a").unwrap();
    for name in ["state", "state.copy"] {
        fs::write(vault.disk.path().join(name), b"x").unwrap();
    }
    let failure = vault.state().unwrap_err();
    assert!(failure.what().contains("both copies"), "{failure}");
    assert!(
        vault
            .mend(&Piece::First(b"a wrapped key".to_vec()))
            .is_err()
    );
    assert_eq!(files(&vault), 5);
}

#[test]
fn no_plaintext_lies_in_any_file() {
    let (_dir, vault) = vault();
    add(&vault, b"a canary that nobody may read").unwrap();
    for name in vault.disk.names().unwrap() {
        let bytes = vault.disk.read(&name).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"a canary"), "{name}");
    }
}
