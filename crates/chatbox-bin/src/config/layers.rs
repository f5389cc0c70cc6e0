//! Where values come from: defaults, a file, the environment, flags; the later wins.

use super::{Config, ConfigError, Retention, check};
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The file that is read, if it is there, when none is named.
const DEFAULT_FILE: &str = "chatbox.toml";

/// Keys whose values are texts, whatever they look like: `0012` stays `0012`, `true` stays a name.
const TEXTS: &[&str] = &[
    "listen",
    "ops_listen",
    "path_prefix",
    "auth.jwt_secret",
    "auth.jwt_secret_file",
    "auth.jwt_public_key_file",
    "auth.jwt_keys_dir",
    "auth.issuer",
    "auth.audience",
    "store.url",
    "store.url_file",
    "shutdown.termination_log",
    "log.level",
    "log.directory",
];

/// What the command line says about configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `(key, value)` of the other flags, in order.
    pub set: Vec<(String, String)>,
}

/// A configuration, and where each of its values comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    pub(super) figment: Figment,
}

impl Loaded {
    /// Reads all layers. Checks types and names; what the values mean together is checked by [`Config::check`].
    ///
    /// # Errors
    /// The first key that is unknown, or whose value has the wrong type; or a file that cannot be read.
    pub fn read(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        let file = flags.file.as_deref().or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|file| file.exists()));
        if let Some(file) = file {
            // Read here, because the provider says only that something went wrong.
            let text = std::fs::read_to_string(file)
                .map_err(|error| ConfigError::new(format!("cannot read {}: {error}", file.display())))?;
            figment = figment.merge(FileLayer { path: file.to_owned(), text });
        }
        for setting in environment.into_iter().filter_map(Setting::variable) {
            figment = figment.merge(setting);
        }
        for setting in &flags.set {
            figment = figment.merge(Setting::flag(setting)?);
        }
        let config = figment.extract().map_err(|error| check::explain(&error, &figment))?;
        Ok(Self { config, figment })
    }
}

/// A TOML file whose text is at hand.
struct FileLayer {
    path: PathBuf,
    text: String,
}

impl Provider for FileLayer {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("file {}", self.path.display()))
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Toml::string(&self.text).data()
    }
}

/// One key with its value, from the environment or the command line.
struct Setting {
    from: &'static str,
    /// The key as it is written there.
    written: String,
    key: String,
    value: String,
}

impl Setting {
    const PREFIX: &'static str = "CHATBOX_";

    /// What a variable of the environment says, if it is about us.
    fn variable((name, value): (String, String)) -> Option<Self> {
        let key = name.strip_prefix(Self::PREFIX)?;
        // Kubernetes describes a Service named `chatbox` with variables such as CHATBOX_PORT_8080_TCP; the tests have their own.
        let foreign = key == "PORT" || ["PORT_", "SERVICE_", "TEST_"].iter().any(|prefix| key.starts_with(prefix));
        let key = key.to_ascii_lowercase().replace("__", ".");
        (!foreign).then_some(Self { from: "environment", written: name, key, value })
    }

    fn flag((key, value): &(String, String)) -> Result<Self, ConfigError> {
        if key.split('.').any(str::is_empty) {
            return Err(ConfigError::new(format!("`{key}` is no configuration key (command line)")));
        }
        Ok(Self { from: "command line", written: key.clone(), key: key.clone(), value: value.clone() })
    }
}

impl Provider for Setting {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("{}: {}", self.from, self.written))
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let value = if TEXTS.contains(&self.key.as_str()) || self.value.is_empty() {
            Value::from(self.value.as_str())
        } else {
            self.value.parse().unwrap_or_else(|_| Value::from(self.value.as_str()))
        };
        let dict = figment::util::nest(&self.key, value).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// A list, as an array or as one text with commas.
pub(super) fn list<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a list of texts")]
    enum Given {
        List(Vec<String>),
        Text(String),
    }
    let read = |item: &str| item.parse().map_err(D::Error::custom);
    match Given::deserialize(deserializer)? {
        Given::List(list) => list.iter().map(|item| read(item)).collect(),
        Given::Text(text) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(read).collect(),
    }
}

/// Durations such as `20s`, `1h 30m`, `250ms`.
pub(super) mod duration {
    use super::*;

    pub(in crate::config) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 20s, 250ms or 1h 30m")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
                humantime::parse_duration(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Duration, E> {
                // Zero needs no unit.
                if number == 0 { Ok(Duration::ZERO) } else { Err(E::invalid_type(Unexpected::Unsigned(number), &self)) }
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Duration, E> {
                if number == 0 { Ok(Duration::ZERO) } else { Err(E::invalid_type(Unexpected::Signed(number), &self)) }
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl Serialize for Retention {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Forever => serializer.serialize_str("forever"),
            Self::For(time) => duration::serialize(time, serializer),
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
