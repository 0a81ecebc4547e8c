//! Durability: no byte of a post leaves before its intent is on the disk, and a stop loses nothing.
//!
//! kill -9 can't show this, because what was written survives the process in the kernel's memory. So the kernel is
//! asked, by strace, in which order the daemon synced its database and wrote its requests.

use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use songkhao::model::account::Platform;
use songkhao::sandbox::fault::Fault;
use songkhao::sandbox::fault::Kind;
use songkhao::sandbox::fault::Scope;

use crate::arena::Arena;
use crate::arena::Row;

/// The requests that publish, as they begin on the wire.
const PUBLISHING: &[&str] = &["POST /facebook/", "POST /x/2/tweets ", "POST /line/v2/bot/message/broadcast "];

/// Every sync and every write of all threads, with file names. -D makes the daemon our child and the tracer the
/// daemon's, so that it is the daemon that is killed.
const STRACE: &str = "-D -f -y -s 128 -e trace=fdatasync,fsync,sendto,write,writev,sendmsg -o";

#[tokio::test(flavor = "multi_thread")]
async fn the_intent_is_on_the_disk_before_a_post_leaves() {
    let arena = Arena::new().await;
    let articles = 4;
    (1..=articles).for_each(|number| drop(arena.publish(number)));
    let mut node = arena.node("a", &arena.sqlite());
    let trace = arena.folder().join("trace");
    let mut traced = Command::new("strace");
    traced.args(STRACE.split_whitespace()).arg(&trace).arg(env!("CARGO_BIN_EXE_songkhao"));
    node.dress(&mut traced).arg("run");
    node.start_as(traced);
    // Traced, on a machine that does something else too, this takes a while.
    let patience = Instant::now() + Duration::from_secs(180);
    let delivered = |rows: &[Row]| rows.iter().filter(|row| row.state == "delivered").count();
    while delivered(&node.posts().unwrap_or_default()) < articles * Platform::ALL.len() {
        assert!(Instant::now() < patience, "{:?}\n{}", node.posts(), node.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // strace pads the process's number, so the two are compared apart.
    let id = node.id().unwrap_or_default().to_string();
    let is_end = |call: &str| call.split(' ').next() == Some(&id) && call.contains("+++ killed by SIGKILL");
    node.kill();
    let mut calls = String::new();
    let patience = Instant::now() + Duration::from_secs(60);
    while !calls.lines().any(is_end) {
        assert!(
            Instant::now() < patience,
            "the trace has no end: {}",
            calls.lines().last().unwrap_or_default()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        calls = std::fs::read_to_string(&trace).unwrap();
    }
    let posts =
        check_order(&calls).unwrap_or_else(|reason| panic!("{reason}\nsee {}", arena.keep().display()));
    assert_eq!(posts, articles * Platform::ALL.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_platform_that_stalls() {
    let arena = Arena::new().await;
    let stalled = Fault::once(Platform::Facebook, Kind::StallBeforeAccept).forever();
    arena.sandbox.arm(Fault::once(Platform::Facebook, Kind::Unauthorized));
    arena.sandbox.arm(stalled.on(Scope::Any));
    arena.publish(1);
    let patient = [(r#"timeout = "2s""#, r#"timeout = "45s""#), (r#"lease = "6s""#, r#"lease = "60s""#)];
    let no_look_first = ("page_id =", "already_there = false\npage_id =");
    let mut node = arena.node_with("a", &arena.sqlite(), &[patient[0], patient[1], no_look_first]);
    node.start();
    let patience = Instant::now() + Duration::from_secs(30);
    let refused =
        |row: &Row| row.reason.as_deref().is_some_and(|reason| reason.contains("credential refused"));
    while !node.posts().is_some_and(|rows| rows.iter().any(refused)) {
        assert!(Instant::now() < patience, "{:?}\n{}", node.posts(), node.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The paused account is probed a second later, and the probe hangs.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let stopped = Instant::now();
    node.stop();
    assert!(stopped.elapsed() < Duration::from_secs(20), "it took {:?}", stopped.elapsed());
}

/// Every publishing request must follow a sync of the database that ended after the last answer on its platform was
/// recorded or, for the first one, after the start. Sends of an account are serial, so it is enough that between two
/// requests to one platform the database was synced twice: once for the result of the first, once for the intent of
/// the second. Gives how many requests there were.
fn check_order(calls: &str) -> Result<usize, String> {
    let mut syncs = 0;
    let mut at_last = [None; PUBLISHING.len()];
    let mut posts = 0;
    for call in calls.lines() {
        if is_sync(call) {
            syncs += 1;
        }
        let Some(platform) = PUBLISHING.iter().position(|request| call.contains(request)) else { continue };
        let needed = at_last[platform].map_or(1, |at: usize| at + 2);
        if syncs < needed {
            return Err(format!("{syncs} syncs, not {needed}, before {call}"));
        }
        at_last[platform] = Some(syncs);
        posts += 1;
    }
    Ok(posts)
}

/// A sync of the database or its log that has ended.
fn is_sync(call: &str) -> bool {
    let begun =
        call.contains("sync(") && (call.contains("songkhao.db-wal>") || call.contains("songkhao.db>"));
    let ended = call.trim_end().ends_with("= 0");
    ended && (begun || call.contains("sync resumed>"))
}

#[test]
fn a_post_before_its_sync_is_found() {
    let sync = "7 fsync(9</t/songkhao.db-wal>) = 0\n";
    let started = "7 fsync(9</t/songkhao.db-wal> <unfinished ...>\n";
    let resumed = "7 <... fsync resumed>) = 0\n";
    let log = "7 write(2</t/a.log>, \"songkhao.db\", 11) = 11\n";
    let post = "8 sendto(12<TCP:[1]>, \"POST /x/2/tweets HTTP/1.1\\r\\n\", 30, MSG_NOSIGNAL, NULL, 0) = 30\n";
    assert_eq!(check_order(&[sync, post, sync, log, sync, post].concat()), Ok(2));
    assert_eq!(check_order(&[started, resumed, post].concat()), Ok(1));
    check_order(post).unwrap_err();
    check_order(&[started, post, resumed].concat()).unwrap_err();
    check_order(&[sync, post, sync, post].concat()).unwrap_err();
    check_order(&[log, post].concat()).unwrap_err();
}
