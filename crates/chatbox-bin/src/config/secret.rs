//! Text that must not be shown.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io;
use std::path::Path;

/// A value that may be, or contain, a secret: a key, or a URL with a password.
///
/// It shows itself as `***`; a URL without credentials, which is of use in a log, by its own text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Takes a file's text into custody, without the newline that files end with.
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
            // A local store has a path and no password.
            Some(("sqlite" | "memory", _)) => f.write_str(&self.0),
            Some((scheme @ ("mongodb" | "mongodb+srv"), rest)) => {
                // What stands before the last `@` are credentials; what stands behind a `?` may name some, and hold an `@`.
                let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
                let host = address.rsplit('@').next().unwrap_or_default();
                let host = host.trim_start_matches('/').split('/').next().unwrap_or_default();
                // A password with a `?` that is not escaped.
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
