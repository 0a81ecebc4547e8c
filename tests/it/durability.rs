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

/// Every sync, read and write of all threads, with file names. -D makes the daemon our child and the tracer the
/// daemon's, so that it is the daemon that is killed.
const STRACE: &str = "-D -f -y -s 128 -e trace=fdatasync,fsync,sendto,write,writev,sendmsg,recvfrom -o";

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

/// Every publishing request must follow a sync of the database that ended after the answer to the last one on its
/// platform was read or, for the first one, after the start. Sends of an account are serial, and the result of one is
/// committed with the intent of the next, so that sync holds both. Gives how many requests there were.
fn check_order(calls: &str) -> Result<usize, String> {
    let mut syncs = 0;
    let mut last: [Option<Last>; PUBLISHING.len()] = [const { None }; PUBLISHING.len()];
    let mut posts = 0;
    for call in calls.lines() {
        if is_sync(call) {
            syncs += 1;
        }
        for last in last.iter_mut().flatten() {
            if last.socket.is_some() && is_answer(call) && socket(call) == last.socket {
                // The next answer on this connection is to another request, perhaps to a look.
                (last.syncs, last.socket) = (syncs, None);
            }
        }
        let Some(platform) = PUBLISHING.iter().position(|request| call.contains(request)) else { continue };
        let before =
            last[platform].replace(Last { syncs, socket: socket(call) }).map_or(0, |last| last.syncs);
        if syncs <= before {
            return Err(format!("no sync since the last answer, {syncs} in all, before {call}"));
        }
        posts += 1;
    }
    Ok(posts)
}

/// The last request that was published on a platform.
struct Last {
    /// How many syncs had ended when its answer was read; when it left, as long as that was not seen.
    syncs: usize,
    /// What it went over, as strace names it, until its answer was read.
    socket: Option<String>,
}

/// The connection of a call, such as `<socket:[123]>` or `<TCP:[1]>`.
fn socket(call: &str) -> Option<String> {
    let (_, name) = call.split_once('<')?;
    Some(name.split_once('>')?.0.to_owned()).filter(|name| name.contains(":["))
}

fn is_answer(call: &str) -> bool {
    call.contains("recvfrom(") && call.contains("\"HTTP/1.1 ")
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
    let answer = "8 recvfrom(12<TCP:[1]>, \"HTTP/1.1 201 Created\\r\\n\", 8192, 0, NULL, NULL) = 300\n";
    let other = answer.replace("[1]", "[2]");
    assert_eq!(check_order(&[sync, post, log, sync, post].concat()), Ok(2));
    assert_eq!(check_order(&[sync, post, answer, sync, post].concat()), Ok(2));
    assert_eq!(check_order(&[sync, post, sync, &other, post].concat()), Ok(2));
    assert_eq!(check_order(&[started, resumed, post].concat()), Ok(1));
    check_order(post).unwrap_err();
    check_order(&[started, post, resumed].concat()).unwrap_err();
    check_order(&[sync, post, post].concat()).unwrap_err();
    check_order(&[sync, post, sync, answer, post].concat()).unwrap_err();
    check_order(&[log, post].concat()).unwrap_err();
}
