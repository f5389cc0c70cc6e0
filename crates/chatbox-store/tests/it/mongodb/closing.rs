//! Servers that do not answer: every call ends all the same, and so does closing.

use std::sync::Arc;
use std::time::Duration;

use chatbox_store::{FeedEvent, MongoStore, Store, StoreError};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::database::Database;
use super::proxy::Proxy;
use chatbox_store::conformance::support::{append, before, draft, store_all};

/// More than the 3 s that a call may take, less than what the service has for its whole end.
const BOUND: Duration = Duration::from_secs(5);

async fn frozen() -> Option<(MongoStore, Proxy, Database)> {
    let database = Database::fresh()?;
    let proxy = Proxy::before(database.server()).await;
    let store = MongoStore::open(&database.through(proxy.address())).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    let mut feed = store.follow().unwrap();
    assert_eq!(feed.next().await, Some(FeedEvent::Lagged));
    proxy.freeze();
    Some((store, proxy, database))
}

fn is_unavailable<T>(answer: Result<Result<T, StoreError>, tokio::time::error::Elapsed>) -> bool {
    matches!(answer.expect("a call is bounded"), Err(StoreError::Unavailable { store: "mongodb", .. }))
}

#[tokio::test]
async fn every_call_fails_in_time_while_the_server_is_frozen_and_works_again_afterwards() {
    let Some((store, proxy, _database)) = frozen().await else { return };
    let batch: Arc<[_]> = Arc::from([append("r", 1, vec![draft("alice", 2)])]);
    let (appended, span, read, expired, pinged) = tokio::join!(
        timeout(BOUND, store.append(batch.clone())),
        timeout(BOUND, store.span("r")),
        timeout(BOUND, store.read("r", 0, 1)),
        timeout(BOUND, store.expire(before(0))),
        timeout(BOUND, store.ping()),
    );
    assert!(is_unavailable(appended) && is_unavailable(span) && is_unavailable(read));
    assert!(is_unavailable(expired) && is_unavailable(pinged));
    proxy.thaw();
    let recovered = async { while store.ping().await.is_err() {} };
    timeout(Duration::from_secs(60), recovered).await.expect("the server answers again");
    store.span("r").await.unwrap();
}

#[tokio::test]
async fn closing_is_bounded_while_the_server_is_frozen_and_calls_are_under_way() {
    let Some((store, _proxy, _database)) = frozen().await else { return };
    let (closed, pinged) = tokio::join!(timeout(BOUND, store.close()), store.ping());
    closed.expect("closing is bounded").unwrap();
    assert!(matches!(pinged, Err(StoreError::Unavailable { .. } | StoreError::Closed)));
    assert!(matches!(store.ping().await, Err(StoreError::Closed)));
    assert!(store.follow().is_none());
}

#[tokio::test]
async fn closing_ends_the_feed() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let feed = store.follow().unwrap();
    store.close().await.unwrap();
    timeout(BOUND, feed.collect::<Vec<_>>()).await.expect("a feed ends when its store is closed");
}
