//! A WebSocket that is read and written at once: a server may stop reading until its acks are read, so a client that wrote
//! first and read afterwards would wait for ever.

use crate::Reason;
use crate::dial;
use futures_util::{Sink, Stream};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// See the module.
pub(super) struct Socket {
    stream: WebSocketStream<dial::Stream>,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Heard {
    Text(Utf8Bytes),
    /// A sign of life; tungstenite answers pings.
    Control,
    /// The server closes; tungstenite echoes it, and the end follows.
    Close(Reason),
    /// Nothing more can come.
    End(Reason),
}

impl Socket {
    pub(super) fn new(stream: WebSocketStream<dial::Stream>) -> Self {
        Self { stream }
    }

    /// Writes what `next` gives for as long as the server takes it and, with `reads`, waits for what it says. Cancel safe.
    pub(super) async fn talk(&mut self, reads: bool, mut next: impl FnMut() -> Option<Utf8Bytes>) -> Heard {
        poll_fn(|cx| {
            let written = self.poll_write(cx, &mut next);
            if !reads {
                return Poll::Pending;
            }
            // Read even if writing failed: the reason may stand in a Close frame that is there already.
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => Poll::Ready(heard(message)),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Heard::End(reason(&error))),
                Poll::Ready(None) => Poll::Ready(Heard::End(Reason::Network("closed".to_owned()))),
                Poll::Pending => match written {
                    Poll::Ready(Err(error)) => Poll::Ready(Heard::End(reason(&error))),
                    _ => Poll::Pending,
                },
            }
        })
        .await
    }

    /// Queues Close 1000 (RFC 6455 section 7.4.1).
    pub(super) fn start_close(&mut self) {
        let close = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        // An error means that the connection has ended, which reading will show.
        let _ = Pin::new(&mut self.stream).start_send(Message::Close(Some(close)));
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        next: &mut impl FnMut() -> Option<Utf8Bytes>,
    ) -> Poll<Result<(), Error>> {
        let mut stream = Pin::new(&mut self.stream);
        while stream.as_mut().poll_ready(cx)?.is_ready() {
            let Some(text) = next() else { return stream.poll_flush(cx) };
            stream.as_mut().start_send(Message::Text(text))?;
        }
        Poll::Pending
    }
}

fn heard(message: Message) -> Heard {
    match message {
        Message::Text(text) => Heard::Text(text),
        Message::Close(Some(CloseFrame { code, reason })) => {
            Heard::Close(Reason::Close { code: code.into(), text: reason.as_str().to_owned() })
        }
        // RFC 6455 section 7.1.5.
        Message::Close(None) => Heard::Close(Reason::Close { code: 1005, text: String::new() }),
        Message::Binary(_) => Heard::End(Reason::Protocol("a binary message".to_owned())),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Heard::Control,
    }
}

/// Why a connection ended that had been up.
fn reason(error: &Error) -> Reason {
    match error {
        Error::Io(error) => Reason::Network(error.to_string()),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Reason::Network("the connection ended without a Close frame".to_owned())
        }
        error => Reason::Protocol(error.to_string()),
    }
}
