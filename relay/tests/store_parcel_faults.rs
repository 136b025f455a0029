//! What befalls parcels on the disk: flipped bits, restarts, removal, rewraps, sparse segments.
#![allow(clippy::unwrap_used)]

mod stores;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use stores::power::PowerDisk;
use stores::sample::*;
use stores::*;
use valise_protocol::limits::PARCEL;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Kept;
use valise_relay::store::{Put, Reader, Spool, SpoolConfig, Store};

/// Five parcels of three attachments, two to a segment, with mail before and between.
async fn laden(dir: &Path) -> Spool {
    let store = Spool::open(config(dir)).unwrap();
    store.allow_inbox(address(1)).await.unwrap();
    store.allow_inbox(address(2)).await.unwrap();
    for (number, attachment) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
        let kept = store.put_parcel(put(1, attachment, number, number)).await;
        assert_eq!(kept.unwrap(), Kept::New);
        store.deposit(deposit(holder(1), number)).await.unwrap();
    }
    store
}

/// What is there of [`laden`].
async fn cargo(store: &Spool) -> Vec<u32> {
    let mut numbers = Vec::new();
    for attachment in 1..=3 {
        let set = store.parcels(namespace(attachment), START).await.unwrap();
        for number in (0..8).filter(|number| set.contains(*number)) {
            let held = store.parcel(namespace(attachment), number, START).await;
            if let Some(held) = held.unwrap() {
                assert!(held == parcel(number), "parcel {number} was altered");
                numbers.push(number);
            }
        }
    }
    numbers
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    files(dir, "parcels-")
}

/// Where the extent of a slot lies in a segment of parcels with few slots.
fn extent(slot: usize) -> Range<usize> {
    4_096 + slot * PARCEL..4_096 + (slot + 1) * PARCEL
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn parcels_are_there_after_a_restart_in_segments_of_their_own() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = laden(dir.path()).await;
        store.close().await.unwrap();
        drop(store);
        assert_eq!(segments(dir.path()).len(), 3);
        assert_eq!(files(dir.path(), "segment-").len(), 1);
        let store = Spool::open(config(dir.path())).unwrap();
        assert_eq!(cargo(&store).await, [1, 2, 3, 4, 5]);
        assert_eq!(store.usage().await.unwrap().damaged, 0);
        let again = store.put_parcel(put(1, 1, 1, 1)).await.unwrap();
        assert_eq!(again, Kept::Already);
        // The last segment has room for one more.
        store.put_parcel(put(1, 3, 6, 6)).await.unwrap();
        assert_eq!(segments(dir.path()).len(), 3);
    });
}

#[test]
fn a_flipped_bit_in_a_parcel_costs_that_parcel_only() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (whole, hurt) = (dir.path().join("whole"), dir.path().join("hurt"));
        laden(&whole).await.close().await.unwrap();
        // In the slot, and at the beginning, in the middle and at the end of the extent, of every parcel.
        for (number, (segment, slot)) in (1..).zip([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]) {
            let Range { start, end } = extent(slot);
            for at in [slot * 256 + 7, start, start + 100_000, end - 1] {
                copy(&whole, &hurt);
                flip(&segments(&hurt)[segment], at);
                let store = Spool::open(config(&hurt)).unwrap();
                let left: Vec<u32> = (1..=5).filter(|left| *left != number).collect();
                assert_eq!(cargo(&store).await, left, "byte {at}");
                assert_eq!(store.usage().await.unwrap().damaged, 1, "byte {at}");
                let mail = waiting(&store, holder(1), Reader::Holder).await;
                assert_eq!(mail, [1, 2, 3, 4, 5]);
                // It is told not to be there, and can be put again; that counts from then on.
                let attachment = [0, 1, 1, 2, 2, 3][number as usize];
                let again = store.put_parcel(put(1, attachment, number, number)).await;
                assert_eq!(again.unwrap(), Kept::New);
                assert_eq!(cargo(&store).await, [1, 2, 3, 4, 5]);
                store.close().await.unwrap();
                drop(store);
                let store = Spool::open(config(&hurt)).unwrap();
                assert_eq!(cargo(&store).await, [1, 2, 3, 4, 5]);
                store.close().await.unwrap();
            }
        }
    });
}

#[test]
fn a_parcel_that_cannot_be_read_is_removed_with_the_others_for_good() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (whole, hurt) = (dir.path().join("whole"), dir.path().join("hurt"));
        let store = laden(&whole).await;
        // Another on another account, so that the segment stays.
        store.put_parcel(put(2, 4, 6, 6)).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        for removal in ["delete", "expire", "inbox", "put"] {
            copy(&whole, &hurt);
            let sound = fs::read(&segments(&hurt)[0]).unwrap();
            flip(&segments(&hurt)[0], extent(0).start);
            let store = Spool::open(config(&hurt)).unwrap();
            assert_eq!(cargo(&store).await, [2, 3, 4, 5]);
            match removal {
                "delete" => assert_eq!(store.delete_parcels(namespace(1)).await.unwrap(), 1),
                "expire" => drop(store.expire(Timestamp::from_seconds(40 * 86_400)).await),
                "inbox" => drop(store.remove_inbox(address(1)).await.unwrap()),
                _ => drop(store.put_parcel(put(1, 1, 1, 1)).await.unwrap()),
            }
            store.close().await.unwrap();
            drop(store);
            // As if the sector had recovered: the slot that told where the parcel was is gone.
            if let Some(first) = segments(&hurt).first()
                && first.file_name() == segments(&whole)[0].file_name()
            {
                let mut bytes = fs::read(first).unwrap();
                assert!(bytes[..256].iter().all(|byte| *byte == 0), "{removal}");
                bytes[extent(0)].copy_from_slice(&sound[extent(0)]);
                fs::write(first, bytes).unwrap();
            }
            let store = Spool::open(config(&hurt)).unwrap();
            let left: &[u32] = match removal {
                "delete" => &[3, 4, 5],
                "put" => &[1, 2, 3, 4, 5],
                _ => &[],
            };
            assert_eq!(cargo(&store).await, left, "{removal}");
            assert_eq!(store.usage().await.unwrap().damaged, 0, "{removal}");
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_later_parcel_that_cannot_be_read_takes_no_earlier_ones_place() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        laden(dir.path()).await.close().await.unwrap();
        let paths = segments(dir.path());
        let before = fs::read(&paths[0]).unwrap();
        flip(&paths[0], extent(0).start);
        let store = Spool::open(config(dir.path())).unwrap();
        assert_eq!(cargo(&store).await, [2, 3, 4, 5]);
        store.put_parcel(put(1, 1, 1, 1)).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        // As a crash in the middle of a move leaves it: the parcel is there twice, and the later one cannot be read.
        fs::write(&paths[0], before).unwrap();
        let disk = PowerDisk::new();
        let Range { start, end } = extent(1);
        disk.spoil(&paths[2], start as u64..end as u64);
        let store = Spool::open_on(Box::new(disk), config(dir.path())).unwrap();
        assert_eq!(cargo(&store).await, [1, 2, 3, 4, 5]);
        assert_eq!(store.usage().await.unwrap().damaged, 1);
        // Both go together.
        assert_eq!(store.delete_parcels(namespace(1)).await.unwrap(), 2);
        store.close().await.unwrap();
        drop(store);
        let store = Spool::open(config(dir.path())).unwrap();
        assert_eq!(cargo(&store).await, [3, 4, 5]);
        store.close().await.unwrap();
    });
}

#[test]
fn a_missing_or_truncated_segment_of_parcels_is_noticed_and_costs_no_other() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (whole, hurt) = (dir.path().join("whole"), dir.path().join("hurt"));
        laden(&whole).await.close().await.unwrap();
        for left in [None, Some(0), Some(5_000)] {
            copy(&whole, &hurt);
            let second = segments(&hurt)[1].clone();
            match left {
                None => fs::remove_file(second).unwrap(),
                Some(left) => {
                    let file = fs::OpenOptions::new().write(true).open(second).unwrap();
                    file.set_len(left).unwrap();
                }
            }
            let store = Spool::open(config(&hurt)).unwrap();
            assert_eq!(cargo(&store).await, [1, 2, 5], "{left:?}");
            assert!(store.usage().await.unwrap().damaged >= 1, "{left:?}");
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_removed_parcel_leaves_nothing_on_the_disk() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = laden(dir.path()).await;
        let late = Put {
            expires: START,
            ..put(2, 4, 0, 6)
        };
        store.put_parcel(late).await.unwrap();
        store.put_parcel(put(2, 4, 1, 7)).await.unwrap();
        let paths = segments(dir.path());
        let before: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        // The first parcel of the third segment stays.
        store.delete_parcels(namespace(1)).await.unwrap();
        store.delete_parcels(namespace(2)).await.unwrap();
        store.expire(Timestamp::from_seconds(86_400)).await.unwrap();
        store.remove_inbox(address(2)).await.unwrap();
        store.close().await.unwrap();
        let left = fs::read(&paths[2]).unwrap();
        assert!(left[256..512].iter().all(|byte| *byte == 0));
        assert!(left[extent(1)].iter().all(|byte| *byte == 0));
        assert!(left[..256].iter().any(|byte| *byte != 0));
        for path in &paths[..2] {
            assert!(!path.exists(), "a segment without a parcel is deleted");
        }
        let mut secrets = vec![&before[2][extent(1)][..32], &before[3][extent(0)][..32]];
        secrets.extend([0, 1].map(|slot| &before[0][extent(slot)][..32]));
        for file in files(dir.path(), "") {
            let bytes = fs::read(&file).unwrap_or_default();
            for secret in &secrets {
                let found = bytes.windows(32).any(|window| window == *secret);
                assert!(!found, "{}", file.display());
            }
        }
    });
}

#[test]
fn names_and_parcels_are_in_no_file() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Spool::open(config(dir.path())).unwrap();
        store.allow_inbox(address(0xa1)).await.unwrap();
        store.put_parcel(put(0xa1, 0xb2, 3, 5)).await.unwrap();
        store.close().await.unwrap();
        let digest = valise_protocol::hash::sha256(&[parcel(5).sealed()]);
        let canaries: [&[u8]; 4] = [&[0xa1; 32], &[0xb2; 16], &canary(5)[..12], &digest[..8]];
        for file in files(dir.path(), "") {
            let bytes = fs::read(&file).unwrap_or_default();
            for canary in canaries {
                let found = bytes.windows(canary.len()).any(|window| window == canary);
                assert!(!found, "{canary:02x?} in {}", file.display());
            }
        }
    });
}

#[test]
fn parcels_survive_rewraps_and_old_copies_of_their_slots_open_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (live, old) = (dir.path().join("live"), dir.path().join("old"));
        laden(&live).await.close().await.unwrap();
        copy(&live, &old);
        let store = Spool::open(config(&live)).unwrap();
        store.rewrap().await.unwrap();
        assert_eq!(cargo(&store).await, [1, 2, 3, 4, 5]);
        store.close().await.unwrap();
        drop(store);
        let store = Spool::open(config(&live)).unwrap();
        assert_eq!(cargo(&store).await, [1, 2, 3, 4, 5]);
        store.close().await.unwrap();
        drop(store);
        for file in segments(&old) {
            fs::copy(&file, live.join(file.file_name().unwrap())).unwrap();
        }
        let store = Spool::open(config(&live)).unwrap();
        assert!(cargo(&store).await.is_empty());
        assert_eq!(store.usage().await.unwrap().damaged, 5);
    });
}

/// Segments of eight parcels, of which one is left in each but the last.
async fn sparse(dir: &Path) -> SpoolConfig {
    let config = SpoolConfig {
        slots: 32,
        ..config(dir)
    };
    let store = Spool::open(config.clone()).unwrap();
    store.allow_inbox(address(1)).await.unwrap();
    for round in 0..3_u32 {
        for index in 0..8 {
            let attachment = if index == 0 { 1 } else { 100 };
            let number = 8 * round + index;
            store
                .put_parcel(put(1, attachment, number, number))
                .await
                .unwrap();
        }
        store.delete_parcels(namespace(100)).await.unwrap();
    }
    store.close().await.unwrap();
    config
}

const LEFT: [(u32, u32); 3] = [(0, 0), (8, 8), (16, 16)];

#[test]
fn what_is_left_of_sparse_segments_of_parcels_moves_together() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let config = sparse(dir.path()).await;
        assert_eq!(segments(dir.path()).len(), 3);
        let store = Spool::open(config.clone()).unwrap();
        store.rewrap().await.unwrap();
        assert_eq!(parcels(&store, 1, START).await, LEFT);
        assert!(segments(dir.path()).len() <= 2);
        store.close().await.unwrap();
        drop(store);
        let store = Spool::open(config).unwrap();
        assert_eq!(parcels(&store, 1, START).await, LEFT);
        let usage = store.usage().await.unwrap();
        assert_eq!((usage.parcels, usage.damaged), (3, 0));
        assert_eq!(store.delete_parcels(namespace(1)).await.unwrap(), 3);
    });
}

#[test]
fn a_crash_at_any_step_of_a_move_of_parcels_loses_and_doubles_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        sparse(&whole).await;
        for step in 1.. {
            let (live, cut) = (dir.path().join("live"), dir.path().join("cut"));
            copy(&whole, &live);
            let _ = fs::remove_dir_all(&cut);
            let config = |dir: &Path| SpoolConfig {
                slots: 32,
                ..config(dir)
            };
            let disk = PowerDisk::new();
            let store = Spool::open_on(Box::new(disk.clone()), config(&live)).unwrap();
            segments(&live).iter().for_each(|path| disk.adopt(path));
            files(&live, "segment-")
                .iter()
                .for_each(|path| disk.adopt(path));
            disk.fail_from(disk.syncs() + step);
            let done = store.rewrap().await.is_ok();
            disk.cut(&live, &cut, || step % 2 == 0);
            let again = Spool::open(config(&cut)).unwrap();
            assert_eq!(parcels(&again, 1, START).await, LEFT, "step {step}");
            assert_eq!(again.usage().await.unwrap().parcels, 3, "step {step}");
            again.close().await.unwrap();
            if done {
                assert!(step > 10, "a move takes more syncs than {step}");
                break;
            }
        }
    });
}

#[test]
fn the_removal_of_an_inbox_with_parcels_is_completed_after_a_crash() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        for step in 1..=6 {
            let live = dir.path().join(format!("live-{step}"));
            let cut = dir.path().join(format!("cut-{step}"));
            let disk = PowerDisk::new();
            let store = Spool::open_on(Box::new(disk.clone()), config(&live)).unwrap();
            store.allow_inbox(address(1)).await.unwrap();
            store.allow_inbox(address(2)).await.unwrap();
            for index in 0..3 {
                store.put_parcel(put(1, 1, index, index)).await.unwrap();
            }
            store.put_parcel(put(2, 1, 3, 3)).await.unwrap();
            disk.fail_from(disk.syncs() + step);
            let done = store.remove_inbox(address(1)).await.is_ok();
            disk.cut(&live, &cut, || false);
            let store = Spool::open(config(&cut)).unwrap();
            let served = store.inboxes().await.unwrap().len();
            let held = parcels(&store, 1, START).await.len();
            let begun = step > 1;
            assert_eq!(
                (served, held),
                if begun { (1, 1) } else { (2, 4) },
                "{step}"
            );
            assert!(begun || !done);
        }
    });
}
