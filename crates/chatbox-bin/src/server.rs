//! The listener and its accept loop, on hyper: what `axum::serve` does not offer.
//!
//! Heads are read with a timeout and a size limit, `accept` errors are survived, and the HTTP connections are known, so that they
//! can be ended. Connections that were upgraded belong to the registry from then on, and outlive this.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Connections that wait to be accepted: a fleet that reconnects at once must not be turned away by the kernel.
const BACKLOG: u32 = 4096;

/// How long a request's head may take, and how long a kept-alive connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a request's head is read.
const HEADER_BYTES: usize = 16 * 1024;

/// The pause after a failed `accept`: with no file descriptor left, the next one fails as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener that accepts nothing yet.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    /// Binds. `TCP_NODELAY` is inherited by what is accepted: no message waits for the next one.
    pub(crate) fn bind(at: SocketAddr) -> io::Result<Self> {
        let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for the old connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.set_nodelay(true)?;
        socket.bind(at)?;
        socket.listen(BACKLOG).map(Self)
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves `router` until told to stop.
    pub(crate) fn serve(self, router: Router) -> Server {
        let (stop, stopped) = watch::channel(false);
        Server { stop, task: tokio::spawn(accept(self.0, router, stopped)) }
    }
}

/// A running accept loop.
#[derive(Debug)]
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Closes the listener, lets the requests in progress end, and waits for that at most so long.
    pub(crate) async fn stop(self, at_most: Duration) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(at_most, self.task).await.is_err() {
            abort.abort();
        }
    }
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut complained: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, router.clone(), stopped.clone()));
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                    complained = Some(Instant::now());
                    tracing::error!(%error, "Cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Whether `accept` failed because of the one connection that it was about.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return log(result),
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    log(connection.await);
}

fn log(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP connection ended");
    }
}
