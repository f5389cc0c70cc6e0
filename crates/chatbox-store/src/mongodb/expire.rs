//! Retention: removing the oldest messages of every room, a bounded step at a time.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use mongodb::bson::doc;
use mongodb::error::Result;

use super::documents::{ExpiryCandidate, Place};
use super::log::Log;

/// What is younger stays, however short the retention: an append that is on its way relies on what
/// was there when it began (see [`append`](super::append)).
const YOUNGEST: Duration = Duration::from_secs(120);

/// How many messages of a room one step removes.
const PER_STEP: i64 = 1000;

/// What one step did, and how far that is.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) removed: u64,
    pub(super) done: Done,
}

/// Which rooms are done.
#[derive(Debug)]
pub(super) enum Done {
    Nothing,
    /// This one and all before it.
    Room(String),
    /// This one in part.
    Within(String),
    All,
}

/// The moment before which messages may be removed, in milliseconds since the Unix epoch.
pub(super) fn allowed(before_ms: i64) -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let youngest = now.saturating_sub(YOUNGEST).as_millis();
    before_ms.min(i64::try_from(youngest).unwrap_or(i64::MAX))
}

/// Goes on with the room after those that are done.
pub(super) async fn step(log: &Log, before_ms: i64, done: &Done) -> Result<Step> {
    let rest = match done {
        Done::Nothing => doc! {},
        Done::Room(room) => doc! { "_id.room": { "$gt": room } },
        Done::Within(room) => doc! { "_id.room": { "$gte": room } },
        Done::All => return Ok(Step { removed: 0, done: Done::All }),
    };
    let messages = log.messages.clone_with_type::<ExpiryCandidate>();
    let oldest = messages
        .find_one(rest)
        .sort(doc! { "_id.room": 1, "_id.seq": 1 })
        .projection(doc! { "at": 1, "user": 1 })
        .await?;
    let Some(oldest) = oldest else {
        return Ok(Step { removed: 0, done: Done::All });
    };
    let stays = oldest.stays(before_ms);
    let Place { room, .. } = oldest.place;
    if stays {
        return Ok(Step { removed: 0, done: Done::Room(room) });
    }
    let mut found = messages
        .find(doc! { "_id.room": &room })
        .sort(doc! { "_id.seq": 1 })
        .limit(PER_STEP)
        .projection(doc! { "at": 1, "user": 1 })
        .await?;
    let mut aged: Vec<ExpiryCandidate> = Vec::new();
    let mut next = None;
    while let Some(message) = found.try_next().await? {
        if message.stays(before_ms) {
            next = Some(message.place.seq);
            break;
        }
        aged.push(message);
    }
    let marked = aged.first().is_some_and(ExpiryCandidate::is_mark);
    let whole_room = next.is_none() && (aged.len() as i64) < PER_STEP;
    // The last one stays while it may be the newest of its room, from which the next one is counted.
    let Some(end) = next.or(aged.last().map(|last| last.place.seq)) else {
        return Ok(Step { removed: 0, done: Done::Room(room) });
    };
    let deleted = log.messages.delete_many(doc! { "_id.room": &room, "_id.seq": { "$lt": end } }).await?.deleted_count;
    let mut removed = deleted.saturating_sub(u64::from(deleted > 0 && marked));
    if whole_room {
        removed += mark(log, &room, end).await?;
    }
    let full = next.is_none() && !whole_room;
    Ok(Step { removed, done: if full { Done::Within(room) } else { Done::Room(room) } })
}

/// Leaves nothing of a room's newest message but its place. Returns how many that changes.
async fn mark(log: &Log, room: &str, seq: i64) -> Result<u64> {
    let message = doc! { "_id.room": room, "_id.seq": seq, "user": { "$ne": null } };
    // Nobody is the user `null`: the mark is in nobody's way.
    let mark = doc! { "$set": { "user": null, "id": seq.to_string(), "body": "" } };
    Ok(log.messages.update_one(message, mark).await?.modified_count)
}
