//! The feeds of stores that share a log in memory.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::{Feed, FeedEvent};

/// One store of a log: whether it is open, and its feed.
#[derive(Debug)]
pub(super) enum Replica {
    /// The only store of its log: it has no feed.
    Alone,
    /// One of several.
    Shared {
        /// The sending half, once there is a feed.
        feed: Option<mpsc::UnboundedSender<FeedEvent>>,
        /// While the feed is paused: since when, and the events held back.
        paused: Option<(Instant, VecDeque<FeedEvent>)>,
    },
    /// Closed.
    Closed,
}

impl Replica {
    pub(super) fn alone() -> Self {
        Self::Alone
    }

    pub(super) fn with_feed() -> Self {
        Self::Shared { feed: None, paused: None }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Self::Closed)
    }

    pub(super) fn close(&mut self) {
        *self = Self::Closed;
    }

    pub(super) fn follow(&mut self) -> Option<Feed> {
        let Self::Shared { feed, .. } = self else { return None };
        let (sender, mut receiver) = mpsc::unbounded_channel();
        *feed = Some(sender);
        self.send(|| FeedEvent::Lagged);
        Some(poll_fn(move |cx| receiver.poll_recv(cx)).boxed())
    }

    pub(super) fn lag(&self) -> Option<Duration> {
        match self {
            Self::Shared { feed: Some(_), paused } => {
                Some(paused.as_ref().map_or(Duration::ZERO, |(since, _)| since.elapsed()))
            }
            _ => None,
        }
    }

    pub(super) fn send(&mut self, event: impl FnOnce() -> FeedEvent) {
        if let Self::Shared { feed: Some(feed), paused } = self {
            match paused {
                Some((_, held)) => held.push_back(event()),
                // The feed may have been dropped.
                None => _ = feed.send(event()),
            }
        }
    }

    pub(super) fn pause(&mut self) {
        if let Self::Shared { paused, .. } = self {
            paused.get_or_insert_with(|| (Instant::now(), VecDeque::new()));
        }
    }

    pub(super) fn resume(&mut self) {
        if let Some(held) = self.take_held() {
            held.into_iter().for_each(|event| self.send(|| event));
        }
    }

    pub(super) fn resume_lagged(&mut self) {
        if self.take_held().is_some() {
            self.send(|| FeedEvent::Lagged);
        }
    }

    fn take_held(&mut self) -> Option<VecDeque<FeedEvent>> {
        let Self::Shared { paused, .. } = self else { return None };
        paused.take().map(|(_, held)| held)
    }
}
