//! Posting: what a newsroom's feed becomes on Facebook, X and LINE, and what must never get there.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;
use songkhao::model::account::Platform;
use songkhao::model::lane::Lane;
use songkhao::model::transition::Event;
use songkhao::sandbox::fault::Fault;
use songkhao::sandbox::fault::Kind;
use songkhao::store::account;
use songkhao::store::audit;
use songkhao::store::hold;
use wiremock::ResponseTemplate;

use crate::app::App;
use crate::app::POLL;
use crate::app::Plan;
use crate::app::run_until_idle;
use crate::cluster;
use crate::site::Item;
use crate::site::item;
use crate::site::rss;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Every post on every account went out.
const DELIVERED: [&str; 3] = ["line delivered", "page delivered", "profile delivered"];

/// A story as a Thai site writes it, chrome and follow-us footer included.
fn story() -> Item {
    Item {
        body: "<p>เชียงใหม่ – ผู้ว่าราชการจังหวัดเชียงใหม่สั่งอพยพชาวบ้าน 1,250 ครัวเรือนริมแม่น้ำปิง หลังระดับน้ำสูง 4.20 เมตรเมื่อเช้าวันนี้</p>\
               <p>“ขอให้ทุกคนออกจากพื้นที่ก่อน 18.00 น.” ผู้ว่าฯ กล่าวที่ศูนย์บัญชาการ อ.เมือง</p>\
               <p>กรมอุตุนิยมวิทยาคาดว่าฝนจะตกต่อเนื่องถึงวันพุธ และเตือนดินถล่มใน 5 อำเภอ</p>\
               <p>โรงเรียน 34 แห่งประกาศหยุดเรียนสองวัน</p>\
               <p>ติดตามเนื้อหาดีๆแบบนี้ได้ที่ Facebook : สายธาร</p>"
            .to_owned(),
        categories: vec!["ภูมิภาค".into(), "น้ำท่วม".into()],
        picture: Some("https://saithan.co.th/wp-content/flood.jpg".into()),
        ..item("flood", "น้ำปิงล้นตลิ่ง เชียงใหม่สั่งอพยพ 1,250 ครัวเรือน")
    }
}

// The way through.

#[tokio::test]
async fn a_new_article_goes_to_three_platforms_as_these_exact_bytes() {
    let app = App::start(Plan::default()).await;
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, DELIVERED);
    for platform in Platform::ALL {
        let published = app.published(platform);
        let [post] = &published[..] else { panic!("{platform}: {published:?}") };
        assert_eq!(post.links, ["https://saithan.co.th/news/flood"]);
        assert!(!post.body.contains("ติดตามเนื้อหาดีๆ"), "{}", post.body);
        insta::assert_snapshot!(format!("{platform}"), format!("{}\n\n───\n\n{}", post.text, post.body));
    }
}

#[tokio::test]
async fn what_was_posted_is_never_posted_again() {
    let mut app = App::start(Plan::default()).await;
    app.publish(&[story()]).await;
    app.poll().await;
    app.pass(HOUR).await;
    app.restart(Plan::default()).await;
    app.poll().await;
    assert_eq!(app.sandbox.published().len(), 3);
}

#[tokio::test]
async fn every_change_of_an_accepted_post_is_in_the_log() {
    let app = App::start(Plan::default()).await;
    app.publish(&[story()]).await;
    let article = app.article().await;
    let filter = audit::Filter { article: Some(article.id), ..audit::Filter::default() };
    let entries = audit::list(&app.context.db, &filter).await.unwrap();
    let actions: Vec<String> = entries
        .iter()
        .map(|entry| {
            serde_json::from_str::<Value>(&entry.entry).unwrap()["action"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        &actions[..6],
        // The site has no page for it, so the source's short text goes on.
        [
            "article.collected",
            "article.page_failed",
            "summary.made",
            "post.composed",
            "post.composed",
            "post.composed"
        ]
    );
    let mut deliveries = actions[6..].to_vec();
    deliveries.sort();
    let thrice = |action: &str| vec![action.to_owned(); 3];
    let expected =
        [thrice("delivery.delivered"), thrice("delivery.scheduled"), thrice("delivery.sending")].concat();
    assert_eq!(deliveries, expected);
}

#[tokio::test]
async fn a_link_with_a_thai_slug_goes_out_byte_for_byte() {
    let app = App::start(Plan::default()).await;
    let link = "https://saithan.co.th/ข่าว/น้ำท่วม-เชียงใหม่/?a=1&b=%e0%b8%81";
    app.publish(&[Item { link: Some(link.into()), ..story() }]).await;
    assert_eq!(app.states().await, DELIVERED);
    let facebook: Value = serde_json::from_str(&app.published(Platform::Facebook)[0].body).unwrap();
    assert_eq!(facebook["link"], link);
    assert!(app.published(Platform::Line)[0].links.iter().all(|line| line == link || line.is_ascii()));
    // X ends an address at the first Thai letter, so there it is escaped; it leads to the same page.
    let on_x = &app.published(Platform::X)[0].links[0];
    assert_eq!(url::Url::parse(on_x).unwrap(), url::Url::parse(link).unwrap());
    assert_eq!(app.line("page").await.article_url.as_deref(), Some(link));
}

// Which articles are news.

#[tokio::test]
async fn of_the_first_answer_only_backfill_is_posted() {
    let app = App::start_unread(Plan { source: "backfill = 1", ..Plan::default() }).await;
    let old = |name: &str, hours: i64| {
        let published = item(name, name).published.map(|at| at - TimeDelta::hours(hours));
        Item { published, ..item(name, &format!("ข่าว {name}")) }
    };
    app.site.show("inn", &[old("c", 3), old("a", 1), old("b", 2)]);
    app.run_until_idle().await;
    assert_eq!(app.texts(Platform::Facebook).len(), 1);
    assert!(app.texts(Platform::Facebook)[0].starts_with("ข่าว a"));
    app.publish(&[old("d", 0), old("c", 3), old("a", 1), old("b", 2)]).await;
    assert_eq!(app.texts(Platform::Facebook).len(), 2, "what was seen stays unposted");
}

#[tokio::test]
async fn an_empty_first_answer_is_a_first_answer() {
    let app = App::start_unread(Plan::default()).await;
    app.site.show("inn", &[]);
    app.run_until_idle().await;
    assert_eq!(app.source_error("inn").await.as_deref(), Some("there are no articles in it"));
    app.publish(&[story()]).await;
    assert_eq!(app.source_error("inn").await, None);
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn a_first_answer_that_can_not_be_read_is_none() {
    let app = App::start_unread(Plan::default()).await;
    app.site.answer("inn", ResponseTemplate::new(500));
    app.run_until_idle().await;
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, Vec::<String>::new());
    assert!(app.article().await.reason.unwrap().starts_with("backlog"));
}

#[tokio::test]
async fn an_article_older_than_max_age_is_only_seen() {
    let app = App::start(Plan::default()).await;
    let published = story().published.map(|at| at - TimeDelta::hours(25));
    app.publish(&[Item { published, ..story() }]).await;
    assert_eq!(app.states().await, Vec::<String>::new());
    let article = app.article().await;
    assert_eq!(article.state, "seen");
    assert!(article.reason.unwrap().starts_with("too_old"));
}

#[tokio::test]
async fn a_flood_goes_to_review() {
    let app = App::start(Plan { source: "flood_limit = 2", ..Plan::default() }).await;
    app.publish(&[item("a", "ข่าวหนึ่ง"), item("b", "ข่าวสอง"), item("c", "ข่าวสาม")]).await;
    let lines = app.lines().await;
    assert_eq!(lines.len(), 9);
    for line in &lines {
        assert_eq!(
            (line.state.as_str(), line.reason.as_deref(), &line.delivery),
            ("review", Some("flood"), &None)
        );
    }
    app.publish(&[item("d", "ข่าวสี่"), item("a", "ข่าวหนึ่ง")]).await;
    assert_eq!(app.texts(Platform::Facebook).len(), 1, "one more is no flood");
    app.approve(&lines[0].post).await;
    app.run_until_idle().await;
    assert_eq!(app.sandbox.published().len(), 4);
}

#[tokio::test]
async fn a_near_duplicate_goes_to_review() {
    let app = App::start(Plan::default()).await;
    app.publish(&[story()]).await;
    let again = item("flood-2", "น้ำปิงล้นตลิ่ง เชียงใหม่สั่งอพยพ ๑,๒๕๐ ครัวเรือน");
    app.publish(&[again, story()]).await;
    assert_eq!(app.sandbox.published().len(), 3);
    let waiting: Vec<_> = app.lines().await.into_iter().filter(|line| line.state == "review").collect();
    assert_eq!(waiting.len(), 3);
    assert!(waiting[0].reason.as_deref().unwrap().starts_with("near_duplicate"));
}

#[tokio::test]
async fn a_near_duplicate_is_posted_where_nobody_minds() {
    let off = Plan { source: "near_duplicates = 'off'", ..Plan::default() };
    let never = Plan {
        routes: "[[route]]\nname = 'all'\nsources = ['inn']\naccounts = ['page', 'profile', 'line']\nreview = 'never'\n",
        ..Plan::default()
    };
    for plan in [off, never] {
        let app = App::start(plan).await;
        app.publish(&[story()]).await;
        app.publish(&[
            Item {
                body: "<p>อีกมุมหนึ่ง</p>".into(), ..item("flood-2", &story().title.unwrap())
            },
            story(),
        ])
        .await;
        assert_eq!(app.sandbox.published().len(), 6);
    }
}

#[tokio::test]
async fn an_article_under_a_new_guid_or_link_is_the_same_article() {
    let app = App::start(Plan::default()).await;
    app.publish(&[story()]).await;
    app.publish(&[Item { guid: Some("another".into()), ..story() }]).await;
    app.publish(&[Item {
        link: Some("http://www.saithan.co.th/new-slug/?utm_source=rss".into()),
        ..story()
    }])
    .await;
    app.publish(&[Item { guid: None, link: Some("https://saithan.co.th/new-slug".into()), ..story() }]).await;
    assert_eq!(app.sandbox.published().len(), 3);
}

// Which accounts, when.

#[tokio::test]
async fn categories_choose_the_route() {
    let routes = "[[route]]\nname = 'crime'\nsources = ['inn']\ncategories = ['อาชญากรรม']\naccounts = ['page']\n\
                  [[route]]\nname = 'sport'\nsources = ['inn']\ncategories = ['กีฬา ', 'บอล']\naccounts = ['profile']\n";
    let app = App::start(Plan { routes, ..Plan::default() }).await;
    let within = |name: &str, category: &str| Item {
        categories: vec!["ทั่วไป".into(), category.into()],
        ..item(name, &format!("ข่าว {name}"))
    };
    app.publish(&[within("a", "อาชญากรรม"), within("b", "กีฬา"), within("c", "บันเทิง")]).await;
    assert_eq!(app.states().await, ["page delivered", "profile delivered"]);
    assert!(app.texts(Platform::Facebook)[0].starts_with("ข่าว a"));
    assert!(app.texts(Platform::X)[0].starts_with("ข่าว b"));
    let articles = songkhao::store::article::list_newest(&app.context.db, 9).await.unwrap();
    let third = articles.iter().find(|article| article.content.title == "ข่าว c").unwrap();
    assert_eq!(third.reason.as_deref(), Some("no route takes it"));
}

#[tokio::test]
async fn two_routes_to_one_account_make_one_post() {
    let routes = "[[route]]\nname = 'first'\nsources = ['inn']\naccounts = ['page']\ntemplate = { facebook = 'หนึ่ง {{ headline }}' }\n\
                  [[route]]\nname = 'second'\nsources = ['inn']\naccounts = ['page', 'line']\ntemplate = { facebook = 'สอง {{ headline }}' }\n";
    let app = App::start(Plan { routes, ..Plan::default() }).await;
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, ["line delivered", "page delivered"]);
    assert!(app.texts(Platform::Facebook)[0].starts_with("หนึ่ง "), "the first route in the file words it");
}

#[tokio::test]
async fn two_sources_with_one_article_make_one_post() {
    let more = "[[source]]\nname = 'top'\nurl = '{site}/feed/top'\npoll = '2m'\nsettle = '0s'\n\
                [[route]]\nname = 'top'\nsources = ['top']\naccounts = ['page', 'line']\n";
    let routes = "[[route]]\nname = 'all'\nsources = ['inn']\naccounts = ['page']\n";
    let app = App::start_unread(Plan { routes, more, ..Plan::default() }).await;
    app.site.show("inn", &[]);
    app.site.show("top", &[]);
    app.run_until_idle().await;
    app.publish(&[story()]).await;
    app.site.show("top", &[Item { title: Some("หัวข้อของหน้าแรก".into()), ..story() }]);
    app.poll().await;
    app.poll().await;
    assert_eq!(app.states().await, ["line delivered", "page delivered"]);
}

#[tokio::test]
async fn an_article_goes_to_one_x_account() {
    let more = "[[account]]\nname = 'second-profile'\nplatform = 'x'\nmin_gap = '0s'\nbase_url = '{base}/x'\n\
                oauth1 = { consumer_key = { env = 'SECRET' }, consumer_secret = { env = 'SECRET' }, access_token = { env = 'SECRET' }, access_token_secret = { env = 'SECRET' } }\n";
    let routes = "[[route]]\nname = 'crime'\nsources = ['inn']\ncategories = ['อาชญากรรม']\naccounts = ['profile', 'page']\n\
                  [[route]]\nname = 'sport'\nsources = ['inn']\ncategories = ['กีฬา']\naccounts = ['second-profile']\n";
    let app = App::start(Plan { routes, more, ..Plan::default() }).await;
    app.publish(&[Item {
        categories: vec!["กีฬา".into(), "อาชญากรรม".into()], ..story()
    }])
    .await;
    assert_eq!(app.states().await, ["page delivered", "profile delivered"]);
    let reason = app.article().await.reason.unwrap();
    assert_eq!(reason, "second-profile: another X account has this article");
}

const DIGEST: &str = "[[route]]\nname = 'digest'\nsources = ['inn', 'top']\naccounts = ['line']\ndigest = 2\nwhen = { cron = '0 12 * * *' }\n";
const TOP: &str = "[[source]]\nname = 'top'\nurl = '{site}/feed/top'\npoll = '2m'\nsettle = '0s'\n";

#[tokio::test]
async fn a_digest_fires_once_with_the_newest() {
    let app = App::start_unread(Plan { routes: DIGEST, more: TOP, ..Plan::default() }).await;
    app.site.show("inn", &[]);
    app.site.show("top", &[]);
    app.run_until_idle().await;
    let aged = |name: &str, minutes: i64| {
        let published = item(name, name).published.map(|at| at - TimeDelta::minutes(minutes));
        Item { published, ..item(name, &format!("ข่าว {name}")) }
    };
    app.publish(&[aged("c", 30), aged("a", 10), aged("b", 20)]).await;
    app.pass(HOUR).await;
    assert_eq!(app.sandbox.published(), [], "it is eleven o'clock");
    app.pass(HOUR).await;
    let published = app.published(Platform::Line);
    let [post] = &published[..] else { panic!("{published:?}") };
    assert_eq!(post.links, ["https://saithan.co.th/news/a", "https://saithan.co.th/news/b"]);
    let body: Value = serde_json::from_str(&post.body).unwrap();
    assert_eq!(body["messages"][0]["contents"]["type"], "carousel");
    assert_eq!(app.line("line").await.article_url, None);
    // A second source shows what was in the digest, and what it passed over.
    app.site.show("top", &[aged("a", 10), aged("c", 30)]);
    app.poll().await;
    app.pass(24 * HOUR).await;
    assert_eq!(app.published(Platform::Line).len(), 1, "nothing new: no digest");
    let published = Some(app.clock.now());
    app.site.show("inn", &[Item { published, ..item("d", "ข่าว d") }]);
    app.poll().await;
    app.pass(24 * HOUR).await;
    assert_eq!(app.published(Platform::Line)[1].links, ["https://saithan.co.th/news/d"]);
}

#[tokio::test]
async fn an_embargo_holds_until_its_hour() {
    let routes =
        "[[route]]\nname = 'noon'\nsources = ['inn']\naccounts = ['page']\nwhen = { cron = '0 12 * * *' }\n";
    let app = App::start(Plan { routes, ..Plan::default() }).await;
    app.publish(&[story()]).await;
    let line = app.line("page").await;
    assert_eq!((line.state.as_str(), line.due), ("scheduled", "2026-11-22T12:00:00+07:00".parse().unwrap()));
    assert_eq!(line.good_until, Some(line.due + TimeDelta::hours(6)));
    app.pass(HOUR).await;
    assert_eq!(app.sandbox.published(), []);
    app.pass(HOUR).await;
    assert_eq!(app.states().await, ["page delivered"]);
}

#[tokio::test]
async fn a_quiet_hour_keeps_all_but_breaking_news() {
    let routes = "[[route]]\nname = 'breaking'\nsources = ['inn']\ncategories = ['ด่วน']\naccounts = ['page']\nlane = 'breaking'\n\
                  [[route]]\nname = 'all'\nsources = ['inn']\naccounts = ['page']\n";
    let app = App::start(Plan { routes, page: "quiet_hours = ['09:00-11:00']", ..Plan::default() }).await;
    let urgent = Item {
        categories: vec!["ด่วน".into()], ..item("quake", "แผ่นดินไหวเชียงราย")
    };
    app.publish(&[story(), urgent]).await;
    assert_eq!(app.texts(Platform::Facebook).len(), 1);
    assert!(app.texts(Platform::Facebook)[0].starts_with("แผ่นดินไหว"));
    app.pass(HOUR).await;
    assert_eq!(app.states().await, ["page delivered", "page delivered"]);
}

#[tokio::test]
async fn posts_of_one_account_keep_their_distance() {
    let app = App::start(Plan { page: "min_gap = '90s'", ..Plan::default() }).await;
    app.publish(&[item("a", "ข่าวหนึ่ง"), item("b", "ข่าวสอง")]).await;
    assert_eq!((app.published(Platform::Facebook).len(), app.published(Platform::X).len()), (1, 2));
    app.pass(89 * SECOND).await;
    assert_eq!(app.published(Platform::Facebook).len(), 1);
    app.pass(SECOND).await;
    assert_eq!(app.published(Platform::Facebook).len(), 2);
}

#[tokio::test]
async fn breaking_news_neither_settles_nor_waits() {
    let routes = "[[route]]\nname = 'breaking'\nsources = ['inn']\ncategories = ['ด่วน']\naccounts = ['page']\nlane = 'breaking'\n\
                  [[route]]\nname = 'all'\nsources = ['inn']\naccounts = ['page']\n";
    let plan =
        Plan { routes, source: "settle = '90s'\npoll = '30s'", page: "min_gap = '10m'", ..Plan::default() };
    let app = App::start(plan).await;
    app.publish(&[story()]).await;
    app.pass(2 * MINUTE).await;
    assert_eq!(app.published(Platform::Facebook).len(), 1);
    let urgent = Item {
        categories: vec!["ด่วน".into()], ..item("quake", "แผ่นดินไหวเชียงราย")
    };
    app.publish(&[urgent, item("later", "ข่าวถัดไป"), story()]).await;
    let texts = app.texts(Platform::Facebook);
    assert_eq!(texts.len(), 2);
    assert!(texts[1].starts_with("แผ่นดินไหว"));
}

#[tokio::test]
async fn a_shadow_account_shows_everything_and_sends_nothing() {
    let app = App::start(Plan { page: "mode = 'shadow'", ..Plan::default() }).await;
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, ["line delivered", "page cancelled", "profile delivered"]);
    let line = app.line("page").await;
    assert_eq!((line.reason.as_deref(), line.attempts), (Some("shadow"), 0));
    assert!(line.text.starts_with("น้ำปิงล้นตลิ่ง"));
    assert_eq!(app.published(Platform::Facebook), []);
}

#[tokio::test]
async fn what_is_past_its_good_until_is_not_sent() {
    let app = App::start(Plan::default()).await;
    app.sandbox.arm(Fault::once(Platform::Facebook, Kind::Unauthorized).forever());
    app.publish(&[story()]).await;
    app.pass(5 * HOUR).await;
    assert_eq!(app.line("page").await.state, "scheduled");
    app.sandbox.clear_faults();
    app.pass(2 * HOUR).await;
    app.pass(HOUR).await;
    let line = app.line("page").await;
    assert_eq!((line.state.as_str(), app.published(Platform::Facebook).len()), ("expired", 0));
}

// People.

#[tokio::test]
async fn a_hold_stops_what_comes_due_and_lifting_it_sends_nothing() {
    let app = App::start(Plan::default()).await;
    hold::set(&app.context.db, &app.person(), "ไว้อาลัย", &[Lane::Normal], &["page".into()]).await.unwrap();
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, ["line delivered", "page held", "profile delivered"]);
    hold::lift_all(&app.context.db, &app.person()).await.unwrap();
    app.pass(HOUR).await;
    let held = app.line("page").await;
    assert_eq!(held.state, "held");
    app.apply(&held.delivery.unwrap(), Event::Retried).await;
    app.run_until_idle().await;
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn a_route_that_is_always_reviewed_waits_for_a_person() {
    let routes =
        "[[route]]\nname = 'all'\nsources = ['inn']\naccounts = ['page', 'line']\nreview = 'always'\n";
    let app = App::start(Plan { routes, ..Plan::default() }).await;
    app.publish(&[story()]).await;
    app.pass(HOUR).await;
    assert_eq!(app.states().await, ["line review", "page review"]);
    let line = app.line("page").await;
    assert_eq!(line.reason.as_deref(), Some("review_always"));
    app.approve(&line.post).await;
    app.run_until_idle().await;
    assert_eq!(app.states().await, ["line review", "page delivered"]);
    assert_eq!(app.line("page").await.text, line.text);
}

#[tokio::test]
async fn what_an_editor_posted_by_hand_is_not_posted_again() {
    let mut app = App::start(Plan::default()).await;
    app.repeats_allowed = true;
    let by_hand = app.post_by_hand("https://saithan.co.th/news/flood?utm_source=line").await;
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, ["line delivered", "page cancelled", "profile delivered"]);
    let reason = app.line("page").await.reason.unwrap();
    assert!(reason.starts_with("already there: ") && reason.contains(&by_hand), "{reason}");
    assert_eq!(app.published(Platform::Facebook).len(), 1);
}

#[tokio::test]
async fn a_look_before_publishing_that_fails_does_not_block() {
    let app = App::start(Plan::default()).await;
    app.sandbox
        .arm(Fault::once(Platform::Facebook, Kind::Error500).on(songkhao::sandbox::fault::Scope::Read));
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn what_waits_for_an_account_that_was_removed_is_called_off() {
    let mut app = App::start(Plan { profile: "quiet_hours = ['00:00-23:59']", ..Plan::default() }).await;
    app.publish(&[story()]).await;
    assert_eq!(app.line("profile").await.state, "scheduled");
    let renamed = "[[account]]\nname = 'new-profile'\nplatform = 'x'\nmin_gap = '0s'\nbase_url = '{base}/x'\n\
                   oauth1 = { consumer_key = { env = 'SECRET' }, consumer_secret = { env = 'SECRET' }, access_token = { env = 'SECRET' }, access_token_secret = { env = 'SECRET' } }\n";
    let routes =
        "[[route]]\nname = 'all-news'\nsources = ['inn']\naccounts = ['page', 'new-profile', 'line']\n";
    app.restart(Plan { more: renamed, routes, without_profile: true, ..Plan::default() }).await;
    app.pass(HOUR).await;
    let line = app.line("profile").await;
    assert_eq!(line.state, "cancelled");
    assert_eq!(line.reason.as_deref(), Some("the account was removed from the configuration"));
    assert_eq!(app.published(Platform::X), []);
}

// Platforms in trouble.

#[tokio::test]
async fn a_refused_credential_pauses_the_account_until_a_check_is_good() {
    let app = App::start(Plan::default()).await;
    app.sandbox.arm(
        Fault::once(Platform::Facebook, Kind::Unauthorized)
            .on(songkhao::sandbox::fault::Scope::Any)
            .forever(),
    );
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, ["line delivered", "page scheduled", "profile delivered"]);
    assert_eq!(app.pause("page").await.as_deref(), Some("auth"));
    app.pass(10 * MINUTE).await;
    assert_eq!(app.line("page").await.attempts, 1, "a refused credential burns no posts");
    app.sandbox.clear_faults();
    app.check_account("page").await;
    app.run_until_idle().await;
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn a_paused_account_probes_itself() {
    let app = App::start(Plan::default()).await;
    app.sandbox.arm(Fault::once(Platform::X, Kind::Unauthorized));
    app.publish(&[story()]).await;
    assert_eq!(app.pause("profile").await.as_deref(), Some("auth"));
    app.pass(59 * SECOND).await;
    assert_eq!(app.pause("profile").await.as_deref(), Some("auth"));
    app.pass(SECOND).await;
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn a_throttled_account_waits_as_long_as_it_is_asked_to() {
    let app = App::start(Plan::default()).await;
    // The sandbox's X names the second in which the next window opens: three from now.
    app.sandbox.arm(Fault::once(Platform::X, Kind::Error429));
    app.publish(&[story(), item("b", "ข่าวสอง")]).await;
    assert_eq!(app.pause("profile").await.as_deref(), Some("throttle"));
    assert_eq!(app.published(Platform::X), []);
    app.pass(2 * SECOND).await;
    assert_eq!(app.published(Platform::X), []);
    app.pass(3 * SECOND).await;
    assert_eq!(app.published(Platform::X).len(), 2);
    assert_eq!(app.pause("profile").await, None);
}

#[tokio::test]
async fn a_spent_line_month_pauses_the_account_and_loses_nothing() {
    let app = App::start(Plan { limits: true, ..Plan::default() }).await;
    app.sandbox.set_line_plan(500, Some(400));
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, ["line scheduled", "page delivered", "profile delivered"]);
    assert_eq!(app.pause("line").await.as_deref(), Some("quota"));
    for _ in 0..120 {
        app.pass(MINUTE).await;
    }
    // Each try costs an attempt, and no probe can tell: two hours must not mean a hundred tries.
    let attempts = app.line("line").await.attempts;
    assert!((2..16).contains(&attempts), "{attempts} attempts in two hours");
    app.sandbox.set_line_plan(500, Some(1_000));
    app.pass(16 * MINUTE).await;
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn an_outage_of_hours_loses_nothing() {
    let app = App::start(Plan::default()).await;
    for platform in Platform::ALL {
        app.sandbox.arm(Fault::once(platform, Kind::Error429).forever());
    }
    app.publish(&[story()]).await;
    for _ in 0..12 {
        app.pass(15 * MINUTE).await;
    }
    assert_eq!(app.sandbox.published(), []);
    app.sandbox.clear_faults();
    app.pass(HOUR).await;
    app.pass(SECOND).await;
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_read_back_and_not_sent_again() {
    for kind in [Kind::AcceptThenDrop, Kind::AcceptThen500, Kind::AcceptThenGarbage200, Kind::WithoutId] {
        let app = App::start(Plan::default()).await;
        for platform in Platform::ALL {
            app.sandbox.set_duplicate_filter(platform, false);
            app.sandbox.arm(Fault::once(platform, kind));
        }
        app.publish(&[story()]).await;
        assert_eq!(app.line("page").await.state, "unconfirmed", "{kind:?}");
        for _ in 0..4 {
            app.pass(MINUTE).await;
        }
        assert_eq!(app.states().await, DELIVERED, "{kind:?}");
        assert_eq!(app.line("page").await.attempts, 1, "{kind:?}");
        assert_eq!(app.sandbox.published().len(), 3, "{kind:?}");
    }
}

#[tokio::test]
async fn what_reading_back_proves_absent_is_sent_once_more() {
    let app = App::start(Plan::default()).await;
    for platform in [Platform::Facebook, Platform::X] {
        app.sandbox.arm(Fault::once(platform, Kind::Error500));
    }
    app.publish(&[story()]).await;
    assert_eq!(app.states().await, ["line delivered", "page unconfirmed", "profile unconfirmed"]);
    for _ in 0..5 {
        app.pass(MINUTE).await;
    }
    assert_eq!(app.states().await, DELIVERED);
    assert_eq!(app.line("page").await.attempts, 2);
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_send_is_settled_by_reading_back() {
    let plan = Plan { page: "quiet_hours = ['10:00-10:10']", ..Plan::default() };
    let mut app = App::start(plan.clone()).await;
    app.publish(&[story()]).await;
    let line = app.line("page").await;
    assert_eq!(line.state, "scheduled");
    app.crash_while_sending("page").await;
    app.restart(plan).await;
    assert_eq!(app.line("page").await.state, "unconfirmed");
    for _ in 0..4 {
        app.pass(MINUTE).await;
    }
    let settled = app.line("page").await;
    assert_eq!((settled.post, settled.state.as_str(), settled.attempts), (line.post, "delivered", 1));
    assert_eq!(app.published(Platform::Facebook).len(), 1);
}

// Several nodes.

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_postgresql_post_every_article_once() {
    let plan = Plan { database: Some(cluster::database_url()), ..Plan::default() };
    let app = App::start(plan.clone()).await;
    let other = app.another_node(plan).await;
    let items: Vec<Item> =
        (0..6).map(|number| item(&format!("n{number}"), &format!("ข่าวที่ {number}"))).collect();
    app.site.show("inn", &items);
    app.clock.advance(POLL);
    tokio::join!(run_until_idle(&app.context), run_until_idle(&other));
    // Whoever found an account taken came to nothing; what is left goes now.
    tokio::join!(run_until_idle(&app.context), run_until_idle(&other));
    app.run_until_idle().await;
    for platform in Platform::ALL {
        assert_eq!(app.published(platform).len(), 6, "{platform}");
    }
    assert_eq!(app.states().await.len(), 18);
}

// Bad input.

#[tokio::test]
async fn an_article_without_a_title_gets_one_and_a_person_looks() {
    let app = App::start(Plan::default()).await;
    app.publish(&[Item { title: None, ..story() }]).await;
    let line = app.line("page").await;
    assert_eq!(line.state, "review");
    assert!(line.reason.unwrap().starts_with("no_headline"));
    assert!(line.text.starts_with("เชียงใหม่"), "{}", line.text);
}

#[tokio::test]
async fn an_article_without_a_link_goes_to_review() {
    let app = App::start(Plan::default()).await;
    app.publish(&[Item { link: None, ..story() }]).await;
    let line = app.line("page").await;
    assert_eq!((line.state.as_str(), line.article_url), ("review", None));
    assert!(line.reason.unwrap().starts_with("no_link"));
    app.approve(&line.post).await;
    app.run_until_idle().await;
    assert_eq!(app.published(Platform::Facebook)[0].links, Vec::<String>::new());
}

#[tokio::test]
async fn an_article_without_a_date_is_news() {
    let app = App::start(Plan::default()).await;
    app.publish(&[Item { published: None, ..story() }]).await;
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn a_link_that_the_guard_refuses_goes_to_review() {
    for link in [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:8080/admin",
        "http://10.0.0.7/",
        "http://user:pass@saithan.co.th/",
        "javascript:alert(1)",
        "ftp://saithan.co.th/a",
    ] {
        let app = App::start(Plan::default()).await;
        app.publish(&[Item { link: Some(link.into()), ..story() }]).await;
        for line in app.lines().await {
            assert_eq!(line.state, "review", "{link}: {line:?}");
        }
        assert_eq!(app.sandbox.published(), [], "{link}");
        assert_eq!(app.article().await.reason, None, "{link}");
    }
}

#[tokio::test]
async fn a_picture_that_the_guard_refuses_is_left_out() {
    for picture in ["https://127.0.0.1/a.jpg", "https://169.254.169.254/a.jpg", "http://saithan.co.th/a.jpg"]
    {
        let app = App::start(Plan::default()).await;
        app.publish(&[Item { picture: Some(picture.into()), ..story() }]).await;
        assert_eq!(app.states().await, DELIVERED, "{picture}");
        for post in app.sandbox.published() {
            assert!(!post.body.contains("a.jpg"), "{picture}: {}", post.body);
        }
    }
    let app = App::start(Plan::default()).await;
    app.publish(&[story()]).await;
    assert!(app.published(Platform::Line)[0].body.contains("https://saithan.co.th/wp-content/flood.jpg"));
}

#[tokio::test]
async fn a_hostile_title_is_only_text() {
    let long = "ข่าวยาวมาก ".repeat(500);
    for (title, never) in [
        ("<script>alert(1)</script>น้ำท่วม<img src=x onerror=alert(1)>", &["<script", "<img", "onerror"][..]),
        ("{{ 7 * 7 }}{{7*7}}{% for x in range(9) %}ข่าว{% endfor %}", &["49", "ข่าวข่าว"][..]),
        ("\u{202e}กลับหัว\u{2066}ซ่อน\u{200b}\u{feff}ตัว", &["\u{202e}", "\u{2066}", "\u{feff}"][..]),
        ("ข่าว\u{7f}\u{85}\u{9b}31mแดง\nบรรทัด\tสอง", &["\u{7f}", "\u{85}", "\u{9b}"][..]),
        ("\"},{\"type\":\"text\",\"text\":\"ปลอม\"}]}", &[][..]),
        ("&lt;b&gt;หนา&lt;/b&gt; &amp;amp; \\u003cscript\\u003e \\\"", &["<b>", "<script"][..]),
        (&long, &[][..]),
    ] {
        let app = App::start(Plan::default()).await;
        app.publish(&[Item { title: Some(title.to_owned()), ..story() }]).await;
        let published = app.sandbox.published();
        assert_eq!(published.len(), 3, "{title:?}: {:?}", app.lines().await);
        for post in published {
            let body: Value = serde_json::from_str(&post.body).unwrap();
            for word in never {
                assert!(!post.text.contains(word), "{title:?} on {}: {:?}", post.platform, post.text);
                assert!(!texts_of(&body).concat().contains(word), "{title:?} on {}: {body}", post.platform);
            }
            assert_eq!(post.links, ["https://saithan.co.th/news/flood"], "{title:?} on {}", post.platform);
            let headline = post.text.lines().next().unwrap();
            assert!(headline.chars().count() <= 500, "{title:?} on {}", post.platform);
            if let Some(messages) = body["messages"].as_array() {
                assert_eq!(messages.len(), 1);
            }
        }
    }
}

/// Every string in a JSON value.
fn texts_of(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts_of).collect(),
        Value::Object(fields) => fields.values().flat_map(texts_of).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_source_that_can_not_be_read_is_remembered_and_stops_nobody() {
    let raw =
        |body: &str, kind: &str| ResponseTemplate::new(200).set_body_raw(body.as_bytes().to_vec(), kind);
    for (answer, word) in [
        (raw("<html><body><h1>ปิดปรับปรุง</h1></body></html>", "text/html"), "web page"),
        (raw("", "application/rss+xml"), "empty"),
        (raw("{\"items\": ", "application/json"), ""),
        (raw("\u{0}\u{1}\u{2}", "application/rss+xml"), ""),
        (ResponseTemplate::new(500), "500"),
        (ResponseTemplate::new(403), "403"),
        (ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 20 << 20]), "more than 5242880 bytes"),
        (ResponseTemplate::new(302).insert_header("location", "http://169.254.169.254/"), "169.254.169.254"),
        (ResponseTemplate::new(302).insert_header("location", "/feed/bad"), "redirect"),
    ] {
        let more = "[[source]]\nname = 'bad'\nurl = '{site}/feed/bad'\npoll = '2m'\nsettle = '0s'\n";
        let routes = "[[route]]\nname = 'all'\nsources = ['inn', 'bad']\naccounts = ['page']\n";
        let app = App::start_unread(Plan { more, routes, ..Plan::default() }).await;
        app.site.show("inn", &[]);
        app.site.answer("bad", answer);
        app.run_until_idle().await;
        app.publish(&[story()]).await;
        assert_eq!(app.states().await, ["page delivered"], "{word}");
        let error = app.source_error("bad").await.unwrap_or_else(|| panic!("{word}: no error"));
        assert!(error.contains(word), "{word}: {error}");
        app.site.show("bad", &[item("old", "ข่าวเก่า")]);
        app.poll().await;
        assert_eq!(app.source_error("bad").await, None, "{word}");
    }
}

#[tokio::test]
async fn a_broken_feed_gives_what_can_be_saved() {
    let app = App::start(Plan::default()).await;
    let whole = rss(&[item("a", "ข่าวหนึ่ง"), item("b", "ข่าวสอง")]);
    let cut = whole.find("news/b").unwrap();
    let broken = whole[..cut].replace("ข่าวหนึ่ง", "ข่าวหนึ่ง & สอง");
    app.site.answer("inn", ResponseTemplate::new(200).set_body_raw(broken, "application/rss+xml"));
    app.poll().await;
    assert_eq!(app.texts(Platform::Facebook).len(), 1);
    assert!(app.source_error("inn").await.is_some(), "what was mended is told");
}

#[tokio::test]
async fn a_feed_that_did_not_change_costs_a_304() {
    let app = App::start(Plan::default()).await;
    let body = rss(&[story()]);
    let answer = ResponseTemplate::new(200).set_body_raw(body, "application/rss+xml");
    app.site.answer(
        "inn",
        answer
            .insert_header("etag", "W/\"a-1\"")
            .insert_header("last-modified", "Sun, 22 Nov 2026 03:00:00 GMT"),
    );
    app.poll().await;
    app.site.answer("inn", ResponseTemplate::new(304));
    app.poll().await;
    assert_eq!(
        app.last_conditions().await,
        ["if-none-match: W/\"a-1\"", "if-modified-since: Sun, 22 Nov 2026 03:00:00 GMT"]
    );
    assert_eq!(app.source_error("inn").await, None);
    // Now and then without conditions: a validator of one second may hide a second article.
    app.pass(46 * MINUTE).await;
    assert_eq!(app.last_conditions().await, Vec::<String>::new());
    assert_eq!(app.states().await, DELIVERED);
}

#[tokio::test]
async fn a_circuit_opens_on_a_platform_that_fails_and_closes_when_it_answers() {
    let app = App::start(Plan { source: "flood_limit = 0", ..Plan::default() }).await;
    app.sandbox.arm(Fault::once(Platform::Facebook, Kind::Error500).forever());
    let items: Vec<Item> =
        (0..8).map(|number| item(&format!("n{number}"), &format!("ข่าวที่ {number}"))).collect();
    app.publish(&items).await;
    assert_eq!(app.pause("page").await.as_deref(), Some("circuit"));
    let tried = app.lines().await.iter().filter(|line| line.account == "page" && line.attempts > 0).count();
    assert_eq!(tried, 5, "circuit_after");
    app.sandbox.clear_faults();
    for _ in 0..10 {
        app.pass(MINUTE).await;
    }
    assert_eq!(app.published(Platform::Facebook).len(), 8);
    let page = account::find(&app.context.db, "page").await.unwrap().unwrap();
    assert_eq!((page.pause, page.failures), (None, 0));
}
