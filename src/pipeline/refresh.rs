//! Refresh: keeps stored tokens fresh; nobody signs with one that ended.
//!
//! A refresh token works once, so renewing is done like posting: commit the intent under a lease, present the token
//! once, and keep the new pair before it is used. What could not be kept is offered to the database until it is; if the
//! process dies meanwhile, the next start presents the stored token once more and learns whether a pair was lost.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tracing::error;
use tracing::info;
use tracing::warn;

use crate::clock;
use crate::config::account::Account;
use crate::metric;
use crate::model::account::Mode;
use crate::model::attempt::SendError;
use crate::model::token::Action;
use crate::model::token::Event;
use crate::model::token::Pace;
use crate::model::token::RefreshError;
use crate::model::token::step;
use crate::pipeline::Context;
use crate::platform::Publisher;
use crate::secret::Grant;
use crate::store::account;
use crate::store::db::Result;
use crate::store::token;
use crate::store::token::Claimed;
use crate::store::token::Token;

/// The pause before a pair that the database did not take is offered again.
const RECORD_AGAIN: Duration = Duration::from_millis(500);

/// The pause of an account whose token could not even be asked for.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// Whether an account has something to sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// The newest it has is in use.
    Yes(Credential),
    /// Not now: it is being renewed, or waits for a person. Why, in words that are safe to show.
    NotYet(String),
}

/// What an account signs with: the file's secrets, or a stored token by its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// What the configuration points to.
    File,
    /// A stored token.
    Stored {
        /// Which of its pairs.
        generation: i64,
    },
}

/// Whether something may go out on an account, asked before a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The newest it has is in use.
    Ready(Credential),
    /// Its token is to be renewed first.
    Due,
    /// Not now; why, in words that are safe to show.
    NotYet(String),
}

/// The accounts whose token is due for renewal, for the loop that sends: there a renewal is waited for at a stop. One
/// that only pretends needs none.
///
/// # Errors
/// What the database says.
pub async fn list_due(context: &Context) -> Result<Vec<String>> {
    if !context.config.accounts.iter().any(Account::renews_tokens) {
        return Ok(Vec::new());
    }
    let mut due = token::list_due(&context.db, context.now(), &context.node, &context.boot).await?;
    due.retain(|name| {
        let account = context.account(name).map(|(account, _)| account);
        account.is_some_and(|account| account.renews_tokens() && account.mode == Mode::Live)
    });
    Ok(due)
}

/// Whether something may go out on an account now; one that only pretends needs no token.
///
/// # Errors
/// What the database says; nothing may be claimed then.
pub async fn standing(context: &Context, name: &str) -> Result<Standing> {
    match context.account(name) {
        Some((account, _)) if account.mode == Mode::Shadow => return Ok(Standing::Ready(Credential::File)),
        Some((account, _)) if account.renews_tokens() => {
            let stored = token::find(&context.db, name).await?;
            if stored.is_some_and(|stored| next(context, &stored) == Action::Refresh) {
                return Ok(Standing::Due);
            }
        }
        _ => {}
    }
    Ok(match latest(context, name).await? {
        Ready::Yes(credential) => Standing::Ready(credential),
        Ready::NotYet(reason) => Standing::NotYet(reason),
    })
}

/// Renews an account's token. One that can't be renewed now is met again at the account's next turn, a little later.
pub async fn renew(context: &Context, name: &str) {
    let renewed = ready(context, name).await;
    if let Err(error) = &renewed {
        metric::step_error("refresh");
        error!(account.name = name, error = %error, "Step refresh failed");
    }
    // Another node's clock may let it hold on to what ours takes for left.
    if renewed.is_err() || matches!(standing(context, name).await, Ok(Standing::Due)) {
        tokio::time::sleep(RENEW_AGAIN).await;
    }
}

/// Puts an account's newest token into use, renewing it first where that is due.
///
/// # Errors
/// What the database says; nothing may be sent then.
pub async fn ready(context: &Context, name: &str) -> Result<Ready> {
    look(context, name, true).await
}

/// Puts an account's newest token into use as it is: for probes and looks, which a stop cuts short.
///
/// # Errors
/// What the database says.
pub async fn latest(context: &Context, name: &str) -> Result<Ready> {
    look(context, name, false).await
}

/// Whether a refusal is mended by renewing the token it speaks of, or was meanwhile. What was refused so published
/// nothing, so it may be tried again.
pub async fn mends(context: &Context, name: &str, credential: Credential, error: &SendError) -> bool {
    let (Credential::Stored { generation }, SendError::Unauthorized { .. }) = (credential, error) else {
        return false;
    };
    let stamp = context.stamp("refresh");
    match token::refuse(&context.db, &stamp, name, generation, &context.policy(name)).await {
        Ok(mended) => mended,
        Err(error) => {
            warn!(account.name = name, error = %error, "The refusal of a token could not be noted");
            false
        }
    }
}

/// Notes that the platform took a token, once.
pub async fn proved(context: &Context, name: &str, credential: Credential) {
    let Credential::Stored { generation } = credential else { return };
    if !context.is_news(name, generation) {
        return;
    }
    if let Err(error) = token::prove(&context.db, name, generation).await {
        warn!(account.name = name, error = %error, "It could not be noted that a token works");
    }
}

async fn look(context: &Context, name: &str, renewing: bool) -> Result<Ready> {
    let Some((account, publisher)) = context.account(name) else {
        return Ok(Ready::NotYet("the account is not configured any more".to_owned()));
    };
    if !account.takes_tokens() {
        return Ok(Ready::Yes(Credential::File));
    }
    let Some(mut stored) = token::find(&context.db, name).await? else {
        return without(context, account).await;
    };
    if renewing && next(context, &stored) == Action::Refresh {
        present_and_keep(context, name, &publisher).await?;
        match token::find(&context.db, name).await? {
            Some(renewed) => stored = renewed,
            None => return without(context, account).await,
        }
    }
    match next(context, &stored) {
        Action::Person => {
            let reason = stored.reason.clone().unwrap_or_else(|| {
                format!("its token ended and can't be renewed: songkhao account import {name}, or connect")
            });
            pause(context, name, reason).await
        }
        _ if stored.facts.is_usable(context.now()) => adopt(context, &stored).await,
        _ => Ok(Ready::NotYet("its token is being renewed".to_owned())),
    }
}

/// What to do with a stored token that somebody wants to use.
fn next(context: &Context, stored: &Token) -> Action {
    let now = context.now();
    let left = stored.is_left(&context.node, &context.boot, now);
    let delivery = &context.config.delivery;
    let pace = Pace { base: delivery.retry_base, cap: delivery.retry_cap, chance: 1.0 };
    step(&stored.facts, &Event::Wanted { left }, now, pace)
}

/// An account for which no token is stored: the file's counts, where it has one.
async fn without(context: &Context, account: &Account) -> Result<Ready> {
    if account.renews_tokens() {
        let reason = format!("not connected yet: songkhao account connect {}", account.name);
        return pause(context, &account.name, reason).await;
    }
    if let Err(error) = context.sign(account, None, None) {
        return pause(context, &account.name, error.to_string()).await;
    }
    Ok(Ready::Yes(Credential::File))
}

/// Takes a stored token into use, if it isn't yet.
async fn adopt(context: &Context, stored: &Token) -> Result<Ready> {
    let credential = Credential::Stored { generation: stored.generation };
    if context.signs_with(&stored.account) == Some(stored.generation) {
        return Ok(Ready::Yes(credential));
    }
    let Some((account, _)) = context.account(&stored.account) else {
        return Ok(Ready::NotYet("the account is not configured any more".to_owned()));
    };
    let user = account::find(&context.db, &account.name).await?.and_then(|known| known.remote_user);
    let signed = match stored.access(&context.keys) {
        Ok(access) => context.sign(account, Some((stored, &access)), user),
        Err(error) => Err(error.into()),
    };
    match signed {
        Ok(()) => Ok(Ready::Yes(credential)),
        Err(error) => pause(context, &account.name, error.to_string()).await,
    }
}

/// Pauses the account until a person helps; its posts wait.
async fn pause(context: &Context, name: &str, reason: String) -> Result<Ready> {
    let stamp = context.stamp("refresh");
    account::pause_unconnected(&context.db, &stamp, name, &reason, &context.policy(name)).await?;
    Ok(Ready::NotYet(reason))
}

/// Renews a token, if nobody else does.
async fn present_and_keep(context: &Context, name: &str, publisher: &Arc<Publisher>) -> Result<()> {
    let began = clock::monotonic();
    let stamp = context.stamp("refresh");
    let (policy, lease) = (context.policy(name), context.config.delivery.lease);
    let claimed =
        token::claim(&context.db, &context.keys, &stamp, name, &context.boot, lease, &policy).await?;
    let Some(claimed) = claimed else { return Ok(()) };
    let answer = present(context, &claimed, publisher, began).await;
    loop {
        let stamp = context.stamp("refresh");
        let recorded =
            token::record(&context.db, &context.keys, &stamp, &claimed, &answer, &policy, rand::random())
                .await;
        match recorded {
            Ok(action) => {
                log(name, action.as_ref(), &answer);
                return Ok(());
            }
            Err(error) => {
                // The only copy of a new pair is here.
                warn!(account.name = name, error = %error, "What came of a renewal could not be kept yet");
                tokio::time::sleep(RECORD_AGAIN).await;
            }
        }
    }
}

/// Presents the refresh token, unless the claim is too far gone for that.
async fn present(
    context: &Context,
    claimed: &Claimed,
    publisher: &Publisher,
    began: Instant,
) -> std::result::Result<Grant, RefreshError> {
    let unspent = |reason: &str| RefreshError::NotSpent { retry_after: None, reason: reason.to_owned() };
    let app = publisher.app().ok_or_else(|| unspent("the configuration names no app to renew it by"))?;
    let refresh =
        claimed.refresh.as_ref().map_err(|error| RefreshError::App { reason: error.to_string() })?;
    // As before a post: a machine that slept since must not act under a lease that others may have taken over.
    let (timeout, lease) = (context.config.delivery.timeout, context.config.delivery.lease);
    let held = token::is_held(&context.db, claimed).await.unwrap_or(false);
    let elapsed = (context.now() - claimed.at).to_std().unwrap_or_default().max(began.elapsed());
    if !held || elapsed + timeout > lease {
        return Err(unspent("the lease was too far gone to renew it safely"));
    }
    app.refresh(refresh, context.now()).await
}

fn log(name: &str, action: Option<&Action>, answer: &std::result::Result<Grant, RefreshError>) {
    match (action, answer) {
        (None, _) => info!(account.name = name, "A renewal on {name} ended after others had taken it over"),
        (Some(_), Ok(_)) => info!(account.name = name, "Renewed the token of {name}"),
        (Some(Action::GiveUp { .. }), Err(reason)) => {
            error!(account.name = name, reason = %reason, "Connect {name} again: its token is refused");
        }
        (Some(_), Err(reason)) => {
            warn!(account.name = name, reason = %reason, "The token of {name} could not be renewed yet");
        }
    }
}
