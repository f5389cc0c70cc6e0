//! The log in SQL: what is done on a connection, without threads.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::message::within_read_bytes;
use crate::{Append, AppendResult, Appended, Cutoff, Page, Span, Stored};

/// The most that one step of [`expire`] does, so that appends do not wait long behind it.
const EXPIRED_PER_STEP: u64 = 1000;
const ROOMS_PER_STEP: usize = 100;

/// The result of one step of [`expire`].
#[derive(Debug)]
pub(super) struct Expired {
    pub(super) removed: u64,
    /// The next step continues with the rooms that have a greater id than this; `None` when there is none.
    pub(super) rest: Option<i64>,
}

/// Within a transaction: one answer for each append, in order.
pub(super) fn append(log: &Connection, batch: &[Append]) -> Result<Vec<Appended>> {
    batch.iter().map(|append| append_to_room(log, append)).collect()
}

pub(super) fn span(log: &Connection, room: &str) -> Result<Span> {
    let span = log
        .prepare_cached(
            "SELECT head, coalesce((SELECT min(seq) FROM messages WHERE room = rooms.id), head + 1)
             FROM rooms WHERE name = ?1",
        )?
        .query_row([room], |row| Ok(Span { head: seq(row, 0)?, first: seq(row, 1)? }))
        .optional()?;
    Ok(span.unwrap_or(Span { first: 1, head: 0 }))
}

/// The head and the messages are those of one moment.
pub(super) fn read(log: &Connection, room: &str, after: u64, limit: usize) -> Result<Page> {
    let snapshot = log.unchecked_transaction()?;
    let known: Option<(i64, u64)> = snapshot
        .prepare_cached("SELECT id, head FROM rooms WHERE name = ?1")?
        .query_row([room], |row| Ok((row.get(0)?, seq(row, 1)?)))
        .optional()?;
    let Some((room, head)) = known else { return Ok(Page::new(0, Vec::new())) };
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
    let mut within = within_read_bytes();
    let messages = snapshot
        .prepare_cached(
            "SELECT seq, user, id, body, at_ms FROM messages
             WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?
        .query_map(params![room, after, limit], stored)?
        .take_while(|message| message.as_ref().map_or(true, &mut within))
        .collect::<Result<_>>()?;
    Ok(Page::new(head, messages))
}

/// One step, over the rooms with an id greater than `done`. Within a transaction.
pub(super) fn expire(log: &Connection, cutoff: Cutoff, mut done: i64) -> Result<Expired> {
    let rooms: Vec<i64> = log
        .prepare_cached("SELECT id FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![done, ROOMS_PER_STEP as i64], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let mut removed = 0;
    for &room in &rooms {
        removed += expire_room(log, room, cutoff, EXPIRED_PER_STEP - removed)?;
        if removed == EXPIRED_PER_STEP {
            return Ok(Expired { removed, rest: Some(done) });
        }
        done = room;
    }
    Ok(Expired { removed, rest: (rooms.len() == ROOMS_PER_STEP).then_some(done) })
}

/// Writes and removes what it wrote: the commit fails if there is no room to write.
pub(super) fn probe(log: &Connection) -> Result<()> {
    // As long as a long message: a full disk may have a page left.
    log.execute("INSERT INTO probe VALUES (zeroblob(65536))", ())?;
    log.execute("DELETE FROM probe", ())?;
    Ok(())
}

fn append_to_room(log: &Connection, append: &Append) -> Result<Appended> {
    let known: Option<(i64, u64)> = log
        .prepare_cached("SELECT id, head FROM rooms WHERE name = ?1")?
        .query_row([&*append.room], |row| Ok((row.get(0)?, seq(row, 1)?)))
        .optional()?;
    let head = known.map_or(0, |(_, head)| head);
    if append.expected_head != head {
        return Ok(Appended::HeadMoved { head });
    }
    if append.messages.is_empty() {
        return Ok(Appended::All(Vec::new()));
    }
    let room = match known {
        Some((room, _)) => room,
        None => log.prepare_cached("INSERT INTO rooms (name, head) VALUES (?1, 0)")?.insert([&*append.room])?,
    };
    let mut insert = log.prepare_cached(
        "INSERT INTO messages (room, seq, user, id, body, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (room, user, id) DO NOTHING",
    )?;
    let mut find = log.prepare_cached("SELECT seq FROM messages WHERE room = ?1 AND user = ?2 AND id = ?3")?;
    let mut newest = head;
    let mut results = Vec::with_capacity(append.messages.len());
    for draft in &append.messages {
        let next = (newest + 1).cast_signed();
        let message = params![room, next, &*draft.user, &*draft.id, &*draft.body, draft.at_ms];
        results.push(if insert.execute(message)? == 1 {
            newest += 1;
            AppendResult::New(newest)
        } else {
            let stored = params![room, &*draft.user, &*draft.id];
            AppendResult::Duplicate(find.query_row(stored, |row| seq(row, 0))?)
        });
    }
    log.prepare_cached("UPDATE rooms SET head = ?2 WHERE id = ?1")?.execute(params![room, newest.cast_signed()])?;
    Ok(Appended::All(results))
}

/// Removes the oldest messages of a room, at most `limit`, as [`Store::expire`](crate::Store::expire) says.
fn expire_room(log: &Connection, room: i64, cutoff: Cutoff, limit: u64) -> Result<u64> {
    let Cutoff { before_ms, now_ms } = cutoff;
    let oldest: Vec<(i64, i64)> = log
        .prepare_cached("SELECT seq, at_ms FROM messages WHERE room = ?1 ORDER BY seq LIMIT ?2")?
        .query_map(params![room, limit.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .take_while(|row| row.as_ref().map_or(true, |&(_, at_ms)| at_ms < before_ms || at_ms > now_ms))
        .collect::<Result<_>>()?;
    let expired = oldest.iter().rev().find(|&&(_, at_ms)| at_ms < before_ms).map(|&(seq, _)| seq);
    let last = match oldest.last() {
        // As far as one step can see, the last ones have wrong dates: what follows decides about them.
        Some(&(seq, at_ms)) if at_ms > now_ms && oldest.len() as u64 == limit => {
            let next: Option<i64> = log
                .prepare_cached(
                    "SELECT at_ms FROM messages WHERE room = ?1 AND seq > ?2 AND at_ms <= ?3 ORDER BY seq LIMIT 1",
                )?
                .query_row(params![room, seq, now_ms], |row| row.get(0))
                .optional()?;
            next.filter(|&at_ms| at_ms < before_ms).map(|_| seq).or(expired)
        }
        _ => expired,
    };
    let Some(last) = last else { return Ok(0) };
    let removed =
        log.prepare_cached("DELETE FROM messages WHERE room = ?1 AND seq <= ?2")?.execute(params![room, last])?;
    Ok(removed as u64)
}

fn stored(row: &Row<'_>) -> Result<Stored> {
    Ok(Stored {
        seq: seq(row, 0)?,
        user: row.get::<_, Arc<str>>(1)?,
        id: row.get(2)?,
        body: row.get(3)?,
        at_ms: row.get(4)?,
    })
}

/// SQLite's integers are signed, sequence numbers are not.
fn seq(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}
