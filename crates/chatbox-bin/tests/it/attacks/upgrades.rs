//! Upgrades that are malformed: each is refused with its documented status and body, and none is answered with a 101.

use super::Attack;
use super::costs::Load;
use super::dialogue::{dialogue, exchange};
use super::harness::{Case, case, under};
use crate::harness::{Server, Setup, get};

const BAD: &str = "400 `bad_upgrade`";
const VERSION: &str = "426 `unsupported_version`";
const ORIGIN: &str = "403 `origin_not_allowed`";
const USER: &str = "401 `unauthorized`";
/// What is no HTTP comes to no route: the parser answers without a body, and closes.
const NO_HTTP: &str = "400, closed";
const TOO_LARGE: &str = "431, closed";

const GET: &str = "GET /chat/ws?user=mallory HTTP/1.1";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A browser's request, as name and value.
const SOUND: [(&str, &str); 5] = [
    ("Host", "chat.example"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

pub(super) fn all() -> Vec<Attack> {
    vec![Box::pin(under(Setup::new(), Load::default(), async |server| malformed(server).await))]
}

async fn malformed(server: &Server) -> Vec<Case> {
    // What the others change is let in as it is; what stands behind it is no frame.
    let sound = exchange(server.at, (request(GET, &[]) + "no frame").as_bytes()).await;
    assert!(sound.starts_with(b"HTTP/1.1 101 "));
    let mut cases = Vec::new();
    for (what, request, expected) in requests() {
        cases.push(case(what, expected, dialogue(server.at, request.as_bytes()).await));
    }
    let metrics = get(server.at, "/metrics").await.unwrap().body;
    assert!(metrics.contains("\nchatbox_connections_opened_total 3\n"), "no other connection was accepted:\n{metrics}");
    cases
}

/// A request with this first line; each change names a header, and gives its values in place of those of a sound request.
fn request(line: &str, changes: &[(&str, &[&str])]) -> String {
    let kept = SOUND.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name)).copied();
    let added = changes.iter().flat_map(|(name, values)| values.iter().map(move |value| (*name, *value)));
    let headers: String = kept.chain(added).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\n{headers}\r\n")
}

fn requests() -> Vec<(String, String, &'static str)> {
    let long = "x".repeat(20_000);
    let lines: [(&str, &str, &str); 10] = [
        ("`POST`", "POST /chat/ws?user=mallory HTTP/1.1", BAD),
        ("`PUT`", "PUT /chat/ws?user=mallory HTTP/1.1", BAD),
        ("`HEAD`", "HEAD /chat/ws?user=mallory HTTP/1.1", "400"),
        ("`OPTIONS`", "OPTIONS /chat/ws?user=mallory HTTP/1.1", BAD),
        ("`get`", "get /chat/ws?user=mallory HTTP/1.1", BAD),
        ("HTTP/1.0", "GET /chat/ws?user=mallory HTTP/1.0", "400 `bad_upgrade`, closed"),
        ("HTTP/0.9", "GET /chat/ws?user=mallory", NO_HTTP),
        ("HTTP/2.0", "GET /chat/ws?user=mallory HTTP/2.0", NO_HTTP),
        ("a user without a name", "GET /chat/ws?user= HTTP/1.1", USER),
        ("a user with a control character", "GET /chat/ws?user=a%00b HTTP/1.1", USER),
    ];
    // A header, its values, and what comes of it.
    let headers: [(&str, &[&str], &str); 49] = [
        ("Host", &[], BAD),
        ("Host", &[""], BAD),
        ("Host", &["one.example", "two.example"], BAD),
        ("Upgrade", &[], BAD),
        ("Upgrade", &[""], BAD),
        ("Upgrade", &["h2c"], BAD),
        ("Upgrade", &["websocket2"], BAD),
        ("Upgrade", &["web socket"], BAD),
        ("Upgrade", &["websocket/13"], BAD),
        ("Connection", &[], BAD),
        ("Connection", &["keep-alive"], BAD),
        ("Connection", &["close"], "400 `bad_upgrade`, closed"),
        ("Connection", &["upgraded"], BAD),
        ("Connection", &["Upgrade;q=1"], BAD),
        ("Sec-WebSocket-Key", &[], BAD),
        ("Sec-WebSocket-Key", &[""], BAD),
        ("Sec-WebSocket-Key", &["abc"], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ"], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ==="], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZTE="], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25j"], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZTEyMzQ="], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25j!Q=="], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25j-Q=="], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBs ZSBub25jZQ=="], BAD),
        ("Sec-WebSocket-Key", &[KEY, KEY], BAD),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="], BAD),
        ("Sec-WebSocket-Version", &[], VERSION),
        ("Sec-WebSocket-Version", &[""], VERSION),
        ("Sec-WebSocket-Version", &["8"], VERSION),
        ("Sec-WebSocket-Version", &["0"], VERSION),
        ("Sec-WebSocket-Version", &["14"], VERSION),
        ("Sec-WebSocket-Version", &["013"], VERSION),
        ("Sec-WebSocket-Version", &["13.0"], VERSION),
        ("Sec-WebSocket-Version", &["+13"], VERSION),
        ("Sec-WebSocket-Version", &["8, 13"], VERSION),
        ("Sec-WebSocket-Version", &["13", "13"], VERSION),
        ("Content-Length", &["many"], NO_HTTP),
        ("Content-Length", &["-1"], NO_HTTP),
        ("Content-Length", &["99999999999999999999"], NO_HTTP),
        ("Transfer-Encoding", &["gzip"], NO_HTTP),
        ("Origin", &["https://evil.example"], ORIGIN),
        ("Origin", &["http://other.example:8080"], ORIGIN),
        ("Origin", &["http://chat.example.evil.example"], ORIGIN),
        ("Origin", &["chat.example"], ORIGIN),
        ("Origin", &["file://chat.example"], ORIGIN),
        ("Origin", &["null"], ORIGIN),
        ("Origin", &["http://chat.example", "http://chat.example"], ORIGIN),
        ("X-Long", &[&long], TOO_LARGE),
    ];
    let sound = request(GET, &[]);
    let body = |header| request(GET, &[header]);
    let whole: [(&str, String, &str); 8] = [
        ("a body of 5 bytes", body(("Content-Length", &["5"])) + "hello", BAD),
        ("a chunked body", body(("Transfer-Encoding", &["chunked"])) + "5\r\nhello\r\n0\r\n\r\n", BAD),
        ("a header without a colon", sound.replacen("Upgrade: ", "Upgrade ", 1), NO_HTTP),
        ("a blank before a colon", sound.replacen("Upgrade: ", "Upgrade : ", 1), NO_HTTP),
        ("a header over two lines", sound.replacen("Upgrade: ", "Upgrade:\r\n ", 1), NO_HTTP),
        ("a NUL in a value", sound.replacen("websocket", "web\0socket", 1), NO_HTTP),
        ("a blank in a target", sound.replacen("mallory", "mal lory", 1), NO_HTTP),
        ("a user given twice", sound.replacen("mallory", "mallory&user=alice", 1), "400 `bad_request`"),
    ];
    let lines = lines.map(|(what, line, expected)| (what.to_owned(), request(line, &[]), expected));
    let headers = headers.map(|(name, values, expected)| {
        let values_shown: Vec<_> = values
            .iter()
            .map(|value| if value.len() > 100 { "20,000 bytes".to_owned() } else { quoted(value) })
            .collect();
        let shown = if values.is_empty() { "missing".to_owned() } else { values_shown.join(" and ") };
        (format!("`{name}`: {shown}"), request(GET, &[(name, values)]), expected)
    });
    let whole = whole.map(|(what, request, expected)| (what.to_owned(), request, expected));
    lines.into_iter().chain(headers).chain(whole).collect()
}

fn quoted(value: &str) -> String {
    if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") }
}
