//! What kept a connection from ending with a finished close handshake.

/// The cause of an unclean end of a connection.
///
/// [`as_str`](Self::as_str) is a fixed word for metric labels and logs; [`ALL`](Self::ALL) lists every cause, for metrics that
/// start at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The peer closed the stream without a Close frame.
    #[error("the stream ended without a close frame")]
    Eof,
    /// The peer reset the TCP connection.
    #[error("connection reset by the peer")]
    Reset,
    /// A write found the stream closed by the peer.
    #[error("broken pipe")]
    BrokenPipe,
    /// TCP gave up retransmitting.
    #[error("TCP timeout")]
    TcpTimeout,
    /// The stream accepted no more bytes, and reported no error.
    #[error("the stream accepts no more bytes")]
    WriteZero,
    /// Any other I/O error.
    #[error("I/O error")]
    Io,
    /// The connection ended before its opening handshake was answered.
    #[error("the opening handshake was not finished")]
    Handshake,
    /// Nothing was received for the heartbeat timeout.
    #[error("heartbeat timeout")]
    HeartbeatTimeout,
    /// No write made progress for the write timeout, or for the close handshake once the connection was being closed.
    #[error("write timeout")]
    WriteTimeout,
    /// The peer did not answer a Close frame in time.
    #[error("close handshake timeout")]
    CloseTimeout,
    /// The connection was cut by [`Connection::cut`](crate::Connection::cut), for instance at the end of a drain.
    #[error("the connection was cut")]
    Cut,
    /// The session was dropped before its end.
    #[error("the session was dropped")]
    Dropped,
}

impl CloseError {
    /// Every cause.
    pub const ALL: [Self; 12] = [
        Self::Eof,
        Self::Reset,
        Self::BrokenPipe,
        Self::TcpTimeout,
        Self::WriteZero,
        Self::Io,
        Self::Handshake,
        Self::HeartbeatTimeout,
        Self::WriteTimeout,
        Self::CloseTimeout,
        Self::Cut,
        Self::Dropped,
    ];

    /// The word for metric labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Reset => "reset",
            Self::BrokenPipe => "broken_pipe",
            Self::TcpTimeout => "tcp_timeout",
            Self::WriteZero => "write_zero",
            Self::Io => "io",
            Self::Handshake => "handshake",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::CloseTimeout => "close_timeout",
            Self::Cut => "cut",
            Self::Dropped => "dropped",
        }
    }
}

impl From<std::io::ErrorKind> for CloseError {
    fn from(kind: std::io::ErrorKind) -> Self {
        match kind {
            std::io::ErrorKind::ConnectionReset => Self::Reset,
            std::io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            std::io::ErrorKind::TimedOut => Self::TcpTimeout,
            std::io::ErrorKind::WriteZero => Self::WriteZero,
            _ => Self::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_cause_is_listed_with_a_word_of_its_own() {
        let words: BTreeSet<_> = CloseError::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(words.len(), CloseError::ALL.len());
        // The variants are numbered in order: a new one that is missing in `ALL` breaks the sequence or the exhaustive match above.
        for (index, cause) in CloseError::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index, "{cause:?}");
        }
        assert_eq!(CloseError::ALL.last(), Some(&CloseError::Dropped));
    }
}
