//! The memory store: conformance, and what it forgets.

use std::sync::Arc;
use std::time::Duration;

use chatbox_store::{AppendResult, Feed, FeedEvent, MemoryStore, Span, Store};
use futures_util::StreamExt;

use chatbox_store::conformance::support::{draft, store_all};

async fn open() -> Option<(Arc<dyn Store>, ())> {
    Some((Arc::new(MemoryStore::new()), ()))
}

chatbox_store::conformance_tests!(open);

#[tokio::test]
async fn only_the_newest_messages_are_kept() {
    let store = MemoryStore::new();
    store_all(&store, "r", 0, (1..=1500).map(|n| draft("alice", n)).collect()).await;
    assert_eq!(store.span("r").await.unwrap(), Span { first: 501, head: 1500 });
    assert_eq!(store.read("r", 0, 1).await.unwrap().messages[0].seq, 501);
    assert_eq!(store.read("r", 600, 1).await.unwrap().messages[0].seq, 601);
    let results = store_all(&store, "r", 1500, vec![draft("alice", 501), draft("alice", 500)]).await;
    assert_eq!(results, [AppendResult::Duplicate(501), AppendResult::New(1501)]);
}

async fn next(feed: &mut Feed) -> FeedEvent {
    feed.next().await.expect("a feed ends when its store is closed")
}

/// The ids and sequence numbers of the next messages of a feed.
async fn received(feed: &mut Feed, count: usize) -> Vec<(Box<str>, u64)> {
    let mut received = Vec::new();
    for _ in 0..count {
        let FeedEvent::Appended { message, .. } = next(feed).await else { panic!("nothing was missed") };
        received.push((message.id, message.seq));
    }
    received
}

#[tokio::test]
async fn a_store_with_a_log_of_its_own_has_no_feed() {
    let store = MemoryStore::new();
    assert!(store.follow().is_none());
    assert_eq!(store.lag(), None);
}

#[tokio::test]
async fn replicas_follow_what_all_of_them_append() {
    let replicas = MemoryStore::replicas(2);
    assert_eq!(replicas[0].lag(), None);
    let mut feeds: Vec<_> = replicas.iter().map(|replica| replica.follow().unwrap()).collect();
    assert_eq!(replicas[0].lag(), Some(Duration::ZERO));
    store_all(&replicas[0], "r", 0, vec![draft("alice", 1), draft("alice", 1)]).await;
    store_all(&replicas[1], "r", 1, vec![draft("alice", 2)]).await;
    for feed in &mut feeds {
        assert_eq!(next(feed).await, FeedEvent::Lagged);
        assert_eq!(received(feed, 2).await, [("1".into(), 1), ("2".into(), 2)]);
    }
    replicas[0].close().await.unwrap();
    assert_eq!(feeds[0].next().await, None);
    store_all(&replicas[1], "r", 2, vec![draft("alice", 3)]).await;
    assert_eq!(received(&mut feeds[1], 1).await, [("3".into(), 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_was_paused_continues_or_lags() {
    let replicas = MemoryStore::replicas(2);
    let mut feed = replicas[1].follow().unwrap();
    assert_eq!(next(&mut feed).await, FeedEvent::Lagged);
    replicas[1].pause_feed();
    store_all(&replicas[0], "r", 0, vec![draft("alice", 1)]).await;
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(replicas[1].lag(), Some(Duration::from_secs(3)));
    replicas[1].resume_feed();
    assert_eq!(replicas[1].lag(), Some(Duration::ZERO));
    assert_eq!(received(&mut feed, 1).await, [("1".into(), 1)]);

    replicas[1].pause_feed();
    store_all(&replicas[0], "r", 1, vec![draft("alice", 2)]).await;
    replicas[1].resume_feed_lagged();
    store_all(&replicas[0], "r", 2, vec![draft("alice", 3)]).await;
    assert_eq!(next(&mut feed).await, FeedEvent::Lagged);
    assert_eq!(received(&mut feed, 1).await, [("3".into(), 3)]);
}
