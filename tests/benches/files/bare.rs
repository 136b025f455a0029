//! What is compared with: one tuned QUIC stream with TLS, written to a file and synced. It hides no sizes, resumes nothing, and
//! whoever has the relay's disk has the file.

use std::fs::File;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const SOCKET_BUFFER: usize = 8 << 20;
const WINDOW: u32 = 32 << 20;
const PIECE: usize = 256 << 10;

/// How long it takes to bring this file there, from the beginning of the connection until the other end has synced it.
pub fn stream(from: &Path, to: &Path) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let to = to.to_owned();
    let certified = rcgen::generate_simple_self_signed(vec!["bare".into()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    runtime.block_on(async {
        let server = endpoint(Some(server(certificate.clone(), key)));
        let address = server.local_addr().unwrap();
        tokio::spawn(async move {
            let connection = server.accept().await.unwrap().await.unwrap();
            let (mut send, mut receive) = connection.accept_bi().await.unwrap();
            let mut file = File::create(to).unwrap();
            while let Some(chunk) = receive.read_chunk(PIECE, true).await.unwrap() {
                file.write_all(&chunk.bytes).unwrap();
            }
            file.sync_data().unwrap();
            send.write_all(&[1]).await.unwrap();
            send.finish().unwrap();
            connection.closed().await;
        });
        let mut client = endpoint(None);
        client.set_default_client_config(trusting(certificate));
        let began = Instant::now();
        let connection = client.connect(address, "bare").unwrap().await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let mut file = File::open(from).unwrap();
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece).unwrap();
            if read == 0 {
                break;
            }
            send.write_all(&piece[..read]).await.unwrap();
        }
        send.finish().unwrap();
        receive.read_exact(&mut [0]).await.unwrap();
        let took = began.elapsed();
        connection.close(VarInt::from_u32(0), b"");
        took
    })
}

fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let buffers = socket2::SockRef::from(&socket);
    buffers.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
    buffers.set_send_buffer_size(SOCKET_BUFFER).unwrap();
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new(EndpointConfig::default(), server, socket, runtime).unwrap()
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW.into());
    Arc::new(transport)
}

fn server(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    config.transport_config(transport());
    config
}

fn trusting(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(transport());
    config
}
