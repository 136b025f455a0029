//! A relay without room: no bytes, no names for files, no descriptors.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use valise_client::link::LinkFault;
use valise_protocol::contact::RelayContact;
use valise_protocol::wire::Refusal;
use valise_tests::depositors::Depositor;
use valise_tests::own_disk::OwnDisk;
use valise_tests::stage::Stage;

fn stage() -> (Stage, RelayContact) {
    let stage = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
    let contact = stage.init_relay().parse().unwrap();
    (stage, contact)
}

/// One deposit on a link of its own: whether it was stored, or refused because the relay is full.
async fn is_stored(person: &Depositor, contact: &RelayContact) -> bool {
    let mut linked = person.link(contact).await.unwrap();
    match person.deposit(&mut linked).await {
        Ok(()) => true,
        Err(LinkFault::Refused(Refusal::RelayFull)) => false,
        Err(other) => panic!("{other}"),
    }
}

/// A relay that runs into a disk without room, and is started on one.
async fn run_out(disk: &OwnDisk, fill: impl Fn()) {
    let (stage, contact) = stage();
    let person = Depositor::new(1);
    let relay = stage.serve();
    fill();
    // There is no segment yet. What was set aside for this moment is given up at the first, and then that is full too.
    is_stored(&person, &contact).await;
    fill();
    let before = person.acknowledged();
    assert!(!is_stored(&person, &contact).await || before > 0);
    // Room comes back, and nobody does anything about it.
    disk.empty();
    let mut linked = person.link(&contact).await.unwrap();
    for _ in 0..6 {
        person.deposit(&mut linked).await.unwrap();
    }
    fill();
    assert_eq!(person.lost(&contact).await, 0);
    person.remove(1_004, &mut linked).await.unwrap();
    let (status, said) = relay.stop();
    assert!(status.success(), "{said}");

    fill();
    let relay = stage.serve();
    assert_eq!(person.lost(&contact).await, 0);
    let mut linked = person.link(&contact).await.unwrap();
    person.remove(1_005, &mut linked).await.unwrap();
    disk.empty();
    assert!(is_stored(&person, &contact).await);
    assert_eq!(person.lost(&contact).await, 0);
    // Commands reach it again, too.
    let status = || {
        let status = stage.operator().args(["status", "--dir", "relay"]);
        status.run().stdout.contains("running for")
    };
    assert!((0..1_000).any(|_| status()), "no command reaches it");
    let (status, said) = relay.stop();
    assert!(status.success(), "{said}");
}

#[test]
fn a_relay_on_a_full_disk_says_so_serves_starts_and_resumes() {
    let test = "a_relay_on_a_full_disk_says_so_serves_starts_and_resumes";
    if let Some(disk) = OwnDisk::enter(test) {
        runtime().block_on(run_out(&disk, || disk.fill()));
    }
}

#[test]
fn a_relay_on_a_disk_without_names_says_so_serves_starts_and_resumes() {
    let test = "a_relay_on_a_disk_without_names_says_so_serves_starts_and_resumes";
    if let Some(disk) = OwnDisk::enter(test) {
        runtime().block_on(run_out(&disk, || disk.fill_names()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_without_descriptors_says_that_it_is_full_and_resumes() {
    let (stage, contact) = stage();
    let relay = stage.serve();
    let pid = Pid::from_raw(i32::try_from(relay.pid()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| {
        let limit = Rlimit { current, maximum };
        prlimit(pid, Resource::Nofile, limit).unwrap()
    };
    let person = Depositor::new(1);
    let before = limit(Some(3));
    // There is no segment yet: one must be made.
    assert!(!is_stored(&person, &contact).await);
    assert_eq!(person.lost(&contact).await, 0);
    limit(before.current);
    assert!(is_stored(&person, &contact).await);
    limit(Some(3));
    // And this goes into the one that there is.
    assert!(is_stored(&person, &contact).await);
    assert_eq!(person.lost(&contact).await, 0);
    limit(before.current);
    let (status, said) = relay.stop();
    assert!(status.success(), "{said}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}
