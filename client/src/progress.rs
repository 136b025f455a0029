//! How far long work has come: what is done for good, how fast, and how long it still takes.
//!
//! On a terminal one line that moves, on standard error; anywhere else a plain line now and then.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ui::note;

/// Shows how far something has come. Dropping it clears the line.
pub struct Progress {
    what: String,
    total: u64,
    done: AtomicU64,
    /// What was done already when the work began: it tells nothing of the rate.
    before: AtomicU64,
    began: Instant,
    shown: Shown,
}

enum Shown {
    Line(ProgressBar),
    /// When the last line was written.
    Lines(Mutex<Instant>),
}

/// How often a line is written where nothing moves.
const EVERY: Duration = Duration::from_secs(10);
/// How often the line on a terminal is drawn, a second.
const DRAWN: u8 = 4;

impl Progress {
    /// Begins to show work on so many bytes.
    pub fn new(what: &str, total: u64) -> Self {
        let shown = if stderr().is_terminal() {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWN);
            let bar = ProgressBar::with_draw_target(None, target);
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            Shown::Line(bar)
        } else {
            Shown::Lines(Mutex::new(Instant::now()))
        };
        Self {
            what: what.to_owned(),
            total,
            done: AtomicU64::new(0),
            before: AtomicU64::new(0),
            began: Instant::now(),
            shown,
        }
    }

    /// So many bytes were done before this work began.
    pub fn begin_with(&self, bytes: u64) {
        self.before.fetch_add(bytes, Ordering::Relaxed);
        self.add(bytes);
    }

    /// So many bytes more are done.
    pub fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        match &self.shown {
            Shown::Line(bar) => bar.set_message(self.sentence(done)),
            Shown::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= EVERY {
                    *last = Instant::now();
                    drop(last);
                    note(&self.sentence(done));
                }
            }
        }
    }

    /// How many bytes are done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Says something without tearing the line.
    pub fn say(&self, text: &str) {
        match &self.shown {
            Shown::Line(bar) => bar.suspend(|| note(text)),
            Shown::Lines(_) => note(text),
        }
    }

    /// Ends it.
    pub fn finish(&self) {
        if let Shown::Line(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn sentence(&self, done: u64) -> String {
        let worked = done.saturating_sub(self.before.load(Ordering::Relaxed));
        let text = sentence(&self.what, done, self.total, worked, self.began.elapsed());
        match &self.shown {
            Shown::Line(_) => format!("valise: {text}"),
            Shown::Lines(_) => text,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn sentence(what: &str, done: u64, total: u64, worked: u64, time: Duration) -> String {
    let mut text = format!("{what}: {} of {}", bytes(done), bytes(total));
    let seconds = time.as_secs_f64();
    // Before that it would be a guess.
    if seconds >= 1.0 && worked > 0 {
        let rate = worked as f64 / seconds;
        let left = total.saturating_sub(done) as f64 / rate;
        text += &format!(
            ", {} a second, {} left",
            bytes(rate as u64),
            span(left as u64)
        );
    }
    text
}

/// A number of bytes for a person.
pub fn bytes(number: u64) -> String {
    let mut rest = number as f64;
    for unit in ["bytes", "kB", "MB"] {
        if rest < 1_000.0 {
            return if unit == "bytes" {
                format!("{number} bytes")
            } else {
                format!("{rest:.1} {unit}")
            };
        }
        rest /= 1_000.0;
    }
    format!("{rest:.2} GB")
}

/// A time for a person.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(262_144), "262.1 kB");
        assert_eq!(bytes(33_554_432), "33.6 MB");
        assert_eq!(bytes(4_294_967_296), "4.29 GB");
        assert_eq!([59, 61, 3_600].map(span), ["59 s", "2 min", "1 h 0 min"]);
    }

    #[test]
    fn the_rate_is_that_of_the_work_and_not_of_what_was_there_before() {
        let text = sentence(
            "storing",
            60_000_000,
            100_000_000,
            10_000_000,
            Duration::from_secs(5),
        );
        assert_eq!(
            text,
            "storing: 60.0 MB of 100.0 MB, 2.0 MB a second, 20 s left"
        );
        let text = sentence("storing", 9, 10, 0, Duration::from_secs(5));
        assert_eq!(text, "storing: 9 bytes of 10 bytes");
    }
}
