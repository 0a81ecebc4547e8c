//! Unit file: `deploy/songkhao.service` as systemd itself reads it, and as the program needs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use wiremock::Mock;
use wiremock::MockServer;
use wiremock::ResponseTemplate;
use wiremock::matchers;

use crate::site::Item;
use crate::site::item;
use crate::site::rss;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/songkhao.service");
const PROGRAM: &str = env!("CARGO_BIN_EXE_songkhao");

#[test]
fn systemd_finds_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("songkhao.service");
    // The program is looked for too, so the copy names the one just built.
    let text = fs::read_to_string(UNIT).unwrap().replace("/usr/bin/songkhao", PROGRAM);
    fs::write(&unit, text).unwrap();
    let output = systemd_analyze(&["verify", "--man=no", &unit.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("songkhao"), "{said}");
}

#[test]
fn its_exposure_is_at_most_1_2() {
    // Of 10. The network itself is 0.8 of it; Debian's Redis has 1.2, its PostgreSQL 9.6.
    let output = systemd_analyze(&["security", "--offline=true", "--threshold=12", "--no-pager", UNIT]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", said.lines().last().unwrap_or_default());
    assert!(said.contains("Overall exposure level for songkhao.service"), "{said}");
}

/// The unit's filter would turn any other call into an error that no test on a developer's machine sees.
#[test]
fn every_system_call_of_a_demo_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let counts = folder.path().join("calls");
    let output = Command::new("strace")
        .args(["--follow-forks", "--summary-only", "--summary-columns=name", "--output"])
        .arg(&counts)
        .args([PROGRAM, "demo", "--once", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap_or_else(|error| panic!("strace: {error}; run `scripts/setup test`, then try again"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let allowed = allowed_calls();
    let made = fs::read_to_string(counts).unwrap();
    let refused: Vec<&str> = made
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter(|name| !["syscall", "total"].contains(name) && !allowed.contains(*name))
        // SQLite gives its files back to the database's owner, and asks for it only as root; the unit's user is not.
        .filter(|name| *name != "fchown")
        .collect();
    assert!(made.contains("execve"), "{made}");
    assert_eq!(refused, Vec::<&str>::new());
}

/// Pages are read in a child of the daemon, which is under the same filter, and under `MemoryDenyWriteExecute=` too.
#[tokio::test]
async fn every_system_call_of_reading_a_page_is_allowed() {
    let site = MockServer::start().await;
    let paragraph = format!("<p>{}</p>", "ระดับน้ำในคลองลดลงต่อเนื่อง เจ้าหน้าที่เตรียมเรือท้องแบน 12 ลำ ".repeat(4));
    let page = format!("<html><body><article>{}</article></body></html>", paragraph.repeat(3));
    let feed = rss(&[Item {
        link: Some(format!("{}/page", site.uri())),
        body: "ระดับน้ำในคลองลดลงต่อเนื่อง […]".to_owned(),
        ..item("page", "น้ำลดแล้ว")
    }]);
    for (path, body, kind) in [("/feed", feed, "application/rss+xml"), ("/page", page, "text/html")] {
        let answer = ResponseTemplate::new(200).set_body_raw(body, kind);
        Mock::given(matchers::path(path)).respond_with(answer).mount(&site).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[web]\nlisten = '127.0.0.1:0'\n[http]\nallow_private_networks = ['127.0.0.0/8']\n\
         [[source]]\nname = 'inn'\nurl = '{}/feed'\nbackfill = 9\nmax_age = '9999d'\nsettle = '1h'\n\
         [[account]]\nname = 'page'\nplatform = 'facebook'\npage_id = '1'\naccess_token = {{ env = 'SECRET' }}\n\
         [[route]]\nname = 'all'\nsources = ['inn']\naccounts = ['page']\n",
        site.uri()
    );
    fs::write(folder.path().join("config.toml"), config).unwrap();
    let trace = folder.path().join("trace");
    // -D makes the daemon our child, so that it can be told to stop.
    let daemon = Command::new("strace")
        .args(["-D", "-f", "-s", "64", "-o"])
        .arg(&trace)
        .args([PROGRAM, "run"])
        .current_dir(folder.path())
        .env("SECRET", "geheim-geheim")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("strace: {error}; run `scripts/setup test`, then try again"));
    let id = daemon.id().to_string();
    let mut daemon = Killed(daemon);
    let pages = || fs::read_to_string(&trace).unwrap_or_default();
    let read = |calls: &str| calls.lines().filter(|line| line.contains(r#"{\"read\":{"#)).count() >= 2;
    wait_until(|| read(&pages())).await;
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(daemon.0.wait().unwrap().success());
    let ended = |calls: &str| {
        calls.lines().any(|call| call.split(' ').next() == Some(&id) && call.contains("+++ exited with 0"))
    };
    wait_until(|| ended(&pages())).await;
    let calls = pages();
    let child = "execve(\"/proc/self/exe\", [\"songkhao\", \"read-page\"], ";
    let started = calls.lines().find(|call| call.contains(child)).unwrap();
    assert!(started.contains("/* 0 vars */"), "{started}");
    let allowed = allowed_calls();
    for line in calls.lines() {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim();
        let call = call.strip_prefix("<... ").unwrap_or(call);
        let name = call.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_').next();
        let name = name.filter(|name| !name.is_empty() && *name != "fchown");
        assert!(name.is_none_or(|name| allowed.contains(name)), "the unit refuses {line}");
        let becomes_code = call.starts_with("mprotect") && call.contains("PROT_EXEC");
        assert!(!becomes_code && !call.contains("PROT_WRITE|PROT_EXEC"), "the unit refuses {line}");
    }
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to do.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

async fn wait_until(mut holds: impl FnMut() -> bool) {
    // Traced, on a machine that does something else too, this takes a while.
    let patience = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < patience, "waited in vain");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the unit's `SystemCallFilter=` lines leave, each group of theirs resolved by systemd.
fn allowed_calls() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in fs::read_to_string(UNIT).unwrap().lines() {
        let Some(groups) = line.strip_prefix("SystemCallFilter=") else { continue };
        match groups.strip_prefix('~') {
            None => allowed.extend(groups.split(' ').flat_map(calls)),
            Some(groups) => groups.split(' ').flat_map(calls).for_each(|name| _ = allowed.remove(&name)),
        }
    }
    assert!(allowed.contains("read") && !allowed.contains("reboot"), "{allowed:?}");
    allowed
}

/// The system calls of a group such as `@basic-io`, those of groups inside it included.
fn calls(group: &str) -> Vec<String> {
    let output = systemd_analyze(&["syscall-filter", group]);
    assert!(output.status.success(), "{group}");
    let members = String::from_utf8(output.stdout).unwrap();
    let members =
        members.lines().skip(1).map(str::trim).filter(|name| !name.is_empty() && !name.starts_with('#'));
    members.flat_map(|name| if name.starts_with('@') { calls(name) } else { vec![name.to_owned()] }).collect()
}

fn systemd_analyze(arguments: &[&str]) -> Output {
    assert!(Path::new(UNIT).exists());
    Command::new("systemd-analyze")
        .args(arguments)
        .env("SYSTEMD_COLORS", "0")
        .output()
        .unwrap_or_else(|error| panic!("systemd-analyze: {error}; run `scripts/setup test`, then try again"))
}
