//! A relay in this process, on loopback, and a client made of quinn and the protocol's own types.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod house;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tempfile::TempDir;
use valise_protocol::descriptor::{Descriptor, SignedDescriptor};
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{LINK_2, LINK_3};
use valise_protocol::link::{Initiator, Link};
use valise_protocol::time::Timestamp;
use valise_relay::clock::Clock;
use valise_relay::config::Config;
use valise_relay::identity::Identity;
use valise_relay::store::{AnyStore, Memory};
use valise_relay::{Relay, RunningRelay};
use x509_parser::prelude::{FromDer, X509Certificate};

/// When the tests take place: 2026-11-23.
pub const NOW: Timestamp = Timestamp::from_seconds(1_795_392_000);

/// The system's generator.
pub fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// Settings for a relay on a free port of loopback.
pub fn config() -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        host: "127.0.0.1".into(),
        port: 0,
        ..Config::default()
    }
}

/// A relay with a simulated clock and a store in memory.
pub struct Harness {
    pub relay: RunningRelay,
    pub clock: Clock,
    pub dir: TempDir,
}

impl Harness {
    pub async fn start(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Identity::create(dir.path(), &mut rng(), NOW).unwrap();
        let clock = Clock::simulated(NOW);
        let store = AnyStore::Memory(Memory::new(config.ceilings()));
        let relay = Relay::start_on(store, config, dir.path(), clock.clone())
            .await
            .unwrap();
        Self { relay, clock, dir }
    }

    /// A connection as the real client makes it.
    pub async fn connect(&self) -> Client {
        Client::connect(self.relay.addr(), ClientSettings::default())
            .await
            .unwrap()
    }
}

/// A connected client. It knows of the relay what the certificate says.
pub struct Client {
    pub endpoint: Endpoint,
    pub connection: Connection,
    pub descriptor: Descriptor,
}

/// What a test wants to be different.
pub struct ClientSettings {
    pub provider: CryptoProvider,
    pub alpn: Vec<u8>,
    pub resumption: rustls::client::Resumption,
    pub tokens: Arc<dyn quinn::TokenStore>,
    pub send_window: u64,
}

impl Default for ClientSettings {
    fn default() -> Self {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
        Self {
            provider,
            alpn: b"h3".to_vec(),
            resumption: rustls::client::Resumption::disabled(),
            tokens: Arc::new(quinn::NoneTokenStore),
            send_window: 8 << 20,
        }
    }
}

impl Client {
    pub async fn connect(
        addr: SocketAddr,
        settings: ClientSettings,
    ) -> Result<Self, quinn::ConnectionError> {
        let seen = Arc::new(Seen::new(settings.provider.clone()));
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(settings.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&seen) as _)
            .with_no_client_auth();
        tls.alpn_protocols = vec![settings.alpn];
        tls.resumption = settings.resumption;
        tls.enable_sni = false;
        let mut client =
            quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = quinn::TransportConfig::default();
        transport.send_window(settings.send_window);
        client
            .transport_config(Arc::new(transport))
            .token_store(settings.tokens);
        let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let connection = endpoint
            .connect_with(client, addr, "valise.invalid")
            .unwrap()
            .await?;
        let descriptor = seen.descriptor();
        Ok(Self {
            endpoint,
            connection,
            descriptor,
        })
    }

    /// A link under a fresh key.
    pub async fn link(&self) -> Linked {
        self.link_as(&DhSecret::generate(&mut rng())).await
    }

    /// A link under a key.
    pub async fn link_as(&self, key: &DhSecret) -> Linked {
        self.link_to(key, self.descriptor.static_key()).await
    }

    /// A link under a key, to one of the relay's static keys.
    pub async fn link_to(&self, key: &DhSecret, relay: &valise_protocol::key::DhPublic) -> Linked {
        let (mut send, mut recv) = self.connection.open_bi().await.unwrap();
        let (initiator, first) =
            Initiator::start(key, &self.descriptor.id(), relay, &mut rng()).unwrap();
        send.write_all(&first).await.unwrap();
        let mut second = [0; LINK_2];
        recv.read_exact(&mut second).await.unwrap();
        let (_, third, link) = initiator.finish(&second).unwrap();
        let third: [u8; LINK_3] = third;
        send.write_all(&third).await.unwrap();
        Linked { send, recv, link }
    }
}

/// An established link.
pub struct Linked {
    pub send: SendStream,
    pub recv: RecvStream,
    pub link: Link,
}

/// Takes any certificate and keeps the descriptor in it, whose TLS pin it checks.
#[derive(Debug)]
pub struct Seen {
    provider: CryptoProvider,
    certificate: Mutex<Vec<u8>>,
}

impl Seen {
    fn new(provider: CryptoProvider) -> Self {
        Self {
            provider,
            certificate: Mutex::new(Vec::new()),
        }
    }

    fn descriptor(&self) -> Descriptor {
        let der = self.certificate.lock().unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let oid = x509_parser::oid_registry::asn1_rs::Oid::from(&[1, 3, 6, 1, 4, 1, 58270, 1, 1])
            .unwrap();
        let extension = certificate.get_extension_unique(&oid).unwrap().unwrap();
        assert!(!extension.critical);
        let signed = SignedDescriptor::decode(extension.value).unwrap();
        let descriptor = signed.verify_undated().unwrap();
        let pin = valise_protocol::hash::sha256(&[certificate.public_key().raw]);
        assert_eq!(descriptor.tls_pin(), &pin);
        descriptor
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.certificate.lock().unwrap() = end_entity.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
