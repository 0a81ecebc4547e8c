//! Page: draws the three timelines as readers would see them.
//!
//! No script, no style in the markup and no foreign address: its policy is `default-src 'self'`, so whatever a
//! post says can't do more than be read. Pictures from elsewhere become a named blank.

mod flex;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Html;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use chrono::DateTime;
use chrono::Datelike;
use chrono::FixedOffset;
use chrono::Utc;
use serde::Deserialize;

use crate::model::account::Platform;
use crate::sandbox::Published;
use crate::sandbox::Sandbox;
use crate::sandbox::State as Inner;
use crate::sandbox::control;
use crate::sandbox::newsroom::Lookup;
use crate::sandbox::newsroom::NAME;

/// How many posts a column shows.
const SHOWN: usize = 60;

/// How long a link reads on X before it is cut, in characters.
const LINK_SHOWN: usize = 27;

const POLICY: &str =
    "default-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'";

const STYLE: &str = include_str!("../templates/style.css");

const MONTHS: [&str; 12] =
    ["ม.ค.", "ก.พ.", "มี.ค.", "เม.ย.", "พ.ค.", "มิ.ย.", "ก.ค.", "ส.ค.", "ก.ย.", "ต.ค.", "พ.ย.", "ธ.ค."];

/// `/` and its style sheet.
pub fn router(sandbox: Sandbox) -> Router {
    Router::new().route("/", get(show)).route("/style.css", get(style)).with_state(sandbox)
}

#[derive(Deserialize)]
struct Wanted {
    /// Which timeline a narrow screen shows.
    show: Option<Platform>,
    /// Reload by itself.
    live: Option<u8>,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    site: &'static str,
    show: &'static str,
    live: bool,
    now: String,
    articles: usize,
    waiting: usize,
    faults: usize,
    repeated: Vec<control::Repeated>,
    columns: Vec<Column>,
}

struct Column {
    name: &'static str,
    title: &'static str,
    total: usize,
    posts: Vec<Post>,
}

struct Post {
    id: String,
    account: String,
    when: String,
    machine_when: String,
    deleted: bool,
    runs: Vec<Run>,
    card: Option<Card>,
    /// LINE's bubbles, drawn.
    bubbles: Vec<flex::Drawn>,
}

/// A piece of a text; with an address it is a link.
struct Run {
    text: String,
    href: Option<String>,
}

/// The preview under a linked post.
struct Card {
    href: String,
    domain: String,
    headline: String,
    excerpt: String,
    picture: Option<String>,
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=60")], STYLE)
        .into_response()
}

async fn show(State(sandbox): State<Sandbox>, wanted: Query<Wanted>) -> Response {
    let now = sandbox.now();
    let base = &sandbox.shared.options.base;
    let page = {
        let state = sandbox.state();
        Page {
            site: NAME,
            show: wanted.show.unwrap_or(Platform::Facebook).name(),
            live: wanted.live == Some(1),
            now: thai_time(now),
            articles: state.newsroom.articles().count(),
            waiting: state.newsroom.waiting(),
            faults: state.faults.armed().len(),
            repeated: control::repeated(&state.ledger),
            columns: Platform::ALL.into_iter().map(|platform| column(&state, base, platform)).collect(),
        }
    };
    match page.render() {
        Ok(html) => (
            [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "no-referrer")],
            Html(html),
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn column(state: &Inner, base: &str, platform: Platform) -> Column {
    let mine = || state.ledger.iter().filter(|post| post.platform == platform);
    Column {
        name: platform.name(),
        title: match platform {
            Platform::Facebook => "Facebook",
            Platform::X => "X",
            Platform::Line => "LINE",
        },
        total: mine().count(),
        posts: mine().rev().take(SHOWN).map(|post| view(state, base, post)).collect(),
    }
}

fn view(state: &Inner, base: &str, post: &Published) -> Post {
    let is_line = post.platform == Platform::Line;
    let card = post.links.last().filter(|_| !is_line).map(|link| card(state, base, link));
    let bubbles = if is_line { flex::draw(&post.body, base) } else { Vec::new() };
    Post {
        id: post.remote_id.clone(),
        account: post.account.clone(),
        when: thai_time(post.at),
        machine_when: post.at.to_rfc3339(),
        deleted: post.deleted,
        runs: if is_line { Vec::new() } else { runs(&post.text, post.platform) },
        card,
        bubbles,
    }
}

fn card(state: &Inner, base: &str, link: &str) -> Card {
    let domain =
        url::Url::parse(link).ok().and_then(|url| Some(url.host_str()?.to_owned())).unwrap_or_default();
    match state.newsroom.look_up(link) {
        Lookup::Ours(article) => Card {
            href: link.to_owned(),
            domain,
            headline: article.title.clone(),
            excerpt: article.excerpt(110),
            picture: article.picture.as_deref().and_then(|url| local_picture(url, base)),
        },
        _ => Card {
            href: link.to_owned(),
            headline: domain.clone(),
            domain,
            excerpt: String::new(),
            picture: None,
        },
    }
}

/// A picture of ours as a path on this host; anything else is not shown.
fn local_picture(url: &str, base: &str) -> Option<String> {
    let path = url.strip_prefix(base)?;
    path.starts_with("/picture/").then(|| path.to_owned())
}

/// Cuts a text into plain pieces, links and hashtags.
fn runs(text: &str, platform: Platform) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let start = ["https://", "http://"].iter().filter_map(|scheme| word.find(scheme)).min();
        let (before, rest) = word.split_at(start.unwrap_or(word.len()));
        if before.starts_with('#') && before.trim_end().chars().count() > 1 {
            runs.push(Run { text: before.to_owned(), href: Some(tag_address(platform, before.trim_end())) });
        } else {
            match runs.last_mut().filter(|run| run.href.is_none()) {
                Some(run) => run.text.push_str(before),
                None => runs.push(Run { text: before.to_owned(), href: None }),
            }
        }
        if !rest.is_empty() {
            let link = rest.trim_end();
            runs.push(Run { text: shortened(link, platform), href: Some(link.to_owned()) });
            runs.push(Run { text: rest[link.len()..].to_owned(), href: None });
        }
    }
    runs
}

/// A link as the platform writes it: X leaves out the scheme and cuts it.
fn shortened(link: &str, platform: Platform) -> String {
    if platform != Platform::X {
        return link.to_owned();
    }
    let bare = link.trim_start_matches("https://").trim_start_matches("http://");
    let cut: String = bare.chars().take(LINK_SHOWN).collect();
    if cut.len() < bare.len() { format!("{cut}…") } else { cut }
}

fn tag_address(platform: Platform, tag: &str) -> String {
    let name = crate::sandbox::call::percent_encode(tag.trim_start_matches('#'));
    match platform {
        Platform::X => format!("https://x.com/hashtag/{name}"),
        _ => format!("https://www.facebook.com/hashtag/{name}"),
    }
}

/// A moment as Thai readers write it: Bangkok time, Buddhist year.
fn thai_time(at: DateTime<Utc>) -> String {
    let Some(zone) = FixedOffset::east_opt(7 * 3600) else { return String::new() };
    let at = at.with_timezone(&zone);
    let month =
        usize::try_from(at.month0()).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or_default();
    format!("{} {month} {} {} น.", at.day(), at.year() + 543, at.format("%H.%M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Vec<(String, bool)> {
        runs(text, Platform::Facebook).into_iter().map(|run| (run.text, run.href.is_some())).collect()
    }

    #[test]
    fn links_and_hashtags_stand_apart_and_nothing_is_lost() {
        for text in ["ก ข", "ข่าว https://a.example/x ต่อ", "#ข่าว #ด่วน\nอ่าน", "กhttp://a.example", "# เดี่ยว", ""]
        {
            let joined: String = flat(text).into_iter().map(|(text, _)| text).collect();
            assert_eq!(joined, text);
        }
        let links: Vec<String> =
            flat("ก #ข่าว https://a.example/x").into_iter().filter(|run| run.1).map(|run| run.0).collect();
        assert_eq!(links, ["#ข่าว ", "https://a.example/x"]);
    }

    #[test]
    fn a_picture_from_elsewhere_is_not_shown() {
        let base = "http://127.0.0.1:9";
        assert_eq!(
            local_picture("http://127.0.0.1:9/picture/1.png", base).as_deref(),
            Some("/picture/1.png")
        );
        assert_eq!(local_picture("http://127.0.0.1:99/picture/1.png", base), None);
        assert_eq!(local_picture("https://evil.example/picture/1.png", base), None);
    }

    #[test]
    fn times_are_in_bangkok_and_of_the_buddhist_era() {
        let at = DateTime::parse_from_rfc3339("2026-11-22T18:05:00Z").unwrap().to_utc();
        assert_eq!(thai_time(at), "23 พ.ย. 2569 01.05 น.");
    }
}
