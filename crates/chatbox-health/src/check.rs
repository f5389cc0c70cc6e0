//! The trait of a check, checks made of closures, and how a run can fail.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Any error, as a check reports it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Finds out whether something that the service needs is usable.
///
/// Implemented for every async closure or function without arguments that returns `Result<(), E>`, if
/// it can be cloned: each run uses a clone of what the closure has captured, so capture handles such
/// as an `Arc`, a pool or a client. For state that a check changes from run to run, see [`with_state`].
///
/// A check runs on a task of its own and never twice at the same time. Its future is dropped when the
/// timeout passes. It should not block its thread: a timeout cannot interrupt that. The probe is
/// answered in time all the same where the runtime has another thread, and the check counts as failed
/// for as long as it blocks.
///
/// The `Display` text of the error is public: every client that may request `/readyz` sees it. Keep
/// addresses and secrets out of it. The error's sources are not shown.
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
    /// When the service should not receive traffic.
    fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + '_>>;
}

impl<F, Fut, E> Check for F
where
    F: FnOnce() -> Fut + Clone + Send + Sync,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + '_>> {
        let run = self.clone()();
        Box::pin(async { run.await.map_err(Into::into) })
    }
}

/// A check that keeps state from one run to the next.
///
/// The closure is handed the state for the length of a run. A run that is ended by its timeout, or
/// panics, leaves the state as it is at that moment.
///
/// ```
/// use chatbox_health::{Health, with_state};
///
/// # #[derive(Clone)] struct Queue;
/// # impl Queue { async fn length(&self) -> std::io::Result<usize> { Ok(0) } }
/// # let queue = Queue;
/// // Not ready while the queue grows from run to run.
/// let growing = with_state(0, async move |mut last| {
///     let length = queue.length().await.map_err(|_| "no queue")?;
///     let before = std::mem::replace(&mut *last, length);
///     if length > before { Err("the queue is growing") } else { Ok(()) }
/// });
/// let health = Health::builder().check("queue", growing).build();
/// ```
pub fn with_state<S, F, Fut, E>(state: S, check: F) -> impl Check + 'static
where
    S: Send + 'static,
    F: FnOnce(State<S>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    let state = Arc::new(Mutex::new(state));
    async move || {
        // Free, as runs do not overlap.
        let state = State(state.lock_owned().await);
        check(state).await.map_err(Into::into)
    }
}

/// The state of a check during one run: see [`with_state`].
#[derive(Debug)]
pub struct State<S>(OwnedMutexGuard<S>);

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S> DerefMut for State<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.0
    }
}

/// Why a check is not passing. Serializes as its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No run has completed yet.
    #[error("not checked yet")]
    NotChecked,
    /// The check returned an error: the first 200 characters of its `Display` text, without the
    /// error's sources and with control characters replaced by spaces.
    #[error("{0}")]
    Failed(String),
    /// The check did not return within its timeout.
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
    /// The public text of a check's own error, on one line.
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
