//! Parse: reads a source's document, whatever it turns out to be.
//!
//! Real feeds are broken in every way there is. What can be saved is read and what was wrong is said in
//! [`Feed::problems`]; an error means that not one article could be had.

use std::collections::HashMap;

use chrono::DateTime;
use chrono::Utc;
use serde_json::Value;
use url::Url;

use crate::feed::atom;
use crate::feed::decode::decode;
use crate::feed::draft;
use crate::feed::draft::Body;
use crate::feed::draft::Draft;
use crate::feed::json;
use crate::feed::page;
use crate::feed::repair;
use crate::feed::rss;
use crate::feed::xml;
use crate::feed::xml::Element;
use crate::feed::xml::Mode;
use crate::model::article::Entry;

/// What a source shows at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feed {
    /// The feed's own name.
    pub title: Option<String>,
    /// Its articles in the document's order, each identity once. One may lack a title or a link.
    pub entries: Vec<Entry>,
    /// What was wrong, in sentences that name the item by its place in the document.
    pub problems: Vec<String>,
}

/// Why a document gives no articles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Nothing, or white space.
    #[error("the document is empty")]
    Empty,
    /// HTML where a feed should be: an error page, a consent page, a challenge.
    #[error("this is a web page, not a feed; look for the feed's address on it (WordPress: /feed/)")]
    Page,
    /// Something else.
    #[error("this is {0}, not a feed")]
    NotFeed(String),
    /// XML beyond repair.
    #[error("the feed's XML is broken at {0}, and no whole article could be saved")]
    Xml(#[from] xml::Fault),
    /// JSON with a fault.
    #[error("the feed's JSON is broken: {0}")]
    Json(String),
    /// A page the extractor must not be given.
    #[error("the page is {0}")]
    TooMuch(String),
    /// A page or text without an article.
    #[error("no article was found in it")]
    NoArticle,
}

/// Reads a feed: RSS, Atom or JSON Feed, in any encoding.
///
/// `content_type` is the HTTP header; `url` is where it came from, for relative addresses.
///
/// # Errors
/// A [`FeedError`] when there is no feed in `body`, or none that can be read. A feed without articles is no error.
pub fn read(
    body: &[u8],
    content_type: Option<&str>,
    url: Option<&Url>,
    now: DateTime<Utc>,
) -> Result<Feed, FeedError> {
    let decoded = decode(body, content_type);
    let mut feed = match Kind::of(&decoded.text) {
        Kind::Empty => Err(FeedError::Empty),
        Kind::Xml(text) => {
            let junk = (text.len() < decoded.text.trim_start().len())
                .then(|| "something stands before the XML (a PHP warning?); it was left out".to_owned());
            xml_feed(text, url, now).map(|feed| with_problems(feed, junk))
        }
        Kind::Json => json_feed(&decoded.text, url, now),
        Kind::Html => Err(FeedError::Page),
        Kind::Plain => Err(FeedError::NotFeed("plain text".to_owned())),
    }?;
    if feed.entries.is_empty() {
        feed.problems.push("there are no articles in it".to_owned());
    }
    Ok(with_problems(feed, decoded.problem))
}

/// Reads a feed, an article page or plain text, by what `body` turns out to be.
///
/// # Errors
/// A [`FeedError`] when there is no article to be had.
pub fn any(
    body: &[u8],
    content_type: Option<&str>,
    url: Option<&Url>,
    now: DateTime<Utc>,
) -> Result<Feed, FeedError> {
    let decoded = decode(body, content_type);
    match Kind::of(&decoded.text) {
        Kind::Html => {
            let page = page::read(&decoded.text, url, now)?;
            let feed = Feed { title: page.site, entries: vec![page.entry], problems: page.problems };
            Ok(with_problems(feed, decoded.problem))
        }
        Kind::Plain => {
            let entry = page::plain(&decoded.text);
            if entry.content.title.is_empty() {
                return Err(FeedError::NoArticle);
            }
            let feed = Feed { entries: vec![entry], ..Feed::default() };
            Ok(with_problems(feed, decoded.problem))
        }
        Kind::Empty | Kind::Xml(_) | Kind::Json => read(body, content_type, url, now),
    }
}

fn with_problems(mut feed: Feed, first: Option<String>) -> Feed {
    feed.problems.splice(0..0, first);
    feed
}

/// How far into a document its root element may begin.
const PROLOGUE: usize = 4096;

/// What a document is, at first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    Empty,
    /// XML, from its beginning or, where something else stands before, from its root element.
    Xml(&'a str),
    Json,
    Html,
    Plain,
}

impl<'a> Kind<'a> {
    fn of(text: &'a str) -> Self {
        let text = text.trim_start();
        let prologue = text[..text.floor_char_boundary(PROLOGUE)].to_ascii_lowercase();
        let find = |names: &[&str]| names.iter().filter_map(|name| tag(&prologue, name)).min();
        let feed = find(&["rss", "feed", "rdf:rdf"]);
        let page = find(&["html", "!doctype html", "head", "body"]);
        match (prologue.chars().next(), feed, page) {
            (None, ..) => Self::Empty,
            (Some('{' | '['), ..) => Self::Json,
            (_, Some(at), page) if page.is_none_or(|page| at < page) => {
                // Before the root stand only declarations, or something that must go.
                let sound = at == 0 || prologue.starts_with("<?") || prologue.starts_with("<!");
                Self::Xml(if sound { text } else { &text[at..] })
            }
            (_, _, Some(_)) => Self::Html,
            (Some('<'), ..) if find(FRAGMENTS) == Some(0) => Self::Html,
            (Some('<'), ..) => Self::Xml(text),
            _ => Self::Plain,
        }
    }
}

/// Elements that begin a piece of HTML without `<html>`.
const FRAGMENTS: &[&str] =
    &["title", "meta", "link", "main", "article", "section", "header", "div", "p", "h1", "h2", "span", "img"];

/// Where `<name` stands, with a boundary behind it.
fn tag(text: &str, name: &str) -> Option<usize> {
    text.match_indices('<').map(|(at, _)| at).find(|at| {
        let tail = text[at + 1..].strip_prefix(name);
        tail.is_some_and(|tail| tail.starts_with(|c: char| c == '>' || c == '/' || c.is_ascii_whitespace()))
    })
}

/// Reads XML as it should be, then mended, then article by article.
fn xml_feed(text: &str, url: Option<&Url>, now: DateTime<Utc>) -> Result<Feed, FeedError> {
    let fault = match xml::parse(text, Mode::Strict) {
        Ok(root) => return rooted(&root, url, now),
        Err(fault) => fault,
    };
    let mended = repair::mend(text);
    if let Ok(root) = xml::parse(&mended, Mode::Lenient) {
        let feed = rooted(&root, url, now)?;
        if !feed.entries.is_empty() {
            return Ok(with_problems(
                feed,
                Some(format!("the XML is broken at {fault}; it was read after repair")),
            ));
        }
    }
    let blocks: Vec<String> = repair::blocks(text).into_iter().map(repair::mend).collect();
    let saved: Vec<Element<'_>> =
        blocks.iter().filter_map(|block| xml::parse(block, Mode::Lenient).ok()).collect();
    if saved.is_empty() {
        return Err(fault.into());
    }
    let problem = format!("the XML is broken at {fault}; {} whole articles were saved", saved.len());
    let drafts = saved.iter().map(|item| match item.name.as_str() {
        "entry" => atom::draft(item, None, url),
        _ => rss::draft(item, url),
    });
    Ok(with_problems(gathered(None, drafts.enumerate(), url, now), Some(problem)))
}

/// Reads a document by its root element.
fn rooted(root: &Element<'_>, url: Option<&Url>, now: DateTime<Utc>) -> Result<Feed, FeedError> {
    let other = |what: &str| Err(FeedError::NotFeed(what.to_owned()));
    match root.name.as_str() {
        "rss" | "rdf:rdf" | "channel" => {
            let channel = root.child("channel").unwrap_or(root);
            let items: Vec<&Element<'_>> =
                root.all("item").chain(root.all("channel").flat_map(|c| c.all("item"))).collect();
            let site = channel.all("link").find_map(|link| Url::parse(&link.text()).ok());
            let base = url.or(site.as_ref());
            let title = channel.child("title").map(Element::markup).and_then(Body::html);
            Ok(elements(title, &items, |item| rss::draft(item, base), base, now))
        }
        "feed" | "atom:feed" => {
            let entries: Vec<&Element<'_>> = atom::named(root, "entry").collect();
            let title = atom::child(root, "title").and_then(atom::body);
            Ok(elements(title, &entries, |entry| atom::draft(entry, Some(root), url), url, now))
        }
        "entry" | "atom:entry" => {
            Ok(elements(None, &[root], |entry| atom::draft(entry, None, url), url, now))
        }
        "html" | "xhtml:html" => Err(FeedError::Page),
        "urlset" | "sitemapindex" => other("a sitemap"),
        "opml" => other("a list of feeds (OPML)"),
        name => other(&format!("an XML document <{}>", name.chars().take(40).collect::<String>())),
    }
}

/// Reads the items that are whole; the one at which a cut document ends is left out, because half an
/// article would be posted as a whole one.
fn elements(
    title: Option<Body>,
    items: &[&Element<'_>],
    draft: impl Fn(&Element<'_>) -> Draft,
    base: Option<&Url>,
    now: DateTime<Utc>,
) -> Feed {
    let whole = items.iter().enumerate().filter(|(_, item)| item.complete);
    let drafts = whole.map(|(index, item)| (index, draft(item)));
    let mut feed = gathered(title.map(draft::headline).filter(|title| !title.is_empty()), drafts, base, now);
    if let Some(cut) = items.iter().position(|item| !item.complete) {
        feed.problems.push(format!("item {}: the document breaks off in it; it was left out", cut + 1));
    }
    feed
}

fn json_feed(text: &str, url: Option<&Url>, now: DateTime<Utc>) -> Result<Feed, FeedError> {
    let document: Value =
        serde_json::from_str(text.trim()).map_err(|error| FeedError::Json(error.to_string()))?;
    let items = json::items(&document).ok_or_else(|| FeedError::NotFeed("a JSON document".to_owned()))?;
    let site = json::text(&document, "home_page_url").and_then(|url| Url::parse(&url).ok());
    let base = url.or(site.as_ref());
    let objects = items.iter().enumerate().filter(|(_, item)| item.is_object());
    let drafts = objects.map(|(index, item)| (index, json::draft(item, &document, base)));
    let title = json::text(&document, "title").map(|title| draft::headline(Body::Plain(title)));
    let mut feed = gathered(title, drafts, base, now);
    for (index, _) in items.iter().enumerate().filter(|(_, item)| !item.is_object()) {
        feed.problems.push(format!("item {}: it is no object; it was left out", index + 1));
    }
    Ok(feed)
}

/// Finishes the drafts, which come with their index in the document.
fn gathered(
    title: Option<String>,
    drafts: impl Iterator<Item = (usize, Draft)>,
    base: Option<&Url>,
    now: DateTime<Utc>,
) -> Feed {
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    for (index, draft) in drafts {
        let (entry, faults) = draft::finish(draft, base, now);
        problems.extend(faults.into_iter().map(|fault| format!("item {}: {fault}", index + 1)));
        entries.push((index, entry));
    }
    unshare_ids(&mut entries, &mut problems);
    Feed { title, entries: without_repetitions(entries, &mut problems), problems }
}

/// Takes an id that stands on three articles or more, each with a link of its own, from all of them: it is
/// a constant and would make one article of all.
fn unshare_ids(entries: &mut [(usize, Entry)], problems: &mut Vec<String>) {
    let mut links: HashMap<String, Vec<Option<String>>> = HashMap::new();
    for (_, entry) in entries.iter() {
        if let Some(guid) = &entry.guid {
            links.entry(guid.clone()).or_default().push(entry.content.link.clone());
        }
    }
    let is_constant = |links: &Vec<Option<String>>| {
        let distinct: std::collections::HashSet<_> = links.iter().flatten().collect();
        links.len() >= 3 && distinct.len() == links.len()
    };
    links.retain(|_, links| is_constant(links));
    for (_, entry) in entries.iter_mut() {
        entry.guid.take_if(|guid| links.contains_key(guid));
    }
    let mut constants: Vec<(&String, usize)> =
        links.iter().map(|(guid, links)| (guid, links.len())).collect();
    constants.sort_unstable();
    problems.extend(constants.into_iter().map(|(guid, count)| {
        let shown: String = guid.chars().take(100).collect();
        format!("the id \"{shown}\" stands on {count} articles with different links; it is not used")
    }));
}

/// Each identity once: of items with the same id, or without one the same link, the first stays.
fn without_repetitions(entries: Vec<(usize, Entry)>, problems: &mut Vec<String>) -> Vec<Entry> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut kept = Vec::new();
    for (index, entry) in entries {
        let first = entry
            .guid
            .as_ref()
            .or(entry.content.link.as_ref())
            .map(|key| *seen.entry(key.clone()).or_insert(index));
        match first {
            Some(first) if first != index => {
                problems.push(format!(
                    "item {}: the same id as item {}; it was left out",
                    index + 1,
                    first + 1
                ));
            }
            _ => kept.push(entry),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::{Strategy, any as anything, prop, prop_assert, prop_oneof, proptest};

    use crate::model::article;

    const WORDPRESS: &[u8] = include_bytes!("../../tests/fixtures/feed/wordpress.xml");
    const TRAPS: &[u8] = include_bytes!("../../tests/fixtures/feed/traps.xml");
    const HOSTILE: &[u8] = include_bytes!("../../tests/fixtures/feed/hostile.xml");
    const BROKEN: &[u8] = include_bytes!("../../tests/fixtures/feed/err_broken.xml");
    const UNCLOSED: &[u8] = include_bytes!("../../tests/fixtures/feed/err_unclosed_cdata.xml");
    const PAGE: &[u8] = include_bytes!("../../tests/fixtures/feed/err_page.html");
    const YOUTUBE: &[u8] = include_bytes!("../../tests/fixtures/feed/youtube.xml");
    const BLOGGER: &[u8] = include_bytes!("../../tests/fixtures/feed/blogger.xml");
    const JSON: &[u8] = include_bytes!("../../tests/fixtures/feed/feed.json");
    const RDF: &[u8] = include_bytes!("../../tests/fixtures/feed/rdf.xml");
    const THAI: &[u8] = include_bytes!("../../tests/fixtures/feed/windows874.xml");

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn read(body: impl AsRef<[u8]>) -> Result<Feed, FeedError> {
        super::read(body.as_ref(), None, None, now())
    }

    fn date(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().unwrap())
    }

    fn items(items: &str) -> String {
        format!("<rss version='2.0'><channel><title>t</title>{items}</channel></rss>")
    }

    fn titles(feed: &Feed) -> Vec<&str> {
        feed.entries.iter().map(|entry| entry.content.title.as_str()).collect()
    }

    fn replaced(body: &[u8], from: &str, to: &str) -> String {
        let text = std::str::from_utf8(body).unwrap();
        assert!(text.contains(from), "{from} is not in the fixture");
        text.replace(from, to)
    }

    #[test]
    fn wordpress_is_read_whole() {
        let feed = read(WORDPRESS).unwrap();
        assert_eq!(feed.title.as_deref(), Some("ข่าวสงขลา"));
        assert_eq!(feed.problems, [""; 0]);
        let [flood, crime, sport] = &feed.entries[..] else { panic!("{feed:?}") };
        assert_eq!(flood.guid.as_deref(), Some("https://www.news.example/?p=900108"));
        assert_eq!(flood.content.title, "“ผู้ว่าฯ สงขลา” สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ");
        assert_eq!(flood.content.link.as_deref(), Some("https://www.news.example/regional/news_900108/"));
        assert_eq!(flood.content.published, date("2026-11-22T10:40:00Z"));
        assert_eq!(flood.content.author.as_deref(), Some("กองบรรณาธิการ"));
        assert_eq!(flood.content.categories, ["ภูมิภาค", "น้ำท่วม", "ข่าว & สถานการณ์"]);
        assert_eq!(
            flood.content.text,
            "ผู้ว่าราชการจังหวัดสงขลาสั่งทุกอำเภอเฝ้าระวังน้ำท่วม หลังฝนตกหนักต่อเนื่อง 3 วัน\n\
             ระดับน้ำในคลองอู่ตะเภาสูงกว่าตลิ่ง 1.20 เมตร และยังเพิ่มขึ้น"
        );
        assert_eq!(
            flood.content.image.as_deref(),
            Some("https://www.news.example/wp-content/uploads/2026/11/flood-780x405.jpg")
        );
        assert_eq!(crime.content.title, "ตำรวจจับเครือข่ายบัญชีม้า 12 ราย – ยึดเงินสด 4.5 ล้านบาท");
        assert_eq!(crime.content.text, "ตำรวจไซเบอร์จับเครือข่ายบัญชีม้า 12 ราย ในพื้นที่หาดใหญ่");
        assert_eq!(crime.content.image, None);
        assert_eq!(sport.content.image.as_deref(), Some("https://cdn.news.example/a-1200.jpg?x=1&y=2"));
        assert_eq!(sport.content.author, None);
    }

    #[test]
    fn a_link_is_kept_byte_for_byte() {
        let feed = read(WORDPRESS).unwrap();
        assert_eq!(
            feed.entries[1].content.link.as_deref(),
            Some(
                "https://www.news.example/crime/%e0%b8%88%e0%b8%b1%e0%b8%9a%e0%b8%9a%e0%b8%b1%e0%b8%8d%e0%b8%8a%e0%b8%b5/?ref=rss&id=7"
            )
        );
        for link in ["HTTPS://X.th", "https://x.th:443/ข่าว/../a b?q=ก#frag", "http://x.th/%7Ea/%E0%b8"]
        {
            let feed =
                read(items(&format!("<item><title>t</title><link>\n {link}\t</link></item>"))).unwrap();
            assert_eq!(feed.entries[0].content.link.as_deref(), Some(link));
        }
    }

    #[test]
    fn an_edit_keeps_the_aliases_and_changes_the_content() {
        let before = read(WORDPRESS).unwrap();
        let edited = replaced(WORDPRESS, "16 อำเภอ", "18 อำเภอ");
        let flipped = replaced(edited.as_bytes(), "https://www.news.example/?p=", "http://news.example/?p=");
        let after = read(flipped).unwrap();
        for (one, two) in before.entries.iter().zip(&after.entries) {
            assert_eq!(article::aliases("inn", one), article::aliases("inn", two));
        }
        let hashes =
            |feed: &Feed| feed.entries.iter().map(|e| article::content_hash(&e.content)).collect::<Vec<_>>();
        let (before, after) = (hashes(&before), hashes(&after));
        assert_ne!(before[0], after[0]);
        assert_eq!(before[1..], after[1..]);
    }

    #[test]
    fn one_bad_item_never_spoils_the_others() {
        let feed = read(TRAPS).unwrap();
        let dates: Vec<_> = feed.entries.iter().map(|entry| entry.content.published).collect();
        assert_eq!(dates[..4], [date("2026-11-22T10:00:00Z"), None, None, None]);
        assert_eq!(
            titles(&feed),
            ["วันที่ พ.ศ.", "เวลาไทยแต่เขียนว่า GMT", "ไม่มีวันที่", "วันที่เสีย", "", "ไม่มีลิงก์", "ลิงก์สัมพัทธ์", "ลิงก์เสีย", ""]
        );
        assert_eq!(feed.entries[6].content.link.as_deref(), Some("https://www.news.example/8"));
        assert_eq!(feed.entries[7].content.link.as_deref(), Some("www.news.example/9"));
        assert_eq!(
            feed.problems,
            [
                "item 2: the date \"Sun, 22 Nov 2026 18:30:00 GMT\" lies in the future",
                "item 4: the date \"เร็ว ๆ นี้\" can't be read",
                "item 5: no title",
                "item 6: no link",
                "item 9: the link is no address (\"www.news.example/9\": relative URL without a base)",
                "item 10: no title",
                "item 10: no link",
                "item 7: the same id as item 1; it was left out",
            ]
        );
    }

    #[test]
    fn a_constant_id_is_no_identity() {
        let item = |n| {
            format!(
                "<item><title>{n}</title><link>https://x.th/{n}</link><guid isPermaLink='false'>x</guid></item>"
            )
        };
        let feed = read(items(&(1..=3).map(item).collect::<String>())).unwrap();
        assert_eq!(titles(&feed), ["1", "2", "3"]);
        assert!(feed.entries.iter().all(|entry| entry.guid.is_none()));
        assert_eq!(feed.problems, ["the id \"x\" stands on 3 articles with different links; it is not used"]);
        let feed = read(items(&(1..=2).map(item).collect::<String>())).unwrap();
        assert_eq!(titles(&feed), ["1"]);
    }

    #[test]
    fn a_hostile_feed_is_only_text() {
        let feed = read(HOSTILE).unwrap();
        let [one, two] = &feed.entries[..] else { panic!("{feed:?}") };
        assert!(one.content.title.contains("{{ 7*7 }} {% for x in y %}"), "{}", one.content.title);
        for entry in [one, two] {
            let shown = format!("{}{}", entry.content.title, entry.content.text);
            assert!(!shown.contains("<script"), "{shown}");
            assert!(!shown.contains("aaaaaaaa") && !shown.contains("root:"), "{shown}");
            let title = &entry.content.title;
            assert!(
                !title.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)),
                "{title:?}"
            );
        }
        assert!(two.content.title.starts_with("บรรทัดหนึ่ง บรรทัดสอง แท็บ"), "{}", two.content.title);
        assert_eq!(two.content.image, None);
    }

    #[test]
    fn a_title_of_5000_characters_is_read() {
        let title = "ข่าว".repeat(1250);
        let feed =
            read(items(&format!("<item><title>{title}</title><link>https://x.th/1</link></item>"))).unwrap();
        assert_eq!(titles(&feed), [title]);
    }

    #[test]
    fn broken_xml_is_read_after_repair() {
        let feed = read(BROKEN).unwrap();
        assert_eq!(feed.title.as_deref(), Some("ข่าว & บันเทิง"));
        let [one, two] = &feed.entries[..] else { panic!("{feed:?}") };
        assert_eq!(one.content.link.as_deref(), Some("https://www.news.example/1?a=1&b=2"));
        assert!(one.content.text.starts_with("ราคา < 100 บาท"), "{}", one.content.text);
        assert_eq!(two.content.text, "เนื้อ ข่าว");
        assert!(feed.problems[0].starts_with("the XML is broken at line 1, column "), "{:?}", feed.problems);
    }

    #[test]
    fn cdata_that_never_ends_costs_nothing() {
        let feed = read(UNCLOSED).unwrap();
        assert_eq!(titles(&feed), ["ข่าวแรก", "ข่าวเสีย", "ข่าวสาม"]);
        assert!(feed.problems[0].ends_with("it was read after repair"), "{:?}", feed.problems);
    }

    #[test]
    fn whole_articles_are_saved_from_a_wreck() {
        let deep = format!("<item><title>ลึก</title><description>{}</description></item>", "<p>".repeat(200));
        let sound = "<item><title>ดี</title><link>https://x.th/1</link></item>";
        let feed = read(items(&[sound, &deep, sound.replace("/1", "/2").as_str()].concat())).unwrap();
        assert_eq!(titles(&feed), ["ดี", "ดี"]);
        assert!(feed.problems[0].ends_with("2 whole articles were saved"), "{:?}", feed.problems);
    }

    #[test]
    fn the_article_at_which_a_document_breaks_off_is_left_out() {
        let text = std::str::from_utf8(WORDPRESS).unwrap();
        let cut = text.find("ทีมชาติไทย").unwrap();
        let feed = read(&text[..cut]).unwrap();
        assert_eq!(feed.entries, read(WORDPRESS).unwrap().entries[..2]);
        let first = text.find("ผู้ว่าราชการ").unwrap();
        assert!(matches!(read(&text[..first]), Err(FeedError::Xml(_))));
        // A cut in the middle of a tag, of a CDATA section, of a letter: what was whole before stays.
        for cut in (0..text.len()).step_by(7) {
            match read(&WORDPRESS[..cut]) {
                Ok(feed) => assert!(feed.entries.len() <= 3),
                Err(error) => {
                    assert!(matches!(error, FeedError::Xml(_) | FeedError::Empty), "{cut}: {error}")
                }
            }
        }
    }

    #[test]
    fn a_warning_before_the_xml_is_left_out() {
        let body = [
            "<br />\n<b>Warning</b>: Undefined index in <b>x.php</b>\n",
            std::str::from_utf8(WORDPRESS).unwrap(),
        ];
        let feed = read(body.concat()).unwrap();
        assert_eq!(feed.entries.len(), 3);
        assert!(feed.problems[0].contains("PHP warning"));
        let feed = read(["\n\n", body[1]].concat()).unwrap();
        assert_eq!((feed.entries.len(), feed.problems.len()), (3, 0));
    }

    #[test]
    fn every_format_gives_the_same_nouns() {
        let feed = read(YOUTUBE).unwrap();
        let Entry { guid, content } = &feed.entries[0];
        assert_eq!(guid.as_deref(), Some("yt:video:abcDEF12345"));
        assert_eq!(content.link.as_deref(), Some("https://www.youtube.com/watch?v=abcDEF12345"));
        assert_eq!(content.image.as_deref(), Some("https://i4.ytimg.com/vi/abcDEF12345/hqdefault.jpg"));
        assert_eq!(
            (&content.author, &content.text[..]),
            (&Some("ช่องข่าวตัวอย่าง".into()), "สรุปข่าวเที่ยง น้ำท่วมภาคใต้ยังวิกฤต")
        );
        assert_eq!(content.updated, date("2026-11-22T06:10:00Z"));

        let feed = read(BLOGGER).unwrap();
        let content = &feed.entries[0].content;
        assert_eq!(feed.title.as_deref(), Some("บล็อกข่าว"));
        assert_eq!(content.title, "AI & ข่าว เร็ว");
        assert_eq!(content.text, "ย่อหน้าแรก\nย่อหน้าสอง");
        assert_eq!(content.image.as_deref(), Some("https://1.bp.example/s1600/a.png"));
        assert_eq!(
            (&content.categories[..], &content.author),
            (&["เทคโนโลยี".to_owned()][..], &Some("ผู้เขียน".into()))
        );

        let feed = read(RDF).unwrap();
        let content = &feed.entries[0].content;
        assert_eq!(feed.entries[0].guid.as_deref(), Some("https://www.news.example/1"));
        assert_eq!(
            (content.published, &content.categories[..]),
            (date("2026-11-22T03:00:00Z"), &["ทั่วไป".to_owned()][..])
        );

        let feed = read(JSON).unwrap();
        assert_eq!(feed.entries.len(), 2);
        let content = &feed.entries[0].content;
        assert_eq!(content.link.as_deref(), Some("https://www.news.example/a%2fb"));
        assert_eq!(content.image.as_deref(), Some("https://www.news.example/a.jpg"));
        assert_eq!(content.text, "ย่อหน้า & ย่อหน้า\nสอง");
        assert_eq!(feed.entries[1].content.text, "ข้อความ 1 < 2");
        let problems = ["item 3: no title", "item 3: no link", "item 2: it is no object; it was left out"];
        assert_eq!(feed.problems, problems);
    }

    #[test]
    fn windows_874_is_read_with_and_without_a_label_and_a_false_label_does_no_harm() {
        let feed = read(THAI).unwrap();
        assert_eq!(titles(&feed), ["นายกฯ ลงพื้นที่ตรวจน้ำท่วม"]);
        let unlabelled: Vec<u8> = THAI[THAI.iter().position(|&byte| byte == b'\n').unwrap()..].to_vec();
        assert_eq!(read(unlabelled).unwrap().entries, feed.entries);
        let lying = replaced(WORDPRESS, "UTF-8", "windows-874");
        let lying = super::read(lying.as_bytes(), Some("text/xml; charset=tis-620"), None, now()).unwrap();
        assert_eq!(lying, read(WORDPRESS).unwrap());
    }

    #[track_caller]
    fn check_error(body: &str, expected: &str) {
        assert_eq!(read(body).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_is_no_feed_is_said_so() {
        check_error("", "the document is empty");
        check_error(" \n\t", "the document is empty");
        check_error("ข่าว", "this is plain text, not a feed");
        check_error("{\"a\":1}", "this is a JSON document, not a feed");
        check_error("[{\"id\":1}]", "this is a JSON document, not a feed");
        check_error("{\"a\":", "the feed's JSON is broken: EOF while parsing a value at line 1 column 5");
        check_error("<urlset><url/></urlset>", "this is a sitemap, not a feed");
        check_error("<x>1</x>", "this is an XML document <x>, not a feed");
        assert_eq!(read(PAGE), Err(FeedError::Page));
        assert_eq!(read("<html><head><title>x</title>"), Err(FeedError::Page));
        assert_eq!(read("<!-- a --><HTML>"), Err(FeedError::Page));
    }

    #[test]
    fn a_feed_without_articles_is_a_feed() {
        let feed = read(items("")).unwrap();
        assert_eq!((feed.title.as_deref(), feed.entries.len()), (Some("t"), 0));
        assert_eq!(feed.problems, ["there are no articles in it"]);
        assert!(read("<feed xmlns='http://www.w3.org/2005/Atom'/>").unwrap().entries.is_empty());
    }

    #[test]
    fn any_document_is_read_by_its_content() {
        let any = |body: &[u8]| super::any(body, None, None, now());
        assert_eq!(any(WORDPRESS).unwrap().entries.len(), 3);
        assert_eq!(any(JSON).unwrap().entries.len(), 2);
        let plain = any("พาดหัวข่าว\n\nเนื้อข่าวที่หนึ่ง\n".as_bytes()).unwrap();
        assert_eq!(titles(&plain), ["พาดหัวข่าว"]);
        assert_eq!(any(b" "), Err(FeedError::Empty));
        assert_eq!(any(b"| \n"), Err(FeedError::NoArticle));
    }

    /// feed-rs reads sound feeds well; where it doesn't normalise or invent, we say the same.
    #[test]
    fn feed_rs_reads_the_same_from_sound_feeds() {
        for body in [WORDPRESS, YOUTUBE, RDF, THAI] {
            let theirs = feed_rs::parser::parse(body).unwrap();
            let ours = read(body).unwrap();
            assert_eq!(ours.entries.len(), theirs.entries.len());
            for (our, their) in ours.entries.iter().zip(&theirs.entries) {
                assert!(their.published.is_none() || our.content.published == their.published);
                let link = our.content.link.as_deref().and_then(article::canonical_link);
                assert_eq!(link, article::canonical_link(&their.links[0].href));
            }
        }
    }

    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        let bodies = vec![WORDPRESS, TRAPS, HOSTILE, BROKEN, UNCLOSED, YOUTUBE, BLOGGER, JSON, RDF, THAI];
        let piece = prop_oneof![
            prop::collection::vec(anything::<u8>(), 0..4),
            prop::sample::select(vec![
                "<",
                ">",
                "<item>",
                "</item>",
                "&",
                "<![CDATA[",
                "]]>",
                "\"",
                "{",
                "\u{0}"
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
        ];
        let edits = prop::collection::vec((anything::<prop::sample::Index>(), 0..40_usize, piece), 1..6);
        (prop::sample::select(bodies), edits).prop_map(|(body, edits)| {
            let mut body = body.to_vec();
            for (at, gone, piece) in edits {
                let at = at.index(body.len() + 1);
                let end = (at + gone).min(body.len());
                body.splice(at..end, piece);
            }
            body
        })
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body: Vec<u8>, content_type: Option<String>) {
            let _either = super::any(&body, content_type.as_deref(), None, now());
        }

        #[test]
        fn mutated_feeds_never_panic(body in mutated()) {
            if let Ok(feed) = super::any(&body, None, None, now()) {
                for entry in &feed.entries {
                    article::aliases("s", entry);
                    prop_assert!(!entry.content.title.contains('\n'));
                }
            }
        }
    }
}
