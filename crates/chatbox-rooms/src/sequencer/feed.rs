//! What others have appended, as the store tells it.

use super::Sequencer;
use super::batch::publish_stored;
use chatbox_store::{Feed, FeedEvent, Store, Stored};
use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use metrics::{Counter, Gauge};
use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How much news is taken at once. The rest waits in the feed: there is no queue here.
const TAKEN: usize = 256;

/// How often the lag is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// The feed of a store that others append to, and its metrics.
pub(super) struct FeedReader {
    feed: ReadyChunks<Feed>,
    measure_at: Instant,
    lag: Gauge,
    conflict: Counter,
    resyncs: Counter,
}

impl FeedReader {
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            feed: feed.ready_chunks(TAKEN),
            measure_at: Instant::now(),
            lag: metrics::gauge!("chatbox_store_stream_lag_seconds"),
            conflict: metrics::counter!("chatbox_store_appends_outrun_total"),
            resyncs: metrics::counter!("chatbox_store_resyncs_total"),
        }
    }

    pub(super) fn measure_at(&self) -> Instant {
        self.measure_at
    }

    /// Measures the lag if it is time to.
    pub(super) fn measure(&mut self, now: Instant, store: &dyn Store) {
        if now >= self.measure_at {
            self.measure_at = now + MEASURE;
            self.lag.set(store.lag().unwrap_or_default().as_secs_f64());
        }
    }

    /// That many rooms could not be appended to because others were faster.
    pub(super) fn conflict(&self, rooms: usize) {
        self.conflict.increment(rooms as u64);
    }

    /// Messages were read that are stored and were missing here.
    pub(super) fn resynced(&self) {
        self.resyncs.increment(1);
    }
}

/// The next news. `None` at its end. Cancel safe.
pub(super) async fn next(follower: &mut Option<FeedReader>) -> Option<Vec<FeedEvent>> {
    match follower {
        Some(follower) => follower.feed.next().await,
        None => pending().await,
    }
}

impl Sequencer {
    pub(super) fn on_news(&mut self, news: Vec<FeedEvent>) {
        let mut rooms: HashMap<Arc<str>, Vec<Stored>> = HashMap::new();
        let mut missed = false;
        for news in news {
            match news {
                FeedEvent::Appended { room, message } => rooms.entry(room).or_default().push(message),
                FeedEvent::Lagged => missed = true,
            }
        }
        if missed {
            // What is told beside it can be read by now, too.
            return self.on_missed();
        }
        for (name, stored) in rooms {
            self.on_appended(&name, &stored);
        }
    }

    /// Rooms that somebody uses are read; the others are forgotten, to be looked up at their next use.
    fn on_missed(&mut self) {
        let used = self.shared.forget_unused();
        if !used.is_empty() {
            tracing::info!(rooms = used.len(), "the store's news had a gap: reading every room in use");
        }
        for room in used {
            self.doubts.begin(&room, None);
        }
    }

    /// Publishes what follows what is known; own commits were published before. A gap is read.
    fn on_appended(&mut self, name: &str, stored: &[Stored]) {
        let newest = stored.iter().map(|message| message.seq).max().unwrap_or(0);
        let Some(room) = self.shared.on_appended(name, newest) else { return };
        let mut next = room.head() + 1;
        let following = stored.iter().filter(|message| {
            let follows = message.seq == next;
            next += u64::from(follows);
            follows
        });
        publish_stored(&self.shared, &room, following);
        if newest > room.head() {
            self.doubts.begin(&room, Some(newest));
        }
    }
}
