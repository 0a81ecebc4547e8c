//! Lead: the beginning of an article without what only opens it.
//!
//! A Thai news body opens with a date, a time and a row of titles. Dropping the date helps every
//! summary measured; dropping the row of titles helps press releases and hurts news (thai.md,
//! section 4), so only a long row of a release goes.

use std::ops::Range;

use crate::text::cut;
use crate::text::reading::Reading;
use crate::text::span;
use crate::text::span::Kind;
use crate::text::span::Span;
use crate::text::table;

/// The longest attribution that is dropped, in code points.
const ATTRIBUTION_MAX: usize = 260;

/// The lead of at most `max` code points, cut at a space. If a long quotation leaves no room for that,
/// the quotation is shortened and closed.
pub fn lead(body: &str, max: usize) -> String {
    let reading = Reading::of(body);
    let kept = trim(&reading, 0..body.len(), true);
    let line = body[kept].replace('\n', " ");
    let prefix = cut::cut(&line, max);
    if prefix.len() == line.len() || 2 * cut::code_points(prefix) >= max {
        return prefix.to_owned();
    }
    match closed_quotation(&line, max) {
        Some(closed) if closed.len() > prefix.len() => closed,
        _ => prefix.to_owned(),
    }
}

/// The beginning of a text that ends in the middle of a quotation, with the quotation closed.
fn closed_quotation(line: &str, max: usize) -> Option<String> {
    let limit = line.char_indices().nth(max).map_or(line.len(), |(at, _)| at);
    let across = |span: &&Span| span.kind == Kind::Quote && span.start < limit && limit < span.end;
    let quotation = span::enclosures(line).iter().filter(across).min_by_key(|span| span.start).copied()?;
    let opener = line[quotation.start..].chars().next()?;
    let inside = quotation.start + opener.len_utf8();
    let room = max.checked_sub(cut::code_points(&line[..inside]) + 1)?;
    let part = cut::cut(&line[inside..quotation.end], room);
    let closer = match opener {
        '“' | '„' => '”',
        '‘' => '’',
        '«' => '»',
        '「' => '」',
        '『' => '』',
        other => other,
    };
    (!part.is_empty()).then(|| format!("{}{part}{closer}", &line[..inside]))
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
        let span =
            reading.spans_from(here).take_while(|span| span.start == here).filter(|span| span.end <= end);
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
    let mut inside = reading.spans_from(start + 1).take_while(|span| span.start < end);
    inside.any(|span| span.kind == Kind::Date) && end - start < 120
}

/// Goes past "X, office of X, and Y, office of Y, said that" at the beginning of a release.
fn skip_attribution(reading: &Reading, start: usize, end: usize) -> usize {
    let text = reading.text;
    let starts_with_name =
        reading.spans_from(start).take_while(|span| span.start == start).any(|span| span.kind == Kind::Name);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: &str, first: bool, expected: &str) {
        let reading = Reading::of(unit);
        assert_eq!(&unit[trim(&reading, 0..unit.len(), first)], expected);
    }

    #[test]
    fn a_date_in_front_is_dropped() {
        check(
            "วันนี้ (27 พฤษภาคม 2568) เวลา 17.30 น. คณะรัฐมนตรีเห็นชอบโครงการใหม่",
            true,
            "คณะรัฐมนตรีเห็นชอบโครงการใหม่",
        );
        check("เมื่อวันที่ 22 ก.พ. 2566 เกิดเหตุไฟไหม้โรงงานพลาสติก", false, "เกิดเหตุไฟไหม้โรงงานพลาสติก");
    }

    #[test]
    fn a_connective_that_points_back_is_dropped() {
        check("ทั้งนี้ เจ้าหน้าที่จะตรวจสอบสถานที่อีกครั้ง", false, "เจ้าหน้าที่จะตรวจสอบสถานที่อีกครั้ง");
        check("โดยจัดขึ้นที่สำนักงานตำรวจแห่งชาติ ปทุมวัน", false, "จัดขึ้นที่สำนักงานตำรวจแห่งชาติ ปทุมวัน");
    }

    #[test]
    fn only_a_releases_row_of_titles_is_dropped() {
        let release = "นายสมชาย ใจดี ปลัดกระทรวง ในฐานะโฆษกกระทรวง เปิดเผยว่า กระทรวงเปิดรับสมัครงานทั่วประเทศ";
        check(release, true, "กระทรวงเปิดรับสมัครงานทั่วประเทศ");
        check(release, false, release);
        let news = "นายสมชาย ใจดี ชาวบ้าน กล่าวว่า น้ำเริ่มท่วมตั้งแต่เมื่อคืน";
        check(news, true, news);
        let opinion = "นายสมชาย ใจดี ปลัดกระทรวง ในฐานะโฆษกกระทรวง กล่าวว่า เชื่อว่าเศรษฐกิจจะดีขึ้นในปีหน้า";
        check(opinion, true, opinion);
    }

    #[test]
    fn a_lead_keeps_to_its_budget_and_closes_a_quotation() {
        let body = format!("“{}” เขากล่าว", "เราพร้อมทำงานเพื่อประชาชน ".repeat(20));
        let short = lead(&body, 60);
        assert!(cut::code_points(&short) <= 60 && short.starts_with('“') && short.ends_with('”'), "{short}");
        assert_eq!(lead("ฝนตกหนัก น้ำท่วม", 50), "ฝนตกหนัก น้ำท่วม");
    }
}
