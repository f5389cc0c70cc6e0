//! Browser origins and forwarding headers, as upgrades through proxies have them.

use crate::harness::{Server, Setup, TERMINATE, within};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The status of an upgrade with these headers, `Host` among them.
async fn status(server: &Server, headers: &[(&str, &str)]) -> u16 {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "GET {} HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
        server.ws("alice")
    );
    let mut stream = TcpStream::connect(server.at).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    within("a status line", stream.read_exact(&mut line)).await.unwrap();
    std::str::from_utf8(&line).unwrap().strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_listed_origin_is_compared_as_browsers_send_it() {
    let server = Setup::new().set("auth.allowed_origins=HTTPS://Chat.Example:443/,http://[0::1]:3000").start().await;
    for (origin, expected) in [
        ("https://chat.example", 101),
        ("http://[::1]:3000", 101),
        ("http://chat.example", 403),
        ("https://chat.example:8443", 403),
    ] {
        assert_eq!(status(&server, &[("Host", "inner"), ("Origin", origin)]).await, expected, "{origin}");
    }
}

/// nginx's `$host`, and a TLS proxy in front.
#[tokio::test]
async fn a_host_without_a_port_is_the_same_host_as_an_origin_with_any() {
    let server = Setup::new().start().await;
    for (host, origin, expected) in [
        ("chat.example", "https://chat.example", 101),
        ("chat.example", "http://chat.example:8081", 101),
        ("[::1]", "http://[::1]:8081", 101),
        ("chat.example:8081", "http://chat.example:8081", 101),
        ("chat.example:8081", "http://chat.example:8082", 403),
        ("chat.example", "https://evil.example", 403),
    ] {
        assert_eq!(status(&server, &[("Host", host), ("Origin", origin)]).await, expected, "{host} {origin}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_forwards_the_host_that_the_page_asked_for() {
    let trusting = Setup::new().set("server.trusted_proxies=127.0.0.1").start().await;
    let other = Setup::new().set("server.trusted_proxies=192.0.2.0/24").start().await;
    let origin = ("Origin", "https://chat.example:8443");
    for forwarded in [
        ("X-Forwarded-Host", "chat.example:8443"),
        ("X-Forwarded-Host", "first.example, chat.example:8443"),
        ("Forwarded", "for=198.51.100.7;proto=https;host=\"chat.example:8443\""),
    ] {
        let headers = [("Host", "127.0.0.1:1"), origin, forwarded];
        assert_eq!(status(&trusting, &headers).await, 101, "{forwarded:?}");
        assert_eq!(status(&other, &headers).await, 403, "{forwarded:?}");
    }
    // Not appended by the trusted proxy.
    let headers = [("Host", "127.0.0.1:1"), origin, ("X-Forwarded-Host", "chat.example:8443, inner")];
    assert_eq!(status(&trusting, &headers).await, 403);
}

#[tokio::test]
async fn a_refused_origin_is_logged_with_the_hosts_that_it_was_compared_with() {
    let server = Setup::new().set("server.trusted_proxies=127.0.0.1").start().await;
    let headers = [("Host", "inner:1"), ("Origin", "https://evil.example"), ("X-Forwarded-Host", "chat.example")];
    assert_eq!(status(&server, &headers).await, 403);
    let finished = server.stop(TERMINATE).await;
    let lines = finished.with_message("Refusing connections");
    let found: Vec<[&Value; 3]> = lines.iter().map(|line| [&line["reason"], &line["origin"], &line["hosts"]]).collect();
    assert_eq!(found, [["origin_not_allowed", "https://evil.example", "inner:1, chat.example"]]);
}

#[tokio::test]
async fn forwarding_headers_of_an_untrusted_peer_are_warned_about_once_a_minute() {
    for (trusted, warnings) in [("192.0.2.1", 1), ("127.0.0.0/8", 0)] {
        let server = Setup::new().set(&format!("server.trusted_proxies={trusted}")).start().await;
        for _ in 0..3 {
            assert_eq!(status(&server, &[("Host", "x"), ("X-Forwarded-For", "203.0.113.9")]).await, 101);
        }
        assert_eq!(status(&server, &[("Host", "x")]).await, 101);
        let finished = server.stop(TERMINATE).await;
        let found =
            finished.with_message("Ignoring forwarding headers of a peer that is not in server.trusted_proxies");
        assert_eq!(found.len(), warnings, "{found:?}");
        assert!(found.iter().all(|line| line["level"] == "WARN" && line["peer"] == "127.0.0.1"), "{found:?}");
    }
}
