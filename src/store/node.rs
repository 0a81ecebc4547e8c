//! Node: keeps one live daemon a name.
//!
//! A name is held by a lock that the operating system or PostgreSQL gives back the moment a daemon dies:
//! a locked file beside SQLite, an advisory lock on a connection of its own on PostgreSQL. So a second
//! daemon is refused, and a restart after kill -9 need not wait.

use std::fs::File;
use std::fs::TryLockError;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use crate::clock;
use crate::model::hash;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::args;
use crate::store::sqlite;

/// A daemon's hold on its name; it ends when this is dropped or the process dies.
#[derive(Debug)]
pub struct Seat {
    name: String,
    boot: String,
    broke_off: bool,
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

/// How long a start waits for the name: PostgreSQL needs a moment to notice that a killed daemon's connection is gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pause between two tries to take the name.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes the name for this start of the daemon. `process` names it among all processes of all machines
/// ([`process`]); a name whose holder was a process of this machine that is surely dead is taken from it.
///
/// # Errors
/// [`Error::NodeTaken`] when a live daemon has it.
pub async fn start(db: &Db, name: &str, boot: &str, now: DateTime<Utc>) -> Result<Seat> {
    let process = process();
    let lock = match db.postgres() {
        Some(pool) => {
            let mut connection = PgConnection::connect_with(pool.connect_options().as_ref()).await?;
            take_advisory_lock(db, &mut connection, name).await?;
            Lock::Postgres(Box::new(Mutex::new(Some(connection))))
        }
        None => lock_file(db, name)?,
    };
    let mut tx = db.begin().await?;
    let clock = tx.lease_clock(now).await?;
    let sql = "SELECT 1 AS one FROM node WHERE name = $1 AND stopped_at IS NULL";
    let broke_off = tx.one(sql, args![name]).await?.is_some();
    tx.execute(
        "INSERT INTO node (name, boot, process, started_at, seen_at) VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (name) DO UPDATE SET boot = excluded.boot, process = excluded.process,
                started_at = excluded.started_at, seen_at = excluded.seen_at, stopped_at = NULL",
        args![name, boot, &process, clock],
    )
    .await?;
    tx.commit_quietly().await?;
    Ok(Seat { name: name.to_owned(), boot: boot.to_owned(), broke_off, lock })
}

impl Seat {
    /// Whether the daemon that had the name before did not stop in good order.
    pub fn followed_a_crash(&self) -> bool {
        self.broke_off
    }

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
                // Not given, it may still be with our own session that broke on our side alone, or with another
                // daemon: then its boot stands in the row.
                if try_advisory_lock(&mut connection, &self.name).await? {
                    *held = Some(connection);
                }
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

/// Takes the lock; from a dead process of this machine at once, else within [`PATIENCE`] or not at all.
async fn take_advisory_lock(db: &Db, connection: &mut PgConnection, name: &str) -> Result<()> {
    let deadline = clock::monotonic() + PATIENCE;
    while !try_advisory_lock(connection, name).await? {
        if clock::monotonic() >= deadline {
            return Err(Error::NodeTaken { node: name.to_owned() });
        }
        let holder = db.one("SELECT process FROM node WHERE name = $1", args![name]).await?;
        let holder = holder.map_or(Ok(None), |row| row.maybe_text("process"))?;
        if holder.is_some_and(|holder| is_dead(&holder)) {
            // A server that lost its client without a word keeps the session for hours.
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_locks
                        WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() AND objsubid = 1
                          AND (classid::bigint << 32 | objid::bigint) = $1
                          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            sqlx::query(sql).bind(lock_key(name)).execute(&mut *connection).await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn try_advisory_lock(connection: &mut PgConnection, name: &str) -> Result<bool> {
    let sql = "SELECT pg_try_advisory_lock($1)";
    Ok(sqlx::query_scalar(sql).bind(lock_key(name)).fetch_one(connection).await?)
}

/// The number that stands for a node's name among PostgreSQL's locks.
pub(crate) fn lock_key(name: &str) -> i64 {
    let digest = hash::sha256_hex(format!("songkhao node {name}").as_bytes());
    // The first 60 bits of a SHA-256 always fit a positive i64.
    i64::from_str_radix(&digest[..15], 16).unwrap_or(0)
}

/// What tells this process from all others on all machines: the machine, its start, the process and its start; `None`
/// where the system doesn't tell (proc(5)).
fn process() -> Option<String> {
    let id = std::process::id();
    Some(format!("{} {id} {}", machine()?, started(id)?))
}

/// Whether a process named by [`process`] ran on this machine and is gone. Of another machine nothing is known.
fn is_dead(process: &str) -> bool {
    let mut parts = process.split(' ');
    let (Some(host), Some(start), Some(id), Some(began)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Some(here) = machine() else { return false };
    match here.split_once(' ') {
        Some((this, present)) if this == host => {
            present != start || id.parse().ok().and_then(started).is_none_or(|now| now != began)
        }
        _ => false,
    }
}

/// The machine's id and that of its present start.
fn machine() -> Option<String> {
    let read = |path| std::fs::read_to_string(path).ok().filter(|text| !text.trim().is_empty());
    let (id, start) = (read("/etc/machine-id")?, read("/proc/sys/kernel/random/boot_id")?);
    // Containers of one image share the machine's id and the kernel's start, but not the name space of processes.
    let space = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{} {}", id.trim(), space.display(), start.trim()))
}

/// When a process began, in ticks since the machine's start; `None` if there is none.
fn started(id: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; the start is the 20th field after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

fn lock_file(db: &Db, name: &str) -> Result<Lock> {
    let Some(path) = db.file() else { return Ok(Lock::Private) };
    lock_at(&sqlite::beside(&path, &format!(".{}{LOCK}", safe(name))), name)
}

/// What the name of a lock file ends with.
const LOCK: &str = ".lock";

/// A node's name as part of a file's.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Where a node keeps its memory of a database: beside SQLite's file, else in the working directory. `None` for
/// SQLite in memory.
pub fn memory_file(db: &Db, name: &str) -> Option<PathBuf> {
    let file = db.file().or_else(|| db.is_postgres().then(|| PathBuf::from("songkhao")))?;
    Some(sqlite::beside(&file, &format!(".{}.memory", safe(name))))
}

/// The names of all daemons that ever ran on an SQLite file, taken: nobody can start there until this is dropped.
#[derive(Debug)]
pub struct Closure {
    _locks: Vec<Lock>,
}

/// Takes them.
///
/// # Errors
/// [`Error::NodeTaken`] when a daemon runs there; what the file system says.
pub fn close(database: &Path, own: &str) -> Result<Closure> {
    let io_error = |error| Error::Engine(sqlx::Error::Io(error));
    let mut locks = vec![lock_at(&sqlite::beside(database, &format!(".{}{LOCK}", safe(own))), own)?];
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stem = format!("{}.", database.file_name().unwrap_or_default().to_string_lossy());
    for entry in std::fs::read_dir(folder).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name().to_string_lossy().into_owned();
        let node = name.strip_prefix(&stem).and_then(|name| name.strip_suffix(LOCK));
        if let Some(node) = node.filter(|node| *node != safe(own)) {
            locks.push(lock_at(&folder.join(&name), node)?);
        }
    }
    Ok(Closure { _locks: locks })
}

fn lock_at(path: &Path, name: &str) -> Result<Lock> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| Error::Engine(sqlx::Error::Io(error)))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock::File { _locked: file }),
        Err(TryLockError::WouldBlock) => Err(Error::NodeTaken { node: name.to_owned() }),
        Err(TryLockError::Error(error)) => Err(Error::Engine(sqlx::Error::Io(error))),
    }
}
