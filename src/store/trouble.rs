//! Trouble: remembers what keeps the database from taking what it is given.
//!
//! A full disk, a lock or an outage pass: the next commit that succeeds ends them. Damage does not pass: from then on
//! nothing is written, so that nothing is posted and the file stays as it is for a person.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tracing::error;
use tracing::info;
use tracing::warn;

/// What the engine said last, as long as it holds.
#[derive(Debug, Default)]
pub struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why writing fails at the moment.
    passing: Option<&'static str>,
    /// What is broken for good, in the engine's words.
    damage: Option<String>,
}

/// What an error of the engine means for the database as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Pages hold what they can't hold.
    Damaged,
    /// It takes nothing at the moment, because of this.
    Passing(&'static str),
    /// It is the request that is wrong, not the database.
    Nothing,
}

impl Trouble {
    /// Draws the conclusion from an error.
    pub(crate) fn note(&self, error: &sqlx::Error) {
        match sign(error) {
            Sign::Damaged => self.declare_damage(&error.to_string()),
            Sign::Passing(why) => {
                let mut state = self.state();
                if state.passing != Some(why) {
                    warn!(error = %error, "The database takes nothing: {why}; nothing is posted until it does");
                }
                state.passing = Some(why);
            }
            Sign::Nothing => {}
        }
    }

    /// Remembers that the database is broken; said once.
    pub(crate) fn declare_damage(&self, what: &str) {
        let mut state = self.state();
        if state.damage.is_none() {
            error!(
                damage = what,
                "The database is damaged; nothing is posted or written any more. Stop songkhao, keep the file, \
                 and restore a backup (songkhao restore FILE)"
            );
            state.damage = Some(what.to_owned());
        }
    }

    /// A commit succeeded: what passes has passed.
    pub(crate) fn end(&self) {
        if let Some(why) = self.state().passing.take() {
            info!("The database takes commits again, after: {why}");
        }
    }

    /// How it is damaged.
    pub(crate) fn damage(&self) -> Option<String> {
        self.state().damage.clone()
    }

    /// What is the matter, with the cure; `None` if all is well.
    pub fn shown(&self) -> Option<String> {
        let state = self.state();
        let damaged = |what: &String| {
            format!(
                "the database is damaged ({what}); stop songkhao, keep the file, and put a backup in its place: songkhao restore FILE"
            )
        };
        state.damage.as_ref().map(damaged).or_else(|| state.passing.map(str::to_owned))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error says that the database is broken for good.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    sign(error) == Sign::Damaged
}

/// Reads an error by SQLite's primary result codes (sqlite.org/rescode.html) and PostgreSQL's (appendix A).
fn sign(error: &sqlx::Error) -> Sign {
    let code = error.as_database_error().and_then(|error| error.code());
    let Some(code) = code else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => {
                Sign::Passing("it is out of reach")
            }
            sqlx::Error::PoolTimedOut => Sign::Passing("it does not answer in time"),
            _ => Sign::Nothing,
        };
    };
    // PostgreSQL's codes have five characters, of which some are all digits; SQLite's largest has four.
    match (code.len(), code.parse::<u32>().map(|code| code & 0xff)) {
        (5, _) => match &*code {
            "53100" => Sign::Passing("its disk is full; make room, songkhao goes on by itself"),
            "25006" => Sign::Passing("the server is a replica that takes no writes"),
            "XX001" | "XX002" => Sign::Damaged,
            code if code.starts_with("57P") || code.starts_with("08") || code.starts_with("53") => {
                Sign::Passing("the server ends or refuses connections")
            }
            _ => Sign::Nothing,
        },
        (_, Ok(13)) => Sign::Passing("its disk is full; make room, songkhao goes on by itself"),
        (_, Ok(5 | 6)) => Sign::Passing("another process keeps it locked"),
        (_, Ok(3 | 8)) => Sign::Passing("its file can't be written; look at its owner and its file system"),
        (_, Ok(10 | 14)) => Sign::Passing("its file can't be read or opened; look at the disk"),
        (_, Ok(11 | 26)) => Sign::Damaged,
        _ => Sign::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_ends_with_a_commit_and_damage_does_not() {
        let trouble = Trouble::default();
        assert_eq!(trouble.shown(), None);
        trouble.note(&sqlx::Error::PoolTimedOut);
        assert_eq!(trouble.shown().as_deref(), Some("it does not answer in time"));
        trouble.note(&sqlx::Error::RowNotFound);
        assert!(trouble.shown().is_some(), "a wrong request says nothing of the database");
        trouble.end();
        assert_eq!(trouble.shown(), None);
        trouble.declare_damage("page 3");
        trouble.end();
        let shown = trouble.shown().unwrap();
        assert!(shown.contains("page 3") && shown.contains("songkhao restore"), "{shown}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_damage_and_a_full_one_passes() {
        use sqlx::Connection as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        std::fs::write(&file, [b'x'; 8192]).unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
        let error = async {
            let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
            sqlx::query("SELECT * FROM sqlite_schema").fetch_all(&mut connection).await
        };
        assert_eq!(sign(&error.await.unwrap_err()), Sign::Damaged);

        let mut full = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql("PRAGMA max_page_count = 2; CREATE TABLE a (b)").execute(&mut full).await.unwrap();
        let sql = "INSERT INTO a VALUES (zeroblob(100000))";
        let error = sqlx::query(sql).execute(&mut full).await.unwrap_err();
        assert!(matches!(sign(&error), Sign::Passing(why) if why.contains("full")), "{error}");
        let error = sqlx::query("SELECT * FROM nowhere").execute(&mut full).await.unwrap_err();
        assert_eq!(sign(&error), Sign::Nothing);
    }
}
