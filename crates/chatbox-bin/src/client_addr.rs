//! Addresses and hosts as trusted proxies forward them.

use crate::config::Network;
use http::HeaderMap;
use http::header::HOST;
use std::net::{IpAddr, SocketAddr};

/// The only header that the client's address is read from. A proxy that appends to this one passes `Forwarded` on as the client wrote it.
const FORWARDED_FOR: &str = "x-forwarded-for";

const FORWARDED_HOST: &str = "x-forwarded-host";

/// RFC 7239.
const FORWARDED: &str = "forwarded";

/// A client behind any number of proxies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The client's address: that of the peer, unless the peer is a trusted proxy.
    pub(crate) address: IpAddr,
    /// How many trusted proxies the request came through.
    pub(crate) proxies: usize,
    /// Whether the peer sends forwarding headers without being a trusted proxy.
    pub(crate) untrusted_proxy: bool,
}

impl Client {
    /// Reads `X-Forwarded-For` from its end. Each proxy appends the address that it sees, so what stands before an address that is not
    /// trusted, or before a text that is no address, may be forged and is not read.
    pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(*address));
        let mut hops = entries(headers, FORWARDED_FOR);
        let (mut address, mut proxies) = (peer.to_canonical(), 0);
        while is_trusted(&address) {
            proxies += 1;
            let Some(hop) = hops.next().and_then(parse_address) else { break };
            address = hop.to_canonical();
        }
        let forwards = || [FORWARDED_FOR, FORWARDED_HOST, FORWARDED].iter().any(|name| headers.contains_key(*name));
        Self { address, proxies, untrusted_proxy: proxies == 0 && forwards() }
    }

    /// The hosts that the client may have asked for: `Host`, and what the trusted proxies forward in `X-Forwarded-Host` and `Forwarded`.
    pub(crate) fn hosts<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let forwarded = entries(headers, FORWARDED_HOST).take(self.proxies);
        let standard = entries(headers, FORWARDED).take(self.proxies).filter_map(forwarded_host);
        host.into_iter().chain(forwarded).chain(standard)
    }
}

/// The comma-separated values of a header, the last first.
fn entries<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')).map(str::trim)
}

/// The `host` parameter of one element of `Forwarded` (RFC 7239 section 4).
fn forwarded_host(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, host) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("host"))?;
    let host = host.trim();
    Some(host.strip_prefix('"').and_then(|host| host.strip_suffix('"')).unwrap_or(host))
}

/// An address with an optional port. IPv6 addresses may stand in brackets.
fn parse_address(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port).or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;

    fn client(peer: &str, headers: &HeaderMap) -> Client {
        let trusted: Vec<Network> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        Client::of(peer.parse().unwrap(), headers, &trusted)
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn client_of(peer: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        client(peer, &headers(&lines)).address.to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        for (peer, lines, client) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7", "10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
        ] {
            assert_eq!(client_of(peer, lines), client, "{peer} {lines:?}");
        }
    }

    #[test]
    fn only_hosts_that_trusted_proxies_forward_are_read() {
        let one = [("host", "inner"), ("x-forwarded-host", "forged, chat.example:8443")];
        let two = [
            ("host", "inner"),
            ("x-forwarded-for", "198.51.100.7, 10.0.0.2"),
            ("x-forwarded-host", "forged, outer, inner"),
        ];
        let standard = [
            ("host", "inner"),
            ("forwarded", "for=198.51.100.7;host=forged"),
            ("forwarded", "for=10.0.0.9; Host=\"[2001:db8::1]:8443\";proto=https"),
        ];
        for (peer, lines, hosts) in [
            ("192.0.2.1", &one[..], &["inner"][..]),
            ("10.0.0.1", &one, &["inner", "chat.example:8443"]),
            ("10.0.0.1", &two, &["inner", "inner", "outer"]),
            ("fd00::1", &standard, &["inner", "[2001:db8::1]:8443"]),
            ("192.0.2.1", &standard, &["inner"]),
        ] {
            let headers = headers(lines);
            assert_eq!(client(peer, &headers).hosts(&headers).collect::<Vec<_>>(), hosts, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_peer_that_forwards_without_being_trusted_is_noticed() {
        let plain = headers(&[("host", "x")]);
        for name in ["x-forwarded-for", "x-forwarded-host", "forwarded"] {
            let forwarding = headers(&[("host", "x"), (name, "y")]);
            assert!(client("192.0.2.1", &forwarding).untrusted_proxy, "{name}");
            assert!(!client("10.0.0.1", &forwarding).untrusted_proxy, "{name}");
        }
        assert!(!client("192.0.2.1", &plain).untrusted_proxy);
    }

    proptest! {
        #[test]
        fn what_a_client_writes_in_front_does_not_change_its_address(forged in "[ -~]{0,40}") {
            prop_assert_eq!(client_of("10.0.0.1", &[&forged, "198.51.100.7, 10.0.0.2"]), "198.51.100.7");
            prop_assert_eq!(client_of("192.0.2.1", &[&forged]), "192.0.2.1");
        }
    }
}
