//! The feed of what all processes append, and its lag.

use std::time::Duration;

use chatbox_store::{Feed, FeedEvent, MongoStore, Store};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::database::Database;
use super::proxy::Proxy;
use chatbox_store::conformance::support::{draft, store_all};

/// Long enough for streams to be opened anew.
const LONG: Duration = Duration::from_secs(30);

async fn next(feed: &mut Feed) -> FeedEvent {
    timeout(LONG, feed.next()).await.expect("an event comes").expect("a feed goes on until it is closed")
}

/// The `seq` of the messages that come next, up to one of them. Repeated ones are skipped.
async fn seqs_until(feed: &mut Feed, until: u64) -> Vec<u64> {
    let mut seqs: Vec<u64> = Vec::new();
    while seqs.last() != Some(&until) {
        let FeedEvent::Appended { room, message } = next(feed).await else { panic!("nothing was missed") };
        assert_eq!((&*room, &*message.body), ("r", &*format!("body of {}", message.id)));
        if seqs.last().is_none_or(|&last| message.seq > last) {
            seqs.push(message.seq);
        }
    }
    seqs
}

async fn until_lag(store: &MongoStore, is: impl Fn(Duration) -> bool) {
    let waiting = async {
        while !is(store.lag().expect("it is followed")) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, waiting).await.expect("the lag changes");
}

#[tokio::test]
async fn a_feed_yields_in_order_what_all_processes_append() {
    let Some(database) = Database::fresh() else { return };
    let one = MongoStore::open(database.uri()).await.unwrap();
    let other = MongoStore::open(database.uri()).await.unwrap();
    assert_eq!(one.lag(), None);
    let (mut first, mut second) = (one.follow().unwrap(), other.follow().unwrap());
    assert_eq!((next(&mut first).await, next(&mut second).await), (FeedEvent::Lagged, FeedEvent::Lagged));
    store_all(&one, "r", 0, (1..=5).map(|n| draft("alice", n)).collect()).await;
    assert_eq!(other.span("r").await.unwrap().head, 5);
    store_all(&other, "r", 5, (1..=5).map(|n| draft("bob", n)).collect()).await;
    let all: Vec<u64> = (1..=10).collect();
    assert_eq!(seqs_until(&mut first, 10).await, all);
    assert_eq!(seqs_until(&mut second, 10).await, all);
}

#[tokio::test]
async fn a_second_feed_of_a_store_ends_the_first() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let first = store.follow().unwrap();
    let mut second = store.follow().unwrap();
    timeout(LONG, first.collect::<Vec<_>>()).await.expect("the first one ends");
    assert_eq!(next(&mut second).await, FeedEvent::Lagged);
}

#[tokio::test]
async fn a_feed_whose_connections_were_cut_is_resumed() {
    let Some(database) = Database::fresh() else { return };
    let proxy = Proxy::before(database.server()).await;
    let follower = MongoStore::open(&database.through(proxy.address())).await.unwrap();
    let writer = MongoStore::open(database.uri()).await.unwrap();
    let mut feed = follower.follow().unwrap();
    assert_eq!(next(&mut feed).await, FeedEvent::Lagged);
    for round in 0..5_u64 {
        proxy.cut();
        store_all(&writer, "r", 2 * round, vec![draft("alice", 2 * round)]).await;
        proxy.freeze();
        store_all(&writer, "r", 2 * round + 1, vec![draft("alice", 2 * round + 1)]).await;
        proxy.cut();
        proxy.thaw();
        assert_eq!(seqs_until(&mut feed, 2 * round + 2).await, [2 * round + 1, 2 * round + 2]);
    }
}

#[tokio::test]
async fn a_feed_that_cannot_be_resumed_lags() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let mut feed = store.follow().unwrap();
    assert_eq!(next(&mut feed).await, FeedEvent::Lagged);
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    assert_eq!(seqs_until(&mut feed, 1).await, [1]);
    // Its stream ends with the database, and no token leads beyond that.
    database.raw().await.drop().await.unwrap();
    assert_eq!(next(&mut feed).await, FeedEvent::Lagged);
    let stored = async { while store.ping().await.is_err() {} };
    timeout(LONG, stored).await.expect("what it needs is made again");
    // It may be said more than once: of each collection, of the new epoch, and when the stream is opened again.
    for head in 0.. {
        store_all(&store, "s", head, vec![draft("alice", head)]).await;
        if matches!(next(&mut feed).await, FeedEvent::Appended { .. }) {
            break;
        }
    }
}

#[tokio::test]
async fn lag_grows_while_the_server_is_frozen() {
    let Some(database) = Database::fresh() else { return };
    let proxy = Proxy::before(database.server()).await;
    let store = MongoStore::open(&database.through(proxy.address())).await.unwrap();
    let mut feed = store.follow().unwrap();
    assert_eq!(next(&mut feed).await, FeedEvent::Lagged);
    let second = Duration::from_secs(1);
    until_lag(&store, |lag| lag < second).await;
    proxy.freeze();
    until_lag(&store, |lag| lag > 4 * second).await;
    proxy.thaw();
    until_lag(&store, |lag| lag < second).await;
}

#[tokio::test]
async fn lag_grows_while_the_feed_is_not_read() {
    let Some(database) = Database::fresh() else { return };
    let store = MongoStore::open(database.uri()).await.unwrap();
    let mut feed = store.follow().unwrap();
    let second = Duration::from_secs(1);
    until_lag(&store, |lag| lag < second).await;
    // More than the feed holds for its reader.
    store_all(&store, "r", 0, (1..=600).map(|n| draft("alice", n)).collect()).await;
    until_lag(&store, |lag| lag > 3 * second).await;
    assert_eq!(next(&mut feed).await, FeedEvent::Lagged);
    assert_eq!(seqs_until(&mut feed, 600).await.len(), 600);
    until_lag(&store, |lag| lag < second).await;
}
