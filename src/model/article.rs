//! Article: is one story, known by aliases, with versions by content hash.
//!
//! A wrong "new" posts a story twice on three channels, so every name an article is known by counts: guids that
//! flip between http and https, slugs that change, feeds that differ (feeds.md, section 7).

use std::cmp::Ordering;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::model::hash::sha256_hex;
use crate::text::normal;

/// What an article says at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The headline: plain text, one line, normalised; never empty in the store.
    pub title: String,
    /// The article's address, byte for byte as the source gives it.
    pub link: Option<String>,
    /// When the source says it was published.
    pub published: Option<DateTime<Utc>>,
    /// When the source says it was last changed.
    pub updated: Option<DateTime<Utc>>,
    /// The writer's name.
    pub author: Option<String>,
    /// Categories and tags in the source's order.
    pub categories: Vec<String>,
    /// The picture's address, by the order of feeds.md section 2.
    pub image: Option<String>,
    /// The body: plain text, one paragraph a line, without site chrome and follow-us footers.
    pub text: String,
}

/// One article as a source shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The source's own id as it stands (RSS guid, Atom id, JSON Feed id).
    pub guid: Option<String>,
    /// What it says.
    pub content: Content,
}

/// The names this entry is known by; an article with any of them is the same article.
///
/// - `link:` the canonical link, and a guid that is an address, whatever source shows it;
/// - `wp:` the WordPress post number out of `?p=123`, within its site;
/// - `guid:` any other guid, within its source (`source` is its name or the name of its group).
///
/// Without guid and link it is `text:`, a hash of title and text. Empty only when there is nothing at all.
pub fn aliases(source: &str, entry: &Entry) -> Vec<String> {
    let mut aliases = Vec::new();
    let mut add = |alias: String| {
        if !aliases.contains(&alias) {
            aliases.push(alias);
        }
    };
    for address in [&entry.guid, &entry.content.link].into_iter().flatten() {
        if let Some(post) = wordpress_post(address) {
            add(format!("wp:{post}"));
        }
        // A site's front page names no article, though broken feeds link to it.
        if let Some(link) = canonical_link(address).filter(|link| link.contains(['/', '?'])) {
            add(format!("link:{link}"));
        }
    }
    let guid = entry.guid.as_deref().map(str::trim).filter(|guid| !guid.is_empty());
    if let Some(guid) = guid.filter(|guid| canonical_link(guid).is_none()) {
        add(format!("guid:{source}:{guid}"));
    }
    let Content { title, text, .. } = &entry.content;
    if aliases.is_empty() && !(title.is_empty() && text.is_empty()) {
        aliases.push(format!("text:{source}:{}", hashed(&[title, text])));
    }
    aliases
}

/// An address in the one form that stands for all its spellings, for comparing only: host in lower case without
/// `www.`, no scheme, default port, fragment, tracking parameters or trailing slash, escapes in upper case.
///
/// `None` for anything but http and https.
pub fn canonical_link(link: &str) -> Option<String> {
    let url = Url::parse(link.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let mut canonical = site(&url)?;
    canonical.push_str(&even_escapes(url.path().trim_end_matches('/')));
    let kept: Vec<&str> =
        url.query().unwrap_or_default().split('&').filter(|pair| !is_tracking(pair)).collect();
    if !kept.is_empty() {
        canonical.push('?');
        canonical.push_str(&even_escapes(&kept.join("&")));
    }
    Some(canonical)
}

/// A hash of what readers would see: title, text and picture. Dates are left out, because sources touch them
/// without a change.
pub fn content_hash(content: &Content) -> String {
    let image = content.image.as_deref().unwrap_or_default();
    let image = canonical_link(image).unwrap_or_else(|| image.to_owned());
    hashed(&[&normal::normalize(&content.title), &normal::normalize(&content.text), &image])
}

/// A hash that two spellings of one title share: without spaces, quotation marks made plain, digits as ASCII.
pub fn title_hash(title: &str) -> String {
    let title: String = normal::for_matching(title).chars().filter(|c| !c.is_whitespace()).collect();
    hashed(&[&title])
}

/// A hash that the sizes of one picture share: its canonical address without WordPress's `-1024x683`.
pub fn image_hash(content: &Content) -> Option<String> {
    let image = canonical_link(content.image.as_deref()?)?;
    let unsized_image = image.rsplit_once('.').and_then(|(name, ending)| {
        let (name, size) = name.rsplit_once('-')?;
        let (wide, high) = size.split_once('x')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(wide) && is_number(high)).then(|| format!("{name}.{ending}"))
    });
    Some(hashed(&[&unsized_image.unwrap_or(image)]))
}

/// Why an article goes to review that has the picture and nearly the headline of another.
pub fn alike_reason(twin: &str) -> String {
    format!("near_duplicate: the same picture came with {twin:?}")
}

/// Whether two titles differ by a word or two: four in five of their pairs of letters are the same.
///
/// Alone it is no proof that two articles are one story; with the same picture it is worth a person's look.
pub fn are_titles_alike(one: &str, other: &str) -> bool {
    let pairs = |title: &str| {
        let letters: Vec<char> = normal::for_matching(title).chars().filter(|c| !c.is_whitespace()).collect();
        let mut pairs: Vec<(char, char)> = letters.windows(2).map(|pair| (pair[0], pair[1])).collect();
        pairs.sort_unstable();
        pairs
    };
    let (one, other) = (pairs(one), pairs(other));
    let mut shared = 0;
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match a.cmp(b) {
            Ordering::Less => drop(left.next()),
            Ordering::Greater => drop(right.next()),
            Ordering::Equal => {
                shared += 1;
                left.next();
                right.next();
            }
        }
    }
    // Dice's coefficient, without a division by nothing.
    shared > 0 && 2 * shared * 5 >= 4 * (one.len() + other.len())
}

/// The host with an unusual port, as identity knows it.
fn site(url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_end_matches('.');
    let bare = host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(host);
    Some(match url.port() {
        // Scheme and port go together: http on 443 is nobody's.
        None | Some(80 | 443) => bare.to_owned(),
        Some(port) => format!("{bare}:{port}"),
    })
}

/// Host, folder and number of a WordPress address like `https://x.th/?p=123`; several sites may share a host.
fn wordpress_post(address: &str) -> Option<String> {
    let url = Url::parse(address.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let number = url.query()?.split('&').find_map(|pair| pair.strip_prefix("p="))?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Some(format!("{}{}:{number}", site(&url)?, url.path().trim_end_matches('/'))))?
}

/// Whether a query's pair only says where the reader came from; an empty one says nothing either.
fn is_tracking(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
    name.is_empty()
        || name.starts_with("utm_")
        || matches!(name.as_str(), "fbclid" | "gclid" | "igshid" | "msclkid")
}

/// Percent escapes made alike: needless ones decoded, the others in upper case.
///
/// The url crate has already escaped everything beyond ASCII.
fn even_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some((digits, byte)) = digits.and_then(|d| Some((d, u8::from_str_radix(d, 16).ok()?))) else {
            // A sign that escapes nothing could, as it is, escape what comes to stand behind it.
            out.push_str("%25");
            rest = after;
            continue;
        };
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
        rest = &after[digits.len()..];
    }
    out.push_str(rest);
    out
}

/// A hash of several texts that can't run into each other.
fn hashed(parts: &[&str]) -> String {
    let mut all = String::new();
    for part in parts {
        // Writing to a String cannot fail.
        let _infallible = write!(all, "{}:{part};", part.len());
    }
    sha256_hex(all.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn entry(guid: Option<&str>, link: Option<&str>) -> Entry {
        let content = Content {
            title: "ข่าว".into(),
            link: link.map(str::to_owned),
            text: "เนื้อข่าว".into(),
            ..Content::default()
        };
        Entry { guid: guid.map(str::to_owned), content }
    }

    #[track_caller]
    fn check(guid: Option<&str>, link: Option<&str>, expected: &[&str]) {
        assert_eq!(aliases("inn", &entry(guid, link)), expected);
    }

    #[track_caller]
    fn check_link(link: &str, expected: Option<&str>) {
        assert_eq!(canonical_link(link).as_deref(), expected, "{link}");
    }

    #[test]
    fn an_entry_is_known_by_every_name_it_has() {
        check(
            Some("https://www.innnews.co.th/?p=12345"),
            Some("https://www.innnews.co.th/crime/news_12345/"),
            &["wp:innnews.co.th:12345", "link:innnews.co.th?p=12345", "link:innnews.co.th/crime/news_12345"],
        );
        check(
            Some("https://x.th/blog/?post_type=news&p=7"),
            None,
            &["wp:x.th/blog:7", "link:x.th/blog?post_type=news&p=7"],
        );
    }

    #[test]
    fn a_guid_that_is_no_address_belongs_to_its_source() {
        check(Some("yt:video:abc"), None, &["guid:inn:yt:video:abc"]);
        check(Some(" 77 "), Some("https://x.th/"), &["guid:inn:77"]);
        check(Some("tag:x.th,2026:1"), Some("https://x.th/a"), &["link:x.th/a", "guid:inn:tag:x.th,2026:1"]);
    }

    #[test]
    fn without_guid_and_link_title_and_text_are_the_name() {
        let names = aliases("inn", &entry(None, None));
        assert_eq!(names.len(), 1);
        assert!(names[0].starts_with("text:inn:"), "{names:?}");
        assert_eq!(names, aliases("inn", &entry(Some(""), Some("https://x.th"))));
        assert!(aliases("inn", &Entry::default()).is_empty());
    }

    #[test]
    fn scheme_and_www_flips_keep_the_aliases() {
        let one = entry(Some("http://innnews.co.th/?p=5"), Some("http://innnews.co.th/a/"));
        let two = entry(Some("https://www.innnews.co.th/?p=5"), Some("https://WWW.innnews.co.th:443/a#top"));
        assert_eq!(aliases("inn", &one), aliases("inn", &two));
    }

    #[test]
    fn every_spelling_of_a_link_is_one() {
        for link in [
            "https://x.th/ข่าว/1",
            "http://www.x.th/%e0%b8%82%E0%B9%88%e0%b8%b2%e0%b8%a7/1/",
            " HTTPS://X.TH./ข่าว/1/?utm_source=fb&utm_medium=social&fbclid=a#c ",
            "https://x.th:443/%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7/%31?",
        ] {
            check_link(link, Some("x.th/%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7/1"));
        }
    }

    #[test]
    fn what_makes_a_difference_is_kept() {
        check_link("https://x.th/?p=1", Some("x.th?p=1"));
        check_link("https://x.th/a?b=1&utm_id=2&c=%2f", Some("x.th/a?b=1&c=%2F"));
        check_link("https://x.th/a%2Fb", Some("x.th/a%2Fb"));
        check_link("https://x.th/A", Some("x.th/A"));
        check_link("https://x.th:8443/a", Some("x.th:8443/a"));
        check_link("https://www.th/", Some("www.th"));
        check_link("https://x.th/100%", Some("x.th/100%25"));
        check_link("https://127.0.0.1:9000/feed/1", Some("127.0.0.1:9000/feed/1"));
    }

    #[test]
    fn what_is_no_web_address_has_no_canonical_link() {
        check_link("", None);
        check_link("ข่าว", None);
        check_link("urn:uuid:1", None);
        check_link("mailto:a@x.th", None);
        check_link("//x.th/a", None);
    }

    #[test]
    fn the_content_hash_sees_what_readers_see() {
        let content = Content {
            title: "น้ำท่วม".into(),
            text: "ก\nข".into(),
            image: Some("https://x.th/a.jpg".into()),
            ..Content::default()
        };
        let same = Content {
            title: "น้ําท่วม".into(),
            image: Some("http://www.x.th/a.jpg".into()),
            published: Some(DateTime::UNIX_EPOCH),
            author: Some("ใคร".into()),
            ..content.clone()
        };
        assert_eq!(content_hash(&content), content_hash(&same));
        let changes = [
            Content { title: "น้ำลด".into(), ..content.clone() },
            Content { text: "กข".into(), ..content.clone() },
            Content { image: None, ..content.clone() },
        ];
        for change in changes {
            assert_ne!(content_hash(&content), content_hash(&change));
        }
    }

    #[test]
    fn the_image_hash_is_shared_by_the_sizes_of_a_picture() {
        let hash = |image: &str| image_hash(&Content { image: Some(image.to_owned()), ..Content::default() });
        let full = hash("https://x.th/up/flood.jpg");
        assert!(full.is_some());
        for same in ["http://www.x.th/up/flood-1024x683.jpg", "https://x.th/up/flood.jpg?utm_source=rss"] {
            assert_eq!(hash(same), full, "{same}");
        }
        for other in
            ["https://x.th/up/flood-2.jpg", "https://x.th/up/flood-x.jpg", "https://x.th/up/flood.png"]
        {
            assert_ne!(hash(other), full, "{other}");
        }
        assert_eq!((hash("flood.jpg"), image_hash(&Content::default())), (None, None));
    }

    #[track_caller]
    fn check_alike(one: &str, other: &str, alike: bool) {
        assert_eq!(are_titles_alike(one, other), alike, "{one} / {other}");
        assert_eq!(are_titles_alike(other, one), alike, "{other} / {one}");
    }

    #[test]
    fn titles_that_differ_by_a_word_are_alike() {
        let title = "ผู้ว่าฯ สงขลา สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ";
        check_alike(title, title, true);
        check_alike(title, "ผู้ว่าฯ สงขลาสั่งเฝ้าระวังน้ำท่วม ๑๖ อำเภอ", true);
        check_alike(title, "ด่วน! ผู้ว่าฯ สงขลา สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ", true);
        check_alike(title, "ผู้ว่าฯ สงขลา ลงพื้นที่เยี่ยมผู้ประสบภัยน้ำท่วม", false);
        check_alike(title, "จับแก๊งขโมยสายไฟกลางกรุง ของกลางเพียบ", false);
        check_alike("", "", false);
        check_alike("ก", "ก", false);
    }

    #[test]
    fn the_title_hash_is_shared_by_spellings() {
        assert_eq!(title_hash("“บิ๊กโจ๊ก” ลุย ๓ จังหวัด"), title_hash("\"บิ๊กโจ๊ก\"ลุย\u{200b} 3 จังหวัด "));
        assert_ne!(title_hash("บิ๊กโจ๊ก"), title_hash("บิ๊กตู่"));
    }

    proptest! {
        #[test]
        fn a_canonical_link_is_its_own_canonical_form(path in "(/|%[0-9a-fA-F]{2}|[a-zก-ฮ.~&=?#%]){0,30}") {
            if let Some(once) = canonical_link(&format!("https://x.th/{path}")) {
                prop_assert_eq!(canonical_link(&format!("http://{}", &once)), Some(once));
            }
        }

        #[test]
        fn any_entry_has_aliases(guid: Option<String>, link: Option<String>, title: String) {
            let content = Content { link, title, ..Content::default() };
            aliases("s", &Entry { guid, content });
        }
    }
}
