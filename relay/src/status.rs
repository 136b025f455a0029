//! The socket over which the operator's commands reach a running relay: `relay.sock`, for its user only.
//!
//! ```text
//! →  one operation, one line
//! ←  "ok\n" and the text to print, or "error N\n" and the text of the failure with exit status N; then the end
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::desk::Desk;
use crate::failure::{Failure, Status};
use crate::operation::Operation;
use crate::stop::Stop;

/// The socket's name in the relay's directory.
const SOCKET: &str = "relay.sock";
/// The longest line.
const LINE: u64 = 128;
/// How long the operator's command may take to say what it wants, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long until it is tried again to make a socket that there was no room for.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the relay may take to do it: removing a large inbox takes a while.
const WORK: Duration = Duration::from_secs(600);

/// A socket that commands can reach.
pub struct StatusSocket {
    /// None yet where there was no room for it.
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl StatusSocket {
    /// Listens in the directory. Whoever calls this holds the store's lock, so a socket that is there is a dead one. On a full
    /// disk it is made later: mail is served meanwhile.
    ///
    /// # Errors
    /// Whatever else the system says.
    pub fn bind(directory: &Path) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        let listener = match listen(&path) {
            Ok(listener) => Some(listener),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                warn!("there is no room for {SOCKET}: commands do not reach this relay yet");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { listener, path })
    }

    /// Answers commands, one at a time, until the relay stops.
    pub async fn run(mut self, desk: Arc<Desk>, stop: Stop) {
        loop {
            let Some(listener) = &self.listener else {
                tokio::select! {
                    () = stop.given() => break,
                    () = tokio::time::sleep(AGAIN) => self.listener = listen(&self.path).ok(),
                }
                continue;
            };
            tokio::select! {
                () = stop.given() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        if let Err(error) = answer(stream, &desk).await {
                            debug!(%error, "an operator's command went away");
                        }
                    }
                    // Out of file descriptors, most likely: others will be given back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
        // If it stays, the next command finds nobody behind it, and the next relay replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(mut stream: UnixStream, desk: &Desk) -> io::Result<()> {
    let mut line = String::new();
    let (reader, mut writer) = stream.split();
    let mut reader = reader.take(LINE);
    timeout(PATIENCE, async {
        while !line.ends_with('\n') {
            let mut byte = [0];
            if reader.read(&mut byte).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            line.push(char::from(byte[0]));
        }
        Ok::<(), io::Error>(())
    })
    .await??;
    let outcome = match line.trim_end().parse::<Operation>() {
        Ok(operation) => desk.perform(operation).await,
        Err(error) => Err(Failure::new(Status::Usage, error.to_string())),
    };
    let text = match outcome {
        Ok(text) => format!("ok\n{text}"),
        Err(failure) => format!("error {}\n{failure}\n", failure.status() as u8),
    };
    timeout(PATIENCE, writer.write_all(text.as_bytes())).await?
}

/// What a running relay answered: the text to print, or the exit status and the failure's text.
pub type Reply = Result<String, (u8, String)>;

/// Asks the relay that runs in a directory; `None` when none does.
///
/// # Errors
/// Whatever the system says when a relay is there but does not answer.
pub fn ask(directory: &Path, operation: Operation) -> io::Result<Option<Reply>> {
    let mut stream = match BlockingStream::connect(directory.join(SOCKET)) {
        Ok(stream) => stream,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(WORK))?;
    stream.write_all(format!("{operation}\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (mut verdict, mut text) = (String::new(), String::new());
    reader.read_line(&mut verdict)?;
    reader.read_to_string(&mut text)?;
    match verdict.trim_end().split_once(' ') {
        None if verdict == "ok\n" => Ok(Some(Ok(text))),
        Some(("error", status)) => Ok(Some(Err((status.parse().unwrap_or(1), text)))),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}
