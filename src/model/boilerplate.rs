//! Boilerplate: knows a site's lines by their coming back in other articles.
//!
//! The strongest sign of chrome there is, and it needs no Thai (thai.md, section 6). Short lines only: what is longer
//! says something, and a story told three times must not lose it.

use std::collections::HashSet;

use url::Url;

use crate::model::article::Content;
use crate::model::hash::sha256_hex;
use crate::text::normal;

/// A line longer than this, in code points, is the article's however often it comes.
const LONGEST: usize = 80;

/// A hostile page may have any number of lines; no more than so many are learnt from one article.
const MOST: usize = 200;

/// A line's hash as it is kept, in hexadecimal digits: half of SHA-256 is beyond chance.
const DIGITS: usize = 32;

/// The site whose lines an article shares: the host of its link without `www.`.
pub fn host(content: &Content) -> Option<String> {
    let url = Url::parse(content.link.as_deref()?).ok()?;
    let host = url.host_str()?;
    Some(host.strip_prefix("www.").unwrap_or(host).to_owned())
}

/// The hashes of the lines that may turn out to be the site's, each once, in order.
pub fn hashes(text: &str) -> Vec<String> {
    let mut hashes: Vec<String> = text.lines().filter_map(hash).take(MOST).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// The text without the lines whose hashes are `known`. If that would leave nothing, it is the article that is short
/// and alike, and all of it stays.
pub fn without(text: &str, known: &HashSet<String>) -> String {
    let is_known = |line: &str| hash(line).is_some_and(|hash| known.contains(&hash));
    let kept: Vec<&str> = text.lines().filter(|line| !is_known(line)).collect();
    if kept.iter().all(|line| line.trim().is_empty()) { text.to_owned() } else { kept.join("\n") }
}

/// The hash that two spellings of a line share; none for a long line and for an empty one.
fn hash(line: &str) -> Option<String> {
    let line: String = normal::for_matching(line).chars().filter(|c| !c.is_whitespace()).collect();
    if line.is_empty() || line.chars().count() > LONGEST {
        return None;
    }
    let mut hash = sha256_hex(line.as_bytes());
    hash.truncate(DIGITS);
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const LONG: &str = "เจ้าหน้าที่ระดมกำลังเข้าช่วยเหลือประชาชนที่ติดอยู่ในบ้านเรือนหลายหลังตั้งแต่เช้าตรู่ของวันนี้ต่อเนื่องจนถึงช่วงค่ำ";

    fn known(lines: &[&str]) -> HashSet<String> {
        lines.iter().flat_map(|line| hashes(line)).collect()
    }

    #[test]
    fn a_known_line_goes_however_it_is_spelt() {
        let known = known(&["อ่านข่าวอื่น ๆ ของเรา ๒๔ ชั่วโมง"]);
        let text = "เนื้อข่าว\nอ่านข่าวอื่นๆ ของเรา 24 ชั่วโมง\nตอนจบ";
        assert_eq!(without(text, &known), "เนื้อข่าว\nตอนจบ");
    }

    #[test]
    fn a_long_line_stays_however_often_it_comes() {
        assert!(hashes(LONG).is_empty());
        assert_eq!(without(LONG, &known(&[LONG])), LONG);
    }

    #[test]
    fn an_article_of_nothing_else_stays_whole() {
        let text = "หยุดทำการ\nวันจันทร์";
        assert_eq!(without(text, &known(&["หยุดทำการ", "วันจันทร์"])), text);
    }

    #[test]
    fn a_line_that_comes_twice_in_one_article_counts_once() {
        assert_eq!(hashes("แชร์\nแชร์\n\nเนื้อข่าว").len(), 2);
    }

    #[test]
    fn no_article_teaches_without_end() {
        let text: String = (0..100_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(hashes(&text).len(), MOST);
    }

    #[test]
    fn the_host_is_the_same_with_and_without_www() {
        let content = |link: &str| Content { link: Some(link.to_owned()), ..Content::default() };
        assert_eq!(host(&content("https://www.innnews.co.th/a")), Some("innnews.co.th".to_owned()));
        assert_eq!(host(&content("http://innnews.co.th/b")), Some("innnews.co.th".to_owned()));
        assert_eq!(host(&content("urn:x")), None);
        assert_eq!(host(&Content::default()), None);
    }

    proptest! {
        #[test]
        fn only_whole_lines_ever_go(text in "([ก-ฮa-z ]{0,30}\n){0,8}", chosen in prop::collection::vec(any::<bool>(), 8)) {
            let lines: Vec<&str> = text.lines().collect();
            let gone: Vec<&str> = lines.iter().zip(&chosen).filter(|(_, gone)| **gone).map(|(line, _)| *line).collect();
            let left = without(&text, &known(&gone));
            prop_assert!(left.lines().all(|line| lines.contains(&line)));
        }
    }
}
