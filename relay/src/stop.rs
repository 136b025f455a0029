//! The signal that the relay is to end, for everything that waits.

use tokio::sync::watch;

/// Gives the signal.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Receives the signal. Clones wait for the same one.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// A signal that has not been given yet.
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Gives the signal, for good.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// A receiver of the same signal.
    pub fn subscribe(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

impl Stop {
    /// Resolves when the signal has been given, or nobody is left who could. Cancel-safe.
    pub async fn given(&self) {
        let _ = self.0.clone().wait_for(|given| *given).await;
    }

    /// Whether the signal has been given.
    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }
}
