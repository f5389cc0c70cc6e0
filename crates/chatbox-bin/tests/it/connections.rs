//! Connections and their ends: violations, pings, limits, the subprotocol (contract sections 3 and 4).

use crate::harness::{Frame, Peer, Response, Server, Setup, get, until};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::test]
async fn each_violation_is_closed_with_its_code() {
    let server = Setup::new().set("limits.max_message_bytes=1000").start().await;
    let too_big = [b'x'; 1001];
    type Frames<'a> = &'a [(u8, &'a [u8])];
    let cases: [(Frames<'_>, u16, &str); 12] = [
        (&[(0x82, b"x")], 1003, "binary message"),
        (&[(0x81, &too_big)], 1009, "over the limit at once"),
        (&[(0x01, &too_big[..600]), (0x80, &too_big[..600])], 1009, "over the limit in two fragments"),
        (&[(0x81, b"\xFF")], 1007, "not UTF-8"),
        (&[(0x01, b"\xF0\x9F"), (0x80, b"")], 1007, "truncated UTF-8"),
        (&[(0xC1, b"x")], 1002, "RSV1"),
        (&[(0x83, b"x")], 1002, "reserved opcode"),
        (&[(0x80, b"x")], 1002, "a continuation of nothing"),
        (&[(0x01, b"x"), (0x81, b"x")], 1002, "a message within a message"),
        (&[(0x09, b"x")], 1002, "a fragmented ping"),
        (&[(0x89, &too_big[..126])], 1002, "a long ping"),
        (&[(0x88, &[3])], 1002, "half a close code"),
    ];
    for (frames, code, what) in cases {
        let mut peer = server.connect("alice").await;
        for (first, payload) in frames {
            peer.send_frame(*first, payload).await;
        }
        let farewell = peer.finish().await;
        assert_eq!(farewell.close.as_ref().map(|close| close.0), Some(code), "{what}: {farewell:?}");
        farewell.assert_closed(code, &farewell.close.clone().unwrap().1);
        assert!(farewell.texts.is_empty(), "{what}");
    }
    // A frame without a mask.
    let mut peer = server.connect("alice").await;
    peer.raw(&[0x81, 1, b'x']).await;
    assert_eq!(peer.finish().await.close.unwrap().0, 1002);
}

#[tokio::test]
async fn a_fragmented_message_with_a_ping_in_its_middle_is_one_message() {
    let server = Setup::new().start().await;
    let mut peer = server.connect("alice").await;
    peer.send_frame(0x01, br#"{"type":"join","#).await;
    peer.send_frame(0x89, b"are you there?").await;
    peer.send_frame(0x00, br#""room":"lob"#).await;
    peer.send_frame(0x80, br#"by"}"#).await;
    assert_eq!(peer.next().await, Ok(Frame::Pong(b"are you there?".to_vec())));
    assert_eq!(peer.message().await["room"], "lobby");
}

#[tokio::test]
async fn the_clients_close_is_answered_with_its_code() {
    let server = Setup::new().start().await;
    for code in [1000, 1001, 3000, 4999] {
        let mut peer = server.connect("alice").await;
        peer.polite = false;
        peer.close(code).await;
        peer.finish().await.assert_closed(code, "");
    }
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_given_up() {
    let server = Setup::new().set("heartbeat.interval=50ms").set("heartbeat.timeout=300ms").start().await;
    let silent = server.connect("silent").await;
    let mut alive = server.connect("alive").await;
    // `alive` answers pings, which `next` does by itself; `silent` says nothing until it is given up.
    let metric = async || get(server.at, "/metrics").await.unwrap().body;
    tokio::select! {
        came = alive.next() => panic!("{came:?}"),
        () = until("the silent peer to be given up", async || {
            metric().await.contains(r#"chatbox_connection_close_errors_total{kind="heartbeat_timeout"} 1"#)
        }) => {}
    }
    assert!(metric().await.contains("chatbox_connections_active 1"));
    drop(silent);
}

#[tokio::test]
async fn connections_are_bounded_in_all() {
    let server = Setup::new().set("limits.max_connections=2").start().await;
    let (_held, last) = (server.connect("alice").await, server.connect("bob").await);
    let refused = refusal(&server, "carol").await;
    assert_eq!(refused.refusal(503, "full"), "the service is full");
    assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    drop(last);
    until("a free slot", async || Peer::handshake(server.at, &server.ws("carol"), "").await.is_ok()).await;
}

#[tokio::test]
async fn ten_live_connections_of_a_user_keep_the_eleventh_out() {
    let server = Setup::new().start().await;
    let mut live = JoinSet::new();
    for _ in 0..10 {
        let mut peer = server.connect("alice").await;
        // Reads, and answers pings.
        live.spawn(async move { while peer.next().await.is_ok() {} });
    }
    let refused = refusal(&server, "alice").await;
    assert_eq!(refused.refusal(429, "too_many_connections"), "too many connections of this user");
    assert_eq!(refused.header("retry-after"), Some("3"));
    assert!(live.try_join_next().is_none(), "a live connection has ended");
    live.shutdown().await;
    until("a free slot", async || Peer::handshake(server.at, &server.ws("alice"), "").await.is_ok()).await;
}

#[tokio::test]
async fn ten_silent_connections_of_a_user_give_way_to_the_eleventh() {
    let server = Setup::new().start().await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(server.connect("alice").await);
    }
    let start = Instant::now();
    let _eleventh = server.connect("alice").await;
    let waited = start.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&waited), "{waited:?}");
    let metrics = get(server.at, "/metrics").await.unwrap().body;
    assert!(metrics.contains("chatbox_connections_displaced_total 1"), "{metrics}");
}

#[tokio::test]
async fn the_subprotocol_is_agreed_to_when_it_is_offered() {
    let server = Setup::new().start().await;
    for (offer, agreed) in [
        ("", None),
        ("Sec-WebSocket-Protocol: chatbox.v1\r\n", Some("chatbox.v1")),
        ("Sec-WebSocket-Protocol: soap, chatbox.v1\r\n", Some("chatbox.v1")),
        ("Sec-WebSocket-Protocol: soap\r\n", None),
    ] {
        let peer = Peer::handshake(server.at, &server.ws("alice"), offer).await.unwrap_or_else(|_| panic!("refused"));
        assert_eq!(peer.response.header("sec-websocket-protocol"), agreed, "{offer}");
    }
}

async fn refusal(server: &Server, user: &str) -> Response {
    match Peer::handshake(server.at, &server.ws(user), "").await {
        Ok(_) => panic!("{user} was let in"),
        Err(refused) => refused,
    }
}
