//! All rooms of a process: loading, eviction, history, and the way to the sequencer.

use crate::metrics::{Metrics, Totals};
use crate::room::{RingBudget, Room};
use crate::room_limits::RoomLimits;
use crate::sequencer::{self, Submission, SubmitQueue};
use crate::subscription::message_of;
use crate::wire::{FrameEncoder, Wire};
use chatbox_core::{RateLimits, Reply};
use chatbox_protocol::ServerMessage;
use chatbox_store::{Draft, Store, StoreError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What rooms need to know.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often the transport pings, as `welcome` says it. Default 25 s.
    pub heartbeat: Duration,
    /// Bytes of one message as clients get it, the same bound that they keep to. Default 65,536.
    pub max_message_bytes: usize,
    /// Rooms joined by one connection at the same time. Default 64.
    pub rooms_per_connection: usize,
    /// Different rooms that one user joins or sends to within a minute, over all of the user's connections. Default 1,000.
    pub rooms_per_minute: usize,
    /// How long a `send` or `join` waits for the store before it is answered `store_unavailable`. Default 5 s.
    pub store_timeout: Duration,
    /// Messages on their way to the store. Default 65,536.
    pub queue_messages: usize,
    /// Bytes on their way to the store. Default 64 MiB.
    pub queue_bytes: usize,
    /// Bytes of the newest messages of one room that are kept encoded. Default 256 KiB.
    pub ring_bytes: usize,
    /// The same over all rooms. Default 128 MiB.
    pub rings_bytes: usize,
    /// Called with the reason of each request that is answered with an error, where it is counted: whoever logs it has to bound how
    /// often. Default: does nothing.
    pub on_rejected: fn(reason: &'static str),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(25),
            max_message_bytes: 65_536,
            rooms_per_connection: 64,
            rooms_per_minute: 1_000,
            store_timeout: Duration::from_secs(5),
            queue_messages: 65_536,
            queue_bytes: 64 << 20,
            ring_bytes: 256 << 10,
            rings_bytes: 128 << 20,
            on_rejected: |_| {},
        }
    }
}

/// Rooms known at once before those that nobody uses are forgotten.
const FEW_ROOMS: usize = 8_192;

/// The rooms of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rooms {
    shared: Arc<Shared>,
    sequencer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What members, subscriptions and the sequencer refer to.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Options,
    pub(crate) server: Box<str>,
    pub(crate) wire: Wire,
    pub(crate) meters: Metrics,
    pub(crate) limits: RateLimits,
    pub(crate) room_limits: RoomLimits,
    pub(crate) ring_budget: RingBudget,
    intake: SubmitQueue,
    rooms: Mutex<Known>,
}

struct Known {
    rooms: HashMap<Arc<str>, Arc<Room>>,
    /// How many rooms there may be before the next sweep.
    sweep_at: usize,
}

impl Rooms {
    /// Rooms over a store, and the task that appends to it and follows what others append. `server` is the name of this instance; `frame` makes a frame of a
    /// text message. Must be called within a tokio runtime, after the metrics recorder is installed.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        server: impl Into<Box<str>>,
        limits: RateLimits,
        options: Options,
        frame: FrameEncoder,
    ) -> Self {
        let (intake, outlet) = sequencer::queue(options.queue_messages, options.queue_bytes);
        let shared = Arc::new(Shared {
            store,
            options,
            server: server.into(),
            wire: Wire { frame },
            meters: Metrics::new(options.on_rejected),
            limits,
            room_limits: RoomLimits::new(options.rooms_per_minute),
            ring_budget: RingBudget {
                per_room: options.ring_bytes,
                total: options.rings_bytes,
                used: AtomicUsize::new(0),
            },
            intake,
            rooms: Mutex::new(Known { rooms: HashMap::new(), sweep_at: FEW_ROOMS }),
        });
        let sequencer = tokio::spawn(sequencer::run(Arc::clone(&shared), outlet));
        Self { shared, sequencer: Arc::new(Mutex::new(Some(sequencer))) }
    }

    /// The newest `seq` of a room, and its stored messages after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read, or does not answer in [`Options::store_timeout`].
    pub async fn history(&self, room: &str, after: u64, limit: usize) -> Result<(u64, Vec<Box<str>>), StoreError> {
        let read = async {
            let stored = self.shared.store.read(room, after, limit).await?;
            let span = self.shared.store.span(room).await?;
            let encode = |stored| String::from_utf8(message_of(room, stored).encode()).unwrap_or_default().into();
            Ok((span.head, stored.iter().map(encode).collect()))
        };
        self.shared.in_time(read).await
    }

    /// Removes what was accepted before `before_ms` (milliseconds since the Unix epoch). Returns how many messages.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire(&self, before_ms: i64) -> Result<u64, StoreError> {
        self.shared.store.expire(before_ms).await
    }

    /// Gives back the memory of users who have not sent for a while. To be called every few seconds.
    pub fn forget_idle_users(&self) {
        self.shared.limits.forget_idle();
        self.shared.room_limits.forget(Instant::now());
    }

    /// What became of the messages so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.meters.totals()
    }

    /// How far this process may be behind what others append to the store ([`Store::lag`]); `None` where nobody else can. For a
    /// readiness check: who hears nothing must not look healthy.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.shared.store.lag()
    }

    /// Takes no more messages and waits until all that were accepted are stored or rejected. Cancel safe: call it again
    /// to wait for the end.
    pub async fn close(&self) {
        self.shared.intake.close();
        let task = self.sequencer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the sequencer failed");
        }
    }

    /// How many rooms are known at the moment: those in use, and some that were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.rooms.lock().unwrap_or_else(PoisonError::into_inner).rooms.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of encoded messages kept in memory over all rooms.
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        self.shared.ring_budget.used.load(Ordering::Relaxed)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    /// The room of that name. It may have to be [asked](Self::refresh) for first.
    pub(crate) fn room(&self, name: &str) -> Arc<Room> {
        let mut known = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = known.rooms.get(name) {
            return Arc::clone(room);
        }
        if known.rooms.len() >= known.sweep_at {
            self.sweep(&mut known);
        }
        let name: Arc<str> = name.into();
        let room = Arc::new(Room::new(Arc::clone(&name)));
        known.rooms.insert(name, Arc::clone(&room));
        room
    }

    /// Forgets the rooms that nobody uses. Each sweep comes after as many new rooms as the last one left, so that its cost is
    /// spread over them.
    fn sweep(&self, known: &mut Known) {
        known.rooms.retain(|_, room| {
            let used = is_used(room);
            if !used {
                room.forget(&self.ring_budget);
            }
            used
        });
        known.rooms.shrink_to(FEW_ROOMS);
        known.sweep_at = FEW_ROOMS.max(2 * known.rooms.len());
    }

    /// A message was appended by somebody. Returns its room if that has to be told: it is in use, and does not know yet. A room
    /// that nobody uses is forgotten rather than kept up to date.
    pub(crate) fn on_appended(&self, room: &str, seq: u64) -> Option<Arc<Room>> {
        let mut known = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = known.rooms.get(room)?;
        if seq <= room.head() {
            return None;
        }
        if is_used(room) {
            return room.is_loaded_or_hears(seq).then(|| Arc::clone(room));
        }
        let name = Arc::clone(room.name());
        room.forget(&self.ring_budget);
        known.rooms.remove(&name);
        None
    }

    /// Forgets the rooms that nobody uses, and returns the others.
    pub(crate) fn forget_unused(&self) -> Vec<Arc<Room>> {
        let mut known = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        self.sweep(&mut known);
        known.rooms.values().cloned().collect()
    }

    /// Asks the store about a room, within [`Options::store_timeout`]. If the store has `wanted`, the room's head is there
    /// afterwards, too. Cancel safe.
    pub(crate) async fn refresh(&self, room: &Arc<Room>, wanted: u64) -> Result<(), StoreError> {
        let refreshed = async {
            let span = self.store.span(room.name()).await?;
            let newest = room.load(span).max(span.head.min(wanted));
            if newest > room.head() { self.intake.catch_up(room, newest).await } else { Ok(()) }
        };
        self.in_time(refreshed).await
    }

    /// Bounds an operation of the store by [`Options::store_timeout`].
    pub(crate) async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let done = tokio::time::timeout(self.options.store_timeout, operation).await;
        done.unwrap_or_else(|_| {
            let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
            Err(StoreError::Unavailable { store: self.store.name(), source: Arc::new(source) })
        })
    }

    /// Hands a message to the sequencer; if there is no room for it, it is rejected at once.
    pub(crate) fn submit(&self, room: Arc<Room>, user: &Arc<str>, id: &str, body: &str, reply: Reply) {
        let draft = Draft { user: Arc::clone(user), id: id.into(), body: body.into(), at_ms: now_ms() };
        let due = Instant::now() + self.options.store_timeout;
        self.meters.accepted();
        if let Err(Submission { room, draft, reply, .. }) = self.intake.submit(Submission { room, draft, reply, due }) {
            sequencer::reject(self, &draft.id, &room, reply);
        }
    }

    pub(crate) fn send(&self, connection: &chatbox_core::Connection, message: &ServerMessage<'_>) {
        connection.push(|out| self.wire.append(message, out));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").field("store", &self.store.name()).field("meters", &self.meters).finish_non_exhaustive()
    }
}

/// Whether somebody beside the table of rooms holds it. To be asked under the table's lock: clones are made under it or from
/// another clone, so a room with one holder stays a room with one.
fn is_used(room: &Arc<Room>) -> bool {
    Arc::strong_count(room) > 1
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}
