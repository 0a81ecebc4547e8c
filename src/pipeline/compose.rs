//! Compose: words a summary as posts, one for each account of a route.

use std::collections::HashSet;

use chrono::DateTime;
use chrono::Utc;
use tracing::info;
use tracing::warn;

use crate::config::account::Account;
use crate::config::route::Review;
use crate::config::route::Route;
use crate::metric;
use crate::model::account::Platform;
use crate::model::post::Card;
use crate::model::post::Message;
use crate::model::post::Payload;
use crate::model::summary::Summary;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::summarize;
use crate::pipeline::template::Wording;
use crate::platform;
use crate::store::article;
use crate::store::article::Article;
use crate::store::audit::Stamp;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::page;
use crate::store::post;
use crate::store::post::Draft;
use crate::store::route;
use crate::store::summary;
use crate::text::normal;

/// Why a post needs a person although no rule found anything.
const ALWAYS: &str = "review_always";

/// Articles taken at once: one commit for all of them, and yet the first is not kept waiting for a hundred.
const BATCH: i64 = 8;

/// Composes the posts of the articles that were summarized first.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let articles = article::list_summarized(&context.db, BATCH).await?;
    if articles.is_empty() {
        return Ok(Step::Idle);
    }
    let mut summaries = Vec::new();
    for article in &articles {
        summaries.push(match summary::find(&context.db, article.id, article.version).await? {
            Some(made) => (made, article.review.clone()),
            // A newer version came between the two steps: its summary is made now.
            None => summarize::summarize(context, article).await,
        });
    }
    let stamp = context.stamp("compose");
    let plans: Vec<Vec<Plan<'_>>> = articles
        .iter()
        .zip(&summaries)
        .map(|(article, (made, found))| plan(context, article, made, found, stamp.at))
        .collect();
    let mut tx = context.db.begin().await?;
    let mut outcomes = Vec::new();
    for (article, plans) in articles.iter().zip(plans) {
        // Taking the article first makes a second node's attempt come to nothing.
        if article::move_on(&mut tx, article, "summarized", "composed").await? {
            outcomes.push((article.id, carry_out(&mut tx, &stamp, article, plans).await?));
        }
    }
    tx.commit().await?;
    metric::articles("composed", outcomes.len());
    for (id, Outcome { posts, passed_over, .. }) in outcomes {
        for passed_over in passed_over {
            warn!(article.id = id, "No post of article {id} for {passed_over}");
        }
        info!(article.id = id, posts, "Composed {posts} posts of article {id}");
    }
    Ok(Step::Worked)
}

/// What an article comes to on one account.
enum Plan<'a> {
    /// It waits for the digest of this route.
    Digest { route: &'a str },
    /// It becomes a post of its own.
    Post(Box<Draft>),
    /// It can't be worded for the account.
    Unfit { account: &'a str, reason: String },
}

/// Plans one article's posts, one for each account of the routes that take it; `found` is what a person should look
/// at. All wording is done here, before the transaction: SQLite has only one write lock.
fn plan<'a>(
    context: &'a Context,
    article: &Article,
    made: &Summary,
    found: &[String],
    now: DateTime<Utc>,
) -> Vec<Plan<'a>> {
    let mut plans = Vec::new();
    let mut served: HashSet<&str> = HashSet::new();
    for route in context.config.routes.iter().filter(|route| matches(route, article)) {
        for name in &route.accounts {
            if !served.insert(name) {
                continue;
            }
            let Some((account, _)) = context.account(name) else { continue };
            if route.digest > 0 {
                plans.push(Plan::Digest { route: &route.name });
                continue;
            }
            plans.push(
                match draft(context, route, account, article, made, reasons(route.review, found), now) {
                    Ok(draft) => Plan::Post(Box::new(draft)),
                    Err(reason) => Plan::Unfit { account: name, reason },
                },
            );
        }
    }
    plans
}

async fn carry_out(tx: &mut Tx, stamp: &Stamp, article: &Article, plans: Vec<Plan<'_>>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for plan in plans {
        match plan {
            Plan::Digest { route } => {
                route::wait(tx, route, article.id, stamp.at).await?;
                outcome.waiting += 1;
            }
            Plan::Unfit { account, reason } => outcome.passed_over.push(format!("{account}: {reason}")),
            Plan::Post(draft) => {
                let name = &draft.account;
                if draft.platform == Platform::X && post::has_x_post(tx, &draft.origin, name).await? {
                    outcome.passed_over.push(format!("{name}: another X account has this article"));
                    continue;
                }
                outcome.posts += usize::from(post::insert(tx, stamp, &draft).await?.is_some());
            }
        }
    }
    if let Some(reason) = outcome.reason() {
        article::note_reason(tx, article.id, &reason).await?;
    }
    Ok(outcome)
}

#[derive(Default)]
struct Outcome {
    posts: usize,
    waiting: usize,
    passed_over: Vec<String>,
}

impl Outcome {
    /// Why an article got fewer posts than somebody may expect.
    fn reason(&self) -> Option<String> {
        if !self.passed_over.is_empty() {
            return Some(self.passed_over.join("; "));
        }
        (self.posts == 0 && self.waiting == 0).then(|| "no route takes it".to_owned())
    }
}

/// Words a post anew after its article changed, before its first attempt. Idle while the page of the new version is
/// still to be read: the post would be worded from an excerpt.
///
/// # Errors
/// What the database says.
pub async fn reword(context: &Context, id: i64) -> Result<Step> {
    let Some(post) = post::find(&context.db, id).await? else { return Ok(Step::Worked) };
    let Some(article) = post.article else { return Ok(Step::Worked) };
    if page::is_wanted(&context.db, article).await? {
        return Ok(Step::Idle);
    }
    let Some(article) = article::find(&context.db, article).await? else { return Ok(Step::Worked) };
    let route = context.config.routes.iter().find(|route| Some(&route.name) == post.route.as_ref());
    let (made, found) = summarize::summarize(context, &article).await;
    // A person who approved the post has seen that its route is always reviewed; what a rule found is news.
    let found = route.map_or(found.clone(), |route| reasons(route.review, &found));
    let found: Vec<String> = found.into_iter().filter(|reason| reason != ALWAYS).collect();
    let payload = match (route, context.account(&post.account)) {
        (Some(route), Some((account, _))) => {
            payload(&context.wording, route, account, &[&made], quiet_at(context, account, post.not_before))
        }
        _ => Ok(post.payload.clone()),
    };
    let payload = payload.unwrap_or_else(|reason| {
        warn!(post.id = id, "Post {id} keeps its wording: {reason}");
        post.payload.clone()
    });
    post::reword(&context.db, &context.stamp("compose"), id, article.version, &payload, &found).await?;
    Ok(Step::Worked)
}

/// Whether a route takes an article. Pure.
fn matches(route: &Route, article: &Article) -> bool {
    article.sources.iter().any(|source| route.sources.contains(source))
        && takes(&route.categories, &article.content.categories)
}

/// Whether a route's categories let an article's through; none means all.
pub fn takes(wanted: &[String], have: &[String]) -> bool {
    let have: Vec<String> = have.iter().map(|category| normal::for_matching(category)).collect();
    wanted.is_empty() || wanted.iter().any(|category| have.contains(&normal::for_matching(category)))
}

/// What an article's posts come from.
fn origin(article: &Article) -> String {
    format!("article:{}", article.id)
}

fn draft(
    context: &Context,
    route: &Route,
    account: &Account,
    article: &Article,
    made: &Summary,
    reasons: Vec<String>,
    now: DateTime<Utc>,
) -> std::result::Result<Draft, String> {
    let not_before = route.when.next_after(now, context.config.timezone).unwrap_or(now);
    let payload = payload(&context.wording, route, account, &[made], quiet_at(context, account, not_before))?;
    Ok(Draft {
        account: account.name.clone(),
        platform: account.platform(),
        origin: origin(article),
        occasion: "first".to_owned(),
        article: Some((article.id, article.version)),
        digest: Vec::new(),
        route: Some(route.name.clone()),
        lane: route.lane,
        reasons,
        payload,
        template: template_hash(context, route, account.platform()),
        not_before,
        good_for: route.good_for,
    })
}

/// Why a post needs a person. With `review = "never"` guards and near-duplicates don't count, the rest does. Pure.
pub fn reasons(review: Review, found: &[String]) -> Vec<String> {
    match review {
        Review::Always if found.is_empty() => vec![ALWAYS.to_owned()],
        Review::Always | Review::Guard => found.to_vec(),
        Review::Never => found
            .iter()
            .filter(|reason| !reason.starts_with("near_duplicate") && !reason.starts_with("guard"))
            .cloned()
            .collect(),
    }
}

/// The exact bytes of a post of one summary, or of several: a digest.
///
/// # Errors
/// In words: the template's fault, or the platform's limit that could not be met.
pub fn payload(
    wording: &Wording,
    route: &Route,
    account: &Account,
    summaries: &[&Summary],
    silent: bool,
) -> std::result::Result<Payload, String> {
    let message = message(wording, route, account, summaries, silent)
        .map_err(|error| format!("the template fails: {error}"))?;
    platform::freeze(&message).map_err(|unfit| unfit.to_string())
}

fn message(
    wording: &Wording,
    route: &Route,
    account: &Account,
    summaries: &[&Summary],
    silent: bool,
) -> std::result::Result<Message, minijinja::Error> {
    let first = summaries.first();
    Ok(match account.platform() {
        Platform::Facebook => {
            let text = match summaries {
                [made] => wording.facebook(route, made)?,
                // The card shows the first link; the others stand under their headlines.
                several => several.iter().map(|made| listed(made)).collect::<Vec<_>>().join("\n\n"),
            };
            Message::Facebook { message: text, link: first.and_then(|made| made.link.clone()) }
        }
        Platform::X => Message::X { text: first.map_or(Ok(String::new()), |made| wording.x(route, made))? },
        Platform::Line => {
            let mut cards = Vec::new();
            let mut alt_text = String::new();
            for made in summaries {
                let bubble = wording.line(route, made)?;
                if alt_text.is_empty() {
                    alt_text.clone_from(&bubble.alt_text);
                }
                cards.push(Card {
                    picture: made.picture.clone().filter(|picture| picture.starts_with("https://")),
                    category: made.category.clone().unwrap_or_default(),
                    headline: bubble.headline,
                    summary: bubble.summary,
                    button: bubble.button,
                    link: made.link.clone(),
                });
            }
            Message::Line { alt_text, cards, silent }
        }
    })
}

/// One article of a digest in plain text: headline and link.
fn listed(made: &Summary) -> String {
    match &made.link {
        Some(link) => format!("{}\n{link}", made.headline),
        None => made.headline.clone(),
    }
}

/// Whether LINE should deliver without a sound at that time.
pub fn quiet_at(context: &Context, account: &Account, at: DateTime<Utc>) -> bool {
    account.silent_hours.end_of_quiet(at, context.config.timezone).is_some()
}

/// The hash of the template that words a route's posts on a platform.
pub fn template_hash(context: &Context, route: &Route, platform: Platform) -> String {
    let field = match platform {
        Platform::Facebook => "facebook",
        Platform::X => "x",
        Platform::Line => "summary",
    };
    context.wording.hash(&route.name, field)
}
