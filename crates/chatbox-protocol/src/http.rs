//! The JSON bodies of the HTTP side.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::ServerMessage;

/// What `GET {prefix}/rooms/{room}/messages` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History<'a> {
    /// The newest `seq` of the room, 0 when there is none.
    pub head: u64,
    /// The messages asked for, each a [`ServerMessage::Message`], in `seq` order.
    #[serde(borrow)]
    pub messages: Vec<ServerMessage<'a>>,
}

/// The body of every HTTP refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody<'a> {
    /// What is wrong, for programs: `draining`, `full` …
    #[serde(borrow)]
    pub error: Cow<'a, str>,
    /// What is wrong, for people.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
}
