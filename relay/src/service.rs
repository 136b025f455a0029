//! What a relay answers (spec §7.3, §7.4): policy over a [`Store`], without sockets.
//!
//! Who is told what: spec §7.4. A store's trouble reaches a stranger as "unavailable".

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand_core::CryptoRng;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use valise_protocol::card::{Card, CardError, VerifiedCard, merge};
use valise_protocol::hash::sha256;
use valise_protocol::id::{Address, EnvelopeDigest, Grant, MailboxId, Namespace, WithdrawHash};
use valise_protocol::key::DhPublic;
use valise_protocol::limits::FRAME_PLAIN;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{self, Answer, Item, Refusal, Request};

use crate::access::{Access, tags};
use crate::config::Config;
use crate::expiry::Retention;
use crate::grants::Grants;
use crate::stop::Stop;
use crate::store::{Cursor, Deposit, Deposited, Mailbox, Put, Store, StoreError, Target, Waiting};
use crate::verified::VerifiedCards;

/// How many damaged records one poll passes over.
const DAMAGED_IN_A_ROW: usize = 16;

/// Answers requests. Shared by all links.
pub struct Service<S> {
    store: Arc<S>,
    retention: Retention,
    cards: VerifiedCards,
    grants: Grants,
    /// Publishing reads, merges and writes a card: one at a time, or a device's statement would get lost.
    publishing: Mutex<()>,
    stop: Stop,
}

/// What a poll asks for.
struct Look {
    after: Cursor,
    removals: Vec<EnvelopeDigest>,
    wait: Duration,
    now: Timestamp,
}

impl<S: Store> Service<S> {
    /// A service over a store. When the relay stops, waiting polls are answered at once.
    pub fn new(store: Arc<S>, config: &Config, stop: Stop) -> Self {
        Self {
            store,
            retention: Retention::new(config),
            cards: VerifiedCards::default(),
            grants: Grants::default(),
            publishing: Mutex::new(()),
            stop,
        }
    }

    /// Answers one request of the client whose static key the link proved.
    ///
    /// What it changed is durable when it returns. Cancel-safe: a dropped call changed everything or nothing.
    pub async fn answer(
        &self,
        client: &DhPublic,
        request: Request,
        now: Timestamp,
        rng: &mut (impl CryptoRng + Send),
    ) -> Answer {
        let answered = match request {
            Request::Card { address } => self.card(address).await,
            Request::Deposit { proof, .. } if !proof.is_empty() => Err(Refusal::NoProof),
            Request::Deposit {
                target,
                mailbox,
                withdraw,
                envelope,
                ..
            } => {
                let target = match target {
                    wire::Target::Inbox => Target::Mailbox(Mailbox::Inbox(mailbox)),
                    wire::Target::Return => Target::Mailbox(Mailbox::Return(mailbox)),
                    wire::Target::Sink => Target::Sink,
                };
                let expires = self.retention.draw(now, rng);
                let deposit = Deposit {
                    target,
                    withdraw,
                    envelope,
                    expires,
                };
                self.deposit(deposit, now, rng).await
            }
            Request::Poll {
                target,
                mailbox,
                cursor,
                removals,
                wait_seconds,
            } => {
                let look = Look {
                    after: Cursor(cursor),
                    removals,
                    wait: Duration::from_secs(wait_seconds.into()),
                    now,
                };
                self.poll(client, target, mailbox, look).await
            }
            Request::Publish { card } => self.publish(client, &card, now).await,
            Request::Have { namespace } => {
                let until = self.retention.of_envelope_at_most(now);
                let held = self.store.parcels(namespace, until).await;
                held.map(Answer::Held).map_err(refusal)
            }
            Request::Put {
                namespace,
                index,
                grant,
                parcel,
            } => {
                let put = Put {
                    account: None,
                    namespace,
                    index,
                    parcel,
                    // One that would be gone before an envelope of today is put anew.
                    now: self.retention.of_envelope_at_most(now),
                    expires: self.retention.of_parcel(now),
                };
                self.put(client, grant, put, now).await
            }
            Request::Get {
                address,
                namespace,
                index,
            } => self.get(client, address, namespace, index, now).await,
            Request::Withdraw { inbox, secret } => {
                let hash = WithdrawHash::from_bytes(sha256(&[&secret]));
                let gone = self.store.withdraw(inbox, hash).await;
                gone.map(|gone| Answer::Withdrawn(gone.into()))
                    .map_err(refusal)
            }
            Request::Delete { namespace } => self.delete(client, namespace).await,
        };
        answered.unwrap_or_else(Answer::Refused)
    }

    /// Whether the rest of a put, which begins with this frame, is worth waiting for: it has a good grant, or something is there
    /// that it may be the same as.
    ///
    /// # Errors
    /// How the put is to be refused when it has been read.
    pub async fn admit_put(
        &self,
        client: &DhPublic,
        first: &[u8; FRAME_PLAIN],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let put = Request::put_in_first_frame(first);
        let (namespace, index, grant) = put.ok_or(Refusal::Malformed)?;
        may_write(client, namespace)?;
        if self.grants.is_good(&grant, now) {
            return Ok(());
        }
        let until = self.retention.of_envelope_at_most(now);
        let held = self.store.parcels(namespace, until).await;
        if held.is_ok_and(|held| held.contains(index)) {
            Ok(())
        } else {
            Err(Refusal::NoGrant)
        }
    }

    async fn card(&self, address: Address) -> Result<Answer, Refusal> {
        let card = self.store.card(address).await.map_err(refusal)?;
        card.map(Answer::Card).ok_or(Refusal::NoCard)
    }

    /// Every deposit is answered with a grant, and the same work is done for it; one in an inbox gives leave to put.
    async fn deposit(
        &self,
        deposit: Deposit,
        now: Timestamp,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<Answer, Refusal> {
        let account = match deposit.target {
            Target::Mailbox(Mailbox::Inbox(inbox)) => Some(inbox),
            Target::Mailbox(Mailbox::Return(_)) | Target::Sink => None,
        };
        let stored = match self.store.deposit(deposit).await.map_err(refusal)? {
            Deposited::Stored => wire::Stored::New,
            Deposited::AlreadyStored => wire::Stored::Already,
            Deposited::Replaced => wire::Stored::Replaced,
        };
        Ok(Answer::Stored(stored, self.grants.give(account, now, rng)))
    }

    /// What is there already needs no grant, and uses none up.
    async fn put(
        &self,
        client: &DhPublic,
        grant: Grant,
        put: Put,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        may_write(client, put.namespace)?;
        let account = self.grants.take(&grant, now);
        let kept = self.store.put_parcel(Put { account, ..put }).await;
        if account.is_some() && !matches!(kept, Ok(wire::Kept::New)) {
            self.grants.give_back(&grant);
        }
        kept.map(Answer::Kept).map_err(refusal)
    }

    async fn delete(&self, client: &DhPublic, namespace: Namespace) -> Result<Answer, Refusal> {
        may_write(client, namespace)?;
        let deleted = self.store.delete_parcels(namespace).await;
        deleted.map(Answer::Deleted).map_err(refusal)
    }

    async fn get(
        &self,
        client: &DhPublic,
        address: Address,
        namespace: Namespace,
        index: u32,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        self.access_of_device(client, address.inbox(), now).await?;
        let parcel = self.store.parcel(namespace, index, now).await;
        parcel.map(Answer::Parcel).map_err(refusal)
    }

    async fn poll(
        &self,
        client: &DhPublic,
        target: wire::Target,
        mailbox: MailboxId,
        look: Look,
    ) -> Result<Answer, Refusal> {
        let access = self.access(client, target, mailbox, look.now).await?;
        if !look.removals.is_empty() {
            let removal = self
                .store
                .remove(access.mailbox, access.reader(), &look.removals);
            removal.await.map_err(refusal)?;
        }
        let found = self.wait_for_next(client, target, mailbox, &look).await?;
        Ok(Answer::Item(match found {
            Some(Waiting {
                cursor,
                envelope,
                more,
            }) => Item {
                waiting: more,
                cursor: cursor.0,
                envelope: Some(envelope),
            },
            None => Item {
                waiting: 0,
                cursor: look.after.0,
                envelope: None,
            },
        }))
    }

    async fn access(
        &self,
        client: &DhPublic,
        target: wire::Target,
        mailbox: MailboxId,
        now: Timestamp,
    ) -> Result<Access, Refusal> {
        match target {
            wire::Target::Return => Access::of_holder(client, mailbox),
            // A reader's devices are known here as well, and still it has no inbox.
            wire::Target::Inbox if !self.store.serves(mailbox).await.map_err(refusal)? => {
                Err(Refusal::UnknownInbox)
            }
            wire::Target::Inbox => self.access_of_device(client, mailbox, now).await,
            wire::Target::Sink => Err(Refusal::Malformed),
        }
    }

    /// A device of a mechanism that is allowed here, as an inbox or as a reader, by the roster that the relay holds.
    async fn access_of_device(
        &self,
        client: &DhPublic,
        mailbox: MailboxId,
        now: Timestamp,
    ) -> Result<Access, Refusal> {
        let address = Address::from_bytes(*mailbox.as_bytes());
        let card = self.store.card(address).await.map_err(refusal)?;
        let bytes = card.ok_or(Refusal::NotADevice)?;
        let card = self
            .cards
            .get(address, bytes, |bytes| verify(address, bytes, now))?;
        Access::of_device(client, mailbox, &card)
    }

    /// The first envelope beyond the cursor; where there is none, the first that arrives before the time is over or the
    /// relay stops. A device that leaves the roster meanwhile is not given it.
    async fn wait_for_next(
        &self,
        client: &DhPublic,
        target: wire::Target,
        mailbox: MailboxId,
        look: &Look,
    ) -> Result<Option<Waiting>, Refusal> {
        let begun = Instant::now();
        let deadline = begun + look.wait;
        loop {
            let access = self.access(client, target, mailbox, look.now).await?;
            // Before looking: what arrives in between rings the bell.
            let arrival = pin!(self.store.arrival(access.mailbox));
            let time = look.now.plus(begun.elapsed().as_secs());
            let found = self.next(&access, look.after, time).await?;
            if found.is_some() || self.stop.is_given() || Instant::now() >= deadline {
                return Ok(found);
            }
            tokio::select! {
                () = arrival => (),
                () = sleep_until(deadline) => (),
                () = self.stop.given() => (),
            }
        }
    }

    /// Passes over records that turn out to be damaged: the store sets each aside when it meets it.
    async fn next(
        &self,
        access: &Access,
        after: Cursor,
        now: Timestamp,
    ) -> Result<Option<Waiting>, Refusal> {
        for _ in 0..DAMAGED_IN_A_ROW {
            let reader = access.reader();
            match self.store.next(access.mailbox, reader, after, now).await {
                Err(StoreError::Damaged) => (),
                outcome => return outcome.map_err(refusal),
            }
        }
        Err(Refusal::Unavailable)
    }

    /// Keeps a card, and drops what every device of its roster has removed already.
    async fn publish(
        &self,
        client: &DhPublic,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        let card = Card::decode(bytes).map_err(|_| Refusal::CardRefused)?;
        let address = card.address();
        // Who may not publish is turned away before anything that others would wait for.
        self.store.card(address).await.map_err(refusal)?;
        let published = match self.cards.known(address, bytes) {
            Some(known) => known.as_ref().clone(),
            None => card
                .verify(address, None, now)
                .map_err(|_| Refusal::CardRefused)?,
        };
        if !published.has_link_key(client) {
            return Err(Refusal::NotADevice);
        }
        let _one_at_a_time = self.publishing.lock().await;
        let held = self.held(address, now).await?;
        let kept = merge(address, held.as_deref(), published.card().clone(), now);
        let kept = kept.map_err(|_| Refusal::CardRefused)?;
        // A client that goes away must not come between the two.
        let store = Arc::clone(&self.store);
        let keeping = tokio::spawn(async move {
            store.put_card(address, kept.card().encode()).await?;
            store.settle(address.inbox(), &tags(&kept)).await
        });
        let kept = keeping.await.map_err(|_| Refusal::Unavailable)?;
        kept.map_err(refusal)?;
        Ok(Answer::Published)
    }

    /// The card held for a mechanism that is allowed here, whether or not it has run out since it was published.
    async fn held(
        &self,
        address: Address,
        now: Timestamp,
    ) -> Result<Option<Arc<VerifiedCard>>, Refusal> {
        let Some(bytes) = self.store.card(address).await.map_err(refusal)? else {
            return Ok(None);
        };
        let verify = |bytes: &[u8]| verify(address, bytes, now);
        self.cards.get(address, bytes, verify).map(Some)
    }
}

/// Drops from every inbox what all devices of its card have removed: a crash may have come between the two steps of publishing.
///
/// # Errors
/// Those of the store. A card that cannot be read settles nothing.
pub async fn settle_all(store: &impl Store, now: Timestamp) -> Result<(), StoreError> {
    for (address, _) in store.inboxes().await? {
        if let Ok(Some(bytes)) = store.card(address).await
            && let Ok(card) = verify(address, &bytes, now)
        {
            store.settle(address.inbox(), &tags(&card)).await?;
        }
    }
    Ok(())
}

/// Verifies a card that is held. What verified once and does not any more was damaged on the disk.
fn verify(address: Address, bytes: &[u8], now: Timestamp) -> Result<VerifiedCard, Refusal> {
    let card = Card::decode(bytes).map_err(|_| Refusal::Unavailable)?;
    let verified = match card.clone().verify(address, None, now) {
        Err(CardError::Expired { since }) => card.verify(address, None, since.minus(1)),
        Err(CardError::NotYetValid { from }) => card.verify(address, None, from),
        verified => verified,
    };
    verified.map_err(|_| Refusal::Unavailable)
}

/// Who writes in a namespace proves its key by the link (spec §9.1).
fn may_write(client: &DhPublic, namespace: Namespace) -> Result<(), Refusal> {
    if Namespace::of_writer(client.as_bytes()) == namespace {
        Ok(())
    } else {
        Err(Refusal::NotADevice)
    }
}

/// What a stranger is told of a store's trouble.
fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::UnknownInbox => Refusal::UnknownInbox,
        StoreError::MailboxFull => Refusal::MailboxFull,
        StoreError::StoreFull => Refusal::RelayFull,
        StoreError::ParcelsFull => Refusal::ParcelsFull,
        StoreError::OtherParcel => Refusal::OtherParcel,
        StoreError::NoAccount => Refusal::NoGrant,
        _ => Refusal::Unavailable,
    }
}
