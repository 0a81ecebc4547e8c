//! Flex: whether LINE would take a bubble or carousel.
//!
//! Spec: <https://developers.line.biz/en/reference/messaging-api/#flex-message>. Unlike the rest of the API, Flex
//! refuses properties it doesn't know ("unknown field", line/line-bot-sdk-python#111).

use serde_json::Map;
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

use crate::sandbox::line::schema;
use crate::sandbox::line::schema::Property;
use crate::sandbox::line::schema::Rule;

/// The largest JSON of a bubble and of a carousel, in bytes.
const BUBBLE_BYTES: usize = 30 << 10;
const CAROUSEL_BYTES: usize = 50 << 10;

/// Bubbles in a carousel.
const BUBBLES: std::ops::RangeInclusive<usize> = 1..=12;

/// The longest addresses, in characters, and the longest label, in grapheme clusters.
const URI_LIMIT: usize = 1_000;
const PICTURE_LIMIT: usize = 2_000;
const LABEL_LIMIT: usize = 40;

const ACTIONS: [&str; 9] = [
    "uri",
    "message",
    "postback",
    "datetimepicker",
    "camera",
    "cameraRoll",
    "location",
    "clipboard",
    "richmenuswitch",
];

/// What is wrong with a Flex message, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A path like `/body/contents/0/text`.
    pub path: String,
    /// LINE's words.
    pub message: &'static str,
}

type Checked = Result<(), Fault>;

/// Checks a Flex container.
///
/// # Errors
/// The first fault; LINE too names one at a time.
pub fn check(container: &Value) -> Checked {
    match kind(container) {
        "bubble" => bubble(container, ""),
        "carousel" => carousel(container),
        _ => fault("/type", "invalid property"),
    }
}

fn carousel(carousel: &Value) -> Checked {
    if let Some(unknown) =
        object(carousel, "")?.keys().find(|key| !["type", "contents"].contains(&key.as_str()))
    {
        return fault(&format!("/{unknown}"), "unknown field");
    }
    let bubbles = match carousel.get("contents").and_then(Value::as_array) {
        Some(bubbles) if BUBBLES.contains(&bubbles.len()) => bubbles,
        _ => return fault("/contents", "invalid property"),
    };
    for (at, each) in bubbles.iter().enumerate() {
        let path = format!("/contents/{at}");
        if kind(each) != "bubble" {
            return fault(&format!("{path}/type"), "invalid property");
        }
        if each.get("size").or(bubbles[0].get("size")) != bubbles[0].get("size")
            || each.get("size").is_none() != bubbles[0].get("size").is_none()
        {
            return fault(&format!("{path}/size"), "invalid property");
        }
        if each.get("hero").is_some_and(|hero| kind(hero) == "video") {
            return fault(&format!("{path}/hero"), "invalid property");
        }
        bubble(each, &path)?;
    }
    within(carousel, CAROUSEL_BYTES, "")
}

fn bubble(bubble: &Value, path: &str) -> Checked {
    component(bubble, path, &["bubble"])?;
    within(bubble, BUBBLE_BYTES, path)
}

fn within(value: &Value, limit: usize, path: &str) -> Checked {
    if value.to_string().len() > limit {
        let path = if path.is_empty() { "/" } else { path };
        return fault(path, "size of the container is over the limit");
    }
    Ok(())
}

fn component(value: &Value, path: &str, kinds: &[&str]) -> Checked {
    let fields = object(value, path)?;
    let kind = kind(value);
    let Some(properties) = schema::properties(kind).filter(|_| kinds.contains(&kind)) else {
        return fault(path, "invalid property");
    };
    properties_of(fields, &properties, path)?;
    match kind {
        "text" => {
            let has_spans =
                value.get("contents").and_then(Value::as_array).is_some_and(|spans| !spans.is_empty());
            if value.get("text").is_none() && !has_spans {
                return fault(&format!("{path}/text"), "must be specified");
            }
        }
        "box" if value["layout"] == "baseline" => {
            let inner = value.get("contents").and_then(Value::as_array);
            for (at, each) in inner.into_iter().flatten().enumerate() {
                if !schema::IN_BASELINE.contains(&self::kind(each)) {
                    return fault(&format!("{path}/contents/{at}"), "invalid property");
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn properties_of(fields: &Map<String, Value>, properties: &[Property], path: &str) -> Checked {
    for (name, value) in fields {
        if name == "type" {
            continue;
        }
        let here = format!("{path}/{name}");
        match properties.iter().find(|(known, ..)| known == name) {
            Some((_, rule, _)) => obeys(value, *rule, &here)?,
            None => return fault(&here, "unknown field"),
        }
    }
    match properties.iter().find(|(name, _, is_required)| *is_required && !fields.contains_key(*name)) {
        Some((name, ..)) => fault(&format!("{path}/{name}"), "must be specified"),
        None => Ok(()),
    }
}

fn obeys(value: &Value, rule: Rule, path: &str) -> Checked {
    let text = value.as_str();
    let is_right = match rule {
        Rule::Text => text.is_some(),
        Rule::Filled => text.is_some_and(|text| !text.is_empty()),
        Rule::Switch => value.is_boolean(),
        Rule::Count => value.is_u64(),
        Rule::Word(words) => text.is_some_and(|text| words.contains(&text)),
        Rule::Size(words) => text.is_some_and(|text| words.contains(&text) || is_length(text)),
        Rule::Colour => text.is_some_and(is_colour),
        Rule::Ratio => text.is_some_and(is_ratio),
        Rule::Picture => return picture(text, path),
        Rule::Action => return action(value, path, false),
        Rule::LabelledAction => return action(value, path, true),
        Rule::Component(kinds) => return component(value, path, kinds),
        Rule::Components(kinds) => return components(value, path, kinds),
        Rule::Styles => return styles(value, path),
        Rule::Background => value.get("type").is_some_and(|kind| kind == "linearGradient"),
    };
    if is_right { Ok(()) } else { fault(path, "invalid property") }
}

fn components(value: &Value, path: &str, kinds: &[&str]) -> Checked {
    let Some(items) = value.as_array() else { return fault(path, "invalid property") };
    let kinds =
        if kinds == schema::IN_BOX { [schema::IN_BOX, schema::IN_BASELINE].concat() } else { kinds.to_vec() };
    items.iter().enumerate().try_for_each(|(at, item)| component(item, &format!("{path}/{at}"), &kinds))
}

fn styles(value: &Value, path: &str) -> Checked {
    for (block, style) in object(value, path)? {
        let here = format!("{path}/{block}");
        if !["header", "hero", "body", "footer"].contains(&block.as_str()) {
            return fault(&here, "unknown field");
        }
        properties_of(object(style, &here)?, schema::BLOCK_STYLE, &here)?;
    }
    Ok(())
}

fn picture(url: Option<&str>, path: &str) -> Checked {
    match url {
        Some(url) if !url.starts_with("https://") => fault(path, "invalid uri scheme"),
        Some(url) if url.chars().count() <= PICTURE_LIMIT && is_uri(url) => Ok(()),
        _ => fault(path, "invalid uri"),
    }
}

fn action(value: &Value, path: &str, is_labelled: bool) -> Checked {
    let fields = object(value, path)?;
    let kind = kind(value);
    if !ACTIONS.contains(&kind) {
        return fault(&format!("{path}/type"), "invalid property");
    }
    let label = match fields.get("label") {
        Some(label) => {
            Some(label.as_str().ok_or(Fault { path: format!("{path}/label"), message: "invalid property" })?)
        }
        None => None,
    };
    let clusters = label.map_or(0, |label| label.graphemes(true).count());
    if clusters > LABEL_LIMIT || (is_labelled && clusters == 0) {
        return fault(
            &format!("{path}/label"),
            if clusters == 0 { "must be specified" } else { "invalid property" },
        );
    }
    if kind != "uri" {
        return Ok(());
    }
    link(fields.get("uri"), &format!("{path}/uri"))?;
    match fields.get("altUri") {
        Some(alternative) => link(alternative.get("desktop"), &format!("{path}/altUri/desktop")),
        None => Ok(()),
    }
}

fn link(uri: Option<&Value>, path: &str) -> Checked {
    let Some(uri) = uri.and_then(Value::as_str) else { return fault(path, "must be specified") };
    let scheme = uri.split(':').next().unwrap_or_default();
    if !["http", "https", "line", "tel"].contains(&scheme) {
        return fault(path, "invalid uri scheme");
    }
    if uri.chars().count() <= URI_LIMIT && is_uri(uri) { Ok(()) } else { fault(path, "invalid uri") }
}

/// Addresses must be percent-encoded: Thai letters and blanks are refused.
fn is_uri(uri: &str) -> bool {
    uri.bytes().all(|byte| byte.is_ascii_graphic()) && url::Url::parse(uri).is_ok()
}

/// `12px`, `1.5px` or `50%`.
fn is_length(text: &str) -> bool {
    let number = text.strip_suffix("px").or_else(|| text.strip_suffix('%')).unwrap_or_default();
    number.parse::<f64>().is_ok_and(|number| number.is_finite())
}

fn is_colour(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|digits| {
        matches!(digits.len(), 6 | 8) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// `w:h`, each 1 to 100,000, the height at most three times the width.
fn is_ratio(text: &str) -> bool {
    let side = |text: &str| text.parse::<f64>().ok().filter(|side| (1.0..=100_000.0).contains(side));
    text.split_once(':').is_some_and(|(width, height)| {
        matches!((side(width), side(height)), (Some(width), Some(height)) if height <= width * 3.0)
    })
}

fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, Fault> {
    value.as_object().ok_or_else(|| Fault { path: path.to_owned(), message: "invalid property" })
}

fn fault(path: &str, message: &'static str) -> Checked {
    Err(Fault { path: path.to_owned(), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Value {
        json!({
            "type": "bubble", "size": "mega",
            "hero": {"type": "image", "url": "https://a.example/1.png", "size": "full", "aspectRatio": "20:13",
                "aspectMode": "cover"},
            "body": {"type": "box", "layout": "vertical", "spacing": "sm", "contents": [
                {"type": "text", "text": "หัวข้อ", "weight": "bold", "wrap": true, "color": "#111111"},
                {"type": "box", "layout": "baseline", "contents": [{"type": "text", "text": "ก", "flex": 0}]},
            ]},
            "footer": {"type": "box", "layout": "vertical", "contents": [
                {"type": "button", "style": "primary", "height": "sm",
                    "action": {"type": "uri", "label": "อ่านต่อ", "uri": "https://a.example/x"}}]},
            "styles": {"footer": {"separator": true}},
        })
    }

    #[track_caller]
    fn refuses(pointer: &str, value: Value, path: &str, message: &str) {
        let mut bubble = sample();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = bubble.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
            Value::Object(fields) if value.is_null() => {
                fields.remove(name);
            }
            other => other[name] = value,
        }
        let fault = check(&bubble).unwrap_err();
        assert_eq!((fault.path.as_str(), fault.message), (path, message));
    }

    #[test]
    fn an_ordinary_news_bubble_is_taken() {
        assert_eq!(check(&sample()), Ok(()));
        assert_eq!(check(&json!({"type": "carousel", "contents": [sample(), sample()]})), Ok(()));
    }

    #[test]
    fn faults_are_named_as_line_names_them() {
        refuses("/hero/url", json!("http://a.example/1.png"), "/hero/url", "invalid uri scheme");
        refuses("/hero/url", json!("https://a.example/ข่าว.png"), "/hero/url", "invalid uri");
        refuses("/hero/aspectRatio", json!("1:4"), "/hero/aspectRatio", "invalid property");
        refuses("/hero/size", json!("huge"), "/hero/size", "invalid property");
        refuses("/hero/fit", json!("cover"), "/hero/fit", "unknown field");
        refuses("/size", json!("tera"), "/size", "invalid property");
        refuses("/styles/type", json!("x"), "/styles/type", "unknown field");
        refuses("/body/layout", Value::Null, "/body/layout", "must be specified");
        refuses("/body/contents/0/text", json!(""), "/body/contents/0/text", "invalid property");
        refuses("/body/contents/0/text", Value::Null, "/body/contents/0/text", "must be specified");
        refuses("/body/contents/0/color", json!("red"), "/body/contents/0/color", "invalid property");
        refuses("/body/contents/0", json!({"type": "bubble"}), "/body/contents/0", "invalid property");
        let in_baseline =
            json!({"type": "button", "action": {"type": "uri", "label": "ก", "uri": "https://a.example"}});
        refuses(
            "/body/contents/1/contents/0",
            in_baseline,
            "/body/contents/1/contents/0",
            "invalid property",
        );
    }

    #[test]
    fn a_button_needs_a_label_of_at_most_forty_clusters() {
        let at = "/footer/contents/0/action/label";
        refuses(at, Value::Null, at, "must be specified");
        refuses(at, json!("ก้".repeat(41)), at, "invalid property");
        let mut bubble = sample();
        *bubble.pointer_mut(at).unwrap() = json!("ก้".repeat(40));
        assert_eq!(check(&bubble), Ok(()));
    }

    #[test]
    fn a_link_has_a_known_scheme_and_at_most_a_thousand_characters() {
        let at = "/footer/contents/0/action/uri";
        refuses(at, json!("javascript:alert(1)"), at, "invalid uri scheme");
        refuses(at, json!("https://a.example/ข่าว"), at, "invalid uri");
        refuses(at, json!(format!("https://a.example/{}", "x".repeat(1000))), at, "invalid uri");
        refuses(at, Value::Null, at, "must be specified");
    }

    #[test]
    fn a_container_has_a_largest_size() {
        let mut bubble = sample();
        bubble["body"]["contents"][0]["text"] = json!("ก".repeat(BUBBLE_BYTES / 3));
        assert_eq!(check(&bubble).unwrap_err().path, "/");
        bubble["body"]["contents"][0]["text"] = json!("ก".repeat(BUBBLE_BYTES / 3 - 400));
        assert_eq!(check(&bubble), Ok(()));
        let carousel = json!({"type": "carousel", "contents": [bubble, bubble]});
        assert_eq!(check(&carousel).unwrap_err().path, "/");
    }

    #[test]
    fn a_carousel_holds_one_to_twelve_bubbles_of_one_size() {
        let many = |count: usize| json!({"type": "carousel", "contents": vec![sample(); count]});
        assert_eq!(check(&many(12)), Ok(()));
        assert_eq!(check(&many(13)).unwrap_err().path, "/contents");
        assert_eq!(check(&many(0)).unwrap_err().path, "/contents");
        let mut mixed = many(2);
        mixed["contents"][1]["size"] = json!("kilo");
        assert_eq!(check(&mixed).unwrap_err().path, "/contents/1/size");
        mixed["contents"][1].as_object_mut().unwrap().remove("size");
        assert_eq!(check(&mixed).unwrap_err().path, "/contents/1/size");
    }
}
