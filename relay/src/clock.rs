//! What time it is: the machine's clock, guarded against leaps, or a test's own.
//!
//! A relay that believes every leap of its clock deletes mail early (ten years forward) or stores mail that will be
//! deleted early (ten years back). So the wall clock is believed once, when the relay starts, and from then on it is
//! followed only as far as it agrees, within [`LEAP`], with the clock that counts since boot and that nobody sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::time::{ClockId, clock_gettime};
use valise_protocol::time::Timestamp;

/// How far the wall clock may run from the boot clock and still be followed, in seconds: the tolerance that signed
/// dates have anyway (spec §5.3).
pub const LEAP: u64 = valise_protocol::limits::SKEW;

/// A clock. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System(Guard),
    Simulated(AtomicU64),
}

/// The point at which wall clock and boot clock were read together and believed. It does not move: small steps
/// must not add up to a leap.
#[derive(Clone, Copy, Debug)]
struct Guard {
    wall: Timestamp,
    boot: u64,
}

impl Clock {
    /// The machine's clock, believed now.
    pub fn system() -> Self {
        Self(Arc::new(Source::System(Guard {
            wall: wall(),
            boot: boot(),
        })))
    }

    /// A clock that stands still until it is [advanced](Self::advance). For tests.
    pub fn simulated(now: Timestamp) -> Self {
        Self(Arc::new(Source::Simulated(AtomicU64::new(now.seconds()))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System(guard) => guard.read(wall(), boot()).0,
            Source::Simulated(now) => Timestamp::from_seconds(now.load(Ordering::SeqCst)),
        }
    }

    /// Moves a simulated clock forward by so many seconds; does nothing to the machine's.
    pub fn advance(&self, seconds: u64) {
        if let Source::Simulated(now) = &*self.0 {
            now.fetch_add(seconds, Ordering::SeqCst);
        }
    }

    /// Whether the wall clock has leapt and is not followed.
    pub fn has_leapt(&self) -> bool {
        match &*self.0 {
            Source::System(guard) => guard.read(wall(), boot()).1,
            Source::Simulated(_) => false,
        }
    }
}

impl Guard {
    /// The time to believe, given both clocks, and whether that is not the wall clock's.
    const fn read(&self, wall: Timestamp, boot: u64) -> (Timestamp, bool) {
        let counted = self.wall.plus(boot.saturating_sub(self.boot));
        if wall.since(counted) > LEAP || counted.since(wall) > LEAP {
            (counted, true)
        } else {
            (wall, false)
        }
    }
}

fn wall() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Seconds since boot, sleep included.
fn boot() -> u64 {
    u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: u64 = 10 * 365 * 86_400;

    const START: Timestamp = Timestamp::from_seconds(5 * YEARS);
    const GUARD: Guard = Guard {
        wall: START,
        boot: 100,
    };

    #[test]
    fn small_corrections_are_followed() {
        let slewed = START.plus(60 + 20);
        assert_eq!(GUARD.read(slewed, 160), (slewed, false));
    }

    #[test]
    fn a_leap_of_ten_years_is_not_followed_either_way() {
        for leap in [START.plus(YEARS), START.minus(YEARS)] {
            assert_eq!(GUARD.read(leap, 160), (START.plus(60), true));
        }
    }

    #[test]
    fn a_clock_that_was_put_right_is_followed_again() {
        assert_eq!(GUARD.read(START.plus(90), 190), (START.plus(90), false));
    }

    #[test]
    fn a_simulated_clock_stands_still_until_it_is_advanced() {
        let clock = Clock::simulated(Timestamp::from_seconds(7));
        clock.clone().advance(3);
        assert_eq!(clock.now(), Timestamp::from_seconds(10));
    }
}
