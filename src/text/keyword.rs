//! Keyword: hashtags and names from an article, without any model.
//!
//! Names by the honorific before them, provinces by whole words or after จ./จังหวัด (precision 0.93,
//! thai.md section 5), nicknames by the quotation marks around them. A tag more is worth less than
//! a wrong one, so every rule would rather find nothing.

use std::collections::HashMap;

use crate::text::letter;
use crate::text::name;
use crate::text::normal;
use crate::text::reading::Reading;
use crate::text::span;
use crate::text::table;

/// The longest tag, in code points; a longer one is no word a reader would search for.
const TAG_MAX: usize = 30;
/// The longest quoted nickname, in code points.
const NICKNAME_MAX: usize = 16;
/// People named behind this many bytes of a body are not who it is about.
const NAMES_WITHIN: usize = 2_000;
/// A headline's word is a keyword when the body has it this often.
const KEYWORD_COUNT: usize = 3;
/// Shorter words, in code points, make poor tags.
const KEYWORD_MIN: usize = 4;
/// Not more than this many tags of one kind.
const PER_KIND: usize = 2;

/// Up to `max` hashtags, best first, each with its `#`: the section, nicknames, people, provinces,
/// public bodies, and with fewer than two of those the headline's main words.
pub fn hashtags(categories: &[String], title: &str, body: &str, max: usize) -> Vec<String> {
    let title = normal::one_line(title);
    let body = normal::normalize(body);
    let headline = Reading::of(&title);
    let story = Reading::of(&body);
    let near = body.char_indices().map(|(at, _)| at).find(|&at| at >= NAMES_WITHIN).unwrap_or(body.len());
    let mut tags = Tags { max, found: Vec::new() };
    tags.add_some(categories.iter().take(1).map(String::as_str), 1);
    tags.add_some(nicknames(&title, false).into_iter().chain(nicknames(&body[..near], true)), PER_KIND);
    let people = people(&headline).chain(people(&story).filter(|person| person.end <= near));
    let people: Vec<&str> = people.filter(|person| person.has_surname).map(|person| person.name).collect();
    tags.add_some(people.into_iter(), PER_KIND);
    tags.add_some(provinces(&headline).chain(provinces(&story)), PER_KIND);
    tags.add_some(bodies(&headline).into_iter(), 1);
    if tags.found.len() < 2 {
        tags.add_some(main_words(&headline, &story).into_iter(), 2);
    }
    tags.found
}

/// The people a text names with a title, without it: first name and surname with a space between,
/// each once, in order; a first name alone only if the surname is nowhere.
pub fn names(text: &str) -> Vec<String> {
    let reading = Reading::of(text);
    let all: Vec<Person> = people(&reading).collect();
    let mut found: Vec<String> = Vec::new();
    for person in &all {
        let longer = |other: &Person| other.has_surname && other.name.split(' ').next() == Some(person.name);
        let shadowed = !person.has_surname && all.iter().any(longer);
        if !shadowed && !found.iter().any(|name| name == person.name) {
            found.push(person.name.to_owned());
        }
    }
    found
}

struct Person<'a> {
    name: &'a str,
    has_surname: bool,
    end: usize,
}

fn people<'a>(reading: &Reading<'a>) -> impl Iterator<Item = Person<'a>> + use<'a> {
    let mut found = Vec::new();
    let text = reading.text;
    name::names(text, &reading.words, |name| {
        found.push(Person {
            name: &text[name.first..name.end],
            has_surname: name.end > name.first_end,
            end: name.end,
        });
    });
    found.into_iter()
}

/// What stands alone in quotation marks and can be a nickname; `marked`: only with a nickname's beginning.
fn nicknames(text: &str, marked: bool) -> Vec<&str> {
    let quotes = span::enclosures(text).into_iter().filter(|span| span.kind == span::Kind::Quote);
    let inner = quotes.filter_map(|quote| {
        let inside = text.get(quote.start..quote.end)?;
        let mut chars = inside.chars();
        chars.next();
        chars.next_back();
        Some(chars.as_str().trim())
    });
    inner
        .filter(|inner| inner.chars().count() <= NICKNAME_MAX && inner.chars().all(letter::is_thai))
        .filter(|inner| table::NICKNAME_STARTS.iter().any(|start| inner.starts_with(start)) || !marked)
        .collect()
}

/// The provinces a text names.
fn provinces<'a>(reading: &Reading<'a>) -> impl Iterator<Item = &'static str> + use<'a> {
    let text = reading.text;
    let mut found = Vec::new();
    for (place, &start) in reading.words.iter().enumerate() {
        let end = reading.words.get(place + 1).copied().unwrap_or(start);
        let word = &text[start..end];
        let after_kind = text[..start].ends_with("จังหวัด")
            || text[..start].ends_with("จ.")
            || text[..start].ends_with("จังหวัด ");
        let known = table::PROVINCES.iter().find(|name| match after_kind {
            true => text[start..].starts_with(**name),
            false => word == **name && word.chars().count() > KEYWORD_MIN,
        });
        found.extend(known.copied());
        if known.is_none() && table::CAPITAL_NAMES.iter().any(|name| text[start..].starts_with(name)) {
            found.push("กรุงเทพ");
        }
    }
    found.into_iter()
}

/// Ministries and departments of a headline (กระทรวงสาธารณสุข).
fn bodies<'a>(reading: &Reading<'a>) -> Vec<&'a str> {
    let text = reading.text;
    let pairs = reading.words.windows(3).filter(|pair| matches!(&text[pair[0]..pair[1]], "กระทรวง" | "กรม"));
    pairs.map(|pair| &text[pair[0]..pair[2]]).filter(|body| !body.contains(' ')).collect()
}

/// The headline's words that the body repeats most.
fn main_words<'a>(headline: &Reading<'a>, story: &Reading) -> Vec<&'a str> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for pair in story.words.windows(2) {
        *counts.entry(&story.text[pair[0]..pair[1]]).or_default() += 1;
    }
    let telling = |word: &&str| {
        word.chars().count() >= KEYWORD_MIN
            && word.chars().all(letter::is_thai)
            && !table::CONNECTIVES.contains(word)
            && !table::VERBAL.contains(word)
            && !table::AFTER_NAMES.contains(word)
    };
    let words = headline.words.windows(2).map(|pair| &headline.text[pair[0]..pair[1]]);
    let mut words: Vec<(&str, usize)> = words
        .filter(telling)
        .map(|word| (word, counts.get(word).copied().unwrap_or(0)))
        .filter(|&(_, count)| count >= KEYWORD_COUNT)
        .collect();
    words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    words.into_iter().map(|(word, _)| word).collect()
}

struct Tags {
    max: usize,
    found: Vec<String>,
}

impl Tags {
    /// Adds up to `most` of the candidates that can be tags and are not there yet.
    fn add_some<'a>(&mut self, candidates: impl Iterator<Item = &'a str>, most: usize) {
        let mut added = 0;
        for candidate in candidates {
            if added == most || self.found.len() >= self.max {
                return;
            }
            if let Some(tag) = tag(candidate).filter(|tag| !self.found.contains(tag)) {
                self.found.push(tag);
                added += 1;
            }
        }
    }
}

/// A hashtag of a phrase, if it makes one: no spaces, no signs, no ฯ or ๆ, at least one letter.
fn tag(phrase: &str) -> Option<String> {
    let word: String = phrase.split_whitespace().collect();
    let fits = |c: char| c.is_alphanumeric() || letter::is_thai(c) || c == '_';
    let legal = word.chars().all(|c| fits(c) && !matches!(c, 'ฯ' | 'ๆ'));
    let lettered = word.contains(|c: char| c.is_alphabetic());
    let length = word.chars().count();
    (legal && lettered && (2..=TAG_MAX).contains(&length)).then(|| format!("#{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "“บิ๊กโจ๊ก”เป็นประธานเปิดเวที\nพล.ต.อ.สุรเชษฐ์ หักพาล รอง ผบ.ตร. เปิดงานที่จังหวัดเชียงใหม่ \
        โดยนายสมชาย ใจดี ผู้ว่าราชการจังหวัดเชียงใหม่ ร่วมงาน พล.ต.อ.สุรเชษฐ์ กล่าวว่า ดี";

    #[test]
    fn tags_come_from_section_nickname_person_and_place() {
        let tags = hashtags(&["อาชญากรรม".to_owned()], "เปิดเวทีแก้ค้ามนุษย์", BODY, 4);
        assert_eq!(tags, ["#อาชญากรรม", "#บิ๊กโจ๊ก", "#สุรเชษฐ์หักพาล", "#สมชายใจดี"]);
        assert!(hashtags(&[], "เปิดเวทีแก้ค้ามนุษย์", BODY, 9).contains(&"#เชียงใหม่".to_owned()));
        assert_eq!(hashtags(&[], "x", BODY, 1).len(), 1);
    }

    #[test]
    fn no_sign_gets_into_a_tag() {
        assert_eq!(tag("ผบ.ตร."), None);
        assert_eq!(tag("กรุงเทพฯ"), None);
        assert_eq!(tag("ต่างๆ"), None);
        assert_eq!(tag("2566"), None);
        assert_eq!(tag("ข่าว ด่วน").as_deref(), Some("#ข่าวด่วน"));
    }

    #[test]
    fn a_person_is_named_once_and_in_full() {
        assert_eq!(names(BODY), ["สุรเชษฐ์ หักพาล", "สมชาย ใจดี"]);
    }

    #[test]
    fn short_province_names_need_their_kind() {
        let found = |text: &str| provinces(&Reading::of(text)).collect::<Vec<_>>();
        assert!(found("เขาไม่เคยไปเลย").is_empty());
        assert_eq!(found("เหตุเกิดที่ จ.เลย และจังหวัดตาก"), ["เลย", "ตาก"]);
        assert_eq!(found("เหตุเกิดที่นครราชสีมา"), ["นครราชสีมา"]);
        assert_eq!(table::PROVINCES.len(), 76);
    }

    #[test]
    fn an_article_without_names_gets_its_main_words() {
        let body = "ไฟไหม้โรงงาน คนงานหนีออกจากโรงงาน ไฟลามถึงโรงงานข้างเคียง";
        assert_eq!(hashtags(&[], "ไฟไหม้โรงงาน", body, 4), ["#โรงงาน"]);
    }
}
