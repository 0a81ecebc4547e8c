//! Atom: reads the entries of Atom 1.0 and of its draft 0.3.
//!
//! Spec: RFC 4287. Without a `type`, text is plain: `<` in it is a character, not markup.

use url::Url;

use crate::feed::draft::Body;
use crate::feed::draft::Draft;
use crate::feed::image;
use crate::feed::xml::Element;

/// What one `<entry>` says; the feed's authors answer for an entry without its own.
pub fn draft(entry: &Element<'_>, feed: Option<&Element<'_>>, base: Option<&Url>) -> Draft {
    let own = people(entry);
    let authors = if own.is_empty() { feed.map(people).unwrap_or_default() } else { own };
    let described = entry.child("media:group").and_then(|group| group.child("media:description"));
    let texts = ["content", "summary"].into_iter().filter_map(|name| child(entry, name)).chain(described);
    Draft {
        guid: text(entry, &["id"]),
        link: link(entry),
        title: child(entry, "title").and_then(body),
        published: text(entry, &["published", "issued"]),
        updated: text(entry, &["updated", "modified"]),
        authors,
        categories: named(entry, "category")
            .filter_map(|category| category.attribute("label").or_else(|| category.attribute("term")))
            .map(str::to_owned)
            .collect(),
        image: image::named(entry, base),
        bodies: texts.filter_map(body).collect(),
    }
}

/// The children of that name, under Atom's own namespace prefix or none.
pub fn named<'e, 'a>(parent: &'e Element<'a>, name: &'e str) -> impl Iterator<Item = &'e Element<'a>> {
    parent
        .elements()
        .filter(move |element| element.name.strip_prefix("atom:").unwrap_or(&element.name) == name)
}

/// A text construct (RFC 4287, section 3.1).
pub fn body(element: &Element<'_>) -> Option<Body> {
    match element.attribute("type").map(str::to_ascii_lowercase).as_deref() {
        None | Some("text" | "text/plain") => Body::plain(element.text()),
        _ => Body::html(element.markup()),
    }
}

/// The first child of that name.
pub fn child<'e, 'a>(parent: &'e Element<'a>, name: &'e str) -> Option<&'e Element<'a>> {
    named(parent, name).next()
}

fn text(entry: &Element<'_>, names: &[&str]) -> Option<String> {
    names.iter().filter_map(|name| child(entry, name)).map(Element::text).find(|text| !text.is_empty())
}

/// The alternate link, a web page rather than anything else.
fn link(entry: &Element<'_>) -> Option<String> {
    let alternate =
        || named(entry, "link").filter(|link| matches!(link.attribute("rel"), None | Some("alternate")));
    let page = alternate().find(|link| matches!(link.attribute("type"), None | Some("text/html")));
    page.or_else(|| alternate().next()).and_then(|link| link.attribute("href")).map(str::to_owned)
}

fn people(parent: &Element<'_>) -> Vec<String> {
    named(parent, "author").filter_map(|author| text(author, &["name"])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::feed::xml;

    fn read(inside: &str) -> Draft {
        let entry = format!("<entry>{inside}</entry>");
        draft(&xml::parse(&entry, xml::Mode::Strict).unwrap(), None, None)
    }

    #[test]
    fn a_text_is_what_its_type_says() {
        assert_eq!(read("<title>1 &lt; 2</title>").title, Some(Body::Plain("1 < 2".into())));
        assert_eq!(read("<title type='html'>&lt;b>x</title>").title, Some(Body::Html("<b>x".into())));
        let xhtml = "<content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>a &amp; b</p></div></content>";
        let inner = "<div xmlns='http://www.w3.org/1999/xhtml'><p>a &amp; b</p></div>";
        assert_eq!(read(xhtml).bodies, [Body::Html(inner.into())]);
    }

    #[test]
    fn the_alternate_page_is_the_link() {
        let draft = read(
            "<link rel='self' href='https://x.th/self'/><link rel='alternate' type='application/json' href='https://x.th/j'/>\
             <link href='https://x.th/%e0%b8%82/'/>",
        );
        assert_eq!(draft.link.as_deref(), Some("https://x.th/%e0%b8%82/"));
    }

    #[test]
    fn a_prefixed_feed_reads_the_same() {
        let entry =
            "<a:entry xmlns:a='http://www.w3.org/2005/Atom'><a:id>1</a:id><a:title>t</a:title></a:entry>";
        let draft = draft(&xml::parse(entry, xml::Mode::Strict).unwrap(), None, None);
        assert_eq!((draft.guid.as_deref(), draft.title), (Some("1"), Some(Body::Plain("t".into()))));
    }
}
