//! A relay that is not reached, or does not answer.

use std::sync::{Arc, LazyLock, OnceLock};

use tokio::runtime::{Builder, Runtime};
use valise_protocol::link::Welcome;
use valise_protocol::wire::{Answer, Item, Request};
use valise_tests::card::card;
use valise_tests::liar::{Liar, Manners, Reaction};
use valise_tests::stage::FORM;
use valise_tests::transcript::Transcript;

use crate::stage;

#[test]
fn a_relay_that_is_not_reached_is_told_by_its_cause_as_written_down() {
    let stage = stage();
    let relay = stage.init_relay();
    let serving = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let phrase = stage.send(&contact, "a case").succeeded().received.unwrap();
    let check = |contact: &str| {
        let check = stage.defender().args(["check", "--to", contact]);
        check.secret("--phrase-fd", &phrase)
    };
    let mut transcript = Transcript::new("unreached", stage.port());
    transcript.remark("The name.");
    transcript.run(check(&contact.replace("127.0.0.1", "relay.invalid")));
    transcript.remark("The key: another relay answers there.");
    let other = valise_protocol::id::RelayId::from_bytes([8; 32]).to_string();
    let (address, place) = (
        contact.split('@').next().unwrap(),
        contact.split(',').next_back().unwrap(),
    );
    transcript.run(check(&format!("{address}@{other},{place}")));
    transcript.remark("The version.");
    let (_later, contact_of_later) = later_relay();
    let later = contact_of_later.rsplit(':').next().unwrap().to_owned();
    let said = check(&format!("{address}@{contact_of_later}"))
        .run()
        .failed();
    let typed = check(&format!("{address}@{contact_of_later}")).as_typed();
    transcript.take(&typed.replace(&later, "PORT"), &said.stderr);
    transcript.remark("(it failed)");
    transcript.remark("The answer to a send is lost.");
    let (_liar, contact_of_liar) = silent_relay();
    stage.write("form.toml", FORM);
    let send = || {
        let args = ["send", "--to", &contact_of_liar, "--form", "form.toml"];
        stage.defender().args(args).stdin("a case")
    };
    let said = send().receiving("--phrase-fd").run().failed();
    let liar = contact_of_liar.rsplit(':').next().unwrap();
    transcript.take(&send().as_typed().replace(liar, "PORT"), &said.stderr);
    transcript.remark("(it failed)");
    transcript.remark("The network.");
    serving.stop();
    transcript.run(check(&contact));
    transcript.hold();
}

/// A relay that takes submissions and never says so, and the contact of a mechanism whose card it holds.
fn silent_relay() -> (Liar, String) {
    let now = valise_client::command::now();
    let held = Arc::new(OnceLock::new());
    let shown = Arc::clone(&held);
    let manners = Manners {
        welcome: Welcome { effort: 0 },
        react: Arc::new(move |request| match request {
            Request::Card { .. } => {
                let card: &Vec<u8> = shown.get().unwrap();
                Reaction::Answer(Answer::Card(card.clone()))
            }
            Request::Deposit { .. } => Reaction::Silence,
            _ => Reaction::Answer(Answer::Item(Item {
                waiting: 0,
                cursor: 0,
                envelope: None,
            })),
        }),
    };
    let _inside = runtime().enter();
    let liar = Liar::start_at(manners, now);
    let card = card(now, runtime().block_on(liar.descriptor(now)));
    let address = card.address();
    held.set(card.encode()).unwrap();
    let contact = format!("{address}@{}", liar.contact());
    (liar, contact)
}

/// Where relays of this process run, while programs are waited for.
fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    });
    &RUNTIME
}

/// A relay of a later version on loopback: of what it says of itself only the version can be read.
fn later_relay() -> (quinn::Endpoint, String) {
    use rcgen::{CertificateParams, CustomExtension, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    // {0: {1: 2}, 1: 64 zeros}
    let mut descriptor = vec![0xa2, 0x00, 0x43, 0xa1, 0x01, 0x02, 0x01, 0x58, 0x40];
    descriptor.extend([0; 64]);
    let oid = [1, 3, 6, 1, 4, 1, 58_270, 1, 1];
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, descriptor)];
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = rustls::crypto::CryptoProvider {
        kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768],
        ..rustls::crypto::aws_lc_rs::default_provider()
    };
    let mut tls = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(std::sync::Arc::new(tls));
    let _inside = runtime().enter();
    let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let accepting = endpoint.clone();
    runtime().spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            drop(incoming.await);
        }
    });
    let id = valise_protocol::id::RelayId::from_bytes([9; 32]);
    let port = endpoint.local_addr().unwrap().port();
    (endpoint, format!("{id},127.0.0.1:{port}"))
}
