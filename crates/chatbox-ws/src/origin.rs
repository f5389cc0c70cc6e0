//! The check of the `Origin` header (RFC 6455 section 10.2).

use http::HeaderMap;
use http::header;

/// Which web pages may connect, by the `Origin` header that browsers send. Requests without one pass: the policy protects browser users from
/// foreign pages, not the server from foreign programs.
///
/// ```
/// use chatbox_ws::OriginPolicy;
/// use http::{HeaderMap, header};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::HOST, "chat.example".parse()?);
/// headers.insert(header::ORIGIN, "https://evil.example".parse()?);
/// assert!(!OriginPolicy::SameHost.allows(&headers));
/// assert!(OriginPolicy::listed(["https://evil.example"]).allows(&headers));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// The origin's host and port are those of the `Host` header. Default.
    #[default]
    SameHost,
    /// The origin is one of these, such as `https://chat.example` or `http://localhost:3000`.
    Listed(Vec<String>),
    /// Any page.
    Any,
}

impl OriginPolicy {
    /// The policy for a configured list: an empty list means the same host, one with `*` any page.
    pub fn listed<T: Into<String>>(origins: impl IntoIterator<Item = T>) -> Self {
        let origins: Vec<String> = origins.into_iter().map(Into::into).collect();
        if origins.is_empty() {
            Self::SameHost
        } else if origins.iter().any(|origin| origin == "*") {
            Self::Any
        } else {
            Self::Listed(origins)
        }
    }

    /// Whether a request with these headers is allowed.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)),
            Self::SameHost => {
                let Some((scheme, authority)) = origin.split_once("://") else { return false };
                let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
                let default = match scheme {
                    "http" => ":80",
                    "https" => ":443",
                    _ => return false,
                };
                let bare = |authority: &str| authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase();
                !host.is_empty() && bare(authority) == bare(host)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_checked_by_the_policy() {
        let listed = || OriginPolicy::listed(["https://chat.example", "http://localhost:3000"]);
        let same = || OriginPolicy::SameHost;
        let cases: [(OriginPolicy, &str, &[&str], bool); 22] = [
            (same(), "chat.example", &[], true),
            (same(), "chat.example", &["https://chat.example"], true),
            (same(), "chat.example", &["http://CHAT.example"], true),
            (same(), "chat.example:443", &["https://chat.example"], true),
            (same(), "chat.example", &["https://chat.example:443"], true),
            (same(), "localhost:8080", &["http://localhost:8080"], true),
            (same(), "[::1]:8080", &["http://[::1]:8080"], true),
            (same(), "chat.example", &["https://chat.example:8443"], false),
            (same(), "chat.example:8443", &["https://chat.example"], false),
            (same(), "chat.example", &["https://evil.example"], false),
            (same(), "chat.example", &["https://chat.example.evil.example"], false),
            (same(), "chat.example", &["https://evil-chat.example"], false),
            (same(), "chat.example", &["null"], false),
            (same(), "chat.example", &[""], false),
            (same(), "chat.example", &["file://"], false),
            (same(), "chat.example", &["https://chat.example", "https://chat.example"], false),
            (listed(), "other.example", &["https://chat.example"], true),
            (listed(), "other.example", &["http://localhost:3000"], true),
            (listed(), "other.example", &["http://chat.example"], false),
            (listed(), "other.example", &["https://other.example"], false),
            (listed(), "other.example", &[], true),
            (OriginPolicy::listed(["*"]), "chat.example", &["null"], true),
        ];
        for (policy, host, origins, allowed) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("host", host.parse().expect("a value"));
            for origin in origins {
                headers.append("origin", origin.parse().expect("a value"));
            }
            assert_eq!(policy.allows(&headers), allowed, "{policy:?} {host} {origins:?}");
        }
        assert_eq!(OriginPolicy::listed(Vec::<String>::new()), OriginPolicy::SameHost);
    }
}
