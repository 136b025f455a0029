//! How much one connection may have in flight: a deposit, and more for each of its links that carries parcels.
//!
//! quinn fixes the window of a stream when the connection begins, so streams have the larger one from the start, and the window of
//! the connection is what holds a client back: [`WINDOW_LINKS`] for all its links together, until one of them has put a parcel
//! under a grant. It is never lowered: quinn 0.11 forgets, when it is raised again, what it was lowered by, so that a client that
//! opens and closes links could have more and more.
//!
//! Each such link takes one of [`LINKS_OF_PARCELS`](crate::admission::LINKS_OF_PARCELS) places of the whole relay. Where none is left, it
//! goes on in the window that its connection has. A place that raised the window of a connection is taken until that ends.

use std::sync::{Arc, Mutex, PoisonError};

use quinn::{Connection, VarInt};

use crate::admission::{Admission, Place};
use crate::quic::{WINDOW_BEFORE, WINDOW_BULK, WINDOW_LINKS, WINDOW_SEND};

/// The windows of one connection.
pub struct Windows {
    connection: Connection,
    admission: Arc<Admission>,
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    /// Whether any was ever established.
    any: bool,
    /// How many put parcels now.
    putting: usize,
    /// As many as put parcels at most.
    places_to_put: Vec<Place>,
    /// As many as are given parcels now.
    getting: Vec<Place>,
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
    pub fn new(connection: Connection, admission: Arc<Admission>) -> Self {
        Self {
            connection,
            admission,
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

    fn change<T>(&self, change: impl FnOnce(&mut Links) -> T) -> T {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut links);
        self.connection.set_receive_window(links.receive());
        self.connection.set_send_window(links.send());
        changed
    }
}

impl Links {
    fn receive(&self) -> VarInt {
        let established = if self.any {
            WINDOW_LINKS
        } else {
            WINDOW_BEFORE
        };
        (established + self.places_to_put.len() as u32 * WINDOW_BULK).into()
    }

    fn send(&self) -> u64 {
        WINDOW_SEND + self.getting.len() as u64 * u64::from(WINDOW_BULK)
    }

    /// Whether there was a place.
    fn begin(&mut self, bulk: Bulk, admission: &Admission) -> bool {
        let place = match bulk {
            Bulk::Puts if self.putting < self.places_to_put.len() => None,
            Bulk::Puts | Bulk::Gets => match admission.link_of_parcels() {
                None => return false,
                place => place,
            },
        };
        match bulk {
            Bulk::Puts => {
                self.putting += 1;
                self.places_to_put.extend(place);
            }
            Bulk::Gets => self.getting.extend(place),
        }
        true
    }

    fn end(&mut self, bulk: Bulk) {
        match bulk {
            Bulk::Puts => self.putting -= 1,
            Bulk::Gets => drop(self.getting.pop()),
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

    /// Makes room for parcels, one way: the first that the link proved to carry them. Whether there is room; where the relay has no
    /// place left, there may be at the next parcel.
    pub fn widen(&mut self, bulk: Bulk) -> bool {
        if self.bulk.is_none() {
            let admission = &self.windows.admission;
            let begun = self.windows.change(|links| links.begin(bulk, admission));
            self.bulk = begun.then_some(bulk);
        }
        self.bulk.is_some()
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
    use crate::admission::LINKS_OF_PARCELS;
    use crate::config::Config;

    #[test]
    fn windows_grow_with_links_that_carry_parcels_and_have_an_end() {
        let admission = Admission::new(&Config::default());
        let mut links = Links::default();
        assert_eq!(links.receive(), VarInt::from_u32(WINDOW_BEFORE));
        links.any = true;
        assert_eq!(links.receive(), VarInt::from_u32(WINDOW_LINKS));
        for _ in 0..100 {
            (0..LINKS).for_each(|_| assert!(links.begin(Bulk::Puts, &admission)));
            (0..LINKS).for_each(|_| links.end(Bulk::Puts));
        }
        let most = LINKS as u32 * WINDOW_BULK;
        assert_eq!(links.receive(), VarInt::from_u32(WINDOW_LINKS + most));
        assert_eq!(links.send(), WINDOW_SEND);
        (0..LINKS).for_each(|_| assert!(links.begin(Bulk::Gets, &admission)));
        assert_eq!(links.send(), WINDOW_SEND + u64::from(most));
        (0..LINKS).for_each(|_| links.end(Bulk::Gets));
        assert_eq!(links.send(), WINDOW_SEND);
    }

    #[test]
    fn windows_of_all_connections_together_have_an_end() {
        let admission = Admission::new(&Config::default());
        let mut connections: Vec<Links> = Vec::new();
        let mut wide = 0;
        for number in 0..=LINKS_OF_PARCELS / LINKS {
            let mut links = Links::default();
            let bulk = [Bulk::Puts, Bulk::Gets][number % 2];
            wide += (0..LINKS).filter(|_| links.begin(bulk, &admission)).count();
            connections.push(links);
        }
        assert_eq!(wide, LINKS_OF_PARCELS);
        let last = connections.pop();
        assert_eq!(last.map(|links| links.send()), Some(WINDOW_SEND));
        // Nothing is taken back of what puts were given, until their connection ends: a place there can be used again only there.
        connections[0].end(Bulk::Puts);
        let mut other = Links::default();
        assert!(!other.begin(Bulk::Puts, &admission));
        assert!(connections[0].begin(Bulk::Puts, &admission));
        connections[1].end(Bulk::Gets);
        assert!(other.begin(Bulk::Puts, &admission));
        drop(connections);
        assert!((1..LINKS_OF_PARCELS).all(|_| other.begin(Bulk::Puts, &admission)));
        assert!(!other.begin(Bulk::Puts, &admission));
    }
}
