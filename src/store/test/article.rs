//! Article: shows one story under any of its names, in versions.

use std::time::Duration;

use chrono::TimeDelta;

use crate::clock;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::model::article::aliases;
use crate::model::audit::Action;
use crate::model::summary::Summary;
use crate::store::article;
use crate::store::article::Arrival;
use crate::store::article::Article;
use crate::store::db::args;
use crate::store::page;
use crate::store::summary;
use crate::store::test::Bench;
use crate::store::test::arrival;
use crate::store::test::at;
use crate::store::test::eight_at_once;
use crate::store::test::entry;
use crate::store::test::on_both_engines;
use crate::store::test::stamp;

on_both_engines!(
    an_article_is_found_by_any_alias,
    eight_tasks_that_collect_one_article_make_one,
    two_nodes_that_collect_one_article_make_one,
    an_article_that_settled_is_next,
    an_edit_is_kept_as_a_version_and_waits_again,
    an_edit_after_the_summary_does_not_wait_again,
    a_backlog_article_is_only_seen,
    a_further_source_brings_an_article_back_to_compose,
    a_headline_that_came_before_is_known,
    a_summary_moves_its_article_on_once,
    a_summary_of_an_old_version_is_refused,
    arrivals_are_listed_newest_first,
    a_page_is_read_by_one_node,
    the_page_of_a_version_that_is_no_more_is_not_kept,
);

/// How long one node has for a page.
const LEASE: Duration = Duration::from_secs(60);

async fn wants_page(bench: &Bench) -> Article {
    let article = bench.article("a", "ข่าว").await;
    bench.tamper("UPDATE article SET page = 'wanted'", args![]).await;
    article
}

async fn a_page_is_read_by_one_node(bench: Bench) {
    let wanted = wants_page(&bench).await;
    let claimed = page::claim(&bench.db, at(10), LEASE).await.unwrap();
    assert_eq!(claimed.map(|claimed| claimed.id), Some(wanted.id));
    assert_eq!(page::claim(&bench.db, at(11), LEASE).await.unwrap(), None);
}

async fn the_page_of_a_version_that_is_no_more_is_not_kept(bench: Bench) {
    wants_page(&bench).await;
    let claimed = page::claim(&bench.db, at(10), LEASE).await.unwrap().unwrap();
    let content = Content { text: "จากหน้าเว็บ".into(), ..claimed.content.clone() };
    let stale = Article { version: claimed.version - 1, ..claimed.clone() };
    let add = async |known: &Article| {
        page::add(&bench.db, &stamp(20), known, &content, &[], "hash", None).await.unwrap()
    };
    assert!(!add(&stale).await);
    page::give_up(&bench.db, &stamp(20), &stale, "too late").await.unwrap();
    assert!(add(&claimed).await && !add(&claimed).await, "once");
    let actions = bench.actions().await;
    assert_eq!(
        (actions.get(Action::ArticleRead.name()), actions.get(Action::ArticleUnreadable.name())),
        (Some(&1), None)
    );
}

#[tokio::test]
async fn a_node_whose_clock_is_ahead_takes_no_page_from_another_on_postgresql() {
    let bench = Bench::postgres().await;
    wants_page(&bench).await;
    assert!(page::claim(&bench.db, clock::now(), LEASE).await.unwrap().is_some());
    let ahead = clock::now() + TimeDelta::hours(1);
    assert_eq!(page::claim(&bench.db, ahead, LEASE).await.unwrap(), None);
}

async fn an_article_is_found_by_any_alias(bench: Bench) {
    let first = Entry { guid: Some("https://news.example/?p=7".into()), ..entry("slug-a", "ข่าว") };
    let (id, is_new) = bench.collect(&bench.db, "inn", &first).await;
    assert!(is_new);
    let moved = Entry {
        guid: Some("https://news.example/?p=7".into()), ..entry("slug-b", "ข่าวใหม่")
    };
    let http = Entry {
        guid: None,
        content: Content { link: Some("http://www.news.example/slug-a/".into()), ..Content::default() },
    };
    assert_eq!(bench.collect(&bench.db, "inn", &moved).await, (id, false));
    assert_eq!(bench.collect(&bench.db, "other", &http).await, (id, false));
    // The slug that came with the second meeting is a name from now on.
    assert_eq!(bench.collect(&bench.db, "other", &entry("slug-b", "x")).await, (id, false));
    let named = aliases("", &entry("slug-b", ""));
    let listed = article::list_by_link(&bench.db, "https://news.example/slug-b", &named).await.unwrap();
    assert_eq!(listed.iter().map(|found| found.id).collect::<Vec<_>>(), [id]);
    assert_ne!(bench.collect(&bench.db, "inn", &entry("slug-c", "ข่าว")).await.0, id);
}

async fn eight_tasks_that_collect_one_article_make_one(bench: Bench) {
    let bench = std::sync::Arc::new(bench);
    let made = eight_at_once(|number| {
        let bench = bench.clone();
        async move { bench.collect(&bench.db, &format!("s{number}"), &entry("a", "ข่าว")).await }
    })
    .await;
    assert_eq!(made.iter().filter(|(_, is_new)| *is_new).count(), 1);
    assert!(made.iter().all(|(id, _)| *id == made[0].0), "{made:?}");
    assert_eq!(bench.actions().await["article.collected"], 1);
}

async fn two_nodes_that_collect_one_article_make_one(bench: Bench) {
    let other = bench.another_node().await;
    let news = entry("a", "ข่าว");
    let (one, two) = tokio::join!(bench.collect(&bench.db, "s1", &news), bench.collect(&other, "s2", &news));
    assert_eq!(one.0, two.0);
    assert!(one.1 ^ two.1);
}

async fn an_article_that_settled_is_next(bench: Bench) {
    let first = bench.article("a", "ข่าวหนึ่ง").await;
    bench.article("b", "ข่าวสอง").await;
    assert!(article::list_settled(&bench.db, at(59), 1).await.unwrap().is_empty());
    assert_eq!(article::list_settled(&bench.db, at(60), 1).await.unwrap(), [first]);
    assert_eq!(article::next_moment(&bench.db).await.unwrap(), Some(at(60)));
    assert_eq!(article::count_moving(&bench.db).await.unwrap(), 2);
}

async fn edit(bench: &Bench, known: &Article, title: &str, second: i64) -> Article {
    let mut tx = bench.db.begin().await.unwrap();
    let content = entry("a", title).content;
    article::change(&mut tx, &stamp(second), known, "inn", &content, "h2", at(second + 60)).await.unwrap();
    tx.commit().await.unwrap();
    article::find(&bench.db, known.id).await.unwrap().unwrap()
}

async fn an_edit_is_kept_as_a_version_and_waits_again(bench: Bench) {
    let known = bench.article("a", "ข่าว").await;
    let edited = edit(&bench, &known, "ข่าว (แก้ไข)", 30).await;
    assert_eq!((edited.version, edited.content.title.as_str()), (2, "ข่าว (แก้ไข)"));
    assert_ne!(edited.hash, known.hash);
    assert!(article::list_settled(&bench.db, at(89), 1).await.unwrap().is_empty());
    assert_eq!(article::list_settled(&bench.db, at(90), 8).await.unwrap().len(), 1);
    let old = bench.db.one("SELECT content FROM version WHERE number = 1", vec![]).await.unwrap().unwrap();
    assert_eq!(old.json::<Content>("content").unwrap(), known.content);
}

fn said(known: &Article) -> Summary {
    Summary {
        headline: known.content.title.clone(),
        units: Vec::new(),
        hashtags: vec!["#ข่าว".into()],
        category: None,
        picture: None,
        link: known.content.link.clone(),
    }
}

async fn summarize(bench: &Bench, known: &Article) -> bool {
    let mut tx = bench.db.begin().await.unwrap();
    let moved = summary::insert(&mut tx, &stamp(60), known, &said(known), "extract/1", &[]).await.unwrap();
    tx.commit().await.unwrap();
    moved
}

async fn an_edit_after_the_summary_does_not_wait_again(bench: Bench) {
    let known = bench.article("a", "ข่าว").await;
    assert!(summarize(&bench, &known).await);
    let edited = edit(&bench, &known, "ข่าวใหม่", 70).await;
    assert_eq!((edited.state.as_str(), edited.version), ("summarized", 2));
    assert_eq!(article::list_summarized(&bench.db, 8).await.unwrap(), [edited]);
}

async fn a_backlog_article_is_only_seen(bench: Bench) {
    let mut tx = bench.db.begin().await.unwrap();
    let seen = Arrival { only_seen: Some("backlog".into()), ..arrival(0) };
    let id = article::insert(&mut tx, &stamp(0), "inn", &entry("a", "ข่าว"), "h", &seen).await.unwrap();
    tx.commit().await.unwrap();
    let found = article::find(&bench.db, id).await.unwrap().unwrap();
    assert_eq!((found.state.as_str(), found.reason.as_deref()), ("seen", Some("backlog")));
    assert_eq!(found.sources, Vec::<String>::new());
    assert!(article::list_settled(&bench.db, at(9999), 1).await.unwrap().is_empty());
    assert_eq!(bench.actions().await["article.seen"], 1);
}

async fn a_further_source_brings_an_article_back_to_compose(bench: Bench) {
    let known = bench.article("a", "ข่าว").await;
    assert!(summarize(&bench, &known).await);
    let mut tx = bench.db.begin().await.unwrap();
    assert!(article::move_on(&mut tx, &known, "summarized", "composed").await.unwrap());
    article::add_source(&mut tx, &known, "other", at(80)).await.unwrap();
    tx.commit().await.unwrap();
    let again = article::list_summarized(&bench.db, 1).await.unwrap().remove(0);
    assert_eq!((again.id, again.sources), (known.id, vec!["inn".to_owned(), "other".to_owned()]));
}

async fn a_headline_that_came_before_is_known(bench: Bench) {
    bench.article("a", "“บิ๊กโจ๊ก” ลุย ๓ จังหวัด").await;
    let mut tx = bench.db.begin().await.unwrap();
    assert!(article::has_twin(&mut tx, "\"บิ๊กโจ๊ก\" ลุย 3 จังหวัด", at(-100)).await.unwrap());
    assert!(!article::has_twin(&mut tx, "\"บิ๊กโจ๊ก\" ลุย 3 จังหวัด", at(1)).await.unwrap());
    assert!(!article::has_twin(&mut tx, "บิ๊กตู่ ลุย 3 จังหวัด", at(-100)).await.unwrap());
}

async fn a_summary_moves_its_article_on_once(bench: Bench) {
    let known = bench.article("a", "ข่าว").await;
    let bench = std::sync::Arc::new(bench);
    let moved = eight_at_once(|_| {
        let (bench, known) = (bench.clone(), known.clone());
        async move { summarize(&bench, &known).await }
    })
    .await;
    assert_eq!(moved.iter().filter(|moved| **moved).count(), 1);
    assert_eq!(bench.actions().await["summary.made"], 1);
    assert_eq!(summary::find(&bench.db, known.id, 1).await.unwrap(), Some(said(&known)));
    assert_eq!(summary::find(&bench.db, known.id, 2).await.unwrap(), None);
}

async fn a_summary_of_an_old_version_is_refused(bench: Bench) {
    let known = bench.article("a", "ข่าว").await;
    let edited = edit(&bench, &known, "ข่าวใหม่", 30).await;
    assert!(!summarize(&bench, &known).await);
    assert!(summarize(&bench, &edited).await);
    let mut tx = bench.db.begin().await.unwrap();
    let newest = summary::find_newest_in(&mut tx, known.id).await.unwrap();
    assert_eq!(newest, Some((2, said(&edited))));
}

async fn arrivals_are_listed_newest_first(bench: Bench) {
    bench.article("a", "หนึ่ง").await;
    bench.article("b", "สอง").await;
    bench.collect(&bench.db, "other", &entry("c", "สาม")).await;
    assert_eq!(article::list_arrivals(&bench.db, "inn", 20).await.unwrap(), [at(0), at(0)]);
    assert_eq!(article::list_arrivals(&bench.db, "inn", 1).await.unwrap(), [at(0)]);
    let newest = article::list_newest(&bench.db, 2).await.unwrap();
    let titles: Vec<&str> = newest.iter().map(|article| article.content.title.as_str()).collect();
    assert_eq!(titles, ["สาม", "สอง"]);
}
