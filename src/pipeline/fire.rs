//! Fire: makes the posts of a digest route whose hour has come.
//!
//! A moment fires once, on one node: its row in `firing` is unique. What was missed while the daemon
//! was down follows the route's `misfire`.

use chrono::DateTime;
use chrono::Utc;
use tracing::info;
use tracing::warn;

use crate::config::route::Route;
use crate::model::schedule;
use crate::model::schedule::When;
use crate::model::summary::Summary;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::compose;
use crate::pipeline::summarize;
use crate::store::article;
use crate::store::db::Result;
use crate::store::post;
use crate::store::post::Draft;
use crate::store::route;
use crate::store::summary;

/// Fires what is due on every digest route.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let mut step = Step::Idle;
    for route in context.config.routes.iter().filter(|route| route.digest > 0) {
        for planned in due(context, route).await? {
            if fire(context, route, planned).await? {
                step = Step::Worked;
            }
        }
    }
    Ok(step)
}

/// The first moment after `now` at which a digest fires.
pub fn next_moment(context: &Context, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let digests = context.config.routes.iter().filter(|route| route.digest > 0);
    digests.filter_map(|route| route.when.next_after(now, context.config.timezone)).min()
}

/// The planned moments that fire now. A digest with `when = "now"` fires whenever articles wait for it.
async fn due(context: &Context, route: &Route) -> Result<Vec<DateTime<Utc>>> {
    let now = context.now();
    if route.when == When::Now {
        return Ok(if route::has_waiting(&context.db, &route.name).await? { vec![now] } else { Vec::new() });
    }
    let origin = origin(route);
    let Some(last) = route::last_firing(&context.db, &origin).await? else {
        // Known from now on: what was planned before songkhao knew the route was not missed.
        let mut tx = context.db.begin().await?;
        route::fire(&mut tx, &origin, now, now).await?;
        tx.commit().await?;
        return Ok(Vec::new());
    };
    Ok(schedule::firings(&route.when, route.misfire, Some(last), now, context.config.timezone))
}

/// Makes the posts of one firing. `false` if it fired before.
async fn fire(context: &Context, route: &Route, planned: DateTime<Utc>) -> Result<bool> {
    let stamp = context.stamp("fire");
    let mut tx = context.db.begin().await?;
    if !route::fire(&mut tx, &origin(route), planned, stamp.at).await? {
        return Ok(false);
    }
    let waiting = route::list_waiting(&mut tx, &route.name).await?;
    let chosen: Vec<i64> = waiting.iter().copied().take(route.digest as usize).collect();
    let mut made: Vec<Summary> = Vec::new();
    let mut found = Vec::new();
    for id in &chosen {
        let Some(article) = article::find_in(&mut tx, *id).await? else { continue };
        let Some((version, summary)) = summary::find_newest_in(&mut tx, *id).await? else { continue };
        // An edit since then is worded anew; its picture passed the guard before.
        made.push(if version == article.version {
            summary
        } else {
            let content = summarize::own_words(context, &article).await;
            summarize::write(&content, summary.picture, context.config.style.hashtags as usize)
        });
        found.extend(article.review);
    }
    route::clear_waiting(&mut tx, &route.name, stamp.at).await?;
    if !made.is_empty() {
        let summaries: Vec<&Summary> = made.iter().collect();
        for name in &route.accounts {
            let Some((account, _)) = context.account(name) else { continue };
            let silent = compose::quiet_at(context, account, planned);
            let payload = match compose::payload(&context.wording, route, account, &summaries, silent) {
                Ok(payload) => payload,
                Err(reason) => {
                    warn!(route.name = route.name, "No digest for {name}: {reason}");
                    continue;
                }
            };
            let draft = Draft {
                account: name.clone(),
                platform: account.platform(),
                origin: origin(route),
                occasion: planned.to_rfc3339(),
                article: None,
                digest: chosen.clone(),
                route: Some(route.name.clone()),
                lane: route.lane,
                reasons: compose::reasons(route.review, &found),
                payload,
                template: compose::template_hash(context, route, account.platform()),
                not_before: planned,
                good_for: route.good_for,
            };
            post::insert(&mut tx, &stamp, &draft).await?;
        }
        info!(
            route.name = route.name,
            articles = made.len(),
            "Route {} fired with {} articles",
            route.name,
            made.len()
        );
    }
    tx.commit().await?;
    Ok(true)
}

fn origin(route: &Route) -> String {
    format!("route:{}", route.name)
}
