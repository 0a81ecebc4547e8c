//! Newsroom: the sandbox under a server that remembers every answer to a poll.
//!
//! It lives in the benchmark's own process, so its share of the processor is never counted as the daemon's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use axum::Router;
use axum::extract::Path;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use chrono::DateTime;
use chrono::Utc;
use tokio::net::TcpListener;

use songkhao::clock;
use songkhao::sandbox::Options;
use songkhao::sandbox::Sandbox;

/// A sandbox that is served until the benchmark ends.
#[derive(Debug, Clone)]
pub struct Newsroom {
    /// The fake platforms and the feed.
    pub sandbox: Sandbox,
    /// Its address, without a slash at the end.
    pub base: String,
    polls: Arc<Mutex<Vec<Poll>>>,
}

/// One answer to a poll.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// When it was given.
    pub at: DateTime<Utc>,
    /// Its HTTP status.
    pub status: u16,
}

impl Newsroom {
    /// Serves a sandbox with so many of the sample articles. `/feed` is its feed, `/many/1` and on are small feeds
    /// that never change.
    pub async fn open(articles: usize) -> anyhow::Result<Newsroom> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let sandbox = Sandbox::new(Options { articles, ..Options::at(&base, Arc::new(clock::now)) });
        let polls = Arc::new(Mutex::new(Vec::new()));
        let newsroom = Newsroom { sandbox, base, polls };
        let watcher = newsroom.clone();
        let app = Router::new()
            .route("/many/{number}", get(unchanging))
            .fallback_service(newsroom.sandbox.router())
            .layer(middleware::from_fn(move |request, next| watch(watcher.clone(), request, next)));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(newsroom)
    }

    /// Every answer to a poll since the last call.
    pub fn take_polls(&self) -> Vec<Poll> {
        std::mem::take(&mut *self.polls())
    }

    /// How many answers to polls wait to be taken.
    pub fn count_polls(&self) -> usize {
        self.polls().len()
    }

    fn polls(&self) -> MutexGuard<'_, Vec<Poll>> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch(newsroom: Newsroom, request: Request, next: Next) -> Response {
    let is_poll = ["/feed", "/many"].iter().any(|path| request.uri().path().starts_with(path));
    let response = next.run(request).await;
    if is_poll {
        newsroom.polls().push(Poll { at: clock::now(), status: response.status().as_u16() });
    }
    response
}

/// A feed of one old article; a reader who shows its tag gets a 304.
async fn unchanging(Path(number): Path<u32>, headers: HeaderMap) -> Response {
    let tag = [(header::ETAG, format!("\"{number}\""))];
    if headers.contains_key(header::IF_NONE_MATCH) {
        return (StatusCode::NOT_MODIFIED, tag).into_response();
    }
    let feed = format!(
        "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>แหล่งที่ {number}</title><item>\
         <title>ข่าวที่ {number}</title><link>https://news.example/{number}</link>\
         <pubDate>Mon, 05 Jan 2026 07:00:00 +0700</pubDate><description>เนื้อข่าวที่ {number}</description>\
         </item></channel></rss>"
    );
    (tag, [(header::CONTENT_TYPE, "application/rss+xml")], feed).into_response()
}

/// How many polls had each status, as a share of all.
pub fn share_of(polls: &[Poll], status: u16) -> f64 {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for poll in polls {
        *counts.entry(poll.status).or_default() += 1;
    }
    counts.get(&status).copied().unwrap_or(0) as f64 / polls.len().max(1) as f64
}
