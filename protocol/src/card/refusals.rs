//! The rules of spec §5.1–5.3, §5.6 and §7.3 from the side of whoever breaks them.

use super::tests::{Mechanism, NOW, descriptor_of};
use super::*;
use crate::limits::{DAY, KEM_KEY, ROSTER, SIGNATURE};
use crate::prekey::PrekeySecret;
use crate::testing::rng;

/// A roster's map, written without asking whether it is within its limits.
#[derive(Clone, Encode)]
#[cbor(map)]
struct LooseRoster {
    #[n(0)]
    address: Address,
    #[n(1)]
    epoch: u64,
    #[n(2)]
    issued: Timestamp,
    #[n(3)]
    not_after: Timestamp,
    #[n(4)]
    devices: Vec<Device>,
    #[n(5)]
    relays: Vec<LooseBytes>,
    #[n(6)]
    profile: Profile,
    #[n(7)]
    reading: Option<Vec<LooseBytes>>,
}

#[derive(Clone, Encode)]
#[cbor(transparent)]
struct LooseBytes(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);

/// A statement's map, likewise.
#[derive(Encode)]
#[cbor(map)]
struct LooseStatement {
    #[n(0)]
    address: Address,
    #[n(1)]
    signing: VerifyingKey,
    #[n(2)]
    epoch: u64,
    #[n(3)]
    issued: Timestamp,
    #[cbor(n(4), with = "minicbor::bytes")]
    dh: [u8; 32],
    #[cbor(n(5), with = "minicbor::bytes")]
    kem: Vec<u8>,
}

/// A statement's outer map.
#[derive(Encode)]
#[cbor(map)]
struct LooseSigned {
    #[cbor(n(0), with = "minicbor::bytes")]
    bytes: Vec<u8>,
    #[n(1)]
    signature: Signature,
}

fn loose(mechanism: &Mechanism) -> LooseRoster {
    let roster = mechanism.roster(1, NOW);
    LooseRoster {
        address: roster.address(),
        epoch: roster.epoch(),
        issued: roster.issued(),
        not_after: roster.not_after(),
        devices: roster.devices().to_vec(),
        relays: roster.relays().map(|r| LooseBytes(r.to_vec())).collect(),
        profile: roster.profile().clone(),
        reading: None,
    }
}

/// What a card with this roster, rightly signed, is refused for.
fn fault_of(mechanism: &Mechanism, change: impl FnOnce(&mut LooseRoster)) -> Option<CardError> {
    let mut roster = loose(mechanism);
    change(&mut roster);
    let bytes = cbor::encode(&roster);
    let signature = mechanism.root.sign("valise1/roster", &bytes);
    let card = Card::new(
        first_root(&mechanism.root),
        SignedRoster { bytes, signature },
        vec![],
    );
    let read = Card::decode(&card.encode()).and_then(|c| c.verify(mechanism.address, None, NOW));
    read.err()
}

/// What a card with this statement, rightly signed by device 0, is refused for.
fn fault_of_statement(
    mechanism: &Mechanism,
    change: impl FnOnce(&mut LooseStatement),
) -> Option<CardError> {
    let device = &mechanism.devices[0];
    let prekey = PrekeySecret::generate(&mut rng(50)).public();
    let mut statement = LooseStatement {
        address: mechanism.address,
        signing: device.signing.verifying_key(),
        epoch: 1,
        issued: NOW,
        dh: *prekey.dh.as_bytes(),
        kem: prekey.kem.as_bytes().to_vec(),
    };
    change(&mut statement);
    let bytes = cbor::encode(&statement);
    let signature = device.signing.sign("valise1/prekey", &bytes);
    let signed = cbor::encode(&LooseSigned { bytes, signature });
    let card = Card {
        statements: vec![cbor::decode(&signed).unwrap()],
        ..mechanism.card(1, NOW)
    };
    card.verify(mechanism.address, None, NOW).err()
}

#[test]
fn a_roster_within_its_limits_is_believed() {
    let mechanism = Mechanism::new(2);
    assert_eq!(fault_of(&mechanism, |_| ()), None);
    assert_eq!(fault_of_statement(&mechanism, |_| ()), None);
}

#[test]
fn rule_1_refuses_a_roster_over_its_limits() {
    let mechanism = Mechanism::new(2);
    let malformed = |name: &str, change: &dyn Fn(&mut LooseRoster)| {
        assert_eq!(
            fault_of(&mechanism, change),
            Some(CardError::Malformed),
            "{name}"
        );
    };
    malformed("epoch 0", &|r| r.epoch = 0);
    malformed("no device", &|r| r.devices.clear());
    malformed("nine devices", &|r| {
        r.devices = Mechanism::new(9)
            .devices
            .iter()
            .map(DeviceKeys::public)
            .collect();
    });
    malformed("a device twice", &|r| r.devices[1] = r.devices[0]);
    malformed("one key in two places", &|r| {
        r.devices[1].link = r.devices[0].identity;
    });
    malformed("no relay", &|r| r.relays.clear());
    malformed("nine relays", &|r| {
        r.relays = vec![r.relays[0].clone(); 9];
    });
    malformed("a descriptor over its size", &|r| {
        r.relays[0] = LooseBytes(vec![0; crate::limits::DESCRIPTOR + 1]);
    });
    malformed("no name", &|r| r.profile.names.clear());
    malformed("an empty name", &|r| r.profile.names[0].1.clear());
    malformed("names out of order", &|r| {
        r.profile.names = vec![("fr".into(), "x".into()), ("en".into(), "x".into())];
    });
    malformed("the longer tag first", &|r| {
        r.profile.names = vec![("ast".into(), "x".into()), ("fr".into(), "x".into())];
    });
    malformed("a name twice", &|r| {
        r.profile.names = vec![("en".into(), "x".into()); 2];
    });
    malformed("seventeen names", &|r| {
        let tag = |at: u8| format!("a{}", char::from(b'a' + at));
        r.profile.names = (0..17).map(|at| (tag(at), "x".into())).collect();
    });
    malformed("a language that is none", &|r| {
        r.profile.languages = vec!["1x".into()];
    });
    malformed("33 languages", &|r| {
        r.profile.languages = vec!["en".into(); 33];
    });
    malformed("17 required fields", &|r| {
        r.profile.required = vec!["x".into(); 17];
    });
    malformed("an empty required field", &|r| {
        r.profile.required = vec![String::new()];
    });
    malformed("a required field too long", &|r| {
        r.profile.required = vec!["x".repeat(65)];
    });
    malformed("a retention statement too long", &|r| {
        r.profile.retention = Some("x".repeat(1_001));
    });
    malformed("over 20,480 bytes", &|r| {
        r.relays = vec![LooseBytes(vec![0; 2_048]); 8];
        r.profile.names = (0..16)
            .map(|at| (format!("a{}", char::from(b'a' + at)), "x".repeat(200)))
            .collect();
        r.profile.required = vec!["x".repeat(64); 16];
    });
}

#[test]
fn rule_1_refuses_relays_for_reading_that_are_none_too_many_or_named_twice() {
    let mechanism = Mechanism::new(1);
    let (first, second) = (descriptor_of(&[2; 32], 443), descriptor_of(&[3; 32], 443));
    let fault = |relays: &[&[u8]], reading: &[&[u8]]| {
        let loose = |relays: &[&[u8]]| relays.iter().map(|it| LooseBytes(it.to_vec())).collect();
        fault_of(&mechanism, |roster| {
            roster.relays = loose(relays);
            roster.reading = Some(loose(reading));
        })
    };
    let long = vec![0; crate::limits::DESCRIPTOR + 1];
    let refused = Some(CardError::Malformed);
    assert_eq!(fault(&[&first], &[&second]), None);
    // What does not verify is no relay, and so is not one twice.
    assert_eq!(
        fault(&[&first, b""], &[&second, b"", b"", b"", b"", b""]),
        None
    );
    assert_eq!(fault(&[&first], &[]), refused);
    assert_eq!(
        fault(&[&first, b""], &[&second, b"", b"", b"", b"", b"", b""]),
        refused
    );
    assert_eq!(fault(&[&first], &[&long]), refused);
    assert_eq!(fault(&[&first], &[&second, &second]), refused);
    // Another description of the same relay is the same relay.
    let again = descriptor_of(&[3; 32], 444);
    assert_eq!(fault(&[&first], &[&second, &again]), refused);
    assert_eq!(fault(&[&first, &again], &[&second]), refused);
}

#[test]
fn rule_1_refuses_a_card_of_another_shape() {
    let mechanism = Mechanism::new(1);
    let good = mechanism.card(1, NOW);
    let next = next_root(good.roots.clone(), &mechanism.root, &mechanism.root).unwrap();
    let five = Card {
        roots: [&next[..], &next[..], &next[1..]].concat(),
        ..good.clone()
    };
    let none = Card {
        roots: vec![],
        ..good.clone()
    };
    let nine = Card {
        statements: vec![good.statements[0].clone(); 9],
        ..good.clone()
    };
    let mut trailing = good.encode();
    trailing.push(0);
    let cut = good.encode()[..good.encode().len() - 1].to_vec();
    for bytes in [
        five.encode(),
        none.encode(),
        nine.encode(),
        trailing,
        cut,
        vec![],
        vec![0xa0],
    ] {
        assert_eq!(Card::decode(&bytes), Err(CardError::Malformed));
    }
}

#[test]
fn the_largest_roster_with_eight_statements_fits_a_card() {
    let signed = LooseSigned {
        bytes: cbor::encode(&LooseStatement {
            address: Address::from_bytes([0; 32]),
            signing: SigningKey::from_bytes(&[1; 32]).verifying_key(),
            epoch: u64::MAX,
            issued: Timestamp::from_seconds(u64::MAX),
            dh: [0; 32],
            kem: vec![0; KEM_KEY],
        }),
        signature: Signature::from_bytes([0; SIGNATURE]),
    };
    let root = 1 + 1 + 2 + 32 + 1 + 2 + SIGNATURE;
    let fixed = 1 + 4 + 2 + 3 + 2 + SIGNATURE;
    let statements = SLOTS * cbor::encode(&signed).len();
    assert!(fixed + ROOTS * root + ROSTER + statements <= CARD);
}

#[test]
fn rule_2_refuses_roots_that_do_not_chain() {
    let mechanism = Mechanism::new(1);
    let keys = [2, 3, 4, 5].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let first = first_root(&mechanism.root);
    let two = next_root(first.clone(), &mechanism.root, &keys[0]).unwrap();
    let four = next_root(
        next_root(two.clone(), &keys[0], &keys[1]).unwrap(),
        &keys[1],
        &keys[2],
    )
    .unwrap();
    let verify = |roots: Vec<Root>, signer: &SigningKey| {
        let roster = mechanism.roster(1, NOW).sign(signer);
        Card::new(roots, roster, vec![])
            .verify(mechanism.address, None, NOW)
            .err()
    };
    assert_eq!(verify(four.clone(), &keys[2]), None);
    assert_eq!(next_root(four.clone(), &keys[2], &keys[3]), None);
    assert_eq!(verify(four, &keys[1]), Some(CardError::BadSignature));

    let mut unsigned = two.clone();
    unsigned[1].signature = None;
    let mut signed_first = two.clone();
    signed_first[0].signature = two[1].signature;
    let mut skipped = two.clone();
    skipped[1].key = keys[1].verifying_key();
    for broken in [unsigned, signed_first, skipped, vec![]] {
        assert_eq!(verify(broken, &keys[0]), Some(CardError::BadChain));
    }
    assert_eq!(
        verify(two[1..].to_vec(), &keys[0]),
        Some(CardError::BadChain)
    );
}

#[test]
fn rule_2_refuses_a_roster_of_another_address_by_the_same_root() {
    let mechanism = Mechanism::new(1);
    assert_eq!(
        fault_of(&mechanism, |r| r.address = Address::from_bytes([0; 32])),
        Some(CardError::WrongAddress)
    );
}

#[test]
fn no_altered_bit_of_a_card_survives_verification() {
    let mechanism = Mechanism::new(1);
    let good = mechanism.card(1, NOW).encode();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let read = Card::decode(&bytes).and_then(|c| c.verify(mechanism.address, None, NOW));
        assert!(read.is_err(), "byte {at}");
    }
}

#[test]
fn rule_3_refuses_dates_that_make_no_sense() {
    let mechanism = Mechanism::new(1);
    assert_eq!(
        fault_of(&mechanism, |r| r.not_after = r.issued.plus(1)),
        None
    );
    for change in [
        (|r: &mut LooseRoster| r.not_after = r.issued) as fn(&mut LooseRoster),
        |r| r.not_after = r.issued.minus(1),
        |r| r.not_after = r.issued.plus(ROSTER_LIFE + 1),
        |r| r.epoch = r.issued.seconds() + 1,
        |r| {
            r.issued = NOW.plus(1_800);
            r.not_after = NOW.plus(600);
        },
    ] {
        assert_eq!(fault_of(&mechanism, change), Some(CardError::BadDates));
    }
}

#[test]
fn rule_4_refuses_a_statement_for_another_address() {
    let mechanism = Mechanism::new(1);
    assert_eq!(
        fault_of_statement(&mechanism, |s| s.address = Address::from_bytes([0; 32])),
        Some(CardError::ForeignStatement)
    );
}

#[test]
fn a_prekey_that_cannot_be_sealed_to_makes_the_card_malformed() {
    let mechanism = Mechanism::new(1);
    for change in [
        (|s: &mut LooseStatement| s.dh = [0; 32]) as fn(&mut LooseStatement),
        |s| s.kem = vec![0xff; KEM_KEY],
        |s| s.kem.truncate(KEM_KEY - 1),
    ] {
        assert_eq!(
            fault_of_statement(&mechanism, change),
            Some(CardError::Malformed)
        );
    }
}

#[test]
fn a_statement_by_another_key_than_it_names_is_refused() {
    let mechanism = Mechanism::new(2);
    let other = mechanism.devices[1].signing.verifying_key();
    assert_eq!(
        fault_of_statement(&mechanism, |s| s.signing = other),
        Some(CardError::BadSignature)
    );
}

#[test]
fn a_statement_from_the_future_never_counts_as_a_reader() {
    let mechanism = Mechanism::new(1);
    let card = mechanism.card(1, NOW);
    let at = |now: Timestamp| {
        let card = card.clone();
        let roster = mechanism.roster(1, NOW.minus(DAY)).sign(&mechanism.root);
        Card::new(card.roots, roster, card.statements)
            .verify(mechanism.address, None, now)
            .unwrap()
    };
    let now = NOW.minus(SKEW);
    assert_eq!(at(now).readers(now).unwrap().len(), 1);
    let now = now.minus(1);
    assert!(at(now).readers(now).is_err());
    assert!(at(now).readers_despite_staleness(now).is_empty());
}

#[test]
fn a_relay_drops_the_statements_of_removed_devices() {
    let mut mechanism = Mechanism::new(2);
    let held = mechanism
        .card(1, NOW)
        .verify(mechanism.address, None, NOW)
        .unwrap();
    mechanism.devices.pop();
    let roster = mechanism.roster(2, NOW).sign(&mechanism.root);
    let next = Card::new(first_root(&mechanism.root), roster, vec![]);
    let kept = merge(mechanism.address, Some(&held), next, NOW).unwrap();
    assert_eq!(kept.epoch(), 2);
    assert_eq!(kept.card().statements(), &held.card().statements()[..1]);
}

#[test]
fn a_relay_keeps_what_it_holds_of_two_made_in_the_same_second() {
    let mechanism = Mechanism::new(1);
    let held = mechanism
        .card(1, NOW)
        .verify(mechanism.address, None, NOW)
        .unwrap();
    let other = PrekeySecret::generate(&mut rng(77)).public();
    let rival = SignedStatement::sign(mechanism.address, &mechanism.devices[0], 1, other, NOW);
    let card = Card::new(
        first_root(&mechanism.root),
        held.card().signed_roster(),
        vec![rival],
    );
    let kept = merge(mechanism.address, Some(&held), card, NOW).unwrap();
    assert_eq!(kept.card(), held.card());
}

#[test]
fn a_relay_refuses_a_second_roster_of_one_epoch_and_a_shorter_chain() {
    let mechanism = Mechanism::new(1);
    let new = SigningKey::from_bytes(&[6; 32]);
    let roots = next_root(first_root(&mechanism.root), &mechanism.root, &new).unwrap();
    let held = Card::new(roots.clone(), mechanism.roster(2, NOW).sign(&new), vec![])
        .verify(mechanism.address, None, NOW)
        .unwrap();
    let merge = |card| merge(mechanism.address, Some(&held), card, NOW).err();
    let earlier = NOW.minus(1);
    let second = Card::new(roots, mechanism.roster(2, earlier).sign(&new), vec![]);
    assert_eq!(merge(second), Some(CardError::Conflicting));
    assert_eq!(merge(mechanism.card(3, NOW)), Some(CardError::BadChain));
}

#[test]
fn what_a_relay_keeps_does_not_depend_on_the_order_of_publishing() {
    let mechanism = Mechanism::new(3);
    let later = NOW.plus(DAY);
    let of = |device: usize, at: Timestamp| {
        let prekey = PrekeySecret::generate(&mut rng(device as u64)).public();
        let keys = &mechanism.devices[device];
        let statement = SignedStatement::sign(mechanism.address, keys, 1, prekey, at);
        let roster = mechanism.roster(1, NOW).sign(&mechanism.root);
        Card::new(first_root(&mechanism.root), roster, vec![statement])
    };
    let cards = [of(2, NOW), of(0, later), of(1, NOW), of(0, NOW)];
    let publish = |order: [usize; 4]| {
        let mut held = None;
        for at in order {
            let card = cards[at].clone();
            held = Some(merge(mechanism.address, held.as_ref(), card, later).unwrap());
        }
        held.unwrap().card().encode()
    };
    let kept = publish([0, 1, 2, 3]);
    for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        assert_eq!(publish(order), kept);
    }
}

#[test]
fn a_proof_holds_after_its_roster_ran_out_and_no_altered_bit_does() {
    let mechanism = Mechanism::new(1);
    let long_ago = Timestamp::from_seconds(2_000_000);
    let good = cbor::encode(&Proof::of(&mechanism.card(1, long_ago)));
    let verify = |bytes: &[u8]| {
        let proof: Proof = cbor::decode(bytes).map_err(|_| ProofError)?;
        proof.verify(mechanism.address)
    };
    assert_eq!(verify(&good).unwrap().issued(), long_ago);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(verify(&bytes).is_err(), "byte {at}");
    }
}

#[test]
fn a_proof_by_another_root_is_refused() {
    let mechanism = Mechanism::new(1);
    let other = SigningKey::from_bytes(&[9; 32]);
    let card = Card::new(
        first_root(&mechanism.root),
        mechanism.roster(1, NOW).sign(&other),
        vec![],
    );
    assert_eq!(Proof::of(&card).verify(mechanism.address), Err(ProofError));
}

#[test]
fn a_roster_of_the_last_epoch_has_no_successor() {
    let mechanism = Mechanism::new(1);
    let last = mechanism.roster(u64::MAX, NOW);
    assert_eq!(
        last.succeeded_by(last.devices().to_vec(), NOW),
        Err(CardError::Malformed)
    );
}

#[test]
fn a_request_is_read_in_one_case_and_of_one_kind_only() {
    let mechanism = Mechanism::new(1);
    let request = mechanism.devices[0].request(mechanism.address);
    let text = request.to_string();
    for text in [text.to_uppercase(), format!(" {text}\n")] {
        assert_eq!(text.parse(), Ok(request.clone()));
    }
    let mixed = format!("V{}", &text[1..]);
    let address = mechanism.address.to_string();
    let split = format!("{} {}", &text[..40], &text[40..]);
    for wrong in [mixed, address, split, String::new()] {
        assert_eq!(
            wrong.parse::<DeviceRequest>(),
            Err(RequestError::Malformed),
            "{wrong}"
        );
    }
}
