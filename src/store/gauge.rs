//! Gauge: reads how much waits, where, and since when.
//!
//! For `/metrics` and `doctor`: facts only, what they mean is decided above. Everything it asks is answered by a
//! partial index, so that a scrape every few seconds costs a busy newsroom nothing.

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;

use crate::model::lane::Lane;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::args;

/// How much waits at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// The queue, by account and lane; nothing for those that are empty.
    pub queue: Vec<Queue>,
    /// Deliveries that are sending, unconfirmed, parked or held, by account and state.
    pub stuck: Vec<Stuck>,
    /// Posts that wait for a person's approval.
    pub review: i64,
    /// Articles that wait until they have settled.
    pub settling: i64,
    /// Articles whose page is still to be read.
    pub unread: i64,
    /// Articles that have a summary and no posts yet.
    pub summarized: i64,
    /// Audit entries without a place in the log.
    pub unsealed: i64,
    /// When the audit log's head was last signed.
    pub head_at: Option<DateTime<Utc>>,
}

/// What is scheduled on one account in one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The account.
    pub account: String,
    /// The lane.
    pub lane: Lane,
    /// All that is scheduled.
    pub depth: i64,
    /// How much of it has come due.
    pub due: i64,
    /// When the first one comes, or came, due.
    pub first_due_at: DateTime<Utc>,
}

/// Deliveries of one account in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The account.
    pub account: String,
    /// sending, unconfirmed, parked or held.
    pub state: String,
    /// How many.
    pub deliveries: i64,
    /// Since when the first one is.
    pub since: DateTime<Utc>,
}

/// Reads them all.
///
/// # Errors
/// What the engine says.
pub async fn read(db: &Db, now: DateTime<Utc>) -> Result<Gauges> {
    let queue = "SELECT account, lane, count(*) AS depth, count(CASE WHEN due_at <= $1 THEN 1 END) AS due,
                        MIN(due_at) AS first_due_at
                   FROM delivery WHERE state = 'scheduled' GROUP BY account, lane ORDER BY account, lane";
    let stuck = "SELECT account, state, count(*) AS n, MIN(changed_at) AS since FROM delivery
                  WHERE state IN ('sending', 'unconfirmed', 'parked', 'held')
                  GROUP BY account, state ORDER BY account, state";
    let counts = "SELECT (SELECT count(*) FROM post WHERE state = 'review') AS review,
                         (SELECT count(*) FROM article WHERE state = 'settling') AS settling,
                         (SELECT count(*) FROM article WHERE page = 'wanted') AS unread,
                         (SELECT count(*) FROM article WHERE state = 'summarized') AS summarized,
                         (SELECT count(*) FROM unsealed) AS unsealed,
                         (SELECT signed_at FROM head ORDER BY size DESC LIMIT 1) AS head_at";
    let mut gauges = Gauges {
        queue: db.all(queue, args![now]).await?.iter().map(read_queue).collect::<Result<_>>()?,
        stuck: db.all(stuck, args![]).await?.iter().map(read_stuck).collect::<Result<_>>()?,
        ..Gauges::default()
    };
    if let Some(row) = db.one(counts, args![]).await? {
        gauges.review = row.int("review")?;
        gauges.settling = row.int("settling")?;
        gauges.unread = row.int("unread")?;
        gauges.summarized = row.int("summarized")?;
        gauges.unsealed = row.int("unsealed")?;
        gauges.head_at = row.maybe_time("head_at")?;
    }
    Ok(gauges)
}

/// Asks the smallest question there is.
///
/// # Errors
/// What the engine says.
pub async fn probe(db: &Db) -> Result<()> {
    db.one("SELECT 1 AS one", args![]).await.map(|_| ())
}

fn read_queue(row: &Row) -> Result<Queue> {
    let lane = row.int("lane")?;
    Ok(Queue {
        account: row.text("account")?,
        lane: Lane::ALL
            .into_iter()
            .find(|known| known.rank() == lane)
            .ok_or_else(|| Error::BadValue { column: "lane", value: lane.to_string() })?,
        depth: row.int("depth")?,
        due: row.int("due")?,
        first_due_at: row.time("first_due_at")?,
    })
}

fn read_stuck(row: &Row) -> Result<Stuck> {
    Ok(Stuck {
        account: row.text("account")?,
        state: row.text("state")?,
        deliveries: row.int("n")?,
        since: row.time("since")?,
    })
}

/// What the database knows of time and of its own age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// The database's clock minus ours; zero on SQLite, which has none of its own.
    pub offset: TimeDelta,
    /// When the newest audit entry was written: the present can't be before it.
    pub newest_entry_at: Option<DateTime<Utc>>,
}

/// Compares the clocks.
///
/// # Errors
/// What the engine says.
pub async fn clock(db: &Db, now: DateTime<Utc>) -> Result<Clock> {
    let mut tx = db.begin().await?;
    let offset = tx.lease_clock(now).await? - now;
    let row = tx.one("SELECT at FROM audit ORDER BY id DESC LIMIT 1", args![]).await?;
    let newest_entry_at = row.map(|row| row.time("at")).transpose()?;
    tx.roll_back().await?;
    Ok(Clock { offset, newest_entry_at })
}
