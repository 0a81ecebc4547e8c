//! Summarize: article → summary, once it has settled.

use futures_util::future::join_all;
use tracing::info;
use tracing::warn;
use url::Url;

use crate::http::guard::Guard;
use crate::metric;
use crate::model::article::Content;
use crate::model::boilerplate;
use crate::model::summary::Summary;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::store::article;
use crate::store::article::Article;
use crate::store::boilerplate as learnt;
use crate::store::db::Result;
use crate::store::summary;
use crate::text::cut;
use crate::text::extract;
use crate::text::keyword;

/// What the audit log calls the writer of these summaries; a new number when its output changes.
pub const WRITER: &str = "extract/1";

/// The longest headline made from a body when the source gives none, in code points.
const MADE_HEADLINE: usize = 90;

/// Articles taken at once: one commit for all of them, and yet the first is not kept waiting for a hundred.
const BATCH: i64 = 8;

/// Summarizes the articles that have been settled longest.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let settled = article::list_settled(&context.db, context.now(), BATCH).await?;
    if settled.is_empty() {
        return Ok(Step::Idle);
    }
    // Together, for the guard may wait for a name server.
    let made = join_all(settled.iter().map(|article| summarize(context, article))).await;
    let stamp = context.stamp("summarize");
    let mut tx = context.db.begin().await?;
    let mut stored = Vec::new();
    for (article, (made, review)) in settled.iter().zip(&made) {
        if summary::insert(&mut tx, &stamp, article, made, WRITER, review).await? {
            stored.push((article.id, &made.headline));
        }
    }
    tx.commit().await?;
    metric::articles("summarized", stored.len());
    for (id, headline) in stored {
        info!(article.id = id, "Summarized article {id}: {headline}");
    }
    Ok(Step::Worked)
}

/// The summary of an article as it stands, and what a person should look at.
pub async fn summarize(context: &Context, article: &Article) -> (Summary, Vec<String>) {
    let guard = context.fetcher.guard();
    let content = own_words(context, article).await;
    let mut review = article.review.clone();
    if let Some(refusal) = refused(guard, content.link.as_deref()).await {
        review.push(format!("link_refused: {refusal}"));
    }
    let picture = match (&content.image, refused(guard, content.image.as_deref()).await) {
        (Some(picture), None) => Some(picture.clone()),
        _ => None,
    };
    (write_aside(content, picture, context.config.style.hashtags as usize).await, review)
}

/// [`write()`] on a thread for work: some milliseconds of an asynchronous one are a send that waits.
async fn write_aside(content: Content, picture: Option<String>, hashtags: usize) -> Summary {
    let written = tokio::task::spawn_blocking(move || write(&content, picture, hashtags)).await;
    // It can't be cancelled, so what is left of a failure is its panic; that one belongs to the step.
    written.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
}

/// What an article says without the lines that its site puts under every article.
pub async fn own_words(context: &Context, article: &Article) -> Content {
    let mut content = article.content.clone();
    let Some(host) = boilerplate::host(&content) else { return content };
    match learnt::known(&context.db, &host).await {
        Ok(known) => content.text = boilerplate::without(&content.text, &known),
        // A summary with a line too many is better than none; the line will be found in review or by a reader.
        Err(error) => {
            warn!(article.id = article.id, error = %error, "The lines of {host} can't be looked up")
        }
    }
    content
}

/// Writes a summary from what an article says. Pure.
pub fn write(content: &Content, picture: Option<String>, hashtags: usize) -> Summary {
    let headline = if content.title.is_empty() {
        cut::cut(content.text.lines().next().unwrap_or_default(), MADE_HEADLINE).to_owned()
    } else {
        content.title.clone()
    };
    Summary {
        units: extract::rank(&headline, &content.text),
        hashtags: keyword::hashtags(&content.categories, &headline, &content.text, hashtags),
        category: content.categories.first().cloned(),
        picture,
        link: content.link.clone().filter(|link| is_web_address(link)),
        headline,
    }
}

/// Whether readers can open it; what is not, such as `javascript:`, no platform takes, and nobody should.
fn is_web_address(link: &str) -> bool {
    Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// Why the guard refuses an address; `None` when it does not, or there is none.
async fn refused(guard: &Guard, address: Option<&str>) -> Option<String> {
    match Url::parse(address?) {
        Ok(url) => guard.check(&url).await.err().map(|refusal| refusal.to_string()),
        Err(error) => Some(format!("{:?} is no address: {error}", address.unwrap_or_default())),
    }
}
