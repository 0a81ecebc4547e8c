//! Anchor: remembers how far the heads sent to each place outside have come.

use chrono::DateTime;
use chrono::Utc;

use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::args;
use crate::store::tree::number;

/// A place outside that heads are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// What it is called: `file`, `webhook`, `mail`.
    pub place: String,
    /// The size of the last head that arrived there; 0 if none did.
    pub size: u64,
    /// When that was.
    pub sent_at: Option<DateTime<Utc>>,
    /// How often sending failed since.
    pub failures: i64,
    /// Why it failed last.
    pub error: Option<String>,
}

/// Makes the places known are those in use.
///
/// # Errors
/// What the engine says.
pub async fn ensure(db: &Db, places: &[&str]) -> Result<()> {
    let known = list(db).await?;
    let is_new = |place: &&&str| known.iter().all(|anchor| anchor.place != **place);
    let gone = |anchor: &&Anchor| !places.contains(&anchor.place.as_str());
    if places.iter().find(is_new).is_none() && known.iter().find(gone).is_none() {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    for place in places {
        tx.execute("INSERT INTO anchor (place) VALUES ($1) ON CONFLICT (place) DO NOTHING", args![*place])
            .await?;
    }
    for anchor in known.iter().filter(gone) {
        tx.execute("DELETE FROM anchor WHERE place = $1", args![&anchor.place]).await?;
    }
    tx.commit_quietly().await
}

/// Every place, by name.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db) -> Result<Vec<Anchor>> {
    let sql = "SELECT place, size, sent_at, failures, error FROM anchor ORDER BY place";
    db.all(sql, args![]).await?.iter().map(read).collect()
}

/// Takes a place whose turn it is; other nodes leave it alone until `again`.
///
/// # Errors
/// What the engine says.
pub async fn claim(db: &Db, now: DateTime<Utc>, again: DateTime<Utc>) -> Result<Option<Anchor>> {
    let sql = "SELECT 1 AS one FROM anchor WHERE due_at <= $1 LIMIT 1";
    if db.one(sql, args![now]).await?.is_none() {
        return Ok(None);
    }
    let mut tx = db.begin().await?;
    let sql = "UPDATE anchor SET due_at = $2
                WHERE place = (SELECT MIN(place) FROM anchor WHERE due_at <= $1) AND due_at <= $1
            RETURNING place, size, sent_at, failures, error";
    let anchor = tx.one(sql, args![now, again]).await?.as_ref().map(read).transpose()?;
    tx.commit_quietly().await?;
    Ok(anchor)
}

/// Notes that the head of `size` arrived; the next one is due at `next`.
///
/// # Errors
/// What the engine says.
pub async fn arrived(db: &Db, place: &str, size: u64, now: DateTime<Utc>, next: DateTime<Utc>) -> Result<()> {
    let sql =
        "UPDATE anchor SET size = $2, sent_at = $3, due_at = $4, failures = 0, error = NULL WHERE place = $1";
    let mut tx = db.begin().await?;
    tx.execute(sql, args![place, number(size), now, next]).await?;
    tx.commit_quietly().await
}

/// Notes that sending failed; it is tried again at `next`.
///
/// # Errors
/// What the engine says.
pub async fn failed(db: &Db, place: &str, error: &str, next: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE anchor SET failures = failures + 1, error = $2, due_at = $3 WHERE place = $1";
    let mut tx = db.begin().await?;
    tx.execute(sql, args![place, error, next]).await?;
    tx.commit_quietly().await
}

/// Notes that there is nothing to send yet.
///
/// # Errors
/// What the engine says.
pub async fn postpone(db: &Db, place: &str, next: DateTime<Utc>) -> Result<()> {
    let mut tx = db.begin().await?;
    tx.execute("UPDATE anchor SET due_at = $2 WHERE place = $1", args![place, next]).await?;
    tx.commit_quietly().await
}

/// Makes a place due as if nothing had been sent there: what was sent is not this log's any more.
///
/// # Errors
/// What the engine says.
pub async fn forget(db: &Db, place: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    tx.execute("UPDATE anchor SET size = 0, due_at = 0 WHERE place = $1", args![place]).await?;
    tx.commit_quietly().await
}

/// When the next place has its turn.
///
/// # Errors
/// What the engine says.
pub async fn next_moment(db: &Db) -> Result<Option<DateTime<Utc>>> {
    let row = db.one("SELECT MIN(due_at) AS at FROM anchor", args![]).await?;
    row.map_or(Ok(None), |row| row.maybe_time("at"))
}

fn read(row: &Row) -> Result<Anchor> {
    Ok(Anchor {
        place: row.text("place")?,
        size: u64::try_from(row.int("size")?).unwrap_or(0),
        sent_at: row.maybe_time("sent_at")?,
        failures: row.int("failures")?,
        error: row.maybe_text("error")?,
    })
}
