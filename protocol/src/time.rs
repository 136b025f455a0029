//! Points in time (spec §1): whole seconds since 1970, always an argument, never read from a clock here.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use minicbor::{Decode, Encode};

use crate::limits::DAY;

/// Seconds since 1970-01-01 00:00 UTC. Arithmetic saturates: a hostile date cannot overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] u64);

impl Timestamp {
    /// A point from its seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Its seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// The clock's reading that the caller took; a clock before 1970 reads as 1970.
    pub fn from_system(time: SystemTime) -> Self {
        Self(
            time.duration_since(UNIX_EPOCH)
                .unwrap_or(Duration::ZERO)
                .as_secs(),
        )
    }

    /// So many seconds later.
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// So many seconds earlier.
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` to this point, zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Rounded down to the hour: what a reply says of when it was written.
    pub const fn hour(self) -> Self {
        Self(self.0 - self.0 % 3_600)
    }

    /// The number of the day.
    pub const fn day(self) -> u64 {
        self.0 / DAY
    }
}

/// The date, as `2026-11-23` (UTC).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.day());
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Year, month and day of a day number. Source: the era arithmetic of H. Hinnant's "chrono-compatible low-level date algorithms".
fn civil(day_number: u64) -> (u64, u64, u64) {
    let z = day_number + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_in_the_gregorian_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_795_392_000, "2026-11-23"),
            (4_107_542_399, "2100-02-28"),
        ] {
            assert_eq!(Timestamp::from_seconds(seconds).to_string(), date);
        }
        assert!(Timestamp::from_seconds(u64::MAX).to_string().len() > 10);
    }
}
