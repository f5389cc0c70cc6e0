//! Whether the values make sense together, and errors that name the key, the value and the source.

use super::{Anonymous, Config, Loaded, Secret};
use crate::auth::Keys;
use chatbox_shutdown::Plan;
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;

/// Keys whose values are never shown.
const SECRETS: &[&str] = &["auth.jwt_secret", "store.url"];

/// A configuration that the program does not start with: exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A configuration that holds together, with what was derived from it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The values.
    pub config: Config,
    /// The store's URL, wherever it came from.
    pub(crate) store_url: Secret,
    /// The key that tokens are signed with, wherever it came from.
    pub(crate) jwt_secret: Option<Secret>,
    /// What tokens are checked against; none while no key is set.
    pub(crate) keys: Option<Keys>,
    /// Whether `?user=NAME` is believed.
    pub(crate) anonymous: bool,
    /// The phases of a shutdown.
    pub(crate) plan: Plan,
    pub(crate) messages_per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
}

impl Loaded {
    /// [`Config::check`], with the source of the key at fault in the error.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        self.config.check_each().map_err(|(key, text)| match self.source(key) {
            Some(source) => ConfigError(format!("{text} ({source})")),
            None => ConfigError(text),
        })
    }
}

impl Config {
    /// Checks that the values make sense together, and reads the files that hold keys and secrets.
    ///
    /// # Errors
    /// The first contradiction, naming the key and the value (never that of a secret), or a file that cannot be read.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        self.check_each().map_err(|(_, text)| ConfigError(text))
    }

    fn check_each(&self) -> Result<Checked, (&'static str, String)> {
        self.check_path_prefix()?;
        self.check_numbers()?;
        let plan = self.plan()?;
        let jwt_secret = one_of(
            ("auth.jwt_secret", self.auth.jwt_secret.as_ref()),
            ("auth.jwt_secret_file", self.auth.jwt_secret_file.as_deref()),
        )?;
        let default_url = Config::default().store.url;
        let url = Some(&self.store.url).filter(|url| self.store.url_file.is_none() || **url != default_url);
        let store_url =
            one_of(("store.url", url), ("store.url_file", self.store.url_file.as_deref()))?.unwrap_or(default_url);
        let keys = Keys::load(jwt_secret.as_ref(), self.auth.jwt_public_key_file.as_deref())?;
        let anonymous = self.believes_names(keys.is_some())?;
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log.level) {
            return Err(("log.level", format!("log.level: invalid value `{}`: {error}", self.log.level)));
        }
        Ok(Checked {
            config: self.clone(),
            store_url,
            jwt_secret,
            keys,
            anonymous,
            plan,
            messages_per_second: positive("limits.messages_per_second", self.limits.messages_per_second)?,
            burst: positive("limits.burst", self.limits.burst)?,
        })
    }

    fn check_path_prefix(&self) -> Result<(), (&'static str, String)> {
        let prefix = &self.path_prefix;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
        let shaped = prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//"));
        if shaped && prefix.chars().all(plain) {
            return Ok(());
        }
        let wanted = "empty, or a path such as /chat without a slash at its end";
        Err(("path_prefix", format!("path_prefix: invalid value `{prefix}`: must be {wanted}")))
    }

    fn check_numbers(&self) -> Result<(), (&'static str, String)> {
        let limits = &self.limits;
        for (key, value) in [
            ("limits.max_connections", limits.max_connections as u128),
            ("limits.max_connections_per_user", limits.max_connections_per_user.into()),
            ("limits.max_message_bytes", limits.max_message_bytes as u128),
            ("limits.outbox_bytes", limits.outbox_bytes as u128),
            ("limits.write_timeout", limits.write_timeout.as_nanos()),
            ("limits.rooms_per_connection", limits.rooms_per_connection as u128),
            ("heartbeat.interval", self.heartbeat.interval.as_nanos()),
            ("heartbeat.timeout", self.heartbeat.timeout.as_nanos()),
            ("shutdown.close_handshake", self.shutdown.close_handshake.as_nanos()),
        ] {
            if value == 0 {
                return Err((key, format!("{key}: must be more than 0")));
            }
        }
        let (interval, timeout) = (self.heartbeat.interval, self.heartbeat.timeout);
        if interval >= timeout {
            let text =
                format!("heartbeat.interval ({interval:?}) must be shorter than heartbeat.timeout ({timeout:?})");
            return Err(("heartbeat.interval", text));
        }
        Ok(())
    }

    fn plan(&self) -> Result<Plan, (&'static str, String)> {
        let shutdown = &self.shutdown;
        let plan =
            Plan { lame_duck: shutdown.lame_duck, drain: shutdown.drain, flush: shutdown.flush, grace: shutdown.grace };
        plan.validate().map_err(|error| ("shutdown.grace", format!("shutdown: {error}")))?;
        Ok(plan)
    }

    /// Whether `?user=NAME` is believed; refuses what would let everybody in unasked, or nobody at all.
    fn believes_names(&self, has_key: bool) -> Result<bool, (&'static str, String)> {
        let foreign = [Some(self.listen), self.ops_listen].into_iter().flatten().find(|at| !at.ip().is_loopback());
        match (self.auth.anonymous, has_key) {
            (Anonymous::Always, _) => Ok(true),
            (Anonymous::Never, true) | (Anonymous::Loopback, true) => Ok(false),
            (Anonymous::Never, false) => Err((
                "auth.anonymous",
                "auth.anonymous is never and no key is set: nobody could come in; set auth.jwt_secret, \
                 auth.jwt_secret_file or auth.jwt_public_key_file"
                    .to_owned(),
            )),
            (Anonymous::Loopback, false) => match foreign {
                None => Ok(true),
                Some(at) => Err((
                    "listen",
                    format!(
                        "{at} is not a loopback address and no key is set: set auth.jwt_secret, auth.jwt_secret_file \
                         or auth.jwt_public_key_file, or auth.anonymous = \"always\" to let everybody in under any name"
                    ),
                )),
            },
        }
    }
}

/// A secret that is given itself or in a file, but not both.
fn one_of(
    (key, value): (&'static str, Option<&Secret>),
    (file_key, file): (&'static str, Option<&Path>),
) -> Result<Option<Secret>, (&'static str, String)> {
    match (value, file) {
        (Some(_), Some(_)) => Err((file_key, format!("{key} and {file_key} are both set: set one of them"))),
        (value, None) => Ok(value.cloned()),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| (file_key, format!("{file_key}: cannot read {}: {error}", file.display())))?;
            // Files end with a newline that is no part of the secret.
            Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
        }
    }
}

fn positive(key: &'static str, value: u32) -> Result<NonZeroU32, (&'static str, String)> {
    NonZeroU32::new(value).ok_or_else(|| (key, format!("{key}: must be more than 0")))
}

/// An error of a layer, in our words.
pub(super) fn explain(error: &figment::Error) -> ConfigError {
    use figment::error::Kind;
    let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    let key = path.join(".");
    let secret = SECRETS.contains(&key.as_str());
    let text = match &error.kind {
        Kind::UnknownField(field, known) => {
            let section = path.split_last().map_or(String::new(), |(last, section)| {
                // The path of an unknown field names the field itself or only its section.
                let section = if last == field { section } else { &path[..] };
                section.iter().map(|part| format!("{part}.")).collect()
            });
            format!("unknown key `{section}{field}`; known here are {}", known.join(", "))
        }
        Kind::InvalidType(..) | Kind::InvalidValue(..) if secret => format!("{key}: invalid value"),
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("{key}: invalid value {actual}: expected {expected}")
        }
        Kind::UnknownVariant(value, known) => {
            format!("{key}: invalid value `{value}`: expected one of {}", known.join(", "))
        }
        Kind::Message(_) if secret => format!("{key}: invalid value"),
        kind if key.is_empty() => kind.to_string(),
        kind => format!("{key}: {kind}"),
    };
    let source = error.metadata.as_ref().map(|metadata| {
        let profile = error.profile.clone().unwrap_or_default();
        if metadata.name.starts_with("file ") {
            metadata.name.to_string()
        } else {
            metadata.interpolate(&profile, &path)
        }
    });
    ConfigError(match source {
        Some(source) => format!("{text} ({source})"),
        None => text,
    })
}
