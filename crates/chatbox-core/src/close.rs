//! Close codes and close reasons (RFC 6455 section 7.4).

use std::borrow::Cow;
use std::fmt;

/// A WebSocket close code (RFC 6455 section 7.4).
///
/// Holds any `u16`, because a peer may send any. [`may_be_sent`](Self::may_be_sent) tells which are legal on the wire.
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
    /// 1001: the endpoint goes away, such as a server that shuts down.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a protocol violation of the peer.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a kind of data that this endpoint does not accept.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1006: no Close frame was received. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: a text message or close reason that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a policy violation, such as an expired token.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message larger than the receiver accepts.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: an unexpected condition at the server.
    pub const INTERNAL: Self = Self(1011);
    /// 1013: try again later; used here for a peer that reads too slowly.
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

/// The payload of a Close frame: a code and a short text (RFC 6455 section 5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    code: CloseCode,
    text: Cow<'static, str>,
}

impl CloseReason {
    /// The longest text in bytes: a control frame carries at most 125, two of which are the code (RFC 6455 section 5.5).
    pub const MAX_TEXT: usize = 123;

    /// A reason with this text, cut to [`MAX_TEXT`](Self::MAX_TEXT) bytes at a character boundary. An empty text is allowed.
    #[must_use]
    pub fn new(code: CloseCode, text: impl Into<Cow<'static, str>>) -> Self {
        let mut text = text.into();
        if text.len() > Self::MAX_TEXT {
            let end = text.floor_char_boundary(Self::MAX_TEXT);
            text.to_mut().truncate(end);
        }
        Self { code, text }
    }

    /// The close code.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The text, at most [`MAX_TEXT`](Self::MAX_TEXT) bytes of UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_must_not_be_sent_are_recognised() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!CloseCode::new(code).may_be_sent(), "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(CloseCode::new(code).may_be_sent(), "{code}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_boundary() {
        let reason = CloseReason::new(CloseCode::POLICY, "ä".repeat(100));
        assert_eq!(reason.text().len(), 122);
    }
}
