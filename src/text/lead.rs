//! Lead: the beginning of an article without what only opens it.
//!
//! A Thai news body opens with a date, a time and a row of titles. Dropping the date helps every
//! summary measured; dropping the row of titles helps press releases and hurts news (thai.md,
//! section 4), so only a long row of a release goes.

use std::ops::Range;

use crate::text::cut;
use crate::text::reading::Reading;
use crate::text::span::Kind;
use crate::text::table;

/// The longest attribution that is dropped, in code points.
const ATTRIBUTION_MAX: usize = 260;

/// The lead of at most `max` code points, cut at a space.
pub fn lead(body: &str, max: usize) -> String {
    let reading = Reading::of(body);
    let kept = trim(&reading, 0..body.len(), true);
    let line = body[kept].replace('\n', " ");
    cut::cut(&line, max).to_owned()
}

/// The part of a unit that can stand alone: without a date or time in front, without a connective
/// that points at the unit before, and, at the article's beginning, without a release's row of titles.
pub fn trim(reading: &Reading, range: Range<usize>, first: bool) -> Range<usize> {
    let text = reading.text;
    let mut start = range.start;
    start = skip_when(reading, start, range.end);
    if first {
        start = skip_attribution(reading, start, range.end);
    }
    start = skip_connective(reading, start, range.end);
    let end = cut::settled_end(reading, range.end);
    // What is left must still be worth reading.
    match start < end && cut::code_points(&text[start..end]) >= 20 {
        true => start..end,
        false => range,
    }
}

/// Whether a unit leans on the one before it.
pub fn hangs(unit: &str) -> bool {
    table::HANGING.iter().any(|word| unit.starts_with(word))
}

/// Goes past the dates, times and bracketed dates a unit begins with.
fn skip_when(reading: &Reading, start: usize, end: usize) -> usize {
    let text = reading.text;
    let mut at = start;
    loop {
        let rest = text[at..end].trim_start();
        let here = end - rest.len();
        let span = reading.spans.iter().filter(|span| span.start == here && span.end <= end);
        let when = span
            .filter(|span| match span.kind {
                Kind::Date | Kind::Time => true,
                Kind::Bracket => holds_date(reading, span.start, span.end),
                _ => false,
            })
            .map(|span| span.end)
            .max();
        let word = [
            "วันนี้",
            "วานนี้",
            "เมื่อวานนี้",
            "เมื่อวันที่",
            "วันที่",
            "ที่ผ่านมา",
            "ตามเวลาท้องถิ่น",
            "เมื่อเวลาประมาณ",
            "เวลาประมาณ",
            "เวลา",
        ]
        .iter()
        .find(|word| rest.starts_with(**word) && rest[word.len()..].starts_with([' ', '(']));
        match (when, word) {
            (Some(past), _) => at = past,
            (None, Some(word)) => at = here + word.len(),
            (None, None) => return if at == start { start } else { here },
        }
    }
}

fn holds_date(reading: &Reading, start: usize, end: usize) -> bool {
    let inside = |kind: Kind| {
        reading.spans.iter().any(|span| span.kind == kind && start < span.start && span.end < end)
    };
    inside(Kind::Date) && end - start < 120
}

/// Goes past "X, office of X, and Y, office of Y, said that" at the beginning of a release.
fn skip_attribution(reading: &Reading, start: usize, end: usize) -> usize {
    let text = reading.text;
    let starts_with_name = reading.spans.iter().any(|span| span.kind == Kind::Name && span.start == start);
    if !starts_with_name {
        return start;
    }
    let verb = table::ATTRIBUTIONS
        .iter()
        .filter_map(|verb| text[start..end].find(verb).map(|at| start + at + verb.len()))
        .min();
    match verb {
        Some(past) if is_release(reading, start, past) && !reading.is_inside(past) => {
            let statement = text[past..end].trim_start();
            let opinion = table::OPINIONS.iter().any(|word| statement.starts_with(word));
            if opinion { start } else { end - statement.len() }
        }
        _ => start,
    }
}

/// Whether an attribution is a release's: at least two people or offices, and not endless.
fn is_release(reading: &Reading, start: usize, end: usize) -> bool {
    let attribution = &reading.text[start..end];
    let names =
        reading.spans.iter().filter(|span| span.kind == Kind::Name && start <= span.start && span.end <= end);
    let offices: usize = table::ROLES.iter().map(|role| attribution.matches(role).count()).sum();
    (names.count() >= 2 || offices >= 2) && cut::code_points(attribution) <= ATTRIBUTION_MAX
}

/// Goes past a connective that means nothing without the unit before.
fn skip_connective(reading: &Reading, start: usize, end: usize) -> usize {
    let text = &reading.text[start..end];
    let Some(word) = table::DROPPED_OPENERS.iter().find(|word| text.starts_with(**word)) else {
        return start;
    };
    let after = start + word.len();
    match reading.words.binary_search(&after) {
        Ok(_) => end - reading.text[after..end].trim_start().len(),
        Err(_) => start,
    }
}
