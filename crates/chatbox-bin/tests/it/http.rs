//! The HTTP side (contract section 3), and the metrics (section 6).

use crate::harness::{Peer, Response, Server, Setup, get, request};

#[tokio::test]
async fn the_page_is_served_with_and_without_the_slash() {
    for (prefix, paths) in [("/chat", &["/chat", "/chat/"][..]), ("/a/b", &["/a/b", "/a/b/"]), ("", &["/"])] {
        let server = Setup::new().args(["--path-prefix", prefix]).start().await;
        assert_eq!(server.prefix, prefix);
        for path in paths {
            let page = get(server.at, path).await.unwrap();
            assert_eq!(page.status, 200, "{path}");
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            assert!(page.body.contains(&format!("{prefix}/ws")), "{path}: {}", page.body);
        }
        let mut peer = server.connect("alice").await;
        peer.send(r#"{"type":"join","room":"lobby"}"#).await;
        assert_eq!(peer.message().await["type"], "joined");
        assert_eq!(server.get("/healthz").await.status, 200);
        assert_eq!(get(server.at, "/metrics").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_keep_addresses_to_themselves() {
    let server = Setup::new().start().await;
    for path in
        ["/chat/", "/chat/ws", "/chat/healthz", "/chat/rooms/lobby/messages", "/chat/nothing", "/nothing", "/metrics"]
    {
        let answer = get(server.at, path).await.unwrap();
        for (name, value) in
            [("referrer-policy", "no-referrer"), ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'; "), "{path}");
    }
    let peer = server.connect("alice").await;
    assert_eq!(peer.response.header("referrer-policy"), None, "no link leads from there");
}

#[tokio::test]
async fn what_is_not_there_is_answered_in_json() {
    for prefix in ["/chat", ""] {
        let server = Setup::new().args(["--path-prefix", prefix]).start().await;
        for path in ["/nothing", &format!("{prefix}/nothing"), &format!("{prefix}/rooms/lobby")] {
            get(server.at, path).await.unwrap().refusal(404, "not_found");
        }
    }
    let server = Setup::new().start().await;
    get(server.at, "/").await.unwrap().refusal(404, "not_found");
}

#[tokio::test]
async fn probes_say_how_it_is() {
    let server = Setup::over("sqlite:chat.db").start().await;
    let alive = server.get("/healthz").await;
    assert_eq!((alive.status, &*alive.body), (200, r#"{"status":"healthy"}"#));
    assert_eq!(alive.header("cache-control"), Some("no-store"));
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.header("cache-control")), (200, Some("no-store")));
    let check = &ready.json()["checks"]["sqlite"];
    assert!(check["latency_ms"].is_u64(), "{ready:?}");
    let said = format!(
        r#"{{"status":"ready","phase":"running","checks":{{"sqlite":{{"status":"ready","latency_ms":{}}}}}}}"#,
        check["latency_ms"]
    );
    assert_eq!(ready.body, said);
}

#[tokio::test]
async fn the_operations_listener_serves_probes_and_metrics_and_nothing_else() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = Setup::new().set(&format!("ops_listen={free}")).start().await;
    let line = server.message("Operations listener").await;
    assert_eq!(line["metrics"], format!("http://{free}/metrics"));
    for path in ["/chat/healthz", "/chat/readyz", "/metrics"] {
        assert_eq!(get(free, path).await.unwrap().status, 200, "{path}");
        assert_eq!(get(server.at, path).await.unwrap().status, 200, "{path}");
    }
    for path in ["/chat/", "/chat/ws", "/chat/rooms/lobby/messages"] {
        assert_eq!(get(free, path).await.unwrap().status, 404, "{path}");
    }
}

#[tokio::test]
async fn history_is_paged() {
    let server = Setup::over("sqlite:chat.db").set("limits.burst=1000").start().await;
    let empty = server.get("/rooms/lobby/messages").await;
    assert_eq!((empty.status, &*empty.body), (200, r#"{"head":0,"messages":[]}"#));
    let mut peer = server.connect("alice").await;
    for id in 1..=150 {
        peer.send(&format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"<{id}>"}}"#)).await;
    }
    for _ in 1..=150 {
        peer.until("ack").await;
    }
    for (query, seqs) in [
        ("", 1..=100),
        ("?limit=1000", 1..=150),
        ("?after=100", 101..=150),
        ("?after=100&limit=2", 101..=102),
        ("?after=149", 150..=150),
        ("?after=0&limit=1", 1..=1),
    ] {
        let page = server.get(&format!("/rooms/lobby/messages{query}")).await.json();
        assert_eq!(page["head"], 150);
        let found: Vec<_> = page["messages"].as_array().unwrap().iter().map(|it| it["seq"].as_u64().unwrap()).collect();
        assert_eq!(found, seqs.collect::<Vec<_>>(), "{query}");
    }
    let past = server.get("/rooms/lobby/messages?after=150").await;
    assert_eq!(past.body, r#"{"head":150,"messages":[]}"#);
    let last = server.get("/rooms/lobby/messages?after=149").await;
    let (before, at) = last.body.rsplit_once(r#","at":""#).unwrap();
    let message = r#"{"type":"message","room":"lobby","seq":150,"user":"alice","id":"150","body":"<150>""#;
    assert_eq!(before, format!(r#"{{"head":150,"messages":[{message}"#));
    assert!(at.ends_with(r#"Z"}]}"#), "{at}");
}

#[tokio::test]
async fn bad_history_requests_are_answered_in_json() {
    let server = Setup::new().start().await;
    for (route, said) in [
        ("/rooms/lobby/messages?limit=0", "limit: must be from 1 to 1000"),
        ("/rooms/lobby/messages?limit=1001", "limit: must be from 1 to 1000"),
        ("/rooms/lobby/messages?limit=-1", ""),
        ("/rooms/lobby/messages?limit=many", ""),
        ("/rooms/lobby/messages?after=-1", ""),
        ("/rooms/lobby/messages?after=99999999999999999999", ""),
        ("/rooms/lobby/messages?after=", ""),
        ("/rooms/no%20spaces/messages", "room: "),
        ("/rooms/%FF/messages", ""),
        ("/rooms//messages", "room: "),
    ] {
        let message = server.get(route).await.refusal(400, "bad_request");
        assert!(message.starts_with(said), "{route}: {message}");
    }
    let post = request(
        server.at,
        "POST /chat/rooms/a/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    post.await.unwrap().refusal(405, "method_not_allowed");
}

#[tokio::test]
async fn upgrades_that_are_none_are_refused_in_json() {
    let server = Setup::new().start().await;
    let (at, path) = (server.at, server.ws("alice"));
    server.get("/ws").await.refusal(400, "bad_upgrade");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    let version = format!("{head}Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    let version = request(at, &version).await.unwrap();
    version.refusal(426, "unsupported_version");
    assert_eq!(version.header("sec-websocket-version"), Some("13"));
    for (origin, allowed) in [("https://evil.example", false), (&*format!("http://{at}"), true)] {
        match Peer::handshake(at, &path, &format!("Origin: {origin}\r\n")).await {
            Ok(_) => assert!(allowed, "{origin}"),
            Err(refused) => {
                assert!(!allowed, "{origin}");
                refused.refusal(403, "origin_not_allowed");
            }
        }
    }
}

#[tokio::test]
async fn origins_that_are_listed_are_let_in() {
    let server = Setup::new().set("auth.allowed_origins=https://a.example,https://b.example").start().await;
    for (origin, allowed) in [("https://a.example", true), ("https://b.example", true), ("https://c.example", false)] {
        let peer = Peer::handshake(server.at, &server.ws("alice"), &format!("Origin: {origin}\r\n")).await;
        assert_eq!(peer.is_ok(), allowed, "{origin}");
    }
}

#[tokio::test]
async fn metrics_say_what_happened() {
    let server = Setup::new().start().await;
    let (mut alice, mut bob) = (server.connect("alice").await, server.connect("bob").await);
    for peer in [&mut alice, &mut bob] {
        peer.send(r#"{"type":"join","room":"lobby"}"#).await;
        peer.until("joined").await;
    }
    for id in 0..3 {
        alice.send(&format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"x"}}"#)).await;
        assert_eq!(bob.until("message").await["seq"], id + 1);
    }
    alice.until("ack").await;
    alice.send("nonsense").await;
    alice.until("error").await;
    bob.polite = false;
    bob.close(1000).await;
    bob.finish().await.assert_closed(1000, "");
    server.get("/ws").await.refusal(400, "bad_upgrade");
    assert_eq!(server.get("/readyz").await.status, 200);
    crate::harness::until("the close to be counted", async || {
        text(&server).await.contains("chatbox_connections_active 1")
    })
    .await;

    let metrics = text(&server).await;
    for line in [
        "chatbox_connections_opened_total 2",
        r#"chatbox_connections_refused_total{reason="bad_upgrade"} 1"#,
        r#"chatbox_connections_refused_total{reason="draining"} 0"#,
        r#"chatbox_connections_closed_total{code="1000",by="client"} 1"#,
        "chatbox_connection_duration_seconds_count 1",
        "chatbox_messages_accepted_total 3",
        "chatbox_messages_acked_total 3",
        "chatbox_messages_delivered_total 6",
        r#"chatbox_messages_rejected_total{reason="bad_message"} 1"#,
        r#"chatbox_messages_rejected_total{reason="store_unavailable"} 0"#,
        "chatbox_slow_consumers_total 0",
        "chatbox_lagging_members 0",
        "chatbox_ready 1",
        "chatbox_shutdown_phase 0",
        "# TYPE chatbox_append_seconds histogram",
        "# TYPE chatbox_connections_closed_total counter",
        "# TYPE process_open_fds gauge",
        "# TYPE process_resident_memory_bytes gauge",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(metrics.contains("chatbox_append_seconds_bucket{le="));
    assert!(
        metrics.contains("# TYPE chatbox_outbox_bytes gauge")
            && metrics.contains("chatbox_ring_bytes ")
            && !metrics.contains("chatbox_ring_bytes 0")
    );
}

async fn text(server: &Server) -> String {
    let response: Response = get(server.at, "/metrics").await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    response.body
}
