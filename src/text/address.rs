//! Address: finds the web addresses X turns into links, as twitter-text does.
//!
//! X also links domains without a scheme (example.com), even glued to Thai
//! words; each then weighs 23. Yardstick: `tests/fixtures/text/weighted.json`.
//! `tld.txt` holds the top-level domains of that package (Apache-2.0), in its order.

use std::collections::HashSet;
use std::sync::LazyLock;

/// The longest address X takes, scheme included, in UTF-16 units.
const URL_MAX: usize = 4096;
/// The longest label of a domain, in its ASCII form.
const LABEL_MAX: usize = 63;
/// The longest path of a t.co link.
const SHORT_LINK_MAX: usize = 40;
/// What twitter-text supposes where no scheme is written.
const SUPPOSED_SCHEME: &str = "https://";

static TOP_LEVEL: LazyLock<TopLevel> = LazyLock::new(|| {
    let names = || include_str!("tld.txt").lines();
    TopLevel {
        ascii: names().filter(|name| name.is_ascii()).collect(),
        other: names().filter(|name| !name.is_ascii()).map(|name| name.chars().collect()).collect(),
    }
});

struct TopLevel {
    ascii: HashSet<&'static str>,
    other: Vec<Vec<char>>,
}

/// One address in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Where it begins, in code points.
    pub start: usize,
    /// Its length, in code points.
    pub length: usize,
}

/// The addresses of a text in order.
pub fn addresses(text: &[char]) -> Vec<Address> {
    let mut found = Vec::new();
    if !text.contains(&'.') {
        return found;
    }
    let runs = label_runs(text);
    let mut at = 0;
    while at <= text.len() {
        match candidate_at(text, &runs, at) {
            Some(candidate) => {
                take(text, &candidate, &mut found);
                at = candidate.end;
            }
            None => at += 1,
        }
    }
    found
}

/// What the pattern matched, before it is judged.
struct Candidate {
    /// The character before the address, if the pattern took one.
    before: Option<char>,
    start: usize,
    domain: usize,
    domain_end: usize,
    path: bool,
    end: usize,
}

/// The match of the pattern that begins at `at` with the character before the address.
fn candidate_at(text: &[char], runs: &[usize], at: usize) -> Option<Candidate> {
    // The reference reads UTF-16: the first half of a character beyond U+FFFF may be the one before
    // an address that begins with the second half.
    let halved =
        text.get(at).filter(|c| c.len_utf16() == 2).and_then(|&c| candidate(text, runs, at, Some(c)));
    if halved.is_some() {
        return halved;
    }
    let preceded =
        text.get(at).filter(|&&c| may_precede(c)).and_then(|&c| candidate(text, runs, at + 1, Some(c)));
    preceded.or_else(|| if at == 0 { candidate(text, runs, 0, None) } else { None })
}

fn may_precede(c: char) -> bool {
    is_directional(c)
        || !(c.is_ascii_alphanumeric() || matches!(c, '@' | '＠' | '$' | '#' | '＃') || is_invalid(c))
}

fn candidate(text: &[char], runs: &[usize], start: usize, before: Option<char>) -> Option<Candidate> {
    let with_scheme =
        scheme_end(text, start).and_then(|domain| Some((domain, domain_end(text, runs, domain)?)));
    let (domain, domain_end) = with_scheme.or_else(|| Some((start, domain_end(text, runs, start)?)))?;
    let mut end = domain_end;
    if text.get(end) == Some(&':') {
        let digits = text[end + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
        end += if digits > 0 { digits + 1 } else { 0 };
    }
    let path = text.get(end) == Some(&'/');
    if path {
        end = path_end(text, end + 1);
    }
    end = query_end(text, end);
    Some(Candidate { before, start, domain, domain_end, path, end })
}

/// Keeps what a match means: the address, or the plain domains in it.
fn take(text: &[char], candidate: &Candidate, found: &mut Vec<Address>) {
    let &Candidate { before, start, domain, domain_end, path, end } = candidate;
    let scheme = match domain - start {
        0 => SUPPOSED_SCHEME.len(),
        length => length,
    };
    if !is_domain(&text[domain..domain_end]) || scheme + utf16(&text[start..end]) > URL_MAX {
        return;
    }
    if domain > start {
        found.extend(short_link(text, start, domain, end).map(|length| Address { start, length }));
        return;
    }
    if before.is_some_and(|c| matches!(c, '-' | '_' | '.' | '/')) {
        return;
    }
    let mut at = domain;
    let first = found.len();
    while at < domain_end {
        match plain_domain_end(&text[..domain_end], at) {
            Some(stop) => {
                found.push(Address { start: at, length: stop - at });
                at = stop;
            }
            None => at += 1,
        }
    }
    if let Some(last) = found[first..].last_mut().filter(|_| path) {
        last.length += end - domain_end;
    }
}

/// The length of an address with a scheme; of a t.co link only what X itself would have made.
fn short_link(text: &[char], start: usize, domain: usize, end: usize) -> Option<usize> {
    let host: String = text[domain..end.min(domain + 5)].iter().collect();
    if !host.eq_ignore_ascii_case("t.co/") {
        return Some(end - start);
    }
    let name = text[domain + 5..end].iter().take_while(|c| c.is_ascii_alphanumeric()).count();
    match name {
        0 => Some(end - start),
        1..=SHORT_LINK_MAX => Some(query_end(&text[..end], domain + 5 + name) - start),
        _ => None,
    }
}

fn scheme_end(text: &[char], start: usize) -> Option<usize> {
    ["https://", "http://"].iter().find_map(|scheme| {
        let head: String = text[start..].iter().take(scheme.len()).collect();
        head.eq_ignore_ascii_case(scheme).then(|| start + scheme.len())
    })
}

/// Where the domain that begins at `start` ends: labels, then a top-level domain.
fn domain_end(text: &[char], runs: &[usize], start: usize) -> Option<usize> {
    // After each label's full stop: its place, and the label.
    let mut stops: Vec<(usize, &[char])> = Vec::new();
    let mut at = start;
    loop {
        let stop = runs.get(at).copied().unwrap_or(at);
        if text.get(stop) != Some(&'.') {
            break;
        }
        let label = &text[at..stop];
        let ends = [label.first(), label.last()];
        if !ends.iter().all(|end| end.is_some_and(|&c| is_label(c))) {
            break;
        }
        at = stop + 1;
        stops.push((at, label));
    }
    // A name of the domain itself has no underscore; only what stands before a top-level domain is asked.
    stops.iter().rev().find_map(|&(stop, label)| top_level_end(text, stop).filter(|_| !label.contains(&'_')))
}

/// For each place the end of the run of label characters, hyphens and underscores it stands in, so
/// that a text without spaces is not read again from each of its characters.
fn label_runs(text: &[char]) -> Vec<usize> {
    let mut ends = vec![text.len(); text.len()];
    let mut end = text.len();
    for (at, &c) in text.iter().enumerate().rev() {
        if !(is_label(c) || matches!(c, '-' | '_')) {
            end = at;
        }
        ends[at] = end;
    }
    ends
}

/// Where the plain domain (ASCII and accented Latin) that begins at `start` ends.
fn plain_domain_end(text: &[char], start: usize) -> Option<usize> {
    let mut stops = Vec::new();
    let mut at = start;
    loop {
        let fits = |c: char| c == '-' || c.is_ascii_alphanumeric() || is_accented(c);
        let length = text[at..].iter().take_while(|&&c| fits(c)).count();
        if length == 0 || text.get(at + length) != Some(&'.') {
            break;
        }
        at += length + 1;
        stops.push(at);
    }
    stops.iter().rev().find_map(|&stop| top_level_end(text, stop))
}

/// Where the top-level domain at `at` ends, if one stands there.
fn top_level_end(text: &[char], at: usize) -> Option<usize> {
    let ends = |end: usize| {
        text.get(end).is_none_or(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '@' | '+' | '-')))
    };
    let run = text[at..].iter().take_while(|c| c.is_ascii_alphanumeric()).count();
    let name: String = text[at..at + run].iter().map(char::to_ascii_lowercase).collect();
    if TOP_LEVEL.ascii.contains(name.as_str()) && ends(at + run) {
        return Some(at + run);
    }
    if run == 0 {
        let mut others = TOP_LEVEL.other.iter().filter(|name| text[at..].starts_with(name));
        if let Some(other) = others.find(|name| ends(at + name.len())) {
            return Some(at + other.len());
        }
    }
    let puny = name.starts_with("xn") && text[at + 2..].starts_with(&['-', '-']);
    let tail = if puny {
        text[at + 4..].iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '-').count()
    } else {
        0
    };
    (tail > 0).then_some(at + 4 + tail)
}

/// Where the path whose first slash stands before `at` ends.
fn path_end(text: &[char], at: usize) -> usize {
    let (mut here, mut end) = (at, at);
    while let Some(&c) = text.get(here) {
        if is_path(c) {
            here += 1;
            if is_path_end(c) {
                end = here;
            }
        } else if let Some(after) = brackets_end(text, here) {
            here = after;
            end = here;
        } else {
            break;
        }
    }
    end
}

/// Where balanced brackets at `at` end: one pair, with at most one more inside.
fn brackets_end(text: &[char], at: usize) -> Option<usize> {
    let run = |from: usize| from + text[from.min(text.len())..].iter().take_while(|&&c| is_path(c)).count();
    if text.get(at) != Some(&'(') {
        return None;
    }
    let first = run(at + 1);
    match text.get(first)? {
        ')' if first > at + 1 => Some(first + 1),
        '(' => {
            let second = run(first + 1);
            let third = run(second + 1);
            (second > first + 1 && text.get(second) == Some(&')') && text.get(third) == Some(&')'))
                .then_some(third + 1)
        }
        _ => None,
    }
}

/// Where the query at `at`, if there is one, ends.
fn query_end(text: &[char], at: usize) -> usize {
    if text.get(at) != Some(&'?') {
        return at;
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "!?*'@();:&=+$/%#[]-_.,~|".contains(c);
    let ends = |c: char| c.is_ascii_alphanumeric() || "-_&=#/".contains(c);
    let run = text[at + 1..].iter().take_while(|&&c| fits(c)).count();
    match text[at + 1..at + 1 + run].iter().rposition(|&c| ends(c)) {
        Some(last) => at + 2 + last,
        None => at,
    }
}

/// Whether every label is of a length the domain name system allows.
fn is_domain(domain: &[char]) -> bool {
    if domain.starts_with(&['x', 'n', '-', '-'])
        && (0..domain.len()).all(|at| plain_domain_end(domain, at).is_none())
    {
        return false;
    }
    domain.split(|&c| c == '.').all(|label| (1..=LABEL_MAX).contains(&ascii_length(label)))
}

/// The length of a label in its ASCII form.
fn ascii_length(label: &[char]) -> usize {
    let is_stop = |c: &char| matches!(c, '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
    let parts = label.split(is_stop).map(|part| match part.iter().all(char::is_ascii) {
        true => part.len(),
        false => 4 + punycode_length(part),
    });
    parts.sum::<usize>() + label.iter().filter(|c| is_stop(c)).count()
}

/// The length of a label's Punycode (RFC 3492, section 6.3), stopped where it is too long anyway.
fn punycode_length(label: &[char]) -> usize {
    let code = |c: &char| u64::from(u32::from(*c));
    let basic = label.iter().filter(|c| c.is_ascii()).count();
    let mut length = basic + usize::from(basic > 0);
    let (mut least, mut delta, mut bias) = (128_u64, 0_u64, 72_u64);
    let mut handled = basic as u64;
    while handled < label.len() as u64 && length <= LABEL_MAX {
        let Some(next) = label.iter().map(code).filter(|&c| c >= least).min() else { break };
        delta += (next - least) * (handled + 1);
        least = next;
        for c in label.iter().map(code) {
            if c < least {
                delta += 1;
            }
            if c == least {
                length += digits(delta, bias);
                bias = adapt(delta, handled + 1, handled == basic as u64);
                delta = 0;
                handled += 1;
            }
        }
        delta += 1;
        least += 1;
    }
    length
}

/// How many digits a generalised variable-length integer takes.
fn digits(mut rest: u64, bias: u64) -> usize {
    let mut count = 1;
    let mut base = 36;
    loop {
        let threshold = base.max(bias + 1).saturating_sub(bias).clamp(1, 26);
        if rest < threshold {
            return count;
        }
        rest = (rest - threshold) / (36 - threshold);
        base += 36;
        count += 1;
    }
}

fn adapt(delta: u64, points: u64, first: bool) -> u64 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut bias = 0;
    while delta > 455 {
        delta /= 35;
        bias += 36;
    }
    bias + 36 * delta / (delta + 38)
}

fn is_label(c: char) -> bool {
    let punctuation = matches!(c, '!'..='/' | ':'..='@' | '['..='_' | '{'..='~') && c != '"';
    !(punctuation || is_space(c) || is_invalid(c) || is_directional(c))
}

fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!*';:=+,.$/%#[]-_~@|&–".contains(c) || is_cyrillic(c) || is_accented(c)
}

fn is_path_end(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+-=_#/".contains(c) || is_cyrillic(c) || is_accented(c)
}

fn is_cyrillic(c: char) -> bool {
    matches!(c, '\u{400}'..='\u{4ff}')
}

fn is_accented(c: char) -> bool {
    matches!(c, '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' | '\u{253}' | '\u{254}')
        || matches!(
            c,
            '\u{256}' | '\u{257}' | '\u{259}' | '\u{25b}' | '\u{263}' | '\u{268}' | '\u{26f}' | '\u{272}'
        )
        || matches!(c, '\u{289}' | '\u{28b}' | '\u{2bb}' | '\u{300}'..='\u{36f}' | '\u{1e00}'..='\u{1eff}')
}

fn is_space(c: char) -> bool {
    matches!(c, '\u{9}'..='\u{d}' | ' ' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200a}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Characters X refuses in any text.
pub fn is_invalid(c: char) -> bool {
    matches!(c, '\u{fffe}' | '\u{feff}' | '\u{ffff}')
}

fn is_directional(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}')
}

fn utf16(text: &[char]) -> usize {
    text.iter().map(|c| c.len_utf16()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let chars: Vec<char> = text.chars().collect();
        let found: Vec<String> = addresses(&chars)
            .iter()
            .map(|address| chars[address.start..address.start + address.length].iter().collect())
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_domain_glued_to_thai_is_a_link() {
        check("อ่านต่อที่example.comครับ", &["example.com"]);
        check("ข่าวhttps://ex.th/1.", &["https://ex.th/1"]);
    }

    #[test]
    fn a_mail_address_is_none() {
        check("ส่งมาที่ news@example.com ได้", &[]);
    }

    #[test]
    fn punycode_lengths_are_those_of_the_standard() {
        let length = |text: &str| ascii_length(&text.chars().collect::<Vec<_>>());
        assert_eq!(length("ไทย"), "xn--o3cw4h".len());
        assert_eq!(length("bücher"), "xn--bcher-kva".len());
        assert_eq!(length("news"), 4);
    }
}
