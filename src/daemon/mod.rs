//! Daemon: runs the steps until it is told to stop, then stops in order.
//!
//! Stop claiming, let what is in flight finish, close the pages, give the name back, close the database.
//! Each loop is "work while there is work, then wait for a change or the next moment"; the steps decide.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;
use tracing::info;
use tracing::warn;

mod dispatch;

use crate::clock;
use crate::config;
use crate::config::Config;
use crate::metric;
use crate::model::audit::Action;
use crate::model::hash;
use crate::pipeline;
use crate::pipeline::Clock;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::store::account;
use crate::store::anchor;
use crate::store::article;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::claim;
use crate::store::db;
use crate::store::db::Db;
use crate::store::delivery;
use crate::store::gap;
use crate::store::leap;
use crate::store::node;
use crate::store::node::Seat;
use crate::store::promotion;
use crate::store::setting;
use crate::store::signing_key;
use crate::store::source;
use crate::store::sqlite;

/// The longest a loop sleeps: changes made by another process on SQLite are seen within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The same for work that only commits of a daemon make, and these wake: pages to read, doubt, lost leases.
const LONGEST_NAP: Duration = Duration::from_secs(5);

/// How long sends in flight may take after a stop (design.md section 4).
pub const GRACE: Duration = Duration::from_secs(20);

/// The longest the loop that sends heads sleeps: another node may have moved its next turn.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The least time between two looks of a loop: to it, a burst of commits is one change.
const BREATH: Duration = Duration::from_millis(10);

/// The same for what is never urgent: doubt is seconds old when it is first looked at.
const LONG_BREATH: Duration = Duration::from_millis(250);

/// How long polls, looks and probes may go on after the last send: cutting one off costs nothing.
const LAST_STEPS: Duration = Duration::from_secs(3);

/// How long a database may take the last words, and to close: a broken line must not keep a stop waiting.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How many sources are polled at once.
const COLLECTORS: usize = 8;

/// How many article pages are read at once: as many children as `feed::reader` lets run.
const READERS: usize = 2;

/// A jump of the wall clock against the monotonic one that is worth an entry (reliability.md section 2).
const CLOCK_JUMP: TimeDelta = TimeDelta::seconds(60);

/// How often a daemon says that it lives.
const BEAT: Duration = Duration::from_secs(5);

/// The pause after a step that failed, so that an outage of the database is no busy loop.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// When the queue was last looked at in earnest; `/readyz` and the watchdog ask.
#[derive(Debug, Default)]
pub struct Pulse(AtomicI64);

impl Pulse {
    fn beat(&self, now: DateTime<Utc>) {
        self.0.store(clock::micros(now), Ordering::Relaxed);
    }

    /// The last time a claim cycle ran through.
    pub fn last(&self) -> DateTime<Utc> {
        clock::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// A daemon that has its node's name and says so.
#[derive(Debug)]
pub struct Presence {
    beat: tokio::task::JoinHandle<Option<Seat>>,
}

/// Takes the node's name, settles what an earlier start left behind, and says that the daemon started.
///
/// # Errors
/// When another live daemon has the name, or the database can't be used.
pub async fn take_seat(context: &Context) -> db::Result<Seat> {
    let binary = tokio::task::spawn_blocking(hash_of_binary);
    let seat = node::start(&context.db, &context.node, &context.boot, context.now()).await?;
    if let Some(gap) = gap::greet(&context.db, &context.stamp("daemon")).await? {
        pipeline::deliver::warn_of_gap(&gap);
    }
    let mut entry = context.stamp("daemon").entry(Action::DaemonStarted);
    let binary = binary.await.unwrap_or_default();
    entry.detail = json!({ "version": env!("CARGO_PKG_VERSION"), "binary": binary, "boot": context.boot });
    audit::record(&context.db, &entry).await?;
    note_settings(context).await?;
    adopt(context).await?;
    pipeline::anchor::look_back(context).await?;
    source::release_own(&context.db, &context.node, context.now()).await?;
    recover(&context.db, context.now()).await?;
    pipeline::reconcile::release(context).await?;
    Ok(seat)
}

/// SHA-256 of the program that runs, in hex: with it the log tells which one did what. `None` where it can't be read.
fn hash_of_binary() -> Option<String> {
    let mut program = std::fs::File::open(std::env::current_exe().ok()?).ok()?;
    let mut digest = hash::Sha256::default();
    // In pieces: the whole program would stay in memory beside itself.
    std::io::copy(&mut program, &mut digest).ok()?;
    Some(digest.hex())
}

/// Says in the log with which settings the daemon runs, and what changed since this node's last start.
async fn note_settings(context: &Context) -> db::Result<()> {
    let settings = &context.config.settings;
    let before = setting::find(&context.db, &context.node).await?;
    let is_first = before.is_none();
    let before = before.unwrap_or_else(|| Config::default().settings);
    let mut entry = context.stamp("daemon").entry(Action::ConfigLoaded);
    entry.detail = json!({
        "changes": config::difference(&before, settings),
        "since": if is_first { "the defaults" } else { "the last start" },
        "settings_hash": hash::sha256_hex(json!(settings).to_string().as_bytes()),
    });
    setting::replace(&context.db, &entry, settings).await
}

/// Takes the seat and keeps it: the presence ends, and `stop` is cancelled, if another daemon takes the name.
///
/// # Errors
/// As [`take_seat`].
pub async fn arrive(context: &Context, stop: &CancellationToken) -> db::Result<Presence> {
    if let Some(path) = node::memory_file(&context.db, &context.node)
        && let Err(error) = context.db.memory().keep_in(&path)
    {
        warn!(error = %error, "{} can't be used; what this node saw of the database ends with it", path.display());
    }
    let seat = take_seat(context).await?;
    if seat.followed_a_crash() && context.db.file().is_some() {
        tokio::spawn(check(context.db.clone(), stop.clone()));
    }
    let (db, clock, node) = (context.db.clone(), context.clock.clone(), context.node.clone());
    Ok(Presence { beat: tokio::spawn(beat(db, clock, node, seat, stop.clone())) })
}

/// Brings the database's accounts and sources in line with the configuration, at start and at reload.
///
/// # Errors
/// What the database says.
pub async fn adopt(context: &Context) -> db::Result<()> {
    let accounts: Vec<_> =
        context.config.accounts.iter().map(|account| (account.name.clone(), account.platform())).collect();
    account::ensure(&context.db, &accounts).await?;
    let sources: Vec<String> = context.config.sources.iter().map(|source| source.name.clone()).collect();
    source::ensure(&context.db, &sources, context.now()).await?;
    let names: Vec<String> = accounts.into_iter().map(|(name, _)| name).collect();
    let stamp = context.stamp("daemon");
    anchor::ensure(&context.db, &pipeline::anchor::places(&context.config.audit)).await?;
    if let Some(former) = signing_key::adopt(&context.db, &stamp, context.signer.public_key()).await? {
        warn!(
            former,
            "The audit log is signed by a new key from now on, {}: tell those who keep the old one",
            context.signer.public_key()
        );
    }
    let cancelled = delivery::cancel_removed(&context.db, &stamp, &names, &context.policy("")).await?;
    if cancelled > 0 {
        warn!(
            deliveries = cancelled,
            "Called off {cancelled} deliveries of accounts that are not configured any more"
        );
    }
    promotion::replan(&context.db, context.config.timezone, context.now()).await?;
    for (name, account) in pipeline::promote::orphans(&context.db, &context.config).await? {
        warn!(
            promotion.name = name,
            account.name = account,
            "Promotion {name} names account {account}, which is not configured any more"
        );
    }
    Ok(())
}

/// Runs every step until `stop`, then waits for what is in flight. Returns how many sends had to be aborted;
/// their rows are `unconfirmed` then.
pub async fn work(context: Arc<Context>, pulse: Arc<Pulse>, stop: CancellationToken) -> usize {
    let loops = TaskTracker::new();
    for _ in 0..COLLECTORS.min(context.config.sources.len()) {
        loops.spawn(collect(context.clone(), stop.clone()));
    }
    for _ in 0..READERS {
        loops.spawn(read(context.clone(), stop.clone()));
    }
    loops.spawn(edit(context.clone(), stop.clone()));
    loops.spawn(reconcile(context.clone(), stop.clone()));
    loops.spawn(seal(context.clone(), stop.clone()));
    if !pipeline::anchor::places(&context.config.audit).is_empty() {
        loops.spawn(anchor(context.clone(), stop.clone()));
    }
    if context.db.is_postgres() {
        loops.spawn(listen(context.db.clone(), stop.clone()));
    }
    loops.close();
    let aborted = dispatch::run(context.clone(), pulse, stop).await;
    if tokio::time::timeout(LAST_STEPS, loops.wait()).await.is_err() {
        warn!("Stopped in the middle of a poll or a look; the next start makes it again");
    }
    if aborted > 0 {
        let stamp = context.stamp("daemon");
        let released = claim::release_lost(&context.db, &stamp, "", |name| context.policy(name)).await;
        if let Err(error) = released {
            error!(error = %error, "Aborted sends could not be marked; their leases will run out");
        }
    }
    aborted
}

/// The last words: the log is sealed, the name is given back, the database closed.
pub async fn leave(context: &Context, presence: Presence, aborted: usize) {
    let last_words = async {
        let mut entry = context.stamp("daemon").entry(Action::DaemonStopped);
        entry.detail =
            json!({ "version": env!("CARGO_PKG_VERSION"), "boot": context.boot, "aborted": aborted });
        audit::record(&context.db, &entry).await?;
        while pipeline::seal::step(context).await? == Step::Worked {}
        pipeline::anchor::last_word(context).await?;
        if let Ok(Some(seat)) = presence.beat.await {
            seat.stop(&context.db, context.now()).await?;
        }
        db::Result::Ok(())
    };
    match tokio::time::timeout(LAST_WORDS, last_words).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => error!(error = %error, "The database did not take the daemon's last words"),
        Err(_) => error!("The database did not take the daemon's last words in time"),
    }
    if tokio::time::timeout(LAST_WORDS, context.db.close()).await.is_err() {
        warn!("The database could not be closed in time");
    }
}

/// Runs a step; an error is logged once, here, and the loop goes on after a pause.
async fn attempt(name: &str, step: impl Future<Output = db::Result<Step>>) -> Step {
    match step.await {
        Ok(step) => step,
        Err(error) => {
            metric::step_error(name);
            error!(error = %error, "Step {name} failed");
            tokio::time::sleep(AFTER_ERROR).await;
            Step::Idle
        }
    }
}

/// How long to sleep so that `moment` is not missed.
fn until(moment: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Duration {
    until_at_most(LONGEST_SLEEP, moment, now)
}

fn until_at_most(longest: Duration, moment: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Duration {
    moment.map_or(longest, |moment| (moment - now).to_std().unwrap_or_default().min(longest))
}

async fn collect(context: Arc<Context>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if attempt("collect", pipeline::collect::step(&context)).await == Step::Worked {
            continue;
        }
        let next = source::next_moment(&context.db).await.unwrap_or_default();
        // A poll that is due but leased elsewhere must not make this a busy loop.
        let sleep = until(next, context.now()).max(Duration::from_millis(50));
        stop.run_until_cancelled(tokio::time::sleep(sleep)).await;
    }
}

async fn read(context: Arc<Context>, stop: CancellationToken) {
    let mut changes = context.db.changes();
    while !stop.is_cancelled() {
        if attempt("read", pipeline::read::step(&context)).await == Step::Idle {
            tokio::time::sleep(BREATH).await;
            stop.run_until_cancelled(changes.next(LONGEST_NAP)).await;
        }
    }
}

/// Summarize, compose, fire, promote, enqueue: the desk's work, in order.
async fn edit(context: Arc<Context>, stop: CancellationToken) {
    let mut changes = context.db.changes();
    while !stop.is_cancelled() {
        let mut worked = false;
        worked |= attempt("summarize", pipeline::summarize::step(&context)).await == Step::Worked;
        worked |= attempt("compose", pipeline::compose::step(&context)).await == Step::Worked;
        worked |= attempt("fire", pipeline::fire::step(&context)).await == Step::Worked;
        worked |= attempt("promote", pipeline::promote::step(&context)).await == Step::Worked;
        worked |= attempt("enqueue", pipeline::enqueue::step(&context)).await == Step::Worked;
        if worked {
            continue;
        }
        let now = context.now();
        let settled = article::next_moment(&context.db).await.unwrap_or_default();
        let promoted = pipeline::promote::next_moment(&context).await.unwrap_or_default();
        let digest = pipeline::fire::next_moment(&context, now);
        let next = [settled, digest, promoted].into_iter().flatten().min();
        tokio::time::sleep(BREATH).await;
        stop.run_until_cancelled(changes.next(until(next, now))).await;
    }
}

async fn reconcile(context: Arc<Context>, stop: CancellationToken) {
    let mut changes = context.db.changes();
    while !stop.is_cancelled() {
        let mut worked = attempt("release", pipeline::reconcile::release(&context)).await == Step::Worked;
        worked |= attempt("reconcile", pipeline::reconcile::step(&context)).await == Step::Worked;
        worked |= attempt("probe", pipeline::probe::step(&context)).await == Step::Worked;
        if worked {
            continue;
        }
        let now = context.now();
        let next = delivery::next_moment(&context.db, now).await.unwrap_or_default();
        stop.run_until_cancelled(tokio::time::sleep(LONG_BREATH)).await;
        stop.run_until_cancelled(changes.next(until_at_most(LONGEST_NAP, next, now))).await;
    }
}

/// Seals in short breaths rather than after every commit: the lag stays well under a second.
async fn seal(context: Arc<Context>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if attempt("seal", pipeline::seal::step(&context)).await == Step::Idle {
            stop.run_until_cancelled(tokio::time::sleep(LONGEST_SLEEP / 2)).await;
        }
    }
}

/// Sends signed heads to the places outside.
async fn anchor(context: Arc<Context>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if attempt("anchor", pipeline::anchor::step(&context)).await == Step::Worked {
            continue;
        }
        let now = context.now();
        let next = anchor::next_moment(&context.db).await.unwrap_or_default();
        let sleep = next.map_or(LONGEST_REST, |next| (next - now).to_std().unwrap_or_default());
        let sleep = sleep.clamp(LONGEST_SLEEP, LONGEST_REST);
        stop.run_until_cancelled(tokio::time::sleep(sleep)).await;
    }
}

/// Reads the whole database once, after a start that followed no good stop.
async fn check(db: Db, stop: CancellationToken) {
    match stop.run_until_cancelled(sqlite::check(&db)).await {
        Some(Err(error)) => warn!(error = %error, "The database could not be checked after the crash"),
        Some(Ok(None)) => info!("The database was checked after the crash and is sound"),
        // Damage was told where it was found; a stop needs no word.
        Some(Ok(Some(_))) | None => {}
    }
}

/// Says that the daemon lives, and watches the clock. Gives the seat back at the end, unless it was lost.
async fn beat(db: Db, clock: Clock, node: String, seat: Seat, stop: CancellationToken) -> Option<Seat> {
    let mut wall = clock();
    let mut monotonic = clock::monotonic();
    while stop.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_some() {
        metric::tend();
        // What this finds is remembered, and told, where it is found.
        let _seen = sqlite::inspect(&db).await;
        if let Err(error) = db.memory().save() {
            warn!(error = %error, "What this node saw of the database could not be kept in its memory file");
        }
        let now = clock();
        let jump = (now - wall) - clock::span(monotonic.elapsed());
        (wall, monotonic) = (now, clock::monotonic());
        if jump.abs() > CLOCK_JUMP {
            warn!(seconds = jump.num_seconds(), "The clock jumped by {} seconds", jump.num_seconds());
            let mut entry = Stamp::step(now, &node, "daemon").entry(Action::ClockJumped);
            entry.detail = json!({ "seconds": jump.num_seconds() });
            let recorded = async {
                audit::record(&db, &entry).await?;
                recover(&db, now).await
            };
            if let Err(error) = recorded.await {
                error!(error = %error, "The clock's jump could not be recorded");
            }
        }
        match seat.beat(&db, now).await {
            Ok(true) => {}
            Ok(false) => {
                error!("Another daemon runs under this node's name now; stopping");
                stop.cancel();
                return None;
            }
            Err(error) => warn!(error = %error, "The database did not take the heartbeat"),
        }
    }
    Some(seat)
}

/// Counts waits anew that were counted on a clock which has been put back since.
async fn recover(db: &Db, now: DateTime<Utc>) -> db::Result<()> {
    let waits = leap::recover(db, now).await?;
    if waits > 0 {
        warn!(waits, "The clock was put back: {waits} waits are counted from now");
    }
    Ok(())
}

/// Passes on what other nodes say on PostgreSQL; polling goes on all the same.
async fn listen(db: Db, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let Some(heard) = stop.run_until_cancelled(db.listen()).await else { return };
        if let Err(error) = heard {
            warn!(error = %error, "Lost the line to the other nodes; polling meanwhile");
            stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR)).await;
        }
    }
    info!("Stopped listening");
}
