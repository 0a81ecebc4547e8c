//! Address: tells where a request comes from, behind proxies that are trusted.
//!
//! `X-Forwarded-For` is believed only as far as the configured proxies wrote it: it is read from the right, and the
//! first address that is no proxy of ours is the caller. What stands further left anybody could have written.

use std::net::IpAddr;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use axum::http::HeaderMap;
use ipnet::IpNet;

/// The caller's address; `None` only where there is no connection, in tests.
pub fn caller(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
    let mut caller = peer;
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for hop in hops.into_iter().rev() {
        if !trusted.iter().any(|network| network.contains(&caller)) {
            break;
        }
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        caller = address.to_canonical();
    }
    Some(caller)
}

/// What counts as one caller when tries are counted: an IPv4 address, or an IPv6 network of 64 bits, which is the
/// least that a house gets.
pub fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo::<SocketAddr>(SocketAddr::new(peer.parse().unwrap(), 1)));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = ["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        assert_eq!(caller(&extensions, &headers, &trusted), Some(expected.parse().unwrap()));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("203.0.113.9", &[], "203.0.113.9");
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("127.0.0.1", &["1.2.3.4", "198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["1.2.3.4, junk"], "127.0.0.1");
        check("::ffff:127.0.0.1", &["2001:db8::1"], "2001:db8::1");
    }

    #[test]
    fn a_house_on_ipv6_is_one_caller() {
        assert_eq!(network("2001:db8:1:2:3::9".parse().unwrap()), "2001:db8:1:2::/64");
        assert_eq!(network("203.0.113.9".parse().unwrap()), "203.0.113.9");
    }
}
