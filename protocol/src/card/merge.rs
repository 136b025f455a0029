//! What a relay keeps of the cards that are published to it (spec §7.3).

use thiserror::Error;

use crate::bounded::List;
use crate::card::statement::SignedStatement;
use crate::card::{Card, VerifiedCard};
use crate::limits::CARD;
use crate::time::Timestamp;

/// Why a relay refuses a card that is valid by itself. The publishing device is at fault, or knows less than its colleagues.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeError {
    /// The one held is of another mechanism: a fault of the caller.
    #[error("the card held is of another mechanism")]
    AnotherMechanism,
    /// The relay holds a newer roster.
    #[error("the card has epoch {published}, the one held has epoch {held}")]
    Older {
        /// The epoch held.
        held: u64,
        /// The epoch published.
        published: u64,
    },
    /// The root key signed two rosters with one epoch. The one held stays.
    #[error("another roster with epoch {0} is held already")]
    OtherRoster(u64),
    /// A device's clock runs ahead: its statement would hide all that it makes until then.
    #[error("a prekey statement is dated {0}, which is ahead of the relay's clock")]
    FromTheFuture(Timestamp),
    /// All statements together do not fit.
    #[error("the card would have {0} bytes, at most {CARD} are allowed")]
    TooLarge(usize),
}

/// The card to keep: the roster with the highest epoch and, of each of its devices, the newest statement.
///
/// `published` was verified by rules 1 to 5 of spec §5.3 (without a known epoch); `held` is what this function gave before.
///
/// # Errors
/// [`MergeError`]: the card held stays as it is.
pub fn merge(
    held: Option<&Card>,
    published: &VerifiedCard,
    now: Timestamp,
) -> Result<Card, MergeError> {
    let new = &published.card;
    let mut statements = new.statements.iter().map(SignedStatement::statement);
    if let Some(ahead) = statements.find(|s| s.is_from_the_future(now)) {
        return Err(MergeError::FromTheFuture(ahead.issued));
    }
    let Some(held) = held else {
        return Ok(new.clone());
    };
    let (old_roster, new_roster) = (&held.proof.roster, &new.proof.roster);
    if old_roster.address != new_roster.address {
        return Err(MergeError::AnotherMechanism);
    }
    if old_roster.epoch > new_roster.epoch {
        return Err(MergeError::Older {
            held: old_roster.epoch,
            published: new_roster.epoch,
        });
    }
    if old_roster.epoch == new_roster.epoch && old_roster != new_roster {
        return Err(MergeError::OtherRoster(new_roster.epoch));
    }
    let proof = if old_roster == new_roster {
        held.proof.clone()
    } else {
        new.proof.clone()
    };
    let kept = proof.roster.devices.iter().filter_map(|device| {
        let of = |card: &Card| {
            let mut statements = card.statements.iter();
            statements
                .find(|s| s.statement().signing == device.signing)
                .cloned()
        };
        newest(of(held), of(new))
    });
    let statements = List::new(kept.collect::<Vec<_>>())
        .expect("a roster has at most as many devices as a card has statements");
    let card = Card { proof, statements };
    match card.encode().len() {
        ..=CARD => Ok(card),
        more => Err(MergeError::TooLarge(more)),
    }
}

/// The one issued later; the one held, where both were issued at the same time.
fn newest(held: Option<SignedStatement>, new: Option<SignedStatement>) -> Option<SignedStatement> {
    match (held, new) {
        (Some(held), Some(new)) if new.statement().issued > held.statement().issued => Some(new),
        (Some(held), _) => Some(held),
        (None, new) => new,
    }
}
