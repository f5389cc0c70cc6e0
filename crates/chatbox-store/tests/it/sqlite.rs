//! The SQLite store: conformance, and what holds for its file.

mod crash;
mod epoch;
mod file;
mod look;
mod misplaced;

use std::sync::Arc;

use chatbox_store::{SqliteStore, Store};
use tempfile::TempDir;

#[cfg(feature = "mongodb")]
pub(crate) use self::file::chain;

async fn open() -> Option<(Arc<dyn Store>, TempDir)> {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("chatbox.db")).await.unwrap();
    Some((Arc::new(store), directory))
}

chatbox_store::conformance_tests!(open);
