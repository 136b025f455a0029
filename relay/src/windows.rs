//! How much one connection may have in flight: a deposit, and more for each of its links that carries parcels.
//!
//! quinn fixes the window of a stream when the connection begins, so streams have the larger one from the start, and the window of
//! the connection is what holds a client back: [`WINDOW_LINKS`] for all its links together, until one of them has put a parcel
//! under a grant. It is never lowered: quinn 0.11 forgets, when it is raised again, what it was lowered by, so that a client that
//! opens and closes links could have more and more.

use std::sync::{Arc, Mutex, PoisonError};

use quinn::{Connection, VarInt};

use crate::quic::{WINDOW_BEFORE, WINDOW_BULK, WINDOW_LINKS, WINDOW_SEND};

/// The windows of one connection.
pub struct Windows {
    connection: Connection,
    links: Mutex<Links>,
}

#[derive(Clone, Copy, Default)]
struct Links {
    /// Whether any was ever established.
    any: bool,
    /// How many put parcels, now and at most.
    putting: u32,
    most_putting: u32,
    /// How many are given parcels now.
    getting: u32,
}

/// What an established link does to the windows of its connection, until it is dropped.
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
        let established = if self.any {
            WINDOW_LINKS
        } else {
            WINDOW_BEFORE
        };
        (established + self.most_putting * WINDOW_BULK).into()
    }

    fn send(self) -> u64 {
        WINDOW_SEND + u64::from(self.getting * WINDOW_BULK)
    }

    fn begin(&mut self, bulk: Bulk) {
        match bulk {
            Bulk::Puts => {
                self.putting += 1;
                self.most_putting = self.most_putting.max(self.putting);
            }
            Bulk::Gets => self.getting += 1,
        }
    }

    fn end(&mut self, bulk: Bulk) {
        match bulk {
            Bulk::Puts => self.putting -= 1,
            Bulk::Gets => self.getting -= 1,
        }
    }
}

impl Window {
    /// Of a link that was established just now.
    pub fn open(windows: &Arc<Windows>) -> Self {
        windows.change(|links| links.any = true);
        Self {
            windows: Arc::clone(windows),
            bulk: None,
        }
    }

    /// Makes room for parcels, one way: the first that the link proved to carry them.
    pub fn widen(&mut self, bulk: Bulk) {
        if self.bulk.is_none() {
            self.bulk = Some(bulk);
            self.windows.change(|links| links.begin(bulk));
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(bulk) = self.bulk {
            self.windows.change(|links| links.end(bulk));
        }
    }
}

#[cfg(test)]
mod tests {
    use valise_protocol::limits::LINKS;

    use super::*;

    #[test]
    fn windows_grow_with_links_that_carry_parcels_and_have_an_end() {
        let mut links = Links::default();
        assert_eq!(links.receive(), VarInt::from_u32(WINDOW_BEFORE));
        links.any = true;
        assert_eq!(links.receive(), VarInt::from_u32(WINDOW_LINKS));
        for _ in 0..100 {
            (0..LINKS).for_each(|_| links.begin(Bulk::Puts));
            (0..LINKS).for_each(|_| links.end(Bulk::Puts));
        }
        let most = LINKS as u32 * WINDOW_BULK;
        assert_eq!(links.receive(), VarInt::from_u32(WINDOW_LINKS + most));
        assert_eq!(links.send(), WINDOW_SEND);
        (0..LINKS).for_each(|_| links.begin(Bulk::Gets));
        assert_eq!(links.send(), WINDOW_SEND + u64::from(most));
        (0..LINKS).for_each(|_| links.end(Bulk::Gets));
        assert_eq!(links.send(), WINDOW_SEND);
    }
}
