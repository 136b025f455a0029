//! What the spool costs: deposits against the disk's own limit, polls against the number of envelopes, rebuilding, memory.
//!
//! `cargo bench -p valise-relay --bench store` takes 8 GiB under `VALISE_BENCH_DIR` (else the directory for temporary files)
//! and about two minutes. `VALISE_BENCH_ENVELOPES` sets another number than 100,000.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use valise_protocol::id::{Address, MailboxId, Namespace, WithdrawHash};
use valise_protocol::limits::ENVELOPE;
use valise_protocol::parcel::ParcelBuffer;
use valise_protocol::time::Timestamp;
use valise_relay::store::{
    Ceilings, Cursor, Deposit, Mailbox, Put, Reader, Spool, SpoolConfig, Store, Target,
};

fn main() {
    let runtime = Runtime::new().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == REOPEN) {
        return reopen(&runtime, Path::new(&arguments[at + 1]));
    }
    let parent =
        std::env::var_os("VALISE_BENCH_DIR").unwrap_or_else(|| std::env::temp_dir().into());
    let dir = Path::new(&parent).join(format!("valise-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    deposits(&runtime, &dir);
    filled(&runtime, &dir);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Rounds of plain appends and of deposits in turn, so that both meet the same disk.
fn deposits(runtime: &Runtime, dir: &Path) {
    let (mut plain, mut spool) = (Vec::new(), Vec::new());
    let store = Arc::new(Spool::open(config(&dir.join("deposits"))).unwrap());
    for round in 0..ROUNDS {
        plain.push(append(&dir.join("plain")));
        spool.push(runtime.block_on(deposit_all(&store, round * PER_ROUND, PER_ROUND)));
    }
    runtime.block_on(store.close()).unwrap();
    print("append and fdatasync, 64 at a time, a second", &mut plain);
    print("durable deposits, 64 writers, a second", &mut spool);
    println!(
        "{:<52} {:>9.2}",
        "ratio of the medians (holds at 0.60)",
        median(&spool) / median(&plain)
    );
    std::fs::remove_dir_all(dir.join("deposits")).unwrap();
    let store = Arc::new(Spool::open(config(&dir.join("puts"))).unwrap());
    let inbox = Address::from_bytes([1; 32]);
    runtime.block_on(store.allow_inbox(inbox)).unwrap();
    let mut puts: Vec<f64> = (0..ROUNDS)
        .map(|round| runtime.block_on(put_all(&store, inbox, round as u8)))
        .collect();
    runtime.block_on(store.close()).unwrap();
    print("durable puts, 16 writers, MiB a second", &mut puts);
    std::fs::remove_dir_all(dir.join("puts")).unwrap();
}

/// An attachment of 256 MiB, each round another, deleted afterwards.
async fn put_all(store: &Arc<Spool>, inbox: Address, round: u8) -> f64 {
    let namespace = Namespace::from_bytes([round; 32]);
    let started = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let store = store.clone();
        writers.spawn(async move {
            for index in (writer..1_024).step_by(16) {
                let put = Put {
                    account: Some(inbox.inbox()),
                    namespace,
                    index,
                    parcel: ParcelBuffer::new(),
                    now: Timestamp::from_seconds(0),
                    expires: Timestamp::from_seconds(1_000_000),
                };
                store.put_parcel(put).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let rate = 256.0 / started.elapsed().as_secs_f64();
    store.delete_parcels(namespace).await.unwrap();
    rate
}

/// A store with one envelope and one with very many, each opened by a process of its own.
fn filled(runtime: &Runtime, dir: &Path) {
    let many = std::env::var("VALISE_BENCH_ENVELOPES").map_or(100_000, |n| n.parse().unwrap());
    for count in [1, many] {
        let path = dir.join(count.to_string());
        let store = Arc::new(Spool::open(config(&path)).unwrap());
        runtime.block_on(deposit_all(&store, 0, count));
        runtime.block_on(store.close()).unwrap();
        let this = std::env::current_exe().unwrap();
        assert!(
            Command::new(this)
                .arg(REOPEN)
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
    }
}

/// Opens a store that was not closed, and polls it.
fn reopen(runtime: &Runtime, path: &Path) {
    let started = Instant::now();
    let store = Spool::open(config(path)).unwrap();
    let rebuilt = started.elapsed();
    let (count, memory) = (held(runtime, &store), resident());
    println!("{:<52} {count:>9}", "envelopes");
    println!(
        "{:<52} {:>9.2}",
        "  rebuilding the index, s (100,000: holds at 3)",
        rebuilt.as_secs_f64()
    );
    println!(
        "{:<52} {memory:>9}",
        "  resident memory after it, MB (holds at 100)"
    );
    for (what, mailbox) in [
        ("  poll of a mailbox with one, µs", mailbox(SINGLE)),
        (
            "  poll of the mailbox with a tenth of all, µs",
            mailbox(CROWDED),
        ),
        ("  poll of an empty mailbox, µs", mailbox(u64::MAX)),
    ] {
        print(what, &mut polls(runtime, &store, mailbox));
    }
    println!(
        "{:<52} {:>9}",
        "  resident memory after the polls, MB",
        resident()
    );
    runtime.block_on(store.close()).unwrap();
}

fn polls(runtime: &Runtime, store: &Spool, mailbox: Mailbox) -> Vec<f64> {
    let now = Timestamp::from_seconds(0);
    let poll = async || {
        let started = Instant::now();
        store
            .next(mailbox, Reader::Holder, Cursor(0), now)
            .await
            .unwrap();
        started.elapsed().as_secs_f64() * 1e6
    };
    runtime.block_on(async {
        // The first polls wake threads and fill caches; they are not counted.
        for _ in 0..1_000 {
            poll().await;
        }
        let mut times = Vec::new();
        for _ in 0..5_000 {
            times.push(poll().await);
        }
        times
    })
}

fn append(path: &Path) -> f64 {
    let mut file = File::create(path).unwrap();
    let bytes = vec![7; 64 * ENVELOPE];
    let started = Instant::now();
    for _ in 0..PER_ROUND / 64 {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    }
    rate(PER_ROUND, started.elapsed())
}

async fn deposit_all(store: &Arc<Spool>, first: u64, count: u64) -> f64 {
    let started = Instant::now();
    let writers: Vec<_> = (0..64.min(count))
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (first + writer..first + count).step_by(64) {
                    store.deposit(deposit(number)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    rate(count, started.elapsed())
}

/// The first envelope in a mailbox of its own, a tenth in a crowded one, the others in tens.
fn deposit(number: u64) -> Deposit {
    let mut envelope = Box::new([0; ENVELOPE]);
    for (at, chunk) in envelope.chunks_exact_mut(4_096).enumerate() {
        chunk[..8].copy_from_slice(&(number * 16 + at as u64).to_be_bytes());
    }
    let mut withdraw = [0; 32];
    withdraw[..8].copy_from_slice(&number.to_be_bytes());
    let name = match number {
        0 => SINGLE,
        _ if number.is_multiple_of(10) => CROWDED,
        _ => 10 + number / 10,
    };
    Deposit {
        target: Target::Mailbox(mailbox(name)),
        withdraw: WithdrawHash::from_bytes(withdraw),
        envelope,
        expires: Timestamp::from_seconds(1_000_000),
    }
}

fn mailbox(name: u64) -> Mailbox {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&name.to_be_bytes());
    Mailbox::Return(MailboxId::from_bytes(id))
}

fn config(dir: &Path) -> SpoolConfig {
    let ceilings = Ceilings {
        inbox_envelopes: u32::MAX,
        return_envelopes: u32::MAX,
        all_return_envelopes: u64::MAX,
        all_envelopes: u64::MAX,
        inbox_parcels: u32::MAX,
        all_parcels: u64::MAX,
    };
    SpoolConfig::new(dir.to_owned(), ceilings)
}

fn held(runtime: &Runtime, store: &Spool) -> u64 {
    runtime.block_on(store.usage()).unwrap().return_envelopes
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1_000
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn print(what: &str, values: &mut [f64]) {
    values.sort_by(f64::total_cmp);
    let (low, high) = (
        values[values.len() / 20],
        values[values.len() - 1 - values.len() / 20],
    );
    println!("{what:<52} {:>9.0}   ({low:.0}–{high:.0})", median(values));
}

const REOPEN: &str = "--reopen";
const ROUNDS: u64 = 7;
const PER_ROUND: u64 = 4_096;
const SINGLE: u64 = 1;
const CROWDED: u64 = 2;
