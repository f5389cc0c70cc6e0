//! The tasks that run beside the connections, as long as the service exists.

use crate::auth::KeyRing;
use crate::config::Retention;
use crate::error::chain;
use chatbox_rooms::Rooms;
use chatbox_store::{StoreError, Sweep};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Between two sweeps for messages past their retention.
const EXPIRY_SWEEP: Duration = Duration::from_secs(60);

/// Between two sweeps for the rate limits of users that have not sent for a while.
const IDLE_USER_SWEEP: Duration = Duration::from_secs(10);

/// The background tasks of a service. Dropping it aborts them.
///
/// They hold the parts that they work on, never the service: it can be dropped while they run.
#[derive(Debug)]
pub(crate) struct Background {
    _tasks: JoinSet<()>,
}

impl Background {
    /// Starts the sweeps, and the watch over key files if there are any. Must be called within a tokio runtime.
    pub(crate) fn start(rooms: &Rooms, retention: Retention, keys: Option<Arc<KeyRing>>) -> Self {
        let mut tasks = JoinSet::new();
        if let Retention::For(keep) = retention {
            tasks.spawn(expire_messages(rooms.clone(), keep));
        }
        tasks.spawn(forget_idle_users(rooms.clone()));
        if let Some(keys) = keys.filter(|keys| keys.has_files()) {
            tasks.spawn(keys.reload_on_change());
        }
        Self { _tasks: tasks }
    }
}

/// Removes messages that are older than `keep`, until the store is closed.
async fn expire_messages(rooms: Rooms, keep: Duration) {
    let mut sweeps = interval(EXPIRY_SWEEP.min(keep.max(Duration::from_secs(1))));
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut decision, started) = (chatbox_store::Retention::new(keep), Instant::now());
    loop {
        sweeps.tick().await;
        let cutoff = match decision.sweep(rooms.now_ms(), started.elapsed()) {
            Sweep::Remove(cutoff) => cutoff,
            Sweep::Jumped { ahead, cutoff } => {
                tracing::warn!(?ahead, "The clock was set forward: messages are kept for longer, not removed early");
                cutoff
            }
            _ => continue,
        };
        match rooms.expire(cutoff).await {
            Ok(0) => {}
            Ok(messages) => tracing::info!(messages, "Removed messages past their retention"),
            Err(StoreError::Closed) => return,
            Err(error) => tracing::warn!(error = chain(&error), "Cannot remove old messages"),
        }
    }
}

/// Frees the memory of users that have not sent for a while.
async fn forget_idle_users(rooms: Rooms) {
    let mut sweeps = interval(IDLE_USER_SWEEP);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        sweeps.tick().await;
        rooms.forget_idle_users();
    }
}
