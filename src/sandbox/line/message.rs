//! Message: tells whether LINE would take it, and what a reader sees.
//!
//! Two layers refuse in two shapes: the request layer says "The request body has N error(s)" and names paths like
//! `messages[0].text`; the Flex layer says that message N is invalid and names paths like `/hero/url`.

use serde_json::Value;
use serde_json::json;

use crate::sandbox::call::Answer;
use crate::sandbox::line::flex;

/// Messages in one request.
const MESSAGES: std::ops::RangeInclusive<usize> = 1..=5;

/// The longest texts, in UTF-16 units (platforms/line.md, section 5).
const TEXT_LIMIT: usize = 5_000;
const ALT_TEXT_LIMIT: usize = 1_500;

/// The longest address of a picture, in characters.
const URL_LIMIT: usize = 2_000;

const TYPES: [&str; 12] = [
    "text", "textV2", "image", "video", "audio", "location", "sticker", "template", "imagemap", "flex",
    "coupon", "emoji",
];

/// Checks the `messages` of a request body.
///
/// # Errors
/// LINE's 400.
pub fn check(body: &Value) -> Result<(), Answer> {
    let messages = match body.get("messages").and_then(Value::as_array) {
        Some(messages) if MESSAGES.contains(&messages.len()) => messages,
        Some(_) => return Err(refused(&[("messages", "Size must be between 1 and 5".to_owned())])),
        None => return Err(refused(&[("messages", "May not be empty".to_owned())])),
    };
    if body.get("notificationDisabled").is_some_and(|value| !value.is_boolean()) {
        return Err(refused(&[("notificationDisabled", "Must be a boolean".to_owned())]));
    }
    let mut faults = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        check_message(message, &format!("messages[{at}]"), &mut faults);
    }
    if !faults.is_empty() {
        let faults: Vec<(&str, String)> =
            faults.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
        return Err(refused(&faults));
    }
    for (at, message) in messages.iter().enumerate() {
        if message["type"] == "flex" {
            flex::check(&message["contents"]).map_err(|fault| invalid_message(at, &fault))?;
        }
    }
    Ok(())
}

/// The request layer's 400.
pub fn refused(faults: &[(&str, String)]) -> Answer {
    let details: Vec<Value> =
        faults.iter().map(|(path, text)| json!({ "message": text, "property": path })).collect();
    let message = format!("The request body has {} error(s)", faults.len());
    Answer::json(400, &json!({ "message": message, "details": details }))
}

/// Every address a reader can follow from any part of a message.
pub fn collect_links(value: &Value, links: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_links(item, links)),
        Value::Object(fields) => {
            if fields.get("type").and_then(Value::as_str) == Some("uri")
                && let Some(uri) = fields.get("uri").and_then(Value::as_str)
                && !links.iter().any(|known| known == uri)
            {
                links.push(uri.to_owned());
            }
            fields.values().for_each(|item| collect_links(item, links));
        }
        _ => {}
    }
}

/// The texts of a message, one a line, in reading order.
pub fn view_text(message: &Value) -> String {
    let mut lines = Vec::new();
    collect_text(message, &mut lines);
    lines.join("\n")
}

fn collect_text(value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_text(item, lines)),
        Value::Object(fields) => {
            if fields.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("text"))
                && let Some(text) = fields.get("text").and_then(Value::as_str)
            {
                lines.push(text.to_owned());
            }
            // A bubble reads from top to bottom, whatever order its keys were written in.
            for block in ["header", "hero", "body", "footer", "contents"] {
                if let Some(inner) = fields.get(block) {
                    collect_text(inner, lines);
                }
            }
        }
        _ => {}
    }
}

fn check_message(message: &Value, path: &str, faults: &mut Vec<(String, String)>) {
    let kind = message.get("type").and_then(Value::as_str).unwrap_or_default();
    if !TYPES.contains(&kind) {
        let text = format!("Must be one of the following values: [{}]", TYPES.join(", "));
        faults.push((format!("{path}.type"), text));
        return;
    }
    match kind {
        "text" | "textV2" => check_text(message, path, "text", TEXT_LIMIT, faults),
        "flex" => {
            check_text(message, path, "altText", ALT_TEXT_LIMIT, faults);
            if !message.get("contents").is_some_and(Value::is_object) {
                faults.push((format!("{path}.contents"), "May not be empty".to_owned()));
            }
        }
        "image" | "video" => {
            for name in ["originalContentUrl", "previewImageUrl"] {
                check_url(message, path, name, faults);
            }
        }
        _ => {}
    }
}

fn check_text(message: &Value, path: &str, name: &str, limit: usize, faults: &mut Vec<(String, String)>) {
    let text = message.get(name).and_then(Value::as_str).unwrap_or_default();
    let length = text.encode_utf16().count();
    if text.trim().is_empty() {
        faults.push((format!("{path}.{name}"), "May not be empty".to_owned()));
    } else if length > limit {
        faults.push((format!("{path}.{name}"), format!("Length must be between 0 and {limit}")));
    }
}

fn check_url(message: &Value, path: &str, name: &str, faults: &mut Vec<(String, String)>) {
    let url = message.get(name).and_then(Value::as_str).unwrap_or_default();
    if url.is_empty() {
        faults.push((format!("{path}.{name}"), "May not be empty".to_owned()));
    } else if url.chars().count() > URL_LIMIT {
        faults.push((format!("{path}.{name}"), format!("Length must be between 0 and {URL_LIMIT}")));
    } else if !url.starts_with("https://") || !url.is_ascii() {
        faults.push((format!("{path}.{name}"), "Must be a valid HTTPS URL".to_owned()));
    }
}

fn invalid_message(at: usize, fault: &flex::Fault) -> Answer {
    // The blank before "in" is a no-break space in LINE's own answer (line/line-bot-sdk-python#314).
    let message = format!("A message (messages[{at}])\u{a0}in the request body is invalid");
    let details = json!([{ "message": fault.message, "property": fault.path }]);
    Answer::json(400, &json!({ "message": message, "details": details }))
}
