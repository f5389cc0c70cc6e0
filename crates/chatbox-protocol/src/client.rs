//! Messages from a client, and the strict parser for them: their text is untrusted input.

use crate::{ErrorCode, InvalidName, MessageId, RoomName, ServerMessage};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A message from a client to the server.
///
/// Encoded, which clients do, as one compact JSON object: `type` first, absent fields omitted. Servers decode it with
/// [`ClientMessage::parse`].
///
/// The enum is exhaustive on purpose: a server has to handle every type that `parse` accepts. Variants may get fields:
/// match with `..`, and build messages with the constructors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage<'a> {
    /// Join a room. At most one of `after` and `last` is present; with neither, only live messages follow.
    #[non_exhaustive]
    Join {
        /// The room to join.
        room: RoomName<'a>,
        /// The last `seq` seen: everything later is replayed first.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// Replay at most that many of the newest messages.
        #[serde(skip_serializing_if = "Option::is_none")]
        last: Option<u64>,
        /// The log that `after` belongs to, as `joined` named it; absent for clients that do not know it. Without meaning
        /// where `after` is absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<Cow<'a, str>>,
    },
    /// Leave a room.
    #[non_exhaustive]
    Leave {
        /// The room to leave.
        room: RoomName<'a>,
    },
    /// Send a message to a room, joined or not.
    #[non_exhaustive]
    Send {
        /// The room to send to.
        room: RoomName<'a>,
        /// Unique per user and room; a second `send` with the same id stores nothing.
        id: MessageId<'a>,
        /// The text. This crate does not limit its length.
        body: Cow<'a, str>,
    },
}

/// The reason why a text is not a [`ClientMessage`], as the server reports it to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct Rejected<'a> {
    /// [`ErrorCode::BadMessage`] or [`ErrorCode::UnknownType`].
    pub code: ErrorCode,
    /// The fault, for people. Names the field and never repeats the client's input.
    pub message: String,
    /// The room of the message, when it could be read.
    pub room: Option<RoomName<'a>>,
    /// The id of the message, when it could be read.
    pub id: Option<MessageId<'a>>,
}

/// Constructors.
impl<'a> ClientMessage<'a> {
    /// A [`ClientMessage::Join`] without a replay: only live messages follow.
    #[must_use]
    pub fn join(room: RoomName<'a>) -> Self {
        Self::Join { room, after: None, last: None, epoch: None }
    }

    /// A [`ClientMessage::Join`] that replays everything after a `seq`; with the epoch of its log, if that is known.
    #[must_use]
    pub fn join_after(room: RoomName<'a>, after: u64, epoch: Option<&'a str>) -> Self {
        Self::Join { room, after: Some(after), last: None, epoch: epoch.map(Into::into) }
    }

    /// A [`ClientMessage::Join`] that replays at most `last` of the newest messages.
    #[must_use]
    pub fn join_last(room: RoomName<'a>, last: u64) -> Self {
        Self::Join { room, after: None, last: Some(last), epoch: None }
    }

    /// A [`ClientMessage::Leave`].
    #[must_use]
    pub fn leave(room: RoomName<'a>) -> Self {
        Self::Leave { room }
    }

    /// A [`ClientMessage::Send`].
    #[must_use]
    pub fn send(room: RoomName<'a>, id: MessageId<'a>, body: impl Into<Cow<'a, str>>) -> Self {
        Self::Send { room, id, body: body.into() }
    }
}

/// Encoding and decoding.
impl<'a> ClientMessage<'a> {
    /// Decodes one text message. Strings without escapes are borrowed from it.
    ///
    /// Fields may come in any order, `type` included; unknown fields are ignored, and `null` counts as absent. Nested
    /// values take no stack, however deep.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownType`] when `type` is a text that is not in the protocol; [`ErrorCode::BadMessage`] for
    /// everything else: not a JSON object, a known field twice, missing, of the wrong type or out of range, `after`
    /// together with `last`.
    pub fn parse(text: &'a str) -> Result<Self, Rejected<'a>> {
        // The derived reader would also accept an array for a struct.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Rejected::bad("not a JSON object"));
        }
        let fields: Fields<'a> =
            serde_json::from_str(text).map_err(|error| Rejected::bad(format!("not a valid JSON object: {error}")))?;
        fields.message().map_err(|(code, message)| Rejected {
            code,
            message,
            room: fields.room().ok(),
            id: fields.id().ok(),
        })
    }

    /// The encoded message.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("text and integers always encode")
    }
}

impl<'a> Rejected<'a> {
    /// The `error` message for the client.
    #[must_use]
    pub fn into_message(self) -> ServerMessage<'a> {
        ServerMessage::Error {
            code: self.code,
            message: self.message.into(),
            room: self.room.map(Into::into),
            id: self.id.map(Into::into),
            retry_after_ms: None,
        }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::BadMessage, message: message.into(), room: None, id: None }
    }
}

/// Every field of every message, located but not yet decoded, so that an error can name the field at fault and still carry
/// the room and the id.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    last: Option<&'a RawValue>,
    #[serde(borrow)]
    epoch: Option<&'a RawValue>,
}

/// A string that is borrowed where possible; serde always copies into a bare `Cow`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

type Fault = (ErrorCode, String);

impl<'a> Fields<'a> {
    fn message(&self) -> Result<ClientMessage<'a>, Fault> {
        match &*text("type", self.kind)? {
            "join" => {
                let room = self.room()?;
                let (after, last) = (number("after", self.after)?, number("last", self.last)?);
                if after.is_some() && last.is_some() {
                    return Err(bad("`after` and `last` exclude each other"));
                }
                let epoch = self.epoch.map(|epoch| text("epoch", Some(epoch))).transpose()?;
                Ok(ClientMessage::Join { room, after, last, epoch })
            }
            "leave" => Ok(ClientMessage::Leave { room: self.room()? }),
            "send" => Ok(ClientMessage::Send { room: self.room()?, id: self.id()?, body: text("body", self.body)? }),
            _ => Err((ErrorCode::UnknownType, "`type` is none of join, leave, send".to_owned())),
        }
    }

    fn room(&self) -> Result<RoomName<'a>, Fault> {
        RoomName::new(text("room", self.room)?).map_err(|error| invalid("room", error))
    }

    fn id(&self) -> Result<MessageId<'a>, Fault> {
        MessageId::new(text("id", self.id)?).map_err(|error| invalid("id", error))
    }
}

fn text<'a>(name: &str, value: Option<&'a RawValue>) -> Result<Cow<'a, str>, Fault> {
    let value = value.ok_or_else(|| bad(format!("`{name}` is missing")))?;
    let Text(text) = serde_json::from_str(value.get()).map_err(|_| bad(format!("`{name}` is not a text")))?;
    Ok(text)
}

fn number(name: &str, value: Option<&RawValue>) -> Result<Option<u64>, Fault> {
    value
        .map(|value| serde_json::from_str(value.get()))
        .transpose()
        .map_err(|_| bad(format!("`{name}` is not a whole number from 0 to 18446744073709551615")))
}

fn invalid(name: &str, error: InvalidName) -> Fault {
    bad(format!("`{name}`: {error}"))
}

fn bad(message: impl Into<String>) -> Fault {
    (ErrorCode::BadMessage, message.into())
}
