//! The documents as they are stored, and the names of their collections.

use mongodb::bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use crate::{Draft, Stored};

pub(super) const MESSAGES: &str = "messages";
pub(super) const META: &str = "meta";
pub(super) const TICKS: &str = "ticks";

/// Where a message stands: what its document is identified by.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Place<R = String> {
    pub(super) room: R,
    /// MongoDB's integers are signed; a `seq` never gets that far.
    pub(super) seq: i64,
}

/// A message about to be stored.
#[derive(Debug, Serialize)]
pub(super) struct NewMessage<'a> {
    #[serde(rename = "_id")]
    place: Place<&'a str>,
    user: &'a str,
    id: &'a str,
    body: &'a str,
    at: i64,
}

impl<'a> NewMessage<'a> {
    pub(super) fn new(room: &'a str, seq: u64, draft: &'a Draft) -> Self {
        let place = Place { room, seq: seq.cast_signed() };
        Self { place, user: &draft.user, id: &draft.id, body: &draft.body, at: draft.at_ms }
    }
}

/// A message that is stored.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(rename = "_id")]
    pub(super) place: Place,
    /// `None` for the mark that a room's newest message leaves when it is removed.
    user: Option<String>,
    id: String,
    body: String,
    at: i64,
}

impl Message {
    pub(super) fn stored(self) -> Option<Stored> {
        Some(Stored {
            seq: self.place.seq.cast_unsigned(),
            user: self.user?.into(),
            id: self.id.into(),
            body: self.body.into(),
            at_ms: self.at,
        })
    }
}

/// A document of which only the place matters.
#[derive(Debug, Deserialize)]
pub(super) struct PositionOnly {
    #[serde(rename = "_id")]
    pub(super) place: Place,
}

/// What decides whether a message is to be removed.
#[derive(Debug, Deserialize)]
pub(super) struct ExpiryCandidate {
    #[serde(rename = "_id")]
    pub(super) place: Place,
    at: i64,
    /// As in [`Message`].
    user: Option<String>,
}

impl ExpiryCandidate {
    /// Whether this is the mark that a removed message left behind.
    pub(super) fn is_mark(&self) -> bool {
        self.user.is_none()
    }

    /// Whether this is too young to be removed. A mark never is: the date in it belongs to a message that has been
    /// removed, and may lie after those of the messages behind it.
    pub(super) fn stays(&self, before_ms: i64) -> bool {
        !self.is_mark() && self.at >= before_ms
    }
}

/// What a process writes to hear it again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Tick {
    #[serde(rename = "_id")]
    pub(super) process: ObjectId,
    /// In milliseconds of the process's own clock.
    pub(super) sent: i64,
    /// For the index that removes the ticks of processes that are gone.
    pub(super) at: mongodb::bson::DateTime,
}
