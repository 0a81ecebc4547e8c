//! Idle: what the daemon costs while nothing happens: start, memory, processor, polls.
//!
//! `cargo bench --bench idle -- small` or `-- many` runs one half. Five minutes of ten thousand sources are scaled to
//! one: a fifth of the polls in a fifth of the time, at the true rate.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod daemon;
mod figure;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod newsroom;

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteConnection;

use songkhao::clock;

use crate::daemon::BINARY;
use crate::daemon::Daemon;
use crate::figure::Limit;
use crate::newsroom::Newsroom;
use crate::newsroom::share_of;

/// How long one source is watched.
const WINDOW: Duration = Duration::from_secs(30);

/// Starts; the one in the middle counts.
const STARTS: usize = 5;

/// Many sources.
const SOURCES: usize = 10_000;

/// How often each of them is polled.
const INTERVAL: Duration = Duration::from_secs(300);

/// How long many sources are watched: a fifth of their interval.
const MANY_WINDOW: Duration = Duration::from_secs(60);

/// The first round of many sources may take so long.
const FIRST_ROUND: Duration = Duration::from_secs(240);

/// The time a daemon gets to come to rest.
const REST: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    figure::head();
    if is_wanted("small") {
        small().await?;
    }
    if is_wanted("many") {
        many().await?;
    }
    Ok(())
}

/// One source at the shortest interval.
async fn small() -> anyhow::Result<()> {
    figure::row("binary", fs::metadata(BINARY)?.len() as f64 / 1e6, " MB", Limit::AtMost(30.0));
    let folder = tempfile::tempdir()?;
    let newsroom = Newsroom::open(usize::MAX).await?;
    daemon::write_config(folder.path(), &newsroom.base, &[(format!("{}/feed", newsroom.base), "1s")])?;
    let first = Daemon::start(folder.path())?;
    figure::row("first start, new database", millis(first.ready_after), " ms", Limit::None);
    tokio::time::sleep(REST).await;
    first.stop()?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let daemon = Daemon::start(folder.path())?;
        starts.push(daemon.ready_after);
        daemon.stop()?;
    }
    starts.sort();
    figure::row("start to ready", millis(starts[STARTS / 2]), " ms", Limit::AtMost(100.0));
    let daemon = Daemon::start(folder.path())?;
    tokio::time::sleep(REST).await;
    newsroom.take_polls();
    let used = watch(&daemon, WINDOW).await?;
    let polls = newsroom.take_polls();
    figure::row("idle memory", daemon.memory()?.0, " MB", Limit::AtMost(30.0));
    figure::row("idle CPU at poll = \"1s\"", used, " % of a core", Limit::AtMost(0.5));
    figure::row("polls answered 304", share_of(&polls, 304) * 100.0, " %", Limit::AtLeast(95.0));
    figure::row("polls a second", polls.len() as f64 / WINDOW.as_secs_f64(), "", Limit::None);
    daemon.stop()
}

/// Ten thousand sources every five minutes.
async fn many() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let newsroom = Newsroom::open(0).await?;
    let sources: Vec<(String, &str)> =
        (0..SOURCES).map(|number| (format!("{}/many/{number}", newsroom.base), "5m")).collect();
    daemon::write_config(folder.path(), &newsroom.base, &sources)?;
    let daemon = Daemon::start(folder.path())?;
    figure::row("10,000 sources: start to ready", millis(daemon.ready_after), " ms", Limit::None);
    let begun = clock::monotonic();
    while newsroom.count_polls() < SOURCES {
        ensure!(begun.elapsed() < FIRST_ROUND, "the first round came to {} polls", newsroom.count_polls());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rate = SOURCES as f64 / begun.elapsed().as_secs_f64();
    figure::row("10,000 sources: first round", rate, " polls/s", Limit::None);
    figure::row("10,000 sources: peak memory of it", daemon.memory()?.1, " MB", Limit::AtMost(200.0));
    daemon.stop()?;
    spread(folder.path()).await?;
    let daemon = Daemon::start(folder.path())?;
    tokio::time::sleep(REST).await;
    newsroom.take_polls();
    let used = watch(&daemon, MANY_WINDOW).await?;
    let polls = newsroom.take_polls();
    let due = SOURCES as f64 * MANY_WINDOW.as_secs_f64() / INTERVAL.as_secs_f64();
    figure::row("10,000 sources: memory", daemon.memory()?.0, " MB", Limit::AtMost(200.0));
    figure::row("10,000 sources: CPU", used, " % of a core", Limit::AtMost(50.0));
    figure::row(
        "10,000 sources: polls made of those due",
        polls.len() as f64 / due * 100.0,
        " %",
        Limit::AtLeast(95.0),
    );
    figure::row(
        "10,000 sources: polls answered 304",
        share_of(&polls, 304) * 100.0,
        " %",
        Limit::AtLeast(95.0),
    );
    daemon.stop()
}

/// Makes the sources due one after another, as they are after some hours, instead of all at once.
async fn spread(folder: &Path) -> anyhow::Result<()> {
    let options = SqliteConnectOptions::new().filename(folder.join("songkhao.db"));
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let step = INTERVAL.as_micros() as i64 / SOURCES as i64;
    sqlx::query("UPDATE source SET lease_until = 0, next_poll_at = $1 + rowid * $2")
        .bind(clock::micros(clock::now()))
        .bind(step)
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// The share of one core, in per cent, that the daemon uses over a while.
async fn watch(daemon: &Daemon, window: Duration) -> anyhow::Result<f64> {
    let before = daemon.cpu()?;
    tokio::time::sleep(window).await;
    Ok((daemon.cpu()? - before).as_secs_f64() / window.as_secs_f64() * 100.0)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
