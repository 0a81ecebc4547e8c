//! Sentence: parts a Thai text, which has no sentence marks, into sentences.
//!
//! A new line always parts. Inside a line only a space can, and most spaces don't: each is weighed
//! by a small logistic model over the words beside it and the lengths around it. Its twenty-odd
//! weights are ours, fitted on UD_Thai-PUD news; spaces inside spans are never asked.

use std::ops::Range;

use crate::text::letter;
use crate::text::reading::Reading;
use crate::text::table;

/// Log-odds from which a space ends a sentence: more right than wrong by four to one, for a
/// sentence torn apart reads worse than two left together.
pub const SENTENCE: f64 = 1.2;

/// Log-odds from which a space ends a unit that a summary may take alone.
pub const CLAUSE: f64 = 0.6;

/// A list's members are at most this long, in letters.
const LIST_MEMBER_MAX: usize = 40;
/// How many of them are looked at.
const LIST_MAX: usize = 4;

/// The sentences of a text in order, trimmed; joined they differ from it in white space only.
pub fn sentences(text: &str) -> Vec<String> {
    ranges(&Reading::of(text), SENTENCE).into_iter().map(|range| text[range].to_owned()).collect()
}

/// The places of the sentences of a reading; `threshold` as [`SENTENCE`] or [`CLAUSE`].
pub fn ranges(reading: &Reading, threshold: f64) -> Vec<Range<usize>> {
    let text = reading.text;
    let gaps = gaps(reading);
    let mut found = Vec::new();
    let mut start = 0;
    for (place, gap) in gaps.iter().enumerate() {
        let part = gap.line_end || (gap.may_part && weight(reading, &gaps, place, start) > threshold);
        if part {
            push_trimmed(text, start..gap.start, &mut found);
            start = gap.end;
        }
    }
    push_trimmed(text, start..text.len(), &mut found);
    found
}

fn push_trimmed(text: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    let end = start + part.trim().len();
    if start < end {
        found.push(start..end);
    }
}

/// White space between two words.
struct Gap {
    start: usize,
    end: usize,
    line_end: bool,
    may_part: bool,
}

fn gaps(reading: &Reading) -> Vec<Gap> {
    let text = reading.text;
    let mut gaps = Vec::new();
    let mut at = 0;
    while let Some(length) = text[at..].find(char::is_whitespace) {
        let start = at + length;
        let end = text.len() - text[start..].trim_start().len();
        let line_end = text[start..end].contains('\n');
        gaps.push(Gap { start, end, line_end, may_part: reading.may_part(start) });
        at = end;
    }
    gaps
}

/// The log-odds that the gap ends a sentence which began at `since`.
fn weight(reading: &Reading, gaps: &[Gap], place: usize, since: usize) -> f64 {
    let text = reading.text;
    let gap = &gaps[place];
    let usable = |gap: &&Gap| gap.may_part || gap.line_end;
    let left_start = gaps[..place].iter().rfind(usable).map_or(0, |gap| gap.end).max(since);
    let right_end = gaps[place + 1..].iter().find(usable).map_or(text.len(), |gap| gap.start);
    let next = reading.word_after(gap.end).unwrap_or("");
    let previous = reading.word_before(gap.start).unwrap_or("");
    if table::SENTENCE_OPENERS.iter().any(|opener| text[gap.end..].starts_with(opener)) {
        return match table::OPEN_ENDS.contains(&previous) {
            true => f64::MIN,
            false => f64::MAX,
        };
    }
    if ends_outright(text, gap.start) {
        return f64::MAX;
    }
    let quoted = text[gap.end..].starts_with(['“', '"', '‘', '(']);
    let carries_on = table::CARRY_ON.iter().any(|words| text[gap.end..].starts_with(words));
    if carries_on
        || in_list(reading, gaps, place)
        || (quoted && table::NAME_BEARERS.contains(&previous))
        || table::INTRODUCES.contains(&previous)
    {
        return f64::MIN;
    }
    let verbs =
        words_in(reading, since, gap.start).filter(|word| table::VERBAL.contains(word)).take(4).count();
    let last_right = reading.word_before(right_end).unwrap_or("");
    let length = |range: Range<usize>| (letters(&text[range]) as f64 + 1.0).ln();
    let mut odds = -0.99
        + 1.33 * (length(since..gap.start) - 4.0)
        + 0.43 * (length(left_start..gap.start) - 3.0)
        + 0.90 * (length(gap.end..right_end) - 3.0)
        + 0.12 * verbs as f64;
    let mut add = |applies: bool, weight: f64| odds += if applies { weight } else { 0.0 };
    add(table::DISCOURSE.iter().any(|marker| text[gap.end..].starts_with(marker)), 1.12);
    add(table::PRONOUNS.contains(&next), 0.86);
    add(table::CONTINUES.contains(&next), -1.73);
    add(table::PLACES_IN_TIME.contains(&next), 0.60);
    add(table::NOMINAL.contains(&next), 0.23);
    add(next.contains(letter::is_digit), -2.39);
    add(next.starts_with(|c: char| c.is_ascii_alphabetic()), -0.70);
    add(quoted, -1.24);
    add(next == "แต่", -1.05);
    add(table::CLOSES.contains(&previous), 0.30);
    add(table::OPEN_ENDS.contains(&previous), -1.19);
    add(previous.contains(letter::is_digit), -1.06);
    add(previous.ends_with(['”', '"', '’']), -0.51);
    add(previous.ends_with(')'), -1.48);
    add(previous.ends_with('ๆ'), -1.34);
    add(previous == "กล่าว", 1.47);
    add(verbs == 0, -1.32);
    add(table::OPEN_ENDS.contains(&last_right), 0.90);
    odds
}

/// Whether the gap stands between the members of a list: short phrases without a verb, and after at
/// most four of them one that begins with "and".
fn in_list(reading: &Reading, gaps: &[Gap], place: usize) -> bool {
    let text = reading.text;
    let mut start = gaps[place].end;
    for gap in gaps[place + 1..].iter().take(LIST_MAX).take_while(|gap| !gap.line_end) {
        let member = start..gap.start;
        if letters(&text[member.clone()]) > LIST_MEMBER_MAX
            || words_in(reading, member.start, member.end).any(|word| table::VERBAL.contains(&word))
        {
            return false;
        }
        start = gap.end;
        if table::LIST_ENDS.iter().any(|end| text[start..].starts_with(end)) {
            return true;
        }
    }
    false
}

/// Whether a mark that can only end a sentence stands before `at`: `!`, `?`, or a full stop after a
/// Latin word.
fn ends_outright(text: &str, at: usize) -> bool {
    let head = &text[..at];
    if let Some(before) = head.strip_suffix('.') {
        let latin = before.chars().rev().take_while(|c| c.is_ascii_alphabetic()).count();
        return latin > 3;
    }
    head.ends_with(['!', '?', '！', '？', '。'])
}

fn words_in<'a>(reading: &Reading<'a>, start: usize, end: usize) -> impl Iterator<Item = &'a str> {
    let text = reading.text;
    let first = reading.words.partition_point(|&at| at < start);
    let last = reading.words.partition_point(|&at| at <= end);
    let places = if first < last { reading.words[first..last].to_vec() } else { Vec::new() };
    (1..places.len()).map(move |i| &text[places[i - 1]..places[i]])
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::vectors::vectors;

    #[test]
    fn every_vector_is_parted_as_expected() {
        for case in vectors("sentence") {
            assert_eq!(sentences(case.input()), case.expect_list(), "{}", case.id());
        }
    }

    #[test]
    fn a_line_end_always_parts() {
        assert_eq!(sentences("ข่าวแรก\n\nข่าวที่สอง"), ["ข่าวแรก", "ข่าวที่สอง"]);
        assert!(sentences(" \n ").is_empty());
    }

    proptest! {
        #[test]
        fn only_white_space_is_lost(text in "[ก-ฮะ-ูเ-๎๐-๙ .,“”()a-z0-9\n]{0,120}") {
            let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(bare(&sentences(&text).concat()), bare(&text));
        }
    }
}
