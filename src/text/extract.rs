//! Extract: the sentences of an article that carry its news.
//!
//! Nothing is written here, only chosen: every unit stands in the article word for word. At about
//! 200 code points a choice guided by the headline beats the plain lead, at 400 it does not
//! (thai.md, section 4), so [`summary`] does the one up to 300 and the other above.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::text::chrome;
use crate::text::cut;
use crate::text::lead;
use crate::text::letter;
use crate::text::normal;
use crate::text::reading::Reading;
use crate::text::sentence;
use crate::text::table;
use crate::text::words;

/// One unit of an article's body (a sentence or clause a reader would accept), with its worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The unit's text, trimmed.
    pub text: String,
    /// Its place in the order of choice: 0 is taken first.
    pub rank: usize,
    /// Its score: higher is better; only differences mean something.
    pub score: f64,
    /// Whether a paragraph begins here.
    pub paragraph: bool,
}

/// What likeness to the headline counts. This and the next three are the values of thai.md, section 0.5, not tuned again.
const TITLE_WEIGHT: f64 = 0.5;
/// What likeness to the whole article counts.
const CENTROID_WEIGHT: f64 = 0.4;
/// What standing early counts; halves about every seven units.
const PLACE_WEIGHT: f64 = 0.3;
/// How much of a unit's worth stays its own when it resembles one chosen before (MMR's lambda).
const OWN_WORTH: f64 = 0.7;
/// A unit this like the headline says nothing new under it.
const REPEATS_TITLE: f64 = 0.9;
/// More units than this are not compared with each other; those behind keep their place's rank.
const COMPARED_MAX: usize = 160;
/// Up to this many code points a summary is an extract, above it the lead.
pub const EXTRACT_MAX: usize = 300;
/// What is left of a budget is filled with a part of the next unit only from this many code points.
const FILL_MIN: usize = 24;
/// Units shorter than this many code points say too little alone.
const UNIT_MIN: usize = 18;

/// The units of an article in document order, each with its rank. `body` has a paragraph a line.
pub fn rank(title: &str, body: &str) -> Vec<Unit> {
    let reading = Reading::of(body);
    let mut terms = Terms::default();
    let headline = terms.vector(&Reading::of(title), 0, title.len());
    let mut units = Vec::new();
    let mut vectors = Vec::new();
    for (place, range) in sentence::ranges(&reading, sentence::CLAUSE).into_iter().enumerate() {
        let paragraph =
            body[..range.start].trim_end_matches(' ').ends_with('\n') || range.start == 0 || place == 0;
        let kept = lead::trim(&reading, range, place == 0);
        let vector = terms.vector(&reading, kept.start, kept.end);
        vectors.push(vector);
        units.push(Unit { text: body[kept].to_owned(), rank: 0, score: 0.0, paragraph });
    }
    score(&headline, &vectors, &mut units);
    order(&headline, &vectors, &mut units);
    units
}

/// The best units that fit into `max` by `measure`, in document order, one space between them; what
/// is left is filled with the beginning of the next best. Empty if nothing fits.
pub fn fill(units: &[Unit], max: usize, measure: &dyn Fn(&str) -> usize) -> String {
    let mut by_rank: Vec<usize> = (0..units.len()).collect();
    by_rank.sort_by_key(|&place| units[place].rank);
    let mut chosen: Vec<(usize, &str)> = Vec::new();
    for &place in &by_rank {
        let text = units[place].text.as_str();
        if measure(&joined(&chosen, (place, text))) <= max {
            chosen.push((place, text));
            continue;
        }
        // A part in the middle would run into the next unit and say what the article doesn't.
        if chosen.iter().any(|&(other, _)| other > place) {
            continue;
        }
        let room = max.saturating_sub(measure(&joined(&chosen, (place, ""))));
        if room < FILL_MIN {
            break;
        }
        let part = cut::cut_by(text, room, measure);
        if cut::code_points(part) >= FILL_MIN && (chosen.is_empty() || says_something(part)) {
            chosen.push((place, part));
            break;
        }
    }
    join(&mut chosen)
}

/// Whether a part holds more than a row of names and titles: a verb.
fn says_something(part: &str) -> bool {
    words::words(part).iter().any(|word| table::VERBAL.contains(word) || table::NEWS_VERBS.contains(word))
}

/// The best `count` whole units of at most `max` code points together, in document order.
pub fn sentences_of(units: &[Unit], count: usize, max: usize) -> Vec<String> {
    let mut by_rank: Vec<usize> = (0..units.len()).collect();
    by_rank.sort_by_key(|&place| units[place].rank);
    let mut room = max;
    let mut chosen = Vec::new();
    for place in by_rank {
        let length = cut::code_points(&units[place].text);
        if chosen.len() < count && length <= room && length >= UNIT_MIN {
            room -= length;
            chosen.push(place);
        }
    }
    chosen.sort_unstable();
    chosen.into_iter().map(|place| units[place].text.clone()).collect()
}

/// A summary of at most `max` code points: up to [`EXTRACT_MAX`] the units the headline points to,
/// above it, or without a headline, the lead.
pub fn summary(title: &str, body: &str, max: usize) -> String {
    let title = normal::one_line(title);
    let body = chrome::clean(&title, &normal::normalize(body));
    if !title.is_empty() && max <= EXTRACT_MAX {
        let extract = fill(&rank(&title, &body), max, &cut::code_points);
        if !extract.is_empty() {
            return extract;
        }
    }
    lead::lead(&body, max)
}

fn joined(chosen: &[(usize, &str)], next: (usize, &str)) -> String {
    let mut all = chosen.to_vec();
    all.push(next);
    join(&mut all)
}

fn join(chosen: &mut [(usize, &str)]) -> String {
    chosen.sort_unstable_by_key(|&(place, _)| place);
    chosen.iter().map(|&(_, text)| text).collect::<Vec<_>>().join(" ")
}

fn score(headline: &Vector, vectors: &[Vector], units: &mut [Unit]) {
    let mut centroid = Vector::default();
    for vector in vectors {
        centroid.add(vector);
    }
    for (place, (unit, vector)) in units.iter_mut().zip(vectors).enumerate() {
        unit.score = TITLE_WEIGHT * vector.cosine(headline)
            + CENTROID_WEIGHT * vector.cosine(&centroid)
            + PLACE_WEIGHT * (-(place as f64) / 10.0).exp();
        if lead::hangs(&unit.text) {
            unit.score -= 0.1;
        }
    }
}

/// Ranks the units: by score, less what they repeat of those ranked before; too short ones and mere
/// repetitions of the headline last.
fn order(headline: &Vector, vectors: &[Vector], units: &mut [Unit]) {
    let compared = units.len().min(COMPARED_MAX);
    let is_last = |place: usize, units: &[Unit]| {
        cut::code_points(&units[place].text) < UNIT_MIN || vectors[place].cosine(headline) > REPEATS_TITLE
    };
    let (mut open, mut last): (Vec<usize>, Vec<usize>) =
        (0..compared).partition(|&place| !is_last(place, units));
    let mut likeness = vec![0.0_f64; compared];
    let mut rank = 0;
    while !open.is_empty() {
        let worth = |place: usize| OWN_WORTH * units[place].score - (1.0 - OWN_WORTH) * likeness[place];
        let Some(best) = (0..open.len())
            .max_by(|&a, &b| worth(open[a]).total_cmp(&worth(open[b])).then(open[b].cmp(&open[a])))
        else {
            break;
        };
        let best = open.swap_remove(best);
        units[best].rank = rank;
        rank += 1;
        for &place in &open {
            likeness[place] = likeness[place].max(vectors[place].cosine(&vectors[best]));
        }
    }
    last.extend(compared..units.len());
    for place in last {
        units[place].rank = rank;
        rank += 1;
    }
}

/// Numbers for words, shared by one article's vectors.
#[derive(Default)]
struct Terms<'a> {
    ids: HashMap<&'a str, u32>,
}

impl<'a> Terms<'a> {
    /// How often each telling word occurs between two places of a reading.
    fn vector(&mut self, reading: &Reading<'a>, start: usize, end: usize) -> Vector {
        let first = reading.words.partition_point(|&at| at < start);
        let last = reading.words.partition_point(|&at| at <= end);
        let mut ids: Vec<u32> = Vec::with_capacity(last.saturating_sub(first));
        let text = reading.text;
        for pair in reading.words[first..last.max(first)].windows(2) {
            let word = &text[pair[0]..pair[1]];
            if !is_telling(word) {
                continue;
            }
            let next = self.ids.len() as u32;
            ids.push(*self.ids.entry(word).or_insert(next));
        }
        Vector::of(ids)
    }
}

fn is_telling(word: &str) -> bool {
    word.starts_with(|c: char| letter::is_thai(c) || c.is_alphanumeric())
        && !table::CONNECTIVES.contains(&word)
        && !table::VERBAL.contains(&word)
}

/// A bag of words: ids in order, each with its count.
#[derive(Debug, Default, Clone)]
struct Vector {
    counts: Vec<(u32, f64)>,
    norm: f64,
}

impl Vector {
    fn of(mut ids: Vec<u32>) -> Self {
        ids.sort_unstable();
        let mut counts: Vec<(u32, f64)> = Vec::with_capacity(ids.len());
        for id in ids {
            match counts.last_mut() {
                Some((last, count)) if *last == id => *count += 1.0,
                _ => counts.push((id, 1.0)),
            }
        }
        Self::counted(counts)
    }

    fn counted(counts: Vec<(u32, f64)>) -> Self {
        let norm = counts.iter().map(|(_, count)| count * count).sum::<f64>().sqrt();
        Self { counts, norm }
    }

    fn add(&mut self, other: &Vector) {
        let mut sum: Vec<(u32, f64)> = Vec::with_capacity(self.counts.len() + other.counts.len());
        let (mut a, mut b) = (self.counts.iter().peekable(), other.counts.iter().peekable());
        while let (Some(&&(left, x)), Some(&&(right, y))) = (a.peek(), b.peek()) {
            sum.push(match left.cmp(&right) {
                std::cmp::Ordering::Equal => (left, x + y),
                std::cmp::Ordering::Less => (left, x),
                std::cmp::Ordering::Greater => (right, y),
            });
            if left <= right {
                a.next();
            }
            if right <= left {
                b.next();
            }
        }
        sum.extend(a.chain(b));
        *self = Self::counted(sum);
    }

    /// The cosine of the angle between two bags: 0 nothing in common, 1 the same mix.
    fn cosine(&self, other: &Vector) -> f64 {
        if self.norm == 0.0 || other.norm == 0.0 {
            return 0.0;
        }
        let (mut a, mut b) = (0, 0);
        let mut dot = 0.0;
        while a < self.counts.len() && b < other.counts.len() {
            let ((left, x), (right, y)) = (self.counts[a], other.counts[b]);
            if left == right {
                dot += x * y;
            }
            a += usize::from(left <= right);
            b += usize::from(right <= left);
        }
        dot / (self.norm * other.norm)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TITLE: &str = "เปิดเวทีแก้ปัญหาค้ามนุษย์";
    const BODY: &str = "พล.ต.อ.สมชาย ใจดี เป็นประธานเปิดเวทีแก้ปัญหาค้ามนุษย์ที่สำนักงานตำรวจแห่งชาติ\n\
        ทั้งนี้ มีผู้เข้าร่วมงานจากหลายหน่วยงานกว่า 120 คน ทั้งภาครัฐและเอกชน\n\
        ฝนตกหนักในภาคใต้ตลอดทั้งวันตามประกาศกรมอุตุนิยมวิทยา\n\
        การแก้ปัญหาค้ามนุษย์ปีนี้เน้นการทำงานร่วมกับภาคประชาสังคม";

    #[test]
    fn the_headline_decides_what_comes_first() {
        let units = rank(TITLE, BODY);
        assert_eq!(units.len(), 4);
        assert_eq!(units[0].rank, 0);
        assert_eq!(units[3].rank, 1, "{units:?}");
        assert!(units.iter().all(|unit| unit.paragraph));
        assert_eq!(units[1].text, "มีผู้เข้าร่วมงานจากหลายหน่วยงานกว่า 120 คน ทั้งภาครัฐและเอกชน");
    }

    #[test]
    fn a_unit_that_repeats_the_headline_is_last() {
        let units = rank(TITLE, &format!("{TITLE}\n{BODY}"));
        assert_eq!(units[0].rank, units.len() - 1);
    }

    #[test]
    fn what_fits_is_told_in_the_articles_order() {
        let units = rank(TITLE, BODY);
        let all = fill(&units, 1_000, &cut::code_points);
        assert_eq!(all, units.iter().map(|unit| unit.text.as_str()).collect::<Vec<_>>().join(" "));
        assert_eq!(sentences_of(&units, 2, 1_000), [units[0].text.clone(), units[3].text.clone()]);
        assert_eq!(fill(&units, 3, &cut::code_points), "");
    }

    #[test]
    fn a_part_is_never_followed_by_another_unit() {
        let units = rank(TITLE, BODY);
        for max in 20..300 {
            let text = fill(&units, max, &cut::code_points);
            let mut rest = text.as_str();
            for unit in &units {
                rest = rest.strip_prefix(unit.text.as_str()).map_or(rest, str::trim_start);
            }
            assert!(rest.is_empty() || units.iter().any(|unit| unit.text.starts_with(rest)), "{max}: {rest}");
        }
    }

    proptest! {
        #[test]
        fn a_summary_keeps_to_its_budget(
            title in "[ก-ฮะ-ูเ-๎ 0-9]{0,30}",
            body in "[ก-ฮะ-ูเ-๎๐-๙ .,“”()a-z0-9\n]{0,200}",
            max in 0usize..400,
        ) {
            prop_assert!(cut::code_points(&summary(&title, &body, max)) <= max);
        }
    }
}
