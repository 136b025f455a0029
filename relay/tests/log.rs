//! What the relay logs, at its most talkative: nothing that names anybody.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{Client, ClientSettings, Harness, config, rng};
use valise_protocol::id::{Address, Grant, MailboxId, Namespace, WithdrawHash};
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{ENVELOPE, FRAME, PARCEL};
use valise_protocol::parcel::ParcelBuffer;
use valise_protocol::wire::{Answer, Kept, Request, Target};
use valise_relay::config::{Config, LogLevel};
use valise_relay::store::Store;

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn no_level_of_the_log_names_a_mailbox_a_key_or_an_address() {
    let log = Log::default();
    let writer = log.clone();
    valise_relay::log::start(LogLevel::Trace, move || writer.clone());
    let relay = Harness::start(Config {
        links: 3,
        retry_handshakes: 0,
        ..config()
    })
    .await;
    let key = DhSecret::generate(&mut rng());
    let mailbox = MailboxId::of_return(key.public().as_bytes());
    let served = Address::from_bytes([0x6b; 32]);
    relay.relay.store().allow_inbox(served).await.unwrap();
    let client = relay.connect().await;
    let mut linked = client.link_as(&key).await;
    // The same link puts: its key is the write key.
    let namespace = Namespace::of_writer(key.public().as_bytes());
    let mut grant = Grant::from_bytes([0x8d; 16]);
    let put = |index, grant| Request::Put {
        namespace,
        index,
        grant,
        parcel: ParcelBuffer::from_sealed(vec![0x9e; PARCEL]).unwrap(),
    };
    let mut ask = async |request: Request| {
        let sealed = linked.link.seal(&request.encode()).unwrap();
        linked.send.write_all(&sealed).await.unwrap();
        let mut answer = vec![0; request.kind().frames_down() * FRAME];
        linked.recv.read_exact(&mut answer).await.unwrap();
        Answer::decode(request.kind(), &linked.link.open(&answer).unwrap()).unwrap()
    };
    let submission = Request::Deposit {
        target: Target::Inbox,
        mailbox: served.inbox(),
        withdraw: WithdrawHash::from_bytes([7; 32]),
        proof: vec![],
        envelope: Box::new([0x5a; ENVELOPE]),
    };
    if let Answer::Stored(_, good) = ask(submission).await {
        let kept = ask(put(0, good)).await;
        assert!(kept == Answer::Kept(Kept::New), "{kept:?}");
        grant = good;
    }
    for request in [
        put(0, Grant::from_bytes([0x8d; 16])),
        put(1, Grant::from_bytes([0x8d; 16])),
        Request::Have { namespace },
        Request::Get {
            address: served,
            namespace,
            index: 0,
        },
        Request::Withdraw {
            inbox: served.inbox(),
            secret: [0xaf; 32],
        },
        Request::Delete { namespace },
        Request::Deposit {
            target: Target::Return,
            mailbox,
            withdraw: WithdrawHash::from_bytes([7; 32]),
            proof: vec![],
            envelope: Box::new([0x5a; ENVELOPE]),
        },
        Request::Poll {
            target: Target::Inbox,
            mailbox,
            cursor: 0,
            removals: vec![],
            wait_seconds: 0,
        },
    ] {
        ask(request).await;
    }
    linked.send.write_all(&[0; FRAME]).await.unwrap();
    let _ = linked.recv.read_to_end(1 << 20).await;
    let _ = Client::connect(
        relay.relay.addr(),
        ClientSettings {
            alpn: b"other".to_vec(),
            ..ClientSettings::default()
        },
    )
    .await;
    relay.relay.tidy().await;
    let port = client.endpoint.local_addr().unwrap().port().to_string();
    let relay_id = relay.relay.id();
    relay.relay.shutdown().await.unwrap();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("a link was reset"),
        "the log is not empty: {text}"
    );
    assert!(text.contains("TRACE") && text.contains("DEBUG"), "{text}");
    let address = Address::from_bytes(*mailbox.as_bytes());
    for canary in [
        hex(&mailbox.as_bytes()[..4]),
        hex(&key.public().as_bytes()[..4]),
        hex(&relay_id.as_bytes()[..4]),
        address.to_string(),
        "127.0.0.1".into(),
        port,
        "5a5a5a5a".into(),
        "6b6b6b6b".into(),
        hex(&namespace.as_bytes()[..4]),
        hex(&grant.as_bytes()[..4]),
        "8d8d8d8d".into(),
        "9e9e9e9e".into(),
        "afafafaf".into(),
        served.to_string(),
    ] {
        assert!(!text.contains(&canary), "{canary} in {text}");
    }
}
