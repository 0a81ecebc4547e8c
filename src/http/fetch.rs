//! Fetch: gets one document, by the rules of reliability.md section 5.
//!
//! Redirects are followed by hand, because each hop passes the guard, and conditions are sent back byte
//! for byte: a date of our own making would earn a 304 for ever (feeds.md, section 5).

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::DateTime;
use http::header;
use http::header::HeaderName;
use http::header::HeaderValue;
use url::Url;

use crate::http::BodyError;
use crate::http::Timeouts;
use crate::http::guard::Guard;
use crate::http::guard::Reach;
use crate::http::guard::Refusal;
use crate::http::guard::Resolver;
use crate::http::guard::shown_host;
use crate::model::source::Memory;

/// What we ask for; a page or a picture comes under the last of them.
const ACCEPT: &str =
    "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5";

/// Redirects that are followed before we give up.
pub const MAX_REDIRECTS: usize = 5;

/// How much one fetch may take in.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes of a body, counted after decompression.
    pub body: usize,
}

impl Limits {
    /// For feeds: 5 MiB holds hundreds of whole articles.
    pub const FEED: Self = Self { body: 5 << 20 };
    /// For article pages: what the page reader accepts (stack.md, section 4).
    pub const PAGE: Self = Self { body: 2 << 20 };
}

/// Who gave the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The operator wrote it: the first hop isn't guarded, redirects are.
    Operator,
    /// It came from outside: every hop is guarded.
    Outside,
}

/// What a server answered: a 2xx, or a 304 to our conditions.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The status of the last hop.
    pub status: u16,
    /// Where the redirects ended, without credentials.
    pub final_url: Url,
    /// The `ETag`, byte for byte.
    pub etag: Option<String>,
    /// The `Last-Modified`, byte for byte.
    pub last_modified: Option<String>,
    /// The `Content-Type`.
    pub content_type: Option<String>,
    /// The decoded body; empty on 304.
    pub body: Bytes,
    /// How long the server asks us to stay away.
    pub retry_after: Option<Duration>,
    /// Whether the server said 304.
    pub not_modified: bool,
    /// From the first request to the last byte.
    pub elapsed: Duration,
}

/// Why nothing was fetched. URLs are shown without credentials and query.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The guard let an address not pass.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A redirect left https.
    #[error("{url} redirects from https to http, which would give the encryption up")]
    Downgraded {
        /// The hop that redirected.
        url: String,
    },
    /// A redirect leads back to a hop already taken.
    #[error("{url} is reached a second time: its redirects run in a circle")]
    RedirectLoop {
        /// The hop reached twice.
        url: String,
    },
    /// More than [`MAX_REDIRECTS`].
    #[error("{url} is one redirect more than the {MAX_REDIRECTS} we follow")]
    TooManyRedirects {
        /// The hop that wasn't taken.
        url: String,
    },
    /// A redirect without a usable `Location`.
    #[error("{url} answered {status} without an address to go to")]
    BadRedirect {
        /// The hop.
        url: String,
        /// Its status.
        status: u16,
    },
    /// Neither 2xx nor a 304 that we asked for.
    #[error("{url} answered {status}{}", if *.challenge { ": a Cloudflare challenge; ask the site to let our agent through" } else { "" })]
    Status {
        /// The hop.
        url: String,
        /// Its status.
        status: u16,
        /// How long the server asks us to stay away.
        retry_after: Option<Duration>,
        /// Whether Cloudflare asked for a browser instead of answering.
        challenge: bool,
    },
    /// The body passes the cap.
    #[error("{url} sent more than {limit} bytes")]
    TooLarge {
        /// The hop.
        url: String,
        /// The cap, in decoded bytes.
        limit: usize,
    },
    /// The whole time-out ran out.
    #[error("{url} took longer than {} s", .after.as_secs_f64())]
    TimedOut {
        /// The hop that was on.
        url: String,
        /// The time-out.
        after: Duration,
    },
    /// No answer: the name, the connection or TLS failed.
    #[error("{url} can't be reached: {reason}")]
    Unreachable {
        /// The hop.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The answer broke off or can't be decompressed.
    #[error("{url} broke off its answer: {reason}")]
    Broken {
        /// The hop.
        url: String,
        /// What happened.
        reason: String,
    },
}

impl FetchError {
    /// How long the server asks us to stay away, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            FetchError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Fetches documents; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    guard: Guard,
    timeouts: Timeouts,
    /// For what the operator wrote.
    trusted: reqwest::Client,
    /// For ports 80 and 443 outside.
    public: reqwest::Client,
    /// For other ports: reaches allowed networks only.
    allowed: reqwest::Client,
}

impl Fetcher {
    /// A fetcher with these time-outs and this guard.
    ///
    /// # Errors
    /// When the TLS back end can't be set up.
    pub fn new(timeouts: Timeouts, guard: Guard) -> reqwest::Result<Self> {
        let guarded = |reach| {
            let resolver = Resolver { guard: guard.clone(), reach };
            crate::http::builder(timeouts).dns_resolver(resolver).build()
        };
        Ok(Self {
            trusted: crate::http::builder(timeouts).build()?,
            public: guarded(Reach::Public)?,
            allowed: guarded(Reach::Allowed)?,
            guard,
            timeouts,
        })
    }

    /// The guard this fetcher asks.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Gets `url` and follows up to [`MAX_REDIRECTS`] redirects, all within the total time-out.
    ///
    /// `conditions` are what the last answer carried; an empty [`Memory`] asks unconditionally.
    ///
    /// # Errors
    /// A [`FetchError`]: anything but a whole 2xx answer or a 304.
    pub async fn get(
        &self,
        url: &Url,
        trust: Trust,
        conditions: &Memory,
        limits: Limits,
    ) -> Result<Fetched, FetchError> {
        let begun = Instant::now();
        let mut walk = Walk { operator: url, trust, hops: vec![url.clone()] };
        let follow = self.follow(&mut walk, conditions, limits);
        let fetched = tokio::time::timeout(self.timeouts.total, follow).await;
        let mut fetched = fetched.unwrap_or_else(|_elapsed| {
            Err(FetchError::TimedOut { url: shown(walk.hop()), after: self.timeouts.total })
        })?;
        fetched.elapsed = begun.elapsed();
        Ok(fetched)
    }

    async fn follow(
        &self,
        walk: &mut Walk<'_>,
        conditions: &Memory,
        limits: Limits,
    ) -> Result<Fetched, FetchError> {
        loop {
            let client = self.client(walk)?;
            let request = conditional(client.get(walk.hop().clone()), conditions);
            let response = request.send().await.map_err(|error| self.sorted(error, walk.hop()))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return self.answer(response, walk.hop(), conditions, limits).await;
            }
            walk.take(&response)?;
        }
    }

    /// The client that may make this hop.
    fn client(&self, walk: &Walk<'_>) -> Result<&reqwest::Client, Refusal> {
        if walk.trust == Trust::Operator && walk.hops.len() == 1 {
            return Ok(&self.trusted);
        }
        self.guard.check_url(walk.hop())?;
        Ok(match Reach::of(walk.hop()) {
            Reach::Public => &self.public,
            Reach::Allowed => &self.allowed,
        })
    }

    async fn answer(
        &self,
        response: reqwest::Response,
        url: &Url,
        conditions: &Memory,
        limits: Limits,
    ) -> Result<Fetched, FetchError> {
        let status = response.status();
        let text = |name| header_text(&response, name);
        let conditional = conditions.etag.is_some() || conditions.last_modified.is_some();
        let not_modified = status.as_u16() == 304 && conditional;
        let retry_after = retry_after(text(header::RETRY_AFTER), text(header::DATE));
        if !status.is_success() && !not_modified {
            let challenge = response.headers().get("cf-mitigated").is_some_and(|value| value == "challenge");
            return Err(FetchError::Status {
                url: shown(url),
                status: status.as_u16(),
                retry_after,
                challenge,
            });
        }
        let mut fetched = Fetched {
            status: status.as_u16(),
            final_url: without_credentials(url),
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
            content_type: text(header::CONTENT_TYPE),
            body: Bytes::new(),
            retry_after,
            not_modified,
            elapsed: Duration::ZERO,
        };
        if !not_modified {
            fetched.body =
                crate::http::read_body(response, limits.body).await.map_err(|error| match error {
                    BodyError::TooLarge { limit } => FetchError::TooLarge { url: shown(url), limit },
                    BodyError::Broken(reason) => FetchError::Broken { url: shown(url), reason },
                })?;
        }
        Ok(fetched)
    }

    /// What a failed request means to us.
    fn sorted(&self, error: reqwest::Error, url: &Url) -> FetchError {
        let mut reason = error.to_string();
        let timed_out = error.is_timeout();
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                return FetchError::Refused(Refusal { host: shown_host(url), ..refusal.clone() });
            }
            // The innermost cause is the one that tells ("connection refused").
            reason = cause.to_string();
            next = cause.source();
        }
        if timed_out {
            return FetchError::TimedOut { url: shown(url), after: self.timeouts.total };
        }
        FetchError::Unreachable { url: shown(url), reason }
    }
}

/// The way from the address given to the document.
struct Walk<'a> {
    operator: &'a Url,
    trust: Trust,
    hops: Vec<Url>,
}

impl Walk<'_> {
    /// The hop we are at.
    fn hop(&self) -> &Url {
        self.hops.last().unwrap_or(self.operator)
    }

    /// Goes where a redirect points.
    fn take(&mut self, response: &reqwest::Response) -> Result<(), FetchError> {
        let from = self.hop();
        let location = header_text(response, header::LOCATION);
        let Some(mut to) = location.and_then(|location| from.join(&location).ok()) else {
            return Err(FetchError::BadRedirect { url: shown(from), status: response.status().as_u16() });
        };
        to.set_fragment(None);
        if to.username() == from.username() && to.password() == from.password() {
            // A relative address inherits the operator's credentials; redirects travel without.
            to = without_credentials(&to);
        }
        if from.scheme() == "https" && to.scheme() == "http" {
            return Err(FetchError::Downgraded { url: shown(from) });
        }
        if self.hops.contains(&to) {
            return Err(FetchError::RedirectLoop { url: shown(&to) });
        }
        if self.hops.len() > MAX_REDIRECTS {
            return Err(FetchError::TooManyRedirects { url: shown(&to) });
        }
        self.hops.push(to);
        Ok(())
    }
}

fn conditional(request: reqwest::RequestBuilder, conditions: &Memory) -> reqwest::RequestBuilder {
    let sent =
        [(header::IF_NONE_MATCH, &conditions.etag), (header::IF_MODIFIED_SINCE, &conditions.last_modified)];
    sent.into_iter().fold(request.header(header::ACCEPT, ACCEPT), |request, (name, value)| {
        match value.as_ref().map(|value| HeaderValue::from_bytes(value.as_bytes())) {
            Some(Ok(value)) => request.header(name, value),
            _ => request,
        }
    })
}

/// A header as text. Thai sites send unencoded UTF-8 in `Location`, so ASCII is not asked for.
fn header_text(response: &reqwest::Response, name: HeaderName) -> Option<String> {
    String::from_utf8(response.headers().get(name)?.as_bytes().to_vec()).ok()
}

/// `Retry-After` in either form: seconds, or a date, counted from the server's own `Date`.
fn retry_after(value: Option<String>, date: Option<String>) -> Option<Duration> {
    let value = value?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(value.trim()).ok()?;
    let now = DateTime::parse_from_rfc2822(date?.trim()).ok()?;
    Some((at - now).to_std().unwrap_or_default())
}

/// The URL as an error may show it: credentials and query may hold secrets.
pub fn shown(url: &Url) -> String {
    let mut url = without_credentials(url);
    url.set_fragment(None);
    if url.query().is_some() {
        url.set_query(Some("…"));
        return url.as_str().replace("%E2%80%A6", "…");
    }
    url.to_string()
}

fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for URLs that can't have credentials.
    let _bare = url.set_username("").and_then(|()| url.set_password(None));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    use wiremock::matchers;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use crate::http::guard::Reason;

    const BOMB: &[u8] = include_bytes!("../../tests/fixtures/feed/err_bomb.xml.gz");

    fn fetcher(allow: &[&str]) -> Fetcher {
        crate::http::install_tls();
        let timeouts = Timeouts { connect: Duration::from_secs(2), total: Duration::from_secs(5) };
        Fetcher::new(timeouts, Guard::new(allow.iter().map(|net| net.parse().unwrap()).collect())).unwrap()
    }

    async fn serve(at: &str, answer: ResponseTemplate) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(matchers::path(at)).respond_with(answer).mount(&server).await;
        server
    }

    fn redirect(to: &str) -> ResponseTemplate {
        ResponseTemplate::new(302).insert_header("location", to)
    }

    async fn get(fetcher: &Fetcher, server: &MockServer, path: &str) -> Result<Fetched, FetchError> {
        let url = Url::parse(&server.uri()).unwrap().join(path).unwrap();
        fetcher.get(&url, Trust::Operator, &Memory::default(), Limits::FEED).await
    }

    #[tokio::test]
    async fn the_operators_address_is_fetched_though_it_is_private() {
        let answer = ResponseTemplate::new(200)
            .set_body_raw("<rss/>", "application/rss+xml")
            .insert_header("etag", "W/\"ก\"")
            .insert_header("last-modified", "Sun, 22 Nov 2026 00:00:00 GMT");
        let server = serve("/feed/", answer).await;
        let fetched = get(&fetcher(&[]), &server, "/feed/").await.unwrap();
        assert_eq!((fetched.status, &fetched.body[..]), (200, &b"<rss/>"[..]));
        assert_eq!(fetched.etag.as_deref(), Some("W/\"ก\""));
        assert_eq!(fetched.last_modified.as_deref(), Some("Sun, 22 Nov 2026 00:00:00 GMT"));
        assert_eq!(fetched.content_type.as_deref(), Some("application/rss+xml"));
        assert!(!fetched.not_modified);
    }

    #[tokio::test]
    async fn the_same_address_from_outside_is_refused_unasked() {
        let server = serve("/feed/", ResponseTemplate::new(200)).await;
        let url = Url::parse(&server.uri()).unwrap().join("/feed/").unwrap();
        let answer = fetcher(&[]).get(&url, Trust::Outside, &Memory::default(), Limits::FEED).await;
        assert!(matches!(answer, Err(FetchError::Refused(Refusal { reason: Reason::Loopback, .. }))));
        assert!(server.received_requests().await.unwrap().is_empty());
        let answer =
            fetcher(&["127.0.0.0/8"]).get(&url, Trust::Outside, &Memory::default(), Limits::FEED).await;
        assert_eq!(answer.unwrap().status, 200);
    }

    #[tokio::test]
    async fn a_redirect_into_a_private_network_is_refused_unasked() {
        let canary = serve("/", ResponseTemplate::new(200)).await;
        let port = canary.address().port();
        for target in [
            canary.uri(),
            format!("http://localhost:{port}/"),
            format!("http://2130706433:{port}/"),
            format!("http://[::ffff:127.0.0.1]:{port}/"),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "http://10.0.0.1/".to_owned(),
            "file:///etc/passwd".to_owned(),
            format!("http://user:pass@127.0.0.1:{port}/"),
        ] {
            let server = serve("/feed/", redirect(&target)).await;
            let answer = get(&fetcher(&[]), &server, "/feed/").await;
            assert!(matches!(answer, Err(FetchError::Refused(_))), "{target}: {answer:?}");
        }
        assert!(canary.received_requests().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_resolver_refuses_the_address_that_would_be_connected_to() {
        let canary = serve("/", ResponseTemplate::new(200)).await;
        let url = Url::parse(&format!("http://localhost:{}/", canary.address().port())).unwrap();
        let fetcher = fetcher(&[]);
        let error = fetcher.public.get(url.clone()).send().await.unwrap_err();
        let error = fetcher.sorted(error, &url);
        assert!(matches!(&error, FetchError::Refused(Refusal { reason: Reason::Loopback, .. })), "{error:?}");
        assert!(
            error.to_string().starts_with(url.as_str().trim_start_matches("http://").trim_end_matches('/'))
        );
        assert!(canary.received_requests().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn redirects_are_followed_where_the_guard_lets_them() {
        let server = serve("/feed/", ResponseTemplate::new(200).set_body_string("here")).await;
        let hop = redirect("/ข่าว/../feed/");
        Mock::given(matchers::path("/feed")).respond_with(hop).mount(&server).await;
        let fetched = get(&fetcher(&["127.0.0.1/32"]), &server, "/feed").await.unwrap();
        assert_eq!(fetched.final_url.path(), "/feed/");
        assert_eq!(&fetched.body[..], b"here");
    }

    #[tokio::test]
    async fn a_circle_of_redirects_is_named() {
        let server = serve("/a", redirect("/b")).await;
        Mock::given(matchers::path("/b")).respond_with(redirect("/a")).mount(&server).await;
        let error = get(&fetcher(&["127.0.0.1/32"]), &server, "/a").await.unwrap_err();
        assert!(matches!(&error, FetchError::RedirectLoop { url } if url.ends_with("/a")), "{error}");
    }

    #[tokio::test]
    async fn the_sixth_redirect_is_not_followed() {
        let server = MockServer::start().await;
        for hop in 0..=MAX_REDIRECTS {
            let answer = redirect(&format!("/{}", hop + 1));
            Mock::given(matchers::path(format!("/{hop}"))).respond_with(answer).mount(&server).await;
        }
        let error = get(&fetcher(&["127.0.0.1/32"]), &server, "/0").await.unwrap_err();
        assert!(matches!(&error, FetchError::TooManyRedirects { url } if url.ends_with("/6")), "{error}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1 + MAX_REDIRECTS);
    }

    #[tokio::test]
    async fn validators_go_back_byte_for_byte() {
        let answer = ResponseTemplate::new(304).insert_header("last-modified", "today");
        let server = serve("/", answer).await;
        let conditions = Memory {
            etag: Some("W/\"x, y\"".into()),
            last_modified: Some("yesterday, more or less".into()),
            body_hash: None,
        };
        let url = Url::parse(&server.uri()).unwrap();
        let fetched = fetcher(&[]).get(&url, Trust::Operator, &conditions, Limits::FEED).await.unwrap();
        assert!(fetched.not_modified && fetched.body.is_empty());
        assert_eq!(fetched.last_modified.as_deref(), Some("today"));
        let sent = &server.received_requests().await.unwrap()[0].headers;
        assert_eq!(sent["if-none-match"], "W/\"x, y\"");
        assert_eq!(sent["if-modified-since"], "yesterday, more or less");
        assert_eq!(sent["user-agent"], crate::http::USER_AGENT);
    }

    #[tokio::test]
    async fn a_304_that_nobody_asked_for_is_an_error() {
        let server = serve("/feed/", ResponseTemplate::new(304)).await;
        let answer = get(&fetcher(&[]), &server, "/feed/").await;
        assert!(matches!(answer, Err(FetchError::Status { status: 304, .. })));
    }

    #[tokio::test]
    async fn a_status_brings_its_retry_after_and_the_challenge() {
        let answer = ResponseTemplate::new(429)
            .insert_header("retry-after", "Sun, 22 Nov 2026 10:02:00 GMT")
            .insert_header("date", "Sun, 22 Nov 2026 10:00:00 GMT");
        let server = serve("/feed/", answer).await;
        let error = get(&fetcher(&[]), &server, "/feed/").await.unwrap_err();
        let wait = Duration::from_secs(120);
        assert!(
            matches!(error, FetchError::Status { status: 429, retry_after: Some(after), .. } if after == wait)
        );
        let challenge = ResponseTemplate::new(403).insert_header("cf-mitigated", "challenge");
        let server = serve("/feed/", challenge).await;
        let error = get(&fetcher(&[]), &server, "/feed/").await.unwrap_err();
        assert!(error.to_string().ends_with("let our agent through"), "{error}");
    }

    #[tokio::test]
    async fn a_flood_and_a_bomb_are_cut_at_the_cap() {
        let flood = ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 20 << 20]);
        let bomb = ResponseTemplate::new(200).insert_header("content-encoding", "gzip").set_body_bytes(BOMB);
        for answer in [flood, bomb] {
            let server = serve("/feed/", answer).await;
            let error = get(&fetcher(&[]), &server, "/feed/").await.unwrap_err();
            assert!(matches!(error, FetchError::TooLarge { limit: 5_242_880, .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_truncated_gzip_breaks_off() {
        let answer =
            ResponseTemplate::new(200).insert_header("content-encoding", "gzip").set_body_bytes(&BOMB[..100]);
        let server = serve("/feed/", answer).await;
        let error = get(&fetcher(&[]), &server, "/feed/").await.unwrap_err();
        assert!(matches!(error, FetchError::Broken { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_slow_server_is_given_up() {
        let server = serve("/feed/", ResponseTemplate::new(200).set_delay(Duration::from_secs(30))).await;
        let timeouts = Timeouts { connect: Duration::from_secs(1), total: Duration::from_millis(50) };
        crate::http::install_tls();
        let fetcher = Fetcher::new(timeouts, Guard::default()).unwrap();
        let error = get(&fetcher, &server, "/feed/").await.unwrap_err();
        assert!(matches!(error, FetchError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_unreachable_server_is_said_so_without_secrets() {
        let url = Url::parse("http://me:secret@127.0.0.1:1/feed?token=secret").unwrap();
        let error =
            fetcher(&[]).get(&url, Trust::Operator, &Memory::default(), Limits::FEED).await.unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("http://127.0.0.1:1/feed?… can't be reached: "), "{said}");
        assert!(!format!("{error:?} {said}").contains("secret"), "{error:?}");
    }

    #[track_caller]
    fn check_walk(from: &str, to: &str) -> Result<String, FetchError> {
        let from = Url::parse(from).unwrap();
        let answer = http::Response::builder().status(302).header("location", to).body("").unwrap();
        let mut walk = Walk { operator: &from, trust: Trust::Operator, hops: vec![from.clone()] };
        walk.take(&answer.into())?;
        Ok(walk.hop().to_string())
    }

    #[test]
    fn a_redirect_never_leaves_https() {
        let error = check_walk("https://a.example/feed", "http://a.example/feed/").unwrap_err();
        assert!(matches!(error, FetchError::Downgraded { .. }));
        assert!(check_walk("http://a.example/feed", "https://a.example/feed").is_ok());
    }

    #[test]
    fn a_redirect_travels_without_the_operators_credentials() {
        let hop = check_walk("https://me:secret@a.example/feed", "/feed/#top").unwrap();
        assert_eq!(hop, "https://a.example/feed/");
    }

    #[test]
    fn a_redirect_to_nowhere_is_an_error() {
        let error = check_walk("https://a.example/feed", "http://[broken").unwrap_err();
        assert_eq!(error.to_string(), "https://a.example/feed answered 302 without an address to go to");
    }
}
