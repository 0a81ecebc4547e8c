//! Sessions at rest: what proves a user from one request to the next.
//!
//! A secret is 32 random bytes, shown to its owner once; the row holds its SHA-256 alone, so that a stolen
//! database signs nobody in. Three kinds: a page's cookie, an API token, a link that signs in once.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::DateTime;
use chrono::Utc;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use serde_json::json;

use crate::clock;
use crate::model::audit::Action;
use crate::model::audit::Actor;
use crate::model::hash;
use crate::model::user::Role;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;
use crate::store::user::User;

/// What a secret is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The pages: it stands in a cookie.
    Page,
    /// The API: it stands in the Authorization header.
    Token,
    /// One sign-in: it stands in an address.
    Link,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Page => "page",
            Kind::Token => "token",
            Kind::Link => "link",
        }
    }

    /// How long it lives, however busy.
    pub fn life(self) -> Duration {
        match self {
            Kind::Page => Duration::from_secs(7 * 24 * 3600),
            Kind::Token => Duration::from_secs(365 * 24 * 3600),
            Kind::Link => Duration::from_secs(15 * 60),
        }
    }
}

/// A page that nobody used for so long is signed out: a working day passes, a weekend does not.
pub const IDLE: Duration = Duration::from_secs(24 * 3600);

/// How exactly the last use is known; noting each would make every look a write.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// A secret just made: the only moment its owner can be told.
#[derive(Debug)]
pub struct Issued {
    /// What the owner keeps.
    pub secret: SecretString,
    /// When it ends.
    pub until: DateTime<Utc>,
}

/// A session that holds, with its user as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The user's name.
    pub user: String,
    /// The user's role at this moment.
    pub role: Role,
    /// The session's name that may be shown (`secret::fingerprint`).
    pub fingerprint: String,
    hash: String,
}

impl Session {
    /// Who acts in this session.
    pub fn actor(&self, address: Option<String>) -> Actor {
        Actor::User {
            user: self.user.clone(),
            role: Some(self.role.name().to_owned()),
            session: Some(self.fingerprint.clone()),
            address,
        }
    }
}

/// Signs a user in on a page. Call it at every sign-in: a session known before is never taken over.
///
/// # Errors
/// What the engine says.
pub async fn open(db: &Db, stamp: &Stamp, user: &User) -> Result<Issued> {
    let mut tx = db.begin().await?;
    let issued = open_in(&mut tx, stamp, user, "password").await?;
    tx.commit().await?;
    Ok(issued)
}

/// Makes a token for the API or a link for one sign-in.
///
/// # Errors
/// What the engine says.
pub async fn issue(db: &Db, stamp: &Stamp, user: &User, kind: Kind) -> Result<Issued> {
    let mut tx = db.begin().await?;
    let (issued, session) = insert(&mut tx, user, kind, stamp.at).await?;
    let mut entry = stamp.entry(Action::TokenMade);
    entry.object = Some(format!("user {}", user.name));
    entry.detail = json!({ "kind": kind.name(), "fingerprint": session.fingerprint, "until": issued.until });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(issued)
}

/// Uses up a link and signs its user in. `None` when it was used before, is too old or never was.
///
/// # Errors
/// What the engine says.
pub async fn redeem(db: &Db, stamp: &Stamp, link: &SecretString) -> Result<Option<Issued>> {
    let mut tx = db.begin().await?;
    let row = tx
        .one(
            "DELETE FROM session WHERE hash = $1 AND kind = 'link' AND until_at > $2 RETURNING user_name",
            args![hashed(link), stamp.at],
        )
        .await?;
    let Some(name) = row.map(|row| row.text("user_name")).transpose()? else { return Ok(None) };
    let sql = "SELECT name, role, password, made_at FROM \"user\" WHERE name = $1";
    let Some(row) = tx.one(sql, args![name]).await? else { return Ok(None) };
    let user = User {
        name: row.text("name")?,
        role: row.parsed("role")?,
        has_password: row.maybe_text("password")?.is_some(),
        made_at: row.time("made_at")?,
    };
    let issued = open_in(&mut tx, stamp, &user, "link").await?;
    tx.commit().await?;
    Ok(Some(issued))
}

/// The session that a secret proves, if it is of that kind and holds still.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, secret: &SecretString, kind: Kind, now: DateTime<Utc>) -> Result<Option<Session>> {
    let idle = if kind == Kind::Page { IDLE } else { kind.life() };
    let row = db
        .one(
            "SELECT s.hash, s.user_name, s.seen_at, u.role FROM session s JOIN \"user\" u ON u.name = s.user_name
              WHERE s.hash = $1 AND s.kind = $2 AND s.until_at > $3 AND s.seen_at > $4",
            args![hashed(secret), kind.name(), now, now - clock::span(idle)],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let session = read(&row)?;
    if now - row.time("seen_at")? > clock::span(SEEN_EVERY) {
        let mut tx = db.begin().await?;
        tx.execute("UPDATE session SET seen_at = $2 WHERE hash = $1", args![&session.hash, now]).await?;
        // Quietly: pages wait for changes, and a look at a page must not make them look again.
        tx.commit_quietly().await?;
    }
    Ok(Some(session))
}

/// Signs out: the session ends and stays ended.
///
/// # Errors
/// What the engine says.
pub async fn close(db: &Db, stamp: &Stamp, session: &Session) -> Result<()> {
    let mut tx = db.begin().await?;
    if tx.execute("DELETE FROM session WHERE hash = $1", args![&session.hash]).await? == 1 {
        audit::append(&mut tx, &stamp.entry(Action::UserSignedOut)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Ends every session, token and link of a user; returns how many there were.
///
/// # Errors
/// What the engine says.
pub async fn revoke_all(db: &Db, stamp: &Stamp, user: &str) -> Result<u64> {
    let mut tx = db.begin().await?;
    let ended = tx.execute("DELETE FROM session WHERE user_name = $1", args![user]).await?;
    if ended > 0 {
        let mut entry = stamp.entry(Action::TokenRevoked);
        entry.object = Some(format!("user {user}"));
        entry.detail = json!({ "sessions": ended });
        audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
    }
    Ok(ended)
}

async fn open_in(tx: &mut Tx, stamp: &Stamp, user: &User, by: &str) -> Result<Issued> {
    tx.execute("DELETE FROM session WHERE until_at <= $1", args![stamp.at]).await?;
    let (issued, session) = insert(tx, user, Kind::Page, stamp.at).await?;
    let address = match &stamp.actor {
        Actor::User { address, .. } => address.clone(),
        _ => None,
    };
    let mut entry = stamp.entry(Action::UserSignedIn);
    entry.actor = session.actor(address);
    entry.detail = json!({ "by": by });
    audit::append(tx, &entry).await?;
    Ok(issued)
}

async fn insert(tx: &mut Tx, user: &User, kind: Kind, now: DateTime<Utc>) -> Result<(Issued, Session)> {
    let issued = Issued { secret: random(kind), until: now + clock::span(kind.life()) };
    let hash = hashed(&issued.secret);
    tx.execute(
        "INSERT INTO session (hash, user_name, kind, made_at, seen_at, until_at) VALUES ($1, $2, $3, $4, $4, $5)",
        args![&hash, &user.name, kind.name(), now, issued.until],
    )
    .await?;
    let fingerprint = hash[..8].to_owned();
    Ok((issued, Session { user: user.name.clone(), role: user.role, fingerprint, hash }))
}

/// Tokens are marked, so that one in the wrong place is recognised by people and by scanners.
#[expect(clippy::expect_used, reason = "a system without random numbers can't sign anybody in")]
fn random(kind: Kind) -> SecretString {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random numbers");
    let mark = if kind == Kind::Token { "songkhao_" } else { "" };
    SecretString::from(format!("{mark}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

fn hashed(secret: &SecretString) -> String {
    hash::sha256_hex(secret.expose_secret().as_bytes())
}

fn read(row: &Row) -> Result<Session> {
    let hash = row.text("hash")?;
    let fingerprint = hash.get(..8).unwrap_or_default().to_owned();
    Ok(Session { user: row.text("user_name")?, role: row.parsed("role")?, fingerprint, hash })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit::Entry;
    use crate::store::user;

    fn stamp() -> Stamp {
        Stamp::step("2026-11-22T07:00:00Z".parse().unwrap(), "a", "test")
    }

    fn later(seconds: u64) -> DateTime<Utc> {
        stamp().at + clock::span(Duration::from_secs(seconds))
    }

    async fn setting(folder: &tempfile::TempDir) -> (Db, User) {
        let url = format!("sqlite:{}", folder.path().join("songkhao.db").display());
        let db = Db::open(&url, stamp().at).await.unwrap();
        let user = user::add(&db, &stamp(), "somchai", Role::Editor, None).await.unwrap().unwrap();
        (db, user)
    }

    #[tokio::test]
    async fn a_session_proves_its_user_and_is_stored_as_a_hash_only() {
        let folder = tempfile::tempdir().unwrap();
        let (db, user) = setting(&folder).await;
        let issued = open(&db, &stamp(), &user).await.unwrap();
        let session = find(&db, &issued.secret, Kind::Page, later(1)).await.unwrap().unwrap();
        assert_eq!((session.user.as_str(), session.role), ("somchai", Role::Editor));
        assert_eq!(session.fingerprint, crate::secret::fingerprint(&issued.secret));
        let rows = db.all("SELECT hash FROM session", args![]).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert!(!rows[0].text("hash").unwrap().contains(issued.secret.expose_secret()));
        assert!(find(&db, &issued.secret, Kind::Token, later(1)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_session_ends_after_idleness_and_after_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let (db, user) = setting(&folder).await;
        let idle = open(&db, &stamp(), &user).await.unwrap();
        assert!(find(&db, &idle.secret, Kind::Page, later(24 * 3600)).await.unwrap().is_none());
        let busy = open(&db, &stamp(), &user).await.unwrap();
        for hour in (1..7 * 24).step_by(20) {
            assert!(
                find(&db, &busy.secret, Kind::Page, later(hour * 3600)).await.unwrap().is_some(),
                "{hour}"
            );
        }
        assert!(find(&db, &busy.secret, Kind::Page, later(7 * 24 * 3600)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_link_signs_in_once_and_not_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let (db, user) = setting(&folder).await;
        let link = issue(&db, &stamp(), &user, Kind::Link).await.unwrap().secret;
        assert!(find(&db, &link, Kind::Page, later(1)).await.unwrap().is_none());
        let page = redeem(&db, &stamp(), &link).await.unwrap().unwrap();
        assert!(find(&db, &page.secret, Kind::Page, later(1)).await.unwrap().is_some());
        assert!(redeem(&db, &stamp(), &link).await.unwrap().is_none());
        let old = issue(&db, &stamp(), &user, Kind::Link).await.unwrap().secret;
        let late = Stamp::step(later(15 * 60), "a", "test");
        assert!(redeem(&db, &late, &old).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_closed_session_stays_closed() {
        let folder = tempfile::tempdir().unwrap();
        let (db, user) = setting(&folder).await;
        let issued = open(&db, &stamp(), &user).await.unwrap();
        let session = find(&db, &issued.secret, Kind::Page, later(1)).await.unwrap().unwrap();
        close(&db, &stamp(), &session).await.unwrap();
        close(&db, &stamp(), &session).await.unwrap();
        assert!(find(&db, &issued.secret, Kind::Page, later(1)).await.unwrap().is_none());
        let entries = audit::list(&db, &audit::Filter::default()).await.unwrap();
        let actions: Vec<Action> =
            entries.iter().map(|entry| Entry::parse(&entry.entry).unwrap().action).collect();
        assert_eq!(actions, [Action::UserAdded, Action::UserSignedIn, Action::UserSignedOut]);
    }

    #[tokio::test]
    async fn a_role_change_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (db, user) = setting(&folder).await;
        let token = issue(&db, &stamp(), &user, Kind::Token).await.unwrap().secret;
        assert!(token.expose_secret().starts_with("songkhao_"));
        user::set_role(&db, &stamp(), "somchai", Role::Viewer).await.unwrap().unwrap();
        let session = find(&db, &token, Kind::Token, later(1)).await.unwrap().unwrap();
        assert_eq!(session.role, Role::Viewer);
        assert_eq!(revoke_all(&db, &stamp(), "somchai").await.unwrap(), 1);
        assert!(find(&db, &token, Kind::Token, later(1)).await.unwrap().is_none());
    }
}
