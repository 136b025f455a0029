//! What a person is told when a vault does not open or is not written.

use crate::failure::Failure;
use crate::home::{self, Home};

use super::wrap::UnwrapError;

/// A home that has one.
pub(super) fn already_there(home: &Home) -> Failure {
    Failure::new(format!("there is a vault in {} already", home.shown()))
        .hint("one home is one device of one mechanism; choose another with --home DIR")
}

/// A wrapped key that was not opened.
pub(super) fn wrong(error: &UnwrapError) -> Failure {
    match error {
        UnwrapError::WrongPassphrase => {
            Failure::new("the passphrase is wrong").hint("nothing was changed; try again")
        }
        _ => damaged("key"),
    }
}

/// A part that both of its copies have lost.
pub(super) fn damaged(part: &str) -> Failure {
    Failure::new(format!("both copies of the vault's {part} are damaged"))
        .hint(
            "restore the newest backup into a new directory: valise vault restore FILE --home DIR",
        )
        .hint(
            "without a backup, enrol this machine as a new device: valise mechanism device request",
        )
}

/// A home without one.
pub(super) fn no_vault(home: &Home) -> Failure {
    Failure::new(format!("there is no vault in {}", home.shown()))
        .hint("name its directory with --home DIR")
        .hint("or make one: valise mechanism init, or valise mechanism device request on a further machine")
}

/// The disk refused.
pub(super) fn not_written(error: &std::io::Error) -> Failure {
    home::disk("could not write to the vault", error)
}
