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
    let mut ended = tokio::task::spawn_blocking(move || relay.end());
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
        (1..=40).collect()
    } else {
        vec![1, 3, 6, 14, 25]
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
    assert!(acknowledged > 10, "the relay acknowledged {acknowledged}");
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

/// Lets every `fdatasync` of a thread fail from this one on, while one person deposits one envelope after another; gives how
/// many were acknowledged, how the relay ended, what it said, and the trace of its syncs.
async fn deposit_on_a_failing_disk(from: u32) -> (usize, ExitStatus, String, String) {
    let (stage, contact) = stage();
    let trace = stage.path().join("trace");
    let fail = format!("fdatasync:error=EIO:when={from}+");
    let words = injecting(&fail, "fdatasync,fsync", &trace);
    let relay = stage.serve_through(words).start();
    let ended = tokio::task::spawn_blocking(move || relay.end());
    let person = Depositor::new(1);
    let deposit = async {
        // Also after the failure, on links of its own, for as long as somebody answers.
        loop {
            let Some(mut linked) = person.link(&contact).await else {
                continue;
            };
            while person.deposit(&mut linked).await.is_ok() {}
        }
    };
    let ended = tokio::select! {
        ended = tokio::time::timeout(PATIENCE, ended) => ended,
        () = deposit => unreachable!(),
    };
    let (status, said) = ended.expect("the relay ends").unwrap();
    let trace = std::fs::read_to_string(trace).unwrap();
    (person.acknowledged(), status, said, trace)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_disk_fails_acknowledges_nothing_more_says_so_and_ends() {
    if !tracer() {
        return;
    }
    let rounds: Vec<u32> = if long() {
        (1..=45).collect()
    } else {
        vec![1, 4, 10, 35]
    };
    let mut deposits = 0;
    for round in rounds {
        let (acknowledged, status, said, trace) = deposit_on_a_failing_disk(round).await;
        assert_eq!(status.code(), Some(3), "round {round}: {said}");
        assert!(said.to_lowercase().contains("input/output error"), "{said}");
        assert!(said.contains("hint: look at the disk"), "{said}");
        let (before, after) = trace.split_once(" EIO ").unwrap();
        // The index is made anew at each start, and its library syncs it whenever it ends.
        let again = |line: &&str| line.contains("sync(") && !line.contains("/spool/index/");
        let again: Vec<&str> = after.lines().filter(again).collect();
        assert!(again.is_empty(), "a sync after the failure: {again:?}");
        let failing = before.lines().next_back().unwrap();
        let thread = failing.split(' ').next().unwrap();
        let by_thread = || before.lines().filter(|line| line.starts_with(thread));
        // The thread that carries deposits syncs nothing else, no directory either, and carried one in each load.
        if acknowledged > 0 && !by_thread().any(|line| line.contains(" fsync(")) {
            let synced = by_thread().filter(|line| line.ends_with("= 0")).count();
            assert_eq!(acknowledged, synced, "round {round}");
            deposits += acknowledged;
        }
    }
    assert!(deposits > 10, "no sync of a deposit has failed");
}
