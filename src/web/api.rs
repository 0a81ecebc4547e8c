//! API: the same things as JSON, with a bearer token.

use axum::Json;
use axum::extract::Query;
use axum::response::IntoResponse;
use chrono::DateTime;
use chrono::Utc;
use serde::Deserialize;
use serde::Serialize;

use crate::store::article;
use crate::store::listing;
use crate::web::failure::Answer;
use crate::web::page::View;

/// How many are answered when nobody says how many.
const USUAL: i64 = 100;

/// How many are answered at most.
const MOST: i64 = 1000;

/// What posts are asked for; empty: all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    state: String,
    account: String,
    article: Option<i64>,
    before: Option<i64>,
    limit: Option<i64>,
}

/// `GET /api/v1/posts?state=a,b&account=…&article=…&before=…&limit=…`: the newest, oldest of them first, as
/// `post list --json` prints them.
pub async fn posts(view: View, Query(asked): Query<Asked>) -> Answer {
    let states = asked.state.split(',').filter(|state| !state.is_empty()).map(str::to_owned);
    let filter = listing::Filter {
        states: states.collect(),
        account: Some(asked.account).filter(|account| !account.is_empty()),
        article: asked.article,
        before: asked.before,
        limit: Some(asked.limit.unwrap_or(USUAL).clamp(1, MOST)),
        ..listing::Filter::default()
    };
    Ok(Json(listing::list(&view.context.db, &filter).await?).into_response())
}

/// Where a list begins and how long it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Stretch {
    before: Option<i64>,
    limit: Option<i64>,
}

/// An article as the API gives it. Ids are strings.
#[derive(Debug, Serialize)]
struct Article {
    id: String,
    title: String,
    url: Option<String>,
    sources: Vec<String>,
    categories: Vec<String>,
    published: Option<DateTime<Utc>>,
    first_seen: DateTime<Utc>,
    changed: DateTime<Utc>,
    version: i64,
    state: String,
    reason: Option<String>,
    review: Vec<String>,
}

/// `GET /api/v1/articles?before=…&limit=…`: the newest, newest first.
pub async fn articles(view: View, Query(asked): Query<Stretch>) -> Answer {
    let limit = asked.limit.unwrap_or(USUAL).clamp(1, MOST);
    let articles = article::list_before(&view.context.db, asked.before, limit).await?;
    let articles: Vec<Article> = articles
        .into_iter()
        .map(|article| Article {
            id: article.id.to_string(),
            title: article.content.title,
            url: article.content.link,
            sources: article.sources,
            categories: article.content.categories,
            published: article.content.published,
            first_seen: article.first_seen_at,
            changed: article.changed_at,
            version: article.version,
            state: article.state,
            reason: article.reason,
            review: article.review,
        })
        .collect();
    Ok(Json(articles).into_response())
}
