//! Manual: writes the example, the reference and first configurations.
//!
//! All come from the schema: `config.toml.example`, `docs/configuration.md` and what `songkhao init` makes. Tests in
//! `tests/it/config.rs` keep the two files current; `UPDATE_EXAMPLE=1 cargo test config` rewrites them.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::Config;
use crate::config::schema::Form;
use crate::config::schema::Key;
use crate::config::schema::Part;
use crate::config::schema::Rule;
use crate::config::schema::Section;

/// The values that the example sets; keys of a table stand in the order of the schema whatever the order there.
const NEWSROOM: &str = include_str!("newsroom.toml");

const EXAMPLE_HEAD: &str = "\
## songkhao: a sensible newsroom. INN News goes to Facebook and X at once, and to LINE as a digest.
##
## `##` explains, `#` shows what holds when a key is left out. Copy this file to config.toml, change the names,
## addresses and ids, supply the secrets, and run `songkhao check`.
## Durations are 90s, 2m, 24h, 7d. Relative paths count from the working directory.
## A secret is { env = \"NAME\" }, { file = \"path\" } or { credential = \"name\" } (systemd), never the value itself.
";

const REFERENCE_HEAD: &str = "\
# Configuration

<!-- Written from the code: UPDATE_EXAMPLE=1 cargo test config -->

songkhao reads `./config.toml`, then `/etc/songkhao/config.toml`; `--config FILE` names another. `config.toml.example` is
a working newsroom to start from. `songkhao check` tells every fault at once, each as `FILE:LINE:COL: KEY: text`, where
KEY is the path of the key: `delivery.lease`, `source.inn.poll`, `account.inn-x.oauth1`. An entry without a usable name
is called by its place, counted from 0: `account[1].page_id`.

A key without a default must be given, unless it is optional. Unknown keys are refused. Durations are `90s`, `2m`, `24h`,
`7d`. Relative paths count from the working directory. A secret is `{ env = \"NAME\" }`, `{ file = \"path\" }` or
`{ credential = \"name\" }` (a systemd credential), never the value itself; a file with a secret must not be open to
everybody.

";

/// The text of `config.toml.example`.
pub fn example() -> String {
    #[expect(
        clippy::expect_used,
        reason = "a file of our own; the test that keeps the example current reads it"
    )]
    commented(EXAMPLE_HEAD, NEWSROOM).expect("newsroom.toml is TOML")
}

/// A whole configuration file from what it sets: every key explained where it comes first, what `settings` sets as
/// it stands there, the rest with its default as a comment.
///
/// # Errors
/// When `settings` isn't TOML.
pub fn commented(head: &str, settings: &str) -> Result<String, toml::de::Error> {
    let given = DeTable::parse(settings)?;
    let mut page = Page { settings, out: head.to_owned() };
    page.write(given.get_ref());
    Ok(page.out)
}

/// A configuration file in the making.
struct Page<'s> {
    /// What it sets.
    settings: &'s str,
    out: String,
}

impl Page<'_> {
    fn write(&mut self, settings: &DeTable<'_>) {
        for section in Config::KEYS {
            let given = settings.get(section.name);
            match (section.form)() {
                Form::Plain(_) => {
                    self.out.push('\n');
                    self.key(section, given, true);
                }
                Form::Table(parts) => {
                    self.out.push('\n');
                    explain(&mut self.out, parts[0].doc);
                    line(&mut self.out, &format!("[{}]", section.name));
                    self.table(parts, given.and_then(|it| it.get_ref().as_table()), &mut Vec::new());
                }
                Form::Tables(parts) => {
                    let mut explained = Vec::new();
                    for item in given.and_then(|it| it.get_ref().as_array()).into_iter().flatten() {
                        self.out.push('\n');
                        if explained.is_empty() {
                            explain(&mut self.out, parts[0].doc);
                        }
                        line(&mut self.out, &format!("[[{}]]", section.name));
                        self.table(parts, item.get_ref().as_table(), &mut explained);
                    }
                }
            }
        }
    }

    /// The keys of one table: those it sets, and, where `explained` doesn't hold them yet, all others with their meaning.
    fn table(
        &mut self,
        parts: &'static [Part],
        given: Option<&DeTable<'_>>,
        explained: &mut Vec<*const Key>,
    ) {
        let platform =
            given.and_then(|given| given.get("platform")).and_then(|platform| platform.get_ref().as_str());
        for part in parts {
            if !part.only.is_empty()
                && !platform.is_some_and(|platform| part.only.ends_with(&format!("\"{platform}\"")))
            {
                continue;
            }
            for key in part.keys {
                let first = !explained.contains(&std::ptr::from_ref(key));
                let value = given.and_then(|given| given.get(key.name));
                if first {
                    explained.push(key);
                }
                self.key(key, value, first);
            }
        }
    }

    /// One key: its meaning if it is the `first` of its kind, then its value, or its default as a comment.
    fn key(&mut self, key: &Key, given: Option<&Spanned<DeValue<'_>>>, first: bool) {
        let out = &mut self.out;
        if first {
            explain(out, key.doc);
        }
        match (given, key.default, key.sample) {
            (Some(value), _, _) => line(out, &format!("{} = {}", key.name, &self.settings[value.span()])),
            (None, Some(default), _) if first => line(out, &format!("# {} = {default}", key.name)),
            (None, None, Some(sample)) if first => {
                line(out, &format!("## {} = {}", key.name, one_line(sample)))
            }
            _ => {}
        }
    }
}

fn explain(out: &mut String, doc: &[&str]) {
    for words in doc {
        line(out, &format!("##{words}"));
    }
}

/// The text of `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = REFERENCE_HEAD.to_owned();
    out.push_str("## At the top of the file\n\n");
    let top: Vec<&Key> = Config::KEYS.iter().filter(|key| matches!((key.form)(), Form::Plain(_))).collect();
    reference_keys(&mut out, "", &top);
    for section in Config::KEYS {
        let (heading, parts) = match (section.form)() {
            Form::Plain(_) => continue,
            Form::Table(parts) => (format!("[{}]", section.name), parts),
            Form::Tables(parts) => (format!("[[{}]]", section.name), parts),
        };
        for part in parts {
            let only = if part.only.is_empty() { String::new() } else { format!(" with `{}`", part.only) };
            line(&mut out, &format!("## `{heading}`{only}\n\n{}\n", prose(part.doc)));
            reference_keys(&mut out, "", &part.keys.iter().collect::<Vec<_>>());
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn reference_keys(out: &mut String, prefix: &str, keys: &[&Key]) {
    if prefix.is_empty() {
        out.push_str("| key | default | value | meaning |\n| --- | --- | --- | --- |\n");
    }
    for key in keys {
        let name = format!("{prefix}{}", key.name);
        let default = match (key.default, (key.form)(), key.optional) {
            (Some(default), _, _) => format!("`{default}`"),
            (None, Form::Plain(_), false) => "must be given".to_owned(),
            _ => "optional".to_owned(),
        };
        let (value, inner) = match (key.form)() {
            Form::Plain(words) => (format!("{words}{}", limits(key.rule)), None),
            Form::Table(parts) | Form::Tables(parts) => ("a table".to_owned(), Some(parts)),
        };
        line(out, &format!("| `{name}` | {default} | {} | {} |", cell(&value), cell(&prose(key.doc))));
        for part in inner.into_iter().flatten() {
            reference_keys(out, &format!("{name}."), &part.keys.iter().collect::<Vec<_>>());
        }
    }
    if prefix.is_empty() {
        out.push('\n');
    }
}

/// What a rule asks for, to stand behind the words for a type.
fn limits(rule: Rule) -> String {
    match rule {
        Rule::Free => String::new(),
        Rule::Between(least, most) => format!("; {least} to {most}"),
        Rule::Name => "; a name: no spaces".to_owned(),
        Rule::Id => "; letters, digits, `.`, `-`, `_`".to_owned(),
        Rule::Filled => "; not empty".to_owned(),
        Rule::Template => "; a minijinja template".to_owned(),
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Doc lines as one paragraph.
fn prose(doc: &[&str]) -> String {
    doc.concat().trim().to_owned()
}

/// Text that may stand in a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A sample as the compiler keeps it, which may have broken it over lines.
fn one_line(sample: &str) -> String {
    sample.split_whitespace().collect::<Vec<_>>().join(" ")
}
