//! The life of this device's prekeys (spec §5.2, §5.4).
//!
//! A new one every 7 days, and whenever the roster changed: its statement then carries the new roster's number, and nobody can
//! pass off the old roster beside it. The private half of an old one is what opens old mail, so it dies as early as it may.

use rand_core::CryptoRng;
use valise_protocol::limits::{
    DAY, PREKEY_FRESH, PREKEY_GRACE, PREKEY_RENEWAL, RETENTION_COUNTED, SKEW,
};
use valise_protocol::time::Timestamp;

use crate::vault::state::{OwnPrekey, State};

/// What was collected before old prekeys are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// Every relay said that nothing more waits for this device.
    Everything,
    /// Something may still wait.
    NotAll,
}

/// So many seconds longer than the relay's longest retention a prekey lives after it stopped being fresh.
pub const AFTER_RETENTION: u64 = 2 * DAY;

/// Whether a new prekey is due under this roster.
pub fn is_due(state: &State, epoch: u64, now: Timestamp) -> bool {
    state.prekeys.last().is_none_or(|newest| {
        let old = now.since(newest.issued) >= PREKEY_RENEWAL || is_of_the_future(newest, now);
        // A statement of the same second would not replace the one before it.
        let outdated = newest.epoch < epoch && now > newest.issued;
        old || outdated
    })
}

/// Made while the clock was ahead: no sender uses its statement, and no relay takes it (spec §5.3).
fn is_of_the_future(prekey: &OwnPrekey, now: Timestamp) -> bool {
    prekey.issued > now.plus(SKEW)
}

/// Makes a new prekey if one is due. One of the future that was never published goes.
pub fn renew(state: &mut State, epoch: u64, now: Timestamp, rng: &mut impl CryptoRng) {
    if is_due(state, epoch, now) {
        state.forget_prekeys(|prekey| is_of_the_future(prekey, now) && !prekey.published);
        state.prekeys.push(OwnPrekey::generate(epoch, now, rng));
    }
}

/// Deletes the private halves that are of no more use, and gives their number: never the newest, never before a later one is
/// published.
pub fn bury(state: &mut State, collected: Collected, now: Timestamp) -> usize {
    let last_published = state.prekeys.iter().rposition(|prekey| prekey.published);
    let Some(successor) = last_published else {
        return 0;
    };
    let successor = state.prekeys[successor].issued;
    let at_worst = state
        .retention_days
        .min(RETENTION_COUNTED)
        .saturating_mul(DAY)
        .saturating_add(AFTER_RETENTION);
    state.forget_prekeys(|prekey| {
        let stale_for = now.since(prekey.issued.plus(PREKEY_FRESH));
        let is_stale = now > prekey.issued.plus(PREKEY_FRESH);
        let done = match collected {
            Collected::Everything => stale_for >= PREKEY_GRACE,
            Collected::NotAll => false,
        };
        prekey.issued < successor && is_stale && (done || stale_for >= at_worst)
    })
}

#[cfg(test)]
mod tests {
    use valise_protocol::id::Address;

    use super::*;
    use crate::random::system as rng;

    const DAY_0: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn day(days: u64) -> Timestamp {
        DAY_0.plus(days * DAY)
    }

    /// A device with a prekey of each of these days, all published.
    fn state(days: &[u64]) -> State {
        let mut state = State::new(Address::from_bytes([1; 32]), "c".into(), &mut rng());
        state.retention_days = 37;
        for at in days {
            let mut prekey = OwnPrekey::generate(1, day(*at), &mut rng());
            prekey.published = true;
            state.prekeys.push(prekey);
        }
        state
    }

    fn left(state: &State) -> Vec<u64> {
        state
            .prekeys
            .iter()
            .map(|prekey| prekey.issued.since(DAY_0) / DAY)
            .collect()
    }

    #[test]
    fn a_prekey_is_renewed_after_seven_days_and_not_before() {
        let mut state = state(&[0]);
        renew(&mut state, 1, day(7).minus(1), &mut rng());
        assert_eq!(left(&state), [0]);
        renew(&mut state, 1, day(7), &mut rng());
        assert_eq!(left(&state), [0, 7]);
        assert!(!state.prekeys[1].published);
    }

    #[test]
    fn a_clock_that_was_ahead_once_does_not_stop_renewal() {
        let mut state = state(&[0]);
        renew(&mut state, 1, day(400), &mut rng());
        assert_eq!(left(&state), [0, 400], "made while the clock was ahead");
        renew(&mut state, 1, day(7), &mut rng());
        assert_eq!(
            left(&state),
            [0, 7],
            "no relay took it, so nobody seals to it"
        );
        renew(&mut state, 1, day(7).minus(SKEW), &mut rng());
        assert_eq!(left(&state), [0, 7], "an hour is nothing");
    }

    #[test]
    fn a_published_prekey_from_the_future_is_kept_and_followed() {
        let mut state = state(&[0, 400]);
        renew(&mut state, 1, day(7), &mut rng());
        assert_eq!(left(&state), [0, 400, 7]);
        renew(&mut state, 1, day(8), &mut rng());
        assert_eq!(left(&state), [0, 400, 7], "once");
    }

    #[test]
    fn a_new_roster_brings_a_new_prekey() {
        let mut state = state(&[0]);
        renew(&mut state, 2, DAY_0, &mut rng());
        assert_eq!(left(&state), [0], "not within the same second");
        renew(&mut state, 2, DAY_0.plus(1), &mut rng());
        assert_eq!(state.prekeys[1].epoch, 2);
    }

    #[test]
    fn a_private_half_dies_seven_days_after_freshness_when_everything_was_collected() {
        let mut state = state(&[0, 7, 14, 21]);
        assert_eq!(bury(&mut state, Collected::Everything, day(21).minus(1)), 0);
        assert_eq!(bury(&mut state, Collected::Everything, day(21)), 1);
        assert_eq!(left(&state), [7, 14, 21]);
    }

    #[test]
    fn a_private_half_outlives_retention_by_two_days_where_something_may_wait() {
        let mut state = state(&[0, 50]);
        assert_eq!(
            bury(&mut state, Collected::NotAll, day(14 + 37 + 2).minus(1)),
            0
        );
        assert_eq!(bury(&mut state, Collected::NotAll, day(14 + 37 + 2)), 1);
        assert_eq!(left(&state), [50]);
    }

    #[test]
    fn no_private_half_outlives_53_days_whatever_a_relay_says() {
        let mut state = state(&[0, 50]);
        state.retention_days = 366;
        assert_eq!(bury(&mut state, Collected::NotAll, day(53)), 1);
    }

    #[test]
    fn no_private_half_dies_before_its_successor_is_published() {
        let mut state = state(&[0, 60]);
        state.prekeys[1].published = false;
        assert_eq!(bury(&mut state, Collected::Everything, day(400)), 0);
        state.prekeys[1].published = true;
        assert_eq!(bury(&mut state, Collected::Everything, day(400)), 1);
        assert_eq!(left(&state), [60], "and the newest stays however old it is");
    }
}
