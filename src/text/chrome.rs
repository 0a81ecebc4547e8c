//! Chrome: takes menus, credits and follow-us lines out of a text.
//!
//! No extractor removes a follow-us footer that stands inside the article (thai.md, section 6), so
//! lines are judged by their words here. A long line that says something is never dropped.

use crate::text::letter;
use crate::text::normal;
use crate::text::table;
use crate::text::words;

/// A line longer than this, in code points, is content whatever it begins with.
const CHROME_MAX: usize = 80;
/// A footer's lines are shorter than this, in code points, or hold an address or a handle.
const FOOTER_LINE_MAX: usize = 60;
/// A footer stands in the last part of a text: behind this share of it.
const FOOTER_FROM: f64 = 0.6;

/// The text without site chrome: footers, menus, credits, a repetition of the headline in front,
/// list bullets; a paragraph broken after a connective is made whole again. `text` is normalised,
/// a paragraph a line.
pub fn clean(title: &str, text: &str) -> String {
    let mut lines: Vec<String> =
        text.lines().map(|line| tidy(line).to_owned()).filter(|line| !line.is_empty()).collect();
    if let Some(footer) = footer(&lines) {
        lines.truncate(footer);
    }
    lines.retain(|line| !is_chrome(line));
    let headline = normal::for_matching(title);
    while !headline.is_empty() && lines.first().is_some_and(|line| normal::for_matching(line) == headline) {
        lines.remove(0);
    }
    joined(lines)
}

/// Whether a line is a site's, not the article's.
pub fn is_chrome(line: &str) -> bool {
    let line = tidy(line);
    let length = line.chars().count();
    if !line.contains(|c: char| c.is_alphanumeric() || letter::is_thai(c)) {
        return true;
    }
    if length > CHROME_MAX {
        return false;
    }
    let lower = line.to_lowercase();
    let bare = lower.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—' | ':'));
    table::MENU_WORDS.contains(&bare)
        || is_meta(&lower)
        || (line.contains(" | ") && line.split(" | ").all(is_chrome))
        || is_social(&lower)
        || is_only_tags(line)
        || opens_footer(&lower)
        || (table::CREDITS.iter().any(|credit| lower.starts_with(credit)))
        || is_address(line)
}

/// Where the footer begins: a line that opens one, late in the text, with nothing but short lines
/// and addresses behind it.
fn footer(lines: &[String]) -> Option<usize> {
    let total: usize = lines.iter().map(String::len).sum();
    let mut before = 0;
    for (place, line) in lines.iter().enumerate() {
        let late =
            before as f64 >= FOOTER_FROM * total as f64 || place as f64 >= FOOTER_FROM * lines.len() as f64;
        let small = |line: &String| {
            line.chars().count() < FOOTER_LINE_MAX || line.contains("http") || line.contains('@')
        };
        if late && place > 0 && opens_footer(&line.to_lowercase()) && lines[place..].iter().all(small) {
            return Some(place);
        }
        before += line.len();
    }
    None
}

/// Whether a line in lower case begins as footers do.
fn opens_footer(lower: &str) -> bool {
    let counted = |word: &str| {
        lower
            .strip_prefix(word)
            .is_some_and(|rest| rest.trim_start().starts_with(|c: char| c.is_ascii_digit()))
    };
    table::FOOTER_OPENERS.iter().any(|opener| lower.starts_with(opener))
        || counted("แชร์")
        || counted("post views:")
}

/// `Facebook : …`, `LINE Official Account : @…`.
fn is_social(lower: &str) -> bool {
    let Some((name, rest)) = lower.split_once([':', '：']) else {
        return false;
    };
    table::SOCIAL_NAMES.contains(&name.trim()) && (rest.contains(['@', '/']) || rest.chars().count() < 40)
}

/// `วันที่ 16 พ.ย. 2569 เวลา 10:20 น. | เปิดอ่าน 87`, `หน้า: 1 2 3`: a number, and nothing but words about the page.
fn is_meta(lower: &str) -> bool {
    let mut rest = lower;
    while let Some(c) = rest.chars().next() {
        match table::META_WORDS.iter().find(|word| rest.starts_with(**word)) {
            Some(word) => rest = &rest[word.len()..],
            None if c.is_alphabetic() || letter::is_thai(c) && !c.is_numeric() => return false,
            None => rest = &rest[c.len_utf8()..],
        }
    }
    lower.contains(char::is_numeric) && table::META_WORDS.iter().any(|word| lower.contains(word))
}

fn is_only_tags(line: &str) -> bool {
    line.starts_with('#') && line.split_whitespace().all(|word| word.starts_with('#'))
}

fn is_address(line: &str) -> bool {
    !line.contains(' ')
        && (line.starts_with("http://") || line.starts_with("https://") || line.starts_with("www."))
}

/// A line without list bullets in front, SEO plugins' tail, and an excerpt's dots.
fn tidy(line: &str) -> &str {
    let mut line = line.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '•' | '●' | '▪' | '◆' | '⁃' | '■' | '➤' | '►' | '|' | '»')
    });
    if let Some(at) = line.find("The post ").filter(|&at| line[at..].contains(" appeared first on ")) {
        line = line[..at].trim_end();
    }
    for tail in ["[…]", "[...]", "[&hellip;]", "อ่านต่อ »", "อ่านเพิ่มเติม »", "Read more", "Continue reading"]
    {
        line = line.strip_suffix(tail).map_or(line, str::trim_end);
    }
    line
}

/// The lines as one text; a line that ends on a connective goes on in the next.
fn joined(lines: Vec<String>) -> String {
    let mut out = String::new();
    for line in lines {
        if !out.is_empty() {
            out.push(if ends_open(&out) { ' ' } else { '\n' });
        }
        out.push_str(&line);
    }
    out
}

fn ends_open(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap_or("");
    let tail = line.char_indices().rev().nth(40).map_or(line, |(at, _)| &line[at..]);
    if table::JOINING_ENDS.iter().any(|end| tail.ends_with(end)) {
        return true;
    }
    let last = words::words(tail).last().copied().unwrap_or("");
    table::JOINING_WORDS.contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::vectors::vectors;

    #[test]
    fn every_vector_is_judged_as_expected() {
        for case in vectors("boilerplate") {
            assert_eq!(is_chrome(case.input()), case.flag("expect"), "{} {}", case.id(), case.input());
        }
    }

    #[test]
    fn a_footer_and_a_menu_are_no_article() {
        let body = "พล.ต.อ.สุรเชษฐ์ หักพาล รอง ผบ.ตร. เปิดเวทีพูดคุยเครือข่ายการแก้ไขปัญหาการค้ามนุษย์ วันนี้";
        let page = format!(
            "fbpx\nHome\n|\nเปิดเวที\nFeatured Image\n{body}\nติดตามเนื้อหาดีๆแบบนี้ได้ที่\nFacebook : https://www.facebook.com/x\n• Tiktok"
        );
        assert_eq!(clean("เปิดเวที", &page), body);
    }

    #[test]
    fn a_feeds_tail_is_cut_off() {
        let text = "เนื้อข่าว\nThe post เปิดเวที appeared first on INN News.";
        assert_eq!(clean("", text), "เนื้อข่าว");
        assert_eq!(clean("", "เนื้อข่าวตอนต้น […]"), "เนื้อข่าวตอนต้น");
    }

    #[test]
    fn a_broken_paragraph_is_made_whole() {
        let text = "หน่วยงานเข้าใจข้อจำกัด และในขณะเดียวกัน\nภาคเอกชนก็รับทราบ";
        assert_eq!(clean("", text), "หน่วยงานเข้าใจข้อจำกัด และในขณะเดียวกัน ภาคเอกชนก็รับทราบ");
        assert_eq!(clean("", "ตรวจสอบพื้นที่\nต่อมา"), "ตรวจสอบพื้นที่\nต่อมา");
    }

    #[test]
    fn a_follow_us_word_in_a_sentence_is_content() {
        let line = "ติดตามข่าวการช่วยเหลือผู้ประสบภัยน้ำท่วมในจังหวัดเชียงใหม่ ซึ่งเจ้าหน้าที่ระดมกำลังเข้าพื้นที่ตั้งแต่เช้าวันนี้";
        assert!(!is_chrome(line));
    }
}
