//! How a connection ends, other than by a drain.

use crate::service::{Echo, RecordingHandler, Service, order_to_close};
use crate::wire::{self, Got};
use chatbox_core::{CloseCode, CloseError, CloseSummary, ClosedBy};
use chatbox_ws::{Settings, frame};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn a_clients_close_is_answered_with_its_code() {
    let mut service = Service::new();
    for code in [1000, 1001, 1011, 3000, 4999] {
        let (mut client, _) = service.connect(Echo);
        client.close(code).await;
        assert_eq!(client.rest().await, [Got::Close(code, String::new())]);
        assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::new(code), ClosedBy::Client));
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_close_is_answered_with_1000() {
    let mut service = Service::new();
    let (mut client, _) = service.connect(Echo);
    client.send(&wire::frame(0x88, b"")).await;
    assert_eq!(client.rest().await, [Got::Close(1000, String::new())]);
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::NORMAL, ClosedBy::Client));
}

#[tokio::test(start_paused = true)]
async fn messages_before_a_close_are_answered_before_its_echo() {
    let mut service = Service::new();
    let (mut client, _) = service.connect(Echo);
    client.send(&[wire::text("one"), wire::ping(b"two"), wire::close(1000)].concat()).await;
    let expected = [Got::text("one"), Got::Pong(b"two".to_vec()), Got::Close(1000, String::new())];
    assert_eq!(client.rest().await, expected);
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::NORMAL, ClosedBy::Client));
}

#[tokio::test(start_paused = true)]
async fn frames_behind_a_close_are_ignored() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    let (mut client, _) = service.connect(handler.clone());
    client.send(&[wire::close(1000), wire::text("too late"), wire::unmasked(), wire::ping(b"")].concat()).await;
    assert_eq!(client.rest().await, [Got::Close(1000, String::new())]);
    drop(client);
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::NORMAL, ClosedBy::Client));
    assert_eq!(handler.seen(), ["on_end"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_shuts_its_side_behind_its_close_is_answered() {
    let mut service = Service::new();
    let (mut client, _) = service.connect(Echo);
    client.send(&[wire::text("last"), wire::close(1000)].concat()).await;
    client.io.shutdown().await.unwrap();
    assert_eq!(client.rest().await, [Got::text("last"), Got::Close(1000, String::new())]);
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::NORMAL, ClosedBy::Client));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_without_a_close_counts_as_peer_gone() {
    let mut service = Service::new();
    let (mut client, _) = service.connect(Echo);
    client.text("hello").await;
    assert_eq!(client.next().await, Got::text("hello"));
    drop(client);
    assert_eq!(service.ended().await, CloseSummary::peer_gone(CloseError::Eof));

    let (mut client, _) = service.connect(Echo);
    client.send(&wire::text("cut off")[..5]).await;
    drop(client);
    assert_eq!(service.ended().await, CloseSummary::peer_gone(CloseError::Eof));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_wait_for_the_echo_counts_as_closed() {
    let mut service = Service::new();
    let (mut client, _) = service.connect(Echo);
    client.close(1000).await;
    drop(client);
    let mut ended = service.ended().await;
    // How the stream broke depends on which write met the drop.
    ended.error = None;
    assert_eq!(ended, CloseSummary::closed(CloseCode::NORMAL, ClosedBy::Client));
}

#[tokio::test(start_paused = true)]
async fn every_violation_is_answered_with_its_code() {
    let settings = Settings::default().with_max_message(100);
    let mut service = Service::with(settings);
    let cases: [(Vec<u8>, u16, &str); 8] = [
        (wire::unmasked(), 1002, "frame not masked"),
        (wire::frame(0xc1, b"x"), 1002, "reserved bits set"),
        (wire::frame(0x83, b"x"), 1002, "reserved opcode"),
        (wire::frame(0x80, b"x"), 1002, "unexpected continuation"),
        (wire::frame(0x88, &[3]), 1002, "bad close frame"),
        (wire::binary(b"x"), 1003, "binary messages are not accepted"),
        (wire::frame(0x81, b"\xff"), 1007, "text is not UTF-8"),
        (wire::frame(0x81, &[b'x'; 101]), 1009, "message too large"),
    ];
    for (bytes, code, text) in cases {
        let handler = RecordingHandler::default();
        let (mut client, _) = service.connect(handler.clone());
        client.send(&[wire::text("before"), bytes, wire::text("behind")].concat()).await;
        assert_eq!(client.rest().await, [Got::Close(code, text.to_owned())]);
        drop(client);
        assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::new(code), ClosedBy::Server));
        assert_eq!(handler.seen(), ["on_message", "before", "on_end"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_violator_that_keeps_its_socket_open_is_cut() {
    let mut service = Service::new();
    let (mut client, _) = service.connect(Echo);
    client.send(&wire::unmasked()).await;
    let start = tokio::time::Instant::now();
    assert_eq!(client.rest().await.len(), 1);
    assert_eq!(service.ended().await.error, Some(CloseError::CloseTimeout));
    assert!((Duration::from_secs(3)..Duration::from_millis(3_400)).contains(&start.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_close_the_connection_for_a_message() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    let (mut client, _) = service.connect(handler.clone());
    client.send(&[wire::text("refuse me"), wire::text("ignored")].concat()).await;
    assert_eq!(client.next().await, Got::Close(1008, "refused".to_owned()));
    client.close(1008).await;
    assert_eq!(client.rest().await, []);
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::POLICY, ClosedBy::Server));
    assert_eq!(handler.seen(), ["on_message", "on_end"]);
}

#[tokio::test(start_paused = true)]
async fn both_sides_may_close_at_once() {
    let mut service = Service::new();
    let (mut client, connection) = service.connect(Echo);
    connection.close(order_to_close());
    // Ours is on its way, and the client closes without having read it.
    tokio::time::sleep(Duration::from_millis(1)).await;
    client.close(1000).await;
    assert_eq!(client.next().await, Got::Close(1001, "server shutting down".to_owned()));
    assert_eq!(client.rest().await, [], "one Close is enough");
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_handler_closes_only_its_own_connection() {
    let mut service = Service::new();
    let (mut bystander, _) = service.connect(Echo);
    for step in ["on_message", "poll_ready", "pull", "on_closing", "before_close"] {
        let handler = RecordingHandler::default();
        let (mut client, connection) = service.connect(handler.clone());
        client.text("hello").await;
        tokio::time::sleep(Duration::from_millis(1)).await;

        handler.script(|script| script.panics_in = Some(step));
        client.text("panic").await;
        connection.notify();
        let internal = Got::Close(1011, "internal error".to_owned());
        if ["on_closing", "before_close"].contains(&step) {
            connection.close(order_to_close());
        }
        let close = client.next().await;
        // When only `before_close` fails, the reason stands.
        let going_away = Got::Close(1001, "server shutting down".to_owned());
        assert_eq!(close, if step == "before_close" { going_away } else { internal }, "{step}");
        client.close(1011).await;
        assert_eq!(client.rest().await, []);
        assert_eq!(service.ended().await.by, ClosedBy::Server);
        let seen = handler.seen();
        assert_eq!(seen[seen.len() - 2..], [step, "on_end"], "only the end is reported after a panic");

        bystander.text("still here").await;
        assert_eq!(bystander.next().await, Got::text("still here"));
    }
}

#[tokio::test(start_paused = true)]
async fn frames_offered_before_a_panic_of_the_source_are_sent() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    let (mut client, connection) = service.connect(handler.clone());
    handler.script(|script| script.panics_in = Some("pull"));
    let start = tokio::time::Instant::now();
    connection.push(|out| frame::text("queued", out));
    assert_eq!(client.next().await, Got::text("queued"));
    assert_eq!(client.next().await, Got::Close(1011, "internal error".to_owned()));
    assert_eq!(start.elapsed(), Duration::ZERO, "the Close was delayed");
    client.close(1011).await;
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::INTERNAL, ClosedBy::Server));
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_a_connection_at_once() {
    let mut service = Service::new();
    let (mut client, connection) = service.connect(Echo);
    client.text("hello").await;
    assert_eq!(client.next().await, Got::text("hello"));
    connection.cut();
    assert_eq!(client.rest().await, []);
    assert_eq!(service.ended().await, CloseSummary::aborted(CloseError::Cut));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_session_is_aborted() {
    let mut service = Service::new();
    let (_client, server) = tokio::io::duplex(64);
    drop(service.transport.serve(server, bytes::Bytes::new(), service.admit(), Echo, None));
    assert_eq!(service.ended().await, CloseSummary::aborted(CloseError::Dropped));
    assert!(service.registry.is_empty());
}
