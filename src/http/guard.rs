//! Guard: refuses addresses from outside that point into private networks.
//!
//! A feed, a page or a redirect may name any address, and we would ask it from inside the newsroom's
//! network. The guard therefore passes public addresses only, and checks the address that is connected
//! to: [`Resolver`] answers with checked addresses, so a name cannot change its mind in between.
//! Literal addresses never reach a resolver; [`Guard::check_url`] sees them in every hop's URL.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How long [`Guard::check`] waits for a name's addresses.
const RESOLVE_WITHIN: Duration = Duration::from_secs(2);

/// IPv4 that is not the public internet: IANA's special-purpose registry, multicast and class E.
const REFUSED_V4: [(Ipv4Addr, u8, Reason); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Reason::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Reason::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Reason::CarrierNat),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Reason::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Reason::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Reason::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Reason::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Reason::Documentation),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Reason::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Reason::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Reason::Benchmarking),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Reason::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Reason::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Reason::Multicast),
    (Ipv4Addr::BROADCAST, 32, Reason::Broadcast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Reason::Reserved),
];

/// IPv6 that is not the public internet, though it lies in 2000::/3 or needs a name of its own.
const REFUSED_V6: [(Ipv6Addr, u8, Reason); 9] = [
    (Ipv6Addr::UNSPECIFIED, 128, Reason::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Reason::Loopback),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Reason::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Reason::LinkLocal),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Reason::Multicast),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Reason::Documentation),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Reason::Documentation),
    // IETF protocol assignments: Teredo (2001::/32), ORCHID, benchmarking and the like.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Reason::Reserved),
    // 6to4: retired, and each address hides an IPv4 one.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Reason::Reserved),
];

/// Which addresses found outside may be asked.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow: Vec<IpNet>,
    names: Arc<Names>,
}

/// What names resolved to lately, so that a hundred articles of one site ask once, also where asking hangs.
/// Only [`Guard::check`] looks here; what is fetched is resolved anew.
#[derive(Debug, Default)]
struct Names(Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>);

/// How long an answer of the resolver, also an empty one, is believed.
const NAME_LIFE: Duration = Duration::from_secs(60);

/// The most names that are remembered; past it all are forgotten.
const NAMES_MAX: usize = 4_096;

impl Names {
    /// The addresses of a name now; none if it doesn't resolve in time.
    async fn look_up(&self, name: &str) -> Vec<IpAddr> {
        let now = crate::clock::monotonic();
        if let Some((asked, addresses)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name)
            && now.duration_since(*asked) < NAME_LIFE
        {
            return addresses.clone();
        }
        let answer = tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((name, 0))).await;
        let addresses: Vec<IpAddr> = match answer {
            Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(name.to_owned(), (now, addresses.clone()));
        addresses
    }
}

impl Guard {
    /// A guard that passes public addresses and, besides, every address and port of the networks in `allow`
    /// (the configuration's `http.allow_private_networks`).
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow, names: Arc::default() }
    }

    /// Checks all that can be seen in the URL itself: scheme, credentials, port, a literal address.
    ///
    /// The url crate has already turned every spelling of an IPv4 address (decimal, octal, hexadecimal, short)
    /// into its four numbers. A name on an unusual port passes while networks are allowed at all: where its
    /// addresses lie is for [`Guard::check`] and the resolver to say.
    ///
    /// # Errors
    /// The [`Refusal`] names the host, the address and the cure.
    pub fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        let refuse = |address, reason| Refusal { host: shown_host(url), address, reason };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse(None, Reason::Scheme(url.scheme().to_owned())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse(None, Reason::Credentials));
        }
        let literal = match url.host() {
            None => return Err(refuse(None, Reason::NoHost)),
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            // RFC 6761: a resolver may answer with another host's loopback only by fault; don't ask it.
            Some(Host::Domain(name)) if is_localhost(name) => Some(Ipv4Addr::LOCALHOST.into()),
            Some(Host::Domain(_)) => None,
        };
        match literal {
            Some(address) => {
                let reach = Reach::of(url);
                self.check_address(address, reach).map_err(|reason| refuse(Some(address), reason))
            }
            None if Reach::of(url) == Reach::Public || !self.allow.is_empty() => Ok(()),
            None => Err(refuse(None, Reason::Port)),
        }
    }

    /// Checks the URL and every address its name has now; for links we hand on but don't fetch.
    ///
    /// A name that doesn't resolve within two seconds passes: nothing is fetched, so nothing can be reached.
    ///
    /// # Errors
    /// As [`Guard::check_url`], or because one of the name's addresses is refused.
    pub async fn check(&self, url: &Url) -> Result<(), Refusal> {
        self.check_url(url)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        for address in self.names.look_up(name).await {
            let refuse = |reason| Refusal { host: shown_host(url), address: Some(address), reason };
            self.check_address(address, Reach::of(url)).map_err(refuse)?;
        }
        Ok(())
    }

    /// The rule for one address: allowed networks pass on every port, public addresses on the web's own ports.
    fn check_address(&self, address: IpAddr, reach: Reach) -> Result<(), Reason> {
        let canonical = address.to_canonical();
        if self.allow.iter().any(|net| net.contains(&canonical)) {
            return Ok(());
        }
        match (refused(address), reach) {
            (Some(reason), _) => Err(reason),
            (None, Reach::Allowed) => Err(Reason::Port),
            (None, Reach::Public) => Ok(()),
        }
    }
}

/// Which addresses a URL may lead to, by its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public ones and those in allowed networks: ports 80 and 443.
    Public,
    /// Only those in allowed networks: every other port.
    Allowed,
}

impl Reach {
    pub(super) fn of(url: &Url) -> Self {
        match url.port_or_known_default() {
            None | Some(80 | 443) => Self::Public,
            Some(_) => Self::Allowed,
        }
    }
}

/// Resolves names for a client, refusing a name when any of its addresses is refused.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub(super) guard: Guard,
    pub(super) reach: Reach,
}

impl Resolver {
    fn pass(&self, host: &str, addresses: Vec<SocketAddr>) -> Result<Addrs, Refusal> {
        for address in addresses.iter().map(SocketAddr::ip) {
            let refuse = |reason| Refusal { host: host.to_owned(), address: Some(address), reason };
            self.guard.check_address(address, self.reach).map_err(refuse)?;
        }
        Ok(Box::new(addresses.into_iter()))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(resolver.pass(name.as_str(), addresses)?)
        })
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Why an address is not the public internet; `None` when it is.
fn refused(address: IpAddr) -> Option<Reason> {
    match address.to_canonical() {
        IpAddr::V4(address) => refused_v4(address),
        IpAddr::V6(address) => refused_v6(address),
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<Reason> {
    REFUSED_V4
        .iter()
        .find(|(net, bits, _)| (u32::from(address) ^ u32::from(*net)).leading_zeros() >= u32::from(*bits))
        .map(|(_, _, reason)| reason.clone())
}

fn refused_v6(address: Ipv6Addr) -> Option<Reason> {
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        // NAT64 (RFC 6052): on networks without IPv4, a public site's address looks like this.
        return refused_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    let listed = REFUSED_V6
        .iter()
        .find(|(net, bits, _)| (u128::from(address) ^ u128::from(*net)).leading_zeros() >= u32::from(*bits))
        .map(|(_, _, reason)| reason.clone());
    // Only 2000::/3 is given out as global unicast.
    let global = address.segments()[0] & 0xe000 == 0x2000;
    listed.or(if global { None } else { Some(Reason::Reserved) })
}

/// The host as an error may show it: no credentials, no path.
pub(super) fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Why the guard let an address not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The host as the URL has it, with an unusual port.
    pub host: String,
    /// The address that was refused, where it was the address.
    pub address: Option<IpAddr>,
    /// What was wrong with it.
    pub reason: Reason,
}

/// What the guard found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Neither http nor https.
    Scheme(String),
    /// The URL names no host.
    NoHost,
    /// The URL carries a user name or password.
    Credentials,
    /// A port other than 80 and 443.
    Port,
    /// This host ("0.0.0.0", "::").
    Unspecified,
    /// The machine itself.
    Loopback,
    /// A private network (RFC 1918, ULA).
    Private,
    /// The link itself; clouds keep their credentials server at 169.254.169.254.
    LinkLocal,
    /// A provider's network behind its NAT (RFC 6598).
    CarrierNat,
    /// Set aside for documentation.
    Documentation,
    /// Set aside for benchmarks.
    Benchmarking,
    /// Many receivers at once.
    Multicast,
    /// Everyone on the link.
    Broadcast,
    /// Set aside for anything else, or a tunnel that hides another address.
    Reserved,
}

const CURE: &str = "if it is yours, add its network to http.allow_private_networks";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.is_empty() { "the address" } else { &self.host };
        let kind = match &self.reason {
            Reason::Scheme(scheme) => {
                return write!(f, "{host} is refused: {scheme} is neither http nor https");
            }
            Reason::NoHost => return write!(f, "{host} is refused: it names no host"),
            Reason::Credentials => {
                return write!(f, "{host} is refused: its URL carries a user name or password");
            }
            Reason::Port => return write!(f, "{host} is refused: its port is neither 80 nor 443; {CURE}"),
            Reason::Unspecified => "unspecified",
            Reason::Loopback => "loopback",
            Reason::Private => "private",
            Reason::LinkLocal => "link-local",
            Reason::CarrierNat => "carrier-grade NAT",
            Reason::Documentation => "documentation",
            Reason::Benchmarking => "benchmarking",
            Reason::Multicast => "multicast",
            Reason::Broadcast => "broadcast",
            Reason::Reserved => "reserved",
        };
        match self.address {
            Some(address) => write!(f, "{host} is refused: {address} is a {kind} address; {CURE}"),
            None => write!(f, "{host} is refused: it is a {kind} address; {CURE}"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str]) -> Guard {
        Guard::new(allow.iter().map(|net| net.parse().unwrap()).collect())
    }

    #[track_caller]
    fn check(url: &str, expected: Option<Reason>) {
        let got = guard(&[]).check_url(&Url::parse(url).unwrap()).err().map(|refusal| refusal.reason);
        assert_eq!(got, expected, "{url}");
    }

    #[test]
    fn public_addresses_pass() {
        check("https://www.innnews.co.th/feed/", None);
        check("http://1.1.1.1/", None);
        check("http://example.com:443/", None);
        check("http://[2606:4700::1111]/", None);
        check("http://[64:ff9b::8.8.8.8]/", None);
        check("http://172.15.255.255/", None);
        check("http://172.32.0.0/", None);
        check("http://100.63.255.255/", None);
    }

    #[test]
    fn every_spelling_of_a_refused_address_is_refused() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.0.0.1.",
            "１２７.0.0.1",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[0:0:0:0:0:ffff:7f00:1]",
            "[64:ff9b::127.0.0.1]",
        ] {
            check(&format!("http://{host}/"), Some(Reason::Loopback));
        }
    }

    #[test]
    fn what_is_not_the_public_internet_is_refused() {
        check("http://169.254.169.254/latest/meta-data/", Some(Reason::LinkLocal));
        check("http://[fe80::1]/", Some(Reason::LinkLocal));
        check("http://10.1.2.3/", Some(Reason::Private));
        check("http://172.16.0.1/", Some(Reason::Private));
        check("http://172.31.255.255/", Some(Reason::Private));
        check("http://192.168.1.1/", Some(Reason::Private));
        check("http://[fd00:ec2::254]/", Some(Reason::Private));
        check("http://100.64.0.1/", Some(Reason::CarrierNat));
        check("http://100.127.255.255/", Some(Reason::CarrierNat));
        check("http://0.0.0.0/", Some(Reason::Unspecified));
        check("http://0/", Some(Reason::Unspecified));
        check("http://[::]/", Some(Reason::Unspecified));
        check("http://224.0.0.1/", Some(Reason::Multicast));
        check("http://[ff02::1]/", Some(Reason::Multicast));
        check("http://255.255.255.255/", Some(Reason::Broadcast));
        check("http://240.0.0.1/", Some(Reason::Reserved));
        check("http://192.0.2.1/", Some(Reason::Documentation));
        check("http://[2001:db8::1]/", Some(Reason::Documentation));
        check("http://198.19.0.1/", Some(Reason::Benchmarking));
        check("http://[2002:7f00:1::]/", Some(Reason::Reserved));
        check("http://[2001:0:1234::1]/", Some(Reason::Reserved));
        check("http://[64:ff9b:1::7f00:1]/", Some(Reason::Reserved));
        check("http://[::7f00:1]/", Some(Reason::Reserved));
        check("http://[64:ff9b::10.0.0.1]/", Some(Reason::Private));
    }

    #[test]
    fn scheme_credentials_and_port_are_checked() {
        check("ftp://example.com/", Some(Reason::Scheme("ftp".into())));
        check("file:///etc/passwd", Some(Reason::Scheme("file".into())));
        check("javascript:alert(1)", Some(Reason::Scheme("javascript".into())));
        check("https://user@example.com/", Some(Reason::Credentials));
        check("https://:secret@example.com/", Some(Reason::Credentials));
        check("http://example.com:6379/", Some(Reason::Port));
        check("http://1.1.1.1:8080/", Some(Reason::Port));
    }

    #[test]
    fn an_allowed_network_opens_every_port_there_and_nowhere_else() {
        let guard = guard(&["127.0.0.0/8", "fd00::/8"]);
        let passes = |url: &str| guard.check_url(&Url::parse(url).unwrap()).is_ok();
        assert!(passes("http://127.0.0.1:9000/"));
        assert!(passes("http://localhost:9000/"));
        assert!(passes("http://[::ffff:127.0.0.1]:9000/"));
        assert!(passes("http://[fd00::7]:1/"));
        assert!(!passes("http://[::1]/"));
        assert!(!passes("http://1.1.1.1:9000/"));
        assert!(!passes("http://10.0.0.1/"));
    }

    #[test]
    fn a_refusal_names_host_address_and_cure() {
        let url = Url::parse("http://user:pass@2130706433:81/secret?token=1").unwrap();
        let mut bare = url.clone();
        bare.set_username("").unwrap();
        bare.set_password(None).unwrap();
        assert_eq!(
            guard(&[]).check_url(&bare).unwrap_err().to_string(),
            "127.0.0.1:81 is refused: 127.0.0.1 is a loopback address; \
             if it is yours, add its network to http.allow_private_networks"
        );
        let shown = guard(&[]).check_url(&url).unwrap_err().to_string();
        assert!(!shown.contains("pass@") && !shown.contains("token"), "{shown}");
    }

    #[test]
    fn one_refused_address_refuses_the_name() {
        let resolver = Resolver { guard: guard(&[]), reach: Reach::Public };
        let addresses = vec!["1.1.1.1:0".parse().unwrap(), "169.254.169.254:0".parse().unwrap()];
        let refusal = resolver.pass("rebind.example", addresses).err().unwrap();
        assert_eq!(refusal.host, "rebind.example");
        assert_eq!(refusal.reason, Reason::LinkLocal);
    }

    #[test]
    fn on_other_ports_only_allowed_networks_are_reached() {
        let resolver = Resolver { guard: guard(&["10.0.0.0/8"]), reach: Reach::Allowed };
        assert!(resolver.pass("inside.example", vec!["10.2.3.4:0".parse().unwrap()]).is_ok());
        let refusal = resolver.pass("outside.example", vec!["1.1.1.1:0".parse().unwrap()]).err().unwrap();
        assert_eq!(refusal.reason, Reason::Port);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_passes_where_nothing_is_fetched() {
        let url = Url::parse("https://no-such-host.invalid/").unwrap();
        assert_eq!(guard(&[]).check(&url).await, Ok(()));
    }
}
