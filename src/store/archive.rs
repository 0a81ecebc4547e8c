//! Archive: takes the oldest part of the log out of the database.
//!
//! This is the only place where entries leave, and only once they are safe in a file. What stays is enough to go on and to prove: the state in which
//! the part ended, and the hashes of its subtrees. That it happened is an entry of its own.

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;

use crate::model::audit::Action;
use crate::model::chain::Chain;
use crate::model::merkle;
use crate::model::merkle::Hash;
use crate::model::merkle::Node;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::args;
use crate::store::tree;
use crate::store::tree::number;

/// Where a part that holds nothing newer than `before` may end: a multiple of [`tree::BLOCK`].
///
/// # Errors
/// What the engine says.
pub async fn end_before(db: &Db, before: DateTime<Utc>) -> Result<u64> {
    let sql =
        "SELECT COALESCE((SELECT MIN(s.seq) FROM seal s JOIN audit a ON a.id = s.audit WHERE a.at >= $1),
                               (SELECT MAX(size) FROM head), 0) AS size";
    let size = db.one(sql, args![before]).await?.map_or(Ok(0), |row| row.int("size"))?;
    let size = u64::try_from(size).unwrap_or(0);
    Ok(size - size % tree::BLOCK)
}

/// Removes the entries before the end of `chain`, which must be the log's state there; `finished` are the subtrees to
/// keep of them. Returns how many entries went; none if others were faster.
///
/// # Errors
/// What the engine says.
pub async fn remove(
    db: &Db,
    stamp: &Stamp,
    chain: &Chain,
    finished: &[(Node, Hash)],
    file: &str,
) -> Result<u64> {
    let size = number(chain.size());
    let mut tx = db.begin().await?;
    tx.lock("seal").await?;
    let sql =
        "INSERT INTO archive (size, chain, archived_at) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING";
    if tx.execute(sql, args![size, chain.to_string(), stamp.at]).await? == 0 {
        return Ok(0);
    }
    tree::insert(&mut tx, finished).await?;
    let sql = "DELETE FROM audit WHERE id IN (SELECT audit FROM seal WHERE seq < $1)";
    let removed = tx.execute(sql, args![size]).await?;
    tx.execute("DELETE FROM seal WHERE seq < $1", args![size]).await?;
    let sql = "DELETE FROM head WHERE size <= $1 AND size < (SELECT MAX(size) FROM head)";
    tx.execute(sql, args![size]).await?;
    let mut entry = stamp.entry(Action::AuditPruned);
    entry.detail = json!({
        "entries": removed, "size": chain.size(), "root": merkle::hex(&chain.root()), "file": file,
    });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(removed)
}
