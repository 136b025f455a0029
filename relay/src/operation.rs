//! What an operator asks of a relay: one line over its socket, or done directly when none runs.

use std::fmt::{self, Display};
use std::str::FromStr;

use valise_protocol::id::Address;

/// One thing to do. Its text form is the line that travels over the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Totals.
    Status,
    /// Begin to serve an inbox.
    Allow(Address),
    /// The inboxes served.
    List,
    /// How many envelopes an inbox holds: what removing it would delete.
    Count(Address),
    /// Stop serving an inbox, and delete what it holds.
    Remove(Address),
    /// Allow a mechanism as a reader.
    AllowReader(Address),
    /// The readers allowed.
    ListReaders,
    /// Allow a reader no more, and delete its card.
    RemoveReader(Address),
    /// Announce the next keys.
    Announce,
    /// Switch to them, when every card that names the keys in use has run out.
    Switch,
    /// Switch to them at once.
    SwitchNow,
}

impl Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::Allow(address) => write!(f, "allow {address}"),
            Self::List => f.write_str("list"),
            Self::Count(address) => write!(f, "count {address}"),
            Self::Remove(address) => write!(f, "remove {address}"),
            Self::AllowReader(address) => write!(f, "allow-reader {address}"),
            Self::ListReaders => f.write_str("list-readers"),
            Self::RemoveReader(address) => write!(f, "remove-reader {address}"),
            Self::Announce => f.write_str("announce"),
            Self::Switch => f.write_str("switch"),
            Self::SwitchNow => f.write_str("switch-now"),
        }
    }
}

/// A line that is no operation.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown operation")]
pub struct UnknownOperation;

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(line: &str) -> Result<Self, UnknownOperation> {
        let address = |text: &str| text.parse::<Address>().map_err(|_| UnknownOperation);
        match line.split_once(' ') {
            None if line == "status" => Ok(Self::Status),
            None if line == "list" => Ok(Self::List),
            None if line == "list-readers" => Ok(Self::ListReaders),
            None if line == "announce" => Ok(Self::Announce),
            None if line == "switch" => Ok(Self::Switch),
            None if line == "switch-now" => Ok(Self::SwitchNow),
            Some(("allow", text)) => address(text).map(Self::Allow),
            Some(("count", text)) => address(text).map(Self::Count),
            Some(("remove", text)) => address(text).map(Self::Remove),
            Some(("allow-reader", text)) => address(text).map(Self::AllowReader),
            Some(("remove-reader", text)) => address(text).map(Self::RemoveReader),
            _ => Err(UnknownOperation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_survives_its_line() {
        let address = Address::from_bytes([3; 32]);
        for operation in [
            Operation::Status,
            Operation::Allow(address),
            Operation::List,
            Operation::Count(address),
            Operation::Remove(address),
            Operation::AllowReader(address),
            Operation::ListReaders,
            Operation::RemoveReader(address),
            Operation::Announce,
            Operation::Switch,
            Operation::SwitchNow,
        ] {
            assert_eq!(operation.to_string().parse(), Ok(operation));
        }
        assert_eq!("remove all".parse::<Operation>(), Err(UnknownOperation));
    }
}
