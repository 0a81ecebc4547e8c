//! Post: keeps one post for each account, origin and occasion.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::model::account::Platform;
use crate::model::audit::Action;
use crate::model::lane::Lane;
use crate::model::post::Payload;
use crate::model::transition;
use crate::model::transition::Event;
use crate::model::transition::Policy;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::Value;
use crate::store::db::args;
use crate::store::db::numbers;
use crate::store::delivery;
use crate::store::moves;
use crate::store::moves::Move;

/// A post as compose words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The account.
    pub account: String,
    /// Its platform.
    pub platform: Platform,
    /// What it comes from: `article:12`, `route:line-digest`, `promotion:7`.
    pub origin: String,
    /// Which time: `first`, or the planned moment.
    pub occasion: String,
    /// The article and its version, for a post of one article.
    pub article: Option<(i64, i64)>,
    /// The articles of a digest, in order.
    pub digest: Vec<i64>,
    /// The route that made it.
    pub route: Option<String>,
    /// Its lane.
    pub lane: Lane,
    /// Why it needs a person; empty: approved by the rules.
    pub reasons: Vec<String>,
    /// The exact bytes.
    pub payload: Payload,
    /// The hash of the template it was worded with.
    pub template: String,
    /// Not to be sent before.
    pub not_before: DateTime<Utc>,
    /// How long it stays worth sending, from its due time.
    pub good_for: Duration,
}

/// A post as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Its id.
    pub id: i64,
    /// The account.
    pub account: String,
    /// Its platform.
    pub platform: Platform,
    /// The article it tells of.
    pub article: Option<i64>,
    /// The version it was worded from.
    pub version: Option<i64>,
    /// The route that made it.
    pub route: Option<String>,
    /// Its lane.
    pub lane: Lane,
    /// draft, review, approved, rejected.
    pub state: String,
    /// Why it needs or needed a person.
    pub reasons: Vec<String>,
    /// Counts wordings.
    pub revision: i64,
    /// The exact bytes.
    pub payload: Payload,
    /// Not to be sent before.
    pub not_before: DateTime<Utc>,
    /// How long it stays worth sending, from its due time.
    pub good_for: Duration,
    /// Who approved it; `None`: the rules did.
    pub approved_by: Option<String>,
    /// When it was first worded.
    pub made_at: DateTime<Utc>,
}

const COLUMNS: &str =
    "p.id, p.account, p.platform, p.article, p.version, p.route, p.lane, p.state, p.reasons, p.revision,
     p.body, p.hash, p.text, p.link, p.not_before, p.good_for, p.approved_by, p.made_at FROM post p";

/// Stores a post; `None` if the account has one for this origin and occasion already.
pub(crate) async fn insert(tx: &mut Tx, stamp: &Stamp, draft: &Draft) -> Result<Option<i64>> {
    let state = if draft.reasons.is_empty() { "approved" } else { "review" };
    let row = tx
        .one(
            "INSERT INTO post (account, platform, origin, occasion, article, version, route, lane, state, reasons,
                               body, hash, text, link, template, not_before, good_for, made_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
             ON CONFLICT (account, origin, occasion) DO NOTHING RETURNING id",
            args![
                &draft.account,
                draft.platform.name(),
                &draft.origin,
                &draft.occasion,
                draft.article.map(|(id, _)| id),
                draft.article.map(|(_, version)| version),
                &draft.route,
                draft.lane.name(),
                state,
                json!(draft.reasons).to_string(),
                &draft.payload.body,
                &draft.payload.hash,
                &draft.payload.text,
                &draft.payload.link,
                &draft.template,
                draft.not_before,
                micros(draft.good_for),
                stamp.at
            ],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let id = row.int("id")?;
    for (place, article) in (0i64..).zip(&draft.digest) {
        let sql = "INSERT INTO digest (post, place, article) VALUES ($1, $2, $3)";
        tx.execute(sql, args![id, place, *article]).await?;
    }
    let action = if draft.reasons.is_empty() { Action::PostComposed } else { Action::PostReviewed };
    let mut entry = stamp.entry(action);
    entry.post = Some(id.to_string());
    entry.account = Some(draft.account.clone());
    entry.article = draft.article.map(|(article, _)| article.to_string());
    entry.payload_hash = Some(draft.payload.hash.clone());
    let articles = match draft.article {
        Some((article, version)) => vec![(article, Some(version))],
        None => draft.digest.iter().map(|article| (*article, None)).collect(),
    };
    entry.detail = json!({
        "route": draft.route, "lane": draft.lane, "occasion": draft.occasion, "template": draft.template,
        "link": draft.payload.link, "articles": provenance(tx, &articles).await?,
    });
    if !draft.reasons.is_empty() {
        entry.detail["reason"] = json!(draft.reasons.join("; "));
        entry.payload = Some(draft.payload.body.clone());
    }
    audit::append(tx, &entry).await?;
    Ok(Some(id))
}

/// Where a post's words come from, for its entry: of each article the version, the link, the hash of the bytes it was
/// read from, and who wrote its summary. Without a version, the newest one.
async fn provenance(tx: &mut Tx, articles: &[(i64, Option<i64>)]) -> Result<Vec<serde_json::Value>> {
    let mut told = Vec::with_capacity(articles.len());
    for (article, version) in articles {
        let sql = "SELECT v.number, v.source, v.body_hash, a.link,
                          (SELECT s.writer FROM summary s WHERE s.article = a.id ORDER BY s.version DESC LIMIT 1) AS writer
                     FROM article a JOIN version v ON v.article = a.id AND v.number = COALESCE($2, a.version)
                    WHERE a.id = $1";
        let Some(row) = tx.one(sql, args![*article, *version]).await? else { continue };
        told.push(json!({
            "article": article.to_string(), "version": row.int("number")?, "source": row.text("source")?,
            "link": row.maybe_text("link")?, "fetched_hash": row.text("body_hash")?,
            "writer": row.maybe_text("writer")?,
        }));
    }
    Ok(told)
}

/// Gives approved posts that lack one their deliveries, the oldest `limit` of them. Returns which.
///
/// # Errors
/// What the engine says.
pub async fn enqueue(db: &Db, stamp: &Stamp, limit: i64) -> Result<Vec<i64>> {
    let sql = "SELECT id FROM post WHERE state = 'approved' AND enqueued = 0 ORDER BY id LIMIT 1";
    if db.one(sql, args![]).await?.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = db.begin().await?;
    let sql = format!(
        "SELECT {COLUMNS} WHERE p.state = 'approved' AND p.enqueued = 0 ORDER BY p.id LIMIT $1{}",
        tx.skip_locked()
    );
    let rows = tx.all(AssertSqlSafe(sql), args![limit]).await?;
    let posts = rows.iter().map(read).collect::<Result<Vec<Post>>>()?;
    let enqueued: Vec<i64> = posts.iter().map(|post| post.id).collect();
    if enqueued.is_empty() {
        return Ok(enqueued);
    }
    let sql = format!("UPDATE post SET enqueued = 1 WHERE id IN ({})", numbers(1, enqueued.len()));
    tx.execute(AssertSqlSafe(sql), enqueued.iter().map(|id| Value::from(*id)).collect()).await?;
    delivery::insert(&mut tx, stamp, posts).await?;
    tx.commit().await?;
    Ok(enqueued)
}

/// A person says yes to exactly these bytes, or no.
///
/// # Errors
/// What the engine says; `Ok(Err(…))` in words when the post is not in review or has changed.
pub async fn decide(
    db: &Db,
    stamp: &Stamp,
    id: i64,
    approve: bool,
    seen_hash: Option<&str>,
    comment: Option<&str>,
) -> Result<std::result::Result<(), String>> {
    let mut tx = db.begin().await?;
    let lock = if tx.is_postgres() { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT {COLUMNS} WHERE p.id = $1{lock}");
    let Some(row) = tx.one(AssertSqlSafe(sql), args![id]).await? else {
        return Ok(Err(format!("there is no post {id}")));
    };
    let post = read(&row)?;
    if post.state != "review" && post.state != "draft" {
        return Ok(Err(format!("post {id} is {}, not in review", post.state)));
    }
    if seen_hash.is_some_and(|seen| seen != post.payload.hash) {
        return Ok(Err(format!("post {id} changed since it was shown; look at it again")));
    }
    let state = if approve { "approved" } else { "rejected" };
    tx.execute(
        "UPDATE post SET state = $2, approved_by = $3, approved_hash = $4 WHERE id = $1",
        args![
            id,
            state,
            approve.then(|| stamp.actor.name().to_owned()),
            approve.then(|| post.payload.hash.clone())
        ],
    )
    .await?;
    let mut entry = stamp.entry(if approve { Action::PostApproved } else { Action::PostRejected });
    entry.post = Some(id.to_string());
    entry.account = Some(post.account.clone());
    entry.article = post.article.map(|article| article.to_string());
    entry.payload_hash = Some(post.payload.hash.clone());
    entry.payload = Some(post.payload.body.clone());
    // What the person had in front of them, by its hash; null where it was decided without being shown.
    entry.detail = json!({ "before": post.state, "seen_hash": seen_hash });
    if let Some(comment) = comment {
        entry.detail["reason"] = json!(comment);
    }
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// Words an unsent post anew after its article changed. An approval by a person is void then; one by the rules is
/// if they now find `reasons` for a person to look.
///
/// # Errors
/// What the engine says.
pub async fn reword(
    db: &Db,
    stamp: &Stamp,
    id: i64,
    version: i64,
    payload: &Payload,
    reasons: &[String],
) -> Result<bool> {
    let mut tx = db.begin().await?;
    let lock = if tx.is_postgres() { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT {COLUMNS} WHERE p.id = $1{lock}");
    let Some(row) = tx.one(AssertSqlSafe(sql), args![id]).await? else { return Ok(false) };
    let post = read(&row)?;
    let sql = "SELECT 1 AS one FROM delivery WHERE post = $1 AND (attempts > 0 OR state <> 'scheduled')";
    if tx.one(sql, args![id]).await?.is_some() {
        return Ok(false);
    }
    let mut reasons = reasons.to_vec();
    if post.approved_by.is_some() {
        reasons.insert(0, "the article changed after it was approved".to_owned());
    }
    let back_to_review = !reasons.is_empty() && post.payload.hash != payload.hash;
    tx.execute(
        "UPDATE post SET version = $2, revision = revision + 1, body = $3, hash = $4, text = $5, link = $6 WHERE id = $1",
        args![id, version, &payload.body, &payload.hash, &payload.text, &payload.link],
    )
    .await?;
    if back_to_review {
        tx.execute(
            "UPDATE post SET state = 'review', approved_by = NULL, approved_hash = NULL, enqueued = 0, reasons = $2 WHERE id = $1",
            args![id, json!(reasons).to_string()],
        )
        .await?;
        tx.execute(
            "DELETE FROM delivery WHERE post = $1 AND attempts = 0 AND state = 'scheduled'",
            args![id],
        )
        .await?;
    }
    let mut entry = stamp.entry(if back_to_review { Action::PostReviewed } else { Action::PostEdited });
    entry.post = Some(id.to_string());
    entry.account = Some(post.account);
    entry.article = post.article.map(|article| article.to_string());
    entry.payload_hash = Some(payload.hash.clone());
    entry.payload = Some(payload.body.clone());
    let reason = if back_to_review { reasons.join("; ") } else { "the article changed".to_owned() };
    let articles: Vec<_> = post.article.iter().map(|article| (*article, Some(version))).collect();
    entry.detail = json!({
        "before": post.payload.hash, "version": version, "articles": provenance(&mut tx, &articles).await?,
        "reason": reason,
    });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether an X account has a post of this origin already: an article goes to one X account at most.
pub(crate) async fn has_x_post(tx: &mut Tx, origin: &str, except: &str) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM post WHERE origin = $1 AND platform = 'x' AND account <> $2 LIMIT 1";
    Ok(tx.one(sql, args![origin, except]).await?.is_some())
}

/// One post.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, id: i64) -> Result<Option<Post>> {
    let sql = format!("SELECT {COLUMNS} WHERE p.id = $1");
    db.one(AssertSqlSafe(sql), args![id]).await?.as_ref().map(read).transpose()
}

/// The posts of an article, digests that hold it included, oldest first.
///
/// # Errors
/// What the engine says.
pub async fn list_of_article(db: &Db, article: i64) -> Result<Vec<Post>> {
    let sql = format!(
        "SELECT {COLUMNS} WHERE p.article = $1 OR p.id IN (SELECT post FROM digest WHERE article = $1) ORDER BY p.id"
    );
    db.all(AssertSqlSafe(sql), args![article]).await?.iter().map(read).collect()
}

/// Posts that wait for a person.
///
/// # Errors
/// What the engine says.
pub async fn list_in_review(db: &Db, limit: i64) -> Result<Vec<Post>> {
    let sql = format!("SELECT {COLUMNS} WHERE p.state IN ('review', 'draft') ORDER BY p.id LIMIT $1");
    db.all(AssertSqlSafe(sql), args![limit]).await?.iter().map(read).collect()
}

/// Approved posts that lack a delivery.
///
/// # Errors
/// What the engine says.
pub async fn count_to_enqueue(db: &Db) -> Result<i64> {
    let sql = "SELECT count(*) AS n FROM post WHERE state = 'approved' AND enqueued = 0";
    db.one(sql, args![]).await?.map_or(Ok(0), |row| row.int("n"))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn read(row: &Row) -> Result<Post> {
    let good_for = row.int("good_for")?;
    Ok(Post {
        id: row.int("id")?,
        account: row.text("account")?,
        platform: row.parsed("platform")?,
        article: row.maybe_int("article")?,
        version: row.maybe_int("version")?,
        route: row.maybe_text("route")?,
        lane: row.parsed("lane")?,
        state: row.text("state")?,
        reasons: row.json("reasons")?,
        revision: row.int("revision")?,
        payload: Payload {
            body: row.text("body")?,
            hash: row.text("hash")?,
            text: row.text("text")?,
            link: row.maybe_text("link")?,
        },
        not_before: row.time("not_before")?,
        good_for: Duration::from_micros(u64::try_from(good_for).unwrap_or(0)),
        approved_by: row.maybe_text("approved_by")?,
        made_at: row.time("made_at")?,
    })
}

/// Calls off every post of an origin that is not on its way yet. Returns how many there were.
pub(crate) async fn call_off(
    tx: &mut Tx,
    stamp: &Stamp,
    origin: &str,
    reason: &str,
    policy: &Policy,
) -> Result<usize> {
    let mut called_off = 0;
    let lock = if tx.is_postgres() { " FOR UPDATE" } else { "" };
    let sql = format!(
        "SELECT id, account, hash FROM post
          WHERE origin = $1 AND (state = 'review' OR (state = 'approved' AND enqueued = 0)) ORDER BY id{lock}"
    );
    for row in tx.all(AssertSqlSafe(sql), args![origin]).await? {
        let id = row.int("id")?;
        tx.execute("UPDATE post SET state = 'rejected' WHERE id = $1", args![id]).await?;
        let mut entry = stamp.entry(Action::PostRejected);
        entry.post = Some(id.to_string());
        entry.account = Some(row.text("account")?);
        entry.payload_hash = Some(row.text("hash")?);
        entry.detail = json!({ "reason": reason });
        audit::append(tx, &entry).await?;
        called_off += 1;
    }
    let sql = "SELECT d.id FROM delivery d JOIN post p ON p.id = d.post
                WHERE p.origin = $1 AND d.state IN ('scheduled', 'held') ORDER BY d.id";
    for row in tx.all(sql, args![origin]).await? {
        let Some(delivery) = delivery::find_for_update(tx, row.int("id")?).await? else { continue };
        let event = Event::Cancelled { reason: reason.to_owned() };
        let Ok(next) = transition::step(&delivery.facts, event, stamp.at, 0.0, policy) else { continue };
        moves::write(tx, stamp, [Move::new(&delivery, &next, json!({}))]).await?;
        called_off += 1;
    }
    Ok(called_off)
}
