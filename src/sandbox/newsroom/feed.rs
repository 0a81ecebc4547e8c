//! Feed: writes the sample news as RSS 2.0, Atom and JSON Feed.
//!
//! The RSS is shaped as WordPress shapes it. Specs: <https://www.rssboard.org/rss-specification>, RFC 4287, <https://jsonfeed.org/version/1.1>.

use std::fmt::Write;

use axum::Router;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use chrono::DateTime;
use chrono::SecondsFormat;
use chrono::Utc;
use serde::Deserialize;
use serde_json::json;

use crate::model::hash;
use crate::sandbox::Sandbox;
use crate::sandbox::call::http_date;
use crate::sandbox::newsroom::Article;
use crate::sandbox::newsroom::NAME;
use crate::sandbox::newsroom::Newsroom;
use crate::sandbox::newsroom::escape;

/// How many items a feed shows when nobody says.
const DEFAULT_COUNT: usize = 50;

/// How long the excerpt in a description is, in code points.
const EXCERPT: usize = 180;

#[derive(Deserialize)]
struct Wanted {
    count: Option<usize>,
}

pub fn router(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/feed", get(rss))
        .route("/feed/", get(rss))
        .route("/feed.atom", get(atom))
        .route("/feed.json", get(json_feed))
        .with_state(sandbox)
}

async fn rss(State(sandbox): State<Sandbox>, wanted: Query<Wanted>, headers: HeaderMap) -> Response {
    answer(&sandbox, &wanted, &headers, "application/rss+xml; charset=UTF-8", write_rss)
}

async fn atom(State(sandbox): State<Sandbox>, wanted: Query<Wanted>, headers: HeaderMap) -> Response {
    answer(&sandbox, &wanted, &headers, "application/atom+xml; charset=UTF-8", write_atom)
}

async fn json_feed(State(sandbox): State<Sandbox>, wanted: Query<Wanted>, headers: HeaderMap) -> Response {
    answer(&sandbox, &wanted, &headers, "application/feed+json; charset=UTF-8", write_json)
}

fn answer(
    sandbox: &Sandbox,
    wanted: &Wanted,
    headers: &HeaderMap,
    media_type: &'static str,
    write: fn(&Newsroom, &[&Article], DateTime<Utc>) -> String,
) -> Response {
    let now = sandbox.now();
    let state = sandbox.state();
    let articles: Vec<&Article> =
        state.newsroom.articles().take(wanted.count.unwrap_or(DEFAULT_COUNT)).collect();
    let modified = articles.iter().map(|article| article.modified).max().unwrap_or(DateTime::UNIX_EPOCH);
    let body = write(&state.newsroom, &articles, modified);
    let etag = format!("\"{}\"", &hash::sha256_hex(body.as_bytes())[..32]);
    let validators = [
        (header::ETAG, etag.clone()),
        (header::LAST_MODIFIED, http_date(modified)),
        (header::DATE, http_date(now)),
    ];
    if is_fresh(headers, &etag, modified) {
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    (validators, [(header::CONTENT_TYPE, media_type)], body).into_response()
}

/// Whether the reader already has this: the ETag decides, the date only without one (RFC 9110, 13.2.2).
fn is_fresh(headers: &HeaderMap, etag: &str, modified: DateTime<Utc>) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(known) = header(header::IF_NONE_MATCH) {
        return known.split(',').any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
        });
    }
    let since = header(header::IF_MODIFIED_SINCE).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    since.is_some_and(|since| modified <= since)
}

fn write_rss(newsroom: &Newsroom, articles: &[&Article], modified: DateTime<Utc>) -> String {
    let base = escape(&newsroom.base);
    let mut out = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"
	xmlns:content="http://purl.org/rss/1.0/modules/content/"
	xmlns:dc="http://purl.org/dc/elements/1.1/"
	xmlns:atom="http://www.w3.org/2005/Atom"
	xmlns:sy="http://purl.org/rss/1.0/modules/syndication/"
	xmlns:media="http://search.yahoo.com/mrss/">
<channel>
	<title>{NAME}</title>
	<atom:link href="{base}/feed/" rel="self" type="application/rss+xml" />
	<link>{base}</link>
	<description>ข่าวตัวอย่างของ songkhao</description>
	<lastBuildDate>{}</lastBuildDate>
	<language>th</language>
	<sy:updatePeriod>hourly</sy:updatePeriod>
	<sy:updateFrequency>1</sy:updateFrequency>
	<generator>https://wordpress.org/?v=6.8.3</generator>
"#,
        modified.to_rfc2822()
    );
    for article in articles {
        out.push_str(&rss_item(newsroom, article));
    }
    out.push_str("</channel>\n</rss>\n");
    out
}

fn rss_item(newsroom: &Newsroom, article: &Article) -> String {
    let link = escape(&newsroom.link(article));
    let title = escape(&article.title);
    let mut categories = String::new();
    for category in &article.categories {
        // Writing to a String cannot fail.
        let _infallible = writeln!(categories, "\t\t<category><![CDATA[{}]]></category>", cdata(category));
    }
    // WordPress sites show their picture either way; the feed has both sorts.
    let (lead, media) = match &article.picture {
        Some(picture) if article.id.is_multiple_of(2) => {
            (lead_picture(picture, &article.title), String::new())
        }
        Some(picture) => (
            String::new(),
            format!("\t\t<media:content url=\"{}\" medium=\"image\" type=\"image/png\"/>\n", escape(picture)),
        ),
        None => (String::new(), String::new()),
    };
    format!(
        "\t<item>\n\t\t<title>{title}</title>\n\t\t<link>{link}</link>\n\
         \t\t<dc:creator><![CDATA[{creator}]]></dc:creator>\n\t\t<pubDate>{date}</pubDate>\n{categories}\
         \t\t<guid isPermaLink=\"false\">{base}/?p={id}</guid>\n{media}\
         \t\t<description><![CDATA[<p>{excerpt}</p>\n<p>The post <a href=\"{link}\">{title}</a> appeared first on \
         <a href=\"{base}\">{NAME}</a>.</p>\n]]></description>\n\
         \t\t<content:encoded><![CDATA[{lead}{body}]]></content:encoded>\n\t</item>\n",
        creator = cdata(&article.creator),
        date = article.published.to_rfc2822(),
        base = escape(&newsroom.base),
        id = article.id,
        excerpt = cdata(&escape(&article.excerpt(EXCERPT))),
        body = cdata(&article.body),
    )
}

fn lead_picture(picture: &str, title: &str) -> String {
    format!(
        "<figure class=\"wp-block-image\"><img src=\"{}\" alt=\"{}\" width=\"800\" height=\"420\"/></figure>\n",
        cdata(&escape(picture)),
        cdata(&escape(title))
    )
}

fn write_atom(newsroom: &Newsroom, articles: &[&Article], modified: DateTime<Utc>) -> String {
    let base = escape(&newsroom.base);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" xml:lang=\"th\">\n\
         \t<title>{NAME}</title>\n\t<id>{base}/feed.atom</id>\n\t<updated>{}</updated>\n\
         \t<link rel=\"self\" href=\"{base}/feed.atom\"/>\n\t<link href=\"{base}/\"/>\n",
        rfc3339(modified)
    );
    for article in articles {
        let categories: String = article
            .categories
            .iter()
            .map(|category| format!("\t\t<category term=\"{}\"/>\n", escape(category)))
            .collect();
        let lead = article.picture.as_deref().map(|picture| lead_picture(picture, &article.title));
        let body = format!("{}{}", lead.unwrap_or_default(), article.body);
        out.push_str(&format!(
            "\t<entry>\n\t\t<title type=\"text\">{}</title>\n\t\t<link href=\"{}\"/>\n\t\t<id>{base}/?p={}</id>\n\
             \t\t<published>{}</published>\n\t\t<updated>{}</updated>\n\t\t<author><name>{}</name></author>\n\
             {categories}\t\t<content type=\"html\">{}</content>\n\t</entry>\n",
            escape(&article.title),
            escape(&newsroom.link(article)),
            article.id,
            rfc3339(article.published),
            rfc3339(article.modified),
            escape(&article.creator),
            escape(&body),
        ));
    }
    out.push_str("</feed>\n");
    out
}

fn write_json(newsroom: &Newsroom, articles: &[&Article], _modified: DateTime<Utc>) -> String {
    let items: Vec<_> = articles
        .iter()
        .map(|article| {
            let mut item = json!({
                "id": format!("{}/?p={}", newsroom.base, article.id),
                "url": newsroom.link(article),
                "title": article.title,
                "content_html": article.body,
                "date_published": rfc3339(article.published),
                "date_modified": rfc3339(article.modified),
                "authors": [{"name": article.creator}],
                "tags": article.categories,
            });
            if let Some(picture) = &article.picture {
                item["image"] = json!(picture);
            }
            item
        })
        .collect();
    json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": NAME,
        "language": "th",
        "home_page_url": newsroom.base,
        "feed_url": format!("{}/feed.json", newsroom.base),
        "items": items,
    })
    .to_string()
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Text that may stand in a CDATA section.
fn cdata(text: &str) -> String {
    text.replace("]]>", "]]]]><![CDATA[>")
}
