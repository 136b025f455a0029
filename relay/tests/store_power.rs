//! What a spool has acknowledged is there after a power cut, a kill or a failed sync.
#![allow(clippy::unwrap_used)]

mod stores;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use stores::power::PowerDisk;
use stores::*;
use valise_relay::store::{Cursor, Disk, Reader, Spool, SpoolConfig, Store, StoreError};

/// What clients know: the oracle of every test of loss.
#[derive(Default, Clone)]
struct Journal {
    stored: BTreeSet<u32>,
    removing: BTreeSet<u32>,
    removed: BTreeSet<u32>,
}

/// Eight clients deposit, and remove every third of their own, until the store closes or all is done.
async fn work(store: &Arc<Spool>, journal: &Arc<Mutex<Journal>>, each: u32) {
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8u32 {
        let (store, journal) = (store.clone(), journal.clone());
        clients.spawn(async move {
            for number in (0..each).map(|n| client * 1_000 + n) {
                let mailbox = holder(client as u8 + 1);
                if store.deposit(deposit(mailbox, number)).await.is_err() {
                    return;
                }
                journal.lock().unwrap().stored.insert(number);
                if number % 3 == 0 {
                    journal.lock().unwrap().removing.insert(number);
                    let removal = store
                        .remove(mailbox, Reader::Holder, &[digest(number)])
                        .await;
                    if removal.is_err() {
                        return;
                    }
                    journal.lock().unwrap().removed.insert(number);
                }
            }
        });
    }
    clients.join_all().await;
}

/// Opens what a power cut left; how many acknowledged envelopes are not there, once and whole; and how many were
/// indexed and turned out to be damaged when they were read.
async fn lost(dir: &Path, before: &Journal, after: &Journal) -> (usize, u64) {
    let Ok(store) = Spool::open(config(dir)) else {
        return (before.stored.len(), 0);
    };
    let (mut found, mut damaged) = (Vec::new(), 0);
    for client in 0..8 {
        let mut cursor = Cursor(0);
        loop {
            match store
                .next(holder(client + 1), Reader::Holder, cursor, START)
                .await
            {
                Ok(Some(waiting)) => {
                    cursor = waiting.cursor;
                    found.push(number_of(&waiting.envelope));
                }
                Ok(None) => break,
                Err(StoreError::Damaged) => damaged += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    store.close().await.unwrap();
    let once: BTreeSet<u32> = found.iter().copied().collect();
    assert_eq!(once.len(), found.len(), "an envelope came twice");
    assert_eq!(
        once.intersection(&before.removed).count(),
        0,
        "a removed envelope came back"
    );
    let missing = before.stored.iter();
    let missing = missing.filter(|n| !once.contains(n) && !after.removing.contains(n));
    (missing.count(), damaged)
}

/// Cuts the power again and again while clients work; `lie` takes the sync out. Returns how many acknowledged envelopes were lost,
/// and how many were found damaged.
async fn cut_while_working(lie: bool, slots: u32) -> (usize, u64) {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let disk = PowerDisk::new();
    let config = SpoolConfig {
        slots,
        ..config(&live)
    };
    let store = Arc::new(Spool::open_on(Box::new(disk.clone()), config).unwrap());
    if lie {
        disk.lie();
    }
    let journal = Arc::new(Mutex::new(Journal::default()));
    let working = tokio::spawn({
        let (store, journal) = (store.clone(), journal.clone());
        async move {
            work(
                &store,
                &journal,
                if long() {
                    150
                } else if slots == 8 {
                    12
                } else {
                    5
                },
            )
            .await
        }
    });
    // All cuts are taken while the clients work, and looked at afterwards: looking takes longer than the work.
    let (mut cuts, mut seen, mut random) = (Vec::new(), 0, 1_u64);
    while !working.is_finished() {
        // Each deposit into small segments takes more syncs.
        let pause = if slots == 8 { 2 } else { 3 };
        if disk.syncs() < seen + pause {
            tokio::task::yield_now().await;
            continue;
        }
        seen = disk.syncs();
        let before = journal.lock().unwrap().clone();
        let into = dir.path().join(format!("cut-{}", cuts.len()));
        let held_back = cuts.len() % 3 == 0;
        disk.cut(&live, &into, || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            !held_back && random >> 63 == 0
        });
        let after = journal.lock().unwrap().clone();
        cuts.push((into, before, after));
    }
    working.await.unwrap();
    assert!(
        cuts.len() > 8,
        "too few cuts to mean anything: {}",
        cuts.len()
    );
    let (mut losses, mut damages) = (0, 0);
    for (into, before, after) in cuts {
        let (lost, damaged) = lost(&into, &before, &after).await;
        losses += lost;
        damages += damaged;
        fs::remove_dir_all(into).unwrap();
    }
    (losses, damages)
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    assert_eq!(runtime().block_on(cut_while_working(false, 8)), (0, 0));
}

#[test]
fn a_power_cut_between_two_segments_of_what_came_together_loses_nothing() {
    // Eight clients at once: nearly every batch meets the end of a segment, and some meet two.
    for slots in if long() { vec![1, 2, 3] } else { vec![3] } {
        let lost = runtime().block_on(cut_while_working(false, slots));
        assert_eq!(lost, (0, 0), "{slots} slots");
    }
}

#[test]
fn without_the_sync_the_same_power_cuts_lose() {
    assert!(runtime().block_on(cut_while_working(true, 8)).0 > 0);
}

/// What the killed process does: deposits until it is killed, and says of each that it was acknowledged.
#[test]
#[ignore = "run by the test below"]
fn deposits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(VICTIM) else {
        return;
    };
    let store = Arc::new(Spool::open(config(Path::new(&dir))).unwrap());
    runtime().block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..8u32 {
            let store = store.clone();
            clients.spawn(async move {
                for number in (0..).map(|n| client * 1_000 + n) {
                    store
                        .deposit(deposit(holder(client as u8 + 1), number))
                        .await
                        .unwrap();
                    println!("acknowledged {number}");
                }
            });
        }
        clients.join_all().await;
    });
}

#[test]
fn a_killed_process_has_kept_all_that_it_acknowledged() {
    for round in 0..if long() { 40 } else { 3 } {
        let dir = tempfile::tempdir().unwrap();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "deposits_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut journal = Journal::default();
        let mut note = |line: String| {
            let number = line
                .split_once("acknowledged ")
                .map(|(_, number)| number.parse::<u32>());
            journal.stored.extend(number.into_iter().flatten());
            journal.stored.len()
        };
        while note(lines.next().unwrap().unwrap()) < 20 + 9 * round {}
        victim.kill().unwrap();
        victim.wait().unwrap();
        lines.map_while(Result::ok).for_each(|line| {
            note(line);
        });
        let lost = runtime().block_on(lost(dir.path(), &journal, &journal));
        assert_eq!(lost, (0, 0));
    }
}

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

/// A disk that cannot write around the page cache: it says so when a file is opened, or not before it is written to.
struct CachedOnly {
    disk: PowerDisk,
    says_so: Refuses,
}

#[derive(Clone, Copy, Debug)]
enum Refuses {
    ToOpen,
    ToWrite,
}

impl Disk for CachedOnly {
    fn sync(&self, file: &File) -> std::io::Result<()> {
        self.disk.sync(file)
    }

    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free(&self, dir: &Path) -> std::io::Result<u64> {
        self.disk.free(dir)
    }

    fn open_direct(&self, _: &Path) -> std::io::Result<File> {
        match self.says_so {
            Refuses::ToOpen => Err(std::io::Error::from_raw_os_error(22)),
            // Takes a number and says EINVAL to anything else, as a file does that is not meant to be written like this.
            Refuses::ToWrite => File::options().write(true).open("/proc/self/oom_score_adj"),
        }
    }
}

#[test]
fn where_the_page_cache_cannot_be_passed_by_deposits_are_durable_all_the_same() {
    runtime().block_on(async {
        for says_so in [Refuses::ToOpen, Refuses::ToWrite] {
            let dir = tempfile::tempdir().unwrap();
            let (live, cut) = (dir.path().join("live"), dir.path().join("cut"));
            let disk = PowerDisk::new();
            let cached = CachedOnly {
                disk: disk.clone(),
                says_so,
            };
            let store = Spool::open_on(Box::new(cached), config(&live)).unwrap();
            for number in 0..10 {
                store.deposit(deposit(holder(1), number)).await.unwrap();
            }
            disk.cut(&live, &cut, || false);
            let store = Spool::open(config(&cut)).unwrap();
            let found = waiting(&store, holder(1), Reader::Holder).await;
            assert_eq!(found, Vec::from_iter(0..10), "{says_so:?}");
        }
    });
}

/// Names the directory of the process that is to be killed.
const VICTIM: &str = "VALISE_TEST_VICTIM";
