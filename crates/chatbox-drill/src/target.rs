//! The server's address: where connections and requests go.

use http::Uri;
use std::fmt;
use std::str::FromStr;

/// A `ws://` or `http://` URL. TLS is not supported: sockets are watched byte by byte, so a drill talks to the server's plain
/// listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, as in the request's `Host` header and for connecting.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
}

/// Why a URL cannot be drilled.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} cannot be used: {reason}")]
#[non_exhaustive]
pub struct TargetError {
    url: String,
    reason: &'static str,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(url: &str) -> Result<Self, TargetError> {
        let error = |reason| TargetError { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|_| error("it is not a URL"))?;
        match uri.scheme_str() {
            Some("ws" | "http") => {}
            Some("wss" | "https") => return Err(error("TLS is not supported, name the server's plain listener")),
            _ => return Err(error("it must begin with ws:// or http://")),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| error("it has no host"))?;
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { authority, path })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let target: Target = "ws://127.0.0.1:8080/chat/ws?x=1".parse().unwrap();
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("127.0.0.1:8080", "/chat/ws?x=1"));
        let target: Target = "http://[::1]".parse().unwrap();
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("[::1]:80", "/"));
    }

    #[test]
    fn urls_that_cannot_be_drilled_are_named() {
        for (url, reason) in [("wss://a/", "TLS"), ("127.0.0.1:80", "ws://"), ("ws://", "URL"), ("ftp://a/", "ws://")] {
            let error = url.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(url) && error.contains(reason), "{error}");
        }
    }
}
