//! Posting: a hundred new articles to three platforms, from the changed feed to the last acceptance.
//!
//! The real binary on SQLite with `synchronous=FULL` against the sandbox in this process. In the same round a bare
//! loop makes as many durable inserts and requests, so that disk and network are counted out.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod daemon;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod figure;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod newsroom;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;
use reqwest::header::CONTENT_TYPE;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteConnection;
use sqlx::sqlite::SqliteJournalMode;
use sqlx::sqlite::SqliteSynchronous;

use songkhao::clock;
use songkhao::http;
use songkhao::http::Timeouts;
use songkhao::model::account::Platform;
use songkhao::sandbox::NewArticle;
use songkhao::sandbox::Published;

use crate::daemon::Daemon;
use crate::figure::Limit;
use crate::newsroom::Newsroom;

const ARTICLES: usize = 100;
const ACCOUNTS: usize = 3;
const POSTS: usize = ARTICLES * ACCOUNTS;

/// Rounds; the one in the middle counts.
const ROUNDS: usize = 3;

/// A round that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long recording and sealing may go on behind the last acceptance; their processor time counts too.
const AFTERMATH: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round().await?);
    }
    let middle = |of: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let wall = middle(|round| round.wall.as_secs_f64());
    let bare = middle(|round| round.bare.as_secs_f64());
    figure::head();
    figure::row("100 articles × 3 accounts: wall", wall, " s", Limit::AtMost(1.5));
    figure::row(
        "100 articles × 3 accounts: CPU",
        middle(|round| round.cpu.as_secs_f64()),
        " s",
        Limit::AtMost(1.5),
    );
    figure::row("bare loop: 300 durable inserts and POSTs", bare, " s", Limit::None);
    figure::row("wall / bare loop", middle(Round::ratio), "", Limit::AtMost(4.0));
    Ok(())
}

/// What one round took.
#[derive(Debug)]
struct Round {
    wall: Duration,
    cpu: Duration,
    bare: Duration,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.wall.as_secs_f64() / self.bare.as_secs_f64()
    }
}

async fn round() -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let newsroom = Newsroom::open(0).await?;
    let feed = format!("{}/feed?count=1000", newsroom.base);
    daemon::write_config(folder.path(), &newsroom.base, &[(feed, "1s")])?;
    let daemon = Daemon::start(folder.path())?;
    // The first look is backlog; right after the second there is the most time until the next.
    until(|| newsroom.count_polls() >= 2).await?;
    newsroom.take_polls();
    let cpu = daemon.cpu()?;
    publish(&newsroom);
    until(|| newsroom.sandbox.published().len() >= POSTS).await?;
    tokio::time::sleep(AFTERMATH).await;
    let cpu = daemon.cpu()? - cpu;
    let published = newsroom.sandbox.published();
    ensure!(published.len() == POSTS, "{} posts instead of {POSTS}", published.len());
    let changed = newsroom.take_polls().into_iter().find(|poll| poll.status == 200);
    let changed = changed.context("no poll saw the change")?.at;
    let last = published.iter().map(|post| post.at).max().unwrap_or(changed);
    daemon.stop()?;
    let bare = bare_loop(folder.path(), &newsroom.base, &published).await?;
    Ok(Round { wall: (last - changed).to_std()?, cpu, bare })
}

/// Puts all articles out at once, each like no other and of some three kilobytes.
fn publish(newsroom: &Newsroom) {
    for number in 0..ARTICLES {
        let paragraphs = (1..=8).map(|part| {
            format!(
                "กรุงเทพฯ เปิดเส้นทางเดินเรือสายที่ {number} ช่วงที่ {part} ให้ประชาชนใช้ฟรีเป็นเวลา {} วัน เริ่มเวลา 06:00 น. ของวันพรุ่งนี้ \
                 เจ้าหน้าที่ระบุว่ามีเรือทั้งหมด {} ลำ และจะเพิ่มเที่ยวเรือในวันหยุดตามความต้องการของประชาชน",
                number + 10,
                part + 20
            )
        });
        newsroom.sandbox.publish(NewArticle {
            title: format!("เปิดเดินเรือสายที่ {number} ให้ประชาชนใช้ฟรีพรุ่งนี้"),
            body: paragraphs.collect::<Vec<_>>().join("\n"),
            slug: Some(format!("boat-{number}")),
            categories: vec!["กรุงเทพฯ".to_owned()],
            ..NewArticle::default()
        });
    }
}

/// One insert that survives power loss and one request after another: the same bytes to the same platforms.
async fn bare_loop(folder: &Path, base: &str, posts: &[Published]) -> anyhow::Result<Duration> {
    http::install_tls();
    let timeouts = Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(5) };
    let client = http::platform_client(timeouts)?;
    let options = SqliteConnectOptions::new()
        .filename(folder.join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query("CREATE TABLE sent (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        .execute(&mut connection)
        .await?;
    let begun = clock::monotonic();
    for Published { platform, account, body, .. } in posts {
        sqlx::query("INSERT INTO sent (body) VALUES ($1)").bind(body).execute(&mut connection).await?;
        let path = match platform {
            Platform::Facebook => format!("facebook/v26.0/{account}/feed"),
            Platform::X => "x/2/tweets".to_owned(),
            Platform::Line => "line/v2/bot/message/broadcast".to_owned(),
        };
        let request = client.post(format!("{base}/{path}")).bearer_auth("bare").body(body.clone());
        let request = request.header(CONTENT_TYPE, "application/json");
        request.send().await?.error_for_status()?.bytes().await?;
    }
    let elapsed = begun.elapsed();
    connection.close().await?;
    Ok(elapsed)
}

async fn until(done: impl Fn() -> bool) -> anyhow::Result<()> {
    let begun = clock::monotonic();
    while !done() {
        ensure!(begun.elapsed() < PATIENCE, "nothing came within {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
