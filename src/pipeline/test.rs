//! Test: the steps from a feed to posts, against real HTTP.
//!
//! What a hostile or broken page does is in tests/it/reading.rs.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::DateTime;
use chrono::Utc;
use tempfile::TempDir;
use wiremock::Mock;
use wiremock::MockServer;
use wiremock::ResponseTemplate;
use wiremock::matchers;

use crate::feed::reader::Reader;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::collect;
use crate::pipeline::compose;
use crate::pipeline::observe;
use crate::pipeline::read;
use crate::pipeline::summarize;
use crate::secret::Keys;
use crate::store::article;
use crate::store::article::Article;
use crate::store::db::Db;
use crate::store::source;
use crate::store::summary;

const TITLE: &str = "ผู้ว่าฯ สงขลา สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ";
const EXCERPT: &str = "ผู้ว่าราชการจังหวัดสงขลาสั่งการให้ทุกอำเภอเฝ้าระวังน้ำท่วมฉับพลัน หลังฝนตกหนักตลอดทั้งคืน […]";
const STORY: &str = "ผู้ว่าราชการจังหวัดสงขลาสั่งการให้ทุกอำเภอเฝ้าระวังน้ำท่วมฉับพลัน หลังฝนตกหนักตลอดทั้งคืนที่ผ่านมา \
     เจ้าหน้าที่เตรียมเรือท้องแบน 12 ลำ และศูนย์พักพิง 8 แห่ง เพื่อรองรับประชาชนในพื้นที่เสี่ยงริมคลองและที่ลุ่มต่ำ";

fn now() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// A newsroom with one source and one account; the test serves what the source offers.
struct Newsroom {
    server: MockServer,
    context: Context,
    _folder: TempDir,
}

impl Newsroom {
    async fn new(near_duplicates: &str) -> Newsroom {
        let server = MockServer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[http]\nallow_private_networks = [\"127.0.0.0/8\"]\n\
             [[source]]\nname = \"inn\"\nurl = \"{}/feed\"\nsettle = \"0s\"\nbackfill = 100\nflood_limit = 0\n\
             near_duplicates = \"{near_duplicates}\"\n\
             [[account]]\nname = \"page\"\nplatform = \"facebook\"\npage_id = \"1\"\naccess_token = {{ env = \"T\" }}\n\
             [[route]]\nname = \"all\"\nsources = [\"inn\"]\naccounts = [\"page\"]\n",
            server.uri()
        );
        let env = BTreeMap::from([("T".to_owned(), "token".to_owned())]);
        let config = crate::config::parse("test.toml", &text, &env).unwrap();
        let url = format!("sqlite:{}", folder.path().join("songkhao.db").display());
        let db = Db::open(&url, now()).await.unwrap();
        source::ensure(&db, &["inn".to_owned()], now()).await.unwrap();
        let keys = Keys::derive(&[7; 48]).unwrap();
        let signer = keys.audit_signer("test").unwrap();
        let context = Context::new(db, config, "boot".into(), Arc::new(now), signer, Reader::within(), keys)
            .await
            .unwrap();
        Newsroom { server, context, _folder: folder }
    }

    /// The address of a path on the site.
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.uri())
    }

    async fn serve(&self, path: &str, answer: ResponseTemplate) {
        Mock::given(matchers::path(path)).respond_with(answer).mount(&self.server).await;
    }

    /// Serves a feed of these items: path, title, text, and further elements.
    async fn feed(&self, items: &[(&str, &str, &str, &str)]) {
        let items: String = items
            .iter()
            .map(|(path, title, text, more)| {
                let link = self.at(path);
                format!("<item><title>{title}</title><link>{link}</link><description><![CDATA[{text}]]></description>{more}</item>")
            })
            .collect();
        let feed = format!("<rss version='2.0'><channel><title>INN</title>{items}</channel></rss>");
        self.serve("/feed", ResponseTemplate::new(200).set_body_raw(feed, "application/rss+xml")).await;
    }

    /// Runs every step up to the posts until none finds anything to do.
    async fn work(&self) {
        let context = &self.context;
        while collect::step(context).await.unwrap() == Step::Worked {}
        while read::step(context).await.unwrap() == Step::Worked {}
        while summarize::step(context).await.unwrap() == Step::Worked {}
        while compose::step(context).await.unwrap() == Step::Worked {}
    }

    /// The articles, oldest first.
    async fn articles(&self) -> Vec<Article> {
        let mut articles = article::list_newest(&self.context.db, 100).await.unwrap();
        articles.sort_by_key(|article| article.id);
        articles
    }
}

fn html(body: &str) -> ResponseTemplate {
    let page = format!("<html><head><title>INN</title></head><body>{body}</body></html>");
    ResponseTemplate::new(200).set_body_raw(page, "text/html; charset=utf-8")
}

#[tokio::test]
async fn a_line_that_three_articles_share_reaches_no_summary() {
    let newsroom = Newsroom::new("off").await;
    let line = "ทีมข่าวภูมิภาคสำนักข่าวสมมุติรายงานจากพื้นที่";
    let titles = ["น้ำท่วมสงขลาคลี่คลายแล้ว", "จับแก๊งขโมยสายไฟกลางกรุง", "เปิดเดินเรือสายใหม่ให้ใช้ฟรี"];
    let texts: Vec<String> = titles
        .iter()
        .map(|title| format!("<p>{line}</p>{}", format!("<p>{title}ในช่วงเช้าวันนี้ {STORY}</p>").repeat(3)))
        .collect();
    let items: Vec<_> = ["/1", "/2", "/3"]
        .into_iter()
        .zip(titles.iter().zip(&texts))
        .map(|(path, (title, text))| (path, *title, text.as_str(), ""))
        .collect();
    newsroom.feed(&items).await;
    newsroom.work().await;
    for article in newsroom.articles().await {
        assert!(
            article.content.text.contains(line),
            "what the source said is kept: {}",
            article.content.text
        );
        let made = summary::find(&newsroom.context.db, article.id, article.version).await.unwrap().unwrap();
        let said = serde_json::to_string(&made).unwrap();
        assert!(!said.contains("สำนักข่าวสมมุติ") && said.contains("เรือท้องแบน"), "{said}");
    }
}

/// What sends the second of two articles to review that share a picture.
async fn twin_reasons(near_duplicates: &str, second_title: &str) -> Vec<String> {
    let newsroom = Newsroom::new(near_duplicates).await;
    let body = format!("<p>{STORY}</p>").repeat(3);
    let picture = |size: &str| {
        format!(
            "<enclosure url='{}' type='image/jpeg' length='1'/>",
            newsroom.at(&format!("/flood{size}.jpg"))
        )
    };
    let (one, two) = (picture(""), picture("-1024x683"));
    newsroom.feed(&[("/new-slug", second_title, &body, &two), ("/slug", TITLE, &body, &one)]).await;
    newsroom.work().await;
    let articles = newsroom.articles().await;
    assert_eq!(articles[0].review, Vec::<String>::new());
    articles[1].review.clone()
}

#[tokio::test]
async fn the_same_picture_under_nearly_the_same_headline_goes_to_review() {
    let alike = "ด่วน! ผู้ว่าฯ สงขลา สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ";
    let reasons = twin_reasons("review", alike).await;
    assert!(reasons.len() == 1 && reasons[0].starts_with("near_duplicate: the same picture"), "{reasons:?}");
    assert_eq!(twin_reasons("off", alike).await, Vec::<String>::new());
    assert_eq!(twin_reasons("review", "ชาวสงขลาร่วมแรงทำความสะอาดหลังน้ำลด").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_picture_that_only_the_page_has_is_compared_too() {
    let newsroom = Newsroom::new("review").await;
    let picture = newsroom.at("/flood.jpg");
    let page = html(&format!("<article><img src='{picture}'><p>{STORY}</p><p>{STORY}</p></article>"));
    newsroom.serve("/one", page.clone()).await;
    newsroom.serve("/two", page).await;
    let alike = "ด่วน! ผู้ว่าฯ สงขลา สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ";
    newsroom.feed(&[("/two", alike, EXCERPT, ""), ("/one", TITLE, EXCERPT, "")]).await;
    newsroom.work().await;
    let articles = newsroom.articles().await;
    assert_eq!(articles[0].content.image.as_deref(), Some(picture.as_str()));
    let reviews: Vec<_> = articles.iter().map(|article| article.review.len()).collect();
    assert_eq!(reviews.iter().sum::<usize>(), 1, "one of the two is looked at: {articles:?}");
}

#[tokio::test]
async fn the_page_of_metrics_has_the_levels_of_the_database_and_survives_its_loss() {
    let newsroom = Newsroom::new("off").await;
    let page = observe::render(&newsroom.context).await;
    for line in [
        "songkhao_database_up 1",
        "songkhao_queue_depth{lane=\"normal\"} 0",
        "songkhao_source_errors{source=\"inn\"} 0",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }
    newsroom.context.db.close().await;
    let page = observe::render(&newsroom.context).await;
    assert!(page.lines().any(|shown| shown == "songkhao_database_up 0"), "{page}");
}
