//! Token: speaks X's OAuth 2.0: consent page, exchange of a code, renewal.
//!
//! Spec: <https://docs.x.com/fundamentals/authentication/oauth-2-0/authorization-code>, platforms/x.md section 4. The
//! `oauth2` crate words the requests and reads the pairs; our own client sends them, once. A refresh token works once and
//! there is no grace, so what matters is whether it may be spent: see [`RefreshError`].

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use oauth2::AsyncHttpClient;
use oauth2::AuthUrl;
use oauth2::AuthorizationCode;
use oauth2::ClientId;
use oauth2::ClientSecret;
use oauth2::CsrfToken;
use oauth2::EndpointNotSet;
use oauth2::EndpointSet;
use oauth2::HttpRequest;
use oauth2::HttpResponse;
use oauth2::PkceCodeChallenge;
use oauth2::PkceCodeVerifier;
use oauth2::RedirectUrl;
use oauth2::RefreshToken;
use oauth2::RequestTokenError;
use oauth2::Scope;
use oauth2::TokenResponse;
use oauth2::TokenUrl;
use oauth2::basic::BasicClient;
use oauth2::basic::BasicErrorResponse;
use oauth2::basic::BasicTokenResponse;
use reqwest::Client;
use serde::Deserialize;
use url::Url;

use crate::model::attempt::SendError;
use crate::model::token::RefreshError;
use crate::platform::endpoint;
use crate::platform::transport;
use crate::platform::transport::Reply;
use crate::platform::transport::Scrub;
use crate::secret::ExposeSecret;
use crate::secret::Grant;
use crate::secret::SecretString;

/// What a person is asked to allow; without `offline.access` there is no refresh token, without `media.write` no picture.
const SCOPES: [&str; 5] = ["tweet.read", "tweet.write", "users.read", "media.write", "offline.access"];

/// Errors of our app and not of the token (RFC 6749, section 5.2).
const APP_ERRORS: [&str; 3] = ["invalid_client", "unauthorized_client", "unsupported_grant_type"];

/// An app at X, by which people connect their accounts and tokens are renewed.
#[derive(Debug)]
pub struct App {
    http: Client,
    client: BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>,
    scrub: Scrub,
}

/// A consent page to open, and what the answer is checked by. Good for one answer.
#[derive(Debug)]
pub struct Invitation {
    /// The address a person opens in a browser.
    pub url: Url,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    redirect: RedirectUrl,
}

impl Invitation {
    /// Whether an answer belongs to this invitation, asked without telling by the time it takes how much of it is right.
    pub fn is_answered_by(&self, state: &str) -> bool {
        // Of fixed length and compared by their digests, so that no byte can be guessed alone.
        let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        digest(self.state.secret()).as_ref() == digest(state).as_ref()
    }
}

impl App {
    /// The app `client_id` at the API under `base_url`; its secret is left out for a public client.
    ///
    /// # Errors
    /// When the address can't be one of an API.
    pub fn new(
        http: Client,
        base_url: &Url,
        client_id: &str,
        client_secret: Option<&SecretString>,
    ) -> anyhow::Result<App> {
        let token_url = TokenUrl::new(endpoint(base_url, "2/oauth2/token").into())?;
        let mut client = BasicClient::new(ClientId::new(client_id.to_owned()))
            .set_auth_uri(AuthUrl::new(consent(base_url).into())?)
            .set_token_uri(token_url);
        if let Some(secret) = client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
        }
        Ok(App { http, client, scrub: Scrub::new(client_secret.cloned()) })
    }

    /// A consent page that sends the browser back to `redirect`, which must stand in the app's settings letter by letter.
    ///
    /// # Errors
    /// When `redirect` is no address.
    pub fn invite(&self, redirect: &str) -> anyhow::Result<Invitation> {
        let redirect = RedirectUrl::new(redirect.to_owned())?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(SCOPES.map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .set_redirect_uri(std::borrow::Cow::Borrowed(&redirect))
            .url();
        Ok(Invitation { url, state, verifier, redirect })
    }

    /// Exchanges the code that answered an invitation; X takes it for 30 seconds.
    ///
    /// # Errors
    /// Why no pair came; the person connects again then.
    pub async fn exchange(
        &self,
        invitation: Invitation,
        code: SecretString,
        now: DateTime<Utc>,
    ) -> Result<Grant, RefreshError> {
        let Invitation { verifier, redirect, .. } = invitation;
        let scrub = self.scrub.with(&code);
        let request = self
            .client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(verifier)
            .set_redirect_uri(std::borrow::Cow::Owned(redirect));
        granted(request.request_async(&self.sender(scrub, now)).await)
    }

    /// Presents a refresh token, once.
    ///
    /// # Errors
    /// Why no pair came, by whether the token may be spent.
    pub async fn refresh(&self, token: &SecretString, now: DateTime<Utc>) -> Result<Grant, RefreshError> {
        let scrub = self.scrub.with(token);
        let token = RefreshToken::new(token.expose_secret().to_owned());
        granted(self.client.exchange_refresh_token(&token).request_async(&self.sender(scrub, now)).await)
    }

    /// Sends a request of the `oauth2` crate by our own client; only an answer that may hold a pair comes back to it.
    fn sender(
        &self,
        scrub: Scrub,
        now: DateTime<Utc>,
    ) -> impl for<'c> AsyncHttpClient<'c, Error = RefreshError, Future = Sending> + use<> {
        let (http, scrub) = (self.http.clone(), Arc::new(scrub));
        move |request| -> Sending { Box::pin(send(http.clone(), request, scrub.clone(), now)) }
    }
}

/// A request of the `oauth2` crate under way.
type Sending = Pin<Box<dyn Future<Output = Result<HttpResponse, RefreshError>> + Send>>;

async fn send(
    http: Client,
    request: HttpRequest,
    scrub: Arc<Scrub>,
    now: DateTime<Utc>,
) -> Result<HttpResponse, RefreshError> {
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    // What is marked so is shown by no library's log.
    headers.iter_mut().for_each(|(_, value)| value.set_sensitive(true));
    let request = http.request(parts.method, parts.uri.to_string()).headers(headers).body(body);
    let reply = transport::exchange(request, now).await.map_err(|error| match scrub.error(error) {
        SendError::Unreachable { reason } => RefreshError::NotSpent { retry_after: None, reason },
        error => RefreshError::Unknown { reason: error.reason().to_owned() },
    })?;
    if !reply.status.is_success() {
        return Err(refused(&reply, &scrub));
    }
    let mut answer = HttpResponse::new(reply.body().unwrap_or_default().to_vec());
    *answer.status_mut() = reply.status;
    Ok(answer)
}

/// Where a person consents: on X's own site, elsewhere (the sandbox) under the API's address.
fn consent(base_url: &Url) -> Url {
    let mut url = endpoint(base_url, "i/oauth2/authorize");
    if base_url.host_str() == Some("api.x.com") {
        // Never refused: it is a name, and the scheme takes names.
        let _infallible = url.set_host(Some("x.com"));
    }
    url
}

/// A pair out of an answer. A success that can't be read may well have spent the token.
fn granted(
    answer: Result<BasicTokenResponse, RequestTokenError<RefreshError, BasicErrorResponse>>,
) -> Result<Grant, RefreshError> {
    let unknown = |reason: &str| RefreshError::Unknown { reason: reason.to_owned() };
    let answer = answer.map_err(|error| match error {
        RequestTokenError::Request(error) => error,
        _ => unknown("a success that holds no tokens"),
    })?;
    let secret = |token: &str| -> Result<SecretString, RefreshError> {
        match !token.is_empty() && transport::secret_header(token, "access_token").is_ok() {
            true => Ok(token.into()),
            false => Err(unknown("a token that no header can carry")),
        }
    };
    Ok(Grant {
        access: secret(answer.access_token().secret())?,
        refresh: answer.refresh_token().map(|token| secret(token.secret())).transpose()?,
        scopes: answer.scopes().into_iter().flatten().map(|scope| scope.to_string()).collect(),
        life: answer.expires_in().map(|life| life.min(LONGEST_LIFE)),
    })
}

/// No access token of X's lives longer than two hours; a year is a fault, and a date after that none at all.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Deserialize)]
struct OAuthError {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What it means that no pair came. Pure.
fn refused(reply: &Reply, scrub: &Scrub) -> RefreshError {
    let error: Option<OAuthError> = reply.json();
    let status = reply.status.as_u16();
    let words = error.as_ref().map(|it| format!("HTTP {status}: {}: {}", it.error, it.error_description));
    let reason = scrub.text(&words.unwrap_or_else(|| reply.describe()));
    match (status, error) {
        (429, _) => RefreshError::NotSpent { retry_after: reply.retry_after(), reason },
        // A burst of 401s was an outage of X's once, not the end of every token (x.md, section 9).
        (401 | 403, _) => RefreshError::App { reason },
        (400..=499, Some(error)) if APP_ERRORS.contains(&error.error.as_str()) => {
            RefreshError::App { reason }
        }
        // X says invalid_request for a token that was used before, and sometimes invalid_grant.
        (400, Some(_)) => RefreshError::Refused { reason },
        _ => RefreshError::Unknown { reason },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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
    use crate::platform::wire::reply;

    const PAIR: &str = r#"{"token_type":"bearer","expires_in":7200,"access_token":"new-access","scope":"tweet.read tweet.write","refresh_token":"new-refresh"}"#;

    fn app(base_url: &str, secret: Option<&str>) -> App {
        let secret = secret.map(SecretString::from);
        App::new(wire::client(), &base_url.parse().unwrap(), "client-1", secret.as_ref()).unwrap()
    }

    async fn serving(status: u16, body: &str) -> MockServer {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_raw(body, "application/json");
        Mock::given(method("POST"))
            .and(path("/base/2/oauth2/token"))
            .respond_with(answer)
            .mount(&server)
            .await;
        server
    }

    #[test]
    fn the_consent_page_is_asked_by_pkce_and_state() {
        let app = app("https://api.x.com", None);
        let invitation = app.invite("http://127.0.0.1:8723/callback").unwrap();
        assert!(
            invitation.url.as_str().starts_with("https://x.com/i/oauth2/authorize?"),
            "{}",
            invitation.url
        );
        let query: HashMap<_, _> = invitation.url.query_pairs().into_owned().collect();
        for (key, value) in [
            ("response_type", "code"),
            ("client_id", "client-1"),
            ("redirect_uri", "http://127.0.0.1:8723/callback"),
            ("code_challenge_method", "S256"),
            ("scope", "tweet.read tweet.write users.read media.write offline.access"),
        ] {
            assert_eq!(query[key], value);
        }
        assert_eq!(query["code_challenge"].len(), 43);
        assert!(invitation.is_answered_by(&query["state"]));
        assert!(!invitation.is_answered_by("") && !invitation.is_answered_by(&query["state"][1..]));
        let another = app.invite("http://127.0.0.1:8723/callback").unwrap();
        assert!(!another.is_answered_by(&query["state"]));
        let sandbox = consent(&"http://127.0.0.1:9000/x".parse().unwrap());
        assert_eq!(sandbox.as_str(), "http://127.0.0.1:9000/x/i/oauth2/authorize");
    }

    #[tokio::test]
    async fn a_public_client_names_itself_and_a_confidential_one_signs() {
        let server = MockServer::start().await;
        let pair = || ResponseTemplate::new(200).set_body_raw(PAIR, "application/json");
        let public = "grant_type=refresh_token&refresh_token=old-refresh&client_id=client-1";
        Mock::given(body_string(public)).respond_with(pair()).expect(1).mount(&server).await;
        Mock::given(body_string("grant_type=refresh_token&refresh_token=old-refresh"))
            .and(header("authorization", "Basic Y2xpZW50LTE6cyUyNmNyZXQ="))
            .respond_with(pair())
            .expect(1)
            .mount(&server)
            .await;
        let base = format!("{}/base", server.uri());
        for secret in [None, Some("s&cret")] {
            let grant = app(&base, secret).refresh(&"old-refresh".into(), now()).await.unwrap();
            assert_eq!(grant.access.expose_secret(), "new-access");
            assert_eq!(grant.refresh.unwrap().expose_secret(), "new-refresh");
            assert_eq!(grant.scopes, ["tweet.read", "tweet.write"]);
            assert_eq!(grant.life, Some(Duration::from_secs(7200)));
        }
    }

    #[tokio::test]
    async fn a_code_is_exchanged_with_its_verifier_and_redirect() {
        let server = serving(200, PAIR).await;
        let app = app(&format!("{}/base", server.uri()), None);
        let invitation = app.invite("http://127.0.0.1:8723/callback").unwrap();
        let challenge: HashMap<_, _> = invitation.url.query_pairs().into_owned().collect();
        let challenge = challenge["code_challenge"].clone();
        app.exchange(invitation, "c0de".into(), now()).await.unwrap();
        let body = server.received_requests().await.unwrap().remove(0).body;
        let form: HashMap<_, _> = url::form_urlencoded::parse(&body).into_owned().collect();
        assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "c0de"));
        assert_eq!(form["redirect_uri"], "http://127.0.0.1:8723/callback");
        let verifier = PkceCodeVerifier::new(form["code_verifier"].clone());
        assert_eq!(PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str(), challenge);
    }

    #[test]
    fn a_refusal_says_whether_the_token_may_be_spent() {
        let used =
            r#"{"error":"invalid_request","error_description":"Value passed for the token was invalid."}"#;
        check(400, used, "refused");
        check(400, r#"{"error":"invalid_grant"}"#, "refused");
        check(400, r#"{"error":"invalid_client"}"#, "app");
        check(
            401,
            r#"{"error":"unauthorized_client","error_description":"Missing valid authorization header"}"#,
            "app",
        );
        check(401, "", "app");
        check(403, r#"{"title":"Forbidden"}"#, "app");
        check(429, "", "not spent");
        check(400, "<html>", "unknown");
        check(404, "", "unknown");
        check(307, "", "unknown");
        check(500, r#"{"error":"server_error"}"#, "unknown");
        check(502, "<html>", "unknown");
        check(503, "", "unknown");

        #[track_caller]
        fn check(status: u16, body: &str, kind: &str) {
            let error = refused(&reply(status, &[], body), &Scrub::new([]));
            let found = match error {
                RefreshError::NotSpent { .. } => "not spent",
                RefreshError::Unknown { .. } => "unknown",
                RefreshError::App { .. } => "app",
                RefreshError::Refused { .. } => "refused",
            };
            assert_eq!(found, kind, "{status} {body}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_success_without_a_whole_pair_is_doubt() {
        for body in
            ["", "ok", "{}", r#"{"access_token":"a"}"#, r#"{"access_token":"a\nb","token_type":"bearer"}"#]
        {
            let server = serving(200, body).await;
            let answer = app(&format!("{}/base", server.uri()), None).refresh(&"r".into(), now()).await;
            assert!(matches!(answer, Err(RefreshError::Unknown { .. })), "{body}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_is_doubt_and_a_refused_connection_is_not() {
        for (act, client) in [
            (wire::Act::Silence, wire::impatient_client()),
            (wire::Act::Write(Vec::new()), wire::client()),
            (wire::Act::Write(wire::answer(200, &[], &PAIR[..40])), wire::client()),
        ] {
            let (url, count) = wire::serve(act).await;
            let app = App::new(client, &url, "c", None).unwrap();
            let answer = app.refresh(&"s3cret".into(), now()).await;
            assert!(matches!(answer, Err(RefreshError::Unknown { .. })), "{answer:?}");
            assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1, "presented once");
        }
        let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let answer = app(&format!("http://{nobody}/"), None).refresh(&"s3cret".into(), now()).await;
        assert!(matches!(answer, Err(RefreshError::NotSpent { .. })), "{answer:?}");
    }

    #[tokio::test]
    async fn no_reason_shows_a_token_or_the_apps_secret() {
        let server = serving(400, r#"{"error":"old-refresh of s&cret is bad"}"#).await;
        let app = app(&format!("{}/base", server.uri()), Some("s&cret"));
        let error = app.refresh(&"old-refresh".into(), now()).await.unwrap_err();
        assert_eq!(error.to_string(), "HTTP 400: [secret] of [secret] is bad:");
        assert!(!format!("{app:?}").contains("s&cret"));
    }
}
