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
        Self::new(status, format!("{doing}: {}", plain(&error.to_string())))
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

/// `valise-relay: error: …` and a line `valise-relay: hint: …` for each hint, wrapped to 80 columns, without a final line end.
impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        wrap(f, &format!("valise-relay: error: {}", self.what))?;
        for hint in &self.hints {
            f.write_str("\n")?;
            wrap(f, &format!("valise-relay: hint: {hint}"))?;
        }
        Ok(())
    }
}

/// Breaks at spaces so that no line is over 80 columns, where words let it.
fn wrap(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut column = 0;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > 80 {
            f.write_str("\n  ")?;
            column = 2;
        } else if column > 0 {
            f.write_str(" ")?;
            column += 1;
        }
        f.write_str(word)?;
        column += width;
    }
    Ok(())
}

/// What the system says, without its number and in lower case.
fn plain(error: &str) -> String {
    let Some((before, number)) = error.split_once(" (os error ") else {
        return error.to_owned();
    };
    let after = number.split_once(')').map_or("", |(_, after)| after);
    let (rest, system) = match before.rsplit_once(": ") {
        Some((rest, system)) => (format!("{rest}: "), system),
        None => (String::new(), before),
    };
    format!("{rest}{}{after}", system.to_lowercase())
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

    #[test]
    fn lines_break_at_80_columns() {
        let failure =
            Failure::new(Status::Failed, "word ".repeat(40).trim()).hint("hint ".repeat(20));
        assert!(failure.to_string().lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn the_systems_words_are_like_ours() {
        assert_eq!(
            plain("could not: No such file (os error 2)"),
            "could not: no such file"
        );
        assert_eq!(
            plain("Permission denied (os error 13)"),
            "permission denied"
        );
        assert_eq!(plain("a key is wrong"), "a key is wrong");
    }
}
