use rand_core::Rng;

use super::*;
use crate::testing::rng;

const ADDRESS: Address = Address::from_bytes([5; 32]);

fn readers(count: usize) -> Vec<PrekeySecret> {
    (0..count)
        .map(|at| PrekeySecret::generate(&mut rng(100 + at as u64)))
        .collect()
}

fn sealed(readers: &[PrekeySecret], message: &[u8]) -> Box<[u8; ENVELOPE]> {
    let public: Vec<Prekey> = readers.iter().map(PrekeySecret::public).collect();
    seal(
        &public,
        &ADDRESS,
        &DhSecret::from_bytes(&[9; 32]),
        message,
        &mut rng(1),
    )
    .unwrap()
}

#[test]
fn each_of_eight_devices_opens_it_by_itself() {
    let readers = readers(8);
    let envelope = sealed(&readers, b"a submission");
    for reader in &readers {
        let opened = open(envelope.as_slice(), &ADDRESS, &[reader]).unwrap();
        assert_eq!(*opened.message, b"a submission");
        assert_eq!(opened.writer, DhSecret::from_bytes(&[9; 32]).public());
    }
}

#[test]
fn the_longest_message_fits_and_one_byte_more_does_not() {
    let readers = readers(1);
    let envelope = sealed(&readers, &[7; MESSAGE]);
    assert_eq!(
        open(envelope.as_slice(), &ADDRESS, &[&readers[0]])
            .unwrap()
            .message
            .len(),
        MESSAGE
    );
    let public = [readers[0].public()];
    let writer = DhSecret::from_bytes(&[9; 32]);
    let result = seal(&public, &ADDRESS, &writer, &[7; MESSAGE + 1], &mut rng(1));
    assert_eq!(result.unwrap_err(), SealError::TooLong(MESSAGE + 1));
}

#[test]
fn more_devices_than_slots_are_refused() {
    let public: Vec<Prekey> = readers(9).iter().map(PrekeySecret::public).collect();
    let writer = DhSecret::from_bytes(&[9; 32]);
    assert_eq!(
        seal(&public, &ADDRESS, &writer, b"", &mut rng(1)).unwrap_err(),
        SealError::TooManyReaders(9)
    );
    assert_eq!(
        seal(&[], &ADDRESS, &writer, b"", &mut rng(1)).unwrap_err(),
        SealError::NoReader
    );
}

#[test]
fn a_stranger_and_another_address_open_nothing() {
    let readers = readers(2);
    let envelope = sealed(&readers[..1], b"x");
    assert_eq!(
        open(envelope.as_slice(), &ADDRESS, &[&readers[1]]).unwrap_err(),
        OpenError::NotOurs
    );
    let other = Address::from_bytes([6; 32]);
    assert_eq!(
        open(envelope.as_slice(), &other, &[&readers[0]]).unwrap_err(),
        OpenError::NotOurs
    );
}

#[test]
fn every_altered_part_is_noticed() {
    let readers = readers(8);
    let envelope = sealed(&readers, b"x");
    for (at, expected) in [
        (0, OpenError::UnknownVersion(0x0101)),
        (3, OpenError::UnknownSuite(3)),
        (4, OpenError::ReservedNotZero),
        (16, OpenError::NotOurs),
        (32, OpenError::NotOurs),
        (BODY_AT, OpenError::NotOurs),
        (ENVELOPE - 1, OpenError::NotOurs),
    ] {
        let mut altered = envelope.clone();
        altered[at] ^= 1;
        assert_eq!(
            open(altered.as_slice(), &ADDRESS, &[&readers[0]]).unwrap_err(),
            expected,
            "{at}"
        );
    }
    assert_eq!(
        open(&envelope[..ENVELOPE - 1], &ADDRESS, &[&readers[0]]).unwrap_err(),
        OpenError::WrongLength(ENVELOPE - 1)
    );
}

#[test]
fn another_version_is_told_whatever_its_length() {
    for (bytes, expected) in [
        (&[0, 2, 0, 2, 7][..], OpenError::UnknownVersion(2)),
        (&[0, 2], OpenError::UnknownVersion(2)),
        (&[0, 1, 0, 2, 7], OpenError::WrongLength(5)),
        (&[0], OpenError::WrongLength(1)),
        (&[], OpenError::WrongLength(0)),
    ] {
        assert_eq!(open(bytes, &ADDRESS, &[]).unwrap_err(), expected);
    }
    let longer = [vec![0, 2], vec![0; ENVELOPE]].concat();
    assert_eq!(
        open(&longer, &ADDRESS, &[]).unwrap_err(),
        OpenError::UnknownVersion(2)
    );
}

#[test]
fn a_slot_moved_to_another_place_does_not_open() {
    let readers = readers(1);
    let mut envelope = sealed(&readers, b"x");
    let first = envelope[HEADER..HEADER + SLOT].to_vec();
    envelope.copy_within(HEADER + SLOT..BODY_AT, HEADER);
    envelope[BODY_AT - SLOT..BODY_AT].copy_from_slice(&first);
    assert_eq!(
        open(envelope.as_slice(), &ADDRESS, &[&readers[0]]).unwrap_err(),
        OpenError::NotOurs
    );
}

/// A colleague who can open an envelope knows K. Here one keeps the slots and writes another body under the same K.
#[test]
fn a_colleague_cannot_forge_a_body() {
    let readers = readers(2);
    let mut forged = sealed(&readers, b"what the defender wrote");
    let mut key = Zeroizing::new([0; 32]);
    rng(1).fill_bytes(key.as_mut_slice());
    seal_body(&mut forged, &key, b"what the colleague wrote", &mut rng(2));
    assert_eq!(
        open(forged.as_slice(), &ADDRESS, &[&readers[1]]).unwrap_err(),
        OpenError::NotOurs
    );
}

/// Every check behind the slot, each tried with a slot that opens: the writer's key seals it anew after the change.
#[test]
fn padding_and_commitment_are_checked_under_a_right_key() {
    let reader = PrekeySecret::generate(&mut rng(50));
    let writer = DhSecret::from_bytes(&[9; 32]);
    let reseal = |change: &dyn Fn(&mut [u8; ENVELOPE], &[u8; 32])| {
        let mut envelope = blank();
        let key = [3; 32];
        seal_body(&mut envelope, &key, b"x", &mut rng(2));
        change(&mut envelope, &key);
        let digest = body_digest(&envelope);
        let slot = seal_slot(
            &reader.public(),
            0,
            &digest,
            &ADDRESS,
            &writer,
            &key,
            &mut rng(3),
        )
        .unwrap();
        envelope[HEADER..HEADER + SLOT].copy_from_slice(&slot);
        open(envelope.as_slice(), &ADDRESS, &[&reader]).map(|opened| opened.message.to_vec())
    };
    let body = |envelope: &mut [u8; ENVELOPE], key: &[u8; 32], padded: &[u8]| {
        let prk = extract(&envelope[16..32], key);
        let header = envelope[..HEADER].to_vec();
        envelope[BODY_AT..].fill(0);
        envelope[BODY_AT..][..padded.len()].copy_from_slice(padded);
        let bk = expand(&prk, &[b"valise1/body"]);
        let tag = encrypt(&bk, &[0; 12], &header, &mut envelope[BODY_AT..][..PADDED]);
        envelope[ENVELOPE - TAG..].copy_from_slice(&tag);
    };
    assert_eq!(reseal(&|_, _| {}), Ok(b"x".to_vec()));
    assert_eq!(reseal(&|e, _| e[40] ^= 1), Err(OpenError::BadCommitment));
    assert_eq!(reseal(&|e, _| e[BODY_AT + 9] ^= 1), Err(OpenError::BadBody));
    assert_eq!(
        reseal(&|e, k| body(e, k, &[0, 0, 0, 1, b'y'])),
        Ok(b"y".to_vec())
    );
    assert_eq!(
        reseal(&|e, k| body(e, k, &[0, 0, 0, 1, b'y', 1])),
        Err(OpenError::BadPadding)
    );
    assert_eq!(
        reseal(&|e, k| body(e, k, &[0, 0, 0xd9, 0xad])),
        Err(OpenError::BadLength)
    );
    assert_eq!(
        reseal(&|e, k| body(e, k, &[0xff; 4])),
        Err(OpenError::BadLength)
    );
}

#[test]
fn slot_order_is_drawn() {
    let readers = readers(1);
    let public = [readers[0].public()];
    let writer = DhSecret::from_bytes(&[9; 32]);
    let places: std::collections::BTreeSet<usize> = (0..40)
        .map(|seed| {
            let envelope = seal(&public, &ADDRESS, &writer, b"x", &mut rng(seed)).unwrap();
            (0..SLOTS)
                .find(|index| {
                    let mut altered = envelope.clone();
                    altered[HEADER + index * SLOT] ^= 1;
                    open(altered.as_slice(), &ADDRESS, &[&readers[0]]).is_err()
                })
                .unwrap()
        })
        .collect();
    assert!(places.len() >= 6, "{places:?}");
}
