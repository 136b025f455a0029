//! What a relay keeps of a published card (spec §7.3, publish).

use crate::card::{Card, CardError, SignedStatement, VerifiedCard};
use crate::id::Address;
use crate::limits::SKEW;
use crate::time::Timestamp;

/// The card to keep after `published` came in beside `held`: the roster with the highest epoch and, of each of its devices, the
/// newest statement; of two made in the same second, the one held.
///
/// # Errors
/// [`CardError`] by rules 1–5 of spec §5.3; also when a statement is dated more than an hour ahead, which would stay the newest for ever.
pub fn merge(
    address: Address,
    held: Option<&VerifiedCard>,
    published: Card,
    now: Timestamp,
) -> Result<VerifiedCard, CardError> {
    let known = held.map(VerifiedCard::known);
    let published = published.verify(address, known.as_ref(), now)?;
    if published
        .statements
        .iter()
        .any(|statement| statement.issued() > now.plus(SKEW))
    {
        return Err(CardError::StatementFromTheFuture);
    }
    let newest = published.roster.devices().iter().filter_map(|device| {
        let of = |card: &VerifiedCard| {
            let place = card
                .statements
                .iter()
                .position(|statement| *statement.signing_key() == device.signing)?;
            Some((
                card.statements[place].issued(),
                card.card.statements[place].clone(),
            ))
        };
        newer(held.and_then(of), of(&published))
    });
    let card = Card::new(
        published.card.roots.clone(),
        published.card.signed_roster(),
        newest.collect(),
    );
    card.verify(address, known.as_ref(), now)
}

fn newer(
    held: Option<(Timestamp, SignedStatement)>,
    published: Option<(Timestamp, SignedStatement)>,
) -> Option<SignedStatement> {
    match (held, published) {
        (Some((at, held)), Some((then, published))) => {
            Some(if then > at { published } else { held })
        }
        (held, published) => held.or(published).map(|(_, statement)| statement),
    }
}
