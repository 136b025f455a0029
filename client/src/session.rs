//! The small session: three links, always, whatever happens in them (spec §8).
//!
//! `card`, `deposit` and `poll` look the same from outside whether something is sent, asked for, refused or empty. So every
//! branch here ends in a deposit and a poll: where there is nothing to send, cover is sent; where the card was refused, cover goes to
//! the sink; where no mailbox is asked for, that of a random key is.

use valise_protocol::card::{Card, CardError, Known, VerifiedCard};
use valise_protocol::contact::RelayContact;
use valise_protocol::envelope::{SealError, seal};
use valise_protocol::id::{Address, EnvelopeDigest, Grant, MailboxId, WithdrawHash};
use valise_protocol::key::DhSecret;
use valise_protocol::limits::{ENVELOPE, SLOTS};
use valise_protocol::message::Message;
use valise_protocol::prekey::{Prekey, PrekeySecret};
use valise_protocol::time::Timestamp;
use valise_protocol::wire::{Answer, Item, Request, Stored, Target};

use crate::dial::{Connection, DialError, fresh_key};
use crate::failure::Failure;
use crate::link::{LinkFault, OpenLink};
use crate::random;

/// What goes into a deposit once the card is known.
pub struct Sealed {
    /// The envelope.
    pub envelope: Box<[u8; ENVELOPE]>,
    /// What it replaces (spec §4.4).
    pub withdraw: WithdrawHash,
}

/// Seals a deposit to these readers of the card with this epoch.
pub type Seal<'a> = dyn Fn(&[Prekey], u64) -> Result<Sealed, SealError> + Sync + 'a;

/// What a session asks for.
pub struct Errand<'a> {
    /// The mechanism.
    pub address: Address,
    /// What is known of its card already.
    pub known: Option<Known>,
    /// Go on with this roster, of which too few devices are fresh: only after the person was told the risk (spec §5.3).
    pub despite_staleness: Option<Accepted>,
    /// Makes the deposit from the readers and the card's epoch; `None` deposits cover.
    pub deposit: Option<&'a Seal<'a>>,
    /// What to collect.
    pub poll: Poll,
}

/// A roster whose staleness a person accepted. They were told of this one, and of no other that may come next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    epoch: u64,
    freshness: (usize, usize),
}

impl Accepted {
    /// What a card shows now.
    pub fn of(card: &VerifiedCard, now: Timestamp) -> Self {
        Self {
            epoch: card.epoch(),
            freshness: card.freshness(now),
        }
    }

    /// Who reads what is sealed to a card: the fresh devices, or, if that was accepted, also those with older prekeys.
    pub fn readers(
        accepted: Option<Self>,
        card: &VerifiedCard,
        now: Timestamp,
    ) -> Option<Vec<Prekey>> {
        match card.readers(now) {
            Ok(readers) => Some(readers),
            Err(_) if accepted == Some(Self::of(card, now)) => {
                Some(card.readers_despite_staleness(now))
            }
            Err(_) => None,
        }
    }
}

/// The poll of a session.
pub enum Poll {
    /// A mailbox of a random key: nothing is asked for.
    Nothing,
    /// The return mailbox of this key.
    Return {
        /// The mailbox key.
        key: DhSecret,
        /// Replies to remove first.
        removals: Vec<EnvelopeDigest>,
        /// Where to go on, 0 at the beginning.
        cursor: u64,
    },
}

/// Why the card could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardFault {
    /// The relay did not give one.
    #[error(transparent)]
    Link(#[from] LinkFault),
    /// It was refused (spec §5.3).
    #[error(transparent)]
    Card(#[from] CardError),
    /// It is the mechanism's, and says that the mechanism has no inbox at this relay.
    #[error("the mechanism's card does not name the relay that was reached")]
    AnotherRelay,
}

/// Why the deposit did not take place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DepositFault {
    /// The relay refused it, or the link broke.
    #[error(transparent)]
    Link(#[from] LinkFault),
    /// It could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The card was refused, so cover went to the sink and nothing else.
    #[error("nothing was sent, because the mechanism's card was refused")]
    NoCard,
}

/// What came of each of the three links.
pub struct Result3 {
    /// The mechanism's newest card.
    pub card: Result<VerifiedCard, CardFault>,
    /// The deposit: what the relay says of it, and the leave to put parcels that it brought.
    pub deposit: Result<(Stored, Grant), DepositFault>,
    /// What was in the mailbox.
    pub poll: Result<Item, LinkFault>,
}

/// Runs one small session on a connection of its own.
///
/// # Errors
/// [`DialError`] when the relay was not reached; everything later is told for each link.
pub async fn run(
    relay: &RelayContact,
    errand: Errand<'_>,
    now: Timestamp,
) -> Result<Result3, DialError> {
    let connection = Connection::dial(relay, now).await?;
    let result = run_on(&connection, &errand, now).await;
    connection.close().await;
    Ok(result)
}

/// Runs one small session on a connection that nothing else uses.
pub async fn run_on(connection: &Connection, errand: &Errand<'_>, now: Timestamp) -> Result3 {
    let (poll_key, poll_request) = poll_request(&errand.poll);
    let (card_key, deposit_key) = (fresh_key(), fresh_key());
    let (card_link, deposit_link, poll_link) = tokio::join!(
        connection.link(&card_key),
        connection.link(&deposit_key),
        connection.link(&poll_key)
    );
    let ((card, deposit), poll) = tokio::join!(
        async {
            let card = fetch_card(card_link, connection, errand, now).await;
            let deposit = deposit(deposit_link, card.as_ref().ok(), errand, now).await;
            (card, deposit)
        },
        poll(poll_link, poll_request),
    );
    Result3 {
        card,
        deposit,
        poll,
    }
}

fn poll_request(poll: &Poll) -> (DhSecret, Request) {
    let (key, removals, cursor) = match poll {
        Poll::Nothing => (fresh_key(), Vec::new(), 0),
        Poll::Return {
            key,
            removals,
            cursor,
        } => (
            DhSecret::from_bytes(key.expose()),
            removals.clone(),
            *cursor,
        ),
    };
    let mailbox = MailboxId::of_return(key.public().as_bytes());
    (
        key,
        Request::Poll {
            target: Target::Return,
            mailbox,
            cursor,
            removals,
            wait_seconds: 0,
        },
    )
}

async fn fetch_card(
    link: Result<OpenLink, LinkFault>,
    connection: &Connection,
    errand: &Errand<'_>,
    now: Timestamp,
) -> Result<VerifiedCard, CardFault> {
    let mut link = link?;
    let answer = link
        .request(&Request::Card {
            address: errand.address,
        })
        .await;
    link.finish();
    match answer? {
        Answer::Card(bytes) => {
            let card = Card::decode(&bytes)?;
            let card = card.verify(errand.address, errand.known.as_ref(), now)?;
            let relay = connection.descriptor().id();
            if card.relays().any(|listed| listed.id() == relay) {
                Ok(card)
            } else {
                Err(CardFault::AnotherRelay)
            }
        }
        _ => Err(LinkFault::Nonsense.into()),
    }
}

/// Deposits what the errand wants, or cover; exactly one deposit in every case.
async fn deposit(
    link: Result<OpenLink, LinkFault>,
    card: Option<&VerifiedCard>,
    errand: &Errand<'_>,
    now: Timestamp,
) -> Result<(Stored, Grant), DepositFault> {
    let mut link = link?;
    let readers = card.and_then(|card| Accepted::readers(errand.despite_staleness, card, now));
    let (target, sealed, usable) = match (readers, card) {
        (Some(readers), Some(card)) if !readers.is_empty() => {
            let sealed = match errand.deposit {
                Some(deposit) => deposit(&readers, card.epoch())?,
                None => cover(&readers, &errand.address)?,
            };
            (Target::Inbox, sealed, true)
        }
        _ => (Target::Sink, cover_to_nobody(&errand.address)?, false),
    };
    let request = Request::Deposit {
        target,
        mailbox: errand.address.inbox(),
        withdraw: sealed.withdraw,
        proof: Vec::new(),
        envelope: sealed.envelope,
    };
    let answer = link.request(&request).await;
    link.finish();
    match answer? {
        Answer::Stored(stored, grant) if usable => Ok((stored, grant)),
        Answer::Stored(..) => Err(DepositFault::NoCard),
        _ => Err(LinkFault::Nonsense.into()),
    }
}

async fn poll(link: Result<OpenLink, LinkFault>, request: Request) -> Result<Item, LinkFault> {
    let mut link = link?;
    let answer = link.request(&request).await;
    link.finish();
    match answer? {
        Answer::Item(item) => Ok(item),
        _ => Err(LinkFault::Nonsense),
    }
}

/// Cover for the devices of a card, under a fresh writer's key: it must not tell staff when a defender looks in.
pub fn cover(readers: &[Prekey], address: &Address) -> Result<Sealed, SealError> {
    let envelope = seal(
        readers,
        address,
        &fresh_key(),
        &Message::Cover.encode(),
        &mut random::system(),
    )?;
    Ok(Sealed {
        envelope,
        withdraw: random_withdraw_hash(),
    })
}

/// Cover for nobody, with as much work as for eight devices.
fn cover_to_nobody(address: &Address) -> Result<Sealed, SealError> {
    let nobody: Vec<Prekey> = (0..SLOTS)
        .map(|_| PrekeySecret::generate(&mut random::system()).public())
        .collect();
    cover(&nobody, address)
}

/// A withdraw hash that nobody can withdraw by.
pub fn random_withdraw_hash() -> WithdrawHash {
    WithdrawHash::from_bytes(*fresh_key().expose())
}

impl From<CardFault> for Failure {
    fn from(fault: CardFault) -> Self {
        match fault {
            CardFault::Link(fault) => fault.into(),
            CardFault::Card(error) => Self::from_card(&error),
            CardFault::AnotherRelay => Self::new(fault.to_string())
                .hint("the mechanism may have moved, or the contact line was altered: get it again from the mechanism's own website"),
        }
    }
}

impl From<DepositFault> for Failure {
    fn from(fault: DepositFault) -> Self {
        match fault {
            DepositFault::Link(fault) => fault.into(),
            DepositFault::Seal(error) => Self::new(format!("could not seal: {error}")),
            DepositFault::NoCard => Self::new(fault.to_string()),
        }
    }
}

impl Failure {
    /// What a refused card means for the person.
    pub fn from_card(error: &CardError) -> Self {
        let failure = Self::new(format!("the mechanism's card was refused: {error}"));
        match error {
            CardError::Expired { .. } => failure
                .hint("the mechanism must renew it: tell them by another way, or try again later")
                .hint("check this computer's date as well"),
            CardError::NotYetValid { .. } => failure.hint("check this computer's date and time"),
            CardError::RolledBack { .. } | CardError::NewerEpochInStatement | CardError::Conflicting => failure
                .hint("somebody may be holding back a newer card: do not send, and ask the mechanism by another way"),
            _ => failure.hint("get the contact line again from the mechanism's own website and compare the words"),
        }
    }
}
