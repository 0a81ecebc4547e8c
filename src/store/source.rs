//! Source: remembers polls, and whose turn it is.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;

use crate::clock;
use crate::model::source::Memory;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;

/// What the store knows of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name in the configuration.
    pub name: String,
    /// The validators and hash of the last good answer.
    pub memory: Memory,
    /// When its first readable answer came; until then everything in it is backlog.
    pub first_read_at: Option<DateTime<Utc>>,
    /// When it last answered with a whole body.
    pub full_read_at: Option<DateTime<Utc>>,
    /// When it was last asked.
    pub polled_at: Option<DateTime<Utc>>,
    /// When it last gave a good answer, a 304 included.
    pub answered_at: Option<DateTime<Utc>>,
    /// When it is asked next.
    pub next_poll_at: DateTime<Utc>,
    /// How the last poll went: new, unchanged, not_modified, error.
    pub result: Option<String>,
    /// The last error.
    pub error: Option<String>,
    /// Errors in a row.
    pub errors: i64,
}

/// How a poll went, to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// new, unchanged, not_modified or error.
    pub result: &'static str,
    /// The error, in words for the log and the page.
    pub error: Option<String>,
    /// Validators and hash to send and compare next time; `None` keeps the old ones.
    pub memory: Option<Memory>,
    /// Whether a whole, readable body came.
    pub read: bool,
    /// When to ask next.
    pub next_poll_at: DateTime<Utc>,
}

/// Makes the rows of configured sources; new ones are due at once.
///
/// # Errors
/// What the engine says.
pub async fn ensure(db: &Db, names: &[String], now: DateTime<Utc>) -> Result<()> {
    let mut tx = db.begin().await?;
    for name in names {
        let sql = "INSERT INTO source (name, next_poll_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        tx.execute(sql, args![name, now]).await?;
    }
    tx.commit().await
}

/// Gives back what an earlier start of this node had taken and did not finish: it is polled again at once.
///
/// # Errors
/// What the engine says.
pub async fn release_own(db: &Db, node: &str, now: DateTime<Utc>) -> Result<()> {
    let mut tx = db.begin().await?;
    let sql =
        "UPDATE source SET lease_until = 0, next_poll_at = $2 WHERE lease_owner = $1 AND lease_until > 0";
    tx.execute(sql, args![node, now]).await?;
    tx.commit().await
}

/// Takes the source that has been due longest; other nodes leave it alone for `lease`.
///
/// # Errors
/// What the engine says.
pub async fn claim_due(db: &Db, node: &str, now: DateTime<Utc>, lease: Duration) -> Result<Option<Source>> {
    if db.one("SELECT name FROM source WHERE next_poll_at <= $1 LIMIT 1", args![now]).await?.is_none() {
        return Ok(None);
    }
    let mut tx = db.begin().await?;
    let clock = tx.lease_clock(now).await?;
    let sql = format!(
        "SELECT * FROM source WHERE next_poll_at <= $1 AND (lease_until < $2 OR lease_owner = $3)
          ORDER BY next_poll_at LIMIT 1{}",
        tx.skip_locked()
    );
    let Some(row) = tx.one(sqlx::AssertSqlSafe(sql), args![now, clock, node]).await? else { return Ok(None) };
    let source = read(&row)?;
    tx.execute(
        "UPDATE source SET lease_owner = $2, lease_until = $3, next_poll_at = $4 WHERE name = $1",
        args![&source.name, node, clock + clock::span(lease), now + clock::span(lease)],
    )
    .await?;
    tx.commit_quietly().await?;
    Ok(Some(source))
}

/// Remembers how a poll went.
pub(crate) async fn note_poll(tx: &mut Tx, name: &str, polled: &Polled, now: DateTime<Utc>) -> Result<()> {
    let failed = polled.result == "error";
    tx.execute(
        "UPDATE source SET polled_at = $2, result = $3, error = $4, errors = CASE WHEN $5 = 1 THEN errors + 1 ELSE 0 END,
                answered_at = CASE WHEN $5 = 1 THEN answered_at ELSE $2 END, next_poll_at = $6, lease_until = 0
          WHERE name = $1",
        args![name, now, polled.result, &polled.error, failed, polled.next_poll_at],
    )
    .await?;
    if let Some(memory) = &polled.memory {
        tx.execute(
            "UPDATE source SET etag = $2, last_modified = $3, body_hash = $4 WHERE name = $1",
            args![name, &memory.etag, &memory.last_modified, &memory.body_hash],
        )
        .await?;
    }
    if polled.read {
        tx.execute(
            "UPDATE source SET first_read_at = COALESCE(first_read_at, $2), full_read_at = $2 WHERE name = $1",
            args![name, now],
        )
        .await?;
    }
    Ok(())
}

/// When the next source is due.
///
/// # Errors
/// What the engine says.
pub async fn next_moment(db: &Db) -> Result<Option<DateTime<Utc>>> {
    db.one("SELECT MIN(next_poll_at) AS at FROM source", args![])
        .await?
        .map_or(Ok(None), |row| row.maybe_time("at"))
}

/// Every source the store knows, by name.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db) -> Result<Vec<Source>> {
    db.all("SELECT * FROM source ORDER BY name", args![]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Source> {
    Ok(Source {
        name: row.text("name")?,
        memory: Memory {
            etag: row.maybe_text("etag")?,
            last_modified: row.maybe_text("last_modified")?,
            body_hash: row.maybe_text("body_hash")?,
        },
        first_read_at: row.maybe_time("first_read_at")?,
        full_read_at: row.maybe_time("full_read_at")?,
        polled_at: row.maybe_time("polled_at")?,
        answered_at: row.maybe_time("answered_at")?,
        next_poll_at: row.time("next_poll_at")?,
        result: row.maybe_text("result")?,
        error: row.maybe_text("error")?,
        errors: row.int("errors")?,
    })
}
