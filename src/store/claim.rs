//! Claim: takes what is due, under a lease with a fence.
//!
//! Nothing may be sent before the transaction of a [`claim()`] is committed; a lease that ran out becomes doubt.

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
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;
use crate::store::db::placeholders;
use crate::store::delivery::COLUMNS;
use crate::store::delivery::TABLES;
use crate::store::delivery::find_for_update;
use crate::store::delivery::read;
use crate::store::gap;
use crate::store::gap::Gap;
use crate::store::hold;
use crate::store::moves;
use crate::store::moves::Lease;
use crate::store::moves::Move;
use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;
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

/// An account that would send, and what its claim needs to know.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its name.
    pub account: String,
    /// Its terms.
    pub terms: Terms,
}

/// Takes, for each of the accounts that may send now, the delivery that goes out next. What each wish came to, in
/// their order. An account stands in `wishes` at most once.
///
/// The accounts' rows are locked, holds are read, the leases with their fences and the attempts with their payload
/// hashes and retry keys are written. Only after the transaction is committed may a byte be sent.
pub(crate) async fn claim(tx: &mut Tx, stamp: &Stamp, wishes: &[Wish]) -> Result<Vec<Claim>> {
    let names: Vec<&str> = wishes.iter().map(|wish| wish.account.as_str()).collect();
    let spaced = account::lock_sendable(tx, &names, stamp.at).await?;
    let open: Vec<(&str, Lane)> = wishes
        .iter()
        .filter_map(|wish| {
            let spaced_until = *spaced.get(&wish.account)?;
            let urgent_only = wish.terms.quiet || spaced_until > stamp.at;
            Some((wish.account.as_str(), if urgent_only { Lane::Breaking } else { Lane::Promotion }))
        })
        .collect();
    if open.is_empty() {
        return Ok(wishes.iter().map(|_| Claim::Nothing).collect());
    }
    let mut due = next_due(tx, &open, stamp.at).await?;
    if due.is_empty() {
        return Ok(wishes.iter().map(|_| Claim::Nothing).collect());
    }
    let accounts: Vec<&str> = due.keys().map(String::as_str).collect();
    if let Some(gap) = gap::detect(tx, stamp, &accounts).await? {
        return Ok(wishes.iter().map(|_| Claim::Forgot(gap.clone())).collect());
    }
    let holds = hold::list_in(tx).await?;
    let any_gap = gap::is_any(tx).await?;
    let mut decided = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let Some((mut delivery, stale)) = due.remove(&wish.account) else {
            decided.push(Decision::Nothing);
            continue;
        };
        let held = holds.iter().any(|hold| hold.stops(&wish.account, delivery.lane));
        // A hold stops no look; a shadow never sent anything.
        let clouded = match any_gap && !wish.terms.shadow {
            true => gap::clouds(tx, &mut delivery, held).await?,
            false => None,
        };
        decided.push(match clouded {
            None if stale && !held && delivery.facts.attempts == 0 => Decision::Stale(delivery.post),
            None => {
                decide(delivery, Event::Due { held, shadow: wish.terms.shadow }, stamp.at, &wish.terms.policy)
            }
            Some(event) => decide(delivery, event, stamp.at, &wish.terms.policy),
        });
    }
    write(tx, stamp, wishes, &decided).await?;
    Ok(decided.into_iter().map(Decision::into_claim).collect())
}

/// What a wish comes to, before it is written.
enum Decision {
    Nothing,
    Stale(i64),
    Move(Box<Delivery>, Box<Transition>),
}

impl Decision {
    fn into_claim(self) -> Claim {
        match self {
            Decision::Nothing => Claim::Nothing,
            Decision::Stale(post) => Claim::Stale { post },
            Decision::Move(mut delivery, next) if next.facts.state == State::Sending => {
                delivery.facts = next.facts;
                Claim::Sending(delivery)
            }
            Decision::Move(_, next) => Claim::Moved(next.facts.state),
        }
    }
}

fn decide(mut delivery: Delivery, event: Event, now: DateTime<Utc>, policy: &Policy) -> Decision {
    let Ok(next) = transition::step(&delivery.facts, event, now, 0.0, policy) else {
        return Decision::Nothing;
    };
    if next.facts.state == State::Sending {
        let key_is_new = next.facts.key_used_at != delivery.facts.key_used_at;
        if key_is_new || delivery.retry_key.is_none() {
            delivery.retry_key = Some(Uuid::new_v4().to_string());
        }
        delivery.fence += 1;
    }
    Decision::Move(Box::new(delivery), Box::new(next))
}

/// Writes moves, and lease, fence, attempt and spacing of what is about to be sent.
async fn write(tx: &mut Tx, stamp: &Stamp, wishes: &[Wish], decided: &[Decision]) -> Result<()> {
    let lease_clock = tx.lease_clock(stamp.at).await?;
    let mut moved = Vec::new();
    let mut attempts = Vec::new();
    let mut spacing = Vec::new();
    for (wish, decision) in wishes.iter().zip(decided) {
        let Decision::Move(delivery, next) = decision else { continue };
        if next.facts.state != State::Sending {
            moved.push(Move::new(delivery, next, json!({})));
            continue;
        }
        let number = next.facts.attempts;
        let detail = json!({ "attempt": number, "retry_key": delivery.retry_key, "fence": delivery.fence });
        let lease = Lease {
            fence: delivery.fence,
            retry_key: delivery.retry_key.as_deref(),
            boot: &wish.terms.boot,
            until: lease_clock + clock::span(wish.terms.lease),
        };
        moved.push(Move::new(delivery, next, detail).under(lease));
        attempts.extend(args![
            delivery.id,
            number,
            &stamp.node,
            stamp.at,
            &delivery.hash,
            &delivery.retry_key
        ]);
        if !wish.terms.min_gap.is_zero() {
            spacing.extend(args![&wish.account, stamp.at + clock::span(wish.terms.min_gap)]);
        }
    }
    if !attempts.is_empty() {
        let sql = format!(
            "INSERT INTO attempt (delivery, number, node, started_at, hash, retry_key) VALUES {}",
            placeholders(1, attempts.len() / 6, 6)
        );
        tx.execute(AssertSqlSafe(sql), attempts).await?;
    }
    if !spacing.is_empty() {
        let sql = format!(
            "UPDATE account SET next_send_at = v.column2 FROM (VALUES {}) AS v WHERE account.name = v.column1",
            placeholders(1, spacing.len() / 2, 2)
        );
        tx.execute(AssertSqlSafe(sql), spacing).await?;
    }
    moves::write(tx, stamp, moved).await
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

/// For each account the delivery that goes first, by lane up to the last one allowed, then by due time, and whether
/// its article has a newer version than its post. One index look-up a lane; none for an account that is sending.
async fn next_due(
    tx: &mut Tx,
    open: &[(&str, Lane)],
    now: DateTime<Utc>,
) -> Result<HashMap<String, (Delivery, bool)>> {
    let first_of = |lane: Lane| {
        let rank = lane.rank();
        format!(
            "(SELECT n.id FROM delivery n WHERE n.account = v.column1 AND n.lane = {rank} AND v.column2 >= {rank}
                 AND n.state = 'scheduled' AND n.due_at <= $1 ORDER BY n.due_at, n.id LIMIT 1)"
        )
    };
    // SQLite takes the tables of a CROSS JOIN in their order; left alone it would walk through all that wait.
    let sql = format!(
        "SELECT {COLUMNS},
                (SELECT count(*) FROM article a WHERE a.id = p.article AND a.version > p.version) AS stale
           FROM (SELECT COALESCE({}) AS id FROM (VALUES {}) AS v
                  WHERE NOT EXISTS (SELECT 1 FROM delivery s WHERE s.account = v.column1 AND s.state = 'sending')
                ) AS next
          CROSS JOIN {TABLES}
          WHERE d.id = next.id AND d.state = 'scheduled' ORDER BY d.account{}",
        Lane::ALL.map(first_of).join(", "),
        placeholders(2, open.len(), 2),
        // One that somebody is changing this moment is left for the next look; waiting for it could cross another wait.
        if tx.is_postgres() { " FOR UPDATE OF d SKIP LOCKED" } else { "" }
    );
    let mut values = args![now];
    values.extend(open.iter().flat_map(|(account, last_lane)| args![*account, last_lane.rank()]));
    let due = |row: &Row| {
        let delivery = read(row)?;
        Ok((delivery.account.clone(), (delivery, row.truth("stale")?)))
    };
    tx.all(AssertSqlSafe(sql), values).await?.iter().map(due).collect()
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
        let detail = json!({ "attempt": delivery.facts.attempts });
        moves::write(&mut tx, stamp, [Move::new(&delivery, &next, detail)]).await?;
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
