//! Every decoder of bytes from strangers: the committed corpus, and many small changes to it. (The same decoders run under libFuzzer:
//! `tests/fuzz/run.sh`.)

#![allow(clippy::unwrap_used)]

#[path = "../fuzz/src/decoders.rs"]
mod decoders;

use std::fs;
use std::path::{Path, PathBuf};

use valise_protocol::card::{DeviceKeys, Proof};
use valise_protocol::contact::{Contact, RelayContact, Way};
use valise_protocol::id::{Address, Grant, Namespace};
use valise_protocol::limits::ENVELOPE;
use valise_protocol::message::{
    Attachment, Message, Metadata, Reply, SubmissionId, encode_list, in_order,
};
use valise_protocol::parcel::{FileHash, FileKey, ParcelBuffer, ParcelSet};
use valise_protocol::phrase::ReturnPhrase;
use valise_protocol::sealed::{Deposit, Header, Upload};
use valise_protocol::wire::{Answer, Item, Refusal, Request, RequestKind, Stored, Target};
use valise_tests::cast::{Defender, LiveRelay, Mechanism, START, no_withdrawal, rng};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// Numbers that look random and are the same every time (an xorshift generator).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

/// A copy with one to four small changes.
fn changed(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const TELLING: [u8; 12] = [
        0, 1, 0x1f, 0x5b, 0x7f, 0x80, 0x9b, 0x9f, 0xbb, 0xbf, 0xfe, 0xff,
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(bytes.len() + 1);
        match numbers.next(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, TELLING[numbers.next(12)]),
            2 if at < bytes.len() => bytes[at] = TELLING[numbers.next(12)],
            _ if at < bytes.len() => bytes[at] ^= 1 << numbers.next(8),
            _ => {}
        }
    }
    bytes
}

#[test]
fn no_decoder_panics_or_accepts_two_encodings() {
    let rounds = if std::env::var_os("VALISE_LONG").is_some() {
        20_000
    } else {
        100
    };
    for name in decoders::NAMES {
        let mut seeds = 0;
        for entry in fs::read_dir(corpus().join(name)).unwrap().flatten() {
            let bytes = fs::read(entry.path()).unwrap();
            decoders::run(name, &bytes);
            let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64);
            for _ in 0..rounds {
                decoders::run(name, &changed(&bytes, &mut numbers));
            }
            seeds += 1;
        }
        assert!(seeds >= 2, "{name} has a corpus");
    }
}

/// Writes the corpus anew: `VALISE_WRITE_CORPUS=1 cargo test -p valise-tests --test decoders`.
#[tokio::test]
async fn the_corpus_has_an_example_of_everything() {
    let write = std::env::var_os("VALISE_WRITE_CORPUS").is_some();
    for (decoder, name, bytes) in examples().await {
        decoders::run(decoder, &bytes);
        let path = corpus().join(decoder).join(name);
        if write {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        } else {
            assert!(path.exists(), "{decoder}/{name} is in the corpus");
        }
    }
}

/// What a submission says of so many files.
fn files(count: u8) -> Vec<Attachment> {
    let file = |number| Attachment {
        key: FileKey::from_bytes(&[number; 32]),
        namespace: Namespace::from_bytes([number; 32]),
        length: 1_000,
        hash: FileHash::from_bytes([number; 32]),
        name: Some("scan.pdf".into()),
        media_type: "application/pdf".into(),
        metadata: Metadata::Kept,
    };
    in_order((1..=count).map(file).collect())
}

/// A sealed case with so many files.
fn case(envelope: &[u8; ENVELOPE], relay: &RelayContact, files: u8) -> Header {
    let upload = |number: u8| Upload {
        write: [number; 32].into(),
        count: 4,
        account: 0,
    };
    Header {
        envelopes: vec![Deposit {
            address: Address::from_bytes([1; 32]),
            relay: relay.to_string(),
            withdraw: no_withdrawal(),
            envelope: Box::new((*envelope).into()),
        }],
        uploads: (0..files).map(upload).collect(),
    }
}

async fn examples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let relay = LiveRelay::in_memory(|_| ()).await;
    let mechanism = Mechanism::new(2, &relay).await;
    let defender = Defender::new(mechanism.address);
    let (submission, _) = defender.submission("a case", 1, &relay.contact());
    let Message::Submission(inner) = &submission else {
        unreachable!()
    };
    let contact = Contact::new(
        mechanism.address,
        vec![Way {
            relay: relay.contact(),
            ingress: Some(relay.contact()),
        }],
    );
    let reply = |text: Option<&str>| Reply {
        id: SubmissionId::from_bytes([1; 16]),
        regards: SubmissionId::from_bytes([2; 16]),
        written: START.hour(),
        proof: Proof::of(&mechanism.card()),
        text: text.map(Into::into),
    };
    let readers = mechanism.verified(START).readers(START).unwrap();
    let envelope = defender
        .seal("a case", &readers, 1, &relay.contact())
        .envelope;
    let poll = Request::Poll {
        target: Target::Return,
        mailbox: mechanism.address.inbox(),
        cursor: 7,
        removals: vec![valise_protocol::id::EnvelopeDigest::from_bytes([1; 32])],
        wait_seconds: 9,
    };
    let deposit = Request::Deposit {
        target: Target::Inbox,
        mailbox: mechanism.address.inbox(),
        withdraw: no_withdrawal(),
        proof: vec![],
        envelope: envelope.clone(),
    };
    let grant = Grant::from_bytes([7; 16]);
    let short = |plain: Vec<u8>| plain[..200].to_vec();
    let item = Answer::Item(Item {
        waiting: 3,
        cursor: 9,
        envelope: Some(envelope.clone()),
    });
    vec![
        ("card", "two-devices", mechanism.card().encode()),
        (
            "card",
            "one-device",
            Mechanism::new(1, &relay).await.card().encode(),
        ),
        ("descriptor", "plain", mechanism.relays[0].clone()),
        (
            "descriptor",
            "another",
            LiveRelay::in_memory(|c| c.operator = "X".into())
                .await
                .descriptor()
                .await,
        ),
        ("message", "cover", Message::Cover.encode()),
        ("message", "submission", submission.encode()),
        (
            "message",
            "acknowledgement",
            Message::Acknowledgement(reply(None)).encode(),
        ),
        (
            "message",
            "reply",
            Message::Reply(reply(Some("read"))).encode(),
        ),
        ("content", "plain", inner.content.clone()),
        (
            "content",
            "half",
            inner.content[..inner.content.len() / 2].to_vec(),
        ),
        (
            "request",
            "card",
            short(
                Request::Card {
                    address: mechanism.address,
                }
                .encode(),
            ),
        ),
        ("request", "poll", short(poll.encode())),
        ("request", "deposit", short(deposit.encode())),
        (
            "request",
            "publish",
            short(Request::Publish { card: vec![1; 9] }.encode()),
        ),
        (
            "answer",
            "card",
            short(Answer::Card(vec![1; 9]).encode(RequestKind::Card)),
        ),
        (
            "answer",
            "stored",
            short(Answer::Stored(Stored::Already, grant).encode(RequestKind::Deposit)),
        ),
        ("answer", "item", short(item.encode(RequestKind::Poll))),
        (
            "answer",
            "refused",
            short(Answer::Refused(Refusal::Busy).encode(RequestKind::Poll)),
        ),
        ("list", "two", encode_list(&files(2))),
        ("list", "one", encode_list(&files(1))),
        (
            "sealed",
            "text",
            case(&envelope, &relay.contact(), 0).encode(),
        ),
        (
            "sealed",
            "files",
            case(&envelope, &relay.contact(), 2).encode(),
        ),
        (
            "request",
            "put",
            short(
                Request::Put {
                    namespace: Namespace::from_bytes([8; 32]),
                    index: 3,
                    grant,
                    parcel: ParcelBuffer::new(),
                }
                .encode(),
            ),
        ),
        (
            "answer",
            "held",
            short(Answer::Held(ParcelSet::default()).encode(RequestKind::Have)),
        ),
        ("text", "contact", contact.unwrap().to_string().into_bytes()),
        (
            "text",
            "device",
            DeviceKeys::generate(&mut rng())
                .request(mechanism.address)
                .to_string()
                .into_bytes(),
        ),
        (
            "text",
            "phrase",
            ReturnPhrase::from_entropy(&[7; 16])
                .expose_words()
                .join(" ")
                .into_bytes(),
        ),
        ("envelope", "head", envelope[..2_000].to_vec()),
        ("envelope", "blank", vec![0, 1, 0, 2]),
        ("link", "zeros", vec![0; 1_232]),
        ("link", "random", envelope[100..1_332].to_vec()),
    ]
}
