//! What a program registers for a phase.

use std::error::Error;
use std::fmt;
use std::pin::Pin;

use crate::{Budget, Phase};

/// Any error, as participants and the server return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// How a participant ended that did not fail.
///
/// `Ok(())` does for [`Ending::Complete`].
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

pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Ending, BoxError>> + Send>>;
pub(crate) type Condition = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

pub(crate) struct Participant {
    pub(crate) phase: Phase,
    pub(crate) name: String,
    pub(crate) start: Box<dyn FnOnce(Budget) -> Work + Send>,
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.phase, self.name)
    }
}

/// Everything that was registered and has not started yet.
#[derive(Default)]
pub(crate) struct Participants {
    pub(crate) participants: Vec<Participant>,
    /// What has to hold for the lame duck to end before its time.
    pub(crate) conditions: Vec<Condition>,
}

impl fmt::Debug for Participants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.participants.fmt(f)
    }
}
