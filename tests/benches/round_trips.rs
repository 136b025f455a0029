//! How many round trips a submission takes from nothing to "stored", on a path of 100 ms.
//! `cargo bench -p valise-tests --bench round_trips`

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use valise_client::dial::Connection;
use valise_client::session::{Errand, Poll, run_on};
use valise_tests::cast::{Defender, LiveRelay, Mechanism};
use valise_tests::slow_link::SlowLink;

/// There and back.
const ROUND_TRIP: Duration = Duration::from_millis(100);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        println!(
            "{:<28} {:>8} {:>8} {:>8}",
            "round trips of 100 ms", "min", "median", "max"
        );
        measure("without Retry", usize::MAX).await;
        measure("with Retry", 0).await;
    });
}

async fn measure(name: &str, retry_from: usize) {
    let relay = LiveRelay::on_disk(|config| {
        config.retry_handshakes = retry_from.min(config.retry_handshakes);
        config.retry_connections = retry_from.min(config.retry_connections);
    })
    .await;
    let mechanism = Mechanism::published(2, &relay).await;
    let defender = Defender::new(mechanism.address);
    let link = SlowLink::to(relay.contact().port(), ROUND_TRIP / 2).await;
    let mut times = Vec::new();
    for number in 0..9 {
        let contact = link.contact(&relay.contact());
        let text = format!("case {number}");
        let errand = Errand {
            address: mechanism.address,
            known: None,
            despite_staleness: None,
            deposit: Some(&|readers, epoch| {
                Ok(defender.seal(&text, readers, epoch, &relay.contact()))
            }),
            poll: Poll::Nothing,
        };
        let began = Instant::now();
        let connection = Connection::dial(&contact, relay.now()).await.unwrap();
        run_on(&connection, &errand, relay.now())
            .await
            .deposit
            .unwrap();
        times.push(began.elapsed().as_secs_f64() / ROUND_TRIP.as_secs_f64());
        connection.close().await;
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{name:<28} {:>8.1} {:>8.1} {:>8.1}",
        times[0], times[4], times[8]
    );
}
