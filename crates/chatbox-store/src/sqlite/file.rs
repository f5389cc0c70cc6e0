//! Opening the file: whose it is, of which version, and that nobody else has it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::StoreError;

/// How many reads run side by side.
const READERS: usize = 4;

/// How long to wait for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Marks the file as ours: "chbx".
const APPLICATION_ID: i64 = 0x6368_6278;

/// The schema. `PRAGMA user_version` counts how many of these a file has been through: append, never
/// change.
const MIGRATIONS: &[&str] = &["
    -- The head outlives the messages, which expire.
    CREATE TABLE rooms (
        id   INTEGER PRIMARY KEY,
        name TEXT    NOT NULL UNIQUE,
        head INTEGER NOT NULL
    ) STRICT;
    -- A room's messages lie side by side, in the order in which they are read.
    CREATE TABLE messages (
        room  INTEGER NOT NULL REFERENCES rooms,
        seq   INTEGER NOT NULL,
        user  TEXT    NOT NULL,
        id    TEXT    NOT NULL,
        body  TEXT    NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (room, seq),
        UNIQUE (room, user, id)
    ) STRICT, WITHOUT ROWID;
    -- Written to, and emptied again, to see whether writing works.
    CREATE TABLE probe (data BLOB NOT NULL) STRICT;
"];

const KNOWN_VERSION: i64 = MIGRATIONS.len() as i64;

/// An open file, and the lock that says so to other processes.
pub(super) struct Database {
    pub(super) lock: File,
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
}

/// Opens the file for writing and reading. Blocks.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    // Followed here, so that one file has one lock whatever it is called, and never taken for one
    // of the names that SQLite reads in its own way (`:memory:`, `file:…`).
    let actual = path.canonicalize().or_else(|_| absolute(path));
    let actual = actual.map_err(|error| cannot_open(path, error))?;
    let (lock, fresh) = lock(path, &actual)?;
    open_locked(path, &actual, lock).inspect_err(|_| {
        // Nothing of ours is left beside a file that is not.
        if let Some(name) = fresh {
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
    migrate(&mut writer, version).map_err(refused)?;
    let readers = (0..READERS)
        .map(|_| connect(actual, OpenFlags::SQLITE_OPEN_READ_ONLY))
        .collect::<Result<_, _>>()
        .map_err(refused)?;
    Ok(Database { lock, writer, readers })
}

/// Keeps other processes out. SQLite's own locks would either let a second writer in or keep our
/// readers out. Says, too, what the lock's file is called if it was not there before.
fn lock(path: &Path, actual: &Path) -> Result<(File, Option<PathBuf>), StoreError> {
    let mut name = actual.as_os_str().to_owned();
    name.push("-lock");
    let name = PathBuf::from(name);
    let (lock, fresh) = match File::options().create_new(true).write(true).open(&name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (File::options().write(true).open(&name), None),
        created => (created, Some(name)),
    };
    let lock = lock.map_err(|error| cannot_open(path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok((lock, fresh)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.into() }),
        Err(TryLockError::Error(error)) => Err(cannot_open(path, error)),
    }
}

fn connect(actual: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(actual, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// The schema version of the file, 0 if it is new. Refuses one that is not ours to write to, before
/// anything is written.
fn check(path: &Path, connection: &Connection) -> Result<i64, StoreError> {
    let refused = |error| refused(path, error);
    // SQLite opens a file that it may not write to for reading instead, and does not say so.
    if connection.is_readonly("main").map_err(refused)? {
        return Err(cannot_open(path, io::Error::from(io::ErrorKind::PermissionDenied)));
    }
    let number = |sql| connection.query_row(sql, (), |row| row.get(0));
    let number = |sql| -> Result<i64, _> { number(sql).map_err(refused) };
    let application = number("PRAGMA application_id")?;
    let found = number("PRAGMA user_version")?;
    let empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    match application {
        APPLICATION_ID if found > KNOWN_VERSION => {
            Err(StoreError::Newer { path: path.into(), found, known: KNOWN_VERSION })
        }
        APPLICATION_ID if found >= 0 => Ok(found),
        0 if empty && found == 0 => Ok(0),
        _ => Err(StoreError::Foreign { path: path.into() }),
    }
}

/// What the writer keeps of the file in memory, at most.
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
    // What a long write-ahead log once took is given back.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))
}

/// Brings the schema from that version up to date. Writes nothing when it is, so that a service on a
/// full disk starts and can still be read from.
fn migrate(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    if version == KNOWN_VERSION {
        return Ok(());
    }
    let migration = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(version as usize) {
        migration.execute_batch(step)?;
    }
    migration.pragma_update(None, "application_id", APPLICATION_ID)?;
    migration.pragma_update(None, "user_version", KNOWN_VERSION)?;
    migration.commit()
}

fn refused(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path: path.into() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path: path.into() },
        _ => cannot_open(path, error),
    }
}

fn cannot_open(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Open { path: path.into(), source: Arc::new(source) }
}
