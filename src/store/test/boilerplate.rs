//! Boilerplate: a line is the site's with the third article that has it.

use chrono::TimeDelta;

use crate::store::boilerplate;
use crate::store::boilerplate::Lines;
use crate::store::test::Bench;
use crate::store::test::at;
use crate::store::test::eight_at_once;
use crate::store::test::on_both_engines;

on_both_engines!(
    a_line_is_known_with_its_third_article,
    an_article_that_is_read_again_counts_once,
    eight_articles_at_once_are_all_counted,
    a_line_that_does_not_come_back_is_forgotten,
);

fn lines(host: &str, article: i64, hashes: &[&str]) -> Lines {
    Lines { host: host.into(), article, hashes: hashes.iter().map(|hash| (*hash).to_owned()).collect() }
}

async fn known(bench: &Bench, host: &str) -> Vec<String> {
    let mut known: Vec<String> = boilerplate::known(&bench.db, host).await.unwrap().into_iter().collect();
    known.sort();
    known
}

async fn a_line_is_known_with_its_third_article(bench: Bench) {
    boilerplate::count(&bench.db, &[lines("a", 1, &["x", "y"]), lines("a", 2, &["x"])], at(0)).await.unwrap();
    boilerplate::count(&bench.db, &[lines("b", 3, &["x"])], at(0)).await.unwrap();
    assert!(known(&bench, "a").await.is_empty(), "another host's articles don't count");
    boilerplate::count(&bench.db, &[lines("a", 4, &["x", "z"])], at(0)).await.unwrap();
    assert_eq!(known(&bench, "a").await, ["x"]);
    assert!(known(&bench, "b").await.is_empty());
}

async fn an_article_that_is_read_again_counts_once(bench: Bench) {
    for article in [1, 2, 1, 2, 1] {
        boilerplate::count(&bench.db, &[lines("a", article, &["x"])], at(0)).await.unwrap();
    }
    assert!(known(&bench, "a").await.is_empty());
}

async fn eight_articles_at_once_are_all_counted(bench: Bench) {
    let db = bench.db.clone();
    let counted = eight_at_once(|number| {
        let db = db.clone();
        // Each with its lines the other way round: they must not wait for each other.
        let hashes = if number % 2 == 0 { ["x", "y"] } else { ["y", "x"] };
        async move { boilerplate::count(&db, &[lines("a", number, &hashes)], at(0)).await }
    });
    assert!(counted.await.into_iter().all(|counted| counted.is_ok()));
    assert_eq!(known(&bench, "a").await, ["x", "y"]);
}

async fn a_line_that_does_not_come_back_is_forgotten(bench: Bench) {
    boilerplate::count(&bench.db, &[lines("a", 1, &["x"]), lines("a", 2, &["x"])], at(0)).await.unwrap();
    let later = at(0) + TimeDelta::days(31);
    boilerplate::count(&bench.db, &[lines("a", 3, &["y"])], later).await.unwrap();
    boilerplate::count(&bench.db, &[lines("a", 4, &["x"])], later).await.unwrap();
    assert!(known(&bench, "a").await.is_empty(), "it began anew");
}
