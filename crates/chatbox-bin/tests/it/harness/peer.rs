//! A WebSocket client that takes nothing from the code under test: frames are made and read by hand, strictly.

use super::{Response, within};
pub(crate) use chatbox_testing::frame;
use serde_json::Value;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// One frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
}

/// How the TCP connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Eof,
    /// In the middle of a frame.
    Torn,
    Reset,
}

/// Everything from some moment to the end of the connection.
#[derive(Debug)]
pub(crate) struct PeerLog {
    pub(crate) texts: Vec<String>,
    pub(crate) close: Option<(u16, String)>,
    /// Frames that came after the Close.
    pub(crate) after_close: usize,
    pub(crate) end: End,
}

impl PeerLog {
    /// Asserts what a drain promises: `goodbye`, Close 1001, nothing after it, no reset. Returns the client's own slot.
    pub(crate) fn slot(&self) -> u64 {
        let goodbye: Value = serde_json::from_str(self.texts.last().unwrap()).unwrap();
        assert_eq!((&goodbye["type"], &goodbye["reason"]), (&"goodbye".into(), &"shutdown".into()), "{self:?}");
        self.assert_closed(1001, "server shutting down");
        goodbye["reconnect_after_ms"].as_u64().unwrap()
    }

    /// Asserts that it ended with this Close, with nothing after it and without a reset.
    pub(crate) fn assert_closed(&self, code: u16, reason: &str) {
        assert_eq!(self.close, Some((code, reason.to_owned())), "{self:?}");
        assert_eq!((self.after_close, self.end), (0, End::Eof), "{self:?}");
    }
}

/// The sending side, shared by all that send whole frames.
pub(crate) type Output = Arc<Mutex<Box<dyn AsyncWrite + Send + Unpin>>>;

/// A client after its handshake.
pub(crate) struct Peer {
    input: Box<dyn AsyncRead + Send + Unpin>,
    output: Output,
    buffer: Vec<u8>,
    /// The response to the handshake.
    pub(crate) response: Response,
    /// Whether it answers a Close.
    pub(crate) polite: bool,
}

impl Peer {
    /// Connects; any answer but 101 fails the test.
    pub(crate) async fn open(at: SocketAddr, path: &str) -> Self {
        Self::handshake(at, path, "").await.unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// Connects with more headers, each ended by CRLF; returns the response if it is not 101.
    pub(crate) async fn handshake(at: SocketAddr, path: &str, headers: &str) -> Result<Self, Response> {
        let stream = within("a connection", TcpStream::connect(at)).await.unwrap();
        Self::over(stream, path, headers).await
    }

    /// The handshake over a stream at hand.
    pub(crate) async fn over(stream: TcpStream, path: &str, headers: &str) -> Result<Self, Response> {
        stream.set_nodelay(true).unwrap();
        let at = stream.peer_addr().unwrap();
        let mut peer = Self::on(stream);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {at}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        peer.raw(request.as_bytes()).await;
        let head = loop {
            if let Some(end) = peer.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break peer.buffer.drain(..end + 4).collect::<Vec<u8>>();
            }
            assert_eq!(peer.fill().await, Ok(()), "the connection ended without a response");
        };
        peer.response = Response::parse(&head).unwrap();
        if peer.response.status == 101 {
            // The key of RFC 6455 section 1.3, and its answer.
            assert_eq!(peer.response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
            return Ok(peer);
        }
        let length = peer.response.header("content-length").map_or(0, |length| length.parse().unwrap());
        while peer.buffer.len() < length {
            assert_eq!(peer.fill().await, Ok(()), "the connection ended within a body");
        }
        peer.response.body = String::from_utf8(peer.buffer).unwrap();
        Err(peer.response)
    }

    /// A peer whose handshake is done.
    pub(crate) fn on(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (input, output) = tokio::io::split(stream);
        let output: Box<dyn AsyncWrite + Send + Unpin> = Box::new(output);
        Self {
            input: Box::new(input),
            output: Arc::new(Mutex::new(output)),
            buffer: Vec::new(),
            response: Response::default(),
            polite: true,
        }
    }

    /// Sends a text message.
    pub(crate) async fn send(&mut self, text: &str) {
        self.raw(&frame(0x80 | TEXT, text.as_bytes())).await;
    }

    /// Sends a frame with this first byte.
    pub(crate) async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.raw(&frame(first, payload)).await;
    }

    pub(crate) async fn close(&mut self, code: u16) {
        self.send_frame(0x80 | CLOSE, &code.to_be_bytes()).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // Whether it was heard is seen in what comes back.
        let _ = self.output.lock().await.write_all(bytes).await;
    }

    /// For sending while another task reads.
    pub(crate) fn output(&self) -> Output {
        Arc::clone(&self.output)
    }

    /// The next frame. Pings are answered and skipped; a Close is answered, if the peer is polite.
    pub(crate) async fn next(&mut self) -> Result<Frame, End> {
        within("a frame", async {
            loop {
                let Some(frame) = self.parse() else {
                    self.fill().await?;
                    continue;
                };
                match &frame {
                    Frame::Ping(payload) => {
                        self.send_frame(0x80 | PONG, &payload.clone()).await;
                        continue;
                    }
                    Frame::Close(code, _) if self.polite => self.close(*code).await,
                    _ => {}
                }
                return Ok(frame);
            }
        })
        .await
    }

    /// The next frame, which must be text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Ok(Frame::Text(text)) => text,
            other => panic!("expected a message, came {other:?}"),
        }
    }

    /// The next frame, which must be a message.
    pub(crate) async fn message(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Skips messages until one of this type has come.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let message = self.message().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Reads to the end of the connection.
    pub(crate) async fn finish(mut self) -> PeerLog {
        let (mut texts, mut close, mut after_close) = (Vec::new(), None, 0);
        loop {
            match self.next().await {
                Ok(_) if close.is_some() => after_close += 1,
                Ok(Frame::Text(text)) => texts.push(text),
                Ok(Frame::Close(code, reason)) => close = Some((code, reason)),
                Ok(Frame::Ping(_) | Frame::Pong(_)) => {}
                Err(end) => return PeerLog { texts, close, after_close, end },
            }
        }
    }

    async fn fill(&mut self) -> Result<(), End> {
        match within("bytes", self.input.read_buf(&mut self.buffer)).await {
            Ok(0) => Err(if self.buffer.is_empty() { End::Eof } else { End::Torn }),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("{error}"),
        }
    }

    /// Takes a whole frame out of the buffer, if there is one. The server neither fragments nor masks.
    fn parse(&mut self) -> Option<Frame> {
        let &[first, second, ..] = &self.buffer[..] else { return None };
        assert_eq!(first & 0xF0, 0x80, "FIN and no extension");
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (head, length) = match second {
            126 => (4, u16::from_be_bytes(self.buffer.get(2..4)?.try_into().unwrap()).into()),
            127 => (10, u64::from_be_bytes(self.buffer.get(2..10)?.try_into().unwrap())),
            length => (2, length.into()),
        };
        let shortest = match length {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        };
        assert_eq!(head, shortest, "the length in its shortest form");
        let end = head + usize::try_from(length).unwrap();
        let payload = self.buffer.get(head..end)?.to_vec();
        self.buffer.drain(..end);
        assert!(first & 0x08 == 0 || payload.len() <= 125, "a control frame is short");
        Some(match first & 0x0F {
            TEXT => Frame::Text(String::from_utf8(payload).unwrap()),
            PING => Frame::Ping(payload),
            PONG => Frame::Pong(payload),
            CLOSE => {
                let (code, reason) = payload.split_first_chunk().expect("a Close of this server says why");
                Frame::Close(u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap())
            }
            opcode => panic!("opcode {opcode}"),
        })
    }
}
