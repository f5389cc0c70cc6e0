//! Heartbeat and expiry, in paused time.

use crate::service::{Echo, RecordingHandler, Service};
use crate::wire::{self, Got};
use chatbox_core::{
    CloseCode, CloseError, CloseReason, CloseSummary, ClosedBy, Connection, Lease, Limits, Outcome, Refused,
};
use chatbox_ws::{Expiry, Handler, Message, Settings};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Whether `elapsed` is `expected`, to the promise of [`Settings`]: two ticks of 100 ms, and another for the second of two
/// periods that follow one another.
fn about(elapsed: Duration, expected: Duration) -> bool {
    (expected..=expected + Duration::from_millis(300)).contains(&elapsed)
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_and_then_given_up() {
    let mut service = Service::new();
    let (mut client, _) = service.connect(Echo);
    let start = Instant::now();
    for n in 1..=2 {
        assert_eq!(client.next().await, Got::Ping(vec![]));
        assert!(about(start.elapsed(), n * Duration::from_secs(25)), "{:?}", start.elapsed());
    }
    assert_eq!(client.rest().await, []);
    assert!(about(start.elapsed(), Duration::from_secs(60)), "{:?}", start.elapsed());
    assert_eq!(service.ended().await, CloseSummary::peer_gone(CloseError::HeartbeatTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_its_pings_stays() {
    let service = Service::new();
    let (mut client, _) = service.connect(Echo);
    let start = Instant::now();
    for n in 1..=20 {
        assert_eq!(client.next().await, Got::Ping(vec![]));
        let each = start.elapsed() / n;
        assert!(about(each, Duration::from_secs(25)), "{each:?}");
        client.send(&wire::pong(b"")).await;
    }
    client.text("hello").await;
    assert_eq!(client.next().await, Got::text("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_messages_is_not_pinged() {
    let service = Service::new();
    let (mut client, _) = service.connect(Echo);
    for _ in 0..20 {
        sleep(Duration::from_secs(20)).await;
        client.text("hello").await;
        assert_eq!(client.next().await, Got::text("hello"));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_does_not_count_while_the_handler_is_not_ready() {
    let service = Service::new();
    let handler = RecordingHandler::default();
    handler.busy();
    let (mut client, _) = service.connect(handler.clone());
    client.text("waits").await;
    sleep(Duration::from_secs(300)).await;
    handler.ready();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handler.seen(), ["on_message", "waits"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_when_it_expires() {
    let mut service = Service::new();
    let reason = CloseReason::new(CloseCode::POLICY, "token expired");
    for after in [Duration::ZERO, Duration::from_secs(10), Duration::from_secs(3_600)] {
        let start = Instant::now();
        let expiry = Expiry::new(after, reason.clone());
        let (mut client, _) = service.connect_with(Echo, bytes::Bytes::new(), Some(expiry));
        assert_eq!(client.next_but_pings().await, Got::Close(1008, "token expired".to_owned()));
        assert!(about(start.elapsed(), after), "{:?}", start.elapsed());
        client.close(1008).await;
        assert_eq!(client.rest().await, []);
        assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::POLICY, ClosedBy::Server));
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_timeouts_do_not_expire_at_once() {
    let settings = Settings::default().with_heartbeat_interval(Duration::MAX).with_heartbeat_timeout(Duration::MAX);
    let service = Service::with(settings);
    let decades = Duration::from_secs(30 * 365 * 24 * 3_600);
    for after in [decades, Duration::MAX] {
        let expiry = Expiry::new(after, CloseReason::new(CloseCode::POLICY, "token expired"));
        let (mut client, _) = service.connect_with(Echo, bytes::Bytes::new(), Some(expiry));
        sleep(Duration::from_secs(600)).await;
        // Long enough to give the peer time to read it, beside all the time there is.
        let text = "hello".repeat(100);
        for _ in 0..2 {
            client.text(&text).await;
            assert_eq!(client.next().await, Got::text(&text));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_users_limit_a_client_that_does_not_answer_a_ping_gives_way() {
    let limits = Limits::default().with_max_per_user(NonZero::new(2).unwrap());
    let mut service = Service::limited(Settings::default(), limits);
    let (mut silent, _) = service.connect(Echo);
    sleep(Duration::from_secs(1)).await;
    let (mut lively, _) = service.connect(Echo);
    lively.text("hello").await;
    assert_eq!(lively.next().await, Got::text("hello"));
    let start = Instant::now();
    let lease = service.registry.admit_when_vacant("alice").await.unwrap();
    assert!(about(start.elapsed(), Lease::PROBE_TIMEOUT), "{:?}", start.elapsed());
    assert_eq!(silent.rest().await, [Got::Ping(vec![]), Got::Close(1001, "unresponsive".to_owned())]);
    let ended = service.ended().await;
    assert_eq!((ended.outcome, ended.code), (Outcome::TimedOut, CloseCode::GOING_AWAY));
    lively.text("still here").await;
    assert_eq!(lively.next().await, Got::text("still here"), "only the longest silent one is pinged");
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn at_the_users_limit_clients_that_answer_stay() {
    let service = Service::limited(Settings::default(), Limits::default().with_max_per_user(NonZero::<u32>::MIN));
    let (mut client, _) = service.connect(Echo);
    let client = tokio::spawn(async move {
        assert_eq!(client.next_but_pings().await, Got::text("never sent"));
    });
    let start = Instant::now();
    assert_eq!(service.registry.admit_when_vacant("alice").await.unwrap_err(), Refused::TooManyConnections);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(service.registry.len(), 1);
    assert!(!client.is_finished());
}

/// Closes the connection at its first heartbeat.
struct EndsAtHeartbeat;

impl Handler for EndsAtHeartbeat {
    fn on_message(&mut self, _: &Arc<Connection>, _: Message<'_>) -> Result<(), CloseReason> {
        Ok(())
    }

    fn on_heartbeat(&mut self, _: &Arc<Connection>) -> Result<(), CloseReason> {
        Err(CloseReason::new(CloseCode::POLICY, "no longer"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_close_at_a_heartbeat_of_either_side() {
    let service = Service::new();
    let closed = Got::Close(1008, "no longer".to_owned());
    // The server's own, instead of its ping.
    let (mut client, _) = service.connect(EndsAtHeartbeat);
    let start = Instant::now();
    assert_eq!(client.next().await, closed);
    assert!(about(start.elapsed(), Duration::from_secs(25)), "{:?}", start.elapsed());
    for heartbeat in [wire::ping(b""), wire::pong(b"")] {
        let (mut client, _) = service.connect(EndsAtHeartbeat);
        client.text("a message is no heartbeat").await;
        client.send(&heartbeat).await;
        let mut got = Vec::new();
        while got.last() != Some(&closed) {
            got.push(client.next().await);
        }
        assert!(got.iter().all(|got| *got == closed || *got == Got::Pong(vec![])), "{got:?}");
        assert!(start.elapsed() < Duration::from_secs(26));
    }
}
