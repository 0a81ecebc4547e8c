//! Check: judges what no single key can tell, such as names that lead nowhere.
//!
//! It looks at the parsed file, not at what was read from it, so that a fault inside a source doesn't also make the
//! routes that name it wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::reader::Reader;
use crate::config::reader::Table;
use crate::config::reader::entry_path;
use crate::config::reader::shown;
use crate::config::reader::suggestion;
use crate::config::schema::Section;
use crate::config::service::Delivery;
use crate::model::schedule::duration;

/// Records every fault between keys of `root`.
pub(super) fn check(reader: &mut Reader<'_>, root: &DeTable<'_>) {
    let sources = names(reader, root, "source");
    let accounts = names(reader, root, "account");
    names(reader, root, "route");
    for (path, route) in tables(root, "route") {
        let table = Table { path, offset: 0, keys: route };
        references(reader, &table, "sources", "source", &sources);
        references(reader, &table, "accounts", "account", &accounts);
        one_x_account(reader, &table, &accounts);
        digest_has_a_schedule(reader, &table);
        no_digest_on_x(reader, &table, &accounts);
    }
    delivery(reader, root);
}

/// The tables under `section`, with their paths.
fn tables<'v>(root: &'v DeTable<'v>, section: &str) -> Vec<(String, &'v DeTable<'v>)> {
    let items = root.get(section).and_then(|items| items.get_ref().as_array());
    let tables = items.into_iter().flat_map(|items| items.iter().enumerate());
    tables
        .filter_map(|(index, item)| {
            let table = item.get_ref().as_table()?;
            Some((entry_path(section, index, item.get_ref()), table))
        })
        .collect()
}

/// The named tables under `section`; a name that comes again is a fault.
fn names<'v>(
    reader: &mut Reader<'_>,
    root: &'v DeTable<'v>,
    section: &str,
) -> BTreeMap<&'v str, &'v DeTable<'v>> {
    let mut known = BTreeMap::new();
    for (path, table) in tables(root, section) {
        let Some((name, span)) = table.get("name").and_then(|it| Some((it.get_ref().as_str()?, it.span())))
        else {
            continue;
        };
        if known.insert(name, table).is_some() {
            let text = format!("another {section} is called {} already; names must differ", shown(name));
            reader.fault(span.start, &format!("{path}.name"), text);
        }
    }
    known
}

/// Every item of the list `key` must be one of `known`, and stand there once.
fn references(
    reader: &mut Reader<'_>,
    route: &Table<'_>,
    key: &str,
    section: &str,
    known: &BTreeMap<&str, &DeTable<'_>>,
) {
    let Some(items) = list(route, key) else { return };
    if items.is_empty() {
        let text = format!("names no {section}, so the route does nothing; name one, or take the route out");
        reader.fault(route.offset_of(key), &route.path_to(key), text);
    }
    let mut seen = Vec::new();
    for (index, (name, offset)) in items.into_iter().enumerate() {
        let path = format!("{}[{index}]", route.path_to(key));
        if !known.contains_key(name) {
            let names: Vec<&str> = known.keys().copied().collect();
            let hint = match names.is_empty() {
                true => format!("add a [[{section}]] of that name"),
                false => suggestion(name, &names),
            };
            reader.fault(offset, &path, format!("no {section} is called {}; {hint}", shown(name)));
        } else if seen.contains(&name) {
            reader.fault(offset, &path, format!("{} stands here twice; take one out", shown(name)));
        }
        seen.push(name);
    }
}

/// X forbids the same post on several profiles: one article goes to at most one of them.
fn one_x_account(reader: &mut Reader<'_>, route: &Table<'_>, accounts: &BTreeMap<&str, &DeTable<'_>>) {
    let text_of = |name: &str, key: &str| accounts.get(name)?.get(key)?.get_ref().as_str();
    let on_x = |name: &str| text_of(name, "platform") == Some("x") && text_of(name, "mode") != Some("shadow");
    let items = list(route, "accounts").unwrap_or_default();
    let mut on_x = items.into_iter().filter(|(name, _)| on_x(name));
    let Some((first, _)) = on_x.next() else { return };
    if let Some((second, offset)) = on_x.find(|(name, _)| *name != first) {
        let (first, second) = (shown(first), shown(second));
        let text = format!(
            "{first} and {second} are both on X, which suspends accounts for the same post on several profiles; \
             give {second} a route with articles of its own"
        );
        reader.fault(offset, &route.path_to("accounts"), text);
    }
}

/// A post on X holds one article: its text has room for one link.
fn no_digest_on_x(reader: &mut Reader<'_>, route: &Table<'_>, accounts: &BTreeMap<&str, &DeTable<'_>>) {
    let digest = route.keys.get("digest").and_then(|size| size.get_ref().as_integer());
    if digest.is_none_or(|size| size.as_str() == "0") {
        return;
    }
    let names = route.keys.get("accounts").and_then(|names| names.get_ref().as_array());
    for name in names.into_iter().flatten() {
        let Some(account) = name.get_ref().as_str() else { continue };
        let platform = accounts.get(account).and_then(|account| account.get("platform"));
        if platform.and_then(|platform| platform.get_ref().as_str()) == Some("x") {
            let text = format!(
                "{account} is on X, where a post has room for one article; leave it out of the digest"
            );
            reader.fault(name.span().start, &route.path_to("accounts"), text);
        }
    }
}

/// A digest gathers until its time comes, and "now" never does.
fn digest_has_a_schedule(reader: &mut Reader<'_>, route: &Table<'_>) {
    let size =
        route.keys.get("digest").and_then(|size| size.get_ref().as_integer()).map(|size| size.as_str());
    let now = route.text("when").map_or(!route.keys.contains_key("when"), |when| when == "now");
    if now && size.is_some_and(|size| !size.trim_matches('0').is_empty()) {
        let text = "a digest needs times to gather for; give `when` a cron line or slots";
        reader.fault(route.offset_of("digest"), &route.path_to("digest"), text);
    }
}

/// Durations of `[delivery]` that must not overtake each other.
fn delivery(reader: &mut Reader<'_>, root: &DeTable<'_>) {
    let empty = DeTable::new();
    let section = root.get("delivery");
    let keys = section.and_then(|section| section.get_ref().as_table()).unwrap_or(&empty);
    let table = Table { path: "delivery".to_owned(), offset: section.map_or(0, |it| it.span().start), keys };
    for (low, high, strictly, reason) in [
        ("timeout", "lease", true, "another node would take a request that still runs for dead"),
        ("connect_timeout", "timeout", false, "connecting is a part of the request"),
        ("retry_base", "retry_cap", false, "the first pause would be longer than the longest"),
    ] {
        let (Some(shorter), Some(longer)) = (in_force(&table, low), in_force(&table, high)) else { continue };
        if shorter.1 > longer.1 || (strictly && shorter.1 == longer.1) {
            let relation = if strictly { "longer than" } else { "at least" };
            let given = if keys.contains_key(high) { high } else { low };
            let text =
                format!("`{high}` ({}) must be {relation} `{low}` ({}), or {reason}", longer.0, shorter.0);
            reader.fault(table.offset_of(given), &table.path_to(given), text);
        }
    }
}

/// The duration under `name`, given or default, as text and as read; `None` when it is no duration.
fn in_force(table: &Table<'_>, name: &str) -> Option<(String, Duration)> {
    let default = Delivery::KEYS.iter().find(|key| key.name == name).and_then(|key| key.default);
    let text = if table.keys.contains_key(name) { table.text(name)? } else { default?.trim_matches('"') };
    Some((text.to_owned(), duration(text)?))
}

/// The texts of a list with their offsets; what isn't text was told already.
fn list<'v>(table: &Table<'v>, key: &str) -> Option<Vec<(&'v str, usize)>> {
    let items = table.keys.get(key)?.get_ref().as_array()?;
    let text = |item: &'v Spanned<DeValue<'v>>| Some((item.get_ref().as_str()?, item.span().start));
    Some(items.iter().filter_map(text).collect())
}
