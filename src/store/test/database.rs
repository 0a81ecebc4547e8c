//! Database: shows opening, migrating, errors and waking.

use std::time::Duration;
use std::time::Instant;

use crate::clock;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::Row;
use crate::store::db::args;
use crate::store::migration::KNOWN;
use crate::store::test::Bench;
use crate::store::test::at;
use crate::store::test::cluster;
use crate::store::test::cluster::Cluster;
use crate::store::test::on_both_engines;

on_both_engines!(
    a_schema_newer_than_the_program_is_refused,
    a_migrated_database_is_left_as_it_is,
    what_is_not_committed_never_happened,
    values_come_back_as_they_went,
    a_value_of_tomorrow_is_an_error_and_no_panic,
    a_change_wakes_who_waits,
    nothing_that_commits_between_two_waits_is_missed,
);

async fn a_schema_newer_than_the_program_is_refused(bench: Bench) {
    bench.tamper("INSERT INTO migration (number, applied_at) VALUES ($1, 0)", args![KNOWN + 1]).await;
    let error = Db::open(&bench.url, at(0)).await.unwrap_err();
    assert!(
        matches!(error, Error::Newer { found, known } if found == KNOWN + 1 && known == KNOWN),
        "{error}"
    );
    assert!(error.to_string().contains("install the newer version"), "{error}");
}

async fn a_migrated_database_is_left_as_it_is(bench: Bench) {
    bench.article("a", "ข่าว").await;
    let again = Db::open(&bench.url, at(99)).await.unwrap();
    let row = again.one("SELECT count(*) AS n, MAX(applied_at) AS at FROM migration", args![]).await.unwrap();
    let row = row.unwrap();
    assert_eq!((row.int("n").unwrap(), row.time("at").unwrap()), (KNOWN, at(0)));
    assert_eq!(bench.count("SELECT count(*) AS n FROM article", args![]).await, 1);
}

async fn what_is_not_committed_never_happened(bench: Bench) {
    let mut tx = bench.db.begin().await.unwrap();
    tx.execute("INSERT INTO lease (name, owner, until_at) VALUES ('x', 'a', 0)", args![]).await.unwrap();
    drop(tx);
    assert_eq!(bench.count("SELECT count(*) AS n FROM lease", args![]).await, 0);
}

async fn values_come_back_as_they_went(bench: Bench) {
    let sql = "SELECT CAST($1 AS BIGINT) AS number, CAST($2 AS BIGINT) AS truth, CAST($3 AS TEXT) AS text,
                      CAST($4 AS BIGINT) AS moment, CAST($5 AS BIGINT) AS no_number, CAST($6 AS TEXT) AS no_text";
    let text = "ส่งข่าว \u{200b}👩‍🚒 '; --";
    let values = args![i64::MIN, true, text, at(3), None::<i64>, None::<String>];
    let mut tx = bench.db.begin().await.unwrap();
    for row in [bench.db.one(sql, values.clone()).await.unwrap(), tx.one(sql, values).await.unwrap()] {
        let row: Row = row.unwrap();
        assert_eq!((row.int("number").unwrap(), row.truth("truth").unwrap()), (i64::MIN, true));
        assert_eq!((row.text("text").unwrap(), row.time("moment").unwrap()), (text.to_owned(), at(3)));
        assert_eq!((row.maybe_int("no_number").unwrap(), row.maybe_text("no_text").unwrap()), (None, None));
        row.int("no_number").unwrap_err();
        row.text("missing").unwrap_err();
    }
}

async fn a_value_of_tomorrow_is_an_error_and_no_panic(bench: Bench) {
    bench.tamper("UPDATE account SET platform = 'threads' WHERE name = 'page'", args![]).await;
    let error = crate::store::account::find(&bench.db, "page").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "database: column platform holds \"threads\", which this version of songkhao does not know"
    );
}

/// How long a wait may take before it counts as having slept through.
const PATIENCE: Duration = Duration::from_secs(20);

async fn a_change_wakes_who_waits(bench: Bench) {
    let mut changes = bench.db.changes();
    let started = Instant::now();
    let (_, ()) = tokio::join!(bench.article("a", "ข่าว"), changes.next(PATIENCE));
    assert!(started.elapsed() < PATIENCE);
}

async fn nothing_that_commits_between_two_waits_is_missed(bench: Bench) {
    let mut changes = bench.db.changes();
    bench.article("a", "ข่าว").await;
    let started = Instant::now();
    changes.next(PATIENCE).await;
    assert!(started.elapsed() < PATIENCE);
    let mut tx = bench.db.begin().await.unwrap();
    tx.execute("INSERT INTO lease (name, owner, until_at) VALUES ('x', 'a', 0)", args![]).await.unwrap();
    tx.commit_quietly().await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(20), changes.next(PATIENCE)).await;
    assert!(quiet.is_err(), "a quiet commit wakes nobody");
}

/// Opens a new database from eight tasks at once.
async fn open_together(url: String) {
    let nodes = super::eight_at_once(|number| {
        let url = url.clone();
        async move { Db::open(&url, at(number)).await }
    })
    .await;
    for node in &nodes {
        assert!(node.is_ok(), "{}", node.as_ref().unwrap_err());
    }
    let db = nodes.into_iter().next().unwrap().unwrap();
    let row = db.one("SELECT count(*) AS n FROM migration", args![]).await.unwrap().unwrap();
    assert_eq!(row.int("n").unwrap(), KNOWN);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_migrate_a_new_sqlite_file_at_once_agree() {
    let folder = tempfile::tempdir().unwrap();
    open_together(format!("sqlite:{}", folder.path().join("new.db").display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_migrate_a_new_postgresql_database_at_once_agree() {
    open_together(cluster::database_url()).await;
}

#[tokio::test]
async fn a_commit_on_sqlite_survives_a_power_failure() {
    let bench = Bench::sqlite().await;
    for (pragma, expected) in [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1)] {
        let mut tx = bench.db.begin().await.unwrap();
        let column = pragma.trim_start_matches("PRAGMA ");
        let row = tx.one(sqlx::AssertSqlSafe(pragma), args![]).await.unwrap().unwrap();
        assert_eq!(row.int(column).unwrap(), expected, "{pragma}");
    }
    let mode = bench.db.one("PRAGMA journal_mode", args![]).await.unwrap().unwrap();
    assert_eq!(mode.text("journal_mode").unwrap(), "wal");
    assert!(bench.db.file().unwrap().ends_with("songkhao.db"));
}

#[tokio::test]
async fn a_change_on_one_node_wakes_another_on_postgresql() {
    let bench = Bench::postgres().await;
    let other = bench.another_node().await;
    let mut changes = other.changes();
    let listening = tokio::spawn({
        let other = other.clone();
        async move { other.listen().await }
    });
    let started = Instant::now();
    // Who listens and who speaks are two connections: speak until it was heard.
    while tokio::time::timeout(Duration::from_millis(50), changes.next(PATIENCE)).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "nothing was heard");
        bench.db.begin().await.unwrap().commit().await.unwrap();
    }
    listening.abort();
}

#[tokio::test]
async fn leases_on_postgresql_live_by_its_own_clock() {
    let bench = Bench::postgres().await;
    let mut tx = bench.db.begin().await.unwrap();
    let there = tx.lease_clock(at(0)).await.unwrap();
    assert!((there - clock::now()).abs() < super::seconds(5), "{there}");
    let mut tx = Bench::sqlite().await.db.begin().await.unwrap();
    assert_eq!(tx.lease_clock(at(0)).await.unwrap(), at(0));
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_refused() {
    for url in ["mysql://x/y", "songkhao.db", ""] {
        assert!(matches!(Db::open(url, at(0)).await, Err(Error::Address)), "{url}");
    }
    let error = Db::open("sqlite:/no/such/folder/x.db", at(0)).await.unwrap_err();
    assert!(matches!(error, Error::Engine(_)), "{error}");
}

#[tokio::test]
async fn a_postgresql_that_does_not_answer_is_said_at_once_and_without_the_password() {
    // Port 1 of this machine: nobody listens there.
    let started = Instant::now();
    let error = Db::open("postgres://songkhao:geheim@127.0.0.1:1/news", at(0)).await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("refused") && !text.contains("geheim"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let cluster = Cluster::new();
    let url = cluster.database_url();
    cluster.psql("CREATE ROLE guest LOGIN PASSWORD 'right'");
    let rules = "local all postgres trust\nlocal all guest scram-sha-256\n";
    std::fs::write(cluster.folder().join("data/pg_hba.conf"), rules).unwrap();
    cluster.stop();
    cluster.start();
    let error = Db::open(&url.replace("postgres@", "guest:geheim@"), at(0)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("password authentication failed for user \"guest\""), "{text}");
    assert!(!text.contains("geheim") && !error.is_outage(), "{text}");
}

#[tokio::test]
async fn an_outage_of_postgresql_is_told_from_a_fault_and_survived() {
    let cluster = Cluster::new();
    let bench = Bench::open(cluster.database_url(), None).await;
    bench.article("a", "ข่าว").await;
    cluster.stop();
    let error = bench.db.one("SELECT 1 AS one", args![]).await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    cluster.start();
    // The pool still holds connections of before; each is found broken once.
    let mut counted = bench.db.one("SELECT count(*) AS n FROM article", args![]).await;
    for _ in 0..50 {
        if counted.is_ok() {
            break;
        }
        counted = bench.db.one("SELECT count(*) AS n FROM article", args![]).await;
    }
    assert_eq!(counted.unwrap().unwrap().int("n").unwrap(), 1);
}
