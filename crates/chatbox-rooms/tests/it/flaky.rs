//! One of several stores over one log, which does what the network and the others do to one.

use chatbox_store::{
    Append, Appended, BoxFuture, Draft, Feed, FeedEvent, MemoryStore, Span, Store, StoreError, Stored,
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

/// What happens to one append.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It takes this long on its way there, and back.
    Takes(u64, u64),
    /// It is not stored, and answered with an error.
    Lost,
    /// It is stored, and answered with an error.
    Unanswered,
    /// It is answered with an error, and arrives this much later.
    Stray(u64),
    /// Somebody else is faster, after this many of its messages.
    Outrun(usize),
}

/// A store whose appends have a fate each.
pub(crate) struct Flaky {
    pub(crate) inner: Arc<MemoryStore>,
    fates: Mutex<VecDeque<Fate>>,
    /// How long answers about a room's span are on their way, in milliseconds.
    pub(crate) span_takes: AtomicU64,
    /// Its feed loses what is told now, and does not say so.
    pub(crate) deaf: Arc<AtomicBool>,
    /// After how much news the latest is told again; 0: never.
    repeats: u64,
}

impl Flaky {
    /// Stores over one log.
    pub(crate) fn replicas(count: usize, repeats: u64) -> Vec<Arc<Self>> {
        let flaky = |inner| {
            let (fates, span_takes, deaf) = (Mutex::default(), AtomicU64::new(0), Arc::default());
            Arc::new(Self { inner: Arc::new(inner), fates, span_takes, deaf, repeats })
        };
        MemoryStore::replicas(count).into_iter().map(flaky).collect()
    }

    /// What happens to the next append that has no fate yet.
    pub(crate) fn next(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    pub(crate) fn calm(&self) {
        self.fates.lock().unwrap().clear();
    }

    /// Stores the first messages of each append, and then one of somebody else's.
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
            let theirs = Draft { user: "somebody".into(), id, body: "else".into(), at_ms: 0 };
            self.one(Append { room: append.room.clone(), expected_head: head, messages: vec![theirs] }).await?;
            let (placed, head) = (placed.clone(), head + 1);
            answers.push(if placed.is_empty() {
                Appended::HeadMoved { head }
            } else {
                Appended::Partly { placed, head }
            });
        }
        Ok(answers)
    }

    async fn one(&self, append: Append) -> Result<Appended, StoreError> {
        Ok(self.inner.append(Arc::new([append])).await?.remove(0))
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { store: "flaky", source: Arc::new(io::Error::other("not now")) }
}

impl Store for Flaky {
    fn name(&self) -> &'static str {
        "flaky"
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
                Fate::Lost => Err(unavailable()),
                Fate::Unanswered => self.inner.append(batch).await.and(Err(unavailable())),
                Fate::Stray(later) => {
                    let inner = Arc::clone(&self.inner);
                    tokio::spawn(async move {
                        sleep(Duration::from_millis(later)).await;
                        let _ = inner.append(batch).await;
                    });
                    Err(unavailable())
                }
                Fate::Outrun(count) => self.conflict(&batch, count).await,
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

    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Stored>, StoreError>> {
        self.inner.read(room, after, limit)
    }

    fn find(&self, room: &str, user: &str, id: &str) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        self.inner.find(room, user, id)
    }

    fn expire(&self, before_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.expire(before_ms)
    }

    fn follow(&self) -> Option<Feed> {
        let (repeats, mut told, mut latest) = (self.repeats, 0, VecDeque::new());
        let deaf = Arc::clone(&self.deaf);
        let heard = self.inner.follow()?.filter(move |_| ready(!deaf.load(Ordering::Relaxed)));
        let again = move |news: FeedEvent| {
            told += 1;
            latest.push_back(news.clone());
            if latest.len() > 4 {
                latest.pop_front();
            }
            let repeated: Vec<FeedEvent> =
                if repeats > 0 && told % repeats == 0 { latest.iter().cloned().collect() } else { Vec::new() };
            iter(std::iter::once(news).chain(repeated))
        };
        Some(heard.flat_map(again).boxed())
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
