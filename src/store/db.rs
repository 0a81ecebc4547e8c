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
use tracing::warn;

use crate::clock;
use crate::secret::KeyError;
use crate::store::memory::Memory;
use crate::store::migration;
use crate::store::sqlite::Opened;
use crate::store::trouble;
use crate::store::trouble::Trouble;
use crate::store::tx::CHANNEL;
use crate::store::tx::Inner;
use crate::store::tx::SERVER;
use crate::store::tx::bind_postgres;
use crate::store::tx::bind_sqlite;

pub use crate::store::row::Row;
pub use crate::store::row::Value;
pub(crate) use crate::store::row::args;
pub(crate) use crate::store::row::numbers;
pub(crate) use crate::store::row::placeholders;
pub use crate::store::tx::Tx;

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
    /// A stored token can't be sealed or opened.
    #[error(transparent)]
    Key(#[from] KeyError),
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
    /// The database is damaged; see [`Trouble`].
    #[error(
        "the database is damaged ({what}); keep the file, and put a backup in its place: songkhao restore FILE"
    )]
    Damaged {
        /// In the engine's words.
        what: String,
    },
    /// SQLite's file was taken away or replaced under us.
    #[error(
        "the database file {file} was removed or replaced while songkhao runs; put it back, or stop songkhao"
    )]
    FileGone {
        /// Where it was.
        file: String,
    },
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
    shared: Arc<Shared>,
}

/// What all handles and transactions of one database share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) trouble: Trouble,
    pub(crate) memory: Memory,
    /// SQLite's file as it was opened.
    file: Option<Opened>,
    /// Whether PostgreSQL says which system it is, and on which timeline.
    pub(crate) tells_server: bool,
}

impl Shared {
    /// Draws the conclusion from an engine's error on its way to the caller.
    pub(crate) fn noted(&self, error: sqlx::Error) -> Error {
        self.trouble.note(&error);
        Error::Engine(error)
    }
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite { writer: SqlitePool, reader: SqlitePool },
    Postgres(PgPool),
}

/// How long a statement waits for SQLite's write lock, held by another process (the command line).
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

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
        let db = Db::connect(url).await?;
        match (migration::run(&db, now).await, db.shared.trouble.damage()) {
            (Err(_), Some(what)) => Err(Error::Damaged { what }),
            (migrated, _) => migrated.map(|()| db),
        }
    }

    /// Opens the database as it is, to look at it beside a daemon that may be older. `None` if its schema is another
    /// than this program's.
    ///
    /// # Errors
    /// When it can't be reached, or the address is not ours.
    pub async fn look(url: &str) -> Result<Option<Db>> {
        let db = Db::connect(url).await?;
        let is_current = migration::is_current(&db).await.unwrap_or(false);
        Ok(Some(db).filter(|_| is_current))
    }

    async fn connect(url: &str) -> Result<Db> {
        let pool = if url.starts_with("sqlite:") {
            Pool::open_sqlite(url).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Pool::open_postgres(url).await?
        } else {
            return Err(Error::Address);
        };
        let file = pool.file().and_then(|file| Opened::at(&file));
        let tells_server = pool.tells_server().await;
        Ok(Db { pool, shared: Arc::new(Shared { file, tells_server, ..Shared::default() }) })
    }

    /// Whether PostgreSQL runs underneath.
    pub fn is_postgres(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Begins a transaction that may write. SQLite takes the write lock at once, so that no
    /// read-then-write can fail half-way.
    ///
    /// # Errors
    /// When no connection is to be had; [`Error::Damaged`] and [`Error::FileGone`] before anything is tried.
    pub async fn begin(&self) -> Result<Tx> {
        self.is_sound()?;
        let inner = match &self.pool {
            Pool::Sqlite { writer, .. } => writer.begin_with("BEGIN IMMEDIATE").await.map(Inner::Sqlite),
            Pool::Postgres(pool) => pool.begin().await.map(Inner::Postgres),
        };
        let inner = inner.map_err(|error| self.shared.noted(error))?;
        Ok(Tx::new(inner, self.shared.clone()))
    }

    /// Whether it makes sense to write: SQLite goes on writing into a file that has lost its name.
    fn is_sound(&self) -> Result<()> {
        if let Some(what) = self.shared.trouble.damage() {
            return Err(Error::Damaged { what });
        }
        match &self.shared.file {
            Some(file) if !file.is_there() => Err(Error::FileGone { file: file.path.display().to_string() }),
            _ => Ok(()),
        }
    }

    /// What keeps the database from taking anything at the moment, with the cure; `None` if all is well.
    pub fn trouble(&self) -> Option<String> {
        match self.is_sound() {
            Err(error @ Error::FileGone { .. }) => Some(error.to_string()),
            _ => self.shared.trouble.shown(),
        }
    }

    /// Draws the conclusion from an engine's error on its way to the caller.
    pub(crate) fn noted(&self, error: sqlx::Error) -> Error {
        self.shared.noted(error)
    }

    /// Remembers that the database is damaged: nothing is written any more.
    pub(crate) fn declare_damage(&self, what: &str) {
        self.shared.trouble.declare_damage(what);
    }

    /// What this node saw committed.
    pub fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    /// Reads rows outside a transaction.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn all(&self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Vec<Row>> {
        let rows = match &self.pool {
            Pool::Sqlite { reader, .. } => bind_sqlite(sql, args)
                .fetch_all(reader)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            Pool::Postgres(pool) => bind_postgres(sql, args)
                .fetch_all(pool)
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
        };
        rows.map_err(|error| self.shared.noted(error))
    }

    /// Reads one row, if there is any, outside a transaction.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn one(&self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Option<Row>> {
        let row = match &self.pool {
            Pool::Sqlite { reader, .. } => {
                bind_sqlite(sql, args).fetch_optional(reader).await.map(|row| row.map(Row::Sqlite))
            }
            Pool::Postgres(pool) => {
                bind_postgres(sql, args).fetch_optional(pool).await.map(|row| row.map(Row::Postgres))
            }
        };
        row.map_err(|error| self.shared.noted(error))
    }

    /// A watch over changes: see [`Changes::next`].
    pub fn changes(&self) -> Changes {
        Changes(self.shared.changes.subscribe())
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
        self.pool.file()
    }

    /// How SQLite is connected to, for a connection beside the pools; `None` for PostgreSQL.
    pub(crate) fn sqlite(&self) -> Option<SqliteConnectOptions> {
        match &self.pool {
            Pool::Sqlite { writer, .. } => Some((*writer.connect_options()).clone()),
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
            self.shared.changes.send_modify(|count| *count += 1);
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
    fn file(&self) -> Option<PathBuf> {
        match self {
            Pool::Sqlite { writer, .. } => {
                let file = writer.connect_options().get_filename().to_path_buf();
                (!file.to_string_lossy().contains(":memory:")).then_some(file)
            }
            Pool::Postgres(_) => None,
        }
    }

    /// Whether PostgreSQL lets us ask which server this is; some managed ones don't.
    async fn tells_server(&self) -> bool {
        let Pool::Postgres(pool) = self else { return false };
        let told = sqlx::query(SERVER).fetch_one(pool).await;
        if let Err(error) = &told {
            warn!(error = %error, "PostgreSQL doesn't tell its timeline; after a failover, start songkhao with --reconcile-all");
        }
        told.is_ok()
    }

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
                Err(error) if trouble::is_damage(&error) => {
                    return Err(Error::Damaged { what: error.to_string() });
                }
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
