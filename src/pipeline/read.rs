//! Read: fetches an article's page when its source gives only an excerpt.
//!
//! A page adds to what the source says and never replaces its headline or link. One that can't be read
//! (gone, a login wall, hostile) is given up, and the excerpt is posted; nothing waits for it.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tracing::info;
use tracing::warn;
use url::Url;

use crate::clock;
use crate::config::source::NearDuplicates;
use crate::feed::reader::ReadError;
use crate::http::fetch::FetchError;
use crate::http::fetch::Fetched;
use crate::http::fetch::Limits;
use crate::http::fetch::Trust;
use crate::http::fetch::shown;
use crate::metric;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::model::article::aliases;
use crate::model::hash;
use crate::model::source::Memory;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::collect;
use crate::pipeline::collect::TWIN_WITHIN;
use crate::store::article::Article;
use crate::store::boilerplate as learnt;
use crate::store::boilerplate::Lines;
use crate::store::db::Result;
use crate::store::page;
use crate::text::normal;

/// A text shorter than this, in code points, is an excerpt: WordPress cuts at 55 words, about 300 in Thai.
const EXCERPT: usize = 350;

/// Other nodes leave an article alone for this long while one reads its page; longer than a fetch may take.
const LEASE: Duration = Duration::from_secs(60);

/// After so many failures in a row a host's pages are not asked for until [`REST`] is over: a site that is
/// down must not hold up its articles one time-out after another.
const PATIENT_FAILURES: u32 = 3;

/// So many letters in a row are no chance: two or three Thai words.
const RUN: usize = 10;

/// In so many letters a page has told what it is about.
const TELLING: usize = 20_000;

/// How long a failing host is left alone.
const REST: Duration = Duration::from_secs(5 * 60);

/// Hosts whose pages can't be read lately: failures in a row, and when the last one was.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<HashMap<String, (u32, Instant)>>);

impl Troubles {
    fn is_resting(&self, host: &str) -> bool {
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(host).is_some_and(|(failures, at)| *failures >= PATIENT_FAILURES && at.elapsed() < REST)
    }

    fn note(&self, host: &str, failed: bool) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed {
            let now = clock::monotonic();
            let entry = troubles.entry(host.to_owned()).or_insert((0, now));
            *entry = (entry.0.saturating_add(1), now);
        } else {
            troubles.remove(host);
        }
    }
}

/// Reads the page of one article that wants it.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let now = context.now();
    let Some(known) = page::claim(&context.db, now, LEASE).await? else {
        return Ok(Step::Idle);
    };
    let stamp = context.stamp("read");
    match fetch(context, &known).await {
        Ok((entry, page_hash)) => {
            let content = merge(&known.content, &entry.content);
            let source = known.sources.first().map_or("", String::as_str);
            // The page's canonical link and its short one are further names; its title and text are the source's
            // to say.
            let named =
                Entry { guid: entry.guid, content: Content { link: entry.content.link, ..content.clone() } };
            let names = aliases(source, &named);
            let twins_since = asks_about_twins(context, source).then(|| stamp.at - TWIN_WITHIN);
            let kept = page::add(&context.db, &stamp, &known, &content, &names, &page_hash, twins_since);
            if !kept.await? {
                return Ok(Step::Worked);
            }
            info!(article.id = known.id, "Read the page of article {}", known.id);
            let lines: Vec<Lines> = collect::lines(known.id, &content).into_iter().collect();
            learnt::count(&context.db, &lines, stamp.at).await?;
            metric::articles("read", 1);
        }
        Err(reason) => {
            warn!(
                article.id = known.id,
                reason, "The page of article {} can't be read; its excerpt goes on", known.id
            );
            page::give_up(&context.db, &stamp, &known, &reason).await?;
            metric::articles("unreadable", 1);
        }
    }
    Ok(Step::Worked)
}

/// Whether a source gives too little of an article to tell what it says. Pure.
pub fn is_excerpt(content: &Content) -> bool {
    let text = content.text.trim_end();
    let cut_off = ["…", "[…]", "...", "[...]"].iter().any(|end| text.ends_with(end));
    content.link.is_some() && (cut_off || text.chars().count() < EXCERPT)
}

async fn fetch(context: &Context, known: &Article) -> std::result::Result<(Entry, String), String> {
    let link = known.content.link.as_deref().unwrap_or_default();
    let url = Url::parse(link).map_err(|error| format!("{link:?} is no address: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    if context.troubles.is_resting(host) {
        return Err(format!("{host} did not answer lately"));
    }
    let fetched = context.fetcher.get(&url, Trust::Outside, &Memory::default(), Limits::PAGE).await;
    context.troubles.note(host, fetched.is_err());
    let Fetched { body, content_type, final_url, .. } = fetched.map_err(|error| match error {
        // It names the host that a redirect leads to, and that may be any.
        FetchError::Refused(refusal) => format!("{}: {refusal}", shown(&url)),
        error => error.to_string(),
    })?;
    let now = context.now();
    let page_hash = hash::sha256_hex(&body);
    let read = context.reader.read(body, content_type, &final_url, now);
    let entry = read.await.map_err(|error: ReadError| error.to_string())?;
    let at = shown(&final_url);
    if entry.content.text.trim().is_empty() {
        return Err(format!("{at}: the page holds no article text"));
    }
    if !tells_the_same(&known.content, &entry.content) {
        return Err(format!(
            "{at}: the page has nothing of what the source says; it may be a login or consent wall"
        ));
    }
    Ok((entry, page_hash))
}

/// Whether a page tells the story that its source announced: ten letters in a row of headline or excerpt occur in its
/// text. A wall that asks for a login, a cookie or money does not; taken for the article, it would be posted. Pure.
fn tells_the_same(known: &Content, page: &Content) -> bool {
    let letters = |text: &str| -> Vec<char> {
        normal::for_matching(text).chars().filter(|c| !c.is_whitespace()).take(TELLING).collect()
    };
    let (title, text, page) = (letters(&known.title), letters(&known.text), letters(&page.text));
    let said: HashSet<&[char]> = title.windows(RUN).chain(text.windows(RUN)).collect();
    said.is_empty() || page.windows(RUN).any(|run| said.contains(run))
}

/// Whether near-duplicates of a source go to review.
fn asks_about_twins(context: &Context, source: &str) -> bool {
    let mut sources = context.config.sources.iter();
    sources.any(|known| known.name == source && known.near_duplicates == NearDuplicates::Review)
}

/// What the source says, with what only the page tells. Pure.
fn merge(known: &Content, page: &Content) -> Content {
    let longer = page.text.chars().count() > known.text.chars().count();
    Content {
        title: if known.title.is_empty() { page.title.clone() } else { known.title.clone() },
        link: known.link.clone(),
        published: known.published.or(page.published),
        updated: known.updated.or(page.updated),
        author: known.author.clone().or_else(|| page.author.clone()),
        categories: if known.categories.is_empty() {
            page.categories.clone()
        } else {
            known.categories.clone()
        },
        image: known.image.clone().or_else(|| page.image.clone()),
        text: if longer { page.text.clone() } else { known.text.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        Content {
            title: "หัวข้อ".into(),
            link: Some("https://a.example/1".into()),
            text: text.into(),
            ..Content::default()
        }
    }

    #[test]
    fn a_short_or_broken_off_text_is_an_excerpt() {
        assert!(is_excerpt(&content("")));
        assert!(is_excerpt(&content("ข่าวสั้น")));
        assert!(is_excerpt(&content(&format!("{}…", "ก".repeat(900)))));
        assert!(!is_excerpt(&content(&"ก".repeat(900))));
        assert!(!is_excerpt(&Content { link: None, ..content("") }));
    }

    #[test]
    fn a_page_adds_and_never_replaces_headline_or_link() {
        let page = Content {
            title: "หัวข้ออื่น".into(),
            link: Some("https://a.example/other".into()),
            image: Some("https://a.example/1.jpg".into()),
            ..content("เนื้อความเต็ม")
        };
        let merged = merge(&content("สั้น"), &page);
        assert_eq!((merged.title.as_str(), merged.link.as_deref()), ("หัวข้อ", Some("https://a.example/1")));
        assert_eq!((merged.text.as_str(), merged.image), ("เนื้อความเต็ม", page.image));
    }

    #[track_caller]
    fn check_same(excerpt: &str, page: &str, same: bool) {
        let title = "ผู้ว่าฯ สงขลา สั่งเฝ้าระวังน้ำท่วม 16 อำเภอ";
        let known = Content { title: title.into(), ..content(excerpt) };
        assert_eq!(tells_the_same(&known, &content(page)), same, "{excerpt} / {page}");
    }

    #[test]
    fn a_wall_is_told_from_the_article() {
        let story = "ผู้ว่าราชการจังหวัดสงขลาสั่งการให้ทุกอำเภอเฝ้าระวังน้ำท่วมฉับพลันตลอดทั้งคืน";
        check_same("", story, true);
        check_same("ผู้ว่าราชการจังหวัดสงขลาสั่งการให้ทุกอำเภอ […]", story, true);
        let wall = "กรุณาเข้าสู่ระบบเพื่ออ่านต่อ สมัครสมาชิกวันนี้รับสิทธิ์อ่านข่าวไม่จำกัดและยกเลิกได้ทุกเมื่อ";
        check_same("", wall, false);
        check_same("ผู้ว่าราชการจังหวัดสงขลาสั่งการ", wall, false);
        assert!(tells_the_same(&Content::default(), &content(wall)), "nothing was announced");
    }

    #[test]
    fn a_page_that_says_less_than_the_source_adds_no_text() {
        assert_eq!(merge(&content("ยาวกว่ามาก"), &content("สั้น")).text, "ยาวกว่ามาก");
    }
}
