//! How far parcels have come: bytes, rate and time left.
//!
//! On a terminal one line that is written over; elsewhere a plain line now and then. Only what is durable is counted: by the
//! relay when it was sent, by this disk when it was fetched.

use std::cell::Cell;
use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::escape::columns;
use crate::ui;

/// How often a line is written where there is no terminal.
const PLAIN: Duration = Duration::from_secs(10);
/// How often in a second the line on a terminal is written over, at most.
const REDRAWS: u8 = 4;
/// How much time back the rate is taken from, at least.
const RATE: Duration = Duration::from_secs(20);

/// How far something has come. The line on a terminal goes away when this is dropped.
#[derive(Debug)]
pub struct Progress {
    what: String,
    total: u64,
    done: Cell<u64>,
    /// The line on the terminal; `None` where there is none.
    bar: Option<ProgressBar>,
    /// When a plain line was last written.
    told: Cell<Instant>,
    /// Two moments with what was done at each: the rate is taken from the earlier.
    earlier: Cell<(Instant, u64)>,
    later: Cell<(Instant, u64)>,
}

impl Progress {
    /// Begins; `what` is a word or two for the line, such as "attachments of 1a2b3c4d".
    pub fn new(what: &str, total_bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(total_bytes),
            ProgressDrawTarget::stderr_with_hz(REDRAWS),
        );
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self {
            what: what.to_owned(),
            total: total_bytes,
            done: Cell::new(0),
            bar: (!bar.is_hidden()).then_some(bar),
            told: Cell::new(now),
            earlier: Cell::new((now, 0)),
            later: Cell::new((now, 0)),
        }
    }

    /// So many bytes more are durable.
    pub fn add(&self, bytes: u64) {
        self.done.set(self.done.get() + bytes);
        let now = Instant::now();
        if now.duration_since(self.later.get().0) > RATE {
            self.earlier.set(self.later.get());
            self.later.set((now, self.done.get()));
        }
        match &self.bar {
            Some(bar) => {
                let width = ui::width().saturating_sub(1);
                bar.set_message(cut(&self.line(now), width));
                bar.tick();
            }
            None if now.duration_since(self.told.get()) >= PLAIN => {
                self.told.set(now);
                let _ = writeln!(std::io::stderr(), "{}", self.line(now));
            }
            None => {}
        }
    }

    /// How much is durable now.
    pub fn done(&self) -> u64 {
        self.done.get()
    }

    /// Ends it: the line on a terminal goes away. What has become of it all is for the caller to say.
    pub fn finish(self) {}

    fn line(&self, now: Instant) -> String {
        let (since, before) = self.earlier.get();
        let seconds = now.duration_since(since).as_secs_f64();
        line(&self.what, self.done.get(), self.total, before, seconds)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The line: `done` of `total` bytes, of which all but `before` in so many seconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate and a time left are estimates"
)]
fn line(what: &str, done: u64, total: u64, before: u64, seconds: f64) -> String {
    let begin = format!("valise: {what}: {} of {}", size(done), size(total));
    let rate = (done - before) as f64 / seconds.max(0.001);
    if seconds < 1.0 || rate < 1.0 {
        return begin;
    }
    let left = (total.saturating_sub(done) as f64 / rate).ceil() as u64;
    format!("{begin}, {}/s, {} left", size(rate as u64), time(left))
}

/// A number of bytes for people, in powers of a thousand.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    // What would be shown as 1000.0 of one unit is 1.0 of the next.
    let fits = |(unit, _): &&(u64, &str)| bytes >= unit - unit / 20_000;
    UNITS.iter().find(fits).map_or_else(
        || match bytes {
            1 => "1 byte".to_owned(),
            _ => format!("{bytes} bytes"),
        },
        |(unit, name)| {
            let tenths = (u128::from(bytes) * 10 + u128::from(unit / 2)) / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        },
    )
}

/// A time for people.
fn time(seconds: u64) -> String {
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..=5_399 => format!("{} min", seconds.div_ceil(60)),
        5_400..=172_799 => format!("{} h", seconds.div_ceil(3_600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

/// As much of a text as fits a row.
fn cut(text: &str, most: usize) -> String {
    let mut row = String::new();
    for character in text.chars() {
        row.push(character);
        if columns(&row) > most {
            row.pop();
            break;
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_units_that_fit() {
        for (bytes, told) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (31_449_000, "31.4 MB"),
            (999_949_999, "999.9 MB"),
            (999_950_000, "1.0 GB"),
            (4_293_132_288, "4.3 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(size(bytes), told);
        }
    }

    #[test]
    fn a_line_tells_what_is_durable_how_fast_it_came_and_how_long_the_rest_takes() {
        let begun = line("attachments of 1a2b", 0, 2_000_000, 0, 0.0);
        assert_eq!(begun, "valise: attachments of 1a2b: 0 bytes of 2.0 MB");
        let half = line("x", 1_000_000, 2_000_000, 0, 10.0);
        assert_eq!(half, "valise: x: 1.0 MB of 2.0 MB, 100.0 kB/s, 10 s left");
        // What came before the time that the rate is taken from does not count for it.
        let slower = line("x", 1_000_000, 10_000_000, 900_000, 10.0);
        assert_eq!(
            slower,
            "valise: x: 1.0 MB of 10.0 MB, 10.0 kB/s, 15 min left"
        );
        let stalled = line("x", 1_000_000, 2_000_000, 1_000_000, 10.0);
        assert_eq!(stalled, "valise: x: 1.0 MB of 2.0 MB");
        assert_eq!([time(7_200), time(200_000)], ["2 h", "3 days"]);
    }

    #[test]
    fn the_line_on_a_terminal_fits_it() {
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("語語語", 5), "語語");
        assert_eq!(cut("abc", 4), "abc");
    }
}
