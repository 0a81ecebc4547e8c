//! Words: a LINE text message, which shows a person's words whole.
//!
//! Spec: <https://developers.line.biz/en/reference/messaging-api/#text-message>. LINE makes links of addresses in it.

use serde_json::json;

use crate::model::post::Payload;
use crate::platform::Unfit;
use crate::platform::within;
use crate::text::length;

/// Freezes a text message.
///
/// # Errors
/// When the text is empty or too long.
pub(crate) fn freeze_text(text: &str, link: Option<&str>, silent: bool) -> Result<Payload, Unfit> {
    if text.trim().is_empty() {
        return Err(Unfit::Empty { field: "text".into(), cure: "a LINE message needs words" });
    }
    within("text", length::line(text).length, length::LINE_MAX, "UTF-16 units")?;
    let mut body = json!({ "messages": [{ "type": "text", "text": text }] });
    if silent {
        body["notificationDisabled"] = true.into();
    }
    Ok(Payload::freeze(body.to_string(), text.to_owned(), link.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_up_to_its_limit_and_never_empty() {
        assert!(freeze_text(&"ก".repeat(5_000), None, false).is_ok());
        let error = freeze_text(&"ก".repeat(5_001), None, false).unwrap_err().to_string();
        assert!(error.contains("5001") && error.contains("5000"), "{error}");
        assert!(matches!(freeze_text(" \n", None, false), Err(Unfit::Empty { .. })));
    }

    #[test]
    fn at_night_it_makes_no_sound() {
        let payload = freeze_text("ข่าว", Some("https://a.th/1"), true).unwrap();
        assert!(payload.body.ends_with(r#""notificationDisabled":true}"#), "{}", payload.body);
        assert_eq!((payload.text.as_str(), payload.link.as_deref()), ("ข่าว", Some("https://a.th/1")));
    }
}
