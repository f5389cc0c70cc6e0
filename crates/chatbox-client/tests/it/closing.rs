//! Closing a client: the close handshake, its bound, and the futures that are outstanding.

use crate::server::{event, server, server_with_capacity};
use chatbox_client::{Event, JoinFrom, Reason, SendError};
use futures_util::{FutureExt, StreamExt};
use std::time::Duration;
use tokio::time::Instant;

fn is_closed(event: Option<&Event>) -> bool {
    matches!(event, Some(Event::Closed { reason: Reason::Requested, .. }))
}

#[tokio::test(start_paused = true)]
async fn a_client_closes_with_1000_and_waits_for_the_echo() {
    let (builder, mut server) = server();
    let (client, mut events) = builder.connect().unwrap();
    let peer = server.welcome().await;
    events.next().await;
    let mut close = Box::pin(client.close());
    assert!((&mut close).now_or_never().is_none());
    assert_eq!(peer.await_close().await, 1000);
    close.await;
    assert!(is_closed(events.next().await.as_ref()));
    assert_eq!(events.next().await, None);
    assert_eq!(client.send("r", "too late").await, Err(SendError::Closed));
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn acks_still_count_while_the_client_closes() {
    let (builder, mut server) = server();
    let (client, _events) = builder.connect().unwrap();
    let (acked, lost) = (client.send_with_id("r", "1", ""), client.send_with_id("r", "2", ""));
    let mut peer = server.welcome().await;
    peer.receive().await;
    peer.receive().await;
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.close().await }
    });
    // The Close frame has been read, not answered, when the ack is written.
    peer.send(r#"{"type":"ack","room":"r","id":"1","seq":5}"#).await;
    assert_eq!(peer.await_close().await, 1000);
    closing.await.unwrap();
    assert_eq!(acked.await.map(|acked| acked.seq), Ok(5));
    assert_eq!(lost.await, Err(SendError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_the_close_is_left_in_time() {
    let (builder, mut server) = server();
    let (client, mut events) = builder.close_timeout(Duration::from_secs(4)).connect().unwrap();
    let _peer = server.welcome().await;
    events.next().await;
    let began = Instant::now();
    client.close().await;
    assert_eq!(began.elapsed(), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_connection_closes_at_once() {
    let (builder, server) = server();
    drop(server);
    let (client, mut events) = builder.connect().unwrap();
    event(&mut events, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
    let began = Instant::now();
    client.close().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_client_closes_while_its_events_are_not_taken() {
    let (builder, mut server) = server_with_capacity(1 << 20);
    let (client, mut events) = builder.event_queue(1).connect().unwrap();
    client.join("r", JoinFrom::Live).unwrap();
    let mut peer = server.welcome().await;
    peer.receive().await;
    peer.send(r#"{"type":"joined","room":"r","head":0,"first":1}"#).await;
    for seq in 1..100 {
        peer.send_message(seq).await;
    }
    tokio::join!(client.close(), peer.await_close());
    let left: Vec<_> = events.by_ref().collect().await;
    assert!(left.len() < 5 && is_closed(left.last()), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes_the_connection() {
    let (builder, mut server) = server();
    let (client, events) = builder.connect().unwrap();
    let mut peer = server.welcome().await;
    drop(events);
    let _sending = client.clone().send("r", "still here");
    peer.receive().await;
    drop(client);
    assert_eq!(peer.await_close().await, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_provider_completes_every_future() {
    let (builder, _server) = server();
    let provider = || async { if true { panic!("in the token provider") } else { Ok::<_, String>(String::new()) } };
    let (client, mut events) = builder.token_provider(provider).connect().unwrap();
    assert_eq!(client.send("r", "").await, Err(SendError::Closed));
    assert!(is_closed(events.next().await.as_ref()));
    client.close().await;
}
