//! Integration tests of the public API: what a soak reports about services that do not work.

use chatbox_soak::{Soak, SoakError};
use std::future::{pending, ready};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn invalid_options_are_reported() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = Soak::new(["ws://127.0.0.1:9"]).rate(rate).run(pending()).await.unwrap_err();
        assert!(matches!(error, SoakError::Rate(_)), "{error}");
    }
    let error = Soak::new([""; 0]).run(pending()).await.unwrap_err();
    assert_eq!(error.to_string(), "no server is named");
    let error = Soak::new(["localhost:8080"]).run(pending()).await.unwrap_err();
    assert!(error.to_string().starts_with("server address `localhost:8080`"), "{error}");
}

#[tokio::test]
async fn a_stubborn_connection_that_is_refused_names_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/chat/ws", listener.local_addr().unwrap());
    let soak = Soak::new([&*url]).stubborn(1);
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let (request, result) = tokio::join!(server, soak.run(pending()));
    assert!(request.starts_with("GET /chat/ws?user=soak-"), "{request}");
    let Err(SoakError::Stubborn { url: named, source, .. }) = result else { panic!("{result:?}") };
    assert_eq!(named, url);
    assert_eq!(source.to_string(), "refused with HTTP/1.1 503 Service Unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_reached_breaks_every_promise() {
    // Nothing listens on the discard port.
    let one = NonZeroU32::new(1).unwrap();
    let soak = Soak::new(["ws://127.0.0.1:9"]).clients(one).rooms(one).settle(Duration::from_secs(2));
    let report = soak.run(ready(())).await.unwrap();
    assert!(!report.ok);
    assert_eq!(report.violations.into_iter().collect::<Vec<_>>(), [("unreadable", 1)]);
    assert_eq!((report.connects, report.delivered), (0, 0));
    assert!(report.ends.contains_key("connection refused"), "{:?}", report.ends);
}
