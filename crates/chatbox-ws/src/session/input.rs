//! The reading side of a session: decodes bytes, delivers messages, answers control frames.

use super::close_handshake::ReadState;
use super::read_buffer::{Backlog, with_buffer};
use super::{Input, Session};
use crate::decode::{Event, Violation};
use crate::frame;
use crate::handler::{Handler, Message};
use chatbox_core::{CloseReason, CloseSummary, ClosedBy, Lease};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Reads once, or continues with the backlog.
    pub(super) fn poll_input(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Result<Input, CloseSummary> {
        if self.handshake.read_state() == ReadState::Eof {
            return Ok(Input::Idle);
        }
        if let Some(blocked) = self.poll_blocked(lease, cx) {
            return Ok(blocked);
        }
        if let Some(mut backlog) = self.backlog.take() {
            self.process(lease, &mut backlog.0, cx);
            return Ok(Input::Progress);
        }
        with_buffer(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => Ok(Input::Idle),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.handshake.on_eof().map(|()| Input::Progress),
                Poll::Ready(Ok(())) => {
                    self.on_read(lease);
                    self.process(lease, buffer.filled_mut(), cx);
                    Ok(Input::Progress)
                }
                Poll::Ready(Err(error)) => Err(self.handshake.on_error(error.kind().into())),
            }
        })
    }

    /// Whether nothing is unread behind the peer's Close.
    pub(super) fn is_all_read(&mut self, cx: &mut Context<'_>) -> bool {
        match self.handshake.read_state() {
            ReadState::Eof => true,
            // Something came behind the Close; there may be more of it.
            ReadState::Discarding => false,
            ReadState::Open => with_buffer(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                    Poll::Pending | Poll::Ready(Err(_)) => true,
                    Poll::Ready(Ok(())) => buffer.filled().is_empty(),
                }
            }),
        }
    }

    /// Why no message can be accepted now. Once the session is closing nothing blocks reading, if only to find the peer's Close.
    fn poll_blocked(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Option<Input> {
        if !self.handshake.is_open() {
            return None;
        }
        if lease.connection().is_full() {
            return Some(Input::OutboxFull);
        }
        let mut ready = self.call(|handler| handler.poll_ready(lease.connection(), cx));
        if ready == Some(Poll::Pending) && !self.send_buffer.is_empty() {
            // A session that waits for its stream is not woken by notifications. A reply that is settled must wake it now, or has been
            // settled before it is asked again.
            lease.rearm();
            ready = self.call(|handler| handler.poll_ready(lease.connection(), cx));
        }
        match ready {
            Some(Poll::Ready(())) => None,
            Some(Poll::Pending) => Some(Input::NotReady),
            None => {
                self.close_after_panic(lease);
                None
            }
        }
    }

    /// Decodes `bytes` and acts on the events; keeps the rest when the application can accept no more.
    fn process(&mut self, lease: &mut Lease, bytes: &mut [u8], cx: &mut Context<'_>) {
        let mut at = 0;
        while at < bytes.len() && self.handshake.accepts_input() {
            if at > 0 && self.poll_blocked(lease, cx).is_some() {
                self.backlog = Some(Backlog::new(&bytes[at..]));
                return;
            }
            match self.decoder.decode(self.shared.settings.decode, &mut bytes[at..]) {
                Ok(step) => {
                    at += step.used;
                    match step.event {
                        Some(event) => self.on_event(lease, event),
                        None => return,
                    }
                }
                Err(violation) => self.on_violation(lease, violation),
            }
        }
    }

    fn on_event(&mut self, lease: &mut Lease, event: Event<'_>) {
        if matches!(event, Event::Ping(_) | Event::Pong(_)) {
            self.on_heartbeat(lease);
        }
        match event {
            Event::Text(text) => self.on_message(lease, Message::Text(&text)),
            Event::Binary(payload) => self.on_message(lease, Message::Binary(&payload)),
            // The outbox can be full here only while the session is settling. Section 5.5.3 allows pongs to be left out, which a
            // flood of pings then makes necessary.
            Event::Ping(payload) if !self.handshake.is_sealed() && !lease.connection().is_full() => {
                lease.connection().push(|out| frame::pong(&payload, out));
            }
            Event::Ping(_) | Event::Pong(_) => {}
            Event::Close(code, _) => {
                // If our Close is under way, this is its echo.
                let code = self.handshake.on_peer_close(code);
                self.close_with(lease, CloseReason::new(code, ""), ClosedBy::Client);
            }
        }
    }

    fn on_message(&mut self, lease: &mut Lease, message: Message<'_>) {
        if !self.handshake.is_open() {
            return;
        }
        match self.call(|handler| handler.on_message(lease.connection(), message)) {
            Some(Ok(())) => {}
            Some(Err(reason)) => self.close_with(lease, reason, ClosedBy::Server),
            None => self.close_after_panic(lease),
        }
    }

    /// Asks the handler whether the connection may go on.
    pub(super) fn on_heartbeat(&mut self, lease: &mut Lease) {
        if !self.handshake.is_open() {
            return;
        }
        match self.call(|handler| handler.on_heartbeat(lease.connection())) {
            Some(Ok(())) => {}
            Some(Err(reason)) => self.close_with(lease, reason, ClosedBy::Server),
            None => self.close_after_panic(lease),
        }
    }

    fn on_violation(&mut self, lease: &mut Lease, violation: Violation) {
        self.handshake.on_violation();
        self.close_with(lease, violation.close_reason(), ClosedBy::Server);
    }
}
