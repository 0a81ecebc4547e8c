//! Promotion: editors' own messages, from the command line to readers, and what must never reach them.

use std::fs;
use std::process::Output;
use std::time::Duration;
use std::time::Instant;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use encoding_rs::WINDOWS_874;
use serde_json::Value;
use serde_json::json;
use songkhao::clock;
use songkhao::model::account::Platform;
use songkhao::model::audit::Entry;
use songkhao::model::lane::Lane;
use songkhao::model::promotion::wish::Wish;
use songkhao::sandbox::fault::Fault;
use songkhao::sandbox::fault::Kind;
use songkhao::store::audit;
use songkhao::store::gap;
use songkhao::store::gap::Cause;
use songkhao::store::hold;
use songkhao::store::promotion;

use crate::app::App;
use crate::app::Plan;
use crate::app::run_until_idle;
use crate::arena::Arena;
use crate::arena::Node;
use crate::cluster;
use crate::site::item;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

// On a clock turned by hand: the app starts at 10:02.

fn wish(name: &str) -> Wish {
    Wish {
        name: name.into(),
        texts: vec![format!("ลดทั้งร้าน {name}"), format!("อย่าพลาด ลดทั้งร้าน {name}")],
        accounts: "page".into(),
        ..Wish::default()
    }
}

async fn add(app: &App, wish: Wish) {
    let tz = app.context.config.timezone;
    let promotion = wish.read(tz).unwrap();
    let mut tx = app.context.db.begin().await.unwrap();
    promotion::insert(&mut tx, &app.person(), &promotion, tz).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}

/// The moments for which a promotion fired, in Bangkok.
async fn fired(app: &App, name: &str) -> Vec<String> {
    let id = promotion::find(&app.context.db, name).await.unwrap().unwrap().id;
    let mut firings = promotion::list_firings(&app.context.db, id, 99).await.unwrap();
    firings.reverse();
    firings.iter().map(|it| (it.planned + TimeDelta::hours(7)).format("%d %H:%M").to_string()).collect()
}

/// What the log says of a promotion: action, and reason where there is one.
async fn told(app: &App, name: &str) -> Vec<String> {
    let entries = audit::list_of_object(&app.context.db, &format!("promotion {name}"), 99).await.unwrap();
    let line = |entry: &Entry| match entry.detail["reason"].as_str() {
        Some(reason) => format!("{}: {reason}", entry.action.name()),
        None => entry.action.name().to_owned(),
    };
    entries.iter().map(line).collect()
}

/// Passes time in steps, so that every planned moment is punctual.
async fn pass(app: &App, time: Duration, step: Duration) {
    for _ in 0..time.as_secs() / step.as_secs() {
        app.pass(step).await;
    }
}

#[tokio::test]
async fn a_promotion_goes_once_to_each_account_behind_the_news() {
    let app = App::start(Plan { page: "min_gap = '10m'", ..Plan::default() }).await;
    let once = Wish {
        accounts: "page,profile,line".into(),
        once: "2026-11-22T10:04".into(),
        link: "https://shop.example/sale".into(),
        label: "โฆษณา".into(),
        ..wish("a")
    };
    add(&app, once).await;
    app.publish(&[item("one", "ข่าวหนึ่ง"), item("two", "ข่าวสอง")]).await;
    pass(&app, HOUR, 2 * MINUTE).await;
    let page = app.texts(Platform::Facebook);
    assert_eq!(page.len(), 3);
    assert_eq!(page[2], "โฆษณา\nลดทั้งร้าน a", "news goes first");
    assert_eq!(app.texts(Platform::X).last().unwrap(), "โฆษณา\nลดทั้งร้าน a\n\nhttps://shop.example/sale");
    assert_eq!(app.texts(Platform::Line).iter().filter(|text| text.contains("ลดทั้งร้าน")).count(), 1);
    let line = app.lines().await.into_iter().find(|line| line.lane == "promotion").unwrap();
    assert_eq!((line.article, line.article_url), (None, None));
    assert_eq!(told(&app, "a").await, ["promotion.added", "promotion.fired"]);
}

#[tokio::test]
async fn caps_days_and_distance_hold_and_are_told_once() {
    let mut app = App::start(Plan::default()).await;
    app.repeats_allowed = true;
    // The 22nd is a Sunday, the 23rd a Monday.
    let busy = Wish {
        cron: "*/10 8-20 * * *".into(),
        days: "sun,tue".into(),
        per_day: "3".into(),
        in_all: "5".into(),
        distance: "45m".into(),
        texts: vec!["หนึ่ง".into(), "สอง".into()],
        ..wish("a")
    };
    add(&app, busy).await;
    pass(&app, 7 * HOUR, 2 * MINUTE).await;
    app.restart(Plan::default()).await;
    pass(&app, 53 * HOUR, 4 * MINUTE).await;
    assert_eq!(fired(&app, "a").await, ["22 10:10", "22 11:00", "22 11:50", "24 08:00", "24 08:50"]);
    assert_eq!(app.texts(Platform::Facebook), ["หนึ่ง", "สอง", "หนึ่ง", "สอง", "หนึ่ง"]);
    let told = told(&app, "a").await;
    let soon = "promotion.skipped: too soon after the last one: at least 45m";
    assert_eq!(
        told[..6],
        ["promotion.added", "promotion.fired", soon, "promotion.fired", soon, "promotion.fired"]
    );
    assert_eq!(
        told[6..],
        [
            soon,
            "promotion.skipped: it has gone out as often as it may on one day: 3",
            "promotion.fired",
            soon,
            "promotion.fired",
        ][1..]
    );
    assert_eq!(promotion::find(&app.context.db, "a").await.unwrap().unwrap().next_at, None, "five are out");
}

#[tokio::test]
async fn after_a_day_of_silence_one_goes_out_not_many() {
    let mut app = App::start(Plan::default()).await;
    app.repeats_allowed = true;
    add(&app, Wish { cron: "0 * * * *".into(), ..wish("once") }).await;
    add(&app, Wish { cron: "0 * * * *".into(), misfire: "skip".into(), ..wish("skip") }).await;
    add(&app, Wish { slots: "11:00".into(), good_for: "1h".into(), ..wish("stale") }).await;
    app.clock.advance(26 * HOUR);
    app.restart(Plan::default()).await;
    app.run_until_idle().await;
    assert_eq!(app.texts(Platform::Facebook), ["ลดทั้งร้าน once"]);
    let missed = |count: usize| format!("promotion.skipped: missed: {count} planned moments");
    assert_eq!(told(&app, "skip").await, ["promotion.added".to_owned(), missed(26)]);
    assert_eq!(told(&app, "stale").await, ["promotion.added".to_owned(), missed(2)]);
    // The late one is good until six hours after its time, not after now.
    let line = app.line("page").await;
    assert_eq!(line.good_until.unwrap(), "2026-11-23T18:00:00+07:00".parse::<DateTime<Utc>>().unwrap());
    app.pass(58 * MINUTE).await;
    assert_eq!(app.texts(Platform::Facebook).len(), 3, "and then all goes on as planned");
}

#[tokio::test]
async fn a_moment_that_the_database_forgot_waits_for_a_person() {
    let app = App::start(Plan::default()).await;
    add(&app, Wish { once: "2026-11-22T10:04".into(), ..wish("a") }).await;
    // The copy that was put back is from before the firing, and nobody knows whether it went out.
    app.clock.advance(10 * MINUTE);
    let since = Some(app.clock.now() - TimeDelta::minutes(9));
    gap::open(&app.context.db, &app.person(), Cause::Restored, since, json!({})).await.unwrap();
    app.run_until_idle().await;
    assert_eq!(app.texts(Platform::Facebook), Vec::<String>::new());
    let waiting: Vec<_> = app.lines().await.into_iter().filter(|line| line.lane == "promotion").collect();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].state, "review");
    assert_eq!(waiting[0].reason.as_deref(), Some("it may have gone out while the database forgot"));
}

#[tokio::test]
async fn a_hold_lets_what_repeats_go_by_and_keeps_what_goes_once_for_a_person() {
    let mut app = App::start(Plan::default()).await;
    app.repeats_allowed = true;
    add(&app, Wish { cron: "*/10 * * * *".into(), ..wish("often") }).await;
    add(&app, Wish { once: "2026-11-22 10:30".into(), ..wish("once") }).await;
    hold::set(&app.context.db, &app.person(), "ไว้อาลัย", &[Lane::Promotion], &[]).await.unwrap();
    app.publish(&[item("one", "ข่าวหนึ่ง")]).await;
    pass(&app, HOUR, 2 * MINUTE).await;
    assert_eq!(app.texts(Platform::Facebook).len(), 1, "the news goes on");
    assert_eq!(told(&app, "often").await, ["promotion.added", "promotion.skipped: a hold is on"]);
    hold::lift_all(&app.context.db, &app.person()).await.unwrap();
    let held: Vec<_> = app.lines().await.into_iter().filter(|line| line.state == "held").collect();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].text, "ลดทั้งร้าน once");
    pass(&app, 10 * MINUTE, 2 * MINUTE).await;
    let texts = app.texts(Platform::Facebook);
    assert_eq!(
        texts[1..],
        ["ลดทั้งร้าน often"],
        "what came due under the hold goes by nobody's but a person's hand"
    );
}

#[tokio::test]
async fn an_outage_piles_nothing_up_and_readers_see_the_distance() {
    let mut app = App::start(Plan::default()).await;
    app.repeats_allowed = true;
    add(&app, Wish { cron: "10,40 * * * *".into(), distance: "30m".into(), ..wish("a") }).await;
    app.sandbox.arm(Fault { times: None, ..Fault::once(Platform::Facebook, Kind::Error429) });
    pass(&app, 100 * MINUTE, MINUTE).await;
    app.sandbox.clear_faults();
    pass(&app, 150 * MINUTE, MINUTE).await;
    let mut times: Vec<DateTime<Utc>> =
        app.published(Platform::Facebook).iter().map(|post| post.at).collect();
    times.sort();
    assert!(times.len() >= 3, "{times:?}");
    let close = times.windows(2).find(|two| two[1] - two[0] < TimeDelta::minutes(30));
    assert_eq!(close, None, "{times:?}");
    assert!(told(&app, "a").await.contains(&"promotion.skipped: its last post still waits".to_owned()));
}

#[tokio::test]
async fn words_that_a_platform_would_refuse_as_repeated_go_by_there() {
    let mut app = App::start(Plan::default()).await;
    app.repeats_allowed = true;
    let accounts = "page,profile,line".into();
    add(
        &app,
        Wish {
            cron: "0 * * * *".into(), accounts, texts: vec!["ลดทั้งร้าน".into()], ..wish("a")
        },
    )
    .await;
    pass(&app, 2 * HOUR, 2 * MINUTE).await;
    let count = |app: &App, platform| app.texts(platform).iter().filter(|text| *text == "ลดทั้งร้าน").count();
    assert_eq!(Platform::ALL.map(|platform| count(&app, platform)), [1, 1, 2]);
    app.publish(&[item("one", "ข่าวหนึ่ง")]).await;
    pass(&app, HOUR, 2 * MINUTE).await;
    assert_eq!(Platform::ALL.map(|platform| count(&app, platform)), [2, 1, 3]);
    assert!(app.lines().await.iter().all(|line| line.state == "delivered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_postgresql_fire_every_moment_once() {
    let plan = Plan { database: Some(cluster::database_url()), ..Plan::default() };
    let mut app = App::start(plan.clone()).await;
    app.repeats_allowed = true;
    let other = app.another_node(plan).await;
    for number in 0..10 {
        let accounts = "page,profile,line".into();
        let limits =
            Wish { per_day: "5".into(), distance: "10m".into(), accounts, ..wish(&number.to_string()) };
        let texts = (0..9).map(|text| format!("โปรโมชัน {number} แบบ {text}")).collect();
        add(&app, Wish { cron: "*/5 * * * *".into(), texts, ..limits }).await;
    }
    for _ in 0..30 {
        app.clock.advance(2 * MINUTE);
        tokio::join!(run_until_idle(&app.context), run_until_idle(&other));
        tokio::join!(run_until_idle(&app.context), run_until_idle(&other));
    }
    app.run_until_idle().await;
    for platform in Platform::ALL {
        let texts = app.texts(platform);
        assert_eq!(texts.len(), 50, "{platform}: five a day of ten promotions: {texts:?}");
        let mut different = texts.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), 50, "{platform}: no wording twice: {texts:?}");
    }
}

#[tokio::test]
async fn a_promotion_that_is_reviewed_waits_without_piling_up() {
    let app = App::start(Plan::default()).await;
    add(&app, Wish { cron: "*/10 * * * *".into(), review: "always".into(), ..wish("a") }).await;
    pass(&app, HOUR, 2 * MINUTE).await;
    let line = app.line("page").await;
    assert_eq!(
        (line.state.as_str(), line.reason.as_deref()),
        ("review", Some("the promotion is not approved"))
    );
    app.approve(&line.post).await;
    app.run_until_idle().await;
    assert_eq!(app.texts(Platform::Facebook), [line.text]);
}

#[tokio::test]
async fn what_waits_on_an_account_that_was_removed_is_called_off_and_the_others_go_on() {
    let mut app = App::start(Plan::default()).await;
    app.repeats_allowed = true;
    let everywhere = Wish { cron: "0 * * * *".into(), accounts: "page,profile".into(), ..wish("a") };
    add(&app, Wish { texts: (0..9).map(|text| format!("แบบ {text}")).collect(), ..everywhere }).await;
    app.sandbox.arm(Fault { times: None, ..Fault::once(Platform::X, Kind::Error429) });
    pass(&app, HOUR, 2 * MINUTE).await;
    app.restart(Plan {
        without_profile: true,
        routes: "[[route]]\nname = 'a'\nsources = ['inn']\naccounts = ['page']\n",
        ..Plan::default()
    })
    .await;
    pass(&app, HOUR, 2 * MINUTE).await;
    let on_x: Vec<_> = app.lines().await.into_iter().filter(|line| line.account == "profile").collect();
    assert_eq!(on_x.len(), 1);
    assert_eq!(on_x[0].state, "cancelled");
    assert_eq!(on_x[0].reason.as_deref(), Some("the account was removed from the configuration"));
    assert_eq!(app.texts(Platform::Facebook).len(), 2);
    let orphans = songkhao::pipeline::promote::orphans(&app.context.db, &app.context.config).await.unwrap();
    assert_eq!(orphans, [("a".to_owned(), "profile".to_owned())]);
}

// With the real program.

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[track_caller]
fn json(node: &Node, args: &[&str]) -> Value {
    let output = node.run(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// So many seconds from now, as `--once` takes it.
fn soon(seconds: i64) -> String {
    (clock::now() + TimeDelta::seconds(seconds)).to_rfc3339()
}

/// Waits until every delivery has its end, and there are `count`.
async fn settled(node: &Node, count: usize) {
    let begun = Instant::now();
    loop {
        let posts = node.posts().unwrap_or_default();
        if posts.len() >= count && posts.iter().all(|row| !row.is_moving() && row.state != "approved") {
            return;
        }
        assert!(begun.elapsed() < MINUTE, "{posts:?}\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn add_once(node: &Node, name: &str, seconds: i64) {
    let at = soon(seconds);
    let words = format!("ลดทั้งร้าน {name}");
    let mut args = vec!["promotion", "add", name, "--text", &words, "--once", &at];
    for account in ["facebook", "x", "line"] {
        args.extend(["--account", account]);
    }
    text(&node.run(&args), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_go_out_in_two_seconds_does_and_never_again() {
    let arena = Arena::new().await;
    let mut node = arena.node("a", &arena.sqlite());
    node.start();
    while node.posts().is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let wanted = clock::now() + TimeDelta::seconds(2);
    add_once(&node, "วันนี้วันเดียว", 2);
    settled(&node, 3).await;
    node.kill();
    node.start();
    text(&node.run(&["hold", "on", "--reason", "ไว้อาลัย", "--lane", "promotion"]), 0);
    add_once(&node, "ช่วงไว้อาลัย", 1);
    settled(&node, 6).await;
    node.stop();
    let published = arena.sandbox.published();
    assert_eq!(published.len(), 3, "{published:?}");
    for post in &published {
        assert!(post.text.contains("วันนี้วันเดียว"), "{post:?}");
        let late = post.at - wanted;
        assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(5), "{late} late");
    }
    let rows = json(&node, &["post", "list", "--json"]);
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().all(|row| row["article_url"].is_null() && row["lane"] == "promotion"), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row["state"] == "held").count(), 3);
    let listed = json(&node, &["promotion", "list", "--json"]);
    assert_eq!((&listed[0]["state"], &listed[0]["fired"]), (&"ended".into(), &1.into()));
    let shown = text(&node.run(&["promotion", "show", "วันนี้วันเดียว"]), 0);
    assert!(shown.contains("เพิ่มโปรโมชัน") && shown.contains("ถึงเวลาโปรโมชัน"), "{shown}");
    text(&node.run(&["audit", "verify"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_on_postgresql_send_each_promotion_once() {
    let arena = Arena::new().await;
    let database = cluster::database_url();
    let (mut one, mut two) = (arena.node("a", &database), arena.node("b", &database));
    one.start();
    while one.posts().is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    two.start();
    // All at the same moment, so that both nodes reach for each.
    let at = soon(8);
    let rows: Vec<String> = (0..20).map(|n| format!("n{n},โปรโมชันที่ {n},\"facebook,x,line\",{at}")).collect();
    let file = arena.folder().join("table.csv");
    fs::write(&file, format!("name,text,accounts,once\n{}\n", rows.join("\n"))).unwrap();
    text(&one.run(&["promotion", "import", file.to_str().unwrap()]), 0);
    settled(&one, 60).await;
    one.stop();
    two.stop();
    let mut published: Vec<String> =
        arena.sandbox.published().iter().map(|post| format!("{} {}", post.account, post.text)).collect();
    assert_eq!(published.len(), 60, "{published:?}");
    published.sort();
    published.dedup();
    assert_eq!(published.len(), 60, "each once");
    text(&one.run(&["audit", "verify"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_work_is_refused_when_it_is_added() {
    let arena = Arena::new().await;
    let node = arena.node("a", &arena.sqlite());
    let add = |more: &[&str]| node.run(&[&["promotion", "add", "a", "--text", "ลด"], more].concat());
    let check = |more: &[&str], part: &str| {
        let said = text(&add(more), 2);
        assert!(said.contains(part), "{part:?} is not in {said}");
    };
    check(&["--account", "x", "--once", "2026-01-01T09:00"], "once: 2026-01-01 09:00:00 has passed");
    check(&["--account", "x", "--cron", "0 9 30 2 *"], "cron: \"0 9 30 2 *\" never fires");
    check(
        &["--account", "y", "--slots", "09:00"],
        "accounts: no account is called \"y\"; there are facebook, x, line",
    );
    check(
        &["--account", "x", "--slots", "09:00", "--until", "2020-12-31"],
        "until: the campaign is over already",
    );
    check(&["--account", "x"], "--once");
    let long = "ก".repeat(281);
    check(
        &["--account", "x", "--slots", "09:00", "--text", &long],
        "text_2: on x it has 281 characters as X weighs them",
    );
    assert_eq!(json(&node, &["promotion", "list", "--json"]), serde_json::json!([]));
    let good = ["--account", "x", "--slots", "09:00", "--per-day", "1", "--in-all", "3"];
    assert!(text(&add(&good), 0).contains("note: Facebook refuses the same words twice in a row"));
    assert!(text(&add(&good), 1).contains("already"));
    let next = json(&node, &["promotion", "next", "a", "--json"]);
    assert_eq!(next.as_array().unwrap().len(), 3);
    text(&node.run(&["promotion", "stop", "a", "--reason", "ของหมด"]), 0);
    assert_eq!(json(&node, &["promotion", "next", "a", "--json"]), serde_json::json!([]));
    text(&node.run(&["promotion", "stop", "a"]), 1);
    text(&node.run(&["promotion", "resume", "a"]), 0);
    text(&node.run(&["promotion", "resume", "b"]), 1);
    let renamed = arena.node_with(
        "b",
        &arena.sqlite(),
        &[("name = \"x\"", "name = \"z\""), ("\"x\", \"line\"", "\"z\", \"line\"")],
    );
    let said = text(&renamed.run(&["check"]), 0);
    assert!(said.contains("note: promotion a posts to x, which is no account any more"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_comes_in_from_excel_once_however_often_it_is_imported() {
    let arena = Arena::new().await;
    let node = arena.node("a", &arena.sqlite());
    let file = arena.folder().join("table.csv");
    let import = |bytes: &[u8], code: i32, more: &[&str]| {
        fs::write(&file, bytes).unwrap();
        text(&node.run(&[&["promotion", "import", file.to_str().unwrap()], more].concat()), code)
    };
    let table = "ชื่อ;ข้อความ;ข้อความ 2;บัญชี;เวลา;ตั้งแต่;ถึง;ต่อวัน;ป้าย;\r\n\
                 ลดราคา;ลดทั้งร้าน;\"สองบรรทัด\nในช่องเดียว\";facebook, line;9:00;1/12/2569;31/12/2569;2;โฆษณา;\r\n\
                 ;;;;;;;;;\r\n\
                 แถม;ซื้อ 1 แถม 1;;facebook;18:30;;;;;\r\n";
    let excel = WINDOWS_874.encode(table).0;
    assert_eq!(import(&excel, 0, &["--dry-run"]), "ทดลอง ยังไม่ได้บันทึก: เพิ่ม 2 แก้ไข 0 เหมือนเดิม 0 ผิด 0 แถว\n");
    assert_eq!(json(&node, &["promotion", "list", "--json"]), serde_json::json!([]));
    assert_eq!(import(&excel, 0, &[]), "เพิ่ม 2 แก้ไข 0 เหมือนเดิม 0 ผิด 0 แถว\n");
    let with_bom = format!("\u{feff}{}", table.replace("ลดทั้งร้าน", "ลดครึ่งราคา"));
    assert_eq!(import(with_bom.as_bytes(), 0, &[]), "เพิ่ม 0 แก้ไข 1 เหมือนเดิม 1 ผิด 0 แถว\n");
    let before = json(&node, &["promotion", "list", "--json"]);
    assert_eq!(before[0]["texts"], serde_json::json!(["ลดครึ่งราคา", "สองบรรทัด\nในช่องเดียว"]));
    assert_eq!((&before[0]["from"], &before[0]["until"]), (&"2026-12-01".into(), &"2026-12-31".into()));
    let exported = node.run(&["promotion", "export"]).stdout;
    assert!(exported.starts_with("\u{feff}name,text,text_2,accounts,".as_bytes()));
    assert_eq!(import(&exported, 0, &[]), "เพิ่ม 0 แก้ไข 0 เหมือนเดิม 2 ผิด 0 แถว\n");
    assert_eq!(json(&node, &["promotion", "list", "--json"]), before);

    let bad = "name,text,accounts,cron,once\n\
               ดี,ข้อความ,facebook,0 9 * * *,\n\
               cron เสีย,ข้อความ,facebook,99 9 * * *,\n\
               \"สอง\nบรรทัด\",ข้อความ,facebook,0 9 * * *,\n\
               ไม่มีบัญชี,ข้อความ,nobody,0 9 * * *,\n\
               ดี,ซ้ำ,facebook,0 9 * * *,\n\
               อดีต,ข้อความ,facebook,,1/1/2569 9:00\n\
               เกินช่อง,ข้อความ,facebook,0 9 * * *,,เศษ\n\
               ดีสอง,ข้อความ,facebook,0 9 * * *,\n";
    let said = import(bad.as_bytes(), 1, &[]);
    let starts = [
        "แถว 3 คอลัมน์ cron: ",
        "แถว 4 คอลัมน์ name: ",
        "แถว 5 คอลัมน์ accounts: ไม่มีบัญชีชื่อ \"nobody\"",
        "แถว 6 คอลัมน์ name: \"ดี\" ซ้ำกับแถว 2 ",
        "แถว 7 คอลัมน์ once: 2026-01-01 09:00:00 ผ่านไปแล้ว",
        "แถว 8 คอลัมน์ 6: \"เศษ\" อยู่นอกหัวตาราง",
        "เพิ่ม 2 แก้ไข 0 เหมือนเดิม 0 ผิด 6 แถว",
    ];
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{said}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line:?} is not {start:?}");
    }
    let said =
        import("name,text,accounts,cron,untill\nx,y,facebook,0 9 * * *,2026-12-01\n".as_bytes(), 1, &[]);
    assert!(said.starts_with("แถว 1 คอลัมน์ untill: ไม่มีคอลัมน์ชื่อนี้"), "{said}");
    let said = import(
        "name,text,accounts,cron\na1,\"ลืมปิด,facebook,0 9 * * *\nb1,ข้อความ,facebook,0 9 * * *\n".as_bytes(),
        1,
        &[],
    );
    assert!(said.starts_with("แถว 2 คอลัมน์ name: เครื่องหมาย \" เปิดแล้วไม่ปิด"), "{said}");
    assert!(import(b"", 1, &[]).contains("ตารางว่างเปล่า"));
    text(&node.run(&["promotion", "import", "nowhere.csv"]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_rows_come_in_and_the_second_time_change_nothing() {
    let arena = Arena::new().await;
    let node = arena.node("a", &arena.sqlite());
    let file = arena.folder().join("table.csv");
    let row = |n: usize| match n % 100 {
        99 => format!("p{n},ข้อความ {n},facebook,0 25 * * *,,\n"),
        _ => format!("p{n},ข้อความ {n},\"facebook,line\",{} {} * * *,mon-fri,3\n", n % 60, n % 24),
    };
    let rows: String = (0..10_000).map(row).collect();
    fs::write(&file, format!("name,text,accounts,cron,days,per_day\n{rows}")).unwrap();
    let begun = Instant::now();
    let said = text(&node.run(&["promotion", "import", file.to_str().unwrap()]), 1);
    assert!(
        said.ends_with("เพิ่ม 9900 แก้ไข 0 เหมือนเดิม 0 ผิด 100 แถว\n"),
        "{}",
        &said[said.len().saturating_sub(200)..]
    );
    assert_eq!(said.lines().filter(|line| line.contains("คอลัมน์ cron")).count(), 100);
    let first = begun.elapsed();
    let begun = Instant::now();
    let said = text(&node.run(&["promotion", "import", file.to_str().unwrap()]), 1);
    assert!(said.ends_with("เพิ่ม 0 แก้ไข 0 เหมือนเดิม 9900 ผิด 100 แถว\n"));
    println!("10,000 rows: {first:?}, again {:?}", begun.elapsed());
    assert!(begun.elapsed() < MINUTE && first < 2 * MINUTE, "{first:?}, {:?}", begun.elapsed());
}
