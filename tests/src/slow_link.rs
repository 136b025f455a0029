//! A path of its own between a client and a relay: every datagram takes so long in each direction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use valise_protocol::contact::RelayContact;

/// The path, until it is dropped.
pub struct SlowLink {
    port: u16,
    task: JoinHandle<()>,
}

/// A datagram, and when it is due.
type Late = (Instant, Vec<u8>);

/// The longest datagram.
const DATAGRAM: usize = 65_535;

impl SlowLink {
    /// A path to a port of this machine.
    ///
    /// # Panics
    /// When the system has no sockets left.
    pub async fn to(port: u16, one_way: Duration) -> Self {
        let front = Arc::new(
            UdpSocket::bind("127.0.0.1:0")
                .await
                .expect("the loopback is there"),
        );
        let own = front.local_addr().expect("it is bound").port();
        let task = tokio::spawn(forward(
            front,
            SocketAddr::from(([127, 0, 0, 1], port)),
            one_way,
        ));
        Self { port: own, task }
    }

    /// The same relay at the near end of the path.
    ///
    /// # Panics
    /// Never: the port is one.
    pub fn contact(&self, relay: &RelayContact) -> RelayContact {
        RelayContact::new(relay.id(), "127.0.0.1", self.port).expect("it is a port of this machine")
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(front: Arc<UdpSocket>, to: SocketAddr, one_way: Duration) {
    let mut clients: HashMap<SocketAddr, UnboundedSender<Late>> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    while let Ok((length, from)) = front.recv_from(&mut buffer).await {
        let there = match clients.entry(from) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Ok(back) = UdpSocket::bind("127.0.0.1:0").await else {
                    return;
                };
                let back = Arc::new(back);
                let (there, towards) = unbounded_channel();
                tokio::spawn(deliver(towards, back.clone(), to));
                tokio::spawn(return_path(back, front.clone(), from, one_way));
                new.insert(there)
            }
        };
        let _ = there.send((Instant::now() + one_way, buffer[..length].to_vec()));
    }
}

async fn return_path(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    client: SocketAddr,
    one_way: Duration,
) {
    let (here, towards) = unbounded_channel();
    tokio::spawn(deliver(towards, front, client));
    let mut buffer = vec![0; DATAGRAM];
    while let Ok(length) = back.recv(&mut buffer).await {
        let _ = here.send((Instant::now() + one_way, buffer[..length].to_vec()));
    }
}

/// Sends each datagram when its time has come, in their order.
async fn deliver(mut towards: UnboundedReceiver<Late>, socket: Arc<UdpSocket>, to: SocketAddr) {
    while let Some((due, datagram)) = towards.recv().await {
        tokio::time::sleep_until(due).await;
        let _ = socket.send_to(&datagram, to).await;
    }
}
