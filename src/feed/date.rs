//! Date: reads the dates of feeds, whatever calendar and order they are in.
//!
//! Thai sources write Buddhist-era years (2569 is 2026), Thai month names, and local time without a zone, or
//! stamped as GMT and so seven hours in the future. A date that can't be believed is no date: it must never
//! become "now" (feeds.md, section 6).

use chrono::DateTime;
use chrono::Duration;
use chrono::FixedOffset;
use chrono::NaiveDate;
use chrono::NaiveDateTime;
use chrono::TimeZone;
use chrono::Utc;

/// How far in the future a date may lie: two clocks disagree by less.
const TOLERANCE: Duration = Duration::minutes(10);

/// Years above this are of the Buddhist era.
const BUDDHIST: i32 = 2400;

/// The Buddhist era begins this many years before the common era.
const BUDDHIST_OFFSET: i32 = 543;

/// Thailand is seven hours ahead of UTC all year; a date without a zone is taken to be local.
const THAILAND: i32 = 7 * 3600;

/// Months: English, the Thai name, the Thai abbreviation without its dots.
const MONTHS: [(&str, &str, &str); 12] = [
    ("jan", "มกราคม", "มค"),
    ("feb", "กุมภาพันธ์", "กพ"),
    ("mar", "มีนาคม", "มีค"),
    ("apr", "เมษายน", "เมย"),
    ("may", "พฤษภาคม", "พค"),
    ("jun", "มิถุนายน", "มิย"),
    ("jul", "กรกฎาคม", "กค"),
    ("aug", "สิงหาคม", "สค"),
    ("sep", "กันยายน", "กย"),
    ("oct", "ตุลาคม", "ตค"),
    ("nov", "พฤศจิกายน", "พย"),
    ("dec", "ธันวาคม", "ธค"),
];

/// Zones by name, in hours from UTC (RFC 822, and Thailand's own).
const ZONES: [(&str, i32); 13] = [
    ("z", 0),
    ("ut", 0),
    ("utc", 0),
    ("gmt", 0),
    ("ict", 7),
    ("est", -5),
    ("edt", -4),
    ("cst", -6),
    ("cdt", -5),
    ("mst", -7),
    ("mdt", -6),
    ("pst", -8),
    ("pdt", -7),
];

/// Why a date is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// It can't be read.
    #[error("the date \"{0}\" can't be read")]
    Unreadable(String),
    /// It lies more than ten minutes ahead.
    #[error("the date \"{0}\" lies in the future")]
    Future(String),
}

/// Reads a date in RFC 3339, RFC 822, or the ways people write dates in Thai and English.
///
/// # Errors
/// A [`DateError`] that shows the date, cut to 60 characters.
pub fn read(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, DateError> {
    let shown = || text.trim().chars().take(60).collect();
    let date = lenient(text).ok_or_else(|| DateError::Unreadable(shown()))?;
    if date > now + TOLERANCE { Err(DateError::Future(shown())) } else { Ok(date) }
}

fn lenient(text: &str) -> Option<DateTime<Utc>> {
    let tokens = tokens(text);
    let (date, rest) = calendar(&tokens)?;
    let (seconds, zone) = match time(rest).or_else(|| time(&tokens)) {
        Some(time) => time?,
        None => (0, THAILAND),
    };
    let local = NaiveDateTime::from(date).checked_add_signed(Duration::seconds(seconds))?;
    Some(FixedOffset::east_opt(zone)?.from_local_datetime(&local).single()?.to_utc())
}

/// A piece of a written date.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A number and how many digits it was written with.
    Number(i32, usize),
    /// A word in lower case, without dots.
    Word(String),
    /// Any other sign; white space is left out.
    Mark(char),
}

use Token::{Mark, Number, Word};

/// Cuts a date into its pieces; a text too long for a date has none.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    if text.trim().chars().count() > 100 {
        return tokens;
    }
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        if let Some(first) = digit(c) {
            let (mut number, mut length) = (first, 1);
            while let Some(next) = chars.peek().copied().and_then(digit) {
                number = i32::saturating_add(i32::saturating_mul(number, 10), next);
                length += 1;
                chars.next();
            }
            tokens.push(Number(number, length));
        } else if is_letter(c) {
            let mut word: String = c.to_lowercase().collect();
            // Dots belong to a word only inside a Thai abbreviation: "พ.ย." is one word.
            while let Some(next) = chars.next_if(|&next| is_letter(next) || (next == '.' && !c.is_ascii())) {
                word.extend(next.to_lowercase().filter(|&c| c != '.'));
            }
            tokens.push(Word(word));
        } else if !c.is_whitespace() {
            tokens.push(Mark(c));
        }
    }
    tokens
}

/// A letter, or a Thai vowel or tone mark.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() || ('\u{e31}'..='\u{e4e}').contains(&c)
}

/// The value of an ASCII or Thai digit.
fn digit(c: char) -> Option<i32> {
    let value = match c {
        '๐'..='๙' => u32::from(c) - u32::from('๐'),
        _ => c.to_digit(10)?,
    };
    i32::try_from(value).ok()
}

/// The day, and what follows it.
fn calendar(tokens: &[Token]) -> Option<(NaiveDate, &[Token])> {
    for at in 0..tokens.len() {
        let found = match &tokens[at..] {
            [
                Number(year, 4),
                Mark('-' | '/'),
                Number(month, _),
                Mark('-' | '/'),
                Number(day, _),
                rest @ ..,
            ] => Some((western(*year, 4), u32::try_from(*month).ok()?, *day, rest)),
            [
                Number(day, 1 | 2),
                Mark('-' | '/' | '.'),
                Number(month, _),
                Mark('-' | '/' | '.'),
                Number(year, digits),
                rest @ ..,
            ] => Some((western(*year, *digits), u32::try_from(*month).ok()?, *day, rest)),
            [Number(day, 1 | 2), Mark('-'), Word(name), Mark('-'), rest @ ..]
            | [Number(day, 1 | 2), Word(name), rest @ ..] => named(name, *day, rest),
            [Word(name), Number(day, 1 | 2), Mark(','), rest @ ..]
            | [Word(name), Number(day, 1 | 2), rest @ ..] => named(name, *day, rest),
            _ => None,
        };
        if let Some((year, month, day, rest)) = found {
            return Some((NaiveDate::from_ymd_opt(year, month, u32::try_from(day).ok()?)?, rest));
        }
    }
    None
}

/// A day with a month's name: the year follows, perhaps behind the name of its era.
fn named<'a>(name: &str, day: i32, rest: &'a [Token]) -> Option<(i32, u32, i32, &'a [Token])> {
    let is = |&(english, thai, short): &(&str, &str, &str)| {
        // English names are known by three letters and may be written out.
        (name.is_ascii() && name.starts_with(english)) || name == thai || name == short
    };
    let month = u32::try_from(1 + MONTHS.iter().position(is)?).ok()?;
    let mut rest = rest;
    while let [Word(_) | Mark(','), tail @ ..] = rest {
        rest = tail;
    }
    let [Number(year, digits), rest @ ..] = rest else { return None };
    let year = match digits {
        2 if !name.is_ascii() => 2500 + year - BUDDHIST_OFFSET,
        _ => western(*year, *digits),
    };
    Some((year, month, day, rest))
}

/// The year of the common era.
fn western(year: i32, digits: usize) -> i32 {
    match (year, digits) {
        (0..50, 2) => year + 2000,
        (50..100, 2) => year + 1900,
        (year, _) if year > BUDDHIST => year - BUDDHIST_OFFSET,
        (year, _) => year,
    }
}

/// The time of day in seconds, and its zone in seconds east of UTC; `Some(None)` for a time that doesn't exist.
fn time(tokens: &[Token]) -> Option<Option<(i64, i32)>> {
    for at in 0..tokens.len() {
        let (hour, minute, second, rest) = match &tokens[at..] {
            [
                Number(h, 1 | 2),
                Mark(':'),
                Number(m, 2),
                Mark(':'),
                Number(s, 2),
                Mark('.'),
                Number(..),
                rest @ ..,
            ]
            | [Number(h, 1 | 2), Mark(':'), Number(m, 2), Mark(':'), Number(s, 2), rest @ ..] => {
                (*h, *m, *s, rest)
            }
            [Number(h, 1 | 2), Mark(':'), Number(m, 2), rest @ ..] => (*h, *m, 0, rest),
            // "10.30 น."
            [Number(h, 1 | 2), Mark('.'), Number(m, 2), Word(hours), rest @ ..] if hours == "น" => {
                (*h, *m, 0, rest)
            }
            _ => continue,
        };
        let (hour, rest) = match rest {
            [Word(half), rest @ ..] if half == "am" => (hour % 12, rest),
            [Word(half), rest @ ..] if half == "pm" => (hour % 12 + 12, rest),
            [Word(hours), rest @ ..] if hours == "น" => (hour, rest),
            _ => (hour, rest),
        };
        if hour > 23 || minute > 59 || second > 60 {
            return Some(None);
        }
        let seconds = i64::from(hour * 3600 + minute * 60 + second.min(59));
        return Some(zone(rest).map(|zone| (seconds, zone)));
    }
    None
}

/// The zone behind a time: a name, an offset, or both ("GMT+7"); none at all is Thailand's.
fn zone(tokens: &[Token]) -> Option<i32> {
    let (named, rest) = match tokens {
        [Word(name), rest @ ..] => {
            let known = ZONES.iter().find(|(zone, _)| zone == name).map(|(_, hours)| hours * 3600);
            (known, rest)
        }
        _ => (None, tokens),
    };
    let (sign, hours, minutes) = match rest {
        [Mark(sign @ ('+' | '-')), Number(hours, 1 | 2), Mark(':'), Number(minutes, 2), ..] => {
            (sign, *hours, *minutes)
        }
        [Mark(sign @ ('+' | '-')), Number(both, 3 | 4), ..] => (sign, both / 100, both % 100),
        [Mark(sign @ ('+' | '-')), Number(hours, 1 | 2), ..] => (sign, *hours, 0),
        _ => return Some(named.unwrap_or(THAILAND)),
    };
    let seconds = hours * 3600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some(if *sign == '-' { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let got = read(text, now()).map(|date| date.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        assert_eq!(got.as_deref(), Ok(expected), "{text}");
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(read(text, now()).unwrap_err().to_string(), expected);
    }

    #[test]
    fn the_standards_dates_are_read() {
        check("Sun, 22 Nov 2026 10:30:00 +0000", "2026-11-22T10:30:00Z");
        check("Sun, 22 Nov 2026 10:30:00 GMT", "2026-11-22T10:30:00Z");
        check("22 Nov 26 17:30 +0700", "2026-11-22T10:30:00Z");
        check("Sunday, 1 November 2026 05:30:00 EST", "2026-11-01T10:30:00Z");
        check("2026-11-22T17:30:00+07:00", "2026-11-22T10:30:00Z");
        check("2026-11-22T10:30:00Z", "2026-11-22T10:30:00Z");
        check("2026-11-22t10:30:00.123456z", "2026-11-22T10:30:00Z");
        check("2026-11-22T05:00:00-0530", "2026-11-22T10:30:00Z");
    }

    #[test]
    fn deviations_are_read() {
        check("Wed, 22 Nov 2026 10:30:00 Z", "2026-11-22T10:30:00Z");
        check("Nov 22, 2026 5:30 PM GMT+7", "2026-11-22T10:30:00Z");
        check("22-Nov-2026 10:30:00 UTC", "2026-11-22T10:30:00Z");
        check("  22/11/2026 12:30 AM UTC ", "2026-11-22T00:30:00Z");
        check("2026-11-21 23:59:60 +07", "2026-11-21T16:59:59Z");
    }

    #[test]
    fn a_date_without_a_zone_is_thai_time() {
        check("2026-11-22 17:30:00", "2026-11-22T10:30:00Z");
        check("2026-11-22", "2026-11-21T17:00:00Z");
    }

    #[test]
    fn buddhist_years_are_read() {
        check("Sun, 22 Nov 2569 10:30:00 +0000", "2026-11-22T10:30:00Z");
        check("2569-11-22T17:30:00+07:00", "2026-11-22T10:30:00Z");
        check("22/11/2569 17:30", "2026-11-22T10:30:00Z");
        // 2567 is no leap year, 2024 is.
        check("2567-02-29T00:00:00Z", "2024-02-29T00:00:00Z");
    }

    #[test]
    fn thai_dates_are_read() {
        check("22 พฤศจิกายน 2569 เวลา 17.30 น.", "2026-11-22T10:30:00Z");
        check("วันอาทิตย์ที่ 22 พฤศจิกายน พ.ศ. 2569 17:30 น.", "2026-11-22T10:30:00Z");
        check("22 พ.ย. 69 17:30", "2026-11-22T10:30:00Z");
        check("๒๒ พ.ย. ๒๕๖๙ ๑๗:๓๐ น.", "2026-11-22T10:30:00Z");
        check("17:30 น. 22 พ.ย. 2569", "2026-11-22T10:30:00Z");
        check("1 ม.ค. ค.ศ. 2026", "2025-12-31T17:00:00Z");
    }

    #[test]
    fn every_thai_month_is_known() {
        for (index, (_, long, short)) in MONTHS.iter().enumerate() {
            let expected = format!("2024-{:02}-05T00:00:00Z", index + 1);
            check(&format!("5 {long} 2567 07:00"), &expected);
            check(&format!("5 {short} 2567 07:00"), &expected);
        }
    }

    #[test]
    fn what_cannot_be_believed_is_no_date() {
        check("Sun, 22 Nov 2026 12:10:00 +0000", "2026-11-22T12:10:00Z");
        check_error(
            "Sun, 22 Nov 2026 12:10:01 +0000",
            "the date \"Sun, 22 Nov 2026 12:10:01 +0000\" lies in the future",
        );
        check_error("0000-00-00 00:00:00", "the date \"0000-00-00 00:00:00\" can't be read");
        check_error("31 Feb 2026 10:00 GMT", "the date \"31 Feb 2026 10:00 GMT\" can't be read");
        check_error("", "the date \"\" can't be read");
        check_error("เมื่อวานนี้", "the date \"เมื่อวานนี้\" can't be read");
        check_error("22 Nov 2026 25:00 GMT", "the date \"22 Nov 2026 25:00 GMT\" can't be read");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String, shaped in "[0-9๐-๙:/. +TZ-]{0,30}(พ.ย.|Nov)?[0-9 :+-]{0,20}") {
            let _either = read(&text, now());
            let _either = read(&shaped, now());
        }
    }
}
