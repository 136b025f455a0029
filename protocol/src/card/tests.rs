use super::*;
use crate::descriptor::DescriptorFields;
use crate::limits::DAY;
use crate::prekey::PrekeySecret;
use crate::testing::rng;

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A mechanism with so many devices, all of whose keys are at hand.
pub(crate) struct Mechanism {
    pub(crate) root: SigningKey,
    pub(crate) devices: Vec<DeviceKeys>,
    pub(crate) address: Address,
}

fn descriptor() -> Vec<u8> {
    descriptor_of(&[8; 32], 443)
}

/// Of the relay with this identity key, at this port.
pub(crate) fn descriptor_of(identity: &[u8; 32], port: u16) -> Vec<u8> {
    let fields = DescriptorFields {
        static_key: DhPublic::from_bytes([1; 32]),
        tls_pin: [2; 32],
        next_static_key: None,
        next_tls_pin: None,
        host: "relay.example".into(),
        port,
        operator: String::new(),
        jurisdiction: String::new(),
        retention_days: (23, 37),
        reaches: vec![],
    };
    Descriptor::sign(fields, &SigningKey::from_bytes(identity), ROSTER_LIFE, NOW)
        .unwrap()
        .encode()
}

impl Mechanism {
    pub(crate) fn new(devices: usize) -> Self {
        let root = SigningKey::from_bytes(&[7; 32]);
        let address = Address::of_root(root.verifying_key().as_bytes());
        let devices = (0..devices)
            .map(|at| DeviceKeys::generate(&mut rng(at as u64)))
            .collect();
        Self {
            root,
            devices,
            address,
        }
    }

    pub(crate) fn roster(&self, epoch: u64, now: Timestamp) -> Roster {
        let devices = self.devices.iter().map(DeviceKeys::public).collect();
        let profile = Profile::named(vec![("en".into(), "Example".into())]);
        Roster::new(
            self.address,
            epoch,
            devices,
            vec![descriptor()],
            profile,
            now,
        )
        .unwrap()
    }

    fn statement(&self, device: usize, epoch: u64, at: Timestamp) -> SignedStatement {
        let prekey = PrekeySecret::generate(&mut rng(900 + device as u64)).public();
        SignedStatement::sign(self.address, &self.devices[device], epoch, prekey, at)
    }

    pub(crate) fn card(&self, epoch: u64, now: Timestamp) -> Card {
        let statements = (0..self.devices.len())
            .map(|device| self.statement(device, epoch, now))
            .collect();
        Card::new(
            first_root(&self.root),
            self.roster(epoch, now).sign(&self.root),
            statements,
        )
    }

    fn verify(&self, card: Card, now: Timestamp) -> Result<VerifiedCard, CardError> {
        card.verify(self.address, None, now)
    }
}

#[test]
fn a_card_of_eight_devices_survives_its_bytes() {
    let mechanism = Mechanism::new(8);
    let card = mechanism.card(1, NOW);
    let read = Card::decode(&card.encode()).unwrap();
    assert_eq!(read, card);
    let verified = mechanism.verify(read, NOW).unwrap();
    assert_eq!(verified.freshness(NOW), (8, 8));
    assert_eq!(verified.readers(NOW).unwrap().len(), 8);
    assert_eq!(verified.relays().count(), 1);
}

#[test]
fn relays_for_reading_are_told_apart_and_stay_on_the_next_roster() {
    let mechanism = Mechanism::new(1);
    let plain = mechanism.roster(1, NOW);
    let second = descriptor_of(&[9; 32], 444);
    let roster = plain.clone().reading_at(vec![second]).unwrap();
    let devices = roster.devices().to_vec();
    let next = roster.succeeded_by(devices, NOW).unwrap();
    let card = Card::new(
        first_root(&mechanism.root),
        next.sign(&mechanism.root),
        vec![],
    );
    let read = Card::decode(&card.encode()).unwrap();
    let verified = mechanism.verify(read, NOW).unwrap();
    let ports =
        |relays: Vec<RelayContact>| -> Vec<u16> { relays.iter().map(RelayContact::port).collect() };
    assert_eq!(ports(verified.relays().collect()), [443]);
    assert_eq!(ports(verified.reading_relays().collect()), [444]);
    // Without any the roster is as it was before there was such a key.
    assert_eq!(roster.reading_at(vec![]).unwrap(), plain);
    let bytes = plain.sign(&mechanism.root).bytes;
    assert_eq!(bytes[0], 0xa7, "a map of keys 0 to 6");
}

#[test]
fn dates_are_checked_to_the_second() {
    let mechanism = Mechanism::new(1);
    let at = |now| mechanism.verify(mechanism.card(1, NOW), now).err();
    let end = NOW.plus(ROSTER_LIFE);
    assert_eq!(at(end.minus(1)), None);
    assert_eq!(at(end), Some(CardError::Expired { since: end }));
    assert_eq!(at(NOW.minus(SKEW)), None);
    assert_eq!(
        at(NOW.minus(SKEW + 1)),
        Some(CardError::NotYetValid { from: NOW })
    );
}

#[test]
fn an_epoch_beyond_its_date_is_refused() {
    let mechanism = Mechanism::new(1);
    assert_eq!(
        mechanism.verify(mechanism.card(u64::MAX, NOW), NOW).err(),
        Some(CardError::BadDates)
    );
}

#[test]
fn a_forged_roster_or_statement_is_refused() {
    let mechanism = Mechanism::new(2);
    let other = SigningKey::from_bytes(&[9; 32]);
    let mut card = mechanism.card(1, NOW);
    card.signature = mechanism.roster(1, NOW).sign(&other).signature;
    assert_eq!(
        mechanism.verify(card, NOW).err(),
        Some(CardError::BadSignature)
    );
    let mut card = mechanism.card(1, NOW);
    card.statements.swap(0, 1);
    assert!(mechanism.verify(card.clone(), NOW).is_ok());
    card.statements[0] = card.statements[1].clone();
    assert_eq!(
        mechanism.verify(card, NOW).err(),
        Some(CardError::RepeatedStatement)
    );
    let wrong = Address::from_bytes([0; 32]);
    assert_eq!(
        mechanism.card(1, NOW).verify(wrong, None, NOW).err(),
        Some(CardError::WrongAddress)
    );
}

#[test]
fn a_removed_device_states_nothing() {
    let mut mechanism = Mechanism::new(2);
    let removed = mechanism.statement(1, 1, NOW);
    mechanism.devices.pop();
    let mut card = mechanism.card(2, NOW);
    card.statements.push(removed);
    assert_eq!(
        mechanism.verify(card, NOW).err(),
        Some(CardError::ForeignStatement)
    );
}

#[test]
fn a_statement_with_a_higher_epoch_betrays_a_withheld_roster() {
    let mechanism = Mechanism::new(2);
    let mut card = mechanism.card(1, NOW);
    card.statements[0] = mechanism.statement(0, 2, NOW);
    assert_eq!(
        mechanism.verify(card, NOW).err(),
        Some(CardError::NewerEpochInStatement)
    );
}

#[test]
fn more_than_half_must_be_fresh() {
    for (devices, fresh, enough) in [
        (1, 1, true),
        (1, 0, false),
        (2, 1, false),
        (2, 2, true),
        (3, 2, true),
        (4, 2, false),
        (8, 4, false),
        (8, 5, true),
    ] {
        let mechanism = Mechanism::new(devices);
        let old = NOW.minus(PREKEY_FRESH);
        let statements = (0..devices)
            .map(|device| {
                mechanism.statement(device, 1, if device < fresh { old.plus(1) } else { old })
            })
            .collect();
        let roster = mechanism.roster(1, NOW).sign(&mechanism.root);
        let card = mechanism
            .verify(
                Card::new(first_root(&mechanism.root), roster, statements),
                NOW,
            )
            .unwrap();
        assert_eq!(card.freshness(NOW), (fresh, devices));
        assert_eq!(card.readers(NOW).is_ok(), enough, "{fresh} of {devices}");
        assert_eq!(card.readers_despite_staleness(NOW).len(), devices);
        assert_eq!(
            card.readers_despite_staleness(NOW.plus(46 * DAY)).len(),
            fresh
        );
        assert!(
            card.readers_despite_staleness(NOW.minus(PREKEY_FRESH + SKEW + 1))
                .is_empty()
        );
    }
}

#[test]
fn an_older_another_or_an_overthrown_roster_is_noticed() {
    let mechanism = Mechanism::new(1);
    let known = mechanism
        .verify(mechanism.card(5, NOW), NOW)
        .unwrap()
        .known();
    let check = |card: Card| {
        card.verify(mechanism.address, Some(&known), NOW.plus(10))
            .err()
    };
    assert_eq!(check(mechanism.card(5, NOW)), None);
    assert_eq!(check(mechanism.card(6, NOW)), None);
    assert_eq!(
        check(mechanism.card(4, NOW)),
        Some(CardError::RolledBack { known: 5, found: 4 })
    );
    assert_eq!(
        check(mechanism.card(5, NOW.plus(1))),
        Some(CardError::Conflicting)
    );
}

#[test]
fn root_keys_chain_and_an_old_one_does_not_come_back() {
    let mechanism = Mechanism::new(1);
    let new = SigningKey::from_bytes(&[6; 32]);
    let roots = next_root(first_root(&mechanism.root), &mechanism.root, &new).unwrap();
    let card = Card::new(roots.clone(), mechanism.roster(2, NOW).sign(&new), vec![]);
    let known = mechanism.verify(card, NOW).unwrap().known();
    let stolen = mechanism.card(9, NOW);
    assert_eq!(
        stolen.verify(mechanism.address, Some(&known), NOW).err(),
        Some(CardError::BadChain)
    );
    let old = mechanism.card(1, NOW);
    assert_eq!(
        old.verify(mechanism.address, Some(&known), NOW).err(),
        Some(CardError::RolledBack { known: 2, found: 1 }),
        "a card of the time before the new root key is an old one"
    );
    let mut broken = roots;
    broken[1].signature = Some(new.sign(ROOT_LABEL, new.verifying_key().as_bytes()));
    let card = Card::new(broken, mechanism.roster(2, NOW).sign(&new), vec![]);
    assert_eq!(mechanism.verify(card, NOW).err(), Some(CardError::BadChain));
}

#[test]
fn a_relay_keeps_the_newest_of_each_device() {
    let mechanism = Mechanism::new(2);
    let held = mechanism.verify(mechanism.card(1, NOW), NOW).unwrap();
    let later = NOW.plus(DAY);
    let roster = held.card().signed_roster();
    let one = Card::new(
        first_root(&mechanism.root),
        roster,
        vec![mechanism.statement(1, 1, later)],
    );
    let kept = merge(mechanism.address, Some(&held), one, later).unwrap();
    let issued: Vec<Timestamp> = kept.statements.iter().map(Statement::issued).collect();
    assert_eq!(issued, [NOW, later]);
    let future = Card::new(
        first_root(&mechanism.root),
        held.card().signed_roster(),
        vec![mechanism.statement(0, 1, later.plus(2 * SKEW))],
    );
    assert_eq!(
        merge(mechanism.address, Some(&kept), future, later).err(),
        Some(CardError::StatementFromTheFuture)
    );
    assert!(matches!(
        merge(
            mechanism.address,
            Some(&mechanism.verify(mechanism.card(2, NOW), NOW).unwrap()),
            mechanism.card(1, NOW),
            NOW
        )
        .err(),
        Some(CardError::RolledBack { .. })
    ));
}

#[test]
fn a_device_request_survives_its_text_and_a_wrong_letter_does_not() {
    let mechanism = Mechanism::new(1);
    let request = mechanism.devices[0].request(mechanism.address);
    let text = request.to_string();
    assert!(text.starts_with("valise-device1"));
    assert_eq!(text.parse(), Ok(request.clone()));
    let wrong = if text.ends_with('q') {
        text[..text.len() - 1].to_owned() + "p"
    } else {
        text[..text.len() - 1].to_owned() + "q"
    };
    assert_eq!(wrong.parse::<DeviceRequest>(), Err(RequestError::Malformed));
    let forged = request.with_link(DhPublic::from_bytes([1; 32]));
    assert_eq!(
        forged.to_string().parse::<DeviceRequest>(),
        Err(RequestError::BadSignature)
    );
}

#[test]
fn a_proof_is_of_one_mechanism() {
    let mechanism = Mechanism::new(1);
    let proof = Proof::of(&mechanism.card(1, NOW));
    assert!(
        proof
            .verify(mechanism.address)
            .unwrap()
            .has_identity(&mechanism.devices[0].identity.public())
    );
    assert_eq!(proof.verify(Address::from_bytes([0; 32])), Err(ProofError));
}

#[test]
fn oversized_and_repeating_rosters_are_refused() {
    assert_eq!(Card::decode(&vec![0; CARD + 1]), Err(CardError::TooLarge));
    let mechanism = Mechanism::new(1);
    let device = mechanism.devices[0].public();
    let profile = Profile::named(vec![("en".into(), "x".into())]);
    let make = |devices, profile| {
        Roster::new(
            mechanism.address,
            1,
            devices,
            vec![descriptor()],
            profile,
            NOW,
        )
        .err()
    };
    assert_eq!(make(vec![device], profile.clone()), None);
    assert_eq!(
        make(vec![device, device], profile.clone()),
        Some(CardError::Malformed)
    );
    assert_eq!(make(vec![], profile), Some(CardError::Malformed));
    let loud = Profile::named(vec![("en".into(), "x".repeat(201))]);
    assert_eq!(make(vec![device], loud), Some(CardError::Malformed));
    assert_eq!(
        make(vec![device], Profile::default()),
        Some(CardError::Malformed)
    );
}
