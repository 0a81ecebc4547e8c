//! Trouble: a disk that is full, a database that is locked, broken or away; nothing is lost, nothing comes twice.
//!
//! Each runs for seconds; SONGKHAO_OUTAGE=30 makes every outage last as many seconds, as before a release.

use std::env;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use songkhao::model::account::Platform;
use songkhao::sandbox::fault::Fault;
use songkhao::sandbox::fault::Kind;
use sqlx::Connection;
use sqlx::SqliteConnection;

use crate::arena::Arena;
use crate::arena::Node;
use crate::cluster::Cluster;
use crate::torture;
use crate::torture::Verdict;

/// How long an outage lasts at least.
fn outage(shortest: u64) -> Duration {
    let wish = env::var("SONGKHAO_OUTAGE").ok().and_then(|wish| wish.parse().ok());
    Duration::from_secs(wish.unwrap_or(shortest))
}

/// Waits until the sandbox holds so many posts.
async fn await_published(arena: &Arena, node: &Node, posts: usize) {
    let patience = Instant::now() + Duration::from_secs(60);
    while arena.sandbox.published().len() < posts {
        assert!(Instant::now() < patience, "{:?}\n{}", node.posts(), node.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for calm; then every article stands once on every platform and nothing waits for a person.
async fn judge(arena: &Arena, links: &[String], node: &Node) {
    let rows = torture::calm(node, links.len()).await;
    let verdict = Verdict::of(links, &arena.sandbox.published(), &rows, node);
    println!("{verdict}");
    assert!(verdict.is_true() && verdict.parked.is_empty(), "{verdict:#?}\n{}", node.log());
}

/// A file system of 8 MiB in memory, for as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting isn't allowed.
    fn mount(folder: &Path) -> Option<SmallDisk> {
        let folder = folder.join("small");
        fs::create_dir(&folder).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&folder).status();
        mounted.is_ok_and(|status| status.success()).then_some(SmallDisk(folder))
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        for size in [65_536, 4_096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because the daemon may still be there when a test fails.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_posting_until_there_is_room() {
    let arena = Arena::new().await;
    let Some(disk) = SmallDisk::mount(arena.folder()) else {
        println!(
            "not shown: a tmpfs can't be mounted here (not root?); store::trouble shows it with max_page_count"
        );
        return;
    };
    let mut links = vec![arena.publish(1)];
    let mut node = arena.node("a", &format!("sqlite:{}", disk.0.join("songkhao.db").display()));
    node.start();
    await_published(&arena, &node, 3).await;
    node.await_readiness(None).await;
    disk.fill();
    links.extend((2..=5).map(|number| arena.publish(number)));
    node.await_readiness(Some("disk is full")).await;
    let published = arena.sandbox.published().len();
    tokio::time::sleep(outage(3)).await;
    assert_eq!(arena.sandbox.published().len(), published, "posted without a committed intent");
    // A kill on a full disk, too: what is committed is there, what isn't never was.
    node.kill();
    node.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    if node.ended().is_some() {
        disk.free();
        node.start();
    } else {
        disk.free();
    }
    node.await_readiness(None).await;
    judge(&arena, &links, &node).await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cant_be_recorded_is_kept_and_a_crash_makes_it_doubt() {
    let arena = Arena::new().await;
    let mut node = arena.node("a", &arena.sqlite());
    node.start();
    node.await_readiness(None).await;
    arena.sandbox.arm(Fault::once(Platform::Facebook, Kind::Slow).ms(1_200));
    let mut links = vec![arena.publish(1)];
    let on_facebook =
        || arena.sandbox.published().iter().filter(|post| post.platform == Platform::Facebook).count();
    let patience = Instant::now() + Duration::from_secs(20);
    while on_facebook() == 0 {
        assert!(Instant::now() < patience, "{}", node.log());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // The answer is still on its way when another process takes the write lock and keeps it.
    let mut thief = SqliteConnection::connect(&arena.sqlite()).await.unwrap();
    sqlx::raw_sql("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE").execute(&mut thief).await.unwrap();
    links.push(arena.publish(2));
    node.await_readiness(Some("locked")).await;
    tokio::time::sleep(outage(1)).await;
    let patience = Instant::now() + Duration::from_secs(40);
    while !node.log().contains("could not be recorded yet") {
        assert!(Instant::now() < patience, "{}", node.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(on_facebook(), 1, "the account must wait for the result");
    node.kill();
    sqlx::raw_sql("ROLLBACK").execute(&mut thief).await.unwrap();
    thief.close().await.unwrap();
    node.start();
    judge(&arena, &links, &node).await;
    let found = |row: &crate::arena::Row| row.reason.as_deref() == Some("found by reading back");
    assert!(node.posts().unwrap().iter().any(found), "{:?}", node.posts());
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_waited_for() {
    let arena = Arena::new().await;
    let mut node = arena.node("a", &arena.sqlite());
    node.start();
    node.await_readiness(None).await;
    let mut thief = SqliteConnection::connect(&arena.sqlite()).await.unwrap();
    sqlx::raw_sql("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE").execute(&mut thief).await.unwrap();
    let links = vec![arena.publish(1)];
    node.await_readiness(Some("locked")).await;
    tokio::time::sleep(outage(1)).await;
    assert!(arena.sandbox.published().is_empty(), "posted without a committed intent");
    sqlx::raw_sql("ROLLBACK").execute(&mut thief).await.unwrap();
    thief.close().await.unwrap();
    node.await_readiness(None).await;
    judge(&arena, &links, &node).await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_database_stops_posting_and_a_backup_replaces_it() {
    let arena = Arena::new().await;
    let mut links = vec![arena.publish(1)];
    let mut node = arena.node("a", &arena.sqlite());
    node.start();
    await_published(&arena, &node, 3).await;
    let (database, aside) = (arena.folder().join("songkhao.db"), arena.folder().join("aside.db"));

    // Taken away and put back: nothing happened in between.
    fs::rename(&database, &aside).unwrap();
    links.push(arena.publish(2));
    node.await_readiness(Some("removed or replaced")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(arena.sandbox.published().len(), 3, "posted into a file without a name");
    fs::rename(&aside, &database).unwrap();
    node.await_readiness(None).await;
    await_published(&arena, &node, 6).await;
    let rows = torture::calm(&node, links.len()).await;
    assert!(rows.iter().all(|row| row.state == "delivered"), "{rows:?}");
    let backup = arena.folder().join("backup.db");
    assert!(node.run(&["backup", backup.to_str().unwrap()]).status.success());

    // Overwritten: noticed, although the daemon's own connections still have the pages. What the log still holds
    // would be read from there, and nothing would be lost.
    let mut other = SqliteConnection::connect(&arena.sqlite()).await.unwrap();
    sqlx::raw_sql("PRAGMA busy_timeout = 5000; PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let file = File::options().write(true).open(&database).unwrap();
    file.write_all_at(&[0x5a; 16_384], 0).unwrap();
    node.await_readiness(Some("damaged")).await;
    links.push(arena.publish(3));
    tokio::time::sleep(outage(3)).await;
    assert_eq!(arena.sandbox.published().len(), 6, "posted on a damaged database");
    let doctor = node.run(&["doctor"]);
    let page = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && page.contains("songkhao restore FILE"), "{page}");
    node.kill();
    node.start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.ended(), Some(1), "{}", node.log());
    assert!(node.log().contains("put a backup in its place"), "{}", node.log());
    let broken = fs::read(&database).unwrap();
    let restored = node.run(&["restore", backup.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let kept = fs::read_dir(arena.folder()).unwrap().flatten().map(|entry| entry.path());
    let kept: Vec<_> = kept.filter(|path| path.to_string_lossy().contains("songkhao.db.replaced-")).collect();
    assert!(kept.iter().any(|path| fs::read(path).unwrap() == broken), "{kept:?}");
    assert_eq!(node.posts().map(|rows| rows.len()), Some(6), "the backup is in place");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_be_away_and_be_killed() {
    let arena = Arena::new().await;
    let cluster = Cluster::new();
    let url = cluster.database_url();
    let mut nodes = [arena.node("a", &url), arena.node("b", &url)];
    let mut links = vec![arena.publish(1)];
    nodes.iter_mut().for_each(Node::start);
    await_published(&arena, &nodes[0], 1).await;
    // It stops as after kill -9, in the middle of the other two.
    cluster.stop();
    links.push(arena.publish(2));
    nodes[0].await_readiness(Some("out of reach")).await;
    let published = arena.sandbox.published().len();
    tokio::time::sleep(outage(2)).await;
    assert_eq!(arena.sandbox.published().len(), published, "posted without a committed intent");
    cluster.start();
    for node in &nodes {
        node.await_readiness(None).await;
    }
    // A node that is killed and started again at once has its name at once.
    nodes[0].kill();
    nodes[0].start();
    links.push(arena.publish(3));
    judge(&arena, &links, &nodes[1]).await;
    nodes.iter_mut().for_each(Node::stop);
}
