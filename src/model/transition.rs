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
    /// The attempt was given up before any byte of the request left this machine.
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
        (State::Sending, Event::NotSent { reason }) => {
            Ok(turn.to(State::Scheduled).due_at(now + clock::span(policy.retry_base)).because(reason))
        }
        (State::Sending, Event::AlreadyThere { link }) if delivery.attempts <= 1 => {
            Ok(turn.to(State::Cancelled).because(format!("already there: {link}")))
        }
        (State::Sending, Event::Answered(Ok(receipt))) => {
            Ok(turn.delivered(receipt, None).with(Effect::Answering))
        }
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
            Ok(turn.to(State::Cancelled).because(reason))
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
            return self.to(State::Expired).because("its good-until passed before it could be sent".into());
        }
        if held {
            return self.to(State::Held).because("a hold was on when it came due".into());
        }
        if shadow {
            return self.to(State::Cancelled).because("shadow".into());
        }
        let mut next = self.to(State::Sending);
        next.facts.attempts += 1;
        next.facts.attempt_started_at = Some(self.now);
        next.facts.key_used_at = self.delivery.key_used_at.or(Some(self.now));
        next
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
            SendError::Rejected { .. } => self.to(State::Failed).because(reason).with(Effect::Answering),
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
        if policy.recognises_repeats {
            let key_age = self.delivery.key_used_at.map(|used| self.now - used);
            if key_age.is_some_and(|age| age < clock::span(KEY_LIFE)) {
                return self.later(reason);
            }
            return self
                .to(State::Parked)
                .because(format!("{reason}; the retry key is too old to repeat it"));
        }
        if !policy.can_read_back {
            return self.to(State::Parked).because(format!("{reason}; the platform can't be read back"));
        }
        let mut next = self.to(State::Unconfirmed).because(reason);
        next.facts.looks = 0;
        next.facts.failures = 0;
        next.facts.unconfirmed_at = Some(self.now);
        next.facts.due_at = look_at(&next.facts, policy, self.now);
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
            next.facts.due_at = look_at(&next.facts, self.policy, self.now);
            return next.because(format!("not found at look {}", self.delivery.looks + 1));
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
                // A new send under a key the platform may have forgotten needs a new key.
                next.facts.key_used_at = None;
                next.because("a person found it absent: it will be sent again".into())
            }
        }
    }
}

/// When the next look is due: 1×, 2×, 4× `confirm_after` from the later of the attempt's last possible
/// moment and the moment of doubt, never in the past.
fn look_at(delivery: &Facts, policy: &Policy, now: DateTime<Utc>) -> DateTime<Utc> {
    let doubt = delivery.unconfirmed_at.unwrap_or(now);
    let settled =
        delivery.attempt_started_at.map_or(doubt, |start| (start + clock::span(policy.timeout)).max(doubt));
    let factor = 1u32 << delivery.looks.clamp(0, 2);
    (settled + clock::span(policy.confirm_after.saturating_mul(factor))).max(now)
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
