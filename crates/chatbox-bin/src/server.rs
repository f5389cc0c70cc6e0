//! The listener and its accept loop, on hyper: what `axum::serve` does not offer.
//!
//! Heads are read with a timeout and a size limit, `accept` errors are survived, and the HTTP connections are known, so that they
//! can be ended. Connections that were upgraded belong to the registry from then on, and outlive this.

use crate::connection_limit::ConnectionSet;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower_service::Service;

/// Connections that wait to be accepted: a fleet that reconnects at once must not be turned away by the kernel.
const BACKLOG: u32 = 4096;

/// How long a request's head may take, and how long a kept-alive connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an HTTP connection is used. The request that it is busy with may then take as long as a head.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

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

    /// Serves `router` until told to stop, over at most so many HTTP connections at once. WebSockets do not count among them.
    pub(crate) fn serve(self, router: Router, max_handshakes: usize) -> Server {
        let (stop, stopped) = watch::channel(false);
        Server { stop, task: tokio::spawn(accept(self.0, router, ConnectionSet::new(max_handshakes), stopped)) }
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
        if timeout(at_most, self.task).await.is_err() {
            abort.abort();
        }
    }
}

async fn accept(listener: TcpListener, router: Router, mut crowd: ConnectionSet, mut stopped: watch::Receiver<bool>) {
    let mut complained: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = crowd.change() => continue,
            accepted = listener.accept(), if !crowd.is_full() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => crowd.add(serve(stream, peer, router.clone(), stopped.clone())),
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                    complained = Some(Instant::now());
                    tracing::error!(%error, "Cannot accept connections");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    crowd.gone().await;
}

/// Whether `accept` failed because of the one connection that it was about.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, mut stopped: watch::Receiver<bool>) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return log(result),
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = sleep(CONNECTION_TIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    // A peer that does not read its response must not keep it.
    if let Ok(result) = timeout(HEADER_TIMEOUT, connection).await {
        log(result);
    }
}

fn log(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_of_an_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        // More than any kernel holds.
        let router = Router::new().route("/", get(|| async { vec![0; 64 << 20] }));
        let (_stop, stopped) = watch::channel(false);
        let start = Instant::now();
        serve(stream, peer, router, stopped).await;
        assert_eq!(start.elapsed(), CONNECTION_TIME + HEADER_TIMEOUT);
        drop(client);
    }
}
