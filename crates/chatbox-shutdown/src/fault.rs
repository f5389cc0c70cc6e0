//! What went wrong with a participant or a task.

use std::error::Error;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinError;

use crate::report::milliseconds;
use crate::{BoxError, Phase};

/// What went wrong with a participant, a task, or something that was left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The name it was registered with.
    pub name: String,
    /// The phase in which the fault was noticed.
    pub phase: Phase,
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// The panic's message, or the error with all its sources, or what was missing.
    pub message: String,
}

/// How a participant or a task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// It panicked, or returned the `JoinError` of a task that panicked.
    Panic,
    /// It returned an error.
    Error,
    /// It had not returned when its time was over, and was dropped.
    Overrun,
    /// It is a [task](crate::Shutdown::task) and ended before a shutdown was requested.
    Ended,
    /// Something that should have been closed was open at the end: see
    /// [`Shutdown::expect_none`](crate::Shutdown::expect_none).
    LeftOpen,
}

impl Fault {
    pub(crate) fn error(name: String, phase: Phase, error: BoxError) -> Self {
        match error.downcast::<JoinError>() {
            Ok(error) if error.is_panic() => Self::panic(name, phase, *error),
            Ok(error) => Self { name, phase, kind: FaultKind::Error, message: error.to_string() },
            Err(error) => {
                let (kind, message) = chain(&*error);
                Self { name, phase, kind, message }
            }
        }
    }

    /// The fault of a task that panicked. A task that was aborted has no message.
    pub(crate) fn panic(name: String, phase: Phase, error: JoinError) -> Self {
        let message = match error.try_into_panic().map(<Box<dyn std::any::Any + Send>>::downcast::<String>) {
            Ok(Ok(message)) => *message,
            Ok(Err(payload)) => payload.downcast_ref::<&str>().unwrap_or(&"no message").to_string(),
            Err(error) => error.to_string(),
        };
        Self { name, phase, kind: FaultKind::Panic, message }
    }

    pub(crate) fn overrun(name: String, phase: Phase, after: Duration) -> Self {
        let message = format!("had not ended after {} ms", milliseconds(after));
        Self { name, phase, kind: FaultKind::Overrun, message }
    }

    pub(crate) fn ended(name: String, phase: Phase) -> Self {
        Self { name, phase, kind: FaultKind::Ended, message: "ended before a shutdown was requested".into() }
    }

    pub(crate) fn left_open(name: String, count: usize) -> Self {
        Self { name, phase: Phase::Stopped, kind: FaultKind::LeftOpen, message: format!("{count} still open") }
    }
}

/// An error with its sources in one line. It counts as a panic if one of them is that of a task.
fn chain(error: &(dyn Error + 'static)) -> (FaultKind, String) {
    let (mut kind, mut message) = (FaultKind::Error, error.to_string());
    let mut source = error.source();
    while let Some(error) = source {
        if error.downcast_ref::<JoinError>().is_some_and(JoinError::is_panic) {
            kind = FaultKind::Panic;
        }
        message = format!("{message}: {error}");
        source = error.source();
    }
    (kind, message)
}
