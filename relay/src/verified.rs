//! Cards that were verified. Every poll of an inbox asks for its card, also the poll of a stranger: checking the signatures
//! each time would let him make the relay work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use valise_protocol::card::VerifiedCard;
use valise_protocol::id::Address;

/// The last card that verified, for each address.
///
/// Nothing has to invalidate one: the store is asked for its card all the same, and only the very same bytes, which verified
/// once, are not verified again. A card that was published since has others, and an inbox that is not served has none.
#[derive(Default)]
pub(crate) struct VerifiedCards(Mutex<HashMap<Address, Known>>);

struct Known {
    bytes: Vec<u8>,
    card: Arc<VerifiedCard>,
}

impl VerifiedCards {
    /// The card that `bytes` encode. The time at which it verified may have passed: for asking who is on it only.
    ///
    /// # Errors
    /// Those of `verify`, which is called where these bytes were not the last to verify.
    pub(crate) fn get<E>(
        &self,
        address: Address,
        bytes: Vec<u8>,
        verify: impl FnOnce(&[u8]) -> Result<VerifiedCard, E>,
    ) -> Result<Arc<VerifiedCard>, E> {
        if let Some(known) = self.known(address, &bytes) {
            return Ok(known);
        }
        let card = Arc::new(verify(&bytes)?);
        let mut cards = self.cards();
        if cards.len() >= MOST {
            cards.clear();
        }
        let kept = Arc::clone(&card);
        cards.insert(address, Known { bytes, card: kept });
        Ok(card)
    }

    /// The card that `bytes` encode, if they were the last to verify for this address.
    pub(crate) fn known(&self, address: Address, bytes: &[u8]) -> Option<Arc<VerifiedCard>> {
        let cards = self.cards();
        let known = cards.get(&address)?;
        (known.bytes == bytes).then(|| Arc::clone(&known.card))
    }

    fn cards(&self) -> std::sync::MutexGuard<'_, HashMap<Address, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many are remembered: more inboxes than an operator has, and at most 64 MiB of cards.
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use getrandom::SysRng;
    use rand_core::UnwrapErr;
    use valise_protocol::card::{Card, CardError, DeviceKeys, Profile, Roster, first_root};
    use valise_protocol::key::SigningKey;
    use valise_protocol::time::Timestamp;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_392_000);

    fn card(root: &SigningKey, epoch: u64) -> (Address, Vec<u8>) {
        let address = Address::of_root(root.verifying_key().as_bytes());
        let devices = vec![DeviceKeys::generate(&mut UnwrapErr(SysRng)).public()];
        let profile = Profile::named(vec![("en".into(), "Example".into())]);
        let roster = Roster::new(address, epoch, devices, vec![vec![1]], profile, NOW).unwrap();
        let card = Card::new(first_root(root), roster.sign(root), vec![]);
        (address, card.encode())
    }

    #[test]
    fn only_other_bytes_are_verified_again() {
        let root = SigningKey::generate(&mut UnwrapErr(SysRng));
        let (address, first) = card(&root, 1);
        let (_, second) = card(&root, 2);
        let (cards, times) = (VerifiedCards::default(), Cell::new(0));
        let get = |bytes: &[u8]| {
            let card = cards.get(address, bytes.to_vec(), |bytes| {
                times.set(times.get() + 1);
                Card::decode(bytes)?.verify(address, None, NOW)
            });
            (card.unwrap().roster().epoch(), times.get())
        };
        assert_eq!(get(&first), (1, 1));
        assert_eq!(get(&first), (1, 1));
        assert_eq!(get(&second), (2, 2));
        assert_eq!(get(&second), (2, 2));
    }

    #[test]
    fn what_does_not_verify_is_not_remembered() {
        let root = SigningKey::generate(&mut UnwrapErr(SysRng));
        let (address, bytes) = card(&root, 1);
        let cards = VerifiedCards::default();
        let refused = cards.get(address, bytes, |_| Err(CardError::Malformed));
        assert!(refused.is_err());
        assert!(cards.cards().is_empty());
    }

    #[test]
    fn only_so_many_are_remembered() {
        let root = SigningKey::generate(&mut UnwrapErr(SysRng));
        let (address, bytes) = card(&root, 1);
        let verified = Card::decode(&bytes).unwrap().verify(address, None, NOW);
        let (verified, cards) = (verified.unwrap(), VerifiedCards::default());
        for number in 0..=MOST as u64 {
            let mut other = [0; 32];
            other[..8].copy_from_slice(&number.to_be_bytes());
            let verify = |_: &[u8]| Ok::<_, CardError>(verified.clone());
            cards
                .get(Address::from_bytes(other), bytes.clone(), verify)
                .unwrap();
        }
        assert_eq!(cards.cards().len(), 1);
    }
}
