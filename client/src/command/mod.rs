//! What people type, one file a command.

pub mod card;
pub mod check;
pub mod form;
pub mod send;

use std::time::SystemTime;

use tokio::runtime::Builder;
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
    run(Builder::new_current_thread(), work)
}

/// The same where there is much to encrypt: parts of the work may run on other processors.
///
/// # Errors
/// As [`block_on`].
pub fn block_on_all_cores<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    run(Builder::new_multi_thread(), work)
}

fn run<T>(mut runtime: Builder, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the system is out of resources: {error}")))?;
    let outcome = runtime.block_on(work);
    // The system may still be looking for a host's address: an interrupted program does not wait for that.
    runtime.shutdown_background();
    outcome
}
