//! What a running relay survives, as the program that is installed: kills, a disk that fails, no room, a clock that leaps.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use valise_protocol::contact::RelayContact;
use valise_tests::depositors::{Crowd, Depositor};
use valise_tests::program::Running;
use valise_tests::stage::Stage;
use valise_tests::tools::{injecting, tracer};

/// How long a relay may take to end when it must.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the long runs were asked for.
fn long() -> bool {
    std::env::var_os("VALISE_LONG").is_some()
}

fn stage() -> (Stage, RelayContact) {
    let stage = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
    let contact = stage.init_relay().parse().unwrap();
    (stage, contact)
}

/// Lets a crowd work until the relay has ended by itself; gives how it ended and what it said.
async fn work_until_it_ends(
    crowd: &Crowd,
    relay: Running,
    contact: &RelayContact,
) -> (ExitStatus, String) {
    let pid = Pid::from_raw(i32::try_from(relay.pid()).unwrap()).unwrap();
    let mut ended = tokio::task::spawn_blocking(move || relay.wait());
    tokio::select! {
        ended = &mut ended => return ended.unwrap(),
        () = crowd.work(contact) => (),
    }
    // All is deposited, or nothing is answered any more: it is ending, or it never will.
    if let Ok(ended) = tokio::time::timeout(PATIENCE, &mut ended).await {
        return ended.unwrap();
    }
    let _ = kill_process(pid, Signal::KILL);
    panic!("the relay did not end: {}", ended.await.unwrap().1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_at_any_sync_has_kept_all_that_it_acknowledged() {
    if !tracer() {
        return;
    }
    let (stage, contact) = stage();
    let trace = stage.path().join("trace");
    let rounds: Vec<u32> = if long() {
        (1..=60).collect()
    } else {
        vec![1, 2, 3, 5, 7, 20]
    };
    let mut acknowledged = 0;
    for round in rounds {
        let crowd = Crowd::new(8);
        // Counted for each thread: low numbers kill the relay as it starts, high ones as it takes deposits.
        let kill = format!("fdatasync,fsync:signal=SIGKILL:when={round}");
        let words = injecting(&kill, "fdatasync,fsync", &trace);
        let relay = stage.serve_through(words).start();
        let (status, said) = work_until_it_ends(&crowd, relay, &contact).await;
        assert_eq!(status.code(), None, "round {round}: {said}");
        let relay = stage.serve();
        assert_eq!(crowd.lost(&contact).await, 0, "round {round}");
        let (status, said) = relay.stop();
        assert!(status.success(), "round {round}: {said}");
        acknowledged += crowd.acknowledged();
    }
    assert!(acknowledged > 20, "the relay acknowledged {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_journal_notices_what_is_gone() {
    // The control.
    let (stage, contact) = stage();
    let relay = stage.serve();
    let person = Depositor::new(1);
    let mut linked = person.link(&contact).await.unwrap();
    for _ in 0..3 {
        person.deposit(&mut linked).await.unwrap();
    }
    drop(linked);
    assert_eq!(person.lost(&contact).await, 0);
    relay.stop();
    let segment = stage.home("relay").join("spool/segment-0000000001");
    let file = std::fs::File::options().write(true).open(segment).unwrap();
    // The second slot.
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 256], 256).unwrap();
    let _relay = stage.serve();
    assert_eq!(person.lost(&contact).await, 1);
}
