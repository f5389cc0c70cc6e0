//! Secrets: texts that are masked wherever they are shown.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io;
use std::path::Path;

/// Keys whose values are secret.
const KEYS: &[&str] = &["auth.jwt_secret", "store.url"];

/// Whether the value of this key may be secret. That of a section may contain one.
pub(super) fn may_hold_secret(key: &str) -> bool {
    KEYS.iter().any(|secret| secret.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// A text that is, or may contain, a secret: a key, or a URL with a password.
///
/// `Display` and `Debug` mask it as `***`. A store URL without a password is shown in full, and one of MongoDB with its host.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Reads a file. A newline at its end is not part of the secret.
    ///
    /// # Errors
    /// When the file cannot be read, or is not UTF-8.
    pub fn read(file: &Path) -> io::Result<Self> {
        Ok(Self::new(std::fs::read_to_string(file)?.trim_end_matches(['\r', '\n'])))
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once(':') {
            // These have a path and no password.
            Some(("sqlite" | "memory", _)) => f.write_str(&self.0),
            Some((scheme @ ("mongodb" | "mongodb+srv"), rest)) => {
                // Credentials stand before the last `@`. Options after a `?` may contain credentials, and an `@`.
                let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
                let host = address.rsplit('@').next().unwrap_or_default();
                let host = host.trim_start_matches('/').split('/').next().unwrap_or_default();
                // An unescaped `?` in a password.
                let host = if options.contains('@') { "***" } else { host };
                write!(f, "{scheme}://***@{host}/***")
            }
            _ => f.write_str("***"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        for (secret, shown) in [
            ("a-key-of-at-least-thirty-two-bytes", "***"),
            ("mongodb://ann:pw@db1,db2:27017/chat?authSource=x", "mongodb://***@db1,db2:27017/***"),
            ("mongodb://ann:p@w@db/chat", "mongodb://***@db/***"),
            ("mongodb://db/chat?proxyPassword=x@pw", "mongodb://***@***/***"),
            ("mongodb://ann:pw?x@db/chat", "mongodb://***@***/***"),
            ("sqlite:chatbox.db", "sqlite:chatbox.db"),
            ("postgres://ann:pw@db", "***"),
        ] {
            assert_eq!(Secret::new(secret).to_string(), shown);
            assert!(!format!("{:?}", Secret::new(secret)).contains("pw"));
        }
    }
}
