//! X: a fake API v2.
//!
//! Spec: <https://docs.x.com/x-api/posts/creation-of-a-post>. There is no idempotency key; a recent post with
//! the same text is refused, and what is read back is not what was sent: escaped, with t.co links.

mod auth;
mod read;

pub use auth::Renewal;

use std::collections::HashMap;

use chrono::DateTime;
use chrono::Duration;
use chrono::Utc;
use serde_json::Value;
use serde_json::json;
use unicode_normalization::UnicodeNormalization;

use crate::model::account::Platform;
use crate::sandbox::Desk;
use crate::sandbox::Published;
use crate::sandbox::call::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::call::number_of;
use crate::sandbox::exchange::is_read;
use crate::sandbox::fault::Kind;
use crate::sandbox::fault::Scope;
use crate::text::length;

/// How long a text counts as recent for the duplicate filter. X publishes no number.
const DUPLICATE_SPAN: Duration = Duration::hours(24);

/// The window of every rate limit (platforms/x.md, section 2).
const WINDOW: Duration = Duration::minutes(15);

/// When X's ids begin: 4 November 2010, in milliseconds since 1970.
const SNOWFLAKE_EPOCH: i64 = 1_288_834_974_657;

/// The keys a post may be made of; any other is refused (OpenAPI: `additionalProperties: false`).
const POST_KEYS: [&str; 16] = [
    "text",
    "media",
    "reply",
    "quote_tweet_id",
    "reply_settings",
    "poll",
    "made_with_ai",
    "paid_partnership",
    "community_id",
    "share_with_followers",
    "nullcast",
    "geo",
    "edit_options",
    "card_uri",
    "direct_message_deep_link",
    "for_super_followers_only",
];

/// One post.
#[derive(Debug, Clone)]
struct Post {
    id: String,
    user: String,
    /// As it was sent.
    text: String,
    /// As it is shown: escaped, with t.co links.
    shown: String,
    urls: Vec<Link>,
    at: DateTime<Utc>,
    /// Lists leave it out before this.
    visible_at: DateTime<Utc>,
    deleted: bool,
    in_reply_to: Option<String>,
}

/// A link in a post; the positions count code points of the shown text.
#[derive(Debug, Clone)]
struct Link {
    start: usize,
    end: usize,
    short: String,
    expanded: String,
}

/// The fake platform's memory.
#[derive(Debug, Default)]
pub struct X {
    posts: Vec<Post>,
    tokens: auth::Tokens,
    windows: HashMap<(String, &'static str), Window>,
    last_id: u64,
}

#[derive(Debug)]
struct Window {
    ends: DateTime<Utc>,
    used: u32,
}

/// Which faults a call may meet.
pub fn scope(call: &Call) -> Scope {
    match call.parts().as_slice() {
        ["2", "oauth2", "token" | "revoke"] => Scope::Token,
        ["2", "tweets", ..] | ["2", "users", _, "tweets"] if is_read(call) => Scope::Read,
        ["2", "tweets", ..] => Scope::Publish,
        _ => Scope::Aid,
    }
}

/// X's words for an error that a fault brings about.
pub fn refusal(kind: Kind, call: &Call) -> Answer {
    match kind {
        Kind::Unauthorized => problem(call, 401, "Unauthorized", "Unauthorized"),
        Kind::OutOfBudget => typed(
            call,
            402,
            "https://api.x.com/2/problems/credits",
            "CreditsDepleted",
            "Your enrolled account [1500000000000000001] does not have any credits to fulfill this request.",
        ),
        Kind::Error503 => problem(call, 503, "Service Unavailable", "Service Unavailable"),
        Kind::Error429 => problem(call, 429, "Too Many Requests", "Too Many Requests")
            .with("x-rate-limit-limit", 100)
            .with("x-rate-limit-remaining", 0)
            .with("x-rate-limit-reset", (call.at + Duration::seconds(3)).timestamp()),
        _ => typed(
            call,
            500,
            "https://api.x.com/2/problems/internal-error",
            "Internal Server Error",
            "Something went wrong.",
        ),
    }
}

impl X {
    /// Every refresh token that was presented, in order.
    pub fn renewals(&self) -> &[Renewal] {
        self.tokens.renewals()
    }

    /// Answers one call.
    pub fn answer(&mut self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        let path = call.parts();
        match (call.method.as_str(), path.as_slice()) {
            ("GET", ["i", "oauth2", "authorize"] | ["2", "oauth2", "authorize"]) => {
                return self.tokens.authorize(call);
            }
            ("POST", ["2", "oauth2", "token"]) => return self.tokens.issue(call, desk.settings),
            ("POST", ["2", "oauth2", "revoke"]) => return self.tokens.revoke(call),
            _ => {}
        }
        let user = match self.tokens.user(call, desk.settings) {
            Ok(user) => user,
            Err(detail) => return problem(call, 401, "Unauthorized", detail),
        };
        let (route, limit) = match (call.method.as_str(), path.as_slice()) {
            ("POST", ["2", "tweets"]) => ("create", 100),
            ("DELETE", ["2", "tweets", _]) => ("delete", 50),
            ("GET", ["2", "users", "me"]) => ("me", 75),
            ("GET", ["2", "users", _, "tweets"]) => ("timeline", 900),
            ("GET", ["2", "tweets"]) => ("lookup", 5_000),
            ("GET", ["2", "tweets", _]) => ("look at", 900),
            _ => return problem(call, 404, "Not Found", "Not Found"),
        };
        let window = match self.spend(call.at, &user, route, limit) {
            Err(window) if desk.settings.limits => {
                let refused = problem(call, 429, "Too Many Requests", "Too Many Requests");
                return windowed(refused, limit, window);
            }
            Ok(window) | Err(window) => window,
        };
        let answer = match (route, path.as_slice()) {
            ("create", _) => self.create(call, &user, desk),
            ("delete", [.., id]) => self.delete(call, &user, id, desk),
            ("me", _) => read::me(call, &user),
            ("timeline", [_, _, id, _]) => read::timeline(self, call, id),
            ("lookup", _) => read::lookup(self, call),
            (_, [.., id]) => read::one(self, call, id),
            _ => problem(call, 404, "Not Found", "Not Found"),
        };
        if desk.settings.limits { windowed(answer, limit, window) } else { answer }
    }

    fn create(&mut self, call: &Call, user: &str, desk: &mut Desk<'_>) -> Answer {
        let Some(Value::Object(fields)) = call.json() else {
            return invalid(call, "$", "Requests with bodies must have content-type of application/json.");
        };
        if let Some(unknown) = fields.keys().find(|key| !POST_KEYS.contains(&key.as_str())) {
            let detail = format!(
                "[$.{unknown}: is not defined in the schema and the schema does not allow additional properties]"
            );
            return invalid(call, unknown, &detail);
        }
        if fields.contains_key("media") {
            return problem(call, 400, "Invalid Request", "Your media IDs are invalid.");
        }
        if fields.contains_key("quote_tweet_id") {
            return problem(call, 403, "Forbidden", "Quoting is not permitted for this access level.");
        }
        let Some(text) = fields.get("text").and_then(Value::as_str) else {
            return invalid(call, "text", "One or more parameters to your request was invalid.");
        };
        if let Err(refused) = self.check_text(call, user, text, desk) {
            return refused;
        }
        let in_reply_to = fields.get("reply").and_then(|reply| reply.get("in_reply_to_tweet_id")?.as_str());
        let id = self.add(call, user, text, in_reply_to, desk);
        let shown = self.posts.last().map(|post| post.shown.clone()).unwrap_or_default();
        let body = json!({ "data": { "id": id, "text": shown, "edit_history_tweet_ids": [id] } });
        traced(Answer::json(201, &body), call)
    }

    fn check_text(&self, call: &Call, user: &str, text: &str, desk: &Desk<'_>) -> Result<(), Answer> {
        if text.trim().is_empty() {
            return Err(invalid(call, "text", "One or more parameters to your request was invalid."));
        }
        if text.contains(['\u{fffe}', '\u{feff}', '\u{ffff}']) {
            return Err(invalid(call, "text", "The text contains invalid characters."));
        }
        if !fits(text) {
            return Err(problem(
                call,
                403,
                "Forbidden",
                "Your Tweet text is too long. It needs to be a bit shorter. You are not permitted to perform this action.",
            ));
        }
        // A deleted post still counts (x.md, section 6).
        let repeats = self
            .posts
            .iter()
            .any(|post| post.user == user && post.text == text && post.at > call.at - DUPLICATE_SPAN);
        if desk.settings.duplicate_filter(Platform::X) && repeats {
            let detail = "You are not allowed to create a Tweet with duplicate content.";
            return Err(problem(call, 403, "Forbidden", detail));
        }
        Ok(())
    }

    fn add(
        &mut self,
        call: &Call,
        user: &str,
        text: &str,
        in_reply_to: Option<&str>,
        desk: &mut Desk<'_>,
    ) -> String {
        let id = self.next_id(call.at).to_string();
        let (shown, urls) = wrap(text, &id);
        desk.ledger.push(Published {
            platform: Platform::X,
            account: user.to_owned(),
            remote_id: id.clone(),
            text: text.to_owned(),
            links: urls.iter().map(|link| link.expanded.clone()).collect(),
            at: call.at,
            deleted: false,
            body: String::from_utf8_lossy(&call.body).into_owned(),
        });
        self.posts.push(Post {
            id: id.clone(),
            user: user.to_owned(),
            text: text.to_owned(),
            shown,
            urls,
            at: call.at,
            visible_at: call.at + desk.settings.read_lag(Platform::X),
            deleted: false,
            in_reply_to: in_reply_to.map(str::to_owned),
        });
        id
    }

    fn delete(&mut self, call: &Call, user: &str, id: &str, desk: &mut Desk<'_>) -> Answer {
        let Some(post) = self.posts.iter_mut().find(|post| post.id == id && !post.deleted) else {
            return read::missing(call, id);
        };
        if post.user != user {
            return problem(call, 403, "Forbidden", "You are not authorized to delete this Tweet.");
        }
        post.deleted = true;
        desk.ledger.iter_mut().filter(|entry| entry.remote_id == id).for_each(|entry| entry.deleted = true);
        traced(Answer::json(200, &json!({ "data": { "deleted": true } })), call)
    }

    /// Time-ordered ids: milliseconds in the upper bits.
    fn next_id(&mut self, at: DateTime<Utc>) -> u64 {
        let millis = u64::try_from(at.timestamp_millis() - SNOWFLAKE_EPOCH).unwrap_or_default();
        self.last_id = (millis << 22).max(self.last_id + 1);
        self.last_id
    }

    /// Counts a call in its window; `Err` when the window was used up.
    fn spend(
        &mut self,
        at: DateTime<Utc>,
        user: &str,
        route: &'static str,
        limit: u32,
    ) -> Result<(u32, DateTime<Utc>), (u32, DateTime<Utc>)> {
        let fresh = || Window { ends: at + WINDOW, used: 0 };
        let window = self.windows.entry((user.to_owned(), route)).or_insert_with(fresh);
        if window.ends <= at {
            *window = fresh();
        }
        if window.used >= limit {
            return Err((0, window.ends));
        }
        window.used += 1;
        Ok((limit - window.used, window.ends))
    }
}

fn windowed(answer: Answer, limit: u32, (remaining, ends): (u32, DateTime<Utc>)) -> Answer {
    answer
        .with("x-rate-limit-limit", limit)
        .with("x-rate-limit-remaining", remaining)
        .with("x-rate-limit-reset", ends.timestamp())
}

/// Whether a text is within X's weighted 280.
fn fits(text: &str) -> bool {
    let (mut weight, mut rest) = (0, text);
    while let Some((start, end)) = next_local(rest) {
        weight += length::weighted(&rest[..start]) + length::X_LINK;
        rest = &rest[end..];
    }
    weight + length::weighted(rest) <= length::X_MAX
}

/// The text as X shows it, and its links: every URL, bare domains too, becomes a t.co link, then `&`, `<` and
/// `>` are escaped.
fn wrap(text: &str, id: &str) -> (String, Vec<Link>) {
    let text: String = text.nfc().collect();
    let mut shown = String::with_capacity(text.len());
    let mut links = Vec::new();
    let mut rest = text.as_str();
    for url in urls(&text) {
        let Some((before, after)) = rest.split_once(url.as_str()) else { continue };
        shown.push_str(&escape(before));
        let short = format!("https://t.co/{}", short_name(&format!("{id}/{}/{url}", links.len())));
        let start = shown.chars().count();
        shown.push_str(&short);
        let expanded = if url.contains("://") { url } else { format!("http://{url}") };
        links.push(Link { start, end: start + short.chars().count(), short, expanded });
        rest = after;
    }
    shown.push_str(&escape(rest));
    (shown, links)
}

/// The links of a text, in order.
fn urls(text: &str) -> Vec<String> {
    let (mut urls, mut rest) = (Vec::new(), text);
    while let Some((start, end)) = next_local(rest) {
        urls.extend(length::urls(&rest[..start]));
        urls.push(rest[start..end].to_owned());
        rest = &rest[end..];
    }
    urls.extend(length::urls(rest));
    urls
}

/// Where the next link to this machine stands, without the punctuation that ends a sentence. X itself takes no
/// address without a domain for a link; here such an address stands for a public site, so it counts as one.
fn next_local(text: &str) -> Option<(usize, usize)> {
    const LOCAL: [&str; 6] = [
        "http://127.",
        "https://127.",
        "http://localhost",
        "https://localhost",
        "http://[::1]",
        "https://[::1]",
    ];
    let start = LOCAL.iter().filter_map(|scheme| text.find(scheme)).min()?;
    let may_stand =
        |letter: char| letter.is_ascii_graphic() && !matches!(letter, '"' | '<' | '>' | '\\' | '^' | '`');
    let tail = &text[start..];
    let end = tail.find(|letter| !may_stand(letter)).unwrap_or(tail.len());
    let url = tail[..end].trim_end_matches(['.', ',', '!', '?', ':', ';', '\'', ')']);
    Some((start, start + url.len()))
}

/// The ten letters of a t.co link.
fn short_name(text: &str) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = number_of(text);
    (0..10)
        .map(|_| {
            let letter = LETTERS[usize::try_from(number % 62).unwrap_or_default()];
            number /= 62;
            char::from(letter)
        })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// X's error of shape (a): a problem document.
fn problem(call: &Call, status: u16, title: &str, detail: &str) -> Answer {
    typed(call, status, "about:blank", title, detail)
}

fn typed(call: &Call, status: u16, kind: &str, title: &str, detail: &str) -> Answer {
    let body = json!({ "type": kind, "title": title, "detail": detail, "status": status });
    traced(Answer::text(status, "application/problem+json", body.to_string()), call)
}

/// X's error of shape (b): a list of faulty parameters.
fn invalid(call: &Call, parameter: &str, message: &str) -> Answer {
    let body = json!({
        "errors": [{ "parameters": { parameter: [] }, "message": message }],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": "https://api.x.com/2/problems/invalid-request",
    });
    traced(Answer::json(400, &body), call)
}

fn traced(answer: Answer, call: &Call) -> Answer {
    let id = number_of(&format!("{}{}", call.item(), call.at.timestamp_micros()));
    answer.with("x-transaction-id", format!("{id:016x}")).with("server", "sandbox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_short_ones_and_the_text_is_escaped() {
        let (shown, links) = wrap("ก & ข <ค> https://a.example.com/x?x=1&y=2 (b.go.th).", "1");
        assert_eq!(links.len(), 2);
        assert_eq!(links[0].expanded, "https://a.example.com/x?x=1&y=2");
        assert_eq!(links[1].expanded, "http://b.go.th");
        assert!(shown.starts_with("ก &amp; ข &lt;ค&gt; https://t.co/"));
        let short: String = shown.chars().skip(links[1].start).take(links[1].end - links[1].start).collect();
        assert_eq!(short, links[1].short);
        assert_eq!(short.len(), 23);
    }

    #[test]
    fn an_address_on_this_machine_counts_as_a_link() {
        let url = format!("http://127.0.0.1:9000/news/{}/", "x".repeat(400));
        let text = format!("a.go.th {} {url}.", "ก".repeat(230));
        assert!(fits(&text));
        let (_, links) = wrap(&text, "1");
        assert_eq!(
            links.iter().map(|link| link.expanded.as_str()).collect::<Vec<_>>(),
            ["http://a.go.th", &url]
        );
    }

    #[test]
    fn ids_grow_even_within_a_millisecond() {
        let mut x = X::default();
        let at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        assert!(x.next_id(at) < x.next_id(at));
    }
}
