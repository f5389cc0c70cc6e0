//! Networks of trusted proxies.

use ipnet::{IpNet, Ipv4Net};
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network such as `10.0.0.0/8`. A single address is a network of one: `10.0.0.1` is `10.0.0.1/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// A text that is neither a network nor an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidNetwork(String);

impl Network {
    /// Whether the network contains an address. An IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = |problem: &str| InvalidNetwork(format!("{text:?} {problem}"));
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let network = match (bare.parse::<IpNet>(), bare.parse::<IpAddr>()) {
            (Ok(network), _) => network,
            (_, Ok(address)) => IpNet::from(address),
            _ if text.parse::<std::net::SocketAddr>().is_ok() => {
                return Err(invalid("has a port, which a proxy's address does not have here"));
            }
            _ if text.bytes().any(|byte| byte.is_ascii_alphabetic()) && !text.contains(':') => {
                return Err(invalid("is a name: write the address or the network, such as 10.0.0.0/8"));
            }
            _ => return Err(invalid("is not a network such as 10.0.0.0/8 or fd00::/8, nor an address")),
        };
        Ok(Self(canonical(network.trunc())))
    }
}

/// The IPv4 network of IPv4-mapped IPv6 addresses, which peers are compared as.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let (Some(address), Some(length)) = (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96)) else {
        return network;
    };
    Ipv4Net::new(address, length).map_or(network, |network| IpNet::V4(network.trunc()))
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one_and_host_bits_are_dropped() {
        for (text, network) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("fd00::1", "fd00::1/128"),
            ("[fd00::1]", "fd00::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), network, "{text}");
        }
        let network: Network = "10.0.0.1".parse().unwrap();
        assert!(network.contains("::ffff:10.0.0.1".parse().unwrap()) && !network.contains("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn a_text_that_matches_no_peer_is_refused_with_what_to_write() {
        for (text, said) in [
            ("all", "is a name: write the address or the network"),
            ("proxy.internal", "is a name: write the address or the network"),
            ("10.0.0.1:8080", "has a port"),
            ("[fd00::1]:80", "has a port"),
            ("10.0.0.0/33", "is not a network"),
            ("10.0.0", "is not a network"),
            ("10.0.0.*", "is not a network"),
            ("fe80::/129", "is not a network"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} {said}")), "{error}");
        }
    }
}
