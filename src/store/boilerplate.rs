//! Boilerplate: remembers which lines came in which articles of a host.
//!
//! In transactions of its own: what is learnt is a hint, and its rows, which many articles share, must hold up no
//! transaction that counts.

use std::collections::HashSet;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;

use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::args;

/// A line that did not come back for so long is forgotten unless it is known by then.
const OPEN_FOR: TimeDelta = TimeDelta::days(30);

/// The lines of one article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The site.
    pub host: String,
    /// The article.
    pub article: i64,
    /// Its lines, by hash.
    pub hashes: Vec<String>,
}

/// Counts the lines of articles that were taken in. An article counts once for a line, however often it is read.
///
/// # Errors
/// What the engine says.
pub async fn count(db: &Db, articles: &[Lines], now: DateTime<Utc>) -> Result<()> {
    let rows = articles.iter().flat_map(|it| it.hashes.iter().map(move |hash| (&it.host, hash, it.article)));
    let mut rows: Vec<(&String, &String, i64)> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    // In one order everywhere, so that two nodes never wait for each other's rows.
    rows.sort_unstable();
    let mut tx = db.begin().await?;
    for (host, hash, article) in rows {
        tx.execute(
            "INSERT INTO boilerplate (host, hash, one, seen_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (host, hash) DO UPDATE
                SET three = CASE WHEN boilerplate.two IS NULL THEN NULL ELSE excluded.one END,
                    two = COALESCE(boilerplate.two, excluded.one), seen_at = excluded.seen_at
              WHERE boilerplate.three IS NULL AND boilerplate.one <> excluded.one
                AND (boilerplate.two IS NULL OR boilerplate.two <> excluded.one)",
            args![host, hash, article, now],
        )
        .await?;
    }
    tx.execute("DELETE FROM boilerplate WHERE three IS NULL AND seen_at < $1", args![now - OPEN_FOR]).await?;
    tx.commit_quietly().await
}

/// The lines of a site, by hash: those that three of its articles had.
///
/// # Errors
/// What the engine says.
pub async fn known(db: &Db, host: &str) -> Result<HashSet<String>> {
    let sql = "SELECT hash FROM boilerplate WHERE host = $1 AND three IS NOT NULL";
    db.all(sql, args![host]).await?.iter().map(|row| row.text("hash")).collect()
}
