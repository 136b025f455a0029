use super::answer::AnswerHeader;
use super::frame::{envelope, join};
use super::*;
use crate::cbor::Malformed;
use crate::id::{Address, EnvelopeDigest, Grant, MailboxId, Namespace, WithdrawHash};
use crate::limits::{BITMAP, CARD, ENVELOPE, FRAME_PLAIN, PARCEL, PARCELS, REMOVALS, WAIT_SECONDS};
use crate::parcel::{ParcelBuffer, ParcelSet};

fn envelope_of(byte: u8) -> Box<[u8; ENVELOPE]> {
    envelope(&vec![byte; ENVELOPE]).unwrap()
}

fn parcel_of(byte: u8) -> ParcelBuffer {
    ParcelBuffer::from_sealed(vec![byte; PARCEL]).unwrap()
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
        Request::Have {
            namespace: Namespace::from_bytes([1; 32]),
        },
        Request::Put {
            namespace: Namespace::from_bytes([2; 32]),
            index: PARCELS - 1,
            grant: Grant::from_bytes([3; 16]),
            parcel: parcel_of(4),
        },
        Request::Get {
            address: Address::from_bytes([5; 32]),
            namespace: Namespace::from_bytes([6; 32]),
            index: 0,
        },
        Request::Withdraw {
            inbox: MailboxId::from_bytes([7; 32]),
            secret: [8; 32],
        },
        Request::Delete {
            namespace: Namespace::from_bytes([9; 32]),
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
        (
            RequestKind::Deposit,
            Answer::Stored(Stored::Replaced, Grant::from_bytes([7; 16])),
        ),
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
        (RequestKind::Have, Answer::Held(ParcelSet::default())),
        (
            RequestKind::Have,
            Answer::Held(ParcelSet::from_bytes(vec![0xff; BITMAP]).unwrap()),
        ),
        (RequestKind::Put, Answer::Kept(Kept::New)),
        (RequestKind::Put, Answer::Kept(Kept::Already)),
        (RequestKind::Get, Answer::Parcel(None)),
        (RequestKind::Get, Answer::Parcel(Some(parcel_of(1)))),
        (RequestKind::Withdraw, Answer::Withdrawn(1)),
        (RequestKind::Delete, Answer::Deleted(PARCELS)),
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
    let grant = Grant::from_bytes([0; 16]);
    let plain = Answer::Stored(Stored::New, grant).encode(RequestKind::Publish);
    assert_eq!(Answer::decode(RequestKind::Publish, &plain), Err(Malformed));
    let plain = Answer::Withdrawn(1).encode(RequestKind::Withdraw);
    assert_eq!(Answer::decode(RequestKind::Delete, &plain), Err(Malformed));
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
fn parcels_and_sets_over_their_limits_are_refused() {
    let beyond = Request::Get {
        address: Address::from_bytes([5; 32]),
        namespace: Namespace::from_bytes([6; 32]),
        index: PARCELS,
    };
    assert_eq!(Request::decode(&beyond.encode()), Err(Malformed));
    for bits in [vec![1; BITMAP + 1], vec![1, 0]] {
        let header = AnswerHeader {
            kind: 5,
            number: None,
            cursor: None,
            present: None,
            bytes: Some(bits.into()),
        };
        let plain = join(&header, &[], 1);
        assert_eq!(Answer::decode(RequestKind::Have, &plain), Err(Malformed));
    }
    let plain = Answer::Deleted(PARCELS + 1).encode(RequestKind::Delete);
    assert_eq!(Answer::decode(RequestKind::Delete, &plain), Err(Malformed));
    let plain = Answer::Withdrawn(2).encode(RequestKind::Withdraw);
    assert_eq!(
        Answer::decode(RequestKind::Withdraw, &plain),
        Err(Malformed)
    );
}

#[test]
fn a_grant_has_sixteen_bytes() {
    for length in [15, 17] {
        let header = AnswerHeader {
            kind: 2,
            number: Some(0),
            cursor: None,
            present: None,
            bytes: Some(vec![1; length].into()),
        };
        let plain = join(&header, &[], 1);
        assert_eq!(Answer::decode(RequestKind::Deposit, &plain), Err(Malformed));
    }
}

#[test]
fn a_card_over_the_limit_is_refused() {
    let plain = join(
        &AnswerHeader {
            kind: 1,
            number: Some(32_769),
            cursor: None,
            present: None,
            bytes: None,
        },
        &[],
        2,
    );
    assert_eq!(Answer::decode(RequestKind::Card, &plain), Err(Malformed));
}

#[test]
fn where_a_put_goes_is_told_by_its_first_frame_and_by_no_other() {
    for request in requests() {
        let plain = request.encode();
        let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
        let expected = match &request {
            Request::Put {
                namespace,
                index,
                grant,
                ..
            } => Some((*namespace, *index, *grant)),
            _ => None,
        };
        assert_eq!(Request::put_in_first_frame(first), expected, "{request:?}");
    }
    assert_eq!(Request::put_in_first_frame(&[0xff; FRAME_PLAIN]), None);
}
