//! A scripted server.

use chatbox_client::{Builder, Client, Event, Events, Target};
use futures_util::{SinkExt, StreamExt};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Accepts the connections of a client.
pub(crate) struct Server {
    dialled: mpsc::UnboundedReceiver<(Target, DuplexStream)>,
}

/// The server's end of one connection.
pub(crate) struct Peer {
    pub(crate) request: Request,
    pub(crate) socket: WebSocketStream<DuplexStream>,
}

/// A server, and a builder of clients that connect to it. Each connection buffers `capacity` bytes.
pub(crate) fn server_with_capacity(capacity: usize) -> (Builder, Server) {
    let (dial, dialled) = mpsc::unbounded_channel();
    let builder = Client::builder().server("ws://fake/chat").user("u").dial(move |target| {
        let (near, far) = tokio::io::duplex(capacity);
        let is_up = dial.send((target, far)).is_ok();
        async move { if is_up { Ok(near) } else { Err(io::ErrorKind::ConnectionRefused.into()) } }
    });
    (builder, Server { dialled })
}

pub(crate) fn server() -> (Builder, Server) {
    server_with_capacity(1 << 16)
}

impl Server {
    /// The next connection, before its opening handshake.
    pub(crate) async fn dialled(&mut self) -> (Target, DuplexStream) {
        self.dialled.recv().await.expect("the client has ended")
    }

    /// The next connection, before its `welcome`.
    pub(crate) async fn accept(&mut self) -> Peer {
        let (_, stream) = self.dialled().await;
        let mut request = Request::default();
        #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
        let answer = |asked: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            request = asked.clone();
            response.headers_mut().insert("sec-websocket-protocol", "chatbox.v1".parse().unwrap());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, answer).await.unwrap();
        Peer { request, socket }
    }

    /// The next connection, with its `welcome`.
    pub(crate) async fn welcome(&mut self) -> Peer {
        let mut peer = self.accept().await;
        peer.send(r#"{"type":"welcome","user":"u","connection":"7","server":"s","heartbeat_ms":1000}"#).await;
        peer
    }

    /// Answers the next request with an HTTP response.
    pub(crate) async fn refuse(&mut self, response: &str) {
        let (_, mut stream) = self.dialled().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(response.as_bytes()).await.unwrap();
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_message(&mut self, seq: u64) {
        self.send(&format!(
            r#"{{"type":"message","room":"r","seq":{seq},"user":"u","id":"i{seq}","body":"b","at":"2026-01-02T03:04:05.120Z"}}"#
        ))
        .await;
    }

    /// The next text of the client.
    pub(crate) async fn receive(&mut self) -> String {
        loop {
            match self.socket.next().await.expect("the client ended the connection").unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Pong(_) => {}
                other => panic!("unexpected {other}"),
            }
        }
    }

    /// Closes, and waits for the echo.
    pub(crate) async fn close(mut self, code: u16) {
        let close = CloseFrame { code: code.into(), reason: "reason".into() };
        self.socket.send(Message::Close(Some(close))).await.unwrap();
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(Some(echo)))) => assert_eq!(u16::from(echo.code), code),
                Some(Ok(_)) => {}
                None => return,
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    /// Waits for the client's Close, and answers it.
    pub(crate) async fn await_close(mut self) -> u16 {
        let mut code = None;
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(close))) => code = close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                None | Some(Err(Error::ConnectionClosed)) => return code.expect("the client did not close"),
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }
}

/// The next event that `select` accepts; others are skipped.
pub(crate) async fn event<T>(events: &mut Events, mut select: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        if let Some(found) = select(events.next().await.expect("the client ended")) {
            return found;
        }
    }
}
