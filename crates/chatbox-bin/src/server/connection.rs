//! One HTTP connection, from its first request to the end of its socket.

use super::HttpSettings;
use super::exchange::Exchange;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use chatbox_shutdown::Phase;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tower_service::Service;

/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;

/// How long the rest of the input is read and discarded after the last answer. Closing a socket with unread input resets the
/// connection, and a reset can destroy the answer on its way.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// How long a stopping server waits for the request of an idle connection that may be on its way.
const LATE_REQUEST: Duration = Duration::from_millis(20);

/// The [`Exchange`] of a connection, shared by its service and the bodies of its answers.
#[derive(Clone)]
struct SharedExchange(Arc<Mutex<Exchange>>);

impl SharedExchange {
    fn lock(&self) -> MutexGuard<'_, Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a connection to its end. Once `stopped` is true it ends after the request that it is busy with.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    settings: HttpSettings,
    mut stopped: watch::Receiver<bool>,
) {
    let exchange = Exchange::new(settings.keep_alive, Instant::now());
    let exchange = SharedExchange(Arc::new(Mutex::new(exchange)));
    let (shared, stopping) = (exchange.clone(), stopped.clone());
    let service =
        service_fn(move |request| answer(request, peer, settings.clone(), shared.clone(), *stopping.borrow()));
    let mut connection = Builder::new()
        // The exchange has the limits: hyper's does not run while an answer is not read.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let ended = tokio::select! {
        biased;
        () = until_end(&mut connection, &exchange) => true,
        () = is_true(&mut stopped) => false,
    };
    if !ended && timeout(LATE_REQUEST, until_end(&mut connection, &exchange)).await.is_err() {
        // A connection without a first request is left open: its client does not expect the end.
        if exchange.lock().is_idle() {
            Pin::new(&mut connection).graceful_shutdown();
        }
        until_end(&mut connection, &exchange).await;
    }
    // There is none after an upgrade.
    if let Some(parts) = connection.into_parts() {
        close(parts.io.into_inner()).await;
    }
}

/// Waits until the value is true; for ever, if its sender is dropped before. Cancel safe.
async fn is_true(value: &mut watch::Receiver<bool>) {
    if value.wait_for(|value| *value).await.is_err() {
        pending::<()>().await;
    }
}

/// Drives a connection until hyper is done with it, or it exceeds a limit. Cancel safe.
async fn until_end(connection: &mut (impl Future<Output = hyper::Result<()>> + Unpin), exchange: &SharedExchange) {
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut *connection).poll(cx) {
            if let Err(error) = result {
                tracing::debug!(%error, "HTTP connection ended");
            }
            return Poll::Ready(());
        }
        // The exchange changes only while the connection is polled, so the timer is always set for its present limit.
        let limit = exchange.lock().limit();
        if timer.deadline() != limit {
            timer.as_mut().reset(limit);
        }
        timer.as_mut().poll(cx)
    })
    .await
}

/// Answers a request. The last answer of a connection says `Connection: close`.
async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    mut settings: HttpSettings,
    exchange: SharedExchange,
    stopping: bool,
) -> Result<Response<AnswerBody>, std::convert::Infallible> {
    exchange.lock().on_request(!request.body().is_end_stream(), Instant::now());
    let mut request = request.map(|body| RequestBody { body, exchange: exchange.clone() });
    request.extensions_mut().insert(ConnectInfo(peer));
    let mut response = settings.router.call(request).await?;
    let last = exchange.lock().is_last(Instant::now()) || stopping || settings.phases.current() != Phase::Running;
    if last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| AnswerBody { body, exchange, last }))
}

/// Closes a socket without a reset: the output ends, and the input is read to its end, at most for [`DISCARD_TIME`].
async fn close(mut stream: TcpStream) {
    let discard = async {
        stream.shutdown().await?;
        loop {
            stream.readable().await?;
            // Not held while the connection waits.
            let mut buffer = [0; 4096];
            match stream.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    // The peer may be gone, or go on sending: the socket is closed all the same.
    let _ = timeout(DISCARD_TIME, discard).await;
}

/// The body of a request. Records when it was read to its end.
struct RequestBody {
    body: Incoming,
    exchange: SharedExchange,
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.exchange.lock().on_body_read();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. Records when it was handed to the socket.
struct AnswerBody {
    body: Body,
    exchange: SharedExchange,
    last: bool,
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.exchange.lock().on_answered(self.last, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use chatbox_shutdown::{Plan, Shutdown};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    const KEEP_ALIVE: Duration = Duration::from_secs(75);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// A client, and the task that serves its connection.
    async fn client(answer: Vec<u8>) -> (TcpStream, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let router = Router::new().route("/", get(async move || answer.clone()));
        let shutdown = Shutdown::without_signals(Plan::default()).unwrap();
        let settings = HttpSettings { router, keep_alive: KEEP_ALIVE, phases: shutdown.phases() };
        let task = tokio::spawn(async move {
            // Dropped, the shutdown would show its last phase.
            let (_shutdown, (_stop, stopped)) = (shutdown, watch::channel(false));
            serve(stream, peer, settings, stopped).await;
        });
        (client, task)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_of_its_answer_is_given_up() {
        let start = Instant::now();
        // More than any kernel buffers.
        let (mut client, served) = client(vec![0; 64 << 20]).await;
        client.write_all(REQUEST).await.unwrap();
        served.await.unwrap();
        assert_eq!(start.elapsed(), KEEP_ALIVE + DISCARD_TIME);
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_in_steady_use_ends_with_an_answer_that_says_so() {
        let (mut client, served) = client(b"x".to_vec()).await;
        let start = Instant::now();
        let mut answer = Vec::new();
        loop {
            client.write_all(REQUEST).await.unwrap();
            answer.clear();
            while !answer.ends_with(b"\r\n\r\nx") {
                assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "the end was not announced");
            }
            if String::from_utf8_lossy(&answer).contains("connection: close") {
                break;
            }
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        assert!(start.elapsed() >= crate::server::exchange::CONNECTION_TIME, "{:?}", start.elapsed());
        assert_eq!(client.read_buf(&mut answer).await.unwrap(), 0);
        drop(client);
        served.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_and_one_without_a_request_is_not() {
        for (request, limit) in [(REQUEST, KEEP_ALIVE), (&REQUEST[..9], Duration::from_secs(10))] {
            let start = Instant::now();
            let (mut client, served) = client(b"x".to_vec()).await;
            client.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!((start.elapsed(), answer.is_empty()), (limit, request != REQUEST));
            drop(client);
            served.await.unwrap();
        }
    }
}
