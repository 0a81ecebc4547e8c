//! Arena: the real binary against the sandbox, in a folder of its own.
//!
//! The sandbox lives in the test's process, so that a test sees what was accepted without asking; the daemon is a
//! process like any other, so that it can be killed like any other.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use songkhao::clock;
use songkhao::sandbox;
use songkhao::sandbox::NewArticle;
use songkhao::sandbox::Options;
use songkhao::sandbox::Sandbox;

/// The longest a request may take in an arena.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a claim holds.
pub const LEASE: Duration = Duration::from_secs(6);
/// How long doubt waits before its first look.
pub const CONFIRM_AFTER: Duration = Duration::from_secs(3);

/// What turns a running program's wall clock and leaves its monotonic one alone (Debian's libfaketime).
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The newsroom of a test: everything at once and as fast as the sandbox takes it.
const CONFIG: &str = r#"
[node]
name = "{node}"
[database]
url = "{database}"
[http]
allow_private_networks = ["127.0.0.0/8"]
[web]
listen = "127.0.0.1:0"
public_url = "http://127.0.0.1:1"
[keys]
secret = { env = "SONGKHAO_TEST_SECRET" }
[delivery]
connect_timeout = "1s"
timeout = "{timeout}s"
lease = "{lease}s"
confirm_after = "{confirm_after}s"
retry_base = "1s"
retry_cap = "1s"
circuit_after = 5
[[source]]
name = "newsroom"
url = "{base}/feed?count=100000"
poll = "1s"
settle = "0s"
backfill = 10000
flood_limit = 0
near_duplicates = "off"
[[account]]
name = "facebook"
platform = "facebook"
page_id = "100000000000001"
access_token = { env = "SONGKHAO_TEST_SECRET" }
base_url = "{base}/facebook"
min_gap = "0s"
[[account]]
name = "x"
platform = "x"
oauth1 = { consumer_key = { env = "SONGKHAO_TEST_SECRET" }, consumer_secret = { env = "SONGKHAO_TEST_SECRET" }, access_token = { env = "SONGKHAO_TEST_SECRET" }, access_token_secret = { env = "SONGKHAO_TEST_SECRET" } }
base_url = "{base}/x"
min_gap = "0s"
[[account]]
name = "line"
platform = "line"
channel_id = "1234567890"
channel_secret = { env = "SONGKHAO_TEST_SECRET" }
base_url = "{base}/line"
min_gap = "0s"
[[route]]
name = "all"
sources = ["newsroom"]
accounts = ["facebook", "x", "line"]
review = "never"
"#;

/// A sandbox that is served, and the folder in which daemons keep their things.
#[derive(Debug)]
pub struct Arena {
    /// The fake platforms and the feed.
    pub sandbox: Sandbox,
    folder: TempDir,
    stop: CancellationToken,
    base: String,
}

impl Arena {
    /// Serves a sandbox without articles.
    pub async fn new() -> Arena {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let options = Options { articles: 0, ..Options::at(&base, Arc::new(clock::now)) };
        let sandbox = Sandbox::new(options);
        let stop = CancellationToken::new();
        tokio::spawn(sandbox::serve(listener, sandbox.clone(), stop.clone().cancelled_owned()));
        Arena { sandbox, folder: tempfile::tempdir().unwrap(), stop, base }
    }

    /// The folder; it goes with this value unless it is kept.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of an SQLite database in the folder.
    pub fn sqlite(&self) -> String {
        format!("sqlite:{}", self.folder().join("songkhao.db").display())
    }

    /// Writes a node's configuration.
    pub fn node(&self, name: &str, database: &str) -> Node {
        let config = self.folder().join(format!("{name}.toml"));
        let text = CONFIG
            .replace("{node}", name)
            .replace("{database}", database)
            .replace("{base}", &self.base)
            .replace("{timeout}", &TIMEOUT.as_secs().to_string())
            .replace("{lease}", &LEASE.as_secs().to_string())
            .replace("{confirm_after}", &CONFIRM_AFTER.as_secs().to_string());
        fs::write(&config, text).unwrap();
        let log = self.folder().join(format!("{name}.log"));
        Node { name: name.to_owned(), config, log, clock: None, daemon: None }
    }

    /// The same with some lines of the configuration changed.
    pub fn node_with(&self, name: &str, database: &str, changes: &[(&str, &str)]) -> Node {
        let node = self.node(name, database);
        let text = fs::read_to_string(&node.config).unwrap();
        let changed = changes.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "no {from:?} in {text}");
            text.replace(from, to)
        });
        fs::write(&node.config, changed).unwrap();
        node
    }

    /// Puts an article out that is like no other, and gives its link.
    pub fn publish(&self, number: usize) -> String {
        let body = format!(
            "กรุงเทพฯ เปิดเส้นทางเดินเรือสายที่ {number} ให้ประชาชนใช้ฟรีเป็นเวลา {} วัน เริ่มเวลา 06:00 น. ของวันพรุ่งนี้ \
             เจ้าหน้าที่ระบุว่ามีเรือทั้งหมด {} ลำ และจะเพิ่มเที่ยวเรือในวันหยุดตามความต้องการของประชาชน",
            number + 10,
            number + 20
        );
        let title = format!("เปิดเดินเรือสายที่ {number} ให้ประชาชนใช้ฟรีพรุ่งนี้");
        self.sandbox.publish(NewArticle {
            title,
            body,
            slug: Some(format!("boat-{number}")),
            ..NewArticle::default()
        })
    }

    /// Keeps the folder for a person to look at, and says where it is.
    pub fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A daemon's configuration, and the daemon while it runs.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    config: PathBuf,
    log: PathBuf,
    /// Where the daemon reads how far its wall clock is off, if it is to be turned.
    clock: Option<PathBuf>,
    daemon: Option<Child>,
}

impl Node {
    /// The command line `songkhao --config … args`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_songkhao"));
        self.dress(&mut command).args(args);
        command
    }

    /// Gives a command the configuration and the secrets it needs.
    pub fn dress<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("SONGKHAO_TEST_SECRET", "a secret of at least thirty-two bytes")
            .arg("--config")
            .arg(&self.config)
            // With PostgreSQL, a node keeps its memory in its working directory.
            .current_dir(self.config.parent().unwrap())
            .stdin(Stdio::null())
    }

    /// Puts the daemon's wall clock so many seconds ahead or back, now and at later starts. The first call comes
    /// before the first start.
    ///
    /// # Panics
    /// When libfaketime isn't installed.
    pub fn set_clock(&mut self, seconds: i64) {
        assert!(Path::new(FAKETIME).exists(), "{FAKETIME} is missing: apt-get install libfaketime");
        let path = self.config.with_extension("clock");
        // Renamed, so that the daemon never reads half of it.
        let fresh = path.with_extension("clock.new");
        fs::write(&fresh, format!("{seconds:+}")).unwrap();
        fs::rename(&fresh, &path).unwrap();
        self.clock = Some(path);
    }

    /// Starts the daemon; its log is added to the node's file.
    pub fn start(&mut self) {
        let mut command = self.command(&["run"]);
        if let Some(clock) = &self.clock {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", clock);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_CACHE_DURATION", "1");
        }
        self.start_as(command);
    }

    /// Starts the daemon by another command.
    pub fn start_as(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.daemon = Some(command.spawn().unwrap());
    }

    /// Ends the daemon with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    /// Sends the daemon a signal by its name, such as STOP.
    pub fn signal(&self, signal: &str) {
        let daemon = self.daemon.as_ref().expect("it runs");
        let status = Command::new("kill").args(["-s", signal, &daemon.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -s {signal}: {status}");
    }

    /// Asks the daemon to stop and waits for its end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let ended = self.daemon.take().map(|mut daemon| daemon.wait().unwrap());
        assert!(ended.is_some_and(|ended| ended.success()), "{ended:?}:\n{}", self.log());
    }

    /// The daemon's process number.
    pub fn id(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// The code the daemon ended with, if it ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.daemon.as_mut()?.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// What the daemons of this node logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What `/readyz` of the running daemon answers; nothing while it doesn't.
    pub fn readiness(&self) -> Option<(u16, Value)> {
        let log = self.log();
        let address = log.lines().rev().find_map(|line| line.strip_prefix("listening http://"))?;
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let body = &answer[answer.find('{')?..=answer.rfind('}')?];
        Some((status, serde_json::from_str(body).ok()?))
    }

    /// Waits until `/readyz` answers 503 and names `trouble`; or, with `None`, until it answers 200.
    pub async fn await_readiness(&self, trouble: Option<&str>) {
        let patience = Instant::now() + Duration::from_secs(40);
        loop {
            let seen = self.readiness();
            let fits = seen.as_ref().is_some_and(|(status, body)| match trouble {
                None => *status == 200,
                Some(word) => {
                    *status == 503 && body["trouble"].as_str().is_some_and(|said| said.contains(word))
                }
            });
            if fits {
                return;
            }
            assert!(Instant::now() < patience, "{trouble:?} is not told: {seen:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The rows of `post list`; none while the database isn't there yet or is too busy.
    pub fn posts(&self) -> Option<Vec<Row>> {
        let output = self.run(&["post", "list", "--json"]);
        let rows: Value = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())?;
        let text = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
        let row = |row: &Value| Row {
            account: text(row, "account").unwrap_or_default(),
            state: text(row, "state").unwrap_or_default(),
            link: text(row, "article_url"),
            remote_id: text(row, "remote_id"),
            reason: text(row, "reason"),
        };
        Some(rows.as_array()?.iter().map(row).collect())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // It may be stopped or gone already; nothing may outlive the test.
            let _killed = daemon.kill();
            let _ended = daemon.wait();
        }
    }
}

/// A line of `post list`, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The account, which in an arena is called like its platform.
    pub account: String,
    /// The delivery's state, or the post's.
    pub state: String,
    /// The article's link.
    pub link: Option<String>,
    /// The platform's id.
    pub remote_id: Option<String>,
    /// Why it is where it is.
    pub reason: Option<String>,
}

impl Row {
    /// Whether the daemon will still move it.
    pub fn is_moving(&self) -> bool {
        ["scheduled", "sending", "unconfirmed", "approved", "draft"].contains(&self.state.as_str())
    }
}

/// How many rows are in each state, to print.
pub fn count_states(rows: &[Row]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.state.as_str()).or_default() += 1;
    }
    counts
}
