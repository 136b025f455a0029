//! Whole small sessions, each from a UDP socket of its own: QUIC, three links, a durable deposit; client and relay share the cores.
//! `cargo bench -p valise-tests --bench sessions`
//!
//! Argon2 is apart: it depends on the phrase only, and a person pays it once.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use valise_tests::cast::{Defender, LiveRelay, Mechanism};

/// Sessions of one round.
const SESSIONS: usize = 600;
/// How many are under way at a time.
const AT_ONCE: usize = 48;
/// Rounds.
const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    let relay = Arc::new(
        LiveRelay::on_disk(|config| {
            config.inbox_envelopes = 100_000;
            config.connections = 4_096;
        })
        .await,
    );
    let mechanism = Mechanism::published(2, &relay).await;
    let defender = Arc::new(Defender::new(mechanism.address));
    println!("{SESSIONS} sessions a round, {AT_ONCE} at a time");
    println!(
        "{:<8} {:>12} {:>12} {:>12} {:>8}",
        "round", "sessions/s", "median ms", "p99 ms", "errors"
    );
    for round in 0..=ROUNDS {
        let began = Instant::now();
        let (times, errors) = one_round(&relay, &defender, round).await;
        let rate = SESSIONS as f64 / began.elapsed().as_secs_f64();
        let ms = |at: usize| times[at * (times.len() - 1) / 100].as_secs_f64() * 1_000.0;
        let name = if round == 0 {
            "warm-up".to_owned()
        } else {
            round.to_string()
        };
        println!(
            "{name:<8} {rate:>12.0} {:>12.1} {:>12.1} {errors:>8}",
            ms(50),
            ms(99)
        );
    }
}

async fn one_round(
    relay: &Arc<LiveRelay>,
    defender: &Arc<Defender>,
    round: usize,
) -> (Vec<Duration>, usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (relay, defender, next) = (relay.clone(), defender.clone(), next.clone());
        tasks.spawn(async move {
            let (mut times, mut errors) = (Vec::new(), 0);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= SESSIONS {
                    return (times, errors);
                }
                let began = Instant::now();
                let result = defender
                    .send(&format!("case {round}.{number}"), &relay, None)
                    .await;
                times.push(began.elapsed());
                errors += usize::from(
                    result.card.is_err() || result.deposit.is_err() || result.poll.is_err(),
                );
            }
        });
    }
    let (mut times, mut errors) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (more, wrong) = done.unwrap();
        times.extend(more);
        errors += wrong;
    }
    times.sort_unstable();
    (times, errors)
}
