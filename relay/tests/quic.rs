//! The transport as spec §6.2 wants it. Each test would notice the absence of one setting.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Client, ClientSettings, Harness, config, rng};
use quinn::{ConnectionError, ReadError, ReadExactError, VarInt};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::ServerName;
use rustls::{NamedGroup, crypto::aws_lc_rs};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{FRAME, FRAME_PLAIN, LINK_1, LINK_2, LINK_3, LINKS};
use valise_relay::config::Config;
use valise_relay::quic::{WINDOW_BEFORE, WINDOW_LINKS};

/// Long enough for anything on loopback; short enough to wait out what must not happen.
const MOMENT: Duration = Duration::from_millis(300);

/// The code with which the relay reset a stream.
async fn reset_code(recv: &mut quinn::RecvStream) -> u64 {
    let mut byte = [0; 1];
    loop {
        match recv.read_exact(&mut byte).await {
            Ok(()) => (),
            Err(ReadExactError::ReadError(ReadError::Reset(code))) => return code.into_inner(),
            Err(other) => panic!("expected a reset, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_certificate_carries_the_descriptor_of_the_relay_dialled() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    assert_eq!(client.descriptor.id(), relay.relay.id());
    assert_eq!(
        client.descriptor.contact().to_string(),
        relay.relay.contact()
    );
    assert_eq!(client.descriptor.port(), relay.relay.addr().port());
}

#[tokio::test]
async fn only_the_hybrid_key_exchange_is_accepted() {
    let relay = Harness::start(config()).await;
    for group in [kx_group::X25519, kx_group::SECP256R1] {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![group];
        let settings = ClientSettings {
            provider,
            ..ClientSettings::default()
        };
        assert!(
            Client::connect(relay.relay.addr(), settings).await.is_err(),
            "{group:?}"
        );
    }
    let hybrid = ClientSettings::default();
    assert_eq!(
        hybrid.provider.kx_groups[0].name(),
        NamedGroup::X25519MLKEM768
    );
    assert!(Client::connect(relay.relay.addr(), hybrid).await.is_ok());
}

#[tokio::test]
async fn another_protocol_name_is_refused() {
    let relay = Harness::start(config()).await;
    let settings = ClientSettings {
        alpn: b"valise".to_vec(),
        ..ClientSettings::default()
    };
    assert!(Client::connect(relay.relay.addr(), settings).await.is_err());
}

/// Counts what the relay gives a client to remember.
#[derive(Debug, Default)]
struct Memories(AtomicUsize);

impl ClientSessionStore for Memories {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

impl quinn::TokenStore for Memories {
    fn insert(&self, _: &str, _: Bytes) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn take(&self, _: &str) -> Option<Bytes> {
        None
    }
}

#[tokio::test]
async fn a_client_is_given_neither_tickets_nor_tokens_to_be_known_by() {
    let relay = Harness::start(config()).await;
    let (tickets, tokens) = (Arc::new(Memories::default()), Arc::new(Memories::default()));
    let settings = ClientSettings {
        resumption: Resumption::store(Arc::clone(&tickets) as _),
        tokens: Arc::clone(&tokens) as _,
        ..ClientSettings::default()
    };
    let client = Client::connect(relay.relay.addr(), settings).await.unwrap();
    // Both would have come with the first packets after the handshake, which this waits for.
    client.link().await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(tickets.0.load(Ordering::SeqCst), 0);
    assert_eq!(tokens.0.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_connection_does_not_follow_its_client_to_another_address() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    timeout(MOMENT, client.link())
        .await
        .expect("before the move");
    client
        .endpoint
        .rebind(std::net::UdpSocket::bind("127.0.0.1:0").unwrap())
        .unwrap();
    assert!(timeout(MOMENT, client.link()).await.is_err());
}

#[tokio::test]
async fn a_connection_has_sixteen_streams_at_a_time_and_nothing_else() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let mut held = Vec::new();
    for _ in 0..LINKS {
        held.push(
            timeout(MOMENT, client.connection.open_bi())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    assert!(timeout(MOMENT, client.connection.open_bi()).await.is_err());
    assert!(timeout(MOMENT, client.connection.open_uni()).await.is_err());
    assert_eq!(client.connection.max_datagram_size(), None);
}

/// How much a client may send on a fresh stream before anybody has read it.
async fn credit(client: &Client) -> usize {
    let (mut send, _recv) = client.connection.open_bi().await.unwrap();
    send.write(&vec![0; 4 << 20]).await.unwrap()
}

#[tokio::test]
async fn a_client_without_a_link_cannot_fill_the_relay() {
    let relay = Harness::start(config()).await;
    let sent = credit(&relay.connect().await).await;
    assert_eq!(sent, WINDOW_BEFORE as usize);
    // With 16 first messages that the relay has read, TLS's buffers and what it sends itself, that stays under 128 KiB.
    assert!(sent + LINKS * (LINK_1 + LINK_2) + 2 * 16 * 1024 < 128 * 1024);
}

#[tokio::test]
async fn a_connection_with_links_has_one_deposit_in_flight_however_many_they_are() {
    let relay = Harness::start(config()).await;
    for links in [1, 3, 15] {
        let client = relay.connect().await;
        let mut held = Vec::new();
        for _ in 0..links {
            held.push(client.link().await);
        }
        tokio::time::sleep(MOMENT).await;
        let sent = credit(&client).await;
        assert!(sent <= WINDOW_LINKS as usize, "{sent}");
        // A deposit and a poll, whatever quinn has not given back yet.
        assert!(sent >= 5 * FRAME, "{sent}");
    }
}

#[tokio::test]
async fn a_link_handshake_under_another_key_is_reset_with_code_1() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    send.write_all(&[7; LINK_1]).await.unwrap();
    assert_eq!(reset_code(&mut recv).await, 1);
}

#[tokio::test]
async fn a_wrong_third_message_is_reset_with_code_1() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let key = DhSecret::generate(&mut rng());
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    let (_, first) = valise_protocol::link::Initiator::start(
        &key,
        &client.descriptor.id(),
        client.descriptor.static_key(),
        &mut rng(),
    )
    .unwrap();
    send.write_all(&first).await.unwrap();
    send.write_all(&[0; LINK_3]).await.unwrap();
    assert_eq!(reset_code(&mut recv).await, 1);
}

#[tokio::test]
async fn an_altered_frame_is_reset_with_code_2() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let mut linked = client.link().await;
    let mut frame = linked.link.seal(&vec![0; FRAME_PLAIN]).unwrap();
    frame[100] ^= 1;
    linked.send.write_all(&frame).await.unwrap();
    assert_eq!(reset_code(&mut linked.recv).await, 2);
}

#[tokio::test]
async fn a_client_that_dawdles_in_the_handshake_is_cut_off() {
    let relay = Harness::start(Config {
        handshake_seconds: 1,
        ..config()
    })
    .await;
    let client = relay.connect().await;
    let (mut send, _recv) = client.connection.open_bi().await.unwrap();
    send.write_all(&[0; LINK_1 - 1]).await.unwrap();
    let ended = timeout(Duration::from_secs(3), client.connection.closed())
        .await
        .unwrap();
    let ConnectionError::ApplicationClosed(close) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(close.error_code, VarInt::from_u32(3));
}

#[tokio::test]
async fn a_second_link_that_dawdles_is_reset_with_code_3_and_the_first_goes_on() {
    let relay = Harness::start(Config {
        handshake_seconds: 1,
        ..config()
    })
    .await;
    let client = relay.connect().await;
    let _first = client.link().await;
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    send.write_all(&[0; LINK_1 - 1]).await.unwrap();
    assert_eq!(
        timeout(Duration::from_secs(3), reset_code(&mut recv))
            .await
            .unwrap(),
        3
    );
    client.link().await;
}

#[tokio::test]
async fn a_link_too_many_is_reset_with_code_5() {
    let relay = Harness::start(Config {
        links: 1,
        ..config()
    })
    .await;
    let client = relay.connect().await;
    let _first = client.link().await;
    let (mut send, mut recv) = client.connection.open_bi().await.unwrap();
    send.write_all(&[0; 1]).await.unwrap();
    assert_eq!(reset_code(&mut recv).await, 5);
}

#[tokio::test]
async fn a_stopping_relay_ends_idle_links_with_code_4_and_closes_with_it() {
    let relay = Harness::start(config()).await;
    let client = relay.connect().await;
    let mut linked = client.link().await;
    // The link is established on the relay's side once its windows are open; a stop before that cuts the handshake.
    tokio::time::sleep(MOMENT).await;
    let stopped = tokio::spawn(relay.relay.shutdown());
    let refused = linked.send.stopped().await;
    assert_eq!(refused.unwrap(), Some(VarInt::from_u32(4)));
    assert_eq!(
        linked.recv.read(&mut [0; 1]).await.unwrap(),
        None,
        "an orderly end, so that no answer is lost"
    );
    let ConnectionError::ApplicationClosed(close) = client.connection.closed().await else {
        panic!()
    };
    assert_eq!(close.error_code, VarInt::from_u32(4));
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_announced_key_is_accepted_beside_the_current_one() {
    let relay = Harness::start(config()).await;
    let before = relay.connect().await;
    let socket = relay.dir.path().to_owned();
    let announced = tokio::task::spawn_blocking(move || {
        valise_relay::status::ask(&socket, valise_relay::operation::Operation::Announce)
    });
    announced.await.unwrap().unwrap().unwrap().unwrap();
    let client = relay.connect().await;
    assert_eq!(
        client.descriptor.static_key(),
        before.descriptor.static_key()
    );
    let next = *client.descriptor.next_static_key().unwrap();
    let key = DhSecret::generate(&mut rng());
    client.link_to(&key, &next).await;
    client.link_to(&key, client.descriptor.static_key()).await;
}

#[tokio::test]
async fn the_descriptor_is_signed_anew_before_it_runs_out_without_a_restart() {
    let relay = Harness::start(config()).await;
    let before = relay.connect().await.descriptor;
    relay.clock.advance(8 * 86_400);
    relay.relay.tidy().await;
    let after = relay.connect().await.descriptor;
    assert_eq!(after.not_after().since(before.not_after()), 8 * 86_400);
    assert_eq!(after.tls_pin(), before.tls_pin());
    assert_eq!(after.static_key(), before.static_key());
}

/// Passes datagrams between one client and the relay; gives the first byte of each that the relay sends.
async fn first_bytes(relay: SocketAddr) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<u8>) {
    let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = outside.local_addr().unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut up, mut down) = ([0; 2_048], [0; 2_048]);
        let mut client = None;
        loop {
            tokio::select! {
                got = outside.recv_from(&mut up) => {
                    let (len, from) = got.unwrap();
                    client = Some(from);
                    inside.send_to(&up[..len], relay).await.unwrap();
                }
                got = inside.recv_from(&mut down) => {
                    let (len, _) = got.unwrap();
                    let _ = sender.send(down[0]);
                    outside.send_to(&down[..len], client.unwrap()).await.unwrap();
                }
            }
        }
    });
    (addr, receiver)
}

/// Whether a relay's first datagram is a Retry (RFC 9000 §17.2.5).
async fn asks_for_proof(config: Config) -> bool {
    let relay = Harness::start(config).await;
    let (addr, mut bytes) = first_bytes(relay.relay.addr()).await;
    Client::connect(addr, ClientSettings::default())
        .await
        .unwrap();
    bytes.recv().await.unwrap() & 0xf0 == 0xf0
}

#[tokio::test]
async fn a_busy_relay_asks_an_address_to_prove_itself_and_an_idle_one_does_not() {
    assert!(
        asks_for_proof(Config {
            retry_handshakes: 0,
            ..config()
        })
        .await
    );
    assert!(!asks_for_proof(config()).await);
}

#[tokio::test]
async fn a_full_relay_refuses_a_connection() {
    let relay = Harness::start(Config {
        connections: 1,
        ..config()
    })
    .await;
    let _first = relay.connect().await;
    assert!(
        Client::connect(relay.relay.addr(), ClientSettings::default())
            .await
            .is_err()
    );
}
