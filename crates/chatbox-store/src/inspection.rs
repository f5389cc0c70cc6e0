//! Looking at a store without opening it, and renewing its epoch.

use std::sync::Arc;

use crate::{StoreError, StoreUrl};

/// What [`inspect`] found at a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inspection {
    /// There is no log. [`open`](crate::open) creates one.
    Absent,
    /// There is a log that [`open`](crate::open) can serve.
    #[non_exhaustive]
    Available {
        /// Its epoch. `None` if a version without epochs wrote it, or if it can only be read after a crash was recovered.
        epoch: Option<Arc<str>>,
    },
    /// There is a log, and a running process has it open. [`open`](crate::open) fails until that process has ended.
    #[non_exhaustive]
    InUse {
        /// Its epoch, as in [`Available`](Inspection::Available).
        epoch: Option<Arc<str>>,
    },
}

impl Inspection {
    /// The epoch of the log, if there is a log and its epoch can be read.
    #[must_use]
    pub fn epoch(&self) -> Option<&Arc<str>> {
        match self {
            Self::Absent => None,
            Self::Available { epoch } | Self::InUse { epoch } => epoch.as_ref(),
        }
    }
}

/// Looks at the store that a URL names. Creates, changes and locks nothing.
///
/// # Errors
///
/// Those of [`open`](crate::open), except that a store in use is no error.
pub async fn inspect(url: &StoreUrl) -> Result<Inspection, StoreError> {
    url.backend().inspect(url.reveal()).await
}

/// Gives the log that a URL names a new epoch, and returns it. To be called after a backup was restored: clients then learn
/// that what they have read since the backup is gone.
///
/// # Errors
///
/// Those of [`open`](crate::open), and [`StoreError::Absent`] when there is no log. SQLite: [`StoreError::InUse`] while a
/// process has the file open. MongoDB: running processes notice the new epoch within seconds.
pub async fn renew_epoch(url: &StoreUrl) -> Result<Arc<str>, StoreError> {
    url.backend().renew_epoch(url.reveal()).await
}
