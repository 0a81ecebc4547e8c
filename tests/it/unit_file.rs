//! Unit file: `deploy/songkhao.service` as systemd itself reads it, and as the program needs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

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
