//! Connecting to a relay: QUIC, pinned by the relay's id (spec §6.1, §6.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::congestion::NewRenoConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, NoneTokenStore, TokioRuntime,
    TransportConfig, VarInt,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use socket2::SockRef;
use x509_parser::prelude::{FromDer, X509Certificate};

use valise_protocol::contact::RelayContact;
use valise_protocol::descriptor::{Descriptor, DescriptorError};
use valise_protocol::id::RelayId;
use valise_protocol::key::DhSecret;
use valise_protocol::time::Timestamp;

use crate::certificate::{CertificateError, descriptor_of};
use crate::failure::Failure;
use crate::link::{LinkFault, OpenLink};
use crate::random;

/// How long to wait for a relay to answer at all.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the notice of the end may take to leave.
const FAREWELL: Duration = Duration::from_millis(50);
/// How long a connection may be silent. A watched inbox is answered within 100 s.
const IDLE: Duration = Duration::from_secs(125);
/// The same for a connection that carries parcels: nothing waits for long on it.
const IDLE_PARCELS: Duration = Duration::from_secs(20);
/// How often such a connection shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The first flight: a submission and two requests leave at once, paced by quinn, and no more than a web browser sends.
const INITIAL_WINDOW: u64 = 48 * 1_024;

/// What is left of the congestion window after a loss. Half of it, as usual, would leave 0.4 of a line that loses one packet of twenty
/// whatever is sent (docs/design.md, "Lines").
const AFTER_LOSS: f32 = 0.85;
/// The buffers of a socket for parcels, in bytes: with the system's own, a burst that comes while the processor is busy is lost.
const SOCKET_BUFFER: usize = 8 << 20;
/// What a relay may have in flight on one link for parcels, in bytes: two parcels and their frames.
const STREAM_WINDOW: u32 = 640 << 10;
/// What may wait to be sent or acknowledged on a connection for parcels, in bytes.
const SEND_WINDOW: u64 = 16 << 20;

/// Why a relay was not reached. Each is a different thing to do for the person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Its host has no address.
    #[error("the name of the relay's host is not known here")]
    Name,
    /// Nothing answered.
    #[error("the relay does not answer: the network, a block on UDP, or the relay is down")]
    Network,
    /// Something answered that is not the relay of this id.
    #[error("what answers there is not this relay: its key is another")]
    Key,
    /// It is the relay, but what it says of itself has run out: its clock or ours is wrong.
    #[error("the relay's description ran out on {0}, or this computer's clock is wrong")]
    Dates(Timestamp),
    /// It speaks another version.
    #[error("the relay speaks protocol version {0}, this program speaks version 1")]
    Version(u64),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A small session: it looks like every other.
    Session,
    /// Parcels: nothing hides that it is something large, so it goes as fast as it can.
    Parcels,
}

/// One connection to one relay, from a UDP port of its own.
pub struct Connection {
    endpoint: Endpoint,
    connection: quinn::Connection,
    relay: RelayId,
    descriptor: Descriptor,
    signed: Vec<u8>,
}

impl Connection {
    /// Connects for a small session, and checks that it is the relay of this id.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(relay: &RelayContact, now: Timestamp) -> Result<Self, DialError> {
        Self::dial_for(Purpose::Session, relay, now).await
    }

    /// Connects, and checks that it is the relay of this id.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial_for(
        purpose: Purpose,
        relay: &RelayContact,
        now: Timestamp,
    ) -> Result<Self, DialError> {
        let host = relay.host().trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((host, relay.port()))
            .await
            .map_err(|_| DialError::Name)?;
        let mut failure = DialError::Name;
        for address in found.take(4) {
            match Self::dial_address(purpose, address, relay.id(), now).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn dial_address(
        purpose: Purpose,
        address: SocketAddr,
        relay: RelayId,
        now: Timestamp,
    ) -> Result<Self, DialError> {
        let verifier = Arc::new(RelayVerifier::new(relay, now));
        let config = client_config(purpose, verifier.clone()).ok_or(DialError::Network)?;
        let mut endpoint = endpoint(purpose, address).map_err(|_| DialError::Network)?;
        endpoint.set_default_client_config(config);
        let connecting = endpoint
            .connect(address, "valise.invalid")
            .map_err(|_| DialError::Network)?;
        let connected = tokio::time::timeout(CONNECT, connecting).await;
        match (connected, verifier.verdict()) {
            (Ok(Ok(connection)), Some(Ok((descriptor, signed)))) => Ok(Self {
                endpoint,
                connection,
                relay,
                descriptor,
                signed,
            }),
            (_, Some(Err(error))) => Err(error),
            _ => Err(DialError::Network),
        }
    }

    /// What the relay says of itself, checked.
    pub const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The same with the relay's signature, as a roster carries it.
    pub fn signed_descriptor(&self) -> &[u8] {
        &self.signed
    }

    /// Opens a link under this static key.
    ///
    /// # Errors
    /// [`LinkFault`].
    pub async fn link(&self, local: &DhSecret) -> Result<OpenLink, LinkFault> {
        let (send, receive) = self
            .connection
            .open_bi()
            .await
            .map_err(|_| LinkFault::Broken)?;
        OpenLink::handshake(
            send,
            receive,
            local,
            &self.relay,
            self.descriptor.static_key(),
        )
        .await
    }

    /// Ends the connection. Waits only until the notice has left: if it is lost, the relay notices by the silence.
    pub async fn close(self) {
        self.connection.close(VarInt::from_u32(0), b"");
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }
}

impl From<CertificateError> for DialError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Descriptor(DescriptorError::UnknownVersion(version)) => {
                Self::Version(version)
            }
            CertificateError::Descriptor(DescriptorError::Expired { since }) => Self::Dates(since),
            CertificateError::Descriptor(DescriptorError::NotYetValid { from }) => {
                Self::Dates(from)
            }
            _ => Self::Key,
        }
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let failure = Self::new(format!("could not reach the relay: {error}"));
        match error {
            DialError::Name => failure
                .hint("check the host in the contact line, and whether this computer is online"),
            DialError::Network => {
                failure.hint("try again later or from another network; nothing was sent")
            }
            DialError::Key => failure
                .hint("somebody may be in between: do not go on from this network")
                .hint("compare the contact line with the one on the mechanism's own website"),
            DialError::Dates(_) => {
                failure.hint("check this computer's date and time, then try again")
            }
            DialError::Version(_) => failure.hint("get the newest version of this program"),
        }
    }
}

fn endpoint(purpose: Purpose, towards: SocketAddr) -> std::io::Result<Endpoint> {
    let any: IpAddr = match towards {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    if purpose == Purpose::Parcels {
        // The system caps these silently at its own maximum, which is fine.
        let buffers = SockRef::from(&socket);
        buffers.set_recv_buffer_size(SOCKET_BUFFER)?;
        buffers.set_send_buffer_size(SOCKET_BUFFER)?;
    }
    Endpoint::new(
        EndpointConfig::default(),
        None,
        socket,
        Arc::new(TokioRuntime),
    )
}

/// TLS 1.3, the hybrid group only, no ticket, token, early data or server name; see spec §6.2 for each.
fn client_config(purpose: Purpose, verifier: Arc<RelayVerifier>) -> Option<ClientConfig> {
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    };
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.resumption = Resumption::disabled();
    tls.enable_sni = false;
    tls.enable_early_data = false;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).ok()?));
    config.token_store(Arc::new(NoneTokenStore));
    config.transport_config(Arc::new(transport(purpose)?));
    Some(config)
}

fn transport(purpose: Purpose) -> Option<TransportConfig> {
    let mut reno = NewRenoConfig::default();
    reno.initial_window(INITIAL_WINDOW)
        .loss_reduction_factor(AFTER_LOSS);
    let mut transport = TransportConfig::default();
    transport.congestion_controller_factory(Arc::new(reno));
    if purpose == Purpose::Parcels {
        transport
            .stream_receive_window(STREAM_WINDOW.into())
            .send_window(SEND_WINDOW)
            // A relay that was killed says nothing: the sooner that is noticed, the sooner it is tried again.
            .keep_alive_interval(Some(KEEP_ALIVE));
    }
    let idle = match purpose {
        Purpose::Session => IDLE,
        Purpose::Parcels => IDLE_PARCELS,
    };
    transport
        .max_idle_timeout(Some(IdleTimeout::try_from(idle).ok()?))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .allow_spin(false);
    Some(transport)
}

/// What was found in a relay's certificate: its descriptor, checked, and as signed.
type Verdict = Result<(Descriptor, Vec<u8>), DialError>;

/// Checks a relay's certificate: not its names, dates or authorities, but its descriptor (spec §6.1).
#[derive(Debug)]
struct RelayVerifier {
    relay: RelayId,
    now: Timestamp,
    provider: CryptoProvider,
    verdict: Mutex<Option<Verdict>>,
}

impl RelayVerifier {
    fn new(relay: RelayId, now: Timestamp) -> Self {
        Self {
            relay,
            now,
            provider: aws_lc_rs::default_provider(),
            verdict: Mutex::new(None),
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        self.verdict.lock().ok()?.take()
    }
}

impl ServerCertVerifier for RelayVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = descriptor_of(end_entity, self.relay, self.now).map_err(DialError::from);
        let accepted = verdict.is_ok();
        if let Ok(mut place) = self.verdict.lock() {
            *place = Some(verdict);
        }
        if accepted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another relay".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|_| rustls::Error::General("not a certificate".into()))?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(
            message,
            &key,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A fresh key for a link that shall not be tied to another.
pub fn fresh_key() -> DhSecret {
    DhSecret::generate(&mut random::system())
}
