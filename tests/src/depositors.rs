//! People who deposit at a running relay and note what it acknowledged: the oracle of every test of loss.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::task::JoinSet;
use valise_client::command::now;
use valise_client::dial::{Connection, fresh_key};
use valise_client::link::{LinkFault, OpenLink};
use valise_protocol::contact::RelayContact;
use valise_protocol::id::{EnvelopeDigest, MailboxId};
use valise_protocol::key::DhSecret;
use valise_protocol::limits::ENVELOPE;
use valise_protocol::wire::{Answer, Item, Request, Target};

use crate::cast::no_withdrawal;

/// How many envelopes one person deposits at most: fewer than a return mailbox takes.
const MOST: u32 = 60;

/// Somebody who deposits into a return mailbox of their own, so that they can look for all of it afterwards.
pub struct Depositor {
    first: u32,
    key: DhSecret,
    mailbox: MailboxId,
    deposited: AtomicU32,
    journal: Mutex<Journal>,
}

/// What a person knows. Numbers of envelopes.
#[derive(Default)]
struct Journal {
    stored: BTreeSet<u32>,
    removing: BTreeSet<u32>,
    removed: BTreeSet<u32>,
}

impl Depositor {
    /// The person with this number.
    pub fn new(number: u32) -> Self {
        let key = fresh_key();
        let mailbox = MailboxId::of_return(key.public().as_bytes());
        Self {
            first: number * 1_000,
            key,
            mailbox,
            deposited: AtomicU32::new(0),
            journal: Mutex::default(),
        }
    }

    /// A link to the relay; `None` where it does not answer.
    pub async fn link(&self, relay: &RelayContact) -> Option<Linked> {
        let connection = Connection::dial(relay, now()).await.ok()?;
        let link = connection.link(&self.key).await.ok()?;
        Some(Linked {
            link,
            _connection: connection,
        })
    }

    /// How many deposits were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.journal().stored.len()
    }

    /// Deposits one more envelope.
    ///
    /// # Errors
    /// What the relay says.
    pub async fn deposit(&self, linked: &mut Linked) -> Result<(), LinkFault> {
        let number = self.first + self.deposited.fetch_add(1, Ordering::Relaxed);
        let request = Request::Deposit {
            target: Target::Return,
            mailbox: self.mailbox,
            withdraw: no_withdrawal(),
            proof: Vec::new(),
            envelope: envelope(number),
        };
        linked.link.request(&request).await?;
        self.journal().stored.insert(number);
        Ok(())
    }

    /// Has the relay remove an envelope that was stored.
    ///
    /// # Errors
    /// What the relay says.
    pub async fn remove(&self, number: u32, linked: &mut Linked) -> Result<(), LinkFault> {
        self.journal().removing.insert(number);
        let digest = EnvelopeDigest::of(envelope(number).as_slice());
        self.poll(linked, 0, vec![digest]).await?;
        self.journal().removed.insert(number);
        Ok(())
    }

    /// Deposits, and removes every third, until the relay stops answering or the mailbox is nearly full.
    pub async fn work(&self, relay: &RelayContact) {
        let Some(mut linked) = self.link(relay).await else {
            return;
        };
        for number in self.first..self.first + MOST {
            if self.deposit(&mut linked).await.is_err() {
                return;
            }
            if number % 3 == 0 && self.remove(number, &mut linked).await.is_err() {
                return;
            }
        }
    }

    /// How many acknowledged envelopes are not there any more.
    ///
    /// # Panics
    /// If the relay does not answer; if an envelope is altered, comes twice, or comes back after it was removed.
    pub async fn lost(&self, relay: &RelayContact) -> usize {
        let mut linked = self.link(relay).await.expect("the relay answers");
        let (mut found, mut cursor) = (BTreeSet::new(), 0);
        loop {
            let item = self.poll(&mut linked, cursor, Vec::new()).await;
            let item = item.expect("the relay answers");
            let Some(given) = item.envelope else { break };
            cursor = item.cursor;
            let number = u32::from_be_bytes(given[..4].try_into().expect("four bytes"));
            assert!(*given == *envelope(number), "{number} was altered");
            assert!(found.insert(number), "{number} came twice");
        }
        let journal = self.journal();
        let returned = found.intersection(&journal.removed).count();
        assert_eq!(returned, 0, "what was removed came back");
        let missing = journal.stored.iter().filter(|number| {
            // A removal that was not answered may have been done.
            !found.contains(number) && !journal.removing.contains(number)
        });
        missing.count()
    }

    async fn poll(
        &self,
        linked: &mut Linked,
        cursor: u64,
        removals: Vec<EnvelopeDigest>,
    ) -> Result<Item, LinkFault> {
        let request = Request::Poll {
            target: Target::Return,
            mailbox: self.mailbox,
            cursor,
            removals,
            wait_seconds: 0,
        };
        match linked.link.request(&request).await? {
            Answer::Item(item) => Ok(item),
            _ => Err(LinkFault::Nonsense),
        }
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link, and the connection that carries it.
pub struct Linked {
    link: OpenLink,
    _connection: Connection,
}

/// Several people at once.
pub struct Crowd(Vec<std::sync::Arc<Depositor>>);

impl Crowd {
    /// So many people.
    pub fn new(people: u32) -> Self {
        let person = |number| Depositor::new(number).into();
        Self((1..=people).map(person).collect())
    }

    /// All [`work`](Depositor::work) at the same time. Dropping it stops them where they are.
    pub async fn work(&self, relay: &RelayContact) {
        let mut people = JoinSet::new();
        for person in &self.0 {
            let (person, relay) = (person.clone(), relay.clone());
            people.spawn(async move { person.work(&relay).await });
        }
        people.join_all().await;
    }

    /// How many deposits were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.0.iter().map(|person| person.acknowledged()).sum()
    }

    /// How many acknowledged envelopes are [lost](Depositor::lost).
    ///
    /// # Panics
    /// As that.
    pub async fn lost(&self, relay: &RelayContact) -> usize {
        let mut lost = 0;
        for person in &self.0 {
            lost += person.lost(relay).await;
        }
        lost
    }
}

/// Bytes that are in the envelope of this number, 256 or more, and in no other. The first is not zero.
pub fn trace_of(number: u32) -> Vec<u8> {
    envelope(number)[4_002..4_022].to_vec()
}

/// An envelope that says its number in every block.
fn envelope(number: u32) -> Box<[u8; ENVELOPE]> {
    let mut envelope = Box::new([0; ENVELOPE]);
    for (at, block) in (0_u32..).zip(envelope.chunks_exact_mut(8)) {
        block[..4].copy_from_slice(&number.to_be_bytes());
        block[4..].copy_from_slice(&at.to_be_bytes());
    }
    envelope
}
