//! Fault: says what is wrong in a configuration, where, and how to cure it.

use std::fmt;
use std::ops::Range;

/// One fault, printed as `FILE:LINE:COL: KEY: text`.
///
/// The key is the path from the top of the file: `delivery.lease`, `source.inn.poll`, `account.inn-x.oauth1`. An entry
/// without a usable name is called by its place, counted from 0: `account[1].page_id`. A fault of the file as a whole
/// has the key `file`, one of its TOML the key `syntax`. Never does the text hold the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file as the operator named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, counted in characters.
    pub column: usize,
    /// The key the fault is about.
    pub key: String,
    /// What is wrong and what cures it.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { file, line, column, key, text } = self;
        write!(f, "{file}:{line}:{column}: {key}: {text}")
    }
}

/// All faults of a configuration, in the order of the file; one a line when printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Fault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Faults {}

impl Faults {
    /// The one fault of a file that can't be read at all.
    pub(super) fn unreadable(file: &str, text: String) -> Faults {
        Faults(vec![Fault { file: file.to_owned(), line: 1, column: 1, key: "file".to_owned(), text }])
    }

    /// The faults of text that isn't TOML, the first of each line; the rest of a line is usually an echo of it.
    ///
    /// The library's message describes the grammar only; its display, which quotes the line and any secret in it, is
    /// not used.
    pub(super) fn syntax(file: &str, text: &str, errors: &[toml::de::Error]) -> Faults {
        let fault = |error: &toml::de::Error| {
            let (line, column) = position(text, error.span().unwrap_or(Range { start: 0, end: 0 }).start);
            let text = match error.message().replace('\n', ", ") {
                message if message == "duplicate key" => {
                    "this key is given twice; keep one of them".to_owned()
                }
                message => format!("is no TOML: {message}"),
            };
            Fault { file: file.to_owned(), line, column, key: "syntax".to_owned(), text }
        };
        let mut faults: Vec<Fault> = errors.iter().map(fault).collect();
        faults.sort_by_key(|fault| (fault.line, fault.column));
        faults.dedup_by_key(|fault| fault.line);
        Faults(faults)
    }
}

/// Line and column, both from 1, of the character at byte `offset`.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        assert_eq!(position("ab\nข่าว = x", "ab\nข่าว = ".len()), (2, 8));
        assert_eq!(position("", 5), (1, 1));
        assert_eq!(position("a\n", 2), (2, 1));
    }
}
