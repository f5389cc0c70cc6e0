//! What a check is, and how it can fail.

use std::pin::Pin;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Any error, as a check reports it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Finds out whether something that the service needs is usable.
///
/// Implemented for every `Fn() -> impl Future<Output = Result<(), E>>`, so an async closure body
/// is a check. A check runs on a task of its own, never twice at the same time, and its future is
/// dropped when the timeout passes. It must not block the thread: a timeout cannot interrupt that.
///
/// The `Display` text of the error is public: it is shown to whoever may ask for `/readyz`.
/// Keep addresses and secrets out of it. The error's sources are not shown.
///
/// ```
/// use chatbox_health::{BoxError, Check};
/// use std::pin::Pin;
///
/// struct DiskSpace;
///
/// impl Check for DiskSpace {
///     fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + '_>> {
///         Box::pin(async { Err("disk is full".into()) })
///     }
/// }
/// ```
pub trait Check: Send + Sync {
    /// Runs the check once.
    ///
    /// # Errors
    ///
    /// When the service should not be sent traffic.
    fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + '_>>;
}

impl<F, Fut, E> Check for F
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + '_>> {
        let run = self();
        Box::pin(async { run.await.map_err(Into::into) })
    }
}

/// Why a check is not passing. Serializes as its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No run has completed yet.
    #[error("not checked yet")]
    NotChecked,
    /// The check said so: the first 200 characters of its error's `Display` text, without the
    /// error's sources and with control characters replaced by spaces.
    #[error("{0}")]
    Failed(String),
    /// The check did not answer within its timeout.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    /// The check panicked.
    #[error("panicked")]
    Panicked,
    /// The runtime was shut down while the check was running.
    #[error("aborted")]
    Aborted,
}

impl CheckError {
    /// What may be shown of a check's own error: it ends up on one line of somebody's terminal.
    pub(crate) fn failed(error: &BoxError) -> Self {
        let shown = |char: char| if char.is_control() { ' ' } else { char };
        Self::Failed(error.to_string().chars().map(shown).take(200).collect())
    }
}

impl Serialize for CheckError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shown_errors_are_short_single_lines_that_start_like_the_original(
            text in "(?s).{0,300}",
        ) {
            let shown = CheckError::failed(&text.clone().into()).to_string();
            prop_assert_eq!(shown.chars().count(), text.chars().count().min(200));
            for (shown, original) in shown.chars().zip(text.chars()) {
                prop_assert!(!shown.is_control());
                prop_assert!(shown == original || original.is_control());
            }
        }
    }
}
