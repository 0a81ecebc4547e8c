//! Listing: posts with their deliveries as people and scripts see them.

use crate::model::lane::Lane;
use crate::store::listing;
use crate::store::listing::Filter;
use crate::store::listing::Line;
use crate::store::post::Draft;
use crate::store::test::Bench;
use crate::store::test::answered;
use crate::store::test::at;
use crate::store::test::finish_one;
use crate::store::test::on_both_engines;
use crate::store::test::policy;
use crate::store::test::receipt;
use crate::store::test::stamp;

on_both_engines!(
    a_post_in_review_is_listed_without_a_delivery,
    a_delivery_is_listed_with_what_became_of_it,
    a_digest_has_no_article_url,
    lines_are_filtered_by_state_account_and_article,
    states_are_counted,
);

async fn lines(bench: &Bench, filter: Filter) -> Vec<Line> {
    listing::list(&bench.db, &filter).await.unwrap()
}

async fn a_post_in_review_is_listed_without_a_delivery(bench: Bench) {
    let reasons = vec!["flood".to_owned(), "no_link".to_owned()];
    let id = bench.post(&Draft { reasons, ..bench.draft("page", Lane::Breaking, 7) }).await.unwrap();
    let listed = lines(&bench, Filter::default()).await;
    let [line] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(
        (line.post.as_str(), &line.delivery, line.state.as_str()),
        (&*id.to_string(), &None, "review")
    );
    assert_eq!((line.lane.as_str(), line.due, line.attempts), ("breaking", at(7), 0));
    assert_eq!(line.reason.as_deref(), Some("flood; no_link"));
}

async fn a_delivery_is_listed_with_what_became_of_it(bench: Bench) {
    let article = bench.article("a", "ข่าว").await;
    let draft = Draft { article: Some((article.id, 1)), ..bench.draft("page", Lane::Normal, 0) };
    let id = bench.delivery_of(&draft).await;
    let claimed = bench.claim("page", 0).await;
    finish_one(&bench.db, &stamp(1), &claimed, answered(Ok(receipt("p1"))), &policy()).await.unwrap();
    let line = lines(&bench, Filter::default()).await.remove(0);
    assert_eq!(line.delivery, Some(id.to_string()));
    assert_eq!((line.state.as_str(), line.act.as_deref(), line.attempts), ("delivered", Some("publish"), 1));
    assert_eq!((line.platform.as_str(), line.remote_id.as_deref()), ("facebook", Some("p1")));
    assert_eq!(line.article_url.as_deref(), Some("https://news.example/a"));
    assert_eq!((line.text, line.good_until), (draft.payload.text, Some(at(3600))));
}

async fn a_digest_has_no_article_url(bench: Bench) {
    let article = bench.article("a", "ข่าว").await;
    bench.post(&Draft { digest: vec![article.id], ..bench.draft("line", Lane::Normal, 0) }).await.unwrap();
    assert_eq!(lines(&bench, Filter::default()).await[0].article_url, None);
    let of_article = Filter { article: Some(article.id), ..Filter::default() };
    assert_eq!(lines(&bench, of_article).await.len(), 1);
}

async fn lines_are_filtered_by_state_account_and_article(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    bench.delivery("line", Lane::Normal, 0).await;
    bench.sending("page").await;
    let states = |states: &[&str]| Filter {
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        ..Filter::default()
    };
    for (filter, expected) in [
        (Filter::default(), 3),
        (states(&["scheduled"]), 2),
        (states(&["sending", "review"]), 1),
        (states(&["sending", "scheduled"]), 3),
        (states(&["send"]), 0),
        (Filter { account: Some("line".into()), ..states(&["scheduled"]) }, 1),
        (Filter { account: Some("nobody".into()), ..Filter::default() }, 0),
        (Filter { article: Some(1), ..Filter::default() }, 0),
        (Filter { limit: Some(2), ..Filter::default() }, 2),
    ] {
        assert_eq!(lines(&bench, filter.clone()).await.len(), expected, "{filter:?}");
    }
    let posts: Vec<String> =
        lines(&bench, Filter::default()).await.into_iter().map(|line| line.post).collect();
    assert_eq!(posts, ["1", "2", "3"]);
}

async fn states_are_counted(bench: Bench) {
    bench.delivery("line", Lane::Normal, 0).await;
    bench.sending("page").await;
    bench.post(&Draft { reasons: vec!["flood".into()], ..bench.draft("page", Lane::Normal, 0) }).await;
    let mut counts = listing::count_states(&bench.db).await.unwrap();
    counts.sort();
    let counts: Vec<(&str, i64)> = counts.iter().map(|(state, n)| (state.as_str(), *n)).collect();
    assert_eq!(counts, [("review", 1), ("scheduled", 1), ("sending", 1)]);
}
