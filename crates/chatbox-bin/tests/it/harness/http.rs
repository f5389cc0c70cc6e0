//! Plain HTTP/1.1 requests, written and read by hand.

use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Response {
    /// Parses what has come of a response; `None` while its head is not complete.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.strip_prefix("HTTP/1.").unwrap()[2..5].parse().unwrap();
        Some(Self { status, head, body: String::from_utf8_lossy(&bytes[end + 4..]).into_owned() })
    }

    /// The only header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (found, value) = line.split_once(':').unwrap();
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands twice");
        value
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is a refusal with this status and code; returns its message.
    pub(crate) fn refusal(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body["error"], code, "{self:?}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{self:?}");
        body["message"].as_str().unwrap().to_owned()
    }
}

/// An HTTP connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(at: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(at).await?, buffer: Vec::new() })
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// The next answer; an error of the kind `UnexpectedEof` when the connection ends before one.
    pub(crate) async fn answer(&mut self) -> io::Result<Response> {
        self.read(false).await
    }

    /// The next answer, to a HEAD request.
    pub(crate) async fn answer_without_body(&mut self) -> io::Result<Response> {
        self.read(true).await
    }

    /// Reads to the end of the connection, and returns what came.
    pub(crate) async fn rest(mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.buffer).await?;
        Ok(self.buffer)
    }

    async fn read(&mut self, only_head: bool) -> io::Result<Response> {
        loop {
            if let Some(mut response) = Response::parse(&self.buffer) {
                let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
                let length = if only_head { 0 } else { length };
                if response.body.len() >= length {
                    let end = response.head.len() + 4 + length;
                    response.body.truncate(length);
                    self.buffer.drain(..end);
                    return Ok(response);
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// GET.
pub(crate) async fn get(at: SocketAddr, path: &str) -> io::Result<Response> {
    request(at, &format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")).await
}

/// Sends a request, and reads the response to its end.
pub(crate) async fn request(at: SocketAddr, request: &str) -> io::Result<Response> {
    let mut connection = Connection::open(at).await?;
    connection.send(request).await?;
    connection.answer().await
}
