//! The rules of spec §7.2–7.4 from the side of whoever breaks them.

use super::*;
use crate::cbor::{self, Malformed};
use crate::limits::{CARD, ENVELOPE, FRAME_PLAIN, PARCEL};
use crate::testing::rng;

/// The frames around a header and an attachment, written without asking whether they may be.
fn framed(header: &[u8], attachment: &[u8], frames: usize) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap().to_be_bytes();
    let mut plain = [&length, header, attachment].concat();
    plain.resize(frames * FRAME_PLAIN, 0);
    plain
}

/// A byte string of so many bytes.
fn string(byte: u8, length: usize) -> Vec<u8> {
    cbor::encode(&minicbor::bytes::ByteVec::from(vec![byte; length]))
}

fn map(entries: &[&[u8]]) -> Vec<u8> {
    let head = 0xa0 + u8::try_from(entries.len()).unwrap();
    [&[head], &entries.concat()[..]].concat()
}

fn entry(key: u8, value: &[u8]) -> Vec<u8> {
    [&[key], value].concat()
}

fn deposit_header(target: u8, work: &[u8]) -> Vec<u8> {
    map(&[
        &[0, 2],
        &[1, target],
        &entry(2, &string(2, 32)),
        &entry(3, &string(3, 32)),
        &entry(4, work),
    ])
}

fn poll_header(target: u8, cursor: &[u8], removals: &[u8], wait: &[u8]) -> Vec<u8> {
    map(&[
        &[0, 3],
        &[1, target],
        &entry(2, &string(2, 32)),
        &entry(3, cursor),
        &entry(4, removals),
        &entry(5, wait),
    ])
}

fn card_header() -> Vec<u8> {
    map(&[&[0, 1], &entry(1, &string(1, 32))])
}

fn put_header(index: &[u8], grant: usize) -> Vec<u8> {
    let (write, grant) = (string(1, 32), string(2, grant));
    map(&[
        &[0, 6],
        &entry(1, &write),
        &entry(3, index),
        &entry(4, &grant),
    ])
}

fn get_header(index: &[u8]) -> Vec<u8> {
    let (address, namespace) = (string(1, 32), string(2, 32));
    map(&[
        &[0, 7],
        &entry(1, &address),
        &entry(2, &namespace),
        &entry(3, index),
    ])
}

/// A request of every kind, as bytes.
fn requests() -> Vec<(RequestKind, Vec<u8>, Vec<u8>)> {
    vec![
        (RequestKind::Card, card_header(), vec![]),
        (
            RequestKind::Deposit,
            deposit_header(0, &[0x40]),
            vec![7; ENVELOPE],
        ),
        (
            RequestKind::Poll,
            poll_header(1, &[0], &[0x80], &[0]),
            vec![],
        ),
        (
            RequestKind::Publish,
            map(&[&[0, 4], &[1, 3]]),
            vec![1, 2, 3],
        ),
        (
            RequestKind::Have,
            map(&[&[0, 5], &entry(1, &string(1, 32))]),
            vec![],
        ),
        (RequestKind::Put, put_header(&[0], 16), vec![7; PARCEL]),
        (RequestKind::Get, get_header(&[0x19, 0x3f, 0xff]), vec![]),
        (
            RequestKind::Withdraw,
            map(&[
                &[0, 8],
                &entry(1, &string(1, 32)),
                &entry(3, &string(2, 32)),
            ]),
            vec![],
        ),
        (
            RequestKind::Delete,
            map(&[&[0, 9], &entry(1, &string(1, 32))]),
            vec![],
        ),
    ]
}

/// An answer to every kind of request, as bytes.
fn answers() -> Vec<(RequestKind, Vec<u8>, Vec<u8>)> {
    let grant = entry(4, &string(1, 16));
    vec![
        (RequestKind::Card, vec![0xa2, 0, 1, 1, 3], vec![1, 2, 3]),
        (
            RequestKind::Deposit,
            [&[0xa3, 0, 2, 1, 0][..], &grant].concat(),
            vec![],
        ),
        (
            RequestKind::Poll,
            vec![0xa4, 0, 3, 1, 0, 2, 5, 3, 0xf4],
            vec![],
        ),
        (
            RequestKind::Poll,
            vec![0xa4, 0, 3, 1, 9, 2, 5, 3, 0xf5],
            vec![7; ENVELOPE],
        ),
        (RequestKind::Publish, vec![0xa1, 0, 4], vec![]),
        (RequestKind::Have, vec![0xa2, 0, 5, 4, 0x42, 0, 1], vec![]),
        (RequestKind::Put, vec![0xa2, 0, 6, 1, 1], vec![]),
        (RequestKind::Get, vec![0xa2, 0, 7, 3, 0xf4], vec![]),
        (RequestKind::Get, vec![0xa2, 0, 7, 3, 0xf5], vec![7; PARCEL]),
        (RequestKind::Withdraw, vec![0xa2, 0, 8, 1, 0], vec![]),
        (RequestKind::Delete, vec![0xa2, 0, 9, 1, 4], vec![]),
        (RequestKind::Card, vec![0xa2, 0, 0, 1, 7], vec![]),
    ]
}

fn is_refused(kind: RequestKind, header: &[u8], attachment: &[u8]) -> bool {
    Request::decode(&framed(header, attachment, kind.frames_up())).is_err()
}

fn is_refused_answer(kind: RequestKind, header: &[u8], attachment: &[u8]) -> bool {
    Answer::decode(kind, &framed(header, attachment, kind.frames_down())).is_err()
}

#[test]
fn what_the_specification_gives_is_read() {
    for (kind, header, attachment) in requests() {
        let plain = framed(&header, &attachment, kind.frames_up());
        let read = Request::decode(&plain).unwrap();
        assert_eq!((read.kind(), read.encode()), (kind, plain));
    }
    for (kind, header, attachment) in answers() {
        let plain = framed(&header, &attachment, kind.frames_down());
        assert_eq!(Answer::decode(kind, &plain).unwrap().encode(kind), plain);
    }
}

#[test]
fn every_bit_of_padding_is_zero() {
    for (kind, header, attachment) in requests() {
        let end = 2 + header.len() + attachment.len();
        let good = framed(&header, &attachment, kind.frames_up());
        for at in [end, end + 1, good.len() - 1] {
            let mut plain = good.clone();
            plain[at] = 0x80;
            assert_eq!(Request::decode(&plain), Err(Malformed), "{kind:?} {at}");
        }
    }
    for (kind, header, attachment) in answers() {
        let end = 2 + header.len() + attachment.len();
        let good = framed(&header, &attachment, kind.frames_down());
        for at in [end, good.len() - 1] {
            let mut plain = good.clone();
            plain[at] = 1;
            assert_eq!(Answer::decode(kind, &plain), Err(Malformed), "{kind:?}");
        }
    }
}

#[test]
fn a_request_has_the_frames_of_its_kind() {
    for (kind, header, attachment) in requests() {
        for frames in 1..=5 {
            if frames == kind.frames_up() || frames * FRAME_PLAIN < attachment.len() + 200 {
                continue;
            }
            let plain = framed(&header, &attachment, frames);
            assert_eq!(Request::decode(&plain), Err(Malformed), "{kind:?}");
        }
        let plain = framed(&header, &attachment, kind.frames_up());
        assert_eq!(Request::decode(&plain[1..]), Err(Malformed));
    }
    for (kind, header, attachment) in answers() {
        let plain = framed(&header, &attachment, kind.frames_down());
        assert_eq!(Answer::decode(kind, &plain[1..]), Err(Malformed));
        assert_eq!(Answer::decode(kind, &[]), Err(Malformed));
    }
}

#[test]
fn a_header_has_one_encoding() {
    for (kind, header, attachment) in requests() {
        let mut longer = header.clone();
        longer.push(0);
        let more = [&[header[0] + 1], &header[1..], &[23, 0]].concat();
        let endless = [&[0xbf], &header[1..], &[0xff]].concat();
        let long = [&[header[0], 0, 0x18], &header[2..]].concat();
        let null = [&[header[0] + 1], &header[1..], &[6, 0xf6]].concat();
        for other in [longer, more, endless, long, null] {
            assert!(is_refused(kind, &other, &attachment), "{kind:?}");
        }
        for cut in 0..header.len() {
            assert!(is_refused(kind, &header[..cut], &attachment), "{kind:?}");
        }
    }
    for (kind, header, attachment) in answers() {
        let endless = [&[0xbf], &header[1..], &[0xff]].concat();
        let more = [&[header[0] + 1], &header[1..], &[23, 0]].concat();
        assert!(is_refused_answer(kind, &endless, &attachment));
        assert!(is_refused_answer(kind, &more, &attachment));
        assert!(is_refused_answer(
            kind,
            &header[..header.len() - 1],
            &attachment
        ));
    }
}

#[test]
fn a_header_longer_than_a_frame_is_refused() {
    let mut plain = vec![0; 4 * FRAME_PLAIN];
    for length in [FRAME_PLAIN - 1, FRAME_PLAIN, usize::from(u16::MAX)] {
        plain[..2].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        assert_eq!(Request::decode(&plain), Err(Malformed));
        assert_eq!(Answer::decode(RequestKind::Poll, &plain), Err(Malformed));
        let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
        assert_eq!(RequestKind::of_first_frame(first), Err(Malformed));
    }
}

#[test]
fn the_first_frame_tells_an_unknown_kind() {
    for kind in [0, 5, 23] {
        let plain = framed(&map(&[&[0, kind], &[1, 0]]), &[], 1);
        let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
        assert_eq!(RequestKind::of_first_frame(first), Err(Malformed));
        assert_eq!(Request::decode(&plain), Err(Malformed));
    }
}

#[test]
fn the_first_frame_tells_a_header_that_is_not_of_its_kind() {
    let headers = [
        map(&[&[0, 1], &[1, 0]]),
        deposit_header(3, &[0x40]),
        deposit_header(0, &[0]),
        poll_header(2, &[0], &[0x80], &[0]),
        poll_header(1, &[0], &[0x80], &[0x18, 101]),
        map(&[&[0, 4], &[1, 0x19, 0x80, 0x01]]),
        map(&[&[0, 4], &[1, 1], &entry(2, &string(2, 32))]),
    ];
    for header in headers {
        let plain = framed(&header, &[], 1);
        let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
        assert_eq!(RequestKind::of_first_frame(first), Err(Malformed));
    }
    for (kind, header, _) in requests() {
        let plain = framed(&header, &[9; 100], 1);
        let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
        assert_eq!(RequestKind::of_first_frame(first), Ok(kind));
    }
}

#[test]
fn one_frame_is_enough_to_refuse_a_malformed_request_and_nothing_else() {
    let malformed = Answer::Refused(Refusal::Malformed);
    for (asked, _, _) in requests() {
        for refusal in Refusal::ALL {
            let answer = Answer::Refused(refusal);
            let plain = answer.encode(asked);
            assert_eq!(Answer::decode(asked, &plain).as_ref(), Ok(&answer));
            let first = plain.first_chunk::<FRAME_PLAIN>().unwrap();
            assert_eq!(Answer::ends_after(first), answer == malformed);
            let one_is_all = answer == malformed || asked.frames_down() == 1;
            assert_eq!(Answer::decode(asked, first).is_ok(), one_is_all);
        }
    }
    let mut padding = malformed.encode(RequestKind::Publish);
    *padding.last_mut().unwrap() = 1;
    assert!(!Answer::ends_after(padding.first_chunk().unwrap()));
    assert_eq!(Answer::decode(RequestKind::Poll, &padding), Err(Malformed));
    let two = malformed.encode(RequestKind::Card);
    assert_eq!(Answer::decode(RequestKind::Poll, &two), Err(Malformed));
}

#[test]
fn a_deposit_goes_to_one_of_three_targets() {
    let refused = |header: &[u8]| is_refused(RequestKind::Deposit, header, &[7; ENVELOPE]);
    for target in 0..=2 {
        assert!(!refused(&deposit_header(target, &[0x40])));
    }
    assert!(refused(&deposit_header(3, &[0x40])));
}

#[test]
fn a_proof_of_work_is_at_most_256_bytes() {
    let refused = |work: &[u8]| {
        let header = deposit_header(0, work);
        is_refused(RequestKind::Deposit, &header, &[7; ENVELOPE])
    };
    assert!(!refused(&string(1, 256)));
    assert!(refused(&string(1, 257)));
    assert!(refused(&[0x80]));
    assert!(refused(&[
        0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
    ]));
}

#[test]
fn a_poll_looks_into_a_mailbox_within_its_limits() {
    let refused = |header: &[u8]| is_refused(RequestKind::Poll, header, &[]);
    let digests = |count: usize| {
        let head = [0x99, (count >> 8) as u8, count as u8];
        [&head, &string(1, 32).repeat(count)[..]].concat()
    };
    assert!(!refused(&poll_header(
        0,
        &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &digests(256),
        &[0x18, 100]
    )));
    let header = |removals: &[u8], wait: &[u8]| poll_header(0, &[0], removals, wait);
    for (name, header) in [
        ("the sink", poll_header(2, &[0], &[0x80], &[0])),
        ("257 removals", header(&digests(257), &[0])),
        ("a short digest", header(&[0x81, 0x41, 1], &[0])),
        ("a proof for removals", header(&[0x40], &[0])),
        ("a wait of 101 seconds", header(&[0x80], &[0x18, 101])),
        (
            "a wait of 65,536 seconds",
            header(&[0x80], &[0x1a, 0, 1, 0, 0]),
        ),
        ("a negative wait", header(&[0x80], &[0x20])),
        (
            "a withdraw hash for a cursor",
            poll_header(0, &string(1, 32), &[0x80], &[0]),
        ),
        ("a negative cursor", poll_header(0, &[0x20], &[0x80], &[0])),
    ] {
        assert!(refused(&header), "{name}");
    }
}

#[test]
fn a_card_request_names_an_address_of_32_bytes() {
    for address in [string(1, 31), string(1, 33), vec![0], vec![0x60]] {
        let header = map(&[&[0, 1], &entry(1, &address)]);
        assert!(is_refused(RequestKind::Card, &header, &[]));
    }
}

#[test]
fn a_parcel_is_put_within_its_limits() {
    let refused = |header: &[u8]| is_refused(RequestKind::Put, header, &[7; PARCEL]);
    assert!(!refused(&put_header(&[0x19, 0x3f, 0xff], 16)));
    for (name, header) in [
        ("parcel 16,384", put_header(&[0x19, 0x40, 0], 16)),
        ("a short grant", put_header(&[0], 15)),
        ("a long grant", put_header(&[0], 17)),
        ("a hash for a number", put_header(&string(1, 32), 16)),
        ("a negative number", put_header(&[0x20], 16)),
    ] {
        assert!(refused(&header), "{name}");
    }
    assert!(is_refused(
        RequestKind::Put,
        &put_header(&[0], 16),
        &[7; PARCEL + 1]
    ));
    assert!(is_refused(
        RequestKind::Get,
        &get_header(&[0x19, 0x40, 0]),
        &[]
    ));
}

#[test]
fn a_published_card_is_at_most_32_768_bytes() {
    let refused = |length: u16| {
        let header = map(&[&[0, 4], &entry(1, &cbor::encode(&length))]);
        is_refused(RequestKind::Publish, &header, &[7; CARD])
    };
    assert!(!refused(32_768));
    assert!(refused(32_767) && refused(32_769) && refused(u16::MAX));
    let header = map(&[&[0, 4], &[1, 0x1a, 0xff, 0xff, 0xff, 0xff]]);
    assert!(is_refused(RequestKind::Publish, &header, &[]));
}

#[test]
fn an_answer_belongs_to_its_kind_of_request() {
    let kinds = [
        RequestKind::Card,
        RequestKind::Deposit,
        RequestKind::Poll,
        RequestKind::Publish,
        RequestKind::Have,
        RequestKind::Put,
        RequestKind::Get,
        RequestKind::Withdraw,
        RequestKind::Delete,
    ];
    let answers = answers();
    let (_, told) = answers.split_last().unwrap();
    for (own, header, _) in told {
        for kind in kinds.into_iter().filter(|kind| kind != own) {
            assert!(is_refused_answer(kind, header, &[]), "{own:?} {kind:?}");
        }
    }
    for kind in kinds {
        for refusal in Refusal::ALL {
            let plain = Answer::Refused(refusal).encode(kind);
            assert_eq!(plain.len(), kind.frames_down() * FRAME_PLAIN);
            assert_eq!(Answer::decode(kind, &plain), Ok(Answer::Refused(refusal)));
        }
    }
}

#[test]
fn an_answer_says_nothing_that_the_tables_do_not_give() {
    for (kind, header) in [
        (RequestKind::Card, &[0xa2, 0, 0, 1, 0][..]), // refusal 0
        (RequestKind::Card, &[0xa2, 0, 0, 1, 14]),    // refusal 14
        (RequestKind::Card, &[0xa1, 0, 0]),           // a refusal without its code
        (RequestKind::Deposit, &[0xa2, 0, 2, 1, 0]),  // stored, without a grant
        (RequestKind::Deposit, &[0xa2, 0, 10, 1, 0]), // a later kind
        (RequestKind::Put, &[0xa2, 0, 6, 1, 2]),      // kept, but how
        (RequestKind::Withdraw, &[0xa2, 0, 8, 1, 2]), // more than one
        (RequestKind::Have, &[0xa2, 0, 5, 4, 0x41, 0]), // zeros that say nothing
        (RequestKind::Delete, &[0xa1, 0, 9]),         // how many
        (RequestKind::Publish, &[0xa2, 0, 4, 1, 0]),  // a number too many
        (RequestKind::Poll, &[0xa3, 0, 3, 1, 0, 2, 0]), // present or not
        (RequestKind::Poll, &[0xa4, 0, 3, 1, 0, 2, 0, 3, 0]), // a number for a truth
    ] {
        assert!(is_refused_answer(kind, header, &[]), "{header:02x?}");
    }
    let absent = [0xa4, 0, 3, 1, 0, 2, 0, 3, 0xf4];
    assert!(is_refused_answer(
        RequestKind::Poll,
        &absent,
        &[7; ENVELOPE]
    ));
}

#[test]
fn whatever_is_read_is_what_would_have_been_written() {
    let mut random = rng(4);
    let mut next = move |bound: usize| {
        let mut bytes = [0; 4];
        rand_core::Rng::fill_bytes(&mut random, &mut bytes);
        u32::from_le_bytes(bytes) as usize % bound
    };
    for (kind, header, attachment) in requests() {
        for _ in 0..500 {
            let mut plain = framed(&header, &attachment, kind.frames_up());
            for _ in 0..=next(2) {
                plain[next(header.len() + 4)] = u8::try_from(next(256)).unwrap();
            }
            if let Ok(read) = Request::decode(&plain) {
                assert_eq!(read.encode(), plain);
            }
        }
    }
    for (kind, header, attachment) in answers() {
        for _ in 0..500 {
            let mut plain = framed(&header, &attachment, kind.frames_down());
            plain[next(header.len() + 4)] = u8::try_from(next(256)).unwrap();
            if let Ok(read) = Answer::decode(kind, &plain) {
                assert_eq!(read.encode(kind), plain);
            }
        }
    }
}
