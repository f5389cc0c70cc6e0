//! The opening handshake (RFC 6455 section 4.2), spoken to a real server by hand.

use crate::service::{Echo, Service, order_to_close};
use crate::wire::{self, Client, Got};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use chatbox_core::{CloseCode, CloseSummary, ClosedBy, Registry};
use chatbox_ws::{OriginPolicy, Rejection, Transport, Upgrade};
use http::{HeaderMap, StatusCode};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GET: &str = "GET /ws HTTP/1.1";

/// A browser's request, as name and value.
const SOUND: [(&str, &str); 6] = [
    ("Host", "chat.example"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
    ("Origin", "http://chat.example"),
];

/// A header and what stands in it: nothing, one value, or several lines.
type Change<'a> = (&'a str, &'a [&'a str]);

struct Answer {
    status: u16,
    head: String,
    client: Client<TcpStream>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    async fn body(&mut self) -> String {
        let len = self.header("content-length").unwrap().parse().unwrap();
        let mut body = vec![0; len];
        self.client.io.read_exact(&mut body).await.unwrap();
        String::from_utf8(body).unwrap()
    }
}

async fn serve(service: &Service, policy: OriginPolicy) -> SocketAddr {
    let (registry, transport) = (service.registry.clone(), service.transport.clone());
    let router = Router::new()
        .route("/ws", any(move |headers: HeaderMap, upgrade| accept(registry, transport, policy, headers, upgrade)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn accept(
    registry: Registry,
    transport: Transport,
    policy: OriginPolicy,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    if !policy.allows(&headers) {
        return Rejection::Origin.into_response();
    }
    match registry.admit("alice") {
        Ok(lease) => upgrade.with_protocol("chatbox.v1").serve(&transport, lease, |_| Echo),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn request(line: &str, changes: &[Change<'_>]) -> String {
    let mut request = format!("{line}\r\n");
    let kept = SOUND.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let added = changes.iter().flat_map(|(name, values)| values.iter().map(move |value| (*name, *value)));
    for (name, value) in kept.copied().chain(added) {
        request += &format!("{name}: {value}\r\n");
    }
    request + "\r\n"
}

async fn ask(address: SocketAddr, request: &[u8]) -> Answer {
    let mut io = TcpStream::connect(address).await.unwrap();
    io.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, client: Client { io } }
}

/// A client whose handshake with `address` is done.
pub(crate) async fn upgrade(address: SocketAddr) -> Client<TcpStream> {
    let changes: [Change<'_>; 1] = [("Origin", &[])];
    let answer = ask(address, request("GET / HTTP/1.1", &changes).as_bytes()).await;
    assert_eq!(answer.status, 101);
    answer.client
}

#[tokio::test]
async fn a_sound_request_is_upgraded() {
    let mut service = Service::new();
    let address = serve(&service, OriginPolicy::SameHost).await;
    let mut answer = ask(address, request(GET, &[]).as_bytes()).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    // The example of section 1.3.
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-extensions"), None);
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    answer.client.text("hello").await;
    assert_eq!(answer.client.next().await, Got::text("hello"));
    answer.client.close(1000).await;
    assert_eq!(answer.client.rest().await, [Got::Close(1000, String::new())]);
    assert_eq!(service.ended().await.error, None);
}

#[tokio::test]
async fn sound_requests_may_look_different() {
    let service = Service::new();
    let address = serve(&service, OriginPolicy::SameHost).await;
    let cases: [(&str, &[Change<'_>]); 9] = [
        ("the case of names and tokens", &[("Upgrade", &["WebSocket"]), ("Connection", &["UPGRADE"])]),
        ("Firefox", &[("Connection", &["keep-alive, Upgrade"])]),
        ("tokens over several lines", &[("Connection", &["keep-alive", "Upgrade"])]),
        ("one of several upgrades", &[("Upgrade", &["h2c, websocket"])]),
        ("no browser", &[("Origin", &[])]),
        ("an extension that is not spoken", &[("Sec-WebSocket-Extensions", &["permessage-deflate"])]),
        ("a body of nothing", &[("Content-Length", &["0"])]),
        ("a host with its port", &[("Host", &["chat.example:80"])]),
        ("another key", &[("Sec-WebSocket-Key", &["AAECAwQFBgcICQoLDA0OD+=="])]),
    ];
    for (what, changes) in cases {
        let answer = ask(address, request(GET, changes).as_bytes()).await;
        assert_eq!(answer.status, 101, "{what}");
    }
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let service = Service::new();
    let address = serve(&service, OriginPolicy::Any).await;
    let upgrade: [(&str, &[Change<'_>]); 32] = [
        ("POST /ws HTTP/1.1", &[]),
        ("PUT /ws HTTP/1.1", &[]),
        ("HEAD /ws HTTP/1.1", &[]),
        ("OPTIONS /ws HTTP/1.1", &[]),
        ("GET /ws HTTP/1.0", &[]),
        (GET, &[("Host", &[])]),
        (GET, &[("Host", &[""])]),
        (GET, &[("Host", &["one.example", "two.example"])]),
        (GET, &[("Upgrade", &[])]),
        (GET, &[("Upgrade", &[""])]),
        (GET, &[("Upgrade", &["h2c"])]),
        (GET, &[("Upgrade", &["websocket2"])]),
        (GET, &[("Upgrade", &["web socket"])]),
        (GET, &[("Connection", &[])]),
        (GET, &[("Connection", &["keep-alive"])]),
        (GET, &[("Connection", &["close"])]),
        (GET, &[("Connection", &["upgraded"])]),
        (GET, &[("Sec-WebSocket-Key", &[])]),
        (GET, &[("Sec-WebSocket-Key", &[""])]),
        (GET, &[("Sec-WebSocket-Key", &["abc"])]),
        (GET, &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ"])]),
        (GET, &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ==="])]),
        (GET, &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZTE="])]),
        (GET, &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25j!Q=="])]),
        (GET, &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="])]),
        (GET, &[("Sec-WebSocket-Version", &[])]),
        (GET, &[("Sec-WebSocket-Version", &[""])]),
        (GET, &[("Sec-WebSocket-Version", &["8"])]),
        (GET, &[("Sec-WebSocket-Version", &["8, 13"])]),
        (GET, &[("Sec-WebSocket-Version", &["13", "13"])]),
        (GET, &[("Content-Length", &["5"])]),
        (GET, &[("Transfer-Encoding", &["chunked"])]),
    ];
    for (line, changes) in upgrade {
        let mut answer = ask(address, request(line, changes).as_bytes()).await;
        let version = changes.iter().any(|(name, _)| *name == "Sec-WebSocket-Version");
        let (status, code) = if version { (426, "unsupported_version") } else { (400, "bad_upgrade") };
        assert_eq!(answer.status, status, "{line} {changes:?}");
        // Section 4.4: which version is spoken.
        assert_eq!(answer.header("sec-websocket-version"), version.then_some("13"));
        // RFC 9110 section 15.5.22: what to upgrade to.
        assert_eq!(answer.header("upgrade"), version.then_some("websocket"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        if !line.starts_with("HEAD") {
            let body = answer.body().await;
            assert!(body.starts_with(&format!(r#"{{"error":"{code}","message":""#)) && body.ends_with("\"}"), "{body}");
        }
    }
    assert!(service.registry.is_empty());
}

#[tokio::test]
async fn a_foreign_origin_is_refused() {
    let service = Service::new();
    let address = serve(&service, OriginPolicy::SameHost).await;
    let mut answer = ask(address, request(GET, &[("Origin", &["https://evil.example"])]).as_bytes()).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.body().await, r#"{"error":"origin_not_allowed","message":"this origin is not allowed"}"#);
}

#[tokio::test]
async fn a_subprotocol_is_agreed_to_when_it_is_offered() {
    let service = Service::new();
    let address = serve(&service, OriginPolicy::Any).await;
    let cases: [(&[&str], Option<&str>); 6] = [
        (&["chatbox.v1"], Some("chatbox.v1")),
        (&["graphql-ws, chatbox.v1"], Some("chatbox.v1")),
        (&["graphql-ws", "chatbox.v1"], Some("chatbox.v1")),
        (&["graphql-ws"], None),
        (&["CHATBOX.V1"], None),
        (&[""], None),
    ];
    for (offered, agreed) in cases {
        let answer = ask(address, request(GET, &[("Sec-WebSocket-Protocol", offered)]).as_bytes()).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, agreed), "{offered:?}");
    }
}

#[tokio::test]
async fn frames_sent_behind_the_request_are_not_lost() {
    let service = Service::new();
    let address = serve(&service, OriginPolicy::Any).await;
    let mut bytes = request(GET, &[]).into_bytes();
    for n in 0..100 {
        bytes.extend(wire::text(&n.to_string()));
    }
    let mut client = ask(address, &bytes).await.client;
    for n in 0..100 {
        assert_eq!(client.next().await, Got::text(n.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_drained_during_its_handshake_is_closed_properly() {
    for _ in 0..20 {
        let mut service = Service::new();
        let address = serve(&service, OriginPolicy::Any).await;
        let client = tokio::spawn(async move { ask(address, request(GET, &[]).as_bytes()).await });
        // As soon as it is registered, however far the handshake has come.
        while service.registry.is_empty() {
            tokio::task::yield_now().await;
        }
        for connection in service.registry.begin_drain() {
            connection.close(order_to_close());
        }
        let Answer { status, mut client, .. } = client.await.unwrap();
        assert_eq!(status, 101);
        assert_eq!(client.next().await, Got::Close(1001, "server shutting down".to_owned()));
        client.close(1001).await;
        assert_eq!(client.rest().await, []);
        assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
        assert_eq!(ask(address, request(GET, &[]).as_bytes()).await.status, 503);
    }
}
