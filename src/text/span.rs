//! Span: finds what a cut must never tear: names, numbers, dates, quotations.
//!
//! Spec: thai.md, sections 0.3 and 2. A span too many costs a cut a few letters; a span too few
//! parts a name from its rank before all readers. So the rules lean towards too many.

use crate::text::letter;
use crate::text::name;
use crate::text::table;
use crate::text::token;
use crate::text::token::Token;

/// What a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A token: address, number, abbreviation, tag.
    Token,
    /// A rank or honorific with the name it carries.
    Name,
    /// A rank or office before an abbreviation, a place or body with its kind (จ.เชียงใหม่).
    Title,
    /// A number with its unit, or a counted thing with its number (มาตรา 112).
    Quantity,
    /// A date.
    Date,
    /// A time of day.
    Time,
    /// A quotation with its marks.
    Quote,
    /// A bracketed remark with its brackets.
    Bracket,
}

/// One span, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
}

/// The longest Thai run an abbreviation carries along, in letters (พ.ร.บ.คุ้มครองแรงงาน); of a
/// longer one only the first word.
const CARRIED_MAX: usize = 24;

/// How deep enclosures may be nested; a closer does not look further for its opener.
const NESTING_MAX: usize = 32;

/// The spans of a text but quotations and brackets; `words` and `tokens` as [`crate::text::words`] finds them.
pub fn spans(text: &str, words: &[usize], tokens: &[Token]) -> Vec<Span> {
    let line = Line { text, words };
    let mut found: Vec<Span> = Vec::new();
    for token in tokens {
        found.push(Span { start: token.start, end: token.end, kind: Kind::Token });
        match token.kind {
            token::Kind::Abbreviation => line.abbreviation(token, &mut found),
            token::Kind::Number => line.number(token, &mut found),
            _ => {}
        }
    }
    name::names(text, words, |name| found.push(Span { start: name.start, end: name.end, kind: Kind::Name }));
    line.places(&mut found);
    found
}

/// The quotations and brackets of a text. What is opened and never closed reaches to the end of the
/// text (a straight quotation mark: of its line), so that nothing is cut after it.
pub fn enclosures(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut straight: Option<usize> = None;
    let mut previous = ' ';
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map_or(' ', |&(_, next)| next);
        match c {
            '“' | '„' | '«' | '(' | '[' | '{' | '（' | '「' | '『' | '【' => open.push((c, at)),
            '‘' => open.push((c, at)),
            '’' if previous.is_ascii_alphanumeric() && next.is_ascii_alphanumeric() => {}
            '"' => match straight.take() {
                Some(start) => found.push(Span { start, end: at + 1, kind: Kind::Quote }),
                None => straight = Some(at),
            },
            '\n' => {
                found.extend(straight.take().map(|start| Span { start, end: at, kind: Kind::Quote }));
            }
            _ if is_closer(c) => {
                let near = open.len().saturating_sub(NESTING_MAX);
                if let Some(place) = open[near..].iter().rposition(|&(opener, _)| closes(opener, c)) {
                    let (opener, start) = open[near + place];
                    open.truncate(near + place);
                    found.push(Span { start, end: at + c.len_utf8(), kind: enclosure(opener) });
                }
            }
            _ => {}
        }
        previous = c;
    }
    found.extend(straight.map(|start| Span { start, end: text.len(), kind: Kind::Quote }));
    let is_apostrophe = |opener: char| opener == '‘';
    found.extend(
        open.into_iter().filter(|&(opener, _)| !is_apostrophe(opener)).map(|(opener, start)| Span {
            start,
            end: text.len(),
            kind: enclosure(opener),
        }),
    );
    found
}

fn is_closer(c: char) -> bool {
    matches!(c, '”' | '“' | '’' | '»' | ')' | ']' | '}' | '）' | '」' | '』' | '】')
}

fn closes(opener: char, c: char) -> bool {
    matches!(
        (opener, c),
        ('“' | '„', '”') | ('„', '“') | ('‘', '’') | ('«', '»') | ('(', ')') | ('[', ']') | ('{', '}')
    ) || matches!((opener, c), ('（', '）') | ('「', '」') | ('『', '』') | ('【', '】'))
}

fn enclosure(opener: char) -> Kind {
    match opener {
        '(' | '[' | '{' | '（' | '【' => Kind::Bracket,
        _ => Kind::Quote,
    }
}

/// A text with its word boundaries.
struct Line<'a> {
    text: &'a str,
    words: &'a [usize],
}

impl Line<'_> {
    /// An abbreviation with the office before it and what it carries behind.
    fn abbreviation(&self, token: &Token, found: &mut Vec<Span>) {
        let mut start = token.start;
        let before = self.text[..start].strip_suffix(' ').unwrap_or(&self.text[..start]);
        let office = table::OFFICES.iter().filter_map(|office| before.strip_suffix(office));
        if let Some(head) = office.map(str::len).find(|&at| self.is_word_start(at)) {
            start = head;
        }
        let mut end = token.end;
        let rest = &self.text[end..];
        if rest.starts_with(letter::is_thai) {
            let run = thai_run(rest);
            end += match rest[..run].chars().count() <= CARRIED_MAX {
                true => run,
                false => self.word_end(end) - end,
            };
        } else if let Some(digits) = after_space(rest).filter(|after| after.starts_with(letter::is_digit)) {
            let is_unit = is_unit_before(&self.text[..token.start]);
            if !is_unit || self.text[token.start..token.end].ends_with("ศ.") {
                end = self.text.len() - digits.len() + digit_run(digits);
            }
        }
        if (start, end) != (token.start, token.end) {
            found.push(Span { start, end, kind: Kind::Title });
        }
    }

    /// A number with its unit; a date or time it begins; the counted word before it.
    fn number(&self, token: &Token, found: &mut Vec<Span>) {
        let before = self.text[..token.start].strip_suffix(' ').unwrap_or(&self.text[..token.start]);
        if let Some(end) = self.date_end(token) {
            let start = table::DATE_LEADS
                .iter()
                .find_map(|lead| before.strip_suffix(lead))
                .map_or(token.start, str::len);
            found.push(Span {
                start: start.min(self.range_start(before).unwrap_or(start)),
                end,
                kind: Kind::Date,
            });
            return;
        }
        let rest = &self.text[token.end..];
        if let Some(after) = loose(rest).strip_prefix("น.").or_else(|| loose(rest).strip_prefix("นาฬิกา"))
        {
            let before =
                self.range_start(before).map_or(before, |start| self.text[..start].trim_end_matches(' '));
            let start = table::TIME_LEADS
                .iter()
                .find_map(|lead| before.strip_suffix(lead))
                .map_or(token.start.min(before.len() + 1), str::len);
            found.push(Span { start, end: self.text.len() - after.len(), kind: Kind::Time });
            return;
        }
        let start = self.range_start(before).unwrap_or(token.start);
        let counted = table::COUNTED.iter().find(|word| before.ends_with(**word));
        let mut end = token.end;
        if let Some(length) = unit(rest) {
            end += length;
        } else if counted.is_none() && !is_year(&self.text[token.start..token.end]) {
            let after = loose(rest);
            if after.starts_with(letter::is_consonant) || after.starts_with(letter::is_leading) {
                let word = self.word_end(self.text.len() - after.len());
                if self.text[token.end..word].chars().count() <= 12 {
                    end = word;
                }
            }
        }
        let start = counted.map_or(start, |word| start.min(before.len() - word.len()));
        if (start, end) != (token.start, token.end) {
            found.push(Span { start, end, kind: Kind::Quantity });
        }
    }

    /// Where a date ends whose day is `token`.
    fn date_end(&self, token: &Token) -> Option<usize> {
        let rest = &self.text[token.end..];
        let after = loose(rest);
        let month = table::MONTHS.iter().flatten().find(|month| after.starts_with(**month))?;
        let mut end = self.text.len() - after.len() + month.len();
        let year = loose(&self.text[end..]);
        let year = ["พ.ศ.", "ค.ศ.", "ปี"].iter().find_map(|era| year.strip_prefix(era)).map_or(year, loose);
        let digits = year.chars().take_while(|&c| letter::is_digit(c)).count();
        if digits == 4 || (digits == 2 && unit(&year[digit_run(year)..]).is_none()) {
            end = self.text.len() - year.len() + digit_run(year);
        }
        Some(end)
    }

    /// Where the first number of a range begins, if `before` ends in one (5 – 11, 8-10).
    fn range_start(&self, before: &str) -> Option<usize> {
        let head = before.trim_end_matches(' ').strip_suffix(['-', '–', '—'])?.trim_end_matches(' ');
        let digits: usize = head
            .chars()
            .rev()
            .take_while(|&c| letter::is_digit(c) || ",.".contains(c))
            .map(char::len_utf8)
            .sum();
        (digits > 0).then(|| head.len() - digits)
    }

    /// Kinds of places and bodies keep their name (จังหวัดเชียงใหม่, กระทรวงมหาดไทย).
    fn places(&self, found: &mut Vec<Span>) {
        for pair in self.words.windows(3) {
            let (start, middle, end) = (pair[0], pair[1], pair[2]);
            if table::NAMED_KINDS.contains(&&self.text[start..middle])
                && self.text[middle..end].starts_with(letter::is_thai)
            {
                found.push(Span { start, end, kind: Kind::Title });
            }
        }
    }

    fn is_word_start(&self, at: usize) -> bool {
        !self.text[..at].ends_with(letter::is_thai) || self.words.binary_search(&at).is_ok()
    }

    /// Where the word around `at` ends.
    fn word_end(&self, at: usize) -> usize {
        let place = self.words.partition_point(|&cut| cut <= at);
        self.words.get(place).copied().unwrap_or(self.text.len())
    }
}

/// The text after at most one space.
fn loose(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}

/// The text after exactly one space.
fn after_space(text: &str) -> Option<&str> {
    text.strip_prefix(' ')
}

fn thai_run(text: &str) -> usize {
    text.chars().take_while(|&c| letter::is_thai(c)).map(char::len_utf8).sum()
}

fn digit_run(text: &str) -> usize {
    text.chars().take_while(|&c| letter::is_digit(c) || ",".contains(c)).map(char::len_utf8).sum()
}

/// Whether an abbreviation follows a number, and so is its unit (10.30 น.).
fn is_unit_before(before: &str) -> bool {
    before.strip_suffix(' ').unwrap_or(before).ends_with(letter::is_digit)
}

/// The length of the unit a number carries, its space included: magnitudes, then one unit.
fn unit(rest: &str) -> Option<usize> {
    let mut after = loose(rest);
    let mut found = false;
    while let Some(longer) = table::MAGNITUDES.iter().find_map(|word| loose(after).strip_prefix(word)) {
        after = longer;
        found = true;
    }
    let named = table::UNITS.iter().find_map(|word| loose(after).strip_prefix(word));
    if let Some(longer) = named.filter(|longer| !longer.starts_with(letter::is_trailing)) {
        after = longer;
        found = true;
    }
    found.then(|| rest.len() - after.len())
}

fn is_year(digits: &str) -> bool {
    let plain = crate::text::normal::ascii_digits(digits);
    plain.len() == 4
        && plain.parse::<u32>().is_ok_and(|year| (1800..2200).contains(&year) || (2400..2700).contains(&year))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::reading::Reading;

    /// Every `whole` in the text must lie inside one span or word of the reading.
    #[track_caller]
    fn holds(text: &str, wholes: &[&str]) {
        let reading = Reading::of(text);
        for whole in wholes {
            let start = text.find(whole).expect("occurs");
            for (i, _) in whole.char_indices().skip(1) {
                let at = start + i;
                let word = reading.words.binary_search(&at).is_err();
                assert!(
                    word || !reading.may_part(at),
                    "{whole:?} parted at {:?}: {:?}",
                    &whole[..i],
                    reading.spans
                );
            }
        }
    }

    #[track_caller]
    fn parts(text: &str, before: &str) {
        let at = text.find(before).expect("occurs");
        assert!(Reading::of(text).may_part(at), "before {before:?} in {text:?}");
    }

    #[test]
    fn a_rank_keeps_its_name() {
        holds("พล.ต.อ.สุรเชษฐ์ หักพาล รอง ผบ.ตร. กล่าว", &["พล.ต.อ.สุรเชษฐ์ หักพาล", "รอง ผบ.ตร."]);
        holds("วันนี้ นายสมชาย ใจดี กล่าวว่า", &["นายสมชาย ใจดี"]);
        holds("พลตำรวจเอก เพิ่มพูน ชิดชอบ รัฐมนตรี", &["พลตำรวจเอก เพิ่มพูน ชิดชอบ"]);
        parts("วันนี้ นายสมชาย ใจดี กล่าวว่า", " กล่าวว่า");
        parts("พล.ต.อ.สุรเชษฐ์ หักพาล รอง ผบ.ตร. กล่าว", " รอง");
    }

    #[test]
    fn a_number_keeps_its_unit() {
        holds("มูลค่า 1,200 ล้านบาท แล้ว", &["1,200 ล้านบาท"]);
        holds("มีโทษตาม มาตรา 112 และ 3 – 10 ปี", &["มาตรา 112", "3 – 10 ปี"]);
        parts("มูลค่า 1,200 ล้านบาท", " 1,200");
    }

    #[test]
    fn dates_and_times_are_whole() {
        holds("เมื่อวันที่ 22 ก.พ. 2566 เวลา 10.30 น. เกิดเหตุ", &["เมื่อวันที่ 22 ก.พ. 2566", "เวลา 10.30 น."]);
        holds("ระหว่าง 5 – 11 กรกฎาคม พ.ศ. 2567 นี้", &["5 – 11 กรกฎาคม พ.ศ. 2567"]);
        parts("เวลา 10.30 น. เกิดเหตุ", " เกิด");
    }

    #[test]
    fn quotations_and_brackets_are_whole() {
        holds("กล่าวว่า “เราพร้อม ทั้งนี้ (ต้องรอ มติ)” ก่อน", &["“เราพร้อม ทั้งนี้ (ต้องรอ มติ)”"]);
        holds("งาน “Let’s Talk TIP” ที่นี่", &["“Let’s Talk TIP”"]);
        holds("เขาพูด \"ไป กัน\" แล้ว", &["\"ไป กัน\""]);
    }

    #[test]
    fn an_opener_without_its_closer_holds_the_rest() {
        let text = "ข่าว “ยังไม่จบ แล้วก็";
        assert_eq!(enclosures(text), [Span { start: "ข่าว ".len(), end: text.len(), kind: Kind::Quote }]);
    }
}
