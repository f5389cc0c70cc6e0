//! What one of several stores over a log in memory is told of it.

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
    /// Nobody else appends to its log: there is nothing to follow.
    Alone,
    /// One of several.
    Following {
        /// Once somebody follows.
        feed: Option<mpsc::UnboundedSender<FeedEvent>>,
        /// While the feed is held back: since when, and what from.
        held: Option<(Instant, VecDeque<FeedEvent>)>,
    },
    /// Closed.
    Closed,
}

impl Replica {
    pub(super) fn alone() -> Self {
        Self::Alone
    }

    pub(super) fn with_feed() -> Self {
        Self::Following { feed: None, held: None }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Self::Closed)
    }

    pub(super) fn close(&mut self) {
        *self = Self::Closed;
    }

    pub(super) fn follow(&mut self) -> Option<Feed> {
        let Self::Following { feed, .. } = self else { return None };
        let (sender, mut receiver) = mpsc::unbounded_channel();
        *feed = Some(sender);
        self.tell(|| FeedEvent::Lagged);
        Some(poll_fn(move |cx| receiver.poll_recv(cx)).boxed())
    }

    pub(super) fn lag(&self) -> Option<Duration> {
        match self {
            Self::Following { feed: Some(_), held } => {
                Some(held.as_ref().map_or(Duration::ZERO, |(since, _)| since.elapsed()))
            }
            _ => None,
        }
    }

    pub(super) fn tell(&mut self, news: impl FnOnce() -> FeedEvent) {
        if let Self::Following { feed: Some(feed), held } = self {
            match held {
                Some((_, held)) => held.push_back(news()),
                // Whoever has dropped the feed does not want to know.
                None => _ = feed.send(news()),
            }
        }
    }

    pub(super) fn hold(&mut self) {
        if let Self::Following { held, .. } = self {
            held.get_or_insert_with(|| (Instant::now(), VecDeque::new()));
        }
    }

    pub(super) fn release(&mut self) {
        if let Some(held) = self.take_held() {
            held.into_iter().for_each(|news| self.tell(|| news));
        }
    }

    pub(super) fn lose(&mut self) {
        if self.take_held().is_some() {
            self.tell(|| FeedEvent::Lagged);
        }
    }

    fn take_held(&mut self) -> Option<VecDeque<FeedEvent>> {
        let Self::Following { held, .. } = self else { return None };
        held.take().map(|(_, news)| news)
    }
}
