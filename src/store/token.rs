//! Token: keeps what platforms gave us, sealed; one node at a time renews it.
//!
//! What an event means is decided by `model::token`; here it is read, decided and written in one transaction, with its
//! audit entry. The secrets are opened and sealed here alone; entries and pages know their fingerprints.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::clock;
use crate::model::audit::Action as Deed;
use crate::model::hash;
use crate::model::token::Action;
use crate::model::token::Event;
use crate::model::token::Facts;
use crate::model::token::Pace;
use crate::model::token::Pause;
use crate::model::token::RefreshError;
use crate::model::token::State;
use crate::model::token::refresh_at;
use crate::model::token::step;
use crate::model::transition::Policy;
use crate::secret::Grant;
use crate::secret::KeyError;
use crate::secret::Keys;
use crate::secret::SecretString;
use crate::secret::fingerprint;
use crate::store::account;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;

/// How a token came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By `account connect`.
    Connected,
    /// By `account import`.
    Imported,
}

impl Origin {
    /// The name in rows and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Connected => "connected",
            Origin::Imported => "imported",
        }
    }
}

/// A stored token; its secrets stay sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The account it is for.
    pub account: String,
    /// Grows with every pair that is stored.
    pub generation: i64,
    /// `connected` or `imported`.
    pub origin: String,
    /// What its renewal is decided by.
    pub facts: Facts,
    /// The access token's fingerprint.
    pub access_print: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// When a person connected or imported it.
    pub got_at: DateTime<Utc>,
    /// When it was last renewed.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// Why the last renewal brought nothing.
    pub reason: Option<String>,
    fence: i64,
    lease_owner: Option<String>,
    lease_boot: Option<String>,
    access: String,
    refresh: Option<String>,
}

impl Token {
    /// The access token.
    ///
    /// # Errors
    /// When it was sealed with another `[keys] secret`.
    pub fn access(&self, keys: &Keys) -> std::result::Result<SecretString, KeyError> {
        open(keys, &self.account, ACCESS, &self.access)
    }

    /// Whether the renewal under way has nobody any more, asked by a start of a node.
    pub fn is_left(&self, node: &str, boot: &str, clock: DateTime<Utc>) -> bool {
        let (owner, of_boot) = (self.lease_owner.as_deref(), self.lease_boot.as_deref());
        self.facts.state == State::Refreshing
            && (self.facts.lease_until < clock || (owner == Some(node) && of_boot != Some(boot)))
    }
}

/// A renewal whose intent is committed.
#[derive(Debug)]
pub struct Claimed {
    /// The account.
    pub account: String,
    /// The refresh token to present, once.
    pub refresh: std::result::Result<SecretString, KeyError>,
    /// When the intent was written: the life of a new pair counts from here.
    pub at: DateTime<Utc>,
    generation: i64,
    fence: i64,
}

/// The columns as the seal knows them.
const ACCESS: &str = "access";
const REFRESH: &str = "refresh";

/// The stored token of an account.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, account: &str) -> Result<Option<Token>> {
    db.one("SELECT * FROM token WHERE account = $1", args![account]).await?.as_ref().map(read).transpose()
}

/// Every stored token, by account.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db) -> Result<Vec<Token>> {
    db.all("SELECT * FROM token ORDER BY account", args![]).await?.iter().map(read).collect()
}

/// The accounts whose token is to be renewed now, asked by a start of a node.
///
/// # Errors
/// What the engine says.
pub async fn list_due(db: &Db, now: DateTime<Utc>, node: &str, boot: &str) -> Result<Vec<String>> {
    let sql = "SELECT account FROM token WHERE refresh IS NOT NULL AND (
                 (state = 'good' AND refresh_at <= $1 AND try_at <= $1)
              OR (state = 'refreshing' AND (lease_until < $1 OR (lease_owner = $2 AND lease_boot <> $3))))";
    db.all(sql, args![now, node, boot]).await?.iter().map(|row| row.text("account")).collect()
}

/// Stores what a person connected or imported, in place of whatever was there; an account that waited for it goes on.
/// `user` is the platform's own id of the account, where it is known.
///
/// # Errors
/// What the engine says, or that the token can't be sealed.
pub async fn keep(
    db: &Db,
    keys: &Keys,
    stamp: &Stamp,
    name: &str,
    origin: Origin,
    grant: &Grant,
    user: Option<&str>,
) -> Result<()> {
    let mut tx = db.begin().await?;
    // Generations begin with the time, so that none comes again after the account was forgotten.
    tx.execute(
        "INSERT INTO token (account, generation, origin, state, access, access_print, scopes, got_at, changed_at)
         VALUES ($1, $3, $2, 'good', '', '', '', $3, $3)
         ON CONFLICT (account) DO UPDATE SET origin = excluded.origin, got_at = excluded.got_at,
                                             refreshed_at = NULL, fence = token.fence + 1, refresh = NULL, refresh_print = NULL",
        args![name, origin.name(), stamp.at],
    )
    .await?;
    write_pair(&mut tx, keys, name, grant, stamp.at, stamp.at, true).await?;
    // Another profile has another id.
    tx.execute("UPDATE account SET remote_user = $2, probes = 0 WHERE name = $1", args![name, user]).await?;
    let deed = match origin {
        Origin::Connected => Deed::AccountConnected,
        Origin::Imported => Deed::AccountImported,
    };
    let mut detail = shown(grant, stamp.at);
    detail["user"] = json!(user);
    append(&mut tx, stamp, name, deed, detail).await?;
    account::resume_from(&mut tx, stamp, name, "auth", "a person connected it again").await?;
    tx.commit().await
}

/// Forgets the stored token; `false` when there was none. The file's counts again.
///
/// # Errors
/// What the engine says.
pub async fn forget(db: &Db, stamp: &Stamp, name: &str) -> Result<bool> {
    let mut tx = db.begin().await?;
    let forgotten = tx.execute("DELETE FROM token WHERE account = $1", args![name]).await? > 0;
    if forgotten {
        tx.execute("UPDATE account SET remote_user = NULL WHERE name = $1", args![name]).await?;
        let reason = json!({ "reason": "a person had it forgotten" });
        append(&mut tx, stamp, name, Deed::AccountRevoked, reason).await?;
        tx.commit().await?;
    }
    Ok(forgotten)
}

/// Takes the renewal of an account's token, if it is due and nobody has it, and commits the intent to present the
/// refresh token. Only after this returned may the request leave.
///
/// # Errors
/// What the engine says; nothing may be sent then.
pub async fn claim(
    db: &Db,
    keys: &Keys,
    stamp: &Stamp,
    name: &str,
    boot: &str,
    lease: Duration,
    policy: &Policy,
) -> Result<Option<Claimed>> {
    let mut tx = db.begin().await?;
    let clock = tx.lease_clock(stamp.at).await?;
    let Some(token) = find_for_update(&mut tx, name).await? else { return Ok(None) };
    let left = token.is_left(&stamp.node, boot, clock);
    let action = step(&token.facts, &Event::Wanted { left }, stamp.at, pace(policy, 1.0));
    let (Action::Refresh, Some(sealed)) = (action, &token.refresh) else {
        tx.roll_back().await?;
        return Ok(None);
    };
    let fence = token.fence + 1;
    tx.execute(
        "UPDATE token SET state = 'refreshing', presented = presented + 1, fence = $2, lease_owner = $3,
                lease_boot = $4, lease_until = $5, changed_at = $6 WHERE account = $1",
        args![name, fence, &stamp.node, boot, clock + clock::span(lease), stamp.at],
    )
    .await?;
    let because = match &token.facts {
        _ if left => "the renewal before was left without an answer",
        facts if facts.refused => "the platform refused the access token",
        _ => "its end is near",
    };
    let detail = json!({ "reason": because, "access": token.access_print, "fence": fence,
                         "presented": token.facts.presented + 1 });
    append(&mut tx, stamp, name, Deed::AccountRefreshing, detail).await?;
    tx.commit().await?;
    Ok(Some(Claimed {
        account: name.to_owned(),
        refresh: open(keys, name, REFRESH, sealed),
        at: stamp.at,
        generation: token.generation,
        fence,
    }))
}

/// Whether a claim still holds. Asked right before the request leaves.
///
/// # Errors
/// What the engine says; nothing may be sent then.
pub async fn is_held(db: &Db, claimed: &Claimed) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM token WHERE account = $1 AND fence = $2 AND state = 'refreshing'";
    Ok(db.one(sql, args![&claimed.account, claimed.fence]).await?.is_some())
}

/// Writes what came of a renewal. A pair is kept even when others have taken the renewal over since, as long as no
/// newer one is stored: X gives it once. Any other late answer says nothing any more, and changes nothing.
///
/// # Errors
/// What the engine says; the answer is then offered again.
pub async fn record(
    db: &Db,
    keys: &Keys,
    stamp: &Stamp,
    claimed: &Claimed,
    answer: &std::result::Result<Grant, RefreshError>,
    policy: &Policy,
    chance: f64,
) -> Result<Option<Action>> {
    let name = claimed.account.as_str();
    let mut tx = db.begin().await?;
    let Some(token) = find_for_update(&mut tx, name).await? else { return Ok(None) };
    let ours = token.fence == claimed.fence || answer.is_ok();
    if token.generation != claimed.generation || !ours {
        tx.roll_back().await?;
        return Ok(None);
    }
    let event = Event::Answered(answer.as_ref().map(|_| ()).map_err(Clone::clone));
    let action = step(&token.facts, &event, stamp.at, pace(policy, chance));
    match (&action, answer) {
        (Action::Keep, Ok(grant)) => {
            write_pair(&mut tx, keys, name, grant, claimed.at, stamp.at, false).await?;
            let sql = "UPDATE token SET refreshed_at = $2 WHERE account = $1";
            tx.execute(sql, args![name, stamp.at]).await?;
            // A probe tells at once whether the new one is taken.
            let sql = "UPDATE account SET pause_until = $2 WHERE name = $1 AND pause = 'auth'";
            tx.execute(sql, args![name, stamp.at]).await?;
            append(&mut tx, stamp, name, Deed::AccountRefreshed, shown(grant, claimed.at)).await?;
        }
        (Action::Retry { at, doubt, pause }, Err(error)) => {
            put_off(&mut tx, stamp, &token, error, *at, *doubt).await?;
            let reason = format!("its token can't be renewed yet: {error}");
            match pause {
                Some(Pause::UntilThen) => {
                    account::stand_still(&mut tx, stamp, name, "throttle", &reason, *at).await?
                }
                Some(Pause::Auth) => account::stand_still(&mut tx, stamp, name, "auth", &reason, *at).await?,
                None => {}
            }
        }
        (Action::GiveUp { doubt }, Err(error)) => {
            give_up(&mut tx, stamp, name, error, *doubt, policy).await?
        }
        _ => {}
    }
    tx.commit().await?;
    Ok(Some(action))
}

/// Notes that the platform answered 401 to the access token of `generation`. `true` when that is mended without a
/// person: it is renewed, or was meanwhile.
///
/// # Errors
/// What the engine says.
pub async fn refuse(db: &Db, stamp: &Stamp, name: &str, generation: i64, policy: &Policy) -> Result<bool> {
    let mut tx = db.begin().await?;
    let Some(token) = find_for_update(&mut tx, name).await? else { return Ok(false) };
    let action = match token.generation == generation {
        true => step(&token.facts, &Event::Refused, stamp.at, pace(policy, 1.0)),
        false if token.facts.is_usable(stamp.at) => Action::Use,
        false => Action::Person,
    };
    // Of one that is being renewed too: nobody need have it refused once more meanwhile.
    let is_renewed = matches!(action, Action::Wait { .. });
    if (is_renewed && token.facts.refused) || !(is_renewed || action == Action::Refresh) {
        tx.roll_back().await?;
        return Ok(is_renewed || action == Action::Use);
    }
    let sql = "UPDATE token SET refused = 1, refresh_at = $2, changed_at = $2 WHERE account = $1";
    tx.execute(sql, args![name, stamp.at]).await?;
    append(&mut tx, stamp, name, Deed::AccountRefused, json!({ "access": token.access_print })).await?;
    tx.commit().await?;
    Ok(true)
}

/// Notes that the platform took the access token of `generation`.
///
/// # Errors
/// What the engine says.
pub async fn prove(db: &Db, name: &str, generation: i64) -> Result<()> {
    let mut tx = db.begin().await?;
    let sql = "UPDATE token SET proven = 1 WHERE account = $1 AND generation = $2 AND proven = 0";
    tx.execute(sql, args![name, generation]).await?;
    tx.commit_quietly().await
}

/// Stores a pair that was issued to a request made at `since`.
async fn write_pair(
    tx: &mut Tx,
    keys: &Keys,
    name: &str,
    grant: &Grant,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    proven: bool,
) -> Result<()> {
    let sealed = |column, token| keys.seal(&context(name, column), token).map(|bytes| hash::hex(&bytes));
    let access = sealed(ACCESS, &grant.access)?;
    let refresh = grant.refresh.as_ref().map(|token| sealed(REFRESH, token)).transpose()?;
    // A platform that sends no new refresh token lets the old one stand (RFC 6749, section 6).
    tx.execute(
        "UPDATE token SET generation = generation + 1, state = 'good', access = $2, refresh = COALESCE($3, refresh),
                access_print = $4, refresh_print = COALESCE($5, refresh_print), scopes = $6, expires_at = $7,
                refresh_at = $8, refused = 0, proven = $9, presented = 0, failures = 0, reason = NULL, try_at = 0,
                lease_until = 0, changed_at = $10 WHERE account = $1",
        args![
            name,
            access,
            refresh,
            fingerprint(&grant.access),
            grant.refresh.as_ref().map(fingerprint),
            grant.scopes.join(" "),
            grant.life.map(|life| since + clock::span(life)),
            grant.life.map(|life| refresh_at(since, life)),
            proven,
            now
        ],
    )
    .await?;
    Ok(())
}

/// Writes a renewal that brought nothing and is tried again.
async fn put_off(
    tx: &mut Tx,
    stamp: &Stamp,
    token: &Token,
    error: &RefreshError,
    at: DateTime<Utc>,
    doubt: bool,
) -> Result<()> {
    let unspent = i64::from(!doubt);
    tx.execute(
        "UPDATE token SET state = 'good', presented = presented - $2, failures = failures + 1, reason = $3,
                try_at = $4, lease_until = 0, changed_at = $5 WHERE account = $1",
        args![&token.account, unspent, error.to_string(), at, stamp.at],
    )
    .await?;
    let detail = json!({ "reason": error.to_string(), "doubt": doubt, "next": at });
    append(tx, stamp, &token.account, Deed::AccountUnrefreshed, detail).await
}

/// Writes that only a person can help, and pauses the account; its posts wait.
async fn give_up(
    tx: &mut Tx,
    stamp: &Stamp,
    name: &str,
    error: &RefreshError,
    doubt: bool,
    policy: &Policy,
) -> Result<()> {
    let cause = match doubt {
        true => "the answer to a renewal was lost, and with it the new token",
        false => "the platform refuses to renew its token",
    };
    let reason = format!("connect it again with songkhao account connect {name}: {cause}: {error}");
    let sql =
        "UPDATE token SET state = 'lost', reason = $2, lease_until = 0, changed_at = $3 WHERE account = $1";
    tx.execute(sql, args![name, &reason, stamp.at]).await?;
    append(tx, stamp, name, Deed::AccountRevoked, json!({ "reason": reason, "doubt": doubt })).await?;
    account::pause_for_probe(tx, stamp, name, "auth", &reason, policy).await
}

async fn append(tx: &mut Tx, stamp: &Stamp, name: &str, deed: Deed, detail: serde_json::Value) -> Result<()> {
    let mut entry = stamp.entry(deed);
    entry.account = Some(name.to_owned());
    entry.detail = detail;
    audit::append(tx, &entry).await
}

/// What an entry shows of a pair.
fn shown(grant: &Grant, since: DateTime<Utc>) -> serde_json::Value {
    json!({
        "access": fingerprint(&grant.access),
        "refresh": grant.refresh.as_ref().map(fingerprint),
        "scopes": grant.scopes,
        "expires": grant.life.map(|life| since + clock::span(life)),
    })
}

fn pace(policy: &Policy, chance: f64) -> Pace {
    Pace { base: policy.retry_base, cap: policy.retry_cap, chance }
}

/// What a sealed token is bound to: its account and column.
fn context(account: &str, column: &str) -> String {
    format!("{account}/{column}")
}

fn open(
    keys: &Keys,
    account: &str,
    column: &str,
    sealed: &str,
) -> std::result::Result<SecretString, KeyError> {
    let bytes = hash::unhex(sealed).ok_or(KeyError::Sealed)?;
    keys.open(&context(account, column), &bytes)
}

/// Reads a token and, on PostgreSQL, locks its row until the transaction ends.
async fn find_for_update(tx: &mut Tx, name: &str) -> Result<Option<Token>> {
    let lock = if tx.is_postgres() { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT * FROM token WHERE account = $1{lock}");
    tx.one(AssertSqlSafe(sql), args![name]).await?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Token> {
    let refresh = row.maybe_text("refresh")?;
    Ok(Token {
        account: row.text("account")?,
        generation: row.int("generation")?,
        origin: row.text("origin")?,
        facts: Facts {
            state: row.parsed("state")?,
            expires_at: row.maybe_time("expires_at")?,
            refresh_at: row.maybe_time("refresh_at")?,
            renewable: refresh.is_some(),
            refused: row.truth("refused")?,
            proven: row.truth("proven")?,
            presented: row.int("presented")?,
            failures: row.int("failures")?,
            try_at: row.time("try_at")?,
            lease_until: row.time("lease_until")?,
        },
        access_print: row.text("access_print")?,
        scopes: row.text("scopes")?.split_whitespace().map(str::to_owned).collect(),
        got_at: row.time("got_at")?,
        refreshed_at: row.maybe_time("refreshed_at")?,
        reason: row.maybe_text("reason")?,
        fence: row.int("fence")?,
        lease_owner: row.maybe_text("lease_owner")?,
        lease_boot: row.maybe_text("lease_boot")?,
        access: row.text("access")?,
        refresh,
    })
}
