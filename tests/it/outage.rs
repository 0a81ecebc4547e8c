//! Outage: PostgreSQL that is away, refuses us, or isn't what we think, as the daemon's operator meets it.

use std::time::Duration;
use std::time::Instant;

use sqlx::Connection;
use sqlx::PgConnection;

use crate::arena::Arena;
use crate::arena::Node;
use crate::cluster;
use crate::cluster::Cluster;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

async fn wait_until(node: &Node, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn delivered(node: &Node) -> usize {
    node.posts().unwrap_or_default().iter().filter(|row| row.state == "delivered").count()
}

/// Starts a daemon that can't go on, and gives its exit code and what it said.
async fn refused(node: &mut Node) -> (i32, String) {
    node.start();
    let mut code = None;
    let started = Instant::now();
    while code.is_none() {
        assert!(started.elapsed() < PATIENCE, "it goes on\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
        code = node.ended();
    }
    (code.unwrap(), node.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_rides_out_an_outage_and_loses_nothing() {
    let (arena, cluster) = (Arena::new().await, Cluster::new());
    let mut node = arena.node("a", &cluster.database_url());
    node.start();
    arena.publish(1);
    wait_until(&node, "three posts", || delivered(&node) == 3).await;
    cluster.stop();
    arena.publish(2);
    wait_until(&node, "a complaint", || node.log().matches("ERROR").count() > 3).await;
    assert_eq!(node.ended(), None, "it waits\n{}", node.log());
    cluster.start();
    wait_until(&node, "six posts", || delivered(&node) == 6).await;
    node.stop();
    assert_eq!(arena.sandbox.published().len(), 6, "each stands once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_at_the_start_is_said_and_the_next_start_is_good() {
    let (arena, cluster) = (Arena::new().await, Cluster::new());
    let mut node = arena.node("a", &cluster.database_url().replace("postgres@", "postgres:geheim@"));
    cluster.stop();
    let (code, said) = refused(&mut node).await;
    assert!(code == 1 && said.contains("can't be used: ") && !said.contains("geheim"), "{code} {said}");
    cluster.start();
    node.start();
    arena.publish(1);
    wait_until(&node, "three posts", || delivered(&node) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_stops_the_start_and_is_not_shown() {
    let (arena, cluster) = (Arena::new().await, Cluster::new());
    let url = cluster.database_url();
    cluster.psql("CREATE ROLE guest LOGIN PASSWORD 'right'");
    let rules = "local all postgres trust\nlocal all guest scram-sha-256\n";
    std::fs::write(cluster.folder().join("data/pg_hba.conf"), rules).unwrap();
    cluster.stop();
    cluster.start();
    let (code, said) = refused(&mut arena.node("a", &url.replace("postgres@", "guest:geheim@"))).await;
    assert!(code == 1 && said.contains("password authentication failed for user \"guest\""), "{code} {said}");
    assert!(!said.contains("geheim"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_newer_than_the_program_stops_the_start_for_good() {
    let (arena, url) = (Arena::new().await, cluster::database_url());
    let mut node = arena.node("a", &url);
    assert_eq!(node.run(&["post", "list"]).status.code(), Some(0));
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    sqlx::query("INSERT INTO migration (number, applied_at) VALUES (9999, 0)")
        .execute(&mut by_hand)
        .await
        .unwrap();
    let (code, said) = refused(&mut node).await;
    // Exit 2 is for what no restart mends.
    assert!(
        code == 2 && said.contains("schema 9999") && said.contains("install the newer version"),
        "{code} {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_that_make_one_database_at_once_both_start() {
    let (arena, url) = (Arena::new().await, cluster::database_url());
    let (mut a, mut b) = (arena.node("a", &url), arena.node("b", &url));
    a.start();
    b.start();
    for node in [&a, &b] {
        wait_until(node, "its pages", || node.log().contains("listening http://")).await;
    }
    arena.publish(1);
    wait_until(&a, "three posts", || delivered(&a) == 3).await;
    a.stop();
    b.stop();
    assert_eq!(arena.sandbox.published().len(), 3, "each stands once");
}
