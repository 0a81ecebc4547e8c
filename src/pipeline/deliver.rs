//! Deliver: delivery → platform, and its answer back into the row.
//!
//! Claim, commit the intent, only then send, then record. What could not be recorded is offered again until
//! it is; if the process dies meanwhile the row is `sending` and becomes doubt, never a second send.
//! Claims and records of many accounts share a commit; sends run side by side, one an account.

use std::time::Duration;
use std::time::Instant;

use chrono::DateTime;
use chrono::Utc;
use tracing::error;
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
use crate::pipeline::refresh::Standing;
use crate::platform::Publisher;
use crate::store::account;
use crate::store::claim;
use crate::store::claim::Claim;
use crate::store::claim::Terms;
use crate::store::claim::Wish;
use crate::store::db::Result;
use crate::store::delivery;
use crate::store::delivery::Happening;
use crate::store::finish::Outcome;
use crate::store::gap::Gap;
use crate::store::turn;

/// How far back a post that an editor made by hand is looked for.
const ALREADY_THERE_SINCE: chrono::TimeDelta = chrono::TimeDelta::hours(24);

/// A delivery whose intent is committed: it may be sent.
#[derive(Debug)]
pub struct Claimed {
    delivery: Delivery,
    credential: Credential,
    /// When the claim began, on the monotonic clock.
    at: Instant,
}

impl Claimed {
    /// The account it goes out on; nothing else may go out there before its outcome is recorded.
    pub fn account(&self) -> &str {
        &self.delivery.account
    }
}

/// The pause before a post is looked at again whose article's page is being read.
const PAGE_AGAIN: Duration = Duration::from_millis(200);

/// The pause of an account whose next post could not be worded anew.
const REWORD_AGAIN: Duration = Duration::from_secs(1);

/// What is to be done after a turn.
#[derive(Debug, Default)]
pub struct Claims {
    /// What is to be sent now, one an account at most.
    pub sends: Vec<Claimed>,
    /// Posts that are to be worded anew before their account goes on, because their articles changed.
    pub stale: Vec<Stale>,
    /// Accounts whose next delivery moved on without a send; the one behind it may be due too.
    pub again: Vec<String>,
    /// Accounts whose token is to be renewed before anything goes out there: see [`refresh::renew`].
    pub renew: Vec<String>,
}

/// A post whose article has a newer version.
#[derive(Debug)]
pub struct Stale {
    /// The account whose turn it is on.
    pub account: String,
    /// The post.
    pub post: i64,
}

/// Records what came of sends, and claims what goes out next on each of `free`, where anything may go now; in one
/// commit. Until an outcome is recorded its account sends nothing else, so `free` may name those of `outcomes`.
///
/// # Errors
/// What the database says. Nothing may be sent then, and all outcomes are to be offered again.
pub async fn turn(context: &Context, outcomes: &[Outcome], free: &[String]) -> Result<Claims> {
    let stamp = context.stamp("deliver");
    let at = clock::monotonic();
    let mut claims = Claims::default();
    let (mut wishes, mut credentials) = (Vec::new(), Vec::new());
    for name in free {
        let Some(wish) = wish(context, name, stamp.at) else { continue };
        match refresh::standing(context, name).await {
            Ok(Standing::Ready(credential)) => {
                wishes.push(wish);
                credentials.push(credential);
            }
            Ok(Standing::Due) => claims.renew.push(name.clone()),
            Ok(Standing::NotYet(_)) => {}
            // What came of sends is recorded all the same; the account is met again at the next look.
            Err(error) => {
                warn!(account.name = name, error = %error, "The token of {name} can't be looked up")
            }
        }
    }
    let turn = turn::turn(&context.db, &stamp, outcomes, &wishes).await?;
    for (outcome, next) in outcomes.iter().zip(turn.finished) {
        if let Some(state) = next.map(|next| next.facts.state).filter(|state| *state != State::Scheduled) {
            count(context, &outcome.claimed.account, state);
        }
    }
    let mut forgot = None;
    for ((wish, credential), claim) in wishes.into_iter().zip(credentials).zip(turn.claims) {
        let name = wish.account;
        match claim {
            Claim::Nothing => {}
            Claim::Sending(delivery) => claims.sends.push(Claimed { delivery: *delivery, credential, at }),
            Claim::Stale { post } => claims.stale.push(Stale { account: name, post }),
            Claim::Forgot(gap) => {
                if forgot.replace(gap.id) != Some(gap.id) {
                    warn_of_gap(&gap);
                }
                claims.again.push(name);
            }
            Claim::Moved(state) => {
                count(context, &name, state);
                info!(account.name = name, "The next delivery on {name} became {state} without a send");
                claims.again.push(name);
            }
        }
    }
    if !claims.sends.is_empty() {
        keep_memory(context);
    }
    Ok(claims)
}

/// Words a post anew. A fault in one keeps no other from going out; it is met again at the account's next turn.
pub async fn reword(context: &Context, stale: &Stale) {
    let post = stale.post;
    match compose::reword(context, post).await {
        Ok(Step::Worked) => {}
        // It is due, so the queue would ask again at once.
        Ok(Step::Idle) => tokio::time::sleep(PAGE_AGAIN).await,
        Err(error) => {
            metric::step_error("reword");
            error!(post.id = post, error = %error, "Post {post} could not be worded anew after its article changed");
            tokio::time::sleep(REWORD_AGAIN).await;
        }
    }
}

fn count(context: &Context, account: &str, state: State) {
    if let Some((account, _)) = context.account(account) {
        metric::delivery(&account.name, account.platform(), state.name());
    }
}

fn wish(context: &Context, name: &str, now: DateTime<Utc>) -> Option<Wish> {
    let (account, _) = context.account(name)?;
    let terms = Terms {
        shadow: account.mode == Mode::Shadow,
        quiet: account.quiet_hours.end_of_quiet(now, context.config.timezone).is_some(),
        min_gap: account.min_gap,
        lease: context.config.delivery.lease,
        boot: context.boot.clone(),
        policy: context.policy(name),
    };
    Some(Wish { account: name.to_owned(), terms })
}

/// Says that the database lost what it knew of a stretch of time.
pub fn warn_of_gap(gap: &Gap) {
    let Gap { cause, since, until, .. } = gap;
    error!(
        cause,
        "The database forgot what happened from {since} to {until}; what may have been sent then is looked for \
         before it is sent, and what can't be looked for is parked for a person"
    );
}

/// Writes down, outside the database, what this node committed there: before a request that rests on it.
fn keep_memory(context: &Context) {
    if let Err(error) = context.db.memory().save() {
        warn!(error = %error, "What this node saw of the database could not be kept in its memory file");
    }
}

/// Sends a claimed delivery, once, and says what came of it; the next [`turn()`] must be told.
pub async fn send(context: &Context, claimed: Claimed) -> Outcome {
    let Claimed { delivery, credential, at } = claimed;
    let happening = match context.account(&delivery.account) {
        Some((account, publisher)) => {
            let way = Way { account, publisher: &publisher, credential };
            exchange(context, &way, &delivery, at).await
        }
        None => Event::NotSent { reason: "the account isn't configured any more".to_owned() }.into(),
    };
    let policy = context.policy(&delivery.account);
    Outcome { claimed: delivery, happening, policy }
}

/// An account, its platform, and what it signs with there.
struct Way<'a> {
    account: &'a Account,
    publisher: &'a Publisher,
    credential: Credential,
}

async fn exchange(context: &Context, way: &Way<'_>, claimed: &Delivery, claimed_at: Instant) -> Happening {
    let Way { account, publisher, credential } = *way;
    if let Some(link) = already_there(context, account, publisher, claimed).await {
        return Event::AlreadyThere { link }.into();
    }
    // A machine that slept between claim and send must not send under a lease that others may have taken over.
    // The monotonic clock stands still while a machine is suspended, so the wall clock is asked too.
    let (timeout, lease) = (context.config.delivery.timeout, context.config.delivery.lease);
    let held = claim::is_held(&context.db, claimed).await.unwrap_or(false);
    let started = claimed.facts.attempt_started_at.unwrap_or_else(|| context.now());
    let elapsed = (context.now() - started).to_std().unwrap_or_default().max(claimed_at.elapsed());
    if !held || elapsed + timeout > lease {
        let reason = "the lease was too far gone to send safely".to_owned();
        return Event::NotSent { reason }.into();
    }
    let key = claimed.retry_key.as_deref().and_then(|key| Uuid::parse_str(key).ok());
    let asked = clock::monotonic();
    let answer = publisher.send(&claimed.body, key, context.now()).await;
    let outcome = answer.result.as_ref().map_or_else(SendError::kind, |_| "delivered");
    metric::attempt(&account.name, account.platform(), outcome, asked.elapsed());
    log_answer(claimed, &answer);
    let event = match &answer.result {
        // A 403 speaks of the account or of what it may do; another token changes neither.
        Err(error)
            if answer.status == Some(401)
                && refresh::mends(context, &account.name, credential, error).await =>
        {
            Event::NotSent { reason: "the platform refused the access token; it is renewed first".to_owned() }
        }
        result => Event::Answered(result.clone()),
    };
    if answer.result.is_ok() {
        refresh::proved(context, &account.name, credential).await;
    }
    let evidence = serde_json::Value::Null;
    Happening { event, evidence, answer: Some(answer), chance: rand::random() }
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
    let recent = publisher.recent(since, now).await;
    remember_user(context, account, publisher).await;
    let recent = match recent {
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
pub(super) async fn remember_user(context: &Context, account: &Account, publisher: &Publisher) {
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
