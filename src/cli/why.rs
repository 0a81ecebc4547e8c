//! Why: tells the story of an article: each step, each verdict, each attempt.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::cli::Failure;
use crate::cli::desk::Desk;
use crate::cli::promotion;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::model::article::aliases;
use crate::model::audit;
use crate::store::article;
use crate::store::article::Article;
use crate::store::attempt;
use crate::store::audit as log;
use crate::store::db::Db;
use crate::store::listing;
use crate::store::source;

/// `songkhao why URL`: the articles under this address, and the promotions that lead to it.
///
/// # Errors
/// When no article has this address (exit 1), or what the database says.
pub async fn why(config: Option<&Path>, url: &str, as_json: bool) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    let named = Entry {
        guid: Some(url.to_owned()),
        content: Content { link: Some(url.to_owned()), ..Content::default() },
    };
    let articles = article::list_by_link(&desk.db, url, &aliases("", &named)).await?;
    let mut out = std::io::stdout().lock();
    if articles.is_empty() {
        if promotion::tell_by_link(&desk, url, as_json, &mut out).await? > 0 {
            return Ok(());
        }
        return unknown(&desk.db, url, &mut out).await;
    }
    for article in &articles {
        let story = story(&desk.db, article).await?;
        if as_json {
            writeln!(out, "{}", serde_json::to_string(&story)?)?;
        } else {
            tell(&desk, article, &story, &mut out).await?;
        }
    }
    // One JSON line an article is what scripts read; people are told of promotions of it too.
    if !as_json {
        promotion::tell_by_link(&desk, url, false, &mut out).await?;
    }
    Ok(())
}

/// An address that no article has: what the sources said lately is the best clue.
async fn unknown(db: &Db, url: &str, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "no article is known under {url}")?;
    for source in source::list(db).await? {
        let polled = source
            .polled_at
            .map_or("never polled".to_owned(), |at| format!("last polled {}", at.to_rfc3339()));
        let error = source.error.map(|error| format!(": {error}")).unwrap_or_default();
        writeln!(out, "source {}: {polled}{error}", source.name)?;
    }
    Err(Failure::No)
}

async fn story(db: &Db, article: &Article) -> Result<serde_json::Value, Failure> {
    let filter = listing::Filter { article: Some(article.id), ..listing::Filter::default() };
    let lines = listing::list(db, &filter).await?;
    let mut posts = Vec::new();
    for line in &lines {
        let mut post = serde_json::to_value(line)?;
        let attempts = match line.delivery.as_deref().and_then(|id| id.parse().ok()) {
            Some(delivery) => attempt::list(db, delivery).await?,
            None => Vec::new(),
        };
        post["tries"] = json!(attempts);
        posts.push(post);
    }
    Ok(json!({
        "article": article.id.to_string(), "title": article.content.title, "url": article.content.link,
        "state": article.state, "reason": article.reason, "review": article.review, "sources": article.sources,
        "version": article.version, "first_seen": article.first_seen_at, "changed": article.changed_at,
        "posts": posts,
    }))
}

async fn tell(
    desk: &Desk,
    article: &Article,
    story: &serde_json::Value,
    out: &mut impl Write,
) -> Result<(), Failure> {
    writeln!(out, "article {}: {}", article.id, article.content.title)?;
    writeln!(out, "  first seen {}, version {}", article.first_seen_at.to_rfc3339(), article.version)?;
    let reason = article.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    writeln!(out, "  {}{reason}", article.state)?;
    if !article.review.is_empty() {
        writeln!(out, "  to review: {}", article.review.join("; "))?;
    }
    for post in story["posts"].as_array().into_iter().flatten() {
        let text = |key: &str| post[key].as_str().unwrap_or_default().to_owned();
        let reason = post["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        writeln!(
            out,
            "  post {} on {}: {}{reason} {}",
            text("post"),
            text("account"),
            text("state"),
            text("remote_id")
        )?;
        for attempt in post["tries"].as_array().into_iter().flatten() {
            let outcome = attempt["outcome"].as_str().unwrap_or("open");
            let reason = attempt["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
            writeln!(
                out,
                "    attempt {} at {}: {outcome}{reason}",
                attempt["number"],
                attempt["started_at"].as_str().unwrap_or_default()
            )?;
        }
    }
    let filter = log::Filter { article: Some(article.id), ..log::Filter::default() };
    for sealed in log::list(&desk.db, &filter).await? {
        if let Ok(entry) = audit::Entry::parse(&sealed.entry) {
            writeln!(out, "  {}", audit::describe_th(&entry, desk.config.timezone))?;
        }
    }
    Ok(())
}
