//! The log as MongoDB keeps it: what is asked of it, without a word of timeouts.

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::error::Result;
use mongodb::{Collection, Database};
use tokio::time::Instant;

use crate::store::within_read_bytes;
use crate::{Span, Stored};

use super::documents::{MESSAGES, Message, Somewhere};
use super::heads::Heads;

/// How many messages the server sends at a time: a page of a room's members.
const BATCH: u32 = 256;

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
            .clone_with_type::<Somewhere>()
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
        let oldest = self
            .messages
            .clone_with_type::<Somewhere>()
            .find_one(doc! { "_id.room": room, "user": { "$ne": null } })
            .sort(doc! { "_id.seq": 1 })
            .projection(doc! { "_id": 1 })
            .await?;
        let first = oldest.map_or(head + 1, |oldest| oldest.place.seq.cast_unsigned());
        Ok(Span { first: first.min(head + 1), head })
    }

    pub(super) async fn read(&self, room: &str, after: u64, limit: usize) -> Result<Vec<Stored>> {
        let (Ok(after), Ok(limit)) = (i64::try_from(after), i64::try_from(limit.min(1 << 20))) else {
            return Ok(Vec::new());
        };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let asked = Instant::now();
        let mut found = self
            .messages
            .clone_with_type::<Message>()
            .find(doc! { "_id.room": room, "_id.seq": { "$gt": after }, "user": { "$ne": null } })
            .sort(doc! { "_id.seq": 1 })
            .limit(limit)
            .batch_size(BATCH)
            .await?;
        let mut read = Vec::new();
        let mut within = within_read_bytes();
        while let Some(message) = found.try_next().await? {
            let message = message.stored();
            if !within(&message) {
                return Ok(read);
            }
            read.push(message);
        }
        // A page that is not full ends at the head.
        if let Some(last) = read.last()
            && (read.len() as i64) < limit
        {
            self.heads.learn(room, last.seq, asked);
        }
        Ok(read)
    }

    pub(super) async fn find(&self, room: &str, user: &str, id: &str) -> Result<Option<u64>> {
        let found = self
            .messages
            .clone_with_type::<Somewhere>()
            .find_one(doc! { "_id.room": room, "user": user, "id": id })
            .projection(doc! { "_id": 1 })
            .await?;
        Ok(found.map(|found| found.place.seq.cast_unsigned()))
    }
}
