//! Attempt: reads the tries of a delivery.
//!
//! They are opened with the claim and closed with the answer, both in `store::delivery`.

use chrono::DateTime;
use chrono::Utc;

use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::args;

/// One try of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Attempt {
    /// Which try, from 1.
    pub number: i64,
    /// The node that made it.
    pub node: String,
    /// When it was opened.
    pub started_at: DateTime<Utc>,
    /// When it was closed.
    pub finished_at: Option<DateTime<Utc>>,
    /// SHA-256 of the bytes it sent.
    pub hash: String,
    /// How it ended: delivered, a kind of error, not_sent, lease_lost.
    pub outcome: Option<String>,
    /// The HTTP status.
    pub status: Option<i64>,
    /// The platform's id of the request.
    pub request_id: Option<String>,
    /// The platform's words.
    pub reason: Option<String>,
}

/// The attempts of a delivery, first one first.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db, delivery: i64) -> Result<Vec<Attempt>> {
    let sql = "SELECT * FROM attempt WHERE delivery = $1 ORDER BY number";
    let rows = db.all(sql, args![delivery]).await?;
    rows.iter()
        .map(|row| {
            Ok(Attempt {
                number: row.int("number")?,
                node: row.text("node")?,
                started_at: row.time("started_at")?,
                finished_at: row.maybe_time("finished_at")?,
                hash: row.text("hash")?,
                outcome: row.maybe_text("outcome")?,
                status: row.maybe_int("status")?,
                request_id: row.maybe_text("request_id")?,
                reason: row.maybe_text("reason")?,
            })
        })
        .collect()
}
