//! A relay in this process with a clock of its own, and people made of the protocol's types: for what needs simulated time, or
//! somebody who does what the programs would not.

use std::net::SocketAddr;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tempfile::TempDir;
use valise_client::dial::{Connection, fresh_key};
use valise_client::link::LinkFault;
use valise_client::session::{self, Errand, Poll, Result3, Sealed, random_withdraw_hash};
use valise_protocol::card::{
    Card, DeviceKeys, Known, Profile, Root, Roster, SignedRoster, SignedStatement, VerifiedCard,
    first_root,
};
use valise_protocol::contact::RelayContact;
use valise_protocol::envelope::{Opened, open, seal};
use valise_protocol::id::{Address, EnvelopeDigest, MailboxId, WithdrawHash};
use valise_protocol::key::{DhSecret, SigningKey};
use valise_protocol::limits::ENVELOPE;
use valise_protocol::message::{
    Answer as Consent, Attribution, ConsentBasis, Content, Handling, Message, ReplyKeys,
    Submission, SubmissionId, Timing,
};
use valise_protocol::phrase::{DefenderKeys, ReturnPhrase};
use valise_protocol::prekey::{Prekey, PrekeySecret};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Item, Request, Stored, Target};
use valise_relay::clock::Clock;
use valise_relay::config::Config;
use valise_relay::identity::Identity;
use valise_relay::store::{AnyStore, Memory, Spool, SpoolConfig, Store};
use valise_relay::{Relay, RunningRelay};

/// When everything here begins: 2026-11-23.
pub const START: Timestamp = Timestamp::from_seconds(1_795_392_000);

/// The system's generator.
pub fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A relay on loopback.
pub struct LiveRelay {
    /// The relay.
    pub running: RunningRelay,
    /// Its clock.
    pub clock: Clock,
    config: Config,
    directory: TempDir,
    on_disk: bool,
}

impl LiveRelay {
    /// A relay whose store is in memory.
    pub async fn in_memory(change: impl FnOnce(&mut Config)) -> Self {
        Self::start(false, change).await
    }

    /// A relay with a spool.
    pub async fn on_disk(change: impl FnOnce(&mut Config)) -> Self {
        Self::start(true, change).await
    }

    /// A relay with a store in memory and the keys of the liars: so the mechanisms that it serves name a liar in their cards.
    pub async fn turned_liar() -> Self {
        let directory = tempfile::tempdir().expect("there is room");
        crate::liar::copy_keys(directory.path());
        Self::start_in(directory, false, |_| ()).await
    }

    async fn start(on_disk: bool, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("there is room");
        Identity::create(directory.path(), &mut rng(), START).expect("there is room");
        Self::start_in(directory, on_disk, change).await
    }

    async fn start_in(directory: TempDir, on_disk: bool, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            host: "127.0.0.1".into(),
            port: 0,
            ..Config::default()
        };
        change(&mut config);
        let clock = Clock::simulated(START);
        let running = run(&config, &directory, &clock, on_disk).await;
        Self {
            running,
            clock,
            config,
            directory,
            on_disk,
        }
    }

    /// Stops it in order and starts it again on the same keys and store (which must be on disk to keep anything), and port.
    pub async fn restart(self) -> Self {
        let port = self.contact().port();
        self.running.shutdown().await.expect("it stops");
        let (mut config, clock) = (self.config, self.clock);
        config.listen.set_port(port);
        config.port = port;
        let running = run(&config, &self.directory, &clock, self.on_disk).await;
        Self {
            running,
            clock,
            config,
            directory: self.directory,
            on_disk: self.on_disk,
        }
    }

    /// How it is reached.
    pub fn contact(&self) -> RelayContact {
        self.running
            .contact()
            .parse()
            .expect("a relay knows its contact")
    }

    /// The clock's reading.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass, and the janitor do what is due.
    pub async fn pass(&self, seconds: u64) {
        self.clock.advance(seconds);
        self.running.tidy().await;
    }

    /// Serves an inbox.
    pub async fn allow(&self, address: Address) {
        self.running
            .store()
            .allow_inbox(address)
            .await
            .expect("the store works");
    }

    /// The descriptor that its certificate carries.
    pub async fn descriptor(&self) -> Vec<u8> {
        let connection = Connection::dial(&self.contact(), self.now())
            .await
            .expect("it answers");
        let signed = connection.signed_descriptor().to_vec();
        connection.close().await;
        signed
    }
}

async fn run(config: &Config, directory: &TempDir, clock: &Clock, on_disk: bool) -> RunningRelay {
    let store = if on_disk {
        let spool = SpoolConfig {
            min_free_bytes: 0,
            ballast_bytes: 0,
            ..SpoolConfig::new(directory.path().join("spool"), config.ceilings())
        };
        AnyStore::Spool(Spool::open(spool).expect("the spool opens"))
    } else {
        AnyStore::Memory(Memory::new(config.ceilings()))
    };
    Relay::start_on(store, config.clone(), directory.path(), clock.clone())
        .await
        .expect("the relay starts")
}

/// A mechanism whose keys are all at hand.
pub struct Mechanism {
    /// Signs rosters.
    pub root: SigningKey,
    /// The chain of root keys.
    pub roots: Vec<Root>,
    /// Its devices.
    pub devices: Vec<Officer>,
    /// Its address.
    pub address: Address,
    /// The roster's number.
    pub epoch: u64,
    /// When the roster was issued.
    pub issued: Timestamp,
    /// The descriptors of its relays.
    pub relays: Vec<Vec<u8>>,
}

/// A device and what it holds.
pub struct Officer {
    /// Its keys.
    pub keys: DeviceKeys,
    /// Its live prekeys, newest last.
    pub prekeys: Vec<PrekeySecret>,
    /// Its newest statement.
    pub statement: Option<SignedStatement>,
}

impl Mechanism {
    /// A mechanism with so many devices, served by this relay; its card is not published yet.
    pub async fn new(devices: usize, relay: &LiveRelay) -> Self {
        let root = SigningKey::generate(&mut rng());
        let address = Address::of_root(root.verifying_key().as_bytes());
        let roots = first_root(&root);
        let relays = vec![relay.descriptor().await];
        let mut mechanism = Self {
            root,
            roots,
            devices: Vec::new(),
            address,
            epoch: 1,
            issued: relay.now(),
            relays,
        };
        for _ in 0..devices {
            mechanism.devices.push(Officer {
                keys: DeviceKeys::generate(&mut rng()),
                prekeys: Vec::new(),
                statement: None,
            });
        }
        for device in 0..devices {
            mechanism.rotate(device, relay.now());
        }
        mechanism
    }

    /// A mechanism that is allowed and has published.
    pub async fn published(devices: usize, relay: &LiveRelay) -> Self {
        let mechanism = Self::new(devices, relay).await;
        relay.allow(mechanism.address).await;
        mechanism
            .publish(relay)
            .await
            .expect("the relay takes the card");
        mechanism
    }

    /// Makes a new prekey for a device.
    pub fn rotate(&mut self, device: usize, now: Timestamp) {
        let prekey = PrekeySecret::generate(&mut rng());
        let officer = &mut self.devices[device];
        let statement = SignedStatement::sign(
            self.address,
            &officer.keys,
            self.epoch,
            prekey.public(),
            now,
        );
        officer.statement = Some(statement);
        officer.prekeys.push(prekey);
    }

    /// Begins the next roster.
    pub fn succeed(&mut self, now: Timestamp) {
        self.epoch += 1;
        self.issued = now;
    }

    /// The roster as it stands.
    pub fn roster(&self) -> SignedRoster {
        let devices = self
            .devices
            .iter()
            .map(|officer| officer.keys.public())
            .collect();
        let profile = Profile::named(vec![("en".into(), "Example Mechanism".into())]);
        let roster = Roster::new(
            self.address,
            self.epoch,
            devices,
            self.relays.clone(),
            profile,
            self.issued,
        );
        roster.expect("it is within its limits").sign(&self.root)
    }

    /// The card as it stands.
    pub fn card(&self) -> Card {
        let statements = self
            .devices
            .iter()
            .filter_map(|officer| officer.statement.clone())
            .collect();
        Card::new(self.roots.clone(), self.roster(), statements)
    }

    /// The card as a reader holds it after checking.
    pub fn verified(&self, now: Timestamp) -> VerifiedCard {
        self.card()
            .verify(self.address, None, now)
            .expect("it is a good card")
    }

    /// Publishes the card by the first device.
    ///
    /// # Errors
    /// What the relay says.
    pub async fn publish(&self, relay: &LiveRelay) -> Result<(), LinkFault> {
        publish(relay, &self.devices[0].keys.link, self.card().encode()).await
    }

    /// All that waits for a device, removed from the relay once it is here.
    ///
    /// # Errors
    /// What the relay says.
    pub async fn pull(
        &self,
        device: usize,
        relay: &LiveRelay,
    ) -> Result<Vec<Box<[u8; ENVELOPE]>>, LinkFault> {
        pull(relay, self.address, &self.devices[device].keys.link).await
    }

    /// Opens an envelope as a device, with every prekey it holds.
    pub fn open(&self, device: usize, envelope: &[u8]) -> Option<Opened> {
        let prekeys: Vec<&PrekeySecret> = self.devices[device].prekeys.iter().collect();
        open(envelope, &self.address, &prekeys).ok()
    }

    /// The texts of the submissions that wait for a device.
    pub async fn texts(&self, device: usize, relay: &LiveRelay) -> Vec<String> {
        let envelopes = self.pull(device, relay).await.expect("the relay answers");
        envelopes
            .iter()
            .filter_map(|envelope| text_of(&self.open(device, envelope.as_slice())?))
            .collect()
    }
}

/// The text of an opened submission.
pub fn text_of(opened: &Opened) -> Option<String> {
    match Message::decode(&opened.message).ok()? {
        Message::Submission(submission) => Some(submission.content().ok()?.text),
        _ => None,
    }
}

/// Asks once on a connection and a link of its own.
///
/// # Errors
/// What the relay says.
pub async fn ask(
    relay: &LiveRelay,
    key: &DhSecret,
    request: &Request,
) -> Result<Answer, LinkFault> {
    let connection = Connection::dial(&relay.contact(), relay.now())
        .await
        .map_err(|_| LinkFault::Broken)?;
    let mut link = connection.link(key).await?;
    let answer = link.request(request).await;
    link.finish();
    connection.close().await;
    answer
}

/// Publishes a card under a link key.
///
/// # Errors
/// What the relay says.
pub async fn publish(relay: &LiveRelay, key: &DhSecret, card: Vec<u8>) -> Result<(), LinkFault> {
    ask(relay, key, &Request::Publish { card }).await.map(drop)
}

/// Polls an inbox once.
///
/// # Errors
/// What the relay says.
pub async fn poll_inbox(
    relay: &LiveRelay,
    address: Address,
    key: &DhSecret,
    removals: Vec<EnvelopeDigest>,
    cursor: u64,
) -> Result<Item, LinkFault> {
    let request = Request::Poll {
        target: Target::Inbox,
        mailbox: address.inbox(),
        cursor,
        removals,
        wait_seconds: 0,
    };
    match ask(relay, key, &request).await? {
        Answer::Item(item) => Ok(item),
        _ => Err(LinkFault::Nonsense),
    }
}

async fn pull(
    relay: &LiveRelay,
    address: Address,
    key: &DhSecret,
) -> Result<Vec<Box<[u8; ENVELOPE]>>, LinkFault> {
    let (mut envelopes, mut removals, mut cursor) = (Vec::new(), Vec::new(), 0);
    loop {
        let item = poll_inbox(relay, address, key, std::mem::take(&mut removals), cursor).await?;
        let Some(envelope) = item.envelope else {
            return Ok(envelopes);
        };
        cursor = item.cursor;
        removals.push(EnvelopeDigest::of(envelope.as_slice()));
        envelopes.push(envelope);
    }
}

/// Deposits an envelope under a fresh key.
///
/// # Errors
/// What the relay says.
pub async fn deposit(
    relay: &LiveRelay,
    target: Target,
    mailbox: MailboxId,
    withdraw: WithdrawHash,
    envelope: Box<[u8; ENVELOPE]>,
) -> Result<Stored, LinkFault> {
    let request = Request::Deposit {
        target,
        mailbox,
        withdraw,
        proof: Vec::new(),
        envelope,
    };
    match ask(relay, &fresh_key(), &request).await? {
        Answer::Stored(stored, _) => Ok(stored),
        _ => Err(LinkFault::Nonsense),
    }
}

/// A defender, known by keys that follow from a phrase and one mechanism's address.
pub struct Defender {
    /// The keys.
    pub keys: DefenderKeys,
    /// The mechanism.
    pub address: Address,
}

impl Defender {
    /// Somebody new.
    pub fn new(address: Address) -> Self {
        let keys = ReturnPhrase::generate(&mut rng())
            .stretch()
            .for_mechanism(&address);
        Self { keys, address }
    }

    /// A submission with this text.
    pub fn submission(
        &self,
        text: &str,
        epoch: u64,
        relay: &RelayContact,
    ) -> (Message, WithdrawHash) {
        let content = Content {
            text: text.into(),
            handling: handling(),
            others: Vec::new(),
            attached: None,
        }
        .encode();
        let tag = self.keys.message_tag(&content);
        let reply = ReplyKeys {
            prekey: self.keys.reply().public(),
            mailbox: self.keys.mailbox(&relay.id()),
            relay: relay.id(),
        };
        let message = Submission {
            id: SubmissionId::from_bytes(tag.id()),
            epoch,
            reply,
            content,
            holders: vec![],
        };
        (Message::Submission(message), tag.withdraw_hash(&relay.id()))
    }

    /// Seals a submission.
    pub fn seal(&self, text: &str, readers: &[Prekey], epoch: u64, relay: &RelayContact) -> Sealed {
        let (message, withdraw) = self.submission(text, epoch, relay);
        let writer = self.keys.send();
        let envelope = seal(
            readers,
            &self.address,
            &writer,
            &message.encode(),
            &mut rng(),
        )
        .expect("it fits");
        Sealed { envelope, withdraw }
    }

    /// Sends a text in a whole small session.
    ///
    /// # Panics
    /// If the relay cannot be reached.
    pub async fn send(&self, text: &str, relay: &LiveRelay, known: Option<Known>) -> Result3 {
        let contact = relay.contact();
        let errand = Errand {
            address: self.address,
            known,
            despite_staleness: None,
            deposit: Some(&|readers, epoch| Ok(self.seal(text, readers, epoch, &contact))),
            poll: Poll::Nothing,
        };
        session::run(&contact, errand, relay.now())
            .await
            .expect("the relay is reached")
    }

    /// Looks into the return mailbox, after removing what is named.
    ///
    /// # Panics
    /// If the relay cannot be reached.
    pub async fn check(&self, removals: Vec<EnvelopeDigest>, relay: &LiveRelay) -> Result3 {
        let contact = relay.contact();
        let poll = Poll::Return {
            key: self.keys.mailbox_key(&contact.id()),
            removals,
            cursor: 0,
        };
        let errand = Errand {
            address: self.address,
            known: None,
            despite_staleness: None,
            deposit: None,
            poll,
        };
        session::run(&contact, errand, relay.now())
            .await
            .expect("the relay is reached")
    }
}

/// An ordinary handling.
pub fn handling() -> Handling {
    Handling {
        name_to_government: Consent::Yes,
        name_in_public: Consent::No,
        basis: ConsentBasis::Oneself,
        note: None,
        timing: Timing::Ongoing,
        attribution: Attribution::None,
        language: "en".into(),
    }
}

/// A withdraw hash that nobody can withdraw by.
pub fn no_withdrawal() -> WithdrawHash {
    random_withdraw_hash()
}
