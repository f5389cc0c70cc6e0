//! Concurrent reading and writing, and backpressure.

use crate::server::{event, server, server_with_capacity};
use chatbox_client::{Event, JoinFrom};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn the_client_reads_while_it_cannot_write() {
    let (builder, mut server) = server_with_capacity(1024);
    let (client, mut events) = builder.connect().unwrap();
    client.join("r", JoinFrom::Live).unwrap();
    let mut peer = server.welcome().await;
    peer.receive().await;
    peer.send(r#"{"type":"joined","room":"r","head":0,"first":1}"#).await;
    let body = "x".repeat(900);
    let sendings: Vec<_> = (0..50).map(|_| client.send("r", &body)).collect();
    let took = async { while !matches!(events.next().await, Some(Event::Message { seq: 200, .. })) {} };
    // The server reads nothing before all of this is written.
    let wrote = async {
        for seq in 1..=200 {
            peer.send_message(seq).await;
        }
    };
    tokio::join!(took, wrote);
    for sending in &sendings {
        assert!(peer.receive().await.contains(sending.id()));
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_are_not_taken_slow_the_server_down_and_are_not_lost() {
    let (builder, mut server) = server_with_capacity(1024);
    let (client, mut events) = builder.event_queue(1).connect().unwrap();
    client.join("r", JoinFrom::Live).unwrap();
    let mut peer = server.welcome().await;
    peer.receive().await;
    peer.send(r#"{"type":"joined","room":"r","head":0,"first":1}"#).await;
    let mut said = 0;
    // Until every buffer is full: paused time passes only when every task waits.
    let minute = Duration::from_secs(60);
    while tokio::time::timeout(minute, peer.send_message(said + 1)).await.is_ok() {
        said += 1;
    }
    assert!(said < 50, "the client read on: {said}");
    // The message cut short by the timeout is in the socket's buffer, and is written later.
    for seq in 1..=said {
        let seen = event(&mut events, |event| match event {
            Event::Message { seq, .. } => Some(seq),
            Event::Disconnected { reason, .. } => {
                panic!("the server was not silent, the client did not read: {reason}")
            }
            _ => None,
        });
        assert_eq!(seen.await, seq);
    }
    assert_eq!(client.stats().disconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn without_events_messages_are_sent_and_acked_all_the_same() {
    let (builder, mut server) = server();
    let (client, events) = builder.event_queue(1).connect().unwrap();
    drop(events);
    client.join("r", JoinFrom::Live).unwrap();
    let sending = client.send_with_id("r", "mine", "text");
    let mut peer = server.welcome().await;
    peer.receive().await;
    peer.send(r#"{"type":"joined","room":"r","head":0,"first":1}"#).await;
    assert_eq!(peer.receive().await, r#"{"type":"send","room":"r","id":"mine","body":"text"}"#);
    for seq in 1..100 {
        peer.send_message(seq).await;
    }
    peer.send(r#"{"type":"ack","room":"r","id":"mine","seq":7}"#).await;
    assert_eq!(sending.await.unwrap().seq, 7);
    assert_eq!(client.stats().messages, 99);
}

#[tokio::test(start_paused = true)]
async fn a_deferred_message_is_sent_again_at_its_time() {
    let (builder, mut server) = server();
    let (client, _events) = builder.connect().unwrap();
    let _sending = client.send_with_id("r", "mine", "text");
    let mut peer = server.welcome().await;
    let sent = peer.receive().await;
    peer.send(r#"{"type":"error","code":"rate_limited","message":"m","room":"r","id":"mine","retry_after_ms":700}"#)
        .await;
    let deferred_at = tokio::time::Instant::now();
    assert_eq!(peer.receive().await, sent);
    assert!(deferred_at.elapsed() >= Duration::from_millis(700));
}
