//! Depth: measures a page before the extractor sees it.
//!
//! The extractor takes time quadratic in the nesting depth (4,000 nested `<div>` in 20 KB: 4 s; stack.md, section 4),
//! so a page is first run through the same HTML parser into a tree of mere numbers, and given up early. Counting tags
//! by hand would not do: which end tag closes what is the parser's business, and a hostile page knows it.

use std::borrow::Cow;
use std::cell::Cell;
use std::cell::RefCell;

use html5ever::Attribute;
use html5ever::LocalName;
use html5ever::Namespace;
use html5ever::QualName;
use html5ever::tendril::StrTendril;
use html5ever::tendril::TendrilSink;
use html5ever::tree_builder::ElemName;
use html5ever::tree_builder::ElementFlags;
use html5ever::tree_builder::NodeOrText;
use html5ever::tree_builder::QuirksMode;
use html5ever::tree_builder::TreeSink;

/// The largest page that is taken apart, in bytes.
pub const MAX_PAGE: usize = 2 << 20;

/// The deepest nesting; real news pages stay under 40.
const MAX_DEPTH: usize = 200;

/// The most elements; real news pages have some thousands.
const MAX_ELEMENTS: usize = 15_000;

/// The most that all elements' depths may come to; real news pages stay under 150,000.
const MAX_DEPTHS: usize = 400_000;

/// How much is parsed between two looks at the numbers: a page multiplies elements faster than its bytes.
const STEP: usize = 1024;

/// Passes a page that the extractor can bear.
///
/// # Errors
/// What is too much about it, to be put behind "the page is".
pub fn check(html: &str) -> Result<(), String> {
    if html.len() > MAX_PAGE {
        return Err(format!("larger than {MAX_PAGE} bytes"));
    }
    let mut parser = html5ever::parse_document(Tree::default(), html5ever::ParseOpts::default());
    let mut rest = html;
    while !rest.is_empty() {
        // A step holds at least one whole character, so it is never empty.
        let (step, tail) = rest.split_at(rest.floor_char_boundary(STEP));
        rest = tail;
        parser.process(step.into());
        parser.tokenizer.sink.sink.verdict(false)?;
    }
    parser.finish().verdict(true)
}

/// A tree without content.
#[derive(Debug)]
struct Tree {
    nodes: RefCell<Vec<Node>>,
    deepest: Cell<usize>,
    /// The sum of the depths at which nodes were attached.
    depths: Cell<usize>,
}

#[derive(Debug, Default)]
struct Node {
    name: Option<QualName>,
    parent: Option<usize>,
    children: Vec<usize>,
}

impl Default for Tree {
    fn default() -> Self {
        // The first node is the document.
        Self { nodes: RefCell::new(vec![Node::default()]), deepest: Cell::new(0), depths: Cell::new(0) }
    }
}

impl Tree {
    /// Whether it is too much so far; `last` measures every node, since moves change depths afterwards.
    fn verdict(&self, last: bool) -> Result<(), String> {
        let count = self.nodes.borrow().len();
        if count > MAX_ELEMENTS {
            return Err(format!("made of more than {MAX_ELEMENTS} elements"));
        }
        if last {
            (0..count).for_each(|node| {
                self.measure(node);
            });
        }
        if self.deepest.get() > MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} elements deep"));
        }
        if self.depths.get() > MAX_DEPTHS {
            return Err("deep and wide at once".to_owned());
        }
        Ok(())
    }

    fn add(&self, name: Option<QualName>) -> usize {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { name, ..Node::default() });
        nodes.len() - 1
    }

    fn attach(&self, parent: usize, child: &NodeOrText<usize>) {
        let NodeOrText::AppendNode(child) = *child else { return };
        self.detach(child);
        let mut nodes = self.nodes.borrow_mut();
        nodes[parent].children.push(child);
        nodes[child].parent = Some(parent);
        drop(nodes);
        self.depths.set(self.depths.get() + self.measure(child));
    }

    fn detach(&self, child: usize) {
        let mut nodes = self.nodes.borrow_mut();
        if let Some(parent) = nodes[child].parent.take() {
            nodes[parent].children.retain(|&other| other != child);
        }
    }

    /// Counts the way up to the document, no further than matters.
    fn measure(&self, node: usize) -> usize {
        let nodes = self.nodes.borrow();
        let up = std::iter::successors(Some(node), |&node| nodes[node].parent);
        let depth = up.take(MAX_DEPTH + 2).count() - 1;
        self.deepest.set(self.deepest.get().max(depth));
        depth
    }
}

/// An element's name, as the parser wants it.
#[derive(Debug)]
struct Name(QualName);

impl ElemName for Name {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn local_name(&self) -> &LocalName {
        &self.0.local
    }
}

impl TreeSink for Tree {
    type Handle = usize;
    type Output = Self;
    type ElemName<'a> = Name;

    fn finish(self) -> Self {
        self
    }

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn get_document(&self) -> usize {
        0
    }

    fn elem_name<'a>(&'a self, target: &'a usize) -> Name {
        // Only elements are asked for their name, and they have one.
        let name = self.nodes.borrow()[*target].name.clone();
        Name(name.unwrap_or_else(|| QualName::new(None, Namespace::default(), LocalName::default())))
    }

    fn create_element(&self, name: QualName, _attributes: Vec<Attribute>, _flags: ElementFlags) -> usize {
        self.add(Some(name))
    }

    fn create_comment(&self, _text: StrTendril) -> usize {
        self.add(None)
    }

    fn create_pi(&self, _target: StrTendril, _data: StrTendril) -> usize {
        self.add(None)
    }

    fn append(&self, parent: &usize, child: NodeOrText<usize>) {
        self.attach(*parent, &child);
    }

    fn append_based_on_parent_node(&self, element: &usize, previous: &usize, child: NodeOrText<usize>) {
        let parent = self.nodes.borrow()[*element].parent;
        self.attach(parent.unwrap_or(*previous), &child);
    }

    fn append_doctype_to_document(&self, _name: StrTendril, _public: StrTendril, _system: StrTendril) {}

    fn get_template_contents(&self, target: &usize) -> usize {
        // What a template holds counts as its children.
        *target
    }

    fn same_node(&self, one: &usize, other: &usize) -> bool {
        one == other
    }

    fn set_quirks_mode(&self, _mode: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &usize, child: NodeOrText<usize>) {
        let parent = self.nodes.borrow()[*sibling].parent;
        if let Some(parent) = parent {
            self.attach(parent, &child);
        }
    }

    fn add_attrs_if_missing(&self, _target: &usize, _attributes: Vec<Attribute>) {}

    fn remove_from_parent(&self, target: &usize) {
        self.detach(*target);
    }

    fn reparent_children(&self, node: &usize, new_parent: &usize) {
        let children = std::mem::take(&mut self.nodes.borrow_mut()[*node].children);
        let mut nodes = self.nodes.borrow_mut();
        for &child in &children {
            nodes[child].parent = Some(*new_parent);
        }
        nodes[*new_parent].children.extend(children);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;
    use std::time::Instant;

    #[track_caller]
    fn check_refused(html: &str, expected: &str) {
        let begun = Instant::now();
        assert_eq!(check(html).unwrap_err(), expected);
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    }

    #[test]
    fn pages_as_they_are_pass() {
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("ข่าว"), Ok(()));
        // Left open, as the standard allows: siblings, not descendants.
        assert_eq!(check(&"<p>ข่าว".repeat(5000)), Ok(()));
        assert_eq!(check(&format!("<ul>{}</ul>", "<li>ข่าว".repeat(5000))), Ok(()));
        assert_eq!(check(&format!("{}x{}", "<div>".repeat(150), "</div>".repeat(150))), Ok(()));
    }

    #[test]
    fn deep_pages_are_refused_however_they_hide_it() {
        let deep = "nested more than 200 elements deep";
        check_refused(&"<div>".repeat(300_000), deep);
        check_refused(&"<div/>".repeat(1000), deep);
        check_refused(&"<b><div></b>".repeat(1000), deep);
        check_refused(&"<span><div></span>".repeat(1000), deep);
        check_refused(&"<div><table><tr><td></div>".repeat(1000), deep);
        check_refused(&format!("<svg><script>{}", "<div>".repeat(1000)), deep);
        check_refused(&format!("<!-->{}-->", "<div>".repeat(1000)), deep);
        check_refused(&"<template>".repeat(1000), deep);
    }

    #[test]
    fn a_page_that_multiplies_its_elements_is_refused() {
        let fonts: String = (0..150).map(|color| format!("<font color={color}>")).collect();
        check_refused(&format!("<p>{fonts}{}", "<p>".repeat(600_000)), "made of more than 15000 elements");
        check_refused(&"<br>".repeat(400_000), "made of more than 15000 elements");
    }

    #[test]
    fn a_row_of_towers_is_refused() {
        let tower = format!("{}{}", "<div>".repeat(190), "</div>".repeat(190));
        assert_eq!(check(&tower.repeat(20)), Ok(()));
        check_refused(&tower.repeat(25), "deep and wide at once");
    }

    #[test]
    fn a_large_page_is_refused_unread() {
        check_refused(&"x".repeat(MAX_PAGE + 1), "larger than 2097152 bytes");
    }
}
