//! Listing: shows posts with their deliveries, as people look at them.

use chrono::DateTime;
use chrono::Utc;
use serde::Serialize;

use crate::model::lane::Lane;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::args;

/// One line of `post list --json`: a delivery with its post, or a post that has none yet. Ids are strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The post.
    pub post: String,
    /// The delivery; none while the post is in review.
    pub delivery: Option<String>,
    /// What it does.
    pub act: Option<String>,
    /// The account.
    pub account: String,
    /// Its platform.
    pub platform: String,
    /// The lane.
    pub lane: String,
    /// The delivery's state, or the post's.
    pub state: String,
    /// When it is due.
    pub due: DateTime<Utc>,
    /// After this it is not worth sending.
    pub good_until: Option<DateTime<Utc>>,
    /// The article's link; none for digests and promotions.
    pub article_url: Option<String>,
    /// What a reader sees.
    pub text: String,
    /// The platform's id; on LINE its request id.
    pub remote_id: Option<String>,
    /// Where readers find it.
    pub permalink: Option<String>,
    /// How many attempts were opened.
    pub attempts: i64,
    /// Why it is where it is.
    pub reason: Option<String>,
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these states; empty: all.
    pub states: Vec<String>,
    /// Only this account.
    pub account: Option<String>,
    /// Only the posts of this article, digests that hold it included.
    pub article: Option<i64>,
    /// At most so many, the newest.
    pub limit: Option<i64>,
}

const SQL: &str = "SELECT * FROM (
    SELECT p.id AS post, d.id AS delivery, d.act, p.account, p.platform, p.lane AS lane_name,
           COALESCE(d.state, p.state) AS state, COALESCE(d.due_at, p.not_before) AS due, d.good_until,
           CASE WHEN p.article IS NULL THEN NULL ELSE COALESCE(a.link, p.link) END AS article_url,
           p.text, d.remote_id, d.permalink, COALESCE(d.attempts, 0) AS attempts, d.reason, p.reasons
      FROM post p LEFT JOIN delivery d ON d.post = p.id LEFT JOIN article a ON a.id = p.article
     WHERE (CAST($1 AS TEXT) IS NULL OR p.account = $1)
       AND (CAST($2 AS BIGINT) IS NULL OR p.article = $2
            OR EXISTS (SELECT 1 FROM digest g WHERE g.post = p.id AND g.article = $2))
       AND ($3 = '' OR $3 LIKE '%,' || COALESCE(d.state, p.state) || ',%')
     ORDER BY p.id DESC, d.id DESC LIMIT $4) AS newest
  ORDER BY post, delivery";

/// Posts and deliveries that pass a filter, oldest first.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db, filter: &Filter) -> Result<Vec<Line>> {
    let states =
        if filter.states.is_empty() { String::new() } else { format!(",{},", filter.states.join(",")) };
    let limit = filter.limit.unwrap_or(i64::MAX);
    db.all(SQL, args![&filter.account, filter.article, states, limit]).await?.iter().map(read).collect()
}

/// How many deliveries stand in each state, and how many posts wait for a person.
///
/// # Errors
/// What the engine says.
pub async fn count_states(db: &Db) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT state, count(*) AS n FROM delivery GROUP BY state
               UNION ALL SELECT state, count(*) AS n FROM post WHERE state IN ('review', 'draft') GROUP BY state";
    db.all(sql, args![]).await?.iter().map(|row| Ok((row.text("state")?, row.int("n")?))).collect()
}

fn read(row: &Row) -> Result<Line> {
    let lane: Lane =
        row.text("lane_name")?.parse().map_err(|value| Error::BadValue { column: "lane", value })?;
    let reasons: Vec<String> = row.json("reasons")?;
    Ok(Line {
        post: row.int("post")?.to_string(),
        delivery: row.maybe_int("delivery")?.map(|id| id.to_string()),
        act: row.maybe_text("act")?,
        account: row.text("account")?,
        platform: row.text("platform")?,
        lane: lane.name().to_owned(),
        state: row.text("state")?,
        due: row.time("due")?,
        good_until: row.maybe_time("good_until")?,
        article_url: row.maybe_text("article_url")?,
        text: row.text("text")?,
        remote_id: row.maybe_text("remote_id")?,
        permalink: row.maybe_text("permalink")?,
        attempts: row.int("attempts")?,
        reason: row.maybe_text("reason")?.or_else(|| (!reasons.is_empty()).then(|| reasons.join("; "))),
    })
}
