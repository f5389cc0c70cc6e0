//! The error of a full outbox.

/// The outbox of a connection is full: the peer reads too slowly for what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox of the connection is full")]
#[non_exhaustive]
pub struct Full;
