//! Route: keeps what waits for a firing, and the firings that were.

use chrono::DateTime;
use chrono::Utc;

use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::db::args;

/// Lets an article wait for the route's next firing, unless it did before: a further source that shows an
/// article after the digest went out brings it into no second one.
pub(crate) async fn wait(tx: &mut Tx, route: &str, article: i64, now: DateTime<Utc>) -> Result<()> {
    let sql = "INSERT INTO waiting (route, article, since) VALUES ($1, $2, $3) ON CONFLICT (route, article) DO NOTHING";
    tx.execute(sql, args![route, article, now]).await?;
    Ok(())
}

/// Whether anything waits for the route.
///
/// # Errors
/// What the engine says.
pub async fn has_waiting(db: &Db, route: &str) -> Result<bool> {
    Ok(db
        .one("SELECT article FROM waiting WHERE route = $1 AND fired_at IS NULL LIMIT 1", args![route])
        .await?
        .is_some())
}

/// The articles that wait for the route, newest first.
pub(crate) async fn list_waiting(tx: &mut Tx, route: &str) -> Result<Vec<i64>> {
    let sql = "SELECT w.article FROM waiting w JOIN article a ON a.id = w.article
                WHERE w.route = $1 AND w.fired_at IS NULL
                ORDER BY COALESCE(a.published_at, a.first_seen_at) DESC, w.article DESC";
    tx.all(sql, args![route]).await?.iter().map(|row| row.int("article")).collect()
}

/// Empties the route's waiting room: a firing took or passed over everybody in it. Who was there is remembered.
pub(crate) async fn clear_waiting(tx: &mut Tx, route: &str, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE waiting SET fired_at = $2 WHERE route = $1 AND fired_at IS NULL";
    tx.execute(sql, args![route, now]).await?;
    Ok(())
}

/// Notes a firing; `false` if this origin fired for that moment before, here or on another node.
pub(crate) async fn fire(
    tx: &mut Tx,
    origin: &str,
    planned_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "INSERT INTO firing (origin, planned_at, fired_at) VALUES ($1, $2, $3)
               ON CONFLICT (origin, planned_at) DO NOTHING";
    Ok(tx.execute(sql, args![origin, planned_at, now]).await? == 1)
}

/// The last moment an origin fired for.
///
/// # Errors
/// What the engine says.
pub async fn last_firing(db: &Db, origin: &str) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT MAX(planned_at) AS at FROM firing WHERE origin = $1";
    db.one(sql, args![origin]).await?.map_or(Ok(None), |row| row.maybe_time("at"))
}
