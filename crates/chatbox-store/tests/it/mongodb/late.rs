//! Appends that were dropped half-way, and that arrive after others have appended.

use std::sync::Arc;
use std::time::Duration;

use chatbox_store::{AppendResult, Appended, MongoStore, Store};
use tokio::time::timeout;

use super::database::Database;
use super::proxy::Proxy;
use chatbox_store::conformance::support::{append, draft, everything, insist, seqs, store_all};

/// Has one process give up an append that is on its way.
async fn give_up(database: &Database, proxy: &Proxy, ids: &[u32]) {
    let store = MongoStore::open(&database.through(proxy.address())).await.unwrap();
    assert_eq!(store.span("r").await.unwrap().head, 1);
    proxy.hold_inserts();
    let batch = Arc::from([append("r", 1, ids.iter().map(|id| draft("alice", id)).collect())]);
    let gave_up = timeout(Duration::from_millis(200), store.append(batch)).await;
    assert!(gave_up.is_err(), "nothing gets through");
}

async fn ids(store: &dyn Store) -> Vec<Box<str>> {
    let all = everything(store, "r").await;
    assert_eq!(seqs(&all), (1..=all.len() as u64).collect::<Vec<_>>());
    all.into_iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn a_late_append_stores_nothing_behind_messages_that_were_appended_meanwhile() {
    let Some(database) = Database::fresh() else { return };
    let proxy = Proxy::before(database.server()).await;
    let store = MongoStore::open(database.uri()).await.unwrap();
    store_all(&store, "r", 0, vec![draft("bob", 1)]).await;
    give_up(&database, &proxy, &[7, 8]).await;
    store_all(&store, "r", 1, vec![draft("bob", 2)]).await;
    proxy.thaw();
    proxy.late_insert().await;
    assert_eq!(ids(&store).await, ["1".into(), "2".into()]);
    // Sent again, the messages that were given up get the next sequence numbers.
    let results = store_all(&store, "r", 2, vec![draft("alice", 7), draft("alice", 8)]).await;
    assert_eq!(results, [AppendResult::New(3), AppendResult::New(4)]);
}

#[tokio::test]
async fn a_late_append_is_stored_if_its_seq_is_still_the_next() {
    let Some(database) = Database::fresh() else { return };
    let proxy = Proxy::before(database.server()).await;
    let store = MongoStore::open(database.uri()).await.unwrap();
    store_all(&store, "r", 0, vec![draft("bob", 1)]).await;
    give_up(&database, &proxy, &[7, 8]).await;
    proxy.thaw();
    proxy.late_insert().await;
    assert_eq!(ids(&store).await, ["1".into(), "7".into(), "8".into()]);
    assert_eq!(insist(&store, "r", draft("alice", 8)).await, AppendResult::Duplicate(3));
    assert_eq!(insist(&store, "r", draft("bob", 2)).await, AppendResult::New(4));
}

#[tokio::test]
async fn a_late_append_stores_no_id_that_was_stored_meanwhile() {
    let Some(database) = Database::fresh() else { return };
    let proxy = Proxy::before(database.server()).await;
    let store = MongoStore::open(database.uri()).await.unwrap();
    store_all(&store, "r", 0, vec![draft("bob", 1)]).await;
    give_up(&database, &proxy, &[7, 8, 9]).await;
    // The second of the late ones is stored already, and in the place of the first.
    store_all(&store, "r", 1, vec![draft("alice", 8)]).await;
    proxy.thaw();
    proxy.late_insert().await;
    assert_eq!(ids(&store).await, ["1".into(), "8".into()]);
}

#[tokio::test]
async fn an_append_at_a_stale_head_stores_nothing() {
    let Some(database) = Database::fresh() else { return };
    let one = MongoStore::open(database.uri()).await.unwrap();
    let other = MongoStore::open(database.uri()).await.unwrap();
    store_all(&one, "r", 0, vec![draft("alice", 1)]).await;
    store_all(&other, "r", 1, vec![draft("bob", 1)]).await;
    // One message is known to this process, and three are taken since.
    store_all(&other, "r", 2, vec![draft("bob", 2), draft("bob", 3)]).await;
    let batch = Arc::from([append("r", 1, vec![draft("alice", 2)]), append("s", 0, vec![draft("alice", 2)])]);
    let appended = one.append(batch).await.unwrap();
    assert_eq!(appended, [Appended::HeadMoved { head: 4 }, Appended::All(vec![AppendResult::New(1)])]);
}

#[tokio::test]
async fn an_append_of_more_than_one_insert_is_stored_whole() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let drafts: Vec<_> = (0..600).map(|n| draft("alice", n % 550)).collect();
    let results = store_all(&store, "r", 0, drafts).await;
    assert_eq!(results[..550], (1..=550).map(AppendResult::New).collect::<Vec<_>>());
    assert_eq!(results[550..], (1..=50).map(AppendResult::Duplicate).collect::<Vec<_>>());
}

#[tokio::test]
async fn duplicates_among_new_messages_are_recognised() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    store_all(&store, "r", 0, (0..100).map(|n| draft("alice", 3 * n)).collect()).await;
    let results = store_all(&store, "r", 100, (0..40).map(|n| draft("alice", n)).collect()).await;
    let mut fresh = (101..).map(AppendResult::New);
    for (n, results) in results.into_iter().enumerate() {
        let expected = if n % 3 == 0 { AppendResult::Duplicate(n as u64 / 3 + 1) } else { fresh.next().unwrap() };
        assert_eq!(results, expected);
    }
}
