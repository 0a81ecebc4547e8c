//! Collect: polls a source and stores its articles.
//!
//! Whether an article is news is never decided by its date alone but by the set of identities seen before:
//! editors back-date, schedulers are late, and a feed's window moves (feeds.md section 2).

use std::time::Duration;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use serde_json::json;
use tracing::info;
use tracing::warn;

use crate::clock;
use crate::config::source::NearDuplicates;
use crate::config::source::Poll;
use crate::config::source::Source;
use crate::feed::parse;
use crate::feed::parse::Feed;
use crate::http::fetch::FetchError;
use crate::http::fetch::Fetched;
use crate::http::fetch::Limits;
use crate::http::fetch::Trust;
use crate::metric;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::model::article::aliases;
use crate::model::article::alike_reason;
use crate::model::article::are_titles_alike;
use crate::model::article::content_hash;
use crate::model::article::image_hash;
use crate::model::audit::Action;
use crate::model::boilerplate;
use crate::model::hash;
use crate::model::lane::Lane;
use crate::model::source::Memory;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::read;
use crate::store::article;
use crate::store::article::Arrival;
use crate::store::audit;
use crate::store::boilerplate as learnt;
use crate::store::boilerplate::Lines;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::source;
use crate::store::source::Polled;

/// A source is asked without conditions this often, because a validator of one-second grain can hide a
/// second article behind a 304 (feeds.md section 5).
const UNCONDITIONAL_EVERY: TimeDelta = TimeDelta::minutes(45);

/// Other nodes leave a source alone for this long while one polls it; longer than any fetch may take.
const LEASE: Duration = Duration::from_secs(60);

/// The longest wait after errors (feeds.md section 8).
const LONGEST_BACKOFF: Duration = Duration::from_secs(15 * 60);

/// Errors in a row before polling slows down (design.md section 7).
const PATIENT_ERRORS: i64 = 3;

/// The longest `Retry-After` that is obeyed (feeds.md section 5).
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Within this time the same headline under a new identity is a near-duplicate (feeds.md section 7).
pub const TWIN_WITHIN: TimeDelta = TimeDelta::hours(48);

/// An article that keeps changing is posted after this many times `settle` (design.md section 5).
const PATIENT_SETTLES: u32 = 5;

/// Polls the source whose turn it is.
///
/// # Errors
/// What the database says. A source that fails is remembered as failing and does not stop the others.
pub async fn step(context: &Context) -> Result<Step> {
    let now = context.now();
    let Some(known) = source::claim_due(&context.db, &context.node, now, LEASE).await? else {
        return Ok(Step::Idle);
    };
    let Some(source) = context.config.sources.iter().find(|source| source.name == known.name) else {
        retire(context, &known).await?;
        return Ok(Step::Worked);
    };
    let conditions = conditions(&known, now);
    let fetched = context.fetcher.get(&source.url, Trust::Operator, &conditions, Limits::FEED).await;
    let interval = interval(context, source).await?;
    let answer = judge(&known, fetched, context.now());
    store(context, source, &known, answer, now, interval).await?;
    Ok(Step::Worked)
}

/// What an answer comes to, before anything is stored.
enum Verdict {
    /// 304, or the same body again.
    Unchanged { result: &'static str, memory: Option<Memory> },
    /// A readable body.
    Read { feed: Feed, memory: Memory },
    /// Nothing that can be read.
    Failed { error: String, retry_after: Option<Duration> },
}

fn judge(
    known: &source::Source,
    fetched: std::result::Result<Fetched, FetchError>,
    now: DateTime<Utc>,
) -> Verdict {
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => {
            return Verdict::Failed { retry_after: error.retry_after(), error: error.to_string() };
        }
    };
    if fetched.not_modified {
        return Verdict::Unchanged { result: "not_modified", memory: None };
    }
    let memory = Memory {
        etag: fetched.etag,
        last_modified: fetched.last_modified,
        body_hash: Some(hash::sha256_hex(&fetched.body)),
    };
    if known.memory.body_hash.is_some() && known.memory.body_hash == memory.body_hash {
        return Verdict::Unchanged { result: "unchanged", memory: Some(memory) };
    }
    match parse::read(&fetched.body, fetched.content_type.as_deref(), Some(&fetched.final_url), now) {
        Ok(feed) => Verdict::Read { feed, memory },
        Err(error) => Verdict::Failed { error: error.to_string(), retry_after: None },
    }
}

async fn store(
    context: &Context,
    source: &Source,
    known: &source::Source,
    verdict: Verdict,
    polled_at: DateTime<Utc>,
    interval: Duration,
) -> Result<()> {
    let stamp = context.stamp("collect");
    let mut tx = context.db.begin().await?;
    tx.lock("collect").await?;
    let read = matches!(verdict, Verdict::Read { .. });
    // The clock may have been put back while the answer was awaited.
    let polled_at = polled_at.min(stamp.at);
    let regular = polled_at + clock::span(interval);
    let mut taken = Taken::default();
    let mut lines = Vec::new();
    let polled = match verdict {
        Verdict::Unchanged { result, memory } => {
            Polled { result, error: None, memory, read: false, next_poll_at: regular }
        }
        Verdict::Read { feed, memory } => {
            for problem in &feed.problems {
                warn!(source.name = source.name, "Source {}: {problem}", source.name);
            }
            let body_hash = memory.body_hash.clone().unwrap_or_default();
            let first = known.first_read_at.is_none();
            let mut visit = Visit { context, source, first, body_hash, lines: Vec::new() };
            taken = visit.take_in(&mut tx, feed.entries).await?;
            lines = visit.lines;
            let news = taken.news;
            if news > 0 {
                info!(
                    source.name = source.name,
                    articles = news,
                    "Source {} brought {news} new articles",
                    source.name
                );
            }
            let problems = (!feed.problems.is_empty()).then(|| feed.problems.join("; "));
            // A body that is not the same byte for byte may still bring no article: WordPress writes a build date.
            let result = if taken == Taken::default() { "unchanged" } else { "new" };
            Polled { result, error: problems, memory: Some(memory), read: true, next_poll_at: regular }
        }
        Verdict::Failed { error, retry_after } => {
            warn!(source.name = source.name, error, "Source {} could not be read", source.name);
            if known.errors == 0 {
                let mut entry = stamp.entry(Action::SourceFailing);
                entry.object = Some(format!("source {}", source.name));
                entry.detail = json!({ "reason": error });
                audit::append(&mut tx, &entry).await?;
            }
            let wait = error_wait(interval, known.errors + 1, retry_after);
            let next_poll_at = polled_at + clock::span(wait);
            Polled { result: "error", error: Some(error), memory: None, read: false, next_poll_at }
        }
    };
    if polled.result != "error" && known.errors > 0 {
        let mut entry = stamp.entry(Action::SourceRecovered);
        entry.object = Some(format!("source {}", source.name));
        audit::append(&mut tx, &entry).await?;
    }
    source::note_poll(&mut tx, &source.name, &polled, context.now()).await?;
    // Most polls bring nothing, and nobody waits for that.
    if read {
        tx.commit().await?;
    } else {
        tx.commit_quietly().await?;
    }
    learnt::count(&context.db, &lines, context.now()).await?;
    metric::poll(&source.name, polled.result);
    for (step, articles) in [("collected", taken.news), ("seen", taken.seen), ("changed", taken.changed)]
        .into_iter()
        .filter(|(_, n)| *n > 0)
    {
        metric::articles(step, articles);
    }
    Ok(())
}

/// A source that is not in the configuration any more sleeps for a day; its memory stays.
async fn retire(context: &Context, known: &source::Source) -> Result<()> {
    let now = context.now();
    let next_poll_at = now + TimeDelta::days(1);
    let polled = Polled { result: "unchanged", error: None, memory: None, read: false, next_poll_at };
    let mut tx = context.db.begin().await?;
    source::note_poll(&mut tx, &known.name, &polled, now).await?;
    tx.commit().await
}

/// What a readable answer came to, in articles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    /// To be posted.
    news: usize,
    /// Only recorded.
    seen: usize,
    /// Known ones with other words.
    changed: usize,
}

/// One readable answer of a source on its way into the store.
struct Visit<'a> {
    context: &'a Context,
    source: &'a Source,
    first: bool,
    body_hash: String,
    /// What the new articles teach of their sites.
    lines: Vec<Lines>,
}

impl Visit<'_> {
    /// Stores what the entries bring, oldest first. Returns how many articles that made or changed.
    async fn take_in(&mut self, tx: &mut Tx, mut entries: Vec<Entry>) -> Result<Taken> {
        let mut taken = Taken::default();
        entries.reverse();
        let mut unknown = Vec::new();
        for entry in entries {
            let names = aliases(&self.source.name, &entry);
            match article::find_by_alias(tx, &names).await? {
                Some(known) => {
                    taken.changed += usize::from(self.meet_again(tx, &known, &entry, &names).await?);
                }
                None => unknown.push((entry, names)),
            }
        }
        let now = self.context.now();
        let contents: Vec<&Content> = unknown.iter().map(|(entry, _)| &entry.content).collect();
        let verdicts = sift(&contents, self.source, self.first, now);
        let news = verdicts.iter().filter(|verdict| verdict.is_none()).count();
        let flood = !self.first && self.source.flood_limit > 0 && news > self.source.flood_limit as usize;
        if flood {
            self.report_flood(tx, news).await?;
        }
        for ((entry, names), only_seen) in unknown.iter().zip(verdicts) {
            self.meet_first(tx, entry, names, only_seen, flood).await?;
        }
        taken.news = news;
        taken.seen = unknown.len() - news;
        Ok(taken)
    }

    async fn meet_first(
        &mut self,
        tx: &mut Tx,
        entry: &Entry,
        names: &[String],
        only_seen: Option<String>,
        flood: bool,
    ) -> Result<()> {
        // Two entries of one answer may share an alias.
        if let Some(known) = article::find_by_alias(tx, names).await? {
            return article::add_aliases(tx, known.id, names).await;
        }
        let stamp = self.context.stamp("collect");
        let mut review = Vec::new();
        if only_seen.is_none() {
            review.extend(flood.then(|| "flood".to_owned()));
            let content = &entry.content;
            if content.title.is_empty() {
                review.push("no_headline: the source gives none".to_owned());
            } else if self.source.near_duplicates == NearDuplicates::Review {
                review.extend(twin(tx, content, stamp.at - TWIN_WITHIN).await?);
            }
            if content.link.is_none() {
                review.push("no_link: the source gives none".to_owned());
            }
        }
        let settle_at = if self.is_breaking(&entry.content) {
            stamp.at
        } else {
            stamp.at + clock::span(self.source.settle)
        };
        let wants_page = only_seen.is_none() && read::is_excerpt(&entry.content);
        let arrival = Arrival { only_seen, review, settle_at, wants_page };
        let id = article::insert(tx, &stamp, &self.source.name, entry, &self.body_hash, &arrival).await?;
        self.lines.extend(lines(id, &entry.content));
        article::add_aliases(tx, id, names).await
    }

    /// Adds what is new of a known article. Returns whether its words changed.
    async fn meet_again(
        &self,
        tx: &mut Tx,
        known: &article::Article,
        entry: &Entry,
        names: &[String],
    ) -> Result<bool> {
        article::add_aliases(tx, known.id, names).await?;
        let stamp = self.context.stamp("collect");
        let is_news = !self.first && too_old(&entry.content, self.source, stamp.at).is_none();
        if is_news && known.state != "seen" && !known.sources.contains(&self.source.name) {
            article::add_source(tx, known, &self.source.name, stamp.at).await?;
        }
        // Another source's wording of the same story is not an edit of it.
        let first_source = known.sources.first().is_none_or(|first| *first == self.source.name);
        let changed =
            first_source && content_hash(&entry.content) != known.hash && !entry.content.title.is_empty();
        if changed {
            let settle = clock::span(self.source.settle);
            let settle_at = (stamp.at + settle).min(known.first_seen_at + settle * PATIENT_SETTLES as i32);
            article::change(tx, &stamp, known, &self.source.name, &entry.content, &self.body_hash, settle_at)
                .await?;
        }
        Ok(changed)
    }

    async fn report_flood(&self, tx: &mut Tx, news: usize) -> Result<()> {
        let limit = self.source.flood_limit;
        warn!(
            source.name = self.source.name,
            "Source {} brought {news} new articles at once, more than flood_limit = {limit}: all go to review",
            self.source.name
        );
        let mut entry = self.context.stamp("collect").entry(Action::SourceFlooded);
        entry.object = Some(format!("source {}", self.source.name));
        entry.detail = json!({ "articles": news, "flood_limit": limit });
        audit::append(tx, &entry).await
    }

    /// Whether a breaking route takes it: then it does not wait to settle.
    fn is_breaking(&self, content: &Content) -> bool {
        self.context.config.routes.iter().any(|route| {
            route.lane == Lane::Breaking
                && route.sources.contains(&self.source.name)
                && crate::pipeline::compose::takes(&route.categories, &content.categories)
        })
    }
}

/// What an article teaches of its site.
pub fn lines(article: i64, content: &Content) -> Option<Lines> {
    Some(Lines { host: boilerplate::host(content)?, article, hashes: boilerplate::hashes(&content.text) })
}

/// Why an article that is new by all its names may yet be a known story (feeds.md section 7, rule 3).
async fn twin(tx: &mut Tx, content: &Content, since: DateTime<Utc>) -> Result<Option<String>> {
    if article::has_twin(tx, &content.title, since).await? {
        return Ok(Some("near_duplicate: the same headline came under another identity".to_owned()));
    }
    let Some(image_hash) = image_hash(content) else { return Ok(None) };
    let titles = article::list_titles_by_image(tx, &image_hash, None, since).await?;
    let twin = titles.iter().find(|title| are_titles_alike(&content.title, title));
    Ok(twin.map(|twin| alike_reason(twin)))
}

/// For each unknown entry, oldest first: `None` if it is news, else why it is only recorded. Pure.
fn sift(contents: &[&Content], source: &Source, first: bool, now: DateTime<Utc>) -> Vec<Option<String>> {
    let mut verdicts: Vec<Option<String>> =
        contents.iter().map(|content| too_old(content, source, now)).collect();
    if !first {
        return verdicts;
    }
    // By date where the source gives one; entries without a date keep their place behind those that have one.
    let mut newest: Vec<usize> = (0..contents.len()).rev().collect();
    newest.sort_by_key(|&at| std::cmp::Reverse(contents.get(at).and_then(|content| content.published)));
    for &at in newest.iter().skip(source.backfill as usize) {
        if let Some(verdict) = verdicts.get_mut(at) {
            *verdict = Some("backlog: it was there when the source was first read".to_owned());
        }
    }
    verdicts
}

fn too_old(content: &Content, source: &Source, now: DateTime<Utc>) -> Option<String> {
    let published = content.published?;
    (published + clock::span(source.max_age) < now)
        .then(|| format!("too_old: published {published}, longer ago than max_age"))
}

fn conditions(known: &source::Source, now: DateTime<Utc>) -> Memory {
    match known.full_read_at {
        Some(read) if read + UNCONDITIONAL_EVERY > now => known.memory.clone(),
        _ => Memory::default(),
    }
}

/// The pause between polls: as configured, or, with `poll = "auto"`, a quarter of the usual gap between articles.
async fn interval(context: &Context, source: &Source) -> Result<Duration> {
    match source.poll {
        Poll::Every(interval) => Ok(interval),
        Poll::Auto => Ok(auto_interval(&article::list_arrivals(&context.db, &source.name, 20).await?)),
    }
}

/// Between one and ten minutes; two while too little is known (feeds.md section 8). `arrivals` newest first.
fn auto_interval(arrivals: &[DateTime<Utc>]) -> Duration {
    let mut gaps: Vec<TimeDelta> = arrivals.windows(2).map(|pair| pair[0] - pair[1]).collect();
    gaps.sort();
    let Some(median) = gaps.get(gaps.len() / 2).filter(|_| gaps.len() >= 3) else {
        return Duration::from_secs(120);
    };
    (*median / 4).to_std().unwrap_or_default().clamp(Duration::from_secs(60), Duration::from_secs(600))
}

fn error_wait(interval: Duration, errors: i64, retry_after: Option<Duration>) -> Duration {
    let doublings = u32::try_from((errors - PATIENT_ERRORS).clamp(0, 16)).unwrap_or(0);
    let backed_off =
        interval.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST_BACKOFF.max(interval));
    retry_after.map_or(backed_off, |asked| backed_off.max(asked.min(LONGEST_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minute * 60, 0).unwrap()
    }

    #[track_caller]
    fn check_wait(errors: i64, retry_after: Option<u64>, seconds: u64) {
        let retry_after = retry_after.map(Duration::from_secs);
        assert_eq!(error_wait(Duration::from_secs(120), errors, retry_after), Duration::from_secs(seconds));
    }

    #[test]
    fn errors_slow_polling_down_after_the_third_in_a_row() {
        check_wait(1, None, 120);
        check_wait(3, None, 120);
        check_wait(4, None, 240);
        check_wait(5, None, 480);
        check_wait(50, None, 900);
    }

    #[test]
    fn a_servers_wish_to_be_left_alone_is_obeyed_up_to_an_hour() {
        check_wait(1, Some(300), 300);
        check_wait(1, Some(10), 120);
        check_wait(1, Some(86_400), 3_600);
    }

    #[test]
    fn the_automatic_interval_follows_the_newsroom() {
        assert_eq!(auto_interval(&[]), Duration::from_secs(120));
        assert_eq!(auto_interval(&[at(60), at(40), at(20), at(0)]), Duration::from_secs(300));
        assert_eq!(auto_interval(&[at(3), at(2), at(1), at(0)]), Duration::from_secs(60));
        assert_eq!(auto_interval(&[at(9000), at(6000), at(3000), at(0)]), Duration::from_secs(600));
    }

    fn source(backfill: u32) -> Source {
        let text =
            format!("[[source]]\nname = \"s\"\nurl = \"http://s.example/feed\"\nbackfill = {backfill}\n");
        let env = std::collections::BTreeMap::<String, String>::new();
        crate::config::parse("test.toml", &text, &env).unwrap().sources.remove(0)
    }

    fn contents(minutes: &[Option<i64>]) -> Vec<Content> {
        minutes.iter().map(|minute| Content { published: minute.map(at), ..Content::default() }).collect()
    }

    #[track_caller]
    fn check_sift(backfill: u32, first: bool, minutes: &[Option<i64>], news: &[bool]) {
        let contents = contents(minutes);
        let refs: Vec<&Content> = contents.iter().collect();
        let verdicts = sift(&refs, &source(backfill), first, at(2000));
        assert_eq!(verdicts.iter().map(Option::is_none).collect::<Vec<_>>(), news);
    }

    #[test]
    fn of_the_first_answer_only_the_newest_backfill_articles_are_news() {
        check_sift(0, true, &[Some(1990), Some(1991)], &[false, false]);
        check_sift(1, true, &[Some(1990), Some(1992), Some(1991)], &[false, true, false]);
        check_sift(9, true, &[Some(1990), None], &[true, true]);
    }

    #[test]
    fn later_answers_bring_news_unless_it_is_older_than_max_age() {
        check_sift(0, false, &[Some(1990), None, Some(100)], &[true, true, false]);
    }
}
