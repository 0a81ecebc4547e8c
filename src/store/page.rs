//! Page: knows whose pages are to be read, and keeps what they gave.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::clock;
use crate::model;
use crate::model::article::Content;
use crate::model::audit::Action;
use crate::store::article;
use crate::store::article::Article;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::db::args;

/// Takes an article whose page is to be read; for as long as the lease other nodes leave it alone.
///
/// # Errors
/// What the engine says.
pub async fn claim(db: &Db, now: DateTime<Utc>, lease: Duration) -> Result<Option<Article>> {
    if db
        .one("SELECT id FROM article WHERE page = 'wanted' AND page_try_at <= $1 LIMIT 1", args![now])
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let mut tx = db.begin().await?;
    let lock = if tx.is_postgres() { " FOR UPDATE OF a SKIP LOCKED" } else { "" };
    let columns = article::COLUMNS;
    let sql = format!(
        "SELECT {columns} WHERE a.page = 'wanted' AND a.page_try_at <= $1 ORDER BY a.page_try_at, a.id LIMIT 1{lock}"
    );
    let present = tx.lease_clock(now).await?;
    let Some(row) = tx.one(AssertSqlSafe(sql), args![present]).await? else { return Ok(None) };
    let article = article::read(&row)?;
    let until = present + clock::span(lease);
    tx.execute("UPDATE article SET page_try_at = $2 WHERE id = $1", args![article.id, until]).await?;
    tx.commit_quietly().await?;
    Ok(Some(article))
}

/// Whether an article's page is still to be read, for its newest version.
///
/// # Errors
/// What the engine says.
pub async fn is_wanted(db: &Db, id: i64) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM article WHERE id = $1 AND page = 'wanted'";
    Ok(db.one(sql, args![id]).await?.is_some())
}

/// Keeps what the article's page added to its newest version. The content hash stays that of the source,
/// with which the next poll compares. With `twins_since`, a picture that only the page gave is compared with those of
/// articles seen since then, and a near-duplicate goes to review.
///
/// Returns whether it was kept: not if another node was faster, or the article changed meanwhile, so that its page is
/// read again.
///
/// # Errors
/// What the engine says.
pub async fn add(
    db: &Db,
    stamp: &Stamp,
    known: &Article,
    content: &Content,
    aliases: &[String],
    page_hash: &str,
    twins_since: Option<DateTime<Utc>>,
) -> Result<bool> {
    let mut tx = db.begin().await?;
    if !note(&mut tx, known, "read").await? {
        return Ok(false);
    }
    let sql = "UPDATE version SET content = $3 WHERE article = $1 AND number = $2";
    tx.execute(sql, args![known.id, known.version, json!(content).to_string()]).await?;
    article::add_aliases(&mut tx, known.id, aliases).await?;
    if let Some(image_hash) = model::article::image_hash(content).filter(|_| known.content.image.is_none()) {
        note_image(&mut tx, known, &image_hash, twins_since).await?;
    }
    let mut entry = stamp.entry(Action::ArticleRead);
    entry.article = Some(known.id.to_string());
    entry.detail = json!({ "version": known.version, "fetched_hash": page_hash, "characters": content.text.chars().count() });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(true)
}

async fn note_image(
    tx: &mut Tx,
    known: &Article,
    image_hash: &str,
    twins_since: Option<DateTime<Utc>>,
) -> Result<()> {
    tx.execute("UPDATE article SET image_hash = $2 WHERE id = $1", args![known.id, image_hash]).await?;
    let Some(since) = twins_since else { return Ok(()) };
    let titles = article::list_titles_by_image(tx, image_hash, Some(known.id), since).await?;
    let title = &known.content.title;
    if let Some(twin) = titles.iter().find(|other| model::article::are_titles_alike(title, other)) {
        let mut review = known.review.clone();
        review.push(model::article::alike_reason(twin));
        let sql = "UPDATE article SET review = $2 WHERE id = $1";
        tx.execute(sql, args![known.id, json!(review).to_string()]).await?;
    }
    Ok(())
}

/// Gives a page up: the article goes on with what the source gave. Nothing happens where [`add`] would keep nothing.
///
/// # Errors
/// What the engine says.
pub async fn give_up(db: &Db, stamp: &Stamp, known: &Article, reason: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    if !note(&mut tx, known, "failed").await? {
        return Ok(());
    }
    let mut entry = stamp.entry(Action::ArticleUnreadable);
    entry.article = Some(known.id.to_string());
    entry.detail = json!({ "reason": reason });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await
}

/// Whether the page of this version was still wanted.
async fn note(tx: &mut Tx, known: &Article, page: &str) -> Result<bool> {
    let sql = "UPDATE article SET page = $3 WHERE id = $1 AND version = $2 AND page = 'wanted'";
    Ok(tx.execute(sql, args![known.id, known.version, page]).await? > 0)
}
