//! What requested a shutdown.

use serde::{Serialize, Serializer};

use crate::Signal;

/// What requested a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A signal.
    Signal(Signal),
    /// The program itself, through a [`Trigger`](crate::Trigger).
    Request,
}

impl Cause {
    /// The name in reports and logs: that of the signal, or `request`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signal(signal) => signal.as_str(),
            Self::Request => "request",
        }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
