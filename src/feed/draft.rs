//! Draft: one article as its format says it, before anything is cleaned.
//!
//! RSS, Atom and JSON Feed fill the same draft; [`finish`] turns it into an [`Entry`], so that cleaning,
//! dates and complaints are the same for all of them.

use chrono::DateTime;
use chrono::Utc;
use url::Url;

use crate::feed::date;
use crate::feed::image;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::text::chrome;
use crate::text::html;
use crate::text::normal;

/// A piece of text and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// HTML, sound or not.
    Html(String),
    /// Text in which `<` is a character like any other.
    Plain(String),
}

impl Body {
    /// HTML that says something, if it does.
    pub fn html(markup: String) -> Option<Self> {
        (!markup.trim().is_empty()).then_some(Self::Html(markup))
    }

    /// Plain text that says something, if it does.
    pub fn plain(text: String) -> Option<Self> {
        (!text.trim().is_empty()).then_some(Self::Plain(text))
    }
}

/// What an item says, in the source's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The source's id, byte for byte.
    pub guid: Option<String>,
    /// The link, byte for byte.
    pub link: Option<String>,
    /// The headline.
    pub title: Option<Body>,
    /// The dates as written.
    pub published: Option<String>,
    /// The date of the last change as written.
    pub updated: Option<String>,
    /// The writers.
    pub authors: Vec<String>,
    /// Categories and tags in order.
    pub categories: Vec<String>,
    /// The picture named outside the text, absolute.
    pub image: Option<String>,
    /// The texts, fullest first.
    pub bodies: Vec<Body>,
}

/// The article that a draft makes, and what is wrong with it.
pub fn finish(draft: Draft, base: Option<&Url>, now: DateTime<Utc>) -> (Entry, Vec<String>) {
    let mut problems = Vec::new();
    let title = draft.title.map(headline).unwrap_or_default();
    if title.is_empty() {
        problems.push("no title".to_owned());
    }
    let link = draft.link.and_then(|link| linked(link, base, &mut problems));
    if link.is_none() {
        problems.push("no link".to_owned());
    }
    let mut dated = |written: Option<String>| match date::read(&written?, now) {
        Ok(date) => Some(date),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let (published, updated) = (dated(draft.published), dated(draft.updated));
    let pictured = draft.bodies.iter().find_map(|body| match body {
        Body::Html(markup) => image::absolute(&html::first_image(markup)?, base),
        Body::Plain(_) => None,
    });
    let content = Content {
        text: draft
            .bodies
            .iter()
            .map(|body| story(&title, body))
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        title,
        link,
        published,
        updated,
        author: joined(&draft.authors),
        categories: distinct(&draft.categories),
        image: draft.image.or(pictured),
    };
    (Entry { guid: draft.guid, content }, problems)
}

/// A headline as one line of plain text. Even one said to be plain may hold entities and tags: sites escape twice.
pub fn headline(title: Body) -> String {
    let (Body::Html(title) | Body::Plain(title)) = title;
    html::unescape_title(&title)
}

/// A body as plain text without the site's chrome.
fn story(title: &str, body: &Body) -> String {
    let text = match body {
        Body::Html(markup) => html::to_text(markup),
        Body::Plain(text) => normal::normalize(text),
    };
    chrome::clean(title, without_tail(&text))
}

/// The text without what WordPress and its plugins put behind an excerpt: "[…]" and, as a line of its own,
/// "The post … appeared first on …".
fn without_tail(text: &str) -> &str {
    let (body, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let is_credit = last.starts_with("The post ") && last.contains(" appeared first on ");
    let text = if is_credit { body } else { text };
    let cut = ["[…]", "[...]", "[&hellip;]"].iter().find_map(|mark| text.trim_end().strip_suffix(mark));
    cut.unwrap_or(text).trim_end()
}

/// The link byte for byte; only a relative one, which no reader could follow, is joined to the feed's address.
fn linked(link: String, base: Option<&Url>, problems: &mut Vec<String>) -> Option<String> {
    // "www.x.th/1" is a forgotten scheme far more often than a path.
    let relative = base.filter(|_| link.starts_with(['/', '?', '.']));
    match (Url::parse(&link), relative) {
        (Ok(_), _) => Some(link),
        (Err(url::ParseError::RelativeUrlWithoutBase), Some(base)) => {
            Some(base.join(&link).ok()?.to_string())
        }
        (Err(error), _) => {
            let shown: String = link.chars().take(100).collect();
            problems.push(format!("the link is no address (\"{shown}\": {error})"));
            Some(link)
        }
    }
}

fn joined(authors: &[String]) -> Option<String> {
    let authors = distinct(authors).join(", ");
    (!authors.is_empty()).then_some(authors)
}

/// The most names or categories of one article; real ones have a dozen.
const MAX_NAMES: usize = 100;

/// The first values, cleaned, in order, without empty ones and repetitions.
fn distinct(values: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for value in values.iter().take(MAX_NAMES) {
        let value = html::unescape_title(value);
        if !value.is_empty() && !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_headline(written: &str, expected: &str) {
        assert_eq!(headline(Body::Plain(written.to_owned())), expected);
    }

    #[test]
    fn a_headline_is_one_line_of_plain_text() {
        check_headline(" ข่าว\n ด่วน ", "ข่าว ด่วน");
        check_headline("A &amp;amp; B", "A & B");
        check_headline("<b>ด่วน</b> ฝนตก", "ด่วน ฝนตก");
        check_headline("3 < 5 และ <3", "3 < 5 และ <3");
        check_headline("{{ 7*7 }}", "{{ 7*7 }}");
    }

    #[track_caller]
    fn check_tail(text: &str, expected: &str) {
        assert_eq!(without_tail(text), expected);
    }

    #[test]
    fn the_tail_of_an_excerpt_goes() {
        check_tail("ข่าว […]", "ข่าว");
        check_tail("ข่าว […]\nThe post ข่าว appeared first on เว็บ.", "ข่าว");
        check_tail("The post office burned.", "The post office burned.");
        check_tail("ข่าว…", "ข่าว…");
    }
}
