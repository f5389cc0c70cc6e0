//! Stores of several processes over one log, with the faults of a network and of other writers.

use chatbox_store::{
    Append, Appended, BoxFuture, Cutoff, Draft, Feed, FeedEvent, MemoryStore, Page, Span, Store, StoreError,
};
use futures_util::StreamExt;
use futures_util::stream::iter;
use std::collections::VecDeque;
use std::future::ready;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// The outcome of one append.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It takes these times to reach the store, and to be answered, in milliseconds.
    Takes(u64, u64),
    /// It is not stored, and answered with an error.
    Fails,
    /// It is stored, and answered with an error.
    StoredAndFails,
    /// It is answered with an error, and reaches the store so many milliseconds later.
    FailsAndArrives(u64),
    /// Another process appends first, after this many of its messages.
    Conflicts(usize),
}

/// One of several stores over one log. Each append has a fate.
pub(crate) struct ReplicaStore {
    pub(crate) inner: Arc<MemoryStore>,
    /// The same for all.
    epoch: Arc<Mutex<Arc<str>>>,
    fates: Mutex<VecDeque<Fate>>,
    /// How long the answer to `span` takes, in milliseconds.
    pub(crate) span_takes: AtomicU64,
    /// While set, the feed drops events without a sign.
    pub(crate) feed_drops: Arc<AtomicBool>,
    /// After how many events the feed repeats the latest ones; 0: never.
    repeats: u64,
}

impl ReplicaStore {
    /// Stores over one log.
    pub(crate) fn replicas(count: usize, repeats: u64) -> Vec<Arc<Self>> {
        let epoch = Arc::new(Mutex::new("epoch 0".into()));
        let store = |inner| {
            let (fates, span_takes, feed_drops) = (Mutex::default(), AtomicU64::new(0), Arc::default());
            Arc::new(Self { inner: Arc::new(inner), epoch: Arc::clone(&epoch), fates, span_takes, feed_drops, repeats })
        };
        MemoryStore::replicas(count).into_iter().map(store).collect()
    }

    /// Restores a backup in which a room had this head. Gives the log a new epoch, if one is named, and has the feeds lag.
    pub(crate) fn restore(stores: &[Arc<Self>], room: &str, head: u64, epoch: Option<&str>) {
        stores[0].inner.truncate(room, head);
        if let Some(epoch) = epoch {
            *stores[0].epoch.lock().unwrap() = epoch.into();
        }
        for store in stores {
            store.inner.pause_feed();
            store.inner.resume_feed_lagged();
        }
    }

    /// Sets the fate of the next append that has none yet.
    pub(crate) fn next(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    /// From now on appends have no faults.
    pub(crate) fn calm(&self) {
        self.fates.lock().unwrap().clear();
    }

    /// Stores the first messages of each append, then a message of another process.
    async fn conflict(&self, batch: &[Append], count: usize) -> Result<Vec<Appended>, StoreError> {
        static OTHERS: AtomicU64 = AtomicU64::new(0);
        let mut answers = Vec::new();
        for append in batch {
            let mut first = append.clone();
            first.messages.truncate(count);
            let answer = self.one(first).await?;
            let (Appended::All(placed), true) = (&answer, count < append.messages.len()) else {
                answers.push(answer);
                continue;
            };
            let head = self.inner.span(&append.room).await?.head;
            let id = OTHERS.fetch_add(1, Ordering::Relaxed).to_string().into();
            let theirs = Draft { user: "other".into(), id, body: "process".into(), at_ms: 0 };
            self.one(Append { room: append.room.clone(), expected_head: head, messages: vec![theirs] }).await?;
            let (placed, head) = (placed.clone(), head + 1);
            answers.push(if placed.is_empty() {
                Appended::HeadMoved { head }
            } else {
                Appended::Partly { results: placed, head }
            });
        }
        Ok(answers)
    }

    async fn one(&self, append: Append) -> Result<Appended, StoreError> {
        Ok(self.inner.append(Arc::new([append])).await?.remove(0))
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { store: "replica", source: Arc::new(io::Error::other("not now")) }
}

impl Store for ReplicaStore {
    fn name(&self) -> &'static str {
        "replica"
    }

    fn epoch(&self) -> Arc<str> {
        Arc::clone(&self.epoch.lock().unwrap())
    }

    fn append(&self, batch: Arc<[Append]>) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Takes(0, 0));
        Box::pin(async move {
            match fate {
                Fate::Takes(there, back) => {
                    if there + back == 0 {
                        return self.inner.append(batch).await;
                    }
                    sleep(Duration::from_millis(there)).await;
                    let answer = self.inner.append(batch).await;
                    sleep(Duration::from_millis(back)).await;
                    answer
                }
                Fate::Fails => Err(unavailable()),
                Fate::StoredAndFails => self.inner.append(batch).await.and(Err(unavailable())),
                Fate::FailsAndArrives(later) => {
                    let inner = Arc::clone(&self.inner);
                    tokio::spawn(async move {
                        sleep(Duration::from_millis(later)).await;
                        let _ = inner.append(batch).await;
                    });
                    Err(unavailable())
                }
                Fate::Conflicts(count) => self.conflict(&batch, count).await,
            }
        })
    }

    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>> {
        let answer = self.inner.span(room);
        Box::pin(async move {
            let answer = answer.await;
            sleep(Duration::from_millis(self.span_takes.load(Ordering::Relaxed))).await;
            answer
        })
    }

    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.inner.read(room, after, limit)
    }

    fn expire(&self, cutoff: Cutoff) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.expire(cutoff)
    }

    fn follow(&self) -> Option<Feed> {
        let (repeats, mut count, mut latest) = (self.repeats, 0, VecDeque::new());
        let drops = Arc::clone(&self.feed_drops);
        let events = self.inner.follow()?.filter(move |_| ready(!drops.load(Ordering::Relaxed)));
        let repeat = move |event: FeedEvent| {
            count += 1;
            latest.push_back(event.clone());
            if latest.len() > 4 {
                latest.pop_front();
            }
            let repeated: Vec<FeedEvent> =
                if repeats > 0 && count % repeats == 0 { latest.iter().cloned().collect() } else { Vec::new() };
            iter(std::iter::once(event).chain(repeated))
        };
        Some(events.flat_map(repeat).boxed())
    }

    fn lag(&self) -> Option<Duration> {
        self.inner.lag()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.ping()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}
