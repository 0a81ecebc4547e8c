//! Daemon: the real binary under a stop-watch, read through `/proc`.

use std::fs;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;

use songkhao::clock;

/// The binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_songkhao");

/// The kernel's clock tick in `/proc`, which is 1/100 s on every Linux of today (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);

/// Everything but the sources and routes: one account on each platform, no spacing.
const CONFIG: &str = r#"
[node]
name = "bench"
[database]
url = "sqlite:{folder}/songkhao.db"
[http]
allow_private_networks = ["127.0.0.0/8"]
[web]
listen = "127.0.0.1:0"
public_url = "http://127.0.0.1:1"
[keys]
secret = { env = "SONGKHAO_BENCH_SECRET" }
[[account]]
name = "facebook"
platform = "facebook"
page_id = "100000000000001"
access_token = { env = "SONGKHAO_BENCH_SECRET" }
base_url = "{base}/facebook"
min_gap = "0s"
[[account]]
name = "x"
platform = "x"
oauth1 = { consumer_key = { env = "SONGKHAO_BENCH_SECRET" }, consumer_secret = { env = "SONGKHAO_BENCH_SECRET" }, access_token = { env = "SONGKHAO_BENCH_SECRET" }, access_token_secret = { env = "SONGKHAO_BENCH_SECRET" } }
base_url = "{base}/x"
min_gap = "0s"
[[account]]
name = "line"
platform = "line"
channel_id = "1234567890"
channel_secret = { env = "SONGKHAO_BENCH_SECRET" }
base_url = "{base}/line"
min_gap = "0s"
[[route]]
name = "all"
sources = [{sources}]
accounts = ["facebook", "x", "line"]
review = "never"
"#;

/// Writes a configuration into `folder`; `sources` are pairs of address and interval.
pub fn write_config(folder: &Path, base: &str, sources: &[(String, &str)]) -> anyhow::Result<()> {
    let names: Vec<String> = (0..sources.len()).map(|number| format!("\"source-{number}\"")).collect();
    let mut text = CONFIG
        .replace("{folder}", &folder.display().to_string())
        .replace("{base}", base)
        .replace("{sources}", &names.join(", "));
    for (name, (url, poll)) in names.iter().zip(sources) {
        text += &format!(
            "[[source]]\nname = {name}\nurl = \"{url}\"\npoll = \"{poll}\"\nsettle = \"0s\"\nflood_limit = 0\n\
             near_duplicates = \"off\"\n"
        );
    }
    fs::write(folder.join("config.toml"), text)?;
    Ok(())
}

/// A daemon that runs; it is killed with this value unless it was stopped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// From the start of the process to the line that says it listens.
    pub ready_after: Duration,
}

impl Daemon {
    /// Starts `songkhao run` in a folder that holds a configuration, and waits until it is ready.
    pub fn start(folder: &Path) -> anyhow::Result<Daemon> {
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        let begun = clock::monotonic();
        let mut child = Command::new(BINARY)
            .arg("--config")
            .arg(folder.join("config.toml"))
            .arg("run")
            .env("SONGKHAO_BENCH_SECRET", "a secret of at least thirty-two bytes")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let daemon = Daemon { child, ready_after: begun.elapsed() };
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        ensure!(line.starts_with("listening"), "the daemon did not start:\n{line}{}", log());
        Ok(daemon)
    }

    /// The processor time it has used so far, in all its threads.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may hold spaces; user and system time are the 12th and 13th field behind it (proc(5)).
        let behind = stat.rsplit_once(')').context("stat has a name")?.1;
        let ticks: u32 =
            behind.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u32>().ok()).sum();
        Ok(TICK * ticks)
    }

    /// Its resident memory now and at most, in megabytes.
    pub fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
        };
        let megabytes = |name| Some(field(name)? * 1024.0 / 1e6);
        megabytes("VmRSS:").zip(megabytes("VmHWM:")).context("status tells the memory")
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status()?;
        ensure!(asked.success(), "kill: {asked}");
        let ended = self.child.wait()?;
        ensure!(ended.success(), "the daemon ended with {ended}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already; nothing may outlive the benchmark.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
