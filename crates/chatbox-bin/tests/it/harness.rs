//! The test harness: the program as a process, a WebSocket peer of its own, and plain HTTP requests.

mod finished;
mod http;
mod peer;
mod server;

pub(crate) use finished::Finished;
pub(crate) use http::{Connection, Response, get, request};
pub(crate) use peer::{End, Frame, Peer, PeerLog, frame};
pub(crate) use server::{INTERRUPT, Server, Setup, TERMINATE};

use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// How long anything may take before the test gives up: generous, because it only bounds a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Tests with thousands of connections take turns, whatever runs them.
pub(crate) async fn heavy() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// Awaits something that will happen; a test that waits for longer has failed.
pub(crate) async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(value) => value,
        Err(_) => panic!("still waiting after {PATIENCE:?}: {what}"),
    }
}

/// Asks again until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    within(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
