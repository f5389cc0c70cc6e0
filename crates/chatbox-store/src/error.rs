//! What can go wrong with a store.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a store did not do what it was asked to, or could not be opened.
///
/// Clones share their source: one failed commit is the answer to everyone who was waiting for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot do it now; later it may. What that means for an [append](crate::Store::append)
    /// is said there.
    #[error("the {store} store is unavailable")]
    Unavailable {
        /// The store's [name](crate::Store::name).
        store: &'static str,
        /// What its backend says.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The store was closed before.
    #[error("the store is closed")]
    Closed,
    /// The file cannot be opened for writing.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file, as it was given.
        path: PathBuf,
        /// What the system or SQLite says.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Another process has the file open, or holds a lock on it.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file, as it was given.
        path: PathBuf,
    },
    /// The file is no database, or that of another program.
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
    /// The servers of a database cannot be reached, or refuse what the store needs.
    #[error("cannot use the database at {servers}")]
    Connect {
        /// Their names and ports.
        servers: String,
        /// What the driver or the server says.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The database was written by a newer version of this crate.
    #[error("the database {database} has schema version {found}, this program knows versions up to {known}")]
    NewerDatabase {
        /// Its name.
        database: String,
        /// The version found there.
        found: i64,
        /// The newest version that this crate reads.
        known: i64,
    },
    /// The URL names a backend that this build does not have.
    #[error("the {backend} store is not built into this program")]
    NotBuiltIn {
        /// The backend.
        backend: &'static str,
    },
    /// The URL names no backend. Only the scheme is told: the rest may hold a password.
    #[error("unknown store `{scheme}:`; known are sqlite:PATH, memory:, mongodb:// and mongodb+srv://")]
    UnknownScheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// The URL cannot be read. It is not told, since it may hold a password.
    #[error("invalid store URL: {problem}")]
    InvalidUrl {
        /// What is wrong with it.
        problem: &'static str,
    },
}
