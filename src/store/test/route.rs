//! Route: what waits for a firing, and that a moment fires once.

use crate::store::route;
use crate::store::test::Bench;
use crate::store::test::at;
use crate::store::test::eight_at_once;
use crate::store::test::on_both_engines;

on_both_engines!(
    a_firing_happens_once,
    a_firing_that_is_rolled_back_may_happen_again,
    articles_wait_newest_first,
    an_article_waits_for_a_route_once_in_its_life,
);

async fn a_firing_happens_once(bench: Bench) {
    let fired = eight_at_once(|_| {
        let db = bench.db.clone();
        async move {
            let mut tx = db.begin().await.unwrap();
            let fired = route::fire(&mut tx, "route:digest", at(0), at(1)).await.unwrap();
            tx.commit().await.unwrap();
            fired
        }
    })
    .await;
    assert_eq!(fired.iter().filter(|fired| **fired).count(), 1);
    let mut tx = bench.db.begin().await.unwrap();
    assert!(route::fire(&mut tx, "route:digest", at(3600), at(3600)).await.unwrap());
    assert!(route::fire(&mut tx, "route:other", at(0), at(1)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(route::last_firing(&bench.db, "route:digest").await.unwrap(), Some(at(3600)));
    assert_eq!(route::last_firing(&bench.db, "route:none").await.unwrap(), None);
}

async fn a_firing_that_is_rolled_back_may_happen_again(bench: Bench) {
    let mut tx = bench.db.begin().await.unwrap();
    assert!(route::fire(&mut tx, "route:digest", at(0), at(1)).await.unwrap());
    drop(tx);
    let mut tx = bench.db.begin().await.unwrap();
    assert!(route::fire(&mut tx, "route:digest", at(0), at(2)).await.unwrap());
}

async fn articles_wait_newest_first(bench: Bench) {
    let (one, two) = (bench.article("a", "หนึ่ง").await.id, bench.article("b", "สอง").await.id);
    let mut tx = bench.db.begin().await.unwrap();
    for article in [one, two, one] {
        route::wait(&mut tx, "digest", article, at(5)).await.unwrap();
    }
    assert_eq!(route::list_waiting(&mut tx, "digest").await.unwrap(), [two, one]);
    assert_eq!(route::list_waiting(&mut tx, "other").await.unwrap(), Vec::<i64>::new());
    tx.commit().await.unwrap();
    assert!(route::has_waiting(&bench.db, "digest").await.unwrap());
    assert!(!route::has_waiting(&bench.db, "other").await.unwrap());
}

async fn an_article_waits_for_a_route_once_in_its_life(bench: Bench) {
    let id = bench.article("a", "ข่าว").await.id;
    let mut tx = bench.db.begin().await.unwrap();
    route::wait(&mut tx, "digest", id, at(5)).await.unwrap();
    route::clear_waiting(&mut tx, "digest", at(7)).await.unwrap();
    // A second source shows it after the digest went out.
    route::wait(&mut tx, "digest", id, at(9)).await.unwrap();
    assert_eq!(route::list_waiting(&mut tx, "digest").await.unwrap(), Vec::<i64>::new());
    tx.commit().await.unwrap();
    assert!(!route::has_waiting(&bench.db, "digest").await.unwrap());
}
