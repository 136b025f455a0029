//! The relay's log: lines of this crate, and of no library below it.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogLevel;

/// Logs to a writer from now on, for the whole process; does nothing where a log was started before.
///
/// The libraries below would name network addresses, so only this crate is let through. Lines carry no time: who wants to
/// know when a link ended can ask the journal, which keeps its own.
pub fn start<W>(level: LogLevel, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt::layer()
        .without_time()
        .with_ansi(false);
    let _ = tracing_subscriber::registry()
        .with(lines.with_writer(writer))
        .with(Targets::new().with_target("valise_relay", level))
        .try_init();
}
