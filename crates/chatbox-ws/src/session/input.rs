//! Reading: bytes in, messages to the application, control frames answered.

use super::phase::Phase;
use super::{Session, internal_error};
use crate::decode::Event;
use crate::frame;
use crate::handler::{Handler, Message};
use crate::violation::Violation;
use chatbox_core::{CloseCode, CloseReason, CloseSummary, ClosedBy, Lease};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One read. A larger buffer saves calls for large messages; it is shared by all sessions of a thread.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// The buffer that this thread's sessions read into: none of them holds one while its peer is silent.
    static READ: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// What becomes of the peer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    /// They are decoded.
    Open,
    /// They are discarded: a violation has taken their meaning, or nothing may follow a Close.
    Discarding,
    /// There will be no more.
    Eof,
}

/// Bytes that were read and could not be used yet. Boxed once more than needed: hardly any session has some, and each pays for the
/// place.
pub(super) struct Backlog(Box<[u8]>);

impl Backlog {
    pub(super) fn of(bytes: &[u8]) -> Box<Self> {
        Box::new(Self(bytes.into()))
    }
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Something was read; there may be more.
    Moved,
    /// The socket has nothing; it will wake the task.
    Idle,
    /// The application can take nothing; it will wake the task.
    Held,
    /// The outbox is full: nothing is taken until it has room.
    Full,
}

impl<S, H> Session<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    /// Reads once, or goes on with what was read before.
    pub(super) fn poll_input(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Result<Input, CloseSummary> {
        if self.read_state == ReadState::Eof {
            return Ok(Input::Idle);
        }
        if let Some(held) = self.held(lease, cx) {
            return Ok(held);
        }
        if let Some(mut backlog) = self.backlog.take() {
            self.process(lease, &mut backlog.0, cx);
            return Ok(Input::Moved);
        }
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => Ok(Input::Idle),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.on_eof(),
                Poll::Ready(Ok(())) => {
                    self.hear();
                    self.process(lease, buffer.filled_mut(), cx);
                    Ok(Input::Moved)
                }
                Poll::Ready(Err(error)) => Err(self.on_read_error(&error)),
            }
        })
    }

    /// Whether nothing lies unread behind the peer's Close.
    pub(super) fn is_all_read(&mut self, cx: &mut Context<'_>) -> bool {
        match self.read_state {
            ReadState::Eof => true,
            // Something came behind the Close; there may be more of it.
            ReadState::Discarding => false,
            ReadState::Open => with_scratch(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                    Poll::Pending | Poll::Ready(Err(_)) => true,
                    Poll::Ready(Ok(())) => buffer.filled().is_empty(),
                }
            }),
        }
    }

    /// What keeps the peer from being listened to. Once the session is closing nothing does, if only to find the peer's Close.
    fn held(&mut self, lease: &Lease, cx: &mut Context<'_>) -> Option<Input> {
        if !matches!(self.phase, Phase::Open) {
            return None;
        }
        if lease.connection().is_full() {
            return Some(Input::Full);
        }
        match self.guard(|handler| handler.poll_ready(lease.connection(), cx)) {
            Some(Poll::Ready(())) => None,
            Some(Poll::Pending) => Some(Input::Held),
            None => {
                self.close_with(lease, internal_error(), ClosedBy::Server);
                None
            }
        }
    }

    /// Decodes `bytes` and acts on what they say; keeps the rest when the application can take no more.
    fn process(&mut self, lease: &Lease, bytes: &mut [u8], cx: &mut Context<'_>) {
        let mut at = 0;
        while at < bytes.len() && self.read_state == ReadState::Open {
            if self.peer_close.is_some() {
                // Section 5.5.1: nothing may follow a Close.
                self.read_state = ReadState::Discarding;
                return;
            }
            if at > 0 && self.held(lease, cx).is_some() {
                self.backlog = Some(Backlog::of(&bytes[at..]));
                return;
            }
            match self.decoder.decode(self.shared.settings.accept, &mut bytes[at..]) {
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

    fn on_event(&mut self, lease: &Lease, event: Event<'_>) {
        match event {
            Event::Text(text) => self.on_message(lease, Message::Text(&text)),
            Event::Binary(payload) => self.on_message(lease, Message::Binary(&payload)),
            // Only in a session that is settling can the outbox be full here: section 5.5.3 allows to skip pongs, which a
            // flood of pings then makes necessary.
            Event::Ping(payload) if !self.phase.is_sealed() && !lease.connection().is_full() => {
                lease.connection().push(|out| frame::pong(&payload, out));
            }
            Event::Ping(_) | Event::Pong(_) => {}
            Event::Close(code, _) => {
                let code = code.unwrap_or(CloseCode::NORMAL);
                self.peer_close = Some(code);
                // The answer carries the peer's own code (section 5.5.1); if our Close is under way, this is its echo.
                self.close_with(lease, CloseReason::new(code, ""), ClosedBy::Client);
            }
        }
    }

    fn on_message(&mut self, lease: &Lease, message: Message<'_>) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        match self.guard(|handler| handler.on_message(lease.connection(), message)) {
            Some(Ok(())) => {}
            Some(Err(reason)) => self.close_with(lease, reason, ClosedBy::Server),
            None => self.close_with(lease, internal_error(), ClosedBy::Server),
        }
    }

    fn on_violation(&mut self, lease: &Lease, violation: Violation) {
        self.read_state = ReadState::Discarding;
        self.close_with(lease, violation.close_reason(), ClosedBy::Server);
    }

    fn on_eof(&mut self) -> Result<Input, CloseSummary> {
        match self.phase {
            Phase::Lingering { code, by, .. } => Err(CloseSummary::closed(code, by)),
            // The peer may have shut its side behind its Close, and still wait for ours.
            _ if self.peer_close.is_some() || self.read_state == ReadState::Discarding => {
                self.read_state = ReadState::Eof;
                Ok(Input::Moved)
            }
            _ => Err(CloseSummary::peer_gone("eof")),
        }
    }

    fn on_read_error(&self, error: &io::Error) -> CloseSummary {
        match self.phase {
            // Both Closes are exchanged: how the peer got rid of its socket does not matter any more.
            Phase::Lingering { code, by, .. } if self.peer_close.is_some() => CloseSummary::closed(code, by),
            Phase::Closing { code, by } if self.peer_close.is_some() => unawaited(code, by, error),
            _ => CloseSummary::peer_gone(kind(error)),
        }
    }
}

/// The end of a connection whose peer asked to close and did not wait for the answer.
pub(super) fn unawaited(code: CloseCode, by: ClosedBy, error: &io::Error) -> CloseSummary {
    CloseSummary { error: Some(kind(error)), ..CloseSummary::closed(code, by) }
}

/// A word for an I/O error, fit for a metric label.
pub(super) fn kind(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "reset",
        io::ErrorKind::BrokenPipe => "broken_pipe",
        io::ErrorKind::TimedOut => "tcp_timeout",
        _ => "io",
    }
}

/// Lends this thread's read buffer; a nested use would allocate one of its own.
fn with_scratch<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = READ.take().unwrap_or_else(|| vec![0; SCRATCH].into());
    let result = use_it(&mut scratch);
    READ.set(Some(scratch));
    result
}
