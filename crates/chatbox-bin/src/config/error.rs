//! Configuration errors: the keys, where their values come from, and what is wrong.

use crate::auth::KeyError;
use chatbox_store::StoreError;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The ways to configure a key for tokens, as messages list them.
const KEY_SETTINGS: &str = "auth.jwt_secret, auth.jwt_secret_file, auth.jwt_public_key_file or auth.jwt_keys_dir";

/// An invalid configuration. The program ends with exit code 2 and this text, which holds no secret.
#[derive(Debug)]
pub struct ConfigError {
    keys: Vec<Cow<'static, str>>,
    /// A key beside those at fault whose value may be the cause.
    also: Option<&'static str>,
    sources: Vec<ConfigSource>,
    kind: Box<ConfigErrorKind>,
}

/// Where the value of a key comes from. A later variant overrides an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConfigSource {
    /// The built-in default.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable of this name.
    Environment(String),
    /// A command-line flag that sets this key.
    CommandLine(String),
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// No such key.
    #[error("{}", hint(suggestion.as_deref(), known))]
    UnknownKey {
        /// A known key with a similar name, as it is written in the same source.
        suggestion: Option<String>,
        /// The keys of the same section.
        known: Vec<&'static str>,
    },
    /// A value of the wrong type or form.
    #[error("invalid value{}: {problem}", value.as_ref().map(|value| format!(" {value}")).unwrap_or_default())]
    InvalidValue {
        /// The value as TOML. `None` where it may be a secret.
        value: Option<String>,
        /// What was expected, or what is wrong.
        problem: String,
    },
    /// A number or a duration of zero.
    #[error("must be more than 0")]
    Zero,
    /// A value above its maximum.
    #[error("{value} is more than {max}")]
    TooLarge {
        /// The value.
        value: String,
        /// The largest value that is allowed.
        max: String,
    },
    /// A file that is not TOML.
    #[error("{0}")]
    Syntax(String),
    /// A file that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A secret that is given directly and in a file.
    #[error("both set: set one of them")]
    BothSet,
    /// A heartbeat timeout that ends before the first ping.
    #[error("heartbeat.interval ({interval:?}) must be shorter than heartbeat.timeout ({timeout:?})")]
    HeartbeatOrder {
        /// `heartbeat.interval`.
        interval: Duration,
        /// `heartbeat.timeout`.
        timeout: Duration,
    },
    /// Two listeners on one address.
    #[error("{0} is the address of both: the ops listener needs its own, or leave ops_listen unset")]
    SameAddress(SocketAddr),
    /// Shutdown phases that do not fit into the grace period.
    #[error("shutdown: {0}")]
    Shutdown(chatbox_shutdown::Error),
    /// A store URL that cannot be used.
    #[error("{0}")]
    Store(StoreError),
    /// A token key that cannot be used.
    #[error("{0}")]
    TokenKey(KeyError),
    /// A claim is required of tokens, but there is no key to check them with.
    #[error("is set and no key is, so that no token could be checked: set {KEY_SETTINGS}")]
    ClaimWithoutKey,
    /// Neither tokens nor names are accepted.
    #[error("is `never` and no key is set, so that no client can connect: set {KEY_SETTINGS}")]
    NoIdentity,
    /// A listener that other machines can reach, without authentication.
    #[error(
        "`{0}` is not a loopback address and no key is set: set {KEY_SETTINGS}, or auth.anonymous = \"always\" to accept \
         any name from any client"
    )]
    OpenWithoutKey(SocketAddr),
}

impl ConfigError {
    pub(crate) fn new<K: Into<Cow<'static, str>>>(keys: impl IntoIterator<Item = K>, kind: ConfigErrorKind) -> Self {
        let keys = keys.into_iter().map(Into::into).collect();
        Self { keys, also: None, sources: Vec::new(), kind: Box::new(kind) }
    }

    /// An invalid value, shown as it was written.
    pub(crate) fn invalid(key: &'static str, value: impl fmt::Debug, problem: impl fmt::Display) -> Self {
        let value = Some(format!("{value:?}"));
        Self::new([key], ConfigErrorKind::InvalidValue { value, problem: problem.to_string() })
    }

    /// Adds the source of another key, which the text does not name.
    pub(super) fn with_source_of(mut self, key: &'static str) -> Self {
        self.also = Some(key);
        self
    }

    pub(super) fn with_source(mut self, source: Option<ConfigSource>) -> Self {
        self.sources.extend(source);
        self
    }

    /// Looks up the source of each key.
    pub(super) fn located(mut self, locate: impl Fn(&str) -> ConfigSource) -> Self {
        self.sources = self.keys().chain(self.also).map(locate).collect();
        self
    }

    /// The keys at fault, such as `shutdown.drain`. Empty for a file that cannot be read or parsed.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(AsRef::as_ref)
    }

    /// Where the values of the keys come from, in the order of [`keys`](Self::keys). Empty for a [`Config`](super::Config) that was
    /// not loaded from sources.
    #[must_use]
    pub fn sources(&self) -> &[ConfigSource] {
        &self.sources
    }

    /// What is wrong with them.
    #[must_use]
    pub fn kind(&self) -> &ConfigErrorKind {
        &self.kind
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.join(" and ");
        match &*self.kind {
            ConfigErrorKind::UnknownKey { .. } => write!(f, "unknown key `{keys}`; ")?,
            ConfigErrorKind::BothSet => write!(f, "{keys} are ")?,
            ConfigErrorKind::ClaimWithoutKey | ConfigErrorKind::NoIdentity => write!(f, "{keys} ")?,
            // These name their keys themselves.
            ConfigErrorKind::HeartbeatOrder { .. } | ConfigErrorKind::Shutdown(_) => {}
            _ if keys.is_empty() => {}
            _ => write!(f, "{keys}: ")?,
        }
        write!(f, "{}", self.kind)?;
        let sources = ConfigSource::list(&self.sources);
        if sources.is_empty() { Ok(()) } else { write!(f, " ({sources})") }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

impl ConfigSource {
    /// The sources other than defaults, with commas.
    pub(super) fn list(sources: &[Self]) -> String {
        let mut texts: Vec<_> =
            sources.iter().filter(|source| **source != Self::Default).map(ToString::to_string).collect();
        texts.dedup();
        texts.join(", ")
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment: {name}"),
            Self::CommandLine(key) => write!(f, "command line: {key}"),
        }
    }
}

fn hint(suggestion: Option<&str>, known: &[&str]) -> String {
    match suggestion {
        Some(suggestion) => format!("did you mean {suggestion}? Known here are {}", known.join(", ")),
        None if known.is_empty() => "it has an empty part".to_owned(),
        None => format!("known here are {}", known.join(", ")),
    }
}
