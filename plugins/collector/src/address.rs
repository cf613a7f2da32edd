//! Whose address it is, and how much of it may be kept: IPv4 /24, IPv6 /48.

use axum::http::HeaderMap;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits <= most { Ok(Self { address, bits }) } else { Err(()) }
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => v4(own, self.bits) == v4(other, self.bits),
            (IpAddr::V6(own), IpAddr::V6(other)) => v6(own, self.bits) == v6(other, self.bits),
            _ => false,
        }
    }
}

fn v4(address: Ipv4Addr, bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0))
}

fn v6(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0))
}

/// The address with the bits that may be kept.
pub(crate) fn truncated(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(v4(address, 24)),
        IpAddr::V6(address) => IpAddr::V6(v6(address, 48)),
    }
}

/// The visitor's address: the peer's, or where that is a proxy of ours, the last of `X-Forwarded-For` that is none.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let ours = |address: IpAddr| proxies.iter().any(|network| network.holds(address));
    if proxies.is_empty() || !ours(peer) {
        return peer;
    }
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    let hops = lines.iter().flat_map(|line| line.split(',')).map(str::trim).rev();
    let mut found = peer;
    for hop in hops {
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        found = address;
        if !ours(address) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_lose_what_may_not_be_kept() {
        for (full, kept) in [
            ("203.0.113.77", "203.0.113.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
        ] {
            assert_eq!(truncated(ip(full)), ip(kept));
        }
    }

    #[test]
    fn only_our_proxies_are_believed() {
        let proxies: Vec<Network> = ["10.0.0.0/8", "::1"].iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "1.1.1.1, 203.0.113.7".parse().unwrap());
        headers.append("x-forwarded-for", "10.1.2.3".parse().unwrap());
        assert_eq!(client(ip("10.0.0.1"), &headers, &proxies), ip("203.0.113.7"));
        assert_eq!(client(ip("198.51.100.1"), &headers, &proxies), ip("198.51.100.1"));
        assert_eq!(client(ip("10.0.0.1"), &headers, &[]), ip("10.0.0.1"));
        headers.append("x-forwarded-for", "junk".parse().unwrap());
        assert_eq!(client(ip("::1"), &headers, &proxies), ip("::1"));
    }

    #[test]
    fn networks_are_read_strictly() {
        for bad in ["10.0.0.0/33", "::/129", "10.0.0/8", "", "a/8", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        assert!("0.0.0.0/0".parse::<Network>().unwrap().holds(ip("255.1.1.1")));
    }
}
