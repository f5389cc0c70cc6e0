//! Reconnecting: when, and with which rooms and messages.

use crate::server::{event, server};
use chatbox_client::{Event, JoinFrom, Reason};
use futures_util::SinkExt;
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

fn retry_in(event: Event) -> Option<Duration> {
    if let Event::Disconnected { retry_in, .. } = event { Some(retry_in) } else { None }
}

#[tokio::test(start_paused = true)]
async fn the_client_reconnects_after_these_close_codes() {
    for code in [1001, 1011, 1013] {
        let (builder, mut server) = server();
        let (client, mut events) = builder.connect().unwrap();
        server.welcome().await.close(code).await;
        let reason = event(&mut events, |event| match event {
            Event::Disconnected { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(reason.await, Reason::Close { code, text: "reason".to_owned() });
        let _peer = server.welcome().await;
        event(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
        assert_eq!(client.stats().connects, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_does_not_reconnect_after_the_others() {
    for code in [1000, 1002, 1003, 1007, 1008, 1009, 4000] {
        let (builder, mut server) = server();
        let (_client, mut events) = builder.connect().unwrap();
        server.welcome().await.close(code).await;
        let last =
            event(&mut events, |event| if let Event::Closed { reason, .. } = event { Some(reason) } else { None });
        assert_eq!(last.await, Reason::Close { code, text: "reason".to_owned() });
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_reconnects_after_a_cut_connection_and_after_violations() {
    let (builder, mut server) = server();
    let (_client, _events) = builder.connect().unwrap();
    drop(server.welcome().await);
    server.welcome().await.send("nonsense").await;
    server.welcome().await.socket.send(Message::binary("nonsense")).await.unwrap();
    server.welcome().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_reconnects_in_the_slot_of_the_goodbye() {
    for slot in [0, 1830, 25_000] {
        let (builder, mut server) = server();
        let (_client, mut events) = builder.connect().unwrap();
        let mut peer = server.welcome().await;
        let said_at = Instant::now();
        peer.send(&format!(r#"{{"type":"goodbye","reason":"shutdown","reconnect_after_ms":{slot}}}"#)).await;
        peer.close(1001).await;
        server.dialled().await;
        // Timers have a resolution of a millisecond.
        assert!(said_at.elapsed().as_millis() - slot <= 1);
        event(&mut events, |event| matches!(event, Event::Goodbye { .. }).then_some(())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_backoff_starts_afresh_when_messages_flow_and_not_before() {
    let (builder, mut server) = server();
    let base = Duration::from_secs(1);
    let (client, mut events) = builder.backoff(base, base * (1 << 24)).connect().unwrap();
    client.join("r", JoinFrom::Live).unwrap();
    let mut longest = Duration::ZERO;
    for _ in 0..25 {
        let mut peer = server.welcome().await;
        peer.receive().await;
        peer.send(r#"{"type":"joined","room":"r","head":0,"first":1}"#).await;
        drop(peer);
        longest = longest.max(event(&mut events, retry_in).await);
    }
    assert!(longest > base * 60, "it never grew: {longest:?}");
    let mut peer = server.welcome().await;
    peer.receive().await;
    peer.send(r#"{"type":"joined","room":"r","head":0,"first":1}"#).await;
    peer.send_message(1).await;
    drop(peer);
    assert!(event(&mut events, retry_in).await <= base);
}

#[tokio::test(start_paused = true)]
async fn unacked_messages_are_sent_again_with_the_same_id_in_the_same_order() {
    let (builder, mut server) = server();
    let (client, _events) = builder.connect().unwrap();
    let (first, second) = (client.send("r", "one"), client.send("r", "two"));
    let mut peer = server.welcome().await;
    let sent = [peer.receive().await, peer.receive().await];
    assert!(sent[0].contains(first.id()) && sent[0].contains("one"));
    assert!(sent[1].contains(second.id()) && sent[1].contains("two"));
    drop(peer);
    let mut peer = server.welcome().await;
    assert_eq!([peer.receive().await, peer.receive().await], sent);
    peer.send(&format!(r#"{{"type":"ack","room":"r","id":"{}","seq":1}}"#, first.id())).await;
    assert_eq!(first.await.map(|acked| acked.seq), Ok(1));
    drop(peer);
    let mut peer = server.welcome().await;
    assert_eq!(peer.receive().await, sent[1]);
    assert_eq!(client.stats().resent, 3);
}

#[tokio::test(start_paused = true)]
async fn rooms_are_resumed_after_the_last_message_and_repeats_are_dropped() {
    let (builder, mut server) = server();
    let (client, mut events) = builder.connect().unwrap();
    client.join("r", JoinFrom::After(0)).unwrap();
    let mut peer = server.welcome().await;
    assert_eq!(peer.receive().await, r#"{"type":"join","room":"r","after":0}"#);
    peer.send(r#"{"type":"joined","room":"r","head":2,"first":1}"#).await;
    peer.send_message(1).await;
    peer.send_message(2).await;
    event(&mut events, |event| matches!(event, Event::Message { seq: 2, .. }).then_some(())).await;
    drop(peer);

    let mut peer = server.welcome().await;
    assert_eq!(peer.receive().await, r#"{"type":"join","room":"r","after":2}"#);
    peer.send(r#"{"type":"joined","room":"r","head":2,"first":1}"#).await;
    for seq in [1, 2, 3] {
        peer.send_message(seq).await;
    }
    let seq = event(&mut events, |event| if let Event::Message { seq, .. } = event { Some(seq) } else { None });
    assert_eq!(seq.await, 3);
    assert_eq!(client.stats().duplicates, 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_silent_for_two_and_a_half_heartbeats_is_given_up() {
    let (builder, mut server) = server();
    let (_client, mut events) = builder.connect().unwrap();
    let mut peer = server.welcome().await;
    for _ in 0..20 {
        // Pings count.
        tokio::time::sleep(Duration::from_millis(1000)).await;
        peer.socket.send(Message::Ping(Default::default())).await.unwrap();
    }
    let read_at = Instant::now();
    let silence = event(&mut events, |event| match event {
        Event::Disconnected { reason: Reason::Silent(silence), .. } => Some(silence),
        _ => None,
    });
    assert_eq!(silence.await, Duration::from_millis(2500));
    assert!(read_at.elapsed() >= Duration::from_millis(2500));
    assert!(read_at.elapsed() <= Duration::from_millis(2502));
}
