//! Requests on an established link, and their answers (spec §7.3). One half reads, the other writes the answers in the order of
//! the requests.
//!
//! Each request takes a *turn* before it is read, and gives it back when its answer is written. There is one, so that each request is
//! alone. A link that carries parcels, and has one of the relay's places for such links, has three: a get or a put takes one of them,
//! so that one is read while two are answered, and any other request takes all.
//!
//! What a link makes the relay hold, and all of them together, has an end: see the constants and the test at the end.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use getrandom::SysRng;
use quinn::{RecvStream, SendStream};
use rand_core::UnwrapErr;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use valise_protocol::key::DhPublic;
use valise_protocol::limits::{FRAME, FRAME_PLAIN, PARCEL};
use valise_protocol::link::Link;
use valise_protocol::wire::{Answer, Kept, Refusal, Request, RequestKind};

use super::{Ended, Shared, within};
use crate::quic::{Reset, WINDOW_BULK, WINDOW_LINKS};
use crate::store::Store;
use crate::windows::{Bulk, Window};

/// A kind that is answered in one frame: for a first frame of no kind (spec §7.3).
const ONE_FRAME: RequestKind = RequestKind::Publish;
/// On a link of parcels: one request that is read, and two that are answered.
const TURNS: u32 = 3;

/// Reads and answers until either side ends the link.
pub(super) async fn converse<S: Store>(
    shared: &Arc<Shared<S>>,
    (send, recv): (&mut SendStream, &mut RecvStream),
    (client, link): (DhPublic, Link),
    window: &mut Window,
) -> Ended {
    let (link, turns) = (Mutex::new(link), Turns::new());
    let (hand_over, handed_over) = channel(TURNS as usize);
    let reading = Reading {
        shared,
        client,
        recv,
        link: &link,
        turns: &turns,
    };
    let writing = Writing {
        shared,
        send,
        link: &link,
        turns: &turns,
        window,
    };
    let read = async {
        reading.run(hand_over).await;
        pending().await
    };
    tokio::select! {
        ended = writing.run(handed_over) => ended,
        ended = read => ended,
    }
}

/// The turns of a link. While there is one, whoever has it is alone, so that their number never changes under a reader.
struct Turns {
    free: Semaphore,
    wide: AtomicBool,
}

impl Turns {
    fn new() -> Self {
        Self {
            free: Semaphore::new(1),
            wide: AtomicBool::new(false),
        }
    }

    /// How many there are.
    fn all(&self) -> u32 {
        let wide = self.wide.load(Ordering::Acquire);
        if wide { TURNS } else { 1 }
    }

    fn widen(&self) {
        if !self.wide.swap(true, Ordering::AcqRel) {
            self.free.add_permits(TURNS as usize - 1);
        }
    }
}

/// What the reading half hands to the writing one.
enum Next {
    /// A request that is being answered.
    Answer(RequestKind, Answering),
    /// A request of this kind that is refused without looking into it.
    Refused(RequestKind, Refusal),
    /// Something else, which is refused in the frames that answer this kind: one, where it is not even known.
    Nonsense(RequestKind),
    /// Nothing more will come.
    End(Ended),
}

/// What was read.
enum Read {
    Request(Request),
    Refused(RequestKind, Refusal),
    Nonsense(RequestKind),
}

/// An answer that is being made. Dropping it gives up waiting, for mail above all; what was decided is done all the same.
struct Answering(JoinHandle<Answer>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The half that reads.
struct Reading<'a, S> {
    shared: &'a Arc<Shared<S>>,
    client: DhPublic,
    recv: &'a mut RecvStream,
    link: &'a Mutex<Link>,
    turns: &'a Turns,
}

impl<'a, S: Store> Reading<'a, S> {
    async fn run(mut self, hand_over: Sender<(Next, SemaphorePermit<'a>)>) {
        let mut stopping = false;
        loop {
            let Ok(mut turn) = self.turns.free.acquire().await else {
                return;
            };
            // A request that has begun to arrive is answered, also when the relay stops; one more after that is not.
            let read = if stopping {
                Err(Reset::Closing.into())
            } else {
                stopping = self.shared.stop.is_given();
                self.request().await
            };
            if !may_follow(&read) {
                let others = self.turns.all() - 1;
                let Ok(others) = self.turns.free.acquire_many(others).await else {
                    return;
                };
                turn.merge(others);
            }
            let next = match read {
                Ok(Read::Request(request)) => Next::Answer(request.kind(), self.answer(request)),
                Ok(Read::Refused(kind, refusal)) => Next::Refused(kind, refusal),
                Ok(Read::Nonsense(frames_of)) => Next::Nonsense(frames_of),
                Err(ended) => Next::End(ended),
            };
            let ends = matches!(next, Next::Nonsense(_) | Next::End(_));
            if hand_over.send((next, turn)).await.is_err() || ends {
                return;
            }
        }
    }

    fn answer(&self, request: Request) -> Answering {
        let (shared, client) = (Arc::clone(self.shared), self.client);
        let now = shared.clock.now();
        Answering(tokio::spawn(async move {
            let rng = &mut UnwrapErr(SysRng);
            shared.service.answer(&client, request, now, rng).await
        }))
    }

    /// The next request. A put that would be refused is read and not kept.
    async fn request(&mut self) -> Result<Read, Ended> {
        let shared = Arc::clone(self.shared);
        let first = tokio::select! {
            biased;
            first = self.first_byte() => first?,
            () = shared.stop.given() => return Err(Reset::Closing.into()),
        };
        let mut frame = vec![0; FRAME];
        frame[0] = first;
        let first = self.frame(frame, 1).await?;
        let Ok(kind) = RequestKind::of_first_frame(&first) else {
            return Ok(Read::Nonsense(ONE_FRAME));
        };
        let now = shared.clock.now();
        if kind == RequestKind::Put
            && let Err(refusal) = shared.service.admit_put(&self.client, &first, now).await
        {
            for _ in 1..kind.frames_up() {
                self.frame(vec![0; FRAME], 0).await?;
            }
            return Ok(Read::Refused(kind, refusal));
        }
        let mut plain = Vec::with_capacity(kind.frames_up() * FRAME_PLAIN);
        plain.extend_from_slice(first.as_slice());
        for _ in 1..kind.frames_up() {
            let frame = self.frame(vec![0; FRAME], 0).await?;
            plain.extend_from_slice(frame.as_slice());
        }
        let request = Request::decode(&plain);
        Ok(request.map_or(Read::Nonsense(kind), Read::Request))
    }

    /// The first byte of a request. [`Ended::Finished`] when the client ended the stream before it. A link on which something is
    /// still answered is not idle.
    async fn first_byte(&mut self) -> Result<u8, Ended> {
        let idle = self.shared.config.idle();
        let mut byte = [0];
        loop {
            match timeout(idle, self.recv.read_exact(&mut byte)).await {
                Ok(read) => {
                    read?;
                    return Ok(byte[0]);
                }
                Err(_) if self.turns.free.available_permits() + 1 < self.turns.all() as usize => (),
                Err(_) => return Err(Reset::Slow.into()),
            }
        }
    }

    /// One frame, of which so many bytes have come, opened.
    async fn frame(
        &mut self,
        mut frame: Vec<u8>,
        come: usize,
    ) -> Result<Box<[u8; FRAME_PLAIN]>, Ended> {
        let recv = &mut *self.recv;
        within(self.shared.config.idle(), async {
            let read = recv.read_exact(&mut frame[come..]).await;
            read.map_err(Ended::within_a_frame)
        })
        .await?;
        let plain = lock(self.link).open(&frame).map_err(|_| Reset::Malformed)?;
        let plain = plain.into_boxed_slice().try_into();
        plain.map_err(|_| Reset::Malformed.into())
    }
}

/// The half that writes.
struct Writing<'a, S> {
    shared: &'a Shared<S>,
    send: &'a mut SendStream,
    link: &'a Mutex<Link>,
    turns: &'a Turns,
    window: &'a mut Window,
}

impl<S: Store> Writing<'_, S> {
    async fn run(mut self, mut handed_over: Receiver<(Next, SemaphorePermit<'_>)>) -> Ended {
        while let Some((next, _turn)) = handed_over.recv().await {
            let written = match next {
                Next::Answer(kind, mut answering) => {
                    let answer = (&mut answering.0).await.unwrap_or_else(fall_with);
                    self.make_room(&answer);
                    self.write(kind, answer).await
                }
                Next::Refused(kind, refusal) => self.write(kind, Answer::Refused(refusal)).await,
                Next::Nonsense(frames_of) => {
                    let refused = Answer::Refused(Refusal::Malformed);
                    let written = self.write(frames_of, refused).await;
                    written.and(Err(Ended::Finished))
                }
                Next::End(ended) => Err(ended),
            };
            if let Err(ended) = written {
                return ended;
            }
        }
        Ended::Lost
    }

    /// Who has put a parcel under a grant, or was given one, may have more in flight from now on, if the relay has a place for it.
    fn make_room(&mut self, answer: &Answer) {
        let wide = match answer {
            Answer::Kept(Kept::New) => self.window.widen(Bulk::Puts),
            Answer::Parcel(Some(_)) => self.window.widen(Bulk::Gets),
            _ => false,
        };
        if wide {
            self.turns.widen();
        }
    }

    async fn write(&mut self, kind: RequestKind, answer: Answer) -> Result<(), Ended> {
        // A session's deposit waits for its card, and nothing waits for its poll: the larger answer gives way.
        // It is the same in every session. It fails only on a stream that is gone, which the next write notices.
        let priority = i32::from(!matches!(kind, RequestKind::Poll | RequestKind::Get));
        let _ = self.send.set_priority(priority);
        let plain = unpadded(answer.encode(kind));
        drop(answer);
        for number in 0..kind.frames_down() {
            let frame = plain.chunks(FRAME_PLAIN).nth(number);
            let sealed = lock(self.link).seal(frame.unwrap_or(&[0; FRAME_PLAIN]));
            let sealed = sealed.map_err(|_| Ended::Lost)?;
            let send = &mut *self.send;
            within(self.shared.config.idle(), async {
                Ok(send.write_all(&sealed).await?)
            })
            .await?;
        }
        Ok(())
    }
}

/// Gives back the memory of the frames at the end that are all zeros: a get that is refused is answered in sixteen frames, and
/// whoever asks may leave them unread.
fn unpadded(mut plain: Vec<u8>) -> Vec<u8> {
    let used = plain.iter().rposition(|byte| *byte != 0);
    plain.truncate(
        used.map_or(0, |last| last + 1)
            .next_multiple_of(FRAME_PLAIN),
    );
    plain.shrink_to_fit();
    plain
}

/// Whether another request may follow before this one is answered.
fn may_follow(read: &Result<Read, Ended>) -> bool {
    let kind = match read {
        Ok(Read::Request(request)) => request.kind(),
        Ok(Read::Refused(kind, _)) => *kind,
        Ok(Read::Nonsense(_)) | Err(_) => return false,
    };
    matches!(kind, RequestKind::Get | RequestKind::Put)
}

/// A panic in a worker costs the link's connection, as if it had come here.
fn fall_with(error: JoinError) -> Answer {
    match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        // It is aborted when nobody waits for it any more.
        Err(_) => Answer::Refused(Refusal::Unavailable),
    }
}

fn lock(link: &Mutex<Link>) -> std::sync::MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a request makes the relay hold: its frames while it is read; the parcel in it, or the one that was looked up; or its answer and
/// the frame of it that is written. What is decoded or encoded is there twice, for a moment and once for each thread.
const REQUEST: usize = 16 * FRAME_PLAIN + FRAME;
/// What a link of parcels makes the relay hold beyond what any link does: its window, and two more requests.
const OF_PARCELS: usize = WINDOW_BULK as usize + (TURNS as usize - 1) * REQUEST;

const _: () = assert!(
    PARCEL < REQUEST
        && (WINDOW_LINKS as usize) + REQUEST < 512 << 10
        && REQUEST + OF_PARCELS < 2 << 20
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::LINKS_OF_PARCELS;
    use crate::config::Config;
    use crate::quic::WINDOW_SEND;

    #[test]
    fn what_all_links_hold_fits_into_the_memory_that_the_unit_allows() {
        let Config {
            connections, links, ..
        } = Config::default();
        let in_flight = WINDOW_LINKS as usize + WINDOW_SEND as usize;
        // Each link in a connection of its own, and all other connections that there may be: docs/operate.md, `connections`.
        let held = links * (in_flight + REQUEST)
            + LINKS_OF_PARCELS * OF_PARCELS
            + (connections - links) * (128 << 10);
        // For the store and all else.
        let rest = 192 << 20;
        assert!(held + rest < 2 << 30, "{} MiB", held >> 20);
        assert!(include_str!("../../../docs/operate.md").contains("\nMemoryMax=2G\n"));
    }

    #[test]
    fn a_refused_get_holds_one_frame_of_its_answer_and_a_parcel_all() {
        let refused = Answer::Refused(Refusal::NotADevice).encode(RequestKind::Get);
        let short = unpadded(refused.clone());
        assert_eq!(
            (short.len(), refused.len()),
            (FRAME_PLAIN, 16 * FRAME_PLAIN)
        );
        assert!(short.capacity() < 2 * FRAME_PLAIN && refused.starts_with(&short));
        assert!(refused[short.len()..].iter().all(|byte| *byte == 0));
        let full = vec![1; 16 * FRAME_PLAIN];
        assert_eq!(unpadded(full.clone()), full);
    }
}
