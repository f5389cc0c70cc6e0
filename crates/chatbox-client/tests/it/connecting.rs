//! From the address to the `welcome`: the request, credentials, and refusals.

use crate::server::{event, server};
use chatbox_client::{BuildError, Client, Event, HeaderMap, Reason};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn the_request_has_the_user_the_token_and_the_subprotocol() {
    let (builder, mut server) = server();
    let (_client, mut events) = builder.token("secret").connect().unwrap();
    let peer = server.welcome().await;
    assert_eq!(peer.request.uri(), "/chat/ws?user=u");
    assert_eq!(peer.request.headers()["authorization"], "Bearer secret");
    assert_eq!(peer.request.headers()["sec-websocket-protocol"], "chatbox.v1");
    let Some(Event::Connected { server, generation, connection, user, .. }) = events.next().await else { panic!() };
    assert_eq!((&*server, generation, &*connection, &*user), ("s", None, "7", "u"));
}

#[tokio::test(start_paused = true)]
async fn a_token_provider_is_called_before_each_attempt() {
    let (builder, mut server) = server();
    let asked = Arc::new(AtomicU32::new(0));
    let provider = move || {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        async move { if number == 1 { Err("no token today") } else { Ok(format!("token-{number}")) } }
    };
    let (_client, mut events) = builder.token_provider(provider).connect().unwrap();
    let peer = server.welcome().await;
    assert_eq!(peer.request.headers()["authorization"], "Bearer token-0");
    peer.close(1008).await;
    server.refuse("HTTP/1.1 401 Unauthorized\r\n\r\n").await;
    let peer = server.welcome().await;
    assert_eq!(peer.request.headers()["authorization"], "Bearer token-3");
    let mut reasons = Vec::new();
    while reasons.len() < 3 {
        if let Some(Event::Disconnected { reason, .. }) = events.next().await {
            reasons.push(reason);
        }
    }
    assert!(matches!(reasons[0], Reason::Close { code: 1008, .. }));
    assert_eq!(reasons[1], Reason::Token("no token today".to_owned()));
    assert!(matches!(reasons[2], Reason::Refused { status: 401, .. }));
}

#[tokio::test(start_paused = true)]
async fn servers_are_tried_in_turn_from_a_random_one() {
    let mut begun_at = HashSet::new();
    while begun_at.len() < 3 {
        let (builder, mut server) = server();
        let (_client, _events) = builder.server("ws://b").server("ws://c").connect().unwrap();
        let mut hosts = Vec::new();
        for _ in 0..4 {
            hosts.push(server.dialled().await.0.host);
        }
        assert_eq!(hosts[..3].iter().collect::<HashSet<_>>().len(), 3, "each is tried");
        assert_eq!(hosts[0], hosts[3]);
        begun_at.insert(hosts.swap_remove(0));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_a_refusal_is_honoured() {
    let (builder, mut server) = server();
    let (_client, mut events) = builder.backoff(Duration::ZERO, Duration::ZERO).connect().unwrap();
    let refused_at = Instant::now();
    let body = r#"{"error":"draining","message":"later"}"#;
    server.refuse(&format!("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\n{body}")).await;
    server.dialled().await;
    assert_eq!(refused_at.elapsed().as_secs(), 7);
    let (error, message) = ("draining".to_owned(), "later".to_owned());
    let reason = Reason::Refused { status: 503, error, message, retry_after: Some(Duration::from_secs(7)) };
    let Some(Event::Disconnected { reason: seen, retry_in, .. }) = events.next().await else { panic!() };
    assert_eq!((seen, retry_in), (reason, Duration::from_secs(7)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_would_be_repeated_ends_the_client() {
    for status in [400, 401, 403, 404, 426] {
        let (builder, mut server) = server();
        let (client, mut events) = builder.connect().unwrap();
        let sending = client.send("r", "never sent");
        server.refuse(&format!("HTTP/1.1 {status} No\r\n\r\n")).await;
        let Some(Event::Closed { reason: Reason::Refused { status: seen, .. }, .. }) = events.next().await else {
            panic!()
        };
        assert_eq!(seen, status);
        assert_eq!(events.next().await, None);
        assert!(sending.await.is_err());
        // Returns at once.
        client.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    let (builder, mut server) = server();
    let (_client, mut events) = builder.connect_timeout(Duration::from_secs(3)).connect().unwrap();
    let (_target, _stream) = server.dialled().await;
    let silent = |event| matches!(event, Event::Disconnected { reason: Reason::Silent(_), .. }).then_some(());
    let began = Instant::now();
    event(&mut events, silent).await;
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    // The same with a handshake and no `welcome`.
    let _peer = server.accept().await;
    event(&mut events, silent).await;
}

#[tokio::test]
async fn plain_tcp_is_the_default() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_client, mut events) = Client::builder().server(format!("http://{address}/")).connect().unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
    let last = events.next().await;
    assert!(matches!(last, Some(Event::Closed { reason: Reason::Refused { status: 403, .. }, .. })), "{last:?}");
}

#[tokio::test]
async fn an_invalid_configuration_is_an_error() {
    let error = |builder: chatbox_client::Builder| builder.connect().unwrap_err();
    assert!(matches!(error(Client::builder()), BuildError::NoServer));
    assert!(matches!(error(Client::builder().server("ws://h").token("a\nb")), BuildError::Token));
    #[cfg(not(feature = "tls"))]
    assert!(error(Client::builder().server("wss://h")).to_string().contains("feature `tls`"));
}

#[tokio::test(start_paused = true)]
async fn a_header_provider_is_called_before_each_attempt_and_the_token_wins() {
    let (builder, mut server) = server();
    let asked = AtomicU32::new(0);
    let provider = move || {
        let cookie = format!("session={}", asked.fetch_add(1, Ordering::Relaxed));
        let headers = [("cookie", cookie), ("authorization", "Bearer replaced".to_owned())];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        async move { Ok::<HeaderMap, String>(headers.into_iter().collect()) }
    };
    let (_client, _events) = builder.token("secret").header_provider(provider).connect().unwrap();
    let peer = server.welcome().await;
    assert_eq!(peer.request.headers()["cookie"], "session=0");
    assert_eq!(peer.request.headers()["authorization"], "Bearer secret");
    // Another session may be accepted.
    peer.close(1008).await;
    assert_eq!(server.welcome().await.request.headers()["cookie"], "session=1");
}

#[tokio::test(start_paused = true)]
async fn headers_of_the_opening_handshake_cannot_be_provided() {
    for name in ["host", "sec-websocket-key", "sec-websocket-protocol", "upgrade"] {
        let (builder, _server) = server();
        let provider = move || async move {
            Ok::<HeaderMap, String>([(name.parse().unwrap(), "x".parse().unwrap())].into_iter().collect())
        };
        let (_client, mut events) = builder.header_provider(provider).connect().unwrap();
        let Some(Event::Disconnected { reason: Reason::Headers(text), .. }) = events.next().await else { panic!() };
        assert!(text.contains(&format!("`{name}`")), "{text}");
    }
}
