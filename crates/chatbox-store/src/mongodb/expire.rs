//! Retention: removing the oldest messages of every room, a bounded step at a time.

use futures_util::TryStreamExt;
use mongodb::bson::doc;
use mongodb::error::Result;

use super::documents::ExpiryCandidate;
use super::log::Log;
use crate::Cutoff;

/// Younger messages stay, however short the retention: an append on its way relies on the messages that were there when it
/// began (see [`append`](super::append)).
const YOUNGEST_MS: i64 = 120_000;

/// How many messages of a room one step removes.
const PER_STEP: i64 = 1000;

/// The result of one step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) removed: u64,
    pub(super) done: Done,
}

/// How far the sweep has come.
#[derive(Debug)]
pub(super) enum Done {
    Nothing,
    /// This one and all before it.
    Room(String),
    /// This one in part.
    Within(String),
    All,
}

/// The cutoff, moved back as far as appends on their way require.
pub(super) fn allowed(Cutoff { before_ms, now_ms }: Cutoff, server_ms: i64) -> Cutoff {
    Cutoff { before_ms: before_ms.min(server_ms.saturating_sub(YOUNGEST_MS)), now_ms }
}

/// Continues with the room after those that are done.
pub(super) async fn step(log: &Log, cutoff: Cutoff, done: &Done) -> Result<Step> {
    let rest = match done {
        Done::Nothing => doc! {},
        Done::Room(room) => doc! { "_id.room": { "$gt": room } },
        Done::Within(room) => doc! { "_id.room": { "$gte": room } },
        Done::All => return Ok(Step { removed: 0, done: Done::All }),
    };
    let oldest = log
        .messages
        .clone_with_type::<ExpiryCandidate>()
        .find_one(rest)
        .sort(doc! { "_id.room": 1, "_id.seq": 1 })
        .projection(doc! { "at": 1, "user": 1 })
        .await?;
    let Some(oldest) = oldest else { return Ok(Step { removed: 0, done: Done::All }) };
    let stays = !oldest.is_expired(cutoff) && !oldest.is_misdated(cutoff);
    let room = oldest.position.room;
    if stays {
        return Ok(Step { removed: 0, done: Done::Room(room) });
    }
    let removable = removable(log, &room, cutoff).await?;
    let Some(last) = removable.last else { return Ok(Step { removed: 0, done: Done::Room(room) }) };
    // The newest message of a room stays while it may be the one from which the next `seq` is counted.
    let end = if removable.is_newest { last } else { last + 1 };
    let deleted = log.messages.delete_many(doc! { "_id.room": &room, "_id.seq": { "$lt": end } }).await?.deleted_count;
    let mut removed = deleted.saturating_sub(u64::from(deleted > 0 && removable.has_mark));
    if removable.is_newest && !removable.is_cut {
        removed += mark(log, &room, last).await?;
    }
    Ok(Step { removed, done: if removable.is_cut { Done::Within(room) } else { Done::Room(room) } })
}

/// The oldest documents of a room that may be removed.
struct Removable {
    /// The `seq` of the last one.
    last: Option<i64>,
    /// Whether no document is known behind it.
    is_newest: bool,
    /// Whether the first one is a mark, which counts as removed already.
    has_mark: bool,
    /// Whether the step ends before the room does.
    is_cut: bool,
}

async fn removable(log: &Log, room: &str, cutoff: Cutoff) -> Result<Removable> {
    let mut found = log
        .messages
        .clone_with_type::<ExpiryCandidate>()
        .find(doc! { "_id.room": room })
        .sort(doc! { "_id.seq": 1 })
        .limit(PER_STEP)
        .projection(doc! { "at": 1, "user": 1 })
        .await?;
    let mut oldest: Vec<ExpiryCandidate> = Vec::new();
    let mut followed = false;
    while let Some(candidate) = found.try_next().await? {
        if !candidate.is_expired(cutoff) && !candidate.is_misdated(cutoff) {
            followed = true;
            break;
        }
        oldest.push(candidate);
    }
    let is_cut = !followed && oldest.len() as i64 == PER_STEP;
    let mut last = oldest.iter().rposition(|candidate| candidate.is_expired(cutoff));
    if let Some(end) = oldest.last()
        && is_cut
        && end.is_misdated(cutoff)
        && next_is_expired(log, room, end.position.seq, cutoff).await?
    {
        last = Some(oldest.len() - 1);
    }
    Ok(Removable {
        last: last.map(|last| oldest[last].position.seq),
        is_newest: !followed && last.is_some_and(|last| last + 1 == oldest.len()),
        has_mark: oldest.first().is_some_and(ExpiryCandidate::is_mark),
        is_cut,
    })
}

/// Whether the first message behind `seq` whose date is not wrong is past its retention.
async fn next_is_expired(log: &Log, room: &str, seq: i64, cutoff: Cutoff) -> Result<bool> {
    let next = log
        .messages
        .clone_with_type::<ExpiryCandidate>()
        .find_one(doc! { "_id.room": room, "_id.seq": { "$gt": seq }, "at": { "$lte": cutoff.now_ms } })
        .sort(doc! { "_id.seq": 1 })
        .projection(doc! { "at": 1, "user": 1 })
        .await?;
    Ok(next.is_some_and(|next| next.is_expired(cutoff)))
}

/// Turns a room's newest message into a mark that keeps nothing but its position. Returns how many messages that removes.
async fn mark(log: &Log, room: &str, seq: i64) -> Result<u64> {
    let message = doc! { "_id.room": room, "_id.seq": seq, "user": { "$ne": null } };
    // No user is `null`, so no message has the ids of the mark.
    let mark = doc! { "$set": { "user": null, "id": seq.to_string(), "body": "" } };
    Ok(log.messages.update_one(message, mark).await?.modified_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_server_decides_what_is_too_young_to_be_removed() {
        let allowed = |before_ms| allowed(Cutoff { before_ms, now_ms: 900_000 }, 500_000).before_ms;
        assert_eq!((allowed(800_000), allowed(380_001), allowed(380_000), allowed(1)), (380_000, 380_000, 380_000, 1));
    }
}
