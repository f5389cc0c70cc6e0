//! Browser origins: parsed, and written as browsers send them.

use serde::{Serialize, Serializer};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An origin of web pages in the form that browsers send: lower case, without the scheme's default port and without a path.
///
/// ```
/// let origin: chatbox::Origin = "HTTPS://Chat.Example:443/".parse()?;
/// assert_eq!(origin.to_string(), "https://chat.example");
/// # Ok::<(), chatbox::InvalidOrigin>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// A text that no browser sends as an origin. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOrigin(String);

impl Origin {
    /// Stands for any origin.
    pub const ANY: &str = "*";
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    /// Accepts `*` for any origin, `null` for pages without one (such as files), and `SCHEME://HOST[:PORT]`.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = |problem: String| Err(InvalidOrigin(problem));
        if matches!(text, Self::ANY | "null") {
            return Ok(Self(text.to_owned()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return invalid(format!("{text:?} has no scheme: write https://{text}, or http://{text}"));
        };
        let scheme = scheme.to_ascii_lowercase();
        if let Some(secure) = scheme.strip_prefix("ws").filter(|rest| matches!(*rest, "" | "s")) {
            return invalid(format!(
                "{text:?} is the address of a WebSocket: write the page's origin, http{secure}://{rest}"
            ));
        }
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if !is_scheme || authority.is_empty() {
            return invalid(format!("{text:?} is not an origin such as https://chat.example"));
        }
        if authority.contains('*') {
            return invalid(format!("{text:?} has a wildcard: list each origin, or * alone for any"));
        }
        if authority.contains('@') {
            return invalid(format!("{text:?} has a user name, which an origin does not have"));
        }
        let authority = match &*scheme {
            "http" => web_authority(authority, 80),
            "https" => web_authority(authority, 443),
            // Extensions and apps, such as chrome-extension://ID.
            _ => Ok(authority.to_ascii_lowercase()),
        };
        let authority = authority.map_err(|problem| InvalidOrigin(format!("{text:?} {problem}")))?;
        let origin = format!("{scheme}://{authority}");
        if !matches!(rest.find(['/', '?', '#']).map(|at| &rest[at..]), None | Some("/")) {
            return invalid(format!("{text:?} has a path: write {origin}"));
        }
        Ok(Self(origin))
    }
}

/// A host with an optional port, as browsers write it.
fn web_authority(authority: &str, default_port: u16) -> Result<String, String> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(port.parse::<u16>().map_err(|_| format!("has an invalid port, {port:?}"))?),
    };
    let host = if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| "has an invalid IPv6 address".to_owned())?;
        format!("[{address}]")
    } else {
        name(host)?
    };
    Ok(match port {
        Some(port) if port != default_port => format!("{host}:{port}"),
        _ => host,
    })
}

/// A host name or an IPv4 address.
fn name(host: &str) -> Result<String, String> {
    if !host.is_ascii() {
        return Err("has a host that is not ASCII: write it as browsers send it, with xn--".to_owned());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.contains(':') {
        return Err(format!("has an IPv6 address without brackets: write [{host}]"));
    }
    if host.is_empty() || !host.bytes().all(plain) || host.split('.').any(str::is_empty) && !host.ends_with('.') {
        return Err("has an invalid host".to_owned());
    }
    // Browsers read a host whose last part is a number as an IPv4 address.
    let last = host.rsplit('.').next().unwrap_or_default();
    if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) && host.parse::<Ipv4Addr>().is_err() {
        return Err("has an invalid IPv4 address".to_owned());
    }
    Ok(host.to_ascii_lowercase())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn origins_are_normalised_to_what_browsers_send() {
        for (text, origin) in [
            ("*", "*"),
            ("null", "null"),
            ("https://chat.example", "https://chat.example"),
            ("https://chat.example/", "https://chat.example"),
            ("HTTPS://Chat.EXAMPLE", "https://chat.example"),
            ("https://chat.example:443", "https://chat.example"),
            ("https://chat.example:0443/", "https://chat.example"),
            ("https://chat.example:", "https://chat.example"),
            ("https://chat.example:8443", "https://chat.example:8443"),
            ("http://chat.example:443", "http://chat.example:443"),
            ("http://localhost:80", "http://localhost"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
            ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example"),
            ("chrome-extension://ABCdef/", "chrome-extension://abcdef"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(text.parse::<Origin>().map(|origin| origin.to_string()).as_deref(), Ok(origin), "{text}");
        }
    }

    #[test]
    fn a_text_that_no_browser_sends_is_refused_with_what_to_write() {
        for (text, said) in [
            ("chat.example", "has no scheme: write https://chat.example, or http://chat.example"),
            ("localhost:3000", "has no scheme: write https://localhost:3000, or http://localhost:3000"),
            ("//chat.example", "has no scheme"),
            ("https://chat.example/app", "has a path: write https://chat.example"),
            ("https://Chat.example:443//", "has a path: write https://chat.example"),
            ("https://chat.example?x", "has a path: write https://chat.example"),
            ("wss://chat.example", "is the address of a WebSocket: write the page's origin, https://chat.example"),
            ("ws://chat.example:1", "is the address of a WebSocket: write the page's origin, http://chat.example:1"),
            ("https://*.example", "has a wildcard: list each origin, or * alone for any"),
            ("https://ann@chat.example", "has a user name, which an origin does not have"),
            ("https://münchen.example", "has a host that is not ASCII: write it as browsers send it, with xn--"),
            ("https://chat.example:99999", "has an invalid port, \"99999\""),
            ("https://chat.example:https", "has an invalid port, \"https\""),
            ("http://::1", "has an IPv6 address without brackets: write [:"),
            ("http://[::g]", "has an invalid IPv6 address"),
            ("http://10.0.0.999", "has an invalid IPv4 address"),
            ("https://chat..example", "has an invalid host"),
            ("https://chat example", "has an invalid host"),
            ("https://", "is not an origin such as https://chat.example"),
            ("://chat.example", "is not an origin such as https://chat.example"),
        ] {
            let error = text.parse::<Origin>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} {said}")), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_normalised_origin_stays_as_it_is(text in "[a-zA-Z]{1,5}://[a-zA-Z0-9.:\\[\\]-]{1,20}/?", any in any::<String>()) {
            for text in [text, any] {
                if let Ok(origin) = text.parse::<Origin>() {
                    prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin));
                }
            }
        }
    }
}
