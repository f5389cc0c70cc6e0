//! The error of a soak that did not run.

use chatbox_client::BuildError;
use std::io;

/// The reason why a soak did not run. Faults of the service during the soak are
/// [violations](crate::SoakReport::violations).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SoakError {
    /// The rate is not a number above 0.
    #[error("a rate of {0} messages a second is not a number above 0")]
    Rate(f64),
    /// A client cannot be built.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// A connection that never reads could not be opened.
    #[error("cannot open a connection that never reads to {url}")]
    #[non_exhaustive]
    Stubborn {
        /// The server.
        url: String,
        /// The fault.
        source: io::Error,
    },
}
