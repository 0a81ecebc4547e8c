//! Reconcile: settles by reading back what nobody knows to be public.

use std::collections::HashSet;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use tracing::info;
use tracing::warn;

use crate::clock;
use crate::metric;
use crate::model::attempt::Receipt;
use crate::model::attempt::SendError;
use crate::model::delivery::Delivery;
use crate::model::delivery::State;
use crate::model::readback;
use crate::model::readback::NewestKnown;
use crate::model::readback::Recent;
use crate::model::readback::Sought;
use crate::model::transition::Event;
use crate::model::transition::Look;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::deliver;
use crate::pipeline::refresh;
use crate::pipeline::refresh::Ready;
use crate::store::account as accounts;
use crate::store::claim;
use crate::store::db::Result;
use crate::store::delivery;
use crate::store::delivery::Happening;
use crate::store::delivery::Newest;

/// How far back the ids of our own posts are kept apart from the one we look for.
const OURS_SINCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Turns lost leases into doubt.
///
/// # Errors
/// What the database says.
pub async fn release(context: &Context) -> Result<Step> {
    let stamp = context.stamp("reconcile");
    let lost = claim::release_lost(&context.db, &stamp, &context.boot, |name| context.policy(name)).await?;
    if lost > 0 {
        metric::leases_lost(lost);
        warn!(deliveries = lost, "Took over {lost} deliveries whose sender stopped in the middle");
    }
    Ok(if lost > 0 { Step::Worked } else { Step::Idle })
}

/// Takes one look for one unconfirmed delivery.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let stamp = context.stamp("reconcile");
    let lease = context.config.delivery.lease;
    let Some(doubtful) = claim::claim_look(&context.db, &stamp, lease).await? else {
        return Ok(Step::Idle);
    };
    let (look, evidence) = look(context, &doubtful).await?;
    let name = doubtful.account.clone();
    info!(
        delivery.id = doubtful.id,
        account.name = name,
        "Looked for post {} on {name}: {look:?}",
        doubtful.post
    );
    let happening = Happening { event: Event::Looked(look), evidence, answer: None, chance: rand::random() };
    let stamp = context.stamp("reconcile");
    let policy = context.policy(&doubtful.account);
    let applied =
        delivery::apply(&context.db, &stamp, doubtful.id, Some(doubtful.fence), happening, &policy).await?;
    match applied {
        Ok(settled) => {
            let left = !matches!(settled.facts.state, State::Unconfirmed | State::Scheduled);
            if let Some((account, _)) = context.account(&name).filter(|_| left) {
                metric::delivery(&name, account.platform(), settled.facts.state.name());
            }
        }
        Err(refusal) => info!(delivery.id = doubtful.id, "A look came too late: {refusal}"),
    }
    Ok(Step::Worked)
}

/// Reads the account back and compares; what was seen is the evidence.
async fn look(context: &Context, doubtful: &Delivery) -> Result<(Look, serde_json::Value)> {
    let credential = match refresh::latest(context, &doubtful.account).await? {
        Ready::Yes(credential) => credential,
        Ready::NotYet(reason) => return Ok((Look::Failed(SendError::Unreachable { reason }), json!({}))),
    };
    let Some((account, publisher)) = context.account(&doubtful.account) else {
        let reason = "the account is not configured any more".to_owned();
        return Ok((Look::Failed(SendError::Rejected { reason }), json!({})));
    };
    let now = context.now();
    let started = readback::since(first_attempt(doubtful));
    let known = accounts::find(&context.db, &doubtful.account).await?;
    // Lists lag behind: a post of a moment ago proves nothing by being absent, one that had its time does.
    let had_its_time = now - clock::span(context.config.delivery.confirm_after);
    let newest =
        delivery::newest_delivered(&context.db, &doubtful.account, doubtful.id, had_its_time).await?;
    let since = newest.as_ref().map_or(started, |newest| newest.started_at.min(started));
    let recent = publisher.recent(since, now).await;
    deliver::remember_user(context, account, &publisher).await;
    let recent = match recent {
        Ok(recent) => recent,
        Err(error) => {
            let renewed = refresh::mends(context, &account.name, credential, &error).await;
            let evidence = json!({ "look": doubtful.facts.looks + 1, "error": error.to_string() });
            let reason = "the platform refused the access token; it is renewed first".to_owned();
            let failed = if renewed { SendError::Unreachable { reason } } else { error };
            return Ok((Look::Failed(failed), evidence));
        }
    };
    let offset = recent.clock_offset.or(known.map(|known| known.clock_offset)).unwrap_or(0);
    let ours =
        delivery::list_remote_ids(&context.db, &doubtful.account, doubtful.id, now - clock::span(OURS_SINCE));
    let ours: HashSet<String> = ours.await?.into_iter().collect();
    Ok(compare(doubtful, &recent, newest.as_ref(), &ours, account.application(), offset))
}

/// When its first attempt that may be public began. A platform's refusal of a duplicate can speak of any of them.
fn first_attempt(doubtful: &Delivery) -> DateTime<Utc> {
    let facts = &doubtful.facts;
    facts.key_used_at.or(facts.attempt_started_at).unwrap_or(facts.due_at)
}

/// What a list says of a delivery. Pure.
fn compare(
    doubtful: &Delivery,
    recent: &Recent,
    newest: Option<&Newest>,
    ours: &HashSet<String>,
    application: Option<&str>,
    offset: i64,
) -> (Look, serde_json::Value) {
    let look = doubtful.facts.looks + 1;
    let sought = Sought {
        link: doubtful.link.as_deref(),
        text: &doubtful.text,
        attempt_started_at: readback::since(first_attempt(doubtful)),
    };
    let mut evidence = json!({
        "look": look, "listed": recent.posts.len(), "complete": recent.complete, "clock_offset": offset,
        "newest": recent.posts.iter().map(|post| post.created_at).max(),
    });
    if let Some(post) = readback::find(sought, &recent.posts, ours, application, offset) {
        evidence["found"] = json!({ "remote_id": post.remote_id, "created_at": post.created_at });
        let receipt = Receipt { remote_id: post.remote_id.clone(), permalink: post.permalink.clone() };
        return (Look::Found(receipt), evidence);
    }
    let newest = newest.map(|newest| NewestKnown {
        remote_id: &newest.remote_id,
        published_at: newest.known_at + chrono::TimeDelta::seconds(offset),
    });
    let fresh = readback::is_fresh(recent, newest, u32::try_from(look).unwrap_or(u32::MAX));
    evidence["fresh"] = json!(fresh);
    (Look::Absent { fresh }, evidence)
}
