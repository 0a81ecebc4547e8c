//! SQLite: copies and checks the file, and puts a copy in its place.
//!
//! The file is never opened past the engine: on closing it, the operating system would drop the engine's locks.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use chrono::DateTime;
use chrono::Utc;
use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteConnection;

use crate::store::db::BUSY_TIMEOUT;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Result;

/// What a database file of SQLite begins with (sqlite.org/fileformat2.html, section 1.3).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The files that belong to a database beside its own: the write-ahead log and its index.
const SIDES: [&str; 2] = ["-wal", "-shm"];

/// A file as it was when it was opened; another one under its name isn't it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    device: u64,
    inode: u64,
}

impl Opened {
    /// The file at `path`; `None` where there is none.
    pub(crate) fn at(path: &Path) -> Option<Opened> {
        let file = fs::metadata(path).ok()?;
        Some(Opened { path: path.to_owned(), device: file.dev(), inode: file.ino() })
    }

    /// Whether it still has its name.
    pub(crate) fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.dev() == self.device && file.ino() == self.inode)
    }
}

/// Writes all that is committed in `database` at this moment to a new file, while others go on reading and writing.
/// Gives the schema it has.
///
/// The file gets its name only once it is whole and on the disk, and only its owner may read it.
///
/// # Errors
/// When `to` exists or can't be written; what the engine says.
pub async fn back_up(database: &Path, to: &Path) -> Result<i64> {
    if to.exists() {
        return Err(taken(to));
    }
    let fresh = beside(to, ".new");
    // One that an interrupted backup left behind is nobody's.
    remove(&fresh)?;
    File::options().write(true).create_new(true).mode(0o600).open(&fresh).map_err(io_error)?;
    let copied = copy_into(database, &fresh).await;
    let named = copied.and_then(|schema| {
        File::open(&fresh).and_then(|file| file.sync_all()).map_err(io_error)?;
        // A link fails where a rename would overwrite what came there meanwhile.
        fs::hard_link(&fresh, to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(to),
            _ => io_error(error),
        })?;
        sync_folder(to).map(|()| schema)
    });
    remove(&fresh)?;
    named
}

async fn copy_into(database: &Path, to: &Path) -> Result<i64> {
    let options = SqliteConnectOptions::new().filename(database).busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.create_if_missing(false).connect().await?;
    let copied = async {
        sqlx::query("VACUUM INTO $1").bind(to.to_string_lossy()).execute(&mut connection).await?;
        sqlx::query_scalar("SELECT MAX(number) FROM migration").fetch_one(&mut connection).await
    };
    let copied = copied.await;
    connection.close().await?;
    Ok(copied?)
}

/// Looks at the file as a process would that knows nothing of it yet, and remembers damage.
///
/// The connections in use read from their caches, so they would notice late.
///
/// # Errors
/// What the engine says, whether it is damage or not.
pub async fn inspect(db: &Db) -> Result<()> {
    let Some(options) = db.sqlite().filter(|_| db.file().is_some()) else { return Ok(()) };
    let looked = async {
        let mut connection = SqliteConnection::connect_with(&options.create_if_missing(false)).await?;
        sqlx::query("SELECT count(*) FROM migration").fetch_one(&mut connection).await?;
        connection.close().await
    };
    match looked.await {
        Ok(()) => Ok(()),
        Err(error) => {
            // Code 1 here: the table that every database of ours has is gone.
            if error.as_database_error().and_then(|error| error.code()).as_deref() == Some("1") {
                db.declare_damage(&error.to_string());
            }
            Err(db.noted(error))
        }
    }
}

/// Reads every page and says what is wrong with the first bad ones; damage is remembered.
///
/// # Errors
/// What kept it from being read.
pub async fn check(db: &Db) -> Result<Option<String>> {
    let Some(options) = db.sqlite().filter(|_| db.file().is_some()) else { return Ok(None) };
    let fault = match quick_check(&options).await {
        Ok(fault) => fault,
        Err(error) => return Err(db.noted(error)),
    };
    if let Some(fault) = &fault {
        db.declare_damage(fault);
    }
    Ok(fault)
}

async fn quick_check(options: &SqliteConnectOptions) -> std::result::Result<Option<String>, sqlx::Error> {
    let mut connection = options.clone().create_if_missing(false).connect().await?;
    let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
    let said: String = row.try_get(0)?;
    connection.close().await?;
    Ok((said != "ok").then_some(said))
}

/// A backup that was copied beside the database, looked over and found good.
#[derive(Debug)]
pub struct Candidate {
    /// The copy; it is removed with this value unless it took the database's place.
    path: PathBuf,
    database: PathBuf,
}

impl Candidate {
    /// Copies the backup at `from` beside `database` and looks it over. Nothing else is touched.
    ///
    /// # Errors
    /// Why it is no backup of ours, or not whole; in words for the operator.
    pub async fn of(from: &Path, database: &Path) -> std::result::Result<Candidate, String> {
        let told = |error: io::Error| format!("{}: {error}", from.display());
        let mut source = File::open(from).map_err(told)?;
        let mut head = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(&mut source, MAGIC.len() as u64), &mut head)
            .map_err(told)?;
        if head != MAGIC {
            return Err(format!("{} is no SQLite database, so no backup of songkhao's", from.display()));
        }
        if beside(from, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
            return Err(format!(
                "{0} has a write-ahead log beside it, so it is a database in use or a raw copy of one, and no backup; \
                 open it once with sqlite3 {0} .quit if it is whole",
                from.display()
            ));
        }
        let path = beside(database, ".restoring");
        let candidate = Candidate { path, database: database.to_owned() };
        candidate.remove_copy();
        let mut copy = File::options().write(true).create_new(true).mode(0o600).open(&candidate.path);
        let copied =
            copy.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string())).and_then(|copy| {
                io::Seek::rewind(&mut source)?;
                io::copy(&mut source, copy)?;
                copy.sync_all()
            });
        copied.map_err(|error| format!("{} can't be written: {error}", candidate.path.display()))?;
        candidate.examine(from).await.map(|()| candidate)
    }

    async fn examine(&self, from: &Path) -> std::result::Result<(), String> {
        let options = SqliteConnectOptions::new().filename(&self.path).read_only(true);
        match quick_check(&options).await {
            Ok(None) => {}
            Ok(Some(fault)) => {
                return Err(format!("{} is damaged or half-written: {fault}", from.display()));
            }
            Err(error) => return Err(format!("{} is damaged or half-written: {error}", from.display())),
        }
        let asked = async {
            let mut connection = options.connect().await?;
            let sql = "SELECT count(*) AS n FROM sqlite_schema
                        WHERE type = 'table' AND name IN ('migration', 'delivery', 'attempt', 'audit')";
            let row = sqlx::query(sql).fetch_one(&mut connection).await?;
            connection.close().await?;
            row.try_get::<i64, _>("n")
        };
        match asked.await {
            Ok(4) => Ok(()),
            Ok(_) => Err(format!("{} is a database, but none of songkhao's", from.display())),
            Err(error) => Err(format!("{}: {error}", from.display())),
        }
    }

    /// The address under which the copy can be opened.
    pub fn url(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// Puts the copy in the database's place and gives where the old one is kept, if there was one.
    ///
    /// The old file keeps its name until the new one takes it in one step. The caller made sure that nobody has
    /// either of them open.
    ///
    /// # Errors
    /// What the file system says; the old database is then in its place, or beside it under its new name.
    pub async fn take_over(self, now: DateTime<Utc>) -> io::Result<Option<PathBuf>> {
        let kept = beside(&self.database, &format!(".replaced-{}", now.format("%Y%m%dT%H%M%SZ")));
        let existed = self.database.exists();
        if existed {
            // A healthy database needs no log any more once its last user has closed it.
            fold(&self.database).await;
            fs::hard_link(&self.database, &kept)?;
            for side in SIDES {
                let (log, kept_log) = (beside(&self.database, side), beside(&kept, side));
                if log.exists() {
                    fs::hard_link(&log, kept_log)?;
                }
            }
        }
        sync_folder(&self.database).map_err(io::Error::other)?;
        for side in SIDES {
            // A log that is left would be read into the database that is none of its.
            remove(&beside(&self.database, side)).map_err(io::Error::other)?;
        }
        fs::rename(&self.path, &self.database)?;
        sync_folder(&self.database).map_err(io::Error::other)?;
        Ok(existed.then_some(kept))
    }

    fn remove_copy(&self) {
        for path in [self.path.clone(), beside(&self.path, SIDES[0]), beside(&self.path, SIDES[1])] {
            // It may never have been there; the next restore removes what stays.
            let _removed = fs::remove_file(path);
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.remove_copy();
    }
}

/// Lets SQLite write its log into the file. A damaged one is left as it is.
async fn fold(database: &Path) {
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(false);
    if let Ok(mut connection) = options.connect().await {
        let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&mut connection).await;
        let closed = connection.close().await;
        if let Err(error) = folded.and(closed) {
            tracing::warn!(error = %error, "The replaced database could not be folded; its log is kept with it");
        }
    }
}

/// `path` with something behind its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error)),
        _ => Ok(()),
    }
}

/// Makes names in the folder of `path` last.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)
}

fn taken(path: &Path) -> Error {
    let text = format!("{} exists; a backup never overwrites, name another file", path.display());
    io_error(io::Error::new(io::ErrorKind::AlreadyExists, text))
}

fn io_error(error: io::Error) -> Error {
    Error::Engine(sqlx::Error::Io(error))
}
