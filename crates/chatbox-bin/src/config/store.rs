//! Section `store`: where messages are kept, and for how long.

use super::error::{ConfigError, ConfigErrorKind};
use super::{Secret, values};
use chatbox_store::StoreUrl;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Section `store`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StoreConfig {
    /// `sqlite:PATH`, `mongodb://…`, `mongodb+srv://…` (with the feature `mongodb-srv`) or `memory:`. Default `sqlite:chatbox.db`.
    pub url: Secret,
    /// File with the URL.
    pub url_file: Option<PathBuf>,
    /// How long messages are kept. Default: forever.
    pub retention: Retention,
}

/// `store.retention`: how long messages are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retention {
    /// Messages are never removed. Default.
    #[default]
    Forever,
    /// Messages older than this are removed.
    For(Duration),
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: Secret::new("sqlite:chatbox.db"), url_file: None, retention: Retention::Forever }
    }
}

impl StoreConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self.retention {
            Retention::For(keep) => values::positive("store.retention", keep),
            Retention::Forever => Ok(()),
        }
    }

    /// The URL, read from its file where there is one.
    pub(super) fn parse_url(&self) -> Result<StoreUrl, ConfigError> {
        let default = Self::default().url;
        let url = Some(&self.url).filter(|url| self.url_file.is_none() || **url != default);
        let url = one_of(("store.url", url), ("store.url_file", self.url_file.as_deref()))?;
        url.unwrap_or(default).reveal().parse().map_err(|error| {
            ConfigError::new(["store.url"], ConfigErrorKind::Store(error)).with_source_of("store.url_file")
        })
    }
}

/// A secret that is given directly or in a file, but not both.
pub(super) fn one_of(
    (key, value): (&'static str, Option<&Secret>),
    (file_key, file): (&'static str, Option<&Path>),
) -> Result<Option<Secret>, ConfigError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError::new([key, file_key], ConfigErrorKind::BothSet)),
        (value, None) => Ok(value.cloned()),
        (None, Some(path)) => Secret::read(path).map(Some).map_err(|error| {
            ConfigError::new([file_key], ConfigErrorKind::UnreadableFile { path: path.to_owned(), error })
        }),
    }
}

impl Serialize for Retention {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Forever => serializer.serialize_str("forever"),
            Self::For(time) => values::duration::serialize(time, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "forever" {
            return Ok(Self::Forever);
        }
        humantime::parse_duration(&text)
            .map(Self::For)
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"forever, or a duration such as 30d"))
    }
}
