//! The rules of spec §4.5 from the side of whoever breaks them.

use super::*;
use crate::card::tests::{Mechanism, NOW};
use crate::id::Address;
use crate::limits::{KEM_KEY, NOTE};
use crate::prekey::PrekeySecret;
use crate::testing::rng;

/// A map of CBOR, entry by entry, written without asking whether it may be.
#[derive(Clone)]
struct Entries(Vec<(u8, Vec<u8>)>);

impl Entries {
    fn bytes(&self) -> Vec<u8> {
        let head = 0xa0 + u8::try_from(self.0.len()).unwrap();
        let entries = self
            .0
            .iter()
            .map(|(key, value)| [&[*key], &value[..]].concat());
        [vec![head], entries.collect::<Vec<_>>().concat()].concat()
    }

    /// The same with one value changed.
    fn with(&self, key: u8, value: Vec<u8>) -> Self {
        let mut entries = self.without(key);
        entries.0.push((key, value));
        entries.0.sort();
        entries
    }

    fn without(&self, key: u8) -> Self {
        let kept = self.0.iter().filter(|(other, _)| *other != key);
        Self(kept.cloned().collect())
    }
}

fn text(length: usize) -> Vec<u8> {
    cbor::encode(&"x".repeat(length))
}

fn bytes(value: &[u8]) -> Vec<u8> {
    cbor::encode(&minicbor::bytes::ByteVec::from(value.to_vec()))
}

fn number(value: u64) -> Vec<u8> {
    cbor::encode(&value)
}

fn handling() -> Entries {
    Entries(vec![
        (0, vec![1]),
        (1, vec![0]),
        (2, vec![2]),
        (3, text(1)),
        (4, vec![0]),
        (5, vec![0]),
        (6, text(2)),
    ])
}

fn content() -> Entries {
    Entries(vec![(0, text(5)), (1, handling().bytes()), (2, vec![0x80])])
}

fn reply_keys() -> Entries {
    let prekey = PrekeySecret::generate(&mut rng(1)).public();
    Entries(vec![
        (0, bytes(prekey.dh.as_bytes())),
        (1, bytes(prekey.kem.as_bytes())),
        (2, bytes(&[2; 32])),
        (3, bytes(&[3; 32])),
    ])
}

fn submission() -> Entries {
    Entries(vec![
        (0, vec![1]),
        (1, bytes(&[1; 16])),
        (2, number(1)),
        (3, reply_keys().bytes()),
        (4, bytes(&content().bytes())),
    ])
}

fn reply() -> Entries {
    let proof = Proof::of(&Mechanism::new(1).card(1, NOW));
    Entries(vec![
        (0, vec![3]),
        (1, bytes(&[1; 16])),
        (2, bytes(&[2; 16])),
        (3, number(NOW.hour().seconds())),
        (4, cbor::encode(&proof)),
        (5, text(5)),
    ])
}

fn acknowledgement() -> Entries {
    reply().without(5).with(0, vec![2])
}

fn copy() -> Entries {
    reply().with(0, vec![4]).with(4, bytes(&[4; 32]))
}

fn fault(message: &Entries) -> Option<MessageError> {
    Message::decode(&message.bytes()).err()
}

fn fault_of_content(content: &Entries) -> Option<MessageError> {
    let found = fault(&submission().with(4, bytes(&content.bytes())));
    assert_eq!(found, Content::decode(&content.bytes()).err());
    found
}

/// One message of every kind, with the keys that it must have.
fn every_kind() -> [(Entries, usize); 5] {
    [
        (Entries(vec![(0, vec![0])]), 1),
        (submission(), 5),
        (acknowledgement(), 5),
        (reply(), 6),
        (copy(), 5),
    ]
}

#[test]
fn what_the_specification_gives_is_read() {
    for (message, _) in every_kind() {
        assert_eq!(fault(&message), None);
        let read = Message::decode(&message.bytes()).unwrap();
        assert_eq!(read.encode(), message.bytes());
    }
    assert_eq!(fault(&copy().without(5)), None);
}

#[test]
fn every_key_of_a_kind_is_needed_and_no_other_is_allowed() {
    for (message, needed) in every_kind() {
        for key in 0..u8::try_from(needed).unwrap() {
            assert!(fault(&message.without(key)).is_some(), "{key}");
        }
        for key in [message.0.len() as u8, 6, 23] {
            if message.0.iter().all(|(there, _)| *there != key) {
                let more = message.with(key, vec![0]);
                assert_eq!(fault(&more), Some(MessageError::Malformed), "{key}");
            }
        }
    }
}

#[test]
fn a_message_has_one_encoding() {
    for (message, _) in every_kind() {
        let good = message.bytes();
        let mut longer = good.clone();
        longer.push(0);
        let long_kind = [&[good[0], 0, 0x18], &good[2..]].concat();
        let endless = [&[0xbf], &good[1..], &[0xff]].concat();
        let repeated = [&[good[0] + 1], &good[1..3], &good[1..]].concat();
        for other in [&longer, &long_kind, &endless, &repeated] {
            assert_eq!(Message::decode(other), Err(MessageError::Malformed));
        }
        for cut in 0..good.len() {
            assert!(Message::decode(&good[..cut]).is_err(), "{cut}");
        }
    }
}

#[test]
fn null_does_not_stand_for_an_absent_entry() {
    let null = vec![0xf6];
    for message in [
        copy().with(5, null.clone()),
        acknowledgement().with(5, null.clone()),
    ] {
        assert_eq!(fault(&message), Some(MessageError::Malformed));
    }
    let content = content().with(1, handling().with(3, null).bytes());
    assert_eq!(fault_of_content(&content), Some(MessageError::Malformed));
}

#[test]
fn byte_strings_have_the_length_given() {
    for message in [
        submission().with(1, bytes(&[1; 15])),
        submission().with(1, bytes(&[1; 17])),
        submission().with(3, reply_keys().with(0, bytes(&[1; 31])).bytes()),
        submission().with(3, reply_keys().with(1, bytes(&[1; KEM_KEY - 1])).bytes()),
        submission().with(3, reply_keys().with(2, bytes(&[1; 33])).bytes()),
        submission().with(3, reply_keys().with(3, text(32)).bytes()),
        copy().with(4, bytes(&[1; 31])),
        reply().with(2, bytes(&[])),
    ] {
        assert_eq!(fault(&message), Some(MessageError::Malformed));
    }
}

#[test]
fn an_encapsulation_key_above_the_modulus_makes_the_message_malformed() {
    let keys = reply_keys().with(1, bytes(&[0xff; KEM_KEY]));
    assert_eq!(
        fault(&submission().with(3, keys.bytes())),
        Some(MessageError::Malformed)
    );
}

#[test]
fn content_inside_its_byte_string_is_read_as_strictly() {
    let mut longer = content().bytes();
    longer.push(0);
    for inside in [longer, vec![], vec![0xa0], content().without(2).bytes()] {
        assert_eq!(
            fault(&submission().with(4, bytes(&inside))),
            Some(MessageError::Malformed)
        );
    }
    let map = submission().with(4, content().bytes());
    assert_eq!(fault(&map), Some(MessageError::Malformed));
}

#[test]
fn an_answer_that_the_table_does_not_give_is_refused() {
    for (key, beyond) in [(0, 3), (1, 3), (2, 4), (4, 5), (5, 3)] {
        let unknown = handling().with(key, vec![beyond]);
        let content = content().with(1, unknown.bytes());
        assert_eq!(
            fault_of_content(&content),
            Some(MessageError::Malformed),
            "{key}"
        );
    }
}

#[test]
fn handling_that_contradicts_itself_is_refused_when_read() {
    let public = |to_state| handling().with(0, vec![to_state]).with(1, vec![1]);
    let unobtainable = handling().with(2, vec![3]);
    for (handling, error) in [
        (public(0), HandlingError::PublicWithoutGovernment),
        (public(2), HandlingError::PublicWithoutGovernment),
        (
            unobtainable.without(3),
            HandlingError::UnobtainableWithoutNote,
        ),
        (
            unobtainable.with(1, vec![1]),
            HandlingError::UnobtainableYetPublic,
        ),
        (
            unobtainable.with(1, vec![2]),
            HandlingError::UnobtainableYetPublic,
        ),
        (handling().with(3, text(0)), HandlingError::NoteLength),
        (
            handling().with(3, text(NOTE + 1)),
            HandlingError::NoteLength,
        ),
        (handling().with(6, text(1)), HandlingError::Language),
        (handling().with(6, text(36)), HandlingError::Language),
        (
            handling().with(6, cbor::encode(&"1a")),
            HandlingError::Language,
        ),
        (
            handling().with(6, cbor::encode(&"fr_FR")),
            HandlingError::Language,
        ),
    ] {
        let content = content().with(1, handling.bytes());
        assert_eq!(
            fault_of_content(&content),
            Some(MessageError::Handling(error))
        );
    }
    for good in [public(1), unobtainable, handling().with(3, text(NOTE))] {
        assert_eq!(fault_of_content(&content().with(1, good.bytes())), None);
    }
}

#[test]
fn sixteen_other_addressees_are_the_most() {
    let others = |count: u8| {
        let addresses = (0..count).map(|at| Address::from_bytes([at; 32]));
        cbor::encode(&addresses.collect::<Vec<_>>())
    };
    assert_eq!(fault_of_content(&content().with(2, others(16))), None);
    assert!(fault_of_content(&content().with(2, others(17))).is_some());
    let endless = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(
        fault_of_content(&content().with(2, endless.to_vec())),
        Some(MessageError::Malformed)
    );
}

#[test]
fn a_copy_is_read_as_strictly_as_what_it_copies() {
    let off = number(NOW.hour().seconds() + 1);
    assert_eq!(
        fault(&copy().with(3, off.clone())),
        Some(MessageError::NotOnTheHour)
    );
    assert_eq!(
        fault(&acknowledgement().with(3, off)),
        Some(MessageError::NotOnTheHour)
    );
    for length in [0, REPLY_TEXT + 1] {
        assert_eq!(
            fault(&copy().with(5, text(length))),
            Some(MessageError::TextLength)
        );
    }
    assert_eq!(fault(&copy().with(5, text(REPLY_TEXT))), None);
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    assert_eq!(
        fault(&reply().with(5, vec![0x61, 0xff])),
        Some(MessageError::Malformed)
    );
}

#[test]
fn each_kind_stays_in_its_mailbox() {
    for (message, inbox, back) in [
        (&every_kind()[0].0, true, true),
        (&submission(), true, false),
        (&acknowledgement(), false, true),
        (&reply(), false, true),
        (&copy(), true, false),
    ] {
        let message = Message::decode(&message.bytes()).unwrap();
        assert_eq!(message.check_found_in(Mailbox::Inbox).is_ok(), inbox);
        assert_eq!(message.check_found_in(Mailbox::Return).is_ok(), back);
    }
}

#[test]
fn whatever_is_read_is_what_would_have_been_written() {
    let mut random = rng(3);
    for (message, _) in every_kind() {
        let good = message.bytes();
        for _ in 0..2_000 {
            let mut bytes = good.clone();
            for _ in 0..=random_below(&mut random, 3) {
                let at = random_below(&mut random, bytes.len());
                bytes[at] = u8::try_from(random_below(&mut random, 256)).unwrap();
            }
            if let Ok(read) = Message::decode(&bytes) {
                assert_eq!(read.encode(), bytes);
            }
        }
    }
}

fn random_below(random: &mut impl rand_core::CryptoRng, bound: usize) -> usize {
    let mut bytes = [0; 4];
    random.fill_bytes(&mut bytes);
    u32::from_le_bytes(bytes) as usize % bound
}
