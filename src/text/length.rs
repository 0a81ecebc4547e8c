//! Length: counts a text as each platform counts it.
//!
//! X: <https://docs.x.com/fundamentals/counting-characters>, configuration 3 of twitter-text.
//! On X every Thai vowel and tone mark costs one, a link 23 whatever its length, `…` two.

use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use crate::text::address;
use crate::text::address::Address;

/// The longest message Facebook takes, in code points (Graph API, Page feed).
pub const FACEBOOK_MAX: usize = 63_206;
/// The heaviest post X takes (twitter-text configuration 3, `maxWeightedTweetLength`).
pub const X_MAX: usize = 280;
/// The longest text message LINE takes, in UTF-16 units (Messaging API, text message).
pub const LINE_MAX: usize = 5_000;
/// What a link weighs on X (`transformedURLLength`).
pub const X_LINK: usize = 23;

/// Emoji of more than one code point that X knows as one (twemoji-parser 11.0.2, MIT, expanded).
static EMOJI: LazyLock<HashSet<&'static str>> = LazyLock::new(|| include_str!("emoji.txt").lines().collect());

/// The longest sequence in [`EMOJI`], in code points.
const EMOJI_MAX: usize = 8;

/// A text's length on a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Length {
    /// How much it counts.
    pub length: usize,
    /// How much the platform takes.
    pub limit: usize,
    /// Whether the platform takes it: long enough, short enough, and of legal characters.
    pub fits: bool,
}

/// A text's length on Facebook: code points.
pub fn facebook(text: &str) -> Length {
    let length = text.chars().count();
    Length { length, limit: FACEBOOK_MAX, fits: length <= FACEBOOK_MAX && !text.trim().is_empty() }
}

/// A text's length on X: weighted.
pub fn x(text: &str) -> Length {
    let length = weighted(text);
    let legal = !text.nfc().any(address::is_invalid);
    Length { length, limit: X_MAX, fits: legal && (1..=X_MAX).contains(&length) }
}

/// A text's length on LINE: UTF-16 units.
pub fn line(text: &str) -> Length {
    let length = text.encode_utf16().count();
    Length { length, limit: LINE_MAX, fits: length <= LINE_MAX && !text.trim().is_empty() }
}

/// A text's weight on X.
pub fn weighted(text: &str) -> usize {
    let text: Vec<char> = text.nfc().collect();
    let mut links = address::addresses(&text).into_iter().peekable();
    let mut emoji = emoji(&text).into_iter().peekable();
    let (mut at, mut weight) = (0, 0);
    while at < text.len() {
        while links.next_if(|link| link.start < at).is_some() {}
        while emoji.next_if(|sign| sign.0 < at).is_some() {}
        if let Some(Address { length, .. }) = links.next_if(|link| link.start == at) {
            weight += X_LINK;
            at += length;
        } else if let Some((_, length)) = emoji.next_if(|sign| sign.0 == at) {
            weight += 2;
            at += length;
        } else {
            weight += if is_light(text[at]) { 1 } else { 2 };
            at += 1;
        }
    }
    weight
}

/// The links X makes of a text, as they stand in it after NFC.
pub fn urls(text: &str) -> Vec<String> {
    let text: Vec<char> = text.nfc().collect();
    let part = |link: Address| text[link.start..link.start + link.length].iter().collect();
    address::addresses(&text).into_iter().map(part).collect()
}

/// The text with what X would make a mention, a hashtag or a cashtag of made harmless: a zero-width
/// space, of weight one, after the sign. A reader sees no difference; nobody is called.
pub fn neutralise(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut previous = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        let next = chars.peek().copied().unwrap_or(' ');
        let calls = match c {
            '@' | '＠' => next.is_ascii_alphanumeric() || next == '_',
            '#' | '＃' => next.is_alphanumeric() || next == '_',
            '$' => next.is_ascii_alphabetic(),
            _ => false,
        };
        // In the middle of an address (me@example.com, /page#top) the sign calls nobody, and a
        // space put there would break the address.
        let inside = previous.is_some_and(|p: char| p.is_ascii_alphanumeric() || "/&_-.".contains(p));
        if calls && !inside {
            out.push('\u{200b}');
        }
        previous = Some(c);
    }
    out
}

/// The emoji of several code points, none overlapping: beginning and length, in code points.
fn emoji(text: &[char]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        // Every sequence but keycaps begins outside ASCII, and Thai text has none at all.
        let may_begin = text[at] >= '\u{a9}' && !('\u{e00}'..='\u{e7f}').contains(&text[at]);
        let keycap = text.get(at + 1).is_some_and(|&c| matches!(c, '\u{fe0f}' | '\u{20e3}'));
        let longest = if may_begin || keycap { EMOJI_MAX.min(text.len() - at) } else { 0 };
        let sequence = (2..=longest).rev().find(|&length| {
            let sequence: String = text[at..at + length].iter().collect();
            EMOJI.contains(sequence.as_str())
        });
        found.extend(sequence.map(|length| (at, length)));
        at += sequence.unwrap_or(1);
    }
    found
}

/// Whether a character weighs one: Latin to Georgian (Thai among them), spaces, dashes, quotes.
fn is_light(c: char) -> bool {
    matches!(u32::from(c), 0..=4351 | 8192..=8205 | 8208..=8223 | 8242..=8247)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::vectors::vectors;

    #[test]
    fn every_vector_has_its_weight() {
        for case in vectors("xweight") {
            assert_eq!(weighted(case.input()), case.number("expect"), "{}", case.id());
        }
    }

    #[test]
    fn weights_are_those_of_the_reference() {
        let table: Vec<(String, usize, bool)> =
            serde_json::from_str(include_str!("../../tests/fixtures/text/weighted.json"))
                .expect("weighted.json");
        assert!(table.len() > 300);
        let wrong: Vec<_> = table
            .iter()
            .filter(|(text, weight, valid)| {
                let ours = x(text);
                (ours.length, ours.fits) != (*weight, *valid)
            })
            .map(|(text, weight, valid)| (text, weight, valid, x(text), urls(text)))
            .collect();
        assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), table.len());
    }

    #[test]
    fn the_longest_emoji_is_known() {
        assert_eq!(EMOJI.iter().map(|sign| sign.chars().count()).max(), Some(EMOJI_MAX));
    }

    #[test]
    fn each_platform_counts_in_its_own_way() {
        assert_eq!(facebook("น้ำ🔥").length, 4);
        assert_eq!(line("น้ำ🔥").length, 5);
        assert_eq!(x("น้ำ🔥").length, 5);
        assert!(!facebook(" ").fits && !x("").fits && !line("").fits);
        assert!(!x("ข่าว\u{feff}").fits);
        assert!(x(&"ก".repeat(280)).fits && !x(&"ก".repeat(281)).fits);
    }

    #[test]
    fn article_text_calls_nobody() {
        assert_eq!(
            neutralise("ติดต่อ @inn_news #ข่าว $PTT"),
            "ติดต่อ @\u{200b}inn_news #\u{200b}ข่าว $\u{200b}PTT"
        );
        assert_eq!(neutralise("me@example.com https://a.co/#top 5$"), "me@example.com https://a.co/#top 5$");
        assert_eq!(weighted(&neutralise("@a")), 3);
    }
}
