//! Source commands: try a source out before it is trusted.
//!
//! The address typed is the operator's own, so it may be private; where it redirects to is guarded.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use chrono::DateTime;
use chrono::SecondsFormat;
use chrono::Utc;
use serde::Serialize;
use url::Url;

use crate::feed::parse;
use crate::feed::parse::Feed;
use crate::http::Timeouts;
use crate::http::fetch::FetchError;
use crate::http::fetch::Fetcher;
use crate::http::fetch::Limits;
use crate::http::fetch::Trust;
use crate::http::guard::Guard;
use crate::model::article::Entry;
use crate::model::source::Memory;

/// A person waits for the answer.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(20) };

/// How much of a text the human form shows, in characters.
const GLIMPSE: usize = 200;

/// `songkhao source test`: reads a feed, an article page or plain text from an address or a file, and writes
/// what was read to `out`, as one JSON object or for people.
///
/// Returns whether any article was read. What went wrong is part of the answer, under `problems`.
///
/// # Errors
/// When `out` can't be written, or no HTTP client can be made.
pub async fn test(target: &str, json: bool, mut out: impl Write, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let feed = match bring(target).await? {
        Ok(document) => {
            // Taking a page apart may take tenths of a second.
            let read = tokio::task::spawn_blocking(move || document.read(now)).await?;
            read.unwrap_or_else(failed)
        }
        Err(reason) => failed(reason),
    };
    let report = Report::of(&feed);
    if json {
        writeln!(out, "{}", serde_json::to_string(&report)?)
    } else {
        write!(out, "{}", report.for_people())
    }
    .context("the answer can't be written")?;
    Ok(!report.articles.is_empty())
}

/// Reads whatever stands at an address or in a file: a feed, an article page or plain text.
///
/// # Errors
/// When nothing can be fetched, opened or read there.
pub async fn read(target: &str, now: DateTime<Utc>) -> anyhow::Result<Feed> {
    let document = bring(target).await?.map_err(anyhow::Error::msg)?;
    Ok(tokio::task::spawn_blocking(move || document.read(now)).await??)
}

fn failed(reason: impl ToString) -> Feed {
    Feed { problems: vec![reason.to_string()], ..Feed::default() }
}

/// A document and what is known of it.
struct Document {
    body: Vec<u8>,
    content_type: Option<String>,
    url: Option<Url>,
}

impl Document {
    fn read(&self, now: DateTime<Utc>) -> Result<Feed, parse::FeedError> {
        parse::any(&self.body, self.content_type.as_deref(), self.url.as_ref(), now)
    }
}

/// Fetches or opens the target; the inner error is one for the operator.
async fn bring(target: &str) -> anyhow::Result<Result<Document, String>> {
    match Url::parse(target).ok().filter(|url| matches!(url.scheme(), "http" | "https")) {
        Some(url) => Ok(fetched(&url).await?.map_err(|error| error.to_string())),
        None => Ok(opened(target).await),
    }
}

async fn fetched(url: &Url) -> anyhow::Result<Result<Document, FetchError>> {
    crate::http::install_tls();
    let fetcher = Fetcher::new(TIMEOUTS, Guard::default()).context("TLS can't be set up")?;
    let answer = fetcher.get(url, Trust::Operator, &Memory::default(), Limits::FEED).await;
    Ok(answer.map(|answer| Document {
        body: answer.body.to_vec(),
        content_type: answer.content_type,
        url: Some(answer.final_url),
    }))
}

async fn opened(path: &str) -> Result<Document, String> {
    let size =
        tokio::fs::metadata(path).await.map_err(|error| format!("{path} can't be opened: {error}"))?.len();
    if usize::try_from(size).is_ok_and(|size| size > Limits::FEED.body) {
        return Err(format!("{path} is larger than {} bytes", Limits::FEED.body));
    }
    let body = tokio::fs::read(path).await.map_err(|error| format!("{path} can't be read: {error}"))?;
    Ok(Document { body, content_type: None, url: None })
}

/// What `source test` answers (design.md, section 7).
#[derive(Debug, Serialize)]
struct Report<'a> {
    title: Option<&'a str>,
    articles: Vec<Article<'a>>,
    problems: &'a [String],
}

#[derive(Debug, Serialize)]
struct Article<'a> {
    /// The guid as it stands.
    id: Option<&'a str>,
    /// The link as it stands.
    url: Option<&'a str>,
    title: &'a str,
    published: Option<String>,
    updated: Option<String>,
    author: Option<&'a str>,
    categories: &'a [String],
    image: Option<&'a str>,
    text: &'a str,
}

impl<'a> Report<'a> {
    fn of(feed: &'a Feed) -> Self {
        let articles = feed.entries.iter().map(Article::of).collect();
        Self { title: feed.title.as_deref(), articles, problems: &feed.problems }
    }

    fn for_people(&self) -> String {
        let mut lines =
            vec![format!("{}: {} articles", self.title.unwrap_or("(no title)"), self.articles.len())];
        for (index, article) in self.articles.iter().enumerate() {
            let glimpse: String = article.text.chars().take(GLIMPSE).collect();
            let rows = [
                ("url", article.url.map(str::to_owned)),
                ("id", article.id.map(str::to_owned)),
                ("published", article.published.clone()),
                ("author", article.author.map(str::to_owned)),
                ("categories", Some(article.categories.join(", "))),
                ("image", article.image.map(str::to_owned)),
                ("text", Some(glimpse.replace('\n', " "))),
            ];
            lines.push(format!("\n{}. {}", index + 1, article.title));
            lines.extend(rows.into_iter().filter_map(|(name, value)| {
                let value = value.filter(|value| !value.is_empty())?;
                Some(format!("   {name:<11}{}", value.replace(char::is_control, " ")))
            }));
        }
        if !self.problems.is_empty() {
            lines.push("\nproblems:".to_owned());
            lines.extend(
                self.problems.iter().map(|problem| format!("- {}", problem.replace(char::is_control, " "))),
            );
        }
        lines.join("\n") + "\n"
    }
}

impl<'a> Article<'a> {
    fn of(entry: &'a Entry) -> Self {
        let content = &entry.content;
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Self {
            id: entry.guid.as_deref(),
            url: content.link.as_deref(),
            title: &content.title,
            published: content.published.map(time),
            updated: content.updated.map(time),
            author: content.author.as_deref(),
            categories: &content.categories,
            image: content.image.as_deref(),
            text: &content.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::Value;
    use wiremock::matchers;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    async fn json(target: &str) -> (bool, Value) {
        let mut out = Vec::new();
        let any = test(target, true, &mut out, now()).await.unwrap();
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
        (any, serde_json::from_slice(&out).unwrap())
    }

    #[tokio::test]
    async fn a_feed_at_a_private_address_is_answered_as_one_json_object() {
        let server = MockServer::start().await;
        let feed = "<rss version='2.0'><channel><title>INN</title><item><title>ข่าว</title>\
                    <link>https://x.th/1?a=1&amp;b=%e0</link><guid isPermaLink='false'>g 1</guid>\
                    <pubDate>Sun, 22 Nov 2569 10:00:00 +0000</pubDate><category>ก</category>\
                    <description>เนื้อข่าว</description></item></channel></rss>";
        let answer = ResponseTemplate::new(200).set_body_raw(feed, "text/xml");
        Mock::given(matchers::path("/feed/")).respond_with(answer).mount(&server).await;
        let (any, answer) = json(&format!("{}/feed/", server.uri())).await;
        assert!(any);
        assert_eq!(
            answer,
            serde_json::json!({"title": "INN", "articles": [{"id": "g 1", "url": "https://x.th/1?a=1&b=%e0",
                "title": "ข่าว", "published": "2026-11-22T10:00:00Z", "updated": null, "author": null,
                "categories": ["ก"], "image": null, "text": "เนื้อข่าว"}], "problems": []})
        );
    }

    #[tokio::test]
    async fn what_failed_is_part_of_the_answer() {
        let (any, answer) = json("/no/such/file.xml").await;
        assert!(!any);
        assert_eq!(answer["articles"], serde_json::json!([]));
        let problem = answer["problems"][0].as_str().unwrap();
        assert!(problem.starts_with("/no/such/file.xml can't be opened: "), "{problem}");
        let (any, answer) = json("http://127.0.0.1:1/feed").await;
        assert!(!any && answer["problems"][0].as_str().unwrap().contains("can't be reached"));
    }

    #[tokio::test]
    async fn a_file_is_read_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("article");
        std::fs::write(&path, "พาดหัวข่าวที่ยาวพอจะเป็นพาดหัวข่าว\n\nเนื้อข่าวย่อหน้าแรกที่ยาวพอจะเป็นเนื้อข่าว").unwrap();
        let (any, answer) = json(path.to_str().unwrap()).await;
        assert!(any);
        assert_eq!(answer["articles"][0]["title"], "พาดหัวข่าวที่ยาวพอจะเป็นพาดหัวข่าว");
    }

    #[tokio::test]
    async fn people_get_lines_without_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feed.xml");
        std::fs::write(
            &path,
            "<rss><channel><item><title>a</title><guid>g\u{9b}31m</guid></item></channel></rss>",
        )
        .unwrap();
        let mut out = Vec::new();
        assert!(test(path.to_str().unwrap(), false, &mut out, now()).await.unwrap());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "(no title): 1 articles\n\n1. a\n   id         g 31m\n\nproblems:\n- item 1: no link\n"
        );
    }
}
