//! Facebook Pages: link posts through the Graph API.
//!
//! Spec: <https://developers.facebook.com/docs/graph-api/reference/page/feed/>. There is no idempotency key, and an
//! HTTP status decides nothing: what an answer means stands in `error.code` and `error.error_subcode`, and a
//! failed-looking publish (500, code 1 or 2, a time-out) may well be public.

mod list;
mod refusal;

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
use crate::platform::Health;
use crate::platform::Unfit;
use crate::platform::endpoint;
use crate::platform::facebook::list::POST_FIELDS;
use crate::platform::facebook::list::Page;
use crate::platform::facebook::refusal::refused;
use crate::platform::transport;
use crate::platform::transport::Reply;
use crate::platform::transport::Scrub;
use crate::platform::within;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;
use crate::text::length;
use crate::text::length::Length;

/// What the publishing request asks for in the same breath: reading after writing (section 0).
const RECEIPT_FIELDS: &str = "id,permalink_url,created_time";

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
        let answer = (reply.status.is_success() && !names_error(reply)).then(|| reply.json()).flatten();
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
    let Length { length, limit, .. } = length::facebook(message);
    within("message", length, limit, "characters")?;
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

/// Whether there is an error in an answer; error bodies have been seen under 200.
fn names_error(reply: &Reply) -> bool {
    reply.json::<Value>().is_some_and(|answer| answer.get("error").is_some())
}

/// A receipt, only from a whole answer with the post's id and no error in it.
fn published(reply: &Reply) -> Result<Receipt, SendError> {
    if reply.status.is_success()
        && !names_error(reply)
        && let Some(answer) = reply.json::<Value>()
        && let Some(id) = answer["id"].as_str().filter(|id| !id.is_empty())
    {
        let permalink = answer["permalink_url"].as_str().map(str::to_owned);
        return Ok(Receipt { remote_id: id.to_owned(), permalink });
    }
    Err(refused(reply))
}

#[cfg(test)]
mod tests {
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
    use crate::platform::wire::reply;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/facebook/", $name))
        };
    }

    const FEED: &str = "/base/v26.0/100000000000001/feed";
    const POSTS: &str = "/base/v26.0/100000000000001/published_posts";

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
        assert!(freeze(&"ก".repeat(length::FACEBOOK_MAX), None).is_ok());
        check(&"ก".repeat(length::FACEBOOK_MAX + 1), None, "message: 63207 characters, at most 63206");
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
        assert!((50..=60).contains(&answer.clock_offset.unwrap()));
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
        let publisher = |url, client| Publisher::Facebook(with(client, url, None));
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
        assert!((-10..=0).contains(&recent.clock_offset.unwrap()));
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
            (200, r#"{"data":[],"error":"m"}"#),
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
        with(wire::client(), format!("{}/base", server.uri()).parse().unwrap(), app_secret)
    }

    fn with(client: Client, base_url: Url, app_secret: Option<&str>) -> Facebook {
        let app_secret = app_secret.map(SecretString::from);
        let token = "t0ken".into();
        Facebook::new(client, base_url, "v26.0", "100000000000001", &token, app_secret.as_ref()).unwrap()
    }
}
