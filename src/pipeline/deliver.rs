//! Deliver: delivery → platform, and its answer back into the row.
//!
//! Claim, commit the intent, only then send, then record. What could not be recorded is tried again until
//! it is; if the process dies meanwhile the row is `sending` and becomes doubt, never a second send.

use std::time::Duration;
use std::time::Instant;

use tracing::info;
use tracing::warn;
use uuid::Uuid;

use crate::clock;
use crate::config::account::Account;
use crate::metric;
use crate::model::account::Mode;
use crate::model::attempt::Answer;
use crate::model::attempt::SendError;
use crate::model::delivery::Delivery;
use crate::model::delivery::State;
use crate::model::readback;
use crate::model::readback::Sought;
use crate::model::transition::Event;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::compose;
use crate::pipeline::refresh;
use crate::pipeline::refresh::Credential;
use crate::pipeline::refresh::Ready;
use crate::platform::Publisher;
use crate::store::account;
use crate::store::claim;
use crate::store::claim::Claim;
use crate::store::claim::Terms;
use crate::store::db::Result;
use crate::store::delivery;
use crate::store::delivery::Happening;

/// How far back a post that an editor made by hand is looked for.
const ALREADY_THERE_SINCE: chrono::TimeDelta = chrono::TimeDelta::hours(24);

/// The pause before a result that the database did not take is offered again.
const RECORD_AGAIN: Duration = Duration::from_millis(500);

/// Sends what goes out next on an account, if anything may go now.
///
/// # Errors
/// What the database says; nothing was sent then.
pub async fn step(context: &Context, name: &str) -> Result<Step> {
    let Some(credential) = credential(context, name).await? else { return Ok(Step::Idle) };
    let Some((account, publisher)) = context.account(name) else { return Ok(Step::Idle) };
    let stamp = context.stamp("deliver");
    let claimed_at = clock::monotonic();
    let terms = Terms {
        shadow: account.mode == Mode::Shadow,
        quiet: account.quiet_hours.end_of_quiet(stamp.at, context.config.timezone).is_some(),
        min_gap: account.min_gap,
        lease: context.config.delivery.lease,
        boot: context.boot.clone(),
        policy: context.policy(name),
    };
    match claim::claim(&context.db, &stamp, name, &terms).await? {
        Claim::Nothing => Ok(Step::Idle),
        Claim::Moved(state) => {
            metric::delivery(name, account.platform(), state.name());
            info!(account.name = name, "The next delivery on {name} became {state} without a send");
            Ok(Step::Worked)
        }
        Claim::Stale { post } => {
            compose::reword(context, post).await?;
            Ok(Step::Worked)
        }
        Claim::Sending(claimed) => {
            let way = Way { account, publisher: &publisher, credential };
            send(context, &way, &claimed, claimed_at).await;
            Ok(Step::Worked)
        }
    }
}

/// What the account signs with, if it has anything; one that only pretends needs nothing.
async fn credential(context: &Context, name: &str) -> Result<Option<Credential>> {
    let Some((account, _)) = context.account(name) else { return Ok(None) };
    if account.mode == Mode::Shadow {
        return Ok(Some(Credential::File));
    }
    match refresh::ready(context, name).await? {
        Ready::Yes(credential) => Ok(Some(credential)),
        Ready::NotYet(_) => Ok(None),
    }
}

/// An account, its platform, and what it signs with there.
struct Way<'a> {
    account: &'a Account,
    publisher: &'a Publisher,
    credential: Credential,
}

/// Sends a claimed delivery and records what came of it.
async fn send(context: &Context, way: &Way<'_>, claimed: &Delivery, claimed_at: Instant) {
    let Way { account, publisher, credential } = *way;
    if let Some(link) = already_there(context, account, publisher, claimed).await {
        record(context, account, claimed, Event::AlreadyThere { link }.into()).await;
        return;
    }
    // A machine that slept between claim and send must not send under a lease that others may have taken over.
    // The monotonic clock stands still while a machine is suspended, so the wall clock is asked too.
    let (timeout, lease) = (context.config.delivery.timeout, context.config.delivery.lease);
    let held = claim::is_held(&context.db, claimed).await.unwrap_or(false);
    let started = claimed.facts.attempt_started_at.unwrap_or_else(|| context.now());
    let elapsed = (context.now() - started).to_std().unwrap_or_default().max(claimed_at.elapsed());
    if !held || elapsed + timeout > lease {
        let reason = "the lease was too far gone to send safely".to_owned();
        record(context, account, claimed, Event::NotSent { reason }.into()).await;
        return;
    }
    let key = claimed.retry_key.as_deref().and_then(|key| Uuid::parse_str(key).ok());
    let asked = clock::monotonic();
    let answer = publisher.send(&claimed.body, key, context.now()).await;
    let outcome = answer.result.as_ref().map_or_else(SendError::kind, |_| "delivered");
    metric::attempt(&account.name, account.platform(), outcome, asked.elapsed());
    log_answer(claimed, &answer);
    let event = match &answer.result {
        Err(error) if refresh::mends(context, &account.name, credential, error).await => {
            Event::NotSent { reason: "the platform refused the access token; it is renewed first".to_owned() }
        }
        result => Event::Answered(result.clone()),
    };
    let taken = answer.result.is_ok();
    let evidence = serde_json::Value::Null;
    let happening = Happening { event, evidence, answer: Some(answer), chance: rand::random() };
    record(context, account, claimed, happening).await;
    if taken {
        refresh::proved(context, &account.name, credential).await;
    }
    remember_user(context, account, publisher).await;
}

/// Records a result, however long the database takes to accept it: until then the account sends nothing else.
async fn record(context: &Context, account: &Account, claimed: &Delivery, happening: Happening) {
    let policy = context.policy(&claimed.account);
    loop {
        let stamp = context.stamp("deliver");
        match delivery::finish(&context.db, &stamp, claimed, happening.clone(), &policy).await {
            Ok(next) => {
                let state = next.map(|next| next.facts.state);
                if let Some(state) = state.filter(|state| *state != State::Scheduled) {
                    metric::delivery(&account.name, account.platform(), state.name());
                }
                return;
            }
            Err(error) => {
                warn!(delivery.id = claimed.id, error = %error, "The result of a send could not be recorded yet");
                tokio::time::sleep(RECORD_AGAIN).await;
            }
        }
    }
}

/// Where a recent post with the same link stands that is not ours: an editor was faster by hand.
/// Looked for before the first attempt only; a look that fails does not block.
async fn already_there(
    context: &Context,
    account: &Account,
    publisher: &Publisher,
    claimed: &Delivery,
) -> Option<String> {
    if !account.already_there || !publisher.can_read_back() || claimed.facts.attempts > 1 {
        return None;
    }
    let link = claimed.link.as_deref()?;
    let now = context.now();
    let since = now - ALREADY_THERE_SINCE;
    let ours = delivery::list_remote_ids(&context.db, &account.name, claimed.id, since).await.ok()?;
    let recent = match publisher.recent(since, now).await {
        Ok(recent) => recent,
        Err(error) => {
            info!(delivery.id = claimed.id, error = %error, "The account could not be looked at before publishing");
            return None;
        }
    };
    let sought = Sought { link: Some(link), text: "", attempt_started_at: since };
    let found = readback::find(
        sought,
        &recent.posts,
        &ours.into_iter().collect(),
        None,
        recent.clock_offset.unwrap_or(0),
    )?;
    Some(found.permalink.clone().unwrap_or_else(|| found.remote_id.clone()))
}

/// Keeps X's own id of the account once it had to be asked for.
async fn remember_user(context: &Context, account: &Account, publisher: &Publisher) {
    let Some(id) = publisher.user_id() else { return };
    if let Err(error) = account::note_remote_user(&context.db, &account.name, id).await {
        warn!(account.name = account.name, error = %error, "The account's own id could not be kept");
    }
}

fn log_answer(claimed: &Delivery, answer: &Answer) {
    let Delivery { id, post, account, .. } = claimed;
    match &answer.result {
        Ok(receipt) => {
            info!(
                delivery.id = id,
                account.name = account,
                remote_id = receipt.remote_id,
                "Delivered post {post} to {account}"
            );
        }
        Err(error) => {
            warn!(delivery.id = id, account.name = account, error = %error, "Post {post} is not confirmed on {account}");
        }
    }
}
