//! Summary: keeps one for each version of an article.

use serde_json::json;

use crate::model::audit::Action;
use crate::model::summary::Summary;
use crate::store::article;
use crate::store::article::Article;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::db::args;

/// Stores the summary of an article's newest version and moves the article on. `false` if it moved meanwhile.
pub(crate) async fn insert(
    tx: &mut Tx,
    stamp: &Stamp,
    known: &Article,
    summary: &Summary,
    writer: &str,
    review: &[String],
) -> Result<bool> {
    if !article::move_on(tx, known, "settling", "summarized").await? {
        return Ok(false);
    }
    if review != known.review {
        let sql = "UPDATE article SET review = $2 WHERE id = $1";
        tx.execute(sql, args![known.id, json!(review).to_string()]).await?;
    }
    write(tx, stamp, known, summary, writer).await?;
    Ok(true)
}

async fn write(tx: &mut Tx, stamp: &Stamp, known: &Article, summary: &Summary, writer: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO summary (article, version, summary, writer, made_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (article, version) DO UPDATE SET summary = excluded.summary, writer = excluded.writer",
        args![known.id, known.version, json!(summary).to_string(), writer, stamp.at],
    )
    .await?;
    let mut entry = stamp.entry(Action::SummaryMade);
    entry.article = Some(known.id.to_string());
    entry.detail = json!({ "version": known.version, "writer": writer, "hashtags": summary.hashtags });
    audit::append(tx, &entry).await
}

/// The summary of a version of an article.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, article: i64, version: i64) -> Result<Option<Summary>> {
    let sql = "SELECT summary FROM summary WHERE article = $1 AND version = $2";
    db.one(sql, args![article, version]).await?.map(|row| row.json("summary")).transpose()
}

/// The newest summary of an article with the version it was made of.
///
/// # Errors
/// What the engine says.
pub async fn find_newest(db: &Db, article: i64) -> Result<Option<(i64, Summary)>> {
    let sql = "SELECT version, summary FROM summary WHERE article = $1 ORDER BY version DESC LIMIT 1";
    let row = db.one(sql, args![article]).await?;
    row.map(|row| Ok((row.int("version")?, row.json("summary")?))).transpose()
}

/// The newest summary of an article, whatever version it was made of, within a transaction.
pub(crate) async fn find_newest_in(tx: &mut Tx, article: i64) -> Result<Option<(i64, Summary)>> {
    let sql = "SELECT version, summary FROM summary WHERE article = $1 ORDER BY version DESC LIMIT 1";
    let row = tx.one(sql, args![article]).await?;
    row.map(|row| Ok((row.int("version")?, row.json("summary")?))).transpose()
}
