//! Database: holds SQLite and PostgreSQL behind one handle.
//!
//! Callers write one SQL text with `$1` placeholders, times as microseconds in BIGINT, JSON as TEXT,
//! truth values as 0 and 1. What differs (locks, clock, row locking) is asked of [`Tx`].
//! SQLite has one writer connection and `synchronous=FULL`: a commit that was answered survives power loss.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::SqlSafeStr;
use sqlx::postgres::PgConnectOptions;
use sqlx::postgres::PgConnection;
use sqlx::postgres::PgListener;
use sqlx::postgres::PgPool;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteJournalMode;
use sqlx::sqlite::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::sqlite::SqliteSynchronous;
use tokio::sync::watch;

use crate::clock;
use crate::store::migration;

pub use crate::store::row::Row;
pub use crate::store::row::Value;
pub(crate) use crate::store::row::args;

/// Why the database could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine's own words. They hold no bound values and no password.
    #[error("database: {0}")]
    Engine(#[from] sqlx::Error),
    /// A row holds a value this version does not know.
    #[error("database: column {column} holds {value:?}, which this version of songkhao does not know")]
    BadValue {
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// The database was made by a newer songkhao.
    #[error("the database has schema {found}, this songkhao knows {known}: install the newer version again")]
    Newer {
        /// The schema version found.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// The audit log is signed by another key than ours.
    #[error(
        "the audit log is signed by {log}, and [keys] secret here gives {ours}: give every node and command the secret the log is signed with; if that is lost, start the daemon, which goes on under the new key and says so in the log"
    )]
    OtherKey {
        /// Name and id of the key that signs the log.
        log: String,
        /// Name and id of the key at hand.
        ours: String,
    },
    /// The address is not one of ours.
    #[error("the database address must begin with sqlite: or postgres://")]
    Address,
    /// Another live daemon has this node name.
    #[error("another daemon runs as node {node:?} on this database; give this one another `node.name`")]
    NodeTaken {
        /// The name.
        node: String,
    },
}

impl Error {
    /// Whether the engine is out of reach, rather than the request wrong.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Error::Engine(
                sqlx::Error::Io(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::Tls(_)
            )
        )
    }
}

/// The result of everything in `store`.
pub type Result<T> = std::result::Result<T, Error>;

/// The database, cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: Pool,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite { writer: SqlitePool, reader: SqlitePool },
    Postgres(PgPool),
}

/// How long a statement waits for SQLite's write lock, held by another process (the command line).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before a locked SQLite file is opened again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long a caller waits for a free connection before the database counts as out of reach.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that read SQLite beside the one that writes.
const SQLITE_READERS: u32 = 4;

/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 12;

impl Db {
    /// Opens the database at `url`, makes it if it is a missing SQLite file, and migrates it.
    ///
    /// # Errors
    /// When it can't be reached, is newer than this program, or the address is not ours.
    pub async fn open(url: &str, now: DateTime<Utc>) -> Result<Db> {
        let pool = if url.starts_with("sqlite:") {
            Pool::open_sqlite(url).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Pool::open_postgres(url).await?
        } else {
            return Err(Error::Address);
        };
        let db = Db { pool, changes: Arc::new(watch::Sender::new(0)) };
        migration::run(&db, now).await?;
        Ok(db)
    }

    /// Whether PostgreSQL runs underneath.
    pub fn is_postgres(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Begins a transaction that may write. SQLite takes the write lock at once, so that no
    /// read-then-write can fail half-way.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn begin(&self) -> Result<Tx> {
        let inner = match &self.pool {
            Pool::Sqlite { writer, .. } => Inner::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Pool::Postgres(pool) => Inner::Postgres(pool.begin().await?),
        };
        Ok(Tx { inner, changes: self.changes.clone() })
    }

    /// Reads rows outside a transaction.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn all(&self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Vec<Row>> {
        Ok(match &self.pool {
            Pool::Sqlite { reader, .. } => {
                bind_sqlite(sql, args).fetch_all(reader).await?.into_iter().map(Row::Sqlite).collect()
            }
            Pool::Postgres(pool) => {
                bind_postgres(sql, args).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Reads one row, if there is any, outside a transaction.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn one(&self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(match &self.pool {
            Pool::Sqlite { reader, .. } => {
                bind_sqlite(sql, args).fetch_optional(reader).await?.map(Row::Sqlite)
            }
            Pool::Postgres(pool) => bind_postgres(sql, args).fetch_optional(pool).await?.map(Row::Postgres),
        })
    }

    /// A watch over changes: see [`Changes::next`].
    pub fn changes(&self) -> Changes {
        Changes(self.changes.subscribe())
    }

    /// Closes every connection; SQLite folds its write-ahead log back into the file.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// The file of SQLite; `None` for PostgreSQL and for SQLite in memory.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.pool {
            Pool::Sqlite { writer, .. } => {
                let file = writer.connect_options().get_filename().to_path_buf();
                (!file.to_string_lossy().contains(":memory:")).then_some(file)
            }
            Pool::Postgres(_) => None,
        }
    }

    /// The pool of PostgreSQL, for listening.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        match &self.pool {
            Pool::Postgres(pool) => Some(pool),
            Pool::Sqlite { .. } => None,
        }
    }

    /// Passes changes that other nodes announce on to [`Db::changes`], until the connection breaks.
    ///
    /// # Errors
    /// How it broke. On SQLite, which has no other nodes, it never returns.
    pub async fn listen(&self) -> Result<()> {
        let Pool::Postgres(pool) = &self.pool else { return std::future::pending().await };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        loop {
            listener.recv().await?;
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

/// Tells when the database may have changed; nothing that commits between two waits is missed.
#[derive(Debug)]
pub struct Changes(watch::Receiver<u64>);

impl Changes {
    /// Resolves when a transaction has committed since the last call, or after `longest`.
    pub async fn next(&mut self, longest: Duration) {
        // A change, the end of the wait and a closed database mean the same to the caller: look again.
        let _look_again = tokio::time::timeout(longest, self.0.changed()).await;
    }
}

impl Pool {
    async fn open_sqlite(url: &str) -> Result<Pool> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT);
        let deadline = clock::monotonic() + BUSY_TIMEOUT;
        let writer = loop {
            match writer.clone().connect_with(options.clone()).await {
                // Two processes that turn a new file's log on collide, and SQLite does not wait there by itself.
                Err(error) if is_busy(&error) && clock::monotonic() < deadline => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                connected => break connected?,
            }
        };
        let reader = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Pool::Sqlite { writer, reader })
    }

    async fn open_postgres(url: &str) -> Result<Pool> {
        let options = PgConnectOptions::from_str(url)?;
        // The pool would repeat a refused connection until its time is up, and then say only that it was.
        let first = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options)).await;
        first.map_err(|_| sqlx::Error::PoolTimedOut)??.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Pool::Postgres(pool))
    }
}

/// Whether SQLite says that another process has the file (primary result code 5, SQLITE_BUSY).
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// A transaction. Dropped without [`Tx::commit`], it never happened.
#[derive(Debug)]
pub struct Tx {
    inner: Inner,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
enum Inner {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// The channel on which PostgreSQL nodes tell each other that something changed.
pub(crate) const CHANNEL: &str = "songkhao";

impl Tx {
    /// Runs a statement and says how many rows it changed.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn execute(&mut self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<u64> {
        Ok(match &mut self.inner {
            Inner::Sqlite(tx) => bind_sqlite(sql, args).execute(&mut **tx).await?.rows_affected(),
            Inner::Postgres(tx) => bind_postgres(sql, args).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Runs statements without placeholders, several at once: a migration.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn script(&mut self, sql: impl SqlSafeStr) -> Result<()> {
        match &mut self.inner {
            Inner::Sqlite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(|_| ())?,
            Inner::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Reads rows.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn all(&mut self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Vec<Row>> {
        Ok(match &mut self.inner {
            Inner::Sqlite(tx) => {
                bind_sqlite(sql, args).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
            Inner::Postgres(tx) => {
                bind_postgres(sql, args).fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Reads one row, if there is any.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn one(&mut self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(match &mut self.inner {
            Inner::Sqlite(tx) => bind_sqlite(sql, args).fetch_optional(&mut **tx).await?.map(Row::Sqlite),
            Inner::Postgres(tx) => {
                bind_postgres(sql, args).fetch_optional(&mut **tx).await?.map(Row::Postgres)
            }
        })
    }

    /// Makes it lasting, and wakes whoever waits for a change, on every node.
    ///
    /// # Errors
    /// What the engine says; the transaction may then have happened or not.
    pub async fn commit(mut self) -> Result<()> {
        if let Inner::Postgres(tx) = &mut self.inner {
            sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut **tx).await?;
        }
        let changes = self.changes.clone();
        self.commit_quietly().await?;
        changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Makes it lasting without waking anybody: nobody waits for a heartbeat or a seal.
    ///
    /// # Errors
    /// What the engine says; the transaction may then have happened or not.
    pub async fn commit_quietly(self) -> Result<()> {
        match self.inner {
            Inner::Sqlite(tx) => tx.commit().await?,
            Inner::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Takes it back at once, with its locks. A dropped transaction is taken back too, but a little later.
    ///
    /// # Errors
    /// What the engine says; it is taken back all the same.
    pub async fn roll_back(self) -> Result<()> {
        match self.inner {
            Inner::Sqlite(tx) => tx.rollback().await?,
            Inner::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// Whether PostgreSQL runs underneath.
    pub fn is_postgres(&self) -> bool {
        matches!(self.inner, Inner::Postgres(_))
    }

    /// What a locking SELECT ends with; SQLite's transaction already holds the only write lock.
    pub fn skip_locked(&self) -> &'static str {
        if self.is_postgres() { " FOR UPDATE SKIP LOCKED" } else { "" }
    }

    /// Lets one node at a time through to the end of its transaction; SQLite's write lock does that anyway.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn lock(&mut self, name: &str) -> Result<()> {
        if self.is_postgres() {
            self.execute("SELECT pg_advisory_xact_lock(hashtext($1))", args![name]).await?;
        }
        Ok(())
    }

    /// The clock that leases live by: the database's own where nodes share one, else `now`.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn lease_clock(&mut self, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
        match &mut self.inner {
            Inner::Sqlite(_) => Ok(now),
            Inner::Postgres(tx) => {
                let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at";
                let row = sqlx::query(sql).fetch_one(&mut **tx).await?;
                Ok(clock::from_micros(row.try_get("at")?))
            }
        }
    }
}

fn bind_sqlite<'q>(
    sql: impl SqlSafeStr,
    args: Vec<Value>,
) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    args.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(it) => query.bind(it),
        Value::Text(it) => query.bind(it),
    })
}

fn bind_postgres<'q>(
    sql: impl SqlSafeStr,
    args: Vec<Value>,
) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
    args.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(it) => query.bind(it),
        Value::Text(it) => query.bind(it),
    })
}
