//! Who is let in while the relay is busy. In memory only: nothing about a network address outlives its packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::Config;

/// What becomes of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with the handshake.
    Accept,
    /// First prove that the address is yours (QUIC Retry): costs the relay nothing and stops forged senders.
    Retry,
    /// The relay is full.
    Refuse,
}

/// How many of each there are, and how many there may be.
#[derive(Debug)]
pub struct Admission {
    connections: Arc<AtomicUsize>,
    handshakes: Arc<AtomicUsize>,
    links: Arc<AtomicUsize>,
    bulk: Arc<AtomicUsize>,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    links: usize,
    retry_handshakes: usize,
    retry_connections: usize,
}

/// How many links may carry parcels at full speed at the same time: as many as 32 clients have. What all links hold together stays
/// below the memory that the unit allows because of this number (link/conversation.rs counts it).
pub const LINKS_OF_PARCELS: usize = 512;

/// One place among the connections, handshakes, links or links of parcels; given back when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

/// How many there are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections, those in their TLS handshake included.
    pub connections: usize,
    /// Connections in their TLS handshake.
    pub handshakes: usize,
    /// Links, those in their handshake included.
    pub links: usize,
}

impl Admission {
    /// An empty house with the limits of relay.toml.
    pub fn new(config: &Config) -> Self {
        let limits = Limits {
            connections: config.connections,
            links: config.links,
            retry_handshakes: config.retry_handshakes,
            retry_connections: config.retry_connections,
        };
        let counter = || Arc::new(AtomicUsize::new(0));
        Self {
            connections: counter(),
            handshakes: counter(),
            links: counter(),
            bulk: counter(),
            limits,
        }
    }

    /// What to do with an attempt. `address_is_proven` after a Retry.
    pub fn judge(&self, address_is_proven: bool) -> Verdict {
        let load = self.load();
        let busy = load.handshakes >= self.limits.retry_handshakes
            || load.connections >= self.limits.retry_connections;
        if busy && !address_is_proven {
            Verdict::Retry
        } else if load.connections >= self.limits.connections {
            Verdict::Refuse
        } else {
            Verdict::Accept
        }
    }

    /// Takes a place among the connections, `None` when all are taken.
    pub fn connection(&self) -> Option<Place> {
        Place::take(&self.connections, self.limits.connections)
    }

    /// Takes a place among the handshakes, whose number the connections bound.
    pub fn handshake(&self) -> Option<Place> {
        Place::take(&self.handshakes, self.limits.connections)
    }

    /// Takes a place among the links, `None` when all are taken.
    pub fn link(&self) -> Option<Place> {
        Place::take(&self.links, self.limits.links)
    }

    /// Takes a place among the links that carry parcels at full speed, `None` when all are taken.
    pub fn link_of_parcels(&self) -> Option<Place> {
        Place::take(&self.bulk, LINKS_OF_PARCELS)
    }

    /// How many there are now.
    pub fn load(&self) -> Load {
        Load {
            connections: self.connections.load(Ordering::Relaxed),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            links: self.links.load(Ordering::Relaxed),
        }
    }
}

impl Place {
    fn take(counter: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        counter
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| Self(Arc::clone(counter)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission::new(&Config {
            connections: 3,
            links: 1,
            retry_handshakes: 2,
            retry_connections: 2,
            ..Config::default()
        })
    }

    #[test]
    fn an_unproven_address_must_prove_itself_when_handshakes_pile_up() {
        let admission = admission();
        assert_eq!(admission.judge(false), Verdict::Accept);
        let held = [admission.handshake(), admission.handshake()];
        assert_eq!(admission.judge(false), Verdict::Retry);
        assert_eq!(admission.judge(true), Verdict::Accept);
        drop(held);
        assert_eq!(admission.judge(false), Verdict::Accept);
    }

    #[test]
    fn a_full_relay_refuses_a_proven_address_and_answers_a_forged_one_with_retry() {
        let admission = admission();
        let held: Vec<_> = (0..3).map(|_| admission.connection()).collect();
        assert_eq!(admission.judge(true), Verdict::Refuse);
        assert_eq!(admission.judge(false), Verdict::Retry);
        assert!(admission.connection().is_none());
        drop(held);
        assert_eq!(admission.load(), Load::default());
    }

    #[test]
    fn a_place_is_given_back_when_it_is_dropped() {
        let admission = admission();
        let place = admission.link();
        assert!(place.is_some() && admission.link().is_none());
        drop(place);
        assert!(admission.link().is_some());
    }
}
