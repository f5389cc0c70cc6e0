//! The store's feed of what all processes append.

use super::batch::publish_stored;
use super::resync::Resync;
use crate::context::Context;
use chatbox_store::{Feed, FeedEvent, Store, Stored};
use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use metrics::{Counter, Gauge};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many events are taken at once. The others stay in the feed: nothing is queued here.
const MAX_EVENTS: usize = 256;

/// How often the lag is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// Reads the feed of a store that other processes append to, and keeps its metrics.
pub(super) struct FeedReader {
    feed: ReadyChunks<Feed>,
    measure_at: Instant,
    lag: Gauge,
    conflicts: Counter,
    resyncs: Counter,
}

impl FeedReader {
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            feed: feed.ready_chunks(MAX_EVENTS),
            measure_at: Instant::now(),
            lag: metrics::gauge!("chatbox_store_stream_lag_seconds"),
            conflicts: metrics::counter!("chatbox_store_appends_outrun_total"),
            resyncs: metrics::counter!("chatbox_store_resyncs_total"),
        }
    }

    pub(super) fn measure_at(&self) -> Instant {
        self.measure_at
    }

    /// Measures the lag if that is due.
    pub(super) fn measure(&mut self, now: Instant, store: &dyn Store) {
        if now >= self.measure_at {
            self.measure_at = now + MEASURE;
            self.lag.set(store.lag().unwrap_or_default().as_secs_f64());
        }
    }

    /// Counts rooms in which another process appended first.
    pub(super) fn on_conflicts(&self, rooms: usize) {
        self.conflicts.increment(rooms as u64);
    }

    /// Counts a read that found messages which the feed had not brought yet.
    pub(super) fn on_resynced(&self) {
        self.resyncs.increment(1);
    }
}

/// The next events. `None` at the end of the feed; never, without a feed. Cancel safe.
pub(super) async fn next(reader: &mut Option<FeedReader>) -> Option<Vec<FeedEvent>> {
    match reader {
        Some(reader) => reader.feed.next().await,
        None => std::future::pending().await,
    }
}

/// Publishes what the feed has brought, and resynchronises the rooms in which something is missing.
pub(super) fn apply(events: Vec<FeedEvent>, context: &Context, resync: &mut Resync) {
    let mut rooms: HashMap<Arc<str>, Vec<Stored>> = HashMap::new();
    let mut lagged = false;
    for event in events {
        match event {
            FeedEvent::Appended { room, message } => rooms.entry(room).or_default().push(message),
            _ => lagged = true,
        }
    }
    if lagged {
        // The messages that came with it can be read from the store, too.
        return on_lagged(context, resync);
    }
    for (name, stored) in rooms {
        on_appended(context, resync, &name, &stored);
    }
}

/// Reads the rooms in use, and forgets the others until their next use.
fn on_lagged(context: &Context, resync: &mut Resync) {
    let used = context.rooms.forget_unused();
    if !used.is_empty() {
        tracing::info!(rooms = used.len(), "the store's feed has lagged: reading every room in use");
    }
    for room in used {
        resync.begin(&room, None);
    }
}

/// Publishes the messages that follow the head; this process's own are published already. A gap is read.
fn on_appended(context: &Context, resync: &mut Resync, name: &str, stored: &[Stored]) {
    let newest = stored.iter().map(|message| message.seq).max().unwrap_or(0);
    let Some(room) = context.rooms.on_appended(name, newest) else { return };
    let mut next = room.head() + 1;
    let following = stored.iter().filter(|message| {
        let follows = message.seq == next;
        next += u64::from(follows);
        follows
    });
    publish_stored(context, &room, following);
    if newest > room.head() {
        resync.begin(&room, Some(newest));
    }
}
