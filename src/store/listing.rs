//! Listings: posts with their deliveries, as people look at them.

use chrono::DateTime;
use chrono::Utc;
use serde::Serialize;
use sqlx::AssertSqlSafe;

use crate::model::delivery::State;
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
    /// The article; none for digests and promotions.
    pub article: Option<String>,
    /// The article's headline now.
    pub title: Option<String>,
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
    /// Only posts that come from this: `route:line-digest`, `promotion:7`.
    pub origin: Option<String>,
    /// Only posts older than this one: the next page of a list.
    pub before: Option<i64>,
    /// At most so many, the newest.
    pub limit: Option<i64>,
}

/// What a line is read from; deliveries are joined by each query in its own way.
macro_rules! line {
    () => {
        "SELECT p.id AS post, d.id AS delivery, d.act, p.account, p.platform, p.lane AS lane_name,
           COALESCE(d.state, p.state) AS state, COALESCE(d.due_at, p.not_before) AS due, d.good_until, p.article, a.title,
           CASE WHEN p.article IS NULL THEN NULL ELSE COALESCE(a.link, p.link) END AS article_url,
           p.text, d.remote_id, d.permalink, COALESCE(d.attempts, 0) AS attempts, d.reason, p.reasons"
    };
}

/// Posts and deliveries that pass a filter, oldest first.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db, filter: &Filter) -> Result<Vec<Line>> {
    let states =
        if filter.states.is_empty() { String::new() } else { format!(",{},", filter.states.join(",")) };
    let sql = format!(
        "SELECT * FROM ({} FROM post p LEFT JOIN delivery d ON d.post = p.id LEFT JOIN article a ON a.id = p.article
          WHERE (CAST($1 AS TEXT) IS NULL OR p.account = $1) {}
            AND ($3 = '' OR $3 LIKE '%,' || COALESCE(d.state, p.state) || ',%')
            AND (CAST($4 AS BIGINT) IS NULL OR p.id < $4)
            AND (CAST($6 AS TEXT) IS NULL OR p.origin = $6)
          ORDER BY p.id DESC, d.id DESC LIMIT $5) AS newest
         ORDER BY post, delivery",
        line!(),
        shortcut(filter)
    );
    let limit = filter.limit.unwrap_or(i64::MAX);
    let values = args![&filter.account, filter.article, states, filter.before, limit, &filter.origin];
    db.all(AssertSqlSafe(sql), values).await?.iter().map(read).collect()
}

/// A way to the few posts that can pass, through an index. Delivered ones are many and dense: there the newest posts
/// are walked instead.
fn shortcut(filter: &Filter) -> &'static str {
    if filter.article.is_some() {
        return "AND p.id IN (SELECT id FROM post WHERE article = $2 UNION SELECT post FROM digest WHERE article = $2)";
    }
    if filter.origin.is_some() {
        return "AND p.origin = $6";
    }
    if filter.states.is_empty()
        || filter.states.iter().any(|state| ["delivered", "approved"].contains(&&**state))
    {
        return "";
    }
    "AND p.id IN (SELECT post FROM delivery WHERE state IN ('scheduled', 'sending', 'unconfirmed', 'failed', 'parked',
                                                            'held', 'expired', 'cancelled')
                     AND $3 LIKE '%,' || state || ',%'
                  UNION SELECT id FROM post WHERE state <> 'approved')"
}

/// Deliveries that are due next: what is being sent, then by due time.
///
/// # Errors
/// What the engine says.
pub async fn list_upcoming(db: &Db, limit: i64) -> Result<Vec<Line>> {
    let sql = concat!(
        line!(),
        " FROM delivery d JOIN post p ON p.id = d.post LEFT JOIN article a ON a.id = p.article
         WHERE d.id IN (SELECT id FROM delivery WHERE state = 'sending'
                        UNION SELECT id FROM (SELECT id FROM delivery WHERE state = 'scheduled'
                                               ORDER BY due_at, id LIMIT $1) AS due)
         ORDER BY CASE WHEN d.state = 'sending' THEN 0 ELSE 1 END, d.due_at, d.id"
    );
    db.all(sql, args![limit]).await?.iter().map(read).collect()
}

/// Posts in review and deliveries that only a person can move on, or that are in doubt; the latest change first.
///
/// # Errors
/// What the engine says.
pub async fn list_attention(db: &Db, limit: i64) -> Result<Vec<Line>> {
    let sql = concat!(
        line!(),
        " FROM post p LEFT JOIN delivery d ON d.post = p.id LEFT JOIN article a ON a.id = p.article
         WHERE p.state <> 'approved' AND p.state = 'review' AND d.id IS NULL ORDER BY p.id DESC LIMIT $1"
    );
    let mut lines: Vec<Line> = db.all(sql, args![limit]).await?.iter().map(read).collect::<Result<_>>()?;
    for state in [State::Parked, State::Unconfirmed, State::Failed, State::Held] {
        let sql = concat!(
            line!(),
            " FROM delivery d JOIN post p ON p.id = d.post LEFT JOIN article a ON a.id = p.article
             WHERE d.state = $2 ORDER BY d.changed_at DESC LIMIT $1"
        );
        for row in db.all(sql, args![limit, state.name()]).await? {
            lines.push(read(&row)?);
        }
    }
    Ok(lines)
}

/// How many deliveries came into a state since `since`.
///
/// # Errors
/// What the engine says.
pub async fn count_since(db: &Db, state: State, since: DateTime<Utc>) -> Result<i64> {
    let sql = "SELECT count(*) AS n FROM delivery WHERE state = $1 AND changed_at >= $2";
    db.one(sql, args![state.name(), since]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// How many deliveries stand in each state that is not final, and how many posts wait for a person.
///
/// # Errors
/// What the engine says.
pub async fn count_open(db: &Db) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT state, count(*) AS n FROM delivery
                WHERE state IN ('scheduled', 'sending', 'unconfirmed', 'failed', 'parked', 'held') GROUP BY state
               UNION ALL SELECT state, count(*) AS n FROM post WHERE state <> 'approved' AND state = 'review' GROUP BY state";
    db.all(sql, args![]).await?.iter().map(|row| Ok((row.text("state")?, row.int("n")?))).collect()
}

/// How many deliveries stand in each state, and how many posts wait for a person.
///
/// # Errors
/// What the engine says.
pub async fn count_states(db: &Db) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT state, count(*) AS n FROM delivery GROUP BY state
               UNION ALL SELECT state, count(*) AS n FROM post WHERE state <> 'approved' AND state IN ('review', 'draft') GROUP BY state";
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
        article: row.maybe_int("article")?.map(|id| id.to_string()),
        title: row.maybe_text("title")?,
        article_url: row.maybe_text("article_url")?,
        text: row.text("text")?,
        remote_id: row.maybe_text("remote_id")?,
        permalink: row.maybe_text("permalink")?,
        attempts: row.int("attempts")?,
        reason: row.maybe_text("reason")?.or_else(|| (!reasons.is_empty()).then(|| reasons.join("; "))),
    })
}
