//! The public handle of all rooms of a process.

use crate::context::Context;
use crate::handle::Handle;
use crate::metrics::{Metrics, Totals};
use crate::options::Options;
use crate::queue;
use crate::ring_budget::RingBudget;
use crate::room_limits::RoomLimits;
use crate::room_table::RoomTable;
use crate::sequencer;
use crate::wire::{FrameEncoder, Wire, stored_message};
use chatbox_core::RateLimits;
use chatbox_store::{Cutoff, Store, StoreError};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The rooms of a process over one store. Cheap to clone.
///
/// The rooms own one task, the sequencer, which appends to the store and follows what other processes append. It ends when the rooms
/// are [closed](Self::close), or when this handle, its clones and all [members](crate::Member) have been dropped; in both cases
/// messages that were accepted are stored or rejected first.
#[derive(Clone)]
pub struct Rooms {
    handle: Arc<Handle>,
    /// Resolves when the sequencer has ended.
    ended: Shared<BoxFuture<'static, ()>>,
}

/// Stored messages of a room, as [`Rooms::history`] returns them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// The newest `seq` of the room, 0 if there is none.
    pub head: u64,
    /// The `seq` of the last of the messages, to continue after.
    pub last_seq: Option<u64>,
    /// The messages in `seq` order, each encoded as a `message` of the protocol.
    pub messages: Vec<Box<str>>,
}

impl Rooms {
    /// Rooms over a store. `server` is the name of this instance, told in `welcome`; `rates` limits the messages of each user.
    ///
    /// Call it within a tokio runtime, after a metrics recorder is installed: metrics are registered here.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        server: impl Into<Box<str>>,
        rates: RateLimits,
        options: Options,
        frame: FrameEncoder,
    ) -> Self {
        let (queue, submissions) = queue::queue(options.queue_messages(), options.queue_bytes());
        let context = Arc::new(Context {
            store,
            options,
            server: server.into(),
            wire: Wire::new(frame),
            metrics: Metrics::new(options.on_rejected()),
            rates,
            room_limits: RoomLimits::new(options.rooms_per_minute()),
            rooms: RoomTable::new(RingBudget::new(options.ring_bytes(), options.rings_bytes())),
        });
        let sequencer = tokio::spawn(sequencer::run(Arc::clone(&context), submissions));
        let ended = sequencer.map(|result| {
            if let Err(error) = result {
                tracing::error!(%error, "the sequencer failed");
            }
        });
        Self { handle: Arc::new(Handle { context, queue }), ended: ended.boxed().shared() }
    }

    /// The stored messages of a room after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read, or does not answer within [`Options::store_timeout`].
    pub async fn history(&self, room: &str, after: u64, limit: usize) -> Result<History, StoreError> {
        let context = &self.handle.context;
        let read = async {
            let page = context.store.read(room, after, limit).await?;
            let encode = |stored| String::from_utf8(stored_message(room, stored).encode()).unwrap_or_default().into();
            let messages = page.messages.iter().map(encode).collect();
            Ok(History { head: page.head, last_seq: page.last_seq(), messages })
        };
        context.in_time(read).await
    }

    /// Removes messages that are past their retention. Returns how many.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire(&self, cutoff: Cutoff) -> Result<u64, StoreError> {
        self.handle.context.store.expire(cutoff).await
    }

    /// The current time by the clock that dates messages, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.handle.context.store.now_ms()
    }

    /// Frees the rate limiting state of idle users. Call it every few seconds.
    pub fn forget_idle_users(&self) {
        self.handle.context.rates.forget_idle();
        self.handle.context.room_limits.forget(Instant::now());
    }

    /// The messages accepted, acknowledged and rejected so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.handle.context.metrics.totals()
    }

    /// How far this process may be behind what other processes append to the store; see [`Store::lag`]. `None` where no other process
    /// can append. A readiness check should fail when this grows: members would miss messages without a sign.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.handle.context.store.lag()
    }

    /// Accepts no more messages and waits until all accepted ones are stored or rejected. Cancel safe: a later call waits for the
    /// same end.
    pub async fn close(&self) {
        self.handle.queue.close();
        self.ended.clone().await;
    }

    /// Number of rooms in memory: those in use, and some that were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.handle.context.rooms.len()
    }

    /// Whether no room is in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of encoded messages in memory, over all rooms.
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        self.handle.context.rooms.ring_budget.used()
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let context = &self.handle.context;
        f.debug_struct("Rooms")
            .field("store", &context.store.name())
            .field("metrics", &context.metrics)
            .finish_non_exhaustive()
    }
}
