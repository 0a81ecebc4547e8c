//! Claim: takes what is due, under a lease with a fence.
//!
//! Nothing may be sent before [`claim`] has committed the intent; a lease that ran out becomes doubt.

use crate::clock;
use crate::model::delivery::Delivery;
use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::model::transition;
use crate::model::transition::Event;
use crate::model::transition::Policy;
use crate::model::transition::Transition;
use crate::store::account;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::db::args;
use crate::store::delivery::find_for_update;
use crate::store::delivery::write;
use crate::store::gap;
use crate::store::gap::Gap;
use crate::store::hold;
use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::time::Duration;
use uuid::Uuid;

/// What a claim needs to know of the account and the node.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The account pretends only.
    pub shadow: bool,
    /// It is a quiet hour there: only breaking news goes out.
    pub quiet: bool,
    /// The smallest distance to the next send.
    pub min_gap: Duration,
    /// How long the claim holds.
    pub lease: Duration,
    /// This start of the daemon, told apart from earlier ones.
    pub boot: String,
    /// The settings of the rules.
    pub policy: Policy,
}

/// What a claim came back with.
#[derive(Debug)]
pub enum Claim {
    /// Nothing is due on this account.
    Nothing,
    /// One was due and moved on without a send: held, expired, cancelled.
    Moved(State),
    /// One is due whose article has a newer version than its post; compose decides first.
    Stale {
        /// The post.
        post: i64,
    },
    /// The database forgot a stretch of time; that is noted, and nothing was taken.
    Forgot(Gap),
    /// The intent is committed: send it.
    Sending(Box<Delivery>),
}

/// Takes the delivery of `account` that goes out next, if it may go now, and commits the intent to send it.
///
/// In one transaction: the account's row is locked, holds are read, the lease with its fence and the
/// attempt with its payload hash and retry key are written. Only after this returned may a byte be sent.
///
/// # Errors
/// What the engine says; nothing may be sent then.
pub async fn claim(db: &Db, stamp: &Stamp, account: &str, terms: &Terms) -> Result<Claim> {
    let mut tx = db.begin().await?;
    let claim = claim_in(&mut tx, stamp, account, terms).await?;
    match claim {
        Claim::Moved(_) | Claim::Sending(_) | Claim::Forgot(_) => tx.commit().await?,
        // Not by dropping it: until the pool came to roll it back, other claims would find the account locked.
        Claim::Nothing | Claim::Stale { .. } => tx.roll_back().await?,
    }
    Ok(claim)
}

async fn claim_in(tx: &mut Tx, stamp: &Stamp, account: &str, terms: &Terms) -> Result<Claim> {
    let Some(spaced_until) = account::lock_sendable(tx, account, stamp.at).await? else {
        return Ok(Claim::Nothing);
    };
    let last_lane = if terms.quiet || spaced_until > stamp.at { Lane::Breaking } else { Lane::Promotion };
    let Some((mut delivery, stale)) = next_due(tx, account, last_lane, stamp.at).await? else {
        return Ok(Claim::Nothing);
    };
    if let Some(gap) = gap::detect(tx, stamp, &[account]).await? {
        return Ok(Claim::Forgot(gap));
    }
    let held = hold::applies(tx, account, delivery.lane).await?;
    if stale && !held && delivery.facts.attempts == 0 {
        return Ok(Claim::Stale { post: delivery.post });
    }
    // A hold stops no look; a shadow never sent anything.
    let clouded = if terms.shadow { None } else { gap::clouds(tx, &mut delivery, held).await? };
    let event = clouded.unwrap_or(Event::Due { held, shadow: terms.shadow });
    let Ok(next) = transition::step(&delivery.facts, event, stamp.at, 0.0, &terms.policy) else {
        return Ok(Claim::Nothing);
    };
    if next.facts.state != State::Sending {
        write(tx, stamp, &delivery, &next, json!({})).await?;
        return Ok(Claim::Moved(next.facts.state));
    }
    let claimed = open_attempt(tx, stamp, delivery, &next, terms).await?;
    Ok(Claim::Sending(Box::new(claimed)))
}

/// Writes lease, fence, attempt and spacing for a delivery that is about to be sent.
async fn open_attempt(
    tx: &mut Tx,
    stamp: &Stamp,
    mut delivery: Delivery,
    next: &Transition,
    terms: &Terms,
) -> Result<Delivery> {
    let key_is_new = next.facts.key_used_at != delivery.facts.key_used_at;
    if key_is_new || delivery.retry_key.is_none() {
        delivery.retry_key = Some(Uuid::new_v4().to_string());
    }
    delivery.fence += 1;
    let lease_until = tx.lease_clock(stamp.at).await? + clock::span(terms.lease);
    tx.execute(
        "UPDATE delivery SET fence = $2, retry_key = $3, lease_owner = $4, lease_boot = $5, lease_until = $6
          WHERE id = $1",
        args![delivery.id, delivery.fence, &delivery.retry_key, &stamp.node, &terms.boot, lease_until],
    )
    .await?;
    tx.execute(
        "INSERT INTO attempt (delivery, number, node, started_at, hash, retry_key) VALUES ($1, $2, $3, $4, $5, $6)",
        args![
            delivery.id,
            next.facts.attempts,
            &stamp.node,
            stamp.at,
            &delivery.hash,
            &delivery.retry_key
        ],
    )
    .await?;
    account::space(tx, &delivery.account, stamp.at + clock::span(terms.min_gap)).await?;
    let detail =
        json!({ "attempt": next.facts.attempts, "retry_key": delivery.retry_key, "fence": delivery.fence });
    write(tx, stamp, &delivery, next, detail).await?;
    delivery.facts = next.facts.clone();
    Ok(delivery)
}

/// Whether a claim still holds. Asked right before a send: the lease may have been released meanwhile, however
/// little time has passed, because the wall clock leapt.
///
/// # Errors
/// What the engine says; nothing may be sent then.
pub async fn is_held(db: &Db, claimed: &Delivery) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM delivery WHERE id = $1 AND fence = $2 AND state = 'sending'";
    Ok(db.one(sql, args![claimed.id, claimed.fence]).await?.is_some())
}

/// The delivery of the account that goes first: by lane, then by due time. One index look-up a lane.
async fn next_due(
    tx: &mut Tx,
    account: &str,
    last_lane: Lane,
    now: DateTime<Utc>,
) -> Result<Option<(Delivery, bool)>> {
    for lane in Lane::ALL.into_iter().filter(|lane| *lane <= last_lane) {
        let sql = "SELECT id FROM delivery WHERE account = $1 AND lane = $2 AND state = 'scheduled' AND due_at <= $3
                    ORDER BY due_at, id LIMIT 1";
        let Some(row) = tx.one(sql, args![account, lane.rank(), now]).await? else { continue };
        let Some(delivery) = find_for_update(tx, row.int("id")?).await? else { continue };
        let sql = "SELECT 1 AS one FROM post p JOIN article a ON a.id = p.article
                    WHERE p.id = $1 AND a.version > p.version";
        let stale = tx.one(sql, args![delivery.post]).await?.is_some();
        return Ok(Some((delivery, stale)));
    }
    Ok(None)
}

/// Turns leases that nobody holds any more into doubt: those of this node's earlier boots, and all that ran out.
/// Returns how many there were.
///
/// # Errors
/// What the engine says.
pub async fn release_lost(
    db: &Db,
    stamp: &Stamp,
    boot: &str,
    policy_of: impl Fn(&str) -> Policy,
) -> Result<usize> {
    if db.one("SELECT 1 AS one FROM delivery WHERE state = 'sending' LIMIT 1", args![]).await?.is_none() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let clock = tx.lease_clock(stamp.at).await?;
    let sql = format!(
        "SELECT d.id FROM delivery d WHERE d.state = 'sending'
            AND (d.lease_until < $1 OR (d.lease_owner = $2 AND d.lease_boot <> $3)) ORDER BY d.id{}",
        tx.skip_locked()
    );
    let lost = tx.all(AssertSqlSafe(sql), args![clock, &stamp.node, boot]).await?;
    for row in &lost {
        let Some(delivery) = find_for_update(&mut tx, row.int("id")?).await? else { continue };
        let policy = policy_of(&delivery.account);
        let Ok(next) = transition::step(&delivery.facts, Event::LeaseLost, stamp.at, 0.5, &policy) else {
            continue;
        };
        tx.execute(
            "UPDATE attempt SET finished_at = $3, outcome = 'lease_lost' WHERE delivery = $1 AND number = $2
                AND finished_at IS NULL",
            args![delivery.id, delivery.facts.attempts, stamp.at],
        )
        .await?;
        write(&mut tx, stamp, &delivery, &next, json!({ "attempt": delivery.facts.attempts })).await?;
    }
    if !lost.is_empty() {
        tx.commit().await?;
    }
    Ok(lost.len())
}

/// Takes an unconfirmed delivery whose next look is due; other nodes leave it alone for `lease`.
///
/// # Errors
/// What the engine says.
pub async fn claim_look(db: &Db, stamp: &Stamp, lease: Duration) -> Result<Option<Delivery>> {
    let sql = "SELECT 1 AS one FROM delivery WHERE state = 'unconfirmed' AND due_at <= $1 LIMIT 1";
    if db.one(sql, args![stamp.at]).await?.is_none() {
        return Ok(None);
    }
    let mut tx = db.begin().await?;
    let clock = tx.lease_clock(stamp.at).await?;
    let sql = format!(
        "SELECT d.id FROM delivery d JOIN account a ON a.name = d.account
          WHERE d.state = 'unconfirmed' AND d.due_at <= $1 AND d.lease_until < $2
            AND (a.pause IS NULL OR a.pause <> 'auth')
          ORDER BY d.due_at LIMIT 1{}",
        if tx.is_postgres() { " FOR UPDATE OF d SKIP LOCKED" } else { "" }
    );
    let Some(row) = tx.one(AssertSqlSafe(sql), args![stamp.at, clock]).await? else { return Ok(None) };
    let id = row.int("id")?;
    tx.execute(
        "UPDATE delivery SET fence = fence + 1, lease_owner = $2, lease_until = $3 WHERE id = $1",
        args![id, &stamp.node, clock + clock::span(lease)],
    )
    .await?;
    let delivery = find_for_update(&mut tx, id).await?;
    tx.commit().await?;
    Ok(delivery)
}
