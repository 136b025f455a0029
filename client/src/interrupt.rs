//! Ctrl-C and SIGTERM: work on the network ends in order, and the relay is told that the connection has ended.
//!
//! A connection that just goes away is held by the relay until it has been silent for too long. So work is dropped at one of its
//! waits, and the notices of its connections' ends get the time to leave. A thread of its own waits for the signals, because a question
//! to the person blocks the one that works: there the program ends at once, as without all this.

use std::fs::File;
use std::pin::pin;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::ui::{self, Terminal};

/// How long the notices of connections that end may take to leave.
const FAREWELL: Duration = Duration::from_millis(50);
/// How long work may take to come to one of its waits. It does not while a question is open.
const PATIENCE: Duration = Duration::from_millis(300);

/// Work on the network, to the thread that waits for signals.
struct Work {
    tell: oneshot::Sender<()>,
    /// Closed as soon as the work was told.
    heard: mpsc::Receiver<()>,
}

/// The work that is going on.
static WORK: Mutex<Option<Work>> = Mutex::new(None);
/// Whether there is a thread that waits for signals.
static LISTENING: OnceLock<()> = OnceLock::new();
/// What the terminal must be shown before the program ends.
static LAST_WORDS: Mutex<&str> = Mutex::new("");

/// Does work on the network to its end; `None` when SIGINT or SIGTERM came before. The work was then dropped at one of its waits, and
/// its connections are closed. Not to be nested.
pub async fn until_told<T>(work: impl Future<Output = T>) -> Option<T> {
    listen();
    let (tell, told) = oneshot::channel();
    let (hears, heard) = mpsc::channel();
    put(Some(Work { tell, heard }));
    let outcome = {
        let work = pin!(work);
        tokio::select! {
            biased;
            outcome = work => Some(outcome),
            Ok(()) = told => None,
        }
    };
    drop(hears);
    if outcome.is_none() {
        leave_line();
        tokio::time::sleep(FAREWELL).await;
    }
    put(None);
    outcome
}

/// From now on a signal that finds no work ends the program with the terminal as it is now.
pub fn listen() {
    LISTENING.get_or_init(start_listening);
}

/// What the terminal must be shown if a signal ends the program now, such as the way back from a page.
pub fn show_before_the_end(sequence: &'static str) {
    *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner) = sequence;
}

fn put(work: Option<Work>) -> Option<Work> {
    std::mem::replace(
        &mut WORK.lock().unwrap_or_else(PoisonError::into_inner),
        work,
    )
}

/// Starts the thread, and returns when it listens. Where the system refuses, signals do what they always do.
fn start_listening() {
    let (ready, listening) = mpsc::channel();
    let listener = std::thread::Builder::new().name("signals".into());
    if listener.spawn(move || wait_for_signals(&ready)).is_ok() {
        // Also when it could not begin: then it has ended.
        let _ = listening.recv();
    }
}

fn wait_for_signals(ready: &mpsc::Sender<()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let Ok(runtime) = runtime.enable_io().build() else {
        return;
    };
    let terminal = File::open("/dev/tty").ok();
    let before = terminal.and_then(|file| tcgetattr(&file).ok().map(|modes| (file, modes)));
    runtime.block_on(async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return;
        };
        let _ = ready.send(());
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if !put(None).is_some_and(Work::tell) {
                end(before.as_ref());
            }
        }
    });
}

impl Work {
    /// Whether the work has heard that it shall end.
    fn tell(self) -> bool {
        let told = self.tell.send(()).is_ok();
        told && self.heard.recv_timeout(PATIENCE) != Err(mpsc::RecvTimeoutError::Timeout)
    }
}

/// Ends the program in the midst of a question, with the terminal as it was before.
fn end(before: Option<&(File, Termios)>) -> ! {
    if let Some((terminal, modes)) = before {
        // Nothing can be done for a terminal that refuses.
        let _ = tcsetattr(terminal, OptionalActions::Flush, modes);
    }
    let last_words = *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(mut terminal) = Terminal::open() {
        let _ = terminal.put(last_words);
    }
    leave_line();
    ui::error(&interrupted().hint("give the same command again: what was done is not done twice"));
    std::process::exit(1)
}

/// Leaves the line on which the terminal shows that Ctrl-C was pressed.
fn leave_line() {
    if let Ok(mut terminal) = Terminal::open() {
        let _ = terminal.put("\n");
    }
}

/// That the person, or the system, wanted an end.
pub fn interrupted() -> Failure {
    Failure::new("interrupted").interruption()
}
