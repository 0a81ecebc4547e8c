//! Site: serves the sample articles as pages of a news site, and pictures.

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Html;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use chrono::FixedOffset;
use chrono::SecondsFormat;

use crate::sandbox::Sandbox;
use crate::sandbox::newsroom::NAME;
use crate::sandbox::picture;

/// Thailand's offset from UTC, in seconds; it has no summer time.
const BANGKOK: i32 = 7 * 3600;

pub fn router(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/news/{slug}", get(article))
        .route("/news/{slug}/", get(article))
        .route("/picture/{name}", get(image))
        .with_state(sandbox)
}

#[derive(Template)]
#[template(path = "article.html")]
struct ArticlePage<'a> {
    site: &'a str,
    base: &'a str,
    title: &'a str,
    section: &'a str,
    tags: &'a [String],
    creator: &'a str,
    link: String,
    excerpt: String,
    picture: Option<&'a str>,
    published: String,
    date: String,
    /// Our own samples or what the operator put in: HTML on purpose.
    body: &'a str,
    related: Vec<(String, String)>,
}

async fn article(State(sandbox): State<Sandbox>, Path(slug): Path<String>) -> Response {
    let state = sandbox.state();
    let newsroom = &state.newsroom;
    let Some(article) = newsroom.by_slug(&slug) else {
        return (StatusCode::NOT_FOUND, Html("<h1>404</h1><p>ไม่พบหน้าที่ค้นหา</p>")).into_response();
    };
    if article.gone {
        return (StatusCode::GONE, Html("<h1>410</h1><p>ข่าวนี้ถูกนำออกแล้ว</p>")).into_response();
    }
    let bangkok = FixedOffset::east_opt(BANGKOK).map(|zone| article.published.with_timezone(&zone));
    let page = ArticlePage {
        site: NAME,
        base: &newsroom.base,
        title: &article.title,
        section: article.categories.first().map_or("ข่าว", String::as_str),
        tags: &article.categories,
        creator: &article.creator,
        link: newsroom.link(article),
        excerpt: article.excerpt(160),
        picture: article.picture.as_deref(),
        published: article.published.to_rfc3339_opts(SecondsFormat::Secs, true),
        date: bangkok.map(|at| at.format("%d/%m/%Y %H:%M น.").to_string()).unwrap_or_default(),
        body: &article.body,
        related: newsroom
            .articles()
            .filter(|other| other.id != article.id)
            .take(3)
            .map(|other| (newsroom.link(other), other.title.clone()))
            .collect(),
    };
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn image(Path(name): Path<String>) -> Response {
    let Some(seed) = name.strip_suffix(".png").and_then(|digits| digits.parse().ok()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, picture::landscape(seed)).into_response()
}
