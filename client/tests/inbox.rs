//! What a device makes of envelopes that it opens.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use valise_client::home::Home;
use valise_client::inbox::take::{Found, take};
use valise_client::random::system as rng;
use valise_client::vault::Vault;
use valise_client::vault::state::{OwnPrekey, State};
use valise_protocol::envelope::seal;
use valise_protocol::id::{Address, MailboxId, RelayId};
use valise_protocol::key::DhSecret;
use valise_protocol::message::{
    Answer, Attribution, ConsentBasis, Content, Handling, Message, ReplyKeys, Submission,
    SubmissionId, Timing,
};
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;

const ADDRESS: Address = Address::from_bytes([1; 32]);
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A device with one prekey.
fn device(dir: &Path) -> Vault {
    let mut state = State::new(ADDRESS, "contact".into(), &mut rng());
    state.prekeys.push(OwnPrekey::generate(1, NOW, &mut rng()));
    let home = Home::choose(Some(dir)).unwrap();
    Vault::create(&home, "correct horse battery", &state, &mut rng()).unwrap()
}

/// A submission that names these other addressees, sealed to the device.
fn submission(vault: &Vault, id: u8, others: Vec<Address>) -> Vec<u8> {
    let handling = Handling {
        name_to_government: Answer::No,
        name_in_public: Answer::No,
        basis: ConsentBasis::Oneself,
        note: None,
        timing: Timing::Past,
        attribution: Attribution::None,
        language: "en".into(),
    };
    let content = Content {
        text: "x".into(),
        handling,
        others,
        attached: None,
    };
    let message = Message::Submission(Submission {
        id: SubmissionId::from_bytes([id; 16]),
        epoch: 1,
        reply: ReplyKeys {
            prekey: PrekeySecret::generate(&mut rng()).public(),
            mailbox: MailboxId::from_bytes([2; 32]),
            relay: RelayId::from_bytes([3; 32]),
        },
        content: content.encode(),
        holders: vec![],
    });
    let reader = vault.state().unwrap().prekeys[0].secret().public();
    let writer = DhSecret::generate(&mut rng());
    let sealed = seal(&[reader], &ADDRESS, &writer, &message.encode(), &mut rng());
    sealed.unwrap().to_vec()
}

#[test]
fn a_submission_that_names_its_addressee_among_the_others_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let vault = device(&dir.path().join("home"));
    let other = Address::from_bytes([9; 32]);
    let faulty = submission(&vault, 1, vec![ADDRESS, other]);
    assert_eq!(take(&vault, &faulty, NOW).unwrap(), Found::Unopenable);
    assert!(vault.state().unwrap().items.is_empty());
    let sound = submission(&vault, 2, vec![other]);
    assert_eq!(take(&vault, &sound, NOW).unwrap(), Found::Submission);
    assert_eq!(vault.state().unwrap().items.len(), 1);
}
