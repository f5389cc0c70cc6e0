//! The documents as they are stored, and the names of their collections.

use mongodb::bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use crate::{Cutoff, Draft, Stored};

pub(super) const MESSAGES: &str = "messages";
pub(super) const META: &str = "meta";
pub(super) const TICKS: &str = "ticks";

/// The position of a message: the `_id` of its document.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Position<R = String> {
    pub(super) room: R,
    /// MongoDB's integers are signed; a `seq` never gets that far.
    pub(super) seq: i64,
}

/// A message about to be stored.
#[derive(Debug, Serialize)]
pub(super) struct NewMessage<'a> {
    #[serde(rename = "_id")]
    position: Position<&'a str>,
    user: &'a str,
    id: &'a str,
    body: &'a str,
    at: i64,
}

impl<'a> NewMessage<'a> {
    pub(super) fn new(room: &'a str, seq: u64, draft: &'a Draft) -> Self {
        let position = Position { room, seq: seq.cast_signed() };
        Self { position, user: &draft.user, id: &draft.id, body: &draft.body, at: draft.at_ms }
    }
}

/// A message that is stored.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(rename = "_id")]
    pub(super) position: Position,
    /// `None` for the mark that a room's newest message leaves when it is removed.
    user: Option<String>,
    id: String,
    body: String,
    at: i64,
}

impl Message {
    pub(super) fn stored(self) -> Option<Stored> {
        Some(Stored {
            seq: self.position.seq.cast_unsigned(),
            user: self.user?.into(),
            id: self.id.into(),
            body: self.body.into(),
            at_ms: self.at,
        })
    }
}

/// A document of which only the position is read.
#[derive(Debug, Deserialize)]
pub(super) struct PositionOnly {
    #[serde(rename = "_id")]
    pub(super) position: Position,
}

/// The fields that decide whether a message is past its retention.
#[derive(Debug, Deserialize)]
pub(super) struct ExpiryCandidate {
    #[serde(rename = "_id")]
    pub(super) position: Position,
    at: i64,
    /// As in [`Message`].
    user: Option<String>,
}

impl ExpiryCandidate {
    /// Whether this is the mark that a removed message left.
    pub(super) fn is_mark(&self) -> bool {
        self.user.is_none()
    }

    /// Whether this is past its retention. A mark always is: its date is that of a message that has been removed, and may be
    /// later than those of the messages behind it.
    pub(super) fn is_expired(&self, cutoff: Cutoff) -> bool {
        self.is_mark() || self.at < cutoff.before_ms
    }

    /// Whether its date is wrong, so that the messages behind it decide.
    pub(super) fn is_misdated(&self, cutoff: Cutoff) -> bool {
        !self.is_mark() && self.at > cutoff.now_ms
    }
}

/// A document that a process writes periodically, to measure how late its change stream delivers it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Tick {
    #[serde(rename = "_id")]
    pub(super) process: ObjectId,
    /// In milliseconds of the process's monotonic clock.
    pub(super) sent: i64,
    /// For the index that removes the ticks of processes that have ended.
    pub(super) at: mongodb::bson::DateTime,
}
