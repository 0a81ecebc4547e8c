//! Flex: draws LINE messages as HTML, from the JSON that was sent.
//!
//! The page's policy forbids style attributes, so sizes, weights and spaces become classes from fixed lists and
//! colours are told apart only as plain, muted or accented. All text is escaped here.

use serde_json::Value;

use crate::sandbox::line;
use crate::sandbox::newsroom::escape;
use crate::sandbox::page::local_picture;

/// Components deeper than this are left out.
const DEPTH: usize = 12;

/// Words that may become part of a class.
const WORDS: [&str; 24] = [
    "none",
    "xxs",
    "xs",
    "sm",
    "md",
    "lg",
    "xl",
    "xxl",
    "3xl",
    "4xl",
    "5xl",
    "full",
    "nano",
    "micro",
    "deca",
    "hecto",
    "kilo",
    "mega",
    "giga",
    "start",
    "end",
    "center",
    "primary",
    "secondary",
];

/// One message, drawn.
pub struct Drawn {
    /// What the notification and the chat list show.
    pub alt_text: String,
    /// The bubbles or the text, as safe HTML.
    pub html: String,
    /// Delivered without a sound.
    pub is_silent: bool,
}

/// Draws the messages of a request body.
pub fn draw(body: &str, base: &str) -> Vec<Drawn> {
    let Ok(body) = serde_json::from_str::<Value>(body) else { return Vec::new() };
    let is_silent = body["notificationDisabled"] == true;
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    messages
        .iter()
        .map(|message| Drawn {
            alt_text: message["altText"].as_str().unwrap_or_default().to_owned(),
            html: draw_message(message, base),
            is_silent,
        })
        .collect()
}

fn draw_message(message: &Value, base: &str) -> String {
    match message["type"].as_str().unwrap_or_default() {
        "flex" if message["contents"]["type"] == "carousel" => {
            let bubbles = message["contents"]["contents"].as_array().cloned().unwrap_or_default();
            let bubbles: String = bubbles.iter().map(|bubble| draw_bubble(bubble, base)).collect();
            format!(
                "<div class=\"carousel\" tabindex=\"0\" role=\"group\" aria-label=\"แถบเลื่อน\">{bubbles}</div>"
            )
        }
        "flex" => draw_bubble(&message["contents"], base),
        _ => format!("<p class=\"balloon\">{}</p>", escape(&line::view_text(message))),
    }
}

fn draw_bubble(bubble: &Value, base: &str) -> String {
    let mut out = format!("<div class=\"bubble {}\">", class("bubble", &bubble["size"], "mega"));
    for block in ["header", "hero", "body", "footer"] {
        if let Some(inner) = bubble.get(block) {
            let separator = bubble["styles"][block]["separator"] == true;
            let lined = if separator { " lined" } else { "" };
            out.push_str(&format!("<div class=\"block {block}{lined}\">"));
            draw_component(inner, base, DEPTH, &mut out);
            out.push_str("</div>");
        }
    }
    out.push_str("</div>");
    out
}

fn draw_component(component: &Value, base: &str, depth: usize, out: &mut String) {
    if depth == 0 {
        return;
    }
    let margin = class("margin", &component["margin"], "");
    match component["type"].as_str().unwrap_or_default() {
        "box" => {
            let layout = match component["layout"].as_str() {
                Some("horizontal") => "row",
                Some("baseline") => "row baseline",
                _ => "stack",
            };
            let space = class("space", &component["spacing"], "none");
            let padding = class("padding", &component["paddingAll"], "");
            out.push_str(&format!("<div class=\"{layout} {space} {padding} {margin}\">"));
            for inner in component["contents"].as_array().into_iter().flatten() {
                draw_component(inner, base, depth - 1, out);
            }
            out.push_str("</div>");
        }
        "text" => out.push_str(&draw_text(component, &margin)),
        "image" => out.push_str(&draw_image(component, base, &margin)),
        "button" => {
            let style = class("button", &component["style"], "link");
            out.push_str(&link(&component["action"], &format!("button {style} {margin}"), None));
        }
        "separator" => out.push_str(&format!("<hr class=\"{margin}\">")),
        "icon" => out.push_str("<span class=\"icon\" aria-hidden=\"true\">●</span>"),
        _ => {}
    }
}

fn draw_text(text: &Value, margin: &str) -> String {
    let mut classes = vec![class("size", &text["size"], "md"), class("align", &text["align"], "start")];
    classes.push(margin.to_owned());
    classes.push(tone(text["color"].as_str()).to_owned());
    if text["weight"] == "bold" {
        classes.push("bold".to_owned());
    }
    if text["wrap"] != true {
        classes.push("one-line".to_owned());
    } else if let Some(lines @ 1..=6) = text["maxLines"].as_u64() {
        classes.push(format!("clamp lines-{lines}"));
    }
    if text["flex"] == 0 {
        classes.push("tight".to_owned());
    }
    let words = match text["contents"].as_array() {
        Some(spans) => spans.iter().map(|span| span["text"].as_str().unwrap_or_default()).collect(),
        None => text["text"].as_str().unwrap_or_default().to_owned(),
    };
    format!("<p class=\"text {}\">{}</p>", classes.join(" "), escape(&words))
}

fn draw_image(image: &Value, base: &str, margin: &str) -> String {
    let url = image["url"].as_str().unwrap_or_default();
    let ratio = match image["aspectRatio"].as_str() {
        Some("20:13") => "ratio-20-13",
        Some("16:9") => "ratio-16-9",
        Some("1.91:1" | "191:100" | "40:21" | "800:420") => "ratio-191-100",
        Some("4:3") => "ratio-4-3",
        _ => "ratio-1-1",
    };
    let inner = match local_picture(url, base) {
        Some(path) => {
            format!("<img class=\"{ratio} {margin}\" src=\"{}\" alt=\"\" loading=\"lazy\">", escape(&path))
        }
        None => {
            let host = url::Url::parse(url).ok().and_then(|url| Some(url.host_str()?.to_owned()));
            let host = escape(&host.unwrap_or_default());
            format!("<div class=\"blank {ratio} {margin}\"><span>รูปภาพจาก {host}</span></div>")
        }
    };
    if image["action"]["type"] == "uri" { link(&image["action"], "picture", Some(&inner)) } else { inner }
}

/// An action as a link; what is no web link stands as plain text.
fn link(action: &Value, classes: &str, inner: Option<&str>) -> String {
    let label = escape(action["label"].as_str().unwrap_or_default());
    let inner = inner.unwrap_or(&label);
    match action["uri"].as_str() {
        Some(uri) if uri.starts_with("https://") || uri.starts_with("http://") => {
            format!(
                "<a class=\"{classes}\" href=\"{}\" rel=\"noopener noreferrer nofollow\">{inner}</a>",
                escape(uri)
            )
        }
        _ => format!("<span class=\"{classes}\">{inner}</span>"),
    }
}

/// `prefix-word` when the word is a known one.
fn class(prefix: &str, value: &Value, fallback: &str) -> String {
    let word = value.as_str().filter(|word| WORDS.contains(word)).unwrap_or(fallback);
    if word.is_empty() { String::new() } else { format!("{prefix}-{word}") }
}

/// A colour's part: grey of middle lightness is muted, a saturated one an accent.
fn tone(colour: Option<&str>) -> &'static str {
    let digits = colour.and_then(|colour| colour.strip_prefix('#')).and_then(crate::model::hash::unhex);
    let Some([red, green, blue, ..]) = digits.as_deref() else { return "plain" };
    let (most, least) = (*red.max(green).max(blue), *red.min(green).min(blue));
    if most - least > 60 {
        "accent"
    } else if (0x55..0xe0).contains(&most) {
        "muted"
    } else {
        "plain"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whatever_a_message_says_stays_text() {
        let evil = "<script>alert(1)</script>\" onclick=\"x";
        let body = json!({"messages": [{"type": "flex", "altText": evil, "contents": {"type": "bubble", "size": evil,
        "hero": {"type": "image", "url": format!("https://{evil}"), "aspectRatio": evil},
        "body": {"type": "box", "layout": evil, "spacing": evil, "contents": [
            {"type": "text", "text": evil, "size": evil, "color": evil, "margin": evil},
            {"type": "button", "style": evil, "action": {"type": "uri", "label": evil, "uri": "javascript:alert(1)"}},
            {"type": "button", "action": {"type": "uri", "label": evil, "uri": format!("https://a.example/{evil}")}},
        ]}}}]});
        let html = &draw(&body.to_string(), "http://127.0.0.1:9")[0].html;
        assert!(
            !html.contains("<script") && !html.contains("javascript:") && !html.contains("\" onclick"),
            "{html}"
        );
        assert!(html.contains("&lt;script&gt;"));
    }

    #[test]
    fn colours_are_told_apart_by_their_part() {
        assert_eq!(tone(Some("#888888")), "muted");
        assert_eq!(tone(Some("#06C755")), "accent");
        assert_eq!(tone(Some("#111111")), "plain");
        assert_eq!(tone(Some("red")), "plain");
        assert_eq!(tone(None), "plain");
    }
}
