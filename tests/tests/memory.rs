//! What a core of a program would hold: no secret that it has no more use for.

#![allow(clippy::unwrap_used)]

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use valise_protocol::contact::Contact;
use valise_protocol::id::{Address, RelayId};
use valise_protocol::phrase::ReturnPhrase;
use valise_protocol::stretch::stretch;
use valise_tests::depositors::{Depositor, trace_of};
use valise_tests::memory::{Memory, is_ending, release};
use valise_tests::program::{Invocation, Program};
use valise_tests::stage::{FORM, Stage};
use valise_tests::tools::{injecting, tracer};

const TEXT: &str = "canary-of-the-text: four men took her from her home";
const NOTE: &str = "canary-of-the-note: ask her sister first";
const REPLY: &str = "canary-of-the-reply: which medication does she need";
/// How long a relay may take to be done with a key after it was replaced.
const PATIENCE: Duration = Duration::from_secs(10);
const ENTROPY: [u8; 16] = *b"\x9d\x01entropy of a p";

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

/// Whether this test may look into other processes, and hold them up.
fn may_look() -> bool {
    let superuser = rustix::process::geteuid().is_root();
    if !superuser {
        eprintln!("skipped: only the superuser may look into a process that forbids it");
    }
    superuser && tracer()
}

/// A secret, and how it is called.
type Canary = (&'static str, Vec<u8>);

/// What follows from the phrase and outlives no use of it.
fn of_the_phrase() -> Vec<Canary> {
    let words = ReturnPhrase::from_entropy(&ENTROPY).expose_words();
    vec![
        ("the entropy", ENTROPY.to_vec()),
        ("words", words[..4].join(" ").into_bytes()),
        ("the last words", words[8..].join(" ").into_bytes()),
        (
            "the root",
            stretch(&ENTROPY, b"valise1/phrase")[..16].to_vec(),
        ),
    ]
}

/// What belongs to one mechanism and one relay.
fn of_the_keys(address: &Address, relay: &RelayId) -> Vec<Canary> {
    let keys = ReturnPhrase::from_entropy(&ENTROPY)
        .stretch()
        .for_mechanism(address);
    let half = |key: &[u8; 32]| key[..16].to_vec();
    vec![
        ("the send key", half(keys.send().expose())),
        ("the mailbox key", half(keys.mailbox_key(relay).expose())),
    ]
}

fn of_the_texts() -> Vec<Canary> {
    let texts = [("the text", TEXT), ("the note", NOTE), ("the reply", REPLY)];
    texts.map(|(name, text)| (name, text.into())).to_vec()
}

fn found(memory: &Memory, canaries: &[Canary]) -> Vec<String> {
    let places = canaries.iter().flat_map(|(name, bytes)| {
        let places = memory.places_of(bytes).into_iter();
        places.map(move |place| format!("{name}: {place}"))
    });
    places.collect()
}

fn phrase() -> String {
    ReturnPhrase::from_entropy(&ENTROPY)
        .expose_words()
        .join(" ")
}

/// What a command has in its memory when all that is left to do is to end.
fn at_its_end(stage: &Stage, command: Invocation) -> Memory {
    let hold = "exit_group:delay_enter=60000000";
    let words = injecting(hold, "exit_group", &stage.path().join("trace"));
    let log = stage.path().join("said");
    let command = command.through(stage.named(Program::Valise), words);
    let running = command.log(&log).start();
    assert!(is_ending(running.pid()), "the tracer holds it up");
    let memory = Memory::of(running.pid()).unwrap();
    release(running.pid());
    memory
}

fn send(stage: &Stage, contact: &str) -> Invocation {
    stage.write("form.toml", &format!("consent_note = \"{NOTE}\"\n{FORM}"));
    stage.write("case.txt", TEXT);
    let args = ["send", "--to", contact, "--form", "form.toml"];
    let send = stage.defender().args(args).args(["--again", "case.txt"]);
    send.secret("--phrase-fd", &phrase())
}

#[test]
fn while_a_sender_waits_for_the_relay_the_phrase_is_gone_from_memory() {
    if !may_look() {
        return;
    }
    let stage = stage();
    let relay = stage.init_relay();
    // Nobody answers there.
    let silent = UdpSocket::bind(("127.0.0.1", stage.port())).unwrap();
    let contact = format!("{}@{relay}", Address::from_bytes([7; 32]));
    let waiting = |command: Invocation| {
        let running = command.log(&stage.path().join("said")).start();
        silent.recv(&mut [0; 2_000]).unwrap();
        Memory::of(running.pid()).unwrap()
    };
    let nothing: [String; 0] = [];
    let check = stage.defender().args(["check", "--to", &contact]);
    let memory = waiting(check.secret("--phrase-fd", &phrase()));
    assert_eq!(found(&memory, &of_the_phrase()), nothing, "check");
    // The other is gone, but may have knocked twice.
    silent.set_nonblocking(true).unwrap();
    while silent.recv(&mut [0; 2_000]).is_ok() {}
    silent.set_nonblocking(false).unwrap();
    let memory = waiting(send(&stage, &contact));
    assert_eq!(found(&memory, &of_the_phrase()), nothing, "send");
    // The control: what it still needs is found.
    let text = [("the text", TEXT.as_bytes().to_vec())];
    assert!(!found(&memory, &text).is_empty());
}

#[test]
fn when_send_and_check_have_done_their_work_nothing_is_left_in_memory() {
    if !may_look() {
        return;
    }
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let to: Contact = contact.parse().unwrap();
    let nothing: [String; 0] = [];
    let mut canaries = of_the_phrase();
    canaries.extend(of_the_keys(&to.address(), &to.ways()[0].relay.id()));
    canaries.extend(of_the_texts());

    let memory = at_its_end(&stage, send(&stage, &contact));
    let said = std::fs::read_to_string(stage.path().join("said")).unwrap();
    assert_eq!(found(&memory, &canaries), nothing, "send; {said}");

    let officer = |args: &[&str]| stage.officer("officer").args(args);
    officer(&["inbox", "pull"]).run().succeeded();
    let list = officer(&["inbox", "list"]).run().succeeded().stdout;
    let id = list.split(' ').next().unwrap();
    let reply = officer(&["inbox", "reply", id, "--delay", "0"]);
    reply.stdin(REPLY).run().succeeded();
    let check = stage.defender().args(["check", "--to", &contact]);
    let check = check.secret("--phrase-fd", &phrase());
    let memory = at_its_end(&stage, check);
    assert_eq!(found(&memory, &canaries), nothing, "check");
}

/// The payload of the store's key file, in pieces.
fn store_keys(stage: &Stage) -> Vec<Vec<u8>> {
    let file = std::fs::read(stage.home("relay").join("spool/keys")).unwrap();
    let length = u32::from_be_bytes(file[12..16].try_into().unwrap());
    let payload = &file[16..][..length as usize];
    let pieces = payload.windows(16).step_by(8);
    pieces.map(<[u8]>::to_vec).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_forgets_the_store_key_of_yesterday_and_what_was_collected() {
    if !may_look() {
        return;
    }
    let stage = stage();
    let contact = stage.init_relay().parse().unwrap();
    stage.serve().stop();
    let before = store_keys(&stage);
    // The nightly change of keys is done at each start.
    let relay = stage.serve();
    let person = Depositor::new(1);
    let mut linked = person.link(&contact).await.unwrap();
    for number in 1_000..1_020 {
        person.deposit(&mut linked).await.unwrap();
        person.remove(number, &mut linked).await.unwrap();
    }
    let gone = loop {
        let after = store_keys(&stage);
        let gone = before.iter().filter(|piece| !after.contains(piece));
        let gone: Vec<_> = gone.cloned().collect();
        // More than the generation has changed: the key.
        if after.len() == before.len() && gone.len() > 2 {
            break gone;
        }
        std::thread::yield_now();
    };
    let collected = (1_001..1_004).map(trace_of);
    let searched = gone.into_iter().filter(|piece| piece[0] != 0);
    let secrets: Vec<_> = searched.chain(collected).collect();
    let left = |memory: &Memory| {
        let found = secrets.iter().map(|secret| memory.places_of(secret));
        found.flatten().collect::<Vec<_>>()
    };
    // The new file has its name before the relay is done with the old one, which it overwrites.
    let until = Instant::now() + PATIENCE;
    let memory = loop {
        let memory = Memory::of(relay.pid()).unwrap();
        let left = left(&memory);
        if left.is_empty() {
            break memory;
        }
        assert!(Instant::now() < until, "{left:?}");
    };
    // The control: the key of today.
    let mut new = store_keys(&stage).into_iter();
    let held = |piece: &Vec<u8>| piece[0] != 0 && !memory.places_of(piece).is_empty();
    assert!(new.any(|piece| !before.contains(&piece) && held(&piece)));
}
