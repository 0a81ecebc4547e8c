//! Facebook: a fake Graph API for Pages.
//!
//! Graph answers almost every refusal with HTTP 400; the code in the body tells them apart. There is no
//! idempotency key: a request repeated is a post repeated, unless it repeats the Page's last post.

mod envelope;
mod field;
mod read;

use std::collections::HashMap;

use chrono::DateTime;
use chrono::Duration;
use chrono::Utc;
use serde_json::Value;
use serde_json::json;

use crate::model::account::Platform;
use crate::sandbox::Desk;
use crate::sandbox::Published;
use crate::sandbox::call::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::call::find;
use crate::sandbox::exchange::is_read;
use crate::sandbox::facebook::envelope::Error;
use crate::sandbox::facebook::envelope::error;
use crate::sandbox::facebook::envelope::not_found;
use crate::sandbox::facebook::envelope::ok;
use crate::sandbox::facebook::envelope::usage;
use crate::sandbox::fault::Kind;
use crate::sandbox::fault::Scope;
use crate::sandbox::newsroom::Lookup;

/// The longest message, in code points (platforms/facebook.md, section 4).
const MESSAGE_LIMIT: usize = 63_206;

/// The application every token of the sandbox belongs to.
const APP: (&str, &str) = ("1234", "songkhao sandbox");

/// With limits on: more posts than this in `BURST_SPAN` and the Page is told that it posts too fast.
/// Facebook publishes no number; about 20 in a row is what bots met (facebook.md, section 13).
const BURST: usize = 20;
const BURST_SPAN: Duration = Duration::minutes(5);

/// With limits on: calls a Page may make in 24 hours, 4,800 for each engaged person; one person here.
const DAILY_CALLS: usize = 4_800;

/// One Page post.
#[derive(Debug, Clone)]
struct Post {
    id: String,
    page: String,
    message: String,
    link: Option<String>,
    picture: Option<String>,
    at: DateTime<Utc>,
    updated: DateTime<Utc>,
    /// Lists leave it out before this.
    visible_at: DateTime<Utc>,
    is_published: bool,
    deleted: bool,
}

#[derive(Debug, Clone)]
struct Comment {
    id: String,
    post: String,
    message: String,
    at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
struct Photo {
    id: String,
    url: String,
}

/// The fake platform's memory.
#[derive(Debug, Default)]
pub struct Facebook {
    posts: Vec<Post>,
    comments: Vec<Comment>,
    photos: Vec<Photo>,
    calls: HashMap<String, Vec<DateTime<Utc>>>,
    next: u64,
}

/// Which faults a call may meet.
pub fn scope(call: &Call) -> Scope {
    let (_, path) = versioned(call);
    match path.as_slice() {
        [_, "published_posts" | "feed" | "posts" | "comments"] if is_read(call) => Scope::Read,
        [id] if is_read(call) && id.contains('_') => Scope::Read,
        ["oauth", "access_token"] => Scope::Token,
        [] => Scope::Aid,
        _ if is_read(call) => Scope::Aid,
        _ => Scope::Publish,
    }
}

/// Facebook's words for an error that a fault brings about.
pub fn refusal(kind: Kind, call: &Call) -> Answer {
    let (page, answer) = (page_of(call), call);
    let answer = match kind {
        Kind::Unauthorized => error(
            answer,
            190,
            Some(463),
            "Error validating access token: Session has expired on Sunday, 22-Nov-26 10:00:00 PST.",
        ),
        Kind::Error500 => Error::new(2, "An unexpected error has occurred. Please retry your request later.")
            .transient()
            .status(500)
            .answer(call),
        Kind::Error503 => {
            Error::new(2, "Service temporarily unavailable").transient().status(503).answer(call)
        }
        _ => error(
            answer,
            80001,
            Some(2_446_079),
            "There have been too many calls to this Page account. Wait a bit and try again.",
        ),
    };
    match kind {
        Kind::Error429 | Kind::OutOfBudget => answer.with("x-business-use-case-usage", usage(&page, 100, 60)),
        _ => answer,
    }
}

impl Facebook {
    /// Answers one call.
    pub fn answer(&mut self, call: &Call, desk: &mut Desk<'_>) -> Answer {
        let (_, path) = versioned(call);
        let params = params(call);
        if let Err(refused) = authorize(call, &params) {
            return refused;
        }
        let page = page_of(call);
        let used = self.count_call(&page, call.at);
        if desk.settings.limits && used > DAILY_CALLS {
            return refusal(Kind::Error429, call);
        }
        let answer = match (call.method.as_str(), path.as_slice()) {
            ("POST", [page, "feed"]) => self.publish(call, page, &params, desk),
            ("POST", [page, "photos"]) => self.photo(call, page, &params, desk),
            ("POST", [post, "comments"]) => self.comment(call, post, &params, desk),
            ("POST", []) => scrape(call, &params, desk),
            ("POST", [id]) => self.edit(call, id, &params, desk),
            ("DELETE", [id]) => self.delete(call, id, desk),
            ("GET", _) => read::answer(self, call, &path, &params, desk),
            _ => not_found(call, path.first().copied().unwrap_or_default()),
        };
        if desk.settings.limits {
            let percent = used * 100 / DAILY_CALLS;
            return answer.with("x-business-use-case-usage", usage(&page, percent, 0));
        }
        answer
    }

    fn publish(&mut self, call: &Call, page: &str, params: &Params, desk: &mut Desk<'_>) -> Answer {
        let message = find(params, "message").unwrap_or_default();
        let link = find(params, "link").filter(|link| !link.is_empty());
        if let Err(refused) = self.check_post(call, page, (message, link), params, desk) {
            return refused;
        }
        let media = attached(params);
        if link.is_some() && !media.is_empty() {
            return error(call, 100, None, "(#100) link and attached_media can't be used together");
        }
        let picture = media.first().and_then(|id| self.photos.iter().find(|photo| photo.id == *id));
        let picture = picture.map(|photo| photo.url.clone());
        let is_published = find(params, "published") != Some("false");
        let id = self.add(call, page, (message, link, picture), is_published, desk);
        self.receipt(call, &id, params, json!({ "id": id }))
    }

    fn check_post(
        &self,
        call: &Call,
        page: &str,
        (message, link): (&str, Option<&str>),
        params: &Params,
        desk: &Desk<'_>,
    ) -> Result<(), Answer> {
        if is_user_token(call, params) {
            return Err(error(
                call,
                200,
                None,
                "(#200) Unpublished posts must be posted to a page as the page itself.",
            ));
        }
        if !page.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(not_found(call, page));
        }
        if message.trim().is_empty() && link.is_none() && attached(params).is_empty() {
            return Err(error(call, 100, None, "(#100) Missing message or attachment"));
        }
        if message.chars().count() > MESSAGE_LIMIT {
            return Err(error(call, 100, None, "(#100) Param message must be at most 63206 characters long"));
        }
        if let Some(link) = link {
            check_link(call, link, desk)?;
        }
        let mine = || self.posts.iter().rev().filter(|post| post.page == page && !post.deleted);
        let repeats = |post: &Post| post.message == message && post.link.as_deref() == link;
        if desk.settings.duplicate_filter(Platform::Facebook) && mine().next().is_some_and(repeats) {
            return Err(Error::new(506, "Duplicate status message").titled("เนื้อหาซ้ำ").answer(call));
        }
        let burst = mine().filter(|post| post.at > call.at - BURST_SPAN).count();
        if desk.settings.limits && burst >= BURST {
            return Err(error(
                call,
                368,
                Some(1_390_008),
                "The action attempted has been deemed abusive or is otherwise disallowed",
            ));
        }
        Ok(())
    }

    fn add(
        &mut self,
        call: &Call,
        page: &str,
        (message, link, picture): (&str, Option<&str>, Option<String>),
        is_published: bool,
        desk: &mut Desk<'_>,
    ) -> String {
        let id = format!("{page}_{}", self.next_number());
        self.posts.push(Post {
            id: id.clone(),
            page: page.to_owned(),
            message: message.to_owned(),
            link: link.map(str::to_owned),
            picture,
            at: call.at,
            updated: call.at,
            visible_at: call.at + desk.settings.read_lag(Platform::Facebook),
            is_published,
            deleted: false,
        });
        if is_published {
            desk.ledger.push(Published {
                platform: Platform::Facebook,
                account: page.to_owned(),
                remote_id: id.clone(),
                text: message.to_owned(),
                links: link.map(str::to_owned).into_iter().collect(),
                at: call.at,
                deleted: false,
                body: String::from_utf8_lossy(&call.body).into_owned(),
            });
        }
        id
    }

    /// The answer to a creation: what was asked for in `fields`, else the given minimum.
    fn receipt(&self, call: &Call, id: &str, params: &Params, minimum: Value) -> Answer {
        let Some(wanted) = find(params, "fields") else { return ok(call, &minimum) };
        match self.posts.iter().find(|post| post.id == id) {
            Some(post) => read::show(call, wanted, &read::post(post)),
            None => ok(call, &minimum),
        }
    }

    fn photo(&mut self, call: &Call, page: &str, params: &Params, desk: &mut Desk<'_>) -> Answer {
        let Some(url) = find(params, "url").filter(|url| url.starts_with("http")) else {
            return error(call, 324, None, "(#324) Requires upload file");
        };
        let caption = ["caption", "message", "name"].iter().find_map(|name| find(params, name));
        let caption = caption.unwrap_or_default();
        let photo = Photo { id: self.next_number().to_string(), url: url.to_owned() };
        self.photos.push(photo.clone());
        if find(params, "published") == Some("false") {
            return ok(call, &json!({ "id": photo.id }));
        }
        let post = self.add(call, page, (caption, None, Some(photo.url)), true, desk);
        ok(call, &json!({ "id": photo.id, "post_id": post }))
    }

    fn comment(&mut self, call: &Call, post: &str, params: &Params, desk: &mut Desk<'_>) -> Answer {
        if is_user_token(call, params) {
            return error(call, 1705, None, "(#1705) There was an error in posting to this Page as a person");
        }
        if self.standing(post).is_none() {
            return not_found(call, post);
        }
        let Some(message) = find(params, "message").filter(|message| !message.is_empty()) else {
            return error(call, 100, None, "(#100) Must provide a comment message or attachment");
        };
        let tail = post.rsplit('_').next().unwrap_or(post).to_owned();
        let id = format!("{tail}_{}", self.next_number());
        self.comments.push(Comment {
            id: id.clone(),
            post: post.to_owned(),
            message: message.to_owned(),
            at: call.at,
        });
        desk.ledger.push(Published {
            platform: Platform::Facebook,
            account: post.split('_').next().unwrap_or_default().to_owned(),
            remote_id: id.clone(),
            text: message.to_owned(),
            links: Vec::new(),
            at: call.at,
            deleted: false,
            body: String::from_utf8_lossy(&call.body).into_owned(),
        });
        ok(call, &json!({ "id": id }))
    }

    fn edit(&mut self, call: &Call, id: &str, params: &Params, desk: &mut Desk<'_>) -> Answer {
        if self.standing(id).is_none() {
            return not_found(call, id);
        }
        let Some(post) = self.posts.iter_mut().find(|post| post.id == id) else {
            return not_found(call, id);
        };
        if let Some(message) = find(params, "message") {
            post.message = message.to_owned();
        }
        if let Some(is_published) = find(params, "is_published") {
            post.is_published = is_published == "true";
        }
        post.updated = call.at;
        let message = post.message.clone();
        if let Some(entry) = desk.ledger.iter_mut().find(|entry| entry.remote_id == id) {
            entry.text = message;
        }
        ok(call, &json!({ "success": true }))
    }

    fn delete(&mut self, call: &Call, id: &str, desk: &mut Desk<'_>) -> Answer {
        let comments = self.comments.len();
        self.comments.retain(|comment| comment.id != id);
        if self.comments.len() == comments {
            match self.posts.iter_mut().find(|post| post.id == id && !post.deleted) {
                Some(post) => post.deleted = true,
                None => return not_found(call, id),
            }
        }
        desk.ledger.iter_mut().filter(|entry| entry.remote_id == id).for_each(|entry| entry.deleted = true);
        ok(call, &json!({ "success": true }))
    }

    fn standing(&self, id: &str) -> Option<&Post> {
        self.posts.iter().find(|post| post.id == id && !post.deleted)
    }

    fn next_number(&mut self) -> u64 {
        self.next += 1;
        122_100_000_000_000 + self.next
    }

    fn count_call(&mut self, page: &str, at: DateTime<Utc>) -> usize {
        let calls = self.calls.entry(page.to_owned()).or_default();
        calls.retain(|call| *call > at - Duration::hours(24));
        calls.push(at);
        calls.len()
    }
}

type Params = Vec<(String, String)>;

/// The version a call names, and the path after it.
fn versioned(call: &Call) -> (Option<&str>, Vec<&str>) {
    let mut path = call.parts();
    let is_version = |part: &str| {
        part.strip_prefix('v').is_some_and(|number| number.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    match path.first() {
        Some(first) if is_version(first) => (Some(path.remove(0)), path),
        _ => (None, path),
    }
}

fn page_of(call: &Call) -> String {
    let (_, path) = versioned(call);
    path.first().and_then(|id| id.split('_').next()).unwrap_or_default().to_owned()
}

/// Query, form and JSON parameters in one list; JSON values that are no strings stand as JSON.
fn params(call: &Call) -> Params {
    let mut params = call.query.clone();
    if call.is_of("application/json") {
        if let Some(Value::Object(fields)) = call.json() {
            params.extend(fields.into_iter().map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name, text)
            }));
        }
    } else {
        params.extend(call.form());
    }
    params
}

fn token<'a>(call: &'a Call, params: &'a Params) -> Option<&'a str> {
    call.bearer().or_else(|| find(params, "access_token").filter(|token| !token.is_empty()))
}

/// In the sandbox a token that starts with `user` is a person's, every other one the Page's own.
fn is_user_token(call: &Call, params: &Params) -> bool {
    token(call, params).is_some_and(|token| token.starts_with("user"))
}

fn authorize(call: &Call, params: &Params) -> Result<(), Answer> {
    if token(call, params).is_none() {
        return Err(error(call, 190, None, "Invalid OAuth access token - Cannot parse access token"));
    }
    match find(params, "appsecret_proof") {
        Some(proof) if proof.len() != 64 || crate::model::hash::unhex(proof).is_none() => {
            Err(error(call, 100, None, "Invalid appsecret_proof provided in the API argument"))
        }
        _ => Ok(()),
    }
}

fn check_link(call: &Call, link: &str, desk: &Desk<'_>) -> Result<(), Answer> {
    let Ok(url) = url::Url::parse(link) else {
        return Err(error(call, 1500, None, "(#1500) The url you supplied is invalid"));
    };
    let host = url.host_str().unwrap_or_default();
    if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
        return Err(error(call, 1500, None, "(#1500) The url you supplied is invalid"));
    }
    if host == "facebook.com" || host.ends_with(".facebook.com") {
        return Err(error(call, 100, Some(1_609_008), "Cannot post Facebook.com links"));
    }
    if matches!(desk.newsroom.look_up(link), Lookup::Missing) {
        return Err(error(call, 100, Some(1_609_005), "Error parsing website: the URL couldn't be scraped"));
    }
    Ok(())
}

/// The ids under `attached_media`, whether one JSON array or `attached_media[0]`, `[1]` …
fn attached(params: &Params) -> Vec<String> {
    let values = params.iter().filter(|(name, _)| name.starts_with("attached_media"));
    let objects = values.filter_map(|(_, value)| serde_json::from_str::<Value>(value).ok());
    let flat = objects.flat_map(|value| match value {
        Value::Array(items) => items,
        one => vec![one],
    });
    flat.filter_map(|media| Some(media.get("media_fbid")?.as_str()?.to_owned())).collect()
}

fn scrape(call: &Call, params: &Params, desk: &Desk<'_>) -> Answer {
    let Some(link) = find(params, "id") else { return not_found(call, "") };
    if find(params, "scrape") != Some("true") {
        return error(call, 100, None, "(#100) scrape must be true");
    }
    match read::graph_object(link, call.at, desk) {
        Some(object) => ok(call, &object),
        None => error(call, 1500, Some(1_609_005), "Error parsing website: the URL couldn't be scraped"),
    }
}
