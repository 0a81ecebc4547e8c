//! Setting: remembers the settings each node ran with last.
//!
//! So that a start can tell what changed since.

use std::collections::BTreeMap;

use serde_json::json;

use crate::model::audit::Entry;
use crate::store::audit;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::args;

/// The settings `node` ran with last, secrets as fingerprints; `None` before its first start.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, node: &str) -> Result<Option<BTreeMap<String, String>>> {
    let row = db.one("SELECT settings FROM setting WHERE node = $1", args![node]).await?;
    row.map(|row| row.json("settings")).transpose()
}

/// Remembers the settings that `node` runs with now, and says so in the log.
///
/// # Errors
/// What the engine says.
pub async fn replace(db: &Db, entry: &Entry, settings: &BTreeMap<String, String>) -> Result<()> {
    let mut tx = db.begin().await?;
    let sql = "INSERT INTO setting (node, settings) VALUES ($1, $2)
               ON CONFLICT (node) DO UPDATE SET settings = excluded.settings";
    tx.execute(sql, args![&entry.node, json!(settings).to_string()]).await?;
    audit::append(&mut tx, entry).await?;
    tx.commit().await
}
