//! The rules of spec §5.3, one by one, and those of publishing (spec §7.3).

use std::collections::BTreeMap;

use super::device::DeviceKeys;
use super::proof::{RootError, RootSigner};
use super::roster::{Names, Profile};
use super::*;
use crate::bounded::{Bytes, Text};
use crate::descriptor::tests::{NOW, descriptor, identity};
use crate::key::{DhPublic, SigningKey};
use crate::limits::{DAY, PREKEY_FRESH, PREKEY_STALE, ROSTER_LIFE};
use crate::prekey::PrekeySecret;
use crate::testing::rng;

fn root() -> RootSigner {
    RootSigner::first(SigningKey::from_bytes(&[1; 32]))
}

fn device(seed: u64) -> DeviceKeys {
    DeviceKeys::generate(&mut rng(seed))
}

fn profile() -> Profile {
    let names = BTreeMap::from([("fr".parse().unwrap(), Text::new("Mécanisme").unwrap())]);
    Profile {
        names: Names::new(names).unwrap(),
        languages: List::new(["fr".parse().unwrap()]).unwrap(),
        required: List::new([Text::new("place").unwrap()]).unwrap(),
        pseudonym_accepted: true,
        retention: Some(Text::new("two years").unwrap()),
    }
}

/// A roster of devices 0, 1, …
fn roster(devices: u64) -> Roster {
    let devices: Vec<_> = (0..devices).map(|seed| device(seed).public()).collect();
    let relay = descriptor().sign(&identity()).unwrap().encode();
    Roster {
        address: root().address(),
        epoch: 3,
        issued: NOW,
        not_after: NOW.plus(ROSTER_LIFE),
        devices: List::new(devices).unwrap(),
        relays: List::new([Bytes::new(relay).unwrap()]).unwrap(),
        profile: profile(),
    }
}

/// The statement of a device, issued at NOW + `offset`.
fn statement(seed: u64, offset: i64) -> SignedStatement {
    let issued = Timestamp::from_seconds(NOW.seconds().checked_add_signed(offset).unwrap());
    let prekey = PrekeySecret::generate(&mut rng(seed + 100)).public();
    device(seed).statement(root().address(), 3, &prekey, issued)
}

fn card_of(roster: Roster, statements: Vec<SignedStatement>) -> Card {
    Card::new(root().sign(roster).unwrap(), statements).unwrap()
}

/// A card whose roster the root signed although it would refuse to.
fn forged(roster: Roster, statements: Vec<SignedStatement>) -> Card {
    let signature = SigningKey::from_bytes(&[1; 32]).sign("valise1/roster", &cbor::encode(&roster));
    let proof = Proof {
        roots: root().roots().clone(),
        roster,
        signature,
    };
    Card::new(proof, statements).unwrap()
}

fn verify(card: Card) -> Result<VerifiedCard, CardError> {
    card.verify(root().address(), None, NOW)
}

/// What a card with this statement is refused for.
fn fault(statement: SignedStatement) -> CardError {
    verify(card_of(roster(2), vec![statement])).unwrap_err()
}

#[test]
fn a_card_survives_its_encoding() {
    for card in [
        card_of(roster(1), vec![]),
        card_of(roster(8), (0..8).map(|seed| statement(seed, 0)).collect()),
    ] {
        let bytes = card.encode();
        let read = Card::decode(&bytes).unwrap();
        assert_eq!(read, card);
        assert_eq!(read.encode(), bytes);
        assert_eq!(verify(read).unwrap().relays(), [descriptor()]);
    }
}

#[test]
fn rule_1_refuses_what_is_too_large() {
    assert_eq!(
        Card::decode(&vec![0; CARD + 1]),
        Err(CardError::TooLarge(CARD + 1))
    );
}

#[test]
fn rule_1_refuses_what_is_malformed() {
    let good = card_of(roster(1), vec![statement(0, 0)]).encode();
    let mut trailing = good.clone();
    trailing.push(0);
    let cut = &good[..good.len() - 1];
    for bytes in [&[][..], &[0xa0], &trailing, cut] {
        assert_eq!(Card::decode(bytes), Err(CardError::Malformed));
    }
}

#[test]
fn rule_1_refuses_a_roster_that_breaks_its_own_rules() {
    let zero = Roster {
        epoch: 0,
        ..roster(1)
    };
    let backwards = Roster {
        not_after: NOW.minus(1),
        ..roster(1)
    };
    let mut twin = device(1).public();
    twin.link = device(0).public().identity;
    let twins = Roster {
        devices: List::new([device(0).public(), twin]).unwrap(),
        ..roster(1)
    };
    for (roster, fault) in [
        (zero, RosterError::ZeroEpoch),
        (backwards, RosterError::Backwards),
        (twins, RosterError::RepeatedKey(2)),
    ] {
        let card = forged(roster.clone(), vec![]);
        assert_eq!(Card::decode(&card.encode()), Err(CardError::Malformed));
        assert_eq!(verify(card).unwrap_err(), CardError::Malformed);
        assert_eq!(root().sign(roster), Err(fault));
    }
}

#[test]
fn rule_2_refuses_another_address() {
    let card = card_of(roster(1), vec![]);
    let elsewhere = Address::from_bytes([0; 32]);
    assert_eq!(
        card.verify(elsewhere, None, NOW).unwrap_err(),
        CardError::WrongAddress
    );
    let foreign = Roster {
        address: elsewhere,
        ..roster(1)
    };
    assert_eq!(
        forged(foreign.clone(), vec![])
            .verify(elsewhere, None, NOW)
            .unwrap_err(),
        CardError::WrongAddress
    );
    assert_eq!(root().sign(foreign), Err(RosterError::WrongAddress));
}

#[test]
fn rule_2_refuses_an_altered_roster() {
    let mut card = card_of(roster(1), vec![]);
    card.proof.roster.epoch += 1;
    assert_eq!(verify(card).unwrap_err(), CardError::BadRosterSignature);
}

#[test]
fn rule_2_accepts_a_chain_of_roots_and_refuses_a_broken_one() {
    let next = |seed| SigningKey::from_bytes(&[seed; 32]);
    let second = root().succeeded_by(next(2)).unwrap();
    assert_eq!(second.address(), root().address());
    let chained = Card::new(second.sign(roster(1)).unwrap(), vec![]).unwrap();
    assert!(verify(chained.clone()).is_ok());

    let chain: Vec<_> = second.roots().to_vec();
    let usurper = RootSigner::first(next(9)).succeeded_by(next(2)).unwrap();
    let theirs = usurper.roots().to_vec();
    let first_is_signed = vec![chain[1].clone()];
    let signed_by_another = vec![chain[0].clone(), theirs[1].clone()];
    let unsigned = vec![chain[0].clone(), root().roots()[0].clone()];
    for broken in [signed_by_another, unsigned] {
        let mut card = chained.clone();
        card.proof.roots = List::new(broken.clone()).unwrap();
        assert_eq!(verify(card).unwrap_err(), CardError::BrokenRoots);
        let signer = RootSigner::new(next(2), List::new(broken).unwrap());
        assert_eq!(signer.unwrap_err(), RootError::WrongChain);
    }
    let mut card = chained;
    card.proof.roots = List::new(first_is_signed).unwrap();
    let claimed = Address::of_root(next(2).verifying_key().as_bytes());
    card.proof.roster.address = claimed;
    assert_eq!(
        card.verify(claimed, None, NOW).unwrap_err(),
        CardError::BrokenRoots
    );
}

#[test]
fn four_roots_are_the_most() {
    let next = |seed| SigningKey::from_bytes(&[seed; 32]);
    let fourth = (2..5).fold(root(), |root, seed| root.succeeded_by(next(seed)).unwrap());
    let same = RootSigner::new(next(4), fourth.roots().clone());
    assert_eq!(same.unwrap().address(), root().address());
    let fifth = fourth.succeeded_by(next(5));
    assert_eq!(fifth.unwrap_err(), RootError::TooManyRoots);
}

#[test]
fn rule_2_refuses_a_relay_that_did_not_sign() {
    let mut bytes = descriptor().sign(&identity()).unwrap().encode();
    *bytes.last_mut().unwrap() ^= 1;
    let roster = Roster {
        relays: List::new([Bytes::new(bytes).unwrap()]).unwrap(),
        ..roster(1)
    };
    let fault = DescriptorError::BadSignature;
    assert_eq!(
        verify(forged(roster, vec![])).unwrap_err(),
        CardError::Relay { index: 1, fault }
    );
}

#[test]
fn an_outdated_descriptor_stays_good_on_a_roster() {
    let mut old = descriptor();
    old.not_after = NOW;
    let relay = old.sign(&identity()).unwrap().encode();
    let roster = Roster {
        relays: List::new([Bytes::new(relay).unwrap()]).unwrap(),
        ..roster(1)
    };
    let card = card_of(roster, vec![]);
    let verified = card.verify(root().address(), None, NOW.plus(DAY)).unwrap();
    assert_eq!(verified.relays(), [old]);
}

#[test]
fn rule_2_refuses_an_altered_statement() {
    let map = cbor::encode(&statement(0, 0));
    let mut bytes = map.clone();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(
        fault(cbor::decode(&bytes).unwrap()),
        CardError::BadStatementSignature
    );
}

#[test]
fn rule_3_refuses_what_is_not_valid_now() {
    let at = |now| card_of(roster(1), vec![]).verify(root().address(), None, now);
    let end = NOW.plus(ROSTER_LIFE);
    assert!(at(NOW.minus(SKEW)).is_ok() && at(end).is_ok());
    assert_eq!(
        at(NOW.minus(SKEW + 1)).unwrap_err(),
        CardError::NotYetValid { from: NOW }
    );
    let expired = at(end.plus(1)).unwrap_err();
    assert_eq!(expired, CardError::Expired { since: end });
    assert_eq!(expired.to_string(), "the card expired on 2027-02-21");
}

#[test]
fn rule_3_refuses_more_than_ninety_days() {
    let roster = Roster {
        not_after: NOW.plus(ROSTER_LIFE + 1),
        ..roster(1)
    };
    assert_eq!(root().sign(roster.clone()), Err(RosterError::TooLongLived));
    assert_eq!(
        verify(forged(roster, vec![])).unwrap_err(),
        CardError::TooLongLived
    );
}

#[test]
fn rule_4_refuses_a_device_that_is_not_on_the_roster() {
    assert_eq!(fault(statement(7, 0)), CardError::UnknownDevice);
}

#[test]
fn rule_4_refuses_two_statements_of_one_device() {
    let card = card_of(roster(2), vec![statement(0, 0), statement(0, 1)]);
    assert_eq!(verify(card).unwrap_err(), CardError::RepeatedDevice);
}

#[test]
fn rule_4_refuses_a_statement_for_another_address() {
    let prekey = PrekeySecret::generate(&mut rng(0)).public();
    let elsewhere = Address::from_bytes([0; 32]);
    let foreign = device(0).statement(elsewhere, 3, &prekey, NOW);
    assert_eq!(fault(foreign), CardError::StatementElsewhere);
}

#[test]
fn rule_4_tells_that_a_newer_roster_is_withheld() {
    let prekey = PrekeySecret::generate(&mut rng(0)).public();
    let newer = device(0).statement(root().address(), 4, &prekey, NOW);
    assert_eq!(
        fault(newer),
        CardError::RosterWithheld {
            roster: 3,
            statement: 4
        }
    );
    let older = device(0).statement(root().address(), 2, &prekey, NOW);
    assert!(verify(card_of(roster(2), vec![older])).is_ok());
}

#[test]
fn rule_5_refuses_an_epoch_lower_than_the_known() {
    let card = card_of(roster(1), vec![]);
    let verify = |known| card.clone().verify(root().address(), Some(known), NOW);
    assert!(verify(3).is_ok());
    assert_eq!(
        verify(4).unwrap_err(),
        CardError::Superseded { got: 3, known: 4 }
    );
}

#[test]
fn rule_6_asks_for_more_than_half() {
    for (devices, fresh, enough) in [
        (1, 0, false),
        (1, 1, true),
        (2, 1, false),
        (2, 2, true),
        (3, 2, true),
        (8, 4, false),
        (8, 5, true),
    ] {
        let statements = (0..fresh).map(|seed| statement(seed, 0)).collect();
        let card = verify(card_of(roster(devices), statements)).unwrap();
        assert_eq!(card.majority_is_fresh(NOW), enough, "{fresh} of {devices}");
        let (fresh, devices) = (fresh as usize, devices as usize);
        assert_eq!(
            card.freshness(NOW).to_string(),
            format!("{fresh} of {devices}")
        );
        match card.readers(NOW) {
            Ok(readers) => assert!(enough && readers.len() == fresh),
            Err(error) => assert!(!enough && error == TooFewFresh { fresh, devices }),
        }
    }
}

#[test]
fn freshness_begins_an_hour_early_and_ends_after_14_days() {
    let card = verify(card_of(roster(1), vec![statement(0, 0)])).unwrap();
    let fresh = |now| card.freshness(now).fresh == 1;
    assert!(fresh(NOW.minus(SKEW)) && !fresh(NOW.minus(SKEW + 1)));
    let end = NOW.plus(PREKEY_FRESH);
    assert!(fresh(end.minus(1)) && !fresh(end));
}

#[test]
fn stale_readers_are_at_most_60_days_old_and_never_from_the_future() {
    let future = SKEW as i64 + 1;
    let stale = PREKEY_STALE as i64;
    let statements = vec![
        statement(0, 0),
        statement(1, -stale),
        statement(2, -stale - 1),
        statement(3, future),
    ];
    let expected = [0, 1].map(|i: usize| statements[i].statement().prekey());
    let card = verify(card_of(roster(4), statements)).unwrap();
    assert_eq!(card.fresh(NOW).len(), 1);
    assert_eq!(card.dangerously_stale_readers(NOW), expected);
}

#[test]
fn prekeys_come_with_their_device() {
    let card = verify(card_of(roster(3), vec![statement(2, 0), statement(0, 0)])).unwrap();
    let prekey = |seed| statement(seed, 0).statement().prekey();
    assert_eq!(card.fresh(NOW), [(0, prekey(0)), (2, prekey(2))]);
    assert_eq!(card.statement(1), None);
    let keys = device(2).public();
    assert_eq!(card.device_with_identity(&keys.identity), Some(&keys));
    assert_eq!(card.device_with_link(&keys.link), Some(&keys));
    assert_eq!(card.device_with_link(&keys.identity), None);
    assert_eq!(card.link_keys().nth(2), Some(keys.link));
}

#[test]
fn a_proof_ignores_dates_and_nothing_else() {
    let old = Roster {
        issued: Timestamp::from_seconds(1),
        not_after: Timestamp::from_seconds(2),
        ..roster(2)
    };
    let proof = root().sign(old).unwrap();
    let proof: Proof = cbor::decode(&cbor::encode(&proof)).unwrap();
    let address = root().address();
    let writer = device(1).public();
    assert_eq!(proof.verify_writer(&address, &writer.identity), Ok(&writer));
    assert_eq!(
        proof.verify_writer(&address, &writer.link),
        Err(ProofError::WriterNotOnRoster)
    );
    assert_eq!(
        proof.verify(&Address::from_bytes([0; 32])),
        Err(ProofError::WrongAddress)
    );
    let mut altered = proof.clone();
    altered.roster.profile.pseudonym_accepted = false;
    assert_eq!(altered.verify(&address), Err(ProofError::BadSignature));
}

fn published(roster: Roster, statements: Vec<SignedStatement>) -> VerifiedCard {
    verify(card_of(roster, statements)).unwrap()
}

fn later(roster: Roster) -> Roster {
    Roster {
        epoch: roster.epoch + 1,
        ..roster
    }
}

#[test]
fn the_first_card_is_kept() {
    let first = published(roster(2), vec![statement(0, 0)]);
    assert_eq!(merge(None, &first, NOW), Ok(first.card().clone()));
}

#[test]
fn each_device_keeps_its_newest_statement() {
    let held = card_of(roster(3), vec![statement(0, 5), statement(1, -5)]);
    let new = published(
        roster(3),
        vec![statement(2, 0), statement(1, 0), statement(0, 0)],
    );
    let merged = merge(Some(&held), &new, NOW).unwrap();
    assert_eq!(
        merged.statements(),
        [statement(0, 5), statement(1, 0), statement(2, 0)]
    );
    assert_eq!(merge(Some(&merged), &new, NOW), Ok(merged));
}

#[test]
fn a_newer_roster_drops_the_statements_of_removed_devices() {
    let held = card_of(roster(3), vec![statement(0, 0), statement(2, 0)]);
    let new = published(later(roster(2)), vec![statement(1, 0)]);
    let merged = merge(Some(&held), &new, NOW).unwrap();
    assert_eq!(merged.proof(), new.card().proof());
    assert_eq!(merged.statements(), [statement(0, 0), statement(1, 0)]);
}

#[test]
fn an_older_or_a_second_roster_is_not_kept() {
    let held = card_of(later(roster(2)), vec![]);
    let old = published(roster(2), vec![]);
    assert_eq!(
        merge(Some(&held), &old, NOW),
        Err(MergeError::Older {
            held: 4,
            published: 3
        })
    );
    let fork = published(later(roster(3)), vec![]);
    assert_eq!(
        merge(Some(&held), &fork, NOW),
        Err(MergeError::OtherRoster(4))
    );
}

#[test]
fn a_statement_from_the_future_is_not_kept() {
    let new = published(roster(2), vec![statement(0, SKEW as i64 + 1)]);
    assert_eq!(
        merge(None, &new, NOW),
        Err(MergeError::FromTheFuture(NOW.plus(SKEW + 1)))
    );
}

#[test]
fn another_mechanisms_card_is_not_merged() {
    let other = RootSigner::first(SigningKey::from_bytes(&[2; 32]));
    let theirs = Roster {
        address: other.address(),
        ..roster(1)
    };
    let held = Card::new(other.sign(theirs).unwrap(), vec![]).unwrap();
    assert_eq!(
        merge(Some(&held), &published(roster(1), vec![]), NOW),
        Err(MergeError::AnotherMechanism)
    );
}

#[test]
fn an_unknown_key_does_not_make_a_device() {
    let card = published(roster(1), vec![]);
    assert_eq!(
        card.device_with_identity(&DhPublic::from_bytes([0; 32])),
        None
    );
}
