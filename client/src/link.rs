//! One link: a Noise session over one stream (spec §7).

use quinn::{ReadExactError, RecvStream, SendStream, VarInt};

use valise_protocol::id::RelayId;
use valise_protocol::key::{DhPublic, DhSecret};
use valise_protocol::limits::{FRAME, LINK_2};
use valise_protocol::link::{Initiator, Link, LinkError};
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

/// An open link: one request after another.
pub struct OpenLink {
    send: SendStream,
    receive: RecvStream,
    link: Link,
}

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
        send.write_all(&message)
            .await
            .map_err(|_| LinkFault::Broken)?;
        let mut answer = [0; LINK_2];
        receive
            .read_exact(&mut answer)
            .await
            .map_err(|error| broken(&error))?;
        let (welcome, message, link) = initiator.finish(&answer)?;
        if welcome.effort != 0 {
            return Err(LinkFault::Effort(welcome.effort));
        }
        send.write_all(&message)
            .await
            .map_err(|_| LinkFault::Broken)?;
        Ok(Self {
            send,
            receive,
            link,
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
        let sealed = self.link.seal(&request.encode())?;
        self.send
            .write_all(&sealed)
            .await
            .map_err(|_| LinkFault::Broken)?;
        let plain = self.read_answer(request.kind()).await?;
        match Answer::decode(request.kind(), &plain) {
            Ok(Answer::Refused(refusal)) => Err(LinkFault::Refused(refusal)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(LinkFault::Nonsense),
        }
    }

    /// The plaintext of an answer's frames. A relay that could not read the request may say so in one (spec §7.3).
    async fn read_answer(&mut self, kind: RequestKind) -> Result<Vec<u8>, LinkFault> {
        let mut plain = self.read_frames(1).await?;
        if !plain.first_chunk().is_some_and(Answer::ends_after) {
            plain.extend(self.read_frames(kind.frames_down() - 1).await?);
        }
        Ok(plain)
    }

    async fn read_frames(&mut self, frames: usize) -> Result<Vec<u8>, LinkFault> {
        let mut sealed = vec![0; frames * FRAME];
        self.receive
            .read_exact(&mut sealed)
            .await
            .map_err(|error| broken(&error))?;
        Ok(self.link.open(&sealed)?)
    }

    /// Says that nothing more will be asked.
    pub fn finish(mut self) {
        let _ = self.send.finish();
        let _ = self.receive.stop(VarInt::from_u32(0));
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
        _ => "get the newest version of this program",
    }
}
