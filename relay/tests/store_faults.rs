//! What the spool survives: power cuts, failing syncs, damaged, missing, old and foreign files.
#![allow(clippy::unwrap_used)]

mod stores;

use std::fs;
use std::path::Path;

use stores::power::PowerDisk;
use stores::sample::*;
use stores::*;
use valise_relay::store::{
    Cursor, Deposit, Deposited, OpenError, Reader, Spool, SpoolConfig, Store, StoreError, Target,
};

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_no_sync_is_tried() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let disk = PowerDisk::new();
        let store = Spool::open_on(Box::new(disk.clone()), config(&dir.path().join("s"))).unwrap();
        store.deposit(deposit(holder(1), 1)).await.unwrap();
        disk.fail_from(disk.syncs() + 1);
        let refused = store.deposit(deposit(holder(1), 2)).await;
        assert!(matches!(refused, Err(StoreError::Closed(_))));
        let syncs = disk.syncs();
        assert!(store.failed().await.contains("Input/output"));
        for number in 3..6 {
            let refused = store.deposit(deposit(holder(1), number)).await;
            assert!(matches!(refused, Err(StoreError::Closed(_))));
            let removal = store.remove(holder(1), Reader::Holder, &[digest(1)]).await;
            assert!(matches!(removal, Err(StoreError::Closed(_))));
        }
        assert!(matches!(store.close().await, Err(StoreError::Closed(_))));
        assert_eq!(disk.syncs(), syncs);
        assert_eq!(waiting(&store, holder(1), Reader::Holder).await, [1]);
    });
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

/// Crashes at each step of the removal of an inbox, lets `hurt` damage what is left, and looks whether the removal is completed
/// or was never begun.
async fn remove_and_crash(hurt: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    for step in 1..=4 {
        let live = dir.path().join(format!("live-{step}"));
        let cut = dir.path().join(format!("cut-{step}"));
        let disk = PowerDisk::new();
        let store = Spool::open_on(Box::new(disk.clone()), config(&live)).unwrap();
        store.allow_inbox(address(1)).await.unwrap();
        store.put_card(address(1), vec![5; 1_000]).await.unwrap();
        for number in 0..4 {
            store.deposit(deposit(inbox(1), number)).await.unwrap();
        }
        store.deposit(deposit(holder(1), 9)).await.unwrap();
        disk.fail_from(disk.syncs() + step);
        assert_eq!(store.remove_inbox(address(1)).await.is_ok(), step == 4);
        disk.cut(&live, &cut, || false);
        hurt(&cut);
        let store = Spool::open(config(&cut)).unwrap();
        let begun = step > 1;
        assert_eq!(store.inboxes().await.unwrap().is_empty(), begun, "{step}");
        let left = if begun { 0 } else { 4 };
        assert_eq!(store.usage().await.unwrap().inbox_envelopes, left);
        store.allow_inbox(address(1)).await.unwrap();
        let mail = waiting(&store, inbox(1), Reader::Holder).await;
        assert_eq!(mail.len() as u64, left);
        let card = store.card(address(1)).await.unwrap();
        assert_eq!(card.is_none(), begun);
    }
}

#[test]
fn mail_of_an_inbox_that_was_half_removed_is_gone_after_a_restart() {
    runtime().block_on(remove_and_crash(|_| {}));
}

#[test]
fn the_removal_of_an_inbox_is_completed_beside_damage() {
    // The extent of the seventh record, as if the power cut had torn it; then its slot.
    for at in [4_096 + 6 * 65_536 + 9, 6 * 256 + 9] {
        runtime().block_on(remove_and_crash(|dir| {
            let path = dir.join("segment-0000000001");
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        }));
    }
}
