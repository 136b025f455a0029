//! One link (spec §7): the handshake, then requests one after another, on one bidirectional stream.
//!
//! Reads exact sizes into buffers whose sizes are constants: no length of a peer's is ever allocated.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use getrandom::SysRng;
use quinn::{ReadExactError, RecvStream, SendStream, WriteError};
use rand_core::UnwrapErr;
use tokio::time::timeout;
use valise_protocol::key::DhPublic;
use valise_protocol::limits::{FRAME, FRAME_PLAIN, LINK_1, LINK_2, LINK_3};
use valise_protocol::link::{Link, LinkError, Responder, Welcome};
use valise_protocol::wire::{Answer, Refusal, Request, RequestKind};

use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::Identity;
use crate::quic::Reset;
use crate::service::Service;
use crate::stop::Stop;
use crate::store::Store;

/// A kind that is answered in one frame: for a first frame of no kind (spec §7.3).
const ONE_FRAME: RequestKind = RequestKind::Publish;

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

/// Serves one link to its end. `established` is called when the client has proved its static key.
pub async fn serve<S: Store>(
    shared: &Shared<S>,
    mut send: SendStream,
    mut recv: RecvStream,
    established: impl FnOnce(),
) -> Ended {
    let ended = match converse(shared, &mut send, &mut recv, established).await {
        Ok(never) => match never {},
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

async fn converse<S: Store>(
    shared: &Shared<S>,
    send: &mut SendStream,
    recv: &mut RecvStream,
    established: impl FnOnce(),
) -> Result<Infallible, Ended> {
    let handshake = handshake(shared, send, recv);
    let (client, mut link) = within(shared.config.handshake(), handshake).await?;
    established();
    loop {
        let stopping = shared.stop.is_given();
        // A request that has begun to arrive is answered, also when the relay stops; one more after that is not.
        let first = tokio::select! {
            biased;
            first = within(shared.config.idle(), read_byte(recv)) => first?,
            () = shared.stop.given() => return Err(Reset::Closing.into()),
        };
        let asked = read_request(shared.config.idle(), first, recv, &mut link).await?;
        let refused = Answer::Refused(Refusal::Malformed);
        match asked {
            Asked::Request(request) => {
                let (now, kind) = (shared.clock.now(), request.kind());
                // A session's deposit waits for its card, and nothing waits for its poll: the larger answer gives way.
                // It is the same in every session. It fails only on a stream that is gone, which the next write notices.
                let _ = send.set_priority(if kind == RequestKind::Poll { 0 } else { 1 });
                let rng = &mut UnwrapErr(SysRng);
                let answer = shared.service.answer(&client, request, now, rng).await;
                write(shared, send, &mut link, &answer.encode(kind)).await?;
            }
            Asked::Nonsense(frames_of) => {
                write(shared, send, &mut link, &refused.encode(frames_of)).await?;
                return Err(Ended::Finished);
            }
        }
        if stopping {
            return Err(Reset::Closing.into());
        }
    }
}

/// What came where a request should come.
enum Asked {
    /// One.
    Request(Request),
    /// Something else, which is refused in the frames that answer this kind: one, where it is not even known.
    Nonsense(RequestKind),
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

/// The first byte of a request. [`Ended::Finished`] when the client ended the stream before it.
async fn read_byte(recv: &mut RecvStream) -> Result<u8, Ended> {
    let mut first = [0];
    recv.read_exact(&mut first).await?;
    Ok(first[0])
}

/// One whole request, of which the first byte has come.
async fn read_request(
    idle: Duration,
    byte: u8,
    recv: &mut RecvStream,
    link: &mut Link,
) -> Result<Asked, Ended> {
    let mut frame = vec![0; FRAME];
    frame[0] = byte;
    let first = within(idle, read_frame(frame, 1, recv, link)).await?;
    let Ok(kind) = RequestKind::of_first_frame(&first) else {
        return Ok(Asked::Nonsense(ONE_FRAME));
    };
    let mut plain = Vec::with_capacity(kind.frames_up() * FRAME_PLAIN);
    plain.extend_from_slice(first.as_slice());
    for _ in 1..kind.frames_up() {
        let frame = within(idle, read_frame(vec![0; FRAME], 0, recv, link)).await?;
        plain.extend_from_slice(frame.as_slice());
    }
    let request = Request::decode(&plain);
    Ok(request.map_or(Asked::Nonsense(kind), Asked::Request))
}

/// One frame, of which so many bytes have come, opened.
async fn read_frame(
    mut frame: Vec<u8>,
    come: usize,
    recv: &mut RecvStream,
    link: &mut Link,
) -> Result<Box<[u8; FRAME_PLAIN]>, Ended> {
    recv.read_exact(&mut frame[come..])
        .await
        .map_err(Ended::within_a_frame)?;
    let plain = link.open(&frame).map_err(|_| Reset::Malformed)?;
    plain
        .into_boxed_slice()
        .try_into()
        .map_err(|_| Reset::Malformed.into())
}

async fn write<S>(
    shared: &Shared<S>,
    send: &mut SendStream,
    link: &mut Link,
    plain: &[u8],
) -> Result<(), Ended> {
    let sealed = link.seal(plain).map_err(|_| Ended::Lost)?;
    within(shared.config.idle(), async {
        Ok(send.write_all(&sealed).await?)
    })
    .await
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
