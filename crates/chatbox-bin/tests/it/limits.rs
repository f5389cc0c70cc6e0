//! Limits besides those on connections and messages.

use crate::auth::{signed, unix};
use crate::harness::{Peer, Setup, TERMINATE, get, within};
use serde_json::json;
use tokio::net::TcpStream;

#[tokio::test]
async fn connections_that_say_nothing_give_way_to_those_that_do() {
    let server = Setup::new().set("limits.max_handshakes=8").start().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.at).await.unwrap());
    }
    let mut peer = within("a place", server.connect("alice")).await;
    let metrics = get(server.at, "/metrics").await.unwrap().body;
    let given_way = counted(&metrics, r#"chatbox_connections_refused_total{reason="handshake_limit"}"#);
    assert!(given_way >= 12, "{given_way}");
    // A WebSocket counts no longer, however long it lasts.
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.at).await.unwrap());
    }
    assert_eq!(within("a place", server.get("/readyz")).await.status, 200);
    peer.send(r#"{"type":"join","room":"lobby"}"#).await;
    assert_eq!(peer.message().await["type"], "joined");
}

#[tokio::test]
async fn a_user_turns_to_so_many_rooms_a_minute() {
    let server = Setup::new().set("limits.rooms_per_minute=3").start().await;
    let (mut alice, mut again, mut bob) =
        (server.connect("alice").await, server.connect("alice").await, server.connect("bob").await);
    let send = |room: &str| json!({ "type": "send", "room": room, "id": "1", "body": "x" }).to_string();
    for room in ["a", "b", "c", "a"] {
        alice.send(&send(room)).await;
        assert_eq!(alice.message().await["type"], "ack", "{room}");
    }
    again.send(r#"{"room":"d","type":"join"}"#).await;
    let mut refused = again.message().await;
    let retry_after = refused.as_object_mut().unwrap().remove("retry_after_ms").unwrap().as_u64().unwrap();
    assert!((1..=60_001).contains(&retry_after), "{retry_after}");
    let error = json!({ "type": "error", "code": "rate_limited", "message": "too many different rooms", "room": "d" });
    assert_eq!(refused, error);
    again.send(&send("e")).await;
    let refused = again.message().await;
    assert_eq!((&refused["room"], &refused["id"]), (&json!("e"), &json!("1")));
    again.send(r#"{"type":"join","room":"b"}"#).await;
    assert_eq!(again.message().await["type"], "joined");
    bob.send(&send("d")).await;
    assert_eq!(bob.message().await["type"], "ack");
    let metrics = get(server.at, "/metrics").await.unwrap().body;
    assert_eq!(counted(&metrics, r#"chatbox_messages_rejected_total{reason="rate_limited"}"#), 2);
}

#[tokio::test]
async fn a_page_of_history_is_bounded_in_bytes_and_the_next_one_goes_on() {
    let server = Setup::new().set("limits.burst=1000").start().await;
    let mut alice = server.connect("alice").await;
    let body = "x".repeat(8_000);
    for id in 1..=100 {
        alice.send(&json!({ "type": "send", "room": "lobby", "id": id.to_string(), "body": body }).to_string()).await;
        assert_eq!(alice.message().await["seq"], id);
    }
    let (mut seen, mut pages) = (0, 0);
    while seen < 100 {
        let page = server.get(&format!("/rooms/lobby/messages?after={seen}&limit=1000")).await;
        assert!(page.body.len() < (256 << 10) + 64 * 9_000);
        let page = page.json();
        assert_eq!(page["head"], 100);
        for message in page["messages"].as_array().unwrap() {
            seen += 1;
            assert_eq!(message["seq"], seen);
        }
        pages += 1;
    }
    assert_eq!(pages, 2);
}

#[tokio::test]
async fn while_no_outbox_may_hold_anything_clients_that_read_are_served_all_the_same() {
    let server = Setup::new().set("limits.outboxes_bytes=1").set("limits.burst=1000").start().await;
    let mut alice = server.connect("alice").await;
    for id in 1..=200 {
        alice.send(&json!({ "type": "send", "room": "lobby", "id": id.to_string(), "body": "x" }).to_string()).await;
    }
    for seq in 1..=200 {
        assert_eq!(alice.message().await["seq"], seq);
    }
}

#[tokio::test]
async fn the_address_of_a_client_is_that_which_a_trusted_proxy_saw() {
    let header = "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n";
    for (trusted, client) in [("", "127.0.0.1"), ("10.0.0.0/8,127.0.0.0/8", "198.51.100.7")] {
        let setup = Setup::new().set("log.level=debug").set(&format!("server.trusted_proxies={trusted}"));
        let mut server = setup.start().await;
        let peer = Peer::handshake(server.at, &server.ws("alice"), header).await;
        assert!(peer.is_ok());
        assert_eq!(server.message("Client admitted").await["client"], client);
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_a_line_now_and_then() {
    let server = Setup::new().set("auth.jwt_secret=a-key-of-at-least-thirty-two-bytes-for-tests").start().await;
    const FLOOD: usize = 200;
    for _ in 0..FLOOD {
        assert_eq!(server.get("/rooms/lobby/messages").await.status, 401);
    }
    let metrics = get(server.at, "/metrics").await.unwrap().body;
    assert_eq!(counted(&metrics, r#"chatbox_connections_refused_total{reason="unauthorized"}"#), FLOOD as u64);
    let finished = server.stop(TERMINATE).await;
    let lines = finished.with_message("Refusing connections");
    assert_eq!((&lines[0]["reason"], &lines[0]["suppressed"]), (&json!("unauthorized"), &json!(0)));
    let told: u64 = lines.iter().map(|line| 1 + line["suppressed"].as_u64().unwrap()).sum();
    assert!(lines.len() < FLOOD / 2 && told <= FLOOD as u64, "{} lines that tell of {told}", lines.len());
}

#[tokio::test]
async fn a_flood_of_rejections_is_a_line_now_and_then_that_says_why_and_not_what() {
    const KEY: &str = "a-key-of-at-least-thirty-two-bytes-for-tests";
    const FLOOD: usize = 200;
    let server = Setup::new().set(&format!("auth.jwt_secret={KEY}")).set("limits.burst=1000").start().await;
    let token = signed(KEY, json!({ "sub": "alice", "exp": unix() + 600, "rooms": ["lobby"] }));
    let mut peer = Peer::open(server.at, &format!("/chat/ws?token={token}")).await;
    peer.until("welcome").await;
    let send = |room: &str| json!({ "type": "send", "room": room, "id": "planted-id", "body": "planted-body" });
    let unknown = json!({ "type": "planted-type", "room": "lobby", "id": "planted-id", "body": "planted-body" });
    let reasons = ["bad_message", "not_allowed", "unknown_type"];
    let texts = ["planted-body".to_owned(), send("planted-room").to_string(), unknown.to_string()];
    for _ in 0..FLOOD {
        for (text, reason) in texts.iter().zip(reasons) {
            peer.send(text).await;
            assert_eq!(peer.message().await["code"], reason);
        }
    }
    let metrics = get(server.at, "/metrics").await.unwrap().body;
    for reason in reasons {
        let name = format!(r#"chatbox_messages_rejected_total{{reason="{reason}"}}"#);
        assert_eq!(counted(&metrics, &name), FLOOD as u64);
    }
    drop(peer);
    let finished = server.stop(TERMINATE).await;
    for reason in reasons {
        let mut lines = finished.with_message("Rejecting messages");
        lines.retain(|line| line["reason"] == reason);
        assert_eq!(lines[0]["suppressed"], 0);
        let told: u64 = lines.iter().map(|line| 1 + line["suppressed"].as_u64().unwrap()).sum();
        assert!(lines.len() < FLOOD / 2 && told <= FLOOD as u64, "{} lines that tell of {told}", lines.len());
    }
    let log = format!("{:?}{}", finished.lines, finished.stderr);
    let signature = token.rsplit('.').next().unwrap();
    for planted in ["planted-body", "planted-id", "planted-room", "planted-type", signature] {
        assert!(!log.contains(planted), "{planted} in {log}");
    }
}

/// What a counter stands at.
fn counted(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name}\n{metrics}")).trim().parse().unwrap()
}
