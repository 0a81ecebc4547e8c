//! Letter: says what part a character plays in Thai writing.
//!
//! Unicode's grapheme clusters do not protect Thai: a leading vowel stands before its consonant,
//! and ะ, า, ๆ, ฯ stand after theirs, each as a cluster of its own. [`joins`] knows all of them.

use unicode_segmentation::UnicodeSegmentation;

/// A letter, vowel, mark or sign of the Thai block, digits and the baht sign excluded.
pub fn is_thai(c: char) -> bool {
    matches!(c, 'ก'..='ฺ' | 'เ'..='๎')
}

/// A Thai consonant.
pub fn is_consonant(c: char) -> bool {
    matches!(c, 'ก'..='ฮ')
}

/// A vowel written before the consonant it is spoken after.
pub fn is_leading(c: char) -> bool {
    matches!(c, 'เ' | 'แ' | 'โ' | 'ใ' | 'ไ')
}

/// A mark above or below a consonant: vowels, tones, silencer and the rest.
pub fn is_mark(c: char) -> bool {
    matches!(c, '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}')
}

/// One of the four tone marks.
pub fn is_tone(c: char) -> bool {
    matches!(c, '\u{e48}'..='\u{e4b}')
}

/// A character that can never begin a line, a word or a summary: marks, vowels written after their
/// consonant, ๆ and ฯ.
pub fn is_trailing(c: char) -> bool {
    is_mark(c) || matches!(c, 'ะ' | 'า' | 'ำ' | 'ๅ' | 'ๆ' | 'ฯ')
}

/// A Thai or an ASCII digit.
pub fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '๐'..='๙')
}

/// A pictograph or a sign that takes part in an emoji.
pub fn is_pictograph(c: char) -> bool {
    matches!(
        c,
        '\u{a9}' | '\u{ae}' | '\u{2190}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
    ) || matches!(c, '\u{1f000}'..='\u{1faff}')
}

/// Whether `left` and `right`, standing side by side, belong to one written syllable or sign, so
/// that nothing may come between them.
pub fn joins(left: char, right: char) -> bool {
    let sign_alone = left.is_whitespace() && !is_mark(right);
    (is_trailing(right) && !sign_alone)
        || is_leading(left)
        || matches!(right, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}' | '\u{1f3fb}'..='\u{1f3ff}')
        || left == '\u{200d}'
        || matches!(right, '\u{300}'..='\u{36f}')
        || (left == '\r' && right == '\n')
}

/// Whether a text may be parted at byte `at` without breaking a syllable or a grapheme.
pub fn is_safe(text: &str, at: usize) -> bool {
    if at == 0 || at == text.len() {
        return true;
    }
    if !text.is_char_boundary(at) {
        return false;
    }
    let (Some(left), Some(right)) = (text[..at].chars().next_back(), text[at..].chars().next()) else {
        return true;
    };
    if joins(left, right) {
        return false;
    }
    // Flags are pairs of letters that only their whole run tells apart; other scripts have joiners
    // of their own. Both are rare, so the full rules are asked only where they can matter.
    if left.is_ascii() || right.is_ascii() || (is_thai(left) && is_thai(right)) {
        return true;
    }
    let from = run_start(text, at);
    text[from..].grapheme_indices(true).any(|(i, _)| from + i == at)
}

/// Where the characters before `at` that could belong to its cluster begin; never far back.
fn run_start(text: &str, at: usize) -> usize {
    let mut start = at;
    for (i, c) in text[..at].char_indices().rev().take(64) {
        if c.is_ascii() {
            break;
        }
        start = i;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syllable_is_never_parted() {
        for (text, inside) in [("น้ำ", 3), ("เกิด", 3), ("เด็กๆ", 12), ("กรุงเทพฯ", 21), ("พระ", 6)]
        {
            assert!(!is_safe(text, inside), "{text} at {inside}");
        }
        assert!(is_safe("ข่าวด่วน", "ข่าว".len()));
    }

    #[test]
    fn flags_and_families_are_one_sign() {
        let flags = "🇹🇭🇱🇦";
        assert!(!is_safe(flags, 4));
        assert!(is_safe(flags, 8));
        let family = "👨‍👩‍👧";
        assert!((1..family.len()).all(|at| !is_safe(family, at)));
    }
}
