//! Promotion: keeps editors' own messages, their firings and what was decided.
//!
//! A firing is decided under the lock of its promotion's row, and its own row is unique: however many nodes look, a
//! planned moment fires once, and caps and distance hold.

use chrono::DateTime;
use chrono::NaiveTime;
use chrono::Utc;
use chrono_tz::Tz;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::model::audit::Action;
use crate::model::audit::Entry;
use crate::model::cron::first_instant;
use crate::model::promotion::Firing;
use crate::model::promotion::History;
use crate::model::promotion::Promotion;
use crate::model::promotion::day_of;
use crate::model::promotion::wish::Wish;
use crate::model::transition::Policy;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;
use crate::store::post;

/// A promotion as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: i64,
    /// What its editor wished for.
    pub promotion: Promotion,
    /// Every moment planned up to here is decided.
    pub passed_at: DateTime<Utc>,
    /// The next planned moment; `None`: it is stopped, or none comes any more.
    pub next_at: Option<DateTime<Utc>>,
    /// Why the last planned moment went by without a post; `None` if it fired.
    pub skip: Option<String>,
    /// What kind of reason that is.
    pub skip_kind: Option<String>,
    /// Who stopped it, when and why; `None`: it runs.
    pub stopped: Option<Stopped>,
    /// The hash of what a person approved.
    pub approved_hash: Option<String>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// How often it fired.
    pub fired: u32,
    /// When it was added.
    pub made_at: DateTime<Utc>,
    /// By whom.
    pub made_by: String,
}

/// A stop switch that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: String,
    /// Why, if it was said.
    pub reason: Option<String>,
}

impl Stored {
    /// What its posts come from.
    pub fn origin(&self) -> String {
        origin(self.id)
    }

    /// A new entry about it.
    pub fn entry(&self, stamp: &Stamp, action: Action) -> Entry {
        entry(stamp, action, &self.promotion.name)
    }
}

fn origin(id: i64) -> String {
    format!("promotion:{id}")
}

fn entry(stamp: &Stamp, action: Action, name: &str) -> Entry {
    let mut entry = stamp.entry(action);
    entry.object = Some(format!("promotion {name}"));
    entry
}

const COLUMNS: &str = "id, wish, passed_at, next_at, skip, skip_kind, stopped_at, stopped_by, stop_reason,
     approved_hash, approved_by, made_at, made_by,
     (SELECT count(*) FROM promotion_firing f WHERE f.promotion = promotion.id) AS fired FROM promotion";

/// Adds a promotion; what was planned before now was not missed. `None` if the name is taken.
///
/// # Errors
/// What the engine says.
pub async fn insert(tx: &mut Tx, stamp: &Stamp, promotion: &Promotion, tz: Tz) -> Result<Option<i64>> {
    let wish = json!(promotion.wish(tz));
    let row = tx
        .one(
            "INSERT INTO promotion (name, wish, link, zone, passed_at, next_at, made_at, made_by, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $5) ON CONFLICT (name) DO NOTHING RETURNING id",
            args![
                &promotion.name,
                wish.to_string(),
                &promotion.link,
                tz.name(),
                stamp.at,
                promotion.next_after(stamp.at, tz),
                stamp.actor.name()
            ],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut entry = entry(stamp, Action::PromotionAdded, &promotion.name);
    entry.detail = json!({ "after": wish });
    audit::append(tx, &entry).await?;
    row.int("id").map(Some)
}

/// Puts `promotion` in the place of `stored`, which the caller has locked. Posts with the old words that are not out
/// yet are called off; firings of the past go on counting.
///
/// # Errors
/// What the engine says.
pub async fn change(
    tx: &mut Tx,
    stamp: &Stamp,
    stored: &Stored,
    promotion: &Promotion,
    tz: Tz,
    policy: &Policy,
) -> Result<()> {
    let old = &stored.promotion;
    // Under another plan nothing of the past was missed.
    let same_plan = old.plan == promotion.plan && old.window == promotion.window;
    let passed_at = if same_plan { stored.passed_at } else { stored.passed_at.max(stamp.at) };
    let next_at = promotion.next_after(passed_at, tz).filter(|_| stored.stopped.is_none());
    let wish = json!(promotion.wish(tz));
    tx.execute(
        "UPDATE promotion SET wish = $2, link = $3, zone = $4, passed_at = $5, next_at = $6, skip = NULL,
                skip_kind = NULL, changed_at = $7 WHERE id = $1",
        args![stored.id, wish.to_string(), &promotion.link, tz.name(), passed_at, next_at, stamp.at],
    )
    .await?;
    let mut entry = stored.entry(stamp, Action::PromotionChanged);
    entry.detail = json!({ "before": old.wish(tz), "after": wish });
    audit::append(tx, &entry).await?;
    if (&old.texts, &old.link, &old.label) != (&promotion.texts, &promotion.link, &promotion.label) {
        post::call_off(tx, stamp, &stored.origin(), "the promotion was changed", policy).await?;
    }
    Ok(())
}

/// A promotion by name, its row locked until the transaction ends.
///
/// # Errors
/// What the engine says.
pub async fn find_for_update(tx: &mut Tx, name: &str) -> Result<Option<Stored>> {
    let lock = if tx.is_postgres() { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT {COLUMNS} WHERE name = $1{lock}");
    tx.one(AssertSqlSafe(sql), args![name]).await?.as_ref().map(read).transpose()
}

/// A promotion by name.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, name: &str) -> Result<Option<Stored>> {
    let sql = format!("SELECT {COLUMNS} WHERE name = $1");
    db.one(AssertSqlSafe(sql), args![name]).await?.as_ref().map(read).transpose()
}

/// All promotions, by name.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db) -> Result<Vec<Stored>> {
    let sql = format!("SELECT {COLUMNS} ORDER BY name");
    db.all(AssertSqlSafe(sql), args![]).await?.iter().map(read).collect()
}

/// The promotions that lead to `link`.
///
/// # Errors
/// What the engine says.
pub async fn list_by_link(db: &Db, link: &str) -> Result<Vec<Stored>> {
    let sql = format!("SELECT {COLUMNS} WHERE link = $1 ORDER BY name");
    db.all(AssertSqlSafe(sql), args![link]).await?.iter().map(read).collect()
}

/// The first planned moment of all promotions.
///
/// # Errors
/// What the engine says.
pub async fn next_moment(db: &Db) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT MIN(next_at) AS at FROM promotion WHERE next_at IS NOT NULL";
    db.one(sql, args![]).await?.map_or(Ok(None), |row| row.maybe_time("at"))
}

/// Locks the promotion whose planned moment came first, if any has come that no other node is at.
///
/// # Errors
/// What the engine says.
pub async fn lock_due(tx: &mut Tx, now: DateTime<Utc>) -> Result<Option<Stored>> {
    let sql =
        format!("SELECT {COLUMNS} WHERE next_at <= $1 ORDER BY next_at, id LIMIT 1{}", tx.skip_locked());
    tx.one(AssertSqlSafe(sql), args![now]).await?.as_ref().map(read).transpose()
}

/// What the earlier firings mean for the next one; days are those of `tz`.
///
/// # Errors
/// What the engine says.
pub async fn history(tx: &mut Tx, id: i64, tz: Tz) -> Result<History> {
    let sql = "SELECT count(*) AS n, MAX(counted_at) AS last FROM promotion_firing WHERE promotion = $1";
    let Some(row) = tx.one(sql, args![id]).await? else { return Ok(History::default()) };
    let last = row.maybe_time("last")?;
    let Some(day) = last.map(|last| day_of(last, tz)) else { return Ok(History::default()) };
    let morning = first_instant(day.and_time(NaiveTime::MIN), tz);
    let sql = "SELECT count(*) AS n FROM promotion_firing WHERE promotion = $1 AND counted_at >= $2";
    let that_day = tx.one(sql, args![id, morning]).await?.map_or(Ok(0), |row| row.int("n"))?;
    Ok(History { in_all: count(row.int("n")?), day: Some((day, count(that_day))), last })
}

/// Notes a firing with its wording; `false` if the planned moment fired before, here or on another node.
///
/// # Errors
/// What the engine says.
pub async fn fire(tx: &mut Tx, id: i64, firing: Firing, wording: usize) -> Result<bool> {
    let sql =
        "INSERT INTO promotion_firing (promotion, planned_at, counted_at, wording) VALUES ($1, $2, $3, $4)
               ON CONFLICT (promotion, planned_at) DO NOTHING";
    let wording = i64::try_from(wording).unwrap_or(i64::MAX);
    Ok(tx.execute(sql, args![id, firing.planned, firing.counted, wording]).await? == 1)
}

/// Notes how far a promotion is decided, when it is looked at next, and why it went by, as (kind, reason).
///
/// # Errors
/// What the engine says.
pub async fn pass(
    tx: &mut Tx,
    id: i64,
    passed_at: DateTime<Utc>,
    next_at: Option<DateTime<Utc>>,
    skip: Option<(&str, &str)>,
) -> Result<()> {
    let sql = "UPDATE promotion SET passed_at = $2, next_at = $3, skip_kind = $4, skip = $5 WHERE id = $1";
    let (kind, reason) = skip.unzip();
    tx.execute(sql, args![id, passed_at, next_at, kind, reason]).await?;
    Ok(())
}

/// How a promotion stands on one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// A post of it may still go out there.
    pub waiting: bool,
    /// When its newest one left.
    pub sent_at: Option<DateTime<Utc>>,
}

/// How a promotion stands on `account`.
///
/// # Errors
/// What the engine says.
pub async fn standing(tx: &mut Tx, id: i64, account: &str, now: DateTime<Utc>) -> Result<Standing> {
    let sql = "SELECT CAST(MAX(CASE WHEN p.state = 'review' OR (p.state = 'approved' AND p.enqueued = 0)
                               OR (d.state IN ('scheduled', 'sending', 'unconfirmed', 'held') AND d.good_until > $3)
                          THEN 1 ELSE 0 END) AS BIGINT) AS waiting,
                      MAX(CASE WHEN d.state IN ('sending', 'unconfirmed', 'delivered', 'parked')
                          THEN d.attempt_started_at END) AS sent_at
                 FROM post p LEFT JOIN delivery d ON d.post = p.id WHERE p.origin = $1 AND p.account = $2";
    let Some(row) = tx.one(sql, args![origin(id), account, now]).await? else {
        return Ok(Standing::default());
    };
    Ok(Standing { waiting: row.maybe_int("waiting")? == Some(1), sent_at: row.maybe_time("sent_at")? })
}

/// Whether these bytes of a promotion went out on `account` since `since`, or may have.
///
/// # Errors
/// What the engine says.
pub async fn went_out_since(
    tx: &mut Tx,
    id: i64,
    account: &str,
    hash: &str,
    since: DateTime<Utc>,
) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM post p JOIN delivery d ON d.post = p.id
                WHERE p.origin = $1 AND p.account = $2 AND p.hash = $3 AND d.changed_at > $4
                  AND d.state IN ('sending', 'unconfirmed', 'parked', 'delivered') LIMIT 1";
    Ok(tx.one(sql, args![origin(id), account, hash, since]).await?.is_some())
}

/// Whether these bytes are what `account` published last, as far as we know.
///
/// # Errors
/// What the engine says.
pub async fn is_newest(tx: &mut Tx, account: &str, hash: &str) -> Result<bool> {
    let sql = "SELECT p.hash FROM delivery d JOIN post p ON p.id = d.post
                WHERE d.account = $1 AND d.remote_id IS NOT NULL ORDER BY d.changed_at DESC, d.id DESC LIMIT 1";
    let newest = tx.one(sql, args![account]).await?.map(|row| row.text("hash")).transpose()?;
    Ok(newest.as_deref() == Some(hash))
}

/// Stops a promotion: nothing more of it goes out, also not what waits already. Returns how many posts were called
/// off; `None` if there is no promotion of that name that runs.
///
/// # Errors
/// What the engine says.
pub async fn stop(
    db: &Db,
    stamp: &Stamp,
    name: &str,
    reason: Option<&str>,
    policy: &Policy,
) -> Result<Option<usize>> {
    let mut tx = db.begin().await?;
    let Some(stored) = find_for_update(&mut tx, name).await?.filter(|it| it.stopped.is_none()) else {
        return Ok(None);
    };
    tx.execute(
        "UPDATE promotion SET stopped_at = $2, stopped_by = $3, stop_reason = $4, next_at = NULL WHERE id = $1",
        args![stored.id, stamp.at, stamp.actor.name(), reason],
    )
    .await?;
    let called_off =
        post::call_off(&mut tx, stamp, &stored.origin(), "the promotion was stopped", policy).await?;
    let mut entry = stored.entry(stamp, Action::PromotionStopped);
    entry.detail = json!({ "called_off": called_off });
    if let Some(reason) = reason {
        entry.detail["reason"] = json!(reason);
    }
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(Some(called_off))
}

/// Lets a stopped promotion go on; what was planned meanwhile is past. `false` if none of that name is stopped.
///
/// # Errors
/// What the engine says.
pub async fn resume(db: &Db, stamp: &Stamp, name: &str, tz: Tz) -> Result<bool> {
    let mut tx = db.begin().await?;
    let Some(stored) = find_for_update(&mut tx, name).await?.filter(|it| it.stopped.is_some()) else {
        return Ok(false);
    };
    let passed_at = stored.passed_at.max(stamp.at);
    tx.execute(
        "UPDATE promotion SET stopped_at = NULL, stopped_by = NULL, stop_reason = NULL, skip = NULL, skip_kind = NULL,
                zone = $2, passed_at = $3, next_at = $4 WHERE id = $1",
        args![stored.id, tz.name(), passed_at, stored.promotion.next_after(passed_at, tz)],
    )
    .await?;
    audit::append(&mut tx, &stored.entry(stamp, Action::PromotionResumed)).await?;
    tx.commit().await?;
    Ok(true)
}

/// A person says yes to the bytes with this hash. `false` if the promotion changed since `seen` or is gone.
///
/// # Errors
/// What the engine says.
pub async fn approve(db: &Db, stamp: &Stamp, seen: &Stored, hash: &str) -> Result<bool> {
    let mut tx = db.begin().await?;
    let same =
        find_for_update(&mut tx, &seen.promotion.name).await?.filter(|it| it.promotion == seen.promotion);
    let Some(stored) = same else { return Ok(false) };
    tx.execute(
        "UPDATE promotion SET approved_hash = $2, approved_by = $3 WHERE id = $1",
        args![stored.id, hash, stamp.actor.name()],
    )
    .await?;
    let mut entry = stored.entry(stamp, Action::PromotionApproved);
    entry.payload_hash = Some(hash.to_owned());
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// Looks at every running promotion anew that was reckoned in another zone than `tz`. Returns how many there were.
///
/// # Errors
/// What the engine says.
pub async fn replan(db: &Db, tz: Tz, now: DateTime<Utc>) -> Result<u64> {
    let mut tx = db.begin().await?;
    let sql = "UPDATE promotion SET zone = $1, next_at = $2 WHERE zone <> $1 AND stopped_at IS NULL";
    let changed = tx.execute(sql, args![tz.name(), now]).await?;
    match changed {
        0 => Ok(0),
        _ => tx.commit().await.map(|()| changed),
    }
}

/// A firing as it was.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fired {
    /// When it was planned.
    pub planned: DateTime<Utc>,
    /// The moment it counts from.
    pub counted: DateTime<Utc>,
    /// Which wording went out, from 1.
    pub wording: i64,
}

/// The newest firings of a promotion, newest first.
///
/// # Errors
/// What the engine says.
pub async fn list_firings(db: &Db, id: i64, limit: i64) -> Result<Vec<Fired>> {
    let sql = "SELECT planned_at, counted_at, wording FROM promotion_firing WHERE promotion = $1
                ORDER BY planned_at DESC LIMIT $2";
    let rows = db.all(sql, args![id, limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Fired {
                planned: row.time("planned_at")?,
                counted: row.time("counted_at")?,
                wording: row.int("wording")? + 1,
            })
        })
        .collect()
}

/// The posts of a promotion that wait for a person, with the hash of their bytes.
///
/// # Errors
/// What the engine says.
pub async fn list_in_review(db: &Db, id: i64) -> Result<Vec<(i64, String)>> {
    let sql = "SELECT id, hash FROM post WHERE origin = $1 AND state = 'review' ORDER BY id";
    db.all(sql, args![origin(id)]).await?.iter().map(|row| Ok((row.int("id")?, row.text("hash")?))).collect()
}

fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn read(row: &Row) -> Result<Stored> {
    let wish: Wish = row.json("wish")?;
    // What is stored carries its own offset, so any zone does.
    let promotion = wish.read(Tz::UTC).map_err(|_| Error::BadValue { column: "wish", value: wish.name })?;
    let stopped = match row.maybe_time("stopped_at")? {
        Some(at) => Some(Stopped { at, by: row.text("stopped_by")?, reason: row.maybe_text("stop_reason")? }),
        None => None,
    };
    Ok(Stored {
        id: row.int("id")?,
        promotion,
        passed_at: row.time("passed_at")?,
        next_at: row.maybe_time("next_at")?,
        skip: row.maybe_text("skip")?,
        skip_kind: row.maybe_text("skip_kind")?,
        stopped,
        approved_hash: row.maybe_text("approved_hash")?,
        approved_by: row.maybe_text("approved_by")?,
        fired: count(row.int("fired")?),
        made_at: row.time("made_at")?,
        made_by: row.text("made_by")?,
    })
}
