//! The epoch of a database: kept, renewed by command, and given to the collections of the previous version.

use std::time::Duration;

use chatbox_store::conformance::support::{draft, everything, seqs, store_all};
use chatbox_store::{FeedEvent, Inspection, MongoStore, Store, StoreError, StoreUrl, inspect, renew_epoch};
use futures_util::StreamExt;
use mongodb::bson::{Document, doc};
use tokio::time::{sleep, timeout};

use super::database::Database;

const LONG: Duration = Duration::from_secs(60);

fn url(database: &Database) -> StoreUrl {
    database.uri().parse().unwrap()
}

async fn until_epoch(store: &MongoStore, is: impl Fn(&str) -> bool) {
    let waiting = async {
        while !is(&store.epoch()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, waiting).await.expect("the epoch is noticed");
}

#[tokio::test]
async fn a_database_of_the_previous_version_gets_an_epoch_that_all_processes_share() {
    let Some(database) = Database::fresh() else { return };
    // What version 1 made of a room with two messages, of which the first has expired.
    let raw = database.raw().await;
    raw.collection("meta").insert_one(doc! { "_id": "schema", "version": 1_i64 }).await.unwrap();
    let message = doc! { "_id": { "room": "r", "seq": 2_i64 }, "user": "ann", "id": "2", "body": "x", "at": 1000_i64 };
    raw.collection("messages").insert_one(message).await.unwrap();
    assert!(matches!(inspect(&url(&database)).await.unwrap(), Inspection::Available { epoch: None, .. }));

    let (one, other) = tokio::join!(MongoStore::open(database.uri()), MongoStore::open(database.uri()));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.epoch(), other.epoch());
    assert_eq!(seqs(&everything(&one, "r").await), [2]);
    one.ping().await.unwrap();
    let again = MongoStore::open(database.uri()).await.unwrap();
    assert_eq!(again.epoch(), other.epoch());
}

#[tokio::test]
async fn an_epoch_that_was_renewed_by_command_is_noticed_while_running() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    let mut feed = store.follow().unwrap();
    assert_eq!(feed.next().await, Some(FeedEvent::Lagged));
    let before = store.epoch();
    let renewed = renew_epoch(&url(&database)).await.unwrap();
    assert_ne!(renewed, before);
    until_epoch(&store, |epoch| epoch == &*renewed).await;
    assert_eq!(timeout(LONG, feed.next()).await.unwrap(), Some(FeedEvent::Lagged));
    store.ping().await.unwrap();
    assert_eq!(store.epoch(), renewed, "it is renewed once");
    assert_eq!(inspect(&url(&database)).await.unwrap().epoch(), Some(&renewed));
    assert_eq!(seqs(&everything(&store, "r").await), [1]);
}

#[tokio::test]
async fn an_epoch_that_was_removed_is_made_anew_and_shared() {
    let Some(database) = Database::fresh() else { return };
    let one = MongoStore::open(database.uri()).await.unwrap();
    let other = MongoStore::open(database.uri()).await.unwrap();
    let before = one.epoch();
    database.raw().await.collection::<Document>("meta").drop().await.unwrap();
    until_epoch(&one, |epoch| epoch != &*before).await;
    until_epoch(&other, |epoch| epoch != &*before).await;
    one.ping().await.unwrap();
    other.ping().await.unwrap();
    assert_eq!(one.epoch(), other.epoch());
}

#[tokio::test]
async fn inspect_writes_nothing() {
    let Some(database) = Database::fresh() else { return };
    assert_eq!(inspect(&url(&database)).await.unwrap(), Inspection::Absent);
    assert!(matches!(renew_epoch(&url(&database)).await, Err(StoreError::Absent { .. })));
    assert_eq!(database.raw().await.list_collection_names().await.unwrap(), Vec::<String>::new());
    let store = MongoStore::open(database.uri()).await.unwrap();
    assert_eq!(inspect(&url(&database)).await.unwrap().epoch(), Some(&store.epoch()));
}

#[tokio::test]
async fn the_clock_of_the_server_dates_messages() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let hello = database.raw().await.run_command(doc! { "hello": 1 }).await.unwrap();
    let server_ms = hello.get_datetime("localTime").unwrap().timestamp_millis();
    let now_ms = store.now_ms();
    assert!(now_ms.abs_diff(server_ms) < 5_000, "{now_ms} is not near {server_ms}");
}
