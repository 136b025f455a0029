//! Links over real connections (spec §7): requests in frames, and what a relay that stops does with them.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::house::*;
use common::{Harness, Linked, config, rng};
use tokio::time::timeout;
use valise_protocol::id::MailboxId;
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{ENVELOPE, FRAME, FRAME_PLAIN};
use valise_protocol::wire::{Answer, Refusal, Request, RequestKind, Target};

/// Sends a request's plaintext and reads the answer to a request of this kind.
async fn exchange(linked: &mut Linked, plain: &[u8], kind: RequestKind) -> Answer {
    let sealed = linked.link.seal(plain).unwrap();
    linked.send.write_all(&sealed).await.unwrap();
    let mut answer = vec![0; kind.frames_down() * FRAME];
    linked.recv.read_exact(&mut answer).await.unwrap();
    Answer::decode(kind, &linked.link.open(&answer).unwrap()).unwrap()
}

async fn converse(linked: &mut Linked, request: &Request) -> Answer {
    exchange(linked, &request.encode(), request.kind()).await
}

#[tokio::test]
async fn an_envelope_travels_from_link_to_link() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let key = DhSecret::generate(&mut rng());
    let mailbox = MailboxId::of_return(key.public().as_bytes());
    let mut sender = client.link().await;
    let answer = converse(&mut sender, &deposit(Target::Return, mailbox, 5)).await;
    assert_eq!(told(&answer), Ok("stored"));
    let mut holder = client.link_as(&key).await;
    let found = item(converse(&mut holder, &poll(Target::Return, mailbox)).await);
    assert_eq!(*found.envelope.unwrap(), [5; ENVELOPE]);
    let next = poll_after(Target::Return, mailbox, found.cursor, vec![], 0);
    assert_eq!(told(&converse(&mut holder, &next).await), Ok("nothing"));
}

#[tokio::test]
async fn a_first_frame_of_no_kind_is_refused_in_one_frame_and_ends_the_link() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    for first in [vec![0; FRAME_PLAIN], vec![0xff; FRAME_PLAIN]] {
        let mut linked = client.link().await;
        let answer = exchange(&mut linked, &first, RequestKind::Publish).await;
        assert_eq!(told(&answer), Err(Refusal::Malformed));
        assert_eq!(linked.recv.read(&mut [0]).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_is_malformed_later_is_refused_in_the_frames_of_its_kind() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let mut linked = client.link().await;
    let request = poll(Target::Return, MailboxId::from_bytes([1; 32]));
    let mut plain = request.encode();
    *plain.last_mut().unwrap() = 1;
    let answer = exchange(&mut linked, &plain, RequestKind::Poll).await;
    assert_eq!(told(&answer), Err(Refusal::Malformed));
    assert_eq!(linked.recv.read(&mut [0]).await.unwrap(), None);
}

#[tokio::test]
async fn a_stopping_relay_finishes_the_request_in_flight() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let key = DhSecret::generate(&mut rng());
    let mailbox = MailboxId::of_return(key.public().as_bytes());
    let mut holder = client.link_as(&key).await;
    let request = poll_after(Target::Return, mailbox, 0, vec![], 100);
    let stopped = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        relay.relay.shutdown().await
    };
    let (answer, stopped) = tokio::join!(
        timeout(Duration::from_secs(5), converse(&mut holder, &request)),
        async { timeout(Duration::from_secs(5), stopped).await.unwrap() }
    );
    assert_eq!(told(&answer.unwrap()), Ok("nothing"));
    stopped.unwrap();
}

#[tokio::test]
async fn a_request_that_has_begun_to_arrive_is_answered_by_a_stopping_relay() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let mut linked = client.link().await;
    let request = deposit(Target::Return, MailboxId::from_bytes([1; 32]), 5);
    let sealed = linked.link.seal(&request.encode()).unwrap();
    linked.send.write_all(&sealed[..FRAME + 1]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = tokio::spawn(relay.relay.shutdown());
    tokio::time::sleep(Duration::from_millis(200)).await;
    linked.send.write_all(&sealed[FRAME + 1..]).await.unwrap();
    let mut answer = vec![0; FRAME];
    linked.recv.read_exact(&mut answer).await.unwrap();
    let answer = Answer::decode(RequestKind::Deposit, &linked.link.open(&answer).unwrap());
    assert_eq!(told(&answer.unwrap()), Ok("stored"));
    assert_eq!(linked.recv.read(&mut [0]).await.unwrap(), None);
    let stopped = timeout(Duration::from_secs(5), stopped).await;
    stopped.unwrap().unwrap().unwrap();
}
