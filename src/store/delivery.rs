//! Delivery: claims what is due, records how it went.
//!
//! The row is the truth and the queue at once. What may happen is decided by `model::transition`;
//! here it is read, decided and written in one transaction, with its audit entry.

use std::collections::HashMap;

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::clock;
use crate::model::attempt::Answer;
use crate::model::audit::Action;
use crate::model::audit::Entry;
use crate::model::delivery::Act;
use crate::model::delivery::Delivery;
use crate::model::delivery::Facts;
use crate::model::lane::Lane;
use crate::model::transition;
use crate::model::transition::Event;
use crate::model::transition::Policy;
use crate::store::account;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::Value;
use crate::store::db::args;
use crate::store::db::numbers;
use crate::store::db::placeholders;
use crate::store::moves;
use crate::store::moves::Move;
use crate::store::post::Post;

/// The columns of a delivery with its post's words, as [`read`] wants them; they stand in [`TABLES`].
pub(crate) const COLUMNS: &str =
    "d.id, d.post, d.act, d.account, d.lane, d.state, d.due_at, d.good_until, d.attempts,
     d.failures, d.resends, d.looks, d.attempt_started_at, d.unconfirmed_at, d.retry_key, d.key_used_at,
     d.fence, d.remote_id, d.permalink, d.reason, p.body, p.hash, p.text, p.link, p.article";

/// Where [`COLUMNS`] are read from.
pub(crate) const TABLES: &str = "delivery d JOIN post p ON p.id = d.post";

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

/// Creates the deliveries of approved posts. A post that has one already keeps it.
///
/// # Errors
/// What the engine says.
pub async fn insert(tx: &mut Tx, stamp: &Stamp, posts: Vec<Post>) -> Result<()> {
    let due = |post: &Post| {
        // One that was due when it was made is due now, even if the clock it was made by was ahead of ours.
        let due = if post.not_before <= post.made_at { stamp.at } else { post.not_before.max(stamp.at) };
        (due, due + clock::span(post.good_for))
    };
    let values = posts.iter().flat_map(|post| {
        let (due, good_until) = due(post);
        args![post.id, Act::Publish.name(), &post.account, post.lane.rank(), due, good_until, stamp.at]
    });
    let sql = format!(
        "INSERT INTO delivery (post, act, account, lane, due_at, good_until, changed_at, revision, state)
         SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, 1, 'scheduled'
           FROM (VALUES {}) AS v WHERE true
         ON CONFLICT (post, act, revision) DO NOTHING RETURNING id, post",
        placeholders(1, posts.len(), 7)
    );
    let mut made = HashMap::new();
    for row in tx.all(AssertSqlSafe(sql), values.collect()).await? {
        made.insert(row.int("post")?, row.int("id")?);
    }
    let entries: Vec<Entry> = posts
        .into_iter()
        .filter_map(|post| {
            let id = made.get(&post.id)?;
            let (due, good_until) = due(&post);
            let mut entry = stamp.entry(Action::DeliveryScheduled);
            entry.post = Some(post.id.to_string());
            entry.delivery = Some(id.to_string());
            entry.account = Some(post.account);
            entry.article = post.article.map(|id| id.to_string());
            entry.detail = json!({ "due": due, "good_until": good_until, "text": post.payload.text });
            entry.payload_hash = Some(post.payload.hash);
            entry.payload = Some(post.payload.body);
            Some(entry)
        })
        .collect();
    audit::append_all(tx, &entries).await
}

/// Calls off what waits for accounts that are not configured any more. Returns how many there were.
///
/// # Errors
/// What the engine says.
pub async fn cancel_removed(db: &Db, stamp: &Stamp, configured: &[String], policy: &Policy) -> Result<usize> {
    let others = match configured.len() {
        0 => String::new(),
        some => format!(" AND account NOT IN ({})", numbers(1, some)),
    };
    let sql = format!("SELECT id FROM delivery WHERE state IN ('scheduled', 'held'){others} ORDER BY id");
    let mut tx = db.begin().await?;
    let mut cancelled = 0;
    for row in tx.all(AssertSqlSafe(sql), configured.iter().map(Value::from).collect()).await? {
        let Some(delivery) = find_for_update(&mut tx, row.int("id")?).await? else { continue };
        let event = Event::Cancelled { reason: "the account was removed from the configuration".to_owned() };
        let Ok(next) = transition::step(&delivery.facts, event, stamp.at, 0.0, policy) else { continue };
        moves::write(&mut tx, stamp, [Move::new(&delivery, &next, json!({}))]).await?;
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
    moves::write(&mut tx, stamp, [Move::new(&delivery, &next, detail)]).await?;
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
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1");
    db.one(AssertSqlSafe(sql), args![id]).await?.as_ref().map(read).transpose()
}

/// The delivery of a post, newest revision first.
///
/// # Errors
/// What the engine says.
pub async fn list_of_post(db: &Db, post: i64) -> Result<Vec<Delivery>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE d.post = $1 ORDER BY d.revision DESC, d.id DESC");
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
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1{lock}");
    tx.one(AssertSqlSafe(sql), args![id]).await?.as_ref().map(read).transpose()
}

/// Reads a row of [`COLUMNS`].
pub(crate) fn read(row: &Row) -> Result<Delivery> {
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
