//! Moving to a new connection: before a token expires, and after a `goodbye`.

use crate::server::{Server, event, server};
use chatbox_client::{BuildError, Builder, Client, Event, JoinFrom};
use data_encoding::BASE64URL_NOPAD;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};

/// A JWT that expires in that time.
fn token(number: u32, life: Duration) -> String {
    let exp = (SystemTime::now() + life).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let claims = format!(r#"{{"exp":{exp},"jti":{number}}}"#);
    format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(claims.as_bytes()))
}

/// A client whose tokens live for 100 s and are refreshed 30 s before that.
fn refreshing() -> (Builder, Server) {
    let (builder, server) = server();
    let asked = AtomicU32::new(0);
    let provider = move || {
        let token = token(asked.fetch_add(1, Ordering::Relaxed), Duration::from_secs(100));
        async move { Ok::<_, String>(token) }
    };
    // Paused time passes without pings.
    let silence = Duration::from_secs(1000);
    (builder.token_provider(provider).refresh_before(Duration::from_secs(30)).silence(silence, silence), server)
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_replaced_before_its_token_expires_and_closed_after_that() {
    let (builder, mut server) = refreshing();
    let (client, mut events) = builder.connect().unwrap();
    client.join("r", JoinFrom::After(0)).unwrap();
    let mut old = server.welcome().await;
    old.receive().await;
    old.send(r#"{"type":"joined","room":"r","head":0,"first":1}"#).await;
    let began = Instant::now();

    let mut new = server.welcome().await;
    assert!((69..=71).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_ne!(old.request.headers()["authorization"], new.request.headers()["authorization"]);
    // The old one is served in full until the room is joined on the new one.
    assert_eq!(new.receive().await, r#"{"type":"join","room":"r","after":0}"#);
    old.send_message(1).await;
    old.send_message(2).await;
    let seen = event(&mut events, |event| if let Event::Message { seq, .. } = event { Some(seq) } else { None });
    assert_eq!(seen.await, 1);
    new.send(r#"{"type":"joined","room":"r","head":2,"first":1}"#).await;
    for seq in 1..=3 {
        new.send_message(seq).await;
    }
    assert_eq!(old.await_close().await, 1000);
    for expected in [2, 3] {
        let seen = event(&mut events, |event| match event {
            Event::Message { seq, .. } => Some(seq),
            Event::Disconnected { reason, .. } => panic!("{reason}"),
            _ => None,
        });
        assert_eq!(seen.await, expected);
    }
    let stats = client.stats();
    assert_eq!((stats.moves, stats.connects, stats.disconnects, stats.duplicates), (1, 2, 0, 0));
    // And again.
    let _third = server.welcome().await;
    assert!((138..=142).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_move_that_fails_is_repeated_while_the_connection_lasts() {
    let (builder, mut server) = refreshing();
    let (client, mut events) = builder.connect().unwrap();
    let mut old = server.welcome().await;
    for _ in 0..3 {
        server.refuse("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    }
    let _sending = client.send_with_id("r", "mine", "");
    assert!(old.receive().await.contains("mine"), "the connection is used");
    let mut new = server.welcome().await;
    // No answer comes: the old connection is closed in the end, and the message is sent again.
    let (resent, code) = tokio::join!(new.receive(), old.await_close());
    assert!(resent.contains("mine"), "{resent}");
    assert_eq!(code, 1000);
    let disconnected = event(&mut events, |event| matches!(event, Event::Disconnected { .. }).then_some(()));
    assert!(timeout(Duration::from_secs(1), disconnected).await.is_err(), "the client was never without a connection");
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_leaves_time_is_answered_by_moving() {
    let (builder, mut server) = server();
    let (client, _events) = builder.connect().unwrap();
    let mut old = server.welcome().await;
    let said_at = Instant::now();
    old.send(r#"{"type":"goodbye","reason":"shutdown","close_after_ms":4000,"reconnect_after_ms":2000}"#).await;
    let _new = server.welcome().await;
    assert_eq!(old.await_close().await, 1000);
    assert!(said_at.elapsed() < Duration::from_secs(1), "{:?}", said_at.elapsed());
    assert_eq!((client.stats().moves, client.stats().disconnects), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_closes_both_connections_while_it_moves() {
    let (builder, mut server) = server();
    let (client, _events) = builder.connect().unwrap();
    client.join("r", JoinFrom::Live).unwrap();
    let mut old = server.welcome().await;
    old.receive().await;
    old.send(r#"{"type":"goodbye","reason":"shutdown","close_after_ms":4000,"reconnect_after_ms":2000}"#).await;
    let mut new = server.welcome().await;
    new.receive().await;
    let ((), code_of_old, code_of_new) = tokio::join!(client.close(), old.await_close(), new.await_close());
    assert_eq!((code_of_old, code_of_new), (1000, 1000));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_stale_when_issued_do_not_make_a_client_connect_without_pause() {
    let (builder, mut server) = server();
    let provider = || async { Ok::<_, String>(token(0, Duration::ZERO)) };
    let builder = builder.token_provider(provider).refresh_before(Duration::from_secs(30));
    let (_client, _events) = builder.connect().unwrap();
    let began = Instant::now();
    for _ in 0..5 {
        tokio::spawn(server.welcome().await.await_close());
    }
    assert!(began.elapsed() >= Duration::from_secs(4));
}

#[tokio::test]
async fn a_refresh_needs_a_provider() {
    let builder = Client::builder().server("ws://h").token("fixed").refresh_before(Duration::from_secs(1));
    assert!(matches!(builder.connect(), Err(BuildError::NothingToRefresh)));
}

#[tokio::test(start_paused = true)]
async fn all_acks_are_awaited_at_once() {
    let (builder, mut server) = server();
    let (client, _events) = builder.connect().unwrap();
    let client = Arc::new(client);
    let (_first, _second) = (client.send_with_id("r", "1", ""), client.send_with_id("r", "2", ""));
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.acked().await }
    });
    let mut peer = server.welcome().await;
    for id in ["1", "2"] {
        peer.receive().await;
        assert!(!waiting.is_finished());
        peer.send(&format!(r#"{{"type":"ack","room":"r","id":"{id}","seq":{id}}}"#)).await;
    }
    assert_eq!(waiting.await.unwrap(), Ok(()));
}
