//! Store: the rules of `store::delivery` and `store::account` in memory, without SQL.
//!
//! Each function here is one transaction there, of the same name and with the same conditions, so it is atomic in the
//! simulator too. What is left out is left out because it decides nothing: the words of posts, audit entries, attempt
//! rows. Stale articles (`Claim::Stale`) and removed accounts never come up.
//!
//! | here | there |
//! | --- | --- |
//! | [`Store::claim`] | `delivery::claim` with `account::lock_sendable`, `next_due`, `hold::applies`, `open_attempt` |
//! | [`Store::lose`], [`Store::detect`], [`Store::clouds`] | a failover, and `gap::detect`, `gap::clouds` |
//! | [`Store::is_held`] | `delivery::is_held` |
//! | [`Store::finish`] | `delivery::finish` |
//! | [`Store::release_lost`] | `delivery::release_lost` |
//! | [`Store::claim_look`] | `delivery::claim_look` |
//! | [`Store::apply`] | `delivery::apply` |
//! | [`Store::newest_delivered`] | `delivery::newest_delivered` |
//! | [`Store::mind`] | `account::apply` |
//! | [`Store::resume`], [`Store::postpone_probe`] | the same in `account` |
//! | [`Store::next_moment`] | `delivery::next_moment`, and the end of leases, which the daemon finds by looking every second |

use std::time::Duration;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;

use songkhao::clock;
use songkhao::model::attempt::Receipt;
use songkhao::model::delivery::Facts;
use songkhao::model::delivery::State;
use songkhao::model::transition;
use songkhao::model::transition::Effect;
use songkhao::model::transition::Event;
use songkhao::model::transition::Policy;
use songkhao::model::transition::Transition;

/// `store::account::FIRST_PROBE`.
const FIRST_PROBE: Duration = Duration::from_secs(60);

/// One delivery.
#[derive(Debug, Clone)]
pub struct Row {
    pub account: usize,
    /// 0 is breaking: it ignores the spacing.
    pub lane: u8,
    pub facts: Facts,
    pub fence: u64,
    pub retry_key: u64,
    pub lease_owner: usize,
    pub lease_boot: u64,
    pub lease_until: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
    pub remote_id: Option<String>,
    pub reason: Option<String>,
    /// A person dropped it, knowing what they do.
    pub dropped: bool,
    /// The newest gap it was looked at for.
    pub gap: u64,
}

/// Why an account sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    Throttle,
    Circuit,
    Auth,
    Quota,
}

/// One account.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub policy: Option<Policy>,
    pub min_gap: Duration,
    pub next_send_at: DateTime<Utc>,
    pub failures: u32,
    pub pause: Option<Pause>,
    pub pause_until: DateTime<Utc>,
    pub probes: u32,
}

/// Who acts, and when: the step's stamp.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The node's wall clock.
    pub at: DateTime<Utc>,
    /// The clock leases are counted on: the database's own, or on SQLite the node's.
    pub lease_clock: DateTime<Utc>,
    pub node: usize,
    pub boot: u64,
}

/// A claimed delivery, as the sender holds it in memory.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub row: usize,
    pub fence: u64,
    pub retry_key: u64,
    pub attempts: i64,
    pub attempt_started_at: DateTime<Utc>,
}

/// A stretch of time that the store forgot.
#[derive(Debug, Clone, Copy)]
struct Gap {
    id: u64,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

#[derive(Debug, Default)]
pub struct Store {
    pub rows: Vec<Row>,
    pub accounts: Vec<Account>,
    pub hold: bool,
    keys: u64,
    /// It went back to an older state, and nobody has noticed yet.
    went_back: bool,
    gap: Option<Gap>,
}

/// `store::gap::CLOCK_TOLERANCE` and `FENCE_STEP`.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);
const FENCE_STEP: u64 = 1_000;

impl Store {
    /// What a replica has that stops following now.
    pub fn snapshot(&self) -> (Vec<Row>, Vec<Account>) {
        (self.rows.clone(), self.accounts.clone())
    }

    /// The replica takes over: what came after the snapshot is forgotten.
    pub fn lose(&mut self, (rows, accounts): (Vec<Row>, Vec<Account>)) {
        (self.rows, self.accounts) = (rows, accounts);
        self.went_back = true;
    }

    /// Whether it is forgotten what became of the row, and nobody has asked yet.
    pub fn is_clouded(&self, row: usize) -> bool {
        self.went_back || self.gap.is_some_and(|gap| self.rows[row].gap < gap.id)
    }

    /// Notices that the store went back: one claim finds out, and takes nothing.
    fn detect(&mut self, stamp: Stamp) -> bool {
        if !self.went_back {
            return false;
        }
        self.went_back = false;
        let known = self.rows.iter().map(|row| row.changed_at).max().unwrap_or(stamp.at);
        let until = known.max(stamp.at);
        let gap = Gap { id: self.gap.map_or(1, |gap| gap.id + 1), since: known.min(until), until };
        let latest = until.max(stamp.lease_clock);
        for row in &mut self.rows {
            if row.facts.state == State::Scheduled && row.facts.due_at > latest + CLOCK_TOLERANCE {
                row.gap = gap.id;
            }
        }
        self.gap = Some(gap);
        true
    }

    /// What a claim does with a row that may have been sent in the forgotten time.
    fn clouds(&mut self, row: usize) -> Option<Event> {
        let gap = self.gap.filter(|gap| self.rows[row].gap < gap.id)?;
        self.rows[row].gap = gap.id;
        self.rows[row].fence += FENCE_STEP;
        Some(Event::Forgotten { since: gap.since, until: gap.until, held: self.hold })
    }

    /// `None` when nothing was claimed; then something may have been moved without a send all the same.
    pub fn claim(&mut self, stamp: Stamp, account: usize, lease: Duration) -> Option<Claimed> {
        let terms = &self.accounts[account];
        let open = match terms.pause {
            None => true,
            Some(Pause::Throttle | Pause::Circuit) => terms.pause_until <= stamp.at,
            Some(Pause::Auth | Pause::Quota) => false,
        };
        let sending = |row: &Row| row.account == account && row.facts.state == State::Sending;
        if !open || self.rows.iter().any(sending) {
            return None;
        }
        let last_lane = if terms.next_send_at > stamp.at { 0 } else { u8::MAX };
        let due = |row: &Row| {
            row.account == account
                && row.lane <= last_lane
                && row.facts.state == State::Scheduled
                && row.facts.due_at <= stamp.at
        };
        let next = (0..self.rows.len()).filter(|row| due(&self.rows[*row]));
        let row = next.min_by_key(|row| (self.rows[*row].lane, self.rows[*row].facts.due_at, *row))?;
        if self.detect(stamp) {
            return None;
        }
        let event = self.clouds(row).unwrap_or(Event::Due { held: self.hold, shadow: false });
        let key_was_used_at = self.rows[row].facts.key_used_at;
        let next = self.step(stamp, row, event, 0.0)?;
        if next.facts.state != State::Sending {
            return None;
        }
        let min_gap = clock::span(self.accounts[account].min_gap);
        self.accounts[account].next_send_at = stamp.at + min_gap;
        if next.facts.key_used_at != key_was_used_at {
            self.keys += 1;
            self.rows[row].retry_key = self.keys;
        }
        let claimed = &mut self.rows[row];
        claimed.fence += 1;
        claimed.lease_owner = stamp.node;
        claimed.lease_boot = stamp.boot;
        claimed.lease_until = stamp.lease_clock + clock::span(lease);
        Some(Claimed {
            row,
            fence: claimed.fence,
            retry_key: claimed.retry_key,
            attempts: claimed.facts.attempts,
            attempt_started_at: stamp.at,
        })
    }

    pub fn is_held(&self, claimed: &Claimed) -> bool {
        let row = &self.rows[claimed.row];
        row.fence == claimed.fence && row.facts.state == State::Sending
    }

    pub fn finish(&mut self, stamp: Stamp, claimed: &Claimed, event: Event, chance: f64) {
        let row = &self.rows[claimed.row];
        let account = row.account;
        let ours = row.fence == claimed.fence && row.facts.state == State::Sending;
        let is_receipt = matches!(event, Event::Answered(Ok(_)));
        let proves = ours || (is_receipt && row.facts.state != State::Sending);
        if !proves {
            return;
        }
        let Some(next) = self.step(stamp, claimed.row, event, chance) else { return };
        if next.facts.state == State::Scheduled {
            self.accounts[account].next_send_at = stamp.at;
        }
        self.mind(stamp.at, account, next.effect.as_ref());
    }

    /// Gives how many leases were lost.
    pub fn release_lost(&mut self, stamp: Stamp) -> usize {
        let lost: Vec<usize> = (0..self.rows.len())
            .filter(|row| {
                let row = &self.rows[*row];
                let of_an_earlier_boot = row.lease_owner == stamp.node && row.lease_boot != stamp.boot;
                row.facts.state == State::Sending
                    && (row.lease_until < stamp.lease_clock || of_an_earlier_boot)
            })
            .collect();
        for row in &lost {
            self.step(stamp, *row, Event::LeaseLost, 0.5);
        }
        lost.len()
    }

    pub fn claim_look(&mut self, stamp: Stamp, lease: Duration) -> Option<Claimed> {
        let due = |row: &Row| {
            row.facts.state == State::Unconfirmed
                && row.facts.due_at <= stamp.at
                && row.lease_until < stamp.lease_clock
                && self.accounts[row.account].pause != Some(Pause::Auth)
        };
        let row = (0..self.rows.len())
            .filter(|row| due(&self.rows[*row]))
            .min_by_key(|row| self.rows[*row].facts.due_at)?;
        let looked = &mut self.rows[row];
        looked.fence += 1;
        looked.lease_owner = stamp.node;
        looked.lease_until = stamp.lease_clock + clock::span(lease);
        Some(Claimed {
            row,
            fence: looked.fence,
            retry_key: looked.retry_key,
            attempts: looked.facts.attempts,
            attempt_started_at: looked.facts.attempt_started_at.unwrap_or(stamp.at),
        })
    }

    /// A look (with its fence) or a person (without).
    pub fn apply(&mut self, stamp: Stamp, row: usize, fence: Option<u64>, event: Event, chance: f64) {
        if fence.is_some_and(|fence| fence != self.rows[row].fence) {
            return;
        }
        let Some(next) = self.step(stamp, row, event, chance) else { return };
        self.rows[row].lease_until = DateTime::UNIX_EPOCH;
        let account = self.rows[row].account;
        self.mind(stamp.at, account, next.effect.as_ref());
    }

    pub fn newest_delivered(
        &self,
        account: usize,
        except: usize,
        known_before: DateTime<Utc>,
    ) -> Option<&Row> {
        let known = |(at, row): &(usize, &Row)| {
            *at != except
                && row.account == account
                && row.facts.state == State::Delivered
                && row.changed_at <= known_before
        };
        self.rows.iter().enumerate().filter(known).map(|(_, row)| row).max_by_key(|row| row.changed_at)
    }

    /// What an answer means for the account.
    fn mind(&mut self, now: DateTime<Utc>, account: usize, effect: Option<&Effect>) {
        let Some(policy) = self.accounts[account].policy.clone() else { return };
        let of = &mut self.accounts[account];
        let mut pause = |kind, until| {
            of.pause = Some(kind);
            of.pause_until = until;
            of.probes = 0;
        };
        let first_probe = now + probe_wait(0, policy.retry_cap);
        match effect {
            None => {}
            Some(Effect::Answering) => self.resume(account),
            Some(Effect::Failing) => {
                of.failures += 1;
                if let Some(beyond) = of.failures.checked_sub(policy.circuit_after) {
                    of.pause = Some(Pause::Circuit);
                    of.pause_until = now + probe_wait(beyond, policy.retry_cap);
                    of.probes = 0;
                }
            }
            Some(Effect::Throttle { until, .. }) => pause(Pause::Throttle, *until),
            Some(Effect::PauseAuth { .. }) => pause(Pause::Auth, first_probe),
            Some(Effect::PauseQuota { .. }) => pause(Pause::Quota, first_probe),
        }
    }

    pub fn resume(&mut self, account: usize) {
        let of = &mut self.accounts[account];
        of.pause = None;
        of.pause_until = DateTime::UNIX_EPOCH;
        of.failures = 0;
        of.probes = 0;
    }

    pub fn postpone_probe(&mut self, now: DateTime<Utc>, account: usize) {
        let of = &mut self.accounts[account];
        of.probes += 1;
        let cap = of.policy.as_ref().map(|policy| policy.retry_cap).unwrap_or_default();
        of.pause_until = now + probe_wait(of.probes, cap);
    }

    pub fn due_probes(&self, now: DateTime<Utc>) -> Vec<usize> {
        let due =
            |of: &Account| matches!(of.pause, Some(Pause::Auth | Pause::Quota)) && of.pause_until <= now;
        (0..self.accounts.len()).filter(|account| due(&self.accounts[*account])).collect()
    }

    /// The first moment after now at which something may move by itself, on the node's clock.
    pub fn next_moment(&self, stamp: Stamp) -> Option<DateTime<Utc>> {
        let to_node = stamp.at - stamp.lease_clock;
        let rows = self.rows.iter().flat_map(|row| {
            let lease = (row.lease_until + to_node) + TimeDelta::milliseconds(1);
            match row.facts.state {
                State::Scheduled => vec![row.facts.due_at],
                State::Unconfirmed => vec![row.facts.due_at, lease],
                State::Sending => vec![lease],
                _ => vec![],
            }
        });
        let accounts = self.accounts.iter().flat_map(|of| [of.next_send_at, of.pause_until]);
        rows.chain(accounts).filter(|moment| *moment > stamp.at).min()
    }

    pub fn is_moving(&self) -> bool {
        self.rows.iter().any(|row| row.facts.state.is_moving())
    }

    /// The remote ids that other deliveries own.
    pub fn remote_ids(&self, except: usize) -> impl Iterator<Item = &String> {
        let others = self.rows.iter().enumerate().filter(move |(at, _)| *at != except);
        others.filter_map(|(_, row)| row.remote_id.as_ref())
    }

    fn step(&mut self, stamp: Stamp, at: usize, event: Event, chance: f64) -> Option<Transition> {
        let row = &mut self.rows[at];
        let policy = self.accounts[row.account].policy.as_ref()?;
        let next = transition::step(&row.facts, event, stamp.at, chance, policy).ok()?;
        row.facts = next.facts.clone();
        row.changed_at = stamp.at;
        row.reason.clone_from(&next.reason);
        if let Some(Receipt { remote_id, .. }) = &next.receipt {
            row.remote_id = Some(remote_id.clone());
        }
        Some(next)
    }
}

fn probe_wait(doublings: u32, cap: Duration) -> TimeDelta {
    clock::span(FIRST_PROBE.saturating_mul(2u32.saturating_pow(doublings.min(16))).min(cap))
}
