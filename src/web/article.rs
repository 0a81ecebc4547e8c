//! Article: what came, and the whole story of one.

use axum::extract::Path;
use axum::extract::Query;
use serde::Deserialize;

use crate::store::article;
use crate::store::audit as log;
use crate::store::delivery;
use crate::store::post;
use crate::store::summary;
use crate::web::audit;
use crate::web::audit::Told;
use crate::web::delivery::Story;
use crate::web::failure::Answer;
use crate::web::failure::Failure;
use crate::web::moment::Moment;
use crate::web::page;
use crate::web::page::Page;
use crate::web::page::Place;
use crate::web::page::View;
use crate::web::post::Card;
use crate::web::reason;
use crate::web::row;
use crate::web::words::Words;

/// Lines of the list on one page.
const PAGE: i64 = 50;

/// Audit lines on an article's page.
const HISTORY: i64 = 300;

/// Where the list begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    before: Option<i64>,
}

#[derive(askama::Template)]
#[template(path = "web/articles.html")]
struct Articles {
    page: Page,
    rows: Vec<Item>,
    older: Option<String>,
    first: bool,
}

/// An article in the list.
struct Item {
    id: i64,
    title: String,
    sources: String,
    category: Option<String>,
    state: String,
    state_label: &'static str,
    reason: Option<String>,
    first_seen: Moment,
    version: i64,
}

/// `GET /articles`.
pub async fn list(view: View, Query(asked): Query<Asked>) -> Answer {
    let articles = article::list_before(&view.context.db, asked.before, PAGE).await?;
    let full = i64::try_from(articles.len()).is_ok_and(|count| count == PAGE);
    let older =
        articles.last().filter(|_| full).map(|article| view.with_query("before", &article.id.to_string()));
    page::show(&Articles {
        rows: articles.iter().map(|article| Item::new(article, &view)).collect(),
        older,
        first: asked.before.is_none(),
        page: view.page(Place::Articles),
    })
}

impl Item {
    fn new(article: &article::Article, view: &View) -> Item {
        let t = view.t();
        Item {
            id: article.id,
            title: title(&article.content.title, t),
            sources: article.sources.join(", "),
            category: article.content.categories.first().map(|category| page::clean(category)),
            state_label: row::state_label(&article.state, t),
            state: article.state.clone(),
            reason: told_reason(article, view),
            first_seen: view.calendar.moment(article.first_seen_at),
            version: article.version,
        }
    }
}

fn title(title: &str, t: &Words) -> String {
    if title.trim().is_empty() { t.no_headline.to_owned() } else { page::clean(title) }
}

fn told_reason(article: &article::Article, view: &View) -> Option<String> {
    let reasons: Vec<&str> =
        article.reason.as_deref().into_iter().chain(article.review.iter().map(String::as_str)).collect();
    (!reasons.is_empty()).then(|| page::clean(&reason::tell(&reasons.join("; "), view.lang)))
}

#[derive(askama::Template)]
#[template(path = "web/article.html")]
struct Whole {
    page: Page,
    item: Item,
    link: Option<String>,
    published: Option<Moment>,
    versions: Vec<Version>,
    units: Vec<Unit>,
    hashtags: String,
    posts: Vec<(Card, Vec<Story>)>,
    history: Vec<Told>,
}

struct Version {
    number: i64,
    title: String,
    text: Vec<String>,
    source: String,
    seen_at: Moment,
}

/// A sentence of the summary with its place in the order of choice, from 1.
struct Unit {
    text: String,
    rank: usize,
    paragraph: bool,
}

/// `GET /articles/{id}`: the story that `songkhao why` tells.
pub async fn show(view: View, Path(id): Path<i64>) -> Answer {
    let db = &view.context.db;
    let t = view.t();
    let article = article::find(db, id).await?.ok_or(Failure::Missing)?;
    let versions = article::list_versions(db, id).await?;
    let summary = summary::find_newest(db, id).await?.map(|(_, summary)| summary);
    let mut posts = Vec::new();
    for post in post::list_of_article(db, id).await? {
        let mut stories = Vec::new();
        for delivery in delivery::list_of_post(db, post.id).await? {
            stories.push(Story::read(delivery, &view).await?);
        }
        posts.push((Card::new(&post, Some(&article.content.title), &view), stories));
    }
    let filter = log::Filter { article: Some(id), limit: Some(HISTORY), ..log::Filter::default() };
    let history = audit::tell(&log::list(db, &filter).await?, &view);
    let hashtags = summary.as_ref().map(|summary| summary.hashtags.join(" ")).unwrap_or_default();
    let units = summary.map(|summary| summary.units).unwrap_or_default();
    page::show(&Whole {
        item: Item::new(&article, &view),
        link: article.content.link.as_deref().and_then(page::web_link),
        published: article.content.published.map(|at| view.calendar.moment(at)),
        versions: versions
            .into_iter()
            .rev()
            .map(|version| Version {
                number: version.number,
                title: title(&version.content.title, t),
                text: page::clean(&version.content.text).lines().map(str::to_owned).collect(),
                source: version.source,
                seen_at: view.calendar.moment(version.seen_at),
            })
            .collect(),
        units: units
            .into_iter()
            .map(|unit| Unit {
                text: page::clean(&unit.text),
                rank: unit.rank + 1,
                paragraph: unit.paragraph,
            })
            .collect(),
        hashtags: page::clean(&hashtags),
        posts,
        history,
        page: view.page(Place::Articles),
    })
}
