//! What people type, one file a command.

pub mod card;
pub mod check;
pub mod form;
pub mod send;

use std::time::SystemTime;

use valise_protocol::time::Timestamp;

use crate::failure::{Failure, Outcome};

/// The clock's reading.
pub fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Runs network work to its end on this thread.
///
/// # Errors
/// A failure when the system gives no event queue, or that of the work.
pub fn block_on<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the system is out of resources: {error}")))?;
    let outcome = runtime.block_on(work);
    // The system may still be looking for a host's address: an interrupted program does not wait for that.
    runtime.shutdown_background();
    outcome
}
