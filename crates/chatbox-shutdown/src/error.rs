//! Errors of setting up a shutdown.

use std::io;

use crate::Plan;

/// Why a shutdown could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The phases do not fit into the grace period: the platform would kill the process before they end.
    #[error(
        "lame_duck {:?} + drain {:?} + flush {:?} must be shorter than grace {:?}",
        .0.lame_duck, .0.drain, .0.flush, .0.grace
    )]
    DoesNotFit(Plan),
    /// The operating system refused a signal handler.
    #[error("cannot install a handler for {signal}")]
    #[non_exhaustive]
    Signal {
        /// The name of the signal.
        signal: &'static str,
        /// What the operating system reported.
        source: io::Error,
    },
}
