//! Secrets: texts that are masked wherever they are shown.

use chatbox_store::StoreUrl;
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
/// `Display` and `Debug` mask it as `***`, and show a store URL without its credentials and options.
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
        match self.0.parse::<StoreUrl>() {
            Ok(url) => url.fmt(f),
            Err(_) => f.write_str("***"),
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
    fn display_masks_secrets_and_the_credentials_of_store_urls() {
        for (secret, shown) in [
            ("a-key-of-at-least-thirty-two-bytes", "***"),
            ("mongodb://ann:pw@db1,db2:27017/chat?authSource=x", "mongodb://db1:27017,db2:27017/chat"),
            ("mongodb://ann:p@w@db/chat", "***"),
            ("mongodb://db/chat?proxyPassword=x@pw", "***"),
            ("mongodb://ann:pw?x@db/chat", "***"),
            ("sqlite:chatbox.db", "sqlite:chatbox.db"),
            ("postgres://ann:pw@db", "***"),
        ] {
            assert_eq!(Secret::new(secret).to_string(), shown);
            assert!(!format!("{:?}", Secret::new(secret)).contains("pw"));
        }
    }
}
