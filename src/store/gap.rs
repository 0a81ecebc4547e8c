//! Gap: keeps the stretches of time that the database forgot.
//!
//! A restored copy and a replica that lacked the newest commits don't know what was sent after their last one. Such a
//! gap is noticed by what a node remembers outside the database, or by PostgreSQL's timeline, in the very transaction
//! that would have opened the next attempt. What may have been sent in it is looked for before it is sent.

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::clock;
use crate::model::audit::Action;
use crate::model::delivery::Delivery;
use crate::model::transition::Event;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::db::Value;
use crate::store::db::args;
use crate::store::db::numbers;
use crate::store::memory::Mark;

/// So long after a gap an article that is older than its end may turn up as a new one.
const RESURFACE: TimeDelta = TimeDelta::hours(48);

/// Clocks of newsrooms and nodes may lie so far apart: what is dated or due so soon after a gap may be of it.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// What a delivery's fence is raised by when its past is unknown: beyond any claim that was forgotten, so that a late
/// answer to that one is not taken for an answer to the next.
const FENCE_STEP: i64 = 1_000;

/// How a gap came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// `songkhao restore` put a backup in place.
    Restored,
    /// PostgreSQL runs on another timeline or server than before.
    Failover,
    /// An intent that this node saw committed is gone.
    Forgotten,
    /// An operator knows better: `songkhao run --reconcile-all`.
    Ordered,
}

impl Cause {
    /// The name used in database, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Restored => "restored",
            Cause::Failover => "failover",
            Cause::Forgotten => "forgotten",
            Cause::Ordered => "ordered",
        }
    }
}

/// A stretch of time that the database forgot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Its number.
    pub id: i64,
    /// How it came about.
    pub cause: String,
    /// The newest thing the database knows from before it.
    pub since: DateTime<Utc>,
    /// When it was noticed.
    pub until: DateTime<Utc>,
}

/// The newest gap.
///
/// # Errors
/// What the engine says.
pub async fn newest(db: &Db) -> Result<Option<Gap>> {
    let row =
        db.one("SELECT id, cause, since_at, until_at FROM gap ORDER BY id DESC LIMIT 1", args![]).await?;
    row.map(|row| {
        Ok(Gap {
            id: row.int("id")?,
            cause: row.text("cause")?,
            since: row.time("since_at")?,
            until: row.time("until_at")?,
        })
    })
    .transpose()
}

/// Notes that what happened after `since` is unknown, or after the newest entry where that is `None`.
///
/// # Errors
/// What the engine says.
pub async fn open(
    db: &Db,
    stamp: &Stamp,
    cause: Cause,
    since: Option<DateTime<Utc>>,
    detail: serde_json::Value,
) -> Result<Gap> {
    let mut tx = db.begin().await?;
    let gap = open_in(&mut tx, stamp, cause, since, detail).await?;
    tx.commit().await?;
    Ok(gap)
}

async fn open_in(
    tx: &mut Tx,
    stamp: &Stamp,
    cause: Cause,
    since: Option<DateTime<Utc>>,
    mut detail: serde_json::Value,
) -> Result<Gap> {
    let newest = tx.one("SELECT id, at FROM audit ORDER BY id DESC LIMIT 1", args![]).await?;
    let known = newest.as_ref().map(|row| row.time("at")).transpose()?;
    // This node's clock may have been put back: what was written is not later than now.
    let until = known.map_or(stamp.at, |known| known.max(stamp.at));
    // What this very transaction wrote says nothing; of an empty database nothing can be said.
    let sql = "SELECT at FROM audit WHERE at < $1 ORDER BY id DESC LIMIT 1";
    let before = tx.one(sql, args![stamp.at]).await?.map(|row| row.time("at")).transpose()?;
    let since = since.or(before).unwrap_or(until - RESURFACE).min(until);
    let sql = "INSERT INTO gap (cause, since_at, until_at) VALUES ($1, $2, $3) RETURNING id";
    let row = tx.one(sql, args![cause.name(), since, until]).await?;
    let id = row.map_or(Ok(0), |row| row.int("id"))?;
    // What isn't due yet can't have been sent; by the latest of all clocks, because ours may have been put back.
    let latest = tx.lease_clock(stamp.at).await?.max(until);
    let sql = "UPDATE delivery SET gap = $1 WHERE state = 'scheduled' AND due_at > $2";
    tx.execute(sql, args![id, latest + CLOCK_TOLERANCE]).await?;
    if let Some(fields) = detail.as_object_mut() {
        fields.insert("cause".into(), json!(cause.name()));
        fields.insert("since".into(), json!(since));
        fields.insert("until".into(), json!(until));
    }
    let mut entry =
        stamp.entry(if cause == Cause::Restored { Action::BackupRestored } else { Action::GapFound });
    entry.object = Some(format!("gap {id}"));
    entry.detail = detail;
    audit::append(tx, &entry).await?;
    Ok(Gap { id, cause: cause.name().to_owned(), since, until })
}

/// At the start: tells this database from others, and finds out whether it went back since this node last saw it.
///
/// # Errors
/// What the engine says.
pub async fn greet(db: &Db, stamp: &Stamp) -> Result<Option<Gap>> {
    let mut tx = db.begin().await?;
    tx.lock("gap").await?;
    let sql = "INSERT INTO identity (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";
    tx.execute(sql, args![uuid::Uuid::new_v4().to_string()]).await?;
    let row = tx.one("SELECT id FROM identity", args![]).await?;
    db.memory().belongs_to(&row.map_or(Ok(String::new()), |row| row.text("id"))?);
    let mut found = moved(&mut tx, stamp).await?;
    let marks = db.memory().all();
    found = lost(&mut tx, stamp, marks).await?.or(found);
    tx.commit().await?;
    Ok(found)
}

/// Inside a claim: whether the database is still the one that holds what this node committed on the accounts. A gap
/// that is found is noted in this transaction, and the claim ends with it.
pub(crate) async fn detect(tx: &mut Tx, stamp: &Stamp, accounts: &[&str]) -> Result<Option<Gap>> {
    let found = moved(tx, stamp).await?;
    let marks = accounts.iter().filter_map(|account| tx.memory().newest(account)).collect();
    Ok(lost(tx, stamp, marks).await?.or(found))
}

/// Whether there ever was a gap.
pub(crate) async fn is_any(tx: &mut Tx) -> Result<bool> {
    Ok(tx.one("SELECT 1 AS one FROM gap LIMIT 1", args![]).await?.is_some())
}

/// Whether PostgreSQL runs on another timeline or server than when a node last looked. One node notes it.
async fn moved(tx: &mut Tx, stamp: &Stamp) -> Result<Option<Gap>> {
    let Some(sql) = tx.asks_for_server() else { return Ok(None) };
    let present = tx.one(sql, args![]).await?.map(|row| row.text("server")).transpose()?;
    let Some(present) = present else { return Ok(None) };
    let recorded = server(tx).await?;
    if recorded.as_ref() == Some(&present) {
        return Ok(None);
    }
    tx.lock("gap").await?;
    // Another node may have been faster.
    let recorded = server(tx).await?;
    if recorded.as_ref() == Some(&present) {
        return Ok(None);
    }
    tx.execute("UPDATE identity SET server = $1", args![&present]).await?;
    match recorded {
        None => Ok(None),
        Some(before) => {
            let detail = json!({ "server_before": before, "server": present });
            open_in(tx, stamp, Cause::Failover, None, detail).await.map(Some)
        }
    }
}

async fn server(tx: &mut Tx) -> Result<Option<String>> {
    let row = tx.one("SELECT server FROM identity", args![]).await?;
    row.map_or(Ok(None), |row| row.maybe_text("server"))
}

/// Whether an intent that this node saw committed is gone without a gap that explains it.
async fn lost(tx: &mut Tx, stamp: &Stamp, mut marks: Vec<Mark>) -> Result<Option<Gap>> {
    if marks.is_empty() {
        return Ok(None);
    }
    let sql = format!("SELECT id, at FROM audit WHERE id IN ({})", numbers(1, marks.len()));
    let ids = marks.iter().map(|mark| Value::from(mark.id)).collect();
    for row in tx.all(AssertSqlSafe(sql), ids).await? {
        let known = Mark { id: row.int("id")?, at: row.int("at")? };
        marks.retain(|mark| *mark != known);
    }
    if marks.is_empty() {
        return Ok(None);
    }
    // An archive takes the oldest entries away; a database that went back lacks the newest.
    let sql = "SELECT MIN(id) AS id FROM audit WHERE EXISTS (SELECT 1 FROM archive)";
    let oldest = tx.one(sql, args![]).await?.map_or(Ok(None), |row| row.maybe_int("id"))?;
    let mut found = None;
    for mark in marks {
        tx.forget(mark);
        let sql = "SELECT 1 AS one FROM gap WHERE until_at >= $1 LIMIT 1";
        let archived = oldest.is_some_and(|oldest| mark.id < oldest);
        if archived || tx.one(sql, args![mark.at]).await?.is_some() {
            continue;
        }
        // What was written since the loss says nothing about when it was.
        let sql = "SELECT at FROM audit WHERE at <= $1 ORDER BY id DESC LIMIT 1";
        let since = tx.one(sql, args![mark.at]).await?.map(|row| row.time("at")).transpose()?;
        let missing = json!({ "id": mark.id, "at": clock::from_micros(mark.at) });
        let detail = json!({ "missing_entry": missing });
        found = Some(open_in(tx, stamp, Cause::Forgotten, since, detail).await?);
    }
    Ok(found)
}

/// Whether the database forgot what happened at that moment.
pub(crate) async fn covers(tx: &mut Tx, moment: DateTime<Utc>) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM gap WHERE since_at <= $1 AND until_at >= $1 LIMIT 1";
    Ok(tx.one(sql, args![moment]).await?.is_some())
}

/// Whether the delivery may have been sent in a gap without the database knowing: its post is older than the gap's
/// end, or tells of an article that is. Each delivery is asked about each gap once; `None` if it was.
pub(crate) async fn clouds(tx: &mut Tx, delivery: &mut Delivery, held: bool) -> Result<Option<Event>> {
    // An article dated after it was first seen was dated by a clock or in a zone that is wrong.
    let sql = "SELECT MAX(g.id) AS id, MIN(g.since_at) AS since_at, MAX(g.until_at) AS until_at
          FROM gap g JOIN post p ON p.id = $1 JOIN delivery d ON d.id = $2
         WHERE g.id > d.gap AND (p.made_at <= g.until_at OR EXISTS (
               SELECT 1 FROM article a
                WHERE (a.id = p.article OR a.id IN (SELECT t.article FROM digest t WHERE t.post = p.id))
                  AND a.first_seen_at <= g.until_at + $3
                  AND (a.published_at IS NULL OR a.published_at > a.first_seen_at + $4
                       OR a.published_at <= g.until_at + $4)))";
    let micros = |span: TimeDelta| span.num_microseconds().unwrap_or(i64::MAX / 4);
    let values = args![delivery.post, delivery.id, micros(RESURFACE), micros(CLOCK_TOLERANCE)];
    let Some(row) = tx.one(sql, values).await? else { return Ok(None) };
    let Some(gap) = row.maybe_int("id")? else { return Ok(None) };
    let (since, until) = (row.time("since_at")?, row.time("until_at")?);
    delivery.fence += FENCE_STEP;
    let sql = "UPDATE delivery SET gap = $2, fence = $3 WHERE id = $1";
    tx.execute(sql, args![delivery.id, gap, delivery.fence]).await?;
    Ok(Some(Event::Forgotten { since, until, held }))
}
