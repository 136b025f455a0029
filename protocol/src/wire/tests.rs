use super::answer::AnswerHeader;
use super::frame::{envelope, join};
use super::*;
use crate::cbor::Malformed;
use crate::id::{Address, EnvelopeDigest, MailboxId, WithdrawHash};
use crate::limits::{CARD, ENVELOPE, FRAME_PLAIN, REMOVALS, WAIT_SECONDS};

fn envelope_of(byte: u8) -> Box<[u8; ENVELOPE]> {
    envelope(&vec![byte; ENVELOPE]).unwrap()
}

fn requests() -> Vec<Request> {
    let mailbox = MailboxId::from_bytes([2; 32]);
    vec![
        Request::Card {
            address: Address::from_bytes([1; 32]),
        },
        Request::Deposit {
            target: Target::Sink,
            mailbox,
            withdraw: WithdrawHash::from_bytes([3; 32]),
            proof: vec![],
            envelope: envelope_of(7),
        },
        Request::Poll {
            target: Target::Return,
            mailbox,
            cursor: u64::MAX,
            removals: vec![EnvelopeDigest::from_bytes([0xff; 32]); REMOVALS],
            wait_seconds: WAIT_SECONDS,
        },
        Request::Publish {
            card: vec![9; CARD],
        },
    ]
}

#[test]
fn every_request_survives_its_frames() {
    for request in requests() {
        let plain = request.encode();
        assert_eq!(plain.len(), request.kind().frames_up() * FRAME_PLAIN);
        let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
        assert_eq!(RequestKind::of_first_frame(first), Ok(request.kind()));
        assert_eq!(Request::decode(&plain), Ok(request));
    }
}

#[test]
fn every_answer_survives_its_frames() {
    let answers = [
        (RequestKind::Card, Answer::Card(vec![1; CARD])),
        (RequestKind::Deposit, Answer::Stored(Stored::Replaced)),
        (
            RequestKind::Poll,
            Answer::Item(Item {
                waiting: u32::MAX,
                cursor: u64::MAX,
                envelope: Some(envelope_of(1)),
            }),
        ),
        (
            RequestKind::Poll,
            Answer::Item(Item {
                waiting: 0,
                cursor: 0,
                envelope: None,
            }),
        ),
        (RequestKind::Publish, Answer::Published),
    ];
    let refusals = Refusal::ALL.map(|refusal| (RequestKind::Poll, Answer::Refused(refusal)));
    for (kind, answer) in answers.into_iter().chain(refusals) {
        let plain = answer.encode(kind);
        assert_eq!(plain.len(), kind.frames_down() * FRAME_PLAIN);
        assert_eq!(Answer::decode(kind, &plain), Ok(answer));
    }
}

#[test]
fn non_zero_padding_is_refused() {
    for request in requests() {
        let mut plain = request.encode();
        *plain.last_mut().unwrap() = 1;
        assert_eq!(Request::decode(&plain), Err(Malformed), "{request:?}");
    }
    let mut plain = Answer::Published.encode(RequestKind::Publish);
    *plain.last_mut().unwrap() = 1;
    assert_eq!(Answer::decode(RequestKind::Publish, &plain), Err(Malformed));
}

#[test]
fn an_answer_to_another_kind_is_refused() {
    let plain = Answer::Stored(Stored::New).encode(RequestKind::Publish);
    assert_eq!(Answer::decode(RequestKind::Publish, &plain), Err(Malformed));
}

/// Builds the plaintext of one frame around a header.
fn framed(header: &[u8]) -> Vec<u8> {
    let mut plain = u16::try_from(header.len()).unwrap().to_be_bytes().to_vec();
    plain.extend_from_slice(header);
    plain.resize(FRAME_PLAIN, 0);
    plain
}

#[test]
fn malformed_headers_are_refused() {
    let mut poll = vec![0xa6, 0, 3, 1, 1, 2, 0x58, 32];
    poll.extend_from_slice(&[2; 32]);
    let tail = |rest: &[u8]| framed(&[&poll, rest].concat());
    assert!(Request::decode(&tail(&[3, 0, 4, 0x80, 5, 0])).is_ok());
    for (name, plain) in [
        ("empty", framed(&[])),
        ("unknown kind", framed(&[0xa2, 0, 9, 1, 0])),
        (
            "a poll of the sink",
            framed(
                &[
                    &[0xa6, 0, 3, 1, 2, 2, 0x58, 32],
                    [2; 32].as_slice(),
                    &[3, 0, 4, 0x80, 5, 0],
                ]
                .concat(),
            ),
        ),
        (
            "a wait over the limit",
            tail(&[3, 0, 4, 0x80, 5, 0x18, 101]),
        ),
        (
            "a count of 2^64 - 1",
            tail(&[
                3, 0, 4, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 5, 0,
            ]),
        ),
        ("an indefinite array", tail(&[3, 0, 4, 0x9f, 0xff, 5, 0])),
        ("a long integer", tail(&[3, 0x18, 0, 4, 0x80, 5, 0])),
        ("a missing key", tail(&[3, 0, 4, 0x80])),
        ("nesting", framed(&[0x81; FRAME_PLAIN - 2])),
        ("a length beyond the frame", vec![0xff; FRAME_PLAIN]),
        ("no frame", Vec::new()),
    ] {
        assert_eq!(Request::decode(&plain), Err(Malformed), "{name}");
    }
    assert_eq!(
        Request::decode(&Request::Publish { card: vec![] }.encode()[..FRAME_PLAIN]),
        Err(Malformed)
    );
}

#[test]
fn a_card_over_the_limit_is_refused() {
    let plain = join(
        &AnswerHeader {
            kind: 1,
            number: Some(32_769),
            cursor: None,
            present: None,
        },
        &[],
        2,
    );
    assert_eq!(Answer::decode(RequestKind::Card, &plain), Err(Malformed));
}
