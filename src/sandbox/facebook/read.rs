//! Read: shows Pages, posts, comments, tokens and links as Graph does.
//!
//! Three habits of the real one are kept because they break naive readers: a list is ranked and not strictly by
//! time, an empty page may still have a `next`, and a link's plain `url` is Facebook's wrapper.

use chrono::DateTime;
use chrono::Duration;
use chrono::Utc;
use serde_json::Value;
use serde_json::json;

use crate::sandbox::Desk;
use crate::sandbox::call::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::call::find;
use crate::sandbox::call::number_of;
use crate::sandbox::call::percent_encode;
use crate::sandbox::facebook::APP;
use crate::sandbox::facebook::Facebook;
use crate::sandbox::facebook::Params;
use crate::sandbox::facebook::Post;
use crate::sandbox::facebook::envelope::error;
use crate::sandbox::facebook::envelope::not_found;
use crate::sandbox::facebook::envelope::ok;
use crate::sandbox::facebook::field;
use crate::sandbox::facebook::is_user_token;
use crate::sandbox::facebook::token;
use crate::sandbox::facebook::versioned;
use crate::sandbox::newsroom::Lookup;

/// How many posts a list shows when nobody says, and at most.
const LIMIT: (usize, usize) = (25, 100);

pub fn answer(facebook: &Facebook, call: &Call, path: &[&str], params: &Params, desk: &Desk<'_>) -> Answer {
    match path {
        ["debug_token"] => debug_token(call, params),
        ["me", "accounts"] => ok(call, &json!({ "data": [] })),
        [] => link(call, params, desk),
        [page, "published_posts" | "feed" | "posts"] => list(facebook, call, page, params, desk.base),
        [post, "comments"] => comments(facebook, call, post, params),
        [id] => object(facebook, call, id, params),
        _ => error(call, 2500, None, "Unknown path components"),
    }
}

/// Every field of a post that can be asked for.
pub fn post(post: &Post) -> Value {
    let permalink = format!("https://www.facebook.com/{}", post.id);
    let attachment = match (&post.link, &post.picture) {
        (Some(link), _) => json!({ "data": [{
            "media_type": "link",
            "type": "share",
            "title": null,
            "url": format!("https://l.facebook.com/l.php?u={}&h=AT{:x}", percent_encode(link), number_of(link)),
            "unshimmed_url": link,
            "target": {"id": number_of(link).to_string(), "url": link},
        }] }),
        (None, Some(picture)) => json!({ "data": [{
            "media_type": "photo",
            "type": "photo",
            "title": null,
            "url": permalink,
            "unshimmed_url": permalink,
            "target": {"id": number_of(picture).to_string(), "url": permalink},
        }] }),
        (None, None) => Value::Null,
    };
    json!({
        "id": post.id,
        "message": (!post.message.is_empty()).then_some(&post.message),
        "created_time": graph_time(post.at),
        "updated_time": graph_time(post.updated),
        "permalink_url": permalink,
        "status_type": if post.link.is_some() { "shared_story" } else { "mobile_status_update" },
        "is_published": post.is_published,
        "is_hidden": false,
        "from": {"id": post.page, "name": "เพจตัวอย่าง"},
        "application": {"id": APP.0, "name": APP.1, "category": "Business"},
        "attachments": attachment,
        "full_picture": post.picture,
        "shares": null,
        "reactions": {"data": []},
        "comments": {"data": []},
    })
}

/// One object, with the wanted fields.
pub fn show(call: &Call, wanted: &str, object: &Value) -> Answer {
    let chosen = field::parse(wanted).map_err(|reason| error(call, 2500, None, &reason)).and_then(|fields| {
        field::select(object, &fields).map_err(|name| {
            error(call, 100, None, &format!("(#100) Tried accessing nonexisting field ({name})"))
        })
    });
    match chosen {
        Ok(chosen) => ok(call, &chosen),
        Err(refused) => refused,
    }
}

/// The Open Graph object of a link; `None` when it can't be fetched. The sandbox fetches nothing: links to
/// its own articles are known, all others look like a page without tags.
pub fn graph_object(link: &str, at: DateTime<Utc>, desk: &Desk<'_>) -> Option<Value> {
    let id = number_of(link).to_string();
    match desk.newsroom.look_up(link) {
        Lookup::Ours(article) => Some(json!({
            "url": desk.newsroom.link(article),
            "type": "article",
            "title": article.title,
            "description": article.excerpt(160),
            "image": article.picture.iter().map(|url| json!({"url": url})).collect::<Vec<_>>(),
            "updated_time": graph_time(at),
            "id": id,
        })),
        Lookup::Foreign => Some(json!({
            "url": link, "type": "website", "title": link, "image": [], "updated_time": graph_time(at), "id": id,
        })),
        Lookup::Missing => None,
    }
}

/// A moment as Graph writes it: no colon in the offset.
fn graph_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

fn debug_token(call: &Call, params: &Params) -> Answer {
    let Some(inspected) = find(params, "input_token").filter(|token| !token.is_empty()) else {
        return error(call, 100, None, "(#100) The parameter input_token is required");
    };
    let is_user = inspected.starts_with("user");
    let scopes = [
        "pages_show_list",
        "pages_read_engagement",
        "pages_read_user_content",
        "pages_manage_posts",
        "pages_manage_engagement",
    ];
    ok(
        call,
        &json!({ "data": {
            "app_id": APP.0,
            "type": if is_user { "USER" } else { "PAGE" },
            "application": APP.1,
            "data_access_expires_at": (call.at + Duration::days(90)).timestamp(),
            "expires_at": if is_user { (call.at + Duration::days(60)).timestamp() } else { 0 },
            "is_valid": true,
            "issued_at": (call.at - Duration::days(1)).timestamp(),
            "scopes": scopes,
            "granular_scopes": scopes.map(|scope| json!({"scope": scope})),
            "user_id": "2000000000000001",
        } }),
    )
}

fn link(call: &Call, params: &Params, desk: &Desk<'_>) -> Answer {
    let Some(link) = find(params, "id") else { return error(call, 2500, None, "Unknown path components") };
    match graph_object(link, call.at, desk) {
        // Only a POST with scrape=true fetches; a GET shows what is cached.
        Some(object) => ok(call, &json!({ "og_object": object, "id": link })),
        None => ok(call, &json!({ "id": link })),
    }
}

fn object(facebook: &Facebook, call: &Call, id: &str, params: &Params) -> Answer {
    if let Some(found) = facebook.standing(id) {
        let wanted = find(params, "fields").unwrap_or("created_time,message,id");
        return show(call, wanted, &post(found));
    }
    let is_page = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    if !is_page && id != "me" {
        return not_found(call, id);
    }
    let page = json!({
        "id": id,
        "name": "เพจตัวอย่าง",
        "username": format!("sandbox{id}"),
        "category": "News & media website",
        "link": format!("https://www.facebook.com/{id}"),
        "access_token": token(call, params),
        "tasks": ["CREATE_CONTENT", "MODERATE", "ANALYZE", "MANAGE"],
        "is_published": true,
        "fan_count": 128_400,
        "followers_count": 131_027,
    });
    show(call, find(params, "fields").unwrap_or("id,name"), &page)
}

fn list(facebook: &Facebook, call: &Call, page: &str, params: &Params, base: &str) -> Answer {
    let limit =
        find(params, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(LIMIT.0).clamp(1, LIMIT.1);
    // A cursor is the number of posts passed; an odd one marks the empty page on the way.
    let after = find(params, "after").and_then(|cursor| cursor.strip_prefix("QVFI")?.parse::<usize>().ok());
    let (start, is_gap) = after.map_or((0, false), |cursor| (cursor / 2, cursor % 2 == 1));
    let visible = visible(facebook, call, page);
    let items = if is_gap { &[][..] } else { visible.get(start..).unwrap_or_default() };
    let items = &items[..items.len().min(limit)];
    let end = start + items.len();
    let next = match (is_gap, end < visible.len()) {
        (true, _) => Some(start * 2),
        (false, true) => Some(end * 2 + 1),
        (false, false) => None,
    };
    let wanted = find(params, "fields").unwrap_or("created_time,message,id");
    let data = Value::Array(items.iter().map(|item| post(item)).collect());
    let selected = field::parse(wanted).and_then(|fields| field::select(&data, &fields));
    let data = match selected {
        Ok(data) => data,
        Err(name) => {
            return error(call, 100, None, &format!("(#100) Tried accessing nonexisting field ({name})"));
        }
    };
    let mut body = json!({ "data": data });
    if let Some(next) = next {
        body["paging"] = paging(call, page, params, (start, next), base);
    } else if !items.is_empty() {
        body["paging"] = json!({ "cursors": {"before": cursor(start * 2), "after": cursor(end * 2)} });
    }
    ok(call, &body)
}

/// What a Page's list shows now, newest first but ranked: of every three, the last two stand the wrong way round.
fn visible<'a>(facebook: &'a Facebook, call: &Call, page: &str) -> Vec<&'a Post> {
    let newest =
        call.blind.map(|ms| call.at - Duration::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX / 2)));
    let mut visible: Vec<&Post> = facebook
        .posts
        .iter()
        .rev()
        .filter(|post| post.page == page && !post.deleted && post.is_published && post.visible_at <= call.at)
        .filter(|post| newest.is_none_or(|newest| post.at < newest))
        .collect();
    for three in visible.chunks_exact_mut(3) {
        three.swap(1, 2);
    }
    visible
}

fn paging(call: &Call, page: &str, params: &Params, (start, next): (usize, usize), base: &str) -> Value {
    let (version, _) = versioned(call);
    let version = version.map(|version| format!("/{version}")).unwrap_or_default();
    let kept = params.iter().filter(|(name, _)| name != "after" && name != "access_token");
    let query: String = kept.map(|(name, value)| format!("{name}={}&", percent_encode(value))).collect();
    let edge = call.path.last().map_or("published_posts", String::as_str);
    json!({
        "cursors": {"before": cursor(start * 2), "after": cursor(next)},
        "next": format!("{base}/facebook{version}/{page}/{edge}?{query}after={}", cursor(next)),
    })
}

fn cursor(number: usize) -> String {
    format!("QVFI{number}")
}

fn comments(facebook: &Facebook, call: &Call, post: &str, params: &Params) -> Answer {
    if facebook.standing(post).is_none() {
        return not_found(call, post);
    }
    if is_user_token(call, params) {
        // A person's token gets an empty list here, not an error (facebook.md, section 2).
        return ok(call, &json!({ "data": [] }));
    }
    let page = post.split('_').next().unwrap_or_default();
    let data: Vec<Value> = facebook
        .comments
        .iter()
        .filter(|comment| comment.post == post)
        .map(|comment| {
            json!({
                "id": comment.id,
                "message": comment.message,
                "created_time": graph_time(comment.at),
                "from": {"id": page, "name": "เพจตัวอย่าง"},
            })
        })
        .collect();
    ok(call, &json!({ "data": data }))
}
