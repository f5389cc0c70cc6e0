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
    /// The origin's host is that of the `Host` header. Default.
    ///
    /// Ports are compared where the `Host` header has one. Behind a proxy that leaves the port out (nginx's `$host`), pages of every port
    /// of the host may connect: list origins where they must not.
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
        self.allows_host(headers, headers.get(header::HOST).and_then(|host| host.to_str().ok()))
    }

    /// The same for a service that knows by which hosts it was asked for, such as those that a trusted proxy forwards: for
    /// [`SameHost`](Self::SameHost) the origin must name one of them.
    #[must_use]
    pub fn allows_host<'a>(&self, headers: &HeaderMap, hosts: impl IntoIterator<Item = &'a str>) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)),
            Self::SameHost => {
                let Some((scheme, authority)) = origin.split_once("://") else { return false };
                let default = match scheme {
                    "http" => "80",
                    "https" => "443",
                    _ => return false,
                };
                let (name, port) = split_port(authority);
                hosts.into_iter().any(|host| {
                    let (host, host_port) = split_port(host);
                    !host.is_empty()
                        && host.eq_ignore_ascii_case(name)
                        && host_port.is_none_or(|host_port| host_port == port.unwrap_or(default))
                })
            }
        }
    }
}

/// A host and its port. An IPv6 address stands in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_checked_by_the_policy() {
        let listed = || OriginPolicy::listed(["https://chat.example", "http://localhost:3000"]);
        let same = || OriginPolicy::SameHost;
        let cases: [(OriginPolicy, &str, &[&str], bool); 26] = [
            (same(), "chat.example", &[], true),
            (same(), "chat.example", &["https://chat.example"], true),
            (same(), "chat.example", &["http://CHAT.example"], true),
            (same(), "chat.example:443", &["https://chat.example"], true),
            (same(), "chat.example", &["https://chat.example:443"], true),
            (same(), "localhost:8080", &["http://localhost:8080"], true),
            (same(), "[::1]:8080", &["http://[::1]:8080"], true),
            // A proxy may leave the port out of `Host`.
            (same(), "chat.example", &["https://chat.example:8443"], true),
            (same(), "[::1]", &["http://[::1]:8080"], true),
            (same(), "chat.example:80", &["https://chat.example:8443"], false),
            (same(), "[::1]:8081", &["http://[::1]:8080"], false),
            (same(), "", &["http://:8080"], false),
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
