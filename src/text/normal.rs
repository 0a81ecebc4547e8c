//! Normal: gives every spelling of the same Thai text the same characters.
//!
//! NFC only: NFKC tears SARA AM (ำ) into two characters. Spec: thai.md, section 2.

use unicode_normalization::UnicodeNormalization;

use crate::text::letter;

/// The text in its normal spelling: NFC, without invisible characters, with marks in writing order
/// and single spaces. Lines stay lines (empty ones fall away); the writer's digits stay; ๆ follows
/// its word without a space. Doing it twice changes nothing.
pub fn normalize(text: &str) -> String {
    let mut normal = pass(text);
    // One pass can bring characters together that a further one must look at (a hidden character
    // between two marks, say). Each pass only shortens or orders, so this ends.
    for _ in 0..4 {
        let again = pass(&normal);
        if again == normal {
            break;
        }
        normal = again;
    }
    normal
}

/// The text as one normal line, for titles from feeds nobody vouches for: control and direction
/// characters go, line ends become spaces.
pub fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if is_line_end(c) || c == '\t' { ' ' } else { c }).collect();
    let plain: String = plain.chars().filter(|&c| !is_unruly(c)).collect();
    normalize(&plain)
}

/// The text in the form two spellings of one title share: one line, lower case, ASCII digits,
/// quotation marks and dashes made plain, every space single.
pub fn for_matching(text: &str) -> String {
    let folded: String = one_line(text)
        .chars()
        .map(|c| match c {
            '“' | '”' | '„' | '«' | '»' | '″' => '"',
            '‘' | '’' | '′' => '\'',
            '–' | '—' | '−' | '‐' | '‑' => '-',
            _ => c,
        })
        .flat_map(char::to_lowercase)
        .collect();
    normalize(&ascii_digits(&folded))
}

/// Thai digits as ASCII digits; all else unchanged.
pub fn ascii_digits(text: &str) -> String {
    swap_digits(text, '๐'..='๙', '0')
}

/// ASCII digits as Thai digits; all else unchanged.
pub fn thai_digits(text: &str) -> String {
    swap_digits(text, '0'..='9', '๐')
}

fn swap_digits(text: &str, from: std::ops::RangeInclusive<char>, zero: char) -> String {
    text.chars()
        .map(|c| match from.contains(&c) {
            true => char::from_u32(u32::from(zero) + u32::from(c) - u32::from(*from.start())).unwrap_or(c),
            false => c,
        })
        .collect()
}

fn pass(text: &str) -> String {
    let visible = drop_invisible(text);
    let composed: String = visible.nfc().collect();
    spaced(&marked(&composed))
}

/// Drops zero-width characters; a ZWJ stays where it joins two pictographs.
fn drop_invisible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{200b}' | '\u{200c}' | '\u{feff}' | '\u{ad}' | '\u{2060}' => {}
            '\u{200d}' => {
                let before = out.chars().next_back().is_some_and(joins_emoji);
                if before && chars.peek().is_some_and(|&next| letter::is_pictograph(next)) {
                    out.push(c);
                }
            }
            _ => out.push(c),
        }
    }
    out
}

fn joins_emoji(c: char) -> bool {
    letter::is_pictograph(c) || c == '\u{fe0f}'
}

/// Puts the marks of each syllable in writing order, once each, and mends เเ and split SARA AM.
fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut run: Vec<char> = Vec::new();
    while let Some(c) = chars.next() {
        if c == 'เ' && chars.next_if_eq(&'เ').is_some() {
            out.push('แ');
            continue;
        }
        if !is_stacked(c) {
            out.push(c);
            continue;
        }
        run.clear();
        run.push(c);
        while let Some(next) = chars.next_if(|&next| is_stacked(next)) {
            run.push(next);
        }
        let split_am = run.contains(&'\u{e4d}') && chars.next_if_eq(&'า').is_some();
        let am = split_am || run.contains(&'ำ');
        if split_am {
            run.retain(|&mark| mark != '\u{e4d}');
        }
        run.retain(|&mark| mark != 'ำ');
        run.sort_by_key(|&mark| order(mark));
        run.dedup();
        out.extend(run.iter());
        if am {
            out.push('ำ');
        }
    }
    out
}

fn is_stacked(c: char) -> bool {
    letter::is_mark(c) || c == 'ำ'
}

/// A mark's place after its consonant: below, above, tone, silencer. Within NFC's own order, so
/// that composing again moves nothing.
fn order(mark: char) -> u8 {
    match mark {
        '\u{e3a}' => 0,
        '\u{e38}' | '\u{e39}' => 1,
        '\u{e31}' | '\u{e34}'..='\u{e37}' | '\u{e47}' => 2,
        '\u{e48}'..='\u{e4b}' => 3,
        _ => 4,
    }
}

/// Single spaces inside lines, none at their ends, no empty lines; ๆ close to its word.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut space, mut line_end) = (false, false);
    for c in text.chars() {
        if is_line_end(c) {
            line_end = true;
        } else if c.is_whitespace() {
            space = true;
        } else {
            if line_end && !out.is_empty() {
                out.push('\n');
            } else if space && !out.is_empty() && !(c == 'ๆ' && out.ends_with(letter::is_thai)) {
                out.push(' ');
            }
            (space, line_end) = (false, false);
            out.push(c);
        }
    }
    out
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters a title has no honest use for: controls, direction overrides, noncharacters, tags.
fn is_unruly(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2061}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffc}' | '\u{e0000}'..='\u{e007f}')
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::vectors::vectors;

    #[test]
    fn every_vector_is_normalised() {
        for case in vectors("normalise") {
            let normal = normalize(case.input());
            let normal = if case.flag("digits") { ascii_digits(&normal) } else { normal };
            assert_eq!(normal, case.expect(), "{}", case.id());
        }
    }

    #[test]
    fn a_title_loses_what_could_mislead_a_reader() {
        assert_eq!(one_line("ข่าว\n\u{202e}ด่วน\u{0}\t วันนี้ "), "ข่าว ด่วน วันนี้");
    }

    #[test]
    fn two_spellings_of_a_title_match() {
        assert_eq!(for_matching("“นํ้า”ท่วม ๒๕๖๖  TODAY"), for_matching("\"น้ำ\"ท่วม 2566 today"));
    }

    #[test]
    fn an_emoji_family_stays_together() {
        assert_eq!(normalize("ดีใจ👨\u{200d}👩\u{200d}👧มา\u{200d}ก"), "ดีใจ👨\u{200d}👩\u{200d}👧มาก");
    }

    #[test]
    fn digits_go_both_ways() {
        assert_eq!(thai_digits("1,200 บาท"), "๑,๒๐๐ บาท");
        assert_eq!(ascii_digits(&thai_digits("0123456789")), "0123456789");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[เแกนท่้ิีึืัุู็ํำาๆ์ฺ \u{200b}\u{200d}\u{ad}\n\u{a0}e\u{301}👨]{0,24}") {
            let once = normalize(&text);
            prop_assert_eq!(normalize(&once), once);
        }

        #[test]
        fn any_text_normalises_to_itself_in_the_end(text in any::<String>()) {
            let once = normalize(&text);
            prop_assert_eq!(normalize(&once), once);
        }
    }
}
