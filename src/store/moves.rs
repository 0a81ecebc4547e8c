//! Moves: writes what transitions decided, rows and entries together.
//!
//! A dispatcher moves many deliveries in one commit, and one statement moves them all: what costs a lot in a
//! database is the commit, and next to it the statement.

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::model::audit::Action;
use crate::model::audit::Entry;
use crate::model::delivery::Delivery;
use crate::model::delivery::State;
use crate::model::transition::Transition;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::db::Value;
use crate::store::db::args;
use crate::store::db::placeholders;

/// One delivery that changes its state.
#[derive(Debug)]
pub(crate) struct Move<'a> {
    before: &'a Delivery,
    next: &'a Transition,
    detail: serde_json::Value,
    lease: Option<Lease<'a>>,
}

/// What a delivery gets that is about to be sent.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    /// The number under which the answer may be recorded; it only grows.
    pub(crate) fence: i64,
    /// What a platform knows a repeat by.
    pub(crate) retry_key: Option<&'a str>,
    /// The start of the daemon that sends.
    pub(crate) boot: &'a str,
    /// When others may take it for lost.
    pub(crate) until: DateTime<Utc>,
}

impl<'a> Move<'a> {
    /// A move with what its entry tells besides state, time and reason: a JSON object.
    pub(crate) fn new(before: &'a Delivery, next: &'a Transition, detail: serde_json::Value) -> Move<'a> {
        Move { before, next, detail, lease: None }
    }

    /// The same, into a send.
    pub(crate) fn under(self, lease: Lease<'a>) -> Move<'a> {
        Move { lease: Some(lease), ..self }
    }

    /// The values of [`write()`]'s statement, in its order.
    fn values(&self, stamp: &Stamp) -> Vec<Value> {
        let facts = &self.next.facts;
        let receipt = self.next.receipt.as_ref();
        let lease = self.lease.as_ref();
        args![
            self.before.id,
            facts.state.name(),
            facts.due_at,
            facts.attempts,
            facts.failures,
            facts.resends,
            facts.looks,
            facts.attempt_started_at,
            facts.unconfirmed_at,
            facts.key_used_at,
            &self.next.reason,
            receipt.map(|receipt| receipt.remote_id.as_str()),
            receipt.and_then(|receipt| receipt.permalink.as_deref()),
            stamp.at,
            lease.map(|lease| lease.fence),
            lease.and_then(|lease| lease.retry_key),
            lease.map(|_| stamp.node.as_str()),
            lease.map(|lease| lease.boot),
            lease.map(|lease| lease.until),
        ]
    }

    fn entry(mut self, stamp: &Stamp) -> Entry {
        let (before, facts) = (self.before, &self.next.facts);
        let receipt = self.next.receipt.as_ref();
        if let Some(fields) = self.detail.as_object_mut() {
            fields.insert("from".into(), json!(before.facts.state));
            fields.insert("due".into(), json!(facts.due_at));
            if let Some(reason) = &self.next.reason {
                fields.insert("reason".into(), json!(reason));
            }
            if let Some(link) = receipt.and_then(|receipt| receipt.permalink.as_deref()) {
                fields.insert("permalink".into(), json!(link));
            }
        }
        let mut entry = stamp.entry_of(action_of(before.facts.state, facts.state), before);
        entry.detail = self.detail;
        if let Some(receipt) = receipt {
            entry.remote_id = Some(receipt.remote_id.clone());
        }
        entry
    }
}

/// Moves written by one statement: SQLite takes at most 32,766 values at once.
const ROWS: usize = 100;

/// The values of one move.
const COLUMNS: usize = 19;

/// Writes moves and their audit entries. A lease ends with the state it was taken for.
///
/// # Errors
/// What the engine says.
pub(crate) async fn write(
    tx: &mut Tx,
    stamp: &Stamp,
    moves: impl IntoIterator<Item = Move<'_>>,
) -> Result<()> {
    let moves: Vec<Move<'_>> = moves.into_iter().collect();
    for moves in moves.chunks(ROWS) {
        let sql = format!(
            "UPDATE delivery SET state = v.column2, due_at = v.column3, attempts = v.column4,
                    failures = v.column5, resends = v.column6, looks = v.column7,
                    attempt_started_at = v.column8, unconfirmed_at = v.column9, key_used_at = v.column10,
                    reason = v.column11, remote_id = COALESCE(v.column12, remote_id),
                    permalink = COALESCE(v.column13, permalink), changed_at = v.column14,
                    fence = COALESCE(v.column15, fence), retry_key = COALESCE(v.column16, retry_key),
                    lease_owner = COALESCE(v.column17, lease_owner),
                    lease_boot = COALESCE(v.column18, lease_boot), lease_until = COALESCE(v.column19, 0)
               FROM (VALUES {}) AS v WHERE delivery.id = v.column1",
            placeholders(1, moves.len(), COLUMNS)
        );
        let values = moves.iter().flat_map(|it| it.values(stamp)).collect();
        tx.execute(AssertSqlSafe(sql), values).await?;
    }
    let entries: Vec<Entry> = moves.into_iter().map(|it| it.entry(stamp)).collect();
    audit::append_all(tx, &entries).await
}

/// The audit log's word for a move.
fn action_of(from: State, to: State) -> Action {
    match to {
        State::Scheduled if matches!(from, State::Held | State::Failed) => Action::DeliveryRetried,
        State::Scheduled => Action::DeliveryDeferred,
        State::Sending => Action::DeliverySending,
        State::Unconfirmed if from == State::Unconfirmed => Action::DeliveryReadBack,
        State::Unconfirmed => Action::DeliveryUnconfirmed,
        State::Delivered => Action::DeliveryDelivered,
        State::Failed => Action::DeliveryFailed,
        State::Parked => Action::DeliveryParked,
        State::Held => Action::DeliveryHeld,
        State::Expired => Action::DeliveryExpired,
        State::Cancelled => Action::DeliveryCancelled,
    }
}
