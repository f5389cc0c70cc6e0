//! Protocol violations of a client, and the close codes that answer them.

use chatbox_core::{CloseCode, CloseReason};

/// A violation of RFC 6455 or of this endpoint's limits, found by the [`Decoder`](super::Decoder). What the peer sends after it cannot be
/// decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit is set and no extension was negotiated (section 5.2).
    #[error("reserved bits set")]
    ReservedBits,
    /// A reserved opcode (section 5.2).
    #[error("reserved opcode")]
    ReservedOpcode,
    /// A client's frame that is not masked (section 5.1).
    #[error("frame not masked")]
    Unmasked,
    /// A length that is not in its shortest form, or of 2^63 and more (section 5.2).
    #[error("bad length encoding")]
    BadLength,
    /// A control frame that is fragmented or longer than 125 bytes (section 5.5).
    #[error("bad control frame")]
    BadControlFrame,
    /// A continuation frame outside a fragmented message (section 5.4).
    #[error("unexpected continuation")]
    UnexpectedContinuation,
    /// A new message inside a fragmented one (section 5.4).
    #[error("expected a continuation")]
    ExpectedContinuation,
    /// A Close frame with half a code, or a code that must not be sent (sections 5.5.1 and 7.4).
    #[error("bad close frame")]
    BadClose,
    /// Text, or the reason of a Close, that is not UTF-8 (section 8.1).
    #[error("text is not UTF-8")]
    InvalidUtf8,
    /// A message larger than this endpoint accepts (section 7.4.1, code 1009).
    #[error("message too large")]
    TooLarge,
    /// A binary message where only text is accepted (section 7.4.1, code 1003).
    #[error("binary messages are not accepted")]
    Binary,
}

impl Violation {
    /// The close code that answers it.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode
            | Self::Unmasked
            | Self::BadLength
            | Self::BadControlFrame
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::BadClose => CloseCode::PROTOCOL,
            Self::InvalidUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::TooLarge => CloseCode::TOO_BIG,
            Self::Binary => CloseCode::UNSUPPORTED,
        }
    }

    /// The close code and text that answer it.
    #[must_use]
    pub fn close_reason(self) -> CloseReason {
        CloseReason::new(self.close_code(), self.to_string())
    }
}
