//! Tokens: LINE's stateless channel tokens, kept for their quarter of an hour.
//!
//! Spec: <https://developers.line.biz/en/reference/messaging-api/#issue-stateless-channel-access-token>. Issuing sends
//! nothing to anyone, so no failure here is ever [`SendError::Unconfirmed`].

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use reqwest::Client;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::model::attempt::SendError;
use crate::platform::endpoint;
use crate::platform::transport;
use crate::platform::transport::Reply;
use crate::platform::transport::Scrub;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;

/// How long before its end a token is left alone: longer than a request may take. Of 899 seconds 14 minutes remain.
const MARGIN: TimeDelta = TimeDelta::seconds(59);

/// The longest a token is kept, whatever LINE says: stateless tokens live 899 seconds (platforms/line.md, section 8).
const LONGEST_LIFE: i64 = 899;

/// Where a channel's tokens come from.
#[derive(Debug)]
pub(crate) struct Tokens {
    http: Client,
    url: Url,
    channel_id: String,
    channel_secret: SecretString,
    /// Held while a token is issued, so that any number of waiting requests issue one.
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    token: SecretString,
    until: DateTime<Utc>,
}

impl Tokens {
    pub(crate) fn new(
        http: Client,
        base_url: &Url,
        channel_id: &str,
        channel_secret: &SecretString,
    ) -> Tokens {
        Tokens {
            http,
            url: endpoint(base_url, "oauth2/v3/token"),
            channel_id: channel_id.to_owned(),
            channel_secret: channel_secret.clone(),
            kept: Mutex::new(None),
        }
    }

    /// A token that outlives one request.
    ///
    /// # Errors
    /// Unreachable, rate limited or unauthorized; nothing was sent to any reader.
    pub(crate) async fn get(&self, now: DateTime<Utc>) -> Result<SecretString, SendError> {
        let mut kept = self.kept.lock().await;
        // A clock set back must not stretch a token's life.
        let longest = now + TimeDelta::seconds(LONGEST_LIFE);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > now && kept.until <= longest) {
            return Ok(kept.token.clone());
        }
        let Issued { access_token, expires_in } = self.issue(now).await?;
        let until = now + TimeDelta::seconds(expires_in.clamp(0, LONGEST_LIFE)) - MARGIN;
        *kept = Some(Kept { token: access_token.clone(), until });
        Ok(access_token)
    }

    /// Forgets a token that LINE refused; one that was issued since stays.
    pub(crate) async fn drop(&self, refused: &SecretString) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.token.expose_secret() == refused.expose_secret()) {
            *kept = None;
        }
    }

    async fn issue(&self, now: DateTime<Utc>) -> Result<Issued, SendError> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.channel_id),
            ("client_secret", self.channel_secret.expose_secret()),
        ];
        let scrub = Scrub::new([self.channel_secret.clone()]);
        let reply = transport::exchange(self.http.post(self.url.clone()).form(&form), now).await;
        let reply = reply.map_err(|error| SendError::Unreachable {
            reason: format!("no token was issued: {}", scrub.text(error.reason())),
        })?;
        let issued = reply.status.is_success().then(|| reply.json::<Issued>()).flatten();
        issued
            .filter(|issued| {
                transport::secret_header(issued.access_token.expose_secret(), "access_token").is_ok()
            })
            .ok_or_else(|| scrub.error(refused(&reply)))
    }
}

#[derive(Deserialize)]
struct Issued {
    access_token: SecretString,
    expires_in: i64,
}

#[derive(Deserialize)]
struct OAuthError {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What it means that no token was issued.
fn refused(reply: &Reply) -> SendError {
    let error: Option<OAuthError> = reply.json();
    let words = error
        .as_ref()
        .map(|error| format!("HTTP {}: {}: {}", reply.status.as_u16(), error.error, error.error_description));
    let reason = format!("no token was issued: {}", words.unwrap_or_else(|| reply.describe()));
    match (reply.status.as_u16(), error) {
        (429, _) => SendError::RateLimited { retry_after: reply.retry_after(), reason },
        (400..=499, Some(_)) | (401, None) => SendError::Unauthorized { reason },
        _ => SendError::Unreachable { reason },
    }
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

    use super::*;
    use crate::platform::wire;
    use crate::platform::wire::now;

    #[tokio::test]
    async fn a_token_is_issued_once_and_kept_for_fourteen_minutes() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/base/oauth2/v3/token"))
            .and(header("content-type", "application/x-www-form-urlencoded"))
            .and(body_string("grant_type=client_credentials&client_id=1234567890&client_secret=s3cret%26"))
            .respond_with(
                ResponseTemplate::new(200)
                    .set_body_string(r#"{"token_type":"Bearer","access_token":"issued","expires_in":899}"#),
            )
            .expect(3)
            .mount(&server)
            .await;
        let tokens = tokens(&server);

        // Ten at once: one request.
        let gets = (0..10).map(|_| tokens.get(now()));
        for token in futures_util::future::join_all(gets).await {
            assert_eq!(token.unwrap().expose_secret(), "issued");
        }
        let later = |seconds| now() + TimeDelta::seconds(seconds);
        tokens.get(later(839)).await.unwrap();
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
        tokens.get(later(840)).await.unwrap();
        assert_eq!(server.received_requests().await.unwrap().len(), 2);
        // The clock was set back by an hour.
        tokens.get(later(-3600)).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_refused_token_is_dropped() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(
                ResponseTemplate::new(200).set_body_string(r#"{"access_token":"a","expires_in":899}"#),
            )
            .expect(2)
            .mount(&server)
            .await;
        let tokens = tokens(&server);
        tokens.get(now()).await.unwrap();
        tokens.drop(&"older".into()).await;
        tokens.get(now()).await.unwrap();
        tokens.drop(&"a".into()).await;
        tokens.get(now()).await.unwrap();
    }

    #[tokio::test]
    async fn a_token_that_is_not_issued_is_never_a_doubt() {
        check(400, include_str!("../../../tests/fixtures/line/err_invalid_client.json"), "unauthorized")
            .await;
        check(401, r#"{"error":"invalid_client"}"#, "unauthorized").await;
        check(401, "", "unauthorized").await;
        check(403, "<html>", "unreachable").await;
        check(404, "", "unreachable").await;
        check(429, "", "rate_limited").await;
        check(500, r#"{"error":"server_error"}"#, "unreachable").await;
        check(502, "<html>", "unreachable").await;
        check(302, "", "unreachable").await;
        check(200, "", "unreachable").await;
        check(200, r#"{"access_token":"a"}"#, "unreachable").await;
        check(200, r#"{"access_token":"a\nb","expires_in":899}"#, "unreachable").await;

        async fn check(status: u16, body: &str, kind: &str) {
            let server = MockServer::start().await;
            Mock::given(method("POST"))
                .respond_with(ResponseTemplate::new(status).set_body_string(body))
                .mount(&server)
                .await;
            let error = tokens(&server).get(now()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{status} {body}: {error:?}");
            assert!(error.reason().starts_with("no token was issued"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_broken_issue_is_unreachable_and_shows_no_secret() {
        let (url, _) = wire::serve(wire::Act::Silence).await;
        let silent =
            Tokens::new(wire::impatient_client(), &url.join("/silent/").unwrap(), "1", &"s3cret&".into());
        // The test server issues tokens under /oauth2/v3/token only.
        let silent = Tokens { url: url.join("/silent").unwrap(), ..silent };
        let error = silent.get(now()).await.unwrap_err();
        assert!(matches!(error, SendError::Unreachable { .. }), "{error:?}");

        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(400).set_body_string(r#"{"error":"s3cret& is wrong"}"#))
            .mount(&server)
            .await;
        let error = tokens(&server).get(now()).await.unwrap_err();
        assert_eq!(error.reason(), "no token was issued: HTTP 400: [secret] is wrong:");
    }

    fn tokens(server: &MockServer) -> Tokens {
        let base_url = format!("{}/base", server.uri()).parse().unwrap();
        Tokens::new(wire::client(), &base_url, "1234567890", &"s3cret&".into())
    }
}
