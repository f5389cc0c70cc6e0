//! Attacks by HTTP: heads that never end, ambiguous requests, bytes that are no request.

use super::Attack;
use super::costs::Load;
use super::dialogue::{answers, dialogue, exchange};
use super::harness::{Case, case, under};
use crate::harness::{Server, Setup, get, within};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Between two bytes of slow clients.
const TRICKLE: Duration = Duration::from_millis(200);

/// How many slow clients there are at once.
const SLOW: usize = 50;

/// When those are ended that do not make a request.
const AT_THE_LATEST: &str = ", at the latest after 10 s";

pub(super) fn all() -> Vec<Attack> {
    let heads = Load { heads: SLOW as u64, ..Load::default() };
    vec![
        Box::pin(under(Setup::new(), heads, async |server| {
            vec![
                slow(server.at, "say nothing", AT_THE_LATEST, "", "").await,
                slow(server.at, "send a head a byte at a time", AT_THE_LATEST, "GET /", "a").await,
            ]
        })),
        Box::pin(under(Setup::new().set("server.keep_alive=10s"), heads, async |server| {
            let answered = "GET /chat/healthz HTTP/1.1\r\nHost: a\r\n\r\n";
            let body = "POST /chat/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
            vec![
                slow(server.at, "stay after their answer", " after `server.keep_alive`", answered, "").await,
                slow(server.at, "send a body a byte at a time", AT_THE_LATEST, body, "a").await,
            ]
        })),
        Box::pin(under(Setup::new(), Load { heads: 1, ..Load::default() }, async |server| requests(server).await)),
    ]
}

/// Clients that never finish what they have begun.
async fn slow(at: SocketAddr, what: &str, when: &str, begin: &str, then: &str) -> Case {
    let mut clients = Vec::new();
    for _ in 0..SLOW {
        clients.push(tokio::task::spawn_local(trickle(at, begin.to_owned(), then.to_owned())));
    }
    // Others are served meanwhile.
    assert_eq!(get(at, "/chat/healthz").await.unwrap().status, 200);
    let mut endings = Vec::new();
    for client in clients {
        endings.push(client.await.unwrap());
    }
    endings.dedup();
    case(format!("{SLOW} connections that {what}"), format!("ended by the server{when}"), endings.join("; "))
}

async fn trickle(at: SocketAddr, begin: String, then: String) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let (mut input, mut output) = stream.split();
    let mut bytes = Vec::new();
    let speak = async {
        let _ = output.write_all(begin.as_bytes()).await;
        loop {
            tokio::time::sleep(TRICKLE).await;
            let _ = output.write_all(then.as_bytes()).await;
        }
    };
    let listen = within("a slow connection to be ended", input.read_to_end(&mut bytes));
    tokio::select! {
        () = speak => unreachable!("the connection goes on sending"),
        _ = listen => {}
    }
    let mut answers = answers(&bytes, false);
    answers.push("closed".to_owned());
    answers.join(", ")
}

async fn requests(server: &Server) -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, request, expected) in shapes() {
        cases.push(case(what, expected, dialogue(server.at, &request).await));
    }
    let script = b"GET /chat/ HTTP/1.1\r\nHost: \"><script>alert(1)</script>\r\nConnection: close\r\n\r\n";
    let page = String::from_utf8(exchange(server.at, script).await).unwrap();
    let observed = if page.contains("<script>alert") { "it is in the page" } else { "it is escaped" };
    cases.push(case("a `Host` that is a script", "it is escaped", observed));
    cases
}

fn shapes() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    const NO_HTTP: &str = "400, closed";
    const NOT_FOUND: &str = "404 `not_found`";
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    // Two requests to a parser that believes one header, one to a parser that believes the other.
    let hidden = "GET /chat/hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let with = |headers: &str, body: &str| format!("POST /chat/nothing HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}");
    let length = hidden.len();
    let many = |count: usize| format!("GET /chat/ HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
    let noise: Vec<u8> = (0..1_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let text: [(&'static str, String, &'static str); 25] = [
        ("a request for HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "closed"),
        ("a frame without an upgrade", "\u{1}\u{5}hello\r\n\r\n".to_owned(), NO_HTTP),
        (
            "two different `Content-Length`",
            with(&format!("Content-Length: 0\r\nContent-Length: {length}"), hidden),
            NO_HTTP,
        ),
        ("a list as `Content-Length`", with(&format!("Content-Length: {length}, {length}"), hidden), NO_HTTP),
        ("`Content-Length: +5`", with("Content-Length: +5", "hello"), NO_HTTP),
        (
            "`Content-Length` and `Transfer-Encoding`, a request behind the chunks",
            with(
                &format!("Content-Length: {}\r\nTransfer-Encoding: chunked", length + 5),
                &format!("0\r\n\r\n{hidden}"),
            ),
            "one answer, closed",
        ),
        ("`Transfer-Encoding: xchunked`", with("Transfer-Encoding: xchunked", "0\r\n\r\n"), NO_HTTP),
        ("`Transfer-Encoding: chunked, identity`", with("Transfer-Encoding: chunked, identity", "0\r\n\r\n"), NO_HTTP),
        ("`Transfer-Encoding : chunked`", with("Transfer-Encoding : chunked", "0\r\n\r\n"), NO_HTTP),
        (
            "a chunk of 2⁶⁴ bytes",
            with("Transfer-Encoding: chunked", "10000000000000000\r\n"),
            "404 `not_found`, closed",
        ),
        (
            "a chunk whose length is no number",
            with("Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n"),
            "404 `not_found`, closed",
        ),
        ("a body of 10 GB announced", with("Content-Length: 10000000000", "hello"), "404 `not_found`, closed"),
        ("a CR alone as the end of a line", "GET /chat/ HTTP/1.1\rHost: a\r\r".to_owned() + "\n\n", NO_HTTP),
        ("101 headers", many(101), "431, closed"),
        ("5,000 headers", many(5_000), "431, closed"),
        ("a target of 20,000 bytes", get(&format!("/chat/{}", "x".repeat(20_000))), "431, closed"),
        ("1,000 requests in one go", get("/chat/hidden").repeat(1_000), "1000 × 404 `not_found`"),
        ("an absolute target of another host", get("http://evil.example/chat/hidden"), NOT_FOUND),
        ("`CONNECT evil.example:443`", "CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), NOT_FOUND),
        ("`OPTIONS *`", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), NOT_FOUND),
        ("`/chat/../metrics`", get("/chat/../metrics"), NOT_FOUND),
        ("`/chat/%2e%2e/metrics`", get("/chat/%2e%2e/metrics"), NOT_FOUND),
        (
            "the history of `..%2f..%2fetc%2fpasswd`",
            get("/chat/rooms/..%2f..%2fetc%2fpasswd/messages"),
            "400 `bad_request`",
        ),
        ("the history of `%00`", get("/chat/rooms/%00/messages"), "400 `bad_request`"),
        ("the history after 10⁴⁰⁰", get("/chat/rooms/lobby/messages?after=1e400"), "400 `bad_request`"),
    ];
    let bytes = [
        ("1,000 random bytes", noise, NO_HTTP),
        ("a TLS handshake", hello, NO_HTTP),
        ("1,000 NULs", vec![0; 1_000], NO_HTTP),
    ];
    bytes.into_iter().chain(text.map(|(what, request, expected)| (what, request.into_bytes(), expected))).collect()
}
