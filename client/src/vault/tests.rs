use std::fs;
use std::sync::atomic::Ordering;

use valise_protocol::id::Address;
use valise_protocol::key::DhPublic;
use valise_protocol::limits::PARCEL;
use valise_protocol::message::SubmissionId;
use valise_protocol::parcel::ParcelBuffer;
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

/// Some parcels of two attachments of an item; gives where they are.
fn fetch(vault: &Vault, name: ItemName) -> std::path::PathBuf {
    let parcel = ParcelBuffer::from_sealed(vec![0xca; PARCEL]).unwrap();
    assert!(vault.make_parcels(name).unwrap());
    for number in [1, 2] {
        let file = vault.parcels(name).make(number).unwrap();
        let mark = file.write(3, &parcel).unwrap();
        file.mark(mark).unwrap();
    }
    let all = vault.disk.path().join("parcels");
    let mut directories = fs::read_dir(all).unwrap().flatten();
    let newest = directories.find(|entry| fs::read_dir(entry.path()).unwrap().count() == 2);
    newest.unwrap().path()
}

#[test]
fn a_crash_during_a_removal_leaves_the_attachments_whole_or_nothing_of_them() {
    let (mut kept, mut gone) = (0, 0);
    for fuse in 0..40 {
        let (_dir, vault) = vault();
        let (name, other) = (add(&vault, b"text").unwrap(), add(&vault, b"b").unwrap());
        let directory = fetch(&vault, name);
        vault.make_parcels(other).unwrap();
        vault.parcels(other).make(1).unwrap();
        vault.disk.fuse.store(fuse, Ordering::Relaxed);
        let done = remove(&vault, name).is_ok();
        let state = after_crash(&vault);
        let present = vault.parcels(name).present(1, 4).unwrap().len();
        if state.items.len() == 2 {
            kept += 1;
            assert!(!done && present == 1, "step {fuse}");
        } else {
            gone += 1;
            assert!(!directory.exists(), "step {fuse}");
        }
        assert!(vault.parcels(other).file(1).unwrap().is_some());
    }
    assert!(kept > 2 && gone > 2, "{kept} {gone}");
}

#[test]
fn removed_parcels_are_overwritten_first_and_tell_nothing_by_their_names() {
    let (dir, vault) = vault();
    let name = add(&vault, b"text").unwrap();
    let directory = fetch(&vault, name);
    let shown = directory.file_name().unwrap().to_str().unwrap();
    assert!(shown.len() == 32 && shown != name.to_string());
    let other = Vault {
        disk: Disk::new(vault.disk.path()),
        home: vault.home().clone(),
        key: Zeroizing::new([8; 32]),
    };
    assert!(other.parcels(name).file(1).unwrap().is_none());
    // A second name for the same bytes shows what happens to them.
    let witness = dir.path().join("witness");
    fs::hard_link(directory.join("1"), &witness).unwrap();
    remove(&vault, name).unwrap();
    assert!(fs::read(&witness).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn parcels_of_an_item_that_is_not_named_are_swept_away_and_no_others() {
    let (_dir, vault) = vault();
    let name = add(&vault, b"text").unwrap();
    fetch(&vault, name);
    let stray = ItemName::draw(&mut random::system());
    vault.parcels(stray).make_directory().unwrap();
    vault.parcels(stray).make(1).unwrap();
    after_crash(&vault);
    assert!(vault.parcels(stray).file(1).unwrap().is_none());
    assert_eq!(vault.parcels(name).present(1, 4).unwrap().len(), 1);
    assert_eq!(vault.parcels(name).present(2, 4).unwrap().len(), 1);
}

#[test]
fn parcels_of_what_was_deleted_do_not_come_again() {
    let (_dir, vault) = vault();
    let name = add(&vault, b"text").unwrap();
    let directory = fetch(&vault, name);
    assert!(vault.keeps_parcels(name).unwrap());
    remove(&vault, name).unwrap();
    assert!(!vault.make_parcels(name).unwrap());
    assert!(vault.parcels(name).make(3).is_err());
    assert!(!directory.exists());
    // What was on its way while the rest was removed.
    vault.parcels(name).make_directory().unwrap();
    vault.parcels(name).make(3).unwrap();
    assert!(!vault.keeps_parcels(name).unwrap());
    assert!(!directory.exists());
}

#[test]
fn what_is_not_ours_among_the_parcels_neither_locks_the_vault_nor_leads_out_of_it() {
    let (dir, vault) = vault();
    let name = add(&vault, b"text").unwrap();
    let ours = fetch(&vault, name);
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("1"), b"mine").unwrap();
    let all = vault.disk.path().join("parcels");
    fs::write(all.join("stray"), b"x").unwrap();
    fs::write(all.join("0".repeat(32)), b"x").unwrap();
    std::os::unix::fs::symlink(&outside, all.join("1".repeat(32))).unwrap();
    let unnamed = all.join("2".repeat(32));
    fs::create_dir_all(unnamed.join("below")).unwrap();
    std::os::unix::fs::symlink(outside.join("1"), unnamed.join("1")).unwrap();
    after_crash(&vault);
    assert_eq!(fs::read(outside.join("1")).unwrap(), b"mine");
    assert!(all.join("stray").exists() && ours.join("1").exists());
    assert!(!unnamed.join("1").is_symlink());
    remove(&vault, name).unwrap();
    fs::remove_file(all.join("stray")).unwrap();
    assert!(!ours.exists());
    let away = dir.path().join("away");
    fs::rename(&all, &away).unwrap();
    fs::write(&all, b"a plain file").unwrap();
    after_crash(&vault);
}

#[test]
fn a_backup_holds_no_parcels_and_is_restored_without() {
    let (dir, vault) = vault();
    let key = wrap::wrap(Kind::Vault, "x", &vault.key, &mut random::system());
    vault.write_twice(KEY, &key).unwrap();
    let name = add(&vault, b"text").unwrap();
    fetch(&vault, name);
    let file = dir.path().join("backup");
    assert_eq!(vault.backup(&file).unwrap(), 1);
    assert!(fs::metadata(&file).unwrap().len() < PARCEL as u64);
    let home = Home::choose(Some(&dir.path().join("other"))).unwrap();
    let backup = backup::Backup::read(&file).unwrap();
    let restored = backup.restore(&home, "x", &mut random::system()).unwrap();
    assert_eq!(restored.item(name).unwrap().message(), b"text");
    assert_eq!(restored.parcels(name).missing(1, 4).unwrap(), 4);
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
