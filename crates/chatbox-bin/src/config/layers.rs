//! Configuration layers: defaults, `RUST_LOG`, a file, environment variables, flags. A later layer overrides an earlier one.

use super::error::{ConfigError, ConfigErrorKind, ConfigSource};
use super::{Config, environment, explain};
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file that is read if it exists, when none is named.
const DEFAULT_FILE: &str = "chatbox.toml";

/// Keys for which an empty text is a value. Everywhere else it means that the key is not set.
const MAY_BE_EMPTY: &[&str] = &["path_prefix", "auth.allowed_origins", "server.trusted_proxies"];

/// Configuration from the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `(key, value)` of the other flags, in order.
    pub set: Vec<(String, String)>,
}

/// A configuration with the source of each value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    figment: Figment,
}

impl Loaded {
    /// Reads all layers. Checks names and types; whether the values are valid together is checked by [`Loaded::check`].
    ///
    /// # Errors
    /// The first unknown key or invalid value, or a file that cannot be read.
    pub fn read<T: Into<OsString>>(
        flags: &Flags,
        environment: impl IntoIterator<Item = (T, T)>,
    ) -> Result<Self, ConfigError> {
        let defaults = defaults();
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        let environment: Vec<(OsString, OsString)> =
            environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        if let Some(directives) = environment::rust_log(&environment) {
            let source = ConfigSource::Environment(environment::RUST_LOG.to_owned());
            figment = figment.merge(Layer::value(source, "log.level", directives, &defaults));
        }
        let file = flags.file.as_deref().or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|file| file.exists()));
        if let Some(file) = file {
            figment = figment.merge(Layer::file(file)?);
        }
        for (name, value) in &environment {
            if let Some((key, value)) = environment::setting(name, value)? {
                let source = ConfigSource::Environment(name.to_string_lossy().into_owned());
                figment = figment.merge(Layer::value(source, &key, value, &defaults));
            }
        }
        for (key, value) in &flags.set {
            let source = ConfigSource::CommandLine(key.clone());
            if key.split('.').any(str::is_empty) {
                let kind = ConfigErrorKind::UnknownKey { suggestion: None, known: Vec::new() };
                return Err(ConfigError::new([key.clone()], kind).with_source(Some(source)));
            }
            if !value.is_empty() || MAY_BE_EMPTY.contains(&&**key) {
                figment = figment.merge(Layer::value(source, key, value, &defaults));
            }
        }
        let config = figment.extract().map_err(|error| explain::error(&error, &figment, &defaults))?;
        Ok(Self { config, figment })
    }

    /// Where the values of these keys come from, other than defaults.
    pub(crate) fn sources<const N: usize>(&self, keys: [&str; N]) -> String {
        ConfigSource::list(&keys.map(|key| self.source(key)))
    }

    /// Where the value of a key comes from.
    pub(super) fn source(&self, key: &str) -> ConfigSource {
        self.figment.find_metadata(key).map_or(ConfigSource::Default, ConfigSource::of)
    }
}

/// The defaults, as nested values.
pub(super) fn defaults() -> Value {
    // A plain struct always serializes.
    Value::serialize(Config::default()).unwrap_or_else(|_| Value::from(Dict::new()))
}

/// The values of one source.
struct Layer {
    source: ConfigSource,
    values: Dict,
}

impl Layer {
    fn file(path: &Path) -> Result<Self, ConfigError> {
        let none: [&'static str; 0] = [];
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::new(none, ConfigErrorKind::UnreadableFile { path: path.to_owned(), error })
        })?;
        let source = ConfigSource::File(path.to_owned());
        let mut values = Toml::string(&text).data().map_err(|error| {
            let kind = ConfigErrorKind::Syntax(explain::without_excerpt(&error.kind.to_string()));
            ConfigError::new(none, kind).with_source(Some(source.clone()))
        })?;
        let mut values = values.remove(&Profile::Default).unwrap_or_default();
        remove_empty("", &mut values);
        Ok(Self { source, values })
    }

    /// One value, which is parsed as TOML unless its key takes a text.
    fn value(source: ConfigSource, key: &str, text: &str, defaults: &Value) -> Self {
        let takes_text = match defaults.find_ref(key) {
            None | Some(Value::String(..) | Value::Empty(..)) => true,
            Some(_) => text.is_empty(),
        };
        let parsed = if takes_text { None } else { text.parse().ok() };
        let value = parsed.unwrap_or_else(|| Value::from(text));
        Self { source, values: figment::util::nest(key, value).into_dict().unwrap_or_default() }
    }
}

/// Removes the empty texts that mean that a key is not set.
fn remove_empty(prefix: &str, values: &mut Dict) {
    values.retain(|name, value| {
        let key = format!("{prefix}{name}");
        match value {
            Value::String(_, text) => !text.is_empty() || MAY_BE_EMPTY.contains(&&*key),
            Value::Dict(_, inner) => {
                remove_empty(&format!("{key}."), inner);
                true
            }
            _ => true,
        }
    });
}

const ENVIRONMENT: &str = "environment";
const COMMAND_LINE: &str = "command line";

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        match &self.source {
            ConfigSource::File(path) => Metadata::from("file", Source::File(path.clone())),
            ConfigSource::Environment(name) => Metadata::from(ENVIRONMENT, Source::Custom(name.clone())),
            ConfigSource::CommandLine(key) => Metadata::from(COMMAND_LINE, Source::Custom(key.clone())),
            ConfigSource::Default => Metadata::default(),
        }
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl ConfigSource {
    pub(super) fn of(metadata: &Metadata) -> Self {
        match &metadata.source {
            Some(Source::File(path)) => Self::File(path.clone()),
            Some(Source::Custom(name)) if metadata.name == ENVIRONMENT => Self::Environment(name.clone()),
            Some(Source::Custom(key)) => Self::CommandLine(key.clone()),
            _ => Self::Default,
        }
    }
}
