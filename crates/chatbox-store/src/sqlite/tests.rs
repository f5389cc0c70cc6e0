//! What can only be provoked from inside: a full file, and what shares a commit.

use std::sync::{Arc, mpsc};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::writer::QUEUE;
use super::{SqliteStore, file};
use crate::{Append, AppendResult, Appended, Cutoff, Draft, Store, StoreError};

fn append(room: &str, expected_head: u64, id: u64, body_len: usize) -> Arc<[Append]> {
    let draft =
        Draft { user: "alice".into(), id: id.to_string().into(), body: "x".repeat(body_len).into(), at_ms: 1000 };
    Arc::from([Append { room: room.into(), expected_head, messages: vec![draft] }])
}

/// A store whose file may not grow beyond that many pages of 4 KiB.
fn open_limited(pages: i64) -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatbox.db");
    let database = file::open(&path).unwrap();
    database.writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    (SqliteStore::start(&path, database).unwrap(), directory)
}

#[tokio::test]
async fn a_full_disk_fails_appends_until_there_is_room() {
    let (store, _directory) = open_limited(100);
    let mut head = 0;
    let error = loop {
        match store.append(append("r", head, head, 10_000)).await {
            Ok(_) => head += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StoreError::Unavailable { store: "sqlite", .. }), "{error}");
    assert!(head > 0);
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable { .. })));
    assert_eq!(store.span("r").await.unwrap().head, head, "what was stored can be read");

    assert_eq!(store.expire(Cutoff { before_ms: 2000, now_ms: 2000 }).await.unwrap(), head);
    store.ping().await.unwrap();
    let appended = store.append(append("r", head, head, 10_000)).await.unwrap();
    assert_eq!(appended, [Appended::All(vec![AppendResult::New(head + 1)])]);
}

#[test]
fn a_file_that_is_up_to_date_opens_without_a_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatbox.db");
    drop(file::open(&path).unwrap());
    let _database = file::open(&path).unwrap();
    let log = std::fs::metadata(directory.path().join("chatbox.db-wal")).unwrap();
    assert_eq!(log.len(), 0);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_leaves_nothing_behind() {
    let (store, _directory) = open_limited(100);
    let parts = [append("a", 0, 1, 10), append("b", 0, 1, 1_000_000), append("c", 0, 1, 10)];
    let batch: Arc<[Append]> = parts.iter().flat_map(|part| part.to_vec()).collect();
    assert!(matches!(store.append(batch).await, Err(StoreError::Unavailable { .. })));
    for room in ["a", "b", "c"] {
        assert_eq!(store.span(room).await.unwrap().head, 0);
        assert_eq!(store.read(room, 0, 1).await.unwrap().messages, []);
    }
}

/// Keeps the writer busy with a job of its own until the sender is dropped.
async fn hold_writer(store: &Arc<SqliteStore>) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    let (running, runs) = oneshot::channel();
    let mut once = Some((running, held));
    let store = store.clone();
    tokio::spawn(async move {
        let hold = move |_: &Connection| {
            if let Some((running, held)) = once.take() {
                running.send(()).unwrap();
                let _: Result<(), _> = held.recv();
            }
            Ok(())
        };
        store.writer.run(hold).await
    });
    runs.await.unwrap();
    release
}

async fn until_queued(store: &SqliteStore, jobs: usize) {
    while store.writer.queued() < jobs {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_queued_during_a_commit_shares_the_next_one() {
    let (store, _directory) = open_limited(1000);
    let store = Arc::new(store);
    let release = hold_writer(&store).await;
    let mut jobs = Vec::new();
    for n in 0..5 {
        let store = store.clone();
        jobs.push(tokio::spawn(async move { store.append(append("r", n, n, 10)).await }));
    }
    until_queued(&store, 5).await;
    let failing = tokio::spawn({
        let store = store.clone();
        async move { store.writer.run(|log| log.execute("no SQL", ())).await }
    });
    until_queued(&store, 6).await;
    drop(release);
    // The failure of one is that of all, which shows that they were one transaction.
    for job in jobs {
        assert!(matches!(job.await.unwrap(), Err(StoreError::Unavailable { .. })));
    }
    assert!(failing.await.unwrap().is_err());
    assert_eq!(store.span("r").await.unwrap().head, 0);
    store.append(append("r", 0, 0, 10)).await.unwrap();
    assert_eq!(store.span("r").await.unwrap().head, 1);
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait_and_closing_waits_for_them() {
    let (store, _directory) = open_limited(10_000);
    let store = Arc::new(store);
    let release = hold_writer(&store).await;
    let appends: Vec<_> = (0..QUEUE + 100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append(append(&format!("r{n}"), 0, 1, 1)).await })
        })
        .collect();
    until_queued(&store, QUEUE).await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    drop(release);
    for append in appends {
        let appended = append.await.unwrap().unwrap();
        assert_eq!(appended, [Appended::All(vec![AppendResult::New(1)])]);
    }
    closing.await.unwrap().unwrap();
}
