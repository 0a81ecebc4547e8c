//! Article: finds articles by any alias, keeps them in versions.

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::model::article;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::model::audit::Action;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;

/// An article with its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Its id.
    pub id: i64,
    /// The sources that showed it as news, first one first.
    pub sources: Vec<String>,
    /// seen, settling, summarized, composed.
    pub state: String,
    /// Why it is not posted, or what became of it.
    pub reason: Option<String>,
    /// Why its posts go to review whatever the route says: flood, near-duplicate, refused link.
    pub review: Vec<String>,
    /// The number of its newest version.
    pub version: i64,
    /// That version's content hash.
    pub hash: String,
    /// When we first saw it.
    pub first_seen_at: DateTime<Utc>,
    /// When its newest version came.
    pub changed_at: DateTime<Utc>,
    /// What it says now.
    pub content: Content,
}

/// What to make of an article seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// `None`: news, to be posted once settled. `Some`: only recorded, with the reason.
    pub only_seen: Option<String>,
    /// Reasons for review.
    pub review: Vec<String>,
    /// When the next step may take it.
    pub settle_at: DateTime<Utc>,
    /// Whether the source gives an excerpt only, so that the article's page must be read.
    pub wants_page: bool,
}

pub(super) const COLUMNS: &str =
    "a.id, a.sources, a.state, a.reason, a.review, a.version, a.hash, a.first_seen_at, a.changed_at,
     v.content FROM article a JOIN version v ON v.article = a.id AND v.number = a.version";

/// The article that any of `aliases` names.
pub(crate) async fn find_by_alias(tx: &mut Tx, aliases: &[String]) -> Result<Option<Article>> {
    for alias in aliases {
        let sql = format!("SELECT {COLUMNS} JOIN alias l ON l.article = a.id WHERE l.alias = $1");
        if let Some(row) = tx.one(AssertSqlSafe(sql), args![alias]).await? {
            return read(&row).map(Some);
        }
    }
    Ok(None)
}

/// Gives an article the aliases it lacks.
pub(crate) async fn add_aliases(tx: &mut Tx, article: i64, aliases: &[String]) -> Result<()> {
    for alias in aliases {
        let sql = "INSERT INTO alias (alias, article) VALUES ($1, $2) ON CONFLICT (alias) DO NOTHING";
        tx.execute(sql, args![alias, article]).await?;
    }
    Ok(())
}

/// Stores a new article with its first version.
pub(crate) async fn insert(
    tx: &mut Tx,
    stamp: &Stamp,
    source: &str,
    entry: &Entry,
    body_hash: &str,
    arrival: &Arrival,
) -> Result<i64> {
    let content = &entry.content;
    let hash = article::content_hash(content);
    let sources = if arrival.only_seen.is_some() { json!([]) } else { json!([source]) };
    let row = tx
        .one(
            "INSERT INTO article (sources, state, reason, review, version, hash, title, title_hash, link,
                                  published_at, first_seen_at, changed_at, settle_at, page, page_try_at, image_hash)
             VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, $9, $10, $10, $11, $12, 0, $13) RETURNING id",
            args![
                sources.to_string(),
                if arrival.only_seen.is_some() { "seen" } else { "settling" },
                &arrival.only_seen,
                json!(arrival.review).to_string(),
                &hash,
                &content.title,
                article::title_hash(&content.title),
                &content.link,
                content.published,
                stamp.at,
                arrival.settle_at,
                if arrival.wants_page { "wanted" } else { "not_needed" },
                article::image_hash(content)
            ],
        )
        .await?;
    let id = row.map_or(Ok(0), |row| row.int("id"))?;
    insert_version(tx, stamp, id, 1, &hash, content, source, body_hash).await?;
    let action = if arrival.only_seen.is_some() { Action::ArticleSeen } else { Action::ArticleCollected };
    let mut note = stamp.entry(action);
    note.article = Some(id.to_string());
    note.object = Some(format!("source {source}"));
    note.detail = json!({
        "title": content.title, "link": content.link, "content_hash": hash, "fetched_hash": body_hash,
        "review": arrival.review,
    });
    if let Some(reason) = &arrival.only_seen {
        note.detail["reason"] = json!(reason);
    }
    audit::append(tx, &note).await?;
    Ok(id)
}

/// Stores a newer version of a known article; one that has not been summarized waits again until `settle_at`.
pub(crate) async fn change(
    tx: &mut Tx,
    stamp: &Stamp,
    known: &Article,
    source: &str,
    content: &Content,
    body_hash: &str,
    settle_at: DateTime<Utc>,
) -> Result<()> {
    let hash = article::content_hash(content);
    let version = known.version + 1;
    insert_version(tx, stamp, known.id, version, &hash, content, source, body_hash).await?;
    tx.execute(
        "UPDATE article SET version = $2, hash = $3, title = $4, title_hash = $5, link = $6, changed_at = $7,
                settle_at = CASE WHEN state = 'settling' THEN $8 ELSE settle_at END,
                page = CASE WHEN page = 'not_needed' THEN page ELSE 'wanted' END, page_try_at = 0,
                image_hash = COALESCE($9, image_hash) WHERE id = $1",
        args![
            known.id,
            version,
            &hash,
            &content.title,
            article::title_hash(&content.title),
            &content.link,
            stamp.at,
            settle_at,
            article::image_hash(content)
        ],
    )
    .await?;
    let mut note = stamp.entry(Action::ArticleChanged);
    note.article = Some(known.id.to_string());
    note.object = Some(format!("source {source}"));
    note.detail = json!({
        "version": version, "before": known.content.title, "after": content.title,
        "content_hash": hash, "fetched_hash": body_hash,
    });
    audit::append(tx, &note).await
}

/// Notes that a further source shows a known article as news, so that its routes apply too.
pub(crate) async fn add_source(tx: &mut Tx, known: &Article, source: &str, now: DateTime<Utc>) -> Result<()> {
    let mut sources = known.sources.clone();
    sources.push(source.to_owned());
    tx.execute(
        "UPDATE article SET sources = $2, state = CASE WHEN state = 'composed' THEN 'summarized' ELSE state END,
                changed_at = changed_at, settle_at = CASE WHEN settle_at > $3 THEN settle_at ELSE $3 END WHERE id = $1",
        args![known.id, json!(sources).to_string(), now],
    )
    .await?;
    Ok(())
}

/// Whether another article with the same title was seen since `since`.
pub(crate) async fn has_twin(tx: &mut Tx, title: &str, since: DateTime<Utc>) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM article WHERE title_hash = $1 AND first_seen_at >= $2 LIMIT 1";
    Ok(tx.one(sql, args![article::title_hash(title), since]).await?.is_some())
}

/// The titles of other articles with the same picture that were seen since `since`, newest first, fifty at most.
pub(crate) async fn list_titles_by_image(
    tx: &mut Tx,
    image_hash: &str,
    except: Option<i64>,
    since: DateTime<Utc>,
) -> Result<Vec<String>> {
    let sql = "SELECT title FROM article WHERE image_hash = $1 AND first_seen_at >= $2 AND id <> $3
                ORDER BY first_seen_at DESC LIMIT 50";
    let rows = tx.all(sql, args![image_hash, since, except.unwrap_or(0)]).await?;
    rows.iter().map(|row| row.text("title")).collect()
}

/// An article that has settled and waits for its summary.
///
/// # Errors
/// What the engine says.
pub async fn list_settled(db: &Db, now: DateTime<Utc>, limit: i64) -> Result<Vec<Article>> {
    let sql = format!(
        "SELECT {COLUMNS} WHERE a.state = 'settling' AND a.settle_at <= $1 AND a.page <> 'wanted'
          ORDER BY a.settle_at, a.id LIMIT $2"
    );
    db.all(AssertSqlSafe(sql), args![now, limit]).await?.iter().map(read).collect()
}

/// Articles that have a summary and wait for their posts.
///
/// # Errors
/// What the engine says.
pub async fn list_summarized(db: &Db, limit: i64) -> Result<Vec<Article>> {
    let sql = format!("SELECT {COLUMNS} WHERE a.state = 'summarized' ORDER BY a.id LIMIT $1");
    db.all(AssertSqlSafe(sql), args![limit]).await?.iter().map(read).collect()
}

/// Moves an article on, unless a newer version came or another node moved it first.
pub(crate) async fn move_on(tx: &mut Tx, known: &Article, from: &str, to: &str) -> Result<bool> {
    // Never waits for another's lock: several articles move in one transaction, so two could wait for each other.
    let sql = format!("SELECT id FROM article WHERE id = $1{}", tx.skip_locked());
    if tx.is_postgres() && tx.one(AssertSqlSafe(sql), args![known.id]).await?.is_none() {
        return Ok(false);
    }
    let sql = "UPDATE article SET state = $4, reason = NULL WHERE id = $1 AND version = $2 AND state = $3";
    Ok(tx.execute(sql, args![known.id, known.version, from, to]).await? == 1)
}

/// Notes what became of an article's posts.
pub(crate) async fn note_reason(tx: &mut Tx, id: i64, reason: &str) -> Result<()> {
    tx.execute("UPDATE article SET reason = $2 WHERE id = $1", args![id, reason]).await?;
    Ok(())
}

/// When a source's latest articles came, newest first.
///
/// # Errors
/// What the engine says.
pub async fn list_arrivals(db: &Db, source: &str, limit: i64) -> Result<Vec<DateTime<Utc>>> {
    let sql = "SELECT a.first_seen_at FROM article a JOIN version v ON v.article = a.id AND v.number = 1
                WHERE v.source = $1 ORDER BY a.id DESC LIMIT $2";
    db.all(sql, args![source, limit]).await?.iter().map(|row| row.time("first_seen_at")).collect()
}

/// When the next article will have settled.
///
/// # Errors
/// What the engine says.
pub async fn next_moment(db: &Db) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT MIN(settle_at) AS at FROM article WHERE state = 'settling'";
    db.one(sql, args![]).await?.map_or(Ok(None), |row| row.maybe_time("at"))
}

/// One article.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, id: i64) -> Result<Option<Article>> {
    let sql = format!("SELECT {COLUMNS} WHERE a.id = $1");
    db.one(AssertSqlSafe(sql), args![id]).await?.as_ref().map(read).transpose()
}

/// One article, within a transaction.
pub(crate) async fn find_in(tx: &mut Tx, id: i64) -> Result<Option<Article>> {
    let sql = format!("SELECT {COLUMNS} WHERE a.id = $1");
    tx.one(AssertSqlSafe(sql), args![id]).await?.as_ref().map(read).transpose()
}

/// Articles by any of their aliases or their exact link, newest first.
///
/// # Errors
/// What the engine says.
pub async fn list_by_link(db: &Db, link: &str, aliases: &[String]) -> Result<Vec<Article>> {
    let sql = format!("SELECT {COLUMNS} WHERE a.link = $1 ORDER BY a.id DESC");
    let mut found: Vec<Article> =
        db.all(AssertSqlSafe(sql), args![link]).await?.iter().map(read).collect::<Result<_>>()?;
    for alias in aliases {
        let sql = format!("SELECT {COLUMNS} JOIN alias l ON l.article = a.id WHERE l.alias = $1");
        if let Some(row) = db.one(AssertSqlSafe(sql), args![alias]).await? {
            let article = read(&row)?;
            if found.iter().all(|known| known.id != article.id) {
                found.push(article);
            }
        }
    }
    Ok(found)
}

/// The newest articles.
///
/// # Errors
/// What the engine says.
pub async fn list_newest(db: &Db, limit: i64) -> Result<Vec<Article>> {
    list_before(db, None, limit).await
}

/// The newest articles but for those with `before` as id or a higher one: the next page of a list.
///
/// # Errors
/// What the engine says.
pub async fn list_before(db: &Db, before: Option<i64>, limit: i64) -> Result<Vec<Article>> {
    let sql = format!("SELECT {COLUMNS} WHERE a.id < $1 ORDER BY a.id DESC LIMIT $2");
    let rows = db.all(AssertSqlSafe(sql), args![before.unwrap_or(i64::MAX), limit]).await?;
    rows.iter().map(read).collect()
}

/// A version of an article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub number: i64,
    /// What it says.
    pub content: Content,
    /// The source that showed it.
    pub source: String,
    /// When it came.
    pub seen_at: DateTime<Utc>,
}

/// The versions of an article, first one first.
///
/// # Errors
/// What the engine says.
pub async fn list_versions(db: &Db, article: i64) -> Result<Vec<Version>> {
    let sql = "SELECT number, content, source, seen_at FROM version WHERE article = $1 ORDER BY number";
    let rows = db.all(sql, args![article]).await?;
    rows.iter()
        .map(|row| {
            Ok(Version {
                number: row.int("number")?,
                content: row.json("content")?,
                source: row.text("source")?,
                seen_at: row.time("seen_at")?,
            })
        })
        .collect()
}

/// How many articles wait for a step.
///
/// # Errors
/// What the engine says.
pub async fn count_moving(db: &Db) -> Result<i64> {
    let sql = "SELECT count(*) AS n FROM article WHERE state IN ('settling', 'summarized')";
    db.one(sql, args![]).await?.map_or(Ok(0), |row| row.int("n"))
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row")]
async fn insert_version(
    tx: &mut Tx,
    stamp: &Stamp,
    article: i64,
    number: i64,
    hash: &str,
    content: &Content,
    source: &str,
    body_hash: &str,
) -> Result<()> {
    tx.execute(
        "INSERT INTO version (article, number, hash, content, source, body_hash, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        args![article, number, hash, json!(content).to_string(), source, body_hash, stamp.at],
    )
    .await?;
    Ok(())
}

pub(super) fn read(row: &Row) -> Result<Article> {
    Ok(Article {
        id: row.int("id")?,
        sources: row.json("sources")?,
        state: row.text("state")?,
        reason: row.maybe_text("reason")?,
        review: row.json("review")?,
        version: row.int("version")?,
        hash: row.text("hash")?,
        first_seen_at: row.time("first_seen_at")?,
        changed_at: row.time("changed_at")?,
        content: row.json("content")?,
    })
}
