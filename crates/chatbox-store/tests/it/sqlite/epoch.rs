//! The epoch of a file: kept, renewed by command, and given to the files of the previous version.

use std::path::Path;

use chatbox_store::conformance::support::{draft, everything, seqs, store_all};
use chatbox_store::{AppendResult, Inspection, SqliteStore, Store, StoreUrl, inspect, renew_epoch};
use rusqlite::Connection;

/// The schema that version 1 made, with two messages, of which the first has expired.
const VERSION_1: &str = "
    PRAGMA journal_mode = wal;
    CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, head INTEGER NOT NULL) STRICT;
    CREATE TABLE messages (
        room INTEGER NOT NULL REFERENCES rooms, seq INTEGER NOT NULL, user TEXT NOT NULL, id TEXT NOT NULL,
        body TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (room, seq), UNIQUE (room, user, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE probe (data BLOB NOT NULL) STRICT;
    INSERT INTO rooms VALUES (1, 'r', 2);
    INSERT INTO messages VALUES (1, 2, 'alice', '2', 'body of 2', 1000);
    PRAGMA application_id = 0x63686278;
    PRAGMA user_version = 1;
";

fn url(path: &Path) -> StoreUrl {
    format!("sqlite:{}", path.display()).parse().unwrap()
}

#[tokio::test]
async fn a_file_of_the_previous_version_gets_an_epoch_that_it_keeps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatbox.db");
    Connection::open(&path).unwrap().execute_batch(VERSION_1).unwrap();
    assert!(matches!(inspect(&url(&path)).await.unwrap(), Inspection::Available { epoch: None, .. }));

    let store = SqliteStore::open(&path).await.unwrap();
    let epoch = store.epoch();
    assert_eq!(epoch.len(), 16);
    assert_eq!(seqs(&everything(&store, "r").await), [2]);
    let results = store_all(&store, "r", 2, vec![draft("alice", 2), draft("alice", 3)]).await;
    assert_eq!(results, [AppendResult::Duplicate(2), AppendResult::New(3)]);
    store.close().await.unwrap();
    assert_eq!(SqliteStore::open(&path).await.unwrap().epoch(), epoch);
}

#[tokio::test]
async fn every_file_has_an_epoch_of_its_own_and_a_copy_has_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let [one, other, copy] = ["one.db", "other.db", "copy.db"].map(|name| directory.path().join(name));
    let (first, second) = (SqliteStore::open(&one).await.unwrap(), SqliteStore::open(&other).await.unwrap());
    assert_ne!(first.epoch(), second.epoch());
    Connection::open(&one).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let restored = SqliteStore::open(&copy).await.unwrap();
    assert_eq!(restored.epoch(), first.epoch(), "a backup is the same log until it is restored");
    restored.close().await.unwrap();

    let renewed = renew_epoch(&url(&copy)).await.unwrap();
    assert_ne!(renewed, first.epoch());
    assert_eq!(inspect(&url(&copy)).await.unwrap().epoch(), Some(&renewed));
    assert_eq!(SqliteStore::open(&copy).await.unwrap().epoch(), renewed);
}

#[tokio::test]
async fn an_epoch_that_was_removed_or_changed_by_hand_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatbox.db");
    let mut known = vec![];
    for sql in ["DELETE FROM meta", "UPDATE meta SET value = 'x'", "SELECT 1"] {
        let store = SqliteStore::open(&path).await.unwrap();
        known.push(store.epoch());
        store.close().await.unwrap();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    }
    let [first, second, third] = &known[..] else { unreachable!() };
    assert!(first != second && second != third && first != third, "{known:?}");
    assert_eq!(SqliteStore::open(&path).await.unwrap().epoch(), *third);
}
