//! Source: whose turn it is, and what is remembered between two polls.

use std::time::Duration;

use crate::model::source::Memory;
use crate::store::source;
use crate::store::source::Polled;
use crate::store::test::Bench;
use crate::store::test::at;
use crate::store::test::eight_at_once;
use crate::store::test::on_both_engines;

on_both_engines!(
    a_due_source_is_polled_by_one_node,
    a_source_whose_poller_died_is_polled_again,
    a_node_that_starts_again_polls_at_once_what_it_had_begun,
    a_poll_is_remembered,
    errors_are_counted_and_keep_the_validators,
);

const LEASE: Duration = Duration::from_secs(60);

async fn ready(bench: &Bench) {
    source::ensure(&bench.db, &["inn".to_owned()], at(0)).await.unwrap();
}

async fn a_due_source_is_polled_by_one_node(bench: Bench) {
    ready(&bench).await;
    let claims = eight_at_once(|number| {
        let db = bench.db.clone();
        async move { source::claim_due(&db, &format!("n{number}"), at(0), LEASE).await.unwrap() }
    })
    .await;
    assert_eq!(claims.iter().flatten().count(), 1);
    assert_eq!(source::claim_due(&bench.db, "n9", at(59), LEASE).await.unwrap(), None);
}

async fn a_source_whose_poller_died_is_polled_again(bench: Bench) {
    ready(&bench).await;
    source::claim_due(&bench.db, "a", at(0), Duration::ZERO).await.unwrap().unwrap();
    assert!(source::claim_due(&bench.db, "b", at(1), LEASE).await.unwrap().is_some());
    // A node that starts again need not wait for its own lease.
    assert!(source::claim_due(&bench.db, "b", at(61), LEASE).await.unwrap().is_some());
}

async fn a_node_that_starts_again_polls_at_once_what_it_had_begun(bench: Bench) {
    ready(&bench).await;
    source::claim_due(&bench.db, "a", at(0), LEASE).await.unwrap().unwrap();
    source::release_own(&bench.db, "b", at(1)).await.unwrap();
    assert_eq!(source::claim_due(&bench.db, "b", at(1), LEASE).await.unwrap(), None);
    source::release_own(&bench.db, "a", at(1)).await.unwrap();
    assert!(source::claim_due(&bench.db, "a", at(1), LEASE).await.unwrap().is_some());
}

async fn poll(bench: &Bench, second: i64, polled: Polled) -> source::Source {
    let mut tx = bench.db.begin().await.unwrap();
    source::note_poll(&mut tx, "inn", &polled, at(second)).await.unwrap();
    tx.commit().await.unwrap();
    source::list(&bench.db).await.unwrap().remove(0)
}

fn good(second: i64) -> Polled {
    let memory = Memory { etag: Some("W/\"1\"".into()), last_modified: None, body_hash: Some("h".into()) };
    Polled { result: "new", error: None, memory: Some(memory), read: true, next_poll_at: at(second + 120) }
}

async fn a_poll_is_remembered(bench: Bench) {
    ready(&bench).await;
    let first = poll(&bench, 5, good(5)).await;
    assert_eq!((first.first_read_at, first.full_read_at), (Some(at(5)), Some(at(5))));
    assert_eq!(first.memory.etag.as_deref(), Some("W/\"1\""));
    let unchanged = Polled { result: "not_modified", memory: None, read: false, ..good(125) };
    let second = poll(&bench, 125, unchanged).await;
    assert_eq!((second.first_read_at, second.full_read_at), (Some(at(5)), Some(at(5))));
    assert_eq!((second.memory, second.polled_at), (first.memory, Some(at(125))));
    assert_eq!(source::next_moment(&bench.db).await.unwrap(), Some(at(245)));
    ready(&bench).await;
    assert_eq!(source::list(&bench.db).await.unwrap()[0].next_poll_at, at(245), "a restart forgets nothing");
}

async fn errors_are_counted_and_keep_the_validators(bench: Bench) {
    ready(&bench).await;
    poll(&bench, 0, good(0)).await;
    let failed = || Polled {
        result: "error",
        error: Some("no feed".into()),
        memory: None,
        read: false,
        next_poll_at: at(500),
    };
    poll(&bench, 120, failed()).await;
    let twice = poll(&bench, 240, failed()).await;
    assert_eq!((twice.errors, twice.error.as_deref()), (2, Some("no feed")));
    assert_eq!(twice.memory.etag.as_deref(), Some("W/\"1\""));
    assert_eq!(poll(&bench, 360, good(360)).await.errors, 0);
}
