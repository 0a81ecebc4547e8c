//! Tidy: house rules that the compiler does not know.
//!
//! Every rule is a function from a file to the breaches in it, so that each can be shown to find a planted one.

use std::fs;
use std::path::Path;

/// Who stands on whom: a layer may use those above it in this list, never one beside it.
const LAYERS: &[&[&str]] = &[
    &["text", "clock"],
    &["model"],
    &["secret"],
    &["config", "telemetry", "metric"],
    &["http"],
    &["feed", "platform", "llm", "picture", "notify", "store"],
    &["pipeline"],
    &["web", "sandbox"],
    &["daemon"],
    &["cli"],
    &["main"],
];

/// Uses that the layers would permit and we don't: the sandbox must not share the wire types it is to test.
const WALLS: &[(&str, &str)] = &[("sandbox", "platform"), ("sandbox", "feed")];

/// What a layer's text must not hold: no I/O and no clock at the bottom.
const PURE: &[&str] = &["text", "model"];
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "tokio::",
    "reqwest",
    "sqlx",
    "Utc::now",
];

/// Longest file, in lines before its tests.
const LONGEST: usize = 500;
/// Files that are tables of data and may be longer.
const TABLES: &[&str] = &["text/table.rs"];

const CATCH_ALL_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "type", "types", "misc"];

type Rule = fn(&Source) -> Vec<String>;

const RULES: &[Rule] = &[
    imports_point_downwards,
    imports_stand_one_a_line,
    the_bottom_does_no_io,
    the_first_line_says_what_the_file_is,
    files_are_short,
    names_say_something,
    no_result_is_thrown_away,
    only_the_store_has_sql,
    the_audit_log_is_only_added_to,
    logs_have_no_message_field,
    no_test_is_ignored,
];

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    collect(&root.join("src"), &root.join("src"), &mut sources);
    assert!(sources.len() > 20, "found only {} files", sources.len());
    let breaches: Vec<String> =
        sources.iter().flat_map(|source| RULES.iter().flat_map(|rule| rule(source))).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// A file below `src`.
struct Source {
    /// Its path from `src`, such as `model/post.rs`.
    path: String,
    text: String,
}

impl Source {
    /// The folder or file at the top of `src` that it belongs to.
    fn layer(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The text before the tests.
    fn working_text(&self) -> &str {
        self.text.split("\n#[cfg(test)]").next().unwrap_or_default()
    }

    /// Numbered lines of working Rust, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let text = if self.is_rust() { self.working_text() } else { "" };
        text.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    fn breach(&self, line: usize, text: &str) -> String {
        format!("src/{}:{line}: {text}", self.path)
    }
}

fn imports_point_downwards(source: &Source) -> Vec<String> {
    let layer = source.layer();
    if layer == "lib" || !source.is_rust() {
        return Vec::new();
    }
    let Some(own) = rank(layer) else {
        return vec![source.breach(1, "belongs to no layer; add it to LAYERS in tests/it/tidy.rs")];
    };
    let mut breaches = Vec::new();
    // Tests and documentation too: a path is a path.
    for (index, line) in source.text.lines().enumerate() {
        let targets = line
            .split("crate::")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default());
        for target in targets.filter(|target| *target != layer) {
            let allowed = rank(target).is_some_and(|rank| rank < own) && !WALLS.contains(&(layer, target));
            if !allowed {
                breaches.push(source.breach(index + 1, &format!("{layer} may not use {target:?}")));
            }
        }
        if line.contains("super::super") {
            breaches
                .push(source.breach(index + 1, "super::super hides the layer; write the path from crate::"));
        }
    }
    breaches
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|line| line.contains(&layer))
}

fn imports_stand_one_a_line(source: &Source) -> Vec<String> {
    find(source, "use crate::{", "write one crate:: path a line, so that layers are seen")
}

fn the_bottom_does_no_io(source: &Source) -> Vec<String> {
    if !PURE.contains(&source.layer()) {
        return Vec::new();
    }
    let text = |word: &str| format!("{} does no I/O and reads no clock, so no {word}", source.layer());
    IMPURE.iter().flat_map(|word| find(source, word, &text(word))).collect()
}

fn the_first_line_says_what_the_file_is(source: &Source) -> Vec<String> {
    if !source.is_rust() {
        return Vec::new();
    }
    let first = source.text.lines().next().unwrap_or_default();
    let noun = first.strip_prefix("//! ").and_then(|line| line.split_once(": "));
    let fault = match columns(first) {
        _ if noun.is_none_or(|(noun, verb)| noun.is_empty() || verb.is_empty()) => {
            Some("opens without `//! Noun: verb phrase`".to_owned())
        }
        ..80 => None,
        columns => Some(format!("the first line is {columns} columns wide; stay below 80")),
    };
    fault.map(|fault| source.breach(1, &fault)).into_iter().collect()
}

/// How wide a terminal shows it: Thai vowels and tones above and below take no column.
fn columns(line: &str) -> usize {
    let takes_none = |c: &char| matches!(c, '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}');
    line.chars().filter(|c| !takes_none(c)).count()
}

fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.working_text().lines().count();
    if !source.is_rust() || lines <= LONGEST || TABLES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    vec![source.breach(LONGEST, &format!("has {lines} lines before its tests; {LONGEST} is the wall"))]
}

fn names_say_something(source: &Source) -> Vec<String> {
    let name = |part: &str| part.split('.').next().unwrap_or_default().to_owned();
    let bad = source.path.split('/').map(name).filter(|name| CATCH_ALL_NAMES.contains(&name.as_str()));
    bad.map(|name| source.breach(1, &format!("{name:?} says nothing; call it by what it holds"))).collect()
}

fn no_result_is_thrown_away(source: &Source) -> Vec<String> {
    find(source, "let _ =", "throws a result away; handle it, or name what is ignored and why")
}

fn only_the_store_has_sql(source: &Source) -> Vec<String> {
    if source.layer() == "store" {
        return Vec::new();
    }
    let words = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE "];
    let mut breaches: Vec<String> =
        words.iter().flat_map(|word| find(source, word, "only `store` has SQL")).collect();
    let code: String = source.code().map(|(_, line)| format!("{line} ")).collect();
    if statements(&code, "UPDATE ").any(|rest| rest.split_whitespace().take(4).any(|word| word == "SET")) {
        breaches.push(source.breach(1, "only `store` has SQL, and here is an UPDATE"));
    }
    breaches
}

/// The one file that takes entries out of the log, after they were archived.
const ARCHIVE: &str = "store/archive.rs";

fn the_audit_log_is_only_added_to(source: &Source) -> Vec<String> {
    let text = source.text.to_ascii_lowercase();
    let mut breaches = Vec::new();
    let may = |verb: &&str| source.path == ARCHIVE && *verb == "delete from";
    for verb in ["update", "delete from", "truncate", "drop table"].into_iter().filter(|verb| !may(verb)) {
        for rest in statements(&text, &format!("{verb} ")) {
            let table = rest.split(|c: char| !c.is_alphanumeric() && c != '_').find(|word| !word.is_empty());
            if matches!(table, Some("audit" | "audit_entry" | "audit_entries")) {
                breaches.push(source.breach(1, &format!("the audit log is only added to, never `{verb}`")));
            }
        }
    }
    breaches
}

/// What follows each `word`.
fn statements<'t>(text: &'t str, word: &str) -> impl Iterator<Item = &'t str> {
    text.match_indices(word).map(move |(at, word)| &text[at + word.len()..])
}

fn logs_have_no_message_field(source: &Source) -> Vec<String> {
    let macros = ["trace!(", "debug!(", "info!(", "warn!(", "error!(", "event!("];
    let code = source.working_text();
    let calls = macros.iter().flat_map(|name| statements(code, name)).map(arguments);
    let has_field = |call: &str| {
        statements(call, "message")
            .any(|rest| rest.trim_start().starts_with('=') && !rest.trim_start().starts_with("=="))
    };
    calls
        .filter(|call| source.is_rust() && has_field(call))
        .map(|_| source.breach(1, "a log line has its sentence as text, not as `message =`"))
        .collect()
}

/// A macro's arguments: up to the parenthesis that closes what was opened before.
fn arguments(rest: &str) -> &str {
    let mut depth = 1;
    let close = rest.find(|c: char| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    &rest[..close.unwrap_or(rest.len())]
}

fn no_test_is_ignored(source: &Source) -> Vec<String> {
    // In tests as well, so not by `find`.
    let ignored = source.text.contains("#[ignore");
    ignored.then(|| source.breach(1, "a test is ignored; mend it or take it out")).into_iter().collect()
}

/// Every line of code that holds `word`.
fn find(source: &Source, word: &str, text: &str) -> Vec<String> {
    source.code().filter(|(_, line)| line.contains(word)).map(|(line, _)| source.breach(line, text)).collect()
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(root, &path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            // What isn't text, such as pictures for pages, keeps no house rules.
            let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, text });
        }
    }
}

#[test]
fn every_rule_finds_a_planted_breach() {
    let breaches: &[(Rule, &str, &str)] = &[
        (imports_point_downwards, "model/post.rs", "use crate::store::post;"),
        (imports_point_downwards, "feed/rss.rs", "use crate::platform::x;"),
        (imports_point_downwards, "sandbox/x.rs", "use crate::platform::x;"),
        (imports_point_downwards, "model/post.rs", "/// See [`crate::web`].\nfn f() {}"),
        (imports_point_downwards, "model/post.rs", "use super::super::store;"),
        (imports_point_downwards, "kitchen/sink.rs", "fn f() {}"),
        (imports_stand_one_a_line, "web/home.rs", "use crate::{model, store};"),
        (the_bottom_does_no_io, "text/cut.rs", "use std::fs;"),
        (the_bottom_does_no_io, "model/post.rs", "let now = Utc::now();"),
        (the_first_line_says_what_the_file_is, "model/post.rs", "use std::fmt;"),
        (the_first_line_says_what_the_file_is, "model/post.rs", "//! Something about posts"),
        (
            the_first_line_says_what_the_file_is,
            "model/post.rs",
            "//! Post: a summary worded for one account, for people who have much time to read lines",
        ),
        (files_are_short, "model/post.rs", &"\n".repeat(501)),
        (names_say_something, "web/util.rs", ""),
        (names_say_something, "web/helpers/mod.rs", ""),
        (no_result_is_thrown_away, "web/home.rs", "let _ = send();"),
        (only_the_store_has_sql, "web/home.rs", "query(\"SELECT id FROM post\")"),
        (only_the_store_has_sql, "web/home.rs", "query(\"UPDATE post\n   SET state = 1\")"),
        (the_audit_log_is_only_added_to, "store/audit.rs", "\"UPDATE audit SET at = 0\""),
        (the_audit_log_is_only_added_to, "store/migrations/1.sql", "delete from audit;"),
        (the_audit_log_is_only_added_to, "store/archive.rs", "\"UPDATE audit SET at = 0\""),
        (logs_have_no_message_field, "web/home.rs", "info!(id = f(1), message = \"x\");"),
        (no_test_is_ignored, "web/home.rs", "#[cfg(test)]\n#[ignore = \"slow\"]"),
    ];
    for (rule, path, text) in breaches {
        let source = Source { path: (*path).to_owned(), text: (*text).to_owned() };
        assert!(!rule(&source).is_empty(), "{path}: {text}");
    }
}

#[test]
fn what_is_allowed_is_no_breach() {
    for (path, text) in [
        ("web/home.rs", "//! Home: shows what goes out next.\nuse crate::store::post;\n"),
        ("store/post.rs", "//! Post: keeps posts.\nconst Q: &str = \"SELECT id FROM post\";\n"),
        (
            "store/lease.rs",
            "//! Lease: keeps leases.\nconst Q: &str = \"UPDATE audit_lease SET node = $1\";\n",
        ),
        (
            "web/home.rs",
            "//! Home: shows.\n// SELECT is for the store.\nlet _unused = 1;\ninfo!(id, \"message\");\n",
        ),
        (
            "web/home.rs",
            "//! Home: shows.\nfn f() {}\n\n#[cfg(test)]\nmod tests { fn f() { let _ = g(); } }\n",
        ),
        ("text/date.rs", "//! Date: วันที่ในพุทธศักราชเขียนด้วยเลขไทยหรือเลขอารบิกตามสไตล์ของกองบรรณาธิการ\n"),
    ] {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        let breaches: Vec<String> = RULES.iter().flat_map(|rule| rule(&source)).collect();
        assert!(breaches.is_empty(), "{breaches:?}");
    }
}
