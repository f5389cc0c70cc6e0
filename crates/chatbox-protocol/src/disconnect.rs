//! Every Close frame that a chatbox server sends, with its code, its text and whether to reconnect.

/// A reason for which a chatbox server closes a connection.
///
/// The table in `docs/protocol.md` is checked against [`ALL`](Self::ALL).
///
/// ```
/// use chatbox_protocol::{Disconnect, Retry};
///
/// assert_eq!((Disconnect::Shutdown.code(), Disconnect::Shutdown.text()), (1001, "server shutting down"));
/// assert_eq!(Disconnect::TooSlow.retry(), Retry::Backoff);
/// assert_eq!(Retry::for_code(1008), Retry::NewToken);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disconnect {
    /// The client sent Close; the server echoes its code.
    Requested,
    /// The server shuts down.
    Shutdown,
    /// The server moves the connection to another replica: it has reached `server.max_connection_age`.
    Rebalance,
    /// The user is at `limits.max_connections_per_user`, and this connection's peer did not answer a ping: a new connection takes its place.
    Unresponsive,
    /// A frame violates RFC 6455.
    ProtocolViolation,
    /// A binary message: the protocol has none.
    BinaryMessage,
    /// A text message that is not UTF-8.
    InvalidUtf8,
    /// The token's `exp` has passed.
    TokenExpired,
    /// A policy of the server, for example a user who was logged out.
    Policy,
    /// A message longer than `limits.max_message_bytes`.
    MessageTooLong,
    /// A fault of the server.
    Internal,
    /// No write made progress for `limits.write_timeout`.
    TooSlow,
}

/// Whether and when a client connects again after a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// Never: the same would happen again.
    Never,
    /// In the slot that the `goodbye` named; with backoff if there was none.
    Slot,
    /// With backoff.
    Backoff,
    /// With backoff and a new token; never if there is none to be had.
    NewToken,
}

impl Disconnect {
    /// Every variant, in the order of the codes.
    pub const ALL: [Self; 12] = [
        Self::Requested,
        Self::Shutdown,
        Self::Rebalance,
        Self::Unresponsive,
        Self::ProtocolViolation,
        Self::BinaryMessage,
        Self::InvalidUtf8,
        Self::TokenExpired,
        Self::Policy,
        Self::MessageTooLong,
        Self::Internal,
        Self::TooSlow,
    ];

    /// The close code (RFC 6455 section 7.4).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Requested => 1000,
            Self::Shutdown | Self::Rebalance | Self::Unresponsive => 1001,
            Self::ProtocolViolation => 1002,
            Self::BinaryMessage => 1003,
            Self::InvalidUtf8 => 1007,
            Self::TokenExpired | Self::Policy => 1008,
            Self::MessageTooLong => 1009,
            Self::Internal => 1011,
            Self::TooSlow => 1013,
        }
    }

    /// The text of the Close frame; empty where it is not fixed, because it describes the fault.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Shutdown => "server shutting down",
            Self::Rebalance => "rebalancing",
            Self::Unresponsive => "unresponsive",
            Self::TokenExpired => "token expired",
            Self::Internal => "internal error",
            Self::TooSlow => "too slow",
            Self::Requested
            | Self::ProtocolViolation
            | Self::BinaryMessage
            | Self::InvalidUtf8
            | Self::Policy
            | Self::MessageTooLong => "",
        }
    }

    /// The `reason` of the `goodbye` that precedes this Close frame; `None`: there is no `goodbye`.
    #[must_use]
    pub const fn goodbye(self) -> Option<&'static str> {
        match self {
            Self::Shutdown => Some("shutdown"),
            Self::Rebalance => Some("rebalance"),
            _ => None,
        }
    }

    /// Whether and when the client connects again.
    #[must_use]
    pub const fn retry(self) -> Retry {
        Retry::for_code(self.code())
    }
}

impl Retry {
    /// The advice for a close code; [`Retry::Never`] for a code that is not in the table of the protocol.
    #[must_use]
    pub const fn for_code(code: u16) -> Self {
        match code {
            1001 => Self::Slot,
            1008 => Self::NewToken,
            1011 | 1013 => Self::Backoff,
            _ => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Disconnect;

    #[test]
    fn all_has_every_variant_in_the_order_of_the_codes() {
        // A new variant does not compile until it is counted here, and then `ALL` is too short.
        let count = |disconnect| match disconnect {
            Disconnect::Requested
            | Disconnect::Shutdown
            | Disconnect::Rebalance
            | Disconnect::Unresponsive
            | Disconnect::ProtocolViolation
            | Disconnect::BinaryMessage
            | Disconnect::InvalidUtf8
            | Disconnect::TokenExpired
            | Disconnect::Policy
            | Disconnect::MessageTooLong
            | Disconnect::Internal
            | Disconnect::TooSlow => 12,
        };
        assert_eq!(count(Disconnect::Requested), Disconnect::ALL.len());
        assert!(Disconnect::ALL.is_sorted_by_key(|disconnect| disconnect.code()));
        let distinct: std::collections::HashSet<_> = Disconnect::ALL.into_iter().collect();
        assert_eq!(distinct.len(), Disconnect::ALL.len());
    }
}
