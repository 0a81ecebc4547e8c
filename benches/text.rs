//! Text: how many articles a second one core reads, shortens and words.
//!
//! The articles are the sandbox's own, each brought to about 3 kB with paragraphs of the others, so that nothing
//! is measured on text that nobody would print.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod figure;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::body::to_bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use http::Request;
use tower::ServiceExt as _;

use songkhao::clock;
use songkhao::config;
use songkhao::config::Config;
use songkhao::feed::parse;
use songkhao::model::article::Content;
use songkhao::pipeline::compose;
use songkhao::pipeline::summarize;
use songkhao::pipeline::template::Wording;
use songkhao::sandbox::Options;
use songkhao::sandbox::Sandbox;
use songkhao::text::cut;
use songkhao::text::extract;
use songkhao::text::length;
use songkhao::text::length::X_MAX;
use songkhao::text::words;

use crate::figure::Limit;

/// The size of an article's text in bytes of UTF-8; a Thai letter is three.
const ARTICLE: usize = 3_000;

/// A newsroom with one account on each platform.
const CONFIG: &str = r#"
[keys]
secret = { env = "SECRET" }
[[source]]
name = "newsroom"
url = "http://127.0.0.1:9/feed"
[[account]]
name = "facebook"
platform = "facebook"
page_id = "100000000000001"
access_token = { env = "SECRET" }
[[account]]
name = "x"
platform = "x"
oauth1 = { consumer_key = { env = "SECRET" }, consumer_secret = { env = "SECRET" }, access_token = { env = "SECRET" }, access_token_secret = { env = "SECRET" } }
[[account]]
name = "line"
platform = "line"
channel_id = "1234567890"
channel_secret = { env = "SECRET" }
[[route]]
name = "all"
sources = ["newsroom"]
accounts = ["facebook", "x", "line"]
"#;

static BENCH: LazyLock<Bench> = LazyLock::new(|| Bench::new().unwrap_or_else(|error| panic!("{error:#}")));

fn main() {
    divan::main();
    figure::head();
    let whole = rate(Bench::post);
    let extracted = rate(|_, article| extract::rank(&article.title, &article.text));
    let ours = rate(|_, article| words::boundaries(&article.text));
    let icu = rate(|_, article| words::dictionary_boundaries(&article.text));
    figure::row("articles to three cuts and three posts, one core", whole, "/s", Limit::AtLeast(200.0));
    figure::row("an article to three posts, one core", 1_000.0 / whole, " ms", Limit::AtMost(5.0));
    figure::row("words + extract alone, one core", extracted, "/s", Limit::AtLeast(1_000.0));
    figure::row("words alone", ours, "/s", Limit::None);
    figure::row("ICU's dictionary segmenter alone", icu, "/s", Limit::None);
    println!(
        "\nOf what ICU's segmenter does in the same time: words {:.2}, words + extract {:.2}, all {:.3}.",
        ours / icu,
        extracted / icu,
        whole / icu
    );
}

#[divan::bench]
fn words_to_posts(bencher: Bencher) {
    each(bencher, |bench, article| bench.post(article));
}

#[divan::bench]
fn words_and_extract(bencher: Bencher) {
    each(bencher, |_, article| extract::rank(&article.title, &article.text));
}

#[divan::bench]
fn hashtags(bencher: Bencher) {
    each(bencher, |_, article| {
        songkhao::text::keyword::hashtags(&article.categories, &article.title, &article.text, 3)
    });
}

#[divan::bench]
fn three_cuts(bencher: Bencher) {
    each(bencher, |_, article| cuts(article));
}

#[divan::bench]
fn words_alone(bencher: Bencher) {
    each(bencher, |_, article| words::boundaries(&article.text));
}

#[divan::bench]
fn icu_dictionary(bencher: Bencher) {
    each(bencher, |_, article| words::dictionary_boundaries(&article.text));
}

fn each<T>(bencher: Bencher<'_, '_>, work: impl Fn(&Bench, &Content) -> T + Sync) {
    let bench = &*BENCH;
    bencher.counter(ItemsCount::new(bench.articles.len())).bench(|| {
        for article in &bench.articles {
            black_box(work(bench, article));
        }
    });
}

/// Articles a second: the best of five rounds, for what else the machine does only ever slows one down.
fn rate<T>(work: impl Fn(&Bench, &Content) -> T) -> f64 {
    let bench = &*BENCH;
    let round = || {
        let begun = clock::monotonic();
        let mut done = 0;
        while begun.elapsed() < Duration::from_millis(400) {
            for article in &bench.articles {
                black_box(work(bench, article));
            }
            done += bench.articles.len();
        }
        done as f64 / begun.elapsed().as_secs_f64()
    };
    (0..5).map(|_| round()).fold(0.0, f64::max)
}

/// The three budgets a body is cut to: a Facebook summary, a post on X, a LINE bubble.
fn cuts(article: &Content) -> [String; 3] {
    [
        cut::cut_with_ellipsis(&article.text, 480),
        cut::cut_with_ellipsis_by(&article.text, X_MAX, length::weighted),
        cut::cut_with_ellipsis(&article.text, 160),
    ]
}

/// What every round works on.
struct Bench {
    config: Config,
    wording: Wording,
    articles: Vec<Content>,
}

impl Bench {
    fn new() -> anyhow::Result<Bench> {
        let secret = "a secret of at least thirty-two bytes".to_owned();
        let env = BTreeMap::from([("SECRET".to_owned(), secret)]);
        let config =
            config::parse("bench.toml", CONFIG, &env).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
        let wording = Wording::compile(&config)?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let articles = runtime.block_on(articles())?;
        Ok(Bench { config, wording, articles })
    }

    /// The whole way of one article: words, ranks, hashtags, three cuts, three posts frozen to their bytes.
    fn post(&self, article: &Content) -> usize {
        let made = summarize::write(article, None, 3);
        let route = &self.config.routes[0];
        let payload = |account| compose::payload(&self.wording, route, account, &[&made], false);
        let posts = self.config.accounts.iter().map(payload);
        let bytes: usize = posts.map(|post| post.map_or(0, |payload| payload.body.len())).sum();
        bytes + cuts(article).iter().map(String::len).sum::<usize>()
    }
}

/// The sandbox's articles as a poll would bring them, each of [`ARTICLE`] bytes or a little less.
async fn articles() -> anyhow::Result<Vec<Content>> {
    let sandbox = Sandbox::new(Options::at("http://127.0.0.1:9", Arc::new(clock::now)));
    let request = Request::get("/feed?count=100").body(Body::empty())?;
    let response = sandbox.router().oneshot(request).await?;
    let body = to_bytes(response.into_body(), usize::MAX).await?;
    let feed = parse::read(&body, None, None, clock::now()).context("the sandbox's feed")?;
    let mut contents: Vec<Content> = feed.entries.into_iter().map(|entry| entry.content).collect();
    let paragraphs: Vec<String> =
        contents.iter().flat_map(|content| content.text.lines().skip(1).map(str::to_owned)).collect();
    let mut more = paragraphs.iter().cycle();
    for content in &mut contents {
        while content.text.len() < ARTICLE {
            content.text.push('\n');
            content.text.push_str(more.next().context("the sandbox has no paragraphs")?);
        }
        content.text.truncate(content.text.floor_char_boundary(ARTICLE));
    }
    Ok(contents)
}
