//! Html: turns a fragment of HTML into plain text, one paragraph a line.
//!
//! A stream of tokens, never a tree: extractors that build one take seconds for a few thousand
//! nested elements (stack.md, section 4), this stays linear whatever comes.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::BufferQueue;
use html5ever::tokenizer::Tag;
use html5ever::tokenizer::TagKind;
use html5ever::tokenizer::Token;
use html5ever::tokenizer::TokenSink;
use html5ever::tokenizer::TokenSinkResult;
use html5ever::tokenizer::Tokenizer;
use html5ever::tokenizer::TokenizerOpts;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::states::State;

use crate::text::normal;

/// The text of a fragment: a paragraph a line, normalised, entities decoded, without scripts,
/// navigation, captions and sharing bars. If nothing else is there, what stands in those is taken.
pub fn to_text(html: &str) -> String {
    let text = plain(html, true);
    if text.is_empty() && html.contains('<') { plain(html, false) } else { text }
}

/// A title without entities, tags and control characters: some feeds escape twice, so it is decoded
/// up to twice.
pub fn unescape_title(title: &str) -> String {
    let once = decoded(title);
    let twice = if holds_entity(&once) { decoded(&once) } else { once };
    normal::one_line(&without_tags(&twice))
}

/// The address of the first picture that a post could show. `data-` attributes win over a
/// placeholder in `src`, the largest of a `srcset` over none; tracking pixels, emoji, avatars and
/// advertisements are passed over.
pub fn first_image(html: &str) -> Option<String> {
    let pictures = Pictures::default();
    read(html, &pictures, None);
    pictures.found.into_inner()
}

/// Elements whose content is never the article's text.
const DROPPED: &[&str] = &[
    "script",
    "style",
    "nav",
    "aside",
    "figure",
    "figcaption",
    "footer",
    "form",
    "button",
    "noscript",
    "iframe",
    "svg",
    "template",
    "select",
    "object",
    "video",
    "audio",
    "canvas",
    "textarea",
    "math",
    "head",
    "title",
    "dialog",
];

/// Class names of what plugins put into an article.
const DROPPED_CLASSES: &[&str] = &[
    "sharedaddy",
    "jp-relatedposts",
    "relatedposts",
    "related-posts",
    "related",
    "wp-caption-text",
    "addtoany_share_save_container",
    "addtoany_content",
    "share-buttons",
    "social-share",
    "post-tags",
    "breadcrumb",
    "breadcrumbs",
    "advertisement",
    "ads",
    "yarpp-related",
    "yarpp",
    "screen-reader-text",
    "sr-only",
    "td-post-sharing",
    "author-box",
    "newsletter",
    "comments",
    "wp-polls",
];

/// Elements that begin a new line.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "br",
    "li",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "blockquote",
    "table",
    "tr",
    "section",
    "article",
    "header",
    "main",
    "pre",
    "hr",
    "body",
    "address",
    "details",
    "summary",
    "center",
    "tbody",
    "thead",
];

/// Elements without content, which therefore are never open.
const VOID: &[&str] = &[
    "br", "hr", "img", "input", "meta", "link", "source", "wbr", "area", "base", "col", "embed", "param",
    "track",
];

fn plain(html: &str, dropping: bool) -> String {
    let text = Text { dropping, ..Text::default() };
    read(html, &text, None);
    normal::normalize(&text.out.into_inner())
}

/// Entities decoded, tags left as they stand.
fn decoded(text: &str) -> String {
    let sink = Text::default();
    // In RCDATA, as in an HTML title, entities mean what they mean and tags mean nothing.
    read(text, &sink, Some(State::RawData(RawKind::Rcdata)));
    sink.out.into_inner()
}

/// Whether a written-out entity is left.
fn holds_entity(text: &str) -> bool {
    text.match_indices('&').any(|(at, _)| {
        let name = text[at + 1..].split(';').next().unwrap_or("");
        let closed = text[at + 1 + name.len()..].starts_with(';');
        closed
            && (2..=10).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '#')
    })
}

/// Drops what looks like a tag (`<b>`), but not a lone `<`.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let tag = &rest[at..];
        let named = tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
        match tag.find('>').filter(|_| named) {
            Some(end) => rest = &tag[end + 1..],
            None => {
                out.push('<');
                rest = &tag[1..];
            }
        }
    }
    out + rest
}

fn read(html: &str, sink: &dyn Listener, state: Option<State>) {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let options = TokenizerOpts { initial_state: state, ..TokenizerOpts::default() };
    let tokenizer = Tokenizer::new(Forward(sink), options);
    // The tokenizer stops after each script as a browser would; ours never says so, but if it did
    // the rest would still be read.
    while !input.is_empty() {
        drop(tokenizer.feed(&input));
    }
    tokenizer.end();
}

/// What a reading wants to hear of.
trait Listener {
    fn tag(&self, tag: &Tag);
    fn characters(&self, text: &str);
}

struct Forward<'a>(&'a dyn Listener);

impl TokenSink for Forward<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) => {
                self.0.tag(&tag);
                if tag.kind == TagKind::StartTag {
                    return match &*tag.name {
                        "script" => TokenSinkResult::RawData(RawKind::ScriptData),
                        "style" | "iframe" | "noembed" | "noframes" | "xmp" => {
                            TokenSinkResult::RawData(RawKind::Rawtext)
                        }
                        "textarea" | "title" => TokenSinkResult::RawData(RawKind::Rcdata),
                        _ => TokenSinkResult::Continue,
                    };
                }
            }
            Token::CharacterTokens(text) => self.0.characters(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// Collects the text.
#[derive(Default)]
struct Text {
    dropping: bool,
    /// The element being left out, and how many of its kind are open.
    left_out: RefCell<Option<(String, usize)>>,
    out: RefCell<String>,
}

impl Listener for Text {
    fn tag(&self, tag: &Tag) {
        let name = &*tag.name;
        let mut left_out = self.left_out.borrow_mut();
        if let Some((element, depth)) = left_out.as_mut() {
            if element == name {
                match tag.kind {
                    TagKind::StartTag if !tag.self_closing => *depth += 1,
                    TagKind::StartTag => {}
                    TagKind::EndTag => *depth -= 1,
                }
            }
            if *depth == 0 {
                *left_out = None;
                self.out.borrow_mut().push('\n');
            }
            return;
        }
        let always = matches!(name, "script" | "style");
        if tag.kind == TagKind::StartTag && (always || (self.dropping && is_dropped(tag))) {
            *left_out = Some((name.to_owned(), 1));
            return;
        }
        let mut out = self.out.borrow_mut();
        if BLOCKS.contains(&name) {
            out.push('\n');
        } else if matches!(name, "td" | "th" | "option") {
            out.push(' ');
        }
    }

    fn characters(&self, text: &str) {
        if self.left_out.borrow().is_none() {
            // Line ends of the source are mere white space; only blocks make lines.
            let line = text.replace(['\n', '\r'], " ");
            self.out.borrow_mut().push_str(&line);
        }
    }
}

fn is_dropped(tag: &Tag) -> bool {
    let name = &*tag.name;
    if VOID.contains(&name) || tag.self_closing && matches!(name, "svg" | "math") {
        return false;
    }
    let classes = attribute(tag, "class").unwrap_or("");
    let hidden = tag.attrs.iter().any(|attribute| &*attribute.name.local == "hidden");
    DROPPED.contains(&name)
        || hidden
        || classes.split_ascii_whitespace().any(|class| DROPPED_CLASSES.contains(&class))
}

fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
}

/// Looks for the first picture worth showing.
#[derive(Default)]
struct Pictures {
    found: RefCell<Option<String>>,
}

impl Listener for Pictures {
    fn tag(&self, tag: &Tag) {
        let mut found = self.found.borrow_mut();
        if found.is_none() && tag.kind == TagKind::StartTag && matches!(&*tag.name, "img" | "amp-img") {
            *found = picture(tag);
        }
    }

    fn characters(&self, _text: &str) {}
}

/// The address of one picture, if it is worth showing.
fn picture(tag: &Tag) -> Option<String> {
    let size = |name: &str| {
        attribute(tag, name).and_then(|size| size.trim_end_matches("px").trim().parse::<u32>().ok())
    };
    let tiny = [size("width"), size("height")].into_iter().flatten().any(|side| side < 32);
    let class = attribute(tag, "class").unwrap_or("");
    if tiny || ["emoji", "avatar", "gravatar", "wp-smiley"].iter().any(|word| class.contains(word)) {
        return None;
    }
    let lazy = ["data-src", "data-lazy-src", "data-original", "data-orig-file", "data-large-file"];
    let lazy = lazy.iter().filter_map(|name| attribute(tag, name)).find(|address| is_picture(address));
    let sets = ["srcset", "data-srcset", "data-lazy-srcset"];
    let largest = || sets.iter().filter_map(|name| attribute(tag, name)).find_map(largest);
    let plain = attribute(tag, "src").filter(|address| is_picture(address));
    let address = lazy.map(str::to_owned).or_else(|| plain.map(str::to_owned)).or_else(largest)?;
    Some(address.trim().to_owned())
}

/// The widest of a `srcset` that is a picture.
fn largest(set: &str) -> Option<String> {
    let entries = set.split(", ").flat_map(|part| {
        part.split(",http").enumerate().map(|(place, entry)| match place {
            0 => entry.trim().to_owned(),
            _ => format!("http{}", entry.trim()),
        })
    });
    let sized = entries.filter_map(|entry| {
        let (address, width) = match entry.rsplit_once(char::is_whitespace) {
            Some((address, width)) => {
                (address.trim().to_owned(), width.trim_end_matches(['w', 'x']).parse().unwrap_or(0.0))
            }
            None => (entry.clone(), 0.0),
        };
        is_picture(&address).then_some((address, width))
    });
    sized.max_by(|(_, a): &(String, f64), (_, b)| a.total_cmp(b)).map(|(address, _)| address)
}

/// Whether an address can be a real picture's: no placeholder, pixel, emoji or avatar.
fn is_picture(address: &str) -> bool {
    let address = address.trim().to_ascii_lowercase();
    let foreign = [
        "gravatar.com",
        "s.w.org/images/core/emoji",
        "/emoji/",
        "doubleclick",
        "googlesyndication",
        "facebook.com/tr",
        "pixel.wp.com",
        "scorecardresearch",
        "google-analytics",
        "stats.wp.com",
        "adservice",
        "/ads/",
        "placeholder",
        "spacer.gif",
        "blank.gif",
        "1x1",
        "transparent.",
        "lazy-load",
        "lazyload",
        "loading.gif",
        "feedburner.com/~",
    ];
    !address.is_empty()
        && !address.starts_with("data:")
        && !address.starts_with("about:")
        && !address.starts_with("javascript:")
        && !foreign.iter().any(|part| address.contains(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_paragraph_becomes_a_line() {
        let html = "<p>ข่าว<b>ด่วน</b>&nbsp;วันนี้</p>\n<p>ย่อหน้า\nสอง<br/>บรรทัดใหม่</p><ul><li>หนึ่ง<li>สอง</ul>";
        assert_eq!(to_text(html), "ข่าวด่วน วันนี้\nย่อหน้า สอง\nบรรทัดใหม่\nหนึ่ง\nสอง");
    }

    #[test]
    fn what_is_not_the_article_is_left_out() {
        let html = "<nav>เมนู</nav><p>ข่าว</p><script>if (a<b) {\"<p>\"}</script><style>p{}</style>\
                    <figure><img src=a.jpg><figcaption>ภาพ</figcaption></figure>\
                    <div class='sharedaddy sd'><div>แชร์</div></div><p>จบ</p><aside>โฆษณา</aside>";
        assert_eq!(to_text(html), "ข่าว\nจบ");
    }

    #[test]
    fn text_only_in_a_caption_is_still_text() {
        assert_eq!(to_text("<figure><figcaption>ภาพข่าว</figcaption></figure>"), "ภาพข่าว");
        assert_eq!(to_text("ไม่มีแท็ก &amp; ธรรมดา"), "ไม่มีแท็ก & ธรรมดา");
    }

    #[test]
    fn deep_nesting_is_harmless() {
        let html = "<div>".repeat(200_000) + "ข่าว";
        assert_eq!(to_text(&html), "ข่าว");
        let html = "<aside>".repeat(100_000) + "ข่าว";
        assert_eq!(to_text(&html), "ข่าว");
    }

    #[test]
    fn a_title_is_decoded_up_to_twice() {
        assert_eq!(unescape_title("&amp;#8220;บิ๊กโจ๊ก&amp;#8221; &#038; <b>ทีม</b>"), "“บิ๊กโจ๊ก” & ทีม");
        assert_eq!(unescape_title("AT&amp;T 1 < 2 &amp;amp;amp; x"), "AT&T 1 < 2 &amp; x");
        assert_eq!(unescape_title("ก&hellip;"), "ก…");
    }

    #[test]
    fn the_first_real_picture_is_found() {
        let html = r#"<img src="https://s.w.org/images/core/emoji/1.png" class="emoji"><img src="a.gif" width="1" height="1">
            <img src="data:image/gif;base64,R0" data-src="https://i.th/lazy.jpg"><img src="https://i.th/2.jpg">"#;
        assert_eq!(first_image(html).as_deref(), Some("https://i.th/lazy.jpg"));
        let html = r#"<img src="data:x" srcset="https://i.th/s.jpg 300w, https://i.th/l.jpg 1024w, https://i.th/m.jpg 768w">"#;
        assert_eq!(first_image(html).as_deref(), Some("https://i.th/l.jpg"));
        assert_eq!(first_image("<p>ไม่มีภาพ</p>"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(html in any::<String>()) {
            let text = to_text(&html);
            prop_assert_eq!(normal::normalize(&text), text.clone());
            prop_assert_eq!(unescape_title(&html).lines().count() <= 1, true);
            first_image(&html);
        }
    }
}
