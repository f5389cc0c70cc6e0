//! What a client says, and the strict reading of it: this is where input from strangers arrives.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{ErrorCode, InvalidName, MessageId, RoomName, ServerMessage};

/// A message from a client to the server.
///
/// Encoding (what a client does) gives one compact JSON object, `type` first, absent fields
/// omitted; the server reads with [`ClientMessage::parse`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage<'a> {
    /// Enter a room. At most one of `after` and `last` is set; with neither, only live messages
    /// follow.
    Join {
        /// The room to enter.
        room: RoomName<'a>,
        /// The last `seq` seen: everything later is replayed first.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// Replay at most that many of the newest messages.
        #[serde(skip_serializing_if = "Option::is_none")]
        last: Option<u64>,
    },
    /// Leave a room.
    Leave {
        /// The room to leave.
        room: RoomName<'a>,
    },
    /// Send a message to a room, joined or not.
    Send {
        /// The room to send to.
        room: RoomName<'a>,
        /// Unique per user and room; sending it again stores it once.
        id: MessageId<'a>,
        /// The text. This crate does not limit its length.
        body: Cow<'a, str>,
    },
}

/// Why a text is no [`ClientMessage`], in the form in which the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Rejected<'a> {
    /// [`ErrorCode::BadMessage`] or [`ErrorCode::UnknownType`].
    pub code: ErrorCode,
    /// For people. Names the field at fault and never repeats what the client sent.
    pub message: String,
    /// The room of the message, when it could be read.
    pub room: Option<RoomName<'a>>,
    /// The id of the message, when it could be read.
    pub id: Option<MessageId<'a>>,
}

impl<'a> ClientMessage<'a> {
    /// Reads one text message, borrowing from it where no escape stands in the way.
    ///
    /// Fields may stand in any order, `type` included; unknown fields are ignored, and `null`
    /// counts as absent. Nesting costs no stack, so no depth is too deep.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownType`] when `type` is a text but none of ours; [`ErrorCode::BadMessage`]
    /// for everything else: no JSON object, a known field twice, missing, of the wrong type or out
    /// of range, `after` together with `last`.
    pub fn parse(text: &'a str) -> Result<Self, Rejected<'a>> {
        // The derived reader would also take an array for a struct.
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
    /// The answer to the client.
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

/// Every field of every message, found but not yet read: so that an error can name the field, and
/// still say which room and id it concerns.
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
}

/// A text that borrows when it can; a bare `Cow` never would.
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
                Ok(ClientMessage::Join { room, after, last })
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
