//! Cut: shortens a text without breaking anything a reader would miss.
//!
//! Graphemes are far from enough for Thai: a cut at grapheme borders splits six words in ten
//! (thai.md, section 2). The last space outside every span is best; where that gives away too much,
//! a place that three segmenters call the border of a word.

use crate::text::letter;
use crate::text::reading::Reading;
use crate::text::span;
use crate::text::span::Span;
use crate::text::table;
use crate::text::words;

/// How much of the budget a cut at a space may give away before a cut between words is tried.
const SPACE_LOSS_MAX: f64 = 0.4;

/// How far beyond the budget the text is read, so that a name or date across it is seen, in code points.
const LOOKAHEAD: usize = 80;

/// How far before the budget a cut between words is looked for, in code points. The same stretch
/// lies before it for the segmenters to settle.
const WORD_WINDOW: usize = 32;

/// Shorter words, in code points, are often pieces of names.
const SHORT_WORD: usize = 3;

/// How far before the budget a cut before a word of the closed classes is preferred, in code points.
const SURE_WITHIN: usize = 8;

/// The longest prefix of at most `max` code points that a reader can stand: not inside a word, name,
/// number, date, quotation or bracket, and not ending on a connective. A text that fits is returned
/// whole; `""` means there is no such prefix.
pub fn cut(text: &str, max: usize) -> &str {
    cut_by(text, max, code_points)
}

/// [`cut`] with another measure than code points, such as X's weighted length. The measure must not
/// shrink by much as a prefix grows.
pub fn cut_by(text: &str, max: usize, measure: impl Fn(&str) -> usize) -> &str {
    if measure(text) <= max {
        return text;
    }
    let limit = limit(text, max, &measure);
    let mut prefix = cut_at(text, limit);
    while measure(prefix) > max {
        // A shorter prefix can weigh more: cut off, an address may read as two.
        let Some((shorter, _)) = prefix.char_indices().next_back() else { return "" };
        prefix = cut_at(text, shorter);
    }
    prefix
}

/// [`cut`], with an ellipsis behind what was cut; the ellipsis counts in `max`.
pub fn cut_with_ellipsis(text: &str, max: usize) -> String {
    cut_with_ellipsis_by(text, max, code_points)
}

/// [`cut_with_ellipsis`] with another measure.
pub fn cut_with_ellipsis_by(text: &str, max: usize, measure: impl Fn(&str) -> usize) -> String {
    if measure(text) <= max {
        return text.to_owned();
    }
    let prefix = cut_by(text, max, |prefix| match prefix.len() == text.len() {
        true => usize::MAX,
        false => measure(&format!("{prefix}…")),
    });
    match prefix {
        "" => String::new(),
        _ => format!("{prefix}…"),
    }
}

/// The number of code points of a text.
pub fn code_points(text: &str) -> usize {
    text.chars().count()
}

/// The longest prefix by measure alone, as a byte place on a character border.
fn limit(text: &str, max: usize, measure: &impl Fn(&str) -> usize) -> usize {
    let borders: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
    let fits = borders.partition_point(|&at| measure(&text[..at]) <= max);
    borders[fits.saturating_sub(1)]
}

/// The best prefix that ends at `limit` or before it.
fn cut_at(text: &str, limit: usize) -> &str {
    let horizon = text[limit..].char_indices().nth(LOOKAHEAD).map_or(text.len(), |(i, _)| limit + i);
    let seen = &text[..horizon];
    let enclosures = span::enclosures(text).into_iter().filter(|span| span.start < horizon);
    let reading = Reading::with_enclosures(
        seen,
        enclosures.map(|span| Span { end: span.end.min(horizon + 1), ..span }).collect(),
    );
    let spaced = last_space(&reading, limit);
    let budget = code_points(&text[..limit]);
    let kept = code_points(&text[..spaced]);
    if (budget - kept) as f64 <= SPACE_LOSS_MAX * budget as f64 {
        return &text[..spaced];
    }
    &text[..last_word(&reading, limit).max(spaced)]
}

/// The end of the longest good prefix followed by white space.
fn last_space(reading: &Reading, limit: usize) -> usize {
    let text = reading.text;
    let mut spaces =
        text.char_indices().filter(|&(i, c)| i <= limit && c.is_whitespace()).map(|(i, _)| i).rev();
    spaces.find_map(|at| end_well(reading, at)).unwrap_or(0)
}

/// The end of the longest good prefix that ends between two words.
fn last_word(reading: &Reading, limit: usize) -> usize {
    let text = reading.text;
    let back = |from: usize, count: usize| {
        text[..from].char_indices().rev().take(count).last().map_or(from, |(i, _)| i)
    };
    let floor = back(limit, WORD_WINDOW);
    let start = back(floor, WORD_WINDOW);
    let agreed =
        [words::dictionary_boundaries(&text[start..]), words::lstm_boundaries(window(&text[start..]))];
    let agree = |at: usize| agreed.iter().all(|cuts| cuts.binary_search(&(at - start)).is_ok());
    let place = reading.words.partition_point(|&at| at <= limit);
    let candidates = || {
        let near = reading.words[..place].iter().rev().copied().take_while(|&at| at > floor);
        near.filter(|&at| agree(at)).filter_map(|at| Some((at, end_well(reading, at)?)))
    };
    let sure_floor = back(limit, SURE_WITHIN);
    let sure = candidates().take_while(|&(at, _)| at >= sure_floor).find(|&(at, _)| is_sure(reading, at));
    let likely = || candidates().find(|&(at, _)| is_likely(reading, at));
    sure.or_else(likely).or_else(|| candidates().next()).map_or(0, |(_, end)| end)
}

/// Whether a word of the closed classes follows: no name or compound is parted before one.
fn is_sure(reading: &Reading, at: usize) -> bool {
    is_likely(reading, at) && reading.word_after(at).is_some_and(|word| table::CLOSED_CLASS.contains(&word))
}

/// Whether neither word beside `at` looks like a piece of an unknown name: not in the dictionary, or
/// very short and not common.
fn is_likely(reading: &Reading, at: usize) -> bool {
    let whole = |word: Option<&str>| {
        word.is_none_or(|word| {
            let common = table::CLOSED_CLASS.contains(&word) || table::VERBAL.contains(&word);
            common
                || !word.starts_with(letter::is_thai)
                || (code_points(word) >= SHORT_WORD && words::is_known(word))
        })
    };
    whole(reading.word_before(at)) && whole(reading.word_after(at))
}

/// What the slow segmenter is given: the window and a little behind it.
fn window(text: &str) -> &str {
    text.char_indices().nth(3 * WORD_WINDOW).map_or(text, |(end, _)| &text[..end])
}

/// The end of the prefix up to `at` without dangling words, if it is a good one.
fn end_well(reading: &Reading, at: usize) -> Option<usize> {
    if !reading.may_part(at) {
        return None;
    }
    let end = settled_end(reading, at);
    (end > 0 && (end == at || reading.may_part(end))).then_some(end)
}

/// The end of the text up to `at` without the connectives and openers it would dangle on.
pub fn settled_end(reading: &Reading, at: usize) -> usize {
    let text = reading.text;
    let mut end = at;
    loop {
        let trimmed = text[..end].trim_end_matches(|c: char| c.is_whitespace() || is_opening(c)).len();
        if trimmed != end {
            end = trimmed;
        } else if let Some(word) = reading.word_before(end).filter(|word| table::CONNECTIVES.contains(word)) {
            end -= word.len();
        } else {
            return end;
        }
    }
}

/// Signs that promise more.
fn is_opening(c: char) -> bool {
    matches!(
        c,
        ',' | ':' | ';' | '-' | '–' | '—' | '/' | '(' | '[' | '“' | '‘' | '«' | '&' | '+' | '•' | '@' | '#'
    )
}

/// Whether a text ends in a way a cut would never leave it: for tests and for whoever joins texts.
pub fn ends_safely(text: &str, rest: &str) -> bool {
    match (text.chars().next_back(), rest.chars().next()) {
        (Some(left), Some(right)) => !letter::joins(left, right),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::vectors::vectors;

    #[test]
    fn every_vector_is_cut_where_expected() {
        for case in vectors("truncate") {
            assert_eq!(cut(case.input(), case.number("budget")), case.expect(), "{}", case.id());
        }
    }

    #[test]
    fn an_ellipsis_counts_in_the_budget() {
        assert_eq!(cut_with_ellipsis("ราคาผัก ขึ้น แล้ว", 9), "ราคาผัก…");
        assert_eq!(cut_with_ellipsis("ราคาผัก", 7), "ราคาผัก");
        assert_eq!(cut_with_ellipsis("น้ำ", 2), "");
    }

    #[test]
    fn another_measure_decides() {
        let double = |text: &str| 2 * code_points(text);
        assert_eq!(cut_by("ราคาผัก ขึ้น แล้ว", 14, double), "ราคาผัก");
    }

    #[test]
    fn a_text_never_ends_on_a_connective() {
        assert_eq!(cut("ประชาชนเดินทางไปทำบุญ และ ขอพรปีใหม่ที่วัด", 26), "ประชาชนเดินทางไปทำบุญ");
    }

    proptest! {
        #[test]
        fn a_cut_is_a_safe_prefix_within_budget(text in "[ก-ฮะ-ูเ-๎๐-๙ .,“”()a-z0-9\n]{0,80}", max in 0usize..60) {
            let prefix = cut(&text, max);
            prop_assert!(text.starts_with(prefix));
            prop_assert!(code_points(prefix) <= max);
            prop_assert!(ends_safely(prefix, &text[prefix.len()..]));
            if code_points(&text) <= max {
                prop_assert_eq!(prefix, text.as_str());
            } else {
                let count = |sign: char| prefix.matches(sign).count();
                prop_assert!(span::enclosures(prefix).iter().all(|span| {
                    prefix[..span.end].ends_with(['”', ')'])
                }), "{:?} opened: {} {}", prefix, count('“'), count('('));
            }
        }

        #[test]
        fn any_text_can_be_cut(text in any::<String>(), max in 0usize..40) {
            let prefix = cut(&text, max);
            prop_assert!(text.starts_with(prefix) && code_points(prefix) <= max);
            let shown = cut_with_ellipsis(&text, max);
            prop_assert!(code_points(&shown) <= max);
        }
    }
}
