//! Editing: what becomes of a post when its article changes before it is out.

use std::time::Duration;

use songkhao::model::account::Platform;

use crate::app::App;
use crate::app::Plan;
use crate::site::Item;
use crate::site::item;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

const NOON: &str =
    "[[route]]\nname = 'noon'\nsources = ['inn']\naccounts = ['page']\nwhen = { cron = '0 12 * * *' }\n";
const REVIEWED_NOON: &str = "[[route]]\nname = 'noon'\nsources = ['inn']\naccounts = ['page']\nreview = 'always'\nwhen = { cron = '0 12 * * *' }\n";

fn first() -> Item {
    item("flood", "น้ำท่วม 3 อำเภอ")
}

fn edited() -> Item {
    item("flood", "น้ำท่วม 5 อำเภอ")
}

#[tokio::test]
async fn an_article_edited_before_it_settles_is_posted_in_its_new_wording() {
    let app = App::start(Plan { source: "settle = '90s'\npoll = '30s'", ..Plan::default() }).await;
    app.publish(&[first()]).await;
    app.site.show("inn", &[edited()]);
    app.pass(30 * SECOND).await;
    app.pass(89 * SECOND).await;
    assert_eq!(app.sandbox.published(), [], "the edit began the wait anew");
    app.pass(SECOND).await;
    let texts = app.texts(Platform::Facebook);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("น้ำท่วม 5 อำเภอ"), "{texts:?}");
}

#[tokio::test]
async fn an_article_that_is_edited_without_end_is_posted_all_the_same() {
    let app = App::start(Plan { source: "settle = '90s'\npoll = '30s'", ..Plan::default() }).await;
    app.publish(&[first()]).await;
    for number in 0..15 {
        app.site.show("inn", &[item("flood", &format!("น้ำท่วม รอบที่ {number}"))]);
        app.pass(30 * SECOND).await;
    }
    assert_eq!(app.texts(Platform::Facebook).len(), 1, "after five times settle");
}

#[tokio::test]
async fn an_edit_after_the_post_is_out_changes_nothing_by_itself() {
    let app = App::start(Plan::default()).await;
    app.publish(&[first()]).await;
    app.publish(&[edited()]).await;
    app.pass(HOUR).await;
    assert_eq!(app.sandbox.published().len(), 3);
    let article = app.article().await;
    assert_eq!((article.version, article.content.title.as_str()), (2, "น้ำท่วม 5 อำเภอ"));
}

#[tokio::test]
async fn a_scheduled_post_goes_out_as_the_article_stands_then() {
    let app = App::start(Plan { routes: NOON, ..Plan::default() }).await;
    app.publish(&[first()]).await;
    app.publish(&[edited()]).await;
    app.pass(2 * HOUR).await;
    let texts = app.texts(Platform::Facebook);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("น้ำท่วม 5 อำเภอ"), "{texts:?}");
}

#[tokio::test]
async fn an_edit_after_approval_sends_the_post_back_to_review() {
    let app = App::start(Plan { routes: REVIEWED_NOON, ..Plan::default() }).await;
    app.publish(&[first()]).await;
    let line = app.line("page").await;
    app.approve(&line.post).await;
    app.publish(&[edited()]).await;
    app.pass(2 * HOUR).await;
    let back = app.line("page").await;
    assert_eq!((back.state.as_str(), back.delivery), ("review", None));
    assert_eq!(back.reason.as_deref(), Some("the article changed after it was approved"));
    assert!(back.text.starts_with("น้ำท่วม 5 อำเภอ"));
    assert_eq!(app.sandbox.published(), []);
    app.approve(&back.post).await;
    app.run_until_idle().await;
    assert_eq!(app.texts(Platform::Facebook), [back.text]);
}

#[tokio::test]
async fn an_edit_that_readers_would_not_see_keeps_the_approval() {
    let app = App::start(Plan { routes: REVIEWED_NOON, ..Plan::default() }).await;
    app.publish(&[first()]).await;
    let line = app.line("page").await;
    app.approve(&line.post).await;
    app.publish(&[Item { published: None, categories: Vec::new(), ..first() }]).await;
    app.pass(2 * HOUR).await;
    assert_eq!(app.states().await, ["page delivered"]);
}

#[tokio::test]
async fn an_edit_that_brings_a_refused_link_sends_the_post_to_review() {
    let app = App::start(Plan { routes: NOON, ..Plan::default() }).await;
    app.publish(&[first()]).await;
    let link = Some("http://169.254.169.254/latest/".to_owned());
    app.publish(&[Item { link, ..edited() }]).await;
    app.pass(2 * HOUR).await;
    assert_eq!(app.sandbox.published(), []);
    let line = app.line("page").await;
    assert_eq!(line.state, "review");
    assert!(line.reason.unwrap().starts_with("link_refused"));
}

#[tokio::test]
async fn a_post_in_review_is_approved_as_it_was_shown_and_caught_when_stale() {
    let app = App::start(Plan { routes: REVIEWED_NOON, ..Plan::default() }).await;
    app.publish(&[first()]).await;
    app.publish(&[edited()]).await;
    let shown = app.line("page").await;
    app.approve(&shown.post).await;
    app.pass(2 * HOUR).await;
    for text in app.texts(Platform::Facebook) {
        assert!(text.starts_with("น้ำท่วม 5 อำเภอ"), "what is out of date never goes out: {text}");
    }
}

#[tokio::test]
async fn a_digest_shows_its_articles_as_they_stand_when_it_fires() {
    let routes = "[[route]]\nname = 'digest'\nsources = ['inn']\naccounts = ['line']\ndigest = 5\nwhen = { cron = '0 12 * * *' }\n";
    let app = App::start(Plan { routes, ..Plan::default() }).await;
    app.publish(&[first()]).await;
    app.publish(&[edited()]).await;
    app.pass(2 * HOUR).await;
    let texts = app.texts(Platform::Line);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("น้ำท่วม 5 อำเภอ") && !texts[0].contains("3 อำเภอ"), "{texts:?}");
}

#[tokio::test]
async fn another_sources_wording_is_no_edit() {
    let more = "[[source]]\nname = 'top'\nurl = '{site}/feed/top'\npoll = '2m'\nsettle = '0s'\n";
    let routes = "[[route]]\nname = 'noon'\nsources = ['inn', 'top']\naccounts = ['page']\nwhen = { cron = '0 12 * * *' }\n";
    let app = App::start_unread(Plan { routes, more, ..Plan::default() }).await;
    app.site.show("inn", &[]);
    app.site.show("top", &[]);
    app.run_until_idle().await;
    app.publish(&[first()]).await;
    app.site.show("top", &[edited()]);
    app.poll().await;
    app.pass(2 * HOUR).await;
    assert!(app.texts(Platform::Facebook)[0].starts_with("น้ำท่วม 3 อำเภอ"));
}
