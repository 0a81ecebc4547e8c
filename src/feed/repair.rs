//! Repair: makes a broken XML feed readable, or saves what is whole.
//!
//! The order is stack.md's: read as XML says; if that fails, mend and read leniently; if that fails too,
//! read each complete `<item>` or `<entry>` by itself, so that one broken article never costs the others.

/// Escapes each `<` that can't begin markup ("ราคา < 100 บาท"), outside CDATA and comments; takes away the
/// beginnings of CDATA and comments that never end, and a last tag that doesn't.
///
/// A bare `&`, elements left open and forbidden characters need no mending: the lenient reader bears them.
pub fn mend(text: &str) -> String {
    let verbatim = Verbatim::of(text);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(angle) = text[at..].find('<').map(|found| at + found) {
        out.push_str(&text[at..angle]);
        let end = verbatim.end(angle);
        let unended = Verbatim::KINDS.iter().find(|(begin, _)| text[angle..].starts_with(begin));
        let markup = text[angle + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?_".contains(c));
        at = match (end, unended) {
            (None, Some((begin, _))) => angle + begin.len(),
            (end, _) => end.unwrap_or(angle + 1),
        };
        out.push_str(match (end, unended) {
            (None, Some(_)) => "",
            _ if markup => &text[angle..at],
            _ => "&lt;",
        });
    }
    out.push_str(&text[at..]);
    // A tag that never ends would cost all that stands before it.
    match out.rfind('<') {
        Some(angle) if !out[angle..].contains('>') => out.truncate(angle),
        _ => {}
    }
    out
}

/// The complete `<item>…</item>` and `<entry>…</entry>` blocks, in order, as they stand.
pub fn blocks(text: &str) -> Vec<&str> {
    let verbatim = Verbatim::of(text);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(angle) = text[at..].find('<').map(|found| at + found) {
        let end = ["item", "entry"].into_iter().find_map(|name| block_end(&verbatim, angle, name));
        found.extend(end.map(|end| &text[angle..end]));
        at = end.or_else(|| verbatim.end(angle)).unwrap_or(angle + 1);
    }
    found
}

/// Where the block ends that begins at `start` with `<name …>`: behind the `</name>` outside CDATA.
///
/// Another `<name` first means that this one was never closed. Where CDATA never ends, the next `</name>` ends both.
fn block_end(verbatim: &Verbatim<'_>, start: usize, name: &str) -> Option<usize> {
    let text = verbatim.text;
    if !opens(&text[start..], name) {
        return None;
    }
    let mut at = start + 1;
    loop {
        at += text[at..].find('<')?;
        if let Some(tail) = text[at..].strip_prefix("</").and_then(|tail| tail.strip_prefix(name)) {
            let tail = tail.trim_start().strip_prefix('>')?;
            return Some(text.len() - tail.len());
        }
        if opens(&text[at..], name) {
            return None;
        }
        at = verbatim.end(at).unwrap_or(at + 1);
    }
}

/// Whether `<name` with a boundary behind it stands here.
fn opens(text: &str, name: &str) -> bool {
    let tail = text.strip_prefix('<').and_then(|tail| tail.strip_prefix(name));
    tail.is_some_and(|tail| tail.starts_with(|c: char| c == '>' || c.is_ascii_whitespace()))
}

/// The parts of a text that are taken as they stand: CDATA sections and comments.
struct Verbatim<'a> {
    text: &'a str,
    /// Where the last `]]>` and the last `-->` stand: looking for an end behind them would take
    /// quadratic time on a hostile document.
    last: [Option<usize>; 2],
}

impl<'a> Verbatim<'a> {
    const KINDS: [(&'static str, &'static str); 2] = [("<![CDATA[", "]]>"), ("<!--", "-->")];

    fn of(text: &'a str) -> Self {
        Self { text, last: Self::KINDS.map(|(_, end)| text.rfind(end)) }
    }

    /// The end of the section that begins at `at`; `None` if none begins there, or if it never ends. One that begins
    /// again before its end was never closed either: the end is another's.
    fn end(&self, at: usize) -> Option<usize> {
        let kinds = Self::KINDS.iter().zip(self.last);
        kinds.filter(|(_, last)| last.is_some_and(|last| at < last)).find_map(|((begin, end), _)| {
            let inside = self.text[at..].strip_prefix(begin)?;
            let before_next = &inside[..inside.find(begin).unwrap_or(inside.len())];
            Some(at + begin.len() + before_next.find(end)? + end.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn a_bare_angle_is_escaped_outside_cdata() {
        assert_eq!(mend("<a>1 < 2 <3 <b/></a>"), "<a>1 &lt; 2 &lt;3 <b/></a>");
        assert_eq!(mend("<![CDATA[1 < 2]]><!-- < -->"), "<![CDATA[1 < 2]]><!-- < -->");
        assert_eq!(mend("<"), "&lt;");
        assert_eq!(mend("ก<ข"), "ก&lt;ข");
    }

    #[test]
    fn what_never_ends_is_taken_away() {
        assert_eq!(mend("<a><![CDATA[x</a>"), "<a>x</a>");
        assert_eq!(mend("<a><![CDATA[x</a><b><![CDATA[y]]></b>"), "<a>x</a><b><![CDATA[y]]></b>");
        assert_eq!(mend("<a><!-- x</a>"), "<a> x</a>");
        assert_eq!(mend("<a>x</a><b c='"), "<a>x</a>");
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(blocks(text), expected);
    }

    #[test]
    fn complete_blocks_are_saved() {
        check(
            "<x><item>1</item><entry a='b'>2</entry ><item>3",
            &["<item>1</item>", "<entry a='b'>2</entry >"],
        );
        check("<item>1<item>2</item>", &["<item>2</item>"]);
        check("<items>1</items><itemx/>", &[]);
    }

    #[test]
    fn cdata_hides_a_block_end_but_not_for_ever() {
        let whole = "<item><![CDATA[ </item> ]]></item>";
        check(whole, &[whole]);
        check(
            "<item><![CDATA[ a</item><item><![CDATA[2]]></item>",
            &["<item><![CDATA[ a</item>", "<item><![CDATA[2]]></item>"],
        );
        check("<item><![CDATA[ a</item><item>2</item>", &["<item><![CDATA[ a</item>", "<item>2</item>"]);
    }

    #[test]
    fn hostile_wrecks_take_linear_time() {
        let begun = std::time::Instant::now();
        for piece in
            ["<![CDATA[", "<!--", "<item ", "<item>", "<item></item", "<", "<item><![CDATA[</item>", "]]>"]
        {
            let text = format!("{}]]>-->", piece.repeat((1 << 19) / piece.len()));
            blocks(&mend(&text));
            blocks(&text);
        }
        assert!(begun.elapsed().as_secs() < 10, "it took {:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn any_text_is_mended(text in "(<|>|item|/|!--|-->|!\\[CDATA\\[|\\]\\]>|[ กa]){0,40}") {
            blocks(&mend(&text));
        }
    }
}
