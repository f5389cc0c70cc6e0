//! Where a room's messages begin.

use std::sync::Arc;

/// The position in a room's log at which a client begins to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinFrom {
    /// Live messages only.
    Live,
    /// Everything after this `seq`, the last one seen; 0 for everything that is stored.
    After(u64),
    /// At most that many of the newest messages, then live ones.
    Last(u64),
    /// Everything after a `seq` of a certain log, both stored by the application: a program that resumes across its own
    /// restarts. The server compares the epoch, so that a log restored from a backup is noticed
    /// ([`Gap::LogReplaced`](crate::Gap::LogReplaced)).
    Resume {
        /// The last `seq` seen.
        after: u64,
        /// The `epoch` of [`Event::Joined`](crate::Event::Joined).
        epoch: Arc<str>,
    },
}
