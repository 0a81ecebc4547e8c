//! Account: keeps spacing, pauses, the circuit, the platform's clock.
//!
//! A pause belongs to the account, never to its posts: they wait, they don't burn.

use std::collections::HashMap;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::clock;
use crate::model::account::Platform;
use crate::model::audit::Action;
use crate::model::transition::Effect;
use crate::model::transition::Policy;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::Value;
use crate::store::db::args;
use crate::store::db::numbers;

/// The first pause of an open circuit, and the first wait before a paused account is probed;
/// doubled each time until the platform takes a post, at most `retry_cap` (reliability.md section 2).
const FIRST_PROBE: Duration = Duration::from_secs(60);

/// What the store knows of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name in the configuration.
    pub name: String,
    /// Its platform.
    pub platform: Platform,
    /// Nothing but breaking news goes out before this.
    pub next_send_at: DateTime<Utc>,
    /// Failures in a row.
    pub failures: i64,
    /// Why it is paused: auth, quota, throttle, circuit.
    pub pause: Option<String>,
    /// The platform's words.
    pub pause_reason: Option<String>,
    /// When it may try again by itself, or is probed next.
    pub pause_until: DateTime<Utc>,
    /// The platform's clock minus ours, in seconds.
    pub clock_offset: i64,
    /// The platform's own id of the account, where it had to be asked for.
    pub remote_user: Option<String>,
}

/// Makes the rows of configured accounts.
///
/// # Errors
/// What the engine says.
pub async fn ensure(db: &Db, accounts: &[(String, Platform)]) -> Result<()> {
    let mut tx = db.begin().await?;
    for (name, platform) in accounts {
        tx.execute(
            "INSERT INTO account (name, platform) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET platform = excluded.platform",
            args![name, platform.name()],
        )
        .await?;
    }
    tx.commit().await
}

/// Every account the store knows, by name.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db) -> Result<Vec<Account>> {
    db.all("SELECT * FROM account ORDER BY name", args![]).await?.iter().map(read).collect()
}

/// One account.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, name: &str) -> Result<Option<Account>> {
    db.one("SELECT * FROM account WHERE name = $1", args![name]).await?.as_ref().map(read).transpose()
}

/// The accounts on which something is due that may go out now.
///
/// # Errors
/// What the engine says.
pub async fn list_due(db: &Db, now: DateTime<Utc>) -> Result<Vec<String>> {
    let sql = "SELECT a.name FROM account a
        WHERE (a.pause IS NULL OR (a.pause IN ('throttle', 'circuit') AND a.pause_until <= $1))
          AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.account = a.name AND d.state = 'sending')
          AND (EXISTS (SELECT 1 FROM delivery d WHERE d.account = a.name AND d.state = 'scheduled'
                          AND d.lane = 0 AND d.due_at <= $1)
            OR (a.next_send_at <= $1 AND (
                 EXISTS (SELECT 1 FROM delivery d WHERE d.account = a.name AND d.state = 'scheduled'
                            AND d.lane = 1 AND d.due_at <= $1)
              OR EXISTS (SELECT 1 FROM delivery d WHERE d.account = a.name AND d.state = 'scheduled'
                            AND d.lane = 2 AND d.due_at <= $1))))";
    db.all(sql, args![now]).await?.iter().map(|row| row.text("name")).collect()
}

/// The accounts whose credential or budget was refused and that are due for a probe.
///
/// # Errors
/// What the engine says.
pub async fn list_due_probe(db: &Db, now: DateTime<Utc>) -> Result<Vec<String>> {
    let sql = "SELECT name FROM account WHERE pause IN ('auth', 'quota') AND pause_until <= $1";
    db.all(sql, args![now]).await?.iter().map(|row| row.text("name")).collect()
}

/// Locks the rows of those accounts for a claim that may send now, and says of each until when the lanes below
/// breaking must wait. Missing are the paused ones, and those on which another node is claiming.
pub(crate) async fn lock_sendable(
    tx: &mut Tx,
    names: &[&str],
    now: DateTime<Utc>,
) -> Result<HashMap<String, DateTime<Utc>>> {
    let sql = format!(
        "SELECT name, next_send_at FROM account
          WHERE (pause IS NULL OR (pause IN ('throttle', 'circuit') AND pause_until <= $1)) AND name IN ({}){}",
        numbers(2, names.len()),
        tx.skip_locked()
    );
    let mut values = args![now];
    values.extend(names.iter().copied().map(Value::from));
    let rows = tx.all(AssertSqlSafe(sql), values).await?;
    rows.iter().map(|row| Ok((row.text("name")?, row.time("next_send_at")?))).collect()
}

/// Sets the moment before which only breaking news goes out.
pub(crate) async fn space(tx: &mut Tx, name: &str, until: DateTime<Utc>) -> Result<()> {
    tx.execute("UPDATE account SET next_send_at = $2 WHERE name = $1", args![name, until]).await?;
    Ok(())
}

/// Remembers how far the platform's clock is from ours.
pub(crate) async fn note_clock_offset(tx: &mut Tx, name: &str, seconds: i64) -> Result<()> {
    let sql = "UPDATE account SET clock_offset = $2 WHERE name = $1 AND clock_offset <> $2";
    tx.execute(sql, args![name, seconds]).await?;
    Ok(())
}

/// Remembers the platform's own id of the account.
///
/// # Errors
/// What the engine says.
pub async fn note_remote_user(db: &Db, name: &str, id: &str) -> Result<()> {
    let sql = "SELECT 1 AS one FROM account WHERE name = $1 AND remote_user = $2";
    if db.one(sql, args![name, id]).await?.is_some() {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    tx.execute("UPDATE account SET remote_user = $2 WHERE name = $1", args![name, id]).await?;
    tx.commit().await
}

/// Applies what an answer means for the account.
pub(crate) async fn apply(
    tx: &mut Tx,
    stamp: &Stamp,
    name: &str,
    effect: Option<&Effect>,
    policy: &Policy,
) -> Result<()> {
    let Some(effect) = effect else { return Ok(()) };
    match effect {
        Effect::Answering => {
            resume_in(tx, stamp, name, "the platform answers again").await?;
            tx.execute("UPDATE account SET probes = 0 WHERE name = $1 AND probes > 0", args![name]).await?;
            Ok(())
        }
        Effect::Failing => {
            tx.execute("UPDATE account SET failures = failures + 1 WHERE name = $1", args![name]).await?;
            let Some(row) = tx.one("SELECT failures FROM account WHERE name = $1", args![name]).await? else {
                return Ok(());
            };
            let beyond = row.int("failures")? - i64::from(policy.circuit_after);
            if beyond < 0 {
                return Ok(());
            }
            let until = stamp.at + clock::span(probe_wait(beyond, policy.retry_cap));
            pause(tx, stamp, name, "circuit", "too many failures in a row", until).await
        }
        Effect::Throttle { until, reason } => pause(tx, stamp, name, "throttle", reason, *until).await,
        Effect::PauseAuth { reason } => pause_for_probe(tx, stamp, name, "auth", reason, policy).await,
        Effect::PauseQuota { reason } => pause_for_probe(tx, stamp, name, "quota", reason, policy).await,
    }
}

/// Lets a paused account send again: after a good probe, or because a person says so.
///
/// # Errors
/// What the engine says.
pub async fn resume(db: &Db, stamp: &Stamp, name: &str, reason: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    resume_in(&mut tx, stamp, name, reason).await?;
    tx.commit().await
}

/// Ends a pause of one kind, if it is that one.
pub(crate) async fn resume_from(
    tx: &mut Tx,
    stamp: &Stamp,
    name: &str,
    kind: &str,
    reason: &str,
) -> Result<()> {
    let sql = "SELECT 1 AS one FROM account WHERE name = $1 AND pause = $2";
    match tx.one(sql, args![name, kind]).await? {
        Some(_) => resume_in(tx, stamp, name, reason).await,
        None => Ok(()),
    }
}

/// Pauses an account that has nothing to sign in with, unless a pause stands that waits for more than time.
///
/// # Errors
/// What the engine says.
pub(crate) async fn stand_still(
    tx: &mut Tx,
    stamp: &Stamp,
    name: &str,
    kind: &str,
    reason: &str,
    until: DateTime<Utc>,
) -> Result<()> {
    let sql = "SELECT pause, pause_reason, pause_until FROM account WHERE name = $1";
    let Some(row) = tx.one(sql, args![name]).await? else { return Ok(()) };
    match row.maybe_text("pause")?.as_deref() {
        Some("quota") => Ok(()),
        Some("throttle") if kind == "throttle" && row.time("pause_until")? >= until => Ok(()),
        Some("auth") if kind != "auth" || row.maybe_text("pause_reason")?.as_deref() == Some(reason) => {
            Ok(())
        }
        _ => pause(tx, stamp, name, kind, reason, until).await,
    }
}

/// Pauses an account until a person gives it what to sign in with, if it doesn't pause for that already.
///
/// # Errors
/// What the engine says.
pub async fn pause_unconnected(
    db: &Db,
    stamp: &Stamp,
    name: &str,
    reason: &str,
    policy: &Policy,
) -> Result<()> {
    let mut tx = db.begin().await?;
    let sql = "SELECT 1 AS one FROM account WHERE name = $1 AND pause = 'auth'";
    if tx.one(sql, args![name]).await?.is_some() {
        return tx.roll_back().await;
    }
    pause_for_probe(&mut tx, stamp, name, "auth", reason, policy).await?;
    tx.commit().await
}

/// Puts off the next probe of a paused account, doubling the wait.
///
/// # Errors
/// What the engine says.
pub async fn postpone_probe(db: &Db, now: DateTime<Utc>, name: &str, retry_cap: Duration) -> Result<()> {
    let mut tx = db.begin().await?;
    let until = next_probe(&mut tx, name, now, retry_cap).await?;
    tx.execute("UPDATE account SET pause_until = $2 WHERE name = $1", args![name, until]).await?;
    tx.commit().await
}

/// Pauses an account until a probe is good. Not every refusal shows in a probe (LINE's spent month does not), so
/// what counts is how often the platform refused since it last took a post: a probe's good word alone must not
/// start a try a minute.
pub(crate) async fn pause_for_probe(
    tx: &mut Tx,
    stamp: &Stamp,
    name: &str,
    kind: &str,
    reason: &str,
    policy: &Policy,
) -> Result<()> {
    let until = next_probe(tx, name, stamp.at, policy.retry_cap).await?;
    pause(tx, stamp, name, kind, reason, until).await
}

/// When a refused account is probed next; counts the refusal.
async fn next_probe(
    tx: &mut Tx,
    name: &str,
    now: DateTime<Utc>,
    retry_cap: Duration,
) -> Result<DateTime<Utc>> {
    let row = tx.one("SELECT probes FROM account WHERE name = $1", args![name]).await?;
    let refused = row.map_or(Ok(0), |row| row.int("probes"))?;
    tx.execute("UPDATE account SET probes = $2 WHERE name = $1", args![name, refused + 1]).await?;
    Ok(now + clock::span(probe_wait(refused, retry_cap)))
}

async fn pause(
    tx: &mut Tx,
    stamp: &Stamp,
    name: &str,
    kind: &str,
    reason: &str,
    until: DateTime<Utc>,
) -> Result<()> {
    tx.execute(
        "UPDATE account SET pause = $2, pause_reason = $3, paused_at = $4, pause_until = $5 WHERE name = $1",
        args![name, kind, reason, stamp.at, until],
    )
    .await?;
    let mut entry = stamp.entry(Action::AccountPaused);
    entry.account = Some(name.to_owned());
    entry.detail = json!({ "pause": kind, "reason": reason, "until": until });
    audit::append(tx, &entry).await
}

async fn resume_in(tx: &mut Tx, stamp: &Stamp, name: &str, reason: &str) -> Result<()> {
    let sql = "UPDATE account SET pause = NULL, pause_reason = NULL, paused_at = NULL, pause_until = 0,
                      failures = 0 WHERE name = $1 AND (pause IS NOT NULL OR failures > 0)";
    let row = tx.one("SELECT pause FROM account WHERE name = $1", args![name]).await?;
    let paused = row.map_or(Ok(None), |row| row.maybe_text("pause"))?;
    tx.execute(sql, args![name]).await?;
    if let Some(kind) = paused {
        let mut entry = stamp.entry(Action::AccountResumed);
        entry.account = Some(name.to_owned());
        entry.detail = json!({ "pause": kind, "reason": reason });
        audit::append(tx, &entry).await?;
    }
    Ok(())
}

fn probe_wait(doublings: i64, cap: Duration) -> Duration {
    let factor = 2u32.saturating_pow(u32::try_from(doublings.clamp(0, 16)).unwrap_or(16));
    FIRST_PROBE.saturating_mul(factor).min(cap)
}

fn read(row: &Row) -> Result<Account> {
    Ok(Account {
        name: row.text("name")?,
        platform: row.parsed("platform")?,
        next_send_at: row.time("next_send_at")?,
        failures: row.int("failures")?,
        pause: row.maybe_text("pause")?,
        pause_reason: row.maybe_text("pause_reason")?,
        pause_until: row.time("pause_until")?,
        clock_offset: row.int("clock_offset")?,
        remote_user: row.maybe_text("remote_user")?,
    })
}
