//! How values are written: addresses, lists, durations.

use super::error::{ConfigError, ConfigErrorKind};
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serializer};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The address of a listener.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    struct Address;
    impl Visitor<'_> for Address {
        type Value = SocketAddr;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an IP address and a port, such as 127.0.0.1:8080")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SocketAddr, E> {
            text.parse().map_err(|_| E::custom(address_hint(text)))
        }
    }
    deserializer.deserialize_any(Address)
}

/// The address of a listener that may be unset.
pub(super) fn optional_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    struct Wrapped(#[serde(deserialize_with = "address")] SocketAddr);
    Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|Wrapped(address)| address))
}

/// What to write instead of a text that is not the address of a listener.
fn address_hint(text: &str) -> String {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    let is_ip = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let (host, port) = match bare.rsplit_once(':') {
        // An IPv6 address without brackets may be followed by a port.
        Some((host, port)) if is_ip(host) || !is_ip(bare) => (host, port),
        _ if is_ip(bare) => (bare, "8080"),
        Some((host, port)) => (host, port),
        None if bare.bytes().all(|byte| byte.is_ascii_digit()) => ("", bare),
        None => (bare, "8080"),
    };
    let port = if port.parse::<u16>().is_ok() { port } else { "8080" };
    match host {
        "" | "*" => {
            format!("write 127.0.0.1:{port} for this machine only, 0.0.0.0:{port} for IPv4, or [::]:{port} for both")
        }
        "localhost" => format!("names are not resolved: write 127.0.0.1:{port}, or [::1]:{port} for IPv6"),
        _ => match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => format!("write {}", SocketAddr::new(ip, port.parse().unwrap_or(8080))),
            Err(_) if host.contains(|c: char| c.is_ascii_alphabetic()) && !host.contains(':') => {
                format!("names are not resolved: write an IP address and a port, such as 127.0.0.1:{port}")
            }
            Err(_) => "expected an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned(),
        },
    }
}

/// A path without a slash at its end. `/` is the empty prefix.
pub(super) fn path_prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let prefix = text.strip_suffix('/').unwrap_or(&text);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    let is_path = prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//");
    // Clients remove such parts before they ask.
    let has_dots = prefix.split('/').any(|part| matches!(part, "." | ".."));
    if prefix.is_empty() || (is_path && !has_dots && prefix.chars().all(plain)) {
        Ok(prefix.to_owned())
    } else {
        Err(D::Error::custom("must be empty, or a path such as /chat"))
    }
}

/// Refuses a duration of zero.
pub(super) fn positive(key: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() { Err(ConfigError::new([key], ConfigErrorKind::Zero)) } else { Ok(()) }
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

/// A number that may be unset. It may be written as a text, as variables and flags do.
pub(super) fn optional_number<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + FromStr<Err: fmt::Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given<T> {
        Number(T),
        Text(String),
    }
    match Option::deserialize(deserializer).map_err(|_| D::Error::custom("expected a whole number, at least 1"))? {
        None => Ok(None),
        Some(Given::Number(number)) => Ok(Some(number)),
        Some(Given::Text(text)) => {
            text.parse().map(Some).map_err(|_| D::Error::custom("expected a whole number, at least 1"))
        }
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
                // Zero needs no unit.
                if text == "0" {
                    return Ok(Duration::ZERO);
                }
                humantime::parse_duration(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Duration, E> {
                if number == 0 { Ok(Duration::ZERO) } else { Err(E::invalid_type(Unexpected::Unsigned(number), &self)) }
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Duration, E> {
                if number == 0 { Ok(Duration::ZERO) } else { Err(E::invalid_type(Unexpected::Signed(number), &self)) }
            }
        }
        deserializer.deserialize_any(Text)
    }
}
