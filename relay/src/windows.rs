//! How much one connection may have in flight: it grows with its links, and with those among them that carry parcels.
//!
//! quinn fixes the window of a stream when the connection begins, so streams have the larger one from the start and the window of
//! the connection is what holds a client back: the relay never buffers more for a link than [`WINDOW_STREAM`] on average before
//! that link has put a parcel under a grant, and [`WINDOW_BULK`] afterwards.

use std::sync::{Arc, Mutex, PoisonError};

use quinn::{Connection, VarInt};

use crate::quic::{WINDOW_BEFORE, WINDOW_BULK, WINDOW_SEND, WINDOW_STREAM};

/// The windows of one connection.
pub struct Windows {
    connection: Connection,
    links: Mutex<Links>,
}

#[derive(Clone, Copy, Default)]
struct Links {
    /// Whether any was ever established.
    any: bool,
    now: u32,
    putting: u32,
    getting: u32,
}

/// What an established link adds to the windows of its connection, until it is dropped.
pub struct Window {
    windows: Arc<Windows>,
    bulk: Option<Bulk>,
}

/// Which way a link carries parcels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bulk {
    /// To the relay.
    Puts,
    /// From the relay.
    Gets,
}

impl Windows {
    /// Of a connection that has no link yet.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            links: Mutex::default(),
        }
    }

    /// Whether any of its links was ever established.
    pub fn established(&self) -> bool {
        self.links
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .any
    }

    fn change(&self, change: impl FnOnce(&mut Links)) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut links);
        self.connection.set_receive_window(links.receive());
        self.connection.set_send_window(links.send());
    }
}

impl Links {
    fn receive(self) -> VarInt {
        let links = self.now * WINDOW_STREAM + self.putting * (WINDOW_BULK - WINDOW_STREAM);
        links.max(WINDOW_BEFORE).into()
    }

    fn send(self) -> u64 {
        WINDOW_SEND + u64::from(self.getting * WINDOW_BULK)
    }

    fn of(&mut self, bulk: Bulk) -> &mut u32 {
        match bulk {
            Bulk::Puts => &mut self.putting,
            Bulk::Gets => &mut self.getting,
        }
    }
}

impl Window {
    /// Of a link that was established just now.
    pub fn open(windows: &Arc<Windows>) -> Self {
        windows.change(|links| {
            links.any = true;
            links.now += 1;
        });
        Self {
            windows: Arc::clone(windows),
            bulk: None,
        }
    }

    /// Makes room for parcels, one way: the first that the link proved to carry them.
    pub fn widen(&mut self, bulk: Bulk) {
        if self.bulk.is_none() {
            self.bulk = Some(bulk);
            self.windows.change(|links| *links.of(bulk) += 1);
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.windows.change(|links| {
            links.now -= 1;
            if let Some(bulk) = self.bulk {
                *links.of(bulk) -= 1;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use valise_protocol::limits::LINKS;

    use super::*;

    #[test]
    fn windows_grow_with_links_and_have_an_end() {
        let most = LINKS as u32;
        let of = |now, putting, getting| Links {
            any: true,
            now,
            putting,
            getting,
        };
        assert_eq!(of(0, 0, 0).receive(), VarInt::from_u32(WINDOW_BEFORE));
        assert_eq!(of(1, 0, 0).receive(), VarInt::from_u32(WINDOW_STREAM));
        assert_eq!(
            of(most, most, 0).receive(),
            VarInt::from_u32(most * WINDOW_BULK)
        );
        assert_eq!(of(3, 1, 0).send(), WINDOW_SEND);
        assert_eq!(
            of(most, 0, most).send(),
            WINDOW_SEND + u64::from(most * WINDOW_BULK)
        );
    }
}
