//! Delivery: what a durable send costs, beside the bare disk and beside itself.
//!
//! Turns on SQLite with `synchronous=FULL` against the fsync rate of the same disk; claims on a short and on a
//! long queue; and the real binary when ten thousand posts fall due in the same second.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod daemon;
mod figure;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod newsroom;
mod queue;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;
use chrono::TimeDelta;

use songkhao::clock;
use songkhao::model::attempt::Receipt;
use songkhao::model::delivery::Delivery;
use songkhao::model::transition::Event;
use songkhao::model::transition::Policy;
use songkhao::store::audit::Stamp;
use songkhao::store::claim::Claim;
use songkhao::store::claim::Terms;
use songkhao::store::claim::Wish;
use songkhao::store::db::Db;
use songkhao::store::finish::Outcome;
use songkhao::store::turn;

use crate::daemon::Daemon;
use crate::figure::Limit;
use crate::newsroom::Newsroom;

/// Accounts that send side by side: the dispatcher's commit takes at most as many.
const ACCOUNTS: usize = 64;

/// Posts that fall due at once, and on how many accounts (issue: no scan an item, at most 100 MB).
const RUSH: usize = 10_000;
const RUSH_ACCOUNTS: usize = 50;

/// How long after its start the daemon meets the rush: it is idle by then.
const LEAD: TimeDelta = TimeDelta::seconds(3);

/// A rush that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let only = std::env::args().nth(1).filter(|part| !part.starts_with('-'));
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    figure::head();
    if wanted("turns") {
        turns().await?;
    }
    if wanted("queue") {
        queues().await?;
    }
    if wanted("rush") {
        rush().await?;
    }
    Ok(())
}

/// One claim, and one answer, a commit; then as many as the dispatcher puts into one.
async fn turns() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let fsyncs = fsync_rate(folder.path())?;
    let bench = Bench::open(folder.path(), ACCOUNTS, ACCOUNTS * 20).await?;
    let single = bench.singly(ACCOUNTS * 4).await?;
    let batched = bench.together(ACCOUNTS * 12).await?;
    let commits = 2.0 / single.as_secs_f64();
    figure::row("fsyncs of 4 kB on the same disk", fsyncs, "/s", Limit::None);
    figure::row("a delivery by itself: durable commits", commits, "/s", Limit::None);
    figure::row("durable commits / fsyncs", commits / fsyncs, "", Limit::AtLeast(0.2));
    figure::row("a delivery by itself", single.as_secs_f64() * 1e3, " ms", Limit::None);
    figure::row("a delivery among 64", batched.as_secs_f64() * 1e3, " ms", Limit::None);
    let gain = single.as_secs_f64() / batched.as_secs_f64();
    figure::row("one of 64 together is faster by", gain, " ×", Limit::AtLeast(4.0));
    Ok(())
}

/// The same claim on a queue of a thousand, and of a million.
async fn queues() -> anyhow::Result<()> {
    let mut took = Vec::new();
    for waiting in [1_000, 1_000_000] {
        let folder = tempfile::tempdir()?;
        let bench = Bench::open(folder.path(), ACCOUNTS, waiting).await?;
        bench.singly(ACCOUNTS).await?;
        took.push(bench.singly(ACCOUNTS * 6).await?.as_secs_f64());
    }
    let [short, long] = took[..] else { return Ok(()) };
    figure::row("a delivery, 1,000 waiting", short * 1e3, " ms", Limit::None);
    figure::row("a delivery, 1,000,000 waiting", long * 1e3, " ms", Limit::None);
    figure::row("a delivery, 1,000,000 / 1,000 waiting", long / short, "", Limit::AtMost(1.5));
    Ok(())
}

/// Ten thousand posts due in the same second.
async fn rush() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let newsroom = Newsroom::open(0).await?;
    let accounts = queue::write_config(folder.path(), &newsroom.base, RUSH_ACCOUNTS)?;
    let file = folder.path().join("songkhao.db");
    let due = clock::now() + LEAD;
    queue::fill(&file, &accounts, RUSH, due).await?;
    let daemon = Daemon::start(folder.path())?;
    ensure!(clock::now() < due, "the daemon was ready only after the posts fell due");
    let deadline = clock::monotonic() + PATIENCE;
    while newsroom.sandbox.published().len() < RUSH {
        ensure!(
            clock::monotonic() < deadline,
            "{} posts after {PATIENCE:?}",
            newsroom.sandbox.published().len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (_, peak) = daemon.memory()?;
    let published = newsroom.sandbox.published();
    let first = published.iter().map(|post| post.at).min().context("there are posts")?;
    let last = published.iter().map(|post| post.at).max().context("there are posts")?;
    daemon.stop()?;
    ensure!(published.len() == RUSH, "{} posts instead of {RUSH}", published.len());
    let seconds = |span: TimeDelta| span.to_std().unwrap_or_default().as_secs_f64();
    figure::row(
        "10,000 due at once on 50 accounts: first send late by",
        seconds(first - due) * 1e3,
        " ms",
        Limit::AtMost(100.0),
    );
    figure::row("10,000 due at once: memory at most", peak, " MB", Limit::AtMost(100.0));
    figure::row("10,000 due at once: sends", RUSH as f64 / seconds(last - due), "/s", Limit::None);
    Ok(())
}

/// How often a second the disk under `folder` takes four kilobytes for good.
fn fsync_rate(folder: &Path) -> anyhow::Result<f64> {
    let mut file = File::create(folder.join("fsync"))?;
    let rounds = 500;
    let begun = clock::monotonic();
    for _ in 0..rounds {
        file.write_all(&[7; 4096])?;
        file.sync_all()?;
    }
    Ok(f64::from(rounds) / begun.elapsed().as_secs_f64())
}

/// A store with a queue, driven as the dispatcher does.
struct Bench {
    db: Db,
    accounts: Vec<String>,
}

impl Bench {
    async fn open(folder: &Path, accounts: usize, waiting: usize) -> anyhow::Result<Bench> {
        let file = folder.join("songkhao.db");
        let accounts: Vec<(String, _)> = queue::accounts(accounts).collect();
        queue::fill(&file, &accounts, waiting, clock::now() - TimeDelta::minutes(1)).await?;
        let db = Db::open(&format!("sqlite:{}", file.display()), clock::now()).await?;
        songkhao::store::account::ensure(&db, &accounts).await?;
        Ok(Bench { db, accounts: accounts.into_iter().map(|(name, _)| name).collect() })
    }

    /// The time a delivery takes with a commit for its claim and one for its answer.
    async fn singly(&self, deliveries: usize) -> anyhow::Result<Duration> {
        let begun = clock::monotonic();
        for account in self.accounts.iter().cycle().take(deliveries) {
            let claimed = self.turn(&[], std::slice::from_ref(account)).await?;
            ensure!(claimed.len() == 1, "nothing to claim on {account}");
            self.turn(&claimed, &[]).await?;
        }
        Ok(begun.elapsed() / u32::try_from(deliveries)?)
    }

    /// The time a delivery takes where all accounts go on together: answers and next claims in one commit.
    async fn together(&self, deliveries: usize) -> anyhow::Result<Duration> {
        let begun = clock::monotonic();
        let mut claimed = Vec::new();
        for _ in 0..deliveries / self.accounts.len() {
            claimed = self.turn(&claimed, &self.accounts).await?;
            ensure!(claimed.len() == self.accounts.len(), "{} claims", claimed.len());
        }
        self.turn(&claimed, &[]).await?;
        Ok(begun.elapsed() / u32::try_from(deliveries)?)
    }

    /// A turn; what it claimed, each with a receipt already.
    async fn turn(&self, outcomes: &[Outcome], free: &[String]) -> anyhow::Result<Vec<Outcome>> {
        let stamp = Stamp::step(clock::now(), "bench", "deliver");
        let wish = |account: &String| Wish { account: account.clone(), terms: terms() };
        let wishes: Vec<Wish> = free.iter().map(wish).collect();
        let turn = turn::turn(&self.db, &stamp, outcomes, &wishes).await?;
        Ok(turn
            .claims
            .into_iter()
            .filter_map(|claim| match claim {
                Claim::Sending(delivery) => Some(accepted(*delivery)),
                _ => None,
            })
            .collect())
    }
}

fn terms() -> Terms {
    Terms {
        shadow: false,
        quiet: false,
        min_gap: Duration::ZERO,
        lease: Duration::from_secs(120),
        boot: "bench".to_owned(),
        policy: policy(),
    }
}

fn policy() -> Policy {
    Policy {
        retry_base: Duration::from_secs(2),
        retry_cap: Duration::from_secs(900),
        timeout: Duration::from_secs(45),
        confirm_after: Duration::from_secs(90),
        recognises_repeats: false,
        can_read_back: true,
        circuit_after: 5,
    }
}

fn accepted(claimed: Delivery) -> Outcome {
    let receipt = Receipt { remote_id: format!("r{}", claimed.id), permalink: None };
    Outcome { claimed, happening: Event::Answered(Ok(receipt)).into(), policy: policy() }
}
