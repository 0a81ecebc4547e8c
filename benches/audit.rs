//! Audit: sealing, verifying, proving and growing, each against its limit.
//!
//! A log of a million entries (`-- 100000` makes a smaller one) in SQLite with `synchronous=FULL`, entries like those of
//! a newsroom's day: one in five shows a payload. Growth is measured on the real binary, with the sandbox around it.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod daemon;
mod figure;
#[expect(dead_code, reason = "the other benchmarks use the rest")]
mod newsroom;

use std::fs::File;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;
use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use serde_json::json;

use songkhao::clock;
use songkhao::model::audit::Action;
use songkhao::model::audit::Actor;
use songkhao::model::audit::Entry;
use songkhao::model::checkpoint::Signer;
use songkhao::model::export::verify_export;
use songkhao::model::post::Payload;
use songkhao::model::receipt::verify_receipt;
use songkhao::pipeline::export;
use songkhao::pipeline::prove;
use songkhao::pipeline::verify;
use songkhao::sandbox::NewArticle;
use songkhao::store::audit;
use songkhao::store::db::Db;

use crate::daemon::Daemon;
use crate::figure::Limit;
use crate::newsroom::Newsroom;

const MILLION: u64 = 1_000_000;

/// Entries appended in one transaction while the log is made.
const BATCH: u64 = 10_000;

const ARTICLES: usize = 100;
const POSTS: usize = ARTICLES * 3;

/// A round that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let entries = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(MILLION);
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("songkhao.db").display());
    let db = Db::open(&url, at(0)).await?;
    let signer = Signer::from_secret("songkhao", &[7; 32])?;
    figure::head();
    seal(&db, &signer, entries).await?;
    prove_posts(&db, &signer, entries).await?;
    check(&db, &signer, folder.path(), entries).await?;
    grow().await
}

/// What a limit for a million entries is for so many.
fn share(limit: f64, entries: u64) -> Limit {
    Limit::AtMost(limit * entries as f64 / MILLION as f64)
}

async fn seal(db: &Db, signer: &Signer, entries: u64) -> anyhow::Result<()> {
    let mut took = Duration::ZERO;
    for first in (0..entries).step_by(BATCH as usize) {
        let mut tx = db.begin().await?;
        for number in first..entries.min(first + BATCH) {
            audit::append(&mut tx, &entry(number)).await?;
        }
        tx.commit().await?;
        let begun = clock::monotonic();
        while audit::seal(db, signer, at(first)).await? > 0 {}
        took += begun.elapsed();
    }
    let rate = entries as f64 / took.as_secs_f64();
    figure::row(&format!("sealing, {entries} entries"), rate, "/s", Limit::AtLeast(10_000.0));
    Ok(())
}

/// The slowest of a hundred receipts, all over the log.
async fn prove_posts(db: &Db, signer: &Signer, entries: u64) -> anyhow::Result<()> {
    let head = export::seal_all(db, signer, at(entries)).await?;
    let mut times = Vec::new();
    for part in 0..100 {
        let post = (entries / 100 * part + part * 7) / 5;
        let begun = clock::monotonic();
        let receipt = prove::post(db, signer, &head, post as i64).await?.context("the post has a payload")?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        let proven = verify_receipt(receipt.to_json().as_bytes(), None)?;
        ensure!(proven.size == entries, "a receipt of {} entries", proven.size);
    }
    times.sort_by(f64::total_cmp);
    figure::row(
        &format!("a receipt out of {entries} entries, median"),
        times[50],
        " ms",
        Limit::AtMost(50.0),
    );
    figure::row("the same, the slowest of 100", times[99], " ms", Limit::AtMost(50.0));
    Ok(())
}

async fn check(db: &Db, signer: &Signer, folder: &Path, entries: u64) -> anyhow::Result<()> {
    let begun = clock::monotonic();
    let found = verify::database(db, signer.public_key(), Vec::new()).await?;
    let took = begun.elapsed().as_secs_f64();
    let verdict = found.verdict.context("the log is sealed")??;
    ensure!(verdict.size == entries, "{} entries", verdict.size);
    figure::row(&format!("{entries} entries verified in the database"), took, " s", share(10.0, entries));

    let path = folder.join("log.jsonl");
    let head = export::seal_all(db, signer, at(entries)).await?;
    let begun = clock::monotonic();
    export::write(db, signer, &head, BufWriter::new(File::create(&path)?)).await?.flush()?;
    figure::row("the same exported", begun.elapsed().as_secs_f64(), " s", Limit::None);
    let begun = clock::monotonic();
    let verdict = verify_export(BufReader::new(File::open(&path)?), None, None)?;
    let took = begun.elapsed().as_secs_f64();
    ensure!(verdict.size == entries, "{} entries", verdict.size);
    figure::row("the export verified, one core", took, " s", share(10.0, entries));
    let bytes = std::fs::metadata(&path)?.len() as f64 / entries as f64;
    figure::row("an entry in the export", bytes, " bytes", Limit::None);
    Ok(())
}

/// How much the log grows for each post, by the pages of the tables and indexes that hold it.
async fn grow() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let newsroom = Newsroom::open(0).await?;
    let feed = format!("{}/feed?count=1000", newsroom.base);
    daemon::write_config(folder.path(), &newsroom.base, &[(feed, "1s")])?;
    let daemon = Daemon::start(folder.path())?;
    until(|| newsroom.count_polls() >= 2).await?;
    let url = format!("sqlite:{}", folder.path().join("songkhao.db").display());
    let before = sizes(&url).await?;
    for number in 0..ARTICLES {
        let line = format!("ผู้ว่าราชการจังหวัดที่ {number} สั่งการให้ทุกอำเภอเฝ้าระวังน้ำท่วมฉับพลัน หลังฝนตกหนักตลอดทั้งคืน ");
        newsroom.sandbox.publish(NewArticle {
            title: format!("เปิดเดินเรือสายที่ {number} ให้ประชาชนใช้ฟรีพรุ่งนี้"),
            body: line.repeat(12),
            slug: Some(format!("boat-{number}")),
            categories: vec!["กรุงเทพฯ".to_owned()],
            ..NewArticle::default()
        });
    }
    until(|| newsroom.sandbox.published().len() >= POSTS).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    daemon.stop()?;
    let after = sizes(&url).await?;
    let each = |now: i64, then: i64| (now - then) as f64 / POSTS as f64 / 1000.0;
    figure::row("audit log, growth for each post", each(after.0, before.0), " kB", Limit::AtMost(8.0));
    figure::row("whole database, growth for each post", each(after.1, before.1), " kB", Limit::None);
    Ok(())
}

/// Bytes in pages of the log's tables and indexes, and of all.
async fn sizes(url: &str) -> anyhow::Result<(i64, i64)> {
    let db = Db::open(url, clock::now()).await?;
    let sql = "SELECT COALESCE(SUM(CASE WHEN m.tbl_name IN ('audit', 'unsealed', 'seal', 'head', 'subtree') THEN d.pgsize END), 0) AS log,
                      SUM(d.pgsize) AS whole
                 FROM dbstat d JOIN sqlite_schema m ON m.name = d.name";
    let row = db.one(sql, Vec::new()).await?.context("dbstat answers")?;
    let sizes = (row.int("log")?, row.int("whole")?);
    db.close().await;
    Ok(sizes)
}

fn at(number: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_373_992, 0).unwrap_or_default() + TimeDelta::seconds(number as i64)
}

/// One of the five entries of a post, more or less.
fn entry(number: u64) -> Entry {
    let mut entry = Entry::new(at(number), "a", Actor::step("deliver"), Action::DeliveryDelivered);
    entry.post = Some((number / 5).to_string());
    entry.delivery = Some((number / 5 + 1000).to_string());
    entry.remote_id = Some(format!("100000000000001_{}", number * 7919));
    entry.account = Some("inn-facebook".to_owned());
    entry.article = Some((number / 15).to_string());
    entry.detail = json!({
        "attempt": 1, "status": 200, "request_id": format!("{number:032x}"), "from": "sending",
        "permalink": format!("https://www.facebook.com/100000000000001/posts/{number}"),
    });
    let text = "ผู้ว่าราชการจังหวัดสงขลาสั่งการให้ทุกอำเภอเฝ้าระวังน้ำท่วมฉับพลัน หลังฝนตกหนักตลอดทั้งคืน ".repeat(4);
    let payload =
        Payload::freeze(json!({ "message": text, "link": "https://x.example/1" }).to_string(), text, None);
    if number % 5 == 1 {
        return entry.with_payload(&payload);
    }
    entry.payload_hash = Some(payload.hash);
    entry
}

async fn until(done: impl Fn() -> bool) -> anyhow::Result<()> {
    let begun = clock::monotonic();
    while !done() {
        ensure!(begun.elapsed() < PATIENCE, "nothing came within {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
