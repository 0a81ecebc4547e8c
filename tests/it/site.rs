//! Site: a news site whose feeds answer what a test wants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use chrono::DateTime;
use chrono::Utc;
use wiremock::Request;
use wiremock::Respond;
use wiremock::ResponseTemplate;

/// When the clock of every test starts: 22 November 2026, 10:00 in Bangkok.
pub const START: &str = "2026-11-22T10:00:00+07:00";

/// An article as the news site's feed shows it.
#[derive(Debug, Clone)]
pub struct Item {
    pub guid: Option<String>,
    pub title: Option<String>,
    pub link: Option<String>,
    /// Paragraphs of HTML.
    pub body: String,
    pub categories: Vec<String>,
    pub picture: Option<String>,
    /// When the site says it came out; `None` leaves the date out.
    pub published: Option<DateTime<Utc>>,
}

/// An article that came out when the clock started. Its name makes guid and link.
pub fn item(name: &str, title: &str) -> Item {
    Item {
        guid: Some(format!("tag:saithan.co.th,2026:{name}")),
        title: Some(title.to_owned()),
        link: Some(format!("https://saithan.co.th/news/{name}")),
        body: "<p>เนื้อข่าวย่อหน้าแรกของเรื่องนี้ เล่าว่าเกิดอะไรขึ้นที่จังหวัดเชียงใหม่เมื่อเช้านี้</p>".to_owned(),
        categories: Vec::new(),
        picture: None,
        published: Some(START.parse().unwrap()),
    }
}

impl Item {
    fn rss(&self) -> String {
        let field = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("<{name}>{}</{name}>\n", escaped(value))).unwrap_or_default()
        };
        let picture = self.picture.as_ref().map(|url| {
            format!("<media:content url=\"{}\" medium=\"image\" type=\"image/jpeg\"/>\n", escaped(url))
        });
        let guid =
            self.guid.as_ref().map(|guid| format!("<guid isPermaLink=\"false\">{}</guid>\n", escaped(guid)));
        let date = self.published.map(|at| format!("<pubDate>{}</pubDate>\n", at.to_rfc2822()));
        let categories =
            self.categories.iter().map(|name| format!("<category>{}</category>\n", escaped(name)));
        format!(
            "<item>\n{}{}{}{}{}{}<description>{}</description>\n</item>\n",
            field("title", &self.title),
            field("link", &self.link),
            guid.unwrap_or_default(),
            date.unwrap_or_default(),
            categories.collect::<String>(),
            picture.unwrap_or_default(),
            escaped(&self.body),
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A feed with these articles, newest first, as WordPress would write it.
pub fn rss(items: &[Item]) -> String {
    let items: String = items.iter().map(Item::rss).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\" xmlns:media=\"http://search.yahoo.com/mrss/\">\n\
         <channel>\n<title>สายธาร</title>\n{items}</channel>\n</rss>\n"
    )
}

/// The news site: one feed for each source, which answers what the test wants.
#[derive(Clone, Default)]
pub struct Site(Arc<Mutex<BTreeMap<String, ResponseTemplate>>>);

impl Respond for Site {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let name = request.url.path().trim_start_matches("/feed/");
        self.0.lock().unwrap().get(name).cloned().unwrap_or_else(|| ResponseTemplate::new(404))
    }
}

impl Site {
    /// What a feed answers from now on.
    pub fn answer(&self, source: &str, answer: ResponseTemplate) {
        self.0.lock().unwrap().insert(source.to_owned(), answer);
    }

    /// The articles a feed shows from now on, newest first.
    pub fn show(&self, source: &str, items: &[Item]) {
        self.answer(source, ResponseTemplate::new(200).set_body_raw(rss(items), "application/rss+xml"));
    }
}
