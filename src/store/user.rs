//! Users at rest: names, roles and password hashes.
//!
//! Hashing takes tens of milliseconds by design (argon2id), so it runs on a blocking thread.

use std::sync::LazyLock;

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::PasswordHasher;
use argon2::PasswordVerifier;
use argon2::Version;
use argon2::password_hash::phc::PasswordHash;
use chrono::DateTime;
use chrono::Utc;
use serde::Serialize;
use serde_json::json;

use crate::model::audit::Action;
use crate::model::user;
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

/// A user, without the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The name that signs in.
    pub name: String,
    /// The role.
    pub role: Role,
    /// Whether there is a password; without one only links and tokens sign in.
    pub has_password: bool,
    /// When the user was added.
    pub made_at: DateTime<Utc>,
}

/// Why a user can't be stored as asked, in words for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is taken.
    #[error("there is a user {name} already")]
    Taken {
        /// The name.
        name: String,
    },
    /// There is no such user.
    #[error("there is no user {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The name can't be one.
    #[error("{0}")]
    Name(String),
    /// The password may not be chosen.
    #[error("{0}")]
    Password(&'static str),
    /// Without an admin nobody could add one.
    #[error("{name} is the only admin; make another one first")]
    LastAdmin {
        /// The name.
        name: String,
    },
}

/// Adds a user; `password` may be left out for one who signs in by link or token only.
///
/// # Errors
/// What the engine says; `Ok(Err(…))` when name or password can't be taken.
pub async fn add(
    db: &Db,
    stamp: &Stamp,
    name: &str,
    role: Role,
    password: Option<&SecretString>,
) -> Result<std::result::Result<User, Refusal>> {
    let name = match user::name(name) {
        Ok(name) => name,
        Err(fault) => return Ok(Err(Refusal::Name(fault))),
    };
    let hash = match checked_hash(&name, password).await {
        Ok(hash) => hash,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut tx = db.begin().await?;
    let sql = "INSERT INTO \"user\" (name, role, password, made_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (name) DO NOTHING";
    if tx.execute(sql, args![&name, role.name(), &hash, stamp.at]).await? == 0 {
        return Ok(Err(Refusal::Taken { name }));
    }
    let mut entry = stamp.entry(Action::UserAdded);
    entry.object = Some(format!("user {name}"));
    entry.detail = json!({ "role": role, "password": hash.is_some() });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(Ok(User { name, role, has_password: hash.is_some(), made_at: stamp.at }))
}

/// Gives a user another role; whoever is signed in keeps the session and has the new role at once.
///
/// # Errors
/// What the engine says; `Ok(Err(…))` for an unknown user and for the last admin.
pub async fn set_role(
    db: &Db,
    stamp: &Stamp,
    name: &str,
    role: Role,
) -> Result<std::result::Result<(), Refusal>> {
    let mut tx = db.begin().await?;
    tx.lock("user").await?;
    let Some(known) = find_in(&mut tx, name).await? else {
        return Ok(Err(Refusal::Unknown { name: name.to_owned() }));
    };
    if role != Role::Admin && is_last_admin(&mut tx, &known).await? {
        return Ok(Err(Refusal::LastAdmin { name: known.name }));
    }
    tx.execute("UPDATE \"user\" SET role = $2 WHERE name = $1", args![&known.name, role.name()]).await?;
    let mut entry = stamp.entry(Action::UserChanged);
    entry.object = Some(format!("user {}", known.name));
    entry.detail = json!({ "before": known.role, "after": role });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// Gives a user another password and ends every session and token made under the old one.
///
/// # Errors
/// What the engine says; `Ok(Err(…))` for an unknown user or a password that may not be chosen.
pub async fn set_password(
    db: &Db,
    stamp: &Stamp,
    name: &str,
    password: &SecretString,
) -> Result<std::result::Result<(), Refusal>> {
    let hash = match checked_hash(name, Some(password)).await {
        Ok(hash) => hash,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut tx = db.begin().await?;
    let Some(known) = find_in(&mut tx, name).await? else {
        return Ok(Err(Refusal::Unknown { name: name.to_owned() }));
    };
    tx.execute("UPDATE \"user\" SET password = $2 WHERE name = $1", args![&known.name, &hash]).await?;
    let ended = tx.execute("DELETE FROM session WHERE user_name = $1", args![&known.name]).await?;
    let mut entry = stamp.entry(Action::UserChanged);
    entry.object = Some(format!("user {}", known.name));
    entry.detail = json!({ "password": "changed", "sessions_ended": ended });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// Removes a user with every session and token; what that person did stays in the audit log.
///
/// # Errors
/// What the engine says; `Ok(Err(…))` for an unknown user and for the last admin.
pub async fn remove(db: &Db, stamp: &Stamp, name: &str) -> Result<std::result::Result<(), Refusal>> {
    let mut tx = db.begin().await?;
    tx.lock("user").await?;
    let Some(known) = find_in(&mut tx, name).await? else {
        return Ok(Err(Refusal::Unknown { name: name.to_owned() }));
    };
    if is_last_admin(&mut tx, &known).await? {
        return Ok(Err(Refusal::LastAdmin { name: known.name }));
    }
    tx.execute("DELETE FROM session WHERE user_name = $1", args![&known.name]).await?;
    tx.execute("DELETE FROM \"user\" WHERE name = $1", args![&known.name]).await?;
    let mut entry = stamp.entry(Action::UserRemoved);
    entry.object = Some(format!("user {}", known.name));
    entry.detail = json!({ "role": known.role });
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// Every user, by name.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db) -> Result<Vec<User>> {
    db.all("SELECT * FROM \"user\" ORDER BY name", args![]).await?.iter().map(read).collect()
}

/// One user, by the name as typed.
///
/// # Errors
/// What the engine says.
pub async fn find(db: &Db, name: &str) -> Result<Option<User>> {
    let Ok(name) = user::name(name) else { return Ok(None) };
    db.one("SELECT * FROM \"user\" WHERE name = $1", args![name]).await?.as_ref().map(read).transpose()
}

/// Whom a name and a password prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// This user.
    User(User),
    /// Nobody; the user, if there is one of that name.
    Nobody(Option<String>),
}

/// Checks a password. A name that does not exist costs as much time as one that does.
///
/// # Errors
/// What the engine says.
pub async fn prove(db: &Db, name: &str, password: SecretString) -> Result<Proof> {
    let name = user::name(name).unwrap_or_default();
    let row = db.one("SELECT * FROM \"user\" WHERE name = $1", args![name]).await?;
    let known = row.as_ref().map(read).transpose()?;
    let hash = row.map_or(Ok(None), |row| row.maybe_text("password"))?;
    let right = verify(password, hash).await;
    Ok(match known {
        Some(user) if right => Proof::User(user),
        known => Proof::Nobody(known.map(|user| user.name)),
    })
}

async fn find_in(tx: &mut Tx, name: &str) -> Result<Option<User>> {
    let lock = if tx.is_postgres() { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT * FROM \"user\" WHERE name = $1{lock}");
    let name = user::name(name).unwrap_or_default();
    tx.one(sqlx::AssertSqlSafe(sql), args![name]).await?.as_ref().map(read).transpose()
}

async fn is_last_admin(tx: &mut Tx, user: &User) -> Result<bool> {
    let sql = "SELECT 1 AS one FROM \"user\" WHERE role = 'admin' AND name <> $1 LIMIT 1";
    Ok(user.role == Role::Admin && tx.one(sql, args![&user.name]).await?.is_none())
}

fn read(row: &Row) -> Result<User> {
    Ok(User {
        name: row.text("name")?,
        role: row.parsed("role")?,
        has_password: row.maybe_text("password")?.is_some(),
        made_at: row.time("made_at")?,
    })
}

async fn checked_hash(
    name: &str,
    password: Option<&SecretString>,
) -> std::result::Result<Option<String>, Refusal> {
    let Some(password) = password else { return Ok(None) };
    user::check_password(name, password.expose_secret()).map_err(Refusal::Password)?;
    let password = password.clone();
    let hashed = tokio::task::spawn_blocking(move || hash(&password)).await;
    Ok(Some(hashed.map_err(|_| Refusal::Password("the password could not be hashed; try again"))?))
}

/// Argon2id, 19 MiB, two passes, one lane: OWASP's first recommendation, ASVS 5.0 11.4.2.
#[expect(clippy::expect_used, reason = "the numbers are constants within argon2's bounds")]
fn hasher() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("19 MiB, 2 passes, 1 lane");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[expect(clippy::expect_used, reason = "fails without random numbers or 19 MiB only: nothing can go on then")]
fn hash(password: &SecretString) -> String {
    hasher().hash_password(password.expose_secret().as_bytes()).expect("random salt and 19 MiB").to_string()
}

/// Stands in for the hash of users who don't exist or have no password.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash(&SecretString::from("nobody has this password")));

async fn verify(password: SecretString, hash: Option<String>) -> bool {
    let verified = tokio::task::spawn_blocking(move || {
        let (hash, real) = match &hash {
            Some(hash) => (hash.as_str(), true),
            None => (NOBODY.as_str(), false),
        };
        let right = PasswordHash::new(hash)
            .is_ok_and(|hash| hasher().verify_password(password.expose_secret().as_bytes(), &hash).is_ok());
        right && real
    });
    verified.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session;

    fn stamp() -> Stamp {
        Stamp::step("2026-11-22T07:00:00Z".parse().unwrap(), "a", "test")
    }

    async fn db(folder: &tempfile::TempDir) -> Db {
        let url = format!("sqlite:{}", folder.path().join("songkhao.db").display());
        Db::open(&url, stamp().at).await.unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_proves_a_user() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder).await;
        let password = SecretString::from("ข่าวดีมีทุกวัน");
        let user = add(&db, &stamp(), "Somchai", Role::Editor, Some(&password)).await.unwrap().unwrap();
        assert_eq!(user.name, "somchai");
        assert_eq!(prove(&db, " SOMCHAI", password.clone()).await.unwrap(), Proof::User(user));
        let wrong = prove(&db, "somchai", SecretString::from("ข่าวดีมีทุกวั")).await.unwrap();
        assert_eq!(wrong, Proof::Nobody(Some("somchai".into())));
        assert_eq!(prove(&db, "somsri", password).await.unwrap(), Proof::Nobody(None));
    }

    #[tokio::test]
    async fn a_user_without_a_password_is_proven_by_none() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder).await;
        add(&db, &stamp(), "demo", Role::Admin, None).await.unwrap().unwrap();
        let proof = prove(&db, "demo", SecretString::from("nobody has this password")).await.unwrap();
        assert_eq!(proof, Proof::Nobody(Some("demo".into())));
    }

    #[tokio::test]
    async fn a_stored_password_is_an_argon2id_hash() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder).await;
        add(&db, &stamp(), "a", Role::Viewer, Some(&SecretString::from("ข่าวดีมีทุกวัน"))).await.unwrap().unwrap();
        let row = db.one("SELECT password FROM \"user\"", args![]).await.unwrap().unwrap();
        assert!(row.text("password").unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[tokio::test]
    async fn a_name_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder).await;
        add(&db, &stamp(), "a", Role::Viewer, None).await.unwrap().unwrap();
        let again = add(&db, &stamp(), "A", Role::Admin, None).await.unwrap();
        assert_eq!(again, Err(Refusal::Taken { name: "a".into() }));
        assert_eq!(list(&db).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_last_admin_stays() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder).await;
        add(&db, &stamp(), "a", Role::Admin, None).await.unwrap().unwrap();
        let last = Err(Refusal::LastAdmin { name: "a".into() });
        assert_eq!(remove(&db, &stamp(), "a").await.unwrap(), last);
        assert_eq!(set_role(&db, &stamp(), "a", Role::Viewer).await.unwrap(), last);
        add(&db, &stamp(), "b", Role::Admin, None).await.unwrap().unwrap();
        assert_eq!(remove(&db, &stamp(), "a").await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_new_password_ends_every_session() {
        let folder = tempfile::tempdir().unwrap();
        let db = db(&folder).await;
        let user = add(&db, &stamp(), "a", Role::Viewer, None).await.unwrap().unwrap();
        let session = session::open(&db, &stamp(), &user).await.unwrap();
        assert!(
            session::find(&db, &session.secret, session::Kind::Page, stamp().at).await.unwrap().is_some()
        );
        set_password(&db, &stamp(), "a", &SecretString::from("ข่าวดีมีทุกวัน")).await.unwrap().unwrap();
        assert!(
            session::find(&db, &session.secret, session::Kind::Page, stamp().at).await.unwrap().is_none()
        );
    }
}
