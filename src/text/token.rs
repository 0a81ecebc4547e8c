//! Token: finds what a reader takes as one sign: addresses, numbers, tags.
//!
//! A Thai full stop is almost never the end of a sentence: it marks an abbreviation (พล.ต.อ., น.),
//! and several in a row are one.

use crate::text::letter;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A web or mail address.
    Link,
    /// `@name`.
    Handle,
    /// `#word`.
    Hashtag,
    /// Digits with their separators and a percent sign.
    Number,
    /// Latin letters with inner hyphens, apostrophes and dots (covid-19, O.U.R.).
    Latin,
    /// ฯลฯ or ฯพณฯ.
    Paiyannoi,
    /// A run of Thai abbreviations (ผบ.ตร.).
    Abbreviation,
    /// Two or more full stops.
    Dots,
}

/// A token's place, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
}

/// The longest letter group of an abbreviation, in letters: ศพดส.
const GROUP_MAX: usize = 6;

/// Abbreviations that hold vowels, which the rule for bare consonants misses.
const VOWELLED: &[&str] = &["เม", "มิ", "โทร", "เบอร์โทร", "เสธ", "ไอ", "เอ", "ซี", "ดี", "เค", "เจ", "เอส", "พี"];

/// The tokens of a line in order, none overlapping. `raw` are the segmenter's word boundaries: they
/// tell where an abbreviation begins that is written close to the word before (ของส.ส.).
pub fn tokens(line: &str, raw: &[usize]) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut previous = None;
    while let Some(c) = line[at..].chars().next() {
        let end = match scan(line, at, c, previous) {
            Some((end, kind)) => {
                found.push(Token { start: at, end, kind });
                end
            }
            None if c == '.' && previous.is_some_and(letter::is_thai) => {
                let (token, end) = abbreviation(line, at, raw, found.last());
                found.extend(token);
                end
            }
            None => at + c.len_utf8(),
        };
        previous = line[at..end].chars().next_back();
        at = end;
    }
    found
}

/// The token that begins at `at`, Thai abbreviations excepted.
fn scan(line: &str, at: usize, c: char, previous: Option<char>) -> Option<(usize, Kind)> {
    let rest = &line[at..];
    let starts_word = !previous.is_some_and(|p| p.is_ascii_alphanumeric());
    match c {
        'ฯ' => ["ฯลฯ", "ฯพณฯ"]
            .iter()
            .find(|sign| rest.starts_with(**sign))
            .map(|sign| (at + sign.len(), Kind::Paiyannoi)),
        '.' if rest.starts_with("..") => {
            Some((at + rest.len() - rest.trim_start_matches('.').len(), Kind::Dots))
        }
        '@' | '＠' if starts_word => tagged(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
            .map(|length| (at + length, Kind::Handle)),
        '#' | '＃' if previous != Some('&') => {
            tagged(rest, |c| c.is_alphanumeric() || letter::is_thai(c) || c == '_')
                .map(|length| (at + length, Kind::Hashtag))
        }
        _ if c.is_ascii_alphabetic() && starts_word => link(rest)
            .map(|length| (at + length, Kind::Link))
            .or_else(|| latin(rest).map(|(l, k)| (at + l, k))),
        _ if letter::is_digit(c) && !previous.is_some_and(letter::is_digit) => {
            Some((at + number(rest), Kind::Number))
        }
        _ => None,
    }
}

fn tagged(rest: &str, fits: impl Fn(char) -> bool) -> Option<usize> {
    let mark = rest.chars().next()?.len_utf8();
    let length: usize = rest[mark..].chars().take_while(|&c| fits(c)).map(char::len_utf8).sum();
    let trimmed = rest[mark..mark + length].trim_end_matches('.').len();
    (trimmed > 0).then_some(mark + trimmed)
}

/// The length of a written-out address. Thai letters belong to it only after a separator, for an
/// address is often followed by Thai without a space.
fn link(rest: &str) -> Option<usize> {
    let scheme = ["https://", "http://", "www."]
        .iter()
        .find(|scheme| rest.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)))?;
    let mut end = scheme.len();
    let mut thai_allowed = false;
    for c in rest[scheme.len()..].chars() {
        let fits = match c {
            '"' | '<' | '>' | '`' | '\\' | '{' | '}' | '|' => false,
            _ if c.is_ascii_graphic() => true,
            _ => thai_allowed && (letter::is_thai(c) || letter::is_digit(c)),
        };
        if !fits {
            break;
        }
        thai_allowed =
            !c.is_ascii_alphanumeric() && c != ')' && c != ',' && (thai_allowed || "/-_=".contains(c));
        end += c.len_utf8();
    }
    let trimmed = rest[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'', '*']);
    (trimmed.len() > scheme.len()).then_some(trimmed.len())
}

/// The length and kind of a Latin word; an address without scheme or a mail address is a link.
fn latin(rest: &str) -> Option<(usize, Kind)> {
    let bytes = rest.as_bytes();
    let mut end = 0;
    let mut at = false;
    let mut dotted = 0;
    loop {
        while bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) {
            end += 1;
        }
        let Some(joint) = rest[end..].chars().next() else { break };
        let length = joint.len_utf8();
        let next_fits = bytes.get(end + length).is_some_and(u8::is_ascii_alphanumeric);
        match joint {
            '-' | '_' | '\'' | '’' | '&' | '+' if next_fits => {}
            '@' if next_fits && !at => at = true,
            '.' if next_fits => dotted += 1,
            '.' if dotted > 0 && bytes[end - 1].is_ascii_uppercase() && bytes[end - 2] == b'.' => {
                return Some((end + 1, Kind::Latin));
            }
            _ => break,
        }
        end += length;
    }
    let host = dotted > 0
        && rest[..end]
            .rsplit('.')
            .next()
            .is_some_and(|tld| tld.len() >= 2 && !tld.starts_with(|c: char| c.is_ascii_digit()));
    Some((end, if at || host { Kind::Link } else { Kind::Latin }))
}

/// The length of a number with its separators: 1,200.50, 10.30, 10:30, 6/2567, 02-123-4567, 35%.
fn number(rest: &str) -> usize {
    let mut end = 0;
    let mut chars = rest.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let next_digit = chars.peek().is_some_and(|&(_, next)| letter::is_digit(next));
        let phone = c == '-' && rest.starts_with('0');
        if letter::is_digit(c) || ((",.:/".contains(c) || phone) && next_digit) {
            end = i + c.len_utf8();
        } else if c == '%' {
            return i + 1;
        } else {
            break;
        }
    }
    end
}

/// The abbreviation whose first full stop stands at `stop`, and where to go on reading.
fn abbreviation(line: &str, stop: usize, raw: &[usize], before: Option<&Token>) -> (Option<Token>, usize) {
    let floor = before.map_or(0, |token| token.end);
    let Some(start) = group_start(line, stop, raw).filter(|&start| start >= floor) else {
        return (None, stop + 1);
    };
    let mut end = stop + 1;
    loop {
        let length: usize = line[end..].chars().take_while(|&c| letter::is_thai(c)).map(char::len_utf8).sum();
        if line[end + length..].starts_with('.') && is_group(&line[end..end + length]) {
            end += length + 1;
        } else {
            break;
        }
    }
    if line[end..].starts_with('ฯ') && !line[end..].starts_with("ฯลฯ") {
        end += 'ฯ'.len_utf8();
    }
    (Some(Token { start, end, kind: Kind::Abbreviation }), end)
}

/// Where the letter group before `stop` begins, if it is one of an abbreviation.
fn group_start(line: &str, stop: usize, raw: &[usize]) -> Option<usize> {
    let run: usize = line[..stop].chars().rev().take_while(|&c| letter::is_thai(c)).map(char::len_utf8).sum();
    let start = stop - run;
    if is_group(&line[start..stop]) && (run <= 4 * 3 || !raw.iter().any(|&cut| start < cut && cut < stop)) {
        return Some(start);
    }
    // Written close to other words: the segmenter decides.
    let near = raw.partition_point(|&cut| cut < stop);
    let cut = *raw[..near].last()?;
    (cut >= start && is_group(&line[cut..stop])).then_some(cut)
}

fn is_group(letters: &str) -> bool {
    let count = letters.chars().count();
    let bare = letters.chars().all(letter::is_consonant);
    (1..=GROUP_MAX).contains(&count) && (bare || VOWELLED.contains(&letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let found: Vec<&str> = tokens(line, &[]).iter().map(|token| &line[token.start..token.end]).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn a_run_of_abbreviations_is_one_token() {
        check("พล.ต.อ.สุรเชษฐ์ รอง ผบ.ตร.", &["พล.ต.อ.", "ผบ.ตร."]);
        check("ศพดส.ตร. กับ เม.ย. และ มิ.ย.", &["ศพดส.ตร.", "เม.ย.", "มิ.ย."]);
        check("กลับบ้าน. แล้ว", &[]);
    }

    #[test]
    fn numbers_keep_their_separators() {
        check("1,200.50 บาท เวลา ๑๐.๓๐ น. ราว 35%", &["1,200.50", "๑๐.๓๐", "น.", "35%"]);
    }

    #[test]
    fn addresses_end_before_thai_and_punctuation() {
        check(
            "อ่านhttps://a.co.th/x_1ครับ (www.b.com). me@c.org",
            &["https://a.co.th/x_1", "www.b.com", "me@c.org"],
        );
        check("https://th.wikipedia.org/wiki/ประเทศไทย ดี", &["https://th.wikipedia.org/wiki/ประเทศไทย"]);
    }

    #[test]
    fn tags_and_latin_words_stay_whole() {
        check(
            "#ข่าวด่วน @inn_news covid-19ระบาด O.U.R. Let’s",
            &["#ข่าวด่วน", "@inn_news", "covid-19", "O.U.R.", "Let’s"],
        );
    }
}
