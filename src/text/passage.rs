//! Passage: a stretch of an article that reads well on its own, for a post.
//!
//! [`extract::fill`](crate::text::extract::fill) collects the units that say most, wherever they stand; a reader
//! of a post stumbles over such leaps. A passage is a run of whole units as the writer set them down.

use crate::text::cut;
use crate::text::extract::Unit;
use crate::text::lead;

/// A cut, or a run from further down, says too little below so many code points.
const CUT_MIN: usize = 40;

/// How fast a run's worth falls with the place of its first unit: to a third after so many. News says first what
/// matters most; only a beginning that can't stand there sends a reader further down.
const LEAD: f64 = 3.0;

/// What a run gains by ending where a paragraph ends, in units of score.
const ROUND_END: f64 = 0.15;

/// The best run of at most `count` whole units that fits into `max` by `measure`. When no unit fits, the
/// beginning of the best one, cut safely, with an ellipsis; empty if even that says too little.
pub fn passage(units: &[Unit], count: usize, max: usize, measure: &dyn Fn(&str) -> usize) -> String {
    let mut best: Option<(f64, String)> = None;
    for start in (0..units.len()).filter(|&start| may_open(units, start)) {
        let mut text = String::new();
        let mut worth = 0.0;
        for (place, unit) in units.iter().enumerate().skip(start).take(count) {
            let longer = if text.is_empty() { unit.text.clone() } else { format!("{text} {}", unit.text) };
            if measure(&longer) > max {
                break;
            }
            text = longer;
            worth += unit.score;
            // A scrap from further down says less than a beginning that is cut.
            if start > 0 && cut::code_points(&text) < CUT_MIN {
                continue;
            }
            let rounded = units.get(place + 1).is_none_or(|next| next.paragraph);
            let whole = if rounded { worth + ROUND_END } else { worth };
            let value = whole * (-(start as f64) / LEAD).exp();
            if best.as_ref().is_none_or(|(so_far, _)| value > *so_far) {
                best = Some((value, text.clone()));
            }
        }
    }
    best.map_or_else(|| beginning(units, max, measure), |(_, text)| text)
}

/// Whether a reader can start here: where a paragraph begins, and nothing before it is needed.
fn may_open(units: &[Unit], start: usize) -> bool {
    (start == 0 || units[start].paragraph) && !lead::hangs(&units[start].text)
}

fn beginning(units: &[Unit], max: usize, measure: &dyn Fn(&str) -> usize) -> String {
    let Some(first) = (0..units.len()).find(|&start| may_open(units, start)) else {
        return String::new();
    };
    let text = cut::cut_with_ellipsis_by(&units[first].text, max, measure);
    if cut::code_points(&text) < CUT_MIN { String::new() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str, score: f64, paragraph: bool) -> Unit {
        Unit { text: text.to_owned(), rank: 0, score, paragraph }
    }

    #[track_caller]
    fn check(units: &[Unit], count: usize, max: usize, expected: &str) {
        assert_eq!(passage(units, count, max, &cut::code_points), expected);
    }

    #[test]
    fn a_run_of_whole_units_is_taken_as_it_stands() {
        let units = [
            unit("ฝนตกหนักทั่วภาคใต้", 0.8, true),
            unit("น้ำท่วมถนนสามสาย", 0.5, false),
            unit("ผู้ว่าฯ สั่งเฝ้าระวัง", 0.4, true),
        ];
        check(&units, 4, 100, "ฝนตกหนักทั่วภาคใต้ น้ำท่วมถนนสามสาย ผู้ว่าฯ สั่งเฝ้าระวัง");
        check(&units, 2, 100, "ฝนตกหนักทั่วภาคใต้ น้ำท่วมถนนสามสาย");
        check(&units, 4, 36, "ฝนตกหนักทั่วภาคใต้ น้ำท่วมถนนสามสาย");
        check(&units, 4, 20, "ฝนตกหนักทั่วภาคใต้");
    }

    #[test]
    fn a_run_does_not_begin_with_what_hangs_on_the_sentence_before() {
        let units =
            [unit("จึงต้องรอมติที่ประชุม", 0.9, true), unit("คณะกรรมการเลื่อนวาระออกไปเป็นสัปดาห์หน้าทั้งหมด", 0.2, true)];
        check(&units, 1, 100, "คณะกรรมการเลื่อนวาระออกไปเป็นสัปดาห์หน้าทั้งหมด");
    }

    #[test]
    fn the_lead_is_told_before_what_is_said_further_down() {
        let mut units = vec![unit("ฝนตกหนักทั่วภาคใต้", 0.5, true)];
        units.extend((0..9).map(|_| unit("น้ำท่วมถนนสามสาย", 0.45, true)));
        check(&units, 2, 40, "ฝนตกหนักทั่วภาคใต้ น้ำท่วมถนนสามสาย");
    }

    #[test]
    fn where_nothing_fits_the_beginning_of_the_best_unit_is_cut_safely() {
        let long =
            "นายสมชาย ใจดี ผู้ว่าราชการจังหวัดสงขลา เปิดเผยว่า ได้สั่งการให้ทุกอำเภอเตรียมพร้อมรับมือน้ำท่วมตลอดยี่สิบสี่ชั่วโมง";
        let text = passage(&[unit(long, 0.9, true)], 4, 60, &cut::code_points);
        assert!(text.ends_with('…') && cut::code_points(&text) <= 60, "{text}");
        check(&[unit(long, 0.9, true)], 4, 10, "");
    }
}
