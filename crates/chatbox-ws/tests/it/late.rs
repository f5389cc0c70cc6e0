//! Sessions that are polled late, because the process was stopped or other tasks ran first, and one that is never idle.

use crate::service::{Echo, PIPE, RecordingHandler, Service, order_to_close};
use crate::wire::{self, Client, Got};
use bytes::Bytes;
use chatbox_core::{CloseCode, CloseError, CloseReason, CloseSummary, ClosedBy, Connection, Limits};
use chatbox_ws::{Expiry, Handler, Settings, frame};
use std::future::poll_fn;
use std::io;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, sleep};

type Session = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A session that runs only when it is [polled](poll).
fn session(service: &Service, handler: impl Handler) -> (Client<DuplexStream>, Arc<Connection>, Session) {
    let (client, server) = tokio::io::duplex(PIPE);
    let lease = service.admit();
    let connection = Arc::clone(lease.connection());
    let session = service.transport.serve(server, Bytes::new(), lease, handler, None);
    (Client { io: client }, connection, Box::pin(session))
}

async fn poll(session: &mut Session) -> Poll<()> {
    poll_fn(|cx| Poll::Ready(session.as_mut().poll(cx))).await
}

#[tokio::test(start_paused = true)]
async fn bytes_in_the_socket_count_as_received_in_time() {
    let service = Service::new();
    let (mut client, _, mut session) = session(&service, Echo);
    assert_eq!(poll(&mut session).await, Poll::Pending);
    sleep(Duration::from_secs(24)).await;
    client.send(&wire::pong(b"")).await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(poll(&mut session).await, Poll::Pending);
    client.text("still here").await;
    assert_eq!(poll(&mut session).await, Poll::Pending);
    assert_eq!(client.next().await, Got::text("still here"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_pinged_before_it_is_given_up() {
    let mut service = Service::new();
    let (mut client, _, mut session) = session(&service, Echo);
    assert_eq!(poll(&mut session).await, Poll::Pending);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(poll(&mut session).await, Poll::Pending);
    assert_eq!(client.next().await, Got::Ping(vec![]));
    // From here on the session is polled in time, and the peer has the usual time after a first ping.
    let asked = Instant::now();
    session.await;
    let waited = asked.elapsed();
    assert!((Duration::from_millis(34_800)..Duration::from_millis(35_500)).contains(&waited), "{waited:?}");
    assert_eq!(service.ended().await, CloseSummary::peer_gone(CloseError::HeartbeatTimeout));
}

#[tokio::test(start_paused = true)]
async fn an_echo_that_arrived_in_time_counts_when_read_late() {
    let mut service = Service::new();
    let (mut client, connection, mut session) = session(&service, Echo);
    connection.close(order_to_close());
    assert_eq!(poll(&mut session).await, Poll::Pending);
    client.close(1001).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(poll(&mut session).await, Poll::Ready(()));
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_can_go_on_is_not_stalled() {
    let service = Service::new();
    let handler = RecordingHandler::default();
    handler.offer((0..5_000).map(|n| format!("number {n}")));
    let (mut client, _, mut session) = session(&service, handler);
    // Each poll writes a few batches; together they fill the pipe.
    for _ in 0..20 {
        assert_eq!(poll(&mut session).await, Poll::Pending);
    }
    for n in 0..500 {
        assert_eq!(client.next().await, Got::text(format!("number {n}")));
    }
    sleep(Duration::from_secs(45)).await;
    tokio::spawn(session);
    for n in 500..5_000 {
        assert_eq!(client.next_but_pings().await, Got::text(format!("number {n}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_is_written_at_once_does_not_count_as_a_read() {
    let mut service =
        Service::limited(Settings::default(), Limits::default().with_outboxes_bytes(NonZero::<usize>::MIN));
    // All outboxes together are full: one that holds a ping is full, too.
    let other = service.admit();
    other.connection().push(|out| frame::text("unread", out));
    let start = Instant::now();
    let (mut client, _) = service.connect(Echo);
    assert_eq!(client.rest().await, [Got::Ping(vec![]), Got::Ping(vec![])]);
    assert!((Duration::from_secs(60)..Duration::from_secs(61)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(service.ended().await, CloseSummary::peer_gone(CloseError::HeartbeatTimeout));
}

/// A stream with endless pongs to read, which accepts everything.
#[derive(Clone, Default)]
struct Flood {
    taken: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Flood {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let pong = wire::pong(b"");
        while buffer.remaining() >= pong.len() {
            buffer.put_slice(&pong);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.taken.lock().unwrap().extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_never_idle_has_deadlines() {
    let mut service = Service::new();
    let flood = Flood::default();
    let reason = CloseReason::new(CloseCode::POLICY, "token expired");
    // Later than the first wake-up for the heartbeat.
    let expiry = Expiry::new(Duration::from_secs(40), reason);
    let mut session: Session =
        Box::pin(service.transport.serve(flood.clone(), Bytes::new(), service.admit(), Echo, Some(expiry)));
    let mut polls = 0;
    while poll(&mut session).await.is_pending() {
        polls += 1;
        assert!(polls < 50, "the session does not end");
        sleep(Duration::from_secs(1)).await;
    }
    // Its echo never comes, and is not awaited for longer than a close handshake.
    assert!((40..=48).contains(&polls), "{polls}");
    let close = [&[0x88, 15], &1008_u16.to_be_bytes()[..], b"token expired"].concat();
    assert_eq!(*flood.taken.lock().unwrap(), close);
    assert_eq!(service.ended().await.error, Some(CloseError::CloseTimeout));
}

/// A stream whose shutdown succeeds at the second poll, like one that sends a closing message of its own.
struct Polite {
    inner: DuplexStream,
    tried: bool,
    shut: Arc<AtomicBool>,
}

impl AsyncRead for Polite {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Polite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.tried {
            self.tried = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.shut.store(true, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_closing_message_of_its_own_can_send_it() {
    for tried in [false, true] {
        let mut service = Service::new();
        let (client, inner) = tokio::io::duplex(PIPE);
        let shut = Arc::<AtomicBool>::default();
        let stream = Polite { inner, tried, shut: Arc::clone(&shut) };
        tokio::spawn(service.transport.serve(stream, Bytes::new(), service.admit(), Echo, None));
        let mut client = Client { io: client };
        if tried {
            // Both Closes are exchanged and nothing is unread: it can say it at once, or not at all.
            client.close(1000).await;
            assert_eq!(client.next().await, Got::Close(1000, String::new()));
        } else {
            // Unmasked: our side is shut, and the rest of the client's discarded until it does the same.
            client.send(&[0x81, 0x00]).await;
            assert!(matches!(client.next().await, Got::Close(1002, _)));
        }
        assert_eq!(client.io.read(&mut [0]).await.unwrap(), 0);
        drop(client);
        service.ended().await;
        assert!(shut.load(Ordering::Relaxed));
    }
}
