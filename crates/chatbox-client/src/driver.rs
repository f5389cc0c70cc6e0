//! The task of one client: connects, runs the session over the connection, and decides what follows its end.

mod connect;
mod connection;
mod socket;

use crate::credentials::Credentials;
use crate::dial::Dialer;
use crate::reconnect::{Ended, Reconnect};
use crate::server::Rotation;
use crate::shared::Shared;
use crate::{Event, Reason};
use connect::Opened;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// Durations of a client's connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// From the token to the `welcome`.
    pub(crate) connect: Duration,
    /// The close handshake.
    pub(crate) close: Duration,
    /// Bounds of the silence after which a connection is given up.
    pub(crate) silence: (Duration, Duration),
    /// How long before the expiry of its token a connection is replaced.
    pub(crate) refresh_before: Option<Duration>,
}

/// The state of the task.
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) servers: Rotation,
    pub(crate) credentials: Credentials,
    pub(crate) dialer: Dialer,
    pub(crate) timing: Timing,
    /// Decides about the next connection after one has ended.
    pub(crate) reconnect: Reconnect,
    /// Decides about the next attempt to move to another connection.
    pub(crate) moving: Reconnect,
}

/// One attempt to connect.
type Attempt = Pin<Box<dyn Future<Output = Result<Opened, Reason>> + Send>>;

impl Driver {
    /// Runs until the client is closed or the server refuses it for good.
    pub(crate) async fn run(mut self, events: mpsc::Sender<Event>, done: watch::Sender<bool>) {
        // Dropped even if a closure of the application panics, so that no future waits for ever.
        let finish = Finish { shared: Arc::clone(&self.shared), done };
        let reason = self.keep_connected(&events).await;
        finish.shared.session().finish(reason);
    }

    async fn keep_connected(&mut self, events: &mpsc::Sender<Event>) -> Reason {
        loop {
            let mut attempt = self.attempt();
            let opened = tokio::select! {
                opened = &mut attempt => opened,
                () = self.until_ended(events) => return Reason::Requested,
            };
            let reason = match opened {
                Ok(opened) => self.converse(opened, events).await,
                Err(reason) => reason,
            };
            let now = Instant::now();
            let retry_at = {
                let mut session = self.shared.session();
                if let Some(reason) = session.ended() {
                    return reason.clone();
                }
                let link = session.link();
                let ended = Ended {
                    reason: &reason,
                    progressed: link.is_some_and(|link| link.progressed),
                    slot: link.and_then(|link| link.slot).map(|slot| slot.saturating_duration_since(now)),
                };
                let Some(delay) = self.reconnect.after(&ended, rand::random()) else { return reason };
                session.on_disconnected(reason, delay);
                now + delay
            };
            tokio::select! {
                () = sleep_until(retry_at) => {}
                () = self.until_ended(events) => return Reason::Requested,
            }
        }
    }

    /// An attempt to connect to the next server, bounded in time.
    fn attempt(&mut self) -> Attempt {
        let (server, credentials, dialer) =
            (self.servers.next().clone(), self.credentials.clone(), self.dialer.clone());
        let limit = self.timing.connect;
        Box::pin(async move {
            let opening = connect::open(&server, &credentials, &dialer);
            timeout(limit, opening).await.unwrap_or(Err(Reason::Silent(limit)))
        })
    }

    /// Delivers events while there is no connection. Returns when the application closes the client.
    async fn until_ended(&self, events: &mpsc::Sender<Event>) {
        loop {
            let has_events = {
                let session = self.shared.session();
                if session.ended().is_some() {
                    return;
                }
                session.has_events()
            };
            tokio::select! {
                () = self.deliver(events), if has_events => {}
                () = self.shared.changed() => {}
            }
        }
    }

    /// Delivers one event when the queue has room. Cancel safe: the event is taken from the session last.
    async fn deliver(&self, events: &mpsc::Sender<Event>) {
        match events.reserve().await {
            Ok(permit) => {
                if let Some(event) = self.shared.session().poll_event() {
                    permit.send(event);
                }
            }
            Err(_) => self.shared.session().discard_events(),
        }
    }
}

/// Ends the session when the task ends, even by a panic.
struct Finish {
    shared: Arc<Shared>,
    done: watch::Sender<bool>,
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.shared.session().finish(Reason::Requested);
        self.done.send_replace(true);
    }
}
