//! Hold: keeps the switches that stop lanes on accounts.

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;

use crate::model::audit::Action;
use crate::model::lane::Lane;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;

/// A hold, on or lifted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// The lane it stops; all when `None`.
    pub lane: Option<String>,
    /// The account it stops; all when `None`.
    pub account: Option<String>,
    /// Why.
    pub reason: String,
    /// Who set it.
    pub set_by: String,
    /// When.
    pub set_at: DateTime<Utc>,
}

impl Hold {
    /// Whether it stops this lane on this account.
    pub fn stops(&self, account: &str, lane: Lane) -> bool {
        self.lane.as_deref().is_none_or(|stopped| stopped == lane.name())
            && self.account.as_deref().is_none_or(|stopped| stopped == account)
    }
}

/// Sets a hold on each pair of `lanes` and `accounts`; an empty list means all.
///
/// # Errors
/// What the engine says.
pub async fn set(db: &Db, stamp: &Stamp, reason: &str, lanes: &[Lane], accounts: &[String]) -> Result<()> {
    let mut tx = db.begin().await?;
    let lanes: Vec<Option<&str>> =
        if lanes.is_empty() { vec![None] } else { lanes.iter().map(|lane| Some(lane.name())).collect() };
    let accounts: Vec<Option<&str>> = if accounts.is_empty() {
        vec![None]
    } else {
        accounts.iter().map(|account| Some(account.as_str())).collect()
    };
    for lane in &lanes {
        for account in &accounts {
            tx.execute(
                "INSERT INTO hold (lane, account, reason, set_by, set_at) VALUES ($1, $2, $3, $4, $5)",
                args![*lane, *account, reason, stamp.actor.name(), stamp.at],
            )
            .await?;
        }
    }
    let mut entry = stamp.entry(Action::HoldOn);
    entry.detail = json!({ "reason": reason, "lanes": lanes, "accounts": accounts });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await
}

/// Lifts every hold that is on; returns how many. What came due meanwhile stays `held` for a person.
///
/// # Errors
/// What the engine says.
pub async fn lift_all(db: &Db, stamp: &Stamp) -> Result<u64> {
    let mut tx = db.begin().await?;
    let lifted = tx
        .execute(
            "UPDATE hold SET lifted_by = $1, lifted_at = $2 WHERE lifted_at IS NULL",
            args![stamp.actor.name(), stamp.at],
        )
        .await?;
    if lifted > 0 {
        let mut entry = stamp.entry(Action::HoldOff);
        entry.detail = json!({ "holds": lifted });
        audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
    }
    Ok(lifted)
}

/// The holds that are on, oldest first.
const ON: &str =
    "SELECT id, lane, account, reason, set_by, set_at FROM hold WHERE lifted_at IS NULL ORDER BY id";

/// The holds that are on, oldest first.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db) -> Result<Vec<Hold>> {
    db.all(ON, args![]).await?.iter().map(read).collect()
}

/// The holds that are on, as the transaction sees them: read inside a claim, they work at once on every node.
///
/// # Errors
/// What the engine says.
pub(crate) async fn list_in(tx: &mut Tx) -> Result<Vec<Hold>> {
    tx.all(ON, args![]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Hold> {
    Ok(Hold {
        id: row.int("id")?.to_string(),
        lane: row.maybe_text("lane")?,
        account: row.maybe_text("account")?,
        reason: row.text("reason")?,
        set_by: row.text("set_by")?,
        set_at: row.time("set_at")?,
    })
}
