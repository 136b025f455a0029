//! Bells that wake whoever waits for mail.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;

use tokio::sync::Notify;

use super::Mailbox;

/// A fixed number of bells, each shared by the mailboxes that hash to it: the memory does not grow with the mailboxes that
/// strangers name, and a ring that was meant for another mailbox is only a poll too many.
pub(super) struct Bells {
    bells: Box<[Notify]>,
    hasher: RandomState,
}

impl Bells {
    pub fn new() -> Self {
        Self {
            bells: (0..COUNT).map(|_| Notify::new()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Resolves at the first ring after this call, also if it rings before the future is first polled.
    pub fn wait(&self, mailbox: Mailbox) -> impl Future<Output = ()> + Send {
        self.of(mailbox).notified()
    }

    /// Wakes all who wait for this mailbox.
    pub fn ring(&self, mailbox: Mailbox) {
        self.of(mailbox).notify_waiters();
    }

    fn of(&self, mailbox: Mailbox) -> &Notify {
        let at = self.hasher.hash_one(mailbox) % self.bells.len() as u64;
        &self.bells[at as usize]
    }
}

const COUNT: usize = 1_024;
