//! One link: a Noise session over one stream (spec §7).

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::{ReadExactError, RecvStream, SendStream, VarInt};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::channel;
use tokio::time::Instant;

use valise_protocol::id::{Namespace, RelayId};
use valise_protocol::key::{DhPublic, DhSecret};
use valise_protocol::limits::{FRAME, LINK_2};
use valise_protocol::link::{Initiator, Link, LinkError};
use valise_protocol::parcel::ParcelSet;
use valise_protocol::wire::{Answer, Refusal, Request, RequestKind};

use crate::failure::Failure;
use crate::random;

/// Why a link did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkFault {
    /// The connection ended or the relay reset the stream. What was asked may or may not have been done.
    #[error("the connection to the relay broke")]
    Broken,
    /// The handshake failed, or a frame was altered.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The relay asks for a proof of work that this version does not make.
    #[error("the relay asks for a proof of work of effort {0}, which this version cannot give")]
    Effort(u32),
    /// The answer is not one of the protocol.
    #[error("the relay's answer makes no sense")]
    Nonsense,
    /// The relay refused.
    #[error("the relay refused: {0}")]
    Refused(Refusal),
}

/// An open link: one request after another, or gets and puts that follow each other.
pub struct OpenLink {
    send: SendStream,
    receive: RecvStream,
    link: Mutex<Link>,
}

/// How many gets or puts follow each other on one link before the first is answered (spec §7.3 allows sixteen; a relay reads one while
/// it answers two).
const AHEAD: usize = 4;

impl OpenLink {
    /// Runs the handshake on a new stream.
    pub(crate) async fn handshake(
        mut send: SendStream,
        mut receive: RecvStream,
        local: &DhSecret,
        relay: &RelayId,
        relay_static: &DhPublic,
    ) -> Result<Self, LinkFault> {
        let (initiator, message) =
            Initiator::start(local, relay, relay_static, &mut random::system())?;
        write(&mut send, &message).await?;
        let mut answer = [0; LINK_2];
        receive
            .read_exact(&mut answer)
            .await
            .map_err(|error| broken(&error))?;
        let (welcome, message, link) = initiator.finish(&answer)?;
        if welcome.effort != 0 {
            return Err(LinkFault::Effort(welcome.effort));
        }
        write(&mut send, &message).await?;
        Ok(Self {
            send,
            receive,
            link: Mutex::new(link),
        })
    }

    /// Sends a request and reads its answer. Not cancel-safe: a link whose request was dropped half-way is of no more use.
    ///
    /// # Errors
    /// [`LinkFault`]; a refusal is one.
    pub async fn request(&mut self, request: &Request) -> Result<Answer, LinkFault> {
        // A deposit waits for its card, and nothing waits for a poll: it gives way, in every session alike.
        let urgency = if request.kind() == RequestKind::Poll {
            0
        } else {
            1
        };
        self.send
            .set_priority(urgency)
            .map_err(|_| LinkFault::Broken)?;
        let sealed = lock(&self.link).seal(&request.encode())?;
        write(&mut self.send, &sealed).await?;
        match hear(&mut self.receive, &self.link, request.kind()).await? {
            Answer::Refused(refusal) => Err(LinkFault::Refused(refusal)),
            answer => Ok(answer),
        }
    }

    /// Which parcels of an attachment the relay holds.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn have(&mut self, namespace: Namespace) -> Result<ParcelSet, LinkFault> {
        match self.request(&Request::Have { namespace }).await? {
            Answer::Held(set) => Ok(set),
            _ => Err(LinkFault::Nonsense),
        }
    }

    /// Asks what `next` gives, without waiting for the answers of those before, and hands each answer to `heard`, in the order of the
    /// requests, refusals too. It is done when `next` gives nothing more and everything is answered, or at the first error. Gets and
    /// puts only.
    ///
    /// # Errors
    /// Those of `heard`, and [`LinkFault`].
    pub async fn pipeline<T, F, E>(
        mut self,
        pace: Option<&Pace>,
        mut next: impl FnMut() -> F,
        mut heard: impl FnMut(T, Answer) -> Result<(), E>,
    ) -> Result<(), E>
    where
        F: Future<Output = Option<(T, Request)>>,
        E: From<LinkFault>,
    {
        let turns = Semaphore::new(AHEAD);
        let (asked, mut awaited) = channel(AHEAD);
        let (send, receive, link) = (&mut self.send, &mut self.receive, &self.link);
        let ask = async {
            let asked = asked;
            while let Ok(turn) = turns.acquire().await {
                let Some((about, request)) = next().await else {
                    break;
                };
                turn.forget();
                let kind = request.kind();
                let sealed = lock(link)
                    .seal(&request.encode())
                    .map_err(LinkFault::from)?;
                drop(request);
                for frame in sealed.chunks(FRAME) {
                    if let Some(pace) = pace {
                        pace.wait(frame.len()).await;
                    }
                    write(send, frame).await?;
                }
                if asked.send((about, kind)).await.is_err() {
                    break;
                }
            }
            Ok::<(), E>(())
        };
        let hear = async {
            while let Some((about, kind)) = awaited.recv().await {
                let answer = hear(receive, link, kind).await?;
                turns.add_permits(1);
                heard(about, answer)?;
            }
            Ok::<(), E>(())
        };
        tokio::try_join!(ask, hear)?;
        self.finish();
        Ok(())
    }

    /// Says that nothing more will be asked.
    pub fn finish(mut self) {
        let _ = self.send.finish();
        let _ = self.receive.stop(VarInt::from_u32(0));
    }
}

async fn write(send: &mut SendStream, bytes: &[u8]) -> Result<(), LinkFault> {
    send.write_all(bytes).await.map_err(|_| LinkFault::Broken)
}

/// The answer to a request of this kind. A relay that could not read the request may say so in one frame (spec §7.3).
async fn hear(
    receive: &mut RecvStream,
    link: &Mutex<Link>,
    kind: RequestKind,
) -> Result<Answer, LinkFault> {
    let mut plain = read_frames(receive, link, 1).await?;
    if !plain.first_chunk().is_some_and(Answer::ends_after) {
        plain.extend(read_frames(receive, link, kind.frames_down() - 1).await?);
    }
    Answer::decode(kind, &plain).map_err(|_| LinkFault::Nonsense)
}

async fn read_frames(
    receive: &mut RecvStream,
    link: &Mutex<Link>,
    frames: usize,
) -> Result<Vec<u8>, LinkFault> {
    let mut sealed = vec![0; frames * FRAME];
    receive
        .read_exact(&mut sealed)
        .await
        .map_err(|error| broken(&error))?;
    Ok(lock(link).open(&sealed)?)
}

fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How fast this computer sends, all links together: no faster than was asked for.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    /// When the next byte may leave.
    next: Mutex<Instant>,
}

impl Pace {
    /// At most so many bytes a second.
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits until so many bytes more may leave.
    pub async fn wait(&self, bytes: usize) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            let nanoseconds = bytes as u64 * 1_000_000_000 / self.bytes_per_second;
            *next = turn + Duration::from_nanos(nanoseconds);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

fn broken(error: &ReadExactError) -> LinkFault {
    match error {
        ReadExactError::ReadError(quinn::ReadError::Reset(code))
            if *code == VarInt::from_u32(1) =>
        {
            LinkFault::Link(LinkError::Handshake)
        }
        _ => LinkFault::Broken,
    }
}

impl From<LinkFault> for Failure {
    fn from(fault: LinkFault) -> Self {
        let failure = Self::new(fault.to_string());
        match fault {
            LinkFault::Broken => failure
                .hint("give the same command again")
                .hint("after a send, with --again and the same words: then what arrived already is not stored twice"),
            LinkFault::Link(_) => {
                failure.hint("get the newest version of this program, and try another network")
            }
            LinkFault::Effort(_) => failure.hint("try again later, when the relay is less busy"),
            LinkFault::Nonsense => {
                failure.hint("tell the mechanism that its relay is broken, or not its relay")
            }
            LinkFault::Refused(refusal) => failure.hint(hint(refusal)),
        }
    }
}

/// What to do about a refusal.
fn hint(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownInbox => {
            "check the contact line; or ask the relay's operator to allow this inbox"
        }
        Refusal::MailboxFull => {
            "try again in some days: mail leaves the mailbox when it is read or runs out"
        }
        Refusal::RelayFull => "try again later, or through another relay of the mechanism",
        Refusal::NotADevice => {
            "ask whoever holds the root key whether this device is still on the roster"
        }
        Refusal::NoCard => "the mechanism must publish its card first: valise mechanism publish",
        Refusal::CardRefused => "fetch the newest card first: valise inbox pull",
        Refusal::Unavailable | Refusal::Busy => "try again later",
        Refusal::ParcelsFull => {
            "tell the mechanism: its relay has no more room for its attachments; or send less"
        }
        Refusal::NoGrant => "give the same command again",
        Refusal::OtherParcel => {
            "somebody put other bytes in their place: send the files again, with --undisclosed or under new words"
        }
        _ => "get the newest version of this program",
    }
}
