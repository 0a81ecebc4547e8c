//! JSON: reads JSON Feed, versions 1 and 1.1.
//!
//! Spec: <https://www.jsonfeed.org/version/1.1/>. Ids are strings, but readers must take numbers too.

use serde_json::Value;
use url::Url;

use crate::feed::draft::Body;
use crate::feed::draft::Draft;
use crate::feed::image;

/// The items of a JSON Feed; `None` if the document is something else.
pub fn items(document: &Value) -> Option<&Vec<Value>> {
    let says_so = document.get("version").and_then(Value::as_str).is_some_and(|v| v.contains("jsonfeed.org"));
    let items = document.get("items")?.as_array()?;
    let looks_so = items.first().is_some_and(|item| item.get("id").or_else(|| item.get("url")).is_some());
    (says_so || looks_so).then_some(items)
}

/// What one item says.
pub fn draft(item: &Value, feed: &Value, base: Option<&Url>) -> Draft {
    let text = |name| text(item, name);
    let own = people(item);
    let authors = if own.is_empty() { people(feed) } else { own };
    let attached = list(item, "attachments").filter_map(|attachment| {
        let kind = attachment.get("mime_type")?.as_str()?;
        kind.starts_with("image/").then(|| attachment.get("url")?.as_str())?
    });
    let pictures = ["image", "banner_image"].into_iter().filter_map(|name| item.get(name)?.as_str());
    let bodies = [
        text("content_html").and_then(Body::html),
        text("content_text").and_then(Body::plain),
        text("summary").and_then(Body::plain),
    ];
    Draft {
        guid: text("id"),
        link: text("url").or_else(|| text("external_url")),
        title: text("title").and_then(Body::plain),
        published: text("date_published"),
        updated: text("date_modified"),
        authors,
        categories: list(item, "tags").filter_map(Value::as_str).map(str::to_owned).collect(),
        image: pictures.chain(attached).find_map(|url| image::absolute(url, base)),
        bodies: bodies.into_iter().flatten().collect(),
    }
}

/// A text or number as text, trimmed.
pub fn text(object: &Value, name: &str) -> Option<String> {
    let text = match object.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn list<'v>(object: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    object.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The names under `authors` (1.1) or `author` (1.0).
fn people(object: &Value) -> Vec<String> {
    list(object, "authors").chain(object.get("author")).filter_map(|author| text(author, "name")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    #[test]
    fn an_item_is_read() {
        let item = json!({
            "id": 7, "url": " https://x.th/%e0 ", "title": "ข่าว", "content_text": "a < b", "summary": "s",
            "image": "pic.jpg", "date_published": "2026-11-22T10:00:00+07:00", "tags": ["ก", 3, "ข"],
            "author": {"name": "สมชาย"},
        });
        let draft = draft(&item, &json!({}), Some(&Url::parse("https://x.th/feed").unwrap()));
        assert_eq!(draft.guid.as_deref(), Some("7"));
        assert_eq!(draft.link.as_deref(), Some("https://x.th/%e0"));
        assert_eq!(draft.bodies, [Body::Plain("a < b".into()), Body::Plain("s".into())]);
        assert_eq!(draft.image.as_deref(), Some("https://x.th/pic.jpg"));
        assert_eq!((draft.categories, draft.authors), (vec!["ก".into(), "ข".into()], vec!["สมชาย".into()]));
    }

    #[test]
    fn other_json_is_no_feed() {
        assert!(items(&json!({"items": [{"name": 1}]})).is_none());
        assert!(items(&json!({"version": "https://jsonfeed.org/version/1.1"})).is_none());
        assert!(items(&json!([1])).is_none());
        assert!(items(&json!({"version": "https://jsonfeed.org/version/1", "items": []})).is_some());
    }
}
