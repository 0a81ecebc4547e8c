//! LINE: a fake Messaging API.
//!
//! Spec: <https://developers.line.biz/en/reference/messaging-api/>. A retry key makes a repeat harmless (409 with
//! the first request's id); without one a repeat is a second message. What was sent can't be listed.

mod flex;
mod message;
mod schema;

use std::collections::HashMap;

use chrono::DateTime;
use chrono::Datelike;
use chrono::Duration;
use chrono::FixedOffset;
use chrono::Utc;
use serde_json::Value;
use serde_json::json;

use crate::model::account::Platform;
use crate::model::hash;
use crate::sandbox::Desk;
use crate::sandbox::Published;
use crate::sandbox::call::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::call::find;
use crate::sandbox::call::number_of;
use crate::sandbox::fault::Kind;
use crate::sandbox::fault::Scope;

pub use crate::sandbox::line::message::view_text;

/// The largest request body (platforms/line.md, section 3).
const BODY_LIMIT: usize = 2 << 20;

/// How long a stateless token works, in seconds.
const TOKEN_LIFE: i64 = 899;

/// How long a retry key is remembered.
const KEY_LIFE: Duration = Duration::hours(24);

/// Broadcasts, and narrowcasts, in an hour.
const HOURLY_SENDS: usize = 60;

/// The most users a multicast names.
const MULTICAST_USERS: usize = 500;

const SEND_KINDS: [&str; 4] = ["broadcast", "narrowcast", "multicast", "push"];

/// One accepted send.
#[derive(Debug, Clone)]
struct Sent {
    channel: String,
    request_id: String,
    at: DateTime<Utc>,
    cost: u64,
    message_ids: Vec<String>,
    is_narrowcast: bool,
}

#[derive(Debug)]
struct Retry {
    body: String,
    at: DateTime<Utc>,
    sent: Sent,
}

/// The fake platform's memory.
#[derive(Debug, Default)]
pub struct Line {
    sent: Vec<Sent>,
    retries: HashMap<(String, String), Retry>,
    tokens: HashMap<String, Token>,
    hourly: HashMap<(String, String), Vec<DateTime<Utc>>>,
    count: u64,
}

#[derive(Debug)]
struct Token {
    channel: String,
    until: DateTime<Utc>,
}

/// Which faults a call may meet.
pub fn scope(call: &Call) -> Scope {
    match call.parts().as_slice() {
        ["oauth2", ..] | ["v2", "oauth", ..] => Scope::Token,
        ["v2", "bot", "message", kind] if SEND_KINDS.contains(kind) => Scope::Publish,
        // LINE has no list of what was sent, so nothing here is a read-back.
        _ => Scope::Aid,
    }
}

/// LINE's words for an error that a fault brings about.
pub fn refusal(kind: Kind, call: &Call) -> Answer {
    let (status, message) = match kind {
        Kind::Unauthorized => (
            401,
            "Authentication failed due to the following reason: invalid token. Confirm that the access token in the authorization header is valid.",
        ),
        Kind::OutOfBudget => (429, "You have reached your monthly limit."),
        Kind::Error429 => (429, "The API rate limit has been exceeded. Try again later."),
        Kind::Error503 => (503, "Service Unavailable"),
        _ => (500, "Internal server error"),
    };
    let id = request_id(&format!("{}{}", call.item(), call.at.timestamp_micros()));
    error(status, message).with("x-line-request-id", id)
}

impl Line {
    /// Answers one call.
    pub fn answer(&mut self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        self.count += 1;
        let id = request_id(&format!("{}/{}/{}", self.count, call.item(), call.at.timestamp_micros()));
        let answer = self.route(call, &id, desk);
        answer.with("x-line-request-id", id).with("x-content-type-options", "nosniff")
    }

    fn route(&mut self, call: &Call, id: &str, desk: &mut Desk<'_>) -> Answer {
        let path = call.parts();
        if let ("POST", ["oauth2", "v3", "token"]) = (call.method.as_str(), path.as_slice()) {
            return self.issue(call);
        }
        let channel = match self.channel(call) {
            Ok(channel) => channel,
            Err(reason) => {
                let why = format!("Authentication failed due to the following reason: {reason}");
                return error(401, &why);
            }
        };
        let sends = matches!(path.as_slice(), ["v2", "bot", "message", kind] if SEND_KINDS.contains(kind));
        if call.header("x-line-retry-key").is_some() && !sends {
            return error(400, "The retry key is not supported in this endpoint");
        }
        match (call.method.as_str(), path.as_slice()) {
            ("POST", ["v2", "bot", "message", kind]) if sends => self.send(call, kind, &channel, id, desk),
            ("POST", ["v2", "bot", "message", "validate", kind])
                if SEND_KINDS.contains(kind) || *kind == "reply" =>
            {
                match body_of(call).and_then(|body| message::check(&body)) {
                    Ok(()) => Answer::json(200, &json!({})),
                    Err(refused) => refused,
                }
            }
            ("GET", path) => self.read(call, path, &channel, desk),
            _ => error(404, "Not found"),
        }
    }

    fn send(&mut self, call: &Call, kind: &str, channel: &str, id: &str, desk: &mut Desk<'_>) -> Answer {
        if desk.settings.limits && matches!(kind, "broadcast" | "narrowcast") {
            let used = self.hourly.entry((channel.to_owned(), kind.to_owned())).or_default();
            used.retain(|at| *at > call.at - Duration::hours(1));
            used.push(call.at);
            if used.len() > HOURLY_SENDS {
                return error(429, "The API rate limit has been exceeded. Try again later.");
            }
        }
        let key = match self.retry_key(call, channel) {
            Ok(key) => key,
            Err(answer) => return answer,
        };
        let body = match body_of(call).and_then(|body| message::check(&body).map(|()| body)) {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let cost = match self.cost(&body, kind, call.at, channel, desk) {
            Ok(cost) => cost,
            Err(refused) => return refused,
        };
        let sent = self.accept(call, channel, id, (kind, cost), &body, desk);
        let answer = match kind {
            "narrowcast" => Answer::json(202, &json!({})),
            "push" => Answer::json(200, &sent_messages(&sent)),
            _ => Answer::json(200, &json!({})),
        };
        if let Some(key) = key {
            let body = hash::sha256_hex(&call.body);
            self.retries.insert((channel.to_owned(), key), Retry { body, at: call.at, sent });
        }
        answer
    }

    /// The retry key of a call that is a first one; a repeat's answer otherwise.
    fn retry_key(&self, call: &Call, channel: &str) -> Result<Option<String>, Answer> {
        let Some(key) = call.header("x-line-retry-key") else { return Ok(None) };
        // Only the 8-4-4-4-12 form counts; the parser would take others.
        if key.len() != 36 || uuid::Uuid::try_parse(key).is_err() {
            return Err(error(400, "The retry key is invalid. Specify a UUID in hexadecimal notation."));
        }
        let key = key.to_ascii_lowercase();
        let Some(earlier) = self.retries.get(&(channel.to_owned(), key.clone())) else {
            return Ok(Some(key));
        };
        if earlier.at + KEY_LIFE <= call.at {
            return Ok(Some(key));
        }
        if earlier.body != hash::sha256_hex(&call.body) {
            return Err(error(400, "The retry key was used with a different request body"));
        }
        let mut body = json!({ "message": "The retry key is already accepted" });
        if !earlier.sent.message_ids.is_empty() {
            body["sentMessages"] = sent_messages(&earlier.sent)["sentMessages"].clone();
        }
        Err(Answer::json(409, &body).with("x-line-accepted-request-id", &earlier.sent.request_id))
    }

    /// How many messages a send counts as, if the month still holds them: one for each recipient.
    fn cost(
        &self,
        body: &Value,
        kind: &str,
        at: DateTime<Utc>,
        channel: &str,
        desk: &Desk<'_>,
    ) -> Result<u64, Answer> {
        let friends = desk.settings.line_friends;
        let cost = match (kind, body.get("to")) {
            ("broadcast" | "narrowcast", _) => friends,
            ("push", Some(Value::String(to))) if !to.is_empty() => 1,
            ("multicast", Some(Value::Array(to))) if (1..=MULTICAST_USERS).contains(&to.len()) => {
                u64::try_from(to.len()).unwrap_or(u64::MAX)
            }
            ("multicast", _) => {
                return Err(message::refused(&[("to", "Size must be between 1 and 500".to_owned())]));
            }
            _ => return Err(message::refused(&[("to", "May not be empty".to_owned())])),
        };
        let left = desk.settings.line_quota.map(|quota| quota.saturating_sub(self.usage(channel, at)));
        let capped = kind == "narrowcast"
            && body.pointer("/limit/upToRemainingQuota").and_then(Value::as_bool) == Some(true);
        match left {
            Some(left) if left < cost && capped => Ok(left),
            Some(left) if left < cost => Err(error(429, "You have reached your monthly limit.")),
            _ => Ok(cost),
        }
    }

    fn accept(
        &mut self,
        call: &Call,
        channel: &str,
        id: &str,
        (kind, cost): (&str, u64),
        body: &Value,
        desk: &mut Desk<'_>,
    ) -> Sent {
        let messages = body.get("messages").and_then(Value::as_array).cloned().unwrap_or_default();
        let message_ids = match kind {
            "push" => (0..messages.len()).map(|at| number_of(&format!("{id}{at}")).to_string()).collect(),
            _ => Vec::new(),
        };
        let sent = Sent {
            channel: channel.to_owned(),
            request_id: id.to_owned(),
            at: call.at,
            cost,
            message_ids,
            is_narrowcast: kind == "narrowcast",
        };
        self.sent.push(sent.clone());
        let mut links = Vec::new();
        message::collect_links(body, &mut links);
        desk.ledger.push(Published {
            platform: Platform::Line,
            account: channel.to_owned(),
            remote_id: id.to_owned(),
            text: messages.iter().map(view_text).collect::<Vec<_>>().join("\n"),
            links,
            at: call.at,
            deleted: false,
            body: String::from_utf8_lossy(&call.body).into_owned(),
        });
        sent
    }

    fn read(&self, call: &Call, path: &[&str], channel: &str, desk: &Desk<'_>) -> Answer {
        let usage = self.usage(channel, call.at);
        let friends = desk.settings.line_friends;
        let body = match path {
            ["v2", "bot", "message", "quota"] => match desk.settings.line_quota {
                Some(quota) => json!({ "type": "limited", "value": quota }),
                None => json!({ "type": "none" }),
            },
            ["v2", "bot", "message", "quota", "consumption"] => json!({ "totalUsage": usage }),
            ["v2", "bot", "info"] => json!({
                "userId": format!("U{}", &hash::sha256_hex(channel.as_bytes())[..32]),
                "basicId": "@saitharnnews",
                "displayName": "สายธารนิวส์ (ตัวอย่าง)",
                "chatMode": "bot",
                "markAsReadMode": "auto",
            }),
            ["v2", "bot", "insight", "followers"] => match call.param("date") {
                Some(date) if date.len() == 8 && date.bytes().all(|digit| digit.is_ascii_digit()) => json!({
                    "status": "ready",
                    "followers": friends + friends / 10,
                    "targetedReaches": friends,
                    "blocks": friends / 10,
                }),
                _ => return error(400, "The value for the 'date' parameter is invalid"),
            },
            ["v2", "bot", "message", "progress", "narrowcast"] => {
                let wanted = call.param("requestId").unwrap_or_default();
                let Some(sent) =
                    self.sent.iter().find(|sent| sent.is_narrowcast && sent.request_id == wanted)
                else {
                    return error(404, "Not found");
                };
                json!({ "phase": "succeeded", "successCount": sent.cost, "failureCount": 0,
                    "targetCount": sent.cost, "acceptedTime": sent.at.to_rfc3339() })
            }
            _ => return error(404, "Not found"),
        };
        Answer::json(200, &body)
    }

    fn issue(&mut self, call: &Call) -> Answer {
        let form = call.form();
        let filled = |name: &str| find(&form, name).filter(|value| !value.is_empty());
        if filled("grant_type") != Some("client_credentials") {
            return oauth_error("unsupported_grant_type", "grant_type must be client_credentials");
        }
        let channel = match (filled("client_id"), filled("client_secret"), filled("client_assertion")) {
            (Some(id), Some(_), _) => id.to_owned(),
            (_, _, Some(assertion)) => format!("jwt-{:x}", number_of(assertion)),
            _ => return oauth_error("invalid_request", "client_id and client_secret are required"),
        };
        self.count += 1;
        let token = format!("sandbox.{}", hash::sha256_hex(format!("{channel}/{}", self.count).as_bytes()));
        let until = call.at + Duration::seconds(TOKEN_LIFE);
        self.tokens.insert(token.clone(), Token { channel, until });
        Answer::json(200, &json!({ "token_type": "Bearer", "access_token": token, "expires_in": TOKEN_LIFE }))
    }

    /// The channel a call comes from: the one its token was issued to, or one made up for a foreign token.
    fn channel(&self, call: &Call) -> Result<String, &'static str> {
        let missing = "missing or invalid Authorization header. Include a valid access token.";
        let token = call.bearer().ok_or(missing)?;
        match self.tokens.get(token) {
            Some(token) if token.until <= call.at => {
                Err("invalid token. Confirm that the access token in the authorization header is valid.")
            }
            Some(token) => Ok(token.channel.clone()),
            None => Ok(format!("token-{:x}", number_of(token))),
        }
    }

    /// Messages counted in the month so far. LINE's dates are in UTC+9.
    fn usage(&self, channel: &str, at: DateTime<Utc>) -> u64 {
        let month = |at: DateTime<Utc>| {
            let japan = FixedOffset::east_opt(9 * 3600).map(|zone| at.with_timezone(&zone));
            japan.map(|at| (at.year(), at.month()))
        };
        let counted = self.sent.iter().filter(|sent| sent.channel == channel && month(sent.at) == month(at));
        counted.map(|sent| sent.cost).sum()
    }
}

fn body_of(call: &Call) -> Result<Value, Answer> {
    if call.body.len() > BODY_LIMIT {
        return Err(error(413, "Request body is too large"));
    }
    if !call.is_of("application/json") {
        return Err(error(415, "Unsupported media type"));
    }
    call.json()
        .filter(Value::is_object)
        .ok_or_else(|| error(400, "The request body could not be parsed as JSON"))
}

fn sent_messages(sent: &Sent) -> Value {
    let messages: Vec<Value> = sent.message_ids.iter().map(|id| json!({ "id": id })).collect();
    json!({ "sentMessages": messages })
}

fn error(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({ "message": message }))
}

fn oauth_error(error: &str, description: &str) -> Answer {
    Answer::json(400, &json!({ "error": error, "error_description": description }))
}

/// A request id: a UUID's shape, always the same for the same text.
fn request_id(text: &str) -> String {
    let digits = hash::sha256_hex(text.as_bytes());
    format!(
        "{}-{}-4{}-a{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..32]
    )
}
