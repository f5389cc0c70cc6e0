//! Translates the configuration library's errors.

use super::error::{ConfigError, ConfigErrorKind, ConfigSource};
use super::{environment, secret, show};
use figment::Figment;
use figment::error::Kind;
use figment::value::Value;

/// How similar a key must be to be suggested, from 0 to 1.
const SIMILAR: f64 = 0.85;

/// The first invalid value of the layers.
pub(super) fn error(error: &figment::Error, figment: &Figment, defaults: &Value) -> ConfigError {
    let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    let key = path.join(".");
    let source = error.metadata.as_ref().map(ConfigSource::of);
    if let Kind::UnknownField(field, known) = &error.kind {
        // The path of an unknown field names the field itself or only its section.
        let section = path.strip_suffix(&[field.as_str()]).unwrap_or(&path);
        let key: String = section.iter().map(|part| format!("{part}.")).collect::<String>() + field;
        let suggestion = similar(&key, defaults).map(|key| match source {
            Some(ConfigSource::Environment(_)) => environment::variable(&key),
            _ => key,
        });
        return ConfigError::new([key], ConfigErrorKind::UnknownKey { suggestion, known: known.to_vec() })
            .with_source(source);
    }
    let is_secret = secret::may_hold_secret(&key);
    let value = figment.find_value(&key).ok().filter(|value| !is_secret && value.as_dict().is_none());
    let problem = match &error.kind {
        Kind::UnknownVariant(_, known) => format!("expected one of {}", known.join(", ")),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("expected {}", in_words(expected)),
        // The text may repeat the value.
        _ if is_secret => "cannot be read".to_owned(),
        kind => kind.to_string(),
    };
    let value = value.map(|value| show::toml(&value));
    ConfigError::new([key], ConfigErrorKind::InvalidValue { value, problem }).with_source(source)
}

/// The known key that is most similar to an unknown one. Separators do not count: `shutdown_drain` is close to `shutdown.drain`.
fn similar(unknown: &str, defaults: &Value) -> Option<String> {
    let plain = |key: &str| key.replace(['.', '_', '-'], "").to_ascii_lowercase();
    let unknown = plain(unknown);
    let likeness = |key: &str| {
        let whole = strsim::jaro_winkler(&unknown, &plain(key));
        // A key without its section, such as `drain`.
        let bare = key.rsplit('.').next().is_some_and(|name| plain(name) == unknown);
        if bare { 1.0 } else { whole }
    };
    let keys = show::keys(defaults).into_iter().map(|key| (likeness(&key), key));
    let best = keys.max_by(|(left, _), (right, _)| left.total_cmp(right))?;
    (best.0 >= SIMILAR).then_some(best.1)
}

/// What was expected, without Rust's types.
fn in_words(expected: &str) -> &str {
    match expected {
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "u32" => "a whole number from 0 to 4294967295",
        "a nonzero usize" => "a whole number, at least 1",
        "usize" | "u64" => "a whole number, not too large",
        _ if expected.starts_with("struct ") => "a section of keys",
        _ => expected,
    }
}

/// The parser's message about a file that is not TOML, in one line and without its excerpt, which may contain a secret.
pub(super) fn without_excerpt(message: &str) -> String {
    let is_excerpt =
        |line: &&str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    message.lines().filter(|line| !is_excerpt(line)).map(str::trim).collect::<Vec<_>>().join(": ")
}
