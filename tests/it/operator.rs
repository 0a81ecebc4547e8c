//! Operator: the first steps with the real binary, from an empty folder on.

use std::path::Path;
use std::process::Command;
use std::process::Output;

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
