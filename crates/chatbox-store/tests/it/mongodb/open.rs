//! What is refused at opening, and what is said about it.

use std::time::Duration;

use chatbox_store::{MongoStore, Store, StoreError};
use mongodb::bson::{Document, doc};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::database::Database;
use chatbox_store::conformance::support::{before, draft, store_all};

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let opening = MongoStore::open(&format!("mongodb://alice:hunter2@{address}/chat")).await;
    let Err(error @ StoreError::Unreachable { .. }) = opening else { panic!("no server listens there") };
    assert_eq!(error.to_string(), format!("the database at {address} does not answer"));
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_silent_server_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("mongodb://{}", listener.local_addr().unwrap());
    let opening = timeout(Duration::from_secs(20), MongoStore::open(&uri)).await.expect("opening is bounded");
    assert!(matches!(opening, Err(StoreError::Unreachable { .. })));
}

#[tokio::test]
async fn a_connection_string_that_cannot_be_used_is_not_quoted() {
    for uri in ["mongodb://", "mongodb://alice:hunter2/9@db", "mongodb://alice:hunter2@db/?w=1&journal=hunter2"] {
        let Err(error @ StoreError::InvalidUrl { .. }) = MongoStore::open(uri).await else { panic!("{uri}") };
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    store.close().await.unwrap();
    let store = MongoStore::open(database.uri()).await.unwrap();
    assert_eq!(store.span("r").await.unwrap().head, 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let Some(database) = Database::fresh() else { return };
    MongoStore::open(database.uri()).await.unwrap().close().await.unwrap();
    let meta = database.raw().await.collection::<Document>("meta");
    meta.update_one(doc! { "_id": "schema" }, doc! { "$set": { "version": 99_i64 } }).await.unwrap();
    let opening = MongoStore::open(database.uri()).await;
    assert!(matches!(opening, Err(StoreError::NewerDatabase { found: 99, known: 1, .. })));
}

#[tokio::test]
async fn young_messages_stay_however_short_the_retention() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let aged = |seconds: i64| chatbox_store::Draft { at_ms: now - seconds * 1000, ..draft("alice", seconds) };
    store_all(&store, "r", 0, vec![aged(600), aged(100), aged(0)]).await;
    assert_eq!(store.expire(before(i64::MAX)).await.unwrap(), 1);
    assert_eq!(store.span("r").await.unwrap().first, 2);
}
