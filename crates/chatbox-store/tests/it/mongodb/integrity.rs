//! Indexes, collections and documents that are removed while stores have them open.

use std::sync::Arc;
use std::time::Duration;

use chatbox_store::conformance::support::{append, draft, everything, seqs, store_all};
use chatbox_store::{AppendResult, Appended, FeedEvent, MongoStore, Store, StoreError};
use futures_util::StreamExt;
use mongodb::bson::{Document, doc};
use mongodb::{Collection, IndexModel};
use tokio::time::{sleep, timeout};

use super::database::Database;
use crate::sqlite::chain;

/// Long enough for every repair.
const LONG: Duration = Duration::from_secs(60);

/// Appends a message as a client sends it again until it is acknowledged.
async fn until_stored(store: &MongoStore, id: u32) -> AppendResult {
    let appending = async {
        let mut head = None;
        loop {
            if let (None, Ok(span)) = (head, store.span("r").await) {
                head = Some(span.head);
            }
            let batch = Arc::new([append("r", head.unwrap_or(0), vec![draft("alice", id)])]);
            match store.append(batch).await.map(|mut appended| appended.remove(0)) {
                Ok(Appended::All(results)) => return results[0],
                Ok(Appended::HeadMoved { head: moved }) => head = Some(moved),
                Ok(other) => panic!("one message: {other:?}"),
                Err(StoreError::Unavailable { .. }) => {
                    head = None;
                    sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(LONG, appending).await.expect("it is repaired")
}

fn seq(result: AppendResult) -> u64 {
    let (AppendResult::New(seq) | AppendResult::Duplicate(seq)) = result;
    seq
}

async fn until_ready(store: &MongoStore) {
    let waiting = async {
        while store.ping().await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, waiting).await.expect("it is repaired");
}

async fn messages(database: &Database) -> Collection<Document> {
    database.raw().await.collection("messages")
}

#[tokio::test]
async fn an_index_that_was_dropped_is_made_again_before_anything_is_acknowledged() {
    let Some(database) = Database::fresh() else { return };
    let one = MongoStore::open(database.uri()).await.unwrap();
    let other = MongoStore::open(database.uri()).await.unwrap();
    let raw = messages(&database).await;
    for round in 0..5 {
        raw.drop_indexes().await.unwrap();
        let first = until_stored(&one, round).await;
        let second = until_stored(&other, round).await;
        assert_eq!(seq(first), seq(second), "one id, one seq");
        assert_eq!(raw.count_documents(doc! { "id": round.to_string() }).await.unwrap(), 1);
    }
    assert_eq!(seqs(&everything(&one, "r").await), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn an_append_beside_a_dropped_index_is_not_acknowledged() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let raw = messages(&database).await;
    let mut refused = 0;
    // The verification once a second may be faster, now and then.
    for n in 0..20 {
        store.ping().await.unwrap();
        let head = store.span("r").await.unwrap().head;
        raw.drop_indexes().await.unwrap();
        let appended = store.append(Arc::new([append("r", head, vec![draft("alice", n)])])).await;
        refused += u32::from(appended.is_err());
        let indexes = raw.list_index_names().await.unwrap().len();
        assert!(appended.is_err() || indexes > 1, "acknowledged without the index");
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn messages_that_are_stored_twice_are_named_and_keep_the_store_from_appending() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1), draft("alice", 2)]).await;
    let raw = messages(&database).await;
    raw.drop_indexes().await.unwrap();
    let twice = doc! { "_id": { "room": "r", "seq": 3_i64 }, "user": "alice", "id": "1", "body": "x", "at": 0_i64 };
    raw.insert_one(twice).await.unwrap();

    let named = "message `1` of user `alice` in room `r` is stored more than once (seq 1, 3)";
    let refused = store.ping().await.expect_err("it is not ready");
    assert!(chain(&refused).contains(named), "{}", chain(&refused));
    let appended = store.append(Arc::new([append("r", 3, vec![draft("alice", 4)])])).await;
    let Err(refused) = appended else { panic!("{appended:?}") };
    assert!(chain(&refused).contains(named) && !chain(&refused).contains("E11000"), "{}", chain(&refused));
    assert_eq!(store.span("r").await.unwrap().head, 3, "reading goes on");
    let Err(error) = MongoStore::open(database.uri()).await else { panic!("it opens with duplicates") };
    let StoreError::Duplicates { room, user, id, seqs, .. } = &error else { panic!("{error}") };
    assert_eq!((&**room, &**user, &**id, &**seqs), ("r", "alice", "1", "1, 3"));

    raw.delete_one(doc! { "_id.seq": 3_i64 }).await.unwrap();
    until_ready(&store).await;
    assert_eq!(until_stored(&store, 1).await, AppendResult::Duplicate(1));
}

#[tokio::test]
async fn an_index_that_is_not_unique_any_more_keeps_the_store_from_appending() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let raw = messages(&database).await;
    raw.drop_indexes().await.unwrap();
    let keys = doc! { "_id.room": 1, "user": 1, "id": 1 };
    raw.create_index(IndexModel::builder().keys(keys).build()).await.unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable { .. })));
    let appended = store.append(Arc::new([append("r", 0, vec![draft("alice", 1)])])).await;
    assert!(matches!(appended, Err(StoreError::Unavailable { .. })), "{appended:?}");
    raw.drop_indexes().await.unwrap();
    until_ready(&store).await;
    assert_eq!(until_stored(&store, 1).await, AppendResult::New(1));
}

/// Something that takes the log away under the stores that have it open.
async fn a_log_that_is_taken_away_begins_anew(take_away: impl AsyncFn(&mongodb::Database)) {
    let Some(database) = Database::fresh() else { return };
    let one = MongoStore::open(database.uri()).await.unwrap();
    let other = MongoStore::open(database.uri()).await.unwrap();
    assert_eq!(one.epoch(), other.epoch());
    let mut feed = one.follow().unwrap();
    assert_eq!(feed.next().await, Some(FeedEvent::Lagged));
    let _other_feed = other.follow().unwrap();
    store_all(&one, "r", 0, (0..7).map(|n| draft("alice", n)).collect()).await;
    assert_eq!(other.span("r").await.unwrap().head, 7);
    let before = one.epoch();

    take_away(&database.raw().await).await;
    let lagged = async {
        while one.epoch() == before || other.epoch() == before {
            sleep(Duration::from_millis(20)).await;
        }
        // Said at least once after the epoch has changed.
        while feed.next().await.expect("it goes on until it is closed") != FeedEvent::Lagged {}
    };
    timeout(LONG, lagged).await.expect("it is noticed");
    assert_eq!(one.epoch(), other.epoch(), "one of them decides");
    until_ready(&one).await;
    until_ready(&other).await;
    assert_eq!(until_stored(&one, 100).await, AppendResult::New(1), "nothing is known of the log as it was");
    assert_eq!(until_stored(&other, 101).await, AppendResult::New(2));
    assert_eq!(until_stored(&other, 100).await, AppendResult::Duplicate(1));
    assert_eq!(seqs(&everything(&one, "r").await), [1, 2]);
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_collection_that_was_dropped_begins_anew() {
    a_log_that_is_taken_away_begins_anew(async |database| {
        database.collection::<Document>("messages").drop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_collection_that_was_renamed_begins_anew() {
    a_log_that_is_taken_away_begins_anew(async |database| {
        let name = |collection| format!("{}.{collection}", database.name());
        let rename = doc! { "renameCollection": name("messages"), "to": name("old") };
        let client = database.client();
        client.database("admin").run_command(rename).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_collection_that_another_one_was_renamed_over_begins_anew() {
    a_log_that_is_taken_away_begins_anew(async |database| {
        database.create_collection("restored").await.unwrap();
        let name = |collection| format!("{}.{collection}", database.name());
        let rename = doc! { "renameCollection": name("restored"), "to": name("messages"), "dropTarget": true };
        database.client().database("admin").run_command(rename).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_database_that_was_dropped_begins_anew() {
    a_log_that_is_taken_away_begins_anew(async |database| database.drop().await.unwrap()).await;
}
