//! Token: what a platform gave us to act for an account, when it is renewed.
//!
//! X's refresh tokens work once (platforms/x.md, section 4): each renewal kills the pair it came from, and there is no
//! grace. So a renewal is an act like a post: intent first, then one request, then the answer, and an answer that was
//! lost is doubt. Doubt is settled by presenting the stored token once more: either it was not spent, or X says so.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;

use crate::clock;
use crate::model::transition;

/// How long before its end an access token is renewed (platforms/x.md, section 4: under five minutes, not hourly).
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// Where a stored token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In use. Left by a claim (`refreshing`).
    Good,
    /// A renewal was begun: the request may have left. Left by its answer, or by the next claim once its lease is over.
    Refreshing,
    /// The platform refuses the refresh token. Only a person leaves it, by connecting or importing again; or an answer
    /// that was thought lost and came after all.
    Lost,
}

impl State {
    /// All of them.
    pub const ALL: [State; 3] = [State::Good, State::Refreshing, State::Lost];

    /// The name in rows and JSON.
    pub fn name(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Refreshing => "refreshing",
            State::Lost => "lost",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        State::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| format!("no state of a token is called {name:?}"))
    }
}

/// What is known of a stored token, but for its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where it is.
    pub state: State,
    /// When the access token ends; `None` where nobody said.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it is renewed ahead of its end; `None` where nobody knows the end.
    pub refresh_at: Option<DateTime<Utc>>,
    /// Whether there is a refresh token.
    pub renewable: bool,
    /// Whether the platform refused the access token before its end.
    pub refused: bool,
    /// Whether the platform took the access token once, or a person vouches for it. A refusal of one that never worked
    /// is no reason to renew it: in an outage every renewal would be refused the same way (x.md, section 9).
    pub proven: bool,
    /// How often the stored refresh token was presented, the time under way included, without proof that it was not
    /// spent.
    pub presented: i64,
    /// Renewals in a row that brought no pair.
    pub failures: i64,
    /// Not before this is it tried again.
    pub try_at: DateTime<Utc>,
    /// Whoever holds the renewal under way holds it until then.
    pub lease_until: DateTime<Utc>,
}

impl Facts {
    /// Whether the access token may be shown to the platform.
    pub fn is_usable(&self, now: DateTime<Utc>) -> bool {
        self.state != State::Lost && !self.refused && self.expires_at.is_none_or(|end| end > now)
    }

    fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.renewable && (self.refused || self.refresh_at.is_some_and(|at| at <= now))
    }
}

/// When a token is renewed that lives so long from `now` on: five minutes before its end, of a short life the last
/// quarter.
pub fn refresh_at(now: DateTime<Utc>, life: Duration) -> DateTime<Utc> {
    let life = clock::span(life);
    now + life - MARGIN.min(life / 4)
}

/// What happens to a stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to use it. `left`: the renewal under way, if there is one, has nobody any more.
    Wanted {
        /// Its lease is over, or its node was started again since.
        left: bool,
    },
    /// The platform answered 401 to the access token.
    Refused,
    /// The request for a new pair ended: with a pair, or why not.
    Answered(Result<(), RefreshError>),
}

/// Why no new pair came, sorted by what is known of the refresh token. Every text is safe to log and to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// Not spent, for certain: no byte left, or the platform only asked us to slow down.
    #[error("{reason}")]
    NotSpent {
        /// How long the platform asks us to wait, if it says.
        retry_after: Option<Duration>,
        /// What was seen.
        reason: String,
    },
    /// Nobody knows: no answer, half of one, or a 5xx. The platform may have made a pair that never arrived.
    #[error("{reason}")]
    Unknown {
        /// What was seen instead of a pair.
        reason: String,
    },
    /// Our app is refused (its id, secret or plan), so the token was not looked at.
    #[error("{reason}")]
    App {
        /// The platform's words.
        reason: String,
    },
    /// The refresh token is refused: spent or revoked.
    #[error("{reason}")]
    Refused {
        /// The platform's words.
        reason: String,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Use the access token as it is.
    Use,
    /// Commit the intent, then present the refresh token.
    Refresh,
    /// It can't be used now: others renew it, or it is tried again then.
    Wait {
        /// The moment to look again.
        until: DateTime<Utc>,
    },
    /// Nothing helps but a person.
    Person,
    /// Keep the new pair; then use it.
    Keep,
    /// Present the same refresh token again, later.
    Retry {
        /// Not before.
        at: DateTime<Utc>,
        /// Whether the refresh token may be spent by what just happened.
        doubt: bool,
        /// Whether the account must stand still meanwhile, and why.
        pause: Option<Pause>,
    },
    /// The refresh token is worth nothing any more. `doubt`: an earlier answer was lost, and with it a pair.
    GiveUp {
        /// Whether it had been presented before without an answer.
        doubt: bool,
    },
}

/// Why an account without a usable token stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Until the next try: nothing says that a person is needed.
    UntilThen,
    /// The app's own credential is wrong: a person must look, and it is tried all the same.
    Auth,
}

/// How tries are spread.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The first wait at most.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// A number in 0..1 that spreads the tries of many.
    pub chance: f64,
}

/// Decides what an event means for a stored token.
pub fn step(facts: &Facts, event: &Event, now: DateTime<Utc>, pace: Pace) -> Action {
    match event {
        Event::Wanted { left } => wanted(facts, *left, now),
        Event::Refused if facts.state == State::Good && facts.renewable && facts.proven => Action::Refresh,
        // Whoever renews it finds out.
        Event::Refused if facts.state == State::Refreshing => Action::Wait { until: facts.lease_until },
        Event::Refused => Action::Person,
        Event::Answered(Ok(())) => Action::Keep,
        Event::Answered(Err(RefreshError::Refused { .. })) => Action::GiveUp { doubt: facts.presented > 1 },
        Event::Answered(Err(error)) => {
            let wait = match error {
                RefreshError::NotSpent { retry_after: Some(wait), .. } => *wait,
                _ => transition::backoff(pace.base, pace.cap, facts.failures + 1, pace.chance),
            };
            let standing_still = match error {
                RefreshError::App { .. } => Pause::Auth,
                _ => Pause::UntilThen,
            };
            let at = now + clock::span(wait);
            Action::Retry {
                at,
                doubt: matches!(error, RefreshError::Unknown { .. }),
                pause: (!facts.is_usable(at)).then_some(standing_still),
            }
        }
    }
}

fn wanted(facts: &Facts, left: bool, now: DateTime<Utc>) -> Action {
    let otherwise = |until| if facts.is_usable(now) { Action::Use } else { Action::Wait { until } };
    match facts.state {
        State::Lost => Action::Person,
        State::Refreshing if left => Action::Refresh,
        State::Refreshing => otherwise(facts.lease_until),
        State::Good if !facts.is_due(now) => {
            if facts.is_usable(now) {
                Action::Use
            } else {
                Action::Person
            }
        }
        State::Good if facts.try_at <= now => Action::Refresh,
        State::Good => otherwise(facts.try_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { base: Duration::from_secs(2), cap: Duration::from_secs(900), chance: 1.0 };

    /// Seconds after a pair of two hours was got.
    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_373_992 + second, 0).unwrap()
    }

    fn good() -> Facts {
        Facts {
            state: State::Good,
            expires_at: Some(at(7200)),
            refresh_at: Some(refresh_at(at(0), Duration::from_secs(7200))),
            renewable: true,
            refused: false,
            proven: true,
            presented: 0,
            failures: 0,
            try_at: at(0),
            lease_until: at(0),
        }
    }

    fn refreshing() -> Facts {
        Facts { state: State::Refreshing, presented: 1, lease_until: at(7020), ..good() }
    }

    #[track_caller]
    fn check(facts: &Facts, event: Event, second: i64, action: Action) {
        assert_eq!(step(facts, &event, at(second), PACE), action, "{facts:?} {event:?}");
    }

    const WANTED: Event = Event::Wanted { left: false };

    #[test]
    fn a_token_is_renewed_in_its_last_five_minutes_or_last_quarter() {
        check(&good(), WANTED, 6899, Action::Use);
        check(&good(), WANTED, 6900, Action::Refresh);
        check(&good(), WANTED, 9_999_999, Action::Refresh);
        assert_eq!(refresh_at(at(0), Duration::from_secs(4)), at(3));
        assert_eq!(refresh_at(at(0), Duration::ZERO), at(0));
    }

    #[test]
    fn a_token_of_unknown_end_is_used_until_it_is_refused() {
        let endless = Facts { expires_at: None, refresh_at: None, ..good() };
        check(&endless, WANTED, 9_999_999, Action::Use);
        check(&endless, Event::Refused, 0, Action::Refresh);
        check(&Facts { refused: true, ..endless }, WANTED, 0, Action::Refresh);
    }

    #[test]
    fn a_token_that_cannot_be_renewed_ends_with_a_person() {
        let single = Facts { renewable: false, ..good() };
        check(&single, WANTED, 7199, Action::Use);
        check(&single, WANTED, 7200, Action::Person);
        check(&single, Event::Refused, 0, Action::Person);
    }

    #[test]
    fn while_others_renew_it_the_old_one_is_used_to_its_end() {
        let refreshing = Facts { lease_until: at(7300), ..refreshing() };
        check(&refreshing, WANTED, 7199, Action::Use);
        check(&refreshing, WANTED, 7200, Action::Wait { until: at(7300) });
        check(&refreshing, Event::Refused, 7000, Action::Wait { until: at(7300) });
    }

    #[test]
    fn a_renewal_that_nobody_holds_any_more_is_taken_over_at_once() {
        check(&refreshing(), Event::Wanted { left: true }, 6901, Action::Refresh);
        let put_off = Facts { try_at: at(9000), ..refreshing() };
        check(&put_off, Event::Wanted { left: true }, 6901, Action::Refresh);
    }

    #[test]
    fn a_refusal_of_a_token_that_never_worked_asks_for_no_other() {
        check(&good(), Event::Refused, 100, Action::Refresh);
        check(&Facts { proven: false, ..good() }, Event::Refused, 100, Action::Person);
    }

    #[test]
    fn what_was_lost_stays_with_the_person() {
        let lost = Facts { state: State::Lost, ..good() };
        check(&lost, WANTED, 0, Action::Person);
        check(&lost, Event::Wanted { left: true }, 0, Action::Person);
        check(&lost, Event::Refused, 0, Action::Person);
        assert!(!lost.is_usable(at(0)));
        // An answer thought lost came after all.
        check(&lost, Event::Answered(Ok(())), 0, Action::Keep);
    }

    #[test]
    fn only_a_refusal_of_the_token_gives_it_up() {
        let reason = || "w".to_owned();
        let answered = |error| Event::Answered(Err(error));
        check(&refreshing(), Event::Answered(Ok(())), 6901, Action::Keep);
        let refused = answered(RefreshError::Refused { reason: reason() });
        check(&refreshing(), refused.clone(), 6901, Action::GiveUp { doubt: false });
        check(&Facts { presented: 2, ..refreshing() }, refused, 6901, Action::GiveUp { doubt: true });
        for (error, doubt) in [
            (RefreshError::Unknown { reason: reason() }, true),
            (RefreshError::NotSpent { retry_after: None, reason: reason() }, false),
            (RefreshError::App { reason: reason() }, false),
        ] {
            check(&refreshing(), answered(error), 6901, Action::Retry { at: at(6903), doubt, pause: None });
        }
        let asked = Some(Duration::from_secs(77));
        let limited = answered(RefreshError::NotSpent { retry_after: asked, reason: reason() });
        check(&refreshing(), limited, 6900, Action::Retry { at: at(6977), doubt: false, pause: None });
    }

    #[test]
    fn tries_thin_out_and_an_account_stands_still_only_without_a_token() {
        let unknown = || Event::Answered(Err(RefreshError::Unknown { reason: "w".into() }));
        let failed = |failures| Facts { failures, ..refreshing() };
        let retry = |second, pause| Action::Retry { at: at(second), doubt: true, pause };
        check(&failed(3), unknown(), 6900, retry(6916, None));
        check(&failed(20), unknown(), 6900, retry(7800, Some(Pause::UntilThen)));
        check(&failed(0), unknown(), 7200, retry(7202, Some(Pause::UntilThen)));
        let refused = Facts { refused: true, ..refreshing() };
        check(&refused, unknown(), 100, retry(102, Some(Pause::UntilThen)));
        let app = Event::Answered(Err(RefreshError::App { reason: "w".into() }));
        let at_its_end = Action::Retry { at: at(7202), doubt: false, pause: Some(Pause::Auth) };
        check(&failed(0), app, 7200, at_its_end);
    }

    #[test]
    fn between_tries_the_old_token_is_used_to_its_end() {
        let put_off = Facts { try_at: at(7500), failures: 4, ..good() };
        check(&put_off, WANTED, 7000, Action::Use);
        check(&put_off, WANTED, 7200, Action::Wait { until: at(7500) });
        check(&put_off, WANTED, 7500, Action::Refresh);
        check(&Facts { refused: true, ..put_off }, WANTED, 7000, Action::Wait { until: at(7500) });
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in State::ALL {
            assert_eq!(state.to_string().parse::<State>(), Ok(state));
        }
        assert!("spent".parse::<State>().unwrap_err().contains("spent"));
    }
}
