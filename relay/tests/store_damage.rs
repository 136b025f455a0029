//! What a spool does with sectors that the disk does not give back: each costs its own record, and nothing else.
#![allow(clippy::unwrap_used)]

mod stores;

use std::path::{Path, PathBuf};

use stores::power::PowerDisk;
use stores::*;
use valise_relay::store::{Cursor, Reader, Spool, SpoolConfig, Store, StoreError};

/// A store on a disk that can go bad: `count` envelopes in mailboxes of their own, eight to a segment.
struct Bad {
    disk: PowerDisk,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Bad {
    async fn with(count: u8) -> (Self, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let bad = Self {
            disk: PowerDisk::new(),
            path: dir.path().join("s"),
            _dir: dir,
        };
        let store = bad.open();
        for number in 0..count {
            store
                .deposit(deposit(holder(number), number.into()))
                .await
                .unwrap();
        }
        (bad, store)
    }

    fn open(&self) -> Spool {
        Spool::open_on(Box::new(self.disk.clone()), config(&self.path)).unwrap()
    }

    async fn reopen(&self, store: Spool) -> Spool {
        store.close().await.unwrap();
        drop(store);
        self.open()
    }

    fn segment(&self, number: u32) -> PathBuf {
        self.path.join(format!("segment-{number:010}"))
    }

    fn spoil_slot(&self, segment: u32, slot: u64) {
        let range = slot * 256..slot * 256 + 1;
        self.disk.spoil(&self.segment(segment), range);
    }

    fn spoil_extent(&self, segment: u32, slot: u64) {
        let at = 4_096 + slot * 65_536 + 30_000;
        self.disk.spoil(&self.segment(segment), at..at + 1);
    }
}

/// Which of the mailboxes 0 to `count` give their envelope.
async fn there(store: &Spool, count: u8) -> Vec<u8> {
    let mut there = Vec::new();
    for number in 0..count {
        match store
            .next(holder(number), Reader::Holder, Cursor(0), START)
            .await
        {
            Ok(Some(found)) => {
                assert_eq!(number_of(&found.envelope), u32::from(number));
                there.push(number);
            }
            Ok(None) | Err(StoreError::Damaged) => {}
            Err(error) => panic!("{error}"),
        }
    }
    there
}

async fn damaged(store: &Spool) -> u64 {
    store.usage().await.unwrap().damaged
}

fn all_but(count: u8, lost: &[u8]) -> Vec<u8> {
    (0..count).filter(|n| !lost.contains(n)).collect()
}

#[test]
fn a_start_sets_aside_what_cannot_be_read_and_loses_nothing_else() {
    runtime().block_on(async {
        let (bad, store) = Bad::with(20).await;
        store.close().await.unwrap();
        drop(store);
        bad.spoil_slot(1, 2);
        bad.spoil_slot(3, 1);
        bad.spoil_extent(3, 2);
        bad.disk.spoil(&bad.path.join("keys"), 0..1);
        let store = bad.open();
        assert_eq!(there(&store, 20).await, all_but(20, &[2, 17, 18]));
        assert_eq!(there(&store, 20).await, all_but(20, &[2, 17, 18]));
        // Three records and one copy of the keys, however often they were met.
        assert_eq!(damaged(&store).await, 4);
        store.deposit(deposit(holder(20), 20)).await.unwrap();
        bad.disk.heal();
        let store = bad.reopen(store).await;
        assert_eq!(there(&store, 21).await, all_but(21, &[]));
        assert_eq!(damaged(&store).await, 0);
    });
}

#[test]
fn a_start_on_two_unreadable_copies_of_the_keys_is_refused() {
    runtime().block_on(async {
        let (bad, store) = Bad::with(1).await;
        store.close().await.unwrap();
        drop(store);
        bad.disk.spoil(&bad.path.join("keys"), 0..8_192);
        let opened = Spool::open_on(Box::new(bad.disk.clone()), config(&bad.path));
        let refused = opened.err().unwrap().to_string();
        assert_eq!(refused, "the key file of the store is damaged");
    });
}

#[test]
fn a_segment_that_cannot_be_opened_costs_itself_and_keeps_its_name() {
    runtime().block_on(async {
        let (bad, store) = Bad::with(8).await;
        store.close().await.unwrap();
        drop(store);
        std::os::unix::fs::symlink(Path::new("nowhere"), bad.segment(2)).unwrap();
        let store = bad.open();
        assert_eq!(damaged(&store).await, 1);
        store.deposit(deposit(holder(8), 8)).await.unwrap();
        assert_eq!(there(&store, 9).await, all_but(9, &[]));
        assert!(bad.segment(2).is_symlink());
    });
}

#[test]
fn a_poll_passes_over_what_cannot_be_read() {
    runtime().block_on(async {
        for extent in [false, true] {
            let (bad, store) = Bad::with(0).await;
            for number in 0..3 {
                store.deposit(deposit(holder(1), number)).await.unwrap();
            }
            match extent {
                false => bad.spoil_slot(1, 0),
                true => bad.spoil_extent(1, 0),
            }
            let polled = store
                .next(holder(1), Reader::Holder, Cursor(0), START)
                .await;
            assert!(matches!(polled, Err(StoreError::Damaged)));
            assert_eq!(waiting(&store, holder(1), Reader::Holder).await, [1, 2]);
            assert_eq!(damaged(&store).await, 1);
            bad.disk.heal();
            let store = bad.reopen(store).await;
            assert_eq!(waiting(&store, holder(1), Reader::Holder).await, [0, 1, 2]);
        }
    });
}

#[test]
fn what_cannot_be_read_is_removed_all_the_same() {
    runtime().block_on(async {
        let (bad, store) = Bad::with(3).await;
        bad.spoil_slot(1, 1);
        store
            .remove(holder(1), Reader::Holder, &[digest(1)])
            .await
            .unwrap();
        assert_eq!(damaged(&store).await, 0);
        bad.disk.heal();
        let store = bad.reopen(store).await;
        assert_eq!(there(&store, 3).await, all_but(3, &[1]));
        assert_eq!(damaged(&store).await, 0);
    });
}

#[test]
fn what_cannot_be_overwritten_is_removed_with_its_extent() {
    runtime().block_on(async {
        let (bad, store) = Bad::with(3).await;
        bad.disk.spoil_writes(&bad.segment(1), 256..257);
        store
            .remove(holder(1), Reader::Holder, &[digest(1)])
            .await
            .unwrap();
        assert_eq!(damaged(&store).await, 1);
        assert_eq!(there(&store, 3).await, all_but(3, &[1]));
        store.deposit(deposit(holder(3), 3)).await.unwrap();
        bad.disk.heal();
        let store = bad.reopen(store).await;
        assert_eq!(there(&store, 4).await, all_but(4, &[1]));
    });
}

#[test]
fn a_device_that_removes_what_cannot_be_read_leaves_it_to_its_colleagues() {
    runtime().block_on(async {
        let (bad, store) = Bad::with(0).await;
        store.allow_inbox(address(1)).await.unwrap();
        for number in 0..2 {
            store.deposit(deposit(inbox(1), number)).await.unwrap();
        }
        let roster = [device(1), device(2)];
        let [first, second] = roster.map(|me| Reader::Device {
            me,
            roster: &roster,
        });
        bad.spoil_slot(1, 1);
        store.remove(inbox(1), first, &[digest(0)]).await.unwrap();
        assert_eq!(damaged(&store).await, 1);
        assert_eq!(waiting(&store, inbox(1), second).await, [1]);
        bad.disk.heal();
        let store = bad.reopen(store).await;
        assert_eq!(waiting(&store, inbox(1), second).await, [0, 1]);
        // The last one to remove it needs no reading.
        store.remove(inbox(1), first, &[digest(0)]).await.unwrap();
        bad.spoil_slot(1, 1);
        store.remove(inbox(1), second, &[digest(0)]).await.unwrap();
        assert_eq!(damaged(&store).await, 0);
        bad.disk.heal();
        let store = bad.reopen(store).await;
        assert_eq!(waiting(&store, inbox(1), Reader::Holder).await, [1]);
    });
}

#[test]
fn a_rewrap_passes_over_a_slot_that_cannot_be_read() {
    runtime().block_on(async {
        let (bad, store) = Bad::with(20).await;
        bad.spoil_slot(1, 2);
        store.rewrap().await.unwrap();
        assert_eq!(damaged(&store).await, 1);
        assert_eq!(there(&store, 20).await, all_but(20, &[2]));
        let store = bad.reopen(store).await;
        store.rewrap().await.unwrap();
        assert_eq!(there(&store, 20).await, all_but(20, &[2]));
        assert_eq!(damaged(&store).await, 1);
    });
}

#[test]
fn a_rewrap_that_a_crash_interrupted_goes_on_beside_a_slot_that_cannot_be_read() {
    runtime().block_on(async {
        let (bad, store) = Bad::with(20).await;
        // The key file takes three syncs, the first segment one.
        bad.disk.fail_from(bad.disk.syncs() + 5);
        assert!(store.rewrap().await.is_err());
        drop(store);
        bad.disk.fail_from(u64::MAX);
        bad.spoil_slot(2, 2);
        let store = bad.open();
        store.rewrap().await.unwrap();
        let store = bad.reopen(store).await;
        assert_eq!(there(&store, 20).await, all_but(20, &[10]));
        assert_eq!(damaged(&store).await, 1);
    });
}

#[test]
fn a_segment_that_goes_missing_while_it_is_served_costs_itself() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let config = SpoolConfig {
            slots: 1,
            ..config(dir.path())
        };
        let store = Spool::open(config).unwrap();
        // More than are kept open, so that the first ones have to be opened again.
        for number in 0..100 {
            let mailbox = holder(number);
            store
                .deposit(deposit(mailbox, number.into()))
                .await
                .unwrap();
        }
        for number in 1..=3 {
            let name = format!("segment-{number:010}");
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        store
            .remove(holder(0), Reader::Holder, &[digest(0)])
            .await
            .unwrap();
        let polled = store
            .next(holder(1), Reader::Holder, Cursor(0), START)
            .await;
        assert!(matches!(polled, Err(StoreError::Damaged)));
        store.rewrap().await.unwrap();
        assert_eq!(there(&store, 100).await, all_but(100, &[0, 1, 2]));
        assert_eq!(damaged(&store).await, 3);
    });
}
