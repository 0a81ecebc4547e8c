//! Delivery: claims what is due, records how it went.
//!
//! The row is the truth and the queue at once. What may happen is decided by `model::transition`;
//! here it is read, decided and written in one transaction, with its audit entry.

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::model::attempt::Answer;
use crate::model::audit::Action;
use crate::model::delivery::Act;
use crate::model::delivery::Delivery;
use crate::model::delivery::Facts;
use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::model::transition;
use crate::model::transition::Event;
use crate::model::transition::Policy;
use crate::model::transition::Transition;
use crate::store::account;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;

/// The columns of a delivery with its post's words; every reader uses them.
const COLUMNS: &str = "d.id, d.post, d.act, d.account, d.lane, d.state, d.due_at, d.good_until, d.attempts,
     d.failures, d.resends, d.looks, d.attempt_started_at, d.unconfirmed_at, d.retry_key, d.key_used_at,
     d.fence, d.remote_id, d.permalink, d.reason, p.body, p.hash, p.text, p.link, p.article
     FROM delivery d JOIN post p ON p.id = d.post";

/// An event with all that came with it.
#[derive(Debug, Clone)]
pub struct Happening {
    /// What happened.
    pub event: Event,
    /// What it is known by: the read-back's list, a person's link. Null if there is nothing to say.
    pub evidence: serde_json::Value,
    /// The platform's answer, if there was one.
    pub answer: Option<Answer>,
    /// A number in 0..1 that spreads retries.
    pub chance: f64,
}

impl From<Event> for Happening {
    fn from(event: Event) -> Self {
        Happening { event, evidence: serde_json::Value::Null, answer: None, chance: 1.0 }
    }
}

/// Creates the delivery of an approved post. Does nothing if it is there already.
///
/// # Errors
/// What the engine says.
pub async fn insert(
    tx: &mut Tx,
    stamp: &Stamp,
    post: i64,
    account: &str,
    lane: Lane,
    due_at: DateTime<Utc>,
    good_until: DateTime<Utc>,
) -> Result<Option<i64>> {
    let row = tx
        .one(
            "INSERT INTO delivery (post, act, revision, account, lane, state, due_at, good_until, changed_at)
             VALUES ($1, $2, 1, $3, $4, 'scheduled', $5, $6, $7)
             ON CONFLICT (post, act, revision) DO NOTHING RETURNING id",
            args![post, Act::Publish.name(), account, lane.rank(), due_at, good_until, stamp.at],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let id = row.int("id")?;
    if let Some(delivery) = find_for_update(tx, id).await? {
        let detail = json!({ "due": due_at, "good_until": good_until, "text": delivery.text });
        let mut entry = stamp.entry_of(Action::DeliveryScheduled, &delivery);
        entry.payload = Some(delivery.body);
        entry.detail = detail;
        audit::append(tx, &entry).await?;
    }
    Ok(Some(id))
}

/// Records how an attempt ended. `None` when the lease was lost meanwhile and the row is not ours to write;
/// a receipt is then still taken as proof, unless the row is being sent again or has its end.
///
/// # Errors
/// What the engine says; the row then stays `sending` until it is recorded or its lease runs out.
pub async fn finish(
    db: &Db,
    stamp: &Stamp,
    claimed: &Delivery,
    happening: Happening,
    policy: &Policy,
) -> Result<Option<Transition>> {
    let Happening { event, evidence, answer, chance } = happening;
    let answer = answer.as_ref();
    let mut tx = db.begin().await?;
    let Some(delivery) = find_for_update(&mut tx, claimed.id).await? else { return Ok(None) };
    close_attempt(&mut tx, stamp, claimed, &event, answer).await?;
    let ours = delivery.fence == claimed.fence && delivery.facts.state == State::Sending;
    let receipt = match &event {
        Event::Answered(Ok(receipt)) => Some(receipt.clone()),
        _ => None,
    };
    let proves = ours || (receipt.is_some() && delivery.facts.state != State::Sending);
    let late = json!({ "late_answer": describe(&event), "attempt": claimed.facts.attempts });
    let mut detail = json!({
        "attempt": claimed.facts.attempts, "started_at": claimed.facts.attempt_started_at,
        "outcome": describe(&event).0,
    });
    let next = proves.then(|| transition::step(&delivery.facts, event, stamp.at, chance, policy));
    let Some(Ok(next)) = next else {
        let mut entry = stamp.entry_of(Action::DeliveryReadBack, &delivery);
        entry.detail = late;
        entry.remote_id = receipt.map(|receipt| receipt.remote_id);
        audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
        return Ok(None);
    };
    if let Some(answer) = answer {
        detail["status"] = json!(answer.status);
        detail["request_id"] = json!(answer.request_id);
    }
    if !evidence.is_null() {
        detail["evidence"] = evidence;
    }
    write(&mut tx, stamp, &delivery, &next, detail).await?;
    if let Some(offset) = answer.and_then(|answer| answer.clock_offset) {
        account::note_clock_offset(&mut tx, &delivery.account, offset).await?;
    }
    if next.facts.state == State::Scheduled {
        // Nothing went out, so nothing needs a distance from it.
        account::space(&mut tx, &delivery.account, stamp.at).await?;
    }
    account::apply(&mut tx, stamp, &delivery.account, next.effect.as_ref(), policy).await?;
    tx.commit().await?;
    Ok(Some(next))
}

/// Calls off what waits for accounts that are not configured any more. Returns how many there were.
///
/// # Errors
/// What the engine says.
pub async fn cancel_removed(db: &Db, stamp: &Stamp, configured: &[String], policy: &Policy) -> Result<usize> {
    let sql = "SELECT id, account FROM delivery WHERE state IN ('scheduled', 'held') ORDER BY id";
    let mut tx = db.begin().await?;
    let mut cancelled = 0;
    for row in tx.all(sql, args![]).await? {
        if configured.contains(&row.text("account")?) {
            continue;
        }
        let Some(delivery) = find_for_update(&mut tx, row.int("id")?).await? else { continue };
        let event = Event::Cancelled { reason: "the account was removed from the configuration".to_owned() };
        let Ok(next) = transition::step(&delivery.facts, event, stamp.at, 0.0, policy) else { continue };
        write(&mut tx, stamp, &delivery, &next, json!({})).await?;
        cancelled += 1;
    }
    if cancelled > 0 {
        tx.commit().await?;
    }
    Ok(cancelled)
}

/// Applies an event that comes from outside a send: a look, or a person. `fence` guards a look that took too long.
///
/// # Errors
/// [`Error::Engine`]; `Ok(Err(…))` when the state does not allow it.
pub async fn apply(
    db: &Db,
    stamp: &Stamp,
    id: i64,
    fence: Option<i64>,
    happening: Happening,
    policy: &Policy,
) -> Result<std::result::Result<Delivery, Refusal>> {
    let mut tx = db.begin().await?;
    let Some(delivery) = find_for_update(&mut tx, id).await? else { return Ok(Err(Refusal::Unknown { id })) };
    if fence.is_some_and(|fence| fence != delivery.fence) {
        return Ok(Err(Refusal::TakenOver));
    }
    let Happening { event, evidence, answer, chance } = happening;
    let next = match transition::step(&delivery.facts, event, stamp.at, chance, policy) {
        Ok(next) => next,
        Err(refusal) => return Ok(Err(Refusal::NotAllowed(refusal))),
    };
    let detail = if evidence.is_null() { json!({}) } else { json!({ "evidence": evidence }) };
    write(&mut tx, stamp, &delivery, &next, detail).await?;
    if let Some(offset) = answer.and_then(|answer| answer.clock_offset) {
        account::note_clock_offset(&mut tx, &delivery.account, offset).await?;
    }
    account::apply(&mut tx, stamp, &delivery.account, next.effect.as_ref(), policy).await?;
    tx.commit().await?;
    find(db, id).await.map(|found| found.ok_or(Refusal::Unknown { id }))
}

/// Why a person's wish was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such delivery.
    #[error("there is no delivery {id}")]
    Unknown {
        /// The id asked for.
        id: i64,
    },
    /// Its state does not allow that.
    #[error(transparent)]
    NotAllowed(#[from] transition::NotAllowed),
    /// Somebody else moved it meanwhile.
    #[error("it moved on meanwhile; look again")]
    TakenOver,
}

/// One delivery.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, id: i64) -> Result<Option<Delivery>> {
    let sql = format!("SELECT {COLUMNS} WHERE d.id = $1");
    db.one(AssertSqlSafe(sql), args![id]).await?.as_ref().map(read).transpose()
}

/// The delivery of a post, newest revision first.
///
/// # Errors
/// What the engine says.
pub async fn list_of_post(db: &Db, post: i64) -> Result<Vec<Delivery>> {
    let sql = format!("SELECT {COLUMNS} WHERE d.post = $1 ORDER BY d.revision DESC, d.id DESC");
    db.all(AssertSqlSafe(sql), args![post]).await?.iter().map(read).collect()
}

/// Deliveries that machine work will still move.
///
/// # Errors
/// What the engine says.
pub async fn count_moving(db: &Db) -> Result<i64> {
    let sql = "SELECT count(*) AS n FROM delivery WHERE state IN ('scheduled', 'sending', 'unconfirmed')";
    db.one(sql, args![]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// The remote ids that other deliveries of `account` own, since `since`: a read-back must not take one of them.
///
/// # Errors
/// What the engine says.
pub async fn list_remote_ids(
    db: &Db,
    account: &str,
    except: i64,
    since: DateTime<Utc>,
) -> Result<Vec<String>> {
    let sql = "SELECT remote_id FROM delivery
                WHERE account = $1 AND id <> $2 AND changed_at >= $3 AND remote_id IS NOT NULL
                ORDER BY changed_at DESC";
    db.all(sql, args![account, except, since]).await?.iter().map(|row| row.text("remote_id")).collect()
}

/// The newest post of an account that is known to be public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The platform's id.
    pub remote_id: String,
    /// When its last attempt was opened, on our clock: it can't be older.
    pub started_at: DateTime<Utc>,
    /// When we learnt that it is public, on our clock: it can't be newer.
    pub known_at: DateTime<Utc>,
}

/// The newest delivered delivery of `account` but for `except`, among those known before `known_before`.
///
/// # Errors
/// What the engine says.
pub async fn newest_delivered(
    db: &Db,
    account: &str,
    except: i64,
    known_before: DateTime<Utc>,
) -> Result<Option<Newest>> {
    let sql =
        "SELECT remote_id, COALESCE(attempt_started_at, changed_at) AS started_at, changed_at FROM delivery
                WHERE account = $1 AND id <> $2 AND remote_id IS NOT NULL AND state = 'delivered' AND changed_at <= $3
                ORDER BY changed_at DESC LIMIT 1";
    let row = db.one(sql, args![account, except, known_before]).await?;
    row.map(|row| {
        Ok(Newest {
            remote_id: row.text("remote_id")?,
            started_at: row.time("started_at")?,
            known_at: row.time("changed_at")?,
        })
    })
    .transpose()
}

/// The first moment after `now` at which something on the queue may move by itself.
///
/// # Errors
/// What the engine says.
pub async fn next_moment(db: &Db, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT MIN(at) AS at FROM (
                 SELECT MIN(due_at) AS at FROM delivery WHERE state = 'scheduled' AND due_at > $1
                 UNION ALL SELECT MIN(due_at) FROM delivery WHERE state = 'unconfirmed' AND due_at > $1
                 UNION ALL SELECT MIN(next_send_at) FROM account WHERE next_send_at > $1
                 UNION ALL SELECT MIN(pause_until) FROM account WHERE pause_until > $1
               ) AS moment";
    db.one(sql, args![now]).await?.map_or(Ok(None), |row| row.maybe_time("at"))
}

/// Reads a delivery and, on PostgreSQL, locks its row until the transaction ends.
pub(crate) async fn find_for_update(tx: &mut Tx, id: i64) -> Result<Option<Delivery>> {
    let lock = if tx.is_postgres() { " FOR UPDATE OF d" } else { "" };
    let sql = format!("SELECT {COLUMNS} WHERE d.id = $1{lock}");
    tx.one(AssertSqlSafe(sql), args![id]).await?.as_ref().map(read).transpose()
}

/// Writes a transition and its audit entry. A lease ends with the state it was taken for.
pub(crate) async fn write(
    tx: &mut Tx,
    stamp: &Stamp,
    before: &Delivery,
    next: &Transition,
    mut detail: serde_json::Value,
) -> Result<()> {
    let facts = &next.facts;
    let receipt = next.receipt.as_ref();
    tx.execute(
        "UPDATE delivery SET state = $2, due_at = $3, attempts = $4, failures = $5, resends = $6, looks = $7,
                attempt_started_at = $8, unconfirmed_at = $9, key_used_at = $10, reason = $11,
                remote_id = COALESCE($12, remote_id), permalink = COALESCE($13, permalink), changed_at = $14,
                lease_until = CASE WHEN $2 = 'sending' THEN lease_until ELSE 0 END
          WHERE id = $1",
        args![
            before.id,
            facts.state.name(),
            facts.due_at,
            facts.attempts,
            facts.failures,
            facts.resends,
            facts.looks,
            facts.attempt_started_at,
            facts.unconfirmed_at,
            facts.key_used_at,
            &next.reason,
            receipt.map(|receipt| receipt.remote_id.as_str()),
            receipt.and_then(|receipt| receipt.permalink.as_deref()),
            stamp.at
        ],
    )
    .await?;
    if let Some(fields) = detail.as_object_mut() {
        fields.insert("from".into(), json!(before.facts.state));
        fields.insert("due".into(), json!(facts.due_at));
        if let Some(reason) = &next.reason {
            fields.insert("reason".into(), json!(reason));
        }
        if let Some(link) = receipt.and_then(|receipt| receipt.permalink.as_deref()) {
            fields.insert("permalink".into(), json!(link));
        }
    }
    let mut entry = stamp.entry_of(action_of(before.facts.state, facts.state), before);
    entry.detail = detail;
    if let Some(receipt) = receipt {
        entry.remote_id = Some(receipt.remote_id.clone());
    }
    audit::append(tx, &entry).await
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

async fn close_attempt(
    tx: &mut Tx,
    stamp: &Stamp,
    claimed: &Delivery,
    event: &Event,
    answer: Option<&Answer>,
) -> Result<()> {
    let (outcome, reason) = describe(event);
    tx.execute(
        "UPDATE attempt SET finished_at = $3, outcome = $4, status = $5, request_id = $6, reason = $7
          WHERE delivery = $1 AND number = $2",
        args![
            claimed.id,
            claimed.facts.attempts,
            stamp.at,
            outcome,
            answer.and_then(|answer| answer.status).map(i64::from),
            answer.and_then(|answer| answer.request_id.as_deref()),
            reason
        ],
    )
    .await?;
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

fn read(row: &Row) -> Result<Delivery> {
    let lane = row.int("lane")?;
    let act = row.text("act")?;
    Ok(Delivery {
        id: row.int("id")?,
        post: row.int("post")?,
        act: match act.as_str() {
            "publish" => Act::Publish,
            _ => return Err(Error::BadValue { column: "act", value: act }),
        },
        account: row.text("account")?,
        lane: *Lane::ALL
            .get(usize::try_from(lane).unwrap_or(usize::MAX))
            .ok_or_else(|| Error::BadValue { column: "lane", value: lane.to_string() })?,
        facts: Facts {
            state: row.parsed("state")?,
            due_at: row.time("due_at")?,
            good_until: row.time("good_until")?,
            attempts: row.int("attempts")?,
            failures: row.int("failures")?,
            resends: row.int("resends")?,
            looks: row.int("looks")?,
            attempt_started_at: row.maybe_time("attempt_started_at")?,
            unconfirmed_at: row.maybe_time("unconfirmed_at")?,
            key_used_at: row.maybe_time("key_used_at")?,
        },
        retry_key: row.maybe_text("retry_key")?,
        fence: row.int("fence")?,
        remote_id: row.maybe_text("remote_id")?,
        permalink: row.maybe_text("permalink")?,
        reason: row.maybe_text("reason")?,
        body: row.text("body")?,
        hash: row.text("hash")?,
        text: row.text("text")?,
        link: row.maybe_text("link")?,
        article: row.maybe_int("article")?,
    })
}
