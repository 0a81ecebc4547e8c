//! Operator: the first steps with the real binary, from an empty folder on.

use std::path::Path;
use std::process::Command;
use std::process::Output;

use serde_json::Value;

/// Runs the binary in `folder` with every secret that `init` may name.
fn songkhao(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_songkhao"));
    for name in ["FB_PAGE_TOKEN", "X_KEY", "X_SECRET", "X_TOKEN", "X_TOKEN_SECRET", "LINE_CHANNEL_SECRET"] {
        command.env(name, "a secret");
    }
    command.env_remove("SONGKHAO_DATABASE_URL").current_dir(folder).args(args).output().unwrap()
}

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn a_newcomer_gets_from_an_empty_folder_to_a_good_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let begun =
        ["init", "--yes", "--feed", "https://news.example/feed/", "--facebook", "1", "--x", "--line", "2"];
    let said = text(&songkhao(folder.path(), &begun), 0);
    assert!(said.contains("wrote config.toml") && said.contains("songkhao check --online"), "{said}");
    let checked = text(&songkhao(folder.path(), &["check"]), 0);
    assert!(checked.contains("good (1 sources, 3 accounts, 2 routes)"), "{checked}");
    assert!(!checked.contains("note:"), "{checked}");

    let before = std::fs::read(folder.path().join("config.toml")).unwrap();
    let refused =
        text(&songkhao(folder.path(), &["init", "--yes", "--feed", "https://b.example/", "--x"]), 2);
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(std::fs::read(folder.path().join("config.toml")).unwrap(), before);
    text(&songkhao(folder.path(), &["init", "--yes", "--force", "--feed", "https://b.example/", "--x"]), 0);
    assert_ne!(std::fs::read(folder.path().join("config.toml")).unwrap(), before);
}

#[test]
fn without_a_terminal_and_without_answers_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let refused = text(&songkhao(folder.path(), &["init"]), 2);
    assert!(refused.contains("--feed URL"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_doctor_looks_at_a_newsroom_without_making_anything() {
    let folder = tempfile::tempdir().unwrap();
    text(&songkhao(folder.path(), &["doctor"]), 2);
    text(
        &songkhao(folder.path(), &["init", "--yes", "--feed", "https://news.example/feed/", "--line", "2"]),
        0,
    );
    let output = songkhao(folder.path(), &["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let about =
        |name: &str| report["findings"].as_array().unwrap().iter().find(|it| it["about"] == name).cloned();
    assert_eq!(about("database").unwrap()["verdict"], "note");
    assert!(about("disk").is_some());
    assert_eq!(report["good"].as_bool(), Some(output.status.success()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only config.toml");

    // A command that works on the database makes it; then the doctor has more to say.
    text(&songkhao(folder.path(), &["post", "list", "--json"]), 0);
    let page = String::from_utf8(songkhao(folder.path(), &["doctor"]).stdout).unwrap();
    for line in ["database", "clock", "source news", "account line", "review", "audit"] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}
