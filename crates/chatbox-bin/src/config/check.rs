//! Whether the values make sense together, and errors that name the key, the value and the source.

use super::{Anonymous, Config, Loaded, Secret, show};
use crate::auth::{ClaimRules, KeyRing, Sources, TokenSigner};
use chatbox_shutdown::Plan;
use figment::Figment;
use figment::error::Kind;
use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Keys whose values are never shown.
const SECRETS: &[&str] = &["auth.jwt_secret", "store.url"];

/// The settings that give a key, as they stand in messages.
const KEY_SETTINGS: &str = "auth.jwt_secret, auth.jwt_secret_file, auth.jwt_public_key_file or auth.jwt_keys_dir";

/// Clocks that differ by more are wrong, and are to be set right.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

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
    /// Signs tokens for development, where there is a secret to do so.
    pub(crate) mint: Option<TokenSigner>,
    /// What tokens are checked against; none while no key is set.
    pub(crate) keys: Option<Arc<KeyRing>>,
    /// Whether `?user=NAME` is believed.
    pub(crate) anonymous: bool,
    /// The phases of a shutdown.
    pub(crate) plan: Plan,
    pub(crate) messages_per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
}

impl Checked {
    /// A warning, where names are believed of clients on other machines.
    pub(crate) fn anonymity(&self) -> Option<String> {
        let at = Some(self.config.listen).filter(|at| self.anonymous && !at.ip().is_loopback())?;
        Some(format!("auth.anonymous is `always`: whoever reaches {at} is let in under any name"))
    }
}

/// More threads than any machine has processors are a mistake.
const MAX_WORKERS: usize = 1_024;

/// What is wrong, and the keys that have to do with it.
pub(super) struct Fault {
    keys: Vec<&'static str>,
    text: String,
}

impl Fault {
    fn new(keys: impl Into<Vec<&'static str>>, text: impl Into<String>) -> Self {
        Self { keys: keys.into(), text: text.into() }
    }
}

impl Loaded {
    /// [`Config::check`], with the sources of the keys at fault in the error.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        self.config.check_each().map_err(|fault| self.blame(&fault.keys, &fault.text))
    }

    /// An error that says where the values of these keys come from.
    pub(crate) fn blame(&self, keys: &[&str], text: &str) -> ConfigError {
        let mut sources: Vec<_> = keys.iter().filter_map(|key| self.source(key)).collect();
        sources.dedup();
        ConfigError(if sources.is_empty() { text.to_owned() } else { format!("{text} ({})", sources.join(", ")) })
    }
}

impl Config {
    /// Checks that the values make sense together, and reads the files that hold keys and secrets.
    ///
    /// # Errors
    /// The first contradiction, naming the key and the value (never that of a secret), or a file that cannot be read.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        self.check_each().map_err(|fault| ConfigError(fault.text))
    }

    fn check_each(&self) -> Result<Checked, Fault> {
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
        let rules = self.rules()?;
        let keys = KeyRing::load(self.key_sources(), rules.clone()).map_err(|(key, text)| Fault::new([key], text))?;
        if let (None, Some(key)) = (&keys, self.rule_that_is_set()) {
            let text = format!("{key} is set and no key is, so that no token could be checked: set {KEY_SETTINGS}");
            return Err(Fault::new([key], text));
        }
        let anonymous = self.believes_names(keys.is_some())?;
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log.level) {
            let text = format!("log.level: invalid value {:?}: {error}", self.log.level);
            return Err(Fault::new(["log.level"], text));
        }
        Ok(Checked {
            config: self.clone(),
            store_url,
            mint: jwt_secret.map(|secret| TokenSigner { secret, rules }),
            keys: keys.map(Arc::new),
            anonymous,
            plan,
            messages_per_second: positive("limits.messages_per_second", self.limits.messages_per_second)?,
            burst: positive("limits.burst", self.limits.burst)?,
        })
    }

    fn check_path_prefix(&self) -> Result<(), Fault> {
        let prefix = &self.path_prefix;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
        let shaped = prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//"));
        if shaped && prefix.chars().all(plain) {
            return Ok(());
        }
        let wanted = "empty, or a path such as /chat without a slash at its end";
        Err(Fault::new(["path_prefix"], format!("path_prefix: invalid value {prefix:?}: must be {wanted}")))
    }

    fn check_numbers(&self) -> Result<(), Fault> {
        let limits = &self.limits;
        for (key, value) in [
            ("limits.max_connections", limits.max_connections as u128),
            ("limits.max_connections_per_user", limits.max_connections_per_user.into()),
            ("limits.max_message_bytes", limits.max_message_bytes as u128),
            ("limits.outbox_bytes", limits.outbox_bytes as u128),
            ("limits.outboxes_bytes", limits.outboxes_bytes as u128),
            ("limits.rings_bytes", limits.rings_bytes as u128),
            ("limits.rooms_per_minute", limits.rooms_per_minute as u128),
            ("limits.max_handshakes", limits.max_handshakes as u128),
            ("limits.write_timeout", limits.write_timeout.as_nanos()),
            ("limits.rooms_per_connection", limits.rooms_per_connection as u128),
            ("heartbeat.interval", self.heartbeat.interval.as_nanos()),
            ("heartbeat.timeout", self.heartbeat.timeout.as_nanos()),
            ("shutdown.close_handshake", self.shutdown.close_handshake.as_nanos()),
            ("server.workers", self.server.workers.unwrap_or(1) as u128),
        ] {
            if value == 0 {
                return Err(Fault::new([key], format!("{key}: must be more than 0")));
            }
        }
        if let Some(workers) = self.server.workers.filter(|workers| *workers > MAX_WORKERS) {
            return Err(Fault::new(
                ["server.workers"],
                format!("server.workers: {workers} is more than {MAX_WORKERS}"),
            ));
        }
        let (interval, timeout) = (self.heartbeat.interval, self.heartbeat.timeout);
        if interval >= timeout {
            let text =
                format!("heartbeat.interval ({interval:?}) must be shorter than heartbeat.timeout ({timeout:?})");
            return Err(Fault::new(["heartbeat.interval", "heartbeat.timeout"], text));
        }
        Ok(())
    }

    fn rules(&self) -> Result<ClaimRules, Fault> {
        let auth = &self.auth;
        if auth.leeway > MAX_LEEWAY {
            let text = format!("auth.leeway: {:?} is more than {MAX_LEEWAY:?}", auth.leeway);
            return Err(Fault::new(["auth.leeway"], text));
        }
        Ok(ClaimRules { issuer: auth.issuer.clone(), audience: auth.audience.clone(), leeway: auth.leeway })
    }

    fn key_sources(&self) -> Sources {
        let auth = &self.auth;
        Sources {
            secret: auth.jwt_secret.clone(),
            secret_file: auth.jwt_secret_file.clone(),
            public_key_file: auth.jwt_public_key_file.clone(),
            dir: auth.jwt_keys_dir.clone(),
        }
    }

    /// A setting that asks something of tokens.
    fn rule_that_is_set(&self) -> Option<&'static str> {
        let issuer = self.auth.issuer.as_ref().map(|_| "auth.issuer");
        issuer.or(self.auth.audience.as_ref().map(|_| "auth.audience"))
    }

    fn plan(&self) -> Result<Plan, Fault> {
        let shutdown = &self.shutdown;
        let plan =
            Plan { lame_duck: shutdown.lame_duck, drain: shutdown.drain, flush: shutdown.flush, grace: shutdown.grace };
        let keys = ["shutdown.lame_duck", "shutdown.drain", "shutdown.flush", "shutdown.grace"];
        plan.validate().map_err(|error| Fault::new(keys, format!("shutdown: {error}")))?;
        Ok(plan)
    }

    /// Whether `?user=NAME` is believed; refuses what would let everybody in unasked, or nobody at all.
    fn believes_names(&self, has_key: bool) -> Result<bool, Fault> {
        let listeners = [("listen", Some(self.listen)), ("ops_listen", self.ops_listen)];
        let listeners = listeners.into_iter().filter_map(|(key, at)| Some((key, at?)));
        let foreign = listeners.into_iter().find(|(_, at)| !at.ip().is_loopback());
        match (self.auth.anonymous, has_key) {
            (Anonymous::Always, _) => Ok(true),
            (Anonymous::Never, true) | (Anonymous::Loopback, true) => Ok(false),
            (Anonymous::Never, false) => Err(Fault::new(
                ["auth.anonymous"],
                format!("auth.anonymous is `never` and no key is set: nobody could come in; set {KEY_SETTINGS}"),
            )),
            (Anonymous::Loopback, false) => match foreign {
                None => Ok(true),
                Some((key, at)) => Err(Fault::new(
                    [key],
                    format!(
                        "{key}: `{at}` is not a loopback address and no key is set: set {KEY_SETTINGS}, or \
                         auth.anonymous = \"always\" to let everybody in under any name"
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
) -> Result<Option<Secret>, Fault> {
    match (value, file) {
        (Some(_), Some(_)) => {
            Err(Fault::new([key, file_key], format!("{key} and {file_key} are both set: set one of them")))
        }
        (value, None) => Ok(value.cloned()),
        (None, Some(file)) => {
            let secret = Secret::read(file).map_err(|error| {
                Fault::new([file_key], format!("{file_key}: cannot read {}: {error}", file.display()))
            })?;
            Ok(Some(secret))
        }
    }
}

fn positive(key: &'static str, value: u32) -> Result<NonZeroU32, Fault> {
    NonZeroU32::new(value).ok_or_else(|| Fault::new([key], format!("{key}: must be more than 0")))
}

/// An error of a layer, in our words.
pub(super) fn explain(error: &figment::Error, figment: &Figment) -> ConfigError {
    let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    let key = path.join(".");
    // A section that was given a value may have been given that of a secret in it.
    let secret = SECRETS
        .iter()
        .any(|secret| secret.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
    let value = figment.find_value(&key).ok().filter(|value| !secret && value.as_dict().is_none());
    let shown = value.map(|value| format!(" {}", show::toml(&value))).unwrap_or_default();
    let text = match &error.kind {
        Kind::UnknownField(field, known) => {
            // The path of an unknown field names the field itself or only its section.
            let section = path.strip_suffix(&[field.as_str()]).unwrap_or(&path);
            let section: String = section.iter().map(|part| format!("{part}.")).collect();
            format!("unknown key `{section}{field}`; known here are {}", known.join(", "))
        }
        Kind::UnknownVariant(_, known) => format!("{key}: invalid value{shown}: expected one of {}", known.join(", ")),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("{key}: invalid value{shown}: expected {}", in_words(expected))
        }
        Kind::Message(_) if secret => format!("{key}: invalid value"),
        kind if key.is_empty() => without_excerpt(&kind.to_string()),
        kind => format!("{key}: invalid value{shown}: {kind}"),
    };
    ConfigError(match &error.metadata {
        Some(metadata) => format!("{text} ({})", metadata.name),
        None => text,
    })
}

/// What was expected, for people who do not write Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u32" | "u64" => "a whole number, not too large",
        _ if expected.starts_with("struct ") => "a section of keys",
        _ => expected,
    }
}

/// The parser's message on a file that is no TOML, in one line and without the excerpt, which may be that of a secret.
fn without_excerpt(message: &str) -> String {
    let is_excerpt =
        |line: &&str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    message.lines().filter(|line| !is_excerpt(line)).map(str::trim).collect::<Vec<_>>().join(": ")
}
