//! List: a profile's posts as X shows them.
//!
//! Spec: platforms/x.md, section 2. X shortens every link to t.co, adds one for each picture, escapes `&`, `<` and `>`,
//! and cuts long posts; and its field names are changing, so both are read.

use chrono::DateTime;
use chrono::Utc;
use serde::Deserialize;
use serde_json::Value;

use crate::model::readback;

/// What a read-back asks of each post.
pub(super) const POST_FIELDS: &str = "created_at,entities,note_tweet";

#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) data: Option<Vec<Post>>,
    #[serde(default)]
    pub(super) meta: Meta,
    #[serde(default)]
    pub(super) errors: Vec<Value>,
}

#[derive(Default, Deserialize)]
pub(super) struct Meta {
    pub(super) result_count: Option<u64>,
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Post {
    pub(super) id: String,
    text: String,
    pub(super) created_at: DateTime<Utc>,
    #[serde(default)]
    entities: Entities,
    /// The whole text of a long post, whose `text` is cut.
    #[serde(alias = "note_post")]
    note_tweet: Option<Note>,
}

impl Post {
    /// The text as its author wrote it, and all links in it.
    pub(super) fn as_read(&self) -> (String, Vec<String>) {
        let (text, entities) = match &self.note_tweet {
            Some(note) => (&note.text, &note.entities),
            None => (&self.text, &self.entities),
        };
        let mut text = readback::unescaped(text);
        let mut links = Vec::new();
        for short in &entities.urls {
            let target = match short.is_media() {
                true => "",
                false => short.expanded_url.as_deref().or(short.unwound_url.as_deref()).unwrap_or(&short.url),
            };
            text = text.replace(&short.url, target);
            if !target.is_empty() {
                links.extend(
                    [Some(target), short.unwound_url.as_deref()].into_iter().flatten().map(str::to_owned),
                );
            }
        }
        // A picture's link that X didn't list.
        if let Some((words, last)) = text.trim_end().rsplit_once(char::is_whitespace)
            && last.starts_with("https://t.co/")
        {
            text = words.to_owned();
        }
        (text.trim_end().to_owned(), links)
    }
}

#[derive(Deserialize)]
struct Note {
    text: String,
    #[serde(default)]
    entities: Entities,
}

#[derive(Default, Deserialize)]
struct Entities {
    #[serde(default)]
    urls: Vec<ShortUrl>,
}

/// A link as X shortened it.
#[derive(Deserialize)]
struct ShortUrl {
    url: String,
    expanded_url: Option<String>,
    unwound_url: Option<String>,
    media_key: Option<String>,
}

impl ShortUrl {
    /// Whether it stands for a picture or video of the post itself.
    fn is_media(&self) -> bool {
        let target = self.expanded_url.as_deref().unwrap_or_default();
        let of_a_post =
            target.contains("/status/") && (target.contains("/photo/") || target.contains("/video/"));
        self.media_key.is_some() || of_a_post
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/x/", $name))
        };
    }

    #[test]
    fn a_post_is_read_as_its_author_wrote_it() {
        let page: Page = serde_json::from_str(fixture!("tweets_1.json")).unwrap();
        let posts = page.data.unwrap();
        let (text, links) = posts[0].as_read();
        assert_eq!(text, "ฝน & ลม <แรง> https://www.innnews.co.th/n/1?a=1&b=2");
        assert_eq!(
            links,
            ["https://www.innnews.co.th/n/1?a=1&b=2", "https://www.innnews.co.th/regional-news/news_1/"]
        );
        assert_eq!(posts[1].as_read(), ("ภาพอย่างเดียว".to_owned(), vec![]));

        let page: Page = serde_json::from_str(fixture!("tweets_2.json")).unwrap();
        let (text, links) = page.data.unwrap()[0].as_read();
        assert_eq!(text, "ข่าวยาวทั้งฉบับ https://www.innnews.co.th/long");
        assert_eq!(links, ["https://www.innnews.co.th/long"]);
    }
}
