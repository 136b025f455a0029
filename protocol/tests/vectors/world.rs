//! Somebody to make vectors about.

use valise_protocol::card::{
    Card, DeviceKeys, Profile, Proof, Roster, SignedStatement, first_root, next_root,
};
use valise_protocol::contact::RelayContact;
use valise_protocol::descriptor::{Descriptor, DescriptorFields};
use valise_protocol::id::{Address, RelayId};
use valise_protocol::kem::KemSeed;
use valise_protocol::key::{DhSecret, SigningKey};
use valise_protocol::limits::{REPLY_TEXT, ROSTER_LIFE, TEXT};
use valise_protocol::message::{
    Answer, Attribution, ConsentBasis, Content, Copied, Handling, Message, Reply, ReplyKeys,
    Submission, SubmissionId, Timing,
};
use valise_protocol::phrase::{DefenderKeys, ReturnPhrase};
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;

use super::script::Record;

/// A mechanism of three devices under its second root, a relay, and a defender.
pub struct World {
    pub now: Timestamp,
    pub address: Address,
    pub devices: Vec<DeviceKeys>,
    /// The prekeys' private halves, as bytes.
    pub prekeys: Vec<([u8; 32], [u8; 64])>,
    pub card: Card,
    pub relay: RelayContact,
    pub entropy: [u8; 16],
    pub defender: DefenderKeys,
}

impl World {
    /// With fresh keys.
    pub fn new(rng: &mut Record) -> Self {
        let now = Timestamp::from_seconds(1_800_000_000);
        let (first, second) = (SigningKey::generate(rng), SigningKey::generate(rng));
        let roots = next_root(first_root(&first), &first, &second).unwrap();
        let address = Address::of_root(first.verifying_key().as_bytes());
        let (relay_id, own) = relay(rng, now);
        let (_, for_reading) = relay(rng, now);
        let devices: Vec<DeviceKeys> = (0..3).map(|_| DeviceKeys::generate(rng)).collect();
        let names = vec![
            ("en".into(), "A mandate".into()),
            ("uz-Cyrl".into(), "Мандат".into()),
        ];
        let roster = Roster::new(
            address,
            1_000,
            devices.iter().map(DeviceKeys::public).collect(),
            vec![own],
            Profile::named(names),
            now,
        );
        let roster = roster.unwrap().reading_at(vec![for_reading]).unwrap();
        let prekeys: Vec<_> = devices.iter().map(|_| (rng.draw(), rng.draw())).collect();
        let state = |(device, prekey)| {
            SignedStatement::sign(address, device, 1_000, secret(prekey).public(), now)
        };
        let statements = devices.iter().zip(&prekeys).map(state).collect();
        let entropy = rng.draw();
        Self {
            now,
            address,
            card: Card::new(roots, roster.sign(&second), statements),
            devices,
            prekeys,
            relay: RelayContact::new(relay_id, "mail.example.org", 443).unwrap(),
            entropy,
            defender: ReturnPhrase::from_entropy(&entropy)
                .stretch()
                .for_mechanism(&address),
        }
    }

    /// As long as it may be.
    pub fn content(&self) -> Content {
        let handling = Handling {
            name_to_government: Answer::Yes,
            name_in_public: Answer::Yes,
            basis: ConsentBasis::Family,
            note: Some("condition".into()),
            timing: Timing::Pattern,
            attribution: Attribution::Named,
            language: "uz-Cyrl".into(),
        };
        Content {
            text: "я".repeat(TEXT / 2),
            handling,
            others: vec![
                Address::from_bytes([0; 32]),
                Address::from_bytes([0xff; 32]),
            ],
            attached: None,
        }
    }

    /// What the defender sends.
    pub fn submission(&self, rng: &mut Record) -> Vec<u8> {
        let content = self.content().encode();
        let reply = ReplyKeys {
            prekey: self.defender.reply().public(),
            mailbox: self.defender.mailbox(&self.relay.id()),
            relay: self.relay.id(),
        };
        let submission = Submission {
            id: SubmissionId::from_bytes(rng.draw()),
            epoch: 1_000,
            reply,
            content,
            holders: vec![],
        };
        Message::Submission(submission).encode()
    }

    /// What a device answers, as long as it may be.
    pub fn reply(&self, rng: &mut Record) -> Vec<u8> {
        let reply = Reply {
            id: SubmissionId::from_bytes(rng.draw()),
            regards: SubmissionId::from_bytes(rng.draw()),
            written: self.now.hour(),
            proof: Proof::of(&self.card),
            text: Some("x".repeat(REPLY_TEXT)),
        };
        Message::Reply(reply).encode()
    }

    /// What a device tells its colleagues.
    pub fn copy(&self, rng: &mut Record) -> Vec<u8> {
        let copy = Copied {
            id: SubmissionId::from_bytes(rng.draw()),
            regards: SubmissionId::from_bytes(rng.draw()),
            written: self.now.hour(),
            send: self.defender.send().public(),
            text: None,
            proof: Some(Proof::of(&self.card)),
        };
        Message::Copy(copy).encode()
    }
}

/// A relay with fresh keys: its id and descriptor.
fn relay(rng: &mut Record, now: Timestamp) -> (RelayId, Vec<u8>) {
    let identity = SigningKey::generate(rng);
    let id = RelayId::of_identity(identity.verifying_key().as_bytes());
    let fields = DescriptorFields {
        static_key: DhSecret::generate(rng).public(),
        tls_pin: rng.draw(),
        next_static_key: Some(DhSecret::generate(rng).public()),
        next_tls_pin: None,
        host: "mail.example.org".into(),
        port: 443,
        operator: "Example".into(),
        jurisdiction: "CH".into(),
        retention_days: (23, 37),
        reaches: vec![id],
    };
    let descriptor = Descriptor::sign(fields, &identity, ROSTER_LIFE, now).unwrap();
    (id, descriptor.encode())
}

/// A prekey's private half from its bytes.
pub fn secret((dh, seed): &([u8; 32], [u8; 64])) -> PrekeySecret {
    PrekeySecret::new(DhSecret::from_bytes(dh), &KemSeed::from_bytes(seed))
}
