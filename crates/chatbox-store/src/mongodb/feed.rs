//! What all processes append, heard through one change stream, and whether it is heard in time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::select;
use futures_util::stream::poll_fn;
use futures_util::{StreamExt, TryStreamExt};
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{self, DateTime, RawDocumentBuf, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ResumeToken;
use mongodb::error::{Error, ErrorKind, RESUMABLE_CHANGE_STREAM_ERROR, Result};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::{Feed, FeedEvent};

use super::documents::{MESSAGES, Message, TICKS, Tick};
use super::log::Log;
use super::{TIMEOUT, timed_out};

/// How often a process writes its tick. All hear theirs only, but the server looks at each for each.
const TICK: Duration = Duration::from_secs(1);

/// After that long without even a tick the stream is opened anew.
const SILENCE: Duration = Duration::from_secs(5);

/// The pause before that, and after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// How many messages are fetched at a time, and wait for the reader at most.
const BATCH: u32 = 256;

/// The task behind a feed. Dropping it ends the feed.
pub(super) struct Following {
    task: JoinSet<()>,
    heard: Arc<Heard>,
}

/// How late the feed is.
struct Heard {
    since: Instant,
    /// When the newest tick that came back was written, in milliseconds after `since`.
    newest: AtomicU64,
}

impl Following {
    pub(super) fn begin(database: &Database, log: Arc<Log>) -> (Self, Feed) {
        let heard = Arc::new(Heard { since: Instant::now(), newest: AtomicU64::new(0) });
        let (sender, mut news) = mpsc::channel(BATCH as usize);
        let process = ObjectId::new();
        let ears = ChangeStreamReader { database: database.clone(), log, process, heard: Arc::clone(&heard), sender };
        let ticking = tick(database.clone(), process, Arc::clone(&heard));
        let mut task = JoinSet::new();
        task.spawn(async move {
            select(pin!(ears.listen()), pin!(ticking)).await;
        });
        (Self { task, heard }, poll_fn(move |cx| news.poll_recv(cx)).boxed())
    }

    pub(super) fn lag(&self) -> Duration {
        self.heard.since.elapsed().saturating_sub(Duration::from_millis(self.heard.newest.load(Ordering::Relaxed)))
    }

    pub(super) async fn end(mut self) {
        self.task.shutdown().await;
    }
}

impl Heard {
    /// The moment up to which everything has been heard.
    fn until(&self) -> Instant {
        self.since + Duration::from_millis(self.newest.load(Ordering::Relaxed))
    }
}

/// Writes ticks for ever. One that is not written is not heard, which tells enough.
async fn tick(database: Database, process: ObjectId, heard: Arc<Heard>) {
    let ticks = database.collection::<Tick>(TICKS);
    let mut every = interval(TICK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let sent = i64::try_from(heard.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let tick = Tick { process, sent, at: DateTime::now() };
        let _ = timeout(TIMEOUT, ticks.replace_one(doc! { "_id": process }, tick).upsert(true)).await;
    }
}

struct ChangeStreamReader {
    database: Database,
    log: Arc<Log>,
    process: ObjectId,
    heard: Arc<Heard>,
    sender: mpsc::Sender<FeedEvent>,
}

/// Something that has changed.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "_id")]
    token: ResumeToken,
    ns: Option<Namespace>,
    #[serde(rename = "fullDocument")]
    document: Option<RawDocumentBuf>,
}

#[derive(Debug, Deserialize)]
struct Namespace {
    coll: Option<String>,
}

/// Why a stream was left.
enum Left {
    /// It was cut or silent, and goes on where it was.
    Cut(Error),
    /// It cannot go on.
    Lost(Error),
    /// Nobody listens any more.
    Unwanted,
}

impl ChangeStreamReader {
    /// Opens the stream as often as it ends.
    async fn listen(self) {
        let mut token = None;
        let mut failing = false;
        loop {
            let error = match self.hear(&mut token, &mut failing).await {
                Left::Cut(error) => error,
                Left::Lost(error) => {
                    token = None;
                    error
                }
                Left::Unwanted => return,
            };
            if !failing {
                tracing::warn!(%error, resumes = token.is_some(), "the change stream was cut");
            }
            failing = true;
            sleep(PAUSE).await;
        }
    }

    /// Opens the stream, behind the token if there is one, and tells what comes as long as something comes.
    async fn hear(&self, token: &mut Option<ResumeToken>, failing: &mut bool) -> Left {
        let mut stream = match timeout(TIMEOUT, self.open(token.clone())).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return left(error),
            Err(_) => return Left::Cut(timed_out().into()),
        };
        // Said after it was opened, so that nothing falls between.
        if token.is_none() && self.sender.send(FeedEvent::Lagged).await.is_err() {
            return Left::Unwanted;
        }
        *token = stream.resume_token().or(token.take());
        loop {
            let event = match timeout(SILENCE, stream.try_next()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Left::Lost(Error::custom("the change stream has ended")),
                Ok(Err(error)) => return left(error),
                Err(_) => return Left::Cut(timed_out().into()),
            };
            if std::mem::take(failing) {
                tracing::info!("the change stream goes on");
            }
            match self.understand(event.ns, event.document) {
                Ok(Some(news)) => {
                    if self.sender.send(news).await.is_err() {
                        return Left::Unwanted;
                    }
                }
                Ok(None) => {}
                // Whoever reads the store will be told what is wrong there.
                Err(error) => return Left::Lost(error),
            }
            *token = Some(event.token);
        }
    }

    async fn open(&self, token: Option<ResumeToken>) -> Result<ChangeStream<Event>> {
        let messages = doc! { "ns.coll": MESSAGES, "operationType": "insert" };
        let own_ticks = doc! { "ns.coll": TICKS, "documentKey._id": self.process };
        let stream = self
            .database
            .watch()
            .pipeline([doc! { "$match": { "$or": [messages, own_ticks] } }])
            .resume_after(token)
            .batch_size(BATCH)
            .await?;
        Ok(stream.with_type())
    }

    fn understand(&self, ns: Option<Namespace>, document: Option<RawDocumentBuf>) -> Result<Option<FeedEvent>> {
        let (Some(Namespace { coll: Some(collection) }), Some(document)) = (ns, document) else { return Ok(None) };
        if collection == TICKS {
            let tick: Tick = bson::deserialize_from_slice(document.as_bytes())?;
            self.heard.newest.fetch_max(tick.sent.try_into().unwrap_or(0), Ordering::Relaxed);
            return Ok(None);
        }
        let mut message: Message = bson::deserialize_from_slice(document.as_bytes())?;
        let room: Arc<str> = std::mem::take(&mut message.position.room).into();
        Ok(message.stored().map(|message| {
            self.log.heads.hear(&room, message.seq, self.heard.until());
            FeedEvent::Appended { room, message }
        }))
    }
}

/// What the server says against a stream, and does not call a passing trouble, it says against the token.
fn left(error: Error) -> Left {
    let refused = matches!(*error.kind, ErrorKind::Command(_)) && !error.contains_label(RESUMABLE_CHANGE_STREAM_ERROR);
    if refused { Left::Lost(error) } else { Left::Cut(error) }
}
