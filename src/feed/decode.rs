//! Decode: turns bytes into text, whatever they say of their encoding.
//!
//! Thai sites declare windows-874 over UTF-8 bytes, and the reverse. Valid UTF-8 with Thai in it is never
//! anything else by chance, so the bytes are believed first, then the BOM, the HTTP charset, the document's
//! own word, and at last a guess (stack.md, section 3).

use chardetng::EncodingDetector;
use chardetng::Iso2022JpDetection;
use chardetng::Utf8Detection;
use encoding_rs::Encoding;
use encoding_rs::UTF_8;

/// Where a document's declaration of its encoding must begin, at the latest.
const PROLOGUE: usize = 2048;

/// A document as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The text, without BOM and XML declaration.
    pub text: String,
    /// The encoding that was used, by its WHATWG name.
    pub encoding: &'static str,
    /// What was wrong: bytes that stand for nothing in that encoding.
    pub problem: Option<String>,
}

/// Decodes `body`; `content_type` is the HTTP header, if there was one.
pub fn decode(body: &[u8], content_type: Option<&str>) -> Decoded {
    let encoding = choose(body, content_type);
    let (text, encoding, broken) = encoding.decode(body);
    let problem = broken.then(|| format!("some bytes are not {}; they show as U+FFFD", encoding.name()));
    Decoded { text: without_declaration(&text).to_owned(), encoding: encoding.name(), problem }
}

fn choose(body: &[u8], content_type: Option<&str>) -> &'static Encoding {
    if is_utf8(body) {
        return UTF_8;
    }
    Encoding::for_bom(body)
        .map(|(encoding, _)| encoding)
        .or_else(|| charset(content_type?))
        .or_else(|| declared(body))
        .unwrap_or_else(|| guess(body))
}

/// Whether `body` is UTF-8 with something beyond ASCII in it; a broken sequence in ten may be an accident
/// (a body cut in the middle of a letter), because no other encoding looks like UTF-8 for long.
fn is_utf8(body: &[u8]) -> bool {
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in body.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good > bad * 10
}

/// The `charset` parameter of a content type.
fn charset(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let label = value.trim().trim_matches(['"', '\'']);
        name.trim().eq_ignore_ascii_case("charset").then(|| Encoding::for_label(label.as_bytes()))?
    })
}

/// What the document says: `encoding=` of an XML declaration, or `charset=` of an HTML `<meta>`.
fn declared(body: &[u8]) -> Option<&'static Encoding> {
    let prologue: String = body.iter().take(PROLOGUE).map(|&byte| char::from(byte)).collect();
    let prologue = prologue.to_ascii_lowercase();
    let declaration = prologue.trim_start().strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    let word = declaration
        .and_then(|(inside, _)| after(inside, "encoding"))
        .or_else(|| prologue.split("<meta").skip(1).find_map(|tag| after(tag.split('>').next()?, "charset")));
    let encoding = Encoding::for_label(word?.as_bytes())?;
    // An ASCII-readable declaration cannot itself be in UTF-16.
    Some(if encoding.is_ascii_compatible() { encoding } else { UTF_8 })
}

/// The word after `name=`, quoted or bare.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(name)?;
    let value = rest.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    value.split(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | ';' | '>' | '/')).next()
}

fn guess(body: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(body, true);
    // The top-level domain tips the balance between one-byte encodings: this is Thai news.
    detector.guess(Some(b"th"), Utf8Detection::Allow)
}

/// The text from behind its XML declaration: that tells an encoding the text no longer has.
fn without_declaration(text: &str) -> &str {
    let text = text.trim_start();
    let is_declaration =
        text.strip_prefix("<?xml").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace()));
    match text.split_once("?>") {
        Some((_, rest)) if is_declaration => rest.trim_start(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use encoding_rs::UTF_16LE;
    use encoding_rs::WINDOWS_874;
    use proptest::prelude::*;

    const NEWS: &str = "<rss><title>ข่าวด่วน นายกฯ ลงพื้นที่สงขลา ตรวจน้ำท่วม</title></rss>";

    fn thai(text: &str) -> Vec<u8> {
        WINDOWS_874.encode(text).0.into_owned()
    }

    #[track_caller]
    fn check(body: &[u8], content_type: Option<&str>, encoding: &str) {
        let decoded = decode(body, content_type);
        assert_eq!(decoded.encoding, encoding);
        assert_eq!(decoded.text, NEWS);
        assert_eq!(decoded.problem, None);
    }

    #[test]
    fn every_word_for_windows_874_is_understood() {
        for label in ["windows-874", "TIS-620", "tis620", "ISO-8859-11"] {
            let declared = format!("<?xml version='1.0' encoding='{label}' ?>\r\n{NEWS}");
            check(&thai(&declared), None, "windows-874");
            check(&thai(NEWS), Some(&format!("text/xml; charset={label}")), "windows-874");
            check(&thai(NEWS), Some(&format!("text/xml;Charset=\"{label}\"")), "windows-874");
        }
    }

    #[test]
    fn undeclared_windows_874_is_guessed() {
        check(&thai(NEWS), None, "windows-874");
        check(&thai(NEWS), Some("application/rss+xml"), "windows-874");
    }

    #[test]
    fn utf_8_is_believed_over_every_label() {
        let declared = format!("<?xml version=\"1.0\" encoding=\"windows-874\"?>{NEWS}");
        check(declared.as_bytes(), Some("text/xml; charset=tis-620"), "UTF-8");
    }

    #[test]
    fn utf_8_cut_in_the_middle_of_a_letter_is_still_utf_8() {
        let declared = format!("<?xml version=\"1.0\" encoding=\"windows-874\"?>{NEWS}");
        let cut = declared.find('ม').unwrap() + 1;
        let decoded = decode(&declared.as_bytes()[..cut], None);
        assert_eq!(decoded.encoding, "UTF-8");
        assert!(decoded.text.ends_with("ท่ว\u{fffd}"), "{}", decoded.text);
        assert!(decoded.problem.is_some());
    }

    #[test]
    fn a_bom_is_believed_over_the_header() {
        let utf16 = NEWS.encode_utf16().flat_map(u16::to_le_bytes);
        let body: Vec<u8> = [0xff, 0xfe].into_iter().chain(utf16).collect();
        check(&body, Some("text/xml; charset=windows-874"), UTF_16LE.name());
        check(format!("\u{feff}{NEWS}").as_bytes(), None, "UTF-8");
    }

    #[test]
    fn the_header_is_believed_over_the_declaration() {
        let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{NEWS}");
        check(&thai(&declared), Some("text/xml; charset=windows-874"), "windows-874");
    }

    #[test]
    fn a_page_tells_its_charset_in_a_meta_element() {
        for meta in [
            "<meta charset=windows-874>",
            "<META http-equiv=\"Content-Type\" content=\"text/html; charset=tis-620\">",
        ] {
            let page = format!("<html><head>{meta}</head><body>ก</body></html>");
            assert_eq!(decode(&thai(&page), Some("text/html")).text, page);
        }
    }

    #[test]
    fn broken_bytes_are_told() {
        let body = [b"<?xml version='1.0' encoding='utf-8'?><a>\xe0\xb8".as_slice(), b"</a>"].concat();
        let decoded = decode(&body, None);
        assert_eq!(decoded.text, "<a>\u{fffd}</a>");
        assert_eq!(decoded.problem.as_deref(), Some("some bytes are not UTF-8; they show as U+FFFD"));
    }

    #[test]
    fn a_stylesheet_instruction_is_no_declaration() {
        assert_eq!(decode(b"<?xml-stylesheet href='a'?><a/>", None).text, "<?xml-stylesheet href='a'?><a/>");
    }

    proptest! {
        #[test]
        fn any_bytes_decode(body: Vec<u8>, content_type: Option<String>) {
            decode(&body, content_type.as_deref());
        }
    }
}
