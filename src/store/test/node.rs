//! Node: shows that a name belongs to one living daemon.

use crate::store::db::Error;
use crate::store::db::args;
use crate::store::node;
use crate::store::test::Bench;
use crate::store::test::at;
use crate::store::test::on_both_engines;

on_both_engines!(
    a_second_daemon_of_the_same_name_is_refused,
    other_names_may_run_beside_it,
    a_name_is_free_when_its_daemon_died,
    a_stopped_daemon_says_when,
    a_daemon_whose_name_was_taken_over_learns_of_it,
);

async fn a_second_daemon_of_the_same_name_is_refused(bench: Bench) {
    let _seat = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    let other = bench.another_node().await;
    let refused = node::start(&other, "a", "boot-2", at(1)).await.unwrap_err();
    assert!(matches!(&refused, Error::NodeTaken { node } if node == "a"), "{refused}");
    assert!(refused.to_string().contains("node.name"), "{refused}");
    let boots = bench.count("SELECT count(*) AS n FROM node WHERE boot = 'boot-1'", args![]).await;
    assert_eq!(boots, 1, "who is refused leaves no trace");
}

async fn other_names_may_run_beside_it(bench: Bench) {
    let one = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    let two = node::start(&bench.db, "ข", "boot-1", at(0)).await.unwrap();
    assert!(one.beat(&bench.db, at(5)).await.unwrap() && two.beat(&bench.db, at(5)).await.unwrap());
}

async fn a_name_is_free_when_its_daemon_died(bench: Bench) {
    let seat = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    drop(seat);
    // PostgreSQL notices a closed connection within moments, not within our call.
    let mut next = node::start(&bench.db, "a", "boot-2", at(1)).await;
    for _ in 0..200 {
        if next.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        next = node::start(&bench.db, "a", "boot-2", at(1)).await;
    }
    assert!(next.unwrap().beat(&bench.db, at(2)).await.unwrap());
}

async fn a_stopped_daemon_says_when(bench: Bench) {
    let seat = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    seat.stop(&bench.db, at(9)).await.unwrap();
    let stopped = "SELECT count(*) AS n FROM node WHERE stopped_at >= seen_at";
    assert_eq!(bench.count(stopped, args![]).await, 1);
}

async fn a_daemon_whose_name_was_taken_over_learns_of_it(bench: Bench) {
    let seat = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    bench.tamper("UPDATE node SET boot = 'boot-2'", args![]).await;
    assert!(!seat.beat(&bench.db, at(5)).await.unwrap());
}

/// Ends every other session on a database, as an outage of the network or the server does.
async fn cut(bench: &Bench) {
    let sql = "SELECT pg_terminate_backend(pid) AS cut FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    bench.db.all(sql, args![]).await.unwrap();
}

#[tokio::test]
async fn a_daemon_whose_connection_broke_takes_its_name_again() {
    let bench = Bench::postgres().await;
    let seat = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    cut(&bench).await;
    assert!(seat.beat(&bench.db, at(5)).await.unwrap());
    let other = bench.another_node().await;
    assert!(matches!(node::start(&other, "a", "boot-2", at(6)).await, Err(Error::NodeTaken { .. })));
}

#[tokio::test]
async fn a_daemon_that_lost_its_name_to_another_stops() {
    let bench = Bench::postgres().await;
    let seat = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    cut(&bench).await;
    let other = bench.another_node().await;
    let _taken = node::start(&other, "a", "boot-2", at(1)).await.unwrap();
    assert!(!seat.beat(&bench.db, at(5)).await.unwrap());
}

#[tokio::test]
async fn two_databases_on_one_server_have_names_of_their_own() {
    let (one, two) = (Bench::postgres().await, Bench::postgres().await);
    assert_ne!(one.url, two.url);
    assert!(one.url.contains(&cluster_of(&two.url)), "one server for both");
    let _one = node::start(&one.db, "a", "boot-1", at(0)).await.unwrap();
    node::start(&two.db, "a", "boot-1", at(0)).await.unwrap();
}

fn cluster_of(url: &str) -> String {
    url.rsplit("host=").next().unwrap().to_owned()
}

#[tokio::test]
async fn the_name_of_a_process_that_is_surely_dead_is_free_although_the_server_has_not_noticed() {
    let bench = Bench::postgres().await;
    let seat = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    // A process of this machine with our number, begun at another time: dead.
    bench.tamper("UPDATE node SET process = process || '0'", args![]).await;
    let next = node::start(&bench.another_node().await, "a", "boot-2", at(1)).await.unwrap();
    assert!(next.followed_a_crash());
    // Had it only been cut off, it would learn that it has lost its name.
    assert!(!seat.beat(&bench.db, at(5)).await.unwrap());
    // Of another machine nothing is known, so the name stays taken.
    bench.tamper("UPDATE node SET process = 'elsewhere start 1 1'", args![]).await;
    let refused = node::start(&bench.another_node().await, "a", "boot-3", at(6)).await.unwrap_err();
    assert!(matches!(refused, Error::NodeTaken { .. }), "{refused}");
}

#[tokio::test]
async fn a_daemon_cut_off_on_its_own_side_alone_keeps_its_name() {
    use sqlx::Connection as _;
    let bench = Bench::postgres().await;
    let seat = node::start(&bench.db, "a", "boot-1", at(0)).await.unwrap();
    cut(&bench).await;
    // The server still has the lock with a session that nobody will use again: its own old one.
    let mut ghost = sqlx::PgConnection::connect(&bench.url).await.unwrap();
    let sql = "SELECT pg_try_advisory_lock($1)";
    let locked = sqlx::query_scalar::<_, bool>(sql).bind(node::lock_key("a")).fetch_one(&mut ghost).await;
    assert!(locked.unwrap());
    assert!(seat.beat(&bench.db, at(5)).await.unwrap());
    ghost.close().await.unwrap();
}
