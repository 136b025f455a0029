//! When an envelope that nobody collects is dropped, and a parcel (docs/design.md, "Admission").

use rand_core::CryptoRng;
use valise_protocol::limits::DAY;
use valise_protocol::time::Timestamp;

use crate::config::Config;

/// How long uncollected mail is kept, in days.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    shortest: u64,
    longest: u64,
}

impl Retention {
    /// As relay.toml says.
    pub const fn new(config: &Config) -> Self {
        Self {
            shortest: config.retention_days_min as u64,
            longest: config.retention_days_max as u64,
        }
    }

    /// The last day of a parcel: later than that of any envelope that comes while its upload goes on (spec §9.5).
    pub const fn of_parcel(&self, now: Timestamp) -> Timestamp {
        now.plus((self.longest + UPLOAD) * DAY)
    }

    /// Until when a parcel must be kept at least, for whoever counts on it now: as long as any envelope that comes now (spec §9.5).
    pub const fn of_envelope_at_most(&self, now: Timestamp) -> Timestamp {
        now.plus(self.longest * DAY)
    }

    /// Draws the last day of an envelope, uniformly. The store keeps the envelope to the end of that day, so the day tells
    /// of the arrival no more than a range of that many days.
    pub fn draw(&self, now: Timestamp, rng: &mut impl CryptoRng) -> Timestamp {
        let days = self.shortest + below(self.longest - self.shortest, rng);
        Timestamp::from_seconds((now.day() + days).saturating_mul(DAY))
    }
}

/// How many days an upload may take.
const UPLOAD: u64 = 14;

/// A number below `bound`, each equally likely.
fn below(bound: u64, rng: &mut impl CryptoRng) -> u64 {
    let bound = bound.max(1);
    // What lies beyond the last whole multiple is drawn again, or the small numbers would come more often.
    let end = u64::MAX - u64::MAX % bound;
    loop {
        let drawn = rng.next_u64();
        if drawn < end {
            return drawn % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    use super::*;

    #[test]
    fn every_day_between_is_drawn_and_none_tells_the_hour() {
        let retention = Retention::new(&Config::default());
        let now = Timestamp::from_seconds(1_795_392_000 + 12_345);
        let mut drawn: Vec<_> = (0..2_000)
            .map(|_| retention.draw(now, &mut UnwrapErr(SysRng)))
            .collect();
        assert!(drawn.iter().all(|expires| expires.seconds() % DAY == 0));
        drawn.sort_unstable();
        drawn.dedup();
        let days: Vec<_> = drawn
            .iter()
            .map(|expires| expires.day() - now.day())
            .collect();
        assert_eq!(days, (23..37).collect::<Vec<_>>());
    }
}
