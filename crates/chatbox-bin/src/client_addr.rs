//! Where a client comes from, when there are proxies on the way.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::IpAddr;

/// The one header that is read. A proxy that appends to it lets `Forwarded` pass as the client wrote it, so that reading both would
/// mean to believe the client.
const HEADER: &str = "x-forwarded-for";

/// The address that the last trusted proxy was connected from: that of the peer itself, unless the peer is such a proxy.
///
/// Each proxy appends the address that it sees, so the list is read from its end, and what stands before an address that is not trusted,
/// or is none, is hearsay.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |at: &IpAddr| trusted.iter().any(|net| net.contains(at));
    let mut client = peer.to_canonical();
    let lines = headers.get_all(HEADER).iter().rev();
    let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    while is_trusted(&client) {
        let Some(hop) = hops.next().and_then(|hop| address(hop.trim())) else { break };
        client = hop.to_canonical();
    }
    client
}

/// An address, with or without a port, and in brackets if it is one of IPv6 with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|at| at.ip());
    hop.parse().ok().or_else(with_port).or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client_of(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, line.parse().unwrap());
        }
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn the_list_is_read_from_its_end_as_far_as_it_is_trusted() {
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

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_in_front_changes_what_is_seen(hearsay in "[ -~]{0,40}") {
            prop_assert_eq!(client_of("10.0.0.1", &[&hearsay, "198.51.100.7, 10.0.0.2"]), "198.51.100.7");
            prop_assert_eq!(client_of("192.0.2.1", &[&hearsay]), "192.0.2.1");
        }
    }
}
