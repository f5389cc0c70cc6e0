//! Close codes, close reasons and how connections end, as types (RFC 6455 section 7.4).

use std::borrow::Cow;
use std::fmt;

/// A WebSocket close code (RFC 6455 section 7.4).
///
/// Any `u16` can be held, because a peer may send any; [`may_be_sent`](Self::may_be_sent) says which are legal on the wire.
///
/// ```
/// use chatbox_core::CloseCode;
///
/// assert!(CloseCode::GOING_AWAY.may_be_sent());
/// assert!(!CloseCode::ABNORMAL.may_be_sent());
/// assert_eq!(CloseCode::new(1001).to_string(), "1001");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint goes away; here: the server shuts down.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a kind of data that this endpoint does not accept.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1006: no Close frame was received. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a policy was violated, for instance an expired token.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message larger than this endpoint takes.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: an unexpected condition at the server.
    pub const INTERNAL: Self = Self(1011);
    /// 1013: try again later; here: the peer reads too slowly.
    pub const TRY_AGAIN: Self = Self(1013);

    /// The code with this number, legal or not.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Whether this code may stand in a Close frame: defined by RFC 6455 section 7.4.1 or registered with IANA since
    /// (1012 to 1014), or in the ranges for libraries and applications (3000 to 4999).
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a Close frame says: a code and a short text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The code.
    pub code: CloseCode,
    /// The text, at most [`MAX_TEXT`](Self::MAX_TEXT) bytes of UTF-8; empty for none.
    pub text: Cow<'static, str>,
}

impl CloseReason {
    /// A control frame carries at most 125 bytes, two of which are the code (RFC 6455 section 5.5).
    pub const MAX_TEXT: usize = 123;

    /// A reason with a fixed text, cut to [`MAX_TEXT`](Self::MAX_TEXT) bytes at a character boundary.
    #[must_use]
    pub fn new(code: CloseCode, text: impl Into<Cow<'static, str>>) -> Self {
        let mut text = text.into();
        if text.len() > Self::MAX_TEXT {
            let end = text.floor_char_boundary(Self::MAX_TEXT);
            text.to_mut().truncate(end);
        }
        Self { code, text }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClosedBy {
    /// This side sent the first Close, or cut the connection.
    Server,
    /// The peer sent the first Close.
    Client,
    /// Neither: the transport ended without a Close.
    Network,
}

impl ClosedBy {
    /// The word used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Network => "network",
        }
    }
}

/// How completely a connection ended. Every connection has exactly one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The close handshake was finished, whoever began it.
    Closed,
    /// The peer was gone before the handshake could be finished.
    PeerGone,
    /// The peer did not read, or did not answer our Close, within the time it had.
    TimedOut,
    /// Cut: the drain's deadline passed, a second signal came, or the session was dropped.
    Aborted,
}

impl Outcome {
    /// The word used in metrics, logs and the shutdown report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::PeerGone => "peer_gone",
            Self::TimedOut => "timed_out",
            Self::Aborted => "aborted",
        }
    }
}

/// The end of one connection: what a registry counts and an observer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseSummary {
    /// How completely.
    pub outcome: Outcome,
    /// The code of the first Close frame, or [`CloseCode::ABNORMAL`] when there was none.
    pub code: CloseCode,
    /// Who ended it.
    pub by: ClosedBy,
    /// What went wrong on the way, if anything: a fixed word such as `reset` or `close_timeout`, fit for a metric label.
    pub error: Option<&'static str>,
}

impl CloseSummary {
    /// A finished close handshake.
    #[must_use]
    pub const fn closed(code: CloseCode, by: ClosedBy) -> Self {
        Self { outcome: Outcome::Closed, code, by, error: None }
    }

    /// A transport that ended without a close handshake.
    #[must_use]
    pub const fn peer_gone(error: &'static str) -> Self {
        Self { outcome: Outcome::PeerGone, code: CloseCode::ABNORMAL, by: ClosedBy::Network, error: Some(error) }
    }

    /// A connection that this side cut.
    #[must_use]
    pub const fn aborted(error: &'static str) -> Self {
        Self { outcome: Outcome::Aborted, code: CloseCode::ABNORMAL, by: ClosedBy::Server, error: Some(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_must_not_stand_in_a_frame_are_known() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!CloseCode::new(code).may_be_sent(), "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(CloseCode::new(code).may_be_sent(), "{code}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let reason = CloseReason::new(CloseCode::POLICY, "ä".repeat(100));
        assert_eq!(reason.text.len(), 122);
    }
}
