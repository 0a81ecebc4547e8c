//! Name: finds people's names by the rank or honorific before them.
//!
//! Name lists find almost nothing right in Thai (precision 0.05, thai.md section 5), for names are
//! ordinary words; the title before them is what marks them.

use crate::text::letter;
use crate::text::table;

/// A name with its title, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Where the title begins.
    pub start: usize,
    /// Where the first name begins.
    pub first: usize,
    /// Where the first name ends.
    pub first_end: usize,
    /// Where the surname, or without one the first name, ends.
    pub end: usize,
}

/// The longest first name or surname taken, in letters.
const LONGEST: usize = 22;

/// Tells `found` of each name in the text.
pub fn names(text: &str, words: &[usize], mut found: impl FnMut(Name)) {
    let mut free = 0;
    for (place, &start) in words.iter().enumerate() {
        if start < free || start == text.len() {
            continue;
        }
        let Some(after) = title_end(text, start) else { continue };
        if let Some(name) = name(text, words, place, start, after) {
            free = name.end;
            found(name);
        }
    }
}

/// Where the titles that begin at `start` end; several may follow each other (ดร., พล.ต.อ. ดร.).
fn title_end(text: &str, start: usize) -> Option<usize> {
    let mut end = start;
    loop {
        let rest = &text[end..];
        let rest = if end > start { rest.strip_prefix(' ').unwrap_or(rest) } else { rest };
        let title = table::TITLES.iter().find(|title| rest.starts_with(**title));
        match title {
            Some(title) if !table::NOT_TITLES.iter().any(|word| rest.starts_with(word)) => {
                end = text.len() - rest.len() + title.len();
            }
            _ => return (end > start).then_some(end),
        }
    }
}

fn name(text: &str, words: &[usize], place: usize, start: usize, after: usize) -> Option<Name> {
    let mut first = after;
    if text[after..].starts_with(' ') {
        first += 1;
    }
    let first_end = part(text, words, place, first)?;
    let mut end = first_end;
    if text[end..].starts_with(' ') {
        let next = end + 1;
        if let Some(after_na) = text[next..].strip_prefix("ณ ") {
            end = part(text, words, place, text.len() - after_na.len()).unwrap_or(end);
        } else if let Some(surname) = part(text, words, place, next) {
            end = surname;
        }
    }
    Some(Name { start, first, first_end, end })
}

/// Where the name beginning at `at` ends, if what begins there can be one.
fn part(text: &str, words: &[usize], place: usize, at: usize) -> Option<usize> {
    if !text[at..].starts_with(|c| letter::is_consonant(c) || letter::is_leading(c)) {
        return None;
    }
    let run: usize =
        text[at..].chars().take_while(|&c| letter::is_thai(c) && c != 'ฯ').map(char::len_utf8).sum();
    let limit = at + run;
    let near = place + words[place..].partition_point(|&cut| cut < at);
    // A word of the sentence ends the name; as its first word it says there is none.
    for pair in words[near..].windows(2).take_while(|pair| pair[0] < limit) {
        let word = &text[pair[0]..pair[1]];
        if table::AFTER_NAMES.contains(&word)
            && (pair[0] > at || text[at..limit].len() > word.len() || is_whole(word))
        {
            return (pair[0] > at).then_some(pair[0]);
        }
    }
    if table::AFTER_NAME_STARTS.iter().any(|start| text[at..limit].starts_with(start)) {
        return None;
    }
    let count = text[at..limit].chars().count();
    if (2..=LONGEST).contains(&count) {
        return Some(limit);
    }
    let word = words.get(near + 1).copied().filter(|_| count > LONGEST)?;
    (word > at).then_some(word)
}

fn is_whole(word: &str) -> bool {
    table::AFTER_NAMES.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::words;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        names(text, &words::boundaries(text), |name| found.push(&text[name.first..name.end]));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_title_marks_a_name() {
        check("พล.ต.อ.สุรเชษฐ์ หักพาล รอง ผบ.ตร.", &["สุรเชษฐ์ หักพาล"]);
        check("นายสมชาย ใจดี กล่าวว่า น.ส.แพทองธาร ชินวัตร มา", &["สมชาย ใจดี", "แพทองธาร ชินวัตร"]);
        check("ดร.วีระ ณ ระนอง เปิดเผยว่า", &["วีระ ณ ระนอง"]);
    }

    #[test]
    fn a_word_of_the_sentence_ends_a_name() {
        check("นายสมชายกล่าวว่า ดี", &["สมชาย"]);
        check("พล.ต.อ.สุรเชษฐ์ ได้กล่าวกับผู้เข้าร่วมงาน", &["สุรเชษฐ์"]);
    }

    #[test]
    fn words_that_only_begin_like_titles_are_none() {
        check("นายกรัฐมนตรี พบนายจ้าง และนายอำเภอ นางแบบ คุณภาพ", &[]);
    }
}
