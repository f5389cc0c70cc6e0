//! The feed of what all processes append, over one change stream, and its lag.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
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
use super::guard::Guard;
use super::log::Log;
use super::{TIMEOUT, timed_out};

/// How often a process writes its tick. Each process receives its own ones only.
const TICK: Duration = Duration::from_secs(1);

/// A stream without even a tick for that long is opened again.
const SILENCE: Duration = Duration::from_secs(5);

/// The pause before that, and after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// How many messages are fetched at a time, and buffered for the reader.
const BATCH: u32 = 256;

/// The task behind a feed. Dropping it ends the feed.
pub(super) struct Following {
    task: JoinSet<()>,
    progress: Arc<Progress>,
}

/// How far the feed has come.
struct Progress {
    since: Instant,
    /// When the newest tick that was received was written, in milliseconds after `since`.
    newest: AtomicU64,
}

impl Following {
    pub(super) fn begin(database: &Database, log: Arc<Log>, guard: Arc<Guard>) -> (Self, Feed) {
        let progress = Arc::new(Progress { since: Instant::now(), newest: AtomicU64::new(0) });
        let (sender, mut events) = mpsc::channel(BATCH as usize);
        let process = ObjectId::new();
        let reader = ChangeStreamReader {
            database: database.clone(),
            log,
            guard,
            process,
            progress: Arc::clone(&progress),
            sender,
        };
        let ticking = tick(database.clone(), process, Arc::clone(&progress));
        let mut task = JoinSet::new();
        task.spawn(async move {
            select(pin!(reader.run()), pin!(ticking)).await;
        });
        (Self { task, progress }, poll_fn(move |cx| events.poll_recv(cx)).boxed())
    }

    pub(super) fn lag(&self) -> Duration {
        self.progress
            .since
            .elapsed()
            .saturating_sub(Duration::from_millis(self.progress.newest.load(Ordering::Relaxed)))
    }

    pub(super) async fn end(mut self) {
        self.task.shutdown().await;
    }
}

impl Progress {
    /// The moment up to which everything has been received.
    fn until(&self) -> Instant {
        self.since + Duration::from_millis(self.newest.load(Ordering::Relaxed))
    }
}

/// Writes ticks for ever. A tick that cannot be written is one that does not come back.
async fn tick(database: Database, process: ObjectId, progress: Arc<Progress>) {
    let ticks = database.collection::<Tick>(TICKS);
    let mut every = interval(TICK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let sent = i64::try_from(progress.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let tick = Tick { process, sent, at: DateTime::now() };
        let _ = timeout(TIMEOUT, ticks.replace_one(doc! { "_id": process }, tick).upsert(true)).await;
    }
}

struct ChangeStreamReader {
    database: Database,
    log: Arc<Log>,
    guard: Arc<Guard>,
    process: ObjectId,
    progress: Arc<Progress>,
    sender: mpsc::Sender<FeedEvent>,
}

/// A change.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "_id")]
    token: ResumeToken,
    #[serde(rename = "operationType")]
    operation: Operation,
    ns: Option<Namespace>,
    #[serde(rename = "fullDocument")]
    document: Option<RawDocumentBuf>,
}

#[derive(Debug, Deserialize)]
struct Namespace {
    coll: Option<String>,
}

/// The kinds of change that matter here.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Operation {
    Insert,
    Drop,
    Rename,
    DropDatabase,
    Invalidate,
    #[serde(other)]
    Other,
}

/// Why a stream was left.
enum Left {
    /// It was cut or silent, and can be resumed.
    Cut(Error),
    /// It cannot be resumed.
    Lost(Error),
    /// The receiver of the feed was dropped.
    Unwanted,
}

impl ChangeStreamReader {
    /// Opens the stream as often as it ends.
    async fn run(self) {
        let mut token = None;
        let mut failing = false;
        loop {
            let error = match self.read(&mut token, &mut failing).await {
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

    /// Opens the stream, after the token if there is one, and forwards its events until it ends or is silent.
    async fn read(&self, token: &mut Option<ResumeToken>, failing: &mut bool) -> Left {
        let mut stream = match timeout(TIMEOUT, self.open(token.clone())).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return left(error),
            Err(_) => return Left::Cut(timed_out().into()),
        };
        // After the stream was opened, so that nothing is missed in between.
        if token.is_none() && self.sender.send(FeedEvent::Lagged).await.is_err() {
            return Left::Unwanted;
        }
        *token = stream.resume_token().or(token.take());
        let mut epochs = self.guard.epochs();
        loop {
            let next = match select(pin!(timeout(SILENCE, stream.try_next())), pin!(epochs.changed())).await {
                Either::Left((next, _)) => next,
                Either::Right(_) => {
                    if self.sender.send(FeedEvent::Lagged).await.is_err() {
                        return Left::Unwanted;
                    }
                    continue;
                }
            };
            let event = match next {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Left::Lost(Error::custom("the change stream has ended")),
                Ok(Err(error)) => return left(error),
                Err(_) => return Left::Cut(timed_out().into()),
            };
            if std::mem::take(failing) {
                tracing::info!("the change stream goes on");
            }
            match self.event(&event.operation, event.ns, event.document) {
                Ok(Some(event)) => {
                    if self.sender.send(event).await.is_err() {
                        return Left::Unwanted;
                    }
                }
                Ok(None) => {}
                // Reading the store shows what is wrong.
                Err(error) => return Left::Lost(error),
            }
            *token = Some(event.token);
        }
    }

    async fn open(&self, token: Option<ResumeToken>) -> Result<ChangeStream<Event>> {
        let messages = doc! { "ns.coll": MESSAGES, "operationType": "insert" };
        let replaced = doc! {
            "operationType": { "$in": ["drop", "rename"] },
            "$or": [doc! { "ns.coll": MESSAGES }, doc! { "to.coll": MESSAGES }],
        };
        let ended = doc! { "operationType": { "$in": ["dropDatabase", "invalidate"] } };
        let own_ticks = doc! { "ns.coll": TICKS, "documentKey._id": self.process };
        let stream = self
            .database
            .watch()
            .pipeline([doc! { "$match": { "$or": [messages, own_ticks, replaced, ended] } }])
            .resume_after(token)
            .batch_size(BATCH)
            .await?;
        Ok(stream.with_type())
    }

    /// The event of the feed that follows from a change, if any.
    fn event(
        &self,
        operation: &Operation,
        ns: Option<Namespace>,
        document: Option<RawDocumentBuf>,
    ) -> Result<Option<FeedEvent>> {
        if !matches!(operation, Operation::Insert | Operation::Other) {
            // Heads that earlier events have shown may be those of a log that is gone.
            self.guard.forget();
            return Ok(Some(FeedEvent::Lagged));
        }
        let (Some(Namespace { coll: Some(collection) }), Some(document)) = (ns, document) else { return Ok(None) };
        if collection == TICKS {
            let tick: Tick = bson::deserialize_from_slice(document.as_bytes())?;
            self.progress.newest.fetch_max(tick.sent.try_into().unwrap_or(0), Ordering::Relaxed);
            return Ok(None);
        }
        let mut message: Message = bson::deserialize_from_slice(document.as_bytes())?;
        let room: Arc<str> = std::mem::take(&mut message.position.room).into();
        Ok(message.stored().map(|message| {
            self.log.heads.observe(&room, message.seq, self.progress.until());
            FeedEvent::Appended { room, message }
        }))
    }
}

/// An error of the server that is not marked as resumable concerns the token.
fn left(error: Error) -> Left {
    let refused = matches!(*error.kind, ErrorKind::Command(_)) && !error.contains_label(RESUMABLE_CHANGE_STREAM_ERROR);
    if refused { Left::Lost(error) } else { Left::Cut(error) }
}
