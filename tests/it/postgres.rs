//! PostgreSQL: the tests' own server keeps its promises, so that tests may rest on it.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use sqlx::Connection;
use sqlx::PgConnection;

use crate::cluster;
use crate::cluster::Cluster;

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (one, two) = (cluster::database_url(), cluster::database_url());
    let mut one = PgConnection::connect(&one).await.unwrap();
    sqlx::query("CREATE TABLE note (body TEXT)").execute(&mut one).await.unwrap();
    let mut two = PgConnection::connect(&two).await.unwrap();
    sqlx::query("SELECT body FROM note").fetch_all(&mut two).await.unwrap_err();
}

#[tokio::test]
async fn an_outage_breaks_connections_and_loses_no_commit() {
    let cluster = Cluster::new();
    let url = cluster.database_url();
    let mut before = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE note (body TEXT); INSERT INTO note VALUES ('ข่าว')")
        .execute(&mut before)
        .await
        .unwrap();
    cluster.stop();
    before.ping().await.unwrap_err();
    PgConnection::connect(&url).await.unwrap_err();
    cluster.start();
    let mut after = PgConnection::connect(&url).await.unwrap();
    let body: String = sqlx::query_scalar("SELECT body FROM note").fetch_one(&mut after).await.unwrap();
    assert_eq!(body, "ข่าว");
}

#[test]
fn a_dropped_cluster_leaves_nothing_behind() {
    let cluster = Cluster::new();
    let folder = cluster.folder().to_owned();
    assert!(folder.join(".s.PGSQL.5432").exists());
    drop(cluster);
    assert!(!folder.exists());
}

/// This test runs itself as a second process, which waits with a server until it is killed.
#[test]
fn a_killed_test_leaves_nothing_behind() {
    const ROLE: &str = "SONGKHAO_TEST_TO_BE_KILLED";
    if std::env::var_os(ROLE).is_some() {
        let cluster = Cluster::new();
        println!("\nfolder {}", cluster.folder().display());
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::a_killed_test_leaves_nothing_behind", "--nocapture"])
        .env(ROLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let folder = lines.find_map(|line| line.strip_prefix("folder ").map(str::to_owned)).unwrap();
    assert!(Path::new(&folder).join(".s.PGSQL.5432").exists());
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    // The keeper has its standard error from the test: this ends when the keeper has.
    child.stderr.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
    assert!(!Path::new(&folder).exists());
}
