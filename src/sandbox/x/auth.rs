//! Auth: who a call to the fake X comes from, by OAuth 1.0a or OAuth 2.0.
//!
//! Any credentials will do, but their form is checked, and what the sandbox issued itself behaves as X's does:
//! codes last 30 seconds, access tokens two hours (or as set), a refresh token works once and takes its access token
//! with it. Told so, it takes no access token but its own.

use std::collections::HashMap;
use std::collections::HashSet;

use base64::Engine;
use chrono::DateTime;
use chrono::Duration;
use chrono::Utc;
use serde::Serialize;
use serde_json::json;

use crate::sandbox::Settings;
use crate::sandbox::call::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::call::find;
use crate::sandbox::call::number_of;
use crate::sandbox::call::percent_decode;
use crate::sandbox::call::percent_encode;

/// Whose account an OAuth 2.0 token without a user id of its own belongs to.
const DEFAULT_USER: &str = "1500000000000000001";

/// How long a code may be exchanged (platforms/x.md, section 4).
const CODE_LIFE: Duration = Duration::seconds(30);

/// With limits on: how far an OAuth 1.0a timestamp may be off.
const SKEW: i64 = 300;

const OAUTH1_KEYS: [&str; 7] = [
    "oauth_consumer_key",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
    "oauth_timestamp",
    "oauth_token",
    "oauth_version",
];

/// What was issued and used up.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Access tokens with their end.
    access: HashMap<String, DateTime<Utc>>,
    /// Refresh tokens and codes that were used, or revoked.
    used: HashSet<String>,
    codes: HashMap<String, Code>,
    /// The access token that came with a refresh token.
    pairs: HashMap<String, String>,
    renewals: Vec<Renewal>,
    count: u64,
}

/// A refresh token that was presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renewal {
    /// When.
    pub at: DateTime<Utc>,
    /// The refresh token.
    pub presented: String,
    /// Whether it brought a new pair; whether the answer arrived is another matter.
    pub granted: bool,
}

#[derive(Debug)]
struct Code {
    until: DateTime<Utc>,
    redirect_uri: String,
    challenge: String,
    is_plain: bool,
}

impl Tokens {
    /// The user a call comes from.
    ///
    /// # Errors
    /// The words of X's 401.
    pub fn user(&self, call: &Call, settings: &Settings) -> Result<String, &'static str> {
        if let Some(token) = call.bearer() {
            let ended = self.access.get(token).map_or(settings.x_issued_only, |until| *until <= call.at);
            if ended || self.used.contains(token) {
                return Err("Unauthorized");
            }
            return Ok(user_of(token).unwrap_or_else(|| DEFAULT_USER.to_owned()));
        }
        let header = call.header("authorization").unwrap_or_default();
        let Some(list) = header.strip_prefix("OAuth ") else { return Err("Unauthorized") };
        let fields = oauth1_fields(list).ok_or("Could not authenticate you.")?;
        check_oauth1(&fields, settings.limits.then_some(call.at))?;
        let token = find(&fields, "oauth_token").unwrap_or_default();
        let made_up = || (1_000_000_000_000_000_000 + number_of(token) % 800_000_000_000_000_000).to_string();
        Ok(user_of(token).unwrap_or_else(made_up))
    }

    /// The consent page, which consents at once: sends the browser back with a code.
    pub fn authorize(&mut self, call: &Call) -> Answer {
        let wanted = |name: &str| call.param(name).unwrap_or_default().to_owned();
        let redirect_uri = wanted("redirect_uri");
        let is_whole = wanted("response_type") == "code"
            && !wanted("client_id").is_empty()
            && !wanted("code_challenge").is_empty()
            && redirect_uri.starts_with("http");
        if !is_whole {
            return oauth_error(
                400,
                "invalid_request",
                "One or more parameters of the authorization request is missing.",
            );
        }
        let code = self.fresh("code");
        self.codes.insert(
            code.clone(),
            Code {
                until: call.at + CODE_LIFE,
                redirect_uri: redirect_uri.clone(),
                challenge: wanted("code_challenge"),
                is_plain: wanted("code_challenge_method") == "plain",
            },
        );
        let joint = if redirect_uri.contains('?') { '&' } else { '?' };
        let state = percent_encode(&wanted("state"));
        Answer::text(302, "text/plain", "")
            .with("location", format!("{redirect_uri}{joint}state={state}&code={code}"))
    }

    /// `POST /2/oauth2/token`.
    pub fn issue(&mut self, call: &Call, settings: &Settings) -> Answer {
        let form = call.form();
        let is_client = call.basic().is_some_and(|(id, secret)| !id.is_empty() && !secret.is_empty())
            || find(&form, "client_id").is_some_and(|id| !id.is_empty());
        if !is_client {
            return oauth_error(401, "unauthorized_client", "Missing valid authorization header");
        }
        let user = match find(&form, "grant_type") {
            Some("refresh_token") => {
                let Some(refresh) = find(&form, "refresh_token").filter(|token| !token.is_empty()) else {
                    return oauth_error(
                        400,
                        "invalid_request",
                        "Missing required parameter [refresh_token].",
                    );
                };
                // Single use: the old pair dies whether or not the answer arrives.
                let granted = self.used.insert(refresh.to_owned());
                self.renewals.push(Renewal { at: call.at, presented: refresh.to_owned(), granted });
                if !granted {
                    return oauth_error(400, "invalid_request", "Value passed for the token was invalid.");
                }
                self.used.extend(self.pairs.remove(refresh));
                user_of(refresh)
            }
            Some("authorization_code") => {
                if let Err(reason) = self.redeem(call.at, &form) {
                    return oauth_error(400, "invalid_request", reason);
                }
                None
            }
            _ => return oauth_error(400, "invalid_request", "Missing required parameter [grant_type]."),
        };
        let user = user.unwrap_or_else(|| DEFAULT_USER.to_owned());
        let access = format!("{user}-{}", self.fresh("access"));
        let refresh = format!("{user}-{}", self.fresh("refresh"));
        let life = Duration::seconds(settings.x_access_life);
        self.access.insert(access.clone(), call.at + life);
        self.pairs.insert(refresh.clone(), access.clone());
        Answer::json(
            200,
            &json!({
                "token_type": "bearer",
                "expires_in": life.num_seconds(),
                "access_token": access,
                "scope": "tweet.read tweet.write users.read media.write offline.access",
                "refresh_token": refresh,
            }),
        )
    }

    /// Every refresh token that was presented, in order.
    pub fn renewals(&self) -> &[Renewal] {
        &self.renewals
    }

    /// `POST /2/oauth2/revoke`.
    pub fn revoke(&mut self, call: &Call) -> Answer {
        let form = call.form();
        match find(&form, "token").filter(|token| !token.is_empty()) {
            Some(token) => {
                self.used.insert(token.to_owned());
                Answer::json(200, &json!({ "revoked": true }))
            }
            None => oauth_error(400, "invalid_request", "Missing required parameter [token]."),
        }
    }

    fn redeem(&mut self, at: DateTime<Utc>, form: &[(String, String)]) -> Result<(), &'static str> {
        let code =
            find(form, "code").filter(|code| !code.is_empty()).ok_or("Missing required parameter [code].")?;
        let verifier = find(form, "code_verifier").filter(|verifier| !verifier.is_empty());
        let verifier = verifier.ok_or("Missing required parameter [code_verifier].")?;
        if !self.used.insert(code.to_owned()) {
            return Err("Value passed for the authorization code was invalid.");
        }
        // A code the sandbox did not issue is anybody's: accepted, once.
        let Some(issued) = self.codes.remove(code) else { return Ok(()) };
        if issued.until <= at {
            return Err("Value passed for the authorization code was invalid.");
        }
        if find(form, "redirect_uri") != Some(issued.redirect_uri.as_str()) {
            return Err("Value passed for the redirect uri did not match the uri of the authorization code.");
        }
        let answer = if issued.is_plain { verifier.to_owned() } else { s256(verifier) };
        if answer == issued.challenge {
            Ok(())
        } else {
            Err("Value passed for the code verifier did not match the code challenge.")
        }
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}{:x}", self.count, number_of(&format!("{kind}{}", self.count)))
    }
}

/// The user id before the first hyphen of a token, as X's own OAuth 1.0a tokens have it.
fn user_of(token: &str) -> Option<String> {
    let (id, _) = token.split_once('-')?;
    let is_id = (1..=19).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| id.to_owned())
}

fn s256(verifier: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

/// The `key="value"` pairs of an OAuth 1.0a header, decoded; `None` when it is none.
fn oauth1_fields(list: &str) -> Option<Vec<(String, String)>> {
    list.split(',')
        .map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            let value = value.strip_prefix('"')?.strip_suffix('"')?;
            Some((percent_decode(key), percent_decode(value)))
        })
        .collect()
}

fn check_oauth1(fields: &[(String, String)], now: Option<DateTime<Utc>>) -> Result<(), &'static str> {
    let filled = |key: &&str| find(fields, key).is_some_and(|value| !value.is_empty());
    // The version may be left out (RFC 5849, section 3.1).
    if !OAUTH1_KEYS.iter().filter(|key| **key != "oauth_version").all(filled) {
        return Err("Bad Authentication data.");
    }
    if find(fields, "oauth_version").is_some_and(|version| version != "1.0")
        || find(fields, "oauth_signature_method") != Some("HMAC-SHA1")
    {
        return Err("Could not authenticate you.");
    }
    let signature = find(fields, "oauth_signature").unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(signature).unwrap_or_default();
    if bytes.len() != 20 {
        return Err("Could not authenticate you.");
    }
    let timestamp: i64 = find(fields, "oauth_timestamp")
        .and_then(|at| at.parse().ok())
        .ok_or("Could not authenticate you.")?;
    if now.is_some_and(|now| (now.timestamp() - timestamp).abs() > SKEW) {
        return Err("Timestamp out of bounds.");
    }
    Ok(())
}

fn oauth_error(status: u16, error: &str, description: &str) -> Answer {
    Answer::json(status, &json!({ "error": error, "error_description": description }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(s256(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_header_must_be_whole() {
        let whole = r#"oauth_consumer_key="a", oauth_nonce="b", oauth_signature="MDEyMzQ1Njc4OTAxMjM0NTY3ODk%3D", oauth_signature_method="HMAC-SHA1", oauth_timestamp="1795000000", oauth_token="77-c", oauth_version="1.0""#;
        let check =
            |text: &str| oauth1_fields(text).ok_or("no list").and_then(|fields| check_oauth1(&fields, None));
        assert_eq!(check(whole), Ok(()));
        assert!(check(&whole.replace("HMAC-SHA1", "PLAINTEXT")).is_err());
        assert!(check(&whole.replace("oauth_nonce=\"b\", ", "")).is_err());
        assert!(check(&whole.replace("\"77-c\"", "\"\"")).is_err());
        assert!(check(&whole.replace("MDEy", "")).is_err());
        assert!(check("nonsense").is_err());
        let late = DateTime::from_timestamp(1_795_000_000 + SKEW + 1, 0);
        assert!(check_oauth1(&oauth1_fields(whole).unwrap(), late).is_err());
    }

    #[test]
    fn a_token_may_carry_its_user() {
        assert_eq!(user_of("77-abc").as_deref(), Some("77"));
        assert_eq!(user_of("abc"), None);
        assert_eq!(user_of("a7-c"), None);
    }
}
