//! Story: what pages and API tell, and that hostile text stays text.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;

use super::Desk;
use super::newsroom;
use super::newsroom::Fate;
use crate::model::attempt::Receipt;
use crate::model::lane::Lane;
use crate::model::user::Role;
use crate::secret::Grant;
use crate::store::token;
use crate::store::token::Origin;

const LINK: &str = "https://www.innnews.co.th/news/1/";
const HOSTILE: &str = r#"<script>alert(1)</script>"><img src=x onerror=alert(2)>{{7*7}}{% raw %}'"#;

/// Every page, of an article and a post with the id 1.
const PAGES: &[&str] = &[
    "/",
    "/posts",
    "/posts/1",
    "/articles",
    "/articles/1",
    "/accounts",
    "/sources",
    "/audit",
    "/posts?state=delivered&account=inn-x",
    "/audit?action=post.composed",
];

fn delivered() -> Fate {
    let receipt = Receipt {
        remote_id: "100_200".to_owned(),
        permalink: Some("https://www.facebook.com/100/posts/200".to_owned()),
    };
    Fate::Answered(Ok(receipt))
}

#[tokio::test]
async fn hostile_titles_stay_text_on_every_page() {
    let desk = Desk::new().await;
    let article = newsroom::article(&desk.context, HOSTILE, LINK, &[HOSTILE]).await;
    for account in ["inn-facebook", "inn-x", "inn-line"] {
        newsroom::post(&desk.context, article, account, Lane::Normal, delivered()).await;
    }
    let cookie = desk.signed_in(Role::Admin).await;
    for path in PAGES {
        let page = desk.get(path, &cookie).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for raw in ["<script>alert", "<img src=x", ">49<"] {
            assert!(!page.body.contains(raw), "{raw} on {path}");
        }
        // Only the two files of our own: no inline script, style or handler for the policy to refuse.
        assert_eq!(page.body.matches("<script").count(), 1, "{path}");
        assert!(!page.body.contains(" style=") && !page.body.contains("<style"), "{path}");
    }
    let story = desk.get("/articles/1", &cookie).await.body;
    assert!(story.contains("&#60;script&#62;alert(1)&#60;/script&#62;"), "{story}");
}

#[tokio::test]
async fn a_dangerous_link_is_shown_nowhere_as_a_link() {
    let desk = Desk::new().await;
    newsroom::article(&desk.context, "ข่าว", "javascript:alert(1)", &["ข่าว"]).await;
    let cookie = desk.signed_in(Role::Viewer).await;
    let page = desk.get("/articles/1", &cookie).await.body;
    assert!(!page.contains("href=\"javascript:"), "{page}");
}

#[tokio::test]
async fn an_articles_page_tells_its_whole_story() {
    let desk = Desk::new().await;
    let article =
        newsroom::article(&desk.context, "ฝนถล่มกรุง", LINK, &["ฝนตกหนักทั่วกรุง", "น้ำท่วมขัง 12 จุด"]).await;
    let post = newsroom::post(&desk.context, article, "inn-facebook", Lane::Breaking, delivered()).await;
    let cookie = desk.signed_in(Role::Viewer).await;
    let page = desk.get(&format!("/articles/{article}"), &cookie).await.body;
    for part in [
        "ฝนถล่มกรุง",
        "น้ำท่วมขัง 12 จุด",
        "100_200",
        "https://www.facebook.com/100/posts/200",
        "ส่งแล้ว",
        "HTTP 200",
        "รับข่าวใหม่",
        "ส่งสำเร็จ",
        &format!("/posts/{post}"),
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<button>ส่งใหม่"), "a viewer is shown a button");
}

#[tokio::test]
async fn the_accounts_page_tells_when_a_token_ends() {
    let desk = Desk::new().await;
    let (context, stamp) = (&desk.context, desk.context.stamp("test"));
    let cookie = desk.signed_in(Role::Viewer).await;
    assert!(!desk.get("/accounts", &cookie).await.body.contains("หมดอายุ"));
    let life = Some(Duration::from_secs(5_184_000));
    let grant = Grant { access: "planted".into(), refresh: None, scopes: Vec::new(), life };
    for account in ["inn-facebook", "inn-line"] {
        let kept = token::keep(&context.db, &context.keys, &stamp, account, Origin::Imported, &grant, None);
        kept.await.unwrap();
    }
    let page = desk.get("/accounts", &cookie).await.body;
    // LINE signs with its channel's secret, whatever is stored.
    assert_eq!(page.matches("หมดอายุ").count(), 1, "{page}");
    assert!(!page.contains("planted"));
}

#[tokio::test]
async fn pages_speak_thai_and_english_when_asked_to() {
    let desk = Desk::new().await;
    let cookie = desk.signed_in(Role::Viewer).await;
    let thai = desk.get("/", &cookie).await;
    assert!(thai.body.contains(r#"<html lang="th">"#) && thai.body.contains("จะออกถัดไป"));
    let english = desk.get("/?lang=en", &cookie).await;
    assert!(english.body.contains(r#"<html lang="en">"#) && english.body.contains("Goes out next"));
    assert!(english.header("set-cookie").starts_with("lang=en;"));
    let kept = desk.get("/articles", &format!("{cookie}; lang=en")).await;
    assert!(kept.body.contains("Articles") && kept.header("set-cookie").is_empty());
}

#[tokio::test]
async fn every_page_has_the_navigation_in_its_header() {
    let desk = Desk::new().await;
    let article = newsroom::article(&desk.context, "ข่าว", LINK, &["ข่าว"]).await;
    newsroom::post(&desk.context, article, "inn-x", Lane::Normal, Fate::Waits(5)).await;
    let cookie = desk.signed_in(Role::Viewer).await;
    for path in PAGES {
        let page = desk.get(path, &cookie).await.body;
        let header = &page[page.find("<header").unwrap()..page.find("</header>").unwrap()];
        assert!(header.contains("<nav"), "{path}");
    }
}

#[tokio::test]
async fn an_unknown_page_is_missing_in_plain_words() {
    let desk = Desk::new().await;
    let cookie = desk.signed_in(Role::Viewer).await;
    for path in ["/nowhere", "/posts/999", "/articles/999"] {
        let page = desk.get(path, &cookie).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.body.contains("ไม่พบหน้านี้"), "{path}");
    }
    let wrong = desk.post("/articles", &cookie, &[]).await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_api_lists_posts_and_articles() {
    let desk = Desk::new().await;
    let article = newsroom::article(&desk.context, "ฝนถล่มกรุง", LINK, &["ฝนตกหนัก"]).await;
    newsroom::post(&desk.context, article, "inn-facebook", Lane::Normal, delivered()).await;
    newsroom::post(&desk.context, article, "inn-x", Lane::Normal, Fate::Review(vec!["flood".into()])).await;
    let token = desk.token(Role::Viewer).await;
    let ask = |path: &str| Request::get(path).header("authorization", &token).body(Body::empty()).unwrap();
    let read = |body: &str| serde_json::from_str::<Vec<serde_json::Value>>(body).unwrap();
    let posts = read(&desk.ask(ask("/api/v1/posts")).await.body);
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[0]["state"], "delivered");
    assert_eq!((posts[0]["remote_id"].as_str(), posts[0]["attempts"].as_i64()), (Some("100_200"), Some(1)));
    assert_eq!((posts[1]["state"].as_str(), posts[1]["delivery"].is_null()), (Some("review"), true));
    assert_eq!(read(&desk.ask(ask("/api/v1/posts?state=review,failed")).await.body).len(), 1);
    assert_eq!(read(&desk.ask(ask("/api/v1/posts?limit=1")).await.body)[0]["state"], "review");
    let articles = read(&desk.ask(ask("/api/v1/articles")).await.body);
    assert_eq!((articles[0]["title"].as_str(), articles[0]["url"].as_str()), (Some("ฝนถล่มกรุง"), Some(LINK)));
    let bad = desk.ask(ask("/api/v1/posts?limit=many")).await;
    assert_eq!(
        (bad.status, bad.header("content-type")),
        (StatusCode::UNPROCESSABLE_ENTITY, "application/problem+json")
    );
}

#[tokio::test]
async fn home_tells_what_needs_a_person() {
    let desk = Desk::new().await;
    newsroom::busy(&desk.context).await;
    let cookie = desk.signed_in(Role::Approver).await;
    let home = desk.get("/", &cookie).await.body;
    for part in [
        "บัญชี inn-line พักอยู่",
        "แพลตฟอร์มไม่รับสิทธิ์ของบัญชี: invalid channel access token",
        "แหล่งข่าว inn-breaking อ่านไม่ได้",
        "รอคนตัดสิน",
        "พาดหัวซ้ำกับข่าวอื่น",
        "ยังไม่แน่",
        "อีก 2 นาที",
        "ด่วน",
    ] {
        assert!(home.contains(part), "{part}");
    }
}

/// The places of our own that a page links to.
fn links(page: &str) -> Vec<String> {
    let hrefs = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    hrefs.filter(|href| href.starts_with('/')).map(|href| href.replace("&#38;", "&")).collect()
}

#[tokio::test]
async fn every_link_on_every_page_leads_somewhere() {
    let desk = Desk::new().await;
    newsroom::busy(&desk.context).await;
    let cookie = desk.signed_in(Role::Admin).await;
    let (mut seen, mut waiting) = (vec!["/".to_owned()], vec!["/".to_owned()]);
    while let Some(path) = waiting.pop() {
        let page = desk.get(&path, &cookie).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for link in links(&page.body).into_iter().filter(|link| !link.contains("lang=")) {
            if !seen.contains(&link) {
                seen.push(link.clone());
                waiting.push(link);
            }
        }
    }
    // Six places of the navigation, eleven articles, nineteen posts, and what leads to them.
    assert!(seen.len() > 36, "{seen:?}");
}

#[tokio::test]
async fn a_change_is_told_to_open_pages_and_a_stop_ends_their_streams() {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    let desk = Desk::new().await;
    let cookie = desk.signed_in(Role::Viewer).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(crate::web::serve(listener, desk.app.clone(), stop.clone()));
    let mut browser = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /events HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\n\r\n");
    browser.write_all(request.as_bytes()).await.unwrap();
    let (mut heard, mut buffer) = (String::new(), [0; 4096]);
    while !heard.contains("\r\n\r\n") {
        let read = browser.read(&mut buffer).await.unwrap();
        heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(heard.contains("200 OK") && heard.contains("text/event-stream"), "{heard}");
    newsroom::article(&desk.context, "ข่าว", LINK, &["ข่าว"]).await;
    while !heard.contains("event: change") {
        let read = browser.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the stream ended: {heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    stop.cancel();
    let mut rest = Vec::new();
    browser.read_to_end(&mut rest).await.unwrap();
    server.await.unwrap().unwrap();
}
