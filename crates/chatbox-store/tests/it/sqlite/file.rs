//! Which files are taken, which are refused, and that refused ones are left as they are.

use std::error::Error;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chatbox_store::{AppendResult, Span, SqliteStore, Store, StoreError, StoreUrl, open};
use rusqlite::Connection;
use tempfile::TempDir;

use chatbox_store::conformance::support::{append, before, draft, everything, seqs, store_all};

fn fresh_path() -> (PathBuf, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (directory.path().join("chatbox.db"), directory)
}

/// The error with its sources, in one line.
pub(crate) fn chain(error: &StoreError) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        chain += &format!(": {error}");
        source = error.source();
    }
    chain
}

async fn refusal(path: &Path) -> StoreError {
    let error = SqliteStore::open(path).await.expect_err("the file is refused");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let (path, _directory) = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1), draft("alice", 2)]).await;
    assert_eq!(store.expire(before(2000)).await.unwrap(), 2);
    store_all(&store, "r", 2, vec![draft("alice", 3)]).await;
    store_all(&store, "gone", 0, vec![draft("alice", 1)]).await;
    assert_eq!(store.expire(before(2000)).await.unwrap(), 2);
    store.close().await.unwrap();

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.span("r").await.unwrap(), Span { first: 4, head: 3 });
    assert_eq!(store_all(&store, "r", 3, vec![draft("alice", 4)]).await, [AppendResult::New(4)]);
    assert_eq!(store_all(&store, "gone", 1, vec![draft("alice", 4)]).await, [AppendResult::New(2)]);
    assert_eq!(seqs(&everything(&store, "r").await), [4]);
}

#[tokio::test]
async fn a_closed_store_leaves_its_file_without_a_write_ahead_log() {
    let (path, directory) = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    store.close().await.unwrap();
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["chatbox.db", "chatbox.db-lock"]);
}

#[tokio::test]
async fn a_dropped_store_leaves_its_file_to_the_next_one() {
    let (path, _directory) = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    drop(store);
    // Its thread ends by itself, which cannot be awaited.
    let store = loop {
        match SqliteStore::open(&path).await {
            Ok(store) => break store,
            Err(error) => assert!(matches!(error, StoreError::InUse { .. }), "{error}"),
        }
    };
    assert_eq!(store.span("r").await.unwrap().head, 1);
}

#[tokio::test]
async fn urls_open_files() {
    let (path, _directory) = fresh_path();
    for url in [format!("sqlite:{}", path.display()), format!("sqlite://{}", path.display())] {
        let store = open(&url.parse().unwrap()).await.unwrap();
        assert_eq!(store.name(), "sqlite");
        store.close().await.unwrap();
    }
    assert!(path.is_file());
    for url in ["sqlite:", "sqlite://"] {
        assert!(matches!(url.parse::<StoreUrl>(), Err(StoreError::InvalidUrl { .. })));
    }
}

#[tokio::test]
async fn names_that_sqlite_reads_in_its_own_way_are_files() {
    let directory = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x?mode=memory", "with space.db", "ü.db"] {
        let path = directory.path().join(name);
        SqliteStore::open(&path).await.unwrap().close().await.unwrap();
        assert!(path.is_file(), "{name}");
    }
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let (path, directory) = fresh_path();
    let first = SqliteStore::open(&path).await.unwrap();
    assert!(matches!(refusal(&path).await, StoreError::InUse { .. }));
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(refusal(&link).await, StoreError::InUse { .. }));
    store_all(&first, "r", 0, vec![draft("alice", 1)]).await;
    first.close().await.unwrap();
    SqliteStore::open(&link).await.unwrap();
}

#[tokio::test]
async fn a_file_that_another_program_has_locked_is_refused() {
    let (path, _directory) = fresh_path();
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    assert!(matches!(refusal(&path).await, StoreError::InUse { .. }));
    drop(other);
    SqliteStore::open(&path).await.unwrap();
}

#[tokio::test]
async fn appends_fail_in_time_while_another_program_holds_a_lock_and_work_again_afterwards() {
    let (path, _directory) = fresh_path();
    let store = SqliteStore::open(&path).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch: Arc<[_]> = Arc::from([append("r", 1, vec![draft("alice", 2)])]);
    let (appended, pinged) = tokio::join!(store.append(batch.clone()), store.ping());
    assert!(matches!(appended, Err(StoreError::Unavailable { .. })));
    assert!(matches!(pinged, Err(StoreError::Unavailable { .. })));
    assert_eq!(store.span("r").await.unwrap().head, 1, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.ping().await.unwrap();
    store.append(batch).await.unwrap();
    assert_eq!(seqs(&everything(&store, "r").await), [1, 2]);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (path, _directory) = fresh_path();
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    assert!(matches!(refusal(&path).await, StoreError::Newer { found: 99, known: 1, .. }));
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    for sql in [
        "CREATE TABLE theirs (x)",
        "CREATE TABLE rooms (x); PRAGMA user_version = 1",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 1; PRAGMA application_id = 0",
    ] {
        let (path, directory) = fresh_path();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(refusal(&path).await, StoreError::Foreign { .. }), "{sql}");
        assert_eq!(fs::read(&path).unwrap(), before, "{sql}");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "{sql}: something of ours is left beside it");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let (path, _directory) = fresh_path();
    let text = "no database at all, but longer than the header of one\n".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(refusal(&path).await, StoreError::Foreign { .. }));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn an_empty_file_is_a_new_database() {
    let (path, _directory) = fresh_path();
    fs::write(&path, "").unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
}

#[tokio::test]
async fn a_missing_directory_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(&directory.path().join("missing/chatbox.db")).await;
    assert!(chain(&error).to_lowercase().contains("no such file or directory"), "{}", chain(&error));
}

#[tokio::test]
async fn a_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(directory.path()).await, StoreError::Open { .. }));
}

#[tokio::test]
async fn files_that_cannot_be_written_are_refused() {
    let (path, directory) = fresh_path();
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    for (changed, mode, usual) in [(&*path, 0o444, 0o644), (directory.path(), 0o555, 0o755)] {
        fs::set_permissions(changed, Permissions::from_mode(mode)).unwrap();
        // Permissions do not bind a superuser.
        let bound = OpenOptions::new().append(true).open(&path).is_err()
            || fs::write(directory.path().join("new"), "").is_err();
        if bound {
            let refusal = chain(&refusal(&path).await).to_lowercase();
            let said = refusal.contains("permission denied") || refusal.contains("readonly");
            assert!(said, "{mode:o}: {refusal}");
        }
        fs::set_permissions(changed, Permissions::from_mode(usual)).unwrap();
    }
    SqliteStore::open(&path).await.unwrap();
}
