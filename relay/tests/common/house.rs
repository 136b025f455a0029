//! A mechanism with its devices, and a service that it publishes its card to.

use std::sync::Arc;

use valise_protocol::card::{Card, DeviceKeys, Profile, Roster, SignedStatement, first_root};
use valise_protocol::descriptor::{Descriptor, DescriptorFields};
use valise_protocol::id::{Address, EnvelopeDigest, MailboxId, WithdrawHash};
use valise_protocol::key::{DhPublic, DhSecret, SigningKey};
use valise_protocol::limits::{ENVELOPE, ROSTER_LIFE};
use valise_protocol::prekey::PrekeySecret;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Item, Kept, Refusal, Request, Stored, Target};
use valise_relay::config::Config;
use valise_relay::service::Service;
use valise_relay::stop::{self, Stopper};
use valise_relay::store::{Memory, Store};

use super::{NOW, rng};

/// A mechanism with its devices' keys.
pub struct Mechanism {
    pub root: SigningKey,
    pub devices: Vec<DeviceKeys>,
    pub address: Address,
}

impl Mechanism {
    pub fn new(devices: usize) -> Self {
        let root = SigningKey::generate(&mut rng());
        let address = Address::of_root(root.verifying_key().as_bytes());
        let devices = (0..devices)
            .map(|_| DeviceKeys::generate(&mut rng()))
            .collect();
        Self {
            root,
            devices,
            address,
        }
    }

    pub fn key(&self, device: usize) -> DhPublic {
        self.devices[device].link.public()
    }

    pub fn statement(&self, device: usize, epoch: u64, at: Timestamp) -> SignedStatement {
        let prekey = PrekeySecret::generate(&mut rng()).public();
        SignedStatement::sign(self.address, &self.devices[device], epoch, prekey, at)
    }

    pub fn card(&self, epoch: u64, statements: Vec<SignedStatement>) -> Card {
        self.card_of(&self.devices, epoch, statements)
    }

    pub fn card_of(
        &self,
        devices: &[DeviceKeys],
        epoch: u64,
        statements: Vec<SignedStatement>,
    ) -> Card {
        let devices = devices.iter().map(DeviceKeys::public).collect();
        let profile = Profile::named(vec![("en".into(), "Example".into())]);
        let roster = Roster::new(
            self.address,
            epoch,
            devices,
            vec![descriptor()],
            profile,
            NOW,
        );
        Card::new(
            first_root(&self.root),
            roster.unwrap().sign(&self.root),
            statements,
        )
    }
}

pub fn descriptor() -> Vec<u8> {
    let fields = DescriptorFields {
        static_key: DhPublic::from_bytes([1; 32]),
        tls_pin: [2; 32],
        next_static_key: None,
        next_tls_pin: None,
        host: "relay.example".into(),
        port: 443,
        operator: String::new(),
        jurisdiction: String::new(),
        retention_days: (23, 37),
        reaches: vec![],
    };
    let identity = SigningKey::from_bytes(&[8; 32]);
    Descriptor::sign(fields, &identity, ROSTER_LIFE, NOW)
        .unwrap()
        .encode()
}

/// A service over a store.
pub struct House<S = Memory> {
    pub service: Arc<Service<S>>,
    pub store: Arc<S>,
    pub stopper: Stopper,
}

impl House {
    /// Over a store in memory.
    pub fn new(config: &Config) -> Self {
        Self::over(Arc::new(Memory::new(config.ceilings())), config)
    }
}

impl<S: Store> House<S> {
    pub fn over(store: Arc<S>, config: &Config) -> Self {
        let (stopper, stop) = stop::pair();
        let service = Arc::new(Service::new(Arc::clone(&store), config, stop));
        Self {
            service,
            store,
            stopper,
        }
    }

    pub async fn ask_at(&self, client: &DhPublic, request: Request, now: Timestamp) -> Answer {
        self.service.answer(client, request, now, &mut rng()).await
    }

    pub async fn ask(&self, client: &DhPublic, request: Request) -> Answer {
        self.ask_at(client, request, NOW).await
    }

    /// Serves a mechanism and publishes its card.
    pub async fn serve(&self, mechanism: &Mechanism) {
        self.store.allow_inbox(mechanism.address).await.unwrap();
        let statements = (0..mechanism.devices.len())
            .map(|device| mechanism.statement(device, 1, NOW))
            .collect();
        let published = self
            .ask(&mechanism.key(0), publish(&mechanism.card(1, statements)))
            .await;
        assert_eq!(told(&published), Ok("published"));
    }
}

pub fn stranger() -> DhPublic {
    DhSecret::generate(&mut rng()).public()
}

pub fn publish(card: &Card) -> Request {
    Request::Publish {
        card: card.encode(),
    }
}

pub fn deposit(target: Target, mailbox: MailboxId, envelope: u8) -> Request {
    Request::Deposit {
        target,
        mailbox,
        withdraw: WithdrawHash::from_bytes([envelope; 32]),
        proof: Vec::new(),
        envelope: Box::new([envelope; ENVELOPE]),
    }
}

pub fn poll(target: Target, mailbox: MailboxId) -> Request {
    poll_after(target, mailbox, 0, vec![], 0)
}

pub fn poll_after(
    target: Target,
    mailbox: MailboxId,
    cursor: u64,
    removals: Vec<EnvelopeDigest>,
    wait_seconds: u16,
) -> Request {
    Request::Poll {
        target,
        mailbox,
        cursor,
        removals,
        wait_seconds,
    }
}

/// An answer in one word.
pub fn told(answer: &Answer) -> Result<&'static str, Refusal> {
    match answer {
        Answer::Refused(refusal) => Err(*refusal),
        Answer::Card(_) => Ok("card"),
        Answer::Stored(Stored::New, _) => Ok("stored"),
        Answer::Stored(Stored::Already, _) => Ok("already"),
        Answer::Stored(Stored::Replaced, _) => Ok("replaced"),
        Answer::Item(Item {
            envelope: Some(_), ..
        }) => Ok("item"),
        Answer::Item(_) => Ok("nothing"),
        Answer::Published => Ok("published"),
        Answer::Held(_) => Ok("held"),
        Answer::Kept(Kept::New) => Ok("kept"),
        Answer::Kept(Kept::Already) => Ok("already"),
        Answer::Parcel(Some(_)) => Ok("parcel"),
        Answer::Parcel(None) => Ok("nothing"),
        Answer::Withdrawn(_) => Ok("withdrawn"),
        Answer::Deleted(_) => Ok("deleted"),
    }
}

pub fn item(answer: Answer) -> Item {
    match answer {
        Answer::Item(item) => item,
        other => panic!("expected an item, got {:?}", told(&other)),
    }
}
