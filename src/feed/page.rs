//! Page: reads the article out of a web page.
//!
//! What the page says of itself (JSON-LD, OpenGraph, its canonical link) is believed over what can be seen; the
//! text is the extractor's, or the one in JSON-LD where that says much more. Pages from outside are read in a child
//! ([`reader`](crate::feed::reader)): it computes for up to some tenths of a second.

use chrono::DateTime;
use chrono::Utc;
use dom_smoothie::Config;
use dom_smoothie::Readability;
use dom_smoothie::TextMode;
use url::Url;

use crate::feed::clutter;
use crate::feed::date;
use crate::feed::decode::decode;
use crate::feed::depth;
use crate::feed::draft;
use crate::feed::draft::Body;
use crate::feed::facts::Facts;
use crate::feed::facts::without_by;
use crate::feed::image;
use crate::feed::parse::FeedError;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::text::chrome;
use crate::text::html;
use crate::text::normal;
use crate::text::plain;

/// What parts a headline from a site's name in a title.
const SEPARATORS: [char; 10] = ['|', '-', '–', '—', '•', ':', '»', '«', '/', ' '];

/// The shortest headline, in code points, that is believed to be one for standing in the title and on the page.
const HEADLINE: usize = 12;

/// The shortest deck, in code points; what is shorter is a label.
const DECK_LEAST: usize = 20;

/// The longest deck, in code points; what is longer is the text.
const DECK_MOST: usize = 300;

/// An article page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The site's name.
    pub site: Option<String>,
    /// The line below the headline; the text begins with it.
    pub deck: Option<String>,
    /// What is said below the first picture; the text is without it.
    pub caption: Option<String>,
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
) -> Result<Page, FeedError> {
    read(&decode(body, content_type).text, url, now)
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
    clutter::remove(&readability);
    let elements = Elements::of(&readability);
    let article = readability.parse().ok();
    let mut problems = Vec::new();
    let story = article.as_ref().map(|article| normal::normalize(&article.text_content)).unwrap_or_default();
    let title = title(&facts, article.as_ref().map(|article| article.title.to_string()), &story);
    let seen = chrome::clean(&title, &story);
    let given = facts.body.as_deref().map(|body| chrome::clean(&title, body)).unwrap_or_default();
    let story = if is_much_longer(&given, &seen) { given } else { seen };
    if story.is_empty() && facts.title.is_none() {
        return Err(FeedError::NoArticle);
    }
    let deck = elements.deck(&facts, &title, &story);
    let mut dated = |written: &Option<String>| match date::read(written.as_ref()?, now) {
        Ok(date) => Some(date),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let (published, updated) = (dated(&facts.published), dated(&facts.updated));
    let pictured = article.as_ref().and_then(|article| html::first_image(article.content.as_ref()));
    let byline = || Some(without_by(article.as_ref()?.byline.as_ref()?).to_owned());
    let content = Content {
        title,
        link: facts.links.iter().find_map(|link| image::absolute(link, url)).or(address.map(str::to_owned)),
        published,
        updated,
        author: facts.author.or_else(byline).map(|name| normal::one_line(&name)),
        categories: facts.categories,
        image: facts.images.iter().chain(&pictured).find_map(|picture| image::absolute(picture, url)),
        text: with_deck(deck.as_deref(), story),
    };
    let own = |link: &String| host(link).is_some() && host(link) == content.link.as_deref().and_then(host);
    let guid = facts.shortlink.and_then(|link| image::absolute(&link, url)).filter(own);
    let caption = facts.caption;
    Ok(Page { site: facts.site, deck, caption, entry: Entry { guid, content }, problems })
}

/// A site may name its own articles only.
fn host(link: &str) -> Option<String> {
    Some(Url::parse(link).ok()?.host_str()?.to_owned())
}

/// The headline: what the page gives as that; else what stands behind or before the site's name in the title, if it
/// stands on the page too.
fn title(facts: &Facts, extracted: Option<String>, story: &str) -> String {
    let given = facts.title.is_some();
    let title = facts.title.clone().or(extracted).unwrap_or_default();
    let title = draft::headline(Body::Plain(title));
    let title = without_site(&title, facts.site.as_deref()).to_owned();
    let mut seen = facts.headings.iter().map(String::as_str).chain(story.lines().next().filter(|_| !given));
    let is_part = |part: &&str| {
        let rest = title.strip_prefix(part).or_else(|| title.strip_suffix(part));
        rest.is_some_and(|rest| !rest.is_empty() && rest.trim_matches(SEPARATORS) != rest.trim())
    };
    seen.find(|part| part.chars().count() >= HEADLINE && is_part(part)).map(str::to_owned).unwrap_or(title)
}

/// Whether one text says so much more than the other that it is worth losing what the other shows better.
fn is_much_longer(one: &str, other: &str) -> bool {
    one.chars().count() * 4 > other.chars().count() * 5
}

/// The text with the deck as its first paragraph, unless it has it already.
fn with_deck(deck: Option<&str>, story: String) -> String {
    match deck {
        Some(deck) if !letters(&story).contains(&letters(deck)) => {
            format!("{deck}\n{story}").trim_end().to_owned()
        }
        _ => story,
    }
}

/// A text's letters without spaces, for finding one text in another.
fn letters(text: &str) -> String {
    normal::for_matching(text).split_whitespace().collect()
}

/// What stands on a page, element by element, before the extractor chooses.
struct Elements(Vec<String>);

impl Elements {
    fn of(page: &Readability) -> Self {
        let elements = page.doc.select("p, h2, h3, div, span");
        let leaf = elements.iter().filter(|element| !element.select("p, h2, h3, div, ul, table").exists());
        let lines = leaf.map(|element| normal::one_line(&element.text()));
        Self(lines.filter(|line| (DECK_LEAST..=DECK_MOST).contains(&line.chars().count())).collect())
    }

    /// The line below the headline: an element marked as that, or one with whose text the page's description begins,
    /// though the story doesn't.
    fn deck(&self, facts: &Facts, title: &str, story: &str) -> Option<String> {
        let is_deck = |line: &String| {
            let length = line.chars().count();
            (DECK_LEAST..=DECK_MOST).contains(&length) && letters(line) != letters(title)
        };
        let marked = facts.deck.as_deref().map(html::unescape_title).filter(is_deck);
        marked.or_else(|| {
            let description = letters(&html::unescape_title(facts.description.as_deref()?));
            let (title, story) = (letters(title), letters(story));
            let leads = |line: &&String| {
                let line = letters(line);
                description.starts_with(&line) && !title.contains(&line) && !story.starts_with(&line)
            };
            self.0.iter().filter(leads).max_by_key(|line| line.len()).cloned()
        })
    }
}

/// The headline without the site's name behind it ("… | INN News").
fn without_site<'t>(title: &'t str, site: Option<&str>) -> &'t str {
    let shorter = site.and_then(|site| title.strip_suffix(site)).map(str::trim_end);
    let cut = shorter.and_then(|shorter| shorter.strip_suffix(&SEPARATORS[..9]));
    cut.map(str::trim_end).filter(|cut| !cut.is_empty()).unwrap_or(title)
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
