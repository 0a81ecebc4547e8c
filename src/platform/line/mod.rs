//! LINE Official Accounts: broadcasts through the Messaging API.
//!
//! Spec: <https://developers.line.biz/en/reference/messaging-api/#send-broadcast-message>. LINE recognises a repeat by
//! its retry key for 24 hours and answers 409, which is a success; but a broadcast has no message id, can't be
//! listed and can't be recalled, so the request's id is all we ever hold.

mod flex;
mod token;
mod words;

use chrono::DateTime;
use chrono::Utc;
use reqwest::Client;
use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use crate::model::attempt::Answer;
use crate::model::attempt::Receipt;
use crate::model::attempt::SendError;
use crate::platform::Health;
use crate::platform::endpoint;
use crate::platform::transport;
use crate::platform::transport::Reply;
use crate::platform::transport::Scrub;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;

use token::Tokens;

pub(crate) use flex::freeze;
pub(crate) use words::freeze_text;

/// The header by which LINE recognises a repeat (platforms/line.md, section 2).
const RETRY_KEY: &str = "X-Line-Retry-Key";

/// The header with LINE's id of a request; every try has its own.
const REQUEST_ID: &str = "x-line-request-id";

/// The header of a 409 with the id of the try that was accepted.
const ACCEPTED_REQUEST_ID: &str = "x-line-accepted-request-id";

/// One channel of an Official Account.
#[derive(Debug)]
pub struct Line {
    http: Client,
    base_url: Url,
    tokens: Tokens,
    scrub: Scrub,
}

impl Line {
    /// The way to one channel.
    pub fn new(http: Client, base_url: Url, channel_id: &str, channel_secret: &SecretString) -> Line {
        Line {
            tokens: Tokens::new(http.clone(), &base_url, channel_id, channel_secret),
            scrub: Scrub::new([channel_secret.clone()]),
            http,
            base_url,
        }
    }

    /// Broadcasts the bytes of a frozen payload to every follower, at most once per `retry_key`.
    pub async fn send(&self, payload: &str, retry_key: Uuid, now: DateTime<Utc>) -> Answer {
        let url = endpoint(&self.base_url, "v2/bot/message/broadcast");
        let request = self
            .http
            .request(Method::POST, url)
            .header(CONTENT_TYPE, "application/json")
            .header(RETRY_KEY, retry_key.to_string())
            .body(payload.to_owned());
        match self.exchange(request, now).await {
            Err(error) => transport::unanswered(error),
            Ok((reply, scrub)) => {
                let result = accepted(&reply).map_err(|error| scrub.error(error));
                reply.into_answer(REQUEST_ID, result)
            }
        }
    }

    /// Issues a token and reads the account's name with it.
    ///
    /// # Errors
    /// What LINE answered instead.
    pub async fn probe(&self, now: DateTime<Utc>) -> Result<Health, SendError> {
        let request = self.http.get(endpoint(&self.base_url, "v2/bot/info"));
        let (reply, scrub) = self.exchange(request, now).await?;
        let bot = reply.status.is_success().then(|| reply.json::<Bot>()).flatten();
        let bot = bot.ok_or_else(|| scrub.error(refused(&reply)))?;
        let details = [("user_id", bot.user_id), ("basic_id", bot.basic_id), ("chat_mode", bot.chat_mode)];
        let told = details.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut health = Health { name: bot.display_name, details: told.collect() };
        if let Some((used, quota)) = self.quota(now).await {
            if used >= quota {
                let reason = format!("{used} of this month's {quota} messages are used");
                return Err(SendError::OutOfBudget { reason });
            }
            health.details.push(("messages this month".to_owned(), format!("{used} of {quota}")));
        }
        Ok(health)
    }

    /// Used and allowed messages of the month; `None` where the plan has no limit or LINE does not say.
    async fn quota(&self, now: DateTime<Utc>) -> Option<(u64, u64)> {
        let quota: Quota = self.ask("v2/bot/message/quota", now).await?;
        let spent: Consumption = self.ask("v2/bot/message/quota/consumption", now).await?;
        Some((spent.total_usage, quota.value?))
    }

    /// An answer that is nice to have: whatever keeps it away is no reason to stop.
    async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str, now: DateTime<Utc>) -> Option<T> {
        let (reply, _) = self.exchange(self.http.get(endpoint(&self.base_url, path)), now).await.ok()?;
        reply.status.is_success().then(|| reply.json()).flatten()
    }

    /// Sends a request with a token; on 401 once more with a new one, because LINE may have dropped it early and a
    /// refused request did nothing. The scrub that comes back knows the token.
    async fn exchange(
        &self,
        request: RequestBuilder,
        now: DateTime<Utc>,
    ) -> Result<(Reply, Scrub), SendError> {
        let again = request.try_clone();
        let token = self.tokens.get(now).await?;
        let (reply, scrub) = self.exchange_with(request, &token, now).await?;
        let (StatusCode::UNAUTHORIZED, Some(again)) = (reply.status, again) else {
            return Ok((reply, scrub));
        };
        self.tokens.drop(&token).await;
        let token = self.tokens.get(now).await?;
        self.exchange_with(again, &token, now).await
    }

    async fn exchange_with(
        &self,
        request: RequestBuilder,
        token: &SecretString,
        now: DateTime<Utc>,
    ) -> Result<(Reply, Scrub), SendError> {
        let scrub = self.scrub.with(token);
        let request = request.bearer_auth(token.expose_secret());
        let reply = transport::exchange(request, now).await.map_err(|error| scrub.error(error))?;
        Ok((reply, scrub))
    }
}

#[derive(Deserialize)]
struct Quota {
    /// Absent where the plan has no limit.
    value: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consumption {
    total_usage: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bot {
    display_name: String,
    user_id: Option<String>,
    basic_id: Option<String>,
    chat_mode: Option<String>,
}

/// A receipt, only from an answer that is a success in status, headers and body.
fn accepted(reply: &Reply) -> Result<Receipt, SendError> {
    let receipt = |header: &str| {
        let remote_id = reply.header(header).filter(|id| !id.is_empty())?.to_owned();
        Some(Receipt { remote_id, permalink: None })
    };
    let proven = match reply.status {
        // A success is `{}`; a body that broke off or speaks of an error is none.
        StatusCode::OK if reply.json::<Value>().is_some_and(|answer| answer.get("message").is_none()) => {
            receipt(REQUEST_ID)
        }
        // Accepted in an earlier try; that try's id is the post's.
        StatusCode::CONFLICT => receipt(ACCEPTED_REQUEST_ID),
        _ => None,
    };
    proven.ok_or_else(|| refused(reply))
}

/// What an answer without a receipt means. Pure: the table of cases below is section 3 of the sheet.
fn refused(reply: &Reply) -> SendError {
    let words = reply.json::<Value>().and_then(|answer| words(&answer));
    let reason = match &words {
        Some(words) => format!("HTTP {}: {words}", reply.status.as_u16()),
        None => reply.describe(),
    };
    match (reply.status.as_u16(), words) {
        (401, _) => SendError::Unauthorized { reason },
        (429, Some(words)) if words.contains("monthly limit") => SendError::OutOfBudget { reason },
        (429, _) => SendError::RateLimited { retry_after: reply.retry_after(), reason },
        // The plan or the account isn't entitled: every post would be refused alike.
        (403, Some(_)) => SendError::Unauthorized { reason },
        // 408 comes from a gateway that waited in vain; 409 without the accepted id proves nothing.
        (408 | 409, _) => SendError::Unconfirmed { reason },
        (400..=499, Some(_)) => SendError::Rejected { reason },
        _ => SendError::Unconfirmed { reason },
    }
}

/// LINE's words: `message`, and for each detail where it is wrong and why.
fn words(answer: &Value) -> Option<String> {
    let message = answer["message"].as_str().filter(|message| !message.is_empty())?;
    let details = answer["details"].as_array().into_iter().flatten().filter_map(|detail| {
        let [property, message] =
            [&detail["property"], &detail["message"]].map(|value| value.as_str().unwrap_or_default());
        (!message.is_empty() || !property.is_empty()).then(|| format!("; {property}: {message}"))
    });
    Some(format!("{message}{}", details.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use wiremock::Mock;
    use wiremock::MockServer;
    use wiremock::ResponseTemplate;
    use wiremock::matchers::body_string;
    use wiremock::matchers::header;
    use wiremock::matchers::method;
    use wiremock::matchers::path;

    use super::*;
    use crate::platform::Publisher;
    use crate::platform::wire;
    use crate::platform::wire::now;
    use crate::platform::wire::reply;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/line/", $name))
        };
    }

    const BROADCAST: &str = "/base/v2/bot/message/broadcast";

    #[test]
    fn a_receipt_is_the_accepted_requests_id() {
        let request = (REQUEST_ID, "req-2");
        let accepted_before = (ACCEPTED_REQUEST_ID, "req-1");
        check(200, &[request], "{}", Some("req-2"));
        check(200, &[request], r#"{"sentMessages":[]}"#, Some("req-2"));
        check(409, &[request, accepted_before], fixture!("err_retry_key_accepted.json"), Some("req-1"));
        check(409, &[accepted_before], "", Some("req-1"));
        check(409, &[request], fixture!("err_retry_key_accepted.json"), None);
        check(200, &[], "{}", None);
        check(200, &[(REQUEST_ID, "")], "{}", None);
        check(200, &[request], "", None);
        check(200, &[request], r#"{"message":"Internal error"}"#, None);
        check(200, &[request], "[]", None);
        check(202, &[request], "{}", None);

        #[track_caller]
        fn check(status: u16, headers: &[(&'static str, &str)], body: &str, id: Option<&str>) {
            match (accepted(&reply(status, headers, body)), id) {
                (Ok(receipt), Some(id)) => assert_eq!(receipt.remote_id, id),
                (Err(SendError::Unconfirmed { .. }), None) => {}
                (result, _) => panic!("{status} {body}: {result:?}"),
            }
        }
    }

    /// Section 3 of the sheet, row by row: status, body, class.
    #[test]
    fn every_row_of_the_error_table_has_its_class() {
        check(400, fixture!("err_invalid_property.json"), "rejected");
        check(400, r#"{"message":"Failed to send messages"}"#, "rejected");
        check(401, fixture!("err_authentication.json"), "unauthorized");
        check(401, "", "unauthorized");
        check(403, r#"{"message":"Access to this API is not available for your account"}"#, "unauthorized");
        check(404, r#"{"message":"Not found"}"#, "rejected");
        check(410, r#"{"message":"Gone"}"#, "rejected");
        check(413, r#"{"message":"Request entity too large"}"#, "rejected");
        check(415, r#"{"message":"Unsupported media type"}"#, "rejected");
        check(429, fixture!("err_monthly_limit.json"), "out_of_budget");
        check(429, fixture!("err_rate_limit.json"), "rate_limited");
        check(429, "", "rate_limited");
        check(429, "<html>", "rate_limited");
        check(500, r#"{"message":"Internal error"}"#, "unconfirmed");
        check(503, "", "unconfirmed");
        // Not LINE's own words: a gateway's, so nothing is known.
        check(400, "", "unconfirmed");
        check(403, "<html>", "unconfirmed");
        check(404, "<html>", "unconfirmed");
        check(408, r#"{"message":"Request timeout"}"#, "unconfirmed");
        check(302, "", "unconfirmed");

        #[track_caller]
        fn check(status: u16, body: &str, kind: &str) {
            let error = accepted(&reply(status, &[(REQUEST_ID, "req-1")], body)).unwrap_err();
            assert_eq!(error.kind(), kind, "{status} {body}: {error:?}");
        }
    }

    #[test]
    fn a_reason_names_the_wrong_property() {
        let error = accepted(&reply(400, &[], fixture!("err_invalid_property.json"))).unwrap_err();
        assert_eq!(
            error.reason(),
            "HTTP 400: A message (messages[0]) in the request body is invalid; /hero/url: invalid uri scheme"
        );
    }

    proptest! {
        #[test]
        fn an_answer_that_is_not_understood_is_unconfirmed(status in 100_u16..600, body in ".{0,60}") {
            prop_assume!(![401, 429].contains(&status));
            let error = accepted(&reply(status, &[(REQUEST_ID, "req-1")], &body)).unwrap_err();
            prop_assert!(matches!(error, SendError::Unconfirmed { .. }), "{status} {body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_broadcast_carries_token_retry_key_and_the_frozen_bytes() {
        let server = MockServer::start().await;
        issue(&server, "issued", 1).await;
        Mock::given(method("POST"))
            .and(path(BROADCAST))
            .and(header("authorization", "Bearer issued"))
            .and(header("content-type", "application/json"))
            .and(header("x-line-retry-key", "00000000-0000-0000-0000-000000000000"))
            .and(body_string(r#"{"messages":[]}"#))
            .respond_with(
                ResponseTemplate::new(200)
                    .insert_header(REQUEST_ID, "req-9")
                    .insert_header("date", "Sun, 22 Nov 2026 19:00:52 GMT")
                    .set_body_string("{}"),
            )
            .expect(2)
            .mount(&server)
            .await;
        let line = channel(&server);

        let answer = line.send(r#"{"messages":[]}"#, Uuid::nil(), now()).await;

        assert_eq!(answer.result.unwrap().remote_id, "req-9");
        assert_eq!((answer.status, answer.request_id.as_deref()), (Some(200), Some("req-9")));
        assert!((50..=60).contains(&answer.clock_offset.unwrap()));
        // The second post uses the same token.
        assert!(line.send(r#"{"messages":[]}"#, Uuid::nil(), now()).await.result.is_ok());
    }

    #[tokio::test]
    async fn a_repeat_that_line_recognises_is_a_success() {
        let server = MockServer::start().await;
        issue(&server, "issued", 1).await;
        Mock::given(path(BROADCAST))
            .respond_with(
                ResponseTemplate::new(409)
                    .insert_header(REQUEST_ID, "req-2")
                    .insert_header(ACCEPTED_REQUEST_ID, "req-1")
                    .set_body_string(fixture!("err_retry_key_accepted.json")),
            )
            .mount(&server)
            .await;
        let answer = channel(&server).send("{}", Uuid::nil(), now()).await;
        assert_eq!(answer.result.unwrap().remote_id, "req-1");
        assert_eq!(answer.request_id.as_deref(), Some("req-2"));
    }

    #[tokio::test]
    async fn a_dropped_token_is_issued_anew_once_with_the_same_key() {
        let server = MockServer::start().await;
        issue(&server, "first", 1).await;
        issue(&server, "second", 1).await;
        let key = Uuid::from_u128(7);
        for (token, status) in [("first", 401), ("second", 200)] {
            Mock::given(path(BROADCAST))
                .and(header("authorization", format!("Bearer {token}")))
                .and(header("x-line-retry-key", key.to_string()))
                .respond_with(
                    ResponseTemplate::new(status).insert_header(REQUEST_ID, "req").set_body_string("{}"),
                )
                .expect(1)
                .mount(&server)
                .await;
        }
        assert!(channel(&server).send("{}", key, now()).await.result.is_ok());
    }

    #[tokio::test]
    async fn a_second_401_is_the_answer_and_shows_no_secret() {
        let server = MockServer::start().await;
        issue(&server, "first", 1).await;
        issue(&server, "second", 1).await;
        Mock::given(path(BROADCAST))
            .respond_with(ResponseTemplate::new(401).set_body_string(r#"{"message":"no second of s3cret"}"#))
            .expect(2)
            .mount(&server)
            .await;
        let line = channel(&server);
        let error = line.send("{}", Uuid::nil(), now()).await.result.unwrap_err();
        assert!(matches!(error, SendError::Unauthorized { .. }), "{error:?}");
        assert_eq!(error.reason(), "HTTP 401: no [secret] of [secret]");
        let debug = format!("{line:?}");
        assert!(!debug.contains("s3cret") && !debug.contains("second"), "{debug}");
    }

    #[tokio::test]
    async fn no_mishap_is_taken_for_a_receipt() {
        let publisher = |url, client| Publisher::Line(with(client, url));
        wire::survive_mishaps(publisher, &["content-type: application/json", "x-line-request-id: r"], "{ }")
            .await;
    }

    #[tokio::test]
    async fn without_a_retry_key_nothing_is_sent() {
        let server = MockServer::start().await;
        let answer = Publisher::Line(channel(&server)).send("{}", None, now()).await;
        assert!(matches!(answer.result, Err(SendError::Rejected { .. })));
        assert!(server.received_requests().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_probe_tells_the_accounts_name() {
        let server = MockServer::start().await;
        issue(&server, "issued", 1).await;
        Mock::given(method("GET"))
            .and(path("/base/v2/bot/info"))
            .and(header("authorization", "Bearer issued"))
            .respond_with(ResponseTemplate::new(200).set_body_string(fixture!("bot_info.json")))
            .mount(&server)
            .await;
        let health = channel(&server).probe(now()).await.unwrap();
        assert_eq!(health.name, "INN News");
        assert!(health.details.contains(&("basic_id".into(), "@innnews".into())), "{health:?}");
    }

    #[test]
    fn a_rate_limit_keeps_what_retry_after_says() {
        let error = refused(&reply(429, &[("retry-after", "9")], fixture!("err_rate_limit.json")));
        assert!(
            matches!(error, SendError::RateLimited { retry_after: Some(wait), .. } if wait == Duration::from_secs(9))
        );
    }

    /// Issues `token` so many times, then leaves the endpoint to the next mock.
    async fn issue(server: &MockServer, token: &str, times: u64) {
        let body = format!(r#"{{"token_type":"Bearer","access_token":"{token}","expires_in":899}}"#);
        Mock::given(method("POST"))
            .and(path("/base/oauth2/v3/token"))
            .respond_with(ResponseTemplate::new(200).set_body_string(body))
            .up_to_n_times(times)
            .expect(times)
            .mount(server)
            .await;
    }

    fn channel(server: &MockServer) -> Line {
        with(wire::client(), format!("{}/base", server.uri()).parse().unwrap())
    }

    fn with(client: Client, base_url: Url) -> Line {
        Line::new(client, base_url, "1234567890", &"s3cret".into())
    }
}
