//! The log as MongoDB keeps it: what is asked of it, without a word of timeouts.

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::error::Result;
use mongodb::{Collection, Database};
use tokio::time::Instant;

use crate::store::within_read_bytes;
use crate::{Span, Stored};

use super::documents::{MESSAGES, Message, PositionOnly};
use super::heads::Heads;

/// How many messages the server sends at a time: a page of a room's members.
const BATCH: u32 = 256;

/// The most messages that one read returns. Their text is bounded before that.
const MAX_PAGE: usize = 1 << 20;

/// The messages, and what is remembered of them.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) messages: Collection<Document>,
    pub(super) heads: Heads,
}

impl Log {
    pub(super) fn new(database: &Database) -> Self {
        Self { messages: database.collection(MESSAGES), heads: Heads::default() }
    }

    /// The newest `seq` that a majority has. Never goes back, even if a new primary has yet to learn what its majority has.
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
        let head = newest.map(|newest| newest.place.seq.cast_unsigned());
        if let Some(head) = head.or((known == 0).then_some(0)) {
            self.heads.learn(room, head, asked);
        }
        Ok(head.unwrap_or(known))
    }

    pub(super) async fn span(&self, room: &str) -> Result<Span> {
        // The head comes first: what is appended meanwhile may then be the oldest, but nothing is passed over.
        let head = self.head(room).await?;
        // The oldest of last time is still there, as a rule.
        let known = self.heads.first(room).cast_signed() - 1;
        let mut oldest = self.page(room, known, known + 1, 1).await?;
        if oldest.messages.is_empty() {
            oldest = self.first_page(room, known, 1).await?;
        }
        let first = oldest.messages.first().map_or(head + 1, |oldest| oldest.seq.min(head + 1));
        self.heads.learn_first(room, first);
        Ok(Span { first, head })
    }

    pub(super) async fn read(&self, room: &str, after: u64, limit: usize) -> Result<Vec<Stored>> {
        let (Ok(after), Ok(limit @ 1..)) = (i64::try_from(after), i64::try_from(limit.min(MAX_PAGE))) else {
            return Ok(Vec::new());
        };
        // Bounded at both ends, for which any server knows how to use the index. If messages at the start of that window
        // have been removed, there may be more after its end.
        let near = self.page(room, after, after.saturating_add(limit), limit).await?.messages;
        let starts_at = near.first().map(|first| first.seq.cast_signed());
        if starts_at == after.checked_add(1) {
            Ok(near)
        } else {
            Ok(self.first_page(room, after, limit).await?.messages)
        }
    }

    /// The first messages with a `seq` greater than `after`, whatever has been removed in between.
    async fn first_page(&self, room: &str, after: i64, limit: i64) -> Result<Page> {
        let page = self.page(room, after, i64::MAX, limit).await?;
        match page.mark {
            // It counted towards the limit.
            Some(mark) => self.page(room, mark, i64::MAX, limit).await,
            None => Ok(page),
        }
    }

    async fn page(&self, room: &str, after: i64, until: i64, limit: i64) -> Result<Page> {
        let mut found = self
            .messages
            .clone_with_type::<Message>()
            .find(doc! { "_id.room": room, "_id.seq": { "$gt": after, "$lte": until } })
            .sort(doc! { "_id.seq": 1 })
            .limit(limit)
            .batch_size(BATCH)
            .await?;
        let mut page = Page { messages: Vec::new(), mark: None };
        let mut within = within_read_bytes();
        while let Some(message) = found.try_next().await? {
            let place = message.place.seq;
            match message.stored() {
                Some(message) if within(&message) => page.messages.push(message),
                Some(_) => break,
                None => page.mark = Some(place),
            }
        }
        Ok(page)
    }

    pub(super) async fn find(&self, room: &str, user: &str, id: &str) -> Result<Option<u64>> {
        let found = self
            .messages
            .clone_with_type::<PositionOnly>()
            .find_one(doc! { "_id.room": room, "user": user, "id": id })
            .projection(doc! { "_id": 1 })
            .await?;
        Ok(found.map(|found| found.place.seq.cast_unsigned()))
    }
}

/// Messages that stand one behind the other.
struct Page {
    messages: Vec<Stored>,
    /// Where a room's newest message stood that was removed. It may be the first of a page, and there is but one.
    mark: Option<i64>,
}
