//! Quote: shows a text from outside on one line, so that people can read it.

/// The text between quotation marks, on one line. Unlike Rust's own escapes, these leave Thai vowels and tones alone.
pub fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if c.is_control() => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text quoted in a fault, cut to what fits on a line.
pub fn shown(text: &str) -> String {
    quote(&clip(text))
}

/// A text cut to what fits on a line.
pub fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thai_stays_readable_and_lines_stay_lines() {
        assert_eq!(quote("น้ำ \"ท่วม\"\n"), "\"น้ำ \\\"ท่วม\\\"\\n\"");
        assert_eq!(shown(&"ก".repeat(61)), format!("\"{}…\"", "ก".repeat(60)));
    }
}
