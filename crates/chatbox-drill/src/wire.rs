//! One TCP connection to the server, seen byte by byte: requests, the opening handshake, frames, and how it ends.

use crate::frame::{self, Frame, Opcode};
use crate::target::Target;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

/// The longest head of a response.
const MAX_HEAD: usize = 64 * 1024;

/// A connection, and what has been read from it.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// How a request was answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// With the head of a response.
    Head(Head),
    /// The connection was refused: nothing listens.
    Refused,
    /// The connection was reset before an answer.
    Reset,
    /// The connection was closed without an answer.
    Closed,
    /// Nothing came within the time.
    TimedOut,
}

/// Status and headers of a response.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        Some(Self { status, headers: headers.map(|(key, value)| (key.into(), value.trim().into())).collect() })
    }
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Read {
    Frame(Frame),
    /// Bytes that are no frame.
    Malformed(String),
    /// The server closed its side. `partial`: in the midst of a frame.
    Eof {
        partial: bool,
    },
    Reset,
    /// Another error of the socket.
    Failed(io::Error),
}

impl Wire {
    /// Connects. `receive_buffer` bounds what the kernel takes in for a client that does not read.
    pub(crate) async fn connect(target: &Target, receive_buffer: Option<u32>) -> io::Result<Self> {
        let unresolved = || io::Error::new(ErrorKind::NotFound, format!("{} has no address", target.authority));
        let address = lookup_host(&target.authority).await?.next().ok_or_else(unresolved)?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_nodelay(true)?;
        let stream = socket.connect(address).await?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn send(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.write(&frame::encode(opcode, payload)).await
    }

    /// Closes this side, and goes on reading.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next frame, or how the connection ended. Cancel safe.
    pub(crate) async fn read(&mut self) -> Read {
        loop {
            match frame::take(&mut self.buffer) {
                Ok(Some(frame)) => return Read::Frame(frame),
                Ok(None) => {}
                Err(fault) => return Read::Malformed(fault),
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Read::Eof { partial: !self.buffer.is_empty() },
                Ok(_) => {}
                Err(error) if is_reset(&error) => return Read::Reset,
                Err(error) => return Read::Failed(error),
            }
        }
    }

    /// The head of the response to what has been written.
    pub(crate) async fn head(&mut self, patience: Duration) -> Answer {
        match timeout(patience, self.read_head()).await {
            Ok(answer) => answer,
            Err(_) => Answer::TimedOut,
        }
    }

    async fn read_head(&mut self) -> Answer {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                return Head::parse(&head).map_or(Answer::Closed, Answer::Head);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Answer::Closed,
                Ok(_) if self.buffer.len() > MAX_HEAD => return Answer::Closed,
                Ok(_) => {}
                Err(_) => return Answer::Reset,
            }
        }
    }
}

pub(crate) fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}

/// Asks for a resource on a connection of its own.
pub(crate) async fn get(target: &Target, patience: Duration) -> Answer {
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.path, target.authority);
    exchange(target, &request, None, patience).await.1
}

/// Does the opening handshake (RFC 6455 section 4.1): the connection is there with a status of 101.
pub(crate) async fn upgrade(
    target: &Target,
    headers: &[(String, String)],
    receive_buffer: Option<u32>,
    patience: Duration,
) -> (Option<Wire>, Answer) {
    exchange(target, &upgrade_request(target, headers), receive_buffer, patience).await
}

/// The head of the request of an opening handshake.
pub(crate) fn upgrade_request(target: &Target, headers: &[(String, String)]) -> String {
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: ZHJpbGwgZHJpbGwgZHJpbA==\r\n{more}\r\n",
        target.path, target.authority
    )
}

async fn exchange(
    target: &Target,
    request: &str,
    receive_buffer: Option<u32>,
    patience: Duration,
) -> (Option<Wire>, Answer) {
    let mut wire = match timeout(patience, Wire::connect(target, receive_buffer)).await {
        Ok(Ok(wire)) => wire,
        Ok(Err(error)) if is_reset(&error) => return (None, Answer::Reset),
        Ok(Err(_)) => return (None, Answer::Refused),
        Err(_) => return (None, Answer::TimedOut),
    };
    if wire.write(request.as_bytes()).await.is_err() {
        return (None, Answer::Reset);
    }
    let answer = wire.head(patience).await;
    (Some(wire), answer)
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn heads_are_read() {
        let head = Head::parse("HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nX: y: z").unwrap();
        assert_eq!((head.status, head.header("Retry-After"), head.header("x")), (503, Some("5"), Some("y: z")));
        for nonsense in ["", "HTTP/1.1", "HTTP/1.1 abc", "SSH-2.0-x"] {
            assert!(Head::parse(nonsense).is_none(), "{nonsense}");
        }
    }
}
