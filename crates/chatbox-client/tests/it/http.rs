//! Single HTTP requests.

use chatbox_client::{Dialer, HttpError, http_get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Sends one request to a server that answers with `response`. Returns the request and the result.
async fn exchange(path: &str, response: &str) -> (String, Result<::http::Response<bytes::Bytes>, HttpError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}{path}", listener.local_addr().unwrap()).parse().unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(response.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let dialer = Dialer::tcp();
    tokio::join!(server, http_get(&dialer, &uri, Some("secret")))
}

#[tokio::test]
async fn the_request_has_the_path_the_host_and_the_token() {
    let (request, response) =
        exchange("/rooms/r/messages?after=1", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nbody").await;
    assert!(request.starts_with("GET /rooms/r/messages?after=1 HTTP/1.1\r\n"), "{request}");
    let lower = request.to_ascii_lowercase();
    assert!(
        lower.contains("\r\nhost: 127.0.0.1:") && lower.contains("\r\nauthorization: bearer secret\r\n"),
        "{request}"
    );
    let response = response.unwrap();
    assert_eq!((response.status().as_u16(), &response.body()[..]), (404, &b"body"[..]));
}

#[tokio::test]
async fn an_incomplete_answer_is_an_error() {
    let (request, response) = exchange("", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo").await;
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    assert!(matches!(response, Err(HttpError::Body(_))), "{response:?}");
    let (_, response) = exchange("", "nonsense\r\n\r\n").await;
    assert!(matches!(response, Err(HttpError::Exchange(_))), "{response:?}");
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_an_error() {
    let get = async |uri: &str, token| http_get(&Dialer::tcp(), &uri.parse().unwrap(), token).await.unwrap_err();
    assert!(matches!(get("ftp://h/", None).await, HttpError::Url(_)));
    assert!(matches!(get("/path", None).await, HttpError::Url(_)));
    assert!(matches!(get("http://h/", Some("a\nb")).await, HttpError::Token));
    // Nothing listens on the discard port.
    assert!(matches!(get("http://127.0.0.1:9/", None).await, HttpError::Dial(_)));
    assert!(matches!(get("https://127.0.0.1:9/", None).await, HttpError::Dial(_)));
}
