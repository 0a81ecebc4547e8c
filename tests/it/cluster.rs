//! Cluster: a PostgreSQL server of the tests' own, in a temporary folder.
//!
//! A keeper (a small shell script) owns the server and obeys orders that it reads from a pipe. When the test
//! process is gone, however it went, the pipe ends; the keeper then stops the server and removes the folder.
//! The server doesn't sync to disk: a killed server loses nothing by that, only a power failure would.
//! `src/store` includes this file for its own tests, so it uses nothing but std and `tempfile`.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

/// The address of a new, empty database on the server that all tests of this process share.
///
/// # Panics
/// When PostgreSQL isn't installed or won't start; the text says what to do.
#[track_caller]
pub fn database_url() -> String {
    static SHARED: LazyLock<Result<Cluster, String>> = LazyLock::new(Cluster::start_new);
    match &*SHARED {
        Ok(cluster) => cluster.database_url(),
        Err(reason) => panic!("{reason}"),
    }
}

/// A server that can be stopped and started. It ends with this value, or with the process.
#[derive(Debug)]
pub struct Cluster {
    pub(super) programs: PathBuf,
    pub(super) folder: PathBuf,
    databases: AtomicU32,
    keeper: Mutex<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// Makes and starts a server for one test alone, which may stop it.
    ///
    /// # Panics
    /// When PostgreSQL isn't installed or won't start; the text says what to do.
    #[track_caller]
    pub fn new() -> Cluster {
        Cluster::start_new().unwrap_or_else(|reason| panic!("{reason}"))
    }

    fn start_new() -> Result<Cluster, String> {
        let cluster = Cluster::prepare(&installed()?)?;
        cluster.order("make")?;
        cluster.order("start")?;
        Ok(cluster)
    }

    /// A keeper in an empty folder, which has done nothing yet.
    pub(super) fn prepare(programs: &Path) -> Result<Cluster, String> {
        // Not where TMPDIR says: a socket's path has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("songkhao-postgres-").tempdir_in("/tmp");
        let (folder, keeper) = folder
            .and_then(|folder| Ok((folder.path().to_owned(), Keeper::new(programs, &folder.keep())?)))
            .map_err(|error| format!("PostgreSQL's keeper can't be started: {error}"))?;
        let programs = programs.to_owned();
        Ok(Cluster { programs, folder, databases: AtomicU32::new(0), keeper: Mutex::new(keeper) })
    }

    /// The address of a new, empty database.
    ///
    /// # Panics
    /// When the server is stopped.
    #[track_caller]
    pub fn database_url(&self) -> String {
        let name = format!("t_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        self.psql(&format!("CREATE DATABASE {name}"));
        format!("postgres://postgres@localhost:5432/{name}?host={}", self.folder.display())
    }

    /// Runs a statement as the server's administrator, say to end another's session.
    ///
    /// # Panics
    /// When the server is stopped or refuses the statement.
    #[track_caller]
    pub fn psql(&self, statement: &str) {
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--username=postgres", "--port=5432", "--host"])
            .arg(&self.folder)
            .args(["--dbname=postgres", "--command", statement])
            .output()
            .unwrap_or_else(|error| panic!("psql can't be started: {error}"));
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stops the server as a crash would: nobody is told, and what was committed is kept.
    ///
    /// # Panics
    /// When it isn't running.
    #[track_caller]
    pub fn stop(&self) {
        self.order("stop").unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Starts the server again and waits until it answers.
    ///
    /// # Panics
    /// When it won't start.
    #[track_caller]
    pub fn start(&self) {
        self.order("start").unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// The folder with the server's socket; it is gone when the server is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn order(&self, order: &str) -> Result<(), String> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = keeper.order(order).map_err(|error| format!("PostgreSQL's keeper is gone: {error}"))?;
        if answer == "done" {
            return Ok(());
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("PostgreSQL did not {order}:\n{log}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        keeper.orders = None;
        // Waited for, so that nothing of the server is left when the test has ended.
        let _ended = keeper.process.wait();
    }
}

/// Obeys `make`, `copy`, `start`, `promote` and `stop`, one a line; at the end of its orders it cleans up.
///
/// `fsync=off` spares the disk. `synchronous_commit` stays on: a stopped server must keep what it said it had.
const KEEPER: &str = r#"
programs=$1 folder=$2
while read -r order; do
    case $order in
    make) "$programs/initdb" --no-sync --no-instructions --auth=trust --username=postgres \
        --encoding=UTF8 --locale=C.UTF-8 --pgdata=data ;;
    copy) "$programs/pg_basebackup" --host="$(cat primary)" --port=5432 --username=postgres --pgdata=data \
        --checkpoint=fast --write-recovery-conf --no-sync ;;
    promote) "$programs/pg_ctl" promote --wait --silent --pgdata=data ;;
    start) "$programs/pg_ctl" start --wait --silent --pgdata=data --log=log --options="\
        -c unix_socket_directories=$folder -c listen_addresses= -c port=5432 -c max_connections=300 \
        -c fsync=off -c full_page_writes=off -c timezone=Asia/Bangkok" ;;
    stop) "$programs/pg_ctl" stop --mode=immediate --silent --pgdata=data ;;
    esac >>log 2>&1 </dev/null && echo done || echo failed
done
"$programs/pg_ctl" stop --mode=immediate --silent --pgdata=data >>log 2>&1
cd / && rm -rf "$folder"
"#;

impl Keeper {
    fn new(programs: &Path, folder: &Path) -> io::Result<Keeper> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "keeper"]).arg(programs).arg(folder).current_dir(folder);
        // A group of its own: Ctrl-C at the terminal ends the tests, and the keeper cleans up behind them.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some((user, group)) = unprivileged(folder)? {
            chown(folder, Some(user), Some(group))?;
            command.uid(user).gid(group);
        }
        let mut process = command.spawn()?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        Ok(Keeper { process, orders: Some(orders), answers: BufReader::new(answers) })
    }

    fn order(&mut self, order: &str) -> io::Result<String> {
        if let Some(orders) = &mut self.orders {
            writeln!(orders, "{order}")?;
        }
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }
}

/// The folder with the newest PostgreSQL's programs, where Debian puts them.
fn installed() -> Result<PathBuf, String> {
    let version = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().ok();
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("bin/initdb").exists())
        .max_by_key(version)
        .map(|entry| entry.path().join("bin"))
        .ok_or_else(|| "PostgreSQL isn't installed: run `scripts/setup test`, then try again".to_owned())
}

/// Whom the server runs as when we are root, which PostgreSQL refuses to be: user and group of `postgres`.
fn unprivileged(ours: &Path) -> io::Result<Option<(u32, u32)>> {
    if fs::metadata(ours)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    ids.map(Some).ok_or_else(|| io::Error::other("/etc/passwd has no user postgres"))
}
