//! Rewrapping and compaction of the spool: the old key is worthless afterwards, and nothing is lost on the way.
#![allow(clippy::unwrap_used)]

mod stores;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use stores::power::PowerDisk;
use stores::sample::*;
use stores::*;
use valise_relay::store::{Cursor, Reader, Spool, SpoolConfig, Store};

/// Crashes at each step of a rewrap, and looks at what a start finds. Returns how many steps there are.
async fn crash_at_each_step(whole: &Path) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let mut random = 3_u64;
    for step in 1.. {
        let (live, cut) = (dir.path().join("live"), dir.path().join("cut"));
        copy(whole, &live);
        let disk = PowerDisk::new();
        let store = Spool::open_on(Box::new(disk.clone()), config(&live)).unwrap();
        for file in files(&live, "segment") {
            // What was there before the test began counts as durable.
            disk.adopt(&file);
        }
        disk.fail_from(disk.syncs() + step);
        let done = store.rewrap().await.is_ok();
        let _ = fs::remove_dir_all(&cut);
        disk.cut(&live, &cut, || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            [false, true, random >> 63 == 0][step as usize % 3]
        });
        for rewrapped in [false, true] {
            let again = Spool::open(config(&cut)).unwrap();
            if rewrapped {
                again.rewrap().await.unwrap();
            }
            assert_eq!(missing(&again).await, 0, "step {step}");
            let usage = again.usage().await.unwrap();
            let found = (usage.inbox_envelopes, usage.return_envelopes);
            assert_eq!(found, (1, 9), "step {step}: something is there twice");
            again.close().await.unwrap();
        }
        if done {
            return step;
        }
    }
    0
}

#[test]
fn a_crash_at_any_step_of_a_rewrap_loses_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path()).await;
        let steps = crash_at_each_step(dir.path()).await;
        assert!(steps > 5, "a rewrap takes more syncs than {steps}");
    });
}

#[test]
fn a_crash_at_any_step_of_a_compaction_loses_and_doubles_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        sparse_sample(dir.path()).await;
        let steps = crash_at_each_step(dir.path()).await;
        assert!(steps > 40, "a compaction takes more syncs than {steps}");
    });
}

#[test]
fn a_crash_at_any_step_of_a_rewrap_leaves_the_old_key_in_no_file_after_the_next() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        for step in 1.. {
            let (live, cut) = (dir.path().join("live"), dir.path().join("cut"));
            let held = dir.path().join("held");
            for path in [&live, &cut, &held] {
                let _ = fs::remove_dir_all(path);
            }
            let disk = PowerDisk::new();
            let store = Spool::open_on(Box::new(disk.clone()), config(&live)).unwrap();
            store.deposit(deposit(holder(1), 1)).await.unwrap();
            // Behind magic, version, length, id, generation, epoch, slots and blinding key.
            let old = fs::read(live.join("keys")).unwrap()[84..116].to_vec();
            disk.fail_from(disk.syncs() + step);
            let done = store.rewrap().await.is_ok();
            disk.cut(&live, &cut, || step % 2 == 0);
            // What is unlinked later can still be looked at here.
            fs::create_dir(&held).unwrap();
            for file in files(&cut, "") {
                fs::hard_link(&file, held.join(file.file_name().unwrap())).unwrap();
            }
            let again = Spool::open(config(&cut)).unwrap();
            again.rewrap().await.unwrap();
            assert_eq!(waiting(&again, holder(1), Reader::Holder).await, [1]);
            again.close().await.unwrap();
            for file in [files(&cut, ""), files(&held, "")].concat() {
                let bytes = fs::read(&file).unwrap_or_default();
                let found = bytes.windows(32).any(|window| window == old);
                assert!(!found, "step {step}: {}", file.display());
            }
            if done {
                assert!(step > 7, "a rewrap takes more syncs than {step}");
                break;
            }
        }
    });
}

#[test]
fn what_is_left_of_sparse_segments_moves_together() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        sparse_sample(&path).await;
        assert_eq!(files(&path, "segment").len(), 12);
        let store = Spool::open(config(&path)).unwrap();
        let before = store.usage().await.unwrap();
        store.rewrap().await.unwrap();
        assert!(files(&path, "segment").len() <= 2);
        assert_eq!(missing(&store).await, 0);
        let after = store.usage().await.unwrap();
        assert_eq!(after.return_envelopes, before.return_envelopes);
        assert_eq!(after.damaged, 0);
        store.close().await.unwrap();
        drop(store);
        let store = Spool::open(config(&path)).unwrap();
        assert_eq!(missing(&store).await, 0);
        assert_eq!(store.usage().await.unwrap().damaged, 0);
        // What one device had removed before the move is removed after it, and a removal finds what was moved.
        let roster = [device(1), device(2)];
        let [first, second] = roster.map(|me| Reader::Device {
            me,
            roster: &roster,
        });
        assert_eq!(waiting(&store, inbox(1), first).await, []);
        assert_eq!(waiting(&store, inbox(1), second).await, [11]);
        for number in 1..=9 {
            let mine = [digest(number)];
            let removal = store.remove(holder(number as u8), Reader::Holder, &mine);
            removal.await.unwrap();
        }
        assert_eq!(store.usage().await.unwrap().return_envelopes, 0);
    });
}

#[test]
fn polls_find_everything_while_it_moves() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        sparse_sample(dir.path()).await;
        let store = Arc::new(Spool::open(config(dir.path())).unwrap());
        for _ in 0..5 {
            let rewrapping = tokio::spawn({
                let store = store.clone();
                async move { store.rewrap().await }
            });
            while !rewrapping.is_finished() {
                assert_eq!(missing(&store).await, 0);
            }
            rewrapping.await.unwrap().unwrap();
        }
        assert_eq!(store.usage().await.unwrap().damaged, 0);
    });
}

#[test]
fn a_damaged_record_does_not_move_and_is_noticed() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        sparse_sample(dir.path()).await;
        let store = Spool::open(config(dir.path())).unwrap();
        let hurt = dir.path().join("segment-0000000006");
        let file = fs::OpenOptions::new().write(true).open(&hurt).unwrap();
        file.write_all_at(&[0xee; 8], 4_096 + 100).unwrap();
        store.rewrap().await.unwrap();
        assert_eq!(store.usage().await.unwrap().damaged, 1);
        assert_eq!(missing(&store).await, 1);
        assert_eq!(store.usage().await.unwrap().damaged, 1);
        assert!(hurt.exists());
        assert!(files(dir.path(), "segment").len() <= 3);
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

/// Segments of one slot: as many as there are envelopes.
fn tiny(dir: &Path) -> SpoolConfig {
    SpoolConfig {
        slots: 1,
        ..config(dir)
    }
}

/// What the process with few descriptors does.
#[test]
#[ignore = "run by the test below"]
fn serves_with_few_descriptors() {
    let Some(dir) = std::env::var_os(CRAMPED) else {
        return;
    };
    runtime().block_on(async {
        let store = Arc::new(Spool::open(tiny(Path::new(&dir))).unwrap());
        store.deposit(deposit(holder(1), 1_000)).await.unwrap();
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = store.clone();
            readers.spawn(async move {
                let found = waiting(&*store, holder(1), Reader::Holder).await;
                assert_eq!(found.len() as u32, MANY + 1);
            });
        }
        readers.join_all().await;
        store.rewrap().await.unwrap();
        let gone: Vec<_> = (0..MANY).map(digest).collect();
        store
            .remove(holder(1), Reader::Holder, &gone)
            .await
            .unwrap();
        let left = waiting(&*store, holder(1), Reader::Holder).await;
        assert_eq!(left, [1_000]);
        store.close().await.unwrap();
    });
}

#[test]
fn a_store_with_more_segments_than_descriptors_opens_and_serves() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = Spool::open(tiny(&path)).unwrap();
        for number in 0..MANY {
            store.deposit(deposit(holder(1), number)).await.unwrap();
        }
        assert_eq!(files(&path, "segment").len() as u32, MANY);
        let found = store.next(holder(1), Reader::Holder, Cursor(0), START);
        assert!(found.await.unwrap().is_some());
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        assert!(open.filter(|file| file.starts_with(&path)).count() < 80);
        store.close().await.unwrap();
        drop(store);
        let served = Command::new("sh")
            .args(["-c", "ulimit -n 100; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "serves_with_few_descriptors", "--ignored"])
            .env(CRAMPED, &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&served.stdout);
        assert!(served.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    });
}

/// More segments than the descriptors of the process that is to serve them.
const MANY: u32 = 150;
/// Names the directory of that process.
const CRAMPED: &str = "VALISE_TEST_CRAMPED";
