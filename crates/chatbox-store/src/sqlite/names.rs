//! The names of a database's files.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf, absolute};

/// The path with every link followed, so that one file has one lock whatever it is called. Absolute, so that SQLite does not
/// read it in its own way (`:memory:`, `file:…`).
pub(super) fn actual(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().or_else(|_| absolute(path))
}

/// The write-ahead log of a database file.
pub(super) fn write_ahead_log(actual: &Path) -> PathBuf {
    beside(actual, "-wal")
}

/// The index of the write-ahead log, which processes share.
pub(super) fn shared_memory(actual: &Path) -> PathBuf {
    beside(actual, "-shm")
}

/// The file whose lock keeps a second process of ours out.
pub(super) fn lock(actual: &Path) -> PathBuf {
    beside(actual, "-lock")
}

fn beside(actual: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(actual);
    name.push(suffix);
    name.into()
}
