//! Flex: cards as LINE bubbles, within LINE's limits.
//!
//! Spec: <https://developers.line.biz/en/reference/messaging-api/#flex-message>. Lengths are counted in UTF-16 units,
//! except a button's label, which is counted in grapheme clusters; an empty text makes LINE refuse the whole message.

use std::fmt::Write;

use serde_json::Value;
use serde_json::json;
use unicode_segmentation::UnicodeSegmentation;
use url::Url;

use crate::model::post::Card;
use crate::model::post::Payload;
use crate::platform::Unfit;
use crate::platform::within;

/// The longest alternative text, in UTF-16 units (platforms/line.md, section 5).
pub const ALT_TEXT_LIMIT: usize = 1500;

/// The most bubbles a carousel holds.
pub const CARD_LIMIT: usize = 12;

/// The longest label of a button, in grapheme clusters.
pub const LABEL_LIMIT: usize = 40;

/// The longest address a tap may open, in characters, percent-encoded.
pub const LINK_LIMIT: usize = 1000;

/// The longest address of a picture, in characters, percent-encoded.
const PICTURE_LIMIT: usize = 2000;

/// The largest bubble, in bytes of JSON ("30 KB", read the careful way).
const BUBBLE_LIMIT: usize = 30_000;

/// The largest carousel, in bytes of JSON ("50 KB", read the careful way).
const CAROUSEL_LIMIT: usize = 50_000;

/// Lines of a headline before it is cut by the phone.
const HEADLINE_LINES: u8 = 4;

/// Lines of a summary, in a bubble of its own and in a carousel, where the tallest bubble sets the height of all.
const SUMMARY_LINES: [u8; 2] = [12, 6];

const CATEGORY_COLOUR: &str = "#06785A";
const SUMMARY_COLOUR: &str = "#555555";

/// Freezes a Flex message: one bubble, or a carousel.
///
/// # Errors
/// When a text is empty or too long, a link can't be opened from LINE, or there are too few or too many cards.
pub(crate) fn freeze(alt_text: &str, cards: &[Card], silent: bool) -> Result<Payload, Unfit> {
    if alt_text.trim().is_empty() {
        return Err(Unfit::Empty {
            field: "alt_text".into(),
            cure: "LINE shows it in notifications; give the headline",
        });
    }
    within("alt_text", alt_text.encode_utf16().count(), ALT_TEXT_LIMIT, "UTF-16 units")?;
    let contents = contents(cards)?;
    let mut body = json!({ "messages": [{ "type": "flex", "altText": alt_text, "contents": contents }] });
    if silent {
        body["notificationDisabled"] = true.into();
    }
    let text: Vec<&str> = cards.iter().flat_map(words).collect();
    let link = match cards {
        [card] => card.link.clone(),
        _ => None,
    };
    Ok(Payload::freeze(body.to_string(), text.join("\n"), link))
}

fn contents(cards: &[Card]) -> Result<Value, Unfit> {
    let summary_lines = SUMMARY_LINES[usize::from(cards.len() > 1)];
    let bubbles: Result<Vec<Value>, Unfit> = cards
        .iter()
        .enumerate()
        .map(|(index, card)| bubble(card, &format!("cards[{index}]"), summary_lines))
        .collect();
    let mut bubbles = bubbles?;
    match bubbles.len() {
        0 => Err(Unfit::Empty { field: "cards".into(), cure: "a LINE post needs a card" }),
        1 => Ok(bubbles.remove(0)),
        count => {
            within("cards", count, CARD_LIMIT, "cards")?;
            let carousel = json!({ "type": "carousel", "contents": bubbles });
            within("cards", carousel.to_string().len(), CAROUSEL_LIMIT, "bytes")?;
            Ok(carousel)
        }
    }
}

fn bubble(card: &Card, field: &str, summary_lines: u8) -> Result<Value, Unfit> {
    let [_, headline, _, button] = texts(card);
    if headline.is_empty() {
        return Err(Unfit::Empty { field: format!("{field}.headline"), cure: "a card needs a headline" });
    }
    let action = match &card.link {
        Some(_) if button.is_empty() => {
            let field = format!("{field}.button");
            return Err(Unfit::Empty { field, cure: "a card with a link needs a button to open it" });
        }
        Some(link) => {
            within(
                &format!("{field}.button"),
                button.graphemes(true).count(),
                LABEL_LIMIT,
                "grapheme clusters",
            )?;
            Some(json!({ "type": "uri", "label": button, "uri": uri(link, &format!("{field}.link"))? }))
        }
        None => None,
    };
    let mut bubble = json!({ "type": "bubble" });
    if let Some(picture) = card.picture.as_deref().and_then(picture) {
        bubble["hero"] = json!({
            "type": "image", "url": picture, "size": "full", "aspectRatio": "20:13", "aspectMode": "cover",
        });
        if let Some(action) = &action {
            bubble["hero"]["action"] = action.clone();
        }
    }
    bubble["body"] = body(card, summary_lines);
    if let Some(action) = action {
        let button = json!({ "type": "button", "style": "link", "height": "sm", "action": action });
        bubble["footer"] = json!({ "type": "box", "layout": "vertical", "contents": [button] });
    }
    within(field, bubble.to_string().len(), BUBBLE_LIMIT, "bytes")?;
    Ok(bubble)
}

fn body(card: &Card, summary_lines: u8) -> Value {
    let [category, headline, summary, _] = texts(card);
    let mut contents = Vec::new();
    if !category.is_empty() {
        contents.push(json!({
            "type": "text", "text": category, "size": "xs", "weight": "bold", "color": CATEGORY_COLOUR,
        }));
    }
    contents.push(json!({
        "type": "text", "text": headline, "size": "lg", "weight": "bold", "wrap": true, "maxLines": HEADLINE_LINES,
    }));
    if !summary.is_empty() {
        contents.push(json!({
            "type": "text", "text": summary, "size": "sm", "color": SUMMARY_COLOUR, "wrap": true,
            "maxLines": summary_lines,
        }));
    }
    json!({ "type": "box", "layout": "vertical", "spacing": "sm", "contents": contents })
}

/// Category, headline, summary and button; white space alone is nothing to show.
fn texts(card: &Card) -> [&str; 4] {
    [&card.category, &card.headline, &card.summary, &card.button].map(|text| text.trim())
}

/// The texts a reader reads in a bubble, from top to bottom; a button's label is no text.
fn words(card: &Card) -> impl Iterator<Item = &str> {
    let [category, headline, summary, _] = texts(card);
    [category, headline, summary].into_iter().filter(|text| !text.is_empty())
}

/// The address a tap opens, percent-encoded.
fn uri(link: &str, field: &str) -> Result<String, Unfit> {
    let invalid = |problem| Unfit::Invalid { field: field.to_owned(), value: link.to_owned(), problem };
    let url = Url::parse(link).map_err(|_| invalid("is no address; give a whole one, with https://"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("is neither http nor https; LINE opens no other"));
    }
    let uri = strict(&url);
    within(field, uri.len(), LINK_LIMIT, "characters, percent-encoded")?;
    Ok(uri)
}

/// The address of a picture LINE would take: https and not too long. Any other is left out, because a post without
/// its picture is better than no post.
fn picture(link: &str) -> Option<String> {
    let url = Url::parse(link).ok().filter(|url| url.scheme() == "https")?;
    Some(strict(&url)).filter(|uri| uri.len() <= PICTURE_LIMIT)
}

/// An address in RFC 3986's own characters. The url crate encodes Thai and internationalised hosts, but keeps what
/// browsers tolerate, `|` or a lone `%` for example; LINE refuses the whole message for it ("invalid uri").
fn strict(url: &Url) -> String {
    let (host, rest) = url.as_str().split_at(url[..url::Position::BeforePath].len());
    let mut out = host.to_owned();
    for (at, byte) in rest.bytes().enumerate() {
        let allowed = byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=".contains(&byte);
        let escape = byte == b'%'
            && rest.as_bytes().get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        if allowed || escape {
            out.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_card_becomes_a_bubble() {
        let payload = freeze("น้ำท่วมหาดใหญ่", &[card()], false).unwrap();
        let expected = json!({
            "messages": [{
                "type": "flex",
                "altText": "น้ำท่วมหาดใหญ่",
                "contents": {
                    "type": "bubble",
                    "hero": {
                        "type": "image", "url": "https://cdn.inn.co.th/a.jpg", "size": "full", "aspectRatio": "20:13",
                        "aspectMode": "cover",
                        "action": { "type": "uri", "label": "อ่านต่อ", "uri": "https://inn.co.th/%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7" },
                    },
                    "body": {
                        "type": "box", "layout": "vertical", "spacing": "sm",
                        "contents": [
                            { "type": "text", "text": "ภูมิภาค", "size": "xs", "weight": "bold", "color": "#06785A" },
                            { "type": "text", "text": "น้ำท่วมลดแล้ว", "size": "lg", "weight": "bold", "wrap": true, "maxLines": 4 },
                            { "type": "text", "text": "เปิดจราจร 3 สาย", "size": "sm", "color": "#555555", "wrap": true, "maxLines": 12 },
                        ],
                    },
                    "footer": {
                        "type": "box", "layout": "vertical",
                        "contents": [{
                            "type": "button", "style": "link", "height": "sm",
                            "action": { "type": "uri", "label": "อ่านต่อ", "uri": "https://inn.co.th/%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7" },
                        }],
                    },
                },
            }],
        });
        assert_eq!(payload.body, expected.to_string());
        assert_eq!(payload.text, "ภูมิภาค\nน้ำท่วมลดแล้ว\nเปิดจราจร 3 สาย");
        assert_eq!(payload.link.as_deref(), Some("https://inn.co.th/ข่าว"));
    }

    #[test]
    fn what_is_empty_or_unusable_is_left_out() {
        let bare = Card { category: " ".into(), summary: String::new(), link: None, picture: None, ..card() };
        let payload = freeze("x", &[bare], false).unwrap();
        assert_eq!(payload.text, "น้ำท่วมลดแล้ว");
        assert_eq!(payload.link, None);
        for part in ["hero", "footer", "\"text\":\"\"", "null"] {
            assert!(!payload.body.contains(part), "{part}: {}", payload.body);
        }
        for picture in ["http://inn.co.th/a.jpg", "/a.jpg", &format!("https://a.th/{}", "a".repeat(2000))] {
            let card = Card { picture: Some(picture.into()), ..card() };
            assert!(!freeze("x", &[card], false).unwrap().body.contains("hero"), "{picture}");
        }
    }

    #[test]
    fn several_cards_become_a_carousel() {
        let payload = freeze("x", &[card(), card()], true).unwrap();
        let body: Value = serde_json::from_str(&payload.body).unwrap();
        assert_eq!(body["messages"][0]["contents"]["type"], "carousel");
        assert_eq!(body["messages"][0]["contents"]["contents"].as_array().unwrap().len(), 2);
        assert_eq!(body["messages"][0]["contents"]["contents"][0]["body"]["contents"][2]["maxLines"], 6);
        assert_eq!(body["notificationDisabled"], true);
        assert_eq!(payload.text.lines().count(), 6);
        assert_eq!(payload.link, None);
    }

    #[test]
    fn limits_are_counted_as_line_counts() {
        let with = |change: fn(&mut Card)| {
            let mut card = card();
            change(&mut card);
            freeze("x", &[card], false)
        };
        assert!(freeze(&"😀".repeat(750), &[card()], false).is_ok());
        refuses(freeze(&"😀".repeat(751), &[card()], false), "alt_text: 1502 UTF-16 units, at most 1500");
        refuses(freeze(" ", &[card()], false), "alt_text: is empty");
        refuses(freeze("x", &[], false), "cards: is empty");
        assert!(freeze("x", &vec![card(); 12], false).is_ok());
        refuses(freeze("x", &vec![card(); 13], false), "cards: 13 cards, at most 12");
        // 40 clusters of three code points each.
        assert!(with(|card| card.button = "น้ำ".repeat(20)).is_ok());
        refuses(
            with(|card| card.button = "ก".repeat(41)),
            "cards[0].button: 41 grapheme clusters, at most 40",
        );
        refuses(with(|card| card.button = "\n".into()), "cards[0].button: is empty");
        refuses(with(|card| card.headline = " ".into()), "cards[0].headline: is empty");
        refuses(with(|card| card.link = Some("javascript:x".into())), "neither http nor https");
        refuses(
            with(|card| card.link = Some("inn.co.th".into())),
            "cards[0].link: \"inn.co.th\" is no address",
        );
        refuses(
            with(|card| card.link = Some(format!("https://a.th/{}", "ก".repeat(110)))),
            "cards[0].link: 1003 characters",
        );
        refuses(with(|card| card.summary = "ก".repeat(10_000)), "cards[0]: ");
        let long = Card { summary: "ก".repeat(2300), ..card() };
        assert!(freeze("x", &vec![long.clone(); 6], false).is_ok());
        refuses(freeze("x", &vec![long; 7], false), "bytes, at most 50000");

        #[track_caller]
        fn refuses(result: Result<Payload, Unfit>, says: &str) {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn addresses_are_encoded_strictly() {
        check(
            "https://ข่าว.ไทย/หาดใหญ่?q=น้ำ#ท้าย",
            "https://xn--22c8e6a1f.xn--o3cw4h/%E0%B8%AB%E0%B8%B2%E0%B8%94%E0%B9%83%E0%B8%AB%E0%B8%8D%E0%B9%88?q=%E0%B8%99%E0%B9%89%E0%B8%B3#%E0%B8%97%E0%B9%89%E0%B8%B2%E0%B8%A2",
        );
        check("https://a.th/a|b[c]^d%zz%E0", "https://a.th/a%7Cb%5Bc%5D%5Ed%25zz%E0");
        check("https://[::1]:8443/a b", "https://[::1]:8443/a%20b");
        check("http://A.th", "http://a.th/");

        #[track_caller]
        fn check(link: &str, expected: &str) {
            assert_eq!(strict(&link.parse().unwrap()), expected);
        }
    }

    proptest! {
        #[test]
        fn no_frozen_text_is_empty_and_no_limit_is_broken(
            cards in prop::collection::vec((".{0,20}", ".{0,50}", ".{0,300}", ".{0,45}", prop::option::of("https://a.th/.{0,40}")), 0..14),
            alt_text in ".{0,20}",
        ) {
            let cards: Vec<_> = cards.into_iter().map(|(category, headline, summary, button, link)| Card {
                picture: link.clone(), category, headline, summary, button, link,
            }).collect();
            if let Ok(payload) = freeze(&alt_text, &cards, false) {
                let body: Value = serde_json::from_str(&payload.body).unwrap();
                let contents = &body["messages"][0]["contents"];
                prop_assert!(contents.to_string().len() <= CAROUSEL_LIMIT);
                let bubbles = contents["contents"].as_array().cloned().unwrap_or(vec![contents.clone()]);
                prop_assert_eq!(bubbles.len(), cards.len());
                for bubble in bubbles {
                    for part in bubble["body"]["contents"].as_array().unwrap() {
                        prop_assert!(!part["text"].as_str().unwrap().trim().is_empty());
                    }
                    if let Some(uri) = bubble["footer"]["contents"][0]["action"]["uri"].as_str() {
                        prop_assert!(uri.is_ascii() && uri.len() <= LINK_LIMIT);
                    }
                }
                prop_assert!(payload.text.lines().all(|line| !line.is_empty()) || payload.text.contains("\n\n"));
            }
        }
    }

    fn card() -> Card {
        Card {
            picture: Some("https://cdn.inn.co.th/a.jpg".into()),
            category: "ภูมิภาค".into(),
            headline: "น้ำท่วมลดแล้ว".into(),
            summary: "เปิดจราจร 3 สาย".into(),
            button: "อ่านต่อ".into(),
            link: Some("https://inn.co.th/ข่าว".into()),
        }
    }
}
