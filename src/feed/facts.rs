//! Facts: what an article page says of itself, apart from its text.
//!
//! JSON-LD is believed over `<meta>` elements, those over microdata, and that over classes that most themes share.

use dom_smoothie::Readability;
use serde_json::Value;

use crate::feed::json;
use crate::text::html;
use crate::text::normal;

/// What a page says of itself. Addresses are as they stand, the likeliest first; dates are unread.
#[derive(Debug, Default)]
pub struct Facts {
    /// The headline, if it is given as such.
    pub title: Option<String>,
    /// What stands large at the top: one of them may be the headline.
    pub headings: Vec<String>,
    /// The line below the headline, where an element is marked as that.
    pub deck: Option<String>,
    /// The page in a sentence or two: a deck of its own, or the beginning of the text.
    pub description: Option<String>,
    /// What is said below the first picture.
    pub caption: Option<String>,
    /// The article's addresses.
    pub links: Vec<String>,
    /// WordPress's own address of the article, such as `https://x.th/?p=123`.
    pub shortlink: Option<String>,
    /// The site's name.
    pub site: Option<String>,
    /// When it came out.
    pub published: Option<String>,
    /// When it was last changed.
    pub updated: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// Pictures that are named as the article's.
    pub images: Vec<String>,
    /// Sections and tags.
    pub categories: Vec<String>,
    /// The whole text as the site gives it to search engines, a paragraph a line.
    pub body: Option<String>,
}

/// Elements that hold the line below the headline.
const DECK: &str = "[itemprop=alternativeHeadline], .subtitle, .article-subtitle, .entry-subtitle, .post-subtitle, \
     .sub-title, .subheadline, .deck, .dek, .standfirst, .sapo";

/// Elements that hold what is said below a picture.
pub const CAPTION: &str = "figcaption, .wp-caption-text, [itemprop=caption]";

/// Elements that hold the writer's name and nothing else, the surest first.
const AUTHOR: &[&str] = &[
    "[itemprop=author] [itemprop=name]",
    "a[rel~=author]",
    ".author.vcard a",
    ".author.vcard",
    ".td-post-author-name a",
];

/// Elements that hold when the article came out, the surest first.
const PUBLISHED: &[&str] = &[
    "[itemprop=datePublished]",
    "time.published",
    "time[pubdate]",
    "article time[datetime]",
    "time[datetime]",
];

/// What stands before a writer's name, in lower case.
const BY: &[&str] = &["by ", "โดย", "เรื่อง:", "เรื่อง :", "ผู้เขียน:", "ผู้เขียน :", "ผู้สื่อข่าว:", "ผู้สื่อข่าว :"];

impl Facts {
    /// Reads them all.
    pub fn of(page: &Readability) -> Self {
        let metas = metas(page);
        let meta = |names: &[&str]| {
            let find =
                |name: &&str| metas.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            names.iter().find_map(find)
        };
        let story = story_data(page).unwrap_or_default();
        let line = |css: &str| line(page, css);
        let value = |css: &str| value(page, css);
        let author = names(&story, "author").join(", ");
        let picture = picture(&story);
        let pictured =
            picture.and_then(|it| it.as_str().map(str::to_owned).or_else(|| json::text(it, "url")));
        Self {
            title: json::text(&story, "headline")
                .or_else(|| meta(&["og:title", "twitter:title"]))
                .or_else(|| line("[itemprop=headline]")),
            headings: page.doc.select("h1").iter().map(|it| normal::one_line(&it.text())).collect(),
            deck: json::text(&story, "alternativeHeadline").or_else(|| line(DECK)),
            description: meta(&["og:description", "description", "twitter:description"]),
            caption: line(CAPTION).or_else(|| json::text(picture?, "caption")),
            links: [value("link[rel=canonical]"), meta(&["og:url"]), value("[itemprop=mainEntityOfPage]")]
                .into_iter()
                .flatten()
                .collect(),
            shortlink: value("link[rel=shortlink]"),
            site: meta(&["og:site_name"]).map(|site| html::unescape_title(&site)),
            published: json::text(&story, "datePublished")
                .or_else(|| meta(&["article:published_time"]))
                .or_else(|| PUBLISHED.iter().find_map(|css| value(css))),
            updated: json::text(&story, "dateModified")
                .or_else(|| meta(&["article:modified_time", "og:updated_time"]))
                .or_else(|| value("[itemprop=dateModified]")),
            author: Some(author)
                .filter(|author| !author.is_empty())
                .or_else(|| meta(&["author"]))
                .or_else(|| AUTHOR.iter().find_map(|css| line(css)))
                .map(|author| without_by(&author).to_owned()),
            images: [
                meta(&["og:image:secure_url", "og:image", "twitter:image"]),
                pictured,
                value("[itemprop=image] [itemprop=url]"),
                value("[itemprop=image]"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            categories: categories(&story, &metas),
            body: json::text(&story, "articleBody").map(|body| html::to_text(&body.replace('\n', "<br>"))),
        }
    }
}

/// The text of the first of these elements that has any.
fn line(page: &Readability, css: &str) -> Option<String> {
    let elements = page.doc.select(css);
    elements.iter().map(|it| normal::one_line(&it.text())).find(|line| !line.is_empty())
}

/// What the first of these elements says in an attribute.
fn value(page: &Readability, css: &str) -> Option<String> {
    let it = page.doc.select(css);
    let said = ["content", "datetime", "href", "src"].iter().find_map(|name| it.attr(name))?;
    Some(said.trim().to_owned()).filter(|said| !said.is_empty())
}

/// Names, in lower case, and contents of the `<meta>` elements.
fn metas(page: &Readability) -> Vec<(String, String)> {
    let metas = page.doc.select("meta[content]");
    let metas = metas.iter().filter_map(|meta| {
        let name = meta.attr("property").or_else(|| meta.attr("name"))?;
        let content = meta.attr("content")?.trim().to_owned();
        (!content.is_empty()).then(|| (name.trim().to_ascii_lowercase(), content))
    });
    metas.collect()
}

/// Sections and tags, each once.
fn categories(story: &Value, metas: &[(String, String)]) -> Vec<String> {
    let named =
        |name: &'static str| metas.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.clone());
    let said = names(story, "articleSection")
        .into_iter()
        .chain(named("article:section"))
        .chain(named("article:tag"));
    let mut categories = Vec::new();
    for category in said {
        let category = html::unescape_title(&category);
        if !category.is_empty() && !categories.contains(&category) {
            categories.push(category);
        }
    }
    categories
}

/// A writer's name without the word that introduces it.
pub fn without_by(author: &str) -> &str {
    let author = author.trim();
    let lower = author.to_ascii_lowercase();
    let by = BY.iter().find(|by| lower.starts_with(*by)).map_or(0, |by| by.len());
    author[by..].trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | ':' | '|'))
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
fn picture(story: &Value) -> Option<&Value> {
    let image = story.get("image")?;
    Some(image.get(0).unwrap_or(image))
}
