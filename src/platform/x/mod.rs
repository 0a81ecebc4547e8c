//! X: posts through API v2.
//!
//! Spec: <https://docs.x.com/x-api/posts/create-post>. There is no idempotency key; X refuses a repeated text with
//! 403 "duplicate content", but for an undocumented time only, so that is a hint to read back, never a proof.

mod list;
mod refusal;
pub mod token;

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use chrono::DateTime;
use chrono::SecondsFormat;
use chrono::TimeDelta;
use chrono::Utc;
use reqwest::Client;
use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::header::AUTHORIZATION;
use reqwest::header::CONTENT_TYPE;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;
use uuid::Uuid;

use crate::config::account::XAuth;
use crate::model::attempt::Answer;
use crate::model::attempt::Receipt;
use crate::model::attempt::SendError;
use crate::model::post::Payload;
use crate::model::readback;
use crate::model::readback::Recent;
use crate::model::readback::RemotePost;
use crate::platform::Health;
use crate::platform::Unfit;
use crate::platform::endpoint;
use crate::platform::oauth1::Signer;
use crate::platform::transport;
use crate::platform::transport::Reply;
use crate::platform::transport::Scrub;
use crate::platform::within;
use crate::platform::x::list::POST_FIELDS;
use crate::platform::x::list::Page;
use crate::platform::x::list::Post;
use crate::platform::x::refusal::refused;
use crate::platform::x::refusal::unclear;
use crate::platform::x::token::App;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;
use crate::text::length;
use crate::text::length::Length;

/// Posts a page of the list, the most X gives (section 2). Only posts returned are billed, not the size asked.
const PAGE_SIZE: &str = "100";

/// Pages read at most; X shows the last 3,200 posts (section 2), so a longer list is a loop.
const PAGE_LIMIT: usize = 32;

/// From this much on, in seconds, a clock offset learnt while reading makes the read start again.
const OFFSET_TOLERANCE: i64 = 60;

/// The header with X's id of a request.
const REQUEST_ID: &str = "x-transaction-id";

/// One profile and what signs for it.
#[derive(Debug)]
pub struct X {
    http: Client,
    base_url: Url,
    auth: Auth,
    /// The app by which its token is renewed; none with OAuth 1.0a, whose secrets don't end.
    app: Option<Box<App>>,
    /// The profile's id, asked once; it never changes.
    user_id: OnceCell<String>,
    /// The platform's clock minus ours in seconds, as last seen: OAuth 1.0a signs the time, and a list starts at one.
    clock_offset: AtomicI64,
    scrub: Scrub,
}

/// How requests are signed.
#[derive(Debug)]
enum Auth {
    OAuth1(Signer),
    Bearer(HeaderValue),
    /// An OAuth 2.0 account that nobody has connected yet.
    Unconnected,
}

impl X {
    /// The way to one profile. An OAuth 2.0 account signs with the stored token; without one it signs nothing.
    ///
    /// # Errors
    /// When the token can't stand in an HTTP header.
    pub fn new(
        http: Client,
        base_url: Url,
        auth: &XAuth,
        stored: Option<&SecretString>,
    ) -> anyhow::Result<X> {
        let (auth, app, secrets) = match auth {
            XAuth::OAuth1 { consumer_key, consumer_secret, access_token, access_token_secret } => {
                let signer = Signer {
                    consumer_key: consumer_key.clone(),
                    consumer_secret: consumer_secret.clone(),
                    access_token: access_token.clone(),
                    access_token_secret: access_token_secret.clone(),
                };
                let secrets = [consumer_key, consumer_secret, access_token, access_token_secret];
                (Auth::OAuth1(signer), None, secrets.into_iter().cloned().collect())
            }
            XAuth::OAuth2 { client_id, client_secret } => {
                let bearer = |token: &SecretString| {
                    transport::secret_header(&format!("Bearer {}", token.expose_secret()), "access_token")
                };
                let auth = stored.map(bearer).transpose()?.map_or(Auth::Unconnected, Auth::Bearer);
                let app = App::new(http.clone(), &base_url, client_id, client_secret.as_ref())?;
                (auth, Some(Box::new(app)), client_secret.iter().chain(stored).cloned().collect::<Vec<_>>())
            }
        };
        Ok(X {
            http,
            base_url,
            auth,
            app,
            user_id: OnceCell::new(),
            clock_offset: AtomicI64::new(0),
            scrub: Scrub::new(secrets),
        })
    }

    /// The app by which the account is connected and its token renewed; none with OAuth 1.0a.
    pub fn app(&self) -> Option<&App> {
        self.app.as_deref()
    }

    /// The same way, with the profile's id known from an earlier run.
    pub fn with_user_id(self, user_id: String) -> X {
        X { user_id: OnceCell::new_with(Some(user_id)), ..self }
    }

    /// The profile's id, if it is known by now; worth storing, because asking costs money.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.get().map(String::as_str)
    }

    /// Publishes the bytes of a frozen payload.
    pub async fn send(&self, payload: &str, now: DateTime<Utc>) -> Answer {
        let request = match self.request(Method::POST, endpoint(&self.base_url, "2/tweets"), now) {
            Ok(request) => request.header(CONTENT_TYPE, "application/json").body(payload.to_owned()),
            Err(error) => return transport::unanswered(error),
        };
        match self.exchange(request, now).await {
            Err(error) => transport::unanswered(error),
            Ok(reply) => {
                let result =
                    receipt(&reply, self.base_url.host_str()).map_err(|error| self.scrub.error(error));
                reply.into_answer(REQUEST_ID, result)
            }
        }
    }

    /// What the profile posted since `since` on our clock, reposts left out.
    ///
    /// # Errors
    /// Whatever kept the list from being read to its end.
    pub async fn recent(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<Recent, SendError> {
        let user_id = self.user_id.get_or_try_init(|| async { self.me(now).await.map(|me| me.id) }).await?;
        let url = endpoint(&self.base_url, &format!("2/users/{user_id}/tweets"));
        let assumed = self.clock_offset.load(Ordering::Relaxed);
        let recent = self.list(&url, readback::earliest(since, assumed), now).await;
        // The list starts at a moment on X's clock. Where ours turns out to differ, that moment was wrong, and one
        // in X's future is refused.
        let offset = self.clock_offset.load(Ordering::Relaxed);
        match (offset - assumed).abs() > OFFSET_TOLERANCE {
            true => self.list(&url, readback::earliest(since, offset), now).await,
            false => recent,
        }
    }

    /// Reads who the credential belongs to, and keeps the id.
    ///
    /// # Errors
    /// What X answered instead.
    pub async fn probe(&self, now: DateTime<Utc>) -> Result<Health, SendError> {
        let me = self.me(now).await?;
        // Somebody else may have been first with the same id.
        let _known = self.user_id.set(me.id.clone());
        Ok(Health {
            name: format!("@{}", me.username),
            details: vec![("user_id".to_owned(), me.id), ("name".to_owned(), me.name)],
        })
    }

    async fn me(&self, now: DateTime<Utc>) -> Result<User, SendError> {
        let reply = self.get(endpoint(&self.base_url, "2/users/me"), now).await?;
        let me: Data<User> = self.read(&reply)?;
        match is_id(&me.data.id) {
            true => Ok(me.data),
            false => Err(SendError::Unconfirmed { reason: "GET /2/users/me gave no user id".into() }),
        }
    }

    async fn list(&self, url: &Url, start: DateTime<Utc>, now: DateTime<Utc>) -> Result<Recent, SendError> {
        let start = start.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut recent = Recent { posts: Vec::new(), clock_offset: None, complete: false };
        let mut token: Option<String> = None;
        for _ in 0..PAGE_LIMIT {
            let mut url = url.clone();
            url.query_pairs_mut()
                .append_pair("max_results", PAGE_SIZE)
                .append_pair("start_time", &start)
                .append_pair("exclude", "retweets")
                .append_pair("tweet.fields", POST_FIELDS)
                .extend_pairs(token.iter().map(|token| ("pagination_token", token)));
            let reply = self.get(url, now).await?;
            recent.clock_offset = recent.clock_offset.or(reply.clock_offset());
            let page: Page = self.read(&reply)?;
            // An empty list says so with a count of 0; errors without posts are no empty list.
            let posts = match (page.data, page.errors.is_empty()) {
                (Some(posts), _) => posts,
                (None, true) if page.meta.result_count == Some(0) => Vec::new(),
                _ => return Err(self.scrub.error(SendError::Unconfirmed { reason: unclear(&reply) })),
            };
            recent.posts.extend(posts.into_iter().map(|post| self.remote(post)));
            token = page.meta.next_token;
            if token.is_none() {
                recent.complete = true;
                return Ok(recent);
            }
        }
        tracing::warn!("the list of posts did not end after {PAGE_LIMIT} pages");
        Ok(recent)
    }

    fn remote(&self, post: Post) -> RemotePost {
        let (text, links) = post.as_read();
        RemotePost {
            permalink: permalink(self.base_url.host_str(), &post.id),
            remote_id: post.id,
            text,
            links,
            created_at: post.created_at,
            application: None,
        }
    }

    async fn get(&self, url: Url, now: DateTime<Utc>) -> Result<Reply, SendError> {
        self.exchange(self.request(Method::GET, url, now)?, now).await
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, reply: &Reply) -> Result<T, SendError> {
        let answer = reply.status.is_success().then(|| reply.json()).flatten();
        answer.ok_or_else(|| self.scrub.error(refused(reply)))
    }

    async fn exchange(&self, request: RequestBuilder, now: DateTime<Utc>) -> Result<Reply, SendError> {
        let reply = transport::exchange(request, now).await.map_err(|error| self.scrub.error(error))?;
        if let Some(offset) = reply.clock_offset() {
            self.clock_offset.store(offset, Ordering::Relaxed);
        }
        Ok(reply)
    }

    /// A signed request without a body.
    fn request(&self, method: Method, url: Url, now: DateTime<Utc>) -> Result<RequestBuilder, SendError> {
        let authorization = match &self.auth {
            Auth::Bearer(header) => header.clone(),
            Auth::OAuth1(signer) => {
                let offset = self.clock_offset.load(Ordering::Relaxed);
                let at = TimeDelta::try_seconds(offset).and_then(|offset| now.checked_add_signed(offset));
                let nonce = Uuid::new_v4().simple().to_string();
                let header = signer.authorization(method.as_str(), &url, &nonce, at.unwrap_or(now));
                transport::secret_header(&header, "oauth1")
                    .map_err(|error| SendError::Unauthorized { reason: error.to_string() })?
            }
            Auth::Unconnected => {
                let reason = "the account is not connected; run songkhao account connect".to_owned();
                return Err(SendError::Unauthorized { reason });
            }
        };
        Ok(self.http.request(method, url).header(AUTHORIZATION, authorization))
    }
}

/// Freezes a post; its link, by which it is found again, is the last one in the text.
///
/// # Errors
/// When the text is empty, too long, or holds characters X refuses.
pub(crate) fn freeze(text: &str) -> Result<Payload, Unfit> {
    let Length { length, limit, fits } = length::x(text);
    if text.trim().is_empty() {
        return Err(Unfit::Empty { field: "text".into(), cure: "a post on X needs words" });
    }
    within("text", length, limit, "characters as X weighs them")?;
    if !fits {
        let problem = "holds a character X refuses (U+FEFF, U+FFFE or U+FFFF); leave it out";
        return Err(Unfit::Invalid { field: "text".into(), value: text.into(), problem });
    }
    let link = readback::links_in(text).last().map(|link| (*link).to_owned());
    Ok(Payload::freeze(json(&Create { text }), text.to_owned(), link))
}

#[expect(clippy::expect_used, reason = "a struct of one string always has a JSON form")]
fn json(body: &Create<'_>) -> String {
    serde_json::to_string(body).expect("strings serialise")
}

/// A receipt, only from a whole answer with the post's id; `host` is the one that gave it.
fn receipt(reply: &Reply, host: Option<&str>) -> Result<Receipt, SendError> {
    if reply.status.is_success()
        && let Some(answer) = reply.json::<Value>()
        && let Some(id) = answer["data"]["id"].as_str().filter(|id| is_id(id))
    {
        return Ok(Receipt { permalink: permalink(host, id), remote_id: id.to_owned() });
    }
    Err(refused(reply))
}

/// Where readers find a post. X never says; and what another host made, the sandbox for one, is not on x.com.
fn permalink(host: Option<&str>, id: &str) -> Option<String> {
    (host == Some("api.x.com")).then(|| format!("https://x.com/i/status/{id}"))
}

/// Ids are 64-bit decimal numbers in strings (platforms/x.md).
fn is_id(id: &str) -> bool {
    (1..=19).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// The body of a publishing request; X refuses unknown keys.
#[derive(Serialize)]
struct Create<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct User {
    id: String,
    name: String,
    username: String,
}

#[cfg(test)]
mod tests {
    use wiremock::Mock;
    use wiremock::MockServer;
    use wiremock::Request;
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
            include_str!(concat!("../../../tests/fixtures/x/", $name))
        };
    }

    const TWEETS: &str = "/base/2/users/2244994945/tweets";

    #[test]
    fn a_receipt_needs_the_posts_id() {
        let published = |status, body| receipt(&reply(status, &[], body), Some("api.x.com"));
        let Receipt { remote_id, permalink } = published(201, fixture!("created.json")).unwrap();
        assert_eq!(remote_id, "1992300000000000001");
        assert_eq!(permalink.as_deref(), Some("https://x.com/i/status/1992300000000000001"));
        let elsewhere = receipt(&reply(201, &[], fixture!("created.json")), Some("127.0.0.1"));
        assert_eq!(elsewhere.unwrap().permalink, None);

        let with_warning = r#"{"data":{"id":"7","text":"x"},"errors":[{"title":"Partial"}]}"#;
        assert_eq!(published(201, with_warning).unwrap().remote_id, "7");
        for body in [
            r#"{"errors":[{"detail":"Internal","title":"Internal"}]}"#,
            r#"{"data":{"text":"x"}}"#,
            r#"{"data":{"id":""}}"#,
            r#"{"data":["7"]}"#,
            r#"["7"]"#,
            r#"{"data":{"id":"12345678901234567890"}}"#,
            r#"{"data":{"id":"1_2"}}"#,
            "{}",
            "",
        ] {
            let error = published(201, body).unwrap_err();
            assert!(matches!(error, Unconfirmed { .. }), "{body}: {error:?}");
        }
    }

    #[test]
    fn a_text_is_frozen_as_json_with_its_last_link() {
        let text = "สรุปจาก https://a.th/0 \"น้ำท่วม\"\nhttps://inn.co.th/ข่าว/1 #หาดใหญ่";
        let payload = freeze(text).unwrap();
        assert_eq!(
            payload.body,
            r#"{"text":"สรุปจาก https://a.th/0 \"น้ำท่วม\"\nhttps://inn.co.th/ข่าว/1 #หาดใหญ่"}"#
        );
        assert_eq!(payload.text, text);
        assert_eq!(payload.link.as_deref(), Some("https://inn.co.th/ข่าว/1"));
        assert_eq!(freeze("ไม่มีลิงก์").unwrap().link, None);
    }

    #[test]
    fn what_x_refuses_is_not_frozen() {
        check(" \n", "text: is empty");
        check("ข่าว\u{feff}", "a character X refuses");
        // Thai counts one by one, vowels and tone marks too; a link counts 23 with or without a scheme.
        let link = "https://www.innnews.co.th/regional-news/news_1012345/";
        assert!(freeze(&format!("{} {link}", "น้ำ".repeat(85))).is_ok());
        check(&format!("{} {link}", "น้ำ".repeat(86)), "text: 282 characters as X weighs them, at most 280");
        check(&format!("{} innnews.co.th", "น้ำ".repeat(86)), "text: 282 characters");

        #[track_caller]
        fn check(text: &str, says: &str) {
            let error = freeze(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn a_post_is_signed_and_carries_the_frozen_bytes() {
        let server = MockServer::start().await;
        let payload = freeze("น้ำท่วม https://inn.co.th/1").unwrap();
        Mock::given(method("POST"))
            .and(path("/base/2/tweets"))
            .and(header("content-type", "application/json"))
            .and(body_string(&payload.body))
            .and(|request: &Request| {
                let authorization = request.headers["authorization"].to_str().unwrap();
                authorization.starts_with("OAuth oauth_consumer_key=\"c0nsumer\", oauth_nonce=")
                    && authorization.contains(&format!("oauth_timestamp=\"{}\"", now().timestamp()))
            })
            .respond_with(
                ResponseTemplate::new(201)
                    .insert_header("x-transaction-id", "tx-1")
                    .insert_header("date", "Sun, 22 Nov 2026 18:58:52 GMT")
                    .set_body_string(fixture!("created.json")),
            )
            .expect(1)
            .mount(&server)
            .await;

        let answer = profile(&server).send(&payload.body, now()).await;

        assert_eq!(answer.result.unwrap().remote_id, "1992300000000000001");
        assert_eq!((answer.status, answer.request_id.as_deref()), (Some(201), Some("tx-1")));
        assert!((-70..=-60).contains(&answer.clock_offset.unwrap()));
    }

    #[tokio::test]
    async fn a_wrong_clock_is_made_up_for_from_the_next_request_on() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(
                ResponseTemplate::new(401)
                    .insert_header("date", "Sun, 22 Nov 2026 19:59:52 GMT")
                    .set_body_string(r#"{"errors":[{"code":135,"message":"Timestamp out of bounds."}]}"#),
            )
            .mount(&server)
            .await;
        let x = profile(&server);
        let _refused = x.send("{}", now()).await;
        let _refused = x.send("{}", now()).await;

        let requests = server.received_requests().await.unwrap();
        let timestamps: Vec<i64> = requests
            .iter()
            .map(|request| {
                let header = request.headers["authorization"].to_str().unwrap();
                let (_, rest) = header.split_once("oauth_timestamp=\"").unwrap();
                rest.split_once('"').unwrap().0.parse().unwrap()
            })
            .collect();
        assert_eq!(timestamps[0], now().timestamp());
        assert!((3590..=3600).contains(&(timestamps[1] - timestamps[0])), "{timestamps:?}");
    }

    #[tokio::test]
    async fn an_oauth2_account_posts_with_its_token_and_not_before() {
        let server = MockServer::start().await;
        Mock::given(header("authorization", "Bearer acc3ss"))
            .respond_with(ResponseTemplate::new(201).set_body_string(fixture!("created.json")))
            .expect(1)
            .mount(&server)
            .await;
        let auth = XAuth::OAuth2 { client_id: "c".into(), client_secret: None };
        let base_url: Url = server.uri().parse().unwrap();
        let x = X::new(wire::client(), base_url.clone(), &auth, None).unwrap();

        let error = x.send("{}", now()).await.result.unwrap_err();
        assert!(matches!(&error, Unauthorized { reason } if reason.contains("connect")), "{error:?}");

        let x = X::new(wire::client(), base_url, &auth, Some(&"acc3ss".into())).unwrap();
        assert!(x.send("{}", now()).await.result.is_ok());
        assert!(!format!("{x:?}").contains("acc3ss"));
    }

    #[tokio::test]
    async fn no_mishap_is_taken_for_a_receipt() {
        let publisher = |url, client| Publisher::X(with(client, url));
        wire::survive_mishaps(publisher, &["content-type: application/json"], fixture!("created.json")).await;
    }

    #[tokio::test]
    async fn secrets_echoed_by_the_platform_are_hidden() {
        let server = MockServer::start().await;
        let echo = r#"{"title":"c0nsumer c0nsumer-secret t0ken t0ken-secret"}"#;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(400).set_body_string(echo))
            .mount(&server)
            .await;
        let x = profile(&server);
        let error = x.send("{}", now()).await.result.unwrap_err();
        assert_eq!(error.reason(), "HTTP 400: [secret] [secret] [secret] [secret]");
        let debug = format!("{x:?}");
        assert!(!debug.contains("t0ken") && !debug.contains("c0nsumer"), "{debug}");
    }

    #[tokio::test]
    async fn the_list_is_read_to_its_end_and_the_user_asked_once() {
        let server = MockServer::start().await;
        let date = "Sun, 22 Nov 2026 18:59:52 GMT";
        Mock::given(path("/base/2/users/me"))
            .respond_with(
                ResponseTemplate::new(200).insert_header("date", date).set_body_string(fixture!("me.json")),
            )
            .expect(1)
            .mount(&server)
            .await;
        let page = |body| ResponseTemplate::new(200).insert_header("date", date).set_body_string(body);
        let first = || {
            Mock::given(path(TWEETS))
                .and(query_param("max_results", "100"))
                .and(begins_at("2026-11-22T18:54:"))
                .and(query_param("exclude", "retweets"))
                .and(query_param("tweet.fields", "created_at,entities,note_tweet"))
        };
        first()
            .and(query_param_is_missing("pagination_token"))
            .respond_with(page(fixture!("tweets_1.json")))
            .expect(2)
            .mount(&server)
            .await;
        first()
            .and(query_param("pagination_token", "7140dibdnow9c7btw4"))
            .respond_with(page(fixture!("tweets_2.json")))
            .expect(2)
            .mount(&server)
            .await;

        let x = profile(&server);
        assert_eq!(x.user_id(), None);
        for _ in 0..2 {
            let recent = x.recent(now(), now()).await.unwrap();
            let ids: Vec<_> = recent.posts.iter().map(|post| post.remote_id.as_str()).collect();
            assert_eq!(ids, ["1992300000000000001", "1992300000000000002", "1992300000000000003"]);
            assert!(recent.complete);
            assert_eq!(recent.posts[0].created_at.to_rfc3339(), "2026-11-22T18:59:53+00:00");
        }
        assert_eq!(x.user_id(), Some("2244994945"));
    }

    #[tokio::test]
    async fn a_list_that_began_by_a_wrong_clock_is_read_again() {
        let server = MockServer::start().await;
        for start in ["2026-11-22T18:54:", "2026-11-22T17:54:"] {
            Mock::given(path(TWEETS))
                .and(begins_at(start))
                .respond_with(
                    ResponseTemplate::new(200)
                        .insert_header("date", "Sun, 22 Nov 2026 17:59:52 GMT")
                        .set_body_string(r#"{"meta":{"result_count":0}}"#),
                )
                .expect(1)
                .mount(&server)
                .await;
        }
        let x = profile(&server).with_user_id("2244994945".into());
        let recent = x.recent(now(), now()).await.unwrap();
        assert!(recent.complete && recent.posts.is_empty());
    }

    #[tokio::test]
    async fn a_list_that_cant_be_read_is_no_absence() {
        for (status, body) in [
            (200, r#"{"errors":[{"title":"Not Found Error","detail":"Could not find user"}]}"#),
            (200, r#"{"errors":[{"detail":"x"}],"meta":{"result_count":0}}"#),
            (200, r#"{"data":[{"id":"7","text":"no time"}],"meta":{"result_count":1}}"#),
            (200, "{}"),
            (200, "<html>"),
            (503, ""),
        ] {
            let server = MockServer::start().await;
            Mock::given(method("GET"))
                .respond_with(ResponseTemplate::new(status).set_body_string(body))
                .mount(&server)
                .await;
            let error = profile(&server).with_user_id("7".into()).recent(now(), now()).await.unwrap_err();
            assert!(matches!(error, Unconfirmed { .. }), "{body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_list_without_end_is_not_complete() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(
                ResponseTemplate::new(200)
                    .insert_header("date", "Sun, 22 Nov 2026 18:59:52 GMT")
                    .set_body_string(r#"{"data":[],"meta":{"result_count":0,"next_token":"again"}}"#),
            )
            .expect(PAGE_LIMIT as u64)
            .mount(&server)
            .await;
        let recent = profile(&server).with_user_id("7".into()).recent(now(), now()).await.unwrap();
        assert!(!recent.complete);
    }

    #[tokio::test]
    async fn a_probe_tells_who_the_token_belongs_to() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/base/2/users/me"))
            .respond_with(ResponseTemplate::new(200).set_body_string(fixture!("me.json")))
            .mount(&server)
            .await;
        let x = profile(&server);
        assert_eq!(x.probe(now()).await.unwrap().name, "@innnews");
        assert_eq!(x.user_id(), Some("2244994945"));
    }

    /// A list that is to begin within this minute: five before [`now`], on the platform's clock.
    fn begins_at(minute: &'static str) -> impl Fn(&Request) -> bool {
        move |request| {
            request.url.query_pairs().any(|(name, value)| name == "start_time" && value.starts_with(minute))
        }
    }

    fn profile(server: &MockServer) -> X {
        with(wire::client(), format!("{}/base", server.uri()).parse().unwrap())
    }

    fn with(client: Client, base_url: Url) -> X {
        let auth = XAuth::OAuth1 {
            consumer_key: "c0nsumer".into(),
            consumer_secret: "c0nsumer-secret".into(),
            access_token: "t0ken".into(),
            access_token_secret: "t0ken-secret".into(),
        };
        X::new(client, base_url, &auth, None).unwrap()
    }
}
