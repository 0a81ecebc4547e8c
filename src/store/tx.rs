//! Transaction: runs statements that last together or not at all.
//!
//! One SQL text for both engines. What differs (locks, clock, row locking) is asked of [`Tx`].

use std::sync::Arc;

use chrono::DateTime;
use chrono::Utc;
use sqlx::Row as _;
use sqlx::SqlSafeStr;

use crate::clock;
use crate::store::db::Result;
use crate::store::db::Shared;
use crate::store::memory::Mark;
use crate::store::memory::Memory;
use crate::store::row::Row;
use crate::store::row::Value;
use crate::store::row::args;

/// A transaction. Dropped without [`Tx::commit`], it never happened.
#[derive(Debug)]
pub struct Tx {
    inner: Inner,
    shared: Arc<Shared>,
    /// The intents appended in it, to be remembered once it lasts.
    marks: Vec<(String, Mark)>,
    /// Intents that are known to be lost, to be forgotten once what says so lasts.
    lost: Vec<Mark>,
}

/// The engine's own transaction.
#[derive(Debug)]
pub(crate) enum Inner {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// The channel on which PostgreSQL nodes tell each other that something changed.
pub(crate) const CHANNEL: &str = "songkhao";

/// Asks PostgreSQL which system it is and on which timeline it writes. The control file would tell the timeline only
/// after the first checkpoint, the name of the present log file tells it at once.
pub(crate) const SERVER: &str = "SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' ||
            substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS server";

impl Tx {
    pub(crate) fn new(inner: Inner, shared: Arc<Shared>) -> Tx {
        Tx { inner, shared, marks: Vec::new(), lost: Vec::new() }
    }

    /// Runs a statement and says how many rows it changed.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn execute(&mut self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<u64> {
        let changed = match &mut self.inner {
            Inner::Sqlite(tx) => {
                bind_sqlite(sql, args).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Inner::Postgres(tx) => {
                bind_postgres(sql, args).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        };
        changed.map_err(|error| self.shared.noted(error))
    }

    /// Runs statements without placeholders, several at once: a migration.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn script(&mut self, sql: impl SqlSafeStr) -> Result<()> {
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(|_| ()),
            Inner::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(|_| ()),
        };
        done.map_err(|error| self.shared.noted(error))
    }

    /// Reads rows.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn all(&mut self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Vec<Row>> {
        let rows = match &mut self.inner {
            Inner::Sqlite(tx) => bind_sqlite(sql, args)
                .fetch_all(&mut **tx)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            Inner::Postgres(tx) => bind_postgres(sql, args)
                .fetch_all(&mut **tx)
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
        };
        rows.map_err(|error| self.shared.noted(error))
    }

    /// Reads one row, if there is any.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn one(&mut self, sql: impl SqlSafeStr, args: Vec<Value>) -> Result<Option<Row>> {
        let row = match &mut self.inner {
            Inner::Sqlite(tx) => {
                bind_sqlite(sql, args).fetch_optional(&mut **tx).await.map(|row| row.map(Row::Sqlite))
            }
            Inner::Postgres(tx) => {
                bind_postgres(sql, args).fetch_optional(&mut **tx).await.map(|row| row.map(Row::Postgres))
            }
        };
        row.map_err(|error| self.shared.noted(error))
    }

    /// Makes it lasting, and wakes whoever waits for a change, on every node.
    ///
    /// # Errors
    /// What the engine says; the transaction may then have happened or not.
    pub async fn commit(mut self) -> Result<()> {
        if let Inner::Postgres(tx) = &mut self.inner {
            let told = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut **tx).await;
            told.map_err(|error| self.shared.noted(error))?;
        }
        let shared = self.shared.clone();
        self.commit_quietly().await?;
        shared.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Makes it lasting without waking anybody: nobody waits for a heartbeat or a seal.
    ///
    /// # Errors
    /// What the engine says; the transaction may then have happened or not.
    pub async fn commit_quietly(self) -> Result<()> {
        let done = match self.inner {
            Inner::Sqlite(tx) => tx.commit().await,
            Inner::Postgres(tx) => tx.commit().await,
        };
        done.map_err(|error| self.shared.noted(error))?;
        self.shared.trouble.end();
        self.shared.memory.forget(&self.lost);
        self.shared.memory.note(self.marks);
        Ok(())
    }

    /// Remembers an intent appended here, outside the database, once this transaction lasts.
    pub(crate) fn mark(&mut self, account: &str, mark: Mark) {
        self.marks.push((account.to_owned(), mark));
    }

    /// Forgets an intent that the database lost, once this transaction, which notes the loss, lasts.
    pub(crate) fn forget(&mut self, mark: Mark) {
        self.lost.push(mark);
    }

    /// What this node saw committed.
    pub(crate) fn memory(&self) -> &Memory {
        &self.shared.memory
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

    /// The question that PostgreSQL answers with its system's identifier and its timeline; `None` where it can't be
    /// asked.
    pub(crate) fn asks_for_server(&self) -> Option<&'static str> {
        self.shared.tells_server.then_some(SERVER)
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

pub(crate) fn bind_sqlite<'q>(
    sql: impl SqlSafeStr,
    args: Vec<Value>,
) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    args.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(it) => query.bind(it),
        Value::Text(it) => query.bind(it),
    })
}

pub(crate) fn bind_postgres<'q>(
    sql: impl SqlSafeStr,
    args: Vec<Value>,
) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
    args.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(it) => query.bind(it),
        Value::Text(it) => query.bind(it),
    })
}
