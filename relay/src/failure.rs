//! What is told to a person when a command fails, and the exit status that goes with it (docs/operate.md, "Exit statuses").

use std::fmt::{self, Display};
use std::process::ExitCode;

/// What a command exits with, so that a supervisor can tell what is worth restarting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Anything that has no number of its own.
    Failed = 1,
    /// The command line is wrong (clap's own number).
    Usage = 2,
    /// The disk did not take what it was given: nothing was acknowledged after that.
    Store = 3,
    /// The address cannot be listened on.
    Listen = 4,
    /// relay.toml or a key file is missing, malformed or readable by others.
    Config = 5,
    /// Another process has this directory open.
    Locked = 6,
}

/// What was being done, to what, and what went wrong; the hints say what to do next.
#[derive(Debug)]
pub struct Failure {
    what: String,
    hints: Vec<String>,
    status: Status,
}

impl Failure {
    /// A failure in one lower-case sentence without a full stop.
    pub fn new(status: Status, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hints: Vec::new(),
            status,
        }
    }

    /// A failure of something that had an error of its own.
    pub fn of(status: Status, doing: &str, error: impl Display) -> Self {
        Self::new(status, format!("{doing}: {error}"))
    }

    /// The same with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit status.
    pub const fn status(&self) -> Status {
        self.status
    }
}

/// `valise-relay: error: …` and a line `valise-relay: hint: …` for each hint, without a final line end.
impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "valise-relay: error: {}", self.what)?;
        for hint in &self.hints {
            write!(f, "\nvalise-relay: hint: {hint}")?;
        }
        Ok(())
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_first_and_every_hint_on_its_own_line() {
        let failure = Failure::of(Status::Config, "reading relay.toml", "no").hint("write one");
        assert_eq!(
            failure.to_string(),
            "valise-relay: error: reading relay.toml: no\nvalise-relay: hint: write one"
        );
    }
}
