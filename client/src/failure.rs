//! What a person is told when something fails: what, and what to type next.

use std::fmt;

/// A failure in the words of the person's task: what was being done, to what, what went wrong; each hint says what to do next.
///
/// Never holds a secret, a plaintext or a mailbox id.
#[derive(Debug)]
pub struct Failure {
    what: String,
    hints: Vec<String>,
    /// Whether the person, or the system, wanted an end: then nothing more is begun.
    interruption: bool,
}

/// The result of anything that a person asked for.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure: lower case, no full stop.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hints: Vec::new(),
            interruption: false,
        }
    }

    /// The same, because the person, or the system, wanted an end.
    #[must_use]
    pub fn interruption(mut self) -> Self {
        self.interruption = true;
        self
    }

    /// Whether nothing more is to be begun.
    pub const fn is_interruption(&self) -> bool {
        self.interruption
    }

    /// The same without what it says to do next, for those who know better.
    #[must_use]
    pub fn without_hints(mut self) -> Self {
        self.hints.clear();
        self
    }

    /// With one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same, at one of several places.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.what = format!("at {place}: {}", self.what);
        self
    }

    /// What went wrong.
    pub fn what(&self) -> &str {
        &self.what
    }
}

/// `valise: error: …` and a `valise: hint: …` line for each hint.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "valise: error: {}", self.what)?;
        self.hints
            .iter()
            .try_for_each(|hint| write!(f, "\nvalise: hint: {hint}"))
    }
}
