//! Signing key: remembers which keys signed the log, and which one does.
//!
//! A key changes only when a daemon starts with another secret, and an entry says so. Any other process that
//! has another key may not seal: two keys at once would make two tails of one log.

use serde_json::json;

use crate::model::audit::Action;
use crate::model::checkpoint::PublicKey;
use crate::model::checkpoint::SignedHead;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::db::args;
use chrono::DateTime;
use chrono::Utc;

/// Makes `key` the one that signs from now on. Returns what signed before, if that was another one.
///
/// # Errors
/// What the engine says.
pub async fn adopt(db: &Db, stamp: &Stamp, key: &PublicKey) -> Result<Option<String>> {
    let mut tx = db.begin().await?;
    tx.lock("seal").await?;
    let former = in_force(&mut tx).await?;
    if former.as_ref().is_some_and(|former| is_of(key, former)) {
        return Ok(None);
    }
    insert(&mut tx, key, stamp.at).await?;
    if let Some(former) = &former {
        let mut entry = stamp.entry(Action::AuditKeyChanged);
        entry.detail = json!({ "before": former, "after": key.to_string() });
        audit::append(&mut tx, &entry).await?;
    }
    tx.commit().await?;
    Ok(former)
}

/// Makes sure that `key` is the one that signs; the first one ever simply becomes it.
///
/// # Errors
/// [`Error::OtherKey`] when another one does.
pub(crate) async fn hold(tx: &mut Tx, key: &PublicKey, now: DateTime<Utc>) -> Result<()> {
    match in_force(tx).await? {
        None => insert(tx, key, now).await,
        Some(log) if is_of(key, &log) => Ok(()),
        Some(log) => {
            let log = log.parse::<PublicKey>().map_or(log, |key| key.short());
            Err(Error::OtherKey { log, ours: key.short() })
        }
    }
}

/// Every key that signed, the present one last.
///
/// # Errors
/// What the engine says; [`Error::BadValue`] for a key that was changed in the database.
pub async fn list(db: &Db) -> Result<Vec<PublicKey>> {
    let rows = db.all("SELECT vkey FROM signing_key ORDER BY turn", args![]).await?;
    rows.iter().map(|row| row.parsed("vkey")).collect()
}

/// The key that signs: its vkey, or the short name where a head from before this table tells no more.
async fn in_force(tx: &mut Tx) -> Result<Option<String>> {
    let sql = "SELECT vkey FROM signing_key ORDER BY turn DESC LIMIT 1";
    if let Some(row) = tx.one(sql, args![]).await? {
        return row.text("vkey").map(Some);
    }
    let row = tx.one("SELECT note FROM head ORDER BY size DESC LIMIT 1", args![]).await?;
    row.map(|row| row.parsed::<SignedHead>("note").map(|head| head.signer())).transpose()
}

fn is_of(key: &PublicKey, name: &str) -> bool {
    name == key.to_string() || name == key.short()
}

async fn insert(tx: &mut Tx, key: &PublicKey, now: DateTime<Utc>) -> Result<()> {
    let row = tx.one("SELECT COALESCE(MAX(turn), 0) AS turn FROM signing_key", args![]).await?;
    let turn = row.map_or(Ok(0), |row| row.int("turn"))? + 1;
    let sql = "INSERT INTO signing_key (vkey, turn, since) VALUES ($1, $2, $3)
               ON CONFLICT (vkey) DO UPDATE SET turn = excluded.turn, since = excluded.since";
    tx.execute(sql, args![key.to_string(), turn, now]).await?;
    Ok(())
}
