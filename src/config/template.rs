//! Template: words the posts of a route, per platform.
//!
//! Only the syntax is checked here; `pipeline` compiles and fills the templates.

use crate::config::schema::Rule;
use crate::config::schema::section;

section! {
    /// How a route words its posts, each text a minijinja template; what is left out keeps our own wording.
    pub struct Templates {
        /// The text of a Facebook post.
        facebook: Option<String> => "{{ headline }}\n\n{{ summary }}" where Rule::Template,
        /// The text of a post on X.
        x: Option<String> => "{{ headline }} {{ link }}" where Rule::Template,
        /// The texts of a LINE card.
        line: LineTemplates,
    }
}

section! {
    /// The texts of a LINE card.
    pub struct LineTemplates {
        /// What notifications and the list of chats show.
        alt_text: Option<String> => "{{ headline }}" where Rule::Template,
        /// The headline.
        headline: Option<String> => "{{ headline }}" where Rule::Template,
        /// The summary under it.
        summary: Option<String> => "{{ summary }}" where Rule::Template,
        /// The words on the button.
        button: Option<String> => "อ่านต่อ" where Rule::Template,
    }
}

/// Whether `source` is a template that minijinja can compile; the error has its line and column.
pub(super) fn check(source: &str) -> Result<(), String> {
    let environment = minijinja::Environment::empty();
    let Err(error) = environment.template_from_str(source) else {
        return Ok(());
    };
    let reason = error.detail().unwrap_or("bad syntax");
    let line = error.line().unwrap_or(1);
    // Inside the template, not the file: in a TOML string, escapes shift columns.
    let column = error.range().map_or(1, |range| crate::config::fault::position(source, range.start).1);
    Err(format!("the template is wrong at its line {line}, column {column}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_template_is_refused_with_line_and_column() {
        let fault = check("ข่าว\n{{ headline").unwrap_err();
        assert!(fault.contains("line 2, column"), "{fault}");
        assert!(check("{% if x %}").is_err());
        assert!(check("{{ headline | cut(100) | upper }}").is_ok());
        assert!(check("{{ headline }}{% if link %} {{ link }}{% endif %}").is_ok());
    }
}
