//! Whose address a request counts for: the peer's, unless that is a proxy that is trusted to say whose it is.
//! Never believes a header of anybody else.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use warp::http::HeaderMap;

/// The header that a proxy adds its peer to, at the end. `Forwarded` is not looked at.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Most proxies in a row that are believed.
const HOPS_MAX: usize = 16;
/// Most networks in the setting.
const NETWORKS_MAX: usize = 256;
/// How much of an IPv6 address counts: whoever has one has at least a network of so many bits.
const V6_BITS: u8 = 64;

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(base) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                u128::from(base) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address or network such as 10.0.0.7, 10.0.0.0/8 or fd00::/8");
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let bits_max = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => bits_max,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= bits_max).ok_or_else(wrong)?,
        };
        Ok(Self { base, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// The proxies whose word is taken for whom they ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// Reads the setting: `none`, or addresses and networks with commas between them.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let networks: Vec<Network> =
            text.split(',').map(|one| one.trim().parse()).collect::<Result<_, _>>()?;
        if networks.len() > NETWORKS_MAX {
            return Err(format!("must be at most {NETWORKS_MAX} addresses and networks"));
        }
        Ok(Self(networks))
    }

    /// Whether it is one of them.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Who asks: from the peer backwards, the first one that is not a trusted proxy. What stands further to the left
    /// in `X-Forwarded-For` was written by somebody nobody here knows. What is no address (`unknown`, a name, bytes
    /// that are not ASCII) is skipped, but counts among the hops.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let mut values = headers.get_all(FORWARDED_FOR).iter().collect::<Vec<_>>();
        values.reverse();
        // As bytes: what a stranger wrote further to the left must not hide what a proxy has written behind it.
        let hops = values.iter().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(HOPS_MAX) {
            let Some(before) = std::str::from_utf8(hop).ok().and_then(|hop| address_of(hop.trim())) else {
                continue;
            };
            client = before;
            if !self.trusts(client) {
                return client;
            }
        }
        client
    }
}

/// An address as proxies write it: alone, with a port, or in brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    text.strip_prefix('[')?
        .strip_suffix(']')?
        .parse::<Ipv6Addr>()
        .ok()
        .map(|v6| IpAddr::V6(v6).to_canonical())
}

/// The address that counts: IPv4 as it is, IPv6 as its network.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from(u128::from(address) & (u128::MAX << (128 - u32::from(V6_BITS)))).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn client(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers.insert("forwarded", "for=6.6.6.6".parse().unwrap());
        headers.insert("x-real-ip", "6.6.6.6".parse().unwrap());
        Proxies::parse(proxies).unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_header_is_believed_from_trusted_proxies_only_and_from_the_right() {
        for (proxies, peer, forwarded, expect) in [
            ("none", "9.9.9.9", &["1.1.1.1"][..], "9.9.9.9"),
            ("10.0.0.0/8", "9.9.9.9", &["1.1.1.1"], "9.9.9.9"),
            ("10.0.0.0/8", "10.0.0.7", &[], "10.0.0.7"),
            ("10.0.0.0/8", "10.0.0.7", &["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.0/8", "10.0.0.7", &["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.0/8", "10.0.0.7", &["6.6.6.6, 1.1.1.1, 10.2.3.4"], "1.1.1.1"),
            ("10.0.0.0/8", "10.0.0.7", &["6.6.6.6", "1.1.1.1 ,10.2.3.4"], "1.1.1.1"),
            ("10.0.0.0/8", "10.0.0.7", &["10.1.1.1, 10.2.3.4"], "10.1.1.1"),
            ("10.0.0.0/8", "10.0.0.7", &["1.1.1.1, unknown"], "1.1.1.1"),
            ("10.0.0.0/8", "10.0.0.7", &["1.1.1.1, "], "1.1.1.1"),
            ("10.0.0.0/8", "10.0.0.7", &["1.1.1.1:4711"], "1.1.1.1"),
            ("10.0.0.7,fd00::/8", "10.0.0.7", &["[2001:db8::1]:4711, fd00::1"], "2001:db8::1"),
            ("10.0.0.7, fd00::/8", "fd00::9", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.7", "10.0.0.8", &["1.1.1.1"], "10.0.0.8"),
            ("10.0.0.7", "::ffff:10.0.0.7", &["::ffff:1.1.1.1"], "1.1.1.1"),
            ("0.0.0.0/0", "9.9.9.9", &["1.1.1.1"], "1.1.1.1"),
        ] {
            assert_eq!(client(proxies, peer, forwarded), expect, "{proxies} {peer} {forwarded:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_ascii_do_not_hide_what_a_proxy_wrote() {
        for forwarded in
            [&["é, 1.1.1.1"][..], &["1.1.1.1, é"], &["é", "1.1.1.1"], &["6.6.6.6, 1.1.1.1, é, 10.2.3.4"]]
        {
            assert_eq!(client("10.0.0.0/8", "10.0.0.7", forwarded), "1.1.1.1", "{forwarded:?}");
        }
        assert_eq!(client("10.0.0.0/8", "10.0.0.7", &["é"]), "10.0.0.7");
    }

    #[test]
    fn a_row_of_proxies_has_a_bound() {
        let many = vec!["10.0.0.1"; 100].join(",");
        assert_eq!(client("10.0.0.0/8", "10.0.0.7", &[&format!("1.1.1.1,{many}")]), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_address_counts_as_its_network() {
        let counts = |text: &str| counted(text.parse().unwrap()).to_string();
        assert_eq!(counts("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counts("2001:db8:1:2:ffff::"), "2001:db8:1:2::");
        assert_eq!(counts("2001:db8:1:3::"), "2001:db8:1:3::");
        assert_eq!(counts("1.2.3.4"), "1.2.3.4");
        assert_eq!(counts("::ffff:1.2.3.4"), "1.2.3.4");
    }

    #[test]
    fn a_mistake_in_the_setting_is_named() {
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0", "10.0.0.0/8,", "proxy.example", "10.0.0.0/-1"] {
            assert!(Proxies::parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Proxies::parse(" none ").unwrap(), Proxies::default());
    }
}
