//! Looking at a file changes nothing, and says what opening it would find.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chatbox_store::conformance::support::{draft, store_all};
use chatbox_store::{Inspection, SqliteStore, Store, StoreError, StoreUrl, inspect, renew_epoch};
use rusqlite::Connection;

fn url(path: &Path) -> StoreUrl {
    format!("sqlite:{}", path.display()).parse().unwrap()
}

/// The files of a directory with their contents. Every read of SQLite leaves its mark in the index of the write-ahead log,
/// which is made anew at the next opening: of that, the name only.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    named
        .map(|(name, path)| {
            let content = if name.ends_with("-shm") { vec![] } else { fs::read(path).unwrap() };
            (name, content)
        })
        .collect()
}

/// Looks, and checks that nothing has changed.
async fn look(path: &Path) -> Result<Inspection, StoreError> {
    let before = files(path.parent().unwrap());
    let found = inspect(&url(path)).await;
    assert!(files(path.parent().unwrap()) == before, "looking has changed something");
    found
}

#[tokio::test]
async fn a_file_that_is_not_there_is_absent_and_stays_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a file?#%.db");
    assert_eq!(look(&path).await.unwrap(), Inspection::Absent);
    fs::write(&path, "").unwrap();
    assert_eq!(look(&path).await.unwrap(), Inspection::Absent);
    let renewed = renew_epoch(&url(&directory.path().join("none.db"))).await;
    assert!(matches!(renewed, Err(StoreError::Absent { .. })), "{renewed:?}");
    assert!(matches!(inspect(&url(&path.join("x.db"))).await, Err(StoreError::Open { .. })));
    assert!(matches!(inspect(&url(directory.path())).await, Err(StoreError::Open { .. })));
}

#[tokio::test]
async fn a_file_is_available_before_and_after_it_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a file?#%.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let epoch = store.epoch();
    let Inspection::InUse { epoch: found, .. } = look(&path).await.unwrap() else { panic!("it is open") };
    assert_eq!(found.as_ref(), Some(&epoch));
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    assert_eq!(look(&path).await.unwrap().epoch(), Some(&epoch));
    store_all(&store, "r", 1, vec![draft("alice", 2)]).await;
    assert!(matches!(renew_epoch(&url(&path)).await, Err(StoreError::InUse { .. })));
    store.close().await.unwrap();
    let Inspection::Available { epoch: found, .. } = look(&path).await.unwrap() else { panic!("it is closed") };
    assert_eq!(found, Some(epoch));
}

#[tokio::test]
async fn a_file_after_a_crash_is_available_and_left_to_be_recovered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatbox.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    // What a process leaves that is killed.
    let crashed = tempfile::tempdir().unwrap();
    for (name, content) in files(directory.path()) {
        fs::write(crashed.path().join(name), content).unwrap();
    }
    let copy = crashed.path().join("chatbox.db");
    assert!(matches!(look(&copy).await.unwrap(), Inspection::Available { epoch: None, .. }));
    let recovered = SqliteStore::open(&copy).await.unwrap();
    assert_eq!(recovered.span("r").await.unwrap().head, 1);
    assert_eq!(recovered.epoch(), store.epoch());
}

#[tokio::test]
async fn inspect_does_not_keep_a_store_from_being_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatbox.db");
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    let looking = tokio::spawn({
        let url = url(&path);
        async move {
            loop {
                inspect(&url).await.unwrap();
            }
        }
    });
    for _ in 0..50 {
        SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    }
    looking.abort();
}

#[tokio::test]
async fn inspect_refuses_what_open_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(look(&foreign).await, Err(StoreError::Foreign { .. })));
    let text = directory.path().join("text.db");
    fs::write(&text, "no database at all, but longer than the header of one\n".repeat(100)).unwrap();
    assert!(matches!(look(&text).await, Err(StoreError::Foreign { .. })));
    let newer = directory.path().join("newer.db");
    SqliteStore::open(&newer).await.unwrap().close().await.unwrap();
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(look(&newer).await, Err(StoreError::Newer { found: 99, .. })));
}
