//! Promotion: an editor's own message, and the rules for when it goes out.
//!
//! A plan gives moments, the window takes some away, the limits (caps and distance) let others go by. What is left
//! fires, each moment at most once. All of it is decided here, from the history of firings, without a clock.

pub mod wish;
mod field;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, WeekdaySet};
use chrono_tz::Tz;

use crate::clock;
use crate::model::cron::Cron;
use crate::model::cron::first_instant;
use crate::model::schedule;
use crate::model::schedule::Misfire;
use crate::model::schedule::PUNCTUAL;
use crate::model::schedule::Slots;

/// Missed moments are counted up to this many: more tells nobody anything.
pub const COUNT_MOST: usize = 1_000;

/// No cron line, slot or day boundary lies between a whole minute and this much before it.
const MOMENT: TimeDelta = TimeDelta::seconds(1);

/// A message with everything its editor wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// The name by which people and commands know it; no two have the same.
    pub name: String,
    /// The wordings, at least one; firings take them in turn.
    pub texts: Vec<String>,
    /// The names of the accounts, at least one.
    pub accounts: Vec<String>,
    /// Where it leads.
    pub link: Option<String>,
    /// The word that marks paid content, such as "โฆษณา".
    pub label: Option<String>,
    /// When it goes out.
    pub plan: Plan,
    /// The campaign it belongs to.
    pub window: Window,
    /// How often it may go out.
    pub limits: Limits,
    /// How long after its planned moment a post may still go out.
    pub good_for: Duration,
    /// What happens to moments missed while songkhao was down.
    pub misfire: Misfire,
    /// Who looks at a post before it goes out.
    pub review: Review,
}

/// The moments a promotion is planned for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// One moment.
    Once(DateTime<Utc>),
    /// By a cron line.
    Cron(Cron),
    /// At the same times every day.
    Slots(Slots),
}

/// The time in which a promotion may go out, on the wall clock of the newsroom's zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Not before this.
    pub from: Option<NaiveDateTime>,
    /// Before this, which is itself outside.
    pub until: Option<NaiveDateTime>,
    /// On these days of the week.
    pub days: WeekdaySet,
}

impl Default for Window {
    fn default() -> Window {
        Window { from: None, until: None, days: WeekdaySet::ALL }
    }
}

/// How often a promotion may go out; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Firings on one day of the newsroom's zone.
    pub per_day: Option<u32>,
    /// Firings altogether.
    pub in_all: Option<u32>,
    /// The smallest distance between two firings, and between two posts on one account.
    pub distance: Option<Duration>,
}

/// Who looks at a promotion's posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Review {
    /// Nobody.
    #[default]
    Never,
    /// A person: each post, or the promotion as a whole, whose approval holds for exactly its bytes.
    Always,
}

/// What a promotion's earlier firings mean for its next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// How many there were.
    pub in_all: u32,
    /// The newest day with a firing, and how many it had.
    pub day: Option<(NaiveDate, u32)>,
    /// The moment the newest one counts from.
    pub last: Option<DateTime<Utc>>,
}

impl History {
    /// Adds a firing that counts from `at`.
    pub fn note(&mut self, at: DateTime<Utc>, tz: Tz) {
        let day = day_of(at, tz);
        self.in_all += 1;
        self.day = match self.day {
            Some((newest, count)) if day <= newest => Some((newest, count + 1)),
            _ => Some((day, 1)),
        };
        self.last = self.last.max(Some(at));
    }
}

/// Why a planned moment goes by without a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// The day has had its firings.
    PerDay(u32),
    /// The campaign has had its firings.
    InAll(u32),
    /// The last one is too young.
    Distance(Duration),
    /// Nobody was there in time, and the misfire policy or good-for lets it go.
    Missed(usize),
    /// A hold is on.
    Held,
    /// The promotion's last post on the account has not gone out yet.
    Waiting,
    /// The platform would refuse the same words again so soon.
    Repeated,
    /// The configuration doesn't know the account any more.
    Unconfigured,
    /// The platform would not take it, in its words.
    Unfit(String),
}

impl fmt::Display for Skip {
    /// For logs and the audit log, in English; `web::reason` tells it in Thai.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skip::PerDay(most) => write!(f, "it has gone out as often as it may on one day: {most}"),
            Skip::InAll(most) => write!(f, "it has gone out as often as it may: {most}"),
            Skip::Distance(least) => {
                write!(f, "too soon after the last one: at least {}", schedule::duration_text(*least))
            }
            Skip::Missed(COUNT_MOST..) => write!(f, "missed: {COUNT_MOST} planned moments or more"),
            Skip::Missed(count) => write!(f, "missed: {count} planned moments"),
            Skip::Held => f.write_str("a hold is on"),
            Skip::Waiting => f.write_str("its last post still waits"),
            Skip::Repeated => f.write_str("the platform refuses the same words again so soon"),
            Skip::Unconfigured => f.write_str("the account is not configured any more"),
            Skip::Unfit(reason) => write!(f, "it does not fit: {reason}"),
        }
    }
}

impl Skip {
    /// The same word for skips of the same kind: a run of them is told once.
    pub fn kind(&self) -> &'static str {
        match self {
            Skip::PerDay(_) => "per_day",
            Skip::InAll(_) => "in_all",
            Skip::Distance(_) => "distance",
            Skip::Missed(_) => "missed",
            Skip::Held => "hold",
            Skip::Waiting => "waiting",
            Skip::Repeated => "repeated",
            Skip::Unconfigured => "unconfigured",
            Skip::Unfit(_) => "unfit",
        }
    }
}

/// What the time that went by asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Everything planned up to here is decided by this.
    pub passed: DateTime<Utc>,
    /// How many planned moments are let go because they were missed, up to [`COUNT_MOST`].
    pub missed: usize,
    /// The planned moment that has come, and what the limits say to it.
    pub come: Option<(Firing, Result<(), Skip>)>,
}

/// A planned moment that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// When it was planned.
    pub planned: DateTime<Utc>,
    /// The moment it counts from: the planned one, or the present one if it is late.
    pub counted: DateTime<Utc>,
}

impl Promotion {
    /// The first planned moment later than `after` in the window, whatever the limits say to it.
    pub fn next_after(&self, after: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        let next = |after| match &self.plan {
            Plan::Once(at) => Some(*at).filter(|at| *at > after),
            Plan::Cron(cron) => cron.next_after(after, tz),
            Plan::Slots(slots) => slots.next_after(after, tz),
        };
        let mut at = next(after)?;
        while let Some(reopens) = self.window.reopens(at, tz) {
            // Going on from the moment itself at least, so that this ends.
            at = next((reopens? - MOMENT).max(at))?;
        }
        Some(at)
    }

    /// Decides about the oldest planned moment that has come since `passed`. Feeding [`Decision::passed`] back decides
    /// each moment once.
    pub fn decide(&self, passed: DateTime<Utc>, history: &History, now: DateTime<Utc>, tz: Tz) -> Decision {
        let next = |after| self.next_after(after, tz);
        let come = schedule::firings_of(&next, self.misfire, Some(passed), now)
            .into_iter()
            .find(|planned| now - *planned < clock::span(self.good_for));
        let missed = |until, but: usize| {
            schedule::planned(&next, passed, until).take(COUNT_MOST + but).count().saturating_sub(but)
        };
        let Some(planned) = come else {
            return Decision { passed: passed.max(now), missed: missed(now, 0), come: None };
        };
        let counted = if now - planned < PUNCTUAL { planned } else { now };
        let verdict = self.verdict(history, counted, tz);
        Decision {
            passed: planned,
            missed: missed(planned, 1),
            come: Some((Firing { planned, counted }, verdict)),
        }
    }

    /// What the limits say to a firing that counts from `at`.
    ///
    /// # Errors
    /// Why it must go by.
    pub fn verdict(&self, history: &History, at: DateTime<Utc>, tz: Tz) -> Result<(), Skip> {
        let Limits { per_day, in_all, distance } = self.limits;
        if let Some(most) = in_all.filter(|most| history.in_all >= *most) {
            return Err(Skip::InAll(most));
        }
        let day = day_of(at, tz);
        // A clock that was put back brings an earlier day again, whose count is not known any more.
        let is_full =
            |most| history.day.is_some_and(|(newest, n)| day < newest || (day == newest && n >= most));
        if let Some(most) = per_day.filter(|most| is_full(*most)) {
            return Err(Skip::PerDay(most));
        }
        match (history.last, distance) {
            (Some(last), Some(least)) if at < last + clock::span(least) => Err(Skip::Distance(least)),
            _ => Ok(()),
        }
    }

    /// The first moment later than `after` at which it goes out, if nothing but time comes between.
    pub fn next_firing(&self, history: &History, after: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        let mut after = after;
        loop {
            let at = self.next_after(after, tz)?;
            // Where nothing can fire for long, the search goes on from where something can.
            after = match self.verdict(history, at, tz) {
                Ok(()) => return Some(at),
                Err(Skip::Distance(least)) => (history.last? + clock::span(least) - MOMENT).max(at),
                Err(Skip::PerDay(_)) => {
                    let day = history.day?.0.max(day_of(at, tz)).succ_opt()?;
                    (first_instant(day.and_time(NaiveTime::MIN), tz)? - MOMENT).max(at)
                }
                Err(_) => return None,
            };
        }
    }

    /// The next `count` moments at which it goes out, if nothing but time comes between.
    pub fn next_firings(
        &self,
        mut history: History,
        after: DateTime<Utc>,
        tz: Tz,
        count: usize,
    ) -> Vec<DateTime<Utc>> {
        let mut moments = Vec::new();
        let mut after = after;
        while moments.len() < count
            && let Some(at) = self.next_firing(&history, after, tz)
        {
            history.note(at, tz);
            moments.push(at);
            after = at;
        }
        moments
    }

    /// The place of the wording for the firing after `fired` others.
    pub fn turn(&self, fired: u32) -> usize {
        fired as usize % self.texts.len().max(1)
    }
}

impl Window {
    /// When a closed window opens again: `None` if it is open at `at`, `Some(None)` if it never will be.
    fn reopens(&self, at: DateTime<Utc>, tz: Tz) -> Option<Option<DateTime<Utc>>> {
        let wall = at.with_timezone(&tz).naive_local();
        if self.until.is_some_and(|until| wall >= until) {
            return Some(None);
        }
        if let Some(from) = self.from.filter(|from| wall < *from) {
            return Some(first_instant(from, tz));
        }
        if self.days.contains(wall.weekday()) {
            return None;
        }
        let tomorrow = wall.date().succ_opt().map(|day| day.and_time(NaiveTime::MIN));
        Some(tomorrow.and_then(|midnight| first_instant(midnight, tz)))
    }

    /// Whether it is open.
    pub fn holds(&self, at: DateTime<Utc>, tz: Tz) -> bool {
        self.reopens(at, tz).is_none()
    }
}

/// The day of the newsroom's zone that `at` lies in.
pub fn day_of(at: DateTime<Utc>, tz: Tz) -> NaiveDate {
    at.with_timezone(&tz).date_naive()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::Weekday;
    use chrono_tz::America::New_York;
    use chrono_tz::Asia::Bangkok;
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn promotion(plan: Plan) -> Promotion {
        Promotion {
            name: "ซื้อ 1 แถม 1".into(),
            texts: vec!["หนึ่ง".into(), "สอง".into()],
            accounts: vec!["page".into()],
            link: None,
            label: None,
            plan,
            window: Window::default(),
            limits: Limits::default(),
            good_for: HOUR * 6,
            misfire: Misfire::Once,
            review: Review::Never,
        }
    }

    fn cron(line: &str) -> Promotion {
        promotion(Plan::Cron(line.parse().unwrap()))
    }

    fn wall(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap()
    }

    fn bangkok(text: &str) -> DateTime<Utc> {
        wall(text).and_utc() - TimeDelta::hours(7)
    }

    fn history(moments: &[&str]) -> History {
        let mut history = History::default();
        for moment in moments {
            history.note(bangkok(moment), Bangkok);
        }
        history
    }

    #[track_caller]
    fn check_next(promotion: &Promotion, fired: &[&str], after: &str, expected: &[&str]) {
        let found = promotion.next_firings(history(fired), bangkok(after), Bangkok, expected.len());
        assert_eq!(found, expected.iter().copied().map(bangkok).collect::<Vec<_>>());
    }

    #[test]
    fn what_goes_once_goes_once() {
        let once = promotion(Plan::Once(bangkok("2026-11-02T09:00")));
        assert_eq!(once.next_after(bangkok("2026-11-02T08:00"), Bangkok), Some(bangkok("2026-11-02T09:00")));
        assert_eq!(once.next_after(bangkok("2026-11-02T09:00"), Bangkok), None);
        let closed = Promotion {
            window: Window { until: Some(wall("2026-11-02T09:00")), ..Window::default() },
            ..once
        };
        assert_eq!(closed.next_after(bangkok("2026-11-01T00:00"), Bangkok), None);
    }

    #[test]
    fn a_window_is_open_from_its_start_up_to_its_end_on_its_days() {
        let window = Window {
            from: Some(wall("2026-11-03T09:00")),
            until: Some(wall("2026-11-10T00:00")),
            days: WeekdaySet::from_array([Weekday::Mon, Weekday::Tue]),
        };
        let twice = Promotion { window, ..cron("0 9,18 * * *") };
        // 2026-11-03 is a Tuesday, the Monday after it the 9th.
        let expected = ["2026-11-03T09:00", "2026-11-03T18:00", "2026-11-09T09:00", "2026-11-09T18:00"];
        check_next(&twice, &[], "2026-11-01T00:00", &expected);
        assert_eq!(twice.next_firings(History::default(), bangkok("2026-11-01T00:00"), Bangkok, 9).len(), 4);
    }

    #[test]
    fn caps_and_distance_let_moments_go_by() {
        let limits = Limits { per_day: Some(2), in_all: Some(5), distance: Some(HOUR * 3) };
        let hourly = Promotion { limits, ..cron("0 * * * *") };
        check_next(
            &hourly,
            &["2026-11-02T08:30"],
            "2026-11-02T09:00",
            &["2026-11-02T12:00", "2026-11-03T00:00", "2026-11-03T03:00", "2026-11-04T00:00"],
        );
        let rest =
            hourly.next_firings(history(&["2026-11-02T08:30"]), bangkok("2026-11-02T09:00"), Bangkok, 9);
        assert_eq!(rest.len(), 4, "five in all, one of them before");
    }

    #[test]
    fn a_minute_cron_on_one_day_a_year_is_found_at_once() {
        let window = Window { days: WeekdaySet::single(Weekday::Wed), ..Window::default() };
        let rare = Promotion { window, ..cron("* * 29 2 *") };
        // 2096 is the first leap year from 2080 on whose 29 February is a Wednesday.
        check_next(&rare, &[], "2080-01-01T00:00", &["2096-02-29T00:00"]);
    }

    #[test]
    fn a_day_of_the_cap_is_a_day_of_the_zone() {
        let limits = Limits { per_day: Some(1), ..Limits::default() };
        let daily = Promotion { limits, ..cron("0 1,23 * * *") };
        check_next(&daily, &[], "2026-11-02T00:00", &["2026-11-02T01:00", "2026-11-03T01:00"]);
    }

    #[test]
    fn a_skipped_hour_fires_after_it_and_a_repeated_one_once() {
        // New York: 2026-03-08 has no 02:30, 2026-11-01 has 01:30 twice.
        let spring = cron("30 2 * * *");
        let after = wall("2026-03-08T05:00").and_utc();
        let found = spring.next_firings(History::default(), after, New_York, 2);
        assert_eq!(found, [wall("2026-03-08T07:00").and_utc(), wall("2026-03-09T06:30").and_utc()]);
        let autumn =
            promotion(Plan::Slots(Slots::new(vec![NaiveTime::from_hms_opt(1, 30, 0).unwrap()]).unwrap()));
        let after = wall("2026-11-01T04:00").and_utc();
        let found = autumn.next_firings(History::default(), after, New_York, 2);
        assert_eq!(found, [wall("2026-11-01T05:30").and_utc(), wall("2026-11-02T06:30").and_utc()]);
    }

    #[track_caller]
    fn check(promotion: &Promotion, passed: &str, now: &str, missed: usize, come: Option<&str>) {
        let found = promotion.decide(bangkok(passed), &History::default(), bangkok(now), Bangkok);
        assert_eq!(found.missed, missed);
        assert_eq!(found.come.map(|(firing, _)| firing.planned), come.map(bangkok));
    }

    #[test]
    fn what_was_missed_follows_the_policy() {
        let at = |misfire| Promotion { misfire, ..cron("0 9,10,11 * * *") };
        check(&at(Misfire::Skip), "2026-11-02T08:00", "2026-11-02T11:30", 3, None);
        check(&at(Misfire::Once), "2026-11-02T08:00", "2026-11-02T11:30", 2, Some("2026-11-02T11:00"));
        check(&at(Misfire::CatchUp), "2026-11-02T08:00", "2026-11-02T11:30", 0, Some("2026-11-02T09:00"));
        check(&at(Misfire::Skip), "2026-11-02T08:00", "2026-11-02T09:00", 0, Some("2026-11-02T09:00"));
        check(&at(Misfire::Once), "2026-11-02T11:00", "2026-11-02T11:30", 0, None);
    }

    #[test]
    fn what_is_no_longer_good_is_missed() {
        let short = Promotion { good_for: HOUR, ..cron("0 9 * * *") };
        check(&short, "2026-11-01T10:00", "2026-11-02T09:59", 0, Some("2026-11-02T09:00"));
        check(&short, "2026-11-01T10:00", "2026-11-02T10:00", 1, None);
    }

    #[test]
    fn a_year_of_silence_costs_little_and_brings_one() {
        let busy = cron("* * * * *");
        check(&busy, "2025-11-02T10:00", "2026-11-02T10:00", COUNT_MOST, Some("2026-11-02T10:00"));
    }

    #[test]
    fn a_late_firing_counts_from_when_it_happened() {
        let limits = Limits { distance: Some(HOUR), ..Limits::default() };
        let hourly = Promotion { limits, ..cron("0 * * * *") };
        let now = bangkok("2026-11-02T09:40");
        let decision = hourly.decide(bangkok("2026-11-02T08:00"), &History::default(), now, Bangkok);
        let firing = Firing { planned: bangkok("2026-11-02T09:00"), counted: now };
        assert_eq!(decision.come, Some((firing, Ok(()))));
        // 10:00 would be twenty minutes after it.
        let verdict = hourly.verdict(&history(&["2026-11-02T09:40"]), bangkok("2026-11-02T10:00"), Bangkok);
        assert_eq!(verdict, Err(Skip::Distance(HOUR)));
    }

    #[test]
    fn wordings_take_turns() {
        let two = cron("0 * * * *");
        assert_eq!([0, 1, 2, 3].map(|fired| two.turn(fired)), [0, 1, 0, 1]);
    }

    fn any_promotion() -> impl Strategy<Value = Promotion> {
        let plan = prop_oneof![
            prop::sample::select(vec![
                "*/20 6-22 * * *",
                "0 * * * *",
                "* * * * *",
                "0 9 1-7 * 1",
                "30 2 * * *"
            ])
            .prop_map(|line| Plan::Cron(line.parse().unwrap())),
            prop::collection::vec(0..1_440u32, 1..5).prop_map(|minutes| {
                let time = |m: u32| NaiveTime::from_num_seconds_from_midnight_opt(m * 60, 0).unwrap();
                Plan::Slots(Slots::new(minutes.into_iter().map(time).collect()).unwrap())
            }),
            (0..14 * 86_400i64).prop_map(|second| Plan::Once(
                wall("2026-10-25T00:00").and_utc() + TimeDelta::seconds(second)
            )),
        ];
        let window = (prop::option::of(0..10i64), prop::option::of(0..14i64), 1..128u8).prop_map(
            |(from, until, days)| {
                let day = |days| wall("2026-10-25T10:30") + TimeDelta::days(days);
                let chosen =
                    (0..7u8).filter(|bit| days & (1 << bit) != 0).map(|bit| Weekday::try_from(bit).unwrap());
                Window { from: from.map(day), until: until.map(day), days: chosen.collect() }
            },
        );
        let limits = (prop::option::of(1..4u32), prop::option::of(1..9u32), prop::option::of(1..30_000u64))
            .prop_map(|(per_day, in_all, seconds)| Limits {
                per_day,
                in_all,
                distance: seconds.map(Duration::from_secs),
            });
        let misfire = prop::sample::select(vec![Misfire::Skip, Misfire::Once, Misfire::CatchUp]);
        (plan, window, limits, misfire, 60..90_000u64).prop_map(
            |(plan, window, limits, misfire, good_for)| Promotion {
                window,
                limits,
                misfire,
                good_for: Duration::from_secs(good_for),
                ..promotion(plan)
            },
        )
    }

    proptest! {
        #[test]
        fn no_rule_is_broken_however_the_clock_is_read(
            promotion in any_promotion(),
            steps in prop::collection::vec((-9_000..40_000i64, any::<bool>()), 1..60),
            tz in prop::sample::select(vec![Bangkok, New_York]),
        ) {
            let mut now = wall("2026-10-25T00:00").and_utc();
            let (mut passed, mut history) = (now, History::default());
            let mut fired: Vec<Firing> = Vec::new();
            for (step, short) in steps {
                now += TimeDelta::seconds(if short { step / 600 } else { step });
                loop {
                    let decision = promotion.decide(passed, &history, now, tz);
                    prop_assert!(decision.passed >= passed);
                    passed = decision.passed;
                    let Some((firing, verdict)) = decision.come else { break };
                    prop_assert!(firing.planned <= now && firing.counted <= now);
                    prop_assert!(now - firing.planned < clock::span(promotion.good_for));
                    if verdict.is_ok() {
                        history.note(firing.counted, tz);
                        fired.push(firing);
                    }
                }
            }
            let Limits { per_day, in_all, distance } = promotion.limits;
            prop_assert!(fired.iter().all(|it| promotion.window.holds(it.planned, tz)), "outside: {:?}", fired);
            prop_assert!(fired.is_sorted_by(|a, b| a.planned < b.planned), "twice: {:?}", fired);
            prop_assert!(in_all.is_none_or(|most| fired.len() <= most as usize), "too many: {:?}", fired);
            let mut days: BTreeMap<NaiveDate, u32> = BTreeMap::new();
            for firing in &fired {
                *days.entry(day_of(firing.counted, tz)).or_default() += 1;
            }
            prop_assert!(per_day.is_none_or(|most| days.values().all(|n| *n <= most)), "too many: {:?}", days);
            if let Some(least) = distance {
                let close = fired.windows(2).find(|two| two[1].counted - two[0].counted < clock::span(least));
                prop_assert!(close.is_none(), "too close: {:?}", close);
            }
        }

        #[test]
        fn the_forecast_is_what_happens_on_a_good_clock(promotion in any_promotion(), start in 0..86_400i64) {
            let begin = wall("2026-10-25T00:00").and_utc() + TimeDelta::seconds(start);
            let forecast = promotion.next_firings(History::default(), begin, Bangkok, 12);
            let (mut passed, mut history, mut fired) = (begin, History::default(), Vec::new());
            while fired.len() < forecast.len()
                && let Some(now) = promotion.next_after(passed, Bangkok)
            {
                let decision = promotion.decide(passed, &history, now, Bangkok);
                passed = decision.passed;
                prop_assert_eq!(decision.missed, 0);
                if let Some((firing, Ok(()))) = decision.come {
                    history.note(firing.counted, Bangkok);
                    fired.push(firing.planned);
                }
            }
            prop_assert_eq!(fired, forecast);
        }
    }
}
