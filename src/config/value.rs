//! Value: reads one key's value: text, number, duration, address, time, list.

use std::net::SocketAddr;
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;

use crate::config::reader::At;
use crate::config::reader::Reader;
use crate::config::reader::Table;
use crate::config::reader::clip;
use crate::config::reader::entry_path;
use crate::config::reader::shown;
use crate::config::reader::suggestion;
use crate::config::schema::Choice;
use crate::config::schema::Form;
use crate::config::schema::Key;
use crate::config::schema::Rule;
use crate::config::schema::Value;
use crate::config::template;
use crate::model::cron::Cron;
use crate::model::schedule::Quiet;
use crate::model::schedule::QuietHours;
use crate::model::schedule::Slots;
use crate::model::schedule::When;
use crate::model::schedule::duration;
use crate::model::schedule::time_of_day;

const TEXT: &str = "a text";
const NUMBER: &str = "a whole number";
const TRUTH: &str = "true or false";
const DURATION: &str = "a duration such as \"90s\", \"2m\", \"24h\" or \"7d\"";
const ADDRESS: &str = "an address such as \"https://www.example.com/feed/\"";
const ZONE: &str = "a time zone such as \"Asia/Bangkok\"";
const NETWORK: &str = "a network such as \"10.0.0.0/8\"";
const SOCKET: &str = "an IP address with a port, such as \"127.0.0.1:8080\"";
const WHEN: &str = "\"now\", { cron = \"0 7,12,18 * * *\" } or { slots = [\"07:30\", \"12:00\"] }";

/// A name may have so many characters.
const LONGEST_NAME: usize = 64;

impl Value for String {
    fn form() -> Form {
        Form::Plain(TEXT.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<String> {
        let text = reader.text(at, TEXT)?;
        match keep(at.rule, text) {
            Ok(()) => Some(text.to_owned()),
            Err(fault) => reader.wrong(at, fault),
        }
    }
}

/// Whether a text keeps to its rule. Only names are shown: anything else could be a secret in the wrong place.
fn keep(rule: Rule, text: &str) -> Result<(), String> {
    match rule {
        Rule::Name if !is_name(text) => Err(format!(
            "{} is no name; use 1 to {LONGEST_NAME} letters, digits, `-`, `_` or `.`, without spaces",
            shown(text)
        )),
        Rule::Id if !is_id(text) => {
            Err("this is no id; ids have letters, digits, `.`, `-` and `_` only".to_owned())
        }
        Rule::Filled if text.trim().is_empty() => {
            Err("this is empty; write something or leave the key out".to_owned())
        }
        Rule::Template => template::check(text),
        _ => Ok(()),
    }
}

/// Names stand in paths, addresses and on command lines, so white space and what these use for themselves is refused.
pub(super) fn is_name(text: &str) -> bool {
    let reserved = |c: char| c.is_whitespace() || c.is_control() || "/\\?#%:,;&|<>()[]{}'\"`$*".contains(c);
    (1..=LONGEST_NAME).contains(&text.chars().count())
        && !text.contains(reserved)
        && !text.starts_with(['-', '.'])
}

fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        && text.bytes().any(|byte| byte != b'.')
}

impl Value for bool {
    fn form() -> Form {
        Form::Plain(TRUTH.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<bool> {
        at.value.get_ref().as_bool().or_else(|| reader.mismatch(at, TRUTH))
    }
}

impl Value for u32 {
    fn form() -> Form {
        Form::Plain(NUMBER.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<u32> {
        let Some(number) = at.value.get_ref().as_integer() else {
            return reader.mismatch(at, NUMBER);
        };
        match u32::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) => between(at.rule, value, |bound| bound.parse().ok())
                .map_or_else(|fault| reader.wrong(at, format!("{value} {fault}")), Some),
            Err(_) => {
                let (least, most) = match at.rule {
                    Rule::Between(least, most) => (least, most),
                    _ => ("0", "4294967295"),
                };
                reader.wrong(at, format!("{number} is out of range; write {least} to {most}"))
            }
        }
    }
}

impl Value for Duration {
    fn form() -> Form {
        Form::Plain(DURATION.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Duration> {
        let text = reader.text(at, DURATION)?;
        match duration(text) {
            Some(value) => between(at.rule, value, duration)
                .map_or_else(|fault| reader.wrong(at, format!("{text:?} {fault}")), Some),
            None => reader.wrong(at, format!("{} is no duration; write {DURATION}", shown(text))),
        }
    }
}

/// Whether `value` lies within the rule's bounds.
fn between<T: PartialOrd>(rule: Rule, value: T, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    let Rule::Between(least, most) = rule else {
        return Ok(value);
    };
    let too_small = read(least).is_some_and(|least| value < least);
    let too_large = read(most).is_some_and(|most| value > most);
    match (too_small, too_large) {
        (false, false) => Ok(value),
        (true, _) => Err(format!("is too small; write {least} to {most}")),
        (_, true) => Err(format!("is too large; write {least} to {most}")),
    }
}

impl Value for Url {
    fn form() -> Form {
        Form::Plain(ADDRESS.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Url> {
        let text = reader.text(at, ADDRESS)?;
        match address(text) {
            Ok(url) => Some(url),
            Err(fault) => reader.wrong(at, fault),
        }
    }
}

fn address(text: &str) -> Result<Url, String> {
    // What stands before an `@` or after a `?` may be a password.
    let named = if text.contains(['@', '?']) { "this".to_owned() } else { shown(text) };
    let url =
        Url::parse(text).map_err(|error| format!("{named} is no address ({error}); write {ADDRESS}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{named} is neither http nor https; write {ADDRESS}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a user name or password in an address would be seen in logs and pages; leave it out".to_owned()
        );
    }
    Ok(url)
}

impl Value for Tz {
    fn form() -> Form {
        Form::Plain(ZONE.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Tz> {
        let text = reader.text(at, ZONE)?;
        text.parse().ok().or_else(|| {
            let zones: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
            let hint = suggestion(text, &zones);
            let hint = if hint.starts_with("there are") { format!("write {ZONE}") } else { hint };
            reader.wrong(at, format!("{} is no time zone; {hint}", shown(text)))
        })
    }
}

impl Value for IpNet {
    fn form() -> Form {
        Form::Plain(NETWORK.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<IpNet> {
        let text = reader.text(at, NETWORK)?;
        text.parse().ok().or_else(|| {
            let cure = match text.parse::<std::net::IpAddr>() {
                Ok(address) => format!("write \"{}\" for this one address", IpNet::from(address)),
                Err(_) => format!("write {NETWORK}"),
            };
            reader.wrong(at, format!("{} is no network; {cure}", shown(text)))
        })
    }
}

impl Value for SocketAddr {
    fn form() -> Form {
        Form::Plain(SOCKET.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<SocketAddr> {
        let text = reader.text(at, SOCKET)?;
        text.parse().ok().or_else(|| {
            reader.wrong(at, format!("{} is no address to listen on; write {SOCKET}", shown(text)))
        })
    }
}

impl Value for QuietHours {
    fn form() -> Form {
        Form::Plain("a list of stretches such as [\"23:00-06:00\"]".to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<QuietHours> {
        let stretches = texts(reader, at, |text| text.parse::<Quiet>())?;
        QuietHours::new(stretches).map_or_else(|fault| reader.wrong(at, fault), Some)
    }
}

impl Value for When {
    fn form() -> Form {
        Form::Plain(WHEN.to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<When> {
        let keys = match at.value.get_ref() {
            DeValue::String(word) if word == "now" => return Some(When::Now),
            DeValue::String(word) => {
                return reader.wrong(at, format!("{} is no time to post; write {WHEN}", shown(word)));
            }
            DeValue::Table(keys) => keys,
            _ => return reader.mismatch(at, WHEN),
        };
        let mut pairs = keys.iter();
        let (Some((key, value)), None) = (pairs.next(), pairs.next()) else {
            return reader.wrong(at, format!("exactly one key is wanted; write {WHEN}"));
        };
        let inner = At { path: format!("{}.{}", at.path, clip(key.get_ref())), value, rule: Rule::Free };
        match key.get_ref().as_ref() {
            "cron" => {
                let line = reader.text(&inner, "a cron line such as \"0 7,12,18 * * *\"")?;
                line.parse::<Cron>()
                    .map_or_else(|fault| reader.wrong(&inner, fault), |cron| Some(When::Cron(cron)))
            }
            "slots" => {
                let times = texts(reader, &inner, time_of_day)?;
                Slots::new(times)
                    .map_or_else(|fault| reader.wrong(&inner, fault), |slots| Some(When::Slots(slots)))
            }
            _ => {
                reader.fault(key.span().start, &inner.path, format!("unknown key; write {WHEN}"));
                None
            }
        }
    }
}

/// A list of texts, each read by `read`; every bad one is a fault.
fn texts<T>(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let Some(items) = at.value.get_ref().as_array() else {
        return reader.mismatch(at, "a list");
    };
    let mut values = Vec::new();
    for (index, value) in items.iter().enumerate() {
        let item = At { path: format!("{}[{index}]", at.path), value, rule: at.rule };
        let value = reader.text(&item, TEXT).and_then(|text| match read(text) {
            Ok(value) => Some(value),
            Err(fault) => reader.wrong(&item, fault),
        });
        values.push(value);
    }
    values.into_iter().collect()
}

impl<T: Choice> Value for T {
    fn form() -> Form {
        let words: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect();
        Form::Plain(match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => words.concat(),
        })
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<T> {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        let wanted = format!("one of {}", words.join(", "));
        let text = reader.text(at, &wanted)?;
        match T::WORDS.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Some(*value),
            None => reader.wrong(at, format!("{} isn't known; {}", shown(text), suggestion(text, &words))),
        }
    }
}

impl<T: Value> Value for Option<T> {
    const HIDDEN: bool = T::HIDDEN;
    const OPTIONAL: bool = true;

    fn form() -> Form {
        T::form()
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Option<T>> {
        T::read(reader, at).map(Some)
    }

    fn absent(_: &mut Reader<'_>, _: &Table<'_>, _: &'static Key) -> Option<Option<T>> {
        Some(None)
    }
}

impl<T: Value> Value for Vec<T> {
    fn form() -> Form {
        match T::form() {
            Form::Table(parts) | Form::Tables(parts) => Form::Tables(parts),
            Form::Plain(words) => Form::Plain(format!("a list, each item {words}")),
        }
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Vec<T>> {
        let Some(items) = at.value.get_ref().as_array() else {
            let wanted = match T::form() {
                Form::Plain(words) => format!("a list in brackets, each item {words}"),
                _ => format!("tables headed [[{0}]], with two brackets", at.path),
            };
            return reader.mismatch(at, &wanted);
        };
        let mut values = Vec::new();
        for (index, value) in items.iter().enumerate() {
            let path = entry_path(&at.path, index, value.get_ref());
            values.push(T::read(reader, &At { path, value, rule: at.rule }));
        }
        values.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_thai_and_may_not_break_a_path() {
        for name in ["inn", "inn-facebook", "ข่าวด่วน", "a.b_c"] {
            assert!(is_name(name), "{name:?}");
        }
        for name in ["", "a b", "a/b", "-a", "..", "a\n", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_shown() {
        for text in
            ["https://user:hunter2@example.com/", "htps://user:hunter2@example.com/", "http://[hunter2@"]
        {
            let fault = address(text).unwrap_err();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }
}
