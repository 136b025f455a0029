//! The transport's settings (spec §6.2): TLS 1.3 with one key exchange, and QUIC without anything that links two visits.
//!
//! Each setting says why it is there; `tests/quic.rs` has a test that would notice its absence.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::NewRenoConfig;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{IdleTimeout, ServerConfig, TransportConfig, VarInt};
use rustls::crypto::aws_lc_rs::{self, kx_group::X25519MLKEM768};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use valise_protocol::limits::{FRAME, FRAME_PLAIN};

use crate::config::Config;

/// What a client may send before one of its links is established, over all streams of the connection, in bytes. With
/// TLS's own buffers and the answers to 16 handshakes, an unauthenticated connection makes the relay hold 128 KiB at most.
pub const WINDOW_BEFORE: u32 = 48 * 1024;
/// The same once a link is established: a deposit, which takes four frames, and the poll beside it. A session has no more in
/// flight, on its three links together. One frame more, because quinn gives back what was read by the eighth of a window.
pub const WINDOW_LINKS: u32 = 6 * FRAME as u32;
/// What a link on which a parcel was put under a grant adds to it: two puts, one that is read and one behind it. Sixteen such links
/// have 8 MiB in flight: 400 MiB a second over a round trip of 20 ms. It is also what one stream may have in flight, of what its
/// connection may; and what a link to which parcels are given adds to what may wait to be sent.
pub const WINDOW_BULK: u32 = 32 * FRAME as u32;
/// What may wait to be sent or acknowledged on one connection, in bytes: two answers of four frames.
pub const WINDOW_SEND: u64 = 8 * FRAME as u64;
/// What is sent before the first acknowledgement, in bytes: a card's answer and the beginning of a poll's, under 48 KiB with their
/// packets' heads. quinn paces it over a round trip.
const WINDOW_INITIAL: u64 = 47 * 1024;
/// What is left of the congestion window after a loss. Half of it, as usual, would leave 0.4 of a line that loses one packet of twenty
/// whatever is sent (docs/design.md, "Lines").
const AFTER_LOSS: f32 = 0.85;
/// What one connection attempt may have waiting before it is judged, and all of them together, in bytes.
const INCOMING: u64 = 4 * 1024;
const INCOMING_ALL: u64 = 4 * 1024 * 1024;
/// Attempts that may wait to be judged.
const INCOMING_COUNT: usize = 1024;
/// How long a Retry token is good: one round trip of a very slow line.
const RETRY_LIFETIME: Duration = Duration::from_secs(10);
/// The socket's buffers, in bytes: bursts of many clients while the processor is busy with handshakes.
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;

const _: () =
    assert!(2 * FRAME as u64 <= WINDOW_INITIAL && WINDOW_LINKS as usize > 4 * FRAME_PLAIN);

/// Why the transport could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// rustls or quinn do not take these settings: a fault of the build.
    #[error("the TLS settings are not accepted")]
    Settings,
}

/// The application codes with which the relay resets a stream (spec §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reset {
    /// The link handshake failed.
    Handshake = 1,
    /// A frame is malformed.
    Malformed = 2,
    /// The client is too slow.
    Slow = 3,
    /// The relay is closing.
    Closing = 4,
    /// There are too many links.
    Links = 5,
}

impl From<Reset> for VarInt {
    fn from(reset: Reset) -> Self {
        Self::from_u32(reset as u32)
    }
}

/// The whole server configuration.
///
/// # Errors
/// [`TransportError`].
pub fn server_config(
    config: &Config,
    certificate: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, TransportError> {
    let tls =
        QuicServerConfig::try_from(tls(certificate)?).map_err(|_| TransportError::Settings)?;
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    server
        .transport_config(Arc::new(transport(config)?))
        // An address change mid-connection would let an observer tie two networks to one client.
        .migration(false)
        .retry_token_lifetime(RETRY_LIFETIME)
        // What strangers may make the relay hold before it has looked at them.
        .max_incoming(INCOMING_COUNT)
        .incoming_buffer_size(INCOMING)
        .incoming_buffer_size_total(INCOMING_ALL);
    // NEW_TOKEN would link a client's visits across addresses. (Retry tokens live seconds and carry nothing over.)
    server
        .validation_token
        .sent(0)
        .log(Arc::new(quinn::NoneTokenLog));
    Ok(server)
}

fn tls(certificate: Arc<dyn ResolvesServerCert>) -> Result<rustls::ServerConfig, TransportError> {
    let mut provider = aws_lc_rs::default_provider();
    // One group and no fallback: what is recorded today must not open to tomorrow's quantum computer. quinn hides which
    // group was negotiated, so only one may be possible.
    provider.kx_groups = vec![X25519MLKEM768];
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| TransportError::Settings)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    // As any web server: an unusual protocol name would set the traffic apart.
    tls.alpn_protocols = vec![b"h3".to_vec()];
    // Tickets and session ids link a client's visits; early data can be replayed.
    tls.send_tls13_tickets = 0;
    tls.max_tls13_tickets = 0;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.max_early_data_size = 0;
    Ok(tls)
}

fn transport(config: &Config) -> Result<TransportConfig, TransportError> {
    let idle = IdleTimeout::try_from(config.idle()).map_err(|_| TransportError::Settings)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(u32::from(config.links_per_connection).into())
        // Nothing of the protocol travels on them.
        .max_concurrent_uni_streams(0_u32.into())
        .datagram_receive_buffer_size(None)
        // Raised for links that proved something (windows.rs); it is what holds a client back.
        .receive_window(WINDOW_BEFORE.into())
        .stream_receive_window(WINDOW_BULK.into())
        .send_window(WINDOW_SEND)
        .congestion_controller_factory(Arc::new(congestion()))
        // A link that waits for mail is silent for up to 100 seconds.
        .max_idle_timeout(Some(idle))
        // Packets stay at 1,200 bytes: they fit through tunnels, and their sizes do not tell which path was probed.
        .mtu_discovery_config(None)
        // The spin bit shows observers a connection's round-trip time.
        .allow_spin(false);
    Ok(transport)
}

fn congestion() -> NewRenoConfig {
    let mut congestion = NewRenoConfig::default();
    congestion
        .initial_window(WINDOW_INITIAL)
        .loss_reduction_factor(AFTER_LOSS);
    congestion
}

/// A UDP socket on the address, with room for bursts. An IPv6 socket takes IPv4 too.
///
/// # Errors
/// Whatever the system says to the address.
pub fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(listen),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The system caps these silently at its own maximum, which is fine.
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use quinn::congestion::ControllerFactory;

    use super::*;

    #[test]
    fn the_first_burst_stays_below_48_kib_and_a_loss_leaves_most_of_it() {
        let now = Instant::now();
        let mut control = Arc::new(congestion()).build(now, 1_200);
        let first = control.window();
        assert!(first <= 48 * 1_024);
        control.on_congestion_event(now, now, false, 1_200);
        assert!(control.window() * 10 > first * 8, "{}", control.window());
    }

    /// A certificate is asked for only when somebody connects.
    #[derive(Debug)]
    struct Nobody;

    impl ResolvesServerCert for Nobody {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }
    }

    #[test]
    fn nothing_is_kept_of_a_session_and_no_early_data_is_taken() {
        let tls = tls(Arc::new(Nobody)).unwrap();
        assert_eq!((tls.send_tls13_tickets, tls.max_early_data_size), (0, 0));
        assert!(!tls.session_storage.can_cache() && !tls.ticketer.enabled());
    }

    #[test]
    fn packets_keep_one_size_and_the_spin_bit_stays_still() {
        let text = format!("{:?}", transport(&Config::default()).unwrap());
        assert!(text.contains("mtu_discovery_config: None"), "{text}");
        assert!(text.contains("allow_spin: false"), "{text}");
        assert!(text.contains("max_idle_timeout: Some(120000)"), "{text}");
        assert!(
            text.contains(&format!("send_window: {WINDOW_SEND}")),
            "{text}"
        );
    }
}
