//! One link (spec §7): the handshake, then requests (conversation.rs), on one bidirectional stream.
//!
//! Reads exact sizes into buffers whose sizes are constants: no length of a peer's is ever allocated.

mod conversation;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use getrandom::SysRng;
use quinn::{ReadExactError, RecvStream, SendStream, WriteError};
use rand_core::UnwrapErr;
use tokio::time::timeout;
use valise_protocol::key::DhPublic;
use valise_protocol::limits::{LINK_1, LINK_2, LINK_3};
use valise_protocol::link::{Link, LinkError, Responder, Welcome};

use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::Identity;
use crate::quic::Reset;
use crate::service::Service;
use crate::stop::Stop;
use crate::store::Store;
use crate::windows::{Window, Windows};

/// What all links of a relay share.
pub struct Shared<S> {
    /// Answers requests.
    pub service: Service<S>,
    /// The keys that links are made to.
    pub identity: Arc<Identity>,
    /// Limits.
    pub admission: Arc<Admission>,
    /// Deadlines.
    pub config: Config,
    /// What time it is for the service. Deadlines are tokio's, which is monotonic.
    pub clock: Clock,
    /// When to end.
    pub stop: Stop,
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client finished it between two requests.
    Finished,
    /// The relay reset it.
    Reset(Reset),
    /// The connection went away, or the client reset the stream.
    Lost,
}

impl From<Reset> for Ended {
    fn from(reset: Reset) -> Self {
        Self::Reset(reset)
    }
}

/// Serves one link of a connection to its end. It counts among the windows when the client has proved its static key.
pub async fn serve<S: Store>(
    shared: &Arc<Shared<S>>,
    mut send: SendStream,
    mut recv: RecvStream,
    windows: &Arc<Windows>,
) -> Ended {
    let handshake = handshake(shared, &mut send, &mut recv);
    let ended = match within(shared.config.handshake(), handshake).await {
        Ok(established) => {
            let mut window = Window::open(windows);
            let stream = (&mut send, &mut recv);
            conversation::converse(shared, stream, established, &mut window).await
        }
        Err(ended) => ended,
    };
    // Whatever fails here fails because the stream is gone already.
    match ended {
        // The last answer is on its way until the client has acknowledged it: a reset, or closing the connection, would lose it.
        Ended::Finished => flush(shared, &mut send).await,
        Ended::Reset(Reset::Closing) => {
            let _ = recv.stop(Reset::Closing.into());
            flush(shared, &mut send).await;
        }
        Ended::Reset(reset) => {
            let _ = send.reset(reset.into());
            let _ = recv.stop(reset.into());
        }
        Ended::Lost => (),
    }
    ended
}

/// Ends the relay's half in order, and waits until the client has all of it.
async fn flush<S>(shared: &Shared<S>, send: &mut SendStream) {
    let _ = send.finish();
    let _ = timeout(shared.config.idle(), send.stopped()).await;
}

/// The handshake of spec §7.1, to the client's static key.
async fn handshake<S>(
    shared: &Shared<S>,
    send: &mut SendStream,
    recv: &mut RecvStream,
) -> Result<(DhPublic, Link), Ended> {
    let mut first = [0; LINK_1];
    recv.read_exact(&mut first).await?;
    let (responder, second) = respond(&shared.identity, &first)?;
    send.write_all(&second).await?;
    let mut third = [0; LINK_3];
    recv.read_exact(&mut third).await?;
    Ok(responder.finish(&third)?)
}

/// Answers message 1 with the static key that it was made for: the current one, or the next where one is announced.
fn respond(identity: &Identity, first: &[u8; LINK_1]) -> Result<(Responder, [u8; LINK_2]), Ended> {
    let quiet = Welcome { effort: 0 };
    identity
        .link_keys()
        .iter()
        .find_map(|key| {
            Responder::answer(key, &identity.id(), first, quiet, &mut UnwrapErr(SysRng)).ok()
        })
        .ok_or(Reset::Handshake.into())
}

/// A step with a deadline. Cancels it, which ends the link.
async fn within<T>(
    deadline: Duration,
    step: impl Future<Output = Result<T, Ended>>,
) -> Result<T, Ended> {
    timeout(deadline, step)
        .await
        .unwrap_or(Err(Reset::Slow.into()))
}

impl Ended {
    /// The end of a stream is in order between requests only.
    fn within_a_frame(error: ReadExactError) -> Self {
        match Self::from(error) {
            Self::Finished => Self::Reset(Reset::Malformed),
            ended => ended,
        }
    }
}

impl From<ReadExactError> for Ended {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::FinishedEarly(0) => Self::Finished,
            ReadExactError::FinishedEarly(_) => Self::Reset(Reset::Malformed),
            ReadExactError::ReadError(_) => Self::Lost,
        }
    }
}

impl From<WriteError> for Ended {
    fn from(_: WriteError) -> Self {
        Self::Lost
    }
}

impl From<LinkError> for Ended {
    fn from(_: LinkError) -> Self {
        Self::Reset(Reset::Handshake)
    }
}
