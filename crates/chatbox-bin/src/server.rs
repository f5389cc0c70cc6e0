//! The HTTP server of a listener: what `axum::serve` does not offer.
//!
//! Heads are read with a timeout and a size limit, failures of `accept` are survived, and no request is lost when connections end:
//! the last answer of a connection says `Connection: close`, the accept queue is answered before the listener is closed, and sockets are
//! closed without a reset. WebSockets belong to the registry from their upgrade on, and outlive the server.

mod connection;
mod connection_limit;
mod exchange;
mod listener;

pub(crate) use listener::Listener;

use axum::Router;
use chatbox_shutdown::Phases;
use connection::serve;
use connection_limit::ConnectionSet;
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The pause after a failed `accept`: with no file descriptor left, the next one fails as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the accept queue must be empty before the listener is closed: handshakes that were begun are completed meanwhile.
const QUEUE_QUIET: Duration = Duration::from_millis(50);

/// What the connections of a listener are served with.
#[derive(Clone)]
pub(crate) struct HttpSettings {
    /// The routes.
    pub(crate) router: Router,
    /// How long an idle connection is kept.
    pub(crate) keep_alive: Duration,
    /// The phases of the program: after [`Running`](chatbox_shutdown::Phase::Running) every answer is the last of its connection.
    pub(crate) phases: Phases,
}

/// A running accept loop with its connections.
#[derive(Debug)]
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves a listener, over at most `max_connections` HTTP connections at once. WebSockets do not count among them.
    pub(crate) fn start(listener: Listener, settings: HttpSettings, max_connections: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, settings, ConnectionSet::new(max_connections), stopped));
        Self { stop, task }
    }

    /// Answers what waits in the accept queue, closes the listener, and ends the connections after the request that they are busy with.
    /// Connections that have not ended after `at_most` are cut.
    pub(crate) async fn stop(self, at_most: Duration) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if timeout(at_most, self.task).await.is_err() {
            abort.abort();
        }
    }
}

async fn accept(
    listener: Listener,
    settings: HttpSettings,
    mut connections: ConnectionSet,
    mut stopped: watch::Receiver<bool>,
) {
    let mut logged: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = connections.change() => continue,
            accepted = listener.accept(), if !connections.is_full() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => connections.add(serve(stream, peer, settings.clone(), stopped.clone())),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                    logged = Some(Instant::now());
                    tracing::error!(%error, "Cannot accept connections");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closing a listener resets the connections in its queue.
    listener.ignore_new_handshakes();
    while let Ok(Ok((stream, peer))) = timeout(QUEUE_QUIET, listener.accept()).await {
        connections.add(serve(stream, peer, settings.clone(), stopped.clone()));
    }
    drop(listener);
    connections.ended().await;
}

/// Whether `accept` failed because of the connection that it returned, not of the listener.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
