//! Reading: what article pages add to excerpts, and what bad ones must not take away.
//!
//! Whatever a site does to one article's page costs that article its page and nothing else: a reason that names page
//! and cause is in the audit log, the excerpt is posted, and the other articles' pages are read as ever.

use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use chrono::DateTime;
use chrono::SecondsFormat;
use chrono::Utc;
use serde_json::Value;
use songkhao::feed::page;
use songkhao::feed::page::Page;
use songkhao::feed::reader::Reader;
use songkhao::model::account::Platform;
use songkhao::model::article::aliases;
use songkhao::model::audit::Action;
use songkhao::pipeline::Step;
use songkhao::pipeline::collect;
use songkhao::store::article;
use songkhao::store::audit;
use songkhao::store::audit::Filter;
use url::Url;
use wiremock::ResponseTemplate;

use crate::app;
use crate::app::App;
use crate::app::Plan;
use crate::site::Item;
use crate::site::item;

/// Nothing that a page does may take longer, on a busy machine and without optimisation: the fetch may take 20 s, the
/// child that reads it 5.
const PATIENCE: Duration = Duration::from_secs(25);

const TITLE: &str = "ผู้ว่าฯ สงขลา สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ";
const EXCERPT: &str = "ผู้ว่าราชการจังหวัดสงขลาสั่งการให้ทุกอำเภอเฝ้าระวังน้ำท่วมฉับพลัน หลังฝนตกหนักตลอดทั้งคืน […]";
const STORY: &str = "ผู้ว่าราชการจังหวัดสงขลาสั่งการให้ทุกอำเภอเฝ้าระวังน้ำท่วมฉับพลัน หลังฝนตกหนักตลอดทั้งคืนที่ผ่านมา \
     เจ้าหน้าที่เตรียมเรือท้องแบน 12 ลำ และศูนย์พักพิง 8 แห่ง เพื่อรองรับประชาชนในพื้นที่เสี่ยงริมคลองและที่ลุ่มต่ำ";

/// Pages shaped as ten kinds of Thai sites shape them, in tests/fixtures/feed/site, and where they were asked for.
const SITES: [(&str, &str); 10] = [
    ("wordpress_block", "https://www.khorat.example/local/lamtakhong-drain/?utm_source=rss"),
    ("wordpress_classic", "https://daily.esan.example/2026/11/20/new-dinosaur/"),
    ("amp", "https://www.setthakit.example/gold/691120-gold-price/amp"),
    ("shortlink", "https://andaman.example/?p=7719"),
    ("windows874", "http://www.phlok.example/news/detail.asp?id=91"),
    ("json_ld_body", "https://bkk.example/news/880114"),
    ("microdata", "https://center.example/crime/551200?ref=rss"),
    ("deck_caption_byline", "https://lanna.example/education/20261117-math-gold"),
    ("tables_and_br", "http://trat.example/news_detail.php?id=552"),
    ("inn_footer", "https://www.samut.example/crime/news_901234/"),
];

/// The site of the tests is on this machine.
const LOCAL: Plan = Plan {
    source: "",
    page: "",
    profile: "",
    line: "",
    routes: "",
    without_profile: false,
    more: "[http]\nallow_private_networks = ['127.0.0.0/8']\n",
    database: None,
    limits: false,
};

fn html(body: &str) -> ResponseTemplate {
    let page = format!("<html><head><title>INN</title></head><body>{body}</body></html>");
    ResponseTemplate::new(200).set_body_raw(page, "text/html; charset=utf-8")
}

/// An article of which the feed has only an excerpt; its page is at `/name`.
fn excerpt(app: &App, name: &str, title: &str) -> Item {
    Item { link: Some(app.at(&format!("/{name}"))), body: format!("<p>{EXCERPT}</p>"), ..item(name, title) }
}

/// Why pages were given up, by the audit log.
async fn reasons(app: &App) -> Vec<String> {
    let action = Some(Action::ArticleUnreadable.name().to_owned());
    let unreadable = audit::list(&app.context.db, &Filter { action, ..Filter::default() }).await.unwrap();
    let unreadable = unreadable.iter().map(|sealed| serde_json::from_str::<Value>(&sealed.entry).unwrap());
    unreadable.map(|entry| entry["detail"]["reason"].as_str().unwrap().to_owned()).collect()
}

/// Serves a bad page under an excerpt: it is given up for this reason, which names it, the excerpt is posted on all
/// three platforms, and another article's page is read as ever. `{site}` in the reason is the site's address.
async fn check(page: ResponseTemplate, reason: &str) {
    let app = App::start(LOCAL).await;
    check_at(&app, page, reason).await;
}

async fn check_at(app: &App, page: ResponseTemplate, reason: &str) {
    app.serve("/bad", page).await;
    app.serve("/good", html(&format!("<article><p>{STORY}</p><p>{STORY}</p></article>"))).await;
    let other = "ฝนถล่มหาดใหญ่ ถนนขาดสองสาย";
    let begun = Instant::now();
    app.publish(&[excerpt(app, "good", other), excerpt(app, "bad", TITLE)]).await;
    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
    let reasons = reasons(app).await;
    let [given] = &reasons[..] else { panic!("{reasons:?}") };
    assert_eq!(given, &reason.replace("{site}", &app.at("")));
    for platform in Platform::ALL {
        let texts = app.texts(platform);
        assert_eq!(texts.len(), 2, "{platform}: {texts:?}");
        assert!(texts.iter().any(|text| text.contains(TITLE)), "{platform}: {texts:?}");
    }
    let articles = article::list_newest(&app.context.db, 9).await.unwrap();
    let text =
        |title: &str| &articles.iter().find(|known| known.content.title == title).unwrap().content.text;
    assert_eq!(text(TITLE), EXCERPT.trim_end_matches(" […]"));
    assert!(text(other).contains("เรือท้องแบน 12 ลำ"), "{}", text(other));
}

/// As [`check`], for a redirect that goes from page to page of the site and then to `target`.
async fn check_redirect(target: &str, reason: &str) {
    let app = App::start(LOCAL).await;
    app.serve("/hop", ResponseTemplate::new(301).insert_header("Location", target)).await;
    check_at(&app, ResponseTemplate::new(302).insert_header("Location", "/hop"), reason).await;
}

/// As [`check_redirect`], for a target that the guard refuses.
async fn check_refused(target: &str, host: &str, kind: &str) {
    let bare = host.trim_matches(['[', ']']);
    let cure = "if it is yours, add its network to http.allow_private_networks";
    check_redirect(target, &format!("{{site}}/bad: {host} is refused: {bare} is {kind}; {cure}")).await;
}

#[tokio::test]
async fn a_page_of_100000_nested_elements_is_given_up() {
    let nested = format!("{}ข่าว{}", "<div>".repeat(100_000), "</div>".repeat(100_000));
    check(html(&nested), "{site}/bad: the page is nested more than 200 elements deep").await;
    // As many side by side are refused for their number, and are not nested at all.
    let wide = "<p>ข่าว</p>".repeat(100_000);
    check(html(&wide), "{site}/bad: the page is made of more than 15000 elements").await;
}

#[tokio::test]
async fn a_page_of_50_mb_is_given_up_after_two() {
    let page = ResponseTemplate::new(200).set_body_raw(vec![b'x'; 50 << 20], "text/html");
    check(page, "{site}/bad sent more than 2097152 bytes").await;
}

#[tokio::test]
async fn a_redirect_loop_is_given_up() {
    let back = ResponseTemplate::new(302).insert_header("Location", "/bad");
    check(back, "{site}/bad is reached a second time: its redirects run in a circle").await;
    check_redirect("/bad?again", "{site}/hop is reached a second time: its redirects run in a circle").await;
}

#[tokio::test]
async fn a_redirect_to_the_clouds_metadata_is_refused() {
    check_refused("http://169.254.169.254/latest/meta-data/iam/", "169.254.169.254", "a link-local address")
        .await;
}

#[tokio::test]
async fn a_redirect_to_a_literal_private_address_is_refused() {
    check_refused("http://192.168.1.1/router", "192.168.1.1", "a private address").await;
    check_refused("http://[fd00::1]/", "[fd00::1]", "a private address").await;
    // The same addresses as browsers spell them, too.
    check_refused("http://3232235777/", "192.168.1.1", "a private address").await;
    check_refused("http://0xa.1/", "10.0.0.1", "a private address").await;
}

#[tokio::test]
async fn a_login_wall_is_not_taken_for_the_article() {
    let wall = "กรุณาเข้าสู่ระบบเพื่ออ่านต่อ สมัครสมาชิกวันนี้รับสิทธิ์อ่านเนื้อหาได้ไม่จำกัดและยกเลิกได้ทุกเมื่อ ";
    let form =
        "<form><input name='user'><input type='password' name='password'><button>เข้าสู่ระบบ</button></form>";
    let page = html(&format!("<main><p>{}</p><p>{}</p>{form}</main>", wall.repeat(4), wall.repeat(3)));
    let reason = "the page has nothing of what the source says; it may be a login or consent wall";
    check(page, &format!("{{site}}/bad: {reason}")).await;
    let app = App::start(LOCAL).await;
    app.serve("/login", html(&format!("<main><p>{}</p></main>", wall.repeat(5)))).await;
    let to_login = ResponseTemplate::new(302).insert_header("Location", "/login?next=%2Fbad");
    check_at(&app, to_login, &format!("{{site}}/login?…: {reason}")).await;
}

#[tokio::test]
async fn an_empty_article_is_given_up() {
    check(html(""), "{site}/bad: no article was found in it").await;
    check(ResponseTemplate::new(200), "{site}/bad: no article was found in it").await;
    let shell = html("<div id='root'></div><script src='/app.js'></script>");
    check(shell, "{site}/bad: no article was found in it").await;
    let headline = ResponseTemplate::new(200).set_body_raw(
        format!("<html><head><meta property='og:title' content='{TITLE}'></head><body></body></html>"),
        "text/html",
    );
    check(headline, "{site}/bad: the page holds no article text").await;
}

#[tokio::test]
async fn a_page_behind_a_paywalls_status_is_given_up() {
    check(ResponseTemplate::new(402), "{site}/bad answered 402").await;
    check(ResponseTemplate::new(403), "{site}/bad answered 403").await;
}

#[tokio::test]
async fn a_paywalls_teaser_takes_nothing_from_the_excerpt() {
    let app = App::start(LOCAL).await;
    let teaser = "ผู้ว่าราชการจังหวัดสงขลาสั่งการให้ทุกอำเภอ…";
    app.serve("/pay", html(&format!("<article><p>{teaser}</p><p>สมัครสมาชิก</p></article>"))).await;
    app.publish(&[excerpt(&app, "pay", TITLE)]).await;
    assert_eq!(app.article().await.content.text, EXCERPT.trim_end_matches(" […]"));
    let texts = app.texts(Platform::Facebook);
    assert!(texts[0].contains("หลังฝนตกหนักตลอดทั้งคืน") && !texts[0].contains("สมัครสมาชิก"), "{texts:?}");
}

#[tokio::test]
async fn a_post_waits_for_the_page_of_an_edited_article() {
    let noon =
        "[[route]]\nname = 'noon'\nsources = ['inn']\naccounts = ['page']\nwhen = { cron = '0 12 * * *' }\n";
    let app = App::start(Plan { routes: noon, ..LOCAL }).await;
    app.serve("/flood", html(&format!("<article><p>{STORY}</p><p>{STORY}</p></article>"))).await;
    app.publish(&[excerpt(&app, "flood", TITLE)]).await;
    // At noon the edit was seen, and its page was not read yet.
    let edited = TITLE.replace("16 อำเภอ", "17 อำเภอ");
    app.site.show("inn", &[excerpt(&app, "flood", &edited)]);
    app.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(collect::step(&app.context).await.unwrap(), Step::Worked);
    app::deliver(&app.context, "page").await;
    assert_eq!(app.sandbox.published(), []);
    app.run_until_idle().await;
    let texts = app.texts(Platform::Facebook);
    assert!(texts[0].starts_with(&edited) && texts[0].contains("เรือท้องแบน 12 ลำ"), "{texts:?}");
}

// Ten sites.

/// What is taken from a page, as an editor wants to see it.
fn shown(page: &Page) -> String {
    let content = &page.entry.content;
    let date = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let rows = [
        ("title", Some(content.title.clone())),
        ("subtitle", page.deck.clone()),
        ("author", content.author.clone()),
        ("published", date(content.published)),
        ("updated", date(content.updated)),
        ("link", content.link.clone()),
        ("names", Some(aliases("source", &page.entry).join(" "))),
        ("image", content.image.clone()),
        ("caption", page.caption.clone()),
        ("categories", Some(content.categories.join(", "))),
        ("problems", Some(page.problems.join("; "))),
    ];
    let rows = rows.into_iter().map(|(name, value)| format!("{name}: {}\n", value.unwrap_or_default()));
    format!("{}\n{}", rows.collect::<String>().replace(": \n", ":\n"), content.text)
}

#[tokio::test]
async fn ten_sites_are_read_as_an_editor_would() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/feed/site");
    let reader = Reader::at(env!("CARGO_BIN_EXE_songkhao"));
    let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
    for (name, url) in SITES {
        let body = fs::read(folder.join(format!("{name}.html"))).unwrap();
        let url = Url::parse(url).unwrap();
        let page = page::page(&body, None, Some(&url), now).unwrap();
        insta::assert_snapshot!(format!("site_{name}"), shown(&page));
        let child = reader.read(body.into(), None, &url, now).await.unwrap();
        assert_eq!(child, page.entry, "the child reads {name} alike");
    }
}
