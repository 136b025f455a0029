//! Clients that do harm, and a relay that goes on.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Client, ClientSettings, Harness, Linked, NOW, config, rng};
use proptest::prelude::*;
use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use tokio::time::timeout;
use valise_protocol::id::{Address, EnvelopeDigest, MailboxId, Namespace, WithdrawHash};
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{ENVELOPE, FRAME, FRAME_PLAIN, PARCEL};
use valise_protocol::parcel::{ParcelBuffer, ParcelSet};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Kept, Refusal, Request, RequestKind, Stored, Target};
use valise_relay::admission::{Admission, LINKS_OF_PARCELS};
use valise_relay::clock::Clock;
use valise_relay::config::Config;
use valise_relay::identity::Identity;
use valise_relay::link::Shared;
use valise_relay::service::Service;
use valise_relay::store::{
    self, Cursor, Deposit, Deposited, DeviceTag, Mailbox, Memory, Put, Reader, Store, StoreError,
    Usage, Waiting,
};
use valise_relay::{quic, server, stop};

/// A store with a defect: it panics at every deposit to a mailbox.
struct Defective(Memory);

impl Store for Defective {
    async fn deposit(&self, deposit: Deposit) -> Result<Deposited, StoreError> {
        assert_eq!(deposit.target, store::Target::Sink, "a defect");
        self.0.deposit(deposit).await
    }
    async fn next(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        after: Cursor,
        now: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        self.0.next(mailbox, reader, after, now).await
    }
    async fn remove(
        &self,
        mailbox: Mailbox,
        reader: Reader<'_>,
        digests: &[EnvelopeDigest],
    ) -> Result<(), StoreError> {
        self.0.remove(mailbox, reader, digests).await
    }
    async fn settle(&self, inbox: MailboxId, roster: &[DeviceTag]) -> Result<(), StoreError> {
        self.0.settle(inbox, roster).await
    }
    fn arrival(&self, mailbox: Mailbox) -> impl Future<Output = ()> + Send {
        self.0.arrival(mailbox)
    }
    async fn allow_inbox(&self, address: Address) -> Result<(), StoreError> {
        self.0.allow_inbox(address).await
    }
    async fn remove_inbox(&self, address: Address) -> Result<u64, StoreError> {
        self.0.remove_inbox(address).await
    }
    async fn inboxes(&self) -> Result<Vec<(Address, u64)>, StoreError> {
        self.0.inboxes().await
    }
    async fn serves(&self, inbox: MailboxId) -> Result<bool, StoreError> {
        self.0.serves(inbox).await
    }
    async fn allow_reader(&self, address: Address) -> Result<(), StoreError> {
        self.0.allow_reader(address).await
    }
    async fn remove_reader(&self, address: Address) -> Result<bool, StoreError> {
        self.0.remove_reader(address).await
    }
    async fn readers(&self) -> Result<Vec<Address>, StoreError> {
        self.0.readers().await
    }
    async fn put_card(&self, address: Address, card: Vec<u8>) -> Result<(), StoreError> {
        self.0.put_card(address, card).await
    }
    async fn card(&self, address: Address) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.card(address).await
    }
    async fn withdraw(&self, inbox: MailboxId, withdraw: WithdrawHash) -> Result<bool, StoreError> {
        self.0.withdraw(inbox, withdraw).await
    }
    async fn put_parcel(&self, put: Put) -> Result<Kept, StoreError> {
        self.0.put_parcel(put).await
    }
    async fn parcels(&self, namespace: Namespace, now: Timestamp) -> Result<ParcelSet, StoreError> {
        self.0.parcels(namespace, now).await
    }
    async fn parcel(
        &self,
        namespace: Namespace,
        index: u32,
        now: Timestamp,
    ) -> Result<Option<ParcelBuffer>, StoreError> {
        self.0.parcel(namespace, index, now).await
    }
    async fn delete_parcels(&self, namespace: Namespace) -> Result<u32, StoreError> {
        self.0.delete_parcels(namespace).await
    }
    async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.0.expire(now).await
    }
    async fn usage(&self) -> Result<Usage, StoreError> {
        self.0.usage().await
    }
}

fn deposit(target: Target) -> Request {
    Request::Deposit {
        target,
        mailbox: MailboxId::from_bytes([1; 32]),
        withdraw: WithdrawHash::from_bytes([2; 32]),
        proof: vec![],
        envelope: Box::new([3; ENVELOPE]),
    }
}

async fn exchange(linked: &mut Linked, plain: &[u8], kind: RequestKind) -> Option<Answer> {
    let sealed = linked.link.seal(plain).unwrap();
    linked.send.write_all(&sealed).await.ok()?;
    let mut answer = vec![0; kind.frames_down() * FRAME];
    linked.recv.read_exact(&mut answer).await.ok()?;
    Answer::decode(kind, &linked.link.open(&answer).unwrap()).ok()
}

async fn deposited(client: &Client, target: Target) -> bool {
    let mut linked = client.link().await;
    let request = deposit(target);
    let answer = exchange(&mut linked, &request.encode(), RequestKind::Deposit).await;
    matches!(
        answer,
        Some(Answer::Stored(Stored::New | Stored::Already, _))
    )
}

/// A relay of which a test holds the parts.
struct Parts<S> {
    shared: Arc<Shared<S>>,
    addr: SocketAddr,
    stopper: stop::Stopper,
    serving: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn parts_on<S: Store>(store: S) -> Parts<S> {
    let dir = tempfile::tempdir().unwrap();
    Identity::create(dir.path(), &mut rng(), NOW).unwrap();
    let socket = quic::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = socket.local_addr().unwrap();
    let mut config = config();
    config.port = addr.port();
    let identity = Arc::new(Identity::open(dir.path(), &config, NOW).unwrap());
    let transport = quic::server_config(&config, Arc::clone(&identity) as _).unwrap();
    let runtime = Arc::new(TokioRuntime);
    let endpoint =
        Endpoint::new(EndpointConfig::default(), Some(transport), socket, runtime).unwrap();
    let (stopper, stop) = stop::pair();
    let store = Arc::new(store);
    let shared = Arc::new(Shared {
        service: Service::new(store, &config, stop.clone()),
        identity,
        admission: Arc::new(Admission::new(&config)),
        config,
        clock: Clock::simulated(NOW),
        stop,
    });
    let serving = tokio::spawn(server::run(endpoint, Arc::clone(&shared)));
    Parts {
        shared,
        addr,
        stopper,
        serving,
        _dir: dir,
    }
}

#[tokio::test]
async fn a_panic_in_a_worker_costs_one_connection() {
    let Parts {
        shared,
        addr,
        stopper,
        serving,
        _dir,
    } = parts_on(Defective(Memory::new(config().ceilings())));
    let connect = || Client::connect(addr, ClientSettings::default());
    let (victim, bystander) = (connect().await.unwrap(), connect().await.unwrap());
    assert!(!deposited(&victim, Target::Return).await);
    timeout(Duration::from_secs(2), victim.connection.closed())
        .await
        .expect("it is closed");
    assert!(deposited(&bystander, Target::Sink).await);
    assert!(deposited(&connect().await.unwrap(), Target::Sink).await);
    stopper.stop();
    serving.await.unwrap();
    assert_eq!(
        shared.admission.load(),
        valise_relay::admission::Load::default()
    );
}

#[tokio::test]
async fn a_link_carries_parcels_when_no_place_for_wide_ones_is_left() {
    let store = Memory::new(config().ceilings());
    let address = Address::from_bytes([1; 32]);
    store.allow_inbox(address).await.unwrap();
    let relay = parts_on(store);
    let places = || (0..).map_while(|_| relay.shared.admission.link_of_parcels());
    let mut taken: Vec<_> = places().collect();
    assert_eq!(taken.len(), LINKS_OF_PARCELS);
    let client = Client::connect(relay.addr, ClientSettings::default());
    let client = client.await.unwrap();
    let key = DhSecret::from_bytes(&[1; 32]);
    let given = &mut client.link().await;
    let plain = deposit(Target::Inbox).encode();
    let given = exchange(given, &plain, RequestKind::Deposit).await;
    let Some(Answer::Stored(Stored::New, grant)) = given else {
        panic!("{given:?}");
    };
    let mut linked = client.link_as(&key).await;
    for index in 0..4 {
        if index == 3 {
            taken.pop();
        }
        let put = Request::Put {
            namespace: Namespace::of_writer(key.public().as_bytes()),
            index,
            grant,
            parcel: ParcelBuffer::from_sealed(vec![1; PARCEL]).unwrap(),
        };
        let kept = exchange(&mut linked, &put.encode(), RequestKind::Put).await;
        assert!(matches!(kept, Some(Answer::Kept(Kept::New))), "{kept:?}");
        // It took the one that was left, and no other.
        assert_eq!(places().count(), 0, "{index}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (mut send, _recv) = client.connection.open_bi().await.unwrap();
        let credit = send.write(&vec![0; 4 << 20]).await.unwrap();
        send.reset(0_u32.into()).unwrap();
        let narrow = quic::WINDOW_LINKS as usize;
        assert_eq!(credit > narrow, index == 3, "{index}: {credit}");
    }
    relay.stopper.stop();
    client.connection.close(0_u32.into(), b"");
    relay.serving.await.unwrap();
}

/// They take every link that there is, so that only their deadlines let anybody else in.
#[tokio::test]
async fn honest_clients_are_served_after_others_have_dawdled_for_as_long_as_they_may() {
    const LINKS: usize = 20;
    let relay = Harness::start(Config {
        links: LINKS,
        handshake_seconds: 1,
        ..config()
    })
    .await;
    let mut dawdlers = Vec::new();
    for _ in 0..LINKS {
        let client = relay.connect().await;
        let (mut send, recv) = client.connection.open_bi().await.unwrap();
        send.write_all(&[1]).await.unwrap();
        dawdlers.push((client, send, recv));
    }
    let refused = relay.connect().await;
    let (mut send, mut recv) = refused.connection.open_bi().await.unwrap();
    send.write_all(&[1]).await.unwrap();
    assert!(recv.read(&mut [0]).await.is_err(), "all links are taken");
    for dawdler in &dawdlers {
        let closed = timeout(Duration::from_secs(5), dawdler.0.connection.closed());
        closed.await.expect("nobody dawdles for longer");
    }
    assert!(deposited(&relay.connect().await, Target::Return).await);
}

#[tokio::test]
async fn the_same_deposit_twice_at_once_is_stored_once() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let (one, two) = tokio::join!(
        deposited(&client, Target::Return),
        deposited(&client, Target::Return)
    );
    assert!(one && two);
    let usage = relay.relay.store().usage().await.unwrap();
    assert_eq!(usage.return_envelopes, 1);
}

#[tokio::test]
async fn lengths_that_a_header_claims_are_refused_before_anything_is_made_of_them() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let mut deep = vec![0x40, 0xee, 0xa1, 0x00];
    deep.resize(FRAME_PLAIN, 0x81);
    let claims: [&[u8]; 5] = [
        &[0xff, 0xff],
        // A byte string of 2^64 - 1 bytes, an array and a map of as many items.
        &[
            0x00, 0x0b, 0xa2, 0x00, 0x04, 0x01, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        &[
            0x00, 0x0a, 0xa1, 0x00, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        &[
            0x00, 0x09, 0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        &deep,
    ];
    for claim in claims {
        let mut linked = client.link().await;
        let mut plain = claim.to_vec();
        plain.resize(FRAME_PLAIN, 0);
        let answer = exchange(&mut linked, &plain, RequestKind::Publish)
            .await
            .unwrap();
        assert!(matches!(answer, Answer::Refused(Refusal::Malformed)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a publisher sends, the service answers.
    #[test]
    fn no_card_brings_the_service_down(card in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (_stopper, stop) = stop::pair();
        let store = Arc::new(Memory::new(config().ceilings()));
        let service = Service::new(store, &config(), stop);
        let key = DhSecret::from_bytes(&[1; 32]).public();
        let mut rng = rng();
        let request = Request::Publish { card };
        let answer = runtime.block_on(service.answer(&key, request, NOW, &mut rng));
        prop_assert!(matches!(answer, Answer::Refused(Refusal::CardRefused | Refusal::UnknownInbox)));
    }
}
