//! A path of its own between a client and a relay: every datagram takes so long in each direction, and may be held up or lost as on a
//! bad line. It counts what a client sends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use valise_protocol::contact::RelayContact;

/// How bad a path is, the same in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// How long a datagram takes.
    pub one_way: Duration,
    /// How fast it is; `None`: as fast as this machine.
    pub bytes_per_second: Option<u64>,
    /// One datagram of so many is lost, drawn at random; 0: none.
    pub one_lost_of: u64,
}

/// The path, until it is dropped.
pub struct SlowLink {
    port: u16,
    task: JoinHandle<()>,
    sent: Arc<AtomicU64>,
}

/// A datagram, and when it is due.
type Late = (Instant, Vec<u8>);

/// The longest datagram.
const DATAGRAM: usize = 65_535;
/// What waits longer than this for a slow line is lost, as in a router without room.
const QUEUE: Duration = Duration::from_millis(1_500);

impl SlowLink {
    /// A path to a port of this machine.
    ///
    /// # Panics
    /// When the system has no sockets left.
    pub async fn to(port: u16, one_way: Duration) -> Self {
        let line = Line {
            one_way,
            ..Line::default()
        };
        Self::over(line, port).await
    }

    /// A path over such a line.
    ///
    /// # Panics
    /// When the system has no sockets left.
    pub async fn over(line: Line, port: u16) -> Self {
        let front = Arc::new(
            UdpSocket::bind("127.0.0.1:0")
                .await
                .expect("the loopback is there"),
        );
        let own = front.local_addr().expect("it is bound").port();
        let sent = Arc::new(AtomicU64::new(0));
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let task = tokio::spawn(forward(front, to, line, sent.clone()));
        Self {
            port: own,
            task,
            sent,
        }
    }

    /// The same relay at the near end of the path.
    ///
    /// # Panics
    /// Never: the port is one.
    pub fn contact(&self, relay: &RelayContact) -> RelayContact {
        RelayContact::new(relay.id(), "127.0.0.1", self.port).expect("it is a port of this machine")
    }

    /// How many bytes clients have sent, in all their datagrams, lost ones too.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One direction of a line, of one client: lines of two do not share.
struct Direction {
    line: Line,
    /// When the last datagram has left.
    free: Instant,
    state: u64,
    out: UnboundedSender<Late>,
}

impl Direction {
    fn new(line: Line, out: UnboundedSender<Late>) -> Self {
        Self {
            line,
            free: Instant::now(),
            state: 0x9e37_79b9_7f4a_7c15,
            out,
        }
    }

    fn carry(&mut self, datagram: &[u8]) {
        let now = Instant::now();
        let mut leaves = self.free.max(now);
        if let Some(rate) = self.line.bytes_per_second {
            if leaves - now > QUEUE {
                return;
            }
            leaves += Duration::from_nanos(datagram.len() as u64 * 1_000_000_000 / rate.max(1));
            self.free = leaves;
        }
        if !self.loses() {
            let _ = self
                .out
                .send((leaves + self.line.one_way, datagram.to_vec()));
        }
    }

    fn loses(&mut self) -> bool {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.line.one_lost_of > 0 && self.state.is_multiple_of(self.line.one_lost_of)
    }
}

async fn forward(front: Arc<UdpSocket>, to: SocketAddr, line: Line, sent: Arc<AtomicU64>) {
    let mut clients: HashMap<SocketAddr, Direction> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    while let Ok((length, from)) = front.recv_from(&mut buffer).await {
        sent.fetch_add(length as u64, Ordering::Relaxed);
        let there = match clients.entry(from) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Ok(back) = UdpSocket::bind("127.0.0.1:0").await else {
                    return;
                };
                let back = Arc::new(back);
                let (there, towards) = unbounded_channel();
                tokio::spawn(deliver(towards, back.clone(), to));
                tokio::spawn(return_path(back, front.clone(), from, line));
                new.insert(Direction::new(line, there))
            }
        };
        there.carry(&buffer[..length]);
    }
}

async fn return_path(back: Arc<UdpSocket>, front: Arc<UdpSocket>, client: SocketAddr, line: Line) {
    let (out, towards) = unbounded_channel();
    let mut here = Direction::new(line, out);
    tokio::spawn(deliver(towards, front, client));
    let mut buffer = vec![0; DATAGRAM];
    // A relay that is not there is told by an error, and may come back.
    loop {
        match back.recv(&mut buffer).await {
            Ok(length) => here.carry(&buffer[..length]),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Sends each datagram when its time has come, in their order.
async fn deliver(mut towards: UnboundedReceiver<Late>, socket: Arc<UdpSocket>, to: SocketAddr) {
    while let Some((due, datagram)) = towards.recv().await {
        tokio::time::sleep_until(due).await;
        let _ = socket.send_to(&datagram, to).await;
    }
}
