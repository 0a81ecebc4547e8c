//! Post: one an account and occasion; approval is bound to bytes.

use crate::model::lane::Lane;
use crate::store::article::Article;
use crate::store::db::args;
use crate::store::delivery;
use crate::store::post;
use crate::store::post::Draft;
use crate::store::test::Bench;
use crate::store::test::eight_at_once;
use crate::store::test::on_both_engines;
use crate::store::test::payload;
use crate::store::test::person;
use crate::store::test::stamp;

on_both_engines!(
    a_post_is_unique_by_account_origin_and_occasion,
    two_nodes_that_compose_one_post_make_one,
    an_approved_post_gets_one_delivery,
    a_post_in_review_gets_no_delivery,
    approval_is_bound_to_the_bytes,
    a_decision_is_made_once,
    a_rejected_post_is_never_enqueued,
    rewording_voids_a_persons_approval,
    rewording_keeps_what_only_the_rules_approved,
    rewording_with_a_new_finding_asks_a_person,
    rewording_to_the_same_bytes_keeps_an_approval,
    rewording_never_touches_an_attempted_post,
    an_approval_after_rewording_gives_a_new_delivery,
    an_origin_goes_to_one_x_account,
    a_digest_belongs_to_each_of_its_articles,
);

async fn a_post_is_unique_by_account_origin_and_occasion(bench: Bench) {
    let first = bench.draft("page", Lane::Normal, 0);
    assert!(bench.post(&first).await.is_some());
    let reworded = Draft { payload: payload("คำอื่น"), ..first.clone() };
    assert_eq!(bench.post(&reworded).await, None);
    for other in [
        Draft { account: "line".into(), ..first.clone() },
        Draft { occasion: "second".into(), ..first.clone() },
        Draft { origin: "promotion:99".into(), ..first.clone() },
    ] {
        assert!(bench.post(&other).await.is_some(), "{other:?}");
    }
    assert_eq!(bench.actions().await["post.composed"], 4);
}

async fn two_nodes_that_compose_one_post_make_one(bench: Bench) {
    let draft = bench.draft("page", Lane::Normal, 0);
    let made = eight_at_once(|_| {
        let (db, draft) = (bench.db.clone(), draft.clone());
        async move {
            let mut tx = db.begin().await.unwrap();
            let made = post::insert(&mut tx, &stamp(0), &draft).await.unwrap();
            tx.commit().await.unwrap();
            made
        }
    })
    .await;
    assert_eq!(made.iter().flatten().count(), 1);
    assert_eq!(bench.actions().await["post.composed"], 1);
}

async fn an_approved_post_gets_one_delivery(bench: Bench) {
    let id = bench.post(&bench.draft("page", Lane::Normal, 30)).await.unwrap();
    assert_eq!(post::count_to_enqueue(&bench.db).await.unwrap(), 1);
    let enqueued = eight_at_once(|_| {
        let db = bench.db.clone();
        async move { post::enqueue(&db, &stamp(0), 1).await.unwrap() }
    })
    .await;
    assert_eq!(enqueued.into_iter().flatten().collect::<Vec<_>>(), [id]);
    let deliveries = delivery::list_of_post(&bench.db, id).await.unwrap();
    let [delivery] = &deliveries[..] else { panic!("{deliveries:?}") };
    assert_eq!(delivery.facts.good_until - delivery.facts.due_at, chrono::TimeDelta::hours(1));
    assert_eq!(bench.actions().await["delivery.scheduled"], 1);
}

async fn a_post_in_review_gets_no_delivery(bench: Bench) {
    let draft = Draft { reasons: vec!["flood".into()], ..bench.draft("page", Lane::Normal, 0) };
    let id = bench.post(&draft).await.unwrap();
    assert!(post::enqueue(&bench.db, &stamp(0), 1).await.unwrap().is_empty());
    let waiting = post::list_in_review(&bench.db, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|post| post.id).collect::<Vec<_>>(), [id]);
    assert_eq!(waiting[0].reasons, ["flood"]);
    assert_eq!(bench.actions().await["post.sent_to_review"], 1);
}

async fn in_review(bench: &Bench) -> post::Post {
    let draft = Draft { reasons: vec!["flood".into()], ..bench.draft("page", Lane::Normal, 0) };
    let id = bench.post(&draft).await.unwrap();
    post::find(&bench.db, id).await.unwrap().unwrap()
}

async fn approval_is_bound_to_the_bytes(bench: Bench) {
    let waiting = in_review(&bench).await;
    let refused = post::decide(&bench.db, &person(1), waiting.id, true, Some("other"), None).await.unwrap();
    assert!(refused.unwrap_err().contains("changed since it was shown"));
    let seen = Some(waiting.payload.hash.as_str());
    post::decide(&bench.db, &person(1), waiting.id, true, seen, None).await.unwrap().unwrap();
    let sql = "SELECT approved_by, approved_hash FROM post WHERE id = $1";
    let row = bench.db.one(sql, args![waiting.id]).await.unwrap().unwrap();
    assert_eq!(row.text("approved_by").unwrap(), "somchai");
    assert_eq!(row.text("approved_hash").unwrap(), waiting.payload.hash);
}

async fn a_decision_is_made_once(bench: Bench) {
    let waiting = in_review(&bench).await;
    let decided = eight_at_once(|number| {
        let db = bench.db.clone();
        async move { post::decide(&db, &person(1), waiting.id, number % 2 == 0, None, None).await.unwrap() }
    })
    .await;
    assert_eq!(decided.iter().filter(|decision| decision.is_ok()).count(), 1, "{decided:?}");
    let actions = bench.actions().await;
    let made = actions.get("post.approved").unwrap_or(&0) + actions.get("post.rejected").unwrap_or(&0);
    assert_eq!(made, 1);
    let unknown = post::decide(&bench.db, &person(1), 4711, true, None, None).await.unwrap();
    assert_eq!(unknown.unwrap_err(), "there is no post 4711");
}

async fn a_rejected_post_is_never_enqueued(bench: Bench) {
    let waiting = in_review(&bench).await;
    post::decide(&bench.db, &person(1), waiting.id, false, None, Some("ข่าวเก่า")).await.unwrap().unwrap();
    assert!(post::enqueue(&bench.db, &stamp(2), 1).await.unwrap().is_empty());
    assert_eq!(post::find(&bench.db, waiting.id).await.unwrap().unwrap().state, "rejected");
}

/// An approved post of an article, with its delivery; approved by a person or by the rules.
async fn approved(bench: &Bench, by_a_person: bool) -> (Article, i64) {
    let article = bench.article("a", "ข่าว").await;
    let reasons = if by_a_person { vec!["review_always".to_owned()] } else { Vec::new() };
    let draft = Draft { article: Some((article.id, 1)), reasons, ..bench.draft("page", Lane::Normal, 0) };
    let id = bench.post(&draft).await.unwrap();
    if by_a_person {
        post::decide(&bench.db, &person(1), id, true, None, None).await.unwrap().unwrap();
    }
    assert_eq!(post::enqueue(&bench.db, &stamp(2), 1).await.unwrap(), [id]);
    (article, id)
}

async fn reword(bench: &Bench, id: i64, text: &str) -> bool {
    post::reword(&bench.db, &stamp(3), id, 2, &payload(text), &[]).await.unwrap()
}

async fn rewording_voids_a_persons_approval(bench: Bench) {
    let (_, id) = approved(&bench, true).await;
    assert!(reword(&bench, id, "ข่าวใหม่").await);
    let post = post::find(&bench.db, id).await.unwrap().unwrap();
    assert_eq!((post.state.as_str(), post.revision, post.version), ("review", 2, Some(2)));
    assert_eq!((post.approved_by, post.payload.text.as_str()), (None, "ข่าวใหม่"));
    assert!(bench.claims_nothing("page", 100).await);
    assert_eq!(bench.actions().await["post.sent_to_review"], 2);
}

async fn rewording_keeps_what_only_the_rules_approved(bench: Bench) {
    let (_, id) = approved(&bench, false).await;
    assert!(reword(&bench, id, "ข่าวใหม่").await);
    assert_eq!(post::find(&bench.db, id).await.unwrap().unwrap().state, "approved");
    let claimed = bench.claim("page", 100).await;
    assert_eq!((claimed.post, claimed.text.as_str()), (id, "ข่าวใหม่"));
    assert_eq!(bench.actions().await["post.edited"], 1);
}

async fn rewording_with_a_new_finding_asks_a_person(bench: Bench) {
    let (_, id) = approved(&bench, false).await;
    let found = ["link_refused: 10.0.0.1".to_owned()];
    assert!(post::reword(&bench.db, &stamp(3), id, 2, &payload("ข่าวใหม่"), &found).await.unwrap());
    let post = post::find(&bench.db, id).await.unwrap().unwrap();
    assert_eq!((post.state.as_str(), &post.reasons[..]), ("review", &found[..]));
    assert!(bench.claims_nothing("page", 100).await);
}

async fn rewording_to_the_same_bytes_keeps_an_approval(bench: Bench) {
    let (_, id) = approved(&bench, true).await;
    let text = post::find(&bench.db, id).await.unwrap().unwrap().payload.text;
    assert!(reword(&bench, id, &text).await);
    let post = post::find(&bench.db, id).await.unwrap().unwrap();
    assert_eq!((post.state.as_str(), post.approved_by.as_deref()), ("approved", Some("somchai")));
}

async fn rewording_never_touches_an_attempted_post(bench: Bench) {
    let (_, id) = approved(&bench, true).await;
    let claimed = bench.claim("page", 100).await;
    assert!(!reword(&bench, id, "ข่าวใหม่").await);
    let post = post::find(&bench.db, id).await.unwrap().unwrap();
    assert_eq!((post.payload.hash, post.revision), (claimed.hash, 1));
}

async fn an_approval_after_rewording_gives_a_new_delivery(bench: Bench) {
    let (_, id) = approved(&bench, true).await;
    assert!(reword(&bench, id, "ข่าวใหม่").await);
    post::decide(&bench.db, &person(4), id, true, None, None).await.unwrap().unwrap();
    assert_eq!(post::enqueue(&bench.db, &stamp(5), 1).await.unwrap(), [id]);
    assert_eq!(bench.claim("page", 100).await.text, "ข่าวใหม่");
}

async fn an_origin_goes_to_one_x_account(bench: Bench) {
    let first = Draft { origin: "article:1".into(), ..bench.draft("profile", Lane::Normal, 0) };
    bench.post(&first).await.unwrap();
    let mut tx = bench.db.begin().await.unwrap();
    assert!(post::has_x_post(&mut tx, "article:1", "second-profile").await.unwrap());
    assert!(!post::has_x_post(&mut tx, "article:1", "profile").await.unwrap());
    assert!(!post::has_x_post(&mut tx, "article:2", "second-profile").await.unwrap());
}

async fn a_digest_belongs_to_each_of_its_articles(bench: Bench) {
    let (one, two) = (bench.article("a", "หนึ่ง").await, bench.article("b", "สอง").await);
    let digest = Draft { digest: vec![two.id, one.id], ..bench.draft("line", Lane::Normal, 0) };
    let id = bench.post(&digest).await.unwrap();
    for article in [one, two] {
        let posts = post::list_of_article(&bench.db, article.id).await.unwrap();
        assert_eq!(posts.iter().map(|post| post.id).collect::<Vec<_>>(), [id]);
    }
}
