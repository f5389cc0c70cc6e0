//! Profiles: how to talk to the server under test, as a TOML file.

use regex::{Captures, Regex};
use serde::Deserialize;
use std::collections::BTreeMap;

/// How deep a drill can look into the conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
pub enum Level {
    /// Any server: only sockets and frames are watched.
    #[default]
    L0,
    /// A server that answers each message.
    L1,
    /// A server with rooms (topics, channels), in which messages are broadcast.
    L2,
}

/// How to talk to a server: message templates to send, and patterns (regular expressions) for what comes back.
///
/// Templates may contain `{room}`, `{user}`, `{key}` (unique for each message), `{pad}` (filler for large messages) and `{last}`
/// (the position of the last message that was received). Patterns use named groups: `room`, `key`, `last`, `ms`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// The profile's name, for reports.
    pub name: String,
    /// What the messages below allow to check.
    pub level: Level,
    /// Appended to the URL, for instance `?user={user}`.
    pub url_suffix: String,
    /// Further request headers; values may contain `{user}`.
    pub headers: BTreeMap<String, String>,
    /// The subprotocol to offer.
    pub subprotocol: Option<String>,
    /// Sent once after the handshake, for instance to log in.
    pub hello: Option<String>,
    /// Expected before anything else is sent.
    pub ready: Option<Pattern>,
    /// A message of the server that wants the answer `pong`: a heartbeat of the application.
    pub ping: Option<Pattern>,
    /// See [`ping`](Self::ping).
    pub pong: String,
    /// L2: joins `{room}`.
    pub join: String,
    /// L2: says that `room` was joined.
    pub joined: Option<Pattern>,
    /// L1: a message that is answered. L2: publishes to `{room}`.
    pub send: String,
    /// L1: the answer to the message `key`. L2: delivers the message `key` to a member of `room`.
    pub received: Option<Pattern>,
    /// L2: says that message `key` was accepted for good. Without it, the sender's own delivery stands for it.
    pub ack: Option<Pattern>,
    /// A refusal of message `key`: an answer, too.
    pub refused: Option<Pattern>,
    /// The position `last` of a delivered message.
    pub position: Option<Pattern>,
    /// L2: joins `{room}` and asks for what came after `{last}` (`0`: everything).
    pub resume: Option<String>,
    /// Tells the client when to come back, `ms` milliseconds from then.
    pub slot: Option<Pattern>,
    /// Rules that do not apply to this server, and why.
    pub not_applicable: BTreeMap<String, String>,
}

/// A regular expression in a profile.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Regex::new(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Pattern {
    /// Whether the pattern occurs in `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// What the group `name` matched; `None` where the pattern does not occur, or has no such group.
    #[must_use]
    pub fn group<'t>(&self, name: &str, text: &'t str) -> Option<&'t str> {
        self.captures(text)?.name(name).map(|found| found.as_str())
    }

    fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.0.captures(text)
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// There is no built-in profile of that name.
    #[error("there is no profile {name:?}: built in are {}; a file's name ends with .toml", builtin_names())]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file's path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not a profile.
    #[error("{name} is not a profile: {message}")]
    Invalid {
        /// The profile's name or path.
        name: String,
        /// What is wrong with it, and where.
        message: String,
    },
}

/// The profiles that come with the drill: name and text.
pub const BUILTIN: &[(&str, &str)] = &[
    ("l0", include_str!("../profiles/l0.toml")),
    ("echo", include_str!("../profiles/echo.toml")),
    ("chatbox.v1", include_str!("../profiles/chatbox.v1.toml")),
    ("socket.io", include_str!("../profiles/socket.io.toml")),
    ("graphql-transport-ws", include_str!("../profiles/graphql-transport-ws.toml")),
    ("phoenix", include_str!("../profiles/phoenix.toml")),
    ("centrifugo", include_str!("../profiles/centrifugo.toml")),
];

fn builtin_names() -> String {
    let names: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Profile {
    /// The profile with that name, or in that file where the name ends with `.toml`.
    ///
    /// # Errors
    /// [`ProfileError`], which names the profile and what is wrong with it.
    pub fn load(name: &str) -> Result<Self, ProfileError> {
        if name.ends_with(".toml") {
            let text = std::fs::read_to_string(name)
                .map_err(|source| ProfileError::Unreadable { path: name.to_owned(), source })?;
            return Self::parse(name, &text);
        }
        let (_, text) = BUILTIN
            .iter()
            .find(|(builtin, _)| *builtin == name)
            .ok_or_else(|| ProfileError::Unknown { name: name.to_owned() })?;
        Self::parse(name, text)
    }

    /// Reads a profile's text. `name` is for errors, and for reports where the profile has no name of its own.
    ///
    /// # Errors
    /// [`ProfileError::Invalid`] for unknown keys, wrong types, patterns that are no regular expressions, unknown rules, and
    /// messages that the level needs and the profile lacks.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let invalid = |message: String| ProfileError::Invalid { name: name.to_owned(), message };
        let mut profile: Self = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if profile.name.is_empty() {
            name.clone_into(&mut profile.name);
        }
        profile.check().map_err(invalid)?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), String> {
        for rule in self.not_applicable.keys() {
            if crate::rule::Rule::from_id(rule).is_none() {
                return Err(format!("not_applicable.{rule}: there is no such rule"));
            }
        }
        let needs = |key: &str, there: bool| {
            if there { Ok(()) } else { Err(format!("`{key}` is missing: level {:?} needs it", self.level)) }
        };
        if self.level >= Level::L1 {
            needs("send", self.send.contains("{key}")).map_err(|_| {
                format!("`send` must contain {{key}}: level {:?} tells messages apart by it", self.level)
            })?;
            needs("received", self.received.is_some())?;
        }
        if self.level >= Level::L2 {
            needs("join", !self.join.is_empty())?;
        }
        if self.resume.is_some() {
            needs("position", self.position.is_some())?;
        }
        Ok(())
    }

    /// The message that joins `room`.
    pub(crate) fn join(&self, user: &str, room: &str) -> String {
        fill(&self.join, &[("room", room), ("user", user)])
    }

    /// The message that joins `room` and resumes after `last`.
    pub(crate) fn resume(&self, user: &str, room: &str, last: &str) -> Option<String> {
        Some(fill(self.resume.as_ref()?, &[("room", room), ("user", user), ("last", last)]))
    }

    /// A message with that key, with `pad` bytes of filler.
    pub(crate) fn send(&self, user: &str, room: &str, key: &str, pad: usize) -> String {
        fill(&self.send, &[("room", room), ("user", user), ("key", key), ("pad", &"x".repeat(pad))])
    }

    /// What `text` of the server means. A text can mean several things, for instance a delivery that is an acknowledgement, too.
    pub(crate) fn meaning(&self, text: &str) -> Meaning {
        let key = |pattern: &Option<Pattern>| Some(pattern.as_ref()?.group("key", text)?.to_owned());
        Meaning {
            received: key(&self.received),
            acked: key(&self.ack),
            refused: key(&self.refused),
            last: self.position.as_ref().and_then(|pattern| pattern.group("last", text)).map(str::to_owned),
            slot: self.slot.as_ref().is_some_and(|pattern| pattern.matches(text)),
            joined: self.joined.as_ref().is_some_and(|pattern| pattern.matches(text)),
            ready: self.ready.as_ref().is_some_and(|pattern| pattern.matches(text)),
            ping: self.ping.as_ref().is_some_and(|pattern| pattern.matches(text)),
        }
    }
}

/// What a message of the server means, by the profile's patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) received: Option<String>,
    pub(crate) acked: Option<String>,
    pub(crate) refused: Option<String>,
    pub(crate) last: Option<String>,
    pub(crate) slot: bool,
    pub(crate) joined: bool,
    pub(crate) ready: bool,
    pub(crate) ping: bool,
}

/// Replaces `{name}` by its value; braces around anything else stay, since messages are often JSON.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_can_be_used() {
        for (name, _) in BUILTIN {
            let profile = Profile::load(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(!profile.name.is_empty());
        }
    }

    #[test]
    fn errors_name_the_profile_and_the_fault() {
        for (text, expected) in [
            ("colour = 1", "colour"),
            ("level = 'L3'", "L3"),
            ("level = 'L1'", "{key}"),
            ("level = 'L1'\nsend = '{key}'", "received"),
            ("level = 'L2'\nsend = '{key}'\nreceived = '(?<key>.)'", "join"),
            ("received = '('", "regex"),
            ("resume = '{last}'", "position"),
            ("[not_applicable]\nZ9 = 'why'", "Z9"),
        ] {
            let error = Profile::parse("mine.toml", text).unwrap_err().to_string();
            assert!(error.contains("mine.toml") && error.contains(expected), "{text:?}: {error}");
        }
        assert!(Profile::load("nope").unwrap_err().to_string().contains("chatbox.v1"));
        assert!(Profile::load("/nowhere/at/all.toml").unwrap_err().to_string().contains("/nowhere/at/all.toml"));
    }

    #[test]
    fn templates_keep_the_braces_of_json() {
        assert_eq!(fill(r#"{"room":"{room}","n":{}}"#, &[("room", "a")]), r#"{"room":"a","n":{}}"#);
    }

    #[test]
    fn a_chatbox_delivery_is_understood() {
        let profile = Profile::load("chatbox.v1").unwrap();
        let text =
            r#"{"type":"message","room":"r","seq":7,"user":"u","id":"k-1","body":"x","at":"2026-01-02T03:04:05Z"}"#;
        let meaning = profile.meaning(text);
        assert_eq!(meaning, Meaning { received: Some("k-1".into()), last: Some("7".into()), ..Meaning::default() });
        let ack = profile.meaning(r#"{"type":"ack","room":"r","id":"k-1","seq":7}"#);
        assert_eq!(ack, Meaning { acked: Some("k-1".into()), ..Meaning::default() });
    }
}
