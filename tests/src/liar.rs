//! A relay that lies: real keys, a real certificate, real links, and whatever answers a test wants.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime};
use tempfile::TempDir;
use tokio::task::JoinHandle;
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
    /// Sends this plaintext, well encrypted.
    Nonsense(Vec<u8>),
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
        Identity::create(directory.path(), &mut rng(), now).expect("there is room");
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
        let task = tokio::spawn(serve(endpoint, identity, manners));
        Self {
            contact,
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

    /// How it is reached.
    pub fn contact(&self) -> RelayContact {
        self.contact.clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(endpoint: Endpoint, identity: Arc<Identity>, manners: Manners) {
    while let Some(incoming) = endpoint.accept().await {
        let (identity, manners) = (identity.clone(), manners.clone());
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else {
                return;
            };
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(link(send, receive, identity.clone(), manners.clone()));
            }
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
        Reaction::Nonsense(plain) => link.seal(&plain).ok()?,
    };
    send.write_all(&bytes).await.ok()
}
