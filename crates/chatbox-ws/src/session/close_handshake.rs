//! The close handshake (RFC 6455 section 7). Pure: no stream, and time is passed in.

#[cfg(test)]
mod tests;

use crate::ticks::Tick;
use chatbox_core::{CloseCode, CloseError, CloseSummary, ClosedBy};

/// What is done with bytes from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    /// They are decoded.
    Open,
    /// They are discarded, because of a violation or because they follow a Close.
    Discarding,
    /// The peer has shut its side of the stream: there are none.
    Eof,
}

/// The phases follow one another in this order; some may be skipped.
#[derive(Debug)]
enum Phase {
    /// Messages are exchanged.
    Open,
    /// Commanded to close: replies that are owed are awaited, and queued frames written.
    Settling,
    /// Our Close is the last of the frames to be written.
    Closing { code: CloseCode, by: ClosedBy },
    /// Our Close is written; the peer's is awaited until the deadline.
    AwaitingEcho { code: CloseCode, deadline: Tick },
    /// Our side of the stream is shut; input is discarded until the peer shuts its own, so that no unread byte turns
    /// our FIN into a reset that could destroy the Close on its way.
    Lingering { code: CloseCode, by: ClosedBy, deadline: Tick, shut: bool },
}

/// What the session has to do next, once everything queued is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until something else happens.
    Wait,
    /// Nothing until the last reply that is owed is settled.
    AwaitReplies,
    /// Look again: the phase has changed.
    Again,
    /// Call the handler for the last time, and queue the Close.
    QueueClose,
    /// Shut the stream: no further frame is sent or expected.
    Finish,
    /// Go on shutting our side of the stream.
    Shut,
}

/// The state of the close handshake: the phase, the peer's Close, and what is done with input.
#[derive(Debug)]
pub(super) struct CloseHandshake {
    phase: Phase,
    /// The peer's Close was read.
    peer_closed: bool,
    read_state: ReadState,
}

impl CloseHandshake {
    pub(super) const fn new() -> Self {
        Self { phase: Phase::Open, peer_closed: false, read_state: ReadState::Open }
    }

    /// Whether messages are exchanged.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether our Close is queued or written: no frame may follow it.
    pub(super) const fn is_sealed(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. } | Phase::AwaitingEcho { .. } | Phase::Lingering { .. })
    }

    pub(super) const fn read_state(&self) -> ReadState {
        self.read_state
    }

    /// When the peer's time is over, if its Close or the end of its stream is awaited.
    pub(super) const fn deadline(&self) -> Option<Tick> {
        match self.phase {
            Phase::AwaitingEcho { deadline, .. } | Phase::Lingering { deadline, .. } => Some(deadline),
            Phase::Open | Phase::Settling | Phase::Closing { .. } => None,
        }
    }

    /// The session was commanded to close. No effect unless messages are exchanged.
    pub(super) const fn settle(&mut self) {
        if self.is_open() {
            self.phase = Phase::Settling;
        }
    }

    /// A Close with this code is to be sent. Returns whether it is the first, and so to be queued.
    #[must_use]
    pub(super) fn close(&mut self, code: CloseCode, by: ClosedBy) -> bool {
        let is_first = !self.is_sealed();
        if is_first {
            self.phase = Phase::Closing { code, by };
        }
        is_first
    }

    /// More bytes have arrived. Returns whether they are to be decoded.
    pub(super) const fn accepts_input(&mut self) -> bool {
        // Section 5.5.1: a peer sends nothing after its Close.
        if self.peer_closed && matches!(self.read_state, ReadState::Open) {
            self.read_state = ReadState::Discarding;
        }
        matches!(self.read_state, ReadState::Open)
    }

    /// The peer's Close was read. Returns the code of the answer: its own, or 1000 if it has none (section 5.5.1).
    pub(super) fn on_peer_close(&mut self, code: Option<CloseCode>) -> CloseCode {
        self.peer_closed = true;
        code.unwrap_or(CloseCode::NORMAL)
    }

    /// The peer violated the protocol: its bytes have no meaning from here on.
    pub(super) const fn on_violation(&mut self) {
        self.read_state = ReadState::Discarding;
    }

    /// The peer has shut its side of the stream.
    ///
    /// # Errors
    /// The end of the connection, unless the peer may still wait for our Close.
    pub(super) fn on_eof(&mut self) -> Result<(), CloseSummary> {
        match self.phase {
            Phase::Lingering { code, by, .. } => Err(CloseSummary::closed(code, by)),
            _ if self.peer_closed || self.read_state == ReadState::Discarding => {
                self.read_state = ReadState::Eof;
                Ok(())
            }
            _ => Err(CloseSummary::peer_gone(CloseError::Eof)),
        }
    }

    /// The end of a connection on which a read or a write failed.
    pub(super) fn on_error(&self, error: CloseError) -> CloseSummary {
        match self.phase {
            // Both Closes are exchanged: it does not matter how the peer closes its socket.
            Phase::AwaitingEcho { .. } | Phase::Lingering { .. } if self.peer_closed => self.finished(),
            // The peer asked to close, and did not wait for the answer.
            Phase::Closing { .. } if self.peer_closed => self.finished().with_error(error),
            _ => CloseSummary::peer_gone(error),
        }
    }

    /// Everything queued is written, and the source dry. `owed` is the number of replies that were owed before the source was pulled;
    /// `deadline` is that of a peer whose time begins now.
    pub(super) fn on_written(&mut self, owed: u32, deadline: Tick) -> Step {
        match &self.phase {
            Phase::Settling if owed > 0 => Step::AwaitReplies,
            Phase::Settling => Step::QueueClose,
            Phase::Closing { .. } | Phase::AwaitingEcho { .. } if self.expects_no_close() => Step::Finish,
            &Phase::Closing { code, .. } => {
                self.phase = Phase::AwaitingEcho { code, deadline };
                Step::Again
            }
            Phase::Lingering { shut: false, .. } => Step::Shut,
            Phase::Open | Phase::AwaitingEcho { .. } | Phase::Lingering { .. } => Step::Wait,
        }
    }

    /// The end of a connection with both Closes exchanged and nothing unread: its socket can be closed at once.
    pub(super) fn finished(&self) -> CloseSummary {
        let (code, by) = self.first_close();
        CloseSummary::closed(code, by)
    }

    /// Input may be unread, or a Close missing: our side is to be shut, and input discarded until the peer shuts its own.
    pub(super) fn linger(&mut self, deadline: Tick) {
        let (code, by) = self.first_close();
        self.read_state = ReadState::Discarding;
        self.phase = Phase::Lingering { code, by, deadline, shut: false };
    }

    /// Our side of the stream is shut.
    pub(super) const fn on_shut(&mut self) {
        if let Phase::Lingering { shut, .. } = &mut self.phase {
            *shut = true;
        }
    }

    /// The end of a connection whose [deadline](Self::deadline) has come.
    pub(super) fn on_deadline(&self) -> CloseSummary {
        // With both Closes exchanged the handshake is complete; the peer only keeps its socket open.
        if self.peer_closed { self.finished() } else { self.timed_out(CloseError::CloseTimeout) }
    }

    /// The end of a connection whose peer did not read or answer in time.
    pub(super) fn timed_out(&self, error: CloseError) -> CloseSummary {
        CloseSummary::timed_out(self.first_close().0, error)
    }

    /// Whether no Close of the peer will be decoded any more: it is in, or input is not decoded.
    fn expects_no_close(&self) -> bool {
        self.peer_closed || self.read_state != ReadState::Open
    }

    /// The code of the first Close, and the side that sent it.
    const fn first_close(&self) -> (CloseCode, ClosedBy) {
        match self.phase {
            Phase::Closing { code, by } | Phase::Lingering { code, by, .. } => (code, by),
            Phase::AwaitingEcho { code, .. } => (code, ClosedBy::Server),
            Phase::Open | Phase::Settling => (CloseCode::ABNORMAL, ClosedBy::Network),
        }
    }
}
