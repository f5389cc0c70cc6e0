//! Looking at a file without opening it for writing.

use std::fmt::Write;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, absolute};

use rusqlite::{Connection, OpenFlags};

use super::file::{cannot_open, refused, version};
use super::names;
use super::schema::{self, Owner};
use crate::{Inspection, StoreError};

/// Says what opening the file would find. Creates and changes nothing. Blocks.
pub(super) fn inspect(path: &Path) -> Result<Inspection, StoreError> {
    let actual = names::actual(path).map_err(|error| cannot_open(path, error))?;
    let name = absolute(&actual).map_err(|error| cannot_open(path, error))?;
    may_write(path, name.parent().unwrap_or(&name))?;
    match actual.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Inspection::Absent),
        Err(error) => return Err(cannot_open(path, error)),
        Ok(found) if found.is_dir() => return Err(cannot_open(path, io::Error::from(io::ErrorKind::IsADirectory))),
        Ok(_) => may_write(path, &actual)?,
    }
    if is_locked(path, &actual)? {
        // A process that has it open keeps the files up by which SQLite lets others read: reading creates none.
        let connection = Connection::open_with_flags(&actual, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let found = connection.and_then(|connection| read(&connection)).map_err(|error| refused(path, error))?;
        return Ok(Inspection::InUse { epoch: found.epoch(path)? });
    }
    let found =
        Connection::open_with_flags(immutable(&actual), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
            .and_then(|connection| read(&connection))
            .map_err(|error| refused(path, error));
    // A crash leaves a write-ahead log, which only an opening for writing brings back into the file.
    let crashed = names::write_ahead_log(&actual).metadata().is_ok_and(|log| log.len() > 0);
    match found {
        Err(StoreError::Open { .. }) if crashed => Ok(Inspection::Available { epoch: None }),
        Err(error) => Err(error),
        Ok(Found { owner: Owner::Chatbox(0), .. }) if !crashed => Ok(Inspection::Absent),
        Ok(found) => Ok(Inspection::Available { epoch: found.epoch(path)? }),
    }
}

struct Found {
    owner: Owner,
    epoch: Option<String>,
}

impl Found {
    fn epoch(self, path: &Path) -> Result<Option<std::sync::Arc<str>>, StoreError> {
        version(path, self.owner)?;
        Ok(self.epoch.map(Into::into))
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Found> {
    let owner = schema::owner(connection)?;
    let epoch = match owner {
        Owner::Chatbox(_) => schema::epoch(connection)?,
        Owner::Newer(_) | Owner::Foreign => None,
    };
    Ok(Found { owner, epoch })
}

/// Whether a process holds our lock. A shared lock is taken for a moment to find out, which an opening waits for.
fn is_locked(path: &Path, actual: &Path) -> Result<bool, StoreError> {
    let lock = match File::open(names::lock(actual)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(cannot_open(path, error)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(cannot_open(path, error)),
    }
}

/// A URI by which SQLite reads the file alone: without locks, and without a write-ahead log beside it.
fn immutable(actual: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in actual.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(byte.into());
        } else {
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri + "?immutable=1"
}

#[cfg(unix)]
fn may_write(path: &Path, what: &Path) -> Result<(), StoreError> {
    rustix::fs::access(what, rustix::fs::Access::WRITE_OK).map_err(|error| cannot_open(path, io::Error::from(error)))
}

#[cfg(not(unix))]
fn may_write(_path: &Path, _what: &Path) -> Result<(), StoreError> {
    Ok(())
}
