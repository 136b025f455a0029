//! What the spool notices and survives: damaged, missing, old and foreign files.
#![allow(clippy::unwrap_used)]

mod stores;

use std::fs;
use std::path::{Path, PathBuf};

use stores::power::PowerDisk;
use stores::*;
use valise_relay::store::{
    Cursor, Deposit, Deposited, OpenError, Reader, Spool, SpoolConfig, Store, StoreError, Target,
};

/// Ten envelopes in ten mailboxes over two segments, a card, an inbox with an envelope that one of two devices removed.
async fn sample(dir: &Path) {
    let store = Spool::open(witnessed(dir)).unwrap();
    store.allow_inbox(address(1)).await.unwrap();
    store.put_card(address(1), vec![5; 1_000]).await.unwrap();
    for number in 1..=10 {
        store
            .deposit(deposit(holder(number), u32::from(number)))
            .await
            .unwrap();
    }
    store.deposit(deposit(inbox(1), 11)).await.unwrap();
    let roster = [device(1), device(2)];
    let first = Reader::Device {
        me: device(1),
        roster: &roster,
    };
    store.remove(inbox(1), first, &[digest(11)]).await.unwrap();
    store
        .remove(holder(10), Reader::Holder, &[digest(10)])
        .await
        .unwrap();
    store.close().await.unwrap();
}

/// What can be read of a sample: how many of its items are missing; panics where one is altered.
async fn missing(store: &Spool) -> usize {
    let mut missing = 0;
    for number in 1..=9 {
        match store
            .next(holder(number), Reader::Holder, Cursor(0), START)
            .await
        {
            Ok(Some(found)) => assert_eq!(number_of(&found.envelope), u32::from(number)),
            Ok(None) | Err(StoreError::Damaged) => missing += 1,
            Err(error) => panic!("{error}"),
        }
    }
    if store.inboxes().await.unwrap().is_empty() {
        // The record that allowed it: the operator does so again, and what belongs to it is there.
        missing += 1;
        store.allow_inbox(address(1)).await.unwrap();
    }
    let card = store.card(address(1)).await;
    missing += usize::from(card.ok() != Some(Some(vec![5; 1_000])));
    let mail = store.next(inbox(1), Reader::Holder, Cursor(0), START).await;
    let whole = mail.is_ok_and(|mail| mail.is_some_and(|m| number_of(&m.envelope) == 11));
    missing + usize::from(!whole)
}

/// With its witness beside the segments, where [`copy`] takes it along.
fn witnessed(dir: &Path) -> SpoolConfig {
    SpoolConfig {
        witness: Some(dir.join("witness")),
        ..config(dir)
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(prefix)
        })
        .collect();
    files.sort();
    files
}

/// Whether a byte of a segment belongs to something: the rest is free, and a flip there harms nobody.
fn in_use(bytes: &[u8], at: usize) -> bool {
    let block = if at < 4_096 {
        at / 256 * 256..at / 256 * 256 + 256
    } else {
        at..at + 1
    };
    bytes[block].iter().any(|byte| *byte != 0)
}

#[test]
fn a_flipped_bit_is_always_noticed_and_costs_one_record_at_most() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (whole, hurt) = (dir.path().join("whole"), dir.path().join("hurt"));
        sample(&whole).await;
        let mut random = 7_u64;
        let mut below = |n: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % n
        };
        for round in 0..if long() { 1_000 } else { 60 } {
            let kind = ["keys", "manifest", "segment", "segment", "witness"][round % 5];
            let candidates = files(&whole, kind);
            let name = candidates[below(candidates.len())]
                .file_name()
                .unwrap()
                .to_owned();
            copy(&whole, &hurt);
            let mut bytes = fs::read(hurt.join(&name)).unwrap();
            let mut at = below(if round % 10 == 2 { 2_048 } else { bytes.len() });
            while kind == "segment" && !in_use(&bytes, at) {
                at = below(bytes.len());
            }
            bytes[at] ^= 1 << below(8);
            fs::write(hurt.join(&name), bytes).unwrap();
            let store = Spool::open(witnessed(&hurt)).unwrap();
            let lost = missing(&store).await;
            let noticed = store.usage().await.unwrap().damaged;
            assert!(noticed >= 1, "byte {at} of {name:?} was not noticed");
            assert!(lost <= 1, "byte {at} of {name:?} cost {lost} records");
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_truncated_or_missing_file_is_noticed_and_never_a_panic() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (whole, hurt) = (dir.path().join("whole"), dir.path().join("hurt"));
        sample(&whole).await;
        for file in [
            "keys",
            "manifest",
            "segment-0000000001",
            "segment-0000000002",
            "witness",
        ] {
            let length = fs::metadata(whole.join(file)).unwrap().len();
            for left in [
                None,
                Some(0),
                Some(1),
                Some(300),
                Some(length / 2),
                Some(length - 1),
            ] {
                copy(&whole, &hurt);
                match left {
                    None => fs::remove_file(hurt.join(file)).unwrap(),
                    Some(left) => {
                        let opened = fs::OpenOptions::new().write(true).open(hurt.join(file));
                        opened.unwrap().set_len(left).unwrap();
                    }
                }
                match Spool::open(witnessed(&hurt)) {
                    Err(OpenError::WitnessDamaged) => assert_eq!(file, "witness"),
                    // Nothing says that there ever was one.
                    Ok(_) if file == "witness" && left.is_none() => (),
                    Err(OpenError::KeysMissing | OpenError::KeysDamaged) => {
                        assert_eq!(file, "keys");
                    }
                    Err(error) => panic!("{file} {left:?}: {error}"),
                    Ok(store) => {
                        missing(&store).await;
                        let noticed = store.usage().await.unwrap().damaged;
                        assert!(noticed >= 1, "{file} {left:?} was not noticed");
                        store.close().await.unwrap();
                    }
                }
            }
        }
    });
}

#[test]
fn a_removed_envelope_leaves_nothing_on_the_disk() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = Spool::open(config(&path)).unwrap();
        for number in 1..=6 {
            store.deposit(deposit(holder(1), number)).await.unwrap();
        }
        let segment = path.join("segment-0000000001");
        let stored = fs::read(&segment).unwrap();
        let extent = |number: usize| 4_096 + (number - 1) * 65_536;
        for number in [2, 5] {
            store
                .remove(holder(1), Reader::Holder, &[digest(number)])
                .await
                .unwrap();
        }
        store
            .deposit(Deposit {
                target: Target::Sink,
                ..deposit(holder(1), 7)
            })
            .await
            .unwrap();
        store.close().await.unwrap();
        let left = fs::read(&segment).unwrap();
        for number in [2, 5, 7] {
            let slot = (number - 1) * 256..number * 256;
            assert!(left[slot].iter().all(|byte| *byte == 0), "slot of {number}");
            let extent = &left[extent(number)..extent(number) + 65_536];
            assert!(extent.iter().all(|byte| *byte == 0), "extent of {number}");
        }
        // The ciphertext that was there is in no file of the store, wherever it may have been copied to.
        let secret = &stored[extent(2)..extent(2) + 32];
        for bytes in every_file(&path) {
            assert!(!contains(&bytes, secret));
        }
    });
}

#[test]
fn names_and_envelopes_are_in_no_file() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = Spool::open(config(&path)).unwrap();
        store.allow_inbox(address(0xa1)).await.unwrap();
        store
            .put_card(address(0xa1), b"the card that is public".to_vec())
            .await
            .unwrap();
        store.deposit(deposit(inbox(0xa1), 1)).await.unwrap();
        store.deposit(deposit(holder(0xb2), 2)).await.unwrap();
        let roster = [device(0xc3), device(0xc4)];
        let reader = Reader::Device {
            me: device(0xc3),
            roster: &roster,
        };
        store
            .remove(inbox(0xa1), reader, &[digest(1)])
            .await
            .unwrap();
        store.close().await.unwrap();
        let mut canaries: Vec<Vec<u8>> = vec![vec![0xa1; 32], vec![0xb2; 32], vec![0xc3; 8]];
        canaries.push(b"the card".to_vec());
        for number in [1, 2] {
            canaries.push(canary(number)[..12].to_vec());
            canaries.push(digest(number).as_bytes()[..8].to_vec());
            canaries.push(withdraw(number).as_bytes()[..8].to_vec());
        }
        for bytes in every_file(&path) {
            for canary in &canaries {
                assert!(!contains(&bytes, canary), "{canary:02x?}");
            }
        }
        drop(store);
        let again = Spool::open(config(&path)).unwrap();
        assert_eq!(waiting(&again, inbox(0xa1), Reader::Holder).await, [1]);
        assert_eq!(waiting(&again, inbox(0xa1), reader).await, []);
    });
}

fn every_file(dir: &Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(every_file(&path));
        } else {
            files.push(fs::read(path).unwrap());
        }
    }
    files
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn space_returns() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = Spool::open(config(&path)).unwrap();
        for round in 0..4 {
            let numbers: Vec<u32> = (0..24).map(|n| round * 100 + n).collect();
            for number in &numbers {
                store.deposit(deposit(holder(1), *number)).await.unwrap();
            }
            let digests: Vec<_> = numbers.iter().map(|number| digest(*number)).collect();
            store
                .remove(holder(1), Reader::Holder, &digests)
                .await
                .unwrap();
            assert!(files(&path, "segment").len() <= 1, "round {round}");
        }
        store.close().await.unwrap();
        drop(store);
        let store = Spool::open(config(&path)).unwrap();
        assert_eq!(files(&path, "segment").len(), 0);
        assert_eq!(waiting(&store, holder(1), Reader::Holder).await, []);
    });
}

#[test]
fn a_deposit_repeated_after_a_restart_is_known() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        for outcome in [Deposited::Stored, Deposited::AlreadyStored] {
            let store = Spool::open(config(&dir.path().join("s"))).unwrap();
            assert_eq!(store.deposit(deposit(holder(1), 1)).await.unwrap(), outcome);
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_cursor_is_not_given_again_after_a_restart() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut last = Cursor(0);
        for number in 0..4 {
            let store = Spool::open(config(&dir.path().join("s"))).unwrap();
            store.deposit(deposit(holder(1), number)).await.unwrap();
            let found = store
                .next(holder(1), Reader::Holder, last, START)
                .await
                .unwrap();
            last = found.unwrap().cursor;
            store
                .remove(holder(1), Reader::Holder, &[digest(number)])
                .await
                .unwrap();
            if number % 2 == 0 {
                store.rewrap().await.unwrap();
            }
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_crash_at_any_step_of_a_rewrap_loses_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        sample(&whole).await;
        for step in 1.. {
            let (live, cut) = (dir.path().join("live"), dir.path().join("cut"));
            copy(&whole, &live);
            let disk = PowerDisk::new();
            let store = Spool::open_on(Box::new(disk.clone()), config(&live)).unwrap();
            for file in files(&live, "segment") {
                // What was there before the test began counts as durable.
                disk.adopt(&file);
            }
            disk.fail_from(disk.syncs() + step);
            let done = store.rewrap().await.is_ok();
            let _ = fs::remove_dir_all(&cut);
            disk.cut(&live, &cut, || step % 2 == 0);
            let again = Spool::open(config(&cut)).unwrap();
            assert_eq!(missing(&again).await, 0, "step {step}");
            again.rewrap().await.unwrap();
            assert_eq!(missing(&again).await, 0, "step {step}");
            again.close().await.unwrap();
            if done {
                assert!(step > 5, "a rewrap takes more syncs than {step}");
                break;
            }
        }
    });
}

#[test]
fn after_a_rewrap_an_old_copy_of_a_slot_opens_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (live, old) = (dir.path().join("live"), dir.path().join("old"));
        sample(&live).await;
        copy(&live, &old);
        let store = Spool::open(config(&live)).unwrap();
        store.rewrap().await.unwrap();
        assert_eq!(missing(&store).await, 0);
        store.close().await.unwrap();
        drop(store);
        for file in files(&old, "segment") {
            fs::copy(&file, live.join(file.file_name().unwrap())).unwrap();
        }
        let store = Spool::open(config(&live)).unwrap();
        assert!(store.usage().await.unwrap().damaged > 10);
        assert_eq!(store.usage().await.unwrap().return_envelopes, 0);
    });
}

#[test]
fn an_old_copy_is_refused_unless_it_is_accepted() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (live, old) = (dir.path().join("live"), dir.path().join("old"));
        let witness = Some(dir.path().join("witness"));
        let config = |dir: &Path| SpoolConfig {
            witness: witness.clone(),
            ..config(dir)
        };
        for number in 0..2 {
            let store = Spool::open(config(&live)).unwrap();
            store.deposit(deposit(holder(1), number)).await.unwrap();
            store.close().await.unwrap();
            if number == 0 {
                copy(&live, &old);
            }
        }
        let refused = Spool::open(config(&old));
        assert!(matches!(refused, Err(OpenError::Rollback { .. })));
        let other = Spool::open(config(&dir.path().join("other")));
        assert!(matches!(other, Err(OpenError::AnotherStore)));
        Spool::open(config(&live)).unwrap().close().await.unwrap();
        let accepted = Spool::open(SpoolConfig {
            accept_rollback: true,
            ..config(&old)
        })
        .unwrap();
        assert_eq!(waiting(&accepted, holder(1), Reader::Holder).await, [0]);
        accepted.close().await.unwrap();
        Spool::open(config(&old)).unwrap();
    });
}

#[test]
fn two_processes_cannot_open_one_store() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Spool::open(config(&dir.path().join("s"))).unwrap();
        let second = Spool::open(config(&dir.path().join("s")));
        assert!(matches!(second, Err(OpenError::Locked)));
        store.close().await.unwrap();
        Spool::open(config(&dir.path().join("s"))).unwrap();
    });
}

#[test]
fn mail_of_an_inbox_that_was_half_removed_is_gone_after_a_restart() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (live, cut) = (dir.path().join("live"), dir.path().join("cut"));
        let disk = PowerDisk::new();
        let store = Spool::open_on(Box::new(disk.clone()), config(&live)).unwrap();
        store.allow_inbox(address(1)).await.unwrap();
        for number in 0..4 {
            store.deposit(deposit(inbox(1), number)).await.unwrap();
        }
        disk.fail_from(disk.syncs() + 2);
        assert!(store.remove_inbox(address(1)).await.is_err());
        disk.cut(&live, &cut, || false);
        let store = Spool::open(config(&cut)).unwrap();
        assert_eq!(store.inboxes().await.unwrap(), []);
        assert_eq!(store.usage().await.unwrap().inbox_envelopes, 0);
        store.allow_inbox(address(1)).await.unwrap();
        let left: Vec<u32> = waiting(&store, inbox(1), Reader::Holder).await;
        assert_eq!(left, []);
    });
}
