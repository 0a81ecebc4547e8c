//! Node: keeps one live daemon a name.
//!
//! A name is held by a lock that the operating system or PostgreSQL gives back the moment a daemon dies:
//! a locked file beside SQLite, an advisory lock on a connection of its own on PostgreSQL. So a second
//! daemon is refused at once, and a restart after kill -9 need not wait.

use std::fs::File;
use std::fs::TryLockError;

use chrono::DateTime;
use chrono::Utc;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use crate::model::hash;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::args;

/// A daemon's hold on its name; it ends when this is dropped or the process dies.
#[derive(Debug)]
pub struct Seat {
    name: String,
    boot: String,
    lock: Lock,
}

#[derive(Debug)]
enum Lock {
    /// Kept for its lock alone.
    File { _locked: File },
    /// SQLite in memory: nobody else can reach it.
    Private,
    /// The connection whose session holds the advisory lock, until it breaks.
    Postgres(Box<Mutex<Option<PgConnection>>>),
}

/// Takes the name for this start of the daemon.
///
/// # Errors
/// [`Error::NodeTaken`] when a live daemon has it.
pub async fn start(db: &Db, name: &str, boot: &str, now: DateTime<Utc>) -> Result<Seat> {
    let lock = match db.postgres() {
        Some(pool) => {
            let mut connection = PgConnection::connect_with(pool.connect_options().as_ref()).await?;
            if !try_advisory_lock(&mut connection, name).await? {
                return Err(Error::NodeTaken { node: name.to_owned() });
            }
            Lock::Postgres(Box::new(Mutex::new(Some(connection))))
        }
        None => lock_file(db, name)?,
    };
    let mut tx = db.begin().await?;
    let clock = tx.lease_clock(now).await?;
    tx.execute(
        "INSERT INTO node (name, boot, started_at, seen_at) VALUES ($1, $2, $3, $3)
         ON CONFLICT (name) DO UPDATE SET boot = excluded.boot, started_at = excluded.started_at,
                                          seen_at = excluded.seen_at, stopped_at = NULL",
        args![name, boot, clock],
    )
    .await?;
    tx.commit_quietly().await?;
    Ok(Seat { name: name.to_owned(), boot: boot.to_owned(), lock })
}

impl Seat {
    /// Says that this daemon lives, and takes the lock again if its connection broke.
    /// `false` when another daemon has the name now: this one must stop.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn beat(&self, db: &Db, now: DateTime<Utc>) -> Result<bool> {
        if let (Lock::Postgres(held), Some(pool)) = (&self.lock, db.postgres()) {
            let mut held = held.lock().await;
            let alive = match held.as_mut() {
                Some(connection) => connection.ping().await.is_ok(),
                None => false,
            };
            if !alive {
                *held = None;
                let mut connection = PgConnection::connect_with(pool.connect_options().as_ref()).await?;
                if !try_advisory_lock(&mut connection, &self.name).await? {
                    return Ok(false);
                }
                *held = Some(connection);
            }
        }
        let mut tx = db.begin().await?;
        let clock = tx.lease_clock(now).await?;
        let sql = "UPDATE node SET seen_at = $3 WHERE name = $1 AND boot = $2";
        let ours = tx.execute(sql, args![&self.name, &self.boot, clock]).await? == 1;
        tx.commit_quietly().await?;
        Ok(ours)
    }

    /// Gives the name back in good order.
    ///
    /// # Errors
    /// What the engine says; the lock is given back all the same.
    pub async fn stop(self, db: &Db, now: DateTime<Utc>) -> Result<()> {
        let mut tx = db.begin().await?;
        let clock = tx.lease_clock(now).await?;
        let sql = "UPDATE node SET stopped_at = $3 WHERE name = $1 AND boot = $2";
        tx.execute(sql, args![&self.name, &self.boot, clock]).await?;
        tx.commit_quietly().await
    }
}

/// What the store knows of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its node's name.
    pub name: String,
    /// When it last said that it lives, on the clock that leases live by.
    pub seen_at: DateTime<Utc>,
    /// When it stopped in good order.
    pub stopped_at: Option<DateTime<Utc>>,
}

/// Every node that ever ran on this database, by name.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db) -> Result<Vec<Node>> {
    let rows = db.all("SELECT name, seen_at, stopped_at FROM node ORDER BY name", args![]).await?;
    let node = |row: &Row| {
        Ok(Node {
            name: row.text("name")?,
            seen_at: row.time("seen_at")?,
            stopped_at: row.maybe_time("stopped_at")?,
        })
    };
    rows.iter().map(node).collect()
}

async fn try_advisory_lock(connection: &mut PgConnection, name: &str) -> Result<bool> {
    let digest = hash::sha256_hex(format!("songkhao node {name}").as_bytes());
    // The first 60 bits of a SHA-256 always fit a positive i64.
    let key = i64::from_str_radix(&digest[..15], 16).unwrap_or(0);
    Ok(sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key).fetch_one(connection).await?)
}

fn lock_file(db: &Db, name: &str) -> Result<Lock> {
    let Some(mut path) = db.file() else { return Ok(Lock::Private) };
    let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    path.as_mut_os_string().push(format!(".{safe}.lock"));
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Error::Engine(sqlx::Error::Io(error)))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock::File { _locked: file }),
        Err(TryLockError::WouldBlock) => Err(Error::NodeTaken { node: name.to_owned() }),
        Err(TryLockError::Error(error)) => Err(Error::Engine(sqlx::Error::Io(error))),
    }
}
