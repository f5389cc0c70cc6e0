//! What can go wrong before a shutdown is armed.

use std::io;

use crate::Plan;

/// Why a shutdown could not be planned or armed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The phases would still be running when the platform kills the process.
    #[error(
        "lame_duck {:?} + drain {:?} + flush {:?} must be shorter than grace {:?}",
        .0.lame_duck, .0.drain, .0.flush, .0.grace
    )]
    DoesNotFit(Plan),
    /// The operating system refused a signal handler.
    #[error("could not listen for signals")]
    Signals(#[source] io::Error),
}
