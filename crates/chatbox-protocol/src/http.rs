//! JSON bodies of the HTTP routes.

use crate::ServerMessage;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The answer of `GET {prefix}/rooms/{room}/messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History<'a> {
    /// The newest `seq` of the room, 0 when there is none.
    pub head: u64,
    /// The requested messages, each a [`ServerMessage::Message`], in `seq` order.
    #[serde(borrow)]
    pub messages: Vec<ServerMessage<'a>>,
}

/// The body of every HTTP refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorBody<'a> {
    /// The fault, for programs: `draining`, `full` …
    #[serde(borrow)]
    pub error: Cow<'a, str>,
    /// The fault, for people.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
}

impl<'a> History<'a> {
    /// A page of a room's messages.
    #[must_use]
    pub fn new(head: u64, messages: Vec<ServerMessage<'a>>) -> Self {
        Self { head, messages }
    }
}

impl<'a> ErrorBody<'a> {
    /// The body of a refusal.
    pub fn new(error: impl Into<Cow<'a, str>>, message: impl Into<Cow<'a, str>>) -> Self {
        Self { error: error.into(), message: message.into() }
    }
}
