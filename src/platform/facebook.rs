//! Facebook Pages: link posts through the Graph API.
//!
//! Spec: <https://developers.facebook.com/docs/graph-api/reference/page/feed/>. There is no idempotency key, and an
//! HTTP status decides nothing: what an answer means stands in `error.code` and `error.error_subcode`, and a
//! failed-looking publish (500, code 1 or 2, a time-out) may well be public.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use reqwest::Client;
use reqwest::header::AUTHORIZATION;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::HeaderValue;
use ring::hmac;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::model::attempt::Answer;
use crate::model::attempt::Receipt;
use crate::model::attempt::SendError;
use crate::model::hash;
use crate::model::post::Payload;
use crate::model::readback;
use crate::model::readback::Recent;
use crate::model::readback::RemotePost;
use crate::platform::Health;
use crate::platform::Unfit;
use crate::platform::endpoint;
use crate::platform::transport;
use crate::platform::transport::Reply;
use crate::platform::transport::Scrub;
use crate::platform::within;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;

/// The longest message, in code points (platforms/facebook.md, section 4).
pub const MESSAGE_LIMIT: usize = 63_206;

/// How long a Page rests after "posting too fast" (368/1390008), which names no time of its own: hours, not
/// seconds (section 10).
const TOO_FAST_PAUSE: Duration = Duration::from_secs(3 * 60 * 60);

/// How long a Page rests after the feed action limit (341); what Friends+Me waits (section 10).
const FEED_LIMIT_PAUSE: Duration = Duration::from_secs(3 * 60 * 60);

/// How long an account limited "for days" (368/1404112) rests before the next try (section 10).
const LIMITED_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The window of the app's call limit: with `X-App-Usage` at 100 % it must pass before calls succeed (section 8).
const APP_USAGE_WINDOW: Duration = Duration::from_secs(60 * 60);

/// What the publishing request asks for in the same breath: reading after writing (section 0).
const RECEIPT_FIELDS: &str = "id,permalink_url,created_time";

/// What a read-back asks of each post (section 9).
const POST_FIELDS: &str =
    "id,message,created_time,permalink_url,application{id},attachments{url,unshimmed_url,target{url}}";

/// Posts a page of the list; the most Facebook gives (section 9).
const PAGE_SIZE: &str = "100";

/// Pages read at most. About 600 posts a year are reachable (section 9), so a longer list is a loop.
const PAGE_LIMIT: usize = 20;

/// The header with Facebook's id of a request.
const REQUEST_ID: &str = "x-fb-trace-id";

/// One Page and the token to post to it.
#[derive(Debug)]
pub struct Facebook {
    http: Client,
    base_url: Url,
    api_version: String,
    page_id: String,
    authorization: HeaderValue,
    /// HMAC of the token under the app's secret; with it a leaked token alone is useless.
    proof: Option<SecretString>,
    scrub: Scrub,
}

impl Facebook {
    /// The way to one Page.
    ///
    /// # Errors
    /// When the token can't stand in an HTTP header.
    pub fn new(
        http: Client,
        base_url: Url,
        api_version: &str,
        page_id: &str,
        access_token: &SecretString,
        app_secret: Option<&SecretString>,
    ) -> anyhow::Result<Facebook> {
        let token = access_token.expose_secret();
        let proof = app_secret.map(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
            SecretString::from(hash::hex(hmac::sign(&key, token.as_bytes()).as_ref()))
        });
        let secrets = [Some(access_token), app_secret, proof.as_ref()];
        Ok(Facebook {
            authorization: transport::secret_header(&format!("Bearer {token}"), "access_token")?,
            scrub: Scrub::new(secrets.into_iter().flatten().cloned()),
            http,
            base_url,
            api_version: api_version.to_owned(),
            page_id: page_id.to_owned(),
            proof,
        })
    }

    /// Publishes the bytes of a frozen payload.
    pub async fn send(&self, payload: &str, now: DateTime<Utc>) -> Answer {
        let url = self.url("/feed", &[("fields", RECEIPT_FIELDS)]);
        let request = self
            .http
            .post(url)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(payload.to_owned());
        match transport::exchange(request, now).await {
            Err(error) => transport::unanswered(self.scrub.error(error)),
            Ok(reply) => {
                let result = published(&reply).map_err(|error| self.scrub.error(error));
                reply.into_answer(REQUEST_ID, result)
            }
        }
    }

    /// What the Page published since `since` on our clock.
    ///
    /// # Errors
    /// Whatever kept the list from being read to its end.
    pub async fn recent(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<Recent, SendError> {
        let first = [("fields", POST_FIELDS), ("limit", PAGE_SIZE)];
        let mut url = self.url("/published_posts", &first);
        let mut recent = Recent { posts: Vec::new(), clock_offset: None, complete: false };
        for _ in 0..PAGE_LIMIT {
            let reply = self.get(url, now).await?;
            recent.clock_offset = recent.clock_offset.or(reply.clock_offset());
            let page: Page = self.read(&reply)?;
            for post in page.data {
                recent.posts.push(post.remote().map_err(|reason| self.unclear(&reason))?);
            }
            // An empty page may still have a next one; only its absence ends the list.
            let Some(next) = page.paging.and_then(|paging| paging.next) else {
                recent.complete = true;
                break;
            };
            url = self.next_page(&next)?;
        }
        if !recent.complete {
            tracing::warn!(page = self.page_id, "the list of posts did not end after {PAGE_LIMIT} pages");
        }
        let earliest = readback::earliest(since, recent.clock_offset.unwrap_or_default());
        recent.posts.retain(|post| post.created_at >= earliest);
        Ok(recent)
    }

    /// Reads the Page's name.
    ///
    /// # Errors
    /// What Facebook answered instead.
    pub async fn probe(&self, now: DateTime<Utc>) -> Result<Health, SendError> {
        let reply = self.get(self.url("", &[("fields", "id,name")]), now).await?;
        let page: Named = self.read(&reply)?;
        let mut details = vec![("page_id".to_owned(), page.id)];
        // An expired version is silently served by another one; the header says which (section 1).
        if let Some(version) = reply.header("facebook-api-version") {
            details.push(("api_version".to_owned(), version.to_owned()));
            if version != self.api_version {
                tracing::warn!(
                    asked = self.api_version,
                    served = version,
                    "Facebook serves another API version"
                );
            }
        }
        Ok(Health { name: page.name, details })
    }

    async fn get(&self, url: Url, now: DateTime<Utc>) -> Result<Reply, SendError> {
        let request = self.http.get(url).header(AUTHORIZATION, self.authorization.clone());
        transport::exchange(request, now).await.map_err(|error| self.scrub.error(error))
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, reply: &Reply) -> Result<T, SendError> {
        let answer = match reply.status.is_success() && reply.json::<Envelope>().is_none() {
            true => reply.json(),
            false => None,
        };
        answer.ok_or_else(|| self.scrub.error(refused(reply)))
    }

    fn unclear(&self, reason: &str) -> SendError {
        SendError::Unconfirmed { reason: self.scrub.text(reason) }
    }

    /// An address below the Page, with the proof where the app's secret is known. The token is never in it.
    fn url(&self, edge: &str, query: &[(&str, &str)]) -> Url {
        let mut url = endpoint(&self.base_url, &format!("{}/{}{edge}", self.api_version, self.page_id));
        {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(query);
            if let Some(proof) = &self.proof {
                pairs.append_pair("appsecret_proof", proof.expose_secret());
            }
        }
        url
    }

    /// The next page's address: the query is Facebook's, host and path are ours, and its copy of our token and
    /// proof is dropped. A host from an answer is never called.
    fn next_page(&self, next: &str) -> Result<Url, SendError> {
        let next = self.base_url.join(next).map_err(|_| self.unclear("paging.next is no address"))?;
        let own = |name: &str| matches!(name, "access_token" | "appsecret_proof");
        let pairs: Vec<_> = next.query_pairs().filter(|(name, _)| !own(name)).collect();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
        Ok(self.url("/published_posts", &pairs))
    }
}

/// Freezes a link post, or a plain status without a link.
///
/// # Errors
/// When the message is too long, both are empty, or the link is one Facebook never takes.
pub(crate) fn freeze(message: &str, link: Option<&str>) -> Result<Payload, Unfit> {
    within("message", message.chars().count(), MESSAGE_LIMIT, "characters")?;
    if message.trim().is_empty() && link.is_none() {
        return Err(Unfit::Empty { field: "message".into(), cure: "give a message or a link" });
    }
    if let Some(link) = link {
        let invalid = |problem| Err(Unfit::Invalid { field: "link".into(), value: link.into(), problem });
        match Url::parse(link) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                return invalid("is neither http nor https; Facebook takes no other link");
            }
            // Error 1609008 (section 10): known beforehand, so it costs no attempt.
            Ok(url) if url.host_str().is_some_and(is_facebook) => {
                return invalid("leads to Facebook itself, which it refuses; leave the link out");
            }
            Ok(_) => {}
            Err(_) => return invalid("is no address; give a whole one, with https://"),
        }
    }
    let body = Feed { message: Some(message).filter(|message| !message.is_empty()), link };
    Ok(Payload::freeze(json(&body), message.to_owned(), link.map(str::to_owned)))
}

fn is_facebook(host: &str) -> bool {
    host == "facebook.com" || host.ends_with(".facebook.com")
}

#[expect(clippy::expect_used, reason = "a struct of two strings always has a JSON form")]
fn json(body: &Feed<'_>) -> String {
    serde_json::to_string(body).expect("strings serialise")
}

/// The body of a publishing request.
#[derive(Serialize)]
struct Feed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Envelope {
    error: GraphError,
}

/// The error envelope (section 10); every field may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GraphError {
    message: String,
    code: Option<i64>,
    error_subcode: Option<i64>,
    is_transient: bool,
    error_user_title: Option<String>,
    error_user_msg: Option<String>,
    fbtrace_id: Option<String>,
}

impl GraphError {
    /// Code, words and trace, as a person and Meta's support need them.
    fn reason(&self) -> String {
        let code = match (self.code, self.error_subcode) {
            (Some(code), Some(subcode)) => format!("code {code}/{subcode}"),
            (Some(code), None) => format!("code {code}"),
            (None, _) => "no code".to_owned(),
        };
        let words = [Some(&self.message), self.error_user_title.as_ref(), self.error_user_msg.as_ref()];
        let words: Vec<_> =
            words.into_iter().flatten().filter(|words| !words.is_empty()).map(String::as_str).collect();
        let trace = self.fbtrace_id.as_ref().map(|id| format!(" (trace {id})")).unwrap_or_default();
        let cure = self.cure().map(|cure| format!("; {cure}")).unwrap_or_default();
        format!("{code}{cure}: {}{trace}", words.join(" / "))
    }

    /// What a person must do, where Facebook's words don't say it.
    fn cure(&self) -> Option<&'static str> {
        Some(match (self.code?, self.error_subcode) {
            (190, Some(458)) => "the app was removed: connect again",
            (190, Some(459)) => "the person must pass Facebook's security check, then connect again",
            (190, Some(464)) => "the person must confirm their Facebook account",
            (190, Some(492)) => "the person lost their role on the Page: give it back, then connect again",
            (190, _) | (102, _) => "connect again",
            (10 | 200..=299, _) => "grant all permissions again",
            (1705, _) => "use a Page token, not a person's",
            (104, _) => "check app_secret",
            (12, _) => "raise api_version",
            (21, _) => "the Page has a new page_id",
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
struct Page {
    data: Vec<PagePost>,
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Paging {
    next: Option<String>,
}

#[derive(Deserialize)]
struct PagePost {
    id: String,
    created_time: String,
    #[serde(default)]
    message: String,
    permalink_url: Option<String>,
    application: Option<Application>,
    #[serde(default)]
    attachments: Attachments,
}

#[derive(Deserialize)]
struct Application {
    id: String,
}

#[derive(Default, Deserialize)]
struct Attachments {
    #[serde(default)]
    data: Vec<Attachment>,
}

#[derive(Deserialize)]
struct Attachment {
    unshimmed_url: Option<String>,
    url: Option<String>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    url: Option<String>,
}

impl PagePost {
    fn remote(self) -> Result<RemotePost, String> {
        let created_at = DateTime::parse_from_str(&self.created_time, "%Y-%m-%dT%H:%M:%S%z")
            .or_else(|_| DateTime::parse_from_rfc3339(&self.created_time))
            .map_err(|_| {
                format!("post {} has the unreadable created_time {:?}", self.id, self.created_time)
            })?;
        let attached = self.attachments.data.into_iter().flat_map(|attachment| {
            [attachment.unshimmed_url, attachment.url, attachment.target.and_then(|target| target.url)]
        });
        let attached = attached.flatten().map(|link| unwrapped(&link));
        let links =
            readback::links_in(&self.message).into_iter().map(str::to_owned).chain(attached).collect();
        Ok(RemotePost {
            remote_id: self.id,
            permalink: self.permalink_url,
            links,
            text: self.message,
            created_at: created_at.to_utc(),
            application: self.application.map(|application| application.id),
        })
    }
}

/// The target of a link behind Facebook's redirect (`l.facebook.com/l.php?u=…`); other links as they are.
fn unwrapped(link: &str) -> String {
    let target =
        Url::parse(link).ok().filter(|url| url.host_str() == Some("l.facebook.com")).and_then(|url| {
            url.query_pairs().find(|(name, _)| name == "u").map(|(_, target)| target.into_owned())
        });
    target.unwrap_or_else(|| link.to_owned())
}

/// A receipt, only from a whole answer with the post's id and no error in it.
fn published(reply: &Reply) -> Result<Receipt, SendError> {
    if reply.status.is_success()
        && let Some(answer) = reply.json::<Value>()
        && answer.get("error").is_none()
        && let Some(id) = answer["id"].as_str().filter(|id| !id.is_empty())
    {
        let permalink = answer["permalink_url"].as_str().map(str::to_owned);
        return Ok(Receipt { remote_id: id.to_owned(), permalink });
    }
    Err(refused(reply))
}

/// What an answer without a receipt means. Pure: the table of cases below is section 10 of the sheet.
fn refused(reply: &Reply) -> SendError {
    let Some(Envelope { error }) = reply.json() else {
        let reason = reply.describe();
        return match reply.status.as_u16() {
            // RFC 6585: refused unread, whoever on the way said it.
            429 => SendError::RateLimited { retry_after: reply.retry_after(), reason },
            _ => SendError::Unconfirmed { reason },
        };
    };
    let reason = error.reason();
    match verdict(&error) {
        Verdict::Duplicate => SendError::Duplicate { reason },
        // Graph answers 400 to almost everything it refuses; behind a 5xx the post may be public whatever it says.
        _ if reply.status.is_server_error() => SendError::Unconfirmed { reason },
        Verdict::Throttled(pause) => {
            SendError::RateLimited { retry_after: asked_pause(reply).or(pause), reason }
        }
        Verdict::Credential => SendError::Unauthorized { reason },
        Verdict::Unclear => SendError::Unconfirmed { reason },
        Verdict::Refused => SendError::Rejected { reason },
    }
}

/// What an error code calls for.
enum Verdict {
    Duplicate,
    /// With the pause to make where no header names one.
    Throttled(Option<Duration>),
    Credential,
    Unclear,
    Refused,
}

/// Section 10 as code: subcodes that mean the same under every code first, then codes.
fn verdict(error: &GraphError) -> Verdict {
    let Some(code) = error.code else { return Verdict::Unclear };
    let words = format!("{} {}", error.message, error.error_user_msg.as_deref().unwrap_or_default());
    let words = words.to_ascii_lowercase();
    if words.contains("already posted") {
        return Verdict::Duplicate;
    }
    match (code, error.error_subcode.unwrap_or_default()) {
        (506 | 1_366_051, _) | (_, 1_366_051) => Verdict::Duplicate,
        (368, 1_404_006 | 1_404_078) | (4_854_002, _) | (_, 4_854_002) => Verdict::Credential,
        (368, 1_404_112) => Verdict::Throttled(Some(LIMITED_PAUSE)),
        (368, 1_404_102 | 1_346_003) => Verdict::Refused,
        (368, _) => Verdict::Throttled(Some(TOO_FAST_PAUSE)),
        (341, _) => Verdict::Throttled(Some(FEED_LIMIT_PAUSE)),
        // An Instagram subcode: its post may be live.
        (4, 2_207_051) => Verdict::Unclear,
        (4 | 17 | 32 | 613 | 80_000..=80_014, _) => Verdict::Throttled(None),
        (10 | 102 | 104 | 190 | 200..=299 | 1705, _) => Verdict::Credential,
        // A wrong or missing proof is a fault of the credential, not of the post.
        (100, _) if words.contains("appsecret_proof") => Verdict::Credential,
        (1 | 2 | 1_363_047 | 1_609_010, _) | (_, 1_363_047 | 1_609_010) => Verdict::Unclear,
        _ if error.is_transient => Verdict::Unclear,
        (3 | 12 | 21 | 100 | 324 | 1500, _) => Verdict::Refused,
        (1_349_125 | 1_366_046 | 1_609_005 | 1_609_008 | 2_061_006 | 2_069_019, _) => Verdict::Refused,
        (_, 1_349_125 | 1_366_046 | 1_609_005 | 1_609_008 | 2_061_006 | 2_069_019) => Verdict::Refused,
        _ => Verdict::Unclear,
    }
}

/// The pause the headers ask for: `Retry-After`, the longest time to regain access among the Page's limits, or the
/// app's window when it is used up.
fn asked_pause(reply: &Reply) -> Option<Duration> {
    let minutes = reply.header("x-business-use-case-usage").and_then(minutes_to_regain_access);
    let regained = minutes.map(|minutes| transport::pause(minutes.saturating_mul(60)));
    let app_usage: Option<Value> =
        reply.header("x-app-usage").and_then(|usage| serde_json::from_str(usage).ok());
    let used_up = app_usage.as_ref().and_then(Value::as_object).is_some_and(|usage| {
        usage.values().any(|percent| percent.as_f64().is_some_and(|percent| percent >= 100.0))
    });
    reply.retry_after().or(regained).or(used_up.then_some(APP_USAGE_WINDOW))
}

/// The most minutes any of the Page's limits (`type` "pages" or none) asks for; 0 means no limit is hit.
fn minutes_to_regain_access(header: &str) -> Option<i64> {
    let usage: Value = serde_json::from_str(header).ok()?;
    let limits = usage.as_object()?.values().filter_map(Value::as_array).flatten();
    let of_pages = limits.filter(|limit| limit.get("type").is_none_or(|kind| kind == "pages"));
    of_pages
        .filter_map(|limit| limit.get("estimated_time_to_regain_access")?.as_i64())
        .max()
        .filter(|minutes| *minutes > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;
    use reqwest::header::HeaderName;
    use wiremock::Mock;
    use wiremock::MockServer;
    use wiremock::ResponseTemplate;
    use wiremock::matchers::body_string;
    use wiremock::matchers::header;
    use wiremock::matchers::method;
    use wiremock::matchers::path;
    use wiremock::matchers::query_param;
    use wiremock::matchers::query_param_is_missing;

    use super::*;
    use crate::model::attempt::SendError::*;
    use crate::platform::Publisher;
    use crate::platform::wire;
    use crate::platform::wire::now;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../tests/fixtures/facebook/", $name))
        };
    }

    const FEED: &str = "/base/v26.0/100000000000001/feed";
    const POSTS: &str = "/base/v26.0/100000000000001/published_posts";
    const HOUR: u64 = 60 * 60;

    #[test]
    fn a_receipt_needs_the_posts_id() {
        let receipt = published(&reply(200, &[], fixture!("published.json"))).unwrap();
        assert_eq!(receipt.remote_id, "100000000000001_122101234567890123");
        assert!(receipt.permalink.unwrap().starts_with("https://www.facebook.com/"));

        for body in [
            r#"{"success":true}"#,
            r#"{"id":""}"#,
            r#"{"id":7}"#,
            r#"{"id":"1_2","error":{"message":"x","code":1}}"#,
            r#"{"id":"1_2","error":"x"}"#,
            r#"["1_2",null]"#,
            "{}",
            "",
        ] {
            let error = published(&reply(200, &[], body)).unwrap_err();
            assert!(matches!(error, Unconfirmed { .. }), "{body}: {error:?}");
        }
    }

    /// Section 10 of the sheet, row by row: code, subcode (0: none), class.
    #[test]
    fn every_row_of_the_error_table_has_its_class() {
        let pause = |hours: u64| Some(Duration::from_secs(hours * HOUR));
        for (code, subcode) in
            [(1, 0), (1, 99), (2, 0), (1_363_047, 0), (1_609_010, 0), (100, 1_609_010), (4, 2_207_051)]
        {
            check(code, subcode, |error| matches!(error, Unconfirmed { .. }));
        }
        for (code, subcode) in
            [(506, 0), (506, 1_455_006), (1_366_051, 0), (324, 1_366_051), (100, 1_366_051)]
        {
            check(code, subcode, |error| matches!(error, Duplicate { .. }));
        }
        for code in [4, 17, 32, 613, 80_000, 80_001, 80_002, 80_006, 80_014] {
            check(code, 0, |error| matches!(error, RateLimited { retry_after: None, .. }));
        }
        check(17, 2_446_079, |error| matches!(error, RateLimited { .. }));
        check(613, 1996, |error| matches!(error, RateLimited { .. }));
        check(341, 0, |error| matches!(error, RateLimited { retry_after, .. } if *retry_after == pause(3)));
        check(368, 0, |error| matches!(error, RateLimited { retry_after, .. } if *retry_after == pause(3)));
        check(
            368,
            1_390_008,
            |error| matches!(error, RateLimited { retry_after, .. } if *retry_after == pause(3)),
        );
        check(
            368,
            1_404_112,
            |error| matches!(error, RateLimited { retry_after, .. } if *retry_after == pause(24)),
        );
        for subcode in [0, 458, 459, 460, 461, 463, 464, 467, 492] {
            check(190, subcode, |error| matches!(error, Unauthorized { .. }));
        }
        for code in [10, 102, 104, 200, 210, 220, 240, 282, 283, 299, 1705, 4_854_002] {
            check(code, 0, |error| matches!(error, Unauthorized { .. }));
        }
        for (code, subcode) in [(368, 1_404_006), (368, 1_404_078), (200, 4_854_002)] {
            check(code, subcode, |error| matches!(error, Unauthorized { .. }));
        }
        for (code, subcode) in [
            (3, 0),
            (12, 0),
            (21, 0),
            (100, 0),
            (100, 33),
            (324, 0),
            (324, 1_366_046),
            (100, 2_069_019),
            (368, 1_404_102),
            (368, 1_346_003),
            (1500, 0),
            (100, 1_609_005),
            (100, 2_061_006),
            (100, 1_609_008),
            (1_609_008, 0),
            (1_349_125, 0),
        ] {
            check(code, subcode, |error| matches!(error, Rejected { .. }));
        }
        for code in [0, 7, 300, 501, 999, 80_015, -1] {
            check(code, 0, |error| matches!(error, Unconfirmed { .. }));
        }

        #[track_caller]
        fn check(code: i64, subcode: i64, expected: impl Fn(&SendError) -> bool) {
            let subcode = if subcode == 0 { Value::Null } else { subcode.into() };
            let body = serde_json::json!({"error": {"message": "m", "code": code, "error_subcode": subcode}});
            for status in [400, 403, 200] {
                let error = published(&reply(status, &[], &body.to_string())).unwrap_err();
                assert!(expected(&error), "{status} {body}: {error:?}");
            }
            // Behind a 5xx nothing is sure but a duplicate, which is read back as well.
            let error = published(&reply(500, &[], &body.to_string())).unwrap_err();
            assert!(matches!(error, Unconfirmed { .. } | Duplicate { .. }), "500 {body}: {error:?}");
        }
    }

    #[test]
    fn words_decide_where_codes_dont() {
        let refusal = |body: &str| published(&reply(400, &[], body)).unwrap_err();
        let again = r#"{"error":{"code":368,"message":"Looks like you Already Posted this"}}"#;
        assert!(matches!(refusal(again), Duplicate { .. }));
        let proof =
            r#"{"error":{"code":100,"message":"Invalid appsecret_proof provided in the API argument"}}"#;
        assert!(matches!(refusal(proof), Unauthorized { .. }));
        let transient = r#"{"error":{"code":100,"message":"m","is_transient":true}}"#;
        assert!(matches!(refusal(transient), Unconfirmed { .. }));
        assert!(matches!(refusal(r#"{"error":{"message":"no code"}}"#), Unconfirmed { .. }));
        assert!(matches!(refusal(r#"{"error":"what"}"#), Unconfirmed { .. }));
    }

    #[test]
    fn a_reason_tells_code_cure_words_and_trace() {
        let error = published(&reply(400, &[], fixture!("err_token_expired.json"))).unwrap_err();
        assert_eq!(
            error.reason(),
            "code 190/463; connect again: Error validating access token: Session has expired on Sunday, \
             22-Nov-26 10:00:00 PST. (trace AbCdEfGhIjK)"
        );
        let error = published(&reply(400, &[], fixture!("err_duplicate.json"))).unwrap_err();
        assert!(error.reason().contains("identical to the last one"), "{}", error.reason());
    }

    #[test]
    fn headers_say_how_long_a_throttled_page_rests() {
        let usage = |minutes: i64, kind: &str| {
            format!(
                r#"{{"1":[{{"type":"{kind}","estimated_time_to_regain_access":{minutes}}}],"2":[{{"call_count":5}}]}}"#
            )
        };
        check(&[("x-business-use-case-usage", &usage(17, "pages"))], Some(17 * 60));
        check(&[("x-business-use-case-usage", &usage(17, "instagram"))], None);
        check(&[("x-business-use-case-usage", &usage(0, "pages"))], None);
        check(&[("x-business-use-case-usage", "soon")], None);
        check(&[("x-business-use-case-usage", &usage(i64::MAX, "pages"))], Some(24 * HOUR));
        check(&[("x-app-usage", r#"{"call_count":100,"total_time":25,"total_cputime":25}"#)], Some(HOUR));
        check(&[("x-app-usage", r#"{"call_count":99.5,"total_time":25}"#)], None);
        check(&[("retry-after", "90"), ("x-app-usage", r#"{"call_count":100}"#)], Some(90));
        check(&[], None);

        #[track_caller]
        fn check(headers: &[(&'static str, &str)], seconds: Option<u64>) {
            let error = refused(&reply(400, headers, fixture!("err_page_throttled.json")));
            let RateLimited { retry_after, .. } = error else { panic!("{error:?}") };
            assert_eq!(retry_after, seconds.map(Duration::from_secs));
        }
    }

    #[test]
    fn a_429_without_an_envelope_is_a_rate_limit() {
        let error = refused(&reply(429, &[("retry-after", "30")], "<html>"));
        assert!(matches!(error, RateLimited { retry_after: Some(Duration { .. }), .. }), "{error:?}");
    }

    proptest! {
        #[test]
        fn an_answer_that_is_not_understood_is_unconfirmed(status in 100_u16..600, body in ".{0,60}") {
            prop_assume!(status != 429);
            let error = published(&reply(status, &[], &body)).unwrap_err();
            prop_assert!(matches!(error, Unconfirmed { .. }), "{status} {body}: {error:?}");
        }

        #[test]
        fn a_server_error_is_never_taken_for_not_sent(status in 500_u16..600, code in any::<i64>(), subcode in any::<i64>()) {
            let body = serde_json::json!({"error": {"code": code, "error_subcode": subcode}}).to_string();
            let error = published(&reply(status, &[], &body)).unwrap_err();
            prop_assert!(matches!(error, Unconfirmed { .. } | Duplicate { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_message_is_frozen_as_json() {
        let payload = freeze("น้ำท่วม \"หนัก\"\n", Some("https://inn.co.th/ข่าว/1?utm_source=x")).unwrap();
        assert_eq!(
            payload.body,
            r#"{"message":"น้ำท่วม \"หนัก\"\n","link":"https://inn.co.th/ข่าว/1?utm_source=x"}"#
        );
        assert_eq!(payload.text, "น้ำท่วม \"หนัก\"\n");
        assert_eq!(payload.link.as_deref(), Some("https://inn.co.th/ข่าว/1?utm_source=x"));
        assert_eq!(freeze("ข่าว", None).unwrap().body, r#"{"message":"ข่าว"}"#);
        assert_eq!(freeze("", Some("http://a.th")).unwrap().body, r#"{"link":"http://a.th"}"#);
    }

    #[test]
    fn what_facebook_refuses_is_not_frozen() {
        assert!(freeze(&"ก".repeat(MESSAGE_LIMIT), None).is_ok());
        check(&"ก".repeat(MESSAGE_LIMIT + 1), None, "message: 63207 characters, at most 63206");
        check(" ", None, "message: is empty");
        check("x", Some("/news/1"), "link: \"/news/1\" is no address");
        check("x", Some("javascript:alert(1)"), "neither http nor https");
        check("x", Some("https://m.facebook.com/1"), "leads to Facebook itself");
        assert!(freeze("x", Some("https://notfacebook.com/1")).is_ok());

        #[track_caller]
        fn check(message: &str, link: Option<&str>, says: &str) {
            let error = freeze(message, link).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn a_post_carries_token_proof_and_the_frozen_bytes() {
        let server = MockServer::start().await;
        let payload = freeze("น้ำท่วม", Some("https://inn.co.th/1")).unwrap();
        Mock::given(method("POST"))
            .and(path(FEED))
            .and(query_param("fields", "id,permalink_url,created_time"))
            // HMAC-SHA256 of "t0ken" under "s3cret", computed with Python's hmac.
            .and(query_param("appsecret_proof", PROOF))
            .and(query_param_is_missing("access_token"))
            .and(header("authorization", "Bearer t0ken"))
            .and(header("content-type", "application/json"))
            .and(body_string(&payload.body))
            .respond_with(
                ResponseTemplate::new(200)
                    .insert_header("x-fb-trace-id", "trace-1")
                    .insert_header("date", "Sun, 22 Nov 2026 19:00:52 GMT")
                    .set_body_string(fixture!("published.json")),
            )
            .expect(1)
            .mount(&server)
            .await;

        let answer = page(&server, Some("s3cret")).send(&payload.body, now()).await;

        assert_eq!(answer.result.unwrap().remote_id, "100000000000001_122101234567890123");
        assert_eq!((answer.status, answer.request_id.as_deref()), (Some(200), Some("trace-1")));
        assert!((59..=60).contains(&answer.clock_offset.unwrap()));
    }

    #[tokio::test]
    async fn without_an_app_secret_there_is_no_proof() {
        let server = MockServer::start().await;
        Mock::given(query_param_is_missing("appsecret_proof"))
            .respond_with(ResponseTemplate::new(200).set_body_string(fixture!("published.json")))
            .expect(1)
            .mount(&server)
            .await;
        assert!(page(&server, None).send("{}", now()).await.result.is_ok());
    }

    #[tokio::test]
    async fn no_mishap_is_taken_for_a_receipt() {
        let publisher = |url| Publisher::Facebook(at(url, None));
        wire::survive_mishaps(publisher, &["content-type: application/json"], fixture!("published.json"))
            .await;
    }

    #[tokio::test]
    async fn secrets_echoed_by_the_platform_are_hidden() {
        let server = MockServer::start().await;
        let echo = format!(r#"{{"error":{{"code":190,"message":"bad t0ken under s3cret with {PROOF}"}}}}"#);
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(400).set_body_string(echo))
            .mount(&server)
            .await;

        let page = page(&server, Some("s3cret"));
        let error = page.send("{}", now()).await.result.unwrap_err();

        assert_eq!(error.reason(), "code 190; connect again: bad [secret] under [secret] with [secret]");
        let debug = format!("{page:?}");
        assert!(!debug.contains("t0ken") && !debug.contains("s3cret") && !debug.contains(PROOF), "{debug}");
    }

    #[tokio::test]
    async fn the_list_is_read_to_its_end_on_our_own_host() {
        let server = MockServer::start().await;
        let pages = [(query_param_is_missing("after"), fixture!("published_posts_1.json"))];
        for (matcher, body) in pages {
            Mock::given(method("GET"))
                .and(path(POSTS))
                .and(matcher)
                .and(query_param("limit", "100"))
                .and(header("authorization", "Bearer t0ken"))
                .respond_with(
                    ResponseTemplate::new(200)
                        .insert_header("date", "Sun, 22 Nov 2026 18:59:52 GMT")
                        .set_body_string(body),
                )
                .expect(1)
                .mount(&server)
                .await;
        }
        for (cursor, body) in [
            ("QVFIUjI", fixture!("published_posts_2_empty.json")),
            ("QVFIUjM", fixture!("published_posts_3.json")),
        ] {
            Mock::given(method("GET"))
                .and(path(POSTS))
                .and(query_param("after", cursor))
                .and(query_param("appsecret_proof", PROOF))
                .and(query_param_is_missing("access_token"))
                .respond_with(ResponseTemplate::new(200).set_body_string(body))
                .expect(1)
                .mount(&server)
                .await;
        }

        let recent = page(&server, Some("s3cret")).recent(now(), now()).await.unwrap();

        assert!(recent.complete);
        assert!((-1..=0).contains(&recent.clock_offset.unwrap()));
        let [ours, live] = recent.posts.as_slice() else { panic!("{recent:?}") };
        assert_eq!(ours.remote_id, "100000000000001_122101234567890123");
        assert_eq!(ours.application.as_deref(), Some("1234"));
        assert_eq!(ours.created_at.to_rfc3339(), "2026-11-22T18:59:53+00:00");
        assert_eq!(
            ours.links,
            [
                "https://www.innnews.co.th/regional-news/news_1012345/?fbclid=IwAR0x",
                "https://www.innnews.co.th/regional-news/news_1012345/",
                "https://www.innnews.co.th/regional-news/news_1012345/",
            ]
        );
        assert_eq!(live.links, ["https://www.innnews.co.th/live"]);
    }

    #[tokio::test]
    async fn a_list_without_end_is_not_complete() {
        let server = MockServer::start().await;
        let loops = format!(r#"{{"data":[],"paging":{{"next":"{}/x?after=a"}}}}"#, server.uri());
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(200).set_body_string(loops))
            .expect(PAGE_LIMIT as u64)
            .mount(&server)
            .await;
        let recent = page(&server, None).recent(now(), now()).await.unwrap();
        assert!(!recent.complete);
    }

    #[tokio::test]
    async fn a_list_that_cant_be_read_is_no_absence() {
        for (status, body) in [
            (200, r#"{"data":[{"id":"1_2","created_time":"yesterday"}]}"#),
            (200, r#"{"data":[{"id":"1_2"}]}"#),
            (200, "{}"),
            (200, "<html>"),
            (200, r#"{"data":[],"error":{"message":"m","code":1}}"#),
            (500, fixture!("err_service.json")),
        ] {
            let server = MockServer::start().await;
            Mock::given(method("GET"))
                .respond_with(ResponseTemplate::new(status).set_body_string(body))
                .mount(&server)
                .await;
            let error = page(&server, None).recent(now(), now()).await.unwrap_err();
            assert!(matches!(error, Unconfirmed { .. }), "{body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_probe_tells_the_pages_name() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/base/v26.0/100000000000001"))
            .and(query_param("fields", "id,name"))
            .respond_with(
                ResponseTemplate::new(200)
                    .insert_header("facebook-api-version", "v27.0")
                    .set_body_string(r#"{"id":"100000000000001","name":"สำนักข่าวไอเอ็นเอ็น"}"#),
            )
            .mount(&server)
            .await;
        let health = page(&server, None).probe(now()).await.unwrap();
        assert_eq!(health.name, "สำนักข่าวไอเอ็นเอ็น");
        assert!(health.details.contains(&("api_version".into(), "v27.0".into())));
    }

    #[tokio::test]
    async fn a_probe_with_a_dead_token_says_so() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(400).set_body_string(fixture!("err_token_expired.json")))
            .mount(&server)
            .await;
        let error = page(&server, None).probe(now()).await.unwrap_err();
        assert!(matches!(error, Unauthorized { .. }), "{error:?}");
    }

    /// `hmac.new(b"s3cret", b"t0ken", "sha256").hexdigest()`.
    const PROOF: &str = "d0f8abfce5e9c8e5c0b6446d31e29359768d9916db08c6a94ca7b481a4eeac2c";

    fn page(server: &MockServer, app_secret: Option<&str>) -> Facebook {
        at(format!("{}/base", server.uri()).parse().unwrap(), app_secret)
    }

    fn at(base_url: Url, app_secret: Option<&str>) -> Facebook {
        let app_secret = app_secret.map(SecretString::from);
        let token = "t0ken".into();
        Facebook::new(wire::client(), base_url, "v26.0", "100000000000001", &token, app_secret.as_ref())
            .unwrap()
    }

    fn reply(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        Reply::new(StatusCode::from_u16(status).unwrap(), headers, Ok(body.into()), now())
    }
}
