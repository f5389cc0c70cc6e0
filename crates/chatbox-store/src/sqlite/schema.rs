//! The schema of the file, and the marks by which a file is recognised as ours.

use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior};

use crate::epoch;

/// Marks the file as ours: "chbx".
const APPLICATION_ID: i64 = 0x6368_6278;

/// The steps of the schema. `PRAGMA user_version` counts how many of them a file has been through: append, never change. A file
/// that has been through more steps than a program knows is refused by it.
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

/// What came later and does not concern older programs, which can therefore be returned to: facts about the whole log.
const META: &str = "
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('epoch', lower(hex(randomblob(8))));
";

/// The newest version of the schema that this code reads and writes.
pub(super) const KNOWN_VERSION: i64 = MIGRATIONS.len() as i64;

/// The program that a file belongs to.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    /// Ours, with that version of the schema; 0 for a file without content.
    Chatbox(i64),
    /// Ours, written by a newer version.
    Newer(i64),
    /// Another program's.
    Foreign,
}

/// Reads the marks of a file.
pub(super) fn owner(connection: &Connection) -> Result<Owner> {
    let number = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    Ok(match application {
        APPLICATION_ID if version > KNOWN_VERSION => Owner::Newer(version),
        APPLICATION_ID if version >= 0 => Owner::Chatbox(version),
        0 if empty && version == 0 => Owner::Chatbox(0),
        _ => Owner::Foreign,
    })
}

/// Brings the schema from that version up to date. Writes nothing if it is, so that a service on a full disk starts and can
/// still be read from.
pub(super) fn migrate(connection: &mut Connection, version: i64) -> Result<()> {
    let has_meta = has_meta(connection)?;
    if version == KNOWN_VERSION && has_meta {
        return Ok(());
    }
    let migration = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(version as usize) {
        migration.execute_batch(step)?;
    }
    if !has_meta {
        migration.execute_batch(META)?;
    }
    migration.pragma_update(None, "application_id", APPLICATION_ID)?;
    migration.pragma_update(None, "user_version", KNOWN_VERSION)?;
    migration.commit()
}

fn has_meta(connection: &Connection) -> Result<bool> {
    connection
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", (), |row| row.get::<_, i64>(0))
        .map(|n| n > 0)
}

/// The epoch in a file of ours. `None` if it was removed or changed by hand, or if a version without epochs made the file.
pub(super) fn epoch(connection: &Connection) -> Result<Option<String>> {
    if !has_meta(connection)? {
        return Ok(None);
    }
    let epoch = connection.query_row("SELECT value FROM meta WHERE key = 'epoch'", (), |row| row.get(0)).optional()?;
    Ok(epoch.filter(|epoch: &String| epoch::is_valid(epoch)))
}

/// Stores a new epoch.
pub(super) fn set_epoch(connection: &Connection, epoch: &str) -> Result<()> {
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?1)", [epoch]).map(drop)
}
