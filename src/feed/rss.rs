//! RSS: reads the items of RSS 2.0, its elders and RDF.
//!
//! Spec: <https://www.rssboard.org/rss-specification>. `guid` is an address unless it says otherwise, so it
//! stands in for a missing link.

use url::Url;

use crate::feed::draft::Body;
use crate::feed::draft::Draft;
use crate::feed::image;
use crate::feed::xml::Element;

/// What one `<item>` says.
pub fn draft(item: &Element<'_>, base: Option<&Url>) -> Draft {
    let bodies = ["content:encoded", "description", "content", "summary"].into_iter().filter_map(|name| {
        let found = item.all(name).map(Element::markup).find(|markup| !markup.trim().is_empty());
        Body::html(found?)
    });
    Draft {
        guid: said(item, &["guid"]).or_else(|| item.attribute("rdf:about").map(str::to_owned)),
        link: link(item),
        title: item.child("title").map(Element::markup).and_then(Body::html),
        published: said(item, &["pubdate", "dc:date", "atom:published", "published", "dcterms:issued"]),
        updated: said(item, &["atom:updated", "dcterms:modified", "updated"]),
        authors: authors(item),
        categories: item
            .elements()
            .filter(|element| matches!(element.name.as_str(), "category" | "dc:subject"))
            .map(Element::text)
            .collect(),
        image: image::named(item, base),
        bodies: bodies.collect(),
    }
}

/// The text of the first of these children that has one.
fn said(item: &Element<'_>, names: &[&str]) -> Option<String> {
    let texts = names.iter().flat_map(|name| item.all(name)).map(Element::text);
    texts.into_iter().find(|text| !text.is_empty())
}

/// `link`, else Atom's alternate link, else a guid that is an address.
fn link(item: &Element<'_>) -> Option<String> {
    let alternate = || {
        let links = item.elements().filter(|e| matches!(e.name.as_str(), "atom:link" | "link"));
        let mut alternate = links.filter(|link| matches!(link.attribute("rel"), None | Some("alternate")));
        alternate.find_map(|link| link.attribute("href")).map(str::to_owned)
    };
    let permanent = || {
        let guid = item.child("guid")?;
        let is_address =
            guid.attribute("ispermalink").is_none_or(|value| !value.eq_ignore_ascii_case("false"));
        let text = guid.text();
        (is_address && (text.starts_with("http://") || text.starts_with("https://"))).then_some(text)
    };
    said(item, &["link"]).or_else(alternate).or_else(permanent)
}

/// `dc:creator`; else `author`, which should be "mail@example.org (Name)".
fn authors(item: &Element<'_>) -> Vec<String> {
    let creators: Vec<String> = item.all("dc:creator").map(Element::text).collect();
    if creators.iter().any(|creator| !creator.is_empty()) {
        return creators;
    }
    let named = ["author", "itunes:author", "atom:author"].into_iter().flat_map(|name| item.all(name));
    named
        .map(|author| match author.child("name").or_else(|| author.child("atom:name")) {
            Some(name) => name.text(),
            None => without_address(&author.text()).to_owned(),
        })
        .collect()
}

/// The name in "mail@example.org (Name)"; anything else as it is.
fn without_address(author: &str) -> &str {
    match author.split_once('(') {
        Some((address, name)) if address.contains('@') => name.trim_end().trim_end_matches(')'),
        _ => author,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::feed::xml;

    fn read(inside: &str) -> Draft {
        let item = format!("<item>{inside}</item>");
        draft(&xml::parse(&item, xml::Mode::Strict).unwrap(), None)
    }

    #[track_caller]
    fn check_link(inside: &str, expected: Option<&str>) {
        assert_eq!(read(inside).link.as_deref(), expected);
    }

    #[test]
    fn the_link_is_the_items_own_word() {
        check_link("<link> https://x.th/a </link><guid>https://x.th/?p=1</guid>", Some("https://x.th/a"));
        check_link("<link/><guid>https://x.th/?p=1</guid>", Some("https://x.th/?p=1"));
        check_link("<guid isPermaLink='false'>https://x.th/?p=1</guid>", None);
        check_link("<guid isPermaLink='true'>x-1</guid>", None);
        check_link(
            "<atom:link rel='self' href='https://x.th/self'/><atom:link rel='alternate' href='https://x.th/a'/>",
            Some("https://x.th/a"),
        );
    }

    #[test]
    fn the_fullest_text_comes_first() {
        let draft = read("<description>short</description><content:encoded>long</content:encoded>");
        assert_eq!(draft.bodies, [Body::Html("long".into()), Body::Html("short".into())]);
        assert_eq!(read("<description> </description>").bodies, []);
    }

    #[test]
    fn authors_are_names() {
        assert_eq!(read("<author>a@x.th (สมชาย ใจดี)</author>").authors, ["สมชาย ใจดี"]);
        assert_eq!(read("<author>x</author><dc:creator>กอง บก.</dc:creator>").authors, ["กอง บก."]);
    }
}
