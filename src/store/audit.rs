//! Audit: appends entries with every change, seals them later.
//!
//! Nothing decides by reading this log. `audit` knows no UPDATE and no DELETE; an entry waits in
//! `unsealed` until the sealing step gives it its place, so that sealing never slows a delivery.

use chrono::DateTime;
use chrono::Utc;
use sqlx::AssertSqlSafe;

use crate::clock;
use crate::model::audit::Action;
use crate::model::audit::Actor;
use crate::model::audit::Entry;
use crate::model::chain::Chain;
use crate::model::checkpoint::Signer;
use crate::model::delivery::Delivery;
use crate::model::merkle;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::Value;
use crate::store::db::args;
use crate::store::db::placeholders;
use crate::store::memory::Mark;

/// When, where and by whom a change is made; every function that changes something takes one.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// When.
    pub at: DateTime<Utc>,
    /// The node.
    pub node: String,
    /// Who.
    pub actor: Actor,
}

impl Stamp {
    /// The stamp of a step of songkhao itself.
    pub fn step(at: DateTime<Utc>, node: &str, step: &str) -> Stamp {
        Stamp { at, node: node.to_owned(), actor: Actor::step(step) }
    }

    /// A new entry with this stamp.
    pub fn entry(&self, action: Action) -> Entry {
        Entry::new(self.at, &self.node, self.actor.clone(), action)
    }

    /// A new entry about a delivery.
    pub fn entry_of(&self, action: Action, delivery: &Delivery) -> Entry {
        let mut entry = self.entry(action);
        entry.post = Some(delivery.post.to_string());
        entry.delivery = Some(delivery.id.to_string());
        entry.remote_id.clone_from(&delivery.remote_id);
        entry.account = Some(delivery.account.clone());
        entry.article = delivery.article.map(|id| id.to_string());
        entry.payload_hash = Some(delivery.hash.clone());
        entry
    }
}

/// Appends an entry; it lasts if the transaction does.
///
/// # Errors
/// What the engine says.
pub async fn append(tx: &mut Tx, entry: &Entry) -> Result<()> {
    append_all(tx, std::slice::from_ref(entry)).await
}

/// Appends entries in their order; they last if the transaction does.
///
/// # Errors
/// What the engine says.
pub async fn append_all(tx: &mut Tx, entries: &[Entry]) -> Result<()> {
    let number = |id: &Option<String>| id.as_deref().and_then(|id| id.parse::<i64>().ok());
    for entries in entries.chunks(ROWS) {
        let values = entries.iter().flat_map(|entry| {
            args![
                entry.at,
                entry.action.name(),
                number(&entry.article),
                number(&entry.post),
                number(&entry.delivery),
                &entry.account,
                entry.canonical()
            ]
        });
        let sql = format!(
            "INSERT INTO audit (at, action, article, post, delivery, account, entry) VALUES {}
             RETURNING id, at, action, account",
            placeholders(1, entries.len(), 7)
        );
        let rows = tx.all(AssertSqlSafe(sql), values.collect()).await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            let id = row.int("id")?;
            ids.push(Value::from(id));
            // Of all that can be lost, an intent is what makes a second post.
            if row.text("action")? == Action::DeliverySending.name()
                && let Some(account) = row.maybe_text("account")?
            {
                tx.mark(&account, Mark { id, at: row.int("at")? });
            }
        }
        let sql = format!("INSERT INTO unsealed (audit) VALUES {}", placeholders(1, ids.len(), 1));
        tx.execute(AssertSqlSafe(sql), ids).await?;
    }
    Ok(())
}

/// Appends an entry that belongs to no other change: a start, a stop, an export.
///
/// # Errors
/// What the engine says.
pub async fn record(db: &Db, entry: &Entry) -> Result<()> {
    let mut tx = db.begin().await?;
    append(&mut tx, entry).await?;
    tx.commit().await
}

/// Entries sealed in one transaction at most.
const BATCH: i64 = 2_000;

/// Places written by one statement: many more gain nothing, and SQLite takes at most 32,766 values at once.
const ROWS: usize = 250;

/// Gives waiting entries their places, extends the tree and signs its head. Returns how many it sealed.
///
/// One node at a time: places and head are written in one transaction under one lock.
///
/// # Errors
/// What the engine says; [`Error::BadValue`] when the stored state of the log is damaged.
pub async fn seal(db: &Db, signer: &Signer, now: DateTime<Utc>) -> Result<u64> {
    if count_unsealed(db).await? == 0 {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    tx.lock("seal").await?;
    let mut chain = chain(&mut tx).await?;
    let waiting = tx
        .all(
            "SELECT a.id, a.entry FROM unsealed u JOIN audit a ON a.id = u.audit ORDER BY a.id LIMIT $1",
            args![BATCH],
        )
        .await?;
    let first = chain.size();
    let mut places = Vec::with_capacity(waiting.len());
    for row in &waiting {
        let id = row.int("id")?;
        let entry = row.text("entry")?;
        let sealed = chain
            .seal(&entry, |_, _| {})
            .map_err(|error| Error::BadValue { column: "audit.entry", value: error.to_string() })?;
        places.push(args![signed(sealed.seq), id, merkle::hex(&sealed.link)]);
    }
    for rows in places.chunks(ROWS) {
        let sql = format!("INSERT INTO seal (seq, audit, link) VALUES {}", placeholders(1, rows.len(), 3));
        tx.execute(AssertSqlSafe(sql), rows.concat()).await?;
    }
    let sql = "DELETE FROM unsealed WHERE audit IN (SELECT audit FROM seal WHERE seq >= $1)";
    tx.execute(sql, args![signed(first)]).await?;
    let note = signer.sign(chain.size(), chain.root()).to_string();
    tx.execute(
        "INSERT INTO head (size, chain, note, signed_at) VALUES ($1, $2, $3, $4) ON CONFLICT (size) DO NOTHING",
        args![signed(chain.size()), chain.to_string(), note, now],
    )
    .await?;
    tx.commit_quietly().await?;
    Ok(waiting.len() as u64)
}

async fn chain(tx: &mut Tx) -> Result<Chain> {
    let row = tx.one("SELECT chain FROM head ORDER BY size DESC LIMIT 1", args![]).await?;
    row.map_or(Ok(Chain::new()), |row| row.parsed("chain"))
}

/// An entry with its place in the log, if it has one.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The entry's number in the table.
    pub id: i64,
    /// Its place, from 0.
    pub seq: Option<u64>,
    /// The link it was sealed with, in hex.
    pub link: Option<String>,
    /// Its bytes.
    pub entry: String,
}

/// The newest signed head, as a signed note.
///
/// # Errors
/// What the engine says.
pub async fn newest_head(db: &Db) -> Result<Option<String>> {
    let row = db.one("SELECT note FROM head ORDER BY size DESC LIMIT 1", args![]).await?;
    row.map(|row| row.text("note")).transpose()
}

/// Sealed entries in order, from place `from`, at most `limit`.
///
/// # Errors
/// What the engine says.
pub async fn list_sealed(db: &Db, from: u64, limit: i64) -> Result<Vec<Sealed>> {
    let sql = "SELECT a.id, s.seq, s.link, a.entry FROM seal s LEFT JOIN audit a ON a.id = s.audit
                WHERE s.seq >= $1 ORDER BY s.seq LIMIT $2";
    db.all(sql, args![signed(from), limit]).await?.iter().map(read).collect()
}

/// How many entries wait to be sealed.
///
/// # Errors
/// What the engine says.
pub async fn count_unsealed(db: &Db) -> Result<i64> {
    db.one("SELECT count(*) AS n FROM unsealed", args![]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// How many entries have their place.
///
/// # Errors
/// What the engine says.
pub async fn count_sealed(db: &Db) -> Result<i64> {
    db.one("SELECT count(*) AS n FROM seal", args![]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// Entries that are neither sealed nor waiting: somebody wrote them past songkhao.
///
/// # Errors
/// What the engine says.
pub async fn list_stray(db: &Db) -> Result<Vec<i64>> {
    let sql = "SELECT a.id FROM audit a WHERE NOT EXISTS (SELECT 1 FROM seal s WHERE s.audit = a.id)
                  AND NOT EXISTS (SELECT 1 FROM unsealed u WHERE u.audit = a.id) ORDER BY a.id";
    db.all(sql, args![]).await?.iter().map(|row| row.int("id")).collect()
}

/// What to show of the log.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this account.
    pub account: Option<String>,
    /// Only this post.
    pub post: Option<i64>,
    /// Only this article.
    pub article: Option<i64>,
    /// Only this action.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// At most so many, the newest.
    pub limit: Option<i64>,
}

/// The newest entries that pass a filter, oldest first.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db, filter: &Filter) -> Result<Vec<Sealed>> {
    let sql = "SELECT * FROM (
        SELECT a.id, s.seq, s.link, a.entry FROM audit a LEFT JOIN seal s ON s.audit = a.id
         WHERE (CAST($1 AS TEXT) IS NULL OR a.account = $1) AND (CAST($2 AS BIGINT) IS NULL OR a.post = $2) AND (CAST($3 AS BIGINT) IS NULL OR a.article = $3)
           AND (CAST($4 AS TEXT) IS NULL OR a.action = $4) AND a.at >= $5
         ORDER BY a.id DESC LIMIT $6) AS newest ORDER BY id";
    let since = filter.since.map_or(0, clock::micros);
    let limit = filter.limit.unwrap_or(i64::MAX);
    let values = args![&filter.account, filter.post, filter.article, &filter.action, since, limit];
    db.all(sql, values).await?.iter().map(read).collect()
}

/// The newest entries whose object is `object`, oldest first: what happened to a thing that has no id in the log.
///
/// # Errors
/// What the engine says.
pub async fn list_of_object(db: &Db, object: &str, limit: usize) -> Result<Vec<Entry>> {
    let sql =
        "SELECT entry FROM audit WHERE article IS NULL AND post IS NULL AND account IS NULL ORDER BY id DESC";
    let rows = db.all(sql, args![]).await?;
    let mut entries = Vec::new();
    for row in rows {
        // One that a newer version wrote is left out, not a fault: it is only shown.
        let parsed = Entry::parse(&row.text("entry")?).ok();
        entries.extend(parsed.filter(|entry| entry.object.as_deref() == Some(object)));
        if entries.len() == limit {
            break;
        }
    }
    entries.reverse();
    Ok(entries)
}

fn read(row: &Row) -> Result<Sealed> {
    Ok(Sealed {
        id: row.maybe_int("id")?.unwrap_or(0),
        seq: row.maybe_int("seq")?.map(unsigned),
        link: row.maybe_text("link")?,
        entry: row.maybe_text("entry")?.unwrap_or_default(),
    })
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn unsigned(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}
