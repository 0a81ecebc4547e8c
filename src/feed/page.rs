//! Page: reads the article out of a web page.
//!
//! What the page says of itself (JSON-LD, OpenGraph, its canonical link) is believed over what can be seen; the
//! text is the extractor's. Callers run this off the async threads: it computes for up to some tenths of a second.

use chrono::DateTime;
use chrono::Utc;
use dom_smoothie::Config;
use dom_smoothie::Readability;
use dom_smoothie::TextMode;
use serde_json::Value;
use url::Url;

use crate::feed::date;
use crate::feed::decode::decode;
use crate::feed::depth;
use crate::feed::draft;
use crate::feed::draft::Body;
use crate::feed::image;
use crate::feed::json;
use crate::feed::parse::FeedError;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::text::chrome;
use crate::text::html;
use crate::text::normal;
use crate::text::plain;

/// An article page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The site's name.
    pub site: Option<String>,
    /// The article.
    pub entry: Entry,
    /// What was wrong.
    pub problems: Vec<String>,
}

/// Reads an article page in any encoding.
///
/// # Errors
/// [`FeedError::TooMuch`] for a page past the guards, [`FeedError::NoArticle`] when there is no text in it.
pub fn page(
    body: &[u8],
    content_type: Option<&str>,
    url: Option<&Url>,
    now: DateTime<Utc>,
) -> Result<Entry, FeedError> {
    Ok(read(&decode(body, content_type).text, url, now)?.entry)
}

/// An article out of plain text, as pasted from a site or written by an editor.
pub fn plain(text: &str) -> Entry {
    let (title, categories, text) = plain::article(text);
    Entry { guid: None, content: Content { title, categories, text, ..Content::default() } }
}

/// Reads a decoded article page.
///
/// # Errors
/// As [`page`].
pub fn read(text: &str, url: Option<&Url>, now: DateTime<Utc>) -> Result<Page, FeedError> {
    depth::check(text).map_err(FeedError::TooMuch)?;
    let config = Config { text_mode: TextMode::Formatted, disable_json_ld: true, ..Config::default() };
    let address = url.map(Url::as_str).filter(|url| url.starts_with("http"));
    let mut readability =
        Readability::new(text, address, Some(config)).map_err(|_bad| FeedError::NoArticle)?;
    let facts = Facts::of(&readability);
    let article = readability.parse().ok();
    let mut problems = Vec::new();
    let title = facts.title.clone().or_else(|| article.as_ref().map(|article| article.title.clone()));
    let title = draft::headline(Body::Plain(title.unwrap_or_default()));
    let title = without_site(&title, facts.site.as_deref()).to_owned();
    let story = article.as_ref().map(|article| normal::normalize(&article.text_content)).unwrap_or_default();
    let story = chrome::clean(&title, &story);
    if story.is_empty() && facts.title.is_none() {
        return Err(FeedError::NoArticle);
    }
    let mut dated = |written: &Option<String>| match date::read(written.as_ref()?, now) {
        Ok(date) => Some(date),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let (published, updated) = (dated(&facts.published), dated(&facts.updated));
    let pictured = || html::first_image(article.as_ref()?.content.as_ref());
    let content = Content {
        title,
        link: facts.link.as_ref().and_then(|link| image::absolute(link, url)).or(address.map(str::to_owned)),
        published,
        updated,
        author: facts.author.or_else(|| article.as_ref()?.byline.clone()).map(|name| normal::one_line(&name)),
        categories: facts.categories,
        image: facts.image.or_else(pictured).and_then(|picture| image::absolute(&picture, url)),
        text: story,
    };
    Ok(Page { site: facts.site, entry: Entry { guid: None, content }, problems })
}

/// The headline without the site's name behind it ("… | INN News").
fn without_site<'t>(title: &'t str, site: Option<&str>) -> &'t str {
    let shorter = site.and_then(|site| title.strip_suffix(site)).map(str::trim_end);
    let cut = shorter.and_then(|shorter| shorter.strip_suffix(['|', '-', '–', '—', '•', ':', '»']));
    cut.map(str::trim_end).filter(|cut| !cut.is_empty()).unwrap_or(title)
}

/// What a page says of itself.
#[derive(Debug, Default)]
struct Facts {
    title: Option<String>,
    link: Option<String>,
    site: Option<String>,
    published: Option<String>,
    updated: Option<String>,
    author: Option<String>,
    image: Option<String>,
    categories: Vec<String>,
}

impl Facts {
    /// Reads JSON-LD first, then the `<meta>` elements.
    fn of(page: &Readability) -> Self {
        let metas: Vec<(String, String)> = page
            .doc
            .select("meta[content]")
            .iter()
            .filter_map(|meta| {
                let name = meta.attr("property").or_else(|| meta.attr("name"))?;
                let content = meta.attr("content")?.trim().to_owned();
                (!content.is_empty()).then(|| (name.trim().to_ascii_lowercase(), content))
            })
            .collect();
        let meta = |names: &[&str]| {
            let find =
                |name: &&str| metas.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            names.iter().find_map(find)
        };
        let canonical =
            page.doc.select("link[rel=canonical]").attr("href").map(|href| href.trim().to_owned());
        let story = story_data(page).unwrap_or_default();
        let tags = metas.iter().filter(|(key, _)| key == "article:section").map(|(_, value)| value.clone());
        let keyed = metas.iter().filter(|(key, _)| key == "article:tag").map(|(_, value)| value.clone());
        let mut categories = Vec::new();
        for category in names(&story, "articleSection").into_iter().chain(tags).chain(keyed) {
            let category = html::unescape_title(&category);
            if !category.is_empty() && !categories.contains(&category) {
                categories.push(category);
            }
        }
        let author = names(&story, "author").join(", ");
        Self {
            title: json::text(&story, "headline").or_else(|| meta(&["og:title", "twitter:title"])),
            link: canonical.filter(|link| !link.is_empty()).or_else(|| meta(&["og:url"])),
            site: meta(&["og:site_name"]).map(|site| html::unescape_title(&site)),
            published: json::text(&story, "datePublished").or_else(|| meta(&["article:published_time"])),
            updated: json::text(&story, "dateModified")
                .or_else(|| meta(&["article:modified_time", "og:updated_time"])),
            author: Some(author).filter(|author| !author.is_empty()).or_else(|| meta(&["author"])),
            image: meta(&["og:image:secure_url", "og:image", "twitter:image"]).or_else(|| picture(&story)),
            categories,
        }
    }
}

/// How deep JSON-LD is searched for its article: `@graph` inside a list is three.
const JSON_LD_DEPTH: usize = 4;

/// The article among the page's JSON-LD.
fn story_data(page: &Readability) -> Option<Value> {
    let scripts = page.doc.select("script[type='application/ld+json']");
    scripts.iter().find_map(|script| {
        let text = script.text();
        let value: Value = serde_json::from_str(text.trim()).ok()?;
        find_story(&value, JSON_LD_DEPTH).cloned()
    })
}

fn find_story(value: &Value, depth: usize) -> Option<&Value> {
    if depth == 0 {
        return None;
    }
    match value {
        Value::Array(values) => values.iter().find_map(|value| find_story(value, depth - 1)),
        Value::Object(object) => {
            let kind = object.get("@type").map(|kind| match kind {
                Value::Array(kinds) => kinds.iter().any(is_story_kind),
                kind => is_story_kind(kind),
            });
            if kind == Some(true) && object.contains_key("headline") {
                return Some(value);
            }
            object.get("@graph").and_then(|graph| find_story(graph, depth - 1))
        }
        _ => None,
    }
}

fn is_story_kind(kind: &Value) -> bool {
    // Article, NewsArticle, ReportageNewsArticle, BlogPosting, LiveBlogPosting …
    kind.as_str().is_some_and(|kind| kind.ends_with("Article") || kind.ends_with("Posting"))
}

/// The names under a key that holds a text, an object with a name, or a list of them.
fn names(value: &Value, key: &str) -> Vec<String> {
    match value.get(key) {
        Some(Value::Array(values)) => values.iter().filter_map(name).collect(),
        Some(value) => name(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn name(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| json::text(value, "name"))
}

/// The picture of JSON-LD: an address, an object with one, or a list.
fn picture(story: &Value) -> Option<String> {
    let image = story.get("image")?;
    let image = image.get(0).unwrap_or(image);
    image.as_str().map(str::to_owned).or_else(|| json::text(image, "url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const TITLE: &str = "ผู้ว่าฯ สงขลา สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ";
    const LINK: &str = "https://www.news.example/regional/news_900108/";
    const PICTURE: &str = "https://www.news.example/wp-content/uploads/2026/11/flood.jpg";

    macro_rules! pages {
        ($($name:literal),*) => {
            &[$(($name, include_bytes!(concat!("../../tests/fixtures/feed/page/", $name, ".html")))),*]
        };
    }

    /// One story on ten sites.
    const PAGES: &[(&str, &[u8])] = pages!(
        "wordpress_yoast",
        "opengraph_only",
        "no_metadata",
        "div_and_br",
        "lazy_images",
        "broken_json_ld",
        "page_builder",
        "ads_between",
        "unclosed_paragraphs",
        "windows874"
    );

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn read_page(body: &[u8]) -> Result<Page, FeedError> {
        read(&decode(body, None).text, Some(&Url::parse(LINK).unwrap()), now())
    }

    fn fixture(name: &str) -> Page {
        let (_, body) = PAGES.iter().find(|(known, _)| *known == name).unwrap();
        read_page(body).unwrap()
    }

    #[test]
    fn every_page_gives_its_whole_story_and_nothing_else() {
        for (name, body) in PAGES {
            let content = read_page(body).unwrap().entry.content;
            assert_eq!(content.title, TITLE, "{name}");
            assert_eq!(content.link.as_deref(), Some(LINK), "{name}");
            for part in ["ผู้ว่าราชการจังหวัดสงขลาสั่ง", "ตลอดทั้งคืนที่ผ่านมา", "เรือท้องแบน 12 ลำ", "หอเตือนภัยของเทศบาล"]
            {
                assert!(content.text.contains(part), "{name} lost {part}: {}", content.text);
            }
            for noise in ["หน้าแรก", "นราธิวาส", "ปลอดภัยทุกคน", "คุกกี้", "googletag", "สงวนลิขสิทธิ์"]
            {
                assert!(!content.text.contains(noise), "{name} kept {noise}: {}", content.text);
            }
        }
    }

    #[test]
    fn paragraphs_stay_paragraphs() {
        for name in ["wordpress_yoast", "unclosed_paragraphs", "page_builder"] {
            let text = fixture(name).entry.content.text;
            assert_eq!(text.lines().count(), 3, "{name}: {text}");
        }
    }

    #[test]
    fn a_page_is_believed_in_what_it_says_of_itself() {
        let page = fixture("wordpress_yoast");
        let content = page.entry.content;
        assert_eq!(page.site.as_deref(), Some("ข่าวสงขลา"));
        assert_eq!(content.author.as_deref(), Some("กองบรรณาธิการ"));
        assert_eq!(content.categories, ["ภูมิภาค", "น้ำท่วม"]);
        assert_eq!(content.published, Some("2026-11-22T10:40:00Z".parse().unwrap()));
        assert_eq!(content.updated, Some("2026-11-22T11:00:00Z".parse().unwrap()));
        assert_eq!(content.image.as_deref(), Some(PICTURE));
        for name in ["opengraph_only", "broken_json_ld"] {
            let other = fixture(name).entry.content;
            assert_eq!((other.published, other.image), (content.published, content.image.clone()), "{name}");
        }
    }

    #[test]
    fn without_metadata_the_storys_own_picture_is_taken() {
        for name in ["no_metadata", "lazy_images"] {
            assert_eq!(fixture(name).entry.content.image.as_deref(), Some(PICTURE), "{name}");
        }
    }

    #[test]
    fn a_windows_874_page_is_read() {
        let content = fixture("windows874").entry.content;
        assert_eq!((content.title.as_str(), content.author.as_deref()), (TITLE, Some("กองบรรณาธิการ")));
    }

    #[test]
    fn a_page_without_an_article_is_said_so() {
        assert_eq!(read_page(b"<html><body></body></html>"), Err(FeedError::NoArticle));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_taken_apart() {
        let bomb = "<div>".repeat(100_000);
        assert!(matches!(read_page(bomb.as_bytes()), Err(FeedError::TooMuch(_))));
    }

    #[test]
    fn the_worst_page_that_passes_is_read_in_time() {
        let tower = format!("{}ข่าว{}", "<div>".repeat(190), "</div>".repeat(190));
        let page = format!("<html><body>{}</body></html>", tower.repeat(20));
        let begun = std::time::Instant::now();
        let _either = read_page(page.as_bytes());
        assert!(begun.elapsed().as_secs() < 20, "it took {:?}", begun.elapsed());
    }

    #[test]
    fn the_sites_name_goes_from_the_headline() {
        assert_eq!(without_site("ข่าวด่วน | INN", Some("INN")), "ข่าวด่วน");
        assert_eq!(without_site("ข่าวด่วน INN", Some("INN")), "ข่าวด่วน INN");
        assert_eq!(without_site("INN", Some("INN")), "INN");
        assert_eq!(without_site("ก - ข", None), "ก - ข");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn mutated_pages_never_panic(
            which in 0..PAGES.len(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..60_usize, "(<|>|</|\"|div|<table>|<p|<!--|&#x|;|\\{|\\}|\\[|@type|[a-zก-ฮ])?"), 1..8),
        ) {
            let mut body = PAGES[which].1.to_vec();
            for (at, gone, piece) in edits {
                let at = at.index(body.len() + 1);
                let end = (at + gone).min(body.len());
                body.splice(at..end, piece.into_bytes());
            }
            let _either = read_page(&body);
        }
    }
}
