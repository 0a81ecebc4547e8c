//! Cron: five fields as in crontab(5), evaluated on the wall clock of a zone.
//!
//! The `cron` crate does the searching and is wrapped, because on its own it wants a seconds field, counts weekdays
//! from Sunday = 1, demands that day of month *and* weekday match, skips what falls into a gap of summer time and
//! fires twice in its fold. Spec: <https://man7.org/linux/man-pages/man5/crontab.5.html>.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use cron::Schedule;

/// A cron line such as `0 7,12,18 * * *`.
///
/// Minutes 0–59, hours 0–23, days 1–31, months 1–12 or names, weekdays 0–7 (0 and 7 are Sunday) or names; lists,
/// ranges and steps. When neither the day nor the weekday begins with `*`, either is enough, as crontab(5) has it.
#[derive(Debug, Clone)]
pub struct Cron {
    line: String,
    /// One schedule, or two when day of month or weekday is enough.
    schedules: Vec<Schedule>,
}

impl Cron {
    /// The first moment later than `now` at which the line fires on the wall clock of `tz`.
    ///
    /// A time inside a gap of summer time fires at the first moment after the gap, one that occurs twice fires at
    /// the first (so a line that fires every few minutes rests through the repeated hour). `None` after the year 2100, where the search ends.
    pub fn next_after(&self, now: DateTime<Utc>, tz: Tz) -> Option<DateTime<Utc>> {
        let mut wall = now.with_timezone(&tz).naive_local();
        loop {
            wall = self.next_wall(wall)?;
            // In the second pass through a fold the wall clock shows times whose first occurrence is over.
            match first_instant(wall, tz) {
                Some(instant) if instant > now => return Some(instant),
                _ => continue,
            }
        }
    }

    fn next_wall(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let after = after.and_utc();
        self.schedules
            .iter()
            .filter_map(|schedule| schedule.after(&after).next())
            .min()
            .map(|at| at.naive_utc())
    }
}

/// The first instant at which the wall clock of `tz` shows `wall`, or else the first one after the gap it is in.
pub fn first_instant(wall: NaiveDateTime, tz: Tz) -> Option<DateTime<Utc>> {
    match tz.from_local_datetime(&wall) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.to_utc()),
        LocalResult::None => Some(GapInfo::new(&wall, &tz)?.end?.to_utc()),
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Cron) -> bool {
        self.line == other.line
    }
}

impl Eq for Cron {}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl FromStr for Cron {
    type Err = String;

    /// Reads a line; the error names the field, the value and the cure.
    fn from_str(line: &str) -> Result<Cron, String> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "{line:?} has {} fields; cron takes five: minute, hour, day, month, weekday, as in \"0 7 * * *\"",
                fields.len()
            ));
        };
        let (minutes, hours) = (MINUTE.read(minute)?, HOUR.read(hour)?);
        let (days, months, weekdays) = (DAY.read(day)?, MONTH.read(month)?, WEEKDAY.read(weekday)?);
        let days = numbers(&days);
        let weekdays = weekday_names(&weekdays);

        let schedule = |days: &str, weekdays: &str| {
            let line =
                format!("0 {} {} {days} {} {weekdays}", numbers(&minutes), numbers(&hours), numbers(&months));
            Schedule::from_str(&line).map_err(|error| format!("{line:?} is no cron line: {error}"))
        };
        let either_is_enough = !day.starts_with('*') && !weekday.starts_with('*');
        let schedules = if either_is_enough {
            vec![schedule(&days, "*")?, schedule("*", &weekdays)?]
        } else {
            vec![schedule(&days, &weekdays)?]
        };

        let cron = Cron { line: fields.join(" "), schedules };
        if cron.next_wall(DateTime::UNIX_EPOCH.naive_utc()).is_none() {
            return Err(format!("{line:?} never fires: no such day is in the calendar"));
        }
        Ok(cron)
    }
}

/// One of the five fields: what it is called and which values it takes.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    /// Names for the values from `low` on; empty where only numbers are taken.
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", low: 0, high: 59, names: &[] };
const HOUR: Field = Field { name: "hour", low: 0, high: 23, names: &[] };
const DAY: Field = Field { name: "day", low: 1, high: 31, names: &[] };
const MONTH: Field = Field { name: "month", low: 1, high: 12, names: &MONTHS };
const WEEKDAY: Field = Field { name: "weekday", low: 0, high: 7, names: &WEEKDAYS };

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Field {
    /// The values a field stands for, in order.
    fn read(&self, field: &str) -> Result<Vec<u32>, String> {
        let mut values = Vec::new();
        for item in field.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (item, None),
            };
            let (first, last) = self.range(range)?;
            let step = match step {
                None => 1,
                Some(_) if !range.starts_with('*') && !range.contains('-') => {
                    let cure = format!("{range}-{}/{}", self.high, step.unwrap_or_default());
                    return Err(format!("{item:?} steps from a single {}; write \"{cure}\"", self.name));
                }
                Some(step) => match number(step) {
                    Some(step) if step > 0 => step,
                    _ => return Err(format!("{step:?} is no step for the {}; write */2, */5 …", self.name)),
                },
            };
            values.extend((first..=last).step_by(step as usize));
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    fn range(&self, range: &str) -> Result<(u32, u32), String> {
        if range == "*" {
            return Ok((self.low, self.high));
        }
        let Some((first, last)) = range.split_once('-') else {
            let value = self.value(range)?;
            return Ok((value, value));
        };
        let (first, mut last) = (self.value(first)?, self.value(last)?);
        // "FRI-SUN": Sunday ends a week as well as it begins one.
        if self.name == WEEKDAY.name && last == 0 && first > 0 {
            last = 7;
        }
        if first > last {
            return Err(format!(
                "{range:?} runs backwards; write two {} ranges with a comma between them",
                self.name
            ));
        }
        Ok((first, last))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(index) => u32::try_from(index).ok().map(|index| index + self.low),
            None => number(text),
        };
        value.filter(|value| (self.low..=self.high).contains(value)).ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            format!("{text:?} is no {}; write {} to {}{names}", self.name, self.low, self.high)
        })
    }
}

/// Digits only: no sign, no white space, and few enough to stay far from overflow.
fn number(text: &str) -> Option<u32> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn numbers(values: &[u32]) -> String {
    values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Names instead of numbers, which the crate counts differently; all seven are `*`.
fn weekday_names(values: &[u32]) -> String {
    let named: Vec<&str> = WEEKDAYS
        .into_iter()
        .zip(0..)
        .filter(|(_, day)| values.contains(day) || (*day == 0 && values.contains(&7)))
        .map(|(name, _)| name)
        .collect();
    if named.len() == WEEKDAYS.len() { "*".to_owned() } else { named.join(",") }
}

#[cfg(test)]
mod tests {
    use chrono_tz::America::New_York;
    use chrono_tz::Asia::Bangkok;
    use chrono_tz::Tz;
    use croner::parser::CronParser;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weekdays_count_as_in_crontab() {
        // 2026-11-01 is a Sunday.
        check("0 9 * * 0", "2026-11-02T00:00", Bangkok, "2026-11-08T09:00");
        check("0 9 * * 7", "2026-11-02T00:00", Bangkok, "2026-11-08T09:00");
        check("0 9 * * 1-5", "2026-11-06T10:00", Bangkok, "2026-11-09T09:00");
        check("0 9 * * mon-fri", "2026-11-06T10:00", Bangkok, "2026-11-09T09:00");
        check("0 9 * * 5-7", "2026-11-02T00:00", Bangkok, "2026-11-06T09:00");
        check("0 9 * * 5-7", "2026-11-07T10:00", Bangkok, "2026-11-08T09:00");
        check("0 9 * * fri-sun", "2026-11-07T10:00", Bangkok, "2026-11-08T09:00");
        check("0 9 * * 1-5/2", "2026-11-02T10:00", Bangkok, "2026-11-04T09:00");
    }

    #[test]
    fn day_or_weekday_is_enough_when_both_are_given() {
        check("0 0 13 * 5", "2026-11-01T00:00", Bangkok, "2026-11-06T00:00");
        check("0 0 13 * 1", "2026-11-10T00:00", Bangkok, "2026-11-13T00:00");
    }

    #[test]
    fn a_star_with_a_step_asks_for_both_as_crontab_does() {
        // Mondays with an odd date: the 9th, not the 3rd (a Tuesday).
        check("0 0 */2 * 1", "2026-11-02T12:00", Bangkok, "2026-11-09T00:00");
    }

    #[test]
    fn a_time_in_a_gap_fires_once_right_after_it() {
        // New York springs from 02:00 to 03:00 on 2026-03-08.
        check("30 2 * * *", "2026-03-08T00:00", New_York, "2026-03-08T03:00");
        check("30 2 * * *", "2026-03-08T03:00", New_York, "2026-03-09T02:30");
        check("30 2,3 * * *", "2026-03-08T03:00", New_York, "2026-03-08T03:30");
        check("0 2,3 * * *", "2026-03-08T03:00", New_York, "2026-03-09T02:00");
    }

    #[test]
    fn a_time_that_occurs_twice_fires_the_first_time() {
        // New York falls back from 02:00 to 01:00 on 2026-11-01: 01:30 is 05:30 UTC, and again 06:30 UTC.
        let cron: Cron = "30 1 * * *".parse().unwrap();
        assert_eq!(cron.next_after(utc("2026-11-01T04:00"), New_York), Some(utc("2026-11-01T05:30")));
        assert_eq!(cron.next_after(utc("2026-11-01T05:30"), New_York), Some(utc("2026-11-02T06:30")));
        assert_eq!(cron.next_after(utc("2026-11-01T06:15"), New_York), Some(utc("2026-11-02T06:30")));
    }

    #[test]
    fn a_bad_line_is_refused_with_its_field_and_the_cure() {
        refused("0 7 * *", "4 fields");
        refused("0 0 7 * * *", "6 fields");
        refused("@daily", "five");
        refused("60 7 * * *", "\"60\" is no minute; write 0 to 59");
        refused("0 24 * * *", "\"24\" is no hour");
        refused("0 7 0 * *", "\"0\" is no day; write 1 to 31");
        refused("0 7 * 13 *", "1 to 12 or JAN to DEC");
        refused("0 7 * * 8", "0 to 7 or SUN to SAT");
        refused("0 7 * * 5-3", "runs backwards");
        refused("5/10 * * * *", "write \"5-59/10\"");
        refused("*/0 * * * *", "no step");
        refused("+1 * * * *", "\"+1\" is no minute");
        refused("1,,2 * * * *", "\"\" is no minute");
        refused("0 7 30 2 *", "never fires");
        refused("0 7 L * *", "\"L\" is no day");
    }

    #[test]
    fn the_leap_day_fires() {
        check("0 0 29 2 *", "2026-11-01T00:00", Bangkok, "2028-02-29T00:00");
    }

    #[track_caller]
    fn check(line: &str, wall: &str, tz: Tz, expected: &str) {
        let cron: Cron = line.parse().unwrap();
        let instant = |wall: &str| first_instant(utc(wall).naive_utc(), tz).unwrap();
        assert_eq!(cron.next_after(instant(wall), tz), Some(instant(expected)));
    }

    #[track_caller]
    fn refused(line: &str, part: &str) {
        let error = line.parse::<Cron>().unwrap_err();
        assert!(error.contains(part), "{error}");
    }

    fn utc(text: &str) -> DateTime<Utc> {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap().and_utc()
    }

    /// A field's text: stars, numbers, ranges, steps and lists.
    fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
        let number = low..=high;
        let item = prop_oneof![
            number.clone().prop_map(|value| value.to_string()),
            (number.clone(), number).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            (low..=high, low..=high, 1..9u32).prop_map(|(a, b, step)| format!(
                "{}-{}/{step}",
                a.min(b),
                a.max(b)
            )),
        ];
        prop_oneof![
            3 => Just("*".to_owned()),
            5 => prop::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
        ]
    }

    fn line() -> impl Strategy<Value = String> {
        (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).prop_map(
            |(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"),
        )
    }

    proptest! {
        #[test]
        fn it_agrees_with_croner_where_clocks_never_change(line in line(), from in 1_700_000_000..1_900_000_000i64) {
            let now = DateTime::from_timestamp(from, 0).unwrap();
            let Ok(ours) = line.parse::<Cron>() else {
                // Both know days that are in no calendar.
                let theirs = CronParser::new().parse(&line);
                prop_assert!(theirs.is_ok_and(|it| it.find_next_occurrence(&now, false).is_err()), "{}", line);
                return Ok(());
            };
            let theirs = CronParser::new().parse(&line).unwrap();
            let expected = theirs.find_next_occurrence(&now.with_timezone(&Bangkok), false).unwrap();
            prop_assert_eq!(ours.next_after(now, Bangkok), Some(expected.to_utc()));
        }

        #[test]
        fn it_agrees_with_croner_on_fixed_times_across_summer_time(
            minute in 0..60u32, hour in 0..24u32, from in 1_700_000_000..1_900_000_000i64,
        ) {
            let (line, now) = (format!("{minute} {hour} * * *"), DateTime::from_timestamp(from, 0).unwrap());
            let expected = CronParser::new().parse(&line).unwrap()
                .find_next_occurrence(&now.with_timezone(&New_York), false).unwrap();
            let ours: Cron = line.parse().unwrap();
            prop_assert_eq!(ours.next_after(now, New_York), Some(expected.to_utc()));
        }

        #[test]
        fn the_next_firing_is_later_and_nothing_lies_between(line in line(), from in 1_700_000_000..1_900_000_000i64) {
            let now = DateTime::from_timestamp(from, 0).unwrap();
            let Ok(cron) = line.parse::<Cron>() else { return Ok(()) };
            let next = cron.next_after(now, New_York).unwrap();
            prop_assert!(next > now);
            let between = now + (next - now) / 2;
            prop_assert_eq!(cron.next_after(between, New_York), Some(next));
        }

        #[test]
        fn no_text_makes_it_panic(line in "[0-9*,/ a-zA-Z@-]{0,24}") {
            if let Ok(cron) = line.parse::<Cron>() {
                prop_assert_eq!(cron.to_string().parse::<Cron>(), Ok(cron));
            }
        }
    }
}
