//! What an idle watcher costs the relay: a connection with one link, on which a poll waits.
//!
//! `cargo bench -p valise-relay --bench watchers`. The watchers live in a process of their own, so that only the relay is
//! weighed. `VALISE_BENCH_WATCHERS` sets another number than 500.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Client, ClientSettings, Harness, config, rng};
use tokio::runtime::Runtime;
use valise_protocol::id::MailboxId;
use valise_protocol::key::DhSecret;
use valise_protocol::wire::{Request, Target};

fn main() {
    let runtime = Runtime::new().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == WATCH) {
        let (addr, count) = (&arguments[at + 1], &arguments[at + 2]);
        runtime.block_on(watch(addr.parse().unwrap(), count.parse().unwrap()));
        return;
    }
    let count = std::env::var("VALISE_BENCH_WATCHERS").map_or(500, |n| n.parse().unwrap());
    let relay = runtime.block_on(Harness::start(config()));
    // What the first ones cost is threads, tables and caches, which do not grow with the watchers.
    let mut first = watchers(relay.relay.addr(), WARM);
    let before = resident_kib();
    let mut more = watchers(relay.relay.addr(), count);
    let each = (resident_kib() - before) as f64 / count as f64;
    println!(
        "{:<52} {each:>9.1}",
        format!("each of {count} idle watchers, KiB (holds at 64)")
    );
    for child in [&mut first, &mut more] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Watchers in another process; all wait when it returns.
fn watchers(relay: SocketAddr, count: usize) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new(this)
        .args([WATCH, &relay.to_string(), &count.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let output = child.stdout.as_mut().unwrap();
    BufReader::new(output).read_line(&mut ready).unwrap();
    assert_eq!(ready.trim(), "waiting");
    child
}

async fn watch(relay: SocketAddr, count: usize) {
    let mut all = Vec::new();
    for _ in 0..count {
        let client = Client::connect(relay, ClientSettings::default())
            .await
            .unwrap();
        let key = DhSecret::generate(&mut rng());
        let mut linked = client.link_as(&key).await;
        let poll = Request::Poll {
            target: Target::Return,
            mailbox: MailboxId::of_return(key.public().as_bytes()),
            cursor: 0,
            removals: vec![],
            wait_seconds: 300,
        };
        let sealed = linked.link.seal(&poll.encode()).unwrap();
        linked.send.write_all(&sealed).await.unwrap();
        all.push((client, linked));
    }
    // The relay has read the last poll by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("waiting");
    std::future::pending::<()>().await;
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const WATCH: &str = "--watch";
const WARM: usize = 50;
