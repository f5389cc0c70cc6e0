//! A store in MongoDB: one log that many processes append to and follow.

mod append;
mod backend;
mod connect;
mod documents;
mod expire;
mod feed;
mod guard;
mod heads;
mod log;
mod schema;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::{Client, Database};
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{Append, Appended, BoxFuture, Cutoff, Feed, Page, Span, Store, StoreError};

pub(crate) use self::backend::Backend;
use self::connect::Connection;
use self::documents::META;
use self::feed::Following;
use self::guard::Guard;
use self::log::Log;

/// A store in a MongoDB replica set, for services that run as many processes.
///
/// When [`append`](Store::append) returns, its messages are written by a majority of the members, in their journals; only such
/// messages are read. Neither is lost with a primary. Write concern, read concern and read preference are therefore not taken
/// from the connection string; everything else is. By default, connecting and selecting a server take at most 1 s, and the
/// members are looked at every second.
///
/// The messages are in the collection `messages`, as `{_id: {room, seq}, user, id, body, at}` with `at` in milliseconds since the
/// Unix epoch. `meta` holds the version of that schema and the log's epoch, `ticks` one document for each process that
/// [follows](Store::follow), written every second: the [lag](Store::lag) of a process is the age of its newest tick that came
/// back through its feed.
///
/// The indexes, the collections, the epoch and the server's clock are verified once a second and at each
/// [`ping`](Store::ping). What is missing is made again; until then appends fail. A collection that was dropped, renamed or
/// restored is another log, and begins a new epoch.
///
/// Every call ends within 3 s, and [`close`](Store::close) within 4 s, even if the servers are gone or frozen. After an error, or a
/// future that was dropped, an append may still arrive. It is then stored with the sequence numbers that were meant for it, or
/// not at all.
///
/// [`expire`](Store::expire) leaves messages that are younger than two minutes by the server's clock. A room has no gaps as long as
/// no append is under way for a minute: a later one might find the sequence numbers free of messages that have expired.
pub struct MongoStore {
    client: Client,
    database: Database,
    log: Arc<Log>,
    guard: Arc<Guard>,
    /// Held for reading by every call that uses the client, so that closing waits for them.
    open: RwLock<bool>,
    tasks: Mutex<Tasks>,
}

/// The tasks that end with the store.
struct Tasks {
    watching: JoinSet<()>,
    following: Option<Following>,
}

impl MongoStore {
    /// Connects to the servers that a connection string names, and creates missing collections and indexes in its database
    /// (`chatbox` if it names none).
    ///
    /// Waits for up to 10 s until there is a primary. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StoreError::InvalidUrl`] for a connection string that cannot be used, [`StoreError::Duplicates`] for messages that are
    /// stored more than once,
    /// [`StoreError::Unreachable`] when the servers do not answer, [`StoreError::Refused`] when they refuse or are not a
    /// replica set, [`StoreError::NewerDatabase`] for a newer schema.
    pub async fn open(uri: &str) -> Result<Self, StoreError> {
        let connection = connect::connect(uri).await?;
        let prepared = connection.insist(schema::prepare).await?;
        let Connection { client, database, .. } = connection;
        let log = Arc::new(Log::new(&database));
        let guard = Arc::new(Guard::new(&database, Arc::clone(&log.heads), prepared));
        let mut watching = JoinSet::new();
        watching.spawn(Arc::clone(&guard).watch());
        let tasks = Mutex::new(Tasks { watching, following: None });
        Ok(Self { client, database, log, guard, open: RwLock::new(true), tasks })
    }

    /// Runs requests within the bound on a call, unless the store is closed.
    async fn run<T>(&self, work: impl Future<Output = mongodb::error::Result<T>>) -> Result<T, StoreError> {
        let open = self.open.read().await;
        if !*open {
            return Err(StoreError::Closed);
        }
        match timeout(TIMEOUT, work).await {
            Ok(done) => done.map_err(unavailable),
            Err(_) => Err(unavailable(timed_out())),
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MongoStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn epoch(&self) -> Arc<str> {
        self.guard.epoch()
    }

    fn now_ms(&self) -> i64 {
        self.guard.now_ms()
    }

    fn append(&self, batch: Arc<[Append]>) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        Box::pin(async move {
            if let Some(fault) = self.guard.fault() {
                return Err(unavailable(fault));
            }
            let appended = self.run(append::append(&self.log, &batch)).await;
            if matches!(appended, Err(StoreError::Unavailable { .. })) {
                self.guard.doubt();
            }
            appended
        })
    }

    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>> {
        let room = room.to_owned();
        Box::pin(async move { self.run(self.log.span(&room)).await })
    }

    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        let room = room.to_owned();
        Box::pin(async move { self.run(self.log.read(&room, after, limit)).await })
    }

    fn expire(&self, cutoff: Cutoff) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let cutoff = expire::allowed(cutoff, self.now_ms());
            let mut removed = 0;
            let mut done = expire::Done::Nothing;
            loop {
                let step = self.run(expire::step(&self.log, cutoff, &done)).await?;
                removed += step.removed;
                match step.done {
                    expire::Done::All => return Ok(removed),
                    rest => done = rest,
                }
            }
        })
    }

    fn follow(&self) -> Option<Feed> {
        let open = self.open.try_read().is_ok_and(|open| *open);
        open.then(|| {
            let (following, feed) = Following::begin(&self.database, Arc::clone(&self.log), Arc::clone(&self.guard));
            self.tasks().following = Some(following);
            feed
        })
    }

    fn lag(&self) -> Option<Duration> {
        self.tasks().following.as_ref().map(Following::lag)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let meta = self.database.collection::<mongodb::bson::Document>(META);
            // The write concern makes it wait for a majority: a primary that has lost its followers fails.
            let ping = meta.update_one(doc! { "_id": "ping" }, doc! { "$inc": { "count": 1_i64 } }).upsert(true);
            self.run(async { ping.await.map(drop) }).await?;
            self.run(async { Ok(self.guard.verify().await) }).await?.map_err(unavailable)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut open = self.open.write().await;
            let (mut watching, following) = {
                let mut tasks = self.tasks();
                (std::mem::take(&mut tasks.watching), tasks.following.take())
            };
            watching.shutdown().await;
            if let Some(following) = following {
                // Its cursor would keep the client from shutting down.
                following.end().await;
            }
            // It would wait for the cursors of frozen servers.
            if *open && timeout(CLOSE, self.client.clone().shutdown()).await.is_err() {
                let _ = timeout(CLOSE, self.client.clone().shutdown().immediate(true)).await;
            }
            *open = false;
            Ok(())
        })
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStore").field("database", &self.database.name()).finish_non_exhaustive()
    }
}

const NAME: &str = "mongodb";

/// The bound on one call, however many requests it makes.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long the client may take to shut down in order, and then at once.
const CLOSE: Duration = Duration::from_millis(500);

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable { store: NAME, source: Arc::new(source) }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}
