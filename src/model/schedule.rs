//! Schedule: decides when posts go: at once, by cron, in slots, not at night.
//!
//! All times are wall-clock times of a zone; a time inside a gap of summer time counts as the first moment after it,
//! one that occurs twice as the first.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Days, LocalResult, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::model::cron::Cron;
use crate::model::cron::first_instant;

/// A firing at most this late still counts as punctual (the default of Quartz, whose word "misfire" is).
pub const PUNCTUAL: TimeDelta = TimeDelta::seconds(60);
/// Catching up goes back this far: what is older is no longer news.
pub const CATCH_UP_WITHIN: TimeDelta = TimeDelta::hours(24);
/// Catching up makes at most so many firings, the newest.
pub const CATCH_UP_MOST: usize = 12;

/// When a route's posts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// As soon as an article is ready.
    Now,
    /// By a cron line.
    Cron(Cron),
    /// At the same times every day.
    Slots(Slots),
}

impl When {
    /// The first planned moment later than `now`; `None` for [`When::Now`], which waits for articles.
    pub fn next_after(&self, now: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        match self {
            When::Now => None,
            When::Cron(cron) => cron.next_after(now, tz),
            When::Slots(slots) => slots.next_after(now, tz),
        }
    }
}

/// What happens to firings that were missed: the daemon was down, the machine slept, the clock jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfire {
    /// They are dropped.
    Skip,
    /// The newest of them fires once for all.
    Once,
    /// All of them fire, within [`CATCH_UP_WITHIN`] and up to [`CATCH_UP_MOST`].
    CatchUp,
}

/// The planned moments that fire now, oldest first.
///
/// `last` is the planned moment that fired last; with `None` only what is punctual fires. Every moment in the answer
/// lies after `last` and not after `now`, so feeding the newest one back as `last` fires each at most once, also when
/// the clock is turned back.
pub fn firings(
    when: &When,
    misfire: Misfire,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    tz: Tz,
) -> Vec<DateTime<Utc>> {
    firings_of(&|after| when.next_after(after, tz), misfire, last, now)
}

/// The same for any plan, told by the first planned moment later than a given one.
pub fn firings_of(
    next_after: &dyn Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
    misfire: Misfire,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Vec<DateTime<Utc>> {
    let punctual = before(now, PUNCTUAL);
    let last = last.unwrap_or(punctual);
    match misfire {
        Misfire::Skip => planned(next_after, last.max(punctual), now).collect(),
        Misfire::Once => newest(next_after, last, now).into_iter().collect(),
        Misfire::CatchUp => {
            let mut all: Vec<_> = planned(next_after, last.max(before(now, CATCH_UP_WITHIN)), now).collect();
            all.split_off(all.len().saturating_sub(CATCH_UP_MOST))
        }
    }
}

/// All planned moments in `(after, until]`.
pub fn planned(
    next_after: &dyn Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = DateTime<Utc>> {
    std::iter::successors(next_after(after), |at| next_after(*at)).take_while(move |at| *at <= until)
}

/// The newest planned moment in `(after, until]`: looks into ever longer stretches, so that a line which fires each
/// minute costs little after months of silence, and so does one that fires once a year.
fn newest(
    next_after: &dyn Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let mut reach = TimeDelta::hours(1);
    loop {
        let start = before(until, reach).max(after);
        if let Some(at) = planned(next_after, start, until).last() {
            return Some(at);
        }
        if start <= after {
            return None;
        }
        reach = reach * 8;
    }
}

fn before(at: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    at.checked_sub_signed(span).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Times of day at which posts go, every day: ordered, each once, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots(Vec<NaiveTime>);

impl Slots {
    /// Slots at `times`, in any order.
    ///
    /// # Errors
    /// When there is none: such a schedule would never fire.
    pub fn new(mut times: Vec<NaiveTime>) -> Result<Slots, String> {
        if times.is_empty() {
            return Err(
                "no slot is given, so nothing would ever go out; write times such as \"07:30\"".to_owned()
            );
        }
        times.sort_unstable();
        times.dedup();
        Ok(Slots(times))
    }

    /// The times, ordered.
    pub fn times(&self) -> &[NaiveTime] {
        &self.0
    }

    /// The first slot later than `now`.
    pub fn next_after(&self, now: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        let today = now.with_timezone(&tz).date_naive();
        // A zone may skip a whole day (Samoa, 2011-12-30), never two.
        (0..4)
            .filter_map(|days| today.checked_add_days(Days::new(days)))
            .flat_map(|day| self.0.iter().map(move |time| day.and_time(*time)))
            .filter_map(|wall| first_instant(wall, tz))
            .find(|at| *at > now)
    }
}

/// A time of day as people write it: `07:30`.
///
/// # Errors
/// When it is none; the text names it and shows the form.
pub fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    let two_digits = text.len() == 5 && text.bytes().enumerate().all(|(i, b)| i == 2 || b.is_ascii_digit());
    let time = two_digits.then(|| NaiveTime::parse_from_str(text, "%H:%M").ok()).flatten();
    time.ok_or_else(|| format!("{text:?} is no time of day; write hours and minutes, \"00:00\" to \"23:59\""))
}

/// The longest duration; more is surely a slip, and the limit keeps sums with times from overflowing.
const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// Reads `90s`, `2m`, `24h`, `7d`: digits and one unit.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?)).filter(|duration| *duration <= LONGEST)
}

/// Writes a duration as [`duration`] reads it, in the largest unit that holds it whole; parts of a second are left out.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let whole = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

/// Stretches of the day in which an account keeps silent; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuietHours(Vec<Quiet>);

/// One stretch, from its start up to and without its end; it may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    start: NaiveTime,
    end: NaiveTime,
}

impl QuietHours {
    /// Quiet hours made of `stretches`, which may touch and overlap.
    ///
    /// # Errors
    /// When together they cover the whole day: nothing could ever go out.
    pub fn new(stretches: Vec<Quiet>) -> Result<QuietHours, String> {
        let quiet = QuietHours(stretches);
        // If any moment is not quiet, the end of some stretch is one.
        let ends = quiet.0.iter().map(|stretch| stretch.end);
        if !quiet.0.is_empty() && ends.into_iter().all(|end| quiet.covers(end)) {
            return Err("the quiet hours cover the whole day, so nothing could ever go out".to_owned());
        }
        Ok(quiet)
    }

    /// When the silence ends that `at` lies in; `None` when `at` isn't quiet.
    pub fn end_of_quiet(&self, at: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        let mut end = self.end_of_stretch(at, tz)?;
        // Stretches may lead into one another; together they leave a part of the day free, so this ends.
        for _ in &self.0 {
            match self.end_of_stretch(end, tz) {
                Some(later) => end = later,
                None => break,
            }
        }
        Some(end)
    }

    fn end_of_stretch(&self, at: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        let wall = at.with_timezone(&tz).naive_local();
        let stretch = self.0.iter().find(|stretch| stretch.covers(wall.time()))?;
        let day = if wall.time() < stretch.end { wall.date() } else { wall.date().succ_opt()? };
        match tz.from_local_datetime(&day.and_time(stretch.end)) {
            LocalResult::Ambiguous(first, second) if first <= at => Some(second.to_utc()),
            _ => first_instant(day.and_time(stretch.end), tz),
        }
    }

    fn covers(&self, time: NaiveTime) -> bool {
        self.0.iter().any(|stretch| stretch.covers(time))
    }
}

impl Quiet {
    fn covers(self, time: NaiveTime) -> bool {
        if self.start < self.end {
            self.start <= time && time < self.end
        } else {
            self.start <= time || time < self.end
        }
    }
}

impl FromStr for Quiet {
    type Err = String;

    /// Reads `23:00-06:00`.
    fn from_str(text: &str) -> Result<Quiet, String> {
        let Some((start, end)) = text.split_once('-') else {
            return Err(format!("{text:?} is no stretch of the day; write it as \"23:00-06:00\""));
        };
        let (start, end) = (time_of_day(start.trim())?, time_of_day(end.trim())?);
        if start == end {
            return Err(format!("{text:?} has no length; start and end must differ"));
        }
        Ok(Quiet { start, end })
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;
    use chrono_tz::America::New_York;
    use chrono_tz::Asia::Bangkok;
    use proptest::prelude::*;

    use super::*;

    const THREE_A_DAY: &str = "0 7,12,18 * * *";

    #[test]
    fn slots_go_round_the_day() {
        check_slots(&["12:00", "07:30"], "2026-11-02T06:00", "2026-11-02T07:30");
        check_slots(&["12:00", "07:30"], "2026-11-02T07:30", "2026-11-02T12:00");
        check_slots(&["12:00", "07:30"], "2026-11-02T23:59", "2026-11-03T07:30");
    }

    #[test]
    fn a_schedule_without_slots_is_refused() {
        assert!(Slots::new(Vec::new()).unwrap_err().contains("no slot"));
    }

    #[test]
    fn a_punctual_firing_fires_whatever_the_rule() {
        for misfire in [Misfire::Skip, Misfire::Once, Misfire::CatchUp] {
            check(misfire, Some("2026-11-02T07:00"), "2026-11-02T12:00", &["2026-11-02T12:00"]);
            check(misfire, None, "2026-11-02T12:01", &[]);
            check(misfire, None, "2026-11-02T12:00", &["2026-11-02T12:00"]);
        }
    }

    #[test]
    fn missed_firings_follow_the_rule() {
        let last = Some("2026-11-01T18:00");
        check(Misfire::Skip, last, "2026-11-02T13:00", &[]);
        check(Misfire::Once, last, "2026-11-02T13:00", &["2026-11-02T12:00"]);
        check(Misfire::CatchUp, last, "2026-11-02T13:00", &["2026-11-02T07:00", "2026-11-02T12:00"]);
    }

    #[test]
    fn a_long_silence_brings_no_flood() {
        let last = Some("2025-01-01T00:00");
        let now = utc("2026-11-02T12:30");
        check(Misfire::Once, last, "2026-11-02T13:00", &["2026-11-02T12:00"]);
        let minutes = When::Cron("* * * * *".parse().unwrap());
        let all = firings(&minutes, Misfire::CatchUp, last.map(utc), now, Bangkok);
        assert_eq!(all.len(), CATCH_UP_MOST);
        assert_eq!(all.last(), Some(&now));
    }

    #[test]
    fn a_yearly_firing_is_found_after_months() {
        let yearly = When::Cron("0 0 1 1 *".parse().unwrap());
        let fired =
            firings(&yearly, Misfire::Once, Some(utc("2024-06-01T00:00")), utc("2026-11-02T12:00"), Bangkok);
        assert_eq!(fired, [utc("2025-12-31T17:00")]);
    }

    #[test]
    fn a_clock_turned_back_fires_nothing() {
        check(Misfire::CatchUp, Some("2026-11-02T12:00"), "2026-11-02T07:00", &[]);
    }

    #[test]
    fn now_has_no_firings_of_its_own() {
        let now = utc("2026-11-02T12:00");
        assert!(firings(&When::Now, Misfire::CatchUp, None, now, Bangkok).is_empty());
    }

    #[test]
    fn durations_have_one_number_and_one_unit() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        for (text, expected) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("2m", Some(120)),
            ("24h", Some(86_400)),
            ("7d", Some(604_800)),
            ("", None),
            ("s", None),
            ("90", None),
            ("+5s", None),
            ("-5s", None),
            ("1.5h", None),
            ("1h30m", None),
            ("5 s", None),
            ("5ว", None),
            ("999999999999d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_duration_reads_back_as_it_was_written() {
        for text in ["0s", "90s", "2m", "5h", "7d"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        assert_eq!(duration_text(Duration::from_secs(24 * 3_600)), "1d");
    }

    #[test]
    fn quiet_hours_pass_midnight() {
        quiet(&["23:00-06:00"], "2026-11-02T22:59", None);
        quiet(&["23:00-06:00"], "2026-11-02T23:00", Some("2026-11-03T06:00"));
        quiet(&["23:00-06:00"], "2026-11-03T02:00", Some("2026-11-03T06:00"));
        quiet(&["23:00-06:00"], "2026-11-03T06:00", None);
        quiet(&[], "2026-11-03T06:00", None);
    }

    #[test]
    fn stretches_that_meet_are_one_silence() {
        quiet(&["05:00-08:00", "23:00-06:00"], "2026-11-02T23:30", Some("2026-11-03T08:00"));
        quiet(&["06:00-08:00", "23:00-06:00"], "2026-11-02T23:30", Some("2026-11-03T08:00"));
    }

    #[test]
    fn silence_ends_after_its_beginning_also_when_the_clock_is_set_back() {
        let hours = hours(&["00:30-01:45"]);
        // 06:30 UTC is the second 01:30 in New York that night; its end is the second 01:45.
        assert_eq!(hours.end_of_quiet(utc("2026-11-01T06:30"), New_York), Some(utc("2026-11-01T06:45")));
    }

    #[test]
    fn a_bad_stretch_is_refused() {
        for (text, part) in [
            ("23:00", "no stretch"),
            ("23:00-24:00", "\"24:00\" is no time"),
            ("7:00-08:00", "\"7:00\" is no time"),
            ("07:00-07:00", "no length"),
        ] {
            let error = text.parse::<Quiet>().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_day_that_is_all_quiet_is_refused() {
        let stretches = ["00:00-12:00", "12:00-00:00"].map(|text| text.parse().unwrap()).to_vec();
        assert!(QuietHours::new(stretches).unwrap_err().contains("whole day"));
    }

    #[track_caller]
    fn check_slots(times: &[&str], wall: &str, expected: &str) {
        let slots = Slots::new(times.iter().map(|time| time_of_day(time).unwrap()).collect()).unwrap();
        assert_eq!(slots.next_after(bangkok(wall), Bangkok), Some(bangkok(expected)));
    }

    #[track_caller]
    fn check(misfire: Misfire, last: Option<&str>, now: &str, expected: &[&str]) {
        let when = When::Cron(THREE_A_DAY.parse().unwrap());
        let fired = firings(&when, misfire, last.map(bangkok), bangkok(now), Bangkok);
        assert_eq!(fired, expected.iter().copied().map(bangkok).collect::<Vec<_>>());
    }

    #[track_caller]
    fn quiet(stretches: &[&str], wall: &str, expected: Option<&str>) {
        assert_eq!(hours(stretches).end_of_quiet(bangkok(wall), Bangkok), expected.map(bangkok));
    }

    fn hours(stretches: &[&str]) -> QuietHours {
        QuietHours::new(stretches.iter().map(|text| text.parse().unwrap()).collect()).unwrap()
    }

    fn bangkok(wall: &str) -> DateTime<Utc> {
        utc(wall) - TimeDelta::hours(7)
    }

    fn utc(text: &str) -> DateTime<Utc> {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap().and_utc()
    }

    proptest! {
        #[test]
        fn each_planned_moment_fires_at_most_once_however_the_clock_is_read(
            steps in prop::collection::vec(-3_000..40_000i64, 1..40),
            misfire in prop_oneof![Just(Misfire::Skip), Just(Misfire::Once), Just(Misfire::CatchUp)],
        ) {
            let when = When::Cron("*/20 6-22 * * *".parse().unwrap());
            let (mut now, mut last, mut fired) = (utc("2026-11-01T00:00"), None, Vec::new());
            for step in steps {
                now += TimeDelta::seconds(step);
                let due = firings(&when, misfire, last, now, Bangkok);
                prop_assert!(due.iter().all(|at| *at <= now));
                last = due.last().copied().or(last);
                fired.extend(due);
            }
            prop_assert!(fired.is_sorted_by(|a, b| a < b), "{:?}", fired);
        }

        #[test]
        fn silence_ends_in_the_future_and_is_over_then(
            stretches in prop::collection::vec((0..1440u32, 0..1440u32), 0..4),
            from in 1_700_000_000..1_900_000_000i64,
        ) {
            let time = |minute: u32| NaiveTime::from_num_seconds_from_midnight_opt(minute * 60, 0).unwrap();
            let stretches = stretches.into_iter().filter(|(a, b)| a != b)
                .map(|(a, b)| Quiet { start: time(a), end: time(b) }).collect();
            let Ok(hours) = QuietHours::new(stretches) else { return Ok(()) };
            let at = DateTime::from_timestamp(from, 0).unwrap();
            if let Some(end) = hours.end_of_quiet(at, Bangkok) {
                prop_assert!(end > at && end - at < TimeDelta::hours(24));
                prop_assert_eq!(hours.end_of_quiet(end, Bangkok), None);
            }
        }
    }
}
