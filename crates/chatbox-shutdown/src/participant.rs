//! What a program registers: participants of a stage, and how they end.

use std::error::Error;
use std::fmt;
use std::pin::Pin;

use crate::{Budget, Stage};

/// Any error, as participants and tasks return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// How a participant or a task ended that did not fail. `()` means [`Ending::Complete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was done.
    Complete,
    /// Something was cut so as to end in time, and nothing was lost by it.
    ///
    /// Makes the outcome [`Outcome::Deadline`](crate::Outcome::Deadline), unless something worse happened.
    CutShort,
}

impl From<()> for Ending {
    fn from((): ()) -> Self {
        Self::Complete
    }
}

/// What a [task](crate::Shutdown::task) may return: `()`, an [`Ending`], or a `Result` of one of them
/// with any error.
#[diagnostic::on_unimplemented(
    message = "a task of a shutdown returns `()`, `Ending` or a `Result` of one of them, not `{Self}`",
    note = "a task that never returns would be an overrun: let it return when its stage is reached"
)]
pub trait TaskOutput: Send + 'static {
    /// The same as a `Result`.
    ///
    /// # Errors
    ///
    /// The task's own error.
    fn into_result(self) -> Result<Ending, BoxError>;
}

impl TaskOutput for () {
    fn into_result(self) -> Result<Ending, BoxError> {
        Ok(Ending::Complete)
    }
}

impl TaskOutput for Ending {
    fn into_result(self) -> Result<Ending, BoxError> {
        Ok(self)
    }
}

impl<T, E> TaskOutput for Result<T, E>
where
    T: Into<Ending> + Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    fn into_result(self) -> Result<Ending, BoxError> {
        self.map(Into::into).map_err(Into::into)
    }
}

pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Ending, BoxError>> + Send>>;

/// A registered participant whose stage has not begun.
pub(crate) struct Participant {
    pub(crate) stage: Stage,
    pub(crate) name: String,
    pub(crate) start: Box<dyn FnOnce(Budget) -> Work + Send>,
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.name)
    }
}

/// A registered check that nothing is left open at the end.
pub(crate) struct Probe {
    pub(crate) name: String,
    pub(crate) left: Box<dyn Fn() -> usize + Send>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
