//! Newsroom: the sample news site: its articles, its feeds and its pages.
//!
//! It is shaped like a Thai WordPress site, with the chrome words and footers that must never reach a post.

mod feed;
mod site;

use std::collections::VecDeque;

use axum::Router;
use chrono::DateTime;
use chrono::Duration;
use chrono::SubsecRound;
use chrono::Utc;
use serde::Deserialize;
use serde::Serialize;

use crate::sandbox::Sandbox;
use crate::sandbox::call;

/// The name the site goes by.
pub const NAME: &str = "สายธารนิวส์";

const SAMPLES: &str = include_str!("sample.toml");

/// The first id of articles that callers add; the samples' ids lie below.
const FIRST_ADDED_ID: u64 = 905_001;

/// `/feed…`, `/news/…` and `/picture/…`.
pub fn router(sandbox: Sandbox) -> Router {
    feed::router(sandbox.clone()).merge(site::router(sandbox))
}

/// One article as the site holds it.
#[derive(Debug, Clone)]
pub struct Article {
    /// The WordPress post id; the guid is `{base}/?p={id}`.
    pub id: u64,
    /// The last segment of its address, decoded.
    pub slug: String,
    /// The headline, plain.
    pub title: String,
    /// The section, then the tags.
    pub categories: Vec<String>,
    /// The byline.
    pub creator: String,
    /// The body, HTML.
    pub body: String,
    /// Where its picture is, if it has one.
    pub picture: Option<String>,
    /// When it came out.
    pub published: DateTime<Utc>,
    /// When it was changed last.
    pub modified: DateTime<Utc>,
    /// Taken down: its page answers 410 and the feed leaves it out.
    pub gone: bool,
}

impl Article {
    /// The first sentences, without tags, as a site's description field holds them.
    pub fn excerpt(&self, chars: usize) -> String {
        let text = plain(&self.body);
        let cut: String = text.chars().take(chars).collect();
        if cut.len() < text.len() { format!("{cut} […]") } else { cut }
    }
}

/// An article a caller adds; only the title is needed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewArticle {
    /// The headline, plain.
    pub title: String,
    /// The body: HTML, or plain text whose lines become paragraphs.
    pub body: String,
    /// The last segment of its address; made from the id when absent.
    pub slug: Option<String>,
    /// The section and the tags.
    pub categories: Vec<String>,
    /// The byline.
    pub creator: Option<String>,
    /// A picture's address; "sample" takes one of the sandbox's own.
    pub picture: Option<String>,
}

/// A change to an article that is out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edit {
    /// Which one: its link or slug.
    pub article: String,
    /// A new headline.
    pub title: Option<String>,
    /// A new body.
    pub body: Option<String>,
    /// Take it down (true) or put it back (false).
    pub gone: Option<bool>,
}

/// What a link leads to.
#[derive(Debug)]
pub enum Lookup<'a> {
    /// An article of ours that stands.
    Ours(&'a Article),
    /// An address of ours with nothing behind it.
    Missing,
    /// Somebody else's address.
    Foreign,
}

#[derive(Deserialize)]
struct Samples {
    article: Vec<Sample>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    id: u64,
    slug: String,
    title: String,
    category: String,
    tags: Vec<String>,
    creator: String,
    /// Minutes before the start.
    age: i64,
    #[serde(default = "yes")]
    picture: bool,
    body: String,
}

fn yes() -> bool {
    true
}

/// The site: what is out, newest first, and what waits.
#[derive(Debug)]
pub struct Newsroom {
    base: String,
    out: Vec<Article>,
    waiting: VecDeque<Sample>,
    next_id: u64,
}

impl Newsroom {
    /// The samples, the oldest `count` of them out, dated relative to `start`.
    pub fn new(base: &str, start: DateTime<Utc>, count: usize) -> Newsroom {
        let mut waiting: VecDeque<Sample> = samples().into();
        let mut newsroom = Newsroom {
            base: base.to_owned(),
            out: Vec::new(),
            waiting: VecDeque::new(),
            next_id: FIRST_ADDED_ID,
        };
        while newsroom.out.len() < count {
            let Some(sample) = waiting.pop_back() else { break };
            let at = start - Duration::minutes(sample.age);
            newsroom.add(sample, at);
        }
        newsroom.waiting = waiting;
        newsroom
    }

    /// The articles that stand, newest first.
    pub fn articles(&self) -> impl Iterator<Item = &Article> {
        self.out.iter().filter(|article| !article.gone)
    }

    /// How many samples wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Where an article is read.
    pub fn link(&self, article: &Article) -> String {
        format!("{}/news/{}/", self.base, call::percent_encode(&article.slug))
    }

    /// An article by its decoded slug, gone ones too.
    pub fn by_slug(&self, slug: &str) -> Option<&Article> {
        self.out.iter().find(|article| article.slug == slug)
    }

    /// What a link leads to; query and fragment don't matter.
    pub fn look_up(&self, link: &str) -> Lookup<'_> {
        let Some(path) = link.strip_prefix(self.base.as_str()) else { return Lookup::Foreign };
        let Some(rest) = path.strip_prefix("/news/") else { return Lookup::Foreign };
        let slug = rest.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        match self.by_slug(&call::percent_decode(slug)) {
            Some(article) if !article.gone => Lookup::Ours(article),
            _ => Lookup::Missing,
        }
    }

    /// Puts the next sample out, dated `now`, and gives its link.
    pub fn publish_next(&mut self, now: DateTime<Utc>) -> Option<String> {
        let sample = self.waiting.pop_back()?;
        Some(self.add(sample, now))
    }

    /// Puts an article of the caller's out, dated `now`, and gives its link.
    pub fn publish(&mut self, new: NewArticle, now: DateTime<Utc>) -> String {
        let id = self.next_id;
        self.next_id += 1;
        let picture = match new.picture.as_deref() {
            Some("sample") => Some(self.picture(id)),
            _ => new.picture,
        };
        let article = Article {
            id,
            slug: new.slug.unwrap_or_else(|| format!("news-{id}")),
            title: new.title,
            categories: new.categories,
            creator: new.creator.unwrap_or_else(|| "กองบรรณาธิการ".to_owned()),
            body: paragraphs(&new.body),
            picture,
            published: now.trunc_subsecs(0),
            modified: now.trunc_subsecs(0),
            gone: false,
        };
        let link = self.link(&article);
        self.out.insert(0, article);
        link
    }

    /// Changes an article that is out; false when there is none.
    pub fn edit(&mut self, edit: Edit, now: DateTime<Utc>) -> bool {
        let prefix = format!("{}/news/", self.base);
        let slug = edit.article.strip_prefix(&prefix).unwrap_or(&edit.article).trim_end_matches('/');
        let slug = call::percent_decode(slug);
        let Some(article) = self.out.iter_mut().find(|article| article.slug == slug) else { return false };
        article.title = edit.title.unwrap_or_else(|| article.title.clone());
        article.body = edit.body.map_or_else(|| article.body.clone(), |body| paragraphs(&body));
        article.gone = edit.gone.unwrap_or(article.gone);
        article.modified = now.trunc_subsecs(0);
        true
    }

    fn add(&mut self, sample: Sample, at: DateTime<Utc>) -> String {
        let picture = sample.picture.then(|| self.picture(sample.id));
        let article = Article {
            id: sample.id,
            slug: sample.slug,
            title: sample.title,
            categories: std::iter::once(sample.category).chain(sample.tags).collect(),
            creator: sample.creator,
            body: sample.body,
            picture,
            published: at.trunc_subsecs(0),
            modified: at.trunc_subsecs(0),
            gone: false,
        };
        let link = self.link(&article);
        self.out.insert(0, article);
        link
    }

    fn picture(&self, id: u64) -> String {
        format!("{}/picture/{id}.png", self.base)
    }
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a test reads it")]
fn samples() -> Vec<Sample> {
    toml::from_str::<Samples>(SAMPLES).expect("sample.toml is in order").article
}

/// HTML as it is; plain text with its lines as paragraphs.
fn paragraphs(body: &str) -> String {
    if body.contains("</") {
        return body.to_owned();
    }
    let lines = body.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("<p>{}</p>\n", escape(line))).collect()
}

/// Text as it stands in XML and HTML, attributes too.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML 1.0 has no way to say a control character.
            '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' => {}
            other => out.push(other),
        }
    }
    out
}

/// The words of an HTML body: tags out, the few entities in the samples put back, white space joined.
fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut in_tag = false;
    for letter in html.chars() {
        match letter {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                text.push(' ');
            }
            _ if in_tag => {}
            other => text.push(other),
        }
    }
    let text =
        [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
            .iter()
            .fold(text, |text, (entity, letter)| text.replace(entity, letter));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newsroom(count: usize) -> Newsroom {
        Newsroom::new("http://127.0.0.1:9", DateTime::from_timestamp(1_795_000_000, 0).unwrap(), count)
    }

    #[test]
    fn the_samples_are_a_dozen_thai_articles_of_several_paragraphs() {
        let samples = samples();
        assert!(samples.len() >= 12);
        for sample in &samples {
            assert!(sample.body.matches("<p>").count() >= 4, "{}", sample.slug);
            assert!(plain(&sample.body).chars().count() > 900, "{}", sample.slug);
        }
        assert_eq!(samples.iter().filter(|sample| !sample.picture).count(), 1);
        assert!(samples.iter().any(|sample| sample.title.contains('&')));
        assert!(samples.iter().any(|sample| sample.title.chars().count() > 200));
    }

    #[test]
    fn ids_and_slugs_of_the_samples_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for sample in samples() {
            assert!(seen.insert(sample.id.to_string()) && seen.insert(sample.slug));
        }
    }

    #[test]
    fn samples_come_out_oldest_first() {
        let mut newsroom = newsroom(2);
        let first: Vec<u64> = newsroom.articles().map(|article| article.id).collect();
        assert_eq!(first, [904_044, 904_037]);
        let now = DateTime::from_timestamp(1_795_000_100, 0).unwrap();
        assert!(newsroom.publish_next(now).is_some());
        assert_eq!(newsroom.articles().next().unwrap().published, now);
    }

    #[test]
    fn a_link_is_found_whatever_hangs_on_it() {
        let newsroom = newsroom(usize::MAX);
        for article in newsroom.articles() {
            let link = newsroom.link(article);
            assert!(link.is_ascii());
            for tail in ["", "?utm_source=x&fbclid=1", "#top"] {
                assert!(
                    matches!(newsroom.look_up(&format!("{link}{tail}")), Lookup::Ours(found) if found.id == article.id)
                );
            }
        }
        assert!(matches!(newsroom.look_up("http://127.0.0.1:9/news/none/"), Lookup::Missing));
        assert!(matches!(newsroom.look_up("https://example.com/news/none/"), Lookup::Foreign));
    }

    #[test]
    fn plain_text_bodies_become_escaped_paragraphs() {
        assert_eq!(paragraphs("a & b\n\nc"), "<p>a &amp; b</p>\n<p>c</p>\n");
        assert_eq!(paragraphs("<p>a</p>"), "<p>a</p>");
    }
}
