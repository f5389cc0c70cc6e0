//! Opening the file: its lock, its owner and version, its connections.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::identity::Files;
use super::names;
use super::schema::{self, KNOWN_VERSION, Owner};
use crate::{StoreError, epoch};

/// How many reads run side by side.
const READERS: usize = 4;

/// How long to wait for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// How often, and after which pause, our own lock is tried: [`inspect`](super::inspect) may hold it for a moment.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// An open file, and the lock that keeps other processes out. Dropped in this order: the last connection to be closed removes
/// the write-ahead log if it may write, and the lock is held until then.
pub(super) struct Database {
    pub(super) epoch: Arc<str>,
    pub(super) files: Files,
    pub(super) readers: Vec<Connection>,
    pub(super) writer: Connection,
    pub(super) lock: File,
}

/// Opens the file for writing and reading. Blocks.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    let actual = names::actual(path).map_err(|error| cannot_open(path, error))?;
    let (lock, created) = lock(path, &actual)?;
    open_locked(path, &actual, lock).inspect_err(|_| {
        // Nothing of ours is left beside a file that is not.
        if let Some(name) = created {
            let _ = fs::remove_file(name);
        }
    })
}

fn open_locked(path: &Path, actual: &Path, lock: File) -> Result<Database, StoreError> {
    let refused = |error| refused(path, error);
    let mut writer =
        connect(actual, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE).map_err(refused)?;
    let version = check(path, &writer)?;
    configure(&writer).map_err(refused)?;
    schema::migrate(&mut writer, version).map_err(refused)?;
    let epoch = match schema::epoch(&writer).map_err(refused)? {
        Some(epoch) => epoch.into(),
        None => renew(&writer).map_err(refused)?,
    };
    let readers = (0..READERS).map(|_| reader(actual)).collect::<Result<_, _>>().map_err(refused)?;
    // Every connection has read by now, so the write-ahead log and its index are there, too.
    let files = Files::open_now(path, actual).map_err(|error| cannot_open(path, error))?;
    Ok(Database { lock, writer, readers, epoch, files })
}

/// Gives the log in the file a new epoch. Blocks.
pub(super) fn renew_epoch(path: &Path) -> Result<Arc<str>, StoreError> {
    if !path.exists() {
        return Err(StoreError::Absent { store: path.display().to_string() });
    }
    let Database { lock, writer, readers, .. } = open(path)?;
    let epoch = renew(&writer).map_err(|error| refused(path, error))?;
    drop(readers);
    writer.close().map_err(|(_, error)| refused(path, error))?;
    drop(lock);
    Ok(epoch)
}

fn renew(writer: &Connection) -> rusqlite::Result<Arc<str>> {
    let epoch = epoch::generate();
    schema::set_epoch(writer, &epoch)?;
    Ok(epoch)
}

/// Keeps other processes out. SQLite's own locks would either let a second writer in or keep our readers out. Returns the
/// name of the lock's file, too, if it was created.
fn lock(path: &Path, actual: &Path) -> Result<(File, Option<PathBuf>), StoreError> {
    let name = names::lock(actual);
    let (lock, created) = match File::options().create_new(true).write(true).open(&name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (File::options().write(true).open(&name), None),
        created => (created, Some(name)),
    };
    let lock = lock.map_err(|error| cannot_open(path, error))?;
    let mut tries = LOCK_TRIES;
    loop {
        tries -= 1;
        match lock.try_lock() {
            Ok(()) => return Ok((lock, created)),
            Err(TryLockError::WouldBlock) if tries == 0 => return Err(StoreError::InUse { path: path.into() }),
            Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(cannot_open(path, error)),
        }
    }
}

/// A connection that holds all its files open: it would find another write-ahead log if that were replaced before its first
/// read.
fn reader(actual: &Path) -> rusqlite::Result<Connection> {
    let reader = connect(actual, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema::epoch(&reader)?;
    Ok(reader)
}

fn connect(actual: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(actual, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// The schema version of the file, 0 if it is new. Refuses a file that is not ours to write to, before anything is written.
fn check(path: &Path, connection: &Connection) -> Result<i64, StoreError> {
    // SQLite opens a file that it may not write to for reading instead, and does not say so.
    if connection.is_readonly("main").map_err(|error| refused(path, error))? {
        return Err(cannot_open(path, io::Error::from(io::ErrorKind::PermissionDenied)));
    }
    version(path, schema::owner(connection).map_err(|error| refused(path, error))?)
}

/// The version of a file with that owner, or why it is refused.
pub(super) fn version(path: &Path, owner: Owner) -> Result<i64, StoreError> {
    match owner {
        Owner::Chatbox(version) => Ok(version),
        Owner::Newer(found) => Err(StoreError::Newer { path: path.into(), found, known: KNOWN_VERSION }),
        Owner::Foreign => Err(StoreError::Foreign { path: path.into() }),
    }
}

/// The most that the writer caches of the file.
const CACHE_KIB: i64 = 16 << 10;

/// How long the write-ahead log gets before it is written back: 32 MiB in pages of 4 KiB.
const CHECKPOINT_PAGES: i64 = 8 << 10;

/// Makes commits durable.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // On macOS an ordinary fsync leaves the data in the drive's cache.
    connection.pragma_update(None, "fullfsync", true)?;
    // Under load a page changes many times before it is worth writing it back: a longer log spares most of that.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    // Shrinks a write-ahead log that has grown long.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))
}

pub(super) fn refused(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path: path.into() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path: path.into() },
        _ => cannot_open(path, error),
    }
}

pub(super) fn cannot_open(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Open { path: path.into(), source: Arc::new(source) }
}
