//! Why a connection was not admitted.

/// Why the registry did not admit a connection.
///
/// [`as_str`](Self::as_str) is the one word for it, in metrics, logs and answers to clients alike; [`ALL`](Self::ALL) lists every reason,
/// for metrics that start at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The gate is closed: the service is shutting down.
    #[error("the service is shutting down")]
    Draining,
    /// [`Limits::with_max_connections`](crate::Limits::with_max_connections) is reached.
    #[error("the service is full")]
    Full,
    /// [`Limits::with_max_per_user`](crate::Limits::with_max_per_user) is reached.
    #[error("too many connections of this user")]
    TooManyConnections,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Draining, Self::Full, Self::TooManyConnections];

    /// The word for metrics, logs and answers to clients.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::TooManyConnections => "too_many_connections",
        }
    }
}
