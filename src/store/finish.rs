//! Finish: records how attempts ended.
//!
//! Many at once in one commit. An answer counts under the fence of its claim only; what comes too late is
//! kept as evidence.

use std::collections::HashMap;

use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::model::attempt::Answer;
use crate::model::attempt::Receipt;
use crate::model::audit::Action;
use crate::model::audit::Entry;
use crate::model::delivery::Delivery;
use crate::model::delivery::State;
use crate::model::transition;
use crate::model::transition::Effect;
use crate::model::transition::Event;
use crate::model::transition::Policy;
use crate::model::transition::Transition;
use crate::store::account;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::Value;
use crate::store::db::args;
use crate::store::db::numbers;
use crate::store::db::placeholders;
use crate::store::delivery::COLUMNS;
use crate::store::delivery::Happening;
use crate::store::delivery::TABLES;
use crate::store::delivery::read;
use crate::store::moves;
use crate::store::moves::Move;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The delivery as its claim returned it.
    pub claimed: Delivery,
    /// What happened.
    pub happening: Happening,
    /// The rules of its account.
    pub policy: Policy,
}

/// A platform's clock that moved by less is the same: its `Date` has whole seconds.
const CLOCK_STEP: i64 = 2;

/// Records how attempts ended. A delivery stands in `outcomes` at most once.
///
/// In the order of `outcomes`: what became of each, and `None` where the lease was lost meanwhile, so that the row
/// is not ours to write. A receipt is then still taken as proof, unless the row is being sent again or has its end.
///
/// If the transaction is not committed the rows stay `sending` until they are recorded or their leases run out.
pub(crate) async fn finish(
    tx: &mut Tx,
    stamp: &Stamp,
    outcomes: &[Outcome],
) -> Result<Vec<Option<Transition>>> {
    if outcomes.is_empty() {
        return Ok(Vec::new());
    }
    let found = find_all(tx, outcomes).await?;
    close_attempts(tx, stamp, outcomes).await?;
    let decided: Vec<Option<Transition>> = outcomes
        .iter()
        .map(|outcome| {
            found.get(&outcome.claimed.id).and_then(|(delivery, _)| decide(delivery, outcome, stamp))
        })
        .collect();
    let mut moved = Vec::new();
    let mut late: Vec<Entry> = Vec::new();
    for (outcome, next) in outcomes.iter().zip(&decided) {
        let Some((delivery, _)) = found.get(&outcome.claimed.id) else { continue };
        match next {
            Some(next) => moved.push(Move::new(delivery, next, tell(outcome))),
            None => late.push(late_answer(stamp, delivery, outcome)),
        }
    }
    moves::write(tx, stamp, moved).await?;
    audit::append_all(tx, &late).await?;
    for (outcome, next) in outcomes.iter().zip(&decided) {
        let Some((_, account)) = found.get(&outcome.claimed.id) else { continue };
        if let Some(next) = next {
            tend_account(tx, stamp, outcome, next, account).await?;
        }
    }
    Ok(decided)
}

/// What the account's row says; most answers change nothing of it.
struct AccountFacts {
    clock_offset: i64,
    next_send_at: i64,
    /// It is paused, or has failures or probes to forget.
    troubled: bool,
}

async fn find_all(tx: &mut Tx, outcomes: &[Outcome]) -> Result<HashMap<i64, (Delivery, AccountFacts)>> {
    let ids = outcomes.iter().map(|outcome| Value::from(outcome.claimed.id)).collect();
    // One order for all, so that two nodes with late answers to each other's deliveries don't lock crosswise.
    let sql = format!(
        "SELECT {COLUMNS}, a.clock_offset, a.next_send_at,
                a.failures + a.probes + CASE WHEN a.pause IS NULL THEN 0 ELSE 1 END AS troubles
           FROM {TABLES} JOIN account a ON a.name = d.account
          WHERE d.id IN ({}) ORDER BY d.account, d.id{}",
        numbers(1, outcomes.len()),
        if tx.is_postgres() { " FOR UPDATE OF d" } else { "" }
    );
    let known = |row: &Row| {
        let delivery = read(row)?;
        let account = AccountFacts {
            clock_offset: row.int("clock_offset")?,
            next_send_at: row.int("next_send_at")?,
            troubled: row.int("troubles")? > 0,
        };
        Ok((delivery.id, (delivery, account)))
    };
    tx.all(AssertSqlSafe(sql), ids).await?.iter().map(known).collect()
}

fn decide(delivery: &Delivery, outcome: &Outcome, stamp: &Stamp) -> Option<Transition> {
    let Outcome { claimed, happening, policy } = outcome;
    let ours = delivery.fence == claimed.fence && delivery.facts.state == State::Sending;
    let proves = ours || (receipt(outcome).is_some() && delivery.facts.state != State::Sending);
    if !proves {
        return None;
    }
    transition::step(&delivery.facts, happening.event.clone(), stamp.at, happening.chance, policy).ok()
}

fn receipt(outcome: &Outcome) -> Option<&Receipt> {
    match &outcome.happening.event {
        Event::Answered(Ok(receipt)) => Some(receipt),
        _ => None,
    }
}

/// What an entry tells of an attempt.
fn tell(outcome: &Outcome) -> serde_json::Value {
    let claimed = &outcome.claimed.facts;
    let mut detail = json!({
        "attempt": claimed.attempts, "started_at": claimed.attempt_started_at,
        "outcome": describe(&outcome.happening.event).0,
    });
    if let Some(answer) = &outcome.happening.answer {
        detail["status"] = json!(answer.status);
        detail["request_id"] = json!(answer.request_id);
    }
    if !outcome.happening.evidence.is_null() {
        detail["evidence"] = outcome.happening.evidence.clone();
    }
    detail
}

fn late_answer(stamp: &Stamp, delivery: &Delivery, outcome: &Outcome) -> Entry {
    let mut entry = stamp.entry_of(Action::DeliveryReadBack, delivery);
    let attempt = outcome.claimed.facts.attempts;
    entry.detail = json!({ "late_answer": describe(&outcome.happening.event), "attempt": attempt });
    entry.remote_id = receipt(outcome).map(|receipt| receipt.remote_id.clone());
    entry
}

async fn tend_account(
    tx: &mut Tx,
    stamp: &Stamp,
    outcome: &Outcome,
    next: &Transition,
    known: &AccountFacts,
) -> Result<()> {
    let name = &outcome.claimed.account;
    let offset = outcome.happening.answer.as_ref().and_then(|answer| answer.clock_offset);
    if let Some(offset) = offset.filter(|offset| (offset - known.clock_offset).abs() >= CLOCK_STEP) {
        account::note_clock_offset(tx, name, offset).await?;
    }
    if next.facts.state == State::Scheduled && known.next_send_at > crate::clock::micros(stamp.at) {
        // Nothing went out, so nothing needs a distance from it.
        account::space(tx, name, stamp.at).await?;
    }
    if next.effect == Some(Effect::Answering) && !known.troubled {
        return Ok(());
    }
    account::apply(tx, stamp, name, next.effect.as_ref(), &outcome.policy).await
}

async fn close_attempts(tx: &mut Tx, stamp: &Stamp, outcomes: &[Outcome]) -> Result<()> {
    let values = outcomes.iter().flat_map(|Outcome { claimed, happening, .. }| {
        let (outcome, reason) = describe(&happening.event);
        let answer = happening.answer.as_ref();
        args![
            claimed.id,
            claimed.facts.attempts,
            stamp.at,
            outcome,
            answer.and_then(|answer: &Answer| answer.status).map(i64::from),
            answer.and_then(|answer| answer.request_id.as_deref()),
            reason
        ]
    });
    let sql = format!(
        "UPDATE attempt SET finished_at = v.column3, outcome = v.column4, status = v.column5,
                request_id = v.column6, reason = v.column7
           FROM (VALUES {}) AS v WHERE attempt.delivery = v.column1 AND attempt.number = v.column2",
        placeholders(1, outcomes.len(), 7)
    );
    tx.execute(AssertSqlSafe(sql), values.collect()).await?;
    Ok(())
}

/// An event as the attempt row tells it: outcome and reason.
fn describe(event: &Event) -> (&'static str, Option<String>) {
    match event {
        Event::Answered(Ok(_)) => ("delivered", None),
        Event::Answered(Err(error)) => (error.kind(), Some(error.reason().to_owned())),
        Event::NotSent { reason } => ("not_sent", Some(reason.clone())),
        Event::AlreadyThere { link } => ("already_there", Some(link.clone())),
        _ => ("interrupted", None),
    }
}
