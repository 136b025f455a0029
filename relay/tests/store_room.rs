//! A spool that runs out of room: of bytes, and of descriptors.
#![allow(clippy::unwrap_used)]

mod stores;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stores::power::PowerDisk;
use stores::*;
use valise_relay::store::{Reader, Spool, SpoolConfig, Store, StoreError};

/// Names the directory to a test that runs again, in a process of its own.
const INSIDE: &str = "VALISE_TEST_ROOM";

/// Runs a test of this file again, started by these words, and with a directory in `$VALISE_TEST_ROOM`. Gives the directory within,
/// and `None` without, when the test has succeeded within.
fn again(test: &str, words: &[&str]) -> Option<PathBuf> {
    if let Some(inside) = std::env::var_os(INSIDE) {
        return Some(inside.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    let status = command.env(INSIDE, dir.path()).status().unwrap();
    assert!(status.success(), "it failed in a process of its own");
    None
}

#[test]
fn a_full_disk_refuses_deposits_and_serves_on() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let disk = PowerDisk::new();
        let config = SpoolConfig {
            min_free_bytes: 1 << 20,
            ballast_bytes: 1 << 20,
            ..config(&path)
        };
        let open = || Spool::open_on(Box::new(disk.clone()), config.clone()).unwrap();
        let store = open();
        store.deposit(deposit(holder(1), 1)).await.unwrap();
        store.deposit(deposit(holder(1), 2)).await.unwrap();
        assert!(path.join("ballast").exists());
        disk.set_free(1_000);
        let full = store.deposit(deposit(holder(1), 3)).await;
        assert!(matches!(full, Err(StoreError::StoreFull)));
        assert!(!path.join("ballast").exists());
        store
            .remove(holder(1), Reader::Holder, &[digest(1)])
            .await
            .unwrap();
        store.close().await.unwrap();
        drop(store);
        let store = open();
        assert_eq!(waiting(&store, holder(1), Reader::Holder).await, [2]);
        store
            .remove(holder(1), Reader::Holder, &[digest(2)])
            .await
            .unwrap();
        let full = store.deposit(deposit(holder(1), 3)).await;
        assert!(matches!(full, Err(StoreError::StoreFull)));
        disk.set_free(u64::MAX);
        store.deposit(deposit(holder(1), 3)).await.unwrap();
    });
}

#[test]
fn a_really_full_disk_refuses_serves_and_recovers() {
    let mounts = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .status();
    if !mounts.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let script = "mount -t tmpfs -o size=16m none \"$VALISE_TEST_ROOM\" && exec \"$@\"";
    let words = ["unshare", "-rm", "sh", "-c", script, "sh"];
    let Some(small) = again("a_really_full_disk_refuses_serves_and_recovers", &words) else {
        return;
    };
    runtime().block_on(async {
        let config = SpoolConfig {
            ballast_bytes: 1 << 20,
            ..config(&small.join("store"))
        };
        let store = Spool::open(config.clone()).unwrap();
        let mut stored = Vec::new();
        let refused = loop {
            let number = stored.len() as u32;
            match store.deposit(deposit(holder(1), number)).await {
                Ok(_) => stored.push(number),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::StoreFull), "{refused}");
        assert_eq!(waiting(&store, holder(1), Reader::Holder).await, stored);
        let filler = small.join("filler");
        let _ = fs::write(&filler, vec![1; 64 << 20]);
        let gone: Vec<_> = stored.drain(..20).map(digest).collect();
        store
            .remove(holder(1), Reader::Holder, &gone)
            .await
            .unwrap();
        let _ = fs::write(small.join("filler-2"), vec![1; 64 << 20]);
        store.close().await.unwrap();
        drop(store);
        let config = SpoolConfig {
            min_free_bytes: 3 << 20,
            ..config
        };
        let store = Spool::open(config).unwrap();
        assert_eq!(waiting(&store, holder(1), Reader::Holder).await, stored);
        let refused = store.deposit(deposit(holder(1), 900)).await;
        assert!(matches!(refused, Err(StoreError::StoreFull)));
        let rest: Vec<_> = stored.drain(..).map(digest).collect();
        store
            .remove(holder(1), Reader::Holder, &rest)
            .await
            .unwrap();
        fs::remove_file(filler).unwrap();
        fs::remove_file(small.join("filler-2")).unwrap();
        store.deposit(deposit(holder(1), 900)).await.unwrap();
        fs::remove_dir_all(small.join("store")).unwrap();
    });
}

/// Lets this process have so many descriptors more than it has, and no more, until the guard is dropped.
struct Spare {
    before: Rlimit,
    _held: Vec<File>,
}

impl Spare {
    fn leave(descriptors: usize) -> Self {
        let before = getrlimit(Resource::Nofile);
        let limit = Rlimit {
            current: Some(64),
            ..before
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        let mut held: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        held.truncate(held.len() - descriptors);
        Self {
            before,
            _held: held,
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).unwrap();
    }
}

#[test]
fn with_any_number_of_descriptors_left_a_store_says_full_or_stores_and_lives() {
    let test = "with_any_number_of_descriptors_left_a_store_says_full_or_stores_and_lives";
    let Some(dir) = again(test, &["env"]) else {
        return;
    };
    runtime().block_on(async {
        let store = Spool::open(config(&dir.join("s"))).unwrap();
        let (mut number, mut refusals, mut kept) = (0, 0, Vec::new());
        for spare in (0..6).chain((0..6).rev()) {
            let guard = Spare::leave(spare);
            // More than a segment holds.
            for _ in 0..12 {
                number += 1;
                match store.deposit(deposit(holder(1), number)).await {
                    Ok(_) => kept.push(number),
                    Err(StoreError::StoreFull) => refusals += 1,
                    Err(other) => panic!("with {spare} left: {other}"),
                }
            }
            assert_eq!(waiting(&store, holder(1), Reader::Holder).await, kept);
            // What empties segments, and what writes the key file.
            let gone: Vec<_> = kept.drain(..kept.len() / 2).map(digest).collect();
            let removed = store.remove(holder(1), Reader::Holder, &gone).await;
            removed.unwrap_or_else(|error| panic!("with {spare} left: {error}"));
            match store.rewrap().await {
                Ok(()) | Err(StoreError::StoreFull) => (),
                Err(other) => panic!("with {spare} left: {other}"),
            }
            drop(guard);
            number += 1;
            store.deposit(deposit(holder(1), number)).await.unwrap();
            kept.push(number);
        }
        assert!(refusals > 0, "there were enough descriptors all the time");
        assert_eq!(waiting(&store, holder(1), Reader::Holder).await, kept);
        store.close().await.unwrap();
        drop(store);
        let store = Spool::open(config(&dir.join("s"))).unwrap();
        assert_eq!(waiting(&store, holder(1), Reader::Holder).await, kept);
        assert_eq!(store.usage().await.unwrap().damaged, 0);
    });
}
