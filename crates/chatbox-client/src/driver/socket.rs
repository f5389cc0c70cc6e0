//! A WebSocket that is read and written concurrently: a server may stop reading until its acks are read, so a client that
//! wrote everything first would wait for ever.

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

/// A WebSocket connection.
pub(super) struct Socket {
    stream: WebSocketStream<dial::Stream>,
}

/// The result of one read.
#[derive(Debug)]
pub(super) enum Received {
    Text(Utf8Bytes),
    /// A ping or pong; tungstenite answers pings.
    Control,
    /// The server's Close frame; tungstenite echoes it, and the end follows.
    Close(Reason),
    /// The end of the connection.
    End(Reason),
}

impl Socket {
    pub(super) fn new(stream: WebSocketStream<dial::Stream>) -> Self {
        Self { stream }
    }

    /// Writes what `next` returns, as far as the connection accepts it, and with `reads` waits for one message. Cancel safe.
    pub(super) async fn exchange(&mut self, reads: bool, mut next: impl FnMut() -> Option<Utf8Bytes>) -> Received {
        poll_fn(|cx| {
            let written = self.poll_write(cx, &mut next);
            if !reads {
                return Poll::Pending;
            }
            // Read even if writing failed: a Close frame with the reason may have been received.
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => Poll::Ready(received(message)),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Received::End(reason(&error))),
                Poll::Ready(None) => Poll::Ready(Received::End(Reason::Network("closed".to_owned()))),
                Poll::Pending => match written {
                    Poll::Ready(Err(error)) => Poll::Ready(Received::End(reason(&error))),
                    _ => Poll::Pending,
                },
            }
        })
        .await
    }

    /// Queues Close 1000 (RFC 6455 section 7.4.1).
    pub(super) fn start_close(&mut self) {
        let close = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        // An error means that the connection has ended; reading reports it.
        let _ = Pin::new(&mut self.stream).start_send(Message::Close(Some(close)));
    }

    /// Reads to the end of the connection. The server is the first to close TCP (RFC 6455 section 7.1.1).
    pub(super) async fn finish(&mut self, mut on_text: impl FnMut(&str)) {
        loop {
            match self.exchange(true, || None).await {
                Received::Text(text) => on_text(&text),
                Received::Control | Received::Close(_) => {}
                Received::End(_) => return,
            }
        }
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

fn received(message: Message) -> Received {
    match message {
        Message::Text(text) => Received::Text(text),
        Message::Close(Some(CloseFrame { code, reason })) => {
            Received::Close(Reason::Close { code: code.into(), text: reason.as_str().to_owned() })
        }
        // RFC 6455 section 7.1.5.
        Message::Close(None) => Received::Close(Reason::Close { code: 1005, text: String::new() }),
        Message::Binary(_) => Received::End(Reason::Protocol("a binary message".to_owned())),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Received::Control,
    }
}

/// The reason why an established connection ended.
fn reason(error: &Error) -> Reason {
    match error {
        Error::Io(error) => Reason::Network(error.to_string()),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Reason::Network("the connection ended without a Close frame".to_owned())
        }
        error => Reason::Protocol(error.to_string()),
    }
}
