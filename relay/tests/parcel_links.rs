//! Parcels over real connections (spec §7.3): requests that follow each other before they are answered, and what a client may have
//! in flight.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::house::*;
use common::{Client, Harness, Linked, NOW, config};
use tokio::time::timeout;
use valise_protocol::id::{Grant, Namespace};
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{FRAME, PARCEL};
use valise_protocol::parcel::ParcelBuffer;
use valise_protocol::wire::{Answer, Kept, Refusal, Request, RequestKind, Target};
use valise_relay::quic::{WINDOW_BULK, WINDOW_LINKS};
use valise_relay::store::Store;

/// A relay that serves a mechanism, which has published its card.
async fn serving() -> (Harness, Mechanism) {
    let relay = Harness::start(config()).await;
    let mechanism = Mechanism::new(1);
    let store = relay.relay.store();
    store.allow_inbox(mechanism.address).await.unwrap();
    let card = mechanism.card(1, vec![mechanism.statement(0, 1, NOW)]);
    let mut officer = relay
        .connect()
        .await
        .link_as(&mechanism.devices[0].link)
        .await;
    let published = ask(&mut officer, &publish(&card)).await;
    assert_eq!(told(&published), Ok("published"));
    (relay, mechanism)
}

async fn say(linked: &mut Linked, plain: &[u8]) {
    let sealed = linked.link.seal(plain).unwrap();
    linked.send.write_all(&sealed).await.unwrap();
}

async fn hear(linked: &mut Linked, kind: RequestKind) -> Answer {
    let mut answer = vec![0; kind.frames_down() * FRAME];
    linked.recv.read_exact(&mut answer).await.unwrap();
    Answer::decode(kind, &linked.link.open(&answer).unwrap()).unwrap()
}

async fn ask(linked: &mut Linked, request: &Request) -> Answer {
    say(linked, &request.encode()).await;
    hear(linked, request.kind()).await
}

async fn grant(client: &Client, mechanism: &Mechanism) -> Grant {
    let request = deposit(Target::Inbox, mechanism.address.inbox(), 1);
    match ask(&mut client.link().await, &request).await {
        Answer::Stored(_, grant) => grant,
        other => panic!("{other:?}"),
    }
}

/// Who puts here.
fn writer() -> DhSecret {
    DhSecret::from_bytes(&[1; 32])
}

fn namespace() -> Namespace {
    Namespace::of_writer(writer().public().as_bytes())
}

fn parcel(number: u32) -> ParcelBuffer {
    ParcelBuffer::from_sealed(vec![number as u8; PARCEL]).unwrap()
}

fn put(index: u32, grant: Grant) -> Request {
    Request::Put {
        namespace: namespace(),
        index,
        grant,
        parcel: parcel(index),
    }
}

fn get(mechanism: &Mechanism, index: u32) -> Request {
    Request::Get {
        address: mechanism.address,
        namespace: namespace(),
        index,
    }
}

/// How much a client may send on a fresh stream before anybody has read it.
async fn credit(client: &Client) -> usize {
    // What the relay gives after an answer may come after it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut send, _recv) = client.connection.open_bi().await.unwrap();
    send.write(&vec![0; 4 << 20]).await.unwrap()
}

/// Says all of it, and hears meanwhile: the windows do not hold sixteen requests.
async fn ask_all(mut linked: Linked, requests: &[Request]) -> Vec<Answer> {
    let sealed: Vec<_> = requests
        .iter()
        .map(|request| linked.link.seal(&request.encode()).unwrap())
        .collect();
    let (mut send, mut recv, mut link) = (linked.send, linked.recv, linked.link);
    let saying = async {
        for request in &sealed {
            send.write_all(request).await.unwrap();
        }
    };
    let hearing = async {
        let mut answers = Vec::new();
        for request in requests {
            let kind = request.kind();
            let mut answer = vec![0; kind.frames_down() * FRAME];
            recv.read_exact(&mut answer).await.unwrap();
            answers.push(Answer::decode(kind, &link.open(&answer).unwrap()).unwrap());
        }
        answers
    };
    let both = async { tokio::join!(saying, hearing).1 };
    timeout(Duration::from_secs(60), both).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_puts_and_gets_follow_each_other_and_are_answered_in_order() {
    let (relay, mechanism) = serving().await;
    let client = relay.connect().await;
    let good = grant(&client, &mechanism).await;
    // Every third has another grant, and so another answer.
    let puts: Vec<_> = (0..16)
        .map(|index| match index % 3 {
            2 => put(index, Grant::from_bytes([9; 16])),
            _ => put(index, good),
        })
        .collect();
    let answers = ask_all(client.link_as(&writer()).await, &puts).await;
    for (index, answer) in answers.iter().enumerate() {
        let expected = match index % 3 {
            2 => Err(Refusal::NoGrant),
            _ => Ok("kept"),
        };
        assert_eq!(told(answer), expected, "{index}");
    }
    let gets: Vec<_> = (0..16).map(|index| get(&mechanism, index)).collect();
    let officer = relay
        .connect()
        .await
        .link_as(&mechanism.devices[0].link)
        .await;
    let answers = ask_all(officer, &gets).await;
    for (index, answer) in (0..).zip(answers) {
        let expected = (index % 3 != 2).then(|| parcel(index));
        assert!(answer == Answer::Parcel(expected), "{index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_request_among_them_waits_for_those_before_and_lets_those_behind_wait() {
    let (relay, mechanism) = serving().await;
    let client = relay.connect().await;
    let good = grant(&client, &mechanism).await;
    let have = || Request::Have {
        namespace: namespace(),
    };
    let delete = Request::Delete {
        namespace: namespace(),
    };
    let requests = [
        put(0, good),
        put(1, good),
        have(),
        put(2, good),
        delete,
        have(),
        put(0, good),
        have(),
    ];
    let answers = ask_all(client.link_as(&writer()).await, &requests).await;
    let held = |answer: &Answer| match answer {
        Answer::Held(set) => set.as_bytes().to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(held(&answers[2]), [0b1100_0000]);
    assert!(answers[4] == Answer::Deleted(3));
    assert!(held(&answers[5]).is_empty());
    assert!(answers[6] == Answer::Kept(Kept::New));
    assert_eq!(held(&answers[7]), [0b1000_0000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_grant_makes_the_relay_hold_no_more_than_before() {
    let (relay, mechanism) = serving().await;
    let client = relay.connect().await;
    let mut linked = client.link_as(&writer()).await;
    for index in 0..4 {
        // What follows the first frame is not even looked at: it would be malformed.
        let mut plain = put(index, Grant::from_bytes([9; 16])).encode();
        *plain.last_mut().unwrap() = 1;
        say(&mut linked, &plain).await;
        let answer = hear(&mut linked, RequestKind::Put).await;
        assert_eq!(told(&answer), Err(Refusal::NoGrant));
    }
    // Nor is it worth more that somebody else has put the same.
    let other = relay.connect().await;
    let good = grant(&other, &mechanism).await;
    assert_eq!(
        told(&ask(&mut other.link_as(&writer()).await, &put(7, good)).await),
        Ok("kept")
    );
    let repeated = ask(&mut linked, &put(7, Grant::from_bytes([9; 16]))).await;
    assert_eq!(told(&repeated), Ok("already"));
    let sent = credit(&client).await;
    assert!(sent <= WINDOW_LINKS as usize, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_under_a_grant_opens_the_window_of_its_connection() {
    let (relay, mechanism) = serving().await;
    let client = relay.connect().await;
    let good = grant(&client, &mechanism).await;
    let mut links = Vec::new();
    for index in 0..2 {
        let mut linked = client.link_as(&writer()).await;
        assert_eq!(told(&ask(&mut linked, &put(index, good)).await), Ok("kept"));
        links.push(linked);
    }
    // One stream has no more than its own window.
    assert_eq!(credit(&client).await, WINDOW_BULK as usize);
    let mut malformed = put(2, good).encode();
    *malformed.last_mut().unwrap() = 1;
    say(&mut links[0], &malformed).await;
    let answer = hear(&mut links[0], RequestKind::Put).await;
    assert_eq!(told(&answer), Err(Refusal::Malformed));
    assert_eq!(links[0].recv.read(&mut [0]).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_relay_answers_the_put_that_has_begun_to_arrive() {
    let (relay, mechanism) = serving().await;
    let client = relay.connect().await;
    let good = grant(&client, &mechanism).await;
    let mut linked = client.link_as(&writer()).await;
    let sealed = linked.link.seal(&put(0, good).encode()).unwrap();
    linked.send.write_all(&sealed[..FRAME + 1]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = tokio::spawn(relay.relay.shutdown());
    tokio::time::sleep(Duration::from_millis(200)).await;
    linked.send.write_all(&sealed[FRAME + 1..]).await.unwrap();
    let answer = hear(&mut linked, RequestKind::Put).await;
    assert_eq!(told(&answer), Ok("kept"));
    assert_eq!(linked.recv.read(&mut [0]).await.unwrap(), None);
    let stopped = timeout(Duration::from_secs(5), stopped).await;
    stopped.unwrap().unwrap().unwrap();
}
