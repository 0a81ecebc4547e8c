//! Reader: walks a file along the schema and collects every fault.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use crate::text::quote::clip;
pub use crate::text::quote::quote;
pub use crate::text::quote::shown;

use crate::config::Config;
use crate::config::env::Env;
use crate::config::fault::Fault;
use crate::config::fault::Faults;
use crate::config::fault::position;
use crate::config::schema::Form;
use crate::config::schema::Key;
use crate::config::schema::Rule;
use crate::config::schema::Section;
use crate::config::schema::Value;
use crate::config::value::is_name;

/// What goes through the whole reading: the surroundings, and what was found so far.
pub struct Reader<'a> {
    /// Where variables and the machine's name come from.
    pub env: &'a dyn Env,
    file: &'a str,
    text: &'a str,
    /// The faults with their byte offsets.
    faults: Vec<(usize, Fault)>,
    settings: BTreeMap<String, String>,
}

/// A value in the file, and what it is called.
pub struct At<'v> {
    /// The path from the top of the file, such as `source.inn.poll`.
    pub path: String,
    /// The value and where it stands.
    pub value: &'v Spanned<DeValue<'v>>,
    /// What it must keep to.
    pub rule: Rule,
}

/// A table in the file, and what it is called.
pub struct Table<'v> {
    /// The path from the top of the file; empty for the file itself.
    pub path: String,
    /// The byte offset at which it begins.
    pub offset: usize,
    /// Its keys.
    pub keys: &'v DeTable<'v>,
}

impl<'v> Table<'v> {
    /// The path of one of its keys.
    pub fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The table under `key`, standing where this one stands.
    pub fn inner<'w>(&self, key: &Key, keys: &'w DeTable<'w>) -> Table<'w> {
        Table { path: self.path_to(key.name), offset: self.offset, keys }
    }

    /// The text under `name`, when there is one.
    pub fn text(&self, name: &str) -> Option<&'v str> {
        self.keys.get(name)?.get_ref().as_str()
    }

    /// The byte offset of the value under `name`, or of the table without it.
    pub fn offset_of(&self, name: &str) -> usize {
        self.keys.get(name).map_or(self.offset, |value| value.span().start)
    }
}

impl<'a> Reader<'a> {
    /// A reader of `text`, which faults call `file`.
    pub fn new(file: &'a str, text: &'a str, env: &'a dyn Env) -> Reader<'a> {
        Reader { env, file, text, faults: Vec::new(), settings: BTreeMap::new() }
    }

    /// What was read, by path, secrets as fingerprints; or the faults in the order of the file.
    pub fn finish(mut self) -> Result<BTreeMap<String, String>, Faults> {
        self.faults.sort_by_key(|(offset, _)| *offset);
        match self.faults.is_empty() {
            true => Ok(self.settings),
            false => Err(Faults(self.faults.into_iter().map(|(_, fault)| fault).collect())),
        }
    }

    /// Records a fault at a byte offset. `text` says what is wrong and what cures it.
    pub fn fault(&mut self, offset: usize, path: &str, text: impl Into<String>) {
        let (line, column) = position(self.text, offset);
        let key = path.to_owned();
        self.faults
            .push((offset, Fault { file: self.file.to_owned(), line, column, key, text: text.into() }));
    }

    /// Records a fault of the value `at`, and answers the `None` its reader needs.
    pub fn wrong<T>(&mut self, at: &At<'_>, text: impl Into<String>) -> Option<T> {
        self.fault(at.value.span().start, &at.path, text);
        None
    }

    /// Records that `at` has the wrong type. The value isn't shown: it could be a secret in the wrong place.
    pub fn mismatch<T>(&mut self, at: &At<'_>, wanted: &str) -> Option<T> {
        let found = match at.value.get_ref().type_str() {
            found @ ("integer" | "array") => format!("an {found}"),
            found => format!("a {found}"),
        };
        self.wrong(at, format!("expected {wanted}, found {found}"))
    }

    /// Records that a key without default is not there.
    pub fn missing(&mut self, table: &Table<'_>, key: &Key) {
        let wanted = match (key.form)() {
            Form::Plain(words) => words,
            Form::Table(_) | Form::Tables(_) => "a table".to_owned(),
        };
        let cure =
            key.sample.map_or(format!("give {wanted}"), |sample| format!("write {} = {sample}", key.name));
        self.fault(table.offset, &table.path_to(key.name), format!("is missing; {cure}"));
    }

    /// Notes what a hidden value is to be shown as.
    pub fn note(&mut self, path: &str, shown: String) {
        self.settings.insert(path.to_owned(), shown);
    }

    /// Reads one key of `table`.
    pub fn key<T: Value>(&mut self, table: &Table<'_>, key: &'static Key) -> Option<T> {
        let path = table.path_to(key.name);
        let rule = key.rule;
        match (table.keys.get(key.name), key.default) {
            (Some(value), _) => self.value(&At { path, value, rule }),
            (None, None) => T::absent(self, table, key),
            (None, Some(default)) => {
                #[expect(
                    clippy::expect_used,
                    reason = "a literal of our own; `every_default_is_legal` reads them all"
                )]
                let value = DeValue::parse(default).expect("a default is TOML");
                self.value(&At { path, value: &value, rule })
            }
        }
    }

    fn value<T: Value>(&mut self, at: &At<'_>) -> Option<T> {
        let value = T::read(self, at)?;
        if !T::HIDDEN && matches!(T::form(), Form::Plain(_)) {
            self.note(&at.path, render(at.value.get_ref()));
        }
        Some(value)
    }

    /// The text at `at`; otherwise it is a mismatch with what was `wanted`.
    pub fn text<'v>(&mut self, at: &At<'v>, wanted: &str) -> Option<&'v str> {
        at.value.get_ref().as_str().or_else(|| self.mismatch(at, wanted))
    }

    /// The table at `at`.
    pub fn table<'v>(&mut self, at: &At<'v>) -> Option<Table<'v>> {
        match at.value.get_ref().as_table() {
            Some(keys) => Some(Table { path: at.path.clone(), offset: at.value.span().start, keys }),
            None => self.mismatch(at, "a table"),
        }
    }

    /// Records every key of `table` that none of `known` has; answers whether there was none.
    pub fn refuse_unknown(&mut self, table: &Table<'_>, known: &[&'static [Key]]) -> bool {
        let names: Vec<&str> = known.iter().flat_map(|keys| keys.iter().map(|key| key.name)).collect();
        let mut all_known = true;
        for key in table.keys.keys().filter(|key| !names.contains(&key.get_ref().as_ref())) {
            all_known = false;
            let name = key.get_ref().as_ref();
            self.fault(key.span().start, &table.path_to(&clip(name)), unknown_key(name, &names));
        }
        all_known
    }
}

/// What to say of a key that isn't known here.
fn unknown_key(name: &str, known: &[&str]) -> String {
    let Some((nearest, distance)) = nearest(name, known) else {
        return "unknown key; no key is known here".to_owned();
    };
    if is_near(name, distance) {
        return format!("unknown key; did you mean `{nearest}`?");
    }
    if let Some(home) = home_of(name) {
        return format!("unknown key here; `{name}` belongs {home}");
    }
    format!("unknown key; the nearest known one is `{nearest}`, all known here: {}", known.join(", "))
}

/// The section that has a key of this name.
fn home_of(name: &str) -> Option<String> {
    Config::KEYS.iter().find_map(|section| match (section.form)() {
        Form::Plain(_) => (section.name == name).then(|| "at the top, before the first [section]".to_owned()),
        Form::Table(parts) | Form::Tables(parts) => {
            let part = parts.iter().find(|part| part.keys.iter().any(|key| key.name == name))?;
            let only = if part.only.is_empty() { String::new() } else { format!(" with {}", part.only) };
            Some(match (section.form)() {
                Form::Tables(_) => format!("under [[{}]]{only}", section.name),
                _ => format!("under [{}]{only}", section.name),
            })
        }
    })
}

/// The word of `known` that takes the fewest changes to get from `word`, and how many.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<(&'k str, usize)> {
    known
        .iter()
        .map(|candidate| (*candidate, distance(word, candidate)))
        .min_by_key(|(_, distance)| *distance)
}

/// A phrase naming the nearest of `known`, or all of them when none is near.
pub fn suggestion(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some((nearest, distance)) if is_near(word, distance) => format!("did you mean {}?", quote(nearest)),
        _ => format!("there are {}", known.join(", ")),
    }
}

/// Whether so many changes may be a slip: a third of the word, and never more than three.
fn is_near(word: &str, distance: usize) -> bool {
    distance <= (word.chars().count() / 3).clamp(1, 3)
}

/// Changes from `a` to `b`: a letter put in, left out, replaced, or swapped with its neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut fewest = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                fewest = fewest.min(rows[i - 2][j - 2] + 1);
            }
            row.push(fewest);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The path of an entry of a list: by its name, or by its place where it has no usable one.
pub fn entry_path(list: &str, index: usize, entry: &DeValue<'_>) -> String {
    let name = entry.get("name").and_then(|name| name.get_ref().as_str());
    match name.filter(|name| is_name(name)) {
        Some(name) => format!("{list}.{name}"),
        None => format!("{list}[{index}]"),
    }
}

/// The value in TOML, on one line, without comments.
pub fn render(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| render(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(keys) => {
            let pairs: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{} = {}", key.get_ref(), render(value.get_ref())))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted_as_people_make_them() {
        for (a, b, expected) in [
            ("pol", "poll", 1),
            ("teh", "the", 1),
            ("settel", "settle", 1),
            ("poll", "poll", 0),
            ("", "url", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn thai_is_shown_as_it_is_written() {
        assert_eq!(quote("ข่าว\t\"เด่น\""), "\"ข่าว\\t\\\"เด่น\\\"\"");
        assert_eq!(clip(&"ก".repeat(100)).chars().count(), 61);
    }

    #[test]
    fn a_key_in_the_wrong_section_is_sent_home() {
        let known = ["name", "sources"];
        assert_eq!(unknown_key("lease", &known), "unknown key here; `lease` belongs under [delivery]");
        assert!(unknown_key("timezone", &known).contains("at the top"));
        assert!(unknown_key("page_id", &known).contains("[[account]] with platform = \"facebook\""));
    }
}
