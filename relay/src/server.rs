//! The endpoint: connections, and the links in them (spec §6.2). Every task is owned and awaited; a panic costs one connection.

use std::future::pending;
use std::sync::Arc;

use quinn::{Connection, Endpoint, Incoming, VarInt};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, trace, warn};

use crate::admission::{Place, Verdict};
use crate::link::{self, Ended, Shared};
use crate::quic::Reset;
use crate::store::Store;
use crate::windows::Windows;

/// How long the endpoint may take to say goodbye.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);
/// The code of a connection that ends because nothing is left to do.
const DONE: VarInt = VarInt::from_u32(0);

/// Accepts connections until the relay stops, then lets the links in flight finish for as long as the configuration says.
pub async fn run<S: Store>(endpoint: Endpoint, shared: Arc<Shared<S>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stop.given() => break,
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => judge(incoming, &shared, &mut connections),
                None => break,
            },
            Some(ended) = connections.join_next() => report(ended),
        }
    }
    endpoint.set_server_config(None);
    info!(connections = connections.len(), "draining");
    let drained = timeout(shared.config.drain(), async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_err() {
        warn!(
            connections = connections.len(),
            "links in flight were cut off"
        );
        connections.shutdown().await;
    }
    endpoint.close(Reset::Closing.into(), b"");
    // A peer that does not answer is not waited for.
    let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
}

/// Decides about one connection attempt, and spawns its task if it may go on.
fn judge<S: Store>(incoming: Incoming, shared: &Arc<Shared<S>>, connections: &mut JoinSet<()>) {
    let admission = &shared.admission;
    match admission.judge(incoming.remote_address_validated()) {
        Verdict::Retry => {
            trace!("retry");
            // Fails only for an address that has proved itself, which is never sent here.
            let _ = incoming.retry();
        }
        Verdict::Refuse => {
            trace!("refused");
            incoming.refuse();
        }
        Verdict::Accept => match (admission.connection(), admission.handshake()) {
            (Some(place), Some(shaking)) => {
                connections.spawn(connection(incoming, Arc::clone(shared), place, shaking));
            }
            _ => incoming.refuse(),
        },
    }
}

/// One connection, from its TLS handshake to its end.
async fn connection<S: Store>(
    incoming: Incoming,
    shared: Arc<Shared<S>>,
    _place: Place,
    shaking: Place,
) {
    let Ok(connecting) = incoming.accept() else {
        return;
    };
    let Ok(Ok(connection)) = timeout(shared.config.handshake(), connecting).await else {
        trace!("a TLS handshake failed or was too slow");
        return;
    };
    drop(shaking);
    let reason = carry(&connection, &shared).await;
    connection.close(reason, b"");
}

/// Carries the links of one connection; gives the code to close it with.
async fn carry<S: Store>(connection: &Connection, shared: &Arc<Shared<S>>) -> VarInt {
    let mut links = JoinSet::new();
    let windows = Windows::new(connection.clone(), Arc::clone(&shared.admission));
    let windows = Arc::new(windows);
    let begun = Instant::now();
    let mut quiet_since = begun;
    loop {
        let stopping = shared.stop.is_given();
        if stopping && links.is_empty() {
            return Reset::Closing.into();
        }
        // A client that never proves a key has no business here, and one without a link has an end.
        let deadline = match (windows.established(), links.is_empty()) {
            (false, _) => Some(begun + shared.config.handshake()),
            (true, true) => Some(quiet_since + shared.config.idle()),
            (true, false) => None,
        };
        tokio::select! {
            () = shared.stop.given(), if !stopping => (),
            stream = connection.accept_bi(), if !stopping => match stream {
                Ok((mut send, mut recv)) => match shared.admission.link() {
                    Some(place) => {
                        let (shared, windows) = (Arc::clone(shared), Arc::clone(&windows));
                        links.spawn(async move {
                            let _place = place;
                            link::serve(&shared, send, recv, &windows).await
                        });
                    }
                    None => {
                        // Both fail only when the stream is gone already.
                        let _ = send.reset(Reset::Links.into());
                        let _ = recv.stop(Reset::Links.into());
                    }
                },
                Err(_) => {
                    links.shutdown().await;
                    return DONE;
                }
            },
            Some(ended) = links.join_next() => {
                quiet_since = Instant::now();
                match ended {
                    Ok(ended) => note(ended),
                    Err(ended) => {
                        report(Err(ended));
                        links.shutdown().await;
                        return DONE;
                    }
                }
            }
            () = until(deadline) => {
                if !windows.established() || links.is_empty() {
                    links.shutdown().await;
                    return Reset::Slow.into();
                }
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn note(ended: Ended) {
    match ended {
        Ended::Finished => debug!("a link finished"),
        Ended::Lost => debug!("a link was lost"),
        Ended::Reset(reset) => debug!(?reset, "a link was reset"),
    }
}

/// A worker that panicked is reported without what it said, which could name a mailbox.
fn report(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        error!("a worker failed: one connection was lost; please report the line above");
    }
}
