//! The mechanisms that the operator allowed, with their cards: few, and so kept in memory.

use super::keys::Mark;
use super::segment::Place;
use crate::store::Standing;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    /// As what it is allowed.
    pub standing: Standing,
    /// What stands for its inbox on the disk.
    pub mark: Mark,
    /// The record that allows it.
    pub place: Place,
    /// Its newest card.
    pub card: Option<Card>,
}

/// Where a card lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Card {
    pub place: Place,
    pub sequence: u64,
    /// It was found damaged: nothing is read from it any more, and the next card takes its place.
    pub damaged: bool,
}
