//! The error type of every store.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a store could not be opened, or a call failed.
///
/// Clones share their source: one failed commit answers every call that took part in it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The call failed now and may succeed later. What that means for an append is said at
    /// [`Store::append`](crate::Store::append).
    #[error("the {store} store is unavailable")]
    Unavailable {
        /// The store's [name](crate::Store::name).
        store: &'static str,
        /// The backend's error.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The file cannot be opened for writing.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file, as it was given.
        path: PathBuf,
        /// The error of the system or of SQLite.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Another process has the file open, or holds a lock on it. Opening succeeds once that process has ended.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file, as it was given.
        path: PathBuf,
    },
    /// The file is not a database, or the database of another program.
    #[error("{} is not a chatbox database", path.display())]
    Foreign {
        /// The file, as it was given.
        path: PathBuf,
    },
    /// The file was written by a newer version of this crate.
    #[error(
        "{} has schema version {found}, this program knows versions up to {known}",
        path.display()
    )]
    Newer {
        /// The file, as it was given.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version that this crate reads.
        known: i64,
    },
    /// The database servers do not answer, or have no primary now. Opening may succeed later.
    #[error("the database at {servers} does not answer")]
    Unreachable {
        /// Their names and ports.
        servers: String,
        /// The driver's error.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The database servers answer, and refuse what the store needs: the credentials are wrong, say, or the server is not a
    /// member of a replica set. Trying again does not help.
    #[error("cannot use the database at {servers}")]
    Refused {
        /// Their names and ports.
        servers: String,
        /// The error of the driver or the server.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The database was written by a newer version of this crate.
    #[error("the database {database} has schema version {found}, this program knows versions up to {known}")]
    NewerDatabase {
        /// The database's name.
        database: String,
        /// The version in the database.
        found: i64,
        /// The newest version that this crate reads.
        known: i64,
    },
    /// The database has messages that are stored more than once, so their uniqueness cannot be enforced.
    #[error(
        "the database {database} has messages that are stored more than once, such as `{id}` of user `{user}` in room \
         `{room}` (seq {seqs}): remove all but the first of each"
    )]
    Duplicates {
        /// The database's name.
        database: String,
        /// The room of one such message.
        room: String,
        /// Its sender.
        user: String,
        /// Its id.
        id: String,
        /// The sequence numbers under which it is stored.
        seqs: String,
    },
    /// There is no log at the URL.
    #[error("there is no chatbox log at {store}")]
    Absent {
        /// The URL without credentials.
        store: String,
    },
    /// The URL names a backend that this build does not have.
    #[error("this store needs the feature `{feature}`, with which this program was not built")]
    NotBuiltIn {
        /// The feature of this crate that brings the backend.
        feature: &'static str,
    },
    /// The URL names no backend. Only the scheme is shown: the rest may hold a password.
    #[error("unknown store `{scheme}:`; known are {known}")]
    UnknownScheme {
        /// The text before the colon.
        scheme: String,
        /// The forms of URL that this build knows.
        known: String,
    },
    /// The URL cannot be parsed. It is not shown, since it may hold a password.
    #[error("invalid store URL: {problem}")]
    InvalidUrl {
        /// The reason.
        problem: &'static str,
    },
}
