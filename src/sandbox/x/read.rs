//! Read: shows the user, posts by id, and a user's posts newest first.

use chrono::DateTime;
use chrono::Duration;
use chrono::SecondsFormat;
use chrono::Utc;
use serde_json::Value;
use serde_json::json;

use crate::sandbox::call::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::x::Post;
use crate::sandbox::x::X;
use crate::sandbox::x::invalid;
use crate::sandbox::x::traced;

/// How many posts a list may hold, and holds when nobody says.
const RESULTS: std::ops::RangeInclusive<usize> = 5..=100;
const DEFAULT_RESULTS: usize = 10;

pub fn me(call: &Call, user: &str) -> Answer {
    let mut data = json!({ "id": user, "name": "สายธารนิวส์ (ตัวอย่าง)", "username": "saitharnnews" });
    for field in call.param("user.fields").unwrap_or_default().split(',') {
        match field {
            "verified_type" => data[field] = json!("none"),
            "subscription_type" => data[field] = json!("None"),
            "created_at" => data[field] = json!("2020-01-01T00:00:00.000Z"),
            _ => {}
        }
    }
    found(call, &json!({ "data": data }))
}

pub fn one(x: &X, call: &Call, id: &str) -> Answer {
    match shown(x, call).find(|post| post.id == id) {
        Some(post) => found(call, &json!({ "data": view(post, call) })),
        None => missing(call, id),
    }
}

/// An id that is not there: a 200 with `errors`, as X answers single look-ups too.
pub fn missing(call: &Call, id: &str) -> Answer {
    let body = json!({ "errors": [absent(id)] });
    let status = if call.method == http::Method::GET { 200 } else { 404 };
    traced(Answer::json(status, &body), call)
}

pub fn lookup(x: &X, call: &Call) -> Answer {
    let ids: Vec<&str> =
        call.param("ids").unwrap_or_default().split(',').filter(|id| !id.is_empty()).collect();
    if ids.is_empty() || ids.len() > 100 {
        return invalid(
            call,
            "ids",
            "The number of values in the `ids` query parameter list is not between 1 and 100",
        );
    }
    let (mut data, mut errors) = (Vec::new(), Vec::new());
    for id in ids {
        match shown(x, call).find(|post| post.id == id) {
            Some(post) => data.push(view(post, call)),
            None => errors.push(absent(id)),
        }
    }
    let mut body = json!({});
    if !data.is_empty() {
        body["data"] = Value::Array(data);
    }
    if !errors.is_empty() {
        body["errors"] = Value::Array(errors);
    }
    found(call, &body)
}

pub fn timeline(x: &X, call: &Call, user: &str) -> Answer {
    let wanted = match Wanted::read(call) {
        Ok(wanted) => wanted,
        Err((parameter, message)) => return invalid(call, parameter, &message),
    };
    let mut posts: Vec<&Post> =
        shown(x, call).filter(|post| post.user == user && wanted.takes(post)).collect();
    posts.sort_by_key(|post| std::cmp::Reverse(number(&post.id)));
    let page: Vec<&Post> = posts.iter().skip(wanted.skip).take(wanted.count).copied().collect();
    let mut meta = json!({ "result_count": page.len() });
    if let (Some(newest), Some(oldest)) = (page.first(), page.last()) {
        meta["newest_id"] = json!(newest.id);
        meta["oldest_id"] = json!(oldest.id);
    }
    let end = wanted.skip + page.len();
    if end < posts.len() {
        meta["next_token"] = json!(format!("7140dibdnow{end}"));
    }
    let mut body = json!({});
    if !page.is_empty() {
        body["data"] = page.iter().map(|post| view(post, call)).collect();
    }
    body["meta"] = meta;
    found(call, &body)
}

/// What a list is asked for.
struct Wanted {
    count: usize,
    skip: usize,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    since_id: Option<u64>,
    until_id: Option<u64>,
    without_replies: bool,
}

impl Wanted {
    fn read(call: &Call) -> Result<Wanted, (&'static str, String)> {
        let time = |name: &'static str| {
            let Some(text) = call.param(name) else { return Ok(None) };
            DateTime::parse_from_rfc3339(text)
                .map(|at| Some(at.to_utc()))
                .map_err(|_| (name, format!("Invalid '{name}': '{text}' is not a valid RFC3339 date-time")))
        };
        let id = |name: &'static str| {
            let Some(text) = call.param(name) else { return Ok(None) };
            text.parse()
                .map(Some)
                .map_err(|_| (name, format!("The `{name}` query parameter value [{text}] is not valid")))
        };
        let count = match call.param("max_results") {
            None => DEFAULT_RESULTS,
            Some(text) => text.parse().ok().filter(|count| RESULTS.contains(count)).ok_or_else(|| {
                (
                    "max_results",
                    format!("The `max_results` query parameter value [{text}] is not between 5 and 100"),
                )
            })?,
        };
        let skip = match call.param("pagination_token") {
            None => 0,
            Some(token) => token
                .strip_prefix("7140dibdnow")
                .and_then(|skip| skip.parse().ok())
                .ok_or_else(|| ("pagination_token", "The token is not valid".to_owned()))?,
        };
        Ok(Wanted {
            count,
            skip,
            from: time("start_time")?,
            until: time("end_time")?,
            since_id: id("since_id")?,
            until_id: id("until_id")?,
            without_replies: call
                .param("exclude")
                .unwrap_or_default()
                .split(',')
                .any(|what| what == "replies"),
        })
    }

    fn takes(&self, post: &Post) -> bool {
        // Times are whole seconds here, as X compares them.
        let second = post.at.timestamp();
        self.from.is_none_or(|from| second >= from.timestamp())
            && self.until.is_none_or(|until| second < until.timestamp())
            && self.since_id.is_none_or(|id| number(&post.id) > id)
            && self.until_id.is_none_or(|id| number(&post.id) < id)
            && !(self.without_replies && post.in_reply_to.is_some())
    }
}

/// The posts that can be seen now.
fn shown<'a>(x: &'a X, call: &Call) -> impl Iterator<Item = &'a Post> {
    let now = call.at;
    let newest = call.blind.map(|ms| now - Duration::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX / 2)));
    x.posts.iter().filter(move |post| {
        !post.deleted && post.visible_at <= now && newest.is_none_or(|newest| post.at < newest)
    })
}

/// A post with the fields that were asked for, under the older of X's two names for them.
fn view(post: &Post, call: &Call) -> Value {
    let fields = call.param("tweet.fields").or_else(|| call.param("post.fields")).unwrap_or_default();
    let mut view = json!({ "id": post.id, "text": post.shown, "edit_history_tweet_ids": [post.id] });
    for field in fields.split(',') {
        match field {
            "created_at" => view[field] = json!(post.at.to_rfc3339_opts(SecondsFormat::Millis, true)),
            "author_id" => view[field] = json!(post.user),
            "lang" => view[field] = json!("th"),
            "in_reply_to_user_id" if post.in_reply_to.is_some() => view[field] = json!(post.user),
            "public_metrics" => {
                view[field] = json!({ "retweet_count": 0, "reply_count": 0, "like_count": 0, "quote_count": 0,
                    "bookmark_count": 0, "impression_count": 0 });
            }
            "entities" if !post.urls.is_empty() => view[field] = json!({ "urls": urls(post) }),
            _ => {}
        }
    }
    view
}

fn urls(post: &Post) -> Vec<Value> {
    let bare = |url: &str| url.trim_start_matches("https://").trim_start_matches("http://").to_owned();
    post.urls
        .iter()
        .map(|link| {
            json!({
                "start": link.start,
                "end": link.end,
                "url": link.short,
                "expanded_url": link.expanded,
                "display_url": bare(&link.expanded).chars().take(26).collect::<String>(),
            })
        })
        .collect()
}

fn absent(id: &str) -> Value {
    json!({
        "value": id,
        "detail": format!("Could not find tweet with id: [{id}]."),
        "title": "Not Found Error",
        "resource_type": "tweet",
        "parameter": "id",
        "resource_id": id,
        "type": "https://api.x.com/2/problems/resource-not-found",
    })
}

fn found(call: &Call, body: &Value) -> Answer {
    traced(Answer::json(200, body), call)
}

fn number(id: &str) -> u64 {
    id.parse().unwrap_or_default()
}
