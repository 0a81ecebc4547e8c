//! Restore: what was posted after the backup was made is found again, and never posted twice.

use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use songkhao::model::account::Platform;

use crate::arena::Arena;
use crate::arena::Node;
use crate::arena::Row;
use crate::torture;
use crate::torture::Verdict;

/// Waits until so many rows of `post list` are in a state.
async fn await_states(node: &Node, state: &str, rows: usize) {
    let patience = Instant::now() + Duration::from_secs(60);
    let count = |rows: Vec<Row>| rows.iter().filter(|row| row.state == state).count();
    while node.posts().map_or(0, count) < rows {
        assert!(Instant::now() < patience, "{:?}\n{}", node.posts(), node.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn told(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[track_caller]
fn refused(node: &Node, file: &Path, says: &str) {
    let output = node.run(&["restore", file.to_str().unwrap()]);
    let told = told(&output);
    assert!(!output.status.success() && told.contains(says), "{}: {told}", file.display());
}

/// Everything is true, and nothing but what LINE can't tell waits for a person.
#[track_caller]
fn judge(arena: &Arena, links: &[String], rows: &[Row], node: &Node, parked: usize) {
    let verdict = Verdict::of(links, &arena.sandbox.published(), rows, node);
    println!("{verdict}");
    assert!(verdict.is_true(), "{verdict:#?}\n{}", node.log());
    assert_eq!(verdict.parked.len(), parked, "{verdict:#?}");
    let on_line = verdict.parked.iter().filter(|what| what.starts_with(Platform::Line.name())).count();
    assert_eq!(on_line, parked, "{verdict:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_posted_after_the_backup_is_found_again() {
    let arena = Arena::new().await;
    let mut links: Vec<String> = (1..=2).map(|number| arena.publish(number)).collect();
    let mut node = arena.node("a", &arena.sqlite());
    node.start();
    await_states(&node, "delivered", 6).await;
    let backup = arena.folder().join("backup.db");
    let made = node.run(&["backup", backup.to_str().unwrap()]);
    assert!(made.status.success(), "{}", told(&made));
    let again = node.run(&["backup", backup.to_str().unwrap()]);
    assert!(!again.status.success() && told(&again).contains("exists"), "{}", told(&again));
    links.extend((3..=4).map(|number| arena.publish(number)));
    await_states(&node, "delivered", 12).await;

    refused(&node, &backup, "stop songkhao first");
    node.stop();
    refuse_what_is_no_backup(&arena, &node, &backup);
    let restored = node.run(&["restore", backup.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", told(&restored));
    let kept =
        |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("songkhao.db.replaced-");
    assert!(fs::read_dir(arena.folder()).unwrap().flatten().any(|entry| kept(&entry)));

    node.start();
    await_states(&node, "delivered", 10).await;
    let rows = torture::calm(&node, links.len()).await;
    judge(&arena, &links, &rows, &node, 2);
    let reason =
        |row: &&Row| row.reason.as_deref().is_some_and(|reason| reason.contains("found by reading back"));
    assert_eq!(rows.iter().filter(reason).count(), 4, "{rows:?}");
    show_the_gap(&node);
    node.stop();
}

/// Garbage, half a backup and another program's database are refused, and the database stays as it is.
fn refuse_what_is_no_backup(arena: &Arena, node: &Node, backup: &Path) {
    let database = arena.folder().join("songkhao.db");
    let before = fs::read(&database).unwrap();
    let bad = arena.folder().join("bad.db");
    refused(node, &bad, "No such file");
    fs::write(&bad, "ข่าว").unwrap();
    refused(node, &bad, "no SQLite database");
    let whole = fs::read(backup).unwrap();
    fs::write(&bad, &whole[..whole.len() / 2]).unwrap();
    refused(node, &bad, "half-written");
    let mut torn = whole.clone();
    torn[4096 * 3..4096 * 5].fill(0x5a);
    fs::write(&bad, torn).unwrap();
    refused(node, &bad, "damaged");
    // A page of SQLite's with an empty schema, as another program may have begun one.
    fs::write(&bad, [&whole[..100], &[13, 0, 0, 0, 0, 16, 0, 0], &[0; 4096 - 108]].concat()).unwrap();
    refused(node, &bad, "nothing was restored");
    assert!(fs::read(&database).unwrap() == before, "a refused restore touched the database");
    let left =
        |name: &str| fs::read_dir(arena.folder()).unwrap().flatten().any(|entry| entry.file_name() == name);
    assert!(!left("songkhao.db.restoring") && !left("songkhao.db.replaced"));
}

/// The log tells of the restore and of the time it knows nothing about.
fn show_the_gap(node: &Node) {
    let exported = node.run(&["audit", "export"]).stdout;
    let exported = String::from_utf8_lossy(&exported).into_owned();
    let line =
        exported.lines().find(|line| line.contains("backup.restored")).expect("the restore has its entry");
    let line: Value = serde_json::from_str(line).unwrap();
    let detail = &line["detail"];
    assert!(detail["since"].is_string() && detail["since"].as_str() < detail["until"].as_str(), "{line}");
    let doctor = told(&node.run(&["doctor"]));
    assert!(doctor.contains("is forgotten (restored)"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_put_back_behind_our_back_is_noticed() {
    let arena = Arena::new().await;
    let mut links = vec![arena.publish(1)];
    let mut node = arena.node("a", &arena.sqlite());
    node.start();
    await_states(&node, "delivered", 3).await;
    node.stop();
    let (database, copy) = (arena.folder().join("songkhao.db"), arena.folder().join("copy.db"));
    fs::copy(&database, &copy).unwrap();
    node.start();
    links.push(arena.publish(2));
    await_states(&node, "delivered", 6).await;
    node.kill();
    for file in ["songkhao.db", "songkhao.db-wal", "songkhao.db-shm"] {
        fs::remove_file(arena.folder().join(file)).unwrap();
    }
    fs::copy(&copy, &database).unwrap();
    node.start();
    let rows = torture::calm(&node, links.len()).await;
    judge(&arena, &links, &rows, &node, 1);
    let doctor = told(&node.run(&["doctor"]));
    assert!(doctor.contains("is forgotten (forgotten)"), "{doctor}");
    node.stop();
}
