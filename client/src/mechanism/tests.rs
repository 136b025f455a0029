use valise_protocol::card::{
    Card, CardError, DeviceKeys, Profile, Roster, SignedStatement, VerifiedCard, first_root,
};
use valise_protocol::descriptor::{Descriptor, DescriptorFields};
use valise_protocol::id::Address;
use valise_protocol::key::{DhPublic, SigningKey};
use valise_protocol::limits::{DAY, ROSTER_LIFE};
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;

use super::card::{self, Held};
use super::publish::next_roster;
use super::root::{self, Consent, Root};
use crate::random::system as rng;
use crate::vault::state::{OwnPrekey, State};

const BEGAN: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A mechanism of so many devices; the first is the one whose state is at hand. All made a prekey when it began.
pub(super) struct Scene {
    pub(super) state: State,
    pub(super) began: Timestamp,
    root: SigningKey,
    others: Vec<DeviceKeys>,
    longest_retention: u64,
}

impl Scene {
    pub(super) fn new(devices: usize) -> Self {
        let root = SigningKey::generate(&mut rng());
        let address = Address::of_root(root.verifying_key().as_bytes());
        let mut state = State::new(address, "contact".into(), &mut rng());
        state
            .prekeys
            .push(OwnPrekey::generate(1, BEGAN, &mut rng()));
        let others = (1..devices)
            .map(|_| DeviceKeys::generate(&mut rng()))
            .collect();
        let mut scene = Self {
            state,
            began: BEGAN,
            root,
            others,
            longest_retention: 30,
        };
        let card = scene.card(1, BEGAN);
        card::keep(&mut scene.state, &card);
        scene
    }

    /// A card with all devices, issued then, whose prekeys are of the beginning.
    fn card(&self, epoch: u64, issued: Timestamp) -> VerifiedCard {
        let own = self.state.device.keys().public();
        let devices = std::iter::once(own).chain(self.others.iter().map(DeviceKeys::public));
        let profile = Profile::named(vec![("en".into(), "Example".into())]);
        let address = self.state.address;
        let relays = vec![descriptor(self.longest_retention)];
        let roster = Roster::new(address, epoch, devices.collect(), relays, profile, issued);
        let signed = roster.unwrap().sign(&self.root);
        let statements = self.others.iter().map(|keys| {
            let prekey = PrekeySecret::generate(&mut rng()).public();
            SignedStatement::sign(address, keys, 1, prekey, BEGAN)
        });
        let card = Card::new(first_root(&self.root), signed, statements.collect());
        let card = card.verify(address, None, issued).unwrap();
        let card = card::with_own_prekey(&self.state, &card);
        card.verify(address, None, issued).unwrap()
    }

    pub(super) fn held(&self, now: Timestamp) -> Held {
        card::needed(&self.state, now).unwrap()
    }

    fn warnings(&self, day: u64) -> Vec<String> {
        let now = BEGAN.plus(day * DAY);
        card::warnings(&self.held(now), now)
    }
}

fn descriptor(longest: u64) -> Vec<u8> {
    let fields = DescriptorFields {
        static_key: DhPublic::from_bytes([1; 32]),
        tls_pin: [2; 32],
        next_static_key: None,
        next_tls_pin: None,
        host: "relay.example".into(),
        port: 443,
        operator: String::new(),
        jurisdiction: String::new(),
        retention_days: (23, longest),
        reaches: vec![],
    };
    let identity = SigningKey::from_bytes(&[8; 32]);
    Descriptor::sign(fields, &identity, ROSTER_LIFE, BEGAN)
        .unwrap()
        .encode()
}

#[test]
fn the_person_is_told_five_days_before_too_few_devices_are_fresh() {
    let scene = Scene::new(2);
    assert!(scene.warnings(8).is_empty());
    assert!(
        scene.warnings(9)[0].contains("in 5 days only 0 of 2"),
        "{:?}",
        scene.warnings(9)
    );
    assert!(scene.warnings(14)[0].contains("only 0 of 2 devices are fresh"));
}

#[test]
fn the_person_is_told_from_21_days_before_the_roster_runs_out() {
    let scene = Scene::new(1);
    let told = |day| {
        scene
            .warnings(day)
            .iter()
            .any(|warning| warning.contains("runs out on"))
    };
    assert!(!told(68) && told(69) && told(89));
    let after = scene.warnings(90);
    assert!(after[0].contains("the roster ran out on"), "{after:?}");
}

#[test]
fn a_card_that_ran_out_is_still_held_so_that_it_can_be_renewed() {
    let scene = Scene::new(1);
    assert!(!scene.held(BEGAN.plus(ROSTER_LIFE - 1)).expired);
    assert!(scene.held(BEGAN.plus(ROSTER_LIFE)).expired);
}

#[test]
fn a_relay_cannot_bring_back_an_older_card_or_another_of_the_same_number() {
    let mut scene = Scene::new(2);
    let old = scene.card(1, BEGAN);
    let later = BEGAN.plus(DAY);
    let new = scene.card(2, later).card().clone();
    card::adopt(&mut scene.state, new, later).unwrap();
    assert_eq!(scene.held(later).card.epoch(), 2);
    let rolled_back = CardError::RolledBack { known: 2, found: 1 };
    let adopted = card::adopt(&mut scene.state, old.card().clone(), later);
    assert_eq!(adopted, Err(rolled_back));
    let conflicting = scene.card(2, later.plus(1)).card().clone();
    let adopted = card::adopt(&mut scene.state, conflicting, later.plus(1));
    assert_eq!(adopted, Err(CardError::Conflicting));
    assert_eq!(scene.held(later).card.epoch(), 2);
}

#[test]
fn a_clock_set_back_does_not_bring_an_older_card_back() {
    let mut scene = Scene::new(2);
    let old = scene.card(1, BEGAN).card().clone();
    let later = BEGAN.plus(DAY);
    let new = scene.card(2, later).card().clone();
    card::adopt(&mut scene.state, new, later).unwrap();
    assert!(
        card::held(&scene.state, BEGAN).is_err(),
        "the card held is of the future"
    );
    let rolled_back = CardError::RolledBack { known: 2, found: 1 };
    assert_eq!(card::adopt(&mut scene.state, old, BEGAN), Err(rolled_back));
}

#[test]
fn the_card_to_publish_carries_this_devices_newest_prekey() {
    let mut scene = Scene::new(2);
    let later = BEGAN.plus(7 * DAY);
    scene
        .state
        .prekeys
        .push(OwnPrekey::generate(1, later, &mut rng()));
    let card = card::with_own_prekey(&scene.state, &scene.held(later).card);
    let card = card.verify(scene.state.address, None, later).unwrap();
    let own = scene.state.device.keys().signing.verifying_key();
    let statement = card.statement(&own).unwrap();
    assert_eq!(statement.issued(), later);
    assert_eq!(
        &statement.prekey().hash(),
        scene.state.prekeys[1].secret().hash()
    );
    assert_eq!(card.freshness(later), (2, 2));
}

#[test]
fn a_relays_retention_counts_for_prekeys_up_to_37_days_and_is_told() {
    let mut scene = Scene::new(1);
    assert_eq!(scene.state.retention_days, 30);
    let told = card::retention(scene.held(BEGAN).card.roster());
    assert_eq!(told, ["relay.example keeps unread mail for 23 to 30 days"]);
    scene.longest_retention = 366;
    let card = scene.card(2, BEGAN.plus(1));
    card::keep(&mut scene.state, &card);
    assert_eq!(scene.state.retention_days, 37);
    let told = card::retention(card.roster());
    assert!(told[0].contains("23 to 366 days"), "{told:?}");
    assert!(told[0].contains("39 days after"), "{told:?}");
}

#[test]
fn a_root_key_opens_under_its_passphrase_and_signs_for_its_own_mechanism_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key");
    let (scene, other) = (Scene::new(1), Scene::new(1));
    root::write(&path, "a root passphrase", &scene.root, &mut rng()).unwrap();
    assert!(
        root::write(&path, "x", &scene.root, &mut rng()).is_err(),
        "nothing is overwritten"
    );
    let wrong = root::read(&path, "another one").unwrap_err();
    assert!(wrong.what().contains("passphrase is wrong"), "{wrong}");
    let read = root::read(&path, "a root passphrase").unwrap();
    root::check_signs(&read, &scene.held(BEGAN).card).unwrap();
    assert!(root::check_signs(&read, &other.held(BEGAN).card).is_err());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = root::read(&path, "a root passphrase").unwrap_err();
    assert!(damaged.what().contains("damaged"), "{damaged}");
}

#[test]
fn a_root_key_signs_no_second_roster_of_one_number() {
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::new(3);
    let held = scene.held(BEGAN).card;
    let key = || SigningKey::from_bytes(scene.root.expose());
    let root = || Root::new(key(), dir.path().join("root.key"), Consent::Given);
    let devices = |count: usize| held.roster().devices()[..count].to_vec();
    next_roster(&held, devices(2), &root(), BEGAN.plus(1)).unwrap();
    // Another machine, with the same medium, from which the newer roster is withheld.
    let refused = next_roster(&held, devices(3), &root(), BEGAN.plus(2)).unwrap_err();
    assert!(
        refused.what().contains("has signed roster 2 of"),
        "{refused}"
    );
    let opened = root().check_signed_nothing_newer(&held).unwrap_err();
    assert!(opened.what().contains("knows roster 1 only"), "{opened}");
}

#[test]
fn a_record_beside_the_root_key_that_does_not_hold_signs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key");
    let (scene, other) = (Scene::new(1), Scene::new(1));
    let root = |scene: &Scene| {
        let key = SigningKey::from_bytes(scene.root.expose());
        Root::new(key, path.clone(), Consent::Given)
    };
    let held = |scene: &Scene| scene.held(BEGAN).card;
    let devices = held(&other).roster().devices().to_vec();
    next_roster(&held(&other), devices.clone(), &root(&other), BEGAN.plus(1)).unwrap();
    let refused = root(&scene).check_signed_nothing_newer(&held(&scene));
    assert!(refused.unwrap_err().what().contains("another mechanism's"));
    // One of the same number that this device does not hold.
    let rival = other.card(2, BEGAN.plus(2));
    let refused = root(&other).check_signed_nothing_newer(&rival).unwrap_err();
    assert!(refused.what().contains("another roster 2"), "{refused}");
}
