//! A relay that lies: real keys, a real certificate, real links, and whatever answers a test wants.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use quinn::{Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use valise_client::dial::Connection;
use valise_protocol::contact::RelayContact;
use valise_protocol::limits::{FRAME, FRAME_PLAIN, LINK_1, LINK_3};
use valise_protocol::link::{Link, Responder, Welcome};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Request, RequestKind};
use valise_relay::config::Config;
use valise_relay::identity::Identity;
use valise_relay::quic;

use crate::cast::{START, rng};

/// What the liar does to a request.
pub enum Reaction {
    /// Answers so, truly or not.
    Answer(Answer),
    /// Answers so, and alters a bit on its way.
    Tampered(Answer),
    /// Sends its first frame twice.
    Repeated(Answer),
    /// Sends half of it and ends the stream.
    Truncated(Answer),
    /// Says nothing and ends the stream.
    Silence,
    /// Says nothing and holds the stream open.
    Waiting,
    /// Sends this plaintext, well encrypted.
    Nonsense(Vec<u8>),
}

/// The keys of all liars of a process, and of [`crate::cast::LiveRelay::turned_liar`]: the relay that a mechanism chose, and that
/// lies. Where a liar is another relay than the mechanism's, its card gives it away.
pub(crate) fn copy_keys(to: &Path) {
    static KEYS: LazyLock<TempDir> = LazyLock::new(|| {
        let directory = tempfile::tempdir().expect("there is room");
        Identity::create(directory.path(), &mut rng(), START).expect("there is room");
        directory
    });
    for file in std::fs::read_dir(KEYS.path()).expect("it is there") {
        let file = file.expect("it is there");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("there is room");
    }
}

/// How it behaves.
#[derive(Clone)]
pub struct Manners {
    /// What it says in message 2.
    pub welcome: Welcome,
    /// What it does to each request.
    pub react: Arc<dyn Fn(&Request) -> Reaction + Send + Sync>,
}

/// The liar, until it is dropped.
pub struct Liar {
    contact: RelayContact,
    connections: watch::Receiver<usize>,
    task: JoinHandle<()>,
    _directory: TempDir,
}

impl Liar {
    /// Starts one on loopback.
    ///
    /// # Panics
    /// When the system has no sockets or files left.
    pub fn start(manners: Manners) -> Self {
        Self::start_at(manners, START)
    }

    /// Starts one on loopback whose clock stands at this time.
    ///
    /// # Panics
    /// When the system has no sockets or files left.
    pub fn start_at(manners: Manners, now: Timestamp) -> Self {
        let directory = tempfile::tempdir().expect("there is room");
        copy_keys(directory.path());
        let socket =
            quic::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("the loopback is there");
        let port = socket.local_addr().expect("it is bound").port();
        let config = Config {
            host: "127.0.0.1".into(),
            port,
            ..Config::default()
        };
        let identity =
            Arc::new(Identity::open(directory.path(), &config, now).expect("it was just made"));
        let server = quic::server_config(&config, identity.clone()).expect("the settings fit");
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime)
            .expect("it starts");
        let contact = identity.contact();
        let (count, connections) = watch::channel(0);
        let task = tokio::spawn(serve(endpoint, identity, manners, Arc::new(count)));
        Self {
            contact,
            connections,
            task,
            _directory: directory,
        }
    }

    /// One that reacts so, and is polite otherwise.
    pub fn reacting(react: impl Fn(&Request) -> Reaction + Send + Sync + 'static) -> Self {
        Self::start(Manners {
            welcome: Welcome { effort: 0 },
            react: Arc::new(react),
        })
    }

    /// Waits until it has so many connections. One that its client did not close counts until it has been silent for too long.
    ///
    /// # Panics
    /// When it has not within this time.
    pub async fn connected(&self, count: usize, within: Duration) {
        let mut connections = self.connections.clone();
        let there = connections.wait_for(|now| *now == count);
        let there = tokio::time::timeout(within, there).await;
        assert!(there.is_ok(), "it has {}", *self.connections.borrow());
    }

    /// How it is reached.
    pub fn contact(&self) -> RelayContact {
        self.contact.clone()
    }

    /// The descriptor that its certificate carries, for a roster.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn descriptor(&self, now: Timestamp) -> Vec<u8> {
        let connection = Connection::dial(&self.contact, now)
            .await
            .expect("it answers");
        let signed = connection.signed_descriptor().to_vec();
        connection.close().await;
        signed
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    endpoint: Endpoint,
    identity: Arc<Identity>,
    manners: Manners,
    count: Arc<watch::Sender<usize>>,
) {
    while let Some(incoming) = endpoint.accept().await {
        let (identity, manners) = (identity.clone(), manners.clone());
        let count = count.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else {
                return;
            };
            count.send_modify(|count| *count += 1);
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(link(send, receive, identity.clone(), manners.clone()));
            }
            count.send_modify(|count| *count -= 1);
        });
    }
}

/// One link, as many requests as come. Whatever fails ends it: the client is the one under test.
async fn link(
    mut send: SendStream,
    mut receive: RecvStream,
    identity: Arc<Identity>,
    manners: Manners,
) -> Option<()> {
    let mut message = [0; LINK_1];
    receive.read_exact(&mut message).await.ok()?;
    let key = identity.link_keys().into_iter().next()?;
    let id = identity.contact().id();
    let (responder, answer) =
        Responder::answer(&key, &id, &message, manners.welcome, &mut rng()).ok()?;
    send.write_all(&answer).await.ok()?;
    let mut message = [0; LINK_3];
    receive.read_exact(&mut message).await.ok()?;
    let (_, mut link) = responder.finish(&message).ok()?;
    while let Some(request) = request(&mut receive, &mut link).await {
        let reaction = (manners.react)(&request);
        let goes_on = matches!(reaction, Reaction::Answer(_));
        react(&mut send, &mut link, request.kind(), reaction).await?;
        if !goes_on {
            break;
        }
    }
    send.finish().ok()?;
    // Until the client has it all, or goes away.
    let _ = send.stopped().await;
    Some(())
}

async fn request(receive: &mut RecvStream, link: &mut Link) -> Option<Request> {
    let mut first = vec![0; FRAME];
    receive.read_exact(&mut first).await.ok()?;
    let mut plain = link.open(&first).ok()?;
    let kind = RequestKind::of_first_frame(plain.first_chunk::<FRAME_PLAIN>()?).ok()?;
    let mut rest = vec![0; (kind.frames_up() - 1) * FRAME];
    receive.read_exact(&mut rest).await.ok()?;
    plain.extend(link.open(&rest).ok()?);
    Request::decode(&plain).ok()
}

async fn react(
    send: &mut SendStream,
    link: &mut Link,
    kind: RequestKind,
    reaction: Reaction,
) -> Option<()> {
    let bytes = match reaction {
        Reaction::Answer(answer) => link.seal(&answer.encode(kind)).ok()?,
        Reaction::Tampered(answer) => {
            let mut sealed = link.seal(&answer.encode(kind)).ok()?;
            sealed[99] ^= 1;
            sealed
        }
        Reaction::Repeated(answer) => {
            let sealed = link.seal(&answer.encode(kind)).ok()?;
            sealed[..FRAME].repeat(sealed.len() / FRAME)
        }
        Reaction::Truncated(answer) => {
            let sealed = link.seal(&answer.encode(kind)).ok()?;
            sealed[..sealed.len() / 2].to_vec()
        }
        Reaction::Silence => Vec::new(),
        Reaction::Waiting => {
            let _ = send.stopped().await;
            return None;
        }
        Reaction::Nonsense(plain) => link.seal(&plain).ok()?,
    };
    send.write_all(&bytes).await.ok()
}
