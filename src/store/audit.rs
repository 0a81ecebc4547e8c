//! Audit: appends entries with every change, seals them later.
//!
//! Nothing decides by reading this log. `audit` knows no UPDATE and no DELETE; an entry waits in
//! `unsealed` until the sealing step gives it its place, so that sealing never slows a delivery.

use chrono::DateTime;
use chrono::Utc;
use sqlx::AssertSqlSafe;

use crate::model::audit::Action;
use crate::model::audit::Actor;
use crate::model::audit::Columns;
use crate::model::audit::Entry;
use crate::model::chain::Chain;
use crate::model::checkpoint::SignedHead;
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
use crate::store::signing_key;
use crate::store::tree;
use crate::store::tree::number;

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
    let id_of = |id: &Option<String>| id.as_deref().and_then(|id| id.parse::<i64>().ok());
    for entries in entries.chunks(ROWS) {
        let values = entries.iter().flat_map(|entry| {
            args![
                entry.at,
                entry.action.name(),
                id_of(&entry.article),
                id_of(&entry.post),
                id_of(&entry.delivery),
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
/// What the engine says; [`Error::BadValue`] when the stored state of the log is damaged; [`Error::OtherKey`] when
/// the log is signed by another key.
pub async fn seal(db: &Db, signer: &Signer, now: DateTime<Utc>) -> Result<u64> {
    if count_unsealed(db).await? == 0 {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    tx.lock("seal").await?;
    signing_key::hold(&mut tx, signer.public_key(), now).await?;
    let before = newest(&mut tx).await?;
    let mut chain = before.as_ref().map_or(Chain::new(), |before| before.chain.clone());
    let waiting = tx
        .all(
            "SELECT a.id, a.entry FROM unsealed u JOIN audit a ON a.id = u.audit ORDER BY a.id LIMIT $1",
            args![BATCH],
        )
        .await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let first = chain.size();
    let mut places = Vec::with_capacity(waiting.len());
    let mut finished = Vec::new();
    for row in &waiting {
        let id = row.int("id")?;
        let entry = row.text("entry")?;
        let keep = |node, hash| {
            if tree::is_kept(node) {
                finished.push((node, hash));
            }
        };
        let sealed = chain
            .seal(&entry, keep)
            .map_err(|error| Error::BadValue { column: "audit.entry", value: error.to_string() })?;
        places.push(args![number(sealed.seq), id, merkle::hex(&sealed.link)]);
    }
    insert_places(&mut tx, &places).await?;
    tree::insert(&mut tx, &finished).await?;
    let sql = "DELETE FROM unsealed WHERE audit IN (SELECT audit FROM seal WHERE seq >= $1)";
    tx.execute(sql, args![number(first)]).await?;
    let note = signer.sign(chain.size(), chain.root()).to_string();
    tx.execute(
        "INSERT INTO head (size, chain, note, signed_at) VALUES ($1, $2, $3, $4)",
        args![number(chain.size()), chain.to_string(), note, now],
    )
    .await?;
    if let Some(before) = before {
        before.retire(&mut tx, signer, chain.size(), now).await?;
    }
    tx.commit_quietly().await?;
    Ok(waiting.len() as u64)
}

async fn insert_places(tx: &mut Tx, places: &[Vec<Value>]) -> Result<()> {
    for rows in places.chunks(ROWS) {
        let sql = format!("INSERT INTO seal (seq, audit, link) VALUES {}", placeholders(1, rows.len(), 3));
        tx.execute(AssertSqlSafe(sql), rows.concat()).await?;
    }
    Ok(())
}

/// The head from which sealing goes on.
struct Newest {
    chain: Chain,
    signer: String,
    signed_at: DateTime<Utc>,
}

async fn newest(tx: &mut Tx) -> Result<Option<Newest>> {
    let sql = "SELECT chain, note, signed_at FROM head ORDER BY size DESC LIMIT 1";
    let Some(row) = tx.one(sql, args![]).await? else { return Ok(None) };
    let signer = row.parsed::<SignedHead>("note")?.signer();
    Ok(Some(Newest { chain: row.parsed("chain")?, signer, signed_at: row.time("signed_at")? }))
}

impl Newest {
    /// Makes room for the head that followed. One in a block of entries, one an hour and the last of each key stay, as
    /// marks between which a change can be narrowed down; the others would cost more than the entries.
    async fn retire(&self, tx: &mut Tx, signer: &Signer, size: u64, now: DateTime<Utc>) -> Result<()> {
        let hour = |at: DateTime<Utc>| at.timestamp().div_euclid(3600);
        let own = self.chain.size();
        let is_mark = own / tree::BLOCK != size / tree::BLOCK
            || hour(self.signed_at) != hour(now)
            || self.signer != signer.public_key().short();
        let sql = if is_mark {
            "UPDATE head SET chain = '' WHERE size = $1"
        } else {
            "DELETE FROM head WHERE size = $1"
        };
        tx.execute(sql, args![number(own)]).await?;
        Ok(())
    }
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
    /// Its bytes; empty if the row is gone.
    pub entry: String,
    /// What it is filed under; empty unless it was read by [`list_sealed`].
    pub columns: Columns,
}

/// The newest signed head, as a signed note.
///
/// # Errors
/// What the engine says.
pub async fn newest_head(db: &Db) -> Result<Option<String>> {
    let row = db.one("SELECT note FROM head ORDER BY size DESC LIMIT 1", args![]).await?;
    row.map(|row| row.text("note")).transpose()
}

/// The newest head's size and the state kept with it, as it stands.
///
/// # Errors
/// What the engine says.
pub async fn newest_state(db: &Db) -> Result<Option<(u64, String)>> {
    let row = db.one("SELECT size, chain FROM head ORDER BY size DESC LIMIT 1", args![]).await?;
    row.map(|row| Ok((unsigned(row.int("size")?), row.text("chain")?))).transpose()
}

/// The signed heads that are kept, by size, each with the size it is filed under.
///
/// # Errors
/// What the engine says.
pub async fn list_heads(db: &Db) -> Result<Vec<(u64, String)>> {
    let rows = db.all("SELECT size, note FROM head ORDER BY size", args![]).await?;
    rows.iter().map(|row| Ok((unsigned(row.int("size")?), row.text("note")?))).collect()
}

/// Sealed entries in order, from place `from`, at most `limit`.
///
/// # Errors
/// What the engine says.
pub async fn list_sealed(db: &Db, from: u64, limit: i64) -> Result<Vec<Sealed>> {
    let sql = "SELECT a.id, s.seq, s.link, a.entry, a.at, a.action, a.article, a.post, a.delivery, a.account
                 FROM seal s LEFT JOIN audit a ON a.id = s.audit
                WHERE s.seq >= $1 ORDER BY s.seq LIMIT $2";
    let filed = |row: &Row| {
        let columns = Columns {
            at: row.maybe_int("at")?.unwrap_or_default(),
            action: row.maybe_text("action")?.unwrap_or_default(),
            article: row.maybe_int("article")?,
            post: row.maybe_int("post")?,
            delivery: row.maybe_int("delivery")?,
            account: row.maybe_text("account")?,
        };
        Ok(Sealed { columns, ..read(row)? })
    };
    db.all(sql, args![number(from), limit]).await?.iter().map(filed).collect()
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

/// A row of the log that songkhao did not leave so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// An entry that neither has its place nor waits for one.
    Homeless(i64),
    /// An entry that has its place and waits for another one.
    Twice(i64),
    /// An entry that is said to wait and isn't there.
    Absent(i64),
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stray::Homeless(id) => {
                write!(
                    f,
                    "holds audit row {id}, which is neither sealed nor waiting: it was inserted past songkhao"
                )
            }
            Stray::Twice(id) => write!(f, "lets audit row {id} wait to be sealed, which is sealed already"),
            Stray::Absent(id) => {
                write!(f, "has lost audit row {id}, which waits to be sealed: it was deleted past songkhao")
            }
        }
    }
}

/// Rows that were written or deleted past songkhao, as far as the tables show it; the first of each kind.
///
/// # Errors
/// What the engine says.
pub async fn list_stray(db: &Db) -> Result<Vec<Stray>> {
    let homeless =
        "SELECT MIN(a.id) AS id FROM audit a WHERE NOT EXISTS (SELECT 1 FROM seal s WHERE s.audit = a.id)
                       AND NOT EXISTS (SELECT 1 FROM unsealed u WHERE u.audit = a.id)";
    let twice = "SELECT MIN(u.audit) AS id FROM unsealed u JOIN seal s ON s.audit = u.audit";
    let absent = "SELECT MIN(u.audit) AS id FROM unsealed u
                   WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE a.id = u.audit)";
    let mut strays = Vec::new();
    for (sql, kind) in
        [(homeless, Stray::Homeless as fn(i64) -> Stray), (twice, Stray::Twice), (absent, Stray::Absent)]
    {
        let id = db.one(sql, args![]).await?.map_or(Ok(None), |row| row.maybe_int("id"))?;
        strays.extend(id.map(kind));
    }
    Ok(strays)
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
    /// Only what this user, or this person at a command line, did.
    pub user: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
    /// At most so many, the newest.
    pub limit: Option<i64>,
}

/// The newest entries that pass a filter, oldest first.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db, filter: &Filter) -> Result<Vec<Sealed>> {
    // Only what is asked for stands in the statement, for `x IS NULL OR …` would keep the engines from their indexes.
    let (mut wanted, mut values) = (String::from("WHERE 1 = 1"), Vec::new());
    let by = |kind| filter.user.as_deref().map(|name| acted(kind, name));
    let conditions: [(&str, Vec<Value>); 7] = [
        ("a.account = $", filter.account.iter().map(Value::from).collect()),
        ("a.post = $", filter.post.into_iter().map(Value::from).collect()),
        ("a.article = $", filter.article.into_iter().map(Value::from).collect()),
        ("a.action = $", filter.action.iter().map(Value::from).collect()),
        ("a.at >= $", filter.since.into_iter().map(Value::from).collect()),
        ("a.at < $", filter.until.into_iter().map(Value::from).collect()),
        ("a.entry LIKE $", [by("user"), by("shell")].into_iter().flatten().map(Value::from).collect()),
    ];
    for (condition, given) in conditions {
        let any: Vec<String> = (values.len() + 1..=values.len() + given.len())
            .map(|place| {
                format!("{condition}{place}{}", if condition.contains("LIKE") { " ESCAPE '!'" } else { "" })
            })
            .collect();
        if !any.is_empty() {
            wanted += &format!(" AND ({})", any.join(" OR "));
        }
        values.extend(given);
    }
    values.push(Value::from(filter.limit.unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT * FROM (SELECT a.id, s.seq, s.link, a.entry FROM audit a LEFT JOIN seal s ON s.audit = a.id {wanted}
                         ORDER BY a.id DESC LIMIT ${}) AS newest ORDER BY id",
        values.len()
    );
    db.all(AssertSqlSafe(sql), values).await?.iter().map(read).collect()
}

/// What entries by one person look like: an entry's actor has one byte form, and within a text its quotation marks
/// would be escaped.
fn acted(kind: &str, name: &str) -> String {
    let name = serde_json::Value::from(name).to_string();
    let name: String =
        name.chars().flat_map(|c| "!%_".contains(c).then_some('!').into_iter().chain([c])).collect();
    format!("{{\"at\":%,\"actor\":{{\"{kind}\":{name}%")
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
        columns: Columns::default(),
    })
}

fn unsigned(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}
