//! The queries of the log, without timeouts.

use std::sync::Arc;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::error::Result;
use mongodb::{Collection, Database};
use tokio::time::Instant;

use crate::message::within_read_bytes;
use crate::{Page, Span, Stored};

use super::documents::{MESSAGES, Message, PositionOnly};
use super::heads::Heads;

/// How many messages the server sends at a time: a page of a room's members.
const BATCH: u32 = 256;

/// The most messages that one read returns. Their text is bounded before that.
const MAX_PAGE: usize = 1 << 20;

/// The collection of messages, and the heads that are cached of it.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) messages: Collection<Document>,
    pub(super) heads: Arc<Heads>,
}

impl Log {
    pub(super) fn new(database: &Database) -> Self {
        Self { messages: database.collection(MESSAGES), heads: Arc::default() }
    }

    /// The newest `seq` that a majority of the servers has. Never goes back, even if a new primary has yet to learn what its majority has.
    pub(super) async fn head(&self, room: &str) -> Result<u64> {
        let known = self.heads.known(room).map_or(0, |head| head.seq);
        let asked = Instant::now();
        let newest = self
            .messages
            .clone_with_type::<PositionOnly>()
            .find_one(doc! { "_id.room": room, "_id.seq": { "$gte": known.cast_signed() } })
            .sort(doc! { "_id.seq": -1 })
            .projection(doc! { "_id": 1 })
            .await?;
        let head = newest.map(|newest| newest.position.seq.cast_unsigned());
        if let Some(head) = head.or((known == 0).then_some(0)) {
            self.heads.learn(room, head, asked);
        }
        Ok(head.unwrap_or(known))
    }

    pub(super) async fn span(&self, room: &str) -> Result<Span> {
        // The head comes first: a message that is appended meanwhile may then be the oldest, but none is missed.
        let head = self.head(room).await?;
        // Usually the oldest message is the same as last time.
        let known = self.heads.first(room).cast_signed() - 1;
        let mut oldest = self.find_range(room, known, known + 1, 1).await?;
        if oldest.messages.is_empty() {
            oldest = self.find_after(room, known, 1).await?;
        }
        let first = oldest.messages.first().map_or(head + 1, |oldest| oldest.seq.min(head + 1));
        self.heads.learn_first(room, first);
        Ok(Span { first, head })
    }

    pub(super) async fn read(&self, room: &str, after: u64, limit: usize) -> Result<Page> {
        let Ok(start) = i64::try_from(after) else { return Ok(Page::new(self.head(room).await?, Vec::new())) };
        let limit = limit.clamp(1, MAX_PAGE) as i64;
        // Bounded at both ends, for which any server knows how to use the index. If messages at the start of that window
        // have been removed, there may be more after its end.
        let near = self.find_range(room, start, start.saturating_add(limit), limit).await?;
        let starts_at = near.messages.first().map(|first| first.seq.cast_signed());
        let found = if starts_at == start.checked_add(1) { near } else { self.find_after(room, start, limit).await? };
        let head = match (found.messages.last(), found.mark) {
            (Some(last), _) if found.is_last => last.seq.max(self.heads.known(room).map_or(0, |head| head.seq)),
            (Some(last), _) => self.head(room).await?.max(last.seq),
            (None, Some(mark)) => mark.cast_unsigned(),
            // Messages that were appended meanwhile are not removed ones.
            (None, None) => self.head(room).await?.min(after),
        };
        Ok(Page::new(head, found.messages))
    }

    /// The first messages with a `seq` greater than `after`, whatever has been removed in between.
    async fn find_after(&self, room: &str, after: i64, limit: i64) -> Result<Found> {
        let found = self.find_range(room, after, i64::MAX, limit).await?;
        match found.mark {
            // It counted towards the limit.
            Some(mark) => Ok(Found { mark: Some(mark), ..self.find_range(room, mark, i64::MAX, limit).await? }),
            None => Ok(found),
        }
    }

    async fn find_range(&self, room: &str, after: i64, until: i64, limit: i64) -> Result<Found> {
        let mut cursor = self
            .messages
            .clone_with_type::<Message>()
            .find(doc! { "_id.room": room, "_id.seq": { "$gt": after, "$lte": until } })
            .sort(doc! { "_id.seq": 1 })
            .limit(limit)
            .batch_size(BATCH)
            .await?;
        let mut found = Found { messages: Vec::new(), mark: None, is_last: true };
        let mut count = 0;
        let mut within = within_read_bytes();
        while let Some(message) = cursor.try_next().await? {
            count += 1;
            let seq = message.position.seq;
            match message.stored() {
                Some(message) if within(&message) => found.messages.push(message),
                Some(_) => {
                    found.is_last = false;
                    break;
                }
                None => found.mark = Some(seq),
            }
        }
        found.is_last &= count < limit;
        Ok(found)
    }

    /// The `seq` of the message with that id, if it is stored.
    pub(super) async fn find(&self, room: &str, user: &str, id: &str) -> Result<Option<u64>> {
        let found = self
            .messages
            .clone_with_type::<PositionOnly>()
            .find_one(doc! { "_id.room": room, "user": user, "id": id })
            .projection(doc! { "_id": 1 })
            .await?;
        Ok(found.map(|found| found.position.seq.cast_unsigned()))
    }
}

/// Consecutive messages.
struct Found {
    messages: Vec<Stored>,
    /// The position of the mark that a room's newest message left when it was removed. Only the first document of a room can
    /// be one.
    mark: Option<i64>,
    /// Whether the room has none behind them.
    is_last: bool,
}
