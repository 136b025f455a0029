//! Grants: leave to put parcels on the account of an inbox, given with every deposit in it (spec §9.5). In memory only: after a
//! restart, and when too many were given since, a client deposits the same submission again and has another.
//!
//! Who deposits over and over in one inbox costs that inbox its older grants, and no other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand_core::CryptoRng;
use valise_protocol::id::{Grant, MailboxId};
use valise_protocol::limits::{DAY, GRANT};
use valise_protocol::time::Timestamp;

/// The grants that are good.
#[derive(Default)]
pub(crate) struct Grants(Mutex<Known>);

#[derive(Default)]
struct Known {
    given: HashMap<Grant, Leave>,
    /// Of each account that has any, oldest first.
    order: HashMap<MailboxId, VecDeque<Grant>>,
}

struct Leave {
    account: MailboxId,
    parcels: u32,
    until: Timestamp,
}

impl Grants {
    /// A new grant; good for nothing where it is on no account.
    pub(crate) fn give(
        &self,
        account: Option<MailboxId>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Grant {
        let mut bytes = [0; GRANT];
        rng.fill_bytes(&mut bytes);
        let grant = Grant::from_bytes(bytes);
        let mut known = self.known();
        if let Some(account) = account {
            if known.given.len() >= MOST {
                known.make_room();
            }
            let leave = Leave {
                account,
                parcels: GOOD_FOR_PARCELS,
                until: now.plus(GOOD_FOR_SECONDS),
            };
            known.given.insert(grant, leave);
            known.order.entry(account).or_default().push_back(grant);
        }
        grant
    }

    /// Whether [`Self::take`] would give an inbox.
    pub(crate) fn is_good(&self, grant: &Grant, now: Timestamp) -> bool {
        let known = self.known();
        let leave = known.given.get(grant);
        leave.is_some_and(|leave| leave.parcels > 0 && now <= leave.until)
    }

    /// Uses a grant for one parcel; gives the inbox on whose account. `None` where it is not known, used up, or too old.
    pub(crate) fn take(&self, grant: &Grant, now: Timestamp) -> Option<MailboxId> {
        let mut known = self.known();
        let leave = known.given.get_mut(grant);
        let leave = leave.filter(|leave| now <= leave.until)?;
        leave.parcels = leave.parcels.checked_sub(1)?;
        Some(leave.account)
    }

    /// Takes back that it was used: nothing was kept.
    pub(crate) fn give_back(&self, grant: &Grant) {
        if let Some(leave) = self.known().given.get_mut(grant) {
            leave.parcels += 1;
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets the oldest grant of the account that has the most. There are no more accounts than inboxes.
    fn make_room(&mut self) {
        let most = self.order.iter().max_by_key(|(_, grants)| grants.len());
        let Some(most) = most.map(|(account, _)| *account) else {
            return;
        };
        if let Some(grants) = self.order.get_mut(&most) {
            if let Some(oldest) = grants.pop_front() {
                self.given.remove(&oldest);
            }
            if grants.is_empty() {
                self.order.remove(&most);
            }
        }
    }
}

/// How many are remembered: 2 MiB of memory, and as many as an inbox usually may have envelopes.
const MOST: usize = 16_384;
/// How many parcels each is good for: 1 GiB.
const GOOD_FOR_PARCELS: u32 = 4_096;
/// How long each is good: an upload over a slow line takes hours.
const GOOD_FOR_SECONDS: u64 = DAY;

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_392_000);
    const INBOX: MailboxId = MailboxId::from_bytes([1; 32]);

    fn give(grants: &Grants, account: Option<MailboxId>) -> Grant {
        grants.give(account, NOW, &mut UnwrapErr(SysRng))
    }

    #[test]
    fn a_grant_is_good_for_so_many_parcels_and_no_more() {
        let grants = Grants::default();
        let grant = give(&grants, Some(INBOX));
        for _ in 0..GOOD_FOR_PARCELS {
            assert!(grants.is_good(&grant, NOW));
            assert_eq!(grants.take(&grant, NOW), Some(INBOX));
        }
        assert!(!grants.is_good(&grant, NOW));
        assert_eq!(grants.take(&grant, NOW), None);
        grants.give_back(&grant);
        assert_eq!(grants.take(&grant, NOW), Some(INBOX));
        assert_eq!(grants.take(&grant, NOW), None);
    }

    #[test]
    fn a_grant_is_good_for_a_day() {
        let grants = Grants::default();
        let grant = give(&grants, Some(INBOX));
        assert_eq!(grants.take(&grant, NOW.plus(DAY)), Some(INBOX));
        assert_eq!(grants.take(&grant, NOW.plus(DAY + 1)), None);
        assert!(!grants.is_good(&grant, NOW.plus(DAY + 1)));
    }

    #[test]
    fn a_grant_on_no_account_is_good_for_nothing() {
        let grants = Grants::default();
        let (one, other) = (give(&grants, None), give(&grants, None));
        assert_ne!(one, other);
        assert_eq!(grants.take(&one, NOW), None);
        assert!(grants.known().given.is_empty());
    }

    #[test]
    fn the_oldest_makes_room() {
        let grants = Grants::default();
        let first = give(&grants, Some(INBOX));
        let second = give(&grants, Some(INBOX));
        for _ in 2..=MOST {
            give(&grants, Some(INBOX));
        }
        assert_eq!(grants.take(&first, NOW), None);
        assert_eq!(grants.take(&second, NOW), Some(INBOX));
        assert_eq!(grants.known().given.len(), MOST);
    }

    #[test]
    fn deposits_in_one_inbox_take_no_grant_of_another() {
        let grants = Grants::default();
        let other = MailboxId::from_bytes([2; 32]);
        let theirs: Vec<_> = (0..10).map(|_| give(&grants, Some(other))).collect();
        let first = give(&grants, Some(INBOX));
        for _ in 0..2 * MOST {
            give(&grants, Some(INBOX));
        }
        assert_eq!(grants.take(&first, NOW), None);
        for grant in &theirs {
            assert_eq!(grants.take(grant, NOW), Some(other));
        }
        assert_eq!(grants.known().given.len(), MOST);
        let remembered = grants.known().order.values().map(VecDeque::len).sum();
        assert_eq!(MOST, remembered);
    }
}
