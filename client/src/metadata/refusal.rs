//! Why a file was not stripped, and what to do instead.

use crate::escape;
use crate::failure::Failure;

use super::PICTURE;
use super::kind::Kind;

/// Why nothing was taken out. The file itself is never touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotStrip {
    /// Files of this kind are not taken apart here.
    #[error("it is {}, expected a JPEG, PNG, WebP or GIF picture", .0.noun())]
    Kind(Kind),
    /// It has more than [`PICTURE`] bytes.
    #[error("it has {0} bytes, expected at most {most}", most = PICTURE)]
    TooLong(usize),
    /// It does not follow its format, so that nobody can say what its bytes mean.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

impl CannotStrip {
    /// The same for a person, of a file of this name.
    pub fn failure(&self, name: &str) -> Failure {
        let name = escape::line(name);
        Failure::new(format!(
            "cannot take out of {name} what it says of its making: {self}"
        ))
        .hint("clean a copy with mat2 (https://0xacab.org/jvoisin/mat2; 'mat2 --list' shows what it can clean) and send that")
        .hint("or send it as it is: an original is evidence")
    }
}
