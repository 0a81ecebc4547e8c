//! XML: a document as a small tree, with every value as the bytes say it.
//!
//! feed-rs would do this too, but it normalises links, invents ids, rejects a whole feed for one item and panics on
//! an over-long clip time; the contract wants link and guid byte for byte and every sound item read. quick-xml expands
//! no entities but XML's own five, so there is no bomb to defuse; depth and size are capped here.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

/// The deepest nesting that is read; feeds use about eight levels, XHTML content a few dozen.
const MAX_DEPTH: usize = 100;

/// The most elements that are read: a 5 MiB feed of real articles has some ten thousand.
const MAX_ELEMENTS: usize = 200_000;

/// Prefixes by the namespace they should stand for, whatever a feed calls it.
const NAMESPACES: [(&str, &str); 12] = [
    ("http://www.w3.org/2005/Atom", "atom"),
    ("http://purl.org/atom/ns#", "atom"),
    ("http://purl.org/rss/1.0/modules/content/", "content"),
    ("http://purl.org/dc/elements/1.1/", "dc"),
    ("http://purl.org/dc/terms/", "dcterms"),
    ("http://search.yahoo.com/mrss/", "media"),
    ("http://search.yahoo.com/mrss", "media"),
    ("http://www.itunes.com/dtds/podcast-1.0.dtd", "itunes"),
    ("http://www.w3.org/1999/02/22-rdf-syntax-ns#", "rdf"),
    ("http://purl.org/rss/1.0/", ""),
    ("http://backend.userland.com/rss2", ""),
    ("http://www.w3.org/1999/xhtml", "xhtml"),
];

/// One element. Names are in lower case, with the usual prefix for their namespace (`media:content`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element<'a> {
    /// The name.
    pub name: String,
    /// Attributes in order, entities decoded.
    pub attributes: Vec<(String, String)>,
    /// Elements and text in order.
    pub children: Vec<Node<'a>>,
    /// What stands between the tags, as it stands.
    pub inner: &'a str,
    /// Whether its end was seen: a cut document leaves elements open.
    pub complete: bool,
}

/// A child of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<'a> {
    /// An element.
    Element(Element<'a>),
    /// Text, CDATA included, entities decoded.
    Text(String),
}

impl<'a> Element<'a> {
    /// Its child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element<'a>> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// Its children of that name.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Element<'a>> {
        self.elements().filter(move |element| element.name == name)
    }

    /// Its first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element<'a>> {
        self.elements().find(|element| element.name == name)
    }

    /// An attribute's value, trimmed; `None` when empty.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(key, _)| key == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// Its own text, trimmed.
    pub fn text(&self) -> String {
        let text: String = self
            .children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect();
        text.trim().to_owned()
    }

    /// Its content as markup: its text, or all that stands between the tags when elements stand there.
    pub fn markup(&self) -> String {
        if self.elements().next().is_some() { self.inner.trim().to_owned() } else { self.text() }
    }
}

/// How a document is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As XML says.
    Strict,
    /// Closing what was left open, ignoring ends without a beginning, taking a bare `&` as it is.
    Lenient,
}

/// Where and why reading stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl Fault {
    fn new(text: &str, at: usize, what: impl Into<String>) -> Self {
        let before = &text[..text.floor_char_boundary(at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
            what: what.into(),
        }
    }
}

/// Reads a document's root element.
///
/// # Errors
/// A [`Fault`] with its place. In lenient mode only what no reader could bear: no element at all, markup
/// that never ends, or nesting and numbers past the caps.
pub fn parse(text: &str, mode: Mode) -> Result<Element<'_>, Fault> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = mode == Mode::Lenient;
    let mut tree = Tree { text, mode, open: Vec::new(), root: None, count: 0, prefixes: HashMap::new() };
    loop {
        let before = offset(reader.buffer_position());
        let event = reader
            .read_event()
            .map_err(|error| Fault::new(text, offset(reader.error_position()), error.to_string()))?;
        let after = offset(reader.buffer_position());
        let fault = |what: String| Fault::new(text, before, what);
        match event {
            Event::Start(start) => tree.begin(&start, after).map_err(fault)?,
            Event::Empty(start) => {
                tree.begin(&start, after).map_err(fault)?;
                tree.close(after, true);
            }
            Event::End(end) => tree.end(end.name().0, before).map_err(fault)?,
            Event::Text(raw) => tree.write(&raw.into_inner()),
            Event::CData(raw) => tree.write(&raw.into_inner()),
            Event::GeneralRef(reference) => tree.write(&decoded(&reference.into_inner())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => return tree.finish().map_err(|what| Fault::new(text, after, what)),
        }
    }
}

fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// The tree while it grows.
struct Tree<'a> {
    text: &'a str,
    mode: Mode,
    /// The elements that are open, each with its name as written and the place where its inside begins.
    open: Vec<(Element<'a>, String, usize)>,
    root: Option<Element<'a>>,
    count: usize,
    /// Declared prefixes and the ones they stand for.
    prefixes: HashMap<String, &'static str>,
}

impl<'a> Tree<'a> {
    fn begin(&mut self, start: &BytesStart<'_>, inside: usize) -> Result<(), String> {
        self.count += 1;
        if self.count > MAX_ELEMENTS {
            return Err(format!("more than {MAX_ELEMENTS} elements"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("elements nested more than {MAX_DEPTH} deep"));
        }
        let mut attributes = Vec::new();
        for attribute in start.html_attributes().with_checks(false).flatten() {
            let value = unescaped(&attribute.value);
            if let Some(prefix) = attribute.key.0.strip_prefix("xmlns:") {
                let known = NAMESPACES.iter().find(|(uri, _)| *uri == value.trim());
                known.map(|(_, usual)| self.prefixes.insert(prefix.to_owned(), usual));
            }
            attributes.push((self.named(attribute.key.0), value));
        }
        let written = start.name().0.to_owned();
        let name = self.named(&written);
        let element = Element { name, attributes, children: Vec::new(), inner: "", complete: false };
        self.open.push((element, written, inside));
        Ok(())
    }

    /// The name in lower case, under the usual prefix.
    fn named(&self, written: &str) -> String {
        let name = match written.split_once(':') {
            Some((prefix, local)) => match self.prefixes.get(prefix) {
                Some(&"") => local.to_owned(),
                Some(usual) => format!("{usual}:{local}"),
                None => written.to_owned(),
            },
            None => written.to_owned(),
        };
        name.to_ascii_lowercase()
    }

    fn end(&mut self, written: &str, at: usize) -> Result<(), String> {
        let top = self.open.last().map(|(_, name, _)| name.as_str());
        if self.mode == Mode::Strict && top != Some(written) {
            return Err(match top {
                Some(top) => format!("</{written}> where </{top}> should stand"),
                None => format!("</{written}> closes nothing"),
            });
        }
        if let Some(depth) = self.open.iter().rposition(|(_, name, _)| name == written) {
            while self.open.len() > depth {
                self.close(at, true);
            }
        }
        Ok(())
    }

    /// Closes the innermost open element and hands it to its parent; the first without a parent is the root.
    fn close(&mut self, at: usize, complete: bool) {
        let Some((mut element, _, inside)) = self.open.pop() else { return };
        element.inner = self.text.get(inside..at).unwrap_or_default();
        element.complete = complete;
        match self.open.last_mut() {
            Some((parent, _, _)) => parent.children.push(Node::Element(element)),
            None => {
                self.root.get_or_insert(element);
            }
        }
    }

    /// Adds text, leaving out the control characters that XML forbids.
    fn write(&mut self, text: &str) {
        let Some((element, _, _)) = self.open.last_mut() else { return };
        let allowed = text.chars().filter(|&c| is_allowed(c));
        match element.children.last_mut() {
            Some(Node::Text(before)) => before.extend(allowed),
            _ => element.children.push(Node::Text(allowed.collect())),
        }
    }

    fn finish(mut self) -> Result<Element<'a>, String> {
        if let (Mode::Strict, Some((_, name, _))) = (self.mode, self.open.last()) {
            return Err(format!("the document ends inside <{name}>"));
        }
        while !self.open.is_empty() {
            self.close(self.text.len(), false);
        }
        self.root.ok_or_else(|| "there is no element in it".to_owned())
    }
}

/// Whether XML 1.0 allows the character.
fn is_allowed(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// What `&name;` stands for. HTML's names are left as they are: the text behind them is read as HTML later.
fn decoded(name: &str) -> String {
    let plain = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => name.strip_prefix('#').and_then(|digits| {
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            char::from_u32(code.ok()?)
        }),
    };
    plain.map_or_else(|| format!("&{name};"), String::from)
}

/// An attribute's value with its references decoded; a bare `&` stays.
fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let name = after.split_once(';').filter(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#')
        });
        match name {
            Some((name, tail)) => {
                out.push_str(&decoded(name));
                rest = tail;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn strict(text: &str) -> Element<'_> {
        parse(text, Mode::Strict).unwrap()
    }

    fn lenient(text: &str) -> Element<'_> {
        parse(text, Mode::Lenient).unwrap()
    }

    #[track_caller]
    fn check_fault(text: &str, expected: &str) {
        assert_eq!(parse(text, Mode::Strict).unwrap_err().to_string(), expected);
    }

    #[test]
    fn values_are_kept_byte_for_byte() {
        let root = strict(
            "<item><link> https://x.th/ข่าว/?a=1&amp;b=%e0%b8 </link>\
             <guid isPermaLink='false'><![CDATA[https://x.th/?p=1&q]]></guid>\
             <media:content url='https://x.th/a b.jpg?c=1&amp;d&#x3D;2'/></item>",
        );
        assert_eq!(root.child("link").unwrap().text(), "https://x.th/ข่าว/?a=1&b=%e0%b8");
        assert_eq!(root.child("guid").unwrap().text(), "https://x.th/?p=1&q");
        assert_eq!(root.child("guid").unwrap().attribute("ispermalink"), Some("false"));
        let media = root.child("media:content").unwrap();
        assert_eq!(media.attribute("url"), Some("https://x.th/a b.jpg?c=1&d=2"));
    }

    #[test]
    fn namespaces_have_their_usual_prefix() {
        let root = strict(
            "<r xmlns:m='http://search.yahoo.com/mrss/' xmlns:a='http://www.w3.org/2005/Atom'>\
             <m:thumbnail/><a:LINK/><odd:one/></r>",
        );
        let names: Vec<&str> = root.elements().map(|element| element.name.as_str()).collect();
        assert_eq!(names, ["media:thumbnail", "atom:link", "odd:one"]);
    }

    #[test]
    fn markup_is_text_or_all_between_the_tags() {
        let root = strict("<r><a>&lt;p&gt;x&lt;/p&gt;</a><b> <p>x &amp; y</p> </b></r>");
        assert_eq!(root.child("a").unwrap().markup(), "<p>x</p>");
        assert_eq!(root.child("b").unwrap().markup(), "<p>x &amp; y</p>");
    }

    #[test]
    fn a_fault_has_its_place() {
        check_fault("<a>\n<b>ข่าว<br></b></a>", "line 2, column 12: </b> where </br> should stand");
        check_fault("<a>\n<b>", "line 2, column 4: the document ends inside <b>");
        check_fault("", "line 1, column 1: there is no element in it");
        assert!(parse("<a>x & y</a>", Mode::Strict).is_err());
    }

    #[test]
    fn the_lenient_mode_closes_what_was_left_open() {
        let root = lenient("<r><title>a<br>b & c</title></p><link>l</link>");
        assert_eq!(root.child("title").unwrap().markup(), "a<br>b & c");
        assert_eq!(root.child("link").unwrap().text(), "l");
        assert!(root.child("link").unwrap().complete && !root.complete);
    }

    #[test]
    fn html_entities_wait_for_the_html_reader_and_custom_ones_are_never_expanded() {
        let bomb = "<!DOCTYPE x [<!ENTITY lol 'lol'><!ENTITY f SYSTEM 'file:///etc/passwd'>]>\
                    <x>&nbsp;&lol;&f;&#0;&#x0b;&#3585;</x>";
        assert_eq!(strict(bomb).text(), "&nbsp;&lol;&f;ก");
    }

    #[test]
    fn depth_and_number_are_capped() {
        let deep = "<a>".repeat(200_000);
        assert!(parse(&deep, Mode::Lenient).unwrap_err().what.contains("100 deep"));
        let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        assert!(parse(&wide, Mode::Lenient).unwrap_err().what.contains("200000 elements"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(<[a-c/!?\\[-]{0,3}|>|&|;|#|[a-zก-๛ '\"=]|\\]\\]>|-->|CDATA){0,60}") {
            let _either = parse(&text, Mode::Strict);
            let _either = parse(&text, Mode::Lenient);
        }
    }
}
