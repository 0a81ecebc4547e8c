//! Transition: what an event makes of a delivery; the heart of songkhao, pure.
//!
//! [`step`] is `(delivery, event, now, chance) → transition`. It knows no database and no network:
//! `store` writes what it decides, `pipeline` makes the events. Invariants, held by property tests:
//! no send without a committed intent, no send under a lost lease, and no second send of an act that
//! may be public, unless the platform recognises repeats or reading back proved it absent.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;

use crate::clock;
use crate::model::attempt::Receipt;
use crate::model::attempt::SendError;
use crate::model::delivery::Facts;
use crate::model::delivery::State;

/// The settings and platform traits that the rules need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The first pause of the back-off.
    pub retry_base: Duration,
    /// The longest pause of the back-off.
    pub retry_cap: Duration,
    /// The longest a request may take.
    pub timeout: Duration,
    /// How long an unconfirmed delivery waits before the first look.
    pub confirm_after: Duration,
    /// Whether the platform recognises a repeated send by its key.
    pub recognises_repeats: bool,
    /// Whether the account's recent posts can be read back.
    pub can_read_back: bool,
    /// Failures in a row that open an account's circuit.
    pub circuit_after: u32,
}

/// A delivery found absent is sent again at most this often (design.md section 4).
pub const MAX_RESENDS: i64 = 3;

/// Looks before absence counts, at 1×, 2× and 4× `confirm_after` (design.md section 4).
pub const LOOKS: i64 = 3;

/// LINE remembers a retry key for 24 h from its first use; four hours are left as a margin (line.md section 2).
pub const KEY_LIFE: Duration = Duration::from_secs(20 * 3600);

/// Failing looks after which a delivery that is past its good-until is parked.
const FAILED_LOOKS: i64 = 5;

/// Something that happens to a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A claim found it due.
    Due {
        /// A hold stops its lane on its account.
        held: bool,
        /// Its account only pretends to post.
        shadow: bool,
    },
    /// A claim found it due, and the database forgot a stretch of time in which it may have been sent.
    Forgotten {
        /// The newest thing that is known from before.
        since: DateTime<Utc>,
        /// From when on everything is known again.
        until: DateTime<Utc>,
        /// A hold stops its lane on its account; it stops no look.
        held: bool,
    },
    /// The attempt was given up before any byte of the request left this machine, or the platform refused it for a token
    /// that is renewed.
    NotSent {
        /// Why.
        reason: String,
    },
    /// The same link stands on the account already, put there by somebody else.
    AlreadyThere {
        /// Where.
        link: String,
    },
    /// The platform answered, or did not.
    Answered(Result<Receipt, SendError>),
    /// The node that was sending it died, or its lease ran out.
    LeaseLost,
    /// Its account's recent posts were read back.
    Looked(Look),
    /// A person settles a parked one.
    Resolved(Resolution),
    /// A person sends a failed or held one again.
    Retried,
    /// A person, or a change of configuration, calls it off.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// What a look at the account's recent posts showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// It is there.
    Found(Receipt),
    /// It is not in the list.
    Absent {
        /// The list holds a newer, or the newest known, post of ours; or we know of none.
        fresh: bool,
    },
    /// The list could not be read.
    Failed(SendError),
}

/// What a person knows of a parked delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// It is public, here.
    There(Receipt),
    /// It is not public: send it again.
    Absent,
    /// Leave it.
    Drop,
}

/// What an event does to the account besides the delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The platform answers: the circuit closes.
    Answering,
    /// One more failure in a row: enough of them open the circuit.
    Failing,
    /// Nothing goes out until this moment.
    Throttle {
        /// When sending may start again.
        until: DateTime<Utc>,
        /// The platform's words.
        reason: String,
    },
    /// The credential is refused: the account waits for a person or a good probe.
    PauseAuth {
        /// The platform's words.
        reason: String,
    },
    /// The budget is spent: the account waits for a person or a good probe.
    PauseQuota {
        /// The platform's words.
        reason: String,
    },
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The new state and counters.
    pub facts: Facts,
    /// Why, in words that are safe to show.
    pub reason: Option<String>,
    /// The receipt, when it is delivered.
    pub receipt: Option<Receipt>,
    /// What it means for the account.
    pub effect: Option<Effect>,
}

/// An event that this state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a delivery that is {state} can't be {event}")]
pub struct NotAllowed {
    /// The state it is in.
    pub state: State,
    /// What was tried.
    pub event: &'static str,
}

/// Decides what an event makes of a delivery. `chance`, in 0..1, spreads the retries (full jitter).
///
/// # Errors
/// [`NotAllowed`] when the state does not know the event; the caller changes nothing then.
pub fn step(
    delivery: &Facts,
    event: Event,
    now: DateTime<Utc>,
    chance: f64,
    policy: &Policy,
) -> Result<Transition, NotAllowed> {
    let refused = NotAllowed { state: delivery.state, event: event.name() };
    let turn = Turn { delivery, now, chance, policy };
    match (delivery.state, event) {
        (State::Scheduled, Event::Due { held, shadow }) => Ok(turn.due(held, shadow)),
        (State::Scheduled, Event::Forgotten { since, until, held }) => Ok(turn.forgotten(since, until, held)),
        (State::Sending, Event::NotSent { reason }) => {
            Ok(turn.to(State::Scheduled).due_at(now + clock::span(policy.retry_base)).because(reason))
        }
        (State::Sending, Event::AlreadyThere { link }) if delivery.attempts <= 1 => {
            Ok(turn.to(State::Cancelled).because(format!("already there: {link}")))
        }
        (State::Sending, Event::Answered(Ok(receipt))) => {
            Ok(turn.delivered(receipt, None).with(Effect::Answering))
        }
        // A receipt is proof whenever it comes, say after the lease was lost to another node.
        (
            State::Scheduled | State::Unconfirmed | State::Parked | State::Held,
            Event::Answered(Ok(receipt)),
        ) => Ok(turn.delivered(receipt, Some("the receipt came late".into())).with(Effect::Answering)),
        (State::Sending, Event::Answered(Err(error))) => Ok(turn.refused(error)),
        (State::Sending, Event::LeaseLost) => {
            Ok(turn.doubtful("the sending node stopped before it could record the answer".into()))
        }
        (State::Unconfirmed, Event::Looked(look)) => Ok(turn.looked(look)),
        (State::Parked, Event::Resolved(resolution)) => Ok(turn.resolved(resolution)),
        (State::Failed | State::Held, Event::Retried) => {
            let mut next = turn.to(State::Scheduled).due_at(now);
            next.facts.failures = 0;
            Ok(next)
        }
        (State::Scheduled | State::Held | State::Failed | State::Parked, Event::Cancelled { reason }) => {
            Ok(turn.unsent(State::Cancelled, reason))
        }
        _ => Err(refused),
    }
}

/// The pause before try number `failures` + 1: full jitter over an exponential that ends at `cap`.
pub fn backoff(base: Duration, cap: Duration, failures: i64, chance: f64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1).clamp(0, 30)).unwrap_or(30);
    base.saturating_mul(2u32.saturating_pow(doublings)).min(cap).mul_f64(chance.clamp(0.0, 1.0))
}

/// One call of [`step`], with what every rule needs.
struct Turn<'a> {
    delivery: &'a Facts,
    now: DateTime<Utc>,
    chance: f64,
    policy: &'a Policy,
}

impl Turn<'_> {
    fn to(&self, state: State) -> Transition {
        let facts = Facts { state, ..self.delivery.clone() };
        Transition { facts, reason: None, receipt: None, effect: None }
    }

    fn due(&self, held: bool, shadow: bool) -> Transition {
        if self.now > self.delivery.good_until {
            let reason = "its good-until passed before it could be sent";
            return self.unsent(State::Expired, reason.into());
        }
        if held {
            return self.to(State::Held).because("a hold was on when it came due".into());
        }
        if shadow {
            return self.unsent(State::Cancelled, "shadow".into());
        }
        let key_is_old = !self.key_is_remembered();
        if key_is_old && self.delivery.is_in_doubt() {
            return self.to(State::Parked).because("the retry key is too old to repeat it".into());
        }
        let mut next = self.to(State::Sending);
        next.facts.attempts += 1;
        next.facts.attempt_started_at = Some(self.now);
        if key_is_old {
            next.facts.key_used_at = Some(self.now);
        }
        next
    }

    /// An attempt that nobody remembers may have made it public. Under a retry key that is known, a repeat settles
    /// that; else it is read back, from the beginning of what was forgotten; else a person decides.
    fn forgotten(&self, since: DateTime<Utc>, until: DateTime<Utc>, held: bool) -> Transition {
        if self.policy.recognises_repeats && self.key_is_remembered() {
            let unconfirmed_at = self.delivery.unconfirmed_at.or(Some(self.now));
            let delivery = &Facts { unconfirmed_at, ..self.delivery.clone() };
            return Turn { delivery, ..*self }.due(held, false);
        }
        let when = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%SZ");
        let reason =
            format!("it may have been sent while the database forgot: {} to {}", when(since), when(until));
        if !self.policy.can_read_back {
            let mut next =
                self.to(State::Parked).because(format!("{reason}; the platform can't be read back"));
            next.facts.unconfirmed_at = Some(self.now);
            return next;
        }
        let mut next = self.to(State::Unconfirmed).because(reason);
        next.facts.looks = 0;
        next.facts.failures = 0;
        next.facts.unconfirmed_at = Some(self.now);
        next.facts.key_used_at = Some(self.delivery.key_used_at.map_or(since, |used| used.min(since)));
        // Another node may still be sending under a claim that was forgotten.
        next.facts.due_at = self.now + clock::span(self.policy.timeout + self.policy.confirm_after);
        next
    }

    /// Ends a delivery that was not sent; one in doubt may have been, and that is for a person to settle.
    fn unsent(&self, end: State, reason: String) -> Transition {
        if self.delivery.is_in_doubt() && self.delivery.state != State::Parked {
            return self.to(State::Parked).because(format!("{reason}; an earlier attempt may be public"));
        }
        self.to(end).because(reason)
    }

    /// Whether the platform still recognises a repeat under the key in use; without a key, it has nothing to know.
    fn key_is_remembered(&self) -> bool {
        self.delivery.key_used_at.is_some_and(|used| self.now - used < clock::span(KEY_LIFE))
    }

    fn delivered(&self, receipt: Receipt, reason: Option<String>) -> Transition {
        let mut next = self.to(State::Delivered);
        next.reason = reason;
        next.receipt = Some(receipt);
        next.facts.failures = 0;
        next
    }

    fn refused(&self, error: SendError) -> Transition {
        let reason = error.to_string();
        match error {
            SendError::Rejected { .. } => self.unsent(State::Failed, reason).with(Effect::Answering),
            SendError::Duplicate { .. } => self.doubtful(reason).with(Effect::Answering),
            SendError::Unconfirmed { .. } => self.doubtful(reason).with(Effect::Failing),
            SendError::Unreachable { .. } => self.later(reason).with(Effect::Failing),
            SendError::Unauthorized { .. } => {
                let effect = Effect::PauseAuth { reason: reason.clone() };
                self.to(State::Scheduled).due_at(self.now).because(reason).with(effect)
            }
            SendError::OutOfBudget { .. } => {
                let effect = Effect::PauseQuota { reason: reason.clone() };
                self.to(State::Scheduled).due_at(self.now).because(reason).with(effect)
            }
            SendError::RateLimited { retry_after, .. } => {
                let mut next = self.later(reason.clone());
                if let Some(wait) = retry_after {
                    next.facts.due_at = self.now + clock::span(wait);
                }
                let until = next.facts.due_at;
                next.with(Effect::Throttle { until, reason })
            }
        }
    }

    /// Surely not sent: it goes on until good-until, however long the outage lasts.
    fn later(&self, reason: String) -> Transition {
        let mut next = self.to(State::Scheduled).because(reason);
        next.facts.failures += 1;
        let policy = self.policy;
        let wait = backoff(policy.retry_base, policy.retry_cap, next.facts.failures, self.chance);
        next.facts.due_at = self.now + clock::span(wait);
        next
    }

    /// It may be public. Repeated only where the platform can tell; else read back; else a person decides.
    fn doubtful(&self, reason: String) -> Transition {
        let policy = self.policy;
        let mut next = match (policy.recognises_repeats, policy.can_read_back) {
            (true, _) if self.key_is_remembered() => self.later(reason),
            (true, _) => {
                self.to(State::Parked).because(format!("{reason}; the retry key is too old to repeat it"))
            }
            (false, false) => {
                self.to(State::Parked).because(format!("{reason}; the platform can't be read back"))
            }
            (false, true) => {
                let mut next = self.to(State::Unconfirmed).because(reason);
                next.facts.looks = 0;
                next.facts.failures = 0;
                next.facts.due_at = first_look(self.delivery, policy, self.now);
                next
            }
        };
        next.facts.unconfirmed_at = Some(self.delivery.unconfirmed_at.unwrap_or(self.now));
        next
    }

    fn looked(&self, look: Look) -> Transition {
        match look {
            Look::Found(receipt) => self.delivered(receipt, Some("found by reading back".into())),
            Look::Absent { fresh } => self.absent(fresh),
            Look::Failed(error @ SendError::Rejected { .. }) => {
                self.to(State::Parked).because(format!("can't be read back: {error}"))
            }
            Look::Failed(error) => self.look_failed(&error),
        }
    }

    fn absent(&self, fresh: bool) -> Transition {
        let mut next = self.to(State::Unconfirmed);
        next.facts.looks += 1;
        next.facts.failures = 0;
        if next.facts.looks < LOOKS {
            next.facts.due_at = next_look(&next.facts, self.policy, self.now);
            let reason = format!("not found at look {}", next.facts.looks);
            return next.because(reason);
        }
        if !fresh {
            return self.to(State::Parked).because(
                "not found, but the account's list may be stale: it lacks our newest known post".into(),
            );
        }
        if self.delivery.resends >= MAX_RESENDS {
            return self
                .to(State::Parked)
                .because(format!("not found after {MAX_RESENDS} resends; the account may hide our posts"));
        }
        let mut next = self.to(State::Scheduled).due_at(self.now);
        next.facts.resends += 1;
        next.facts.unconfirmed_at = None;
        next.because("not found by reading back: it will be sent once more".into())
    }

    fn look_failed(&self, error: &SendError) -> Transition {
        let mut next = self.to(State::Unconfirmed).because(format!("can't be read back yet: {error}"));
        next.facts.failures += 1;
        if self.now > self.delivery.good_until && next.facts.failures >= FAILED_LOOKS {
            let mut parked = self.to(State::Parked).because(format!("could not be read back: {error}"));
            parked.facts.failures = next.facts.failures;
            return parked;
        }
        let policy = self.policy;
        let floor = policy.retry_base.min(policy.retry_cap);
        let wait = backoff(policy.retry_base, policy.retry_cap, next.facts.failures, self.chance).max(floor);
        let asked = match error {
            SendError::RateLimited { retry_after: Some(asked), .. } => *asked,
            _ => Duration::ZERO,
        };
        next.facts.due_at = self.now + clock::span(wait.max(asked));
        match error {
            SendError::Unauthorized { .. } => {
                let reason = error.to_string();
                next.with(Effect::PauseAuth { reason })
            }
            _ => next,
        }
    }

    fn resolved(&self, resolution: Resolution) -> Transition {
        match resolution {
            Resolution::There(receipt) => self.delivered(receipt, Some("a person found it".into())),
            Resolution::Drop => self.to(State::Cancelled).because("dropped by a person".into()),
            Resolution::Absent => {
                let mut next = self.to(State::Scheduled).due_at(self.now);
                next.facts.resends = 0;
                next.facts.failures = 0;
                next.facts.unconfirmed_at = None;
                // A new send under a key the platform may have forgotten needs a new key.
                next.facts.key_used_at = None;
                next.because("a person found it absent: it will be sent again".into())
            }
        }
    }
}

/// When doubt is looked into first: `confirm_after` from the later of the attempt's last possible moment and now.
/// An attempt that seems to start later was opened before the clock was put back.
fn first_look(delivery: &Facts, policy: &Policy, now: DateTime<Utc>) -> DateTime<Utc> {
    let last_moment =
        delivery.attempt_started_at.map_or(now, |start| start.min(now) + clock::span(policy.timeout));
    last_moment.max(now) + clock::span(policy.confirm_after)
}

/// When the look after one that found nothing is due. Counted from that look, so that looks stay apart whatever
/// the clock or an outage did: the first three come at 1×, 2× and 4× `confirm_after`.
fn next_look(delivery: &Facts, policy: &Policy, now: DateTime<Utc>) -> DateTime<Utc> {
    let gap = if delivery.looks <= 1 { 1 } else { 2 };
    now + clock::span(policy.confirm_after.saturating_mul(gap))
}

impl Transition {
    fn because(mut self, reason: String) -> Self {
        self.reason = Some(reason);
        self
    }

    fn due_at(mut self, at: DateTime<Utc>) -> Self {
        self.facts.due_at = at;
        self
    }

    fn with(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Event::Due { .. } => "claimed",
            Event::Forgotten { .. } => "looked for",
            Event::NotSent { .. } => "given back",
            Event::AlreadyThere { .. } => "found already there",
            Event::Answered(_) => "answered",
            Event::LeaseLost => "taken over",
            Event::Looked(_) => "read back",
            Event::Resolved(_) => "resolved",
            Event::Retried => "retried",
            Event::Cancelled { .. } => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: i64 = 45;
    const CONFIRM_AFTER: i64 = 90;

    #[test]
    fn a_due_delivery_is_claimed_and_opens_an_attempt() {
        check(scheduled(), due(), X, "sending, attempt 1");
        check(Facts { attempts: 4, ..scheduled() }, due(), X, "sending, attempt 5");
        let next = stepped(scheduled(), due(), X);
        assert_eq!(next.facts.attempt_started_at, Some(at(0)));
        assert_eq!(next.facts.key_used_at, Some(at(0)));
    }

    #[test]
    fn what_came_due_under_a_hold_is_held_and_what_came_too_late_expires() {
        let late = Facts { good_until: at(-1), ..scheduled() };
        check(Facts { good_until: at(0), ..scheduled() }, due(), X, "sending, attempt 1");
        check(late.clone(), due(), X, "expired: its good-until passed before it could be sent");
        check(scheduled(), held(), X, "held: a hold was on when it came due");
        check(late, held(), X, "expired: its good-until passed before it could be sent");
        check(scheduled(), shadow(), X, "cancelled: shadow");
        check(
            scheduled(),
            Event::Due { held: true, shadow: true },
            X,
            "held: a hold was on when it came due",
        );
    }

    #[test]
    fn what_may_have_been_sent_in_a_forgotten_time_is_looked_for_first() {
        let why =
            "it may have been sent while the database forgot: 2027-01-15 07:50:00Z to 2027-01-15 07:59:00Z";
        check(scheduled(), forgotten(), X, &format!("unconfirmed in {} s: {why}", TIMEOUT + CONFIRM_AFTER));
        // Neither a late hour nor what was tried before makes it known.
        check(
            Facts { good_until: at(-1), attempts: 2, looks: 2, ..scheduled() },
            forgotten(),
            X,
            &format!("unconfirmed in {} s: {why}", TIMEOUT + CONFIRM_AFTER),
        );
        let next = stepped(scheduled(), forgotten(), X).facts;
        assert_eq!((next.key_used_at, next.looks), (Some(at(-600)), 0), "looked for since it was forgotten");
        for blind in [LINE, BLIND] {
            check(
                scheduled(),
                forgotten(),
                blind,
                &format!("parked: {why}; the platform can't be read back"),
            );
            assert!(stepped(scheduled(), forgotten(), blind).facts.is_in_doubt());
        }
        // Under a key that is known, a repeat tells.
        let tried = Facts { attempts: 1, key_used_at: Some(at(-3_600)), ..scheduled() };
        check(tried.clone(), forgotten(), LINE, "sending, attempt 2");
        assert!(stepped(tried.clone(), forgotten(), LINE).facts.is_in_doubt(), "until it tells");
        let late = Facts { good_until: at(-1), ..tried };
        let parked =
            "parked: its good-until passed before it could be sent; an earlier attempt may be public";
        check(late, forgotten(), LINE, parked);
        let long_ago = Facts { attempts: 1, key_used_at: Some(at(-90_000)), ..scheduled() };
        check(long_ago, forgotten(), LINE, &format!("parked: {why}; the platform can't be read back"));
        refuse(sending(), forgotten());
    }

    #[test]
    fn a_receipt_is_the_only_way_to_delivered() {
        check(sending(), Event::Answered(Ok(receipt())), X, "delivered r1, answering");
        check(unconfirmed(0), found(), X, "delivered r1: found by reading back");
        check(parked(), Event::Resolved(Resolution::There(receipt())), X, "delivered r1: a person found it");
    }

    #[test]
    fn a_receipt_that_comes_late_is_proof_until_the_delivery_has_its_end() {
        let late = "delivered r1, answering: the receipt came late";
        for state in [State::Scheduled, State::Unconfirmed, State::Parked, State::Held] {
            check(Facts { state, ..sending() }, Event::Answered(Ok(receipt())), X, late);
        }
        for state in [State::Failed, State::Delivered, State::Expired, State::Cancelled] {
            refuse(Facts { state, ..sending() }, Event::Answered(Ok(receipt())));
        }
    }

    #[test]
    fn an_outage_is_waited_out_and_uses_up_no_resend() {
        for (failures, pause) in [(0, 2), (1, 4), (2, 8), (8, 512), (9, 900), (50, 900)] {
            let facts = Facts { failures, ..sending() };
            check(
                facts,
                refused(unreachable()),
                X,
                &format!("scheduled in {pause} s, failing: platform unreachable: w"),
            );
        }
        let facts = stepped(Facts { failures: 50, resends: 3, ..sending() }, refused(unreachable()), X).facts;
        assert_eq!((facts.resends, facts.unconfirmed_at), (3, None));
    }

    #[test]
    fn what_was_given_back_unsent_comes_again_soon() {
        let given_back = Event::NotSent { reason: "slept".into() };
        check(sending(), given_back, X, "scheduled in 2 s: slept");
    }

    #[test]
    fn a_platforms_own_pause_beats_the_back_off() {
        let limited = |wait: Option<u64>| {
            refused(SendError::RateLimited { retry_after: wait.map(Duration::from_secs), reason: "w".into() })
        };
        check(sending(), limited(Some(77)), X, "scheduled in 77 s, throttle 77 s: rate limited: w");
        check(sending(), limited(Some(0)), X, "scheduled in 0 s, throttle 0 s: rate limited: w");
        check(sending(), limited(None), X, "scheduled in 2 s, throttle 2 s: rate limited: w");
    }

    #[test]
    fn a_refused_credential_or_budget_pauses_the_account_and_burns_no_post() {
        let unauthorized = SendError::Unauthorized { reason: "w".into() };
        let broke = SendError::OutOfBudget { reason: "w".into() };
        check(sending(), refused(unauthorized), X, "scheduled in 0 s, pause auth: credential refused: w");
        check(sending(), refused(broke), X, "scheduled in 0 s, pause quota: out of budget: w");
    }

    #[test]
    fn a_refused_post_fails_and_a_person_may_send_it_again() {
        let rejected = SendError::Rejected { reason: "w".into() };
        check(sending(), refused(rejected), X, "failed, answering: post refused: w");
        check(
            Facts { state: State::Failed, failures: 4, ..sending() },
            Event::Retried,
            X,
            "scheduled in 0 s",
        );
        check(Facts { state: State::Held, ..scheduled() }, Event::Retried, X, "scheduled in 0 s");
        refuse(parked(), Event::Retried);
        refuse(scheduled(), Event::Retried);
    }

    #[test]
    fn doubt_is_repeated_only_where_that_is_harmless() {
        let doubt = || refused(SendError::Unconfirmed { reason: "w".into() });
        check(sending(), doubt(), X, "unconfirmed in 135 s, failing: no confirmation: w");
        check(sending(), doubt(), LINE, "scheduled in 2 s, failing: no confirmation: w");
        check(
            sending(),
            doubt(),
            BLIND,
            "parked, failing: no confirmation: w; the platform can't be read back",
        );
        let lost = "the sending node stopped before it could record the answer";
        check(sending(), Event::LeaseLost, X, &format!("unconfirmed in 135 s: {lost}"));
        check(sending(), Event::LeaseLost, LINE, &format!("scheduled in 2 s: {lost}"));
    }

    #[test]
    fn a_duplicate_is_looked_for_and_never_taken_for_a_success() {
        let duplicate = refused(SendError::Duplicate { reason: "w".into() });
        check(
            sending(),
            duplicate,
            X,
            "unconfirmed in 135 s, answering: the platform reports a duplicate: w",
        );
    }

    #[test]
    fn the_first_look_counts_from_the_later_of_the_attempts_last_moment_and_the_doubt() {
        for (started, first) in [(0, 135), (-10, 125), (-TIMEOUT, 90), (-3600, 90), (3600, 135)] {
            let facts = Facts { attempt_started_at: Some(at(started)), ..sending() };
            assert_eq!(stepped(facts, Event::LeaseLost, X).facts.due_at, at(first), "{started}");
        }
    }

    #[test]
    fn absence_counts_after_all_looks_on_a_fresh_list() {
        check(unconfirmed(0), absent(true), X, "unconfirmed in 90 s: not found at look 1");
        check(unconfirmed(0), absent(false), X, "unconfirmed in 90 s: not found at look 1");
        check(unconfirmed(1), absent(true), X, "unconfirmed in 180 s: not found at look 2");
        check(
            unconfirmed(2),
            absent(true),
            X,
            "scheduled in 0 s, resend 1: not found by reading back: it will be sent once more",
        );
        check(
            unconfirmed(2),
            absent(false),
            X,
            "parked: not found, but the account's list may be stale: it lacks our newest known post",
        );
    }

    #[test]
    fn on_time_the_looks_come_at_one_two_and_four_times_confirm_after() {
        let doubt =
            stepped(Facts { attempt_started_at: Some(at(-TIMEOUT)), ..sending() }, Event::LeaseLost, X);
        let mut facts = doubt.facts;
        for look in [1, 2, 4] {
            let moment = facts.due_at;
            assert_eq!(moment, at(look * CONFIRM_AFTER));
            facts = step(&facts, absent(true), moment, 1.0, &X.policy()).unwrap().facts;
        }
        assert_eq!(facts.state, State::Scheduled);
    }

    #[test]
    fn at_most_three_resends_then_a_person() {
        for resends in 0..MAX_RESENDS {
            let facts = Facts { resends, ..unconfirmed(2) };
            assert_eq!(stepped(facts, absent(true), X).facts.resends, resends + 1);
        }
        check(
            Facts { resends: MAX_RESENDS, ..unconfirmed(2) },
            absent(true),
            X,
            "parked: not found after 3 resends; the account may hide our posts",
        );
    }

    #[test]
    fn a_list_that_can_not_be_read_is_tried_again_until_good_until() {
        let failed = |error: SendError| Event::Looked(Look::Failed(error));
        let patient = Facts { failures: 20, ..unconfirmed(1) };
        check(
            patient,
            failed(unreachable()),
            X,
            "unconfirmed in 900 s: can't be read back yet: platform unreachable: w",
        );
        let late = Facts { good_until: at(-1), failures: 4, ..unconfirmed(1) };
        check(late, failed(unreachable()), X, "parked: could not be read back: platform unreachable: w");
        let asked = SendError::RateLimited { retry_after: Some(Duration::from_secs(60)), reason: "w".into() };
        check(
            unconfirmed(0),
            failed(asked),
            X,
            "unconfirmed in 60 s: can't be read back yet: rate limited: w",
        );
        let unauthorized = SendError::Unauthorized { reason: "w".into() };
        check(
            unconfirmed(0),
            failed(unauthorized),
            X,
            "unconfirmed in 2 s, pause auth: can't be read back yet: credential refused: w",
        );
        let gone = SendError::Rejected { reason: "w".into() };
        check(unconfirmed(0), failed(gone), X, "parked: can't be read back: post refused: w");
    }

    #[test]
    fn a_failed_look_is_no_look() {
        let next = stepped(unconfirmed(2), Event::Looked(Look::Failed(unreachable())), X);
        assert_eq!(next.facts.looks, 2);
    }

    #[test]
    fn a_key_too_old_is_never_repeated() {
        let key_used = |hours: i64| Some(at(-hours * 3600));
        let doubt = || refused(SendError::Unconfirmed { reason: "w".into() });
        let repeated = "scheduled in 2 s, failing: no confirmation: w";
        check(Facts { key_used_at: key_used(19), ..sending() }, doubt(), LINE, repeated);
        let too_old = "parked, failing: no confirmation: w; the retry key is too old to repeat it";
        check(Facts { key_used_at: key_used(20), ..sending() }, doubt(), LINE, too_old);
        let in_doubt = Facts { unconfirmed_at: Some(at(-60)), ..scheduled() };
        let paused_for_a_day = Facts { key_used_at: key_used(25), ..in_doubt.clone() };
        check(paused_for_a_day, due(), LINE, "parked: the retry key is too old to repeat it");
        let fresh = Facts { key_used_at: key_used(1), ..in_doubt };
        assert_eq!(stepped(fresh, due(), LINE).facts.key_used_at, key_used(1));
    }

    #[test]
    fn a_key_that_surely_published_nothing_is_replaced_when_it_is_old() {
        let old = Facts { key_used_at: Some(at(-25 * 3600)), ..scheduled() };
        check(old.clone(), due(), LINE, "sending, attempt 1");
        assert_eq!(stepped(old, due(), LINE).facts.key_used_at, Some(at(0)));
    }

    #[test]
    fn what_may_be_public_has_no_end_without_a_person() {
        let in_doubt = || Facts { unconfirmed_at: Some(at(-60)), key_used_at: Some(at(-60)), ..scheduled() };
        let maybe = "an earlier attempt may be public";
        let late = Facts { good_until: at(-1), ..in_doubt() };
        check(late, due(), LINE, &format!("parked: its good-until passed before it could be sent; {maybe}"));
        check(in_doubt(), shadow(), LINE, &format!("parked: shadow; {maybe}"));
        check(in_doubt(), cancelled(), LINE, &format!("parked: w; {maybe}"));
        check(in_doubt(), held(), LINE, "held: a hold was on when it came due");
        let held = Facts { state: State::Held, ..in_doubt() };
        check(held, cancelled(), LINE, &format!("parked: w; {maybe}"));
        let rejected = refused(SendError::Rejected { reason: "w".into() });
        let again = Facts { state: State::Sending, ..in_doubt() };
        check(again, rejected, LINE, &format!("parked, answering: post refused: w; {maybe}"));
    }

    #[test]
    fn a_person_settles_what_is_parked() {
        let doubtful = || Facts { resends: 3, failures: 2, unconfirmed_at: Some(at(-60)), ..parked() };
        check(
            doubtful(),
            Event::Resolved(Resolution::Absent),
            X,
            "scheduled in 0 s, resend 0: a person found it absent: it will be sent again",
        );
        let facts = stepped(doubtful(), Event::Resolved(Resolution::Absent), LINE).facts;
        assert_eq!((facts.failures, facts.unconfirmed_at, facts.key_used_at), (0, None, None));
        check(doubtful(), Event::Resolved(Resolution::Drop), X, "cancelled: dropped by a person");
        check(doubtful(), cancelled(), X, "cancelled: w");
    }

    #[test]
    fn what_is_not_sent_can_be_called_off_and_nothing_else() {
        for state in State::ALL {
            let facts = Facts { state, ..scheduled() };
            match state {
                State::Scheduled | State::Held | State::Failed | State::Parked => {
                    check(facts, cancelled(), X, "cancelled: w");
                }
                _ => refuse(facts, cancelled()),
            }
        }
    }

    #[test]
    fn somebody_elses_post_counts_before_the_first_attempt_only() {
        let there = || Event::AlreadyThere { link: "https://x.example/1".into() };
        let first = Facts { attempts: 1, ..sending() };
        check(first, there(), X, "cancelled: already there: https://x.example/1");
        refuse(Facts { attempts: 2, ..sending() }, there());
    }

    #[test]
    fn an_event_that_a_state_does_not_know_is_refused_by_name() {
        let refusal = step(&parked(), due(), at(0), 1.0, &X.policy()).unwrap_err();
        assert_eq!(refusal.to_string(), "a delivery that is parked can't be claimed");
        for state in State::ALL.into_iter().filter(|state| *state != State::Scheduled) {
            refuse(Facts { state, ..scheduled() }, due());
        }
        for state in State::ALL.into_iter().filter(|state| *state != State::Sending) {
            refuse(Facts { state, ..sending() }, Event::LeaseLost);
            refuse(Facts { state, ..sending() }, refused(unreachable()));
        }
        for state in State::ALL.into_iter().filter(|state| *state != State::Unconfirmed) {
            refuse(Facts { state, ..unconfirmed(0) }, found());
        }
        for state in State::ALL.into_iter().filter(|state| *state != State::Parked) {
            refuse(Facts { state, ..parked() }, Event::Resolved(Resolution::Absent));
        }
    }

    #[test]
    fn the_back_off_doubles_up_to_its_cap_and_is_spread_over_all_of_it() {
        check(1, 1.0, 2.0);
        check(1, 0.5, 1.0);
        check(1, 0.0, 0.0);
        check(0, 1.0, 2.0);
        check(5, 1.0, 32.0);
        check(1_000_000, 1.0, 900.0);
        check(3, 7.5, 8.0);
        check(3, -1.0, 0.0);

        #[track_caller]
        fn check(failures: i64, chance: f64, seconds: f64) {
            let pause = backoff(Duration::from_secs(2), Duration::from_secs(900), failures, chance);
            assert_eq!(pause, Duration::from_secs_f64(seconds));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_happens_the_promises_hold(
            kind in prop::sample::select(vec![X, LINE, BLIND]),
            good_for in -100i64..200_000,
            happenings in prop::collection::vec((event(), elapsed(), 0.0..1.0f64), 1..60),
        ) {
            let policy = kind.policy();
            let mut facts = Facts { good_until: at(good_for), ..scheduled() };
            let mut now = at(0);
            let mut may_be_public = false;
            let mut resent = 0;
            for (event, seconds, chance) in happenings {
                now += chrono::TimeDelta::seconds(seconds);
                let Ok(next) = step(&facts, event.clone(), now, chance, &policy) else { continue };
                promises(&facts, &event, &next, now, kind)?;
                resent += next.facts.resends - facts.resends;
                match &event {
                    Event::Resolved(Resolution::Absent) => (may_be_public, resent) = (false, 0),
                    Event::Looked(Look::Absent { .. }) if next.facts.state == State::Scheduled => may_be_public = false,
                    Event::LeaseLost
                    | Event::Answered(Err(SendError::Unconfirmed { .. } | SendError::Duplicate { .. })) => {
                        may_be_public = true;
                    }
                    Event::Forgotten { .. } => may_be_public = true,
                    _ => {}
                }
                prop_assert!(resent <= MAX_RESENDS);
                if may_be_public {
                    prop_assert!(next.facts.is_in_doubt());
                    let by_a_person = facts.state == State::Parked;
                    match next.facts.state {
                        State::Sending => {
                            prop_assert!(policy.recognises_repeats, "sent again without proof of absence");
                            prop_assert_eq!(next.facts.key_used_at, facts.key_used_at, "repeated under another key");
                            let age = next.facts.key_used_at.map(|used| now - used);
                            prop_assert!(age < Some(clock::span(KEY_LIFE)), "repeated under a key of {:?}", age);
                        }
                        State::Failed | State::Expired => prop_assert!(false, "{} in doubt", next.facts.state),
                        State::Cancelled => prop_assert!(by_a_person, "cancelled in doubt"),
                        _ => {}
                    }
                }
                facts = next.facts;
            }
        }
    }

    /// What must be true of every single transition.
    fn promises(
        before: &Facts,
        event: &Event,
        next: &Transition,
        now: DateTime<Utc>,
        kind: Kind,
    ) -> Result<(), TestCaseError> {
        let after = &next.facts;
        let ended = [State::Delivered, State::Expired, State::Cancelled];
        prop_assert!(!ended.contains(&before.state), "{} is an end", before.state);
        prop_assert_eq!(after.state == State::Delivered, next.receipt.is_some());
        prop_assert_eq!(after.good_until, before.good_until);
        prop_assert!((0..=MAX_RESENDS).contains(&after.resends));
        let claimed =
            matches!(event, Event::Due { .. } | Event::Forgotten { .. }) && after.state == State::Sending;
        prop_assert_eq!(after.state == State::Sending, claimed, "only a claim leads to sending");
        prop_assert_eq!(after.attempts, before.attempts + i64::from(claimed));
        if claimed {
            prop_assert_eq!(before.state, State::Scheduled);
            prop_assert!(now <= before.good_until);
            prop_assert_eq!(after.attempt_started_at, Some(now));
        }
        if after.state == State::Unconfirmed {
            prop_assert!(kind == X, "only what can be read back waits for a look");
            prop_assert!(after.due_at >= now, "a look in the past");
            prop_assert!(after.looks < LOOKS);
            if !matches!(event, Event::Looked(Look::Failed(_))) {
                let confirm_after = chrono::TimeDelta::seconds(CONFIRM_AFTER);
                prop_assert!(after.due_at >= now + confirm_after, "looks too close together");
            }
        }
        if before.state == State::Unconfirmed && after.state == State::Scheduled {
            prop_assert_eq!(event, &Event::Looked(Look::Absent { fresh: true }));
            prop_assert_eq!(before.looks + 1, LOOKS);
            prop_assert!(!after.is_in_doubt());
        }
        Ok(())
    }

    fn event() -> impl Strategy<Value = Event> {
        let due = (prop::bool::weighted(0.1), prop::bool::weighted(0.03))
            .prop_map(|(held, shadow)| Event::Due { held, shadow });
        let resolution = prop::sample::select(vec![
            Resolution::There(receipt()),
            Resolution::Absent,
            Resolution::Absent,
            Resolution::Drop,
        ]);
        prop_oneof![
            8 => due,
            1 => Just(forgotten()),
            1 => Just(Event::NotSent { reason: "w".into() }),
            1 => Just(Event::AlreadyThere { link: "l".into() }),
            1 => Just(Event::Answered(Ok(receipt()))),
            6 => send_error().prop_map(|error| Event::Answered(Err(error))),
            2 => Just(Event::LeaseLost),
            1 => Just(found()),
            8 => any::<bool>().prop_map(absent),
            2 => send_error().prop_map(|error| Event::Looked(Look::Failed(error))),
            2 => resolution.prop_map(Event::Resolved),
            2 => Just(Event::Retried),
            1 => Just(cancelled()),
        ]
    }

    fn send_error() -> impl Strategy<Value = SendError> {
        let wait = prop::option::of((0u64..100_000).prop_map(Duration::from_secs));
        prop_oneof![
            wait.prop_map(|retry_after| SendError::RateLimited { retry_after, reason: "w".into() }),
            Just(unreachable()),
            Just(SendError::Unconfirmed { reason: "w".into() }),
            Just(SendError::Duplicate { reason: "w".into() }),
            Just(SendError::Unauthorized { reason: "w".into() }),
            Just(SendError::OutOfBudget { reason: "w".into() }),
            Just(SendError::Rejected { reason: "w".into() }),
        ]
    }

    /// Mostly moments, sometimes hours, and sometimes the clock is put back.
    fn elapsed() -> impl Strategy<Value = i64> {
        prop_oneof![8 => 0..300i64, 1 => 0..40_000i64, 1 => -3_600..0i64]
    }

    /// What kind of platform a delivery goes to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Kind {
        recognises_repeats: bool,
        can_read_back: bool,
    }

    const X: Kind = Kind { recognises_repeats: false, can_read_back: true };
    const LINE: Kind = Kind { recognises_repeats: true, can_read_back: false };
    const BLIND: Kind = Kind { recognises_repeats: false, can_read_back: false };

    impl Kind {
        fn policy(self) -> Policy {
            Policy {
                retry_base: Duration::from_secs(2),
                retry_cap: Duration::from_secs(900),
                timeout: Duration::from_secs(TIMEOUT as u64),
                confirm_after: Duration::from_secs(CONFIRM_AFTER as u64),
                recognises_repeats: self.recognises_repeats,
                can_read_back: self.can_read_back,
                circuit_after: 5,
            }
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(1_800_000_000 + seconds)
    }

    fn scheduled() -> Facts {
        Facts {
            state: State::Scheduled,
            due_at: at(0),
            good_until: at(6 * 3600),
            attempts: 0,
            failures: 0,
            resends: 0,
            looks: 0,
            attempt_started_at: None,
            unconfirmed_at: None,
            key_used_at: None,
        }
    }

    fn sending() -> Facts {
        Facts {
            state: State::Sending,
            attempts: 2,
            attempt_started_at: Some(at(0)),
            key_used_at: Some(at(0)),
            ..scheduled()
        }
    }

    fn unconfirmed(looks: i64) -> Facts {
        Facts { state: State::Unconfirmed, looks, unconfirmed_at: Some(at(0)), ..sending() }
    }

    fn parked() -> Facts {
        Facts { state: State::Parked, ..sending() }
    }

    fn receipt() -> Receipt {
        Receipt { remote_id: "r1".into(), permalink: None }
    }

    fn unreachable() -> SendError {
        SendError::Unreachable { reason: "w".into() }
    }

    fn due() -> Event {
        Event::Due { held: false, shadow: false }
    }

    fn held() -> Event {
        Event::Due { held: true, shadow: false }
    }

    fn shadow() -> Event {
        Event::Due { held: false, shadow: true }
    }

    fn forgotten() -> Event {
        Event::Forgotten { since: at(-600), until: at(-60), held: false }
    }

    fn refused(error: SendError) -> Event {
        Event::Answered(Err(error))
    }

    fn found() -> Event {
        Event::Looked(Look::Found(receipt()))
    }

    fn absent(fresh: bool) -> Event {
        Event::Looked(Look::Absent { fresh })
    }

    fn cancelled() -> Event {
        Event::Cancelled { reason: "w".into() }
    }

    #[track_caller]
    fn stepped(facts: Facts, event: Event, kind: Kind) -> Transition {
        step(&facts, event, at(0), 1.0, &kind.policy()).unwrap()
    }

    #[track_caller]
    fn refuse(facts: Facts, event: Event) {
        let name = event.name();
        let refusal = step(&facts, event, at(0), 1.0, &X.policy()).unwrap_err();
        assert_eq!(refusal, NotAllowed { state: facts.state, event: name });
    }

    #[track_caller]
    fn check(facts: Facts, event: Event, kind: Kind, expected: &str) {
        let next = stepped(facts.clone(), event, kind);
        assert_eq!(told(&facts, &next), expected);
    }

    /// A transition in one line: state, what changed, what it means for the account, and why.
    fn told(before: &Facts, next: &Transition) -> String {
        let facts = &next.facts;
        let mut told = facts.state.to_string();
        if matches!(facts.state, State::Scheduled | State::Unconfirmed) {
            told += &format!(" in {} s", (facts.due_at - at(0)).num_seconds());
        }
        if let Some(receipt) = &next.receipt {
            told += &format!(" {}", receipt.remote_id);
        }
        if facts.attempts != before.attempts {
            told += &format!(", attempt {}", facts.attempts);
        }
        if facts.resends != before.resends {
            told += &format!(", resend {}", facts.resends);
        }
        told += &match &next.effect {
            None => String::new(),
            Some(Effect::Answering) => ", answering".to_owned(),
            Some(Effect::Failing) => ", failing".to_owned(),
            Some(Effect::Throttle { until, .. }) => {
                format!(", throttle {} s", (*until - at(0)).num_seconds())
            }
            Some(Effect::PauseAuth { .. }) => ", pause auth".to_owned(),
            Some(Effect::PauseQuota { .. }) => ", pause quota".to_owned(),
        };
        if let Some(reason) = &next.reason {
            told += &format!(": {reason}");
        }
        told
    }
}
