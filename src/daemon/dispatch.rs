//! Dispatch: keeps every account that has something due sending.
//!
//! One thing at a time each: an account is free again only when its outcome is recorded. One loop claims and
//! records for all of them, so that what falls together shares a commit; the sends run side by side.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use tokio::task::Id;
use tokio::task::JoinError;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::warn;

use crate::clock;
use crate::daemon::AFTER_ERROR;
use crate::daemon::BREATH;
use crate::daemon::GRACE;
use crate::daemon::LONGEST_SLEEP;
use crate::daemon::Pulse;
use crate::daemon::until;
use crate::metric;
use crate::pipeline::Context;
use crate::pipeline::deliver;
use crate::pipeline::refresh;
use crate::store::account;
use crate::store::db;
use crate::store::db::Changes;
use crate::store::delivery;
use crate::store::finish::Outcome;

/// Accounts claimed, or outcomes recorded, in one commit at most: few enough that nobody waits long for it.
const BATCH: usize = 64;

/// Turns in a row: an account with thousands of posts past their time moves one of them a turn.
const ROUNDS: usize = 8;

/// The longest a drain waits before it feeds the watchdog again.
const FEEDING: Duration = Duration::from_secs(5);

/// The pause before outcomes that the database did not take are offered again.
const RECORD_AGAIN: Duration = Duration::from_millis(500);

/// Sends until `stop`, then waits for what is in flight. Returns how many sends had to be left without an answer.
pub(super) async fn run(context: Arc<Context>, pulse: Arc<Pulse>, stop: CancellationToken) -> usize {
    let mut dispatcher = Dispatcher::new(context, pulse, stop.clone());
    let mut changes = dispatcher.context.db.changes();
    while !stop.is_cancelled() {
        let free = tokio::select! {
            () = stop.cancelled() => break,
            answers = answered(&mut dispatcher.sends) => dispatcher.take(answers),
            () = dispatcher.next_look.wait(&mut changes) => dispatcher.look().await,
        };
        dispatcher.advance(free).await;
    }
    dispatcher.drain().await
}

/// The accounts that have something to send or a token to renew.
async fn due(context: &Context, now: DateTime<Utc>) -> db::Result<Vec<String>> {
    let mut due = account::list_due(&context.db, now).await?;
    due.extend(refresh::list_due(context).await?);
    due.sort();
    due.dedup();
    Ok(due)
}

/// What a send came to; `None` of a post that was worded anew, or a token renewed, instead.
type Answered = Result<(Id, Option<Outcome>), JoinError>;

/// Waits for an answer and takes those along that are there too. For ever while nothing is in flight.
async fn answered(sends: &mut JoinSet<Option<Outcome>>) -> Vec<Answered> {
    let Some(first) = sends.join_next_with_id().await else { return std::future::pending().await };
    let mut answers = vec![first];
    while answers.len() < BATCH
        && let Some(next) = sends.try_join_next_with_id()
    {
        answers.push(next);
    }
    answers
}

/// When the queue is looked at again: at once after a change, at the next moment at which something may move.
struct NextLook {
    not_before: Instant,
    at: Instant,
}

impl NextLook {
    async fn wait(&self, changes: &mut Changes) {
        tokio::time::sleep_until(self.not_before).await;
        changes.next(self.at.saturating_duration_since(Instant::now())).await;
    }
}

struct Dispatcher {
    context: Arc<Context>,
    pulse: Arc<Pulse>,
    watchdog: Watchdog,
    stop: CancellationToken,
    next_look: NextLook,
    sends: JoinSet<Option<Outcome>>,
    /// The accounts whose send is in flight.
    busy: HashMap<Id, String>,
    /// What the database did not take yet; these accounts send nothing else meanwhile.
    unrecorded: Vec<Outcome>,
}

impl Dispatcher {
    fn new(context: Arc<Context>, pulse: Arc<Pulse>, stop: CancellationToken) -> Dispatcher {
        let now = Instant::now();
        Dispatcher {
            context,
            pulse,
            watchdog: Watchdog::of_systemd(),
            stop,
            next_look: NextLook { not_before: now, at: now },
            sends: JoinSet::new(),
            busy: HashMap::new(),
            unrecorded: Vec::new(),
        }
    }

    /// Looks which accounts have something due and are free.
    async fn look(&mut self) -> Vec<String> {
        let now = self.context.now();
        let due = due(&self.context, now).await;
        let next = delivery::next_moment(&self.context.db, now).await.unwrap_or_default();
        self.next_look =
            NextLook { not_before: Instant::now() + BREATH, at: Instant::now() + until(next, now) };
        match due {
            Ok(mut due) => {
                self.pulse.beat(now);
                self.watchdog.feed();
                let busy = self.busy_accounts();
                due.retain(|name| !busy.contains(name.as_str()));
                due
            }
            Err(error) => {
                error!(error = %error, "The queue could not be read");
                if error.is_outage() {
                    // A restart would bring no database back, and it would throw away answers that wait for one.
                    self.watchdog.feed();
                }
                self.rest(AFTER_ERROR);
                Vec::new()
            }
        }
    }

    /// Puts the next look off, so that an outage of the database is no busy loop. What was due then still is.
    fn rest(&mut self, pause: Duration) {
        self.next_look.not_before = Instant::now() + pause;
        self.next_look.at = self.next_look.not_before;
    }

    fn busy_accounts(&self) -> HashSet<&str> {
        let unrecorded = self.unrecorded.iter().map(|outcome| outcome.claimed.account.as_str());
        self.busy.values().map(String::as_str).chain(unrecorded).collect()
    }

    /// Takes answers in; their accounts, which are free as soon as that is recorded.
    fn take(&mut self, answers: Vec<Answered>) -> Vec<String> {
        let mut free = Vec::new();
        for answer in answers {
            match answer {
                Ok((id, outcome)) => {
                    free.extend(self.busy.remove(&id));
                    self.unrecorded.extend(outcome);
                }
                Err(error) => {
                    self.busy.remove(&error.id());
                    error!(error = %error, "A send panicked; its delivery will be read back when its lease ends");
                }
            }
        }
        free
    }

    /// Records what is not recorded yet, claims on free accounts, and sends, until none of these has anything left that
    /// is due; but no longer than that everybody else can wait. After a stop it only records.
    async fn advance(&mut self, mut free: Vec<String>) {
        for _ in 0..ROUNDS {
            if self.stop.is_cancelled() {
                free.clear();
            }
            if free.is_empty() && self.unrecorded.is_empty() {
                return;
            }
            let rest = free.split_off(free.len().min(BATCH));
            let outcomes = std::mem::take(&mut self.unrecorded);
            match self.turn(&outcomes, &free).await {
                Ok(again) => free = [rest, again].concat(),
                Err(error) => {
                    metric::step_error("deliver");
                    error!(error = %error, "Step deliver failed");
                    if error.is_outage() {
                        self.unrecorded = outcomes;
                    } else {
                        self.advance_singly(outcomes, free).await;
                    }
                    self.rest(if self.unrecorded.is_empty() { AFTER_ERROR } else { RECORD_AGAIN });
                    return;
                }
            }
        }
        // What is left of them is due, so the next look finds it.
        self.next_look.at = Instant::now();
    }

    /// The same, account by account, so that a row which can't be read or written keeps nobody else waiting.
    async fn advance_singly(&mut self, outcomes: Vec<Outcome>, mut free: Vec<String>) {
        for outcome in outcomes {
            if let Err(error) = self.turn(std::slice::from_ref(&outcome), &[]).await {
                let account = &outcome.claimed.account;
                warn!(account.name = account, error = %error, "The result of a send on {account} could not be recorded yet");
                free.retain(|name| name != account);
                self.unrecorded.push(outcome);
            }
        }
        for name in free {
            if let Err(error) = self.turn(&[], std::slice::from_ref(&name)).await {
                warn!(account.name = name, error = %error, "Nothing can be claimed on {name} yet");
            }
        }
    }

    /// One turn, and its sends started. Returns the accounts on which there may be more to claim.
    async fn turn(&mut self, outcomes: &[Outcome], free: &[String]) -> db::Result<Vec<String>> {
        let claims = deliver::turn(&self.context, outcomes, free).await?;
        for claimed in claims.sends {
            let (context, account) = (self.context.clone(), claimed.account().to_owned());
            let send = self.sends.spawn(async move { Some(deliver::send(&context, claimed).await) });
            self.busy.insert(send.id(), account);
        }
        for stale in claims.stale {
            let (context, account) = (self.context.clone(), stale.account.clone());
            let reworded = self.sends.spawn(async move {
                deliver::reword(&context, &stale).await;
                None
            });
            self.busy.insert(reworded.id(), account);
        }
        // Among the sends, because what is in flight here gets its time at a stop: a refresh token that was presented
        // and whose answer is lost is lost itself.
        for account in claims.renew {
            let (context, name) = (self.context.clone(), account.clone());
            let renewed = self.sends.spawn(async move {
                refresh::renew(&context, &name).await;
                None
            });
            self.busy.insert(renewed.id(), account);
        }
        Ok(claims.again)
    }

    /// No new claims; what is in flight gets its time. Returns how many sends stay without a recorded answer.
    async fn drain(mut self) -> usize {
        // Outcomes that the database had not taken when the time was up.
        let mut unanswered = 0;
        let deadline = Instant::now() + GRACE;
        while !(self.sends.is_empty() && self.unrecorded.is_empty()) {
            self.watchdog.feed();
            let patience = if self.unrecorded.is_empty() { FEEDING } else { RECORD_AGAIN };
            let wait = deadline.min(Instant::now() + patience);
            // Nothing answered in time: what is there is offered again, until the time is up.
            let answers = tokio::time::timeout_at(wait, answered(&mut self.sends)).await.unwrap_or_default();
            self.take(answers);
            let left = self.unrecorded.len();
            if tokio::time::timeout_at(deadline, self.advance(Vec::new())).await.is_err() {
                unanswered += left;
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        let aborted = self.sends.len() + self.unrecorded.len() + unanswered;
        self.sends.shutdown().await;
        if aborted > 0 {
            warn!(sends = aborted, "Stopped with {aborted} sends in flight; they will be read back");
        }
        aborted
    }
}

/// Systemd's watchdog, fed by claim cycles that really ran, so that a stuck queue gets the daemon restarted.
struct Watchdog {
    every: Option<Duration>,
    fed: Option<std::time::Instant>,
}

impl Watchdog {
    /// Fed three times as often as systemd asks, and at once; not at all where it does not ask.
    fn of_systemd() -> Watchdog {
        let mut watchdog =
            Watchdog { every: sd_notify::watchdog_enabled().map(|limit| limit / 3), fed: None };
        watchdog.feed();
        watchdog
    }

    fn feed(&mut self) {
        let Some(every) = self.every else { return };
        if self.fed.is_some_and(|fed| fed.elapsed() < every.min(LONGEST_SLEEP * 5)) {
            return;
        }
        self.fed = Some(clock::monotonic());
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
            warn!(error = %error, "Systemd's watchdog could not be fed");
        }
    }
}
